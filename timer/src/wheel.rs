//! The wheel: arming, cancelling, and the passage of time.
//!
//! It is the hierarchical timing wheel of Varghese and Lauck (1987) with levels 64 times as coarse
//! as the one below, down to one nanosecond, so that a deadline is kept exactly and is never
//! rounded to a tick. `slots` says how the levels are laid out and why the earliest timer is found
//! at once.
//!
//! # How time passes
//!
//! `elapsed` is how far the wheel has come. It never passes the highest `now` that `expire` was
//! given, and it lags behind that while work remains. `expire(now)` repeats two steps until the
//! wheel has come to `now` or the limit is spent:
//! 1. Drain the list `FRONT`: a timer with `deadline <= elapsed` fires, any other goes to the slot
//!    that it now belongs to.
//! 2. Advance: let `t` be the earliest deadline or `now`, whichever is earlier. Set `elapsed` to
//!    `t` and move everything in the one slot to which `t` belongs to `FRONT`, by changing four
//!    links.
//!
//! Each timer that step 1 looks at counts against the limit. Step 2 costs the same whatever the
//! slot holds, and it fills `FRONT` or reaches `now`, so a call does it at most `limit + 1` times.
//! A million timers due at once, or a million that share a slot which time has come to, are thus
//! spread over as many calls as the caller likes, between which it may release its lock.
//!
//! A timer that is alone in its slot, at whatever level, fires out of `FRONT` without being moved
//! if nobody calls between the beginning of its slot and its deadline, because `elapsed` goes
//! straight to that deadline. Otherwise, and in company, it moves at most once for each level, as
//! each move takes it to a lower one. One that is cancelled before time comes to its slot never
//! moves.
//!
//! Advancing to `now` when nothing is due costs a comparison. Without it, a program that only arms
//! and cancels would end up with all its timers in a slot as wide as the time since it began.
//!
//! # The invariant
//!
//! With "the levels" for all lists except `FRONT` and `NEVER`:
//! - (a) A timer in the levels has `deadline > elapsed` and hangs in the slot that
//!   `List::of(deadline, elapsed)` names.
//! - (b) A slot's minimum is not later than any deadline in it, and lies in the slot's range.
//! - (c) A timer in `FRONT` has `deadline <= front_end`. While `FRONT` is empty, `front_end ==
//!   elapsed`.
//! - (d) While `FRONT` is not empty, `elapsed` stands still and whatever is armed with `deadline <=
//!   front_end` goes to the end of `FRONT`.
//! - (e) While `FRONT` is not empty, its minimum is not later than any deadline: it came from the
//!   first occupied slot, it is only ever lowered, and what has been hung into the levels since
//!   comes from that slot or is later than `front_end`.
//!
//! Why step 2 keeps (a). It runs when `FRONT` is empty, so by (a) and (b) no timer is earlier than
//! `t`, and `t > elapsed`. Let `h` be the highest digit in which `t` differs from `elapsed`. A
//! timer above level `h` differs from `elapsed` in a digit that does not change, so it stays. A
//! timer below level `h` would agree with `elapsed` in digit `h`, where `t` is greater, and so be
//! earlier than `t`: there is none. At level `h` itself, slots before that of `t` are earlier than
//! `t` and empty; slots after it still differ in digit `h`, so they stay. What is left is the slot
//! of `t`, and that is the one that is moved. If `t` is `now`, that slot may be empty; if `t` is a
//! minimum, it is the slot of that minimum, by (b). The minimum may be that of a timer since
//! cancelled. Then nothing fires, and the slot's timers get new places with exact minima.
//!
//! # The order
//!
//! A timer counts as due at its deadline, or at `elapsed` as it was when the timer was armed, if
//! that is later. Timers fire in that order, and those equal in it in the order in which they were
//! armed (a `rearm` arms anew). This holds without exception: timers with equal deadlines are in
//! the same list at all times by (a) and (d), lists are filled at the end and drained from the
//! start, and nothing in the levels fires before `FRONT` is empty.
//!
//! # What was left
//!
//! A heap: cancelling costs a search or a back pointer and O(log n) either way. A wheel of
//! one-millisecond ticks: a sleep of 50 µs becomes one of a millisecond. Leaving a timer in place
//! when it is rearmed to a later deadline: that saves a relink, and wakes an idle program for
//! nothing.

