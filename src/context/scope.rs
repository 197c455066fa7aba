//! Futures that run in a context.

use super::{Cause, Context, cancelled::Waiting, ending::Ending};
use gambol_executor::{Heritage, with_heritage};
use pin_project_lite::pin_project;
use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{self, Poll},
};

pin_project! {
    /// A future in a context; see [`Context::scope`].
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct Scope<F> {
        heritage: Option<Heritage>,
        // None once it has completed: it is dropped inside.
        #[pin]
        future: Option<F>,
    }

    impl<F> PinnedDrop for Scope<F> {
        fn drop(this: Pin<&mut Self>) {
            this.end();
        }
    }
}

impl<F> Scope<F> {
    pub(super) fn new(context: Context, future: F) -> Scope<F> {
        Scope { heritage: context.heritage(), future: Some(future) }
    }

    /// Drops the future, inside.
    fn end(self: Pin<&mut Self>) {
        let mut this = self.project();
        if this.future.is_some() {
            with_heritage(this.heritage.as_ref(), || this.future.set(None));
        }
    }
}

impl<F: Future> Future for Scope<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        with_heritage(this.heritage.as_ref(), || {
            let future = this.future.as_mut().as_pin_mut().expect("a scope is not polled after it has completed");
            let polled = future.poll(cx);
            if polled.is_ready() {
                this.future.set(None);
            }
            polled
        })
    }
}

impl<F> fmt::Debug for Scope<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").field("completed", &self.future.is_none()).finish_non_exhaustive()
    }
}

pin_project! {
    /// A future in a context, until that ends; see [`Context::run`].
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct Run<F> {
        // None: the context does not end, or this has completed.
        waiting: Option<Waiting<Arc<Ending>>>,
        #[pin]
        scope: Scope<F>,
    }
}

impl<F> Run<F> {
    pub(super) fn new(ending: Option<Arc<Ending>>, scope: Scope<F>) -> Run<F> {
        Run { waiting: ending.map(Waiting::new), scope }
    }
}

impl<F: Future> Future for Run<F> {
    type Output = Result<F::Output, Cause>;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Poll::Ready(output) = this.scope.as_mut().poll(cx) {
            *this.waiting = None;
            return Poll::Ready(Ok(output));
        }
        let Some(waiting) = this.waiting else { return Poll::Pending };
        // Whatever the future has left of the budget: one that uses it up at every turn ends all the same.
        if waiting.poll(cx).is_pending() {
            return Poll::Pending;
        }
        let cause = waiting.ending().cause().expect("it has ended");
        *this.waiting = None;
        this.scope.end();
        Poll::Ready(Err(cause))
    }
}

impl<F> fmt::Debug for Run<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("scope", &self.scope).finish_non_exhaustive()
    }
}
