//! Those who wait for a standard stream, a file, or the other end of a stream in memory.

use std::task::Waker;

/// Wakers, each task's once, in the order in which they came. Usually there is one, for which nothing is allocated.
#[derive(Default)]
pub(crate) struct Waiting {
    /// Occupied whenever anybody waits.
    first: Option<Waker>,
    rest: Vec<Waker>,
}

impl Waiting {
    pub(crate) const fn new() -> Waiting {
        Waiting { first: None, rest: Vec::new() }
    }

    /// Whether anybody waits but this task, which may have enrolled for something that it has given up.
    pub(crate) fn has_others(&self, waker: &Waker) -> bool {
        self.first.iter().chain(&self.rest).any(|other| !other.will_wake(waker))
    }

    /// Adds a waker that was cloned before the lock around this was taken. One that is not needed is given back, to be
    /// dropped after the lock.
    #[must_use = "drop it when no lock is held"]
    pub(crate) fn enrol(&mut self, waker: Waker) -> Option<Waker> {
        if self.first.iter().chain(&self.rest).any(|other| other.will_wake(&waker)) {
            return Some(waker);
        }
        match &mut self.first {
            first @ None => *first = Some(waker),
            Some(_) => self.rest.push(waker),
        }
        None
    }

    /// All of them, to be woken when no lock is held.
    #[must_use = "wake them when no lock is held"]
    pub(crate) fn take(&mut self) -> Woken {
        Woken(std::mem::take(self))
    }
}

/// Wakers that are to be woken.
#[must_use = "wake them when no lock is held"]
pub(crate) struct Woken(Waiting);

impl Woken {
    pub(crate) fn wake(self) {
        self.0.first.into_iter().chain(self.0.rest).for_each(gambol_executor::wake);
    }
}
