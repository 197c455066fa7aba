//! A share of a runtime's timers: a wheel under a lock, and its earliest deadline for all to read.
//!
//! Each worker has a shard, and a few more are for threads that are no workers. Any thread may expire any shard: a
//! worker that is stuck holds up no timer.
//!
//! The lock (`lock.rs`: one read-modify-write) is held for a few list operations; `expire` is bounded. Wakers are cloned before it
//! is taken, and woken and dropped when it is free, because all of that may run user code.
//!
//! # A timer that is cancelled where it was armed
//!
//! It stays in the wheel for a moment: the worker keeps its key, and the next timer that is armed there takes it over, place, waker and
//! all. In a loop that gives each of its steps a time limit that is the same task, in the same turn, so that arming and cancelling
//! costs one lock hold and neither clones nor drops a waker. One key is kept, until the next look at the clock, the next sleep, or the
//! next timer to be cancelled. If the timer's time comes before that, a task is woken for nothing, which it must expect anyway. In the
//! figures it counts as cancelled at once (`kept`).
//!
//! Left: to cancel without the lock for good, as Go does, by a mark that is found when the deadline comes. The wheel would hold a task's
//! memory for as long as its longest time limit, and wake an idle program to find nothing.

use crate::{clock::NEVER, core::discard, lock::Lock, task::contain};
use gambol_timer::{Fired, Key, Wheel};
use std::{
    panic::resume_unwind,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    task::Waker,
};

/// Timers that one lock hold moves or fires at most.
const BATCH: usize = 256;

/// See the head of this file.
#[repr(align(128))]
pub(crate) struct Shard {
    /// The slot of the core that it belongs to.
    pub(crate) core: u16,
    /// The earliest deadline in `timers`, or an earlier one; NEVER if there is none. Written under the lock.
    next: AtomicU64,
    /// The worker keeps a timer that was cancelled. Set by the worker, taken back under the lock when that is taken over or out.
    kept: AtomicBool,
    timers: Lock<Timers>,
}

struct Timers {
    wheel: Wheel,
    /// The runtime is gone: nothing will expire here.
    closed: bool,
    /// How often a timer took over the place of one that was cancelled but still hung in the wheel. The wheel has not seen the one
    /// end and the other begin.
    taken_over: u64,
    /// The totals when this runtime began; the wheel has served others before.
    before: Totals,
}

/// Timers armed, fired, cancelled.
type Totals = (u64, u64, u64);

/// What has become of a timer that was asked for.
pub(crate) enum Renewed {
    /// It stands in the shard.
    Pending(Key),
    /// It has fired, and is gone from the shard. True: the shard has come to its deadline; otherwise it was closed meanwhile, and may
    /// have fired early.
    Fired { due: bool },
}

/// What has become of a timer that was given another deadline.
pub(crate) enum Rearmed {
    /// It stands in the shard. True: it is now the shard's earliest.
    Pending { earliest: bool },
    /// It had fired.
    Fired,
}

impl Shard {
    pub(crate) fn new(core: u16) -> Shard {
        let timers = Timers { wheel: Wheel::new(), closed: false, taken_over: 0, before: (0, 0, 0) };
        Shard { core, next: AtomicU64::new(NEVER), kept: AtomicBool::new(false), timers: Lock::new(timers) }
    }