use crate::arena::Arena;
use crate::key::{Fired, Key};
use crate::slots::{List, Slots};
use std::fmt;
use std::mem;
use std::task::Waker;

/// The deadline that never comes.
const NEVER: u64 = u64::MAX;

/// Holds timers, each a deadline and a waker, and hands out the wakers in the order of their
/// deadlines.
///
/// Deadlines are nanoseconds since an origin of the caller's choice. `u64::MAX` is never: such a
/// timer is kept until it is removed, rearmed or cleared.
///
/// A timer is **armed** until `expire` or `clear` hands out its waker; from then on it has
/// **fired**. Either way it stays in the wheel until its [`Key`] is given to
/// [`remove`](Wheel::remove).
///
/// An unused wheel is some 400 bytes and has allocated nothing. A timer takes 32 bytes, in chunks
/// of 64 timers; chunks that no timer uses are freed, except one. Besides, the levels that have
/// been in use take 1 KiB each, 11 KiB in all at most.
pub struct Wheel {
    arena: Arena,
    slots: Slots,
    /// How far the wheel has come. Below `NEVER`.
    elapsed: u64,
    /// The last deadline that belongs to the list `FRONT`. From `elapsed` up, and below `NEVER`.
    front_end: u64,
    armed_total: u64,
    fired_total: u64,
    cancelled_total: u64,
    moved_total: u64,
}

impl Wheel {
    /// A wheel without timers, at time 0. Allocates nothing.
    pub const fn new() -> Wheel {
        Wheel {
            arena: Arena::new(),
            slots: Slots::new(),
            elapsed: 0,
            front_end: 0,
            armed_total: 0,
            fired_total: 0,
            cancelled_total: 0,
            moved_total: 0,
        }
    }

    /// Arms a timer. One whose deadline has passed fires at the next `expire`.
    ///
    /// Constant time: it writes to the timer, to one neighbour and to the head of one list. It
    /// allocates when a chunk of 64 timers has to be added and at the first use of a level.
    ///
    /// # Panics
    ///
    /// Above 2^31 timers (64 GiB).
    #[inline]
    pub fn insert(&mut self, deadline: u64, waker: Waker) -> Key {
        let index = self.arena.take(deadline, waker);
        self.armed_total += 1;
        self.hang(index, deadline);
        Key::new(index)
    }

    /// Ends a timer, armed or fired. If it was armed, its waker comes back, to be dropped after the
    /// caller has released its lock.
    ///
    /// Constant time: it touches the timer and its two neighbours. Freeing a chunk's memory is
    /// constant on average.
    #[inline]
    pub fn remove(&mut self, key: Key) -> Option<Waker> {
        let index = key.index();
        if self.is_armed(&key) {
            self.unhang(index);
            self.cancelled_total += 1;
        }
        self.arena.give_back(index)
    }

    /// Whether the timer has not fired yet.
    #[inline]
    pub fn is_armed(&self, key: &Key) -> bool {
        self.arena.node(key.index()).waker.is_some()
    }

    /// Gives a timer another deadline and, if `waker` is given, another waker. The waker that was
    /// replaced comes back.
    ///
    /// A timer that has fired is armed again if `waker` is given. Without one there is nobody to
    /// wake: it stays fired, and nothing changes.
    ///
    /// Constant time, allocates nothing (except a level of 1 KiB, at its first use). The timer
    /// keeps its key.
    pub fn rearm(&mut self, key: &Key, deadline: u64, waker: Option<Waker>) -> Option<Waker> {
        let index = key.index();
        let node = self.arena.node_mut(index);
        let (was_armed, replaced) = match (&mut node.waker, waker) {
            (None, None) => return None,
            (Some(_), None) => (true, None),
            (old, Some(new)) => (old.is_some(), old.replace(new)),
        };
        node.deadline = deadline;
        if was_armed {
            self.unhang(index);
        } else {
            self.armed_total += 1;
        }
        self.hang(index, deadline);
        replaced
    }

