//! What the wheel promises its caller, in the large and at its edges.

use gambol_timer::{Fired, Key, Wheel};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

const NEVER: u64 = u64::MAX;
const MILLION: usize = 1_000_000;

fn noop() -> Waker {
    Waker::noop().clone()
}

/// A waker that counts those of its kind that are alive, to see that none is lost or kept.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn waker(alive: &Arc<AtomicUsize>) -> Waker {
        alive.fetch_add(1, Ordering::Relaxed);
        Waker::from(Arc::new(Counted(alive.clone())))
    }
}

impl Wake for Counted {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Calls `expire` until no work remains, and checks that no call does more than its limit.
fn expire_in_steps(wheel: &mut Wheel, now: u64, limit: usize) -> usize {
    let mut fired = 0;
    loop {
        let mut ready = Vec::new();
        let before = wheel.fired_total() + wheel.moved_total();
        let more = wheel.expire(now, limit, &mut ready);
        let touched = wheel.fired_total() + wheel.moved_total() - before;
        assert!(touched <= limit as u64, "{touched} timers touched in one call");
        fired += ready.len();
        if !more {
            return fired;
        }
    }
}

#[test]
fn a_million_timers_in_one_tick_are_spread_over_calls() {
    let mut wheel = Wheel::new();
    let deadline = 5_000_000_000;
    let keys: Vec<Key> = (0..MILLION).map(|_| wheel.insert(deadline, noop())).collect();
    assert_eq!(wheel.next_deadline(), Some(deadline));
    assert_eq!(expire_in_steps(&mut wheel, deadline - 1, 100), 0);
    assert_eq!(expire_in_steps(&mut wheel, deadline, 100), MILLION);
    for key in keys {
        assert!(wheel.remove(key).is_none());
    }
    assert!(wheel.nodes_allocated() <= 64);
}

#[test]
fn a_million_timers_in_one_coarse_slot_are_spread_over_calls() {
    let mut wheel = Wheel::new();
    // One slot of level 6, about a minute wide.
    let start = 1 << 36;
    let keys: Vec<Key> =
        (0..MILLION as u64).map(|number| wheel.insert(start + number * 7919 % (1 << 36), noop())).collect();
    assert_eq!(expire_in_steps(&mut wheel, start - 1, 128), 0);
    assert_eq!(expire_in_steps(&mut wheel, 2 * start, 128), MILLION);
    assert!(wheel.moved_total() <= 6 * MILLION as u64);
    keys.into_iter().for_each(|key| drop(wheel.remove(key)));
}

#[test]
fn a_timer_can_be_cancelled_while_its_slot_is_being_moved() {
    let mut wheel = Wheel::new();
    let mut keys: Vec<Key> = (0..1000).map(|number| wheel.insert(5000 + number % 90, noop())).collect();
    let mut ready = Vec::new();
    assert!(wheel.expire(5000, 10, &mut ready));
    let fired = ready.len();
    for key in keys.drain(500..) {
        assert!(wheel.remove(key).is_some());
    }
    while wheel.expire(6000, 10, &mut ready) {}
    assert!(fired < 500 && ready.len() == 500);
    keys.into_iter().for_each(|key| assert!(wheel.remove(key).is_none()));
}

#[test]
fn a_million_cancels_leave_nothing_behind() {
    let alive = Arc::new(AtomicUsize::new(0));
    let mut wheel = Wheel::new();
    let keys: Vec<Key> =
        (0..MILLION as u64).map(|number| wheel.insert(number * number, Counted::waker(&alive))).collect();
    assert_eq!(alive.load(Ordering::Relaxed), MILLION);
    for key in keys {
        assert!(wheel.remove(key).is_some());
    }
    assert_eq!(alive.load(Ordering::Relaxed), 0);
    assert!(wheel.is_empty());
    assert_eq!(wheel.next_deadline(), None);
    assert_eq!(wheel.cancelled_total(), MILLION as u64);
    assert_eq!(wheel.moved_total(), 0, "a cancelled timer never moves");
    assert!(wheel.nodes_allocated() <= 64);
}

#[test]
fn memory_comes_back_after_a_peak_and_is_used_again() {
    let mut wheel = Wheel::new();
    assert_eq!(wheel.nodes_allocated(), 0);
    for _ in 0..3 {
        let mut keys: Vec<Key> = (0..100_000).map(|number| wheel.insert(number, noop())).collect();
        assert_eq!(wheel.nodes_allocated(), 100_032);
        let last = keys.split_off(50_000);
        keys.into_iter().for_each(|key| drop(wheel.remove(key)));
        assert!(wheel.nodes_allocated() <= 50_000 + 3 * 64);
        last.into_iter().for_each(|key| drop(wheel.remove(key)));
        assert_eq!(wheel.nodes_allocated(), 64);
    }
}

#[test]
fn a_long_jump_fires_everything_in_the_order_of_deadlines() {
    let deadlines: Vec<u64> = (0..64).flat_map(|bit| [(1 << bit) - 1, 1 << bit, (1 << bit) + 1]).collect();
    // Neither ascending nor descending: in steps of 5, which does not divide the length.
    let length = deadlines.len();
    let mut wheel = Wheel::new();
    let timers: Vec<(Key, Waker, u64)> = (0..length)
        .map(|number| {
            let deadline = deadlines[number * 5 % length];
            let waker = Counted::waker(&Arc::default());
            (wheel.insert(deadline, waker.clone()), waker, deadline)
        })
        .collect();

    let mut ready = Vec::new();
    assert!(!wheel.expire(NEVER, usize::MAX, &mut ready));
    assert_eq!(ready.len(), length);
    // A stable sort: equal deadlines stay in the order in which they were armed.
    let mut expected: Vec<&(Key, Waker, u64)> = timers.iter().collect();
    expected.sort_by_key(|(_, _, deadline)| *deadline);
    for (waker, (_, expected, deadline)) in ready.iter().zip(expected) {
        assert!(waker.will_wake(expected), "another timer than that for {deadline}");
    }
}

#[test]
fn a_lone_timer_is_not_moved_step_by_step() {
    for bit in 0..64 {
        let mut wheel = Wheel::new();
        let deadline = (1 << bit) + (1 << bit) / 3;
        let _key = wheel.insert(deadline, noop());
        let mut ready = Vec::new();
        assert!(!wheel.expire(deadline, 1, &mut ready), "one touch is enough");
        assert_eq!((ready.len(), wheel.moved_total()), (1, 0));
    }
}

#[test]
fn arming_and_cancelling_over_hours_does_not_pile_up_in_one_slot() {
    let mut wheel = Wheel::new();
    let mut ready = Vec::new();
    let second = 1_000_000_000;
    let mut live: Vec<Key> = Vec::new();
    for now in (0..7200 * second).step_by(second as usize / 10) {
        while wheel.expire(now, 64, &mut ready) {}
        live.push(wheel.insert(now + 30 * second, noop()));
        if live.len() > 100 {
            drop(wheel.remove(live.remove(0)));
        }
    }
    assert!(ready.is_empty());
    // Each lived for 10 of its 30 seconds. A slot of level 5 is one second wide, of level 6 about
    // 69: some crossed the border between two of those, once.
    assert!(wheel.moved_total() < wheel.armed_total());
}

#[test]
fn never_is_kept_and_does_not_fire() {
    let mut wheel = Wheel::new();
    let key = wheel.insert(NEVER, noop());
    let mut ready = Vec::new();
    assert_eq!(wheel.next_deadline(), None);
    assert!(!wheel.expire(NEVER, 10, &mut ready));
    assert!(ready.is_empty() && wheel.is_armed(&key) && wheel.len() == 1);
    let last = wheel.insert(NEVER - 1, noop());
    assert!(!wheel.expire(NEVER, 10, &mut ready));
    assert_eq!(ready.len(), 1);
    assert!(!wheel.is_armed(&last));
    assert!(wheel.rearm(&key, 0, None).is_none());
    assert!(!wheel.expire(0, 10, &mut ready));
    assert_eq!(ready.len(), 2);
    assert!(wheel.remove(key).is_none() && wheel.remove(last).is_none());
}

#[test]
fn a_deadline_in_the_past_fires_at_the_next_expire_whatever_its_now() {
    let mut wheel = Wheel::new();
    let mut ready = Vec::new();
    assert!(!wheel.expire(1_000_000, 10, &mut ready));
    let keys = [0, 999_999, 1_000_000, 1_000_001].map(|deadline| wheel.insert(deadline, noop()));
    assert_eq!(wheel.next_deadline(), Some(0));
    assert!(!wheel.expire(5, 10, &mut ready), "time does not go back");
    assert_eq!(ready.len(), 3);
    assert_eq!(wheel.next_deadline(), Some(1_000_001));
    keys.into_iter().for_each(|key| drop(wheel.remove(key)));
}

#[test]
fn a_limit_of_zero_makes_progress() {
    let mut wheel = Wheel::new();
    let keys = [1, 2, 3].map(|deadline| wheel.insert(deadline, noop()));
    let mut ready = Vec::new();
    while wheel.expire(3, 0, &mut ready) {}
    assert_eq!(ready.len(), 3);
    keys.into_iter().for_each(|key| drop(wheel.remove(key)));
}

#[test]
fn a_fired_timer_is_armed_again_only_with_a_waker() {
    let mut wheel = Wheel::new();
    let mut ready = Vec::new();
    let key = wheel.insert(10, noop());
    wheel.expire(10, 10, &mut ready);
    assert_eq!(wheel.will_wake(&key, Waker::noop()), Err(Fired));
    drop(wheel.set_waker(&key, noop()));
    assert!(!wheel.is_armed(&key));
    assert!(wheel.rearm(&key, 20, None).is_none());
    assert!(!wheel.is_armed(&key) && wheel.next_deadline().is_none());
    assert!(wheel.rearm(&key, 20, Some(noop())).is_none());
    assert!(wheel.is_armed(&key));
    assert_eq!((wheel.next_deadline(), wheel.armed_total()), (Some(20), 2));
    assert!(wheel.remove(key).is_some());
}

#[test]
fn every_waker_comes_back_to_the_caller() {
    let alive = Arc::new(AtomicUsize::new(0));
    let count = || alive.load(Ordering::Relaxed);
    let mut wheel = Wheel::new();
    let key = wheel.insert(10, Counted::waker(&alive));
    let replaced = wheel.rearm(&key, 20, Some(Counted::waker(&alive)));
    assert!(replaced.is_some() && count() == 2);
    drop(replaced);
    let other = Counted::waker(&alive);
    assert_eq!(wheel.will_wake(&key, &other), Ok(false));
    let replaced = wheel.set_waker(&key, other.clone());
    assert_eq!((wheel.will_wake(&key, &other), count()), (Ok(true), 2));
    assert!(!replaced.will_wake(&other));
    drop((replaced, other));
    assert_eq!(count(), 1);
    let mut ready = Vec::new();
    wheel.expire(20, 10, &mut ready);
    assert_eq!((ready.len(), count()), (1, 1));
    drop(ready);
    assert_eq!(count(), 0, "the wheel keeps none that has fired");
    assert!(wheel.remove(key).is_none());
}

#[test]
fn clear_fires_all_and_keys_remain_valid() {
    let mut wheel = Wheel::new();
    let mut ready = Vec::new();
    wheel.expire(500, 10, &mut ready);
    let keys = [0, 500, 501, 1 << 20, 1 << 60, NEVER].map(|deadline| wheel.insert(deadline, noop()));
    let fired = wheel.insert(0, noop());
    wheel.expire(500, 1, &mut ready);
    ready.clear();
    wheel.clear(&mut ready);
    assert_eq!(ready.len(), 6);
    assert!(wheel.is_empty() && wheel.next_deadline().is_none());
    assert_eq!(wheel.fired_total(), 7);
    for key in keys {
        assert!(!wheel.is_armed(&key));
        assert!(wheel.remove(key).is_none());
    }
    let again = wheel.insert(1000, noop());
    assert_eq!(wheel.next_deadline(), Some(1000), "the wheel goes on to work");
    assert!(wheel.remove(again).is_some() && wheel.remove(fired).is_none());
}

#[test]
fn a_dropped_wheel_drops_its_wakers() {
    let alive = Arc::new(AtomicUsize::new(0));
    let mut wheel = Wheel::new();
    let _keys = [0, 1 << 40, NEVER].map(|deadline| wheel.insert(deadline, Counted::waker(&alive)));
    drop(wheel);
    assert_eq!(alive.load(Ordering::Relaxed), 0);
}

#[test]
fn an_unused_wheel_is_small_and_a_wheel_can_be_sent() {
    fn can_be_sent<T: Send + Sync + std::panic::UnwindSafe>() {}
    can_be_sent::<Wheel>();
    can_be_sent::<Key>();
    assert!(size_of::<Wheel>() <= 400, "{} bytes", size_of::<Wheel>());
    assert_eq!(size_of::<Option<Key>>(), 4);
    assert_eq!(Wheel::new().nodes_allocated(), 0);
}

#[test]
fn a_wheel_that_goes_back_to_the_beginning_keeps_what_is_armed_from_there() {
    let mut wheel = Wheel::new();
    let mut ready = Vec::new();
    let old: Vec<Key> = [1, 70, 5_000_000_000, u64::MAX - 1, NEVER].map(|at| wheel.insert(at, noop())).into();
    assert!(!wheel.expire(1_000_000_000_000, 100, &mut ready));
    wheel.clear(&mut ready);
    assert_eq!(ready.len(), old.len());
    wheel.restart();
    assert_eq!((wheel.elapsed(), wheel.next_deadline()), (0, None));
    let keys = [3_600, 2, 2].map(|at| wheel.insert(at, noop()));
    ready.clear();
    assert!(!wheel.expire(1, 100, &mut ready) && ready.is_empty());
    assert_eq!(wheel.next_deadline(), Some(2));
    assert!(!wheel.expire(2, 100, &mut ready));
    assert_eq!((ready.len(), wheel.next_deadline()), (2, Some(3_600)));
    for key in old {
        assert!(wheel.remove(key).is_none(), "it fired before");
    }
    assert_eq!(keys.map(|key| wheel.remove(key).is_some()), [true, false, false]);
}

#[test]
#[should_panic(expected = "no timer is armed; clear it first")]
fn a_wheel_with_a_timer_does_not_go_back() {
    let mut wheel = Wheel::new();
    let _key = wheel.insert(5, noop());
    wheel.restart();
}
