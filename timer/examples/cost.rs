//! What the wheel's operations cost, in nanoseconds.
//!
//! ```text
//! cargo run --release -p gambol-timer --example cost
//! ```
//!
//! Wakers are `Waker::noop()`, whose clone and drop cost next to nothing. Each figure is the best
//! of five runs.

use gambol_timer::{Key, Wheel};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::task::Waker;
use std::time::Instant;

const COUNT: usize = 1_000_000;

fn noop() -> Waker {
    Waker::noop().clone()
}

/// Prints the time of one of `COUNT` operations.
fn measure(name: &str, mut run: impl FnMut() -> std::time::Duration) {
    let best = (0..5).map(|_| run()).min().expect("five runs");
    println!("{name:<60} {:7.1} ns", best.as_nanos() as f64 / COUNT as f64);
}

/// A wheel with `count` timers spread over 30 s, at a time that is not round.
fn filled(count: usize) -> (Wheel, Vec<Key>) {
    let mut wheel = Wheel::new();
    wheel.expire(1_234_567_890_123, 1, &mut Vec::new());
    let keys = (0..count as u64).map(|number| wheel.insert(deadline(number), noop())).collect();
    (wheel, keys)
}

/// Spread over 30 s by a multiplicative hash.
fn deadline(number: u64) -> u64 {
    1_234_567_890_124 + (number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 29) % 30_000_000_000
}

fn main() {
    for others in [0, 1000, 100_000] {
        let (mut wheel, keys) = filled(others);
        measure(&format!("insert + remove, beside {others}"), || {
            let start = Instant::now();
            for number in 0..COUNT as u64 {
                let key = wheel.insert(black_box(deadline(number)), noop());
                black_box(wheel.remove(black_box(key)));
            }
            start.elapsed()
        });
        measure(&format!("insert + remove, one deadline, beside {others}"), || {
            let start = Instant::now();
            for _ in 0..COUNT {
                let key = wheel.insert(black_box(1_234_600_000_000), noop());
                black_box(wheel.remove(black_box(key)));
            }
            start.elapsed()
        });
        let key = wheel.insert(deadline(1), noop());
        measure(&format!("rearm, beside {others}"), || {
            let start = Instant::now();
            for number in 0..COUNT as u64 {
                black_box(wheel.rearm(&key, black_box(deadline(number)), None));
            }
            start.elapsed()
        });
        measure(&format!("next_deadline, beside {others}"), || {
            let start = Instant::now();
            for _ in 0..COUNT {
                black_box(black_box(&wheel).next_deadline());
            }
            start.elapsed()
        });
        let mut map: BTreeMap<(u64, u64), Waker> =
            (0..others as u64).map(|number| ((deadline(number), number), noop())).collect();
        measure(&format!("for comparison, a BTreeMap, beside {others}"), || {
            let start = Instant::now();
            for number in others as u64..(others + COUNT) as u64 {
                let place = black_box((deadline(number), number));
                map.insert(place, noop());
                black_box(map.remove(&place));
            }
            start.elapsed()
        });
        assert_eq!(wheel.len(), others + 1);
        assert_eq!(map.len(), others);
        drop(wheel.remove(key));
        keys.into_iter().for_each(|key| drop(wheel.remove(key)));
    }

    measure("insert, to a million", || {
        let start = Instant::now();
        let filled = filled(COUNT);
        let elapsed = start.elapsed();
        black_box(filled);
        elapsed
    });
    measure("remove in the order of arming, from a million", || {
        let (mut wheel, keys) = filled(COUNT);
        let start = Instant::now();
        keys.into_iter().for_each(|key| drop(wheel.remove(key)));
        start.elapsed()
    });
    measure("expire of a million over 30 s in steps of 1 ms", || {
        let (mut wheel, _keys) = filled(COUNT);
        let mut ready = Vec::with_capacity(COUNT);
        let start = Instant::now();
        for step in 0..=30_001 {
            while wheel.expire(1_234_567_890_124 + step * 1_000_000, 1024, &mut ready) {}
        }
        let elapsed = start.elapsed();
        assert_eq!(ready.len(), COUNT);
        elapsed
    });
    measure("expire of a million due at once", || {
        let mut wheel = Wheel::new();
        let _keys: Vec<Key> = (0..COUNT).map(|_| wheel.insert(1_000_000, noop())).collect();
        let mut ready = Vec::with_capacity(COUNT);
        let start = Instant::now();
        while wheel.expire(1_000_000, 1024, &mut ready) {}
        let elapsed = start.elapsed();
        assert_eq!(ready.len(), COUNT);
        elapsed
    });
}
