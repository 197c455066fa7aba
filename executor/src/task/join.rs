//! The handle that awaits a task, and the error it may yield.

use super::{AbortHandle, Id, Meta, Outcome, contained::message};
use crate::{budget, context, task::Reason};
use std::{
    any::Any,
    fmt,
    future::Future,
    io,
    mem::ManuallyDrop,
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::{Context, Poll, ready},
};

/// Awaits the end of a task.
///
/// Dropping the handle detaches the task, which goes on, as a goroutine does.
///
/// # Panics
///
/// When it is polled again after it has yielded the outcome. A handle that is awaited with a waker that panics, when it is woken,
/// cloned or dropped, aborts the process.
///
/// # Cancel safety
///
/// Nothing is lost when an `.await` of `&mut handle` is dropped half-way.
pub struct JoinHandle<T> {
    task: ManuallyDrop<async_task::Task<Outcome<T>, Meta>>,
}

impl<T> JoinHandle<T> {
    pub(crate) fn new(task: async_task::Task<Outcome<T>, Meta>) -> JoinHandle<T> {
        JoinHandle { task: ManuallyDrop::new(task) }
    }

    /// Asks the task to end: its future is dropped at its next turn, on a worker or, if it is a local task, on its own
    /// thread, and the handle yields an error whose `is_cancelled` is true. A task that has finished keeps its outcome.
    /// Blocking work that has begun is not interrupted.
    pub fn abort(&self) {
        if self.task.is_finished() {
            return;
        }
        let meta = self.task.metadata();
        if let Some(index) = meta.cancel() {
            context::core(meta.id.core()).registry.wake(index);
        }
    }

    /// A handle that can abort the task and be kept elsewhere.
    pub fn abort_handle(&self) -> AbortHandle {
        let meta = self.task.metadata();
        let cell = meta.extra_or_insert().abort_or_insert(meta.id).clone();
        if self.task.is_finished() {
            cell.finish();
        } else if let Some(index) = meta.index_ordered() {
            // It may wait already, and then will not leave its waker by itself.
            context::core(meta.id.core()).registry.visit(index, |waker, found| {
                if found.id == meta.id {
                    let _ = cell.enrol(waker);
                }
            });
            if self.task.is_finished() {
                cell.finish();
            }
        }
        AbortHandle(cell)
    }

    /// Whether the task has ended, in whatever way.
    pub fn is_finished(&self) -> bool {
        self.task.is_finished()
    }

    /// The task's id.
    pub fn id(&self) -> Id {
        self.task.metadata().id
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let spent = ready!(budget::spend(cx));
        match Pin::new(&mut *self.task).poll(cx) {
            Poll::Ready(outcome) => Poll::Ready(outcome.into_result()),
            Poll::Pending => {
                spent.refund();
                context::park(if self.task.metadata().is_job() { Reason::Blocking } else { Reason::Join });
                Poll::Pending
            }
        }
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        // SAFETY: taken here and nowhere else; the handle is not used again.
        unsafe { ManuallyDrop::take(&mut self.task) }.detach();
    }
}

impl<T> Unpin for JoinHandle<T> {}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("id", &self.id()).field("finished", &self.is_finished()).finish()
    }
}

/// Why a task has no output: it was cancelled, or it panicked.
pub struct JoinError {
    id: Id,
    /// None: cancelled. The lock makes the error `Sync`, which a payload need not be; the box keeps it at 16 bytes, since
    /// every task's cell has room for one.
    panic: Option<Box<Mutex<Box<dyn Any + Send>>>>,
}

impl JoinError {
    pub(crate) fn cancelled(id: Id) -> JoinError {
        JoinError { id, panic: None }
    }

    pub(crate) fn panicked(id: Id, payload: Box<dyn Any + Send>) -> JoinError {
        JoinError { id, panic: Some(Box::new(Mutex::new(payload))) }
    }

    /// Whether the task panicked.
    pub fn is_panic(&self) -> bool {
        self.panic.is_some()
    }

    /// Whether the task was aborted, or its runtime was shut down.
    pub fn is_cancelled(&self) -> bool {
        self.panic.is_none()
    }

    /// The payload of the panic, for `std::panic::resume_unwind`.
    ///
    /// # Panics
    ///
    /// When the task did not panic; ask [`is_panic`](Self::is_panic) first.
    pub fn into_panic(self) -> Box<dyn Any + Send> {
        match self.panic {
            Some(payload) => payload.into_inner().unwrap_or_else(PoisonError::into_inner),
            None => panic!("the task was cancelled and holds no panic; ask is_panic() first"),
        }
    }

    /// The task's id.
    pub fn id(&self) -> Id {
        self.id
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.panic {
            None => write!(f, "task {} was cancelled", self.id),
            Some(payload) => {
                let payload = payload.lock().unwrap_or_else(PoisonError::into_inner);
                write!(f, "task {} panicked: {}", self.id, message(&**payload))
            }
        }
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinError({self})")
    }
}

const _: () = assert!(size_of::<Result<(), JoinError>>() == 16);

impl std::error::Error for JoinError {}

impl From<JoinError> for io::Error {
    fn from(error: JoinError) -> io::Error {
        io::Error::other(error)
    }
}