    /// The earliest deadline or an earlier moment; NEVER if there is none.
    #[inline]
    pub(crate) fn next(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    /// Arms a timer; none if the shard is closed. The second figure: it is now the earliest.
    pub(crate) fn insert(&self, deadline: u64, waker: Waker) -> Option<(Key, bool)> {
        self.timers
            .with(|timers| {
                if timers.closed {
                    // Dropped when the lock is free.
                    return Err(waker);
                }
                let key = timers.wheel.insert(deadline, waker);
                Ok((key, self.lower(deadline)))
            })
            .ok()
    }

    /// Arms a timer in the place of one that was cancelled but not taken out. It is taken out, and the result is None, if that one
    /// wakes another task, has fired, or the shard is closed.
    pub(crate) fn take_over(&self, cancelled: Key, deadline: u64, waker: &Waker) -> Option<(Key, bool)> {
        let result = self.timers.with(|timers| {
            self.kept.store(false, Ordering::Relaxed);
            if timers.closed || timers.wheel.will_wake(&cancelled, waker) != Ok(true) {
                return Err(self.take_out(timers, cancelled));
            }
            timers.wheel.rearm(&cancelled, deadline, None);
            timers.taken_over += 1;
            // The one that was cancelled may have been the earliest. If it was the only one, nobody wakes for it.
            let alone = timers.wheel.len() == 1;
            if alone {
                self.next.store(deadline, Ordering::Relaxed);
            }
            Ok((cancelled, alone || self.lower(deadline)))
        });
        // The other task's waker is dropped when the lock is free, and a panic of its is not for the task that arms.
        result.map_err(discard).ok()
    }

    /// Looks at a timer again: keeps its waker current. If it has fired, takes it out.
    pub(crate) fn renew(&self, key: Key, deadline: u64, waker: &Waker) -> Renewed {
        let result = self.timers.with(|timers| match timers.wheel.will_wake(&key, waker) {
            Ok(true) => Ok(Renewed::Pending(key)),
            Ok(false) => Err(key),
            Err(Fired) => Ok(timers.take_fired(key, deadline)),
        });
        result.unwrap_or_else(|key| self.replace(key, deadline, waker))
    }

    /// The timer is to wake another task than before.
    #[cold]
    fn replace(&self, key: Key, deadline: u64, waker: &Waker) -> Renewed {
        let waker = match contain(|| waker.clone()) {
            Ok(waker) => waker,
            Err(payload) => {
                // Nobody would have its key.
                discard(self.remove(key));
                resume_unwind(payload);
            }
        };
        let (renewed, unneeded) = self.timers.with(|timers| {
            let unneeded = timers.wheel.set_waker(&key, waker);
            // It may have fired since it was looked at, and woken whom it knew.
            let pending = timers.wheel.is_armed(&key);
            (if pending { Renewed::Pending(key) } else { timers.take_fired(key, deadline) }, unneeded)
        });
        // The old waker, or the new one. The lock is free.
        discard(unneeded);
        renewed
    }

    /// Moves a timer that has not fired to another deadline.
    pub(crate) fn rearm(&self, key: &Key, deadline: u64) -> Rearmed {
        self.timers.with(|timers| {
            if !timers.wheel.is_armed(key) {
                return Rearmed::Fired;
            }
            timers.wheel.rearm(key, deadline, None);
            Rearmed::Pending { earliest: self.lower(deadline) }
        })
    }

    /// Takes a timer out. The waker that is returned has not fired.
    pub(crate) fn remove(&self, key: Key) -> Option<Waker> {
        self.timers.with(|timers| self.take_out(timers, key))
    }

    /// The worker keeps a timer that was cancelled.
    #[inline]
    pub(crate) fn keep(&self) {
        self.kept.store(true, Ordering::Relaxed);
    }

    /// As `remove` for the one that the worker has kept.
    pub(crate) fn remove_kept(&self, key: Key) -> Option<Waker> {
        self.timers.with(|timers| {
            self.kept.store(false, Ordering::Relaxed);
            self.take_out(timers, key)
        })
    }

    /// Appends the wakers of what is due. Returns whether more is.
    pub(crate) fn expire(&self, now: u64, ready: &mut Vec<Waker>) -> bool {
        self.timers.with(|timers| {
            let more = timers.wheel.expire(now, BATCH, ready);
            self.next.store(timers.wheel.next_deadline().unwrap_or(NEVER), Ordering::Relaxed);
            more
        })
    }

    /// Fires everything, for a runtime that goes; nothing more can be armed.
    pub(crate) fn close(&self, ready: &mut Vec<Waker>) {
        self.timers.with(|timers| {
            timers.closed = true;
            timers.wheel.clear(ready);
            self.next.store(NEVER, Ordering::Relaxed);
        });
    }

    /// The shard serves a new runtime.
    pub(crate) fn open(&self) {
        self.timers.with(|timers| {
            timers.closed = false;
            // Another clock may have been kept here.
            timers.wheel.restart();
            timers.before = timers.totals();
        });
    }

    /// Timers armed, fired and cancelled in this runtime.
    pub(crate) fn totals(&self) -> Totals {
        let (now, before, kept) =
            self.timers.with(|timers| (timers.totals(), timers.before, u64::from(self.kept.load(Ordering::Relaxed))));
        let (armed, fired, cancelled) = (now.0 - before.0, now.1 - before.1, now.2 - before.2);
        // The one that is kept may have fired.
        (armed, fired, (cancelled + kept).min(armed - fired))
    }

    /// Lowers `next`; the caller holds the lock.
    fn lower(&self, deadline: u64) -> bool {
        let earliest = deadline < self.next.load(Ordering::Relaxed);
        if earliest {
            self.next.store(deadline, Ordering::Relaxed);
        }
        earliest
    }

    /// Takes a timer out; the caller holds the lock.
    fn take_out(&self, timers: &mut Timers, key: Key) -> Option<Waker> {
        let waker = timers.wheel.remove(key);
        if timers.wheel.is_empty() {
            self.next.store(NEVER, Ordering::Relaxed);
        }
        waker
    }
}

impl Timers {
    fn totals(&self) -> Totals {
        let (armed, cancelled) = (self.wheel.armed_total(), self.wheel.cancelled_total());
        (armed + self.taken_over, self.wheel.fired_total(), cancelled + self.taken_over)
    }

    /// Takes a timer out that has fired.
    fn take_fired(&mut self, key: Key, deadline: u64) -> Renewed {
        let due = self.wheel.elapsed() >= deadline;
        // Its waker was handed out.
        let _none = self.wheel.remove(key);
        Renewed::Fired { due }
    }
}

#[cfg(all(test, not(gambol_loom)))]
mod tests {
    use super::*;
    use std::{sync::Arc, task::Wake};

    struct Nobody;

    impl Wake for Nobody {
        fn wake(self: Arc<Self>) {}
    }

    #[test]
    fn nobody_wakes_for_a_timer_whose_place_was_taken_over() {
        let waker = Waker::from(Arc::new(Nobody));
        let shard = Shard::new(0);
        let (key, _) = shard.insert(1_000, waker.clone()).unwrap();
        let (key, _) = shard.take_over(key, 1_000_000, &waker).unwrap();
        assert_eq!(shard.next(), 1_000_000);
        // Beside another it is not asked which of the two was the earliest.
        let (other, _) = shard.insert(2_000, waker.clone()).unwrap();
        let (key, earliest) = shard.take_over(key, 3_000, &waker).unwrap();
        assert!(!earliest && shard.next() == 2_000);
        assert!(shard.remove(other).is_some() && shard.remove(key).is_some());
        assert_eq!(shard.next(), NEVER);
    }
}
