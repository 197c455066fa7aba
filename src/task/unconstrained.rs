//! Lifting the budget.

use pin_project_lite::pin_project;
use std::{
    pin::Pin,
    task::{Context, Poll},
};

/// Runs a future without the budget that makes a task give way once it has found 128 things ready in a row.
///
/// It then goes on as long as something is ready, and the tasks behind it wait.
pub fn unconstrained<F: Future>(future: F) -> Unconstrained<F> {
    Unconstrained { future }
}

pin_project! {
    /// See [`unconstrained`].
    ///
    /// # Cancel safety
    ///
    /// As the future's.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct Unconstrained<F> {
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Unconstrained<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        gambol_executor::unconstrained(|| self.project().future.poll(cx))
    }
}
