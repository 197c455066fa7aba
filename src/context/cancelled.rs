//! Waiting for the end of a context.
//!
//! Whoever waits leaves a waker once, and remembers by two addresses which one. As long as the waker is the same, a further
//! poll costs a load: it is told that nothing has changed without the lock, which all who wait for this context have in
//! common.

use super::ending::Ending;
use gambol_executor::{Reason, park, spend};
use std::{
    fmt,
    ops::Deref,
    pin::Pin,
    ptr,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

/// Somebody who may be waiting for an ending.
pub(crate) struct Waiting<E: Deref<Target = Ending>> {
    ending: E,
    left: Option<Left>,
}

/// A waker that was left with the ending. It lives there, so its addresses are not used again.
struct Left {
    place: usize,
    waker: (usize, usize),
}

impl<E: Deref<Target = Ending>> Waiting<E> {
    pub(crate) fn new(ending: E) -> Waiting<E> {
        Waiting { ending, left: None }
    }

    pub(crate) fn ending(&self) -> &Ending {
        &self.ending
    }

    /// Ready when it has ended. It spends no budget.
    pub(crate) fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        if self.ending.has_ended() {
            return Poll::Ready(());
        }
        let waker = address(cx.waker());
        let place = match &self.left {
            Some(left) if left.waker == waker => return Poll::Pending,
            Some(left) => self.ending.wait_on(left.place, cx.waker()),
            None => self.ending.wait(cx.waker()),
        };
        match place {
            Some(place) => {
                self.left = Some(Left { place, waker });
                Poll::Pending
            }
            None => Poll::Ready(()),
        }
    }
}

fn address(waker: &Waker) -> (usize, usize) {
    (waker.data().addr(), ptr::from_ref(waker.vtable()).addr())
}

impl<E: Deref<Target = Ending>> Drop for Waiting<E> {
    fn drop(&mut self) {
        if let Some(left) = self.left.take() {
            self.ending.wait_no_more(left.place);
        }
    }
}

/// Completes when a context has ended; see [`Context::cancelled`](super::Context::cancelled). It may be polled again
/// afterwards.
#[must_use = "futures do nothing unless they are awaited"]
pub struct Cancelled<'a>(Option<Waiting<&'a Ending>>);

/// Completes when a context has ended; see [`Context::cancelled_owned`](super::Context::cancelled_owned). It may be polled
/// again afterwards.
#[must_use = "futures do nothing unless they are awaited"]
pub struct CancelledOwned(Option<Waiting<Arc<Ending>>>);

impl<'a> Cancelled<'a> {
    pub(super) fn new(ending: Option<&'a Arc<Ending>>) -> Cancelled<'a> {
        Cancelled(ending.map(|ending| Waiting::new(&**ending)))
    }
}

impl CancelledOwned {
    pub(super) fn new(ending: Option<Arc<Ending>>) -> CancelledOwned {
        CancelledOwned(ending.map(Waiting::new))
    }
}

fn poll<E: Deref<Target = Ending>>(waiting: &mut Option<Waiting<E>>, cx: &mut Context<'_>) -> Poll<()> {
    let spent = ready!(spend(cx));
    if waiting.as_mut().is_some_and(|waiting| waiting.poll(cx).is_ready()) {
        return Poll::Ready(());
    }
    spent.refund();
    park(Reason::Notify);
    Poll::Pending
}

impl Future for Cancelled<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        poll(&mut self.0, cx)
    }
}

impl Future for CancelledOwned {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        poll(&mut self.0, cx)
    }
}

impl fmt::Debug for Cancelled<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cancelled").field(&self.0.as_ref().map(Waiting::ending)).finish()
    }
}

impl fmt::Debug for CancelledOwned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CancelledOwned").field(&self.0.as_ref().map(Waiting::ending)).finish()
    }
}
