//! The timing wheel: what it costs to arm a timer, to cancel it, and to fire those that are due, beside so many others.
//!
//! The deadlines are spread over ten seconds in no order, as those of requests are that came at any time; the wheel has
//! stood for an hour. Its lock is the executor's and not in these figures, nor is the clock.

use crate::MANY;
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use gambol_timer::{Key, Wheel};
use std::task::Waker;

/// Timers that stand in the wheel meanwhile.
const OTHERS: [usize; 3] = [0, 1_000, 100_000];

const HOUR: u64 = 3_600_000_000_000;
const SPREAD: u64 = 10_000_000_000;

/// A wheel with so many timers.
fn wheel_of(timers: usize) -> Wheel {
    let mut wheel = Wheel::new();
    wheel.expire(HOUR, usize::MAX, &mut Vec::new());
    for deadline in deadlines().take(timers) {
        // Nobody gives the key back; the timer goes with the wheel.
        let _ = wheel.insert(deadline, Waker::noop().clone());
    }
    wheel
}

/// Deadlines in no order, the same ones each time: a Weyl sequence.
fn deadlines() -> impl Iterator<Item = u64> {
    (1_u64..).map(|step| HOUR + 1 + step.wrapping_mul(0x9e37_79b9_7f4a_7c15) % SPREAD)
}

/// Armed and cancelled, as a time limit that was not needed.
#[divan::bench(args = OTHERS, sample_size = MANY)]
fn insert_cancel(bencher: Bencher<'_, '_>, others: usize) {
    let mut wheel = wheel_of(others);
    let mut deadlines = deadlines();
    bencher.with_inputs(|| deadlines.next().expect("it does not end")).bench_local_values(|deadline| {
        let key = wheel.insert(deadline, Waker::noop().clone());
        assert!(wheel.remove(black_box(key)).is_some(), "it was armed");
    });
    assert_eq!(wheel.len(), others, "the others are still there");
}

/// A thousand are armed, and stay; the counter tells timers.
#[divan::bench(args = OTHERS, sample_count = 20)]
fn insert(bencher: Bencher<'_, '_>, others: usize) {
    const TIMERS: usize = 1_000;
    let deadlines: Vec<u64> = deadlines().skip(others).take(TIMERS).collect();
    // A wheel for each, or it would grow under the measurement.
    bencher.counter(ItemsCount::new(TIMERS)).with_inputs(|| wheel_of(others)).bench_local_refs(|wheel| {
        for &deadline in &deadlines {
            // Nobody gives the key back; the timer goes with the wheel.
            let _ = wheel.insert(deadline, Waker::noop().clone());
        }
        assert_eq!(wheel.len(), others + TIMERS, "all are there");
    });
}

/// Moved to another deadline, as a time limit that each message renews.
#[divan::bench(args = OTHERS, sample_size = MANY)]
fn rearm(bencher: Bencher<'_, '_>, others: usize) {
    let mut wheel = wheel_of(others);
    let key: Key = wheel.insert(HOUR + SPREAD, Waker::noop().clone());
    let mut deadlines = deadlines();
    bencher.with_inputs(|| deadlines.next().expect("it does not end")).bench_local_values(|deadline| {
        assert!(wheel.rearm(black_box(&key), deadline, None).is_none(), "it has not fired");
    });
}

/// All of so many fire, in batches of 256 as the executor asks for them; the counter tells timers.
#[divan::bench(args = [1, 1_000, 100_000], max_time = 1)]
fn expire(bencher: Bencher<'_, '_>, timers: usize) {
    bencher.counter(ItemsCount::new(timers)).with_inputs(|| wheel_of(timers)).bench_local_values(|mut wheel| {
        let mut ready = Vec::with_capacity(256);
        let mut fired = 0;
        loop {
            let more = wheel.expire(HOUR + 1 + SPREAD, 256, &mut ready);
            fired += ready.len();
            ready.clear();
            if !more {
                break;
            }
        }
        assert_eq!(fired, timers, "all were due");
        wheel
    });
}

/// A look when nothing is due.
#[divan::bench(args = OTHERS, sample_size = MANY)]
fn expire_nothing(bencher: Bencher<'_, '_>, others: usize) {
    let mut wheel = wheel_of(others);
    let mut ready = Vec::new();
    bencher.bench_local(|| assert!(!wheel.expire(black_box(HOUR), 256, &mut ready), "nothing is left over"));
    assert!(ready.is_empty(), "nothing is due");
}
