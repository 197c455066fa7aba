//! The monitor: a thread that looks at the workers from outside while any of them runs.
//!
//! Its duties: work that waits though workers sleep; workers that are missing because their tasks block; poller and
//! timers that nobody looks at because every running worker sits in a long poll. It samples what the workers publish
//! with plain stores; they pay nothing for it. What is found stuck is found here, in [`Monitor::sample`].
//!
//! ```text
//! a worker that leaves its sleep   1 comes off the list of the idle   2 fence   3 if nobody watches, starts the watch
//! the monitor, after a quiet look  1 watch off   2 fence   3 looks once more: somebody runs -> watch on
//! ```
//!
//! *The race*: a worker wakes while the monitor goes to sleep. By the two fences one of them sees the other. So an idle
//! program wakes nobody, and a running one is watched.
//!
//! To start the watch costs one futex call, at most once per period.

use crate::{
    attention::LOOK,
    clock::NEVER,
    core::{Core, OPEN},
    idle::{NOBODY, Owed, Parker},
    sync::fence,
};
use std::{
    io,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// See the head of this file.
pub(crate) struct Monitor {
    watch: Switch,
    stop: AtomicBool,
    parker: Parker,
    thread: Mutex<Thread>,
    /// Notified when the thread has ended.
    gone: Condvar,
}

#[derive(Default)]
struct Thread {
    alive: bool,
    /// None: there is no thread, or nobody will wait for it.
    handle: Option<thread::JoinHandle<()>>,
}

/// Whether the monitor watches: the protocol in the head of this file.
pub(crate) struct Switch(crate::sync::AtomicBool);

impl Switch {
    pub(crate) fn new() -> Switch {
        Switch(crate::sync::AtomicBool::new(false))
    }

    /// Turns it on after something began to run. True: the monitor must be woken.
    #[inline]
    #[must_use]
    pub(crate) fn on(&self) -> bool {
        fence(Ordering::SeqCst);
        !self.0.load(Ordering::Relaxed) && !self.0.swap(true, Ordering::AcqRel)
    }

    /// Turns it off, unless `busy` sees that something runs.
    pub(crate) fn off(&self, busy: impl FnOnce() -> bool) {
        self.0.store(false, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if busy() {
            // Perhaps somebody has turned it on meanwhile; then the monitor's next sleep ends at once.
            self.0.store(true, Ordering::Relaxed);
        }
    }

    fn is_on(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// What the monitor remembers of a worker between two looks.
#[derive(Clone, Copy, Default)]
struct Sample {
    tick: u32,
}

impl Monitor {
    pub(crate) fn new() -> Monitor {
        Monitor {
            watch: Switch::new(),
            stop: AtomicBool::new(false),
            parker: Parker::new(),
            thread: Mutex::default(),
            gone: Condvar::new(),
        }
    }

    pub(crate) fn start(&self, core: &'static Core) -> io::Result<()> {
        self.stop.store(false, Ordering::Relaxed);
        core.lease();
        let name = format!("{}-mon", core.config().name);
        // Held until the thread is noted, so that it does not end before that.
        let mut thread = self.thread();
        match thread::Builder::new().name(name).spawn(move || {
            core.monitor.run(core);
            core.monitor.thread().alive = false;
            core.monitor.gone.notify_all();
            core.release();
        }) {
            Ok(handle) => {
                *thread = Thread { alive: true, handle: Some(handle) };
                Ok(())
            }
            Err(error) => {
                core.release();
                Err(error)
            }
        }
    }

    /// Something runs from now on: sees to it that it is watched.
    #[inline]
    pub(crate) fn watch(&self) {
        if self.watch.on() {
            self.wake();
        }
    }

    #[cold]
    fn wake(&self) {
        let owed = self.parker.unpark();
        debug_assert_eq!(owed, Owed::Nothing, "the monitor never sleeps in the poller");
    }

    /// Ends the thread.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.wake();
    }

    /// Nobody will wait for the end of the thread.
    pub(crate) fn detach(&self) {
        drop(self.thread().handle.take());
    }

    /// Waits for the end of the thread, which was told to stop. False: it has not ended by `until`, because a waker that it
    /// calls does not return; it is left behind.
    pub(crate) fn join(&self, until: Instant) -> bool {
        let mut thread = self.thread();
        let handle = thread.handle.take();
        while thread.alive {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            thread = self.gone.wait_timeout(thread, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(thread);
        if let Some(handle) = handle {
            let _ = handle.join();
        }
        true
    }

    fn thread(&self) -> MutexGuard<'_, Thread> {
        self.thread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, core: &'static Core) {
        self.parker.adopt();
        crate::context::set_thread_of(core);
        if core.stage.is_on() {
            return core.stage.tend(core, &self.stop);
        }
        let threshold = core.config().stall_threshold;
        let period = if threshold == Duration::MAX { Duration::from_millis(10) } else { threshold / 4 };
        let period = period.max(Duration::from_micros(100));
        let mut samples = Vec::new();
        while !self.stop.load(Ordering::Acquire) {
            if !self.watch.is_on() {
                self.parker.park(None);
                continue;
            }
            let until = Instant::now() + period;
            while !self.stop.load(Ordering::Acquire) {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                self.parker.park(Some(left));
            }
            let quiet = self.sample(core, period, &mut samples);
            if quiet {
                self.watch.off(|| !core.is_quiet());
            }
        }
    }

    /// One look. True: everybody sleeps, and there is nothing to watch.
    fn sample(&self, core: &'static Core, period: Duration, samples: &mut Vec<Sample>) -> bool {
        if core.phase() != OPEN {
            return false;
        }
        let now = core.clock.now();
        core.keep_coarse(now);
        core.pool.retry(core);
        if core.is_quiet() {
            samples.clear();
            return true;
        }
        let workers = core.table.len();
        samples.resize(workers, Sample::default());
        let mut waiting = !core.injector.is_empty();
        for (worker, sample) in core.table.workers().zip(samples.iter_mut()) {
            let tick = worker.pulse.tick.load(Ordering::Relaxed);
            let held_up = tick == sample.tick;
            sample.tick = tick;
            if (held_up || worker.pulse.blocked.load(Ordering::Relaxed))
                && (worker.ring.len() > 0 || !worker.slot.is_empty())
            {
                // It has sat in one poll for a whole period with others behind it.
                worker.pulse.wants_help.store(true, Ordering::Relaxed);
                waiting = true;
            }
        }
        let parked = core.idle.counts().0;
        if waiting && parked > 0 {
            core.wake_one();
        } else if core.is_deserted() {
            core.attend_ground();
        } else if core.table.is_short() && parked == 0 {
            // At the cap, or no thread to be had: the next look tries again.
            if core.table.hire(core).is_err() && core.table.active() == 0 {
                core.table.call_waiter(core);
            }
        }
        self.attend(core, now, period);
        false
    }

    /// Sees to it that somebody looks at poller and timers: first it asks the running workers; if that has not helped by the
    /// next look, it does so itself.
    fn attend(&self, core: &'static Core, now: u64, period: Duration) {
        let period = period.as_nanos() as u64;
        let overdue = core.earliest().saturating_add(period / 2) < now && core.earliest() != NEVER;
        let unseen = core.seat.deadline() == NOBODY && now.saturating_sub(core.driver.looked()) > period;
        let unattended = core.driver.has_poller() && unseen;
        if !overdue && !unattended {
            return;
        }
        core.table.workers().for_each(|worker| worker.attention.raise(LOOK));
        if let Some(sleeper) = core.idle.any() {
            // It takes the seat when it lies down again, and looks at all timers before.
            return core.unpark(sleeper);
        }
        let late = now.saturating_sub(core.driver.looked()) > 2 * period;
        if !overdue && !late {
            return;
        }
        let mut ready = Vec::new();
        core.expire_all(now, &mut ready);
        if unattended && let Some(mut wait) = core.driver.try_wait() {
            wait.wait(Some(Duration::ZERO), &mut ready);
            drop(wait);
            core.driver.keep_looked(now);
        }
        let _inside = crate::context::enter_foreign(core);
        core.wake_all(ready);
    }
}

impl Core {
    /// Nothing runs, and nothing waits to be run.
    fn is_quiet(&self) -> bool {
        let (parked, searching) = self.idle.counts();
        parked == self.table.active()
            && parked > 0
            && self.seat.deadline() != NOBODY
            && searching == 0
            && !self.has_waiting()
            && !self.pool.wants_thread()
    }
}

#[cfg(all(test, gambol_loom))]
mod models {
    use super::Switch;
    use crate::{
        idle::{Owed, Parker, models::explore},
        sync::{AtomicBool, Ordering},
    };
    use std::sync::Arc;

    /// Hunted: the worker has begun to run and sees the watch on, while the monitor has looked before and turns it off. Then
    /// the monitor sleeps though something runs.
    #[test]
    fn a_busy_worker_is_watched() {
        explore(4, || {
            let shared = Arc::new((Switch::new(), Parker::new(), AtomicBool::new(false)));
            assert!(shared.0.on());
            let worker = {
                let shared = shared.clone();
                move || {
                    shared.2.store(true, Ordering::Relaxed);
                    if shared.0.on() {
                        assert_eq!(shared.1.unpark(), Owed::Nothing);
                    }
                }
            };
            // `Monitor::run`, until it watches the worker.
            let monitor = move || {
                let (watch, parker, runs) = &*shared;
                let runs = || runs.load(Ordering::Relaxed);
                parker.adopt();
                loop {
                    if !watch.is_on() {
                        parker.park(None);
                    } else if runs() {
                        break;
                    } else {
                        watch.off(runs);
                    }
                }
            };
            (vec![Box::new(worker), Box::new(monitor)], Box::new(|| {}))
        });
    }
}
