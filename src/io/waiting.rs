//! Those who wait for a standard stream or a file.

use std::task::Waker;

/// Wakers, each task's once.
#[derive(Default)]
pub(crate) struct Waiting(Vec<Waker>);

impl Waiting {
    pub(crate) const fn new() -> Waiting {
        Waiting(Vec::new())
    }

    /// Adds a waker that was cloned before the lock around this was taken. One that is not needed is given back, to be
    /// dropped after the lock.
    #[must_use = "drop it when no lock is held"]
    pub(crate) fn enrol(&mut self, waker: Waker) -> Option<Waker> {
        if self.0.iter().any(|other| other.will_wake(&waker)) {
            return Some(waker);
        }
        self.0.push(waker);
        None
    }

    /// All of them, to be woken when no lock is held.
    #[must_use = "wake them when no lock is held"]
    pub(crate) fn take(&mut self) -> Woken {
        Woken(std::mem::take(&mut self.0))
    }
}

/// Wakers that are to be woken.
#[must_use = "wake them when no lock is held"]
pub(crate) struct Woken(Vec<Waker>);

impl Woken {
    pub(crate) fn wake(self) {
        self.0.into_iter().for_each(Waker::wake);
    }
}
