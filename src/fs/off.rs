//! A call in the blocking pool, and the future that waits for it.

use gambol_executor::{JoinError, JoinHandle, Reason, park, spawn_blocking};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

/// Makes a call in the blocking pool. It begins when the future is first polled, and goes on when that is dropped.
pub(super) async fn off<T: Send + 'static>(call: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    Off::start(call).await
}

/// A call that was started.
#[derive(Debug)]
pub(crate) struct Off<T>(JoinHandle<io::Result<T>>);

impl<T: Send + 'static> Off<T> {
    pub(crate) fn start(call: impl FnOnce() -> io::Result<T> + Send + 'static) -> Off<T> {
        Off(spawn_blocking(call))
    }
}

impl<T> Future for Off<T> {
    type Output = io::Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        match Pin::new(&mut self.0).poll(cx) {
            Poll::Ready(result) => Poll::Ready(result.unwrap_or_else(|error| Err(failed(error)))),
            Poll::Pending => {
                park(Reason::Blocking);
                Poll::Pending
            }
        }
    }
}

fn failed(error: JoinError) -> io::Error {
    if error.is_cancelled() { gone() } else { error.into() }
}

/// A job was cancelled before it began.
pub(super) fn gone() -> io::Error {
    io::Error::other("the runtime is gone")
}
