//! A share of a runtime's timers: a wheel under a lock, and its earliest deadline for all to read.
//!
//! Each worker has a shard, and a few more are for threads that are no workers. Any thread may expire any shard: a
//! worker that is stuck holds up no timer.
//!
//! The lock is held for a few list operations; `expire` is bounded. Wakers are woken and dropped when it is free, because
//! both may run user code. (Only a `Sleep` that is polled again by another task clones one while holding it.)

use crate::clock::NEVER;
use gambol_timer::{Key, Wheel};
use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
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
    timers: Mutex<Timers>,
}

struct Timers {
    wheel: Wheel,
    /// The runtime is gone: nothing will expire here.
    closed: bool,
    /// The wheel's totals when this runtime began; it has served others before.
    before: Totals,
}

/// Timers armed, fired, cancelled.
type Totals = (u64, u64, u64);

/// What became of a timer that was armed or asked for.
pub(crate) enum Armed {
    /// It stands in the shard. True: it is now the shard's earliest.
    Pending { earliest: bool },
    /// It has fired, early only if the shard was closed meanwhile.
    Fired,
}

impl Shard {
    pub(crate) fn new(core: u16) -> Shard {
        Shard {
            core,
            next: AtomicU64::new(NEVER),
            timers: Mutex::new(Timers { wheel: Wheel::new(), closed: false, before: (0, 0, 0) }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Timers> {
        self.timers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The earliest deadline or an earlier moment; NEVER if there is none.
    #[inline]
    pub(crate) fn next(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    /// Arms a timer; none if the shard is closed. The second figure: it is now the earliest.
    pub(crate) fn insert(&self, deadline: u64, waker: Waker) -> Option<(Key, bool)> {
        let mut timers = self.lock();
        if timers.closed {
            return None;
        }
        let key = timers.wheel.insert(deadline, waker);
        Some((key, self.lower(deadline)))
    }

    /// Looks at a timer again: keeps its waker current.
    pub(crate) fn renew(&self, key: &Key, waker: &Waker) -> Armed {
        let mut timers = self.lock();
        let old = timers.wheel.set_waker(key, waker);
        drop(timers);
        match old {
            Ok(_) => Armed::Pending { earliest: false },
            Err(_) => Armed::Fired,
        }
    }

    /// Moves a timer that has not fired to another deadline.
    pub(crate) fn rearm(&self, key: &Key, deadline: u64) -> Armed {
        let mut timers = self.lock();
        if !timers.wheel.is_armed(key) {
            return Armed::Fired;
        }
        let old = timers.wheel.rearm(key, deadline, None);
        let earliest = self.lower(deadline);
        drop(timers);
        drop(old);
        Armed::Pending { earliest }
    }

    /// Takes a timer out. The waker that is returned has not fired.
    pub(crate) fn remove(&self, key: Key) -> Option<Waker> {
        let mut timers = self.lock();
        let waker = timers.wheel.remove(key);
        if timers.wheel.is_empty() {
            self.next.store(NEVER, Ordering::Relaxed);
        }
        drop(timers);
        waker
    }

    /// Appends the wakers of what is due. Returns whether more is.
    pub(crate) fn expire(&self, now: u64, ready: &mut Vec<Waker>) -> bool {
        let mut timers = self.lock();
        let more = timers.wheel.expire(now, BATCH, ready);
        self.next.store(timers.wheel.next_deadline().unwrap_or(NEVER), Ordering::Relaxed);
        more
    }

    /// Fires everything, for a runtime that goes; nothing more can be armed.
    pub(crate) fn close(&self, ready: &mut Vec<Waker>) {
        let mut timers = self.lock();
        timers.closed = true;
        timers.wheel.clear(ready);
        self.next.store(NEVER, Ordering::Relaxed);
    }

    /// The shard serves a new runtime.
    pub(crate) fn open(&self) {
        let mut timers = self.lock();
        timers.closed = false;
        // Another clock may have been kept here.
        timers.wheel.restart();
        timers.before = timers.totals();
    }

    /// Timers armed, fired and cancelled in this runtime.
    pub(crate) fn totals(&self) -> Totals {
        let timers = self.lock();
        let (now, before) = (timers.totals(), timers.before);
        (now.0 - before.0, now.1 - before.1, now.2 - before.2)
    }

    /// Lowers `next`; the caller holds the lock.
    fn lower(&self, deadline: u64) -> bool {
        let earliest = deadline < self.next.load(Ordering::Relaxed);
        if earliest {
            self.next.store(deadline, Ordering::Relaxed);
        }
        earliest
    }
}

impl Timers {
    fn totals(&self) -> Totals {
        (self.wheel.armed_total(), self.wheel.fired_total(), self.wheel.cancelled_total())
    }
}
