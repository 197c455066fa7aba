//! Ending a task from outside without holding its `JoinHandle`.
//!
//! `async-task` has one handle per task, so an [`AbortHandle`] shares a small cell with the task instead: a flag that the
//! container reads before each poll, and a waker that the container leaves there when it returns Pending. The cell
//! exists only for tasks that were asked for such a handle.
//!
//! *The race*: a task returns Pending while it is being aborted. The container puts the waker in, then looks at the
//! flag; the aborter sets the flag, then takes the waker; both under the cell's lock. So one of them sees the other.

use super::Id;
use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Waker,
};

/// What an `AbortHandle` and the task share.
pub(crate) struct AbortCell {
    id: Id,
    cancelled: AtomicBool,
    /// Set when the future was dropped. The waker is not kept after that: it keeps the cell alive that owns us.
    finished: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl AbortCell {
    pub(crate) fn new(id: Id) -> AbortCell {
        AbortCell { id, cancelled: AtomicBool::new(false), finished: AtomicBool::new(false), waker: Mutex::new(None) }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Waker>> {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// The task returns Pending. True if it was aborted meanwhile.
    pub(crate) fn enrol(&self, waker: &Waker) -> bool {
        let mut place = self.lock();
        if place.is_none() && !self.finished.load(Ordering::Relaxed) {
            *place = Some(waker.clone());
        }
        self.is_cancelled()
    }

    /// The future was dropped.
    pub(crate) fn finish(&self) {
        self.finished.store(true, Ordering::Release);
        let waker = self.lock().take();
        drop(waker);
    }

    fn abort(&self) {
        let waker = {
            let mut place = self.lock();
            self.cancelled.store(true, Ordering::Relaxed);
            place.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Ends a task; may be cloned and kept apart from its `JoinHandle`.
#[derive(Clone)]
pub struct AbortHandle(pub(crate) Arc<AbortCell>);

impl AbortHandle {
    /// Asks the task to end: its future is dropped at its next turn, on a worker or, if it is a local task, on its own
    /// thread, and its handle yields an error whose `is_cancelled` is true. A task that has finished stays as it is.
    pub fn abort(&self) {
        self.0.abort();
    }

    /// Whether the task has ended, in whatever way.
    pub fn is_finished(&self) -> bool {
        self.0.finished.load(Ordering::Acquire)
    }

    /// The task's id.
    pub fn id(&self) -> Id {
        self.0.id
    }
}

impl fmt::Debug for AbortHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AbortHandle").field("id", &self.0.id).field("finished", &self.is_finished()).finish()
    }
}