    /// Whether the timer would wake the same task as `waker`.
    ///
    /// # Errors
    ///
    /// [`Fired`] if the timer is not armed.
    #[inline]
    pub fn will_wake(&self, key: &Key, waker: &Waker) -> Result<bool, Fired> {
        match &self.arena.node(key.index()).waker {
            Some(own) => Ok(own.will_wake(waker)),
            None => Err(Fired),
        }
    }

    /// Makes an armed timer wake `waker`. The waker that was replaced comes back; if the timer has fired, that is `waker`.
    pub fn set_waker(&mut self, key: &Key, waker: Waker) -> Waker {
        match &mut self.arena.node_mut(key.index()).waker {
            Some(own) => mem::replace(own, waker),
            None => waker,
        }
    }

    /// When `expire` has to be called next, as far as the wheel knows; `None` if no timer will ever
    /// fire.
    ///
    /// Never later than the earliest deadline, and equal to it except in two cases: while
    /// [`expire`](Wheel::expire) has work left, and when the earliest timer of a slot was removed
    /// or rearmed while others remain in that slot. Then it is a deadline that was true once.
    /// Calling `expire` at that time fires nothing, and gives the others of that slot finer slots
    /// and exact minima.
    ///
    /// Constant time: a few dependent loads.
    #[inline]
    pub fn next_deadline(&self) -> Option<u64> {
        self.slots.front_min().or_else(|| self.slots.min())
    }

    /// Lets time pass up to `now` and appends the wakers of the timers whose deadline is not later.
    /// True if work remains: the caller should call again, with its lock released in between.
    ///
    /// Work is bounded: a call fires and moves at most `limit` timers together, and does no more
    /// than `limit + 1` steps of constant time besides. A limit of 0 counts as 1, so that a loop
    /// ends. "Work remains" does not always mean that something is due: it may be that timers have
    /// to move from a coarse slot to finer ones, which is better done now than at their deadline.
    ///
    /// A waker is never handed out before its deadline, and always in the order of deadlines, equal
    /// ones in the order in which they were armed. A deadline that had passed already when the
    /// timer was armed counts as the time that the wheel had reached then
    /// ([`elapsed`](Wheel::elapsed)).
    ///
    /// A `now` earlier than that of a call before is taken as that of the wheel: time does not go
    /// back.
    pub fn expire(&mut self, now: u64, limit: usize, ready: &mut Vec<Waker>) -> bool {
        let now = now.min(NEVER - 1);
        let mut budget = limit.max(1);
        loop {
            while let Some(index) = self.slots.first(List::FRONT) {
                if budget == 0 {
                    return true;
                }
                budget -= 1;
                self.settle(index, ready);
            }
            if now <= self.elapsed {
                return false;
            }
            // The earliest deadline may be later than `now`, and its slot then stays where it is
            // unless `now` is in it.
            self.advance(self.slots.min().map_or(now, |min| min.min(now)));
        }
    }

    /// Fires every timer that is armed, those for never too, in no promised order and without a
    /// limit: for a runtime that shuts down. Keys remain valid.
    pub fn clear(&mut self, ready: &mut Vec<Waker>) {
        ready.reserve(self.len());
        for beside in [List::FRONT, List::NEVER] {
            self.fire_all(beside, ready);
        }
        while let Some(list) = self.slots.first_occupied() {
            self.fire_all(list, ready);
        }
    }

    /// Goes back to time 0, for a wheel that is to serve another clock. Keys of timers that have fired remain valid.
    ///
    /// # Panics
    ///
    /// When a timer is armed.
    pub fn restart(&mut self) {
        assert!(self.is_empty(), "a wheel goes back to time 0 only when no timer is armed; clear it first");
        // Nothing hangs in any list, so whatever the invariant says of timers holds.
        self.elapsed = 0;
        self.front_end = 0;
    }

