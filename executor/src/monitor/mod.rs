//! The monitor: a thread that looks at the workers from outside while any of them runs.
//!
//! Its duties: work that waits though workers sleep; workers that sit in one poll while others wait for them; poller and timers
//! that nobody looks at. It samples what the workers publish with plain stores; they pay nothing for it.
//!
//! # How often it looks
//!
//! Every quarter of the threshold. A look is calm if nothing waits and each worker that runs has looked at its clock in that time, so
//! that no poll is long. After eight of these in a row the looks become rarer by half, after eight more once again: one per threshold. A
//! worker that gets stuck then is found three quarters of a threshold later at worst than otherwise. For a while after a stall they are
//! closer (`memory.rs`).
//!
//! A look costs 26 µs, most of which is the thread's wake and its sleep, and the rest a system call per running worker. To look 400
//! times a second, and to begin anew after each moment of quiet, took 2 to 4 % of the CPU time of an echo server with two workers; it
//! is 1 % now.
//!
//! # Where the rest is
//!
//! - `switch.rs`  when it watches, and when it sleeps: the protocol with those who begin to run and those who lie down
//! - `memory.rs`  who is stuck: what is remembered from one look to the next
//! - `look.rs`    a look, and what is done about what it finds
//! - `models.rs`  the protocol of `switch.rs` in every interleaving

mod look;
mod memory;
#[cfg(all(test, gambol_loom))]
mod models;
mod switch;

pub(crate) use switch::SHORT;

use crate::{
    alarm::Alarm,
    clock,
    core::Core,
    deadlock::{Discarding, Post, Watcher},
    idle::{Owed, Parker},
    ours,
    worker::table::exact_sleeps,
};
use memory::Memory;
use std::{
    io,
    sync::{
        self, Condvar, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use switch::Switch;

/// See the head of this file.
pub(crate) struct Monitor {
    watch: Switch,
    /// What the search for deadlocks shows of this thread.
    pub(crate) post: Post,
    stop: AtomicBool,
    parker: Parker,
    thread: sync::Mutex<Thread>,
    /// Notified when the thread has ended.
    gone: Condvar,
}

#[derive(Default)]
struct Thread {
    alive: bool,
    /// None: there is no thread, or nobody will wait for it.
    handle: Option<thread::JoinHandle<()>>,
}

impl Monitor {
    pub(crate) fn new() -> Monitor {
        Monitor {
            watch: Switch::new(),
            post: Post::default(),
            stop: AtomicBool::new(false),
            parker: Parker::new(),
            thread: sync::Mutex::default(),
            gone: Condvar::new(),
        }
    }

    pub(crate) fn start(&self, core: &'static Core) -> io::Result<()> {
        self.stop.store(false, Ordering::Relaxed);
        core.lease();
        let name = format!("{}-mon", core.config().name);
        // Held until the thread is noted, so that it does not end before that.
        let mut thread = self.thread();
        // Made here, so that no descriptor appears after the runtime was built.
        let alarm = if core.stage.is_on() { Alarm::None } else { Alarm::new() };
        match ours::spawn_thread(name, None, move || {
            core.monitor.run(core, alarm);
            let _discarding = Discarding::begin();
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
        if self.watch.on(clock::real_now) {
            self.wake();
        }
    }

    /// The calling worker lies down, and nothing is due before `deadline`, which may be NEVER: if nobody runs, the monitor need not look
    /// before.
    #[inline]
    pub(crate) fn put_off(&self, core: &Core, deadline: u64) {
        self.watch.put_off(deadline, clock::real_now, || !core.is_quiet());
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
        self.watch.ring();
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

    /// Whether there is a thread.
    pub(crate) fn is_alive(&self) -> bool {
        self.thread().alive
    }

    fn thread(&self) -> sync::MutexGuard<'_, Thread> {
        self.thread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // Never, once per thread: so that `gambol-benches instructions` can tell the thread from the others.
    #[inline(never)]
    fn run(&self, core: &'static Core, alarm: Alarm) {
        self.parker.adopt();
        exact_sleeps();
        crate::context::set_thread_of(core);
        if core.stage.is_on() {
            return core.stage.tend(core, &self.stop);
        }
        self.watch.hang(alarm.clone());
        let mut memory = Memory::new(core.config().stall_threshold);
        let mut watcher = Watcher::default();
        watcher.stir(core);
        while !self.stop.load(Ordering::Acquire) {
            if !self.watch.is_on() {
                watcher.sleep(core, |timeout| alarm.wait(timeout, &self.parker));
                if self.watch.begin(clock::real_now()) {
                    // Where everybody stands as it begins.
                    watcher.stir(core);
                    self.sample(core, &mut memory);
                    memory.keep_calm(false);
                }
                continue;
            }
            watcher.stir(core);
            let until = Instant::now() + Duration::from_nanos(memory.pause());
            while !self.stop.load(Ordering::Acquire) {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                self.parker.park(Some(left));
            }
            let quiet = self.sample(core, &mut memory);
            if quiet {
                self.watch.off(|| !core.is_quiet());
                if !self.watch.is_on() {
                    watcher.look(core);
                }
            }
        }
        self.watch.hang(Alarm::None);
    }
}
