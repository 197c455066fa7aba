//! Those who wait for the same thing to happen and are all called when it has: a line under a lock of its own.
//!
//! *The race*: it happens while somebody gets in line. Who makes it happen writes first and calls second; who waits gets in
//! line first and looks second, both under the line's lock. If he looks before the write, he is in line before the call.

use super::waiters::{Place, Waiters};
use gambol_executor::{discard, wake};
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Crowd {
    line: Mutex<Waiters>,
}

impl Crowd {
    pub(super) const fn new() -> Crowd {
        Crowd { line: Mutex::new(Waiters::new()) }
    }

    /// It has happened: wakes all, in the order in which they came.
    pub(super) fn call_all(&self) {
        let wakers = self.lock().call_all();
        wakers.into_iter().for_each(wake);
    }

    /// Whether it has happened, as `has_happened` tells: that is asked under the lock, and must be quick. Otherwise waits at
    /// `place`.
    pub(super) fn poll(
        &self,
        place: &mut Option<Place>,
        cx: &mut Context<'_>,
        mut has_happened: impl FnMut() -> bool,
    ) -> Poll<()> {
        if has_happened() {
            self.leave(place);
            return Poll::Ready(());
        }
        // Cloned before the lock is taken, and what is not needed is dropped after it.
        let waker = cx.waker().clone();
        let mut line = self.lock();
        let happened = has_happened();
        let unneeded = if happened {
            (Some(waker), place.take().map(|place| line.remove(place)))
        } else {
            // Somebody who was called waits again, if what he was called for is over already.
            (line.stay(place, waker), None)
        };
        drop(line);
        discard(unneeded);
        if happened { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Waits no more.
    pub(super) fn leave(&self, place: &mut Option<Place>) {
        if let Some(place) = place.take() {
            let removed = self.lock().remove(place);
            discard(removed);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiters> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
