//! The wrapper around every user future: what it does wrong stays inside its task.
//!
//! Plain async-task aborts the process when the drop of a future, of an output that nobody takes, or of a panic's payload
//! panics. [`Contained`] and [`Outcome`] catch all of these, and the panic in poll. Neither adds a byte to the cell.
//!
//! Per poll this costs two loads from the metadata's line (cancelled? has it something rare: an abort cell, a heritage?), one more
//! at a Pending (has a leaf said what it waits for?), and no read-modify-write. At the first Pending the task enters the registry.

use super::{Extra, JoinError, Meta};
use crate::context;
use std::{
    any::Any,
    future::Future,
    mem::ManuallyDrop,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    ptr,
    task::{Context, Poll, Waker},
};

/// Runs `f`; a panic is returned as its payload.
pub(crate) fn contain<R>(f: impl FnOnce() -> R) -> Result<R, Box<dyn Any + Send>> {
    catch_unwind(AssertUnwindSafe(f))
}

/// Drops a value; panics end here, also those of the payloads' own drops.
pub(crate) fn drop_contained<T>(value: T) {
    if let Err(payload) = contain(|| drop(value))
        && let Err(second) = contain(|| drop(payload))
    {
        // A payload whose drop panics with a payload: enough. It is leaked.
        std::mem::forget(second);
    }
}

/// A user's future as it stands in a task's cell.
pub(crate) struct Contained<F> {
    future: ManuallyDrop<F>,
}

impl<F> Contained<F> {
    pub(crate) fn new(future: F) -> Contained<F> {
        Contained { future: ManuallyDrop::new(future) }
    }
}

impl<F: Future> Future for Contained<F> {
    type Output = Outcome<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: async-task polls us in the `run` of our own task, and the reference ends with this call.
        let meta = unsafe { context::current_meta() }.expect("a task is run by the executor only");
        // First, since a future that is cancelled is dropped in its scope as well.
        // SAFETY: as above: we are inside the task's own `run`.
        if meta.extra().is_some_and(|extra| unsafe { enter_extra(extra) }) || meta.is_cancelled() {
            return Poll::Ready(cancelled(meta));
        }
        // SAFETY: the future is pinned with us; it is moved nowhere and dropped in place, in our drop.
        let future = unsafe { self.map_unchecked_mut(|this| &mut *this.future) };
        match contain(|| future.poll(cx)) {
            Ok(Poll::Ready(output)) => Poll::Ready(Outcome::new(Ok(output))),
            Ok(Poll::Pending) => {
                meta.break_silence();
                if meta.index().is_none() && meta.registered(context::register(cx.waker())) {
                    return Poll::Ready(cancelled(meta));
                }
                // Looked at anew. Either `JoinHandle::abort_handle` finds us registered, or we find the abort cell that it
                // made: both of us have just changed one word, and who came second has acquired what the first did before.
                if meta.extra().is_some_and(|extra| enrol_extra(extra, cx.waker())) {
                    return Poll::Ready(cancelled(meta));
                }
                Poll::Pending
            }
            Err(payload) => {
                context::task_panicked(meta.id, &*payload);
                Poll::Ready(Outcome::new(Err(JoinError::panicked(meta.id, payload))))
            }
        }
    }
}

impl<F> Drop for Contained<F> {
    fn drop(&mut self) {
        // SAFETY: dropped here and nowhere else, once, in place.
        if let Err(payload) = contain(|| unsafe { ManuallyDrop::drop(&mut self.future) }) {
            drop_contained(payload);
        }
        context::task_finished();
    }
}

/// A task with something rare begins a turn: in the scope that it has inherited. True: it was aborted.
///
/// This and the next are out of line, so that other tasks pay for no register that they need.
///
/// # Safety
///
/// The caller is inside the `run` of the task that `extra` belongs to.
#[cold]
#[inline(never)]
unsafe fn enter_extra(extra: &Extra) -> bool {
    // SAFETY: the caller's promise.
    unsafe { context::enter_heritage(extra) };
    extra.abort().is_some_and(|cell| cell.is_cancelled())
}

/// A task with something rare returns Pending. True: it was aborted meanwhile.
#[cold]
#[inline(never)]
fn enrol_extra(extra: &Extra, waker: &Waker) -> bool {
    extra.abort().is_some_and(|cell| cell.enrol(waker))
}

#[cold]
fn cancelled<T>(meta: &Meta) -> Outcome<T> {
    context::task_cancelled(meta.id);
    Outcome::new(Err(JoinError::cancelled(meta.id)))
}

/// What a task ended with, as it stands in the cell until somebody takes it.
pub(crate) struct Outcome<T> {
    result: ManuallyDrop<Result<T, JoinError>>,
}

impl<T> Outcome<T> {
    fn new(result: Result<T, JoinError>) -> Outcome<T> {
        Outcome { result: ManuallyDrop::new(result) }
    }

    pub(crate) fn into_result(self) -> Result<T, JoinError> {
        let this = ManuallyDrop::new(self);
        // SAFETY: `this` is not dropped and not used again, so the result is read out once.
        unsafe { ptr::read(&*this.result) }
    }
}

impl<T> Drop for Outcome<T> {
    fn drop(&mut self) {
        // SAFETY: dropped here and nowhere else; `into_result` forgets us.
        drop_contained(unsafe { ManuallyDrop::take(&mut self.result) });
    }
}

/// The message of a panic, if it has one.
pub(crate) fn message(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a value that is not a string")
}