    /// Timers that are armed.
    pub fn len(&self) -> usize {
        (self.armed_total - self.fired_total - self.cancelled_total) as usize
    }

    /// Whether no timer is armed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How far the wheel has come: the latest `now` that `expire` has worked up to. Earlier than
    /// the `now` of its last call if that left work.
    pub fn elapsed(&self) -> u64 {
        self.elapsed
    }

    /// How often a timer was armed: by `insert`, or by `rearm` after it had fired.
    pub fn armed_total(&self) -> u64 {
        self.armed_total
    }

    /// How many timers `expire` and `clear` have fired.
    pub fn fired_total(&self) -> u64 {
        self.fired_total
    }

    /// How many timers were removed while armed.
    pub fn cancelled_total(&self) -> u64 {
        self.cancelled_total
    }

    /// How often `expire` moved a timer to a finer slot.
    pub fn moved_total(&self) -> u64 {
        self.moved_total
    }

    /// Timers for which memory is allocated, in use or not: 64 for every chunk.
    pub fn nodes_allocated(&self) -> usize {
        self.arena.nodes_allocated()
    }

    /// Puts an armed timer into the list that it belongs to.
    #[inline]
    fn hang(&mut self, index: u32, deadline: u64) {
        let list = if deadline <= self.front_end {
            List::FRONT
        } else if deadline == NEVER {
            List::NEVER
        } else {
            List::of(deadline, self.elapsed)
        };
        self.slots.push_back(&mut self.arena, list, index, deadline);
    }

    /// Takes an armed timer out of its list.
    #[inline]
    fn unhang(&mut self, index: u32) {
        if self.slots.unlink(&mut self.arena, index) == Some(List::FRONT) {
            self.front_end = self.elapsed;
        }
    }

    /// Step 1, for one timer of `FRONT`: fires it, or puts it into its slot.
    #[inline]
    fn settle(&mut self, index: u32, ready: &mut Vec<Waker>) {
        self.unhang(index);
        let deadline = self.arena.node(index).deadline;
        if deadline <= self.elapsed {
            self.fire(index, ready);
        } else {
            self.moved_total += 1;
            let list = List::of(deadline, self.elapsed);
            self.slots.push_back(&mut self.arena, list, index, deadline);
        }
    }

    /// Hands out the waker of an armed timer that hangs in no list.
    #[inline]
    fn fire(&mut self, index: u32, ready: &mut Vec<Waker>) {
        self.fired_total += 1;
        ready.extend(self.arena.node_mut(index).waker.take());
    }

    fn fire_all(&mut self, list: List, ready: &mut Vec<Waker>) {
        while let Some(index) = self.slots.first(list) {
            self.unhang(index);
            self.fire(index, ready);
        }
    }

    /// Step 2. `time` is later than `elapsed`, no timer is earlier than `time`, and `FRONT` is
    /// empty.
    #[inline]
    fn advance(&mut self, time: u64) {
        let list = List::of(time, self.elapsed);
        self.elapsed = time;
        self.front_end = if self.slots.move_to_front(&mut self.arena, list) {
            list.last_deadline(time).min(NEVER - 1)
        } else {
            time
        };
    }
}

impl Default for Wheel {
    fn default() -> Wheel {
        Wheel::new()
    }
}

impl fmt::Debug for Wheel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wheel")
            .field("elapsed", &self.elapsed)
            .field("armed", &self.len())
            .field("next_deadline", &self.next_deadline())
            .field("armed_total", &self.armed_total)
            .field("fired_total", &self.fired_total)
            .field("cancelled_total", &self.cancelled_total)
            .field("moved_total", &self.moved_total)
            .field("nodes_allocated", &self.nodes_allocated())
            .finish()
    }
}

#[cfg(test)]
mod invariant;

#[cfg(test)]
mod model;
