//! When the monitor watches, and when it sleeps.
//!
//! It looks at regular intervals while somebody runs, and sleeps while nobody does. Its sleep ends by an alarm (`alarm.rs`), which is set
//! by the workers: to 0.3 ms after one of them begins to run. `due` says when the monitor looks next: at once and
//! again and again (it watches), when the alarm rings, or never.
//!
//! ```text
//! a worker that leaves its sleep   1 comes off the list of the idle   2 fence   3 if the monitor looks much later than it would
//!                                    after an alarm that is set now, sets it
//! the monitor, after a quiet look  1 due never   2 fence   3 looks once more: somebody runs -> it watches on
//! who lies down                    1 due 0.3 ms after its deadline, or in 0.1 s if there is none   2 fence
//!                                    3 looks: somebody runs -> due as it was; nobody -> the alarm is set to that
//! ```
//!
//! *The races*: a worker wakes while the monitor goes to sleep, or while another puts the alarm off. By the fences one of the two sees
//! the other. `due` and the alarm are changed together, under a lock. So an idle program wakes nobody, and a running one is watched.
//!
//! A look is quiet if all sleep and have had less than two turns since the last one. To begin anew costs whoever wakes next a system
//! call before its first poll, and a look soon after; so who wakes more often than the monitor looks is watched on. (A plain thread that
//! woke a task every 0.5 ms: late by 68 µs in one of a hundred when the monitor began anew for most of them, and by 22 µs since.)
//!
//! Who lies down puts the alarm off so that a program that wakes for some microseconds every now and then has no monitor that wakes with
//! it: to tick every 20 ms took four context switches and 70 µs of CPU time, of which the monitor had 2 and 30. It is done by whoever
//! lies down last, so that nobody runs, if the monitor does not watch yet and its own last sleep was longer than [`SHORT`]: a server
//! with little time between requests would otherwise make a system call more for each. Without a deadline the monitor has its look
//! 0.1 s later: nothing may ever run again, and whether that is a deadlock is its to find out. (A plain thread that woke a task every
//! 3 ms woke the monitor 620 times a second when it looked at once, and seldom since.)
//!
//! Where there is no alarm the monitor is woken instead, and watches from then on.

use crate::{
    alarm::Alarm,
    clock::NEVER,
    sync::{AtomicU64, Mutex, MutexGuard, Ordering, fence},
};
use std::sync::PoisonError;

/// When the monitor looks next: the protocol in the head of this file.
pub(super) struct Switch {
    /// Nanoseconds on the real clock, WATCHES or NEVER. Written under the lock.
    pub(super) due: AtomicU64,
    /// Set to `due`, unless that is WATCHES or NEVER.
    alarm: Mutex<Alarm>,
}

/// `due`: the monitor looks at regular intervals.
pub(super) const WATCHES: u64 = 0;
/// Nanoseconds between the moment when somebody begins to run and the monitor's first look.
pub(super) const GRACE: u64 = 300_000;
/// Nanoseconds between the moment when the last one lies down, with nothing to wait for but others, and the monitor's look.
const LAST_LOOK: u64 = 100_000_000;
/// Nanoseconds. Who has slept less than that will often do so again, and leaves the alarm as it is.
pub(crate) const SHORT: u64 = 500_000;

impl Switch {
    pub(super) fn new() -> Switch {
        Switch { due: AtomicU64::new(NEVER), alarm: Mutex::new(Alarm::None) }
    }

    /// Sees to a look soon after something began to run. True: there is no alarm, the monitor must be woken. `now`: the real clock.
    #[inline]
    #[must_use]
    pub(super) fn on(&self, now: impl FnOnce() -> u64) -> bool {
        // Pairs with the fences in `off` and `put_off`.
        fence(Ordering::SeqCst);
        self.due.load(Ordering::Relaxed) != WATCHES && self.on_slow(now())
    }

    #[cold]
    fn on_slow(&self, now: u64) -> bool {
        let moment = now.saturating_add(GRACE);
        // A little later will do, and spares a system call.
        if self.due.load(Ordering::Relaxed) <= moment + GRACE {
            return false;
        }
        let mut alarm = self.lock();
        if self.due.load(Ordering::Relaxed) <= moment {
            return false;
        }
        self.due.store(moment, Ordering::Relaxed);
        alarm.set(moment);
        !alarm.exists()
    }

    /// The caller sleeps until `deadline`, on the real clock, and nobody runs, unless `busy` sees somebody: no look is needed before. If
    /// that is NEVER, there is a last look some time after `now`.
    pub(super) fn put_off(&self, deadline: u64, now: impl FnOnce() -> u64, busy: impl FnOnce() -> bool) {
        let due = self.due.load(Ordering::Relaxed);
        if due == WATCHES || due == NEVER {
            return;
        }
        let deadline = if deadline == NEVER { now().saturating_add(LAST_LOOK) } else { deadline };
        let moment = deadline.saturating_add(GRACE);
        if due >= moment {
            return;
        }
        let mut alarm = self.lock();
        let due = self.due.load(Ordering::Relaxed);
        if due == WATCHES || due >= moment || !alarm.exists() {
            return;
        }
        self.due.store(moment, Ordering::Relaxed);
        // Pairs with the fence in `on`.
        fence(Ordering::SeqCst);
        if busy() {
            self.due.store(due, Ordering::Relaxed);
        } else {
            alarm.set(moment);
        }
    }

    /// The monitor's sleep has ended. Begins to watch, if it is time. Whether it watches. `now`: the real clock.
    pub(super) fn begin(&self, now: u64) -> bool {
        let mut alarm = self.lock();
        let due = self.due.load(Ordering::Relaxed);
        if due == NEVER {
            return false;
        }
        if due > now && alarm.exists() {
            // It was put off; set once more, since it may have rung before that.
            alarm.set(due);
            return false;
        }
        self.due.store(WATCHES, Ordering::Relaxed);
        true
    }

    /// Ends the watch, unless `busy` sees that something runs.
    pub(super) fn off(&self, busy: impl FnOnce() -> bool) {
        let _alarm = self.lock();
        self.due.store(NEVER, Ordering::Relaxed);
        // Pairs with the fence in `on`.
        fence(Ordering::SeqCst);
        if busy() {
            self.due.store(WATCHES, Ordering::Relaxed);
        }
    }

    /// By the monitor: from now on this is the alarm.
    pub(super) fn hang(&self, new: Alarm) {
        let mut alarm = self.lock();
        *alarm = new;
        let due = self.due.load(Ordering::Relaxed);
        if due != WATCHES && due != NEVER {
            alarm.set(due);
        }
    }

    /// Ends the monitor's sleep.
    pub(super) fn ring(&self) {
        self.lock().set(0);
    }

    pub(super) fn is_on(&self) -> bool {
        self.due.load(Ordering::Relaxed) == WATCHES
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Alarm> {
        self.alarm.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
