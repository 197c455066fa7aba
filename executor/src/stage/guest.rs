//! A thread that acts on a stage without being one of its workers at that moment, as it is woken.

use crate::{
    core::Core,
    sync::{AtomicBool, AtomicU64, Ordering, thread},
};
use std::sync::{Arc, Mutex, PoisonError};

/// See the head of this file. A thread has one for its life.
pub(crate) struct Guest {
    thread: thread::Thread,
    /// It has a baton. Set by who gives it, cleared by the thread.
    granted: AtomicBool,
    /// The seed of its random choices; zero: it draws as ever. Written by who is about to give it the baton.
    random: AtomicU64,
    /// The stage that the thread visits, innermost. Written by the thread.
    place: Mutex<Option<&'static Core>>,
}

impl Guest {
    /// The calling thread's.
    pub(super) fn new() -> Guest {
        Guest {
            thread: thread::current(),
            granted: AtomicBool::new(false),
            random: AtomicU64::new(0),
            place: Mutex::new(None),
        }
    }

    /// The calling thread's; the same as long as somebody keeps it.
    #[cfg(not(gambol_loom))]
    pub(crate) fn current() -> Arc<Guest> {
        thread_local!(static GUEST: Arc<Guest> = Arc::new(Guest::new()));
        // While the thread ends nobody else knows of it any more.
        GUEST.try_with(Arc::clone).unwrap_or_else(|_| Arc::new(Guest::new()))
    }

    #[cfg(gambol_loom)]
    pub(crate) fn current() -> Arc<Guest> {
        Arc::new(Guest::new())
    }

    /// What the baton will bring. The caller holds the stage's lock, and the thread has not been told yet.
    pub(super) fn prepare(&self, random: Option<u64>) {
        // Relaxed: the thread reads it when it has seen `granted`.
        self.random.store(random.unwrap_or(0), Ordering::Relaxed);
    }

    /// Gives the thread the baton.
    pub(super) fn grant(&self) {
        // Release, with the Acquire in `wait`: it sees what was done before on the stage, and what `prepare` wrote.
        // A swap, though what was there is known: the model checker does not see that a store cannot come before a swap that has
        // not read it.
        self.granted.swap(true, Ordering::Release);
        self.thread.unpark();
    }

    /// Sleeps until it has the baton. The seed of its random choices; zero: it draws as ever.
    pub(super) fn wait(&self) -> u64 {
        // A token may be left over from somebody else on this thread.
        while !self.granted.swap(false, Ordering::Acquire) {
            thread::park();
        }
        self.random.load(Ordering::Relaxed)
    }

    /// Ends its sleep where it sleeps without a stage.
    pub(super) fn unpark(&self) {
        self.thread.unpark();
    }

    pub(super) fn enter(&self, core: Option<&'static Core>) -> Option<&'static Core> {
        std::mem::replace(&mut *self.place.lock().unwrap_or_else(PoisonError::into_inner), core)
    }

    fn place(&self) -> Option<&'static Core> {
        *self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One of the thread's own tasks was woken elsewhere. If the thread sleeps on a stage, it wants a baton.
    ///
    /// *The race*: the thread is just entering another stage. It says so in `place` before its last look at its tasks, and we
    /// look there after the task was queued: one of us sees the other.
    pub(crate) fn notify(self: &Arc<Self>) {
        if let Some(core) = self.place() {
            core.stage.notify(core, self);
        }
    }
}
