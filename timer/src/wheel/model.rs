//! The wheel beside a naive one: a sorted map from the order of firing to the timer. Random
//! operations are done to both, and after each one everything that the wheel says is compared.

use super::{NEVER, Wheel};
use crate::key::{Fired, Key};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Wake, Waker};

/// A waker that is told from others by its address.
struct Nobody;

impl Wake for Nobody {
    fn wake(self: Arc<Self>) {}
}

/// A deadline or a time, in terms of what may go wrong.
#[derive(Clone, Debug)]
enum Time {
    Exactly(u64),
    /// `2^bit + offset - 1`, after the latest time or after the origin.
    Border {
        bit: u32,
        offset: u64,
        absolute: bool,
    },
    Past(u64),
    /// A few nanoseconds on: many are equal.
    Soon(u64),
    /// In the same slot of a middle level as its like.
    Near(u64),
    Next,
}

#[derive(Clone, Debug)]
enum Operation {
    Insert(Time),
    Remove(prop::sample::Index),
    Rearm(prop::sample::Index, Time, bool),
    SetWaker(prop::sample::Index, bool),
    Expire(Time, usize),
    Clear,
}

fn time() -> impl Strategy<Value = Time> {
    prop_oneof![
        1 => prop_oneof![Just(0), Just(NEVER), Just(NEVER - 1), any::<u64>()]
            .prop_map(Time::Exactly),
        4 => (0..64u32, 0..3u64, any::<bool>())
            .prop_map(|(bit, offset, absolute)| Time::Border { bit, offset, absolute }),
        4 => (0..26u32, 0..3u64)
            .prop_map(|(bit, offset)| Time::Border { bit, offset, absolute: false }),
        1 => (0..1_000_000u64).prop_map(Time::Past),
        4 => (0..5u64).prop_map(Time::Soon),
        4 => (0..40u64).prop_map(Time::Near),
        2 => Just(Time::Next),
    ]
}

/// Times to come to. Most are small, since after a great one every deadline is past.
fn now() -> impl Strategy<Value = Time> {
    prop_oneof![
        40 => (0..30u32, 0..3u64)
            .prop_map(|(bit, offset)| Time::Border { bit, offset, absolute: false }),
        20 => Just(Time::Next),
        10 => (0..5u64).prop_map(Time::Soon),
        5 => (0..1_000_000u64).prop_map(Time::Past),
        1 => time(),
    ]
}

fn operation() -> impl Strategy<Value = Operation> {
    let any_timer = any::<prop::sample::Index>;
    let limit = prop_oneof![3 => 0..4usize, 2 => 4..40usize, 1 => Just(usize::MAX)];
    prop_oneof![
        40 => time().prop_map(Operation::Insert),
        15 => any_timer().prop_map(Operation::Remove),
        15 => (any_timer(), time(), any::<bool>())
            .prop_map(|(timer, time, waker)| Operation::Rearm(timer, time, waker)),
        5 => (any_timer(), any::<bool>())
            .prop_map(|(timer, same)| Operation::SetWaker(timer, same)),
        30 => (now(), limit).prop_map(|(now, limit)| Operation::Expire(now, limit)),
        1 => Just(Operation::Clear),
    ]
}

struct Timer {
    key: Key,
    waker: Waker,
    /// Its place in `Model::armed`, while it is armed.
    place: Option<(u64, u64)>,
}

#[derive(Default)]
struct Model {
    wheel: Wheel,
    timers: Vec<Timer>,
    /// From (when it counts as due, how many were armed before it) to its waker and deadline.
    armed: BTreeMap<(u64, u64), (Waker, u64)>,
    arms: u64,
    /// The latest time that `expire` was told.
    now: u64,
    fired: u64,
    cancelled: u64,
    /// Whether `next_deadline` may be early: something was taken out of a slot, or work is left.
    inexact: bool,
}

impl Model {
    fn time(&self, time: &Time) -> u64 {
        match *time {
            Time::Exactly(time) => time,
            Time::Border { bit, offset, absolute } => {
                let distance = (1 << bit) - 1 + offset;
                let origin = if absolute { 0 } else { self.now };
                origin.saturating_add(distance)
            }
            Time::Past(distance) => self.now.saturating_sub(distance),
            Time::Soon(distance) => self.now.saturating_add(distance),
            Time::Near(distance) => (self.now | 0xF_FFFF).saturating_add(0x40_0000 + distance * 1000),
            Time::Next => self.wheel.next_deadline().unwrap_or(self.now),
        }
    }

    fn waker() -> Waker {
        Waker::from(Arc::new(Nobody))
    }

    fn arm(&mut self, deadline: u64, waker: &Waker) -> (u64, u64) {
        let place = (deadline.max(self.wheel.elapsed()), self.arms);
        self.arms += 1;
        self.armed.insert(place, (waker.clone(), deadline));
        place
    }

    fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Insert(time) => {
                let deadline = self.time(time);
                let waker = Model::waker();
                let place = Some(self.arm(deadline, &waker));
                let key = self.wheel.insert(deadline, waker.clone());
                self.timers.push(Timer { key, waker, place });
            }
            Operation::Expire(time, limit) => self.expire(self.time(time), *limit),
            Operation::Clear => {
                let mut ready = Vec::new();
                self.wheel.clear(&mut ready);
                assert_eq!(ready.len(), self.armed.len());
                let fired = std::mem::take(&mut self.armed);
                for (waker, _) in fired.values() {
                    assert!(ready.iter().any(|other| other.will_wake(waker)));
                }
                self.fired += ready.len() as u64;
                self.inexact = false;
            }
            _ if self.timers.is_empty() => {}
            Operation::Remove(timer) => {
                let timer = self.timers.swap_remove(timer.index(self.timers.len()));
                let is_armed = timer.place.is_some_and(|place| self.armed.remove(&place).is_some());
                let waker = self.wheel.remove(timer.key);
                assert_eq!(waker.is_some(), is_armed);
                if let Some(waker) = waker {
                    assert!(waker.will_wake(&timer.waker));
                    self.cancelled += 1;
                    self.inexact = true;
                }
            }
            Operation::Rearm(timer, time, with_waker) => {
                let deadline = self.time(time);
                let number = timer.index(self.timers.len());
                let timer = &mut self.timers[number];
                let was_armed = timer.place.is_some_and(|place| self.armed.remove(&place).is_some());
                let new = with_waker.then(Model::waker);
                let replaced = self.wheel.rearm(&timer.key, deadline, new.clone());
                assert_eq!(replaced.is_some(), was_armed && *with_waker);
                if let Some(replaced) = replaced {
                    assert!(replaced.will_wake(&timer.waker));
                }
                if was_armed || *with_waker {
                    let waker = new.unwrap_or(timer.waker.clone());
                    timer.waker = waker.clone();
                    let place = self.arm(deadline, &waker);
                    self.timers[number].place = Some(place);
                }
                self.inexact |= was_armed;
            }
            Operation::SetWaker(timer, same) => {
                let number = timer.index(self.timers.len());
                let timer = &mut self.timers[number];
                let new = if *same { timer.waker.clone() } else { Model::waker() };
                let armed = timer.place.and_then(|place| self.armed.get_mut(&place));
                let replaced = self.wheel.set_waker(&timer.key, new.clone());
                match self.wheel.will_wake(&timer.key, &new) {
                    Err(Fired) => assert!(armed.is_none() && replaced.will_wake(&new)),
                    Ok(will_wake) => {
                        assert!(will_wake && replaced.will_wake(&timer.waker));
                        armed.expect("armed in the model too").0 = new.clone();
                        timer.waker = new;
                    }
                }
            }
        }
        self.compare();
    }

    fn expire(&mut self, now: u64, limit: usize) {
        let mut ready = Vec::new();
        let work = |wheel: &Wheel| wheel.fired_total() + wheel.moved_total();
        let before = work(&self.wheel);
        let more = self.wheel.expire(now, limit, &mut ready);
        self.now = self.now.max(now);
        self.fired += ready.len() as u64;

        let done = work(&self.wheel) - before;
        assert!(done <= limit.max(1) as u64, "{done} touched, {limit} allowed");
        assert!(!more || done == limit.max(1) as u64, "stopped before its limit");
        for waker in ready {
            let ((due, _), (expected, deadline)) = self.armed.pop_first().expect("armed");
            assert!(waker.will_wake(&expected), "out of order");
            assert!(due <= self.now && deadline <= self.now, "early");
        }
        if !more {
            // What was due up to this call's `now` has fired. `NEVER` is not due at any time.
            let due = now.max(self.wheel.elapsed()).min(NEVER - 1);
            let first = self.armed.first_key_value().map(|((due, _), _)| *due);
            assert!(first.is_none_or(|first| first > due), "left behind");
            assert_eq!(self.wheel.elapsed(), due);
        }
        self.inexact = more || (self.inexact && !self.armed.is_empty());
    }

    fn compare(&self) {
        self.wheel.check();
        assert!(self.wheel.elapsed() <= self.now);
        assert_eq!(self.wheel.len(), self.armed.len());
        assert_eq!(self.wheel.is_empty(), self.armed.is_empty());
        assert_eq!(self.wheel.armed_total(), self.armed.len() as u64 + self.fired + self.cancelled);
        assert_eq!(self.wheel.fired_total(), self.fired);
        assert_eq!(self.wheel.cancelled_total(), self.cancelled);

        let finite = self.armed.values().map(|(_, deadline)| *deadline);
        let earliest = finite.filter(|&deadline| deadline != NEVER).min();
        let next = self.wheel.next_deadline();
        assert_eq!(next.is_some(), earliest.is_some());
        assert!(next <= earliest, "{next:?} is later than {earliest:?}");
        assert!(self.inexact || next == earliest, "{next:?} is not {earliest:?}");

        for timer in &self.timers {
            let armed = timer.place.and_then(|place| self.armed.get(&place));
            assert_eq!(self.wheel.is_armed(&timer.key), armed.is_some());
        }
    }

    /// The wheel comes to its end: everything fires but `NEVER`, and the memory goes.
    fn finish(mut self) {
        for _ in 0..1000 {
            self.expire(NEVER, 7);
        }
        self.compare();
        assert!(self.armed.values().all(|(_, deadline)| *deadline == NEVER));
        assert!(self.wheel.levels_made() <= 11);
        for timer in self.timers {
            let is_armed = timer.place.is_some_and(|place| self.armed.contains_key(&place));
            assert_eq!(self.wheel.remove(timer.key).is_some(), is_armed);
        }
        assert!(self.wheel.is_empty());
        assert!(self.wheel.nodes_allocated() <= 64);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(if cfg!(debug_assertions) { 400 } else { 4000 })
    })]

    #[test]
    fn the_wheel_does_what_a_sorted_map_does(
        operations in prop::collection::vec(operation(), 1..200),
    ) {
        let mut model = Model::default();
        for operation in &operations {
            model.apply(operation);
        }
        model.finish();
    }
}
