//! An end for a future that takes too long.

use super::{Duration, Instant, Sleep};
use gambol_executor::{beside, has_remaining};
use pin_project_lite::pin_project;
use std::{
    error::Error,
    fmt, io,
    pin::Pin,
    task::{Context, Poll},
};

/// Awaits `future`, but no longer than `limit`, which counts from this call.
///
/// The future is polled first: one that is ready is never too late, not even with a limit of zero. A limit of
/// `Duration::MAX` is none.
///
/// # Errors
///
/// [`Elapsed`] when the time was up before the future was ready. It is then dropped together with the `Timeout`.
///
/// # Cancel safety
///
/// That of `future`. When the time is up, `future` is cancelled; await `&mut future` to keep it.
///
/// ```
/// use gambol::time::{Duration, sleep, timeout};
///
/// # gambol::block_on(async {
/// let late = timeout(Duration::from_millis(1), sleep(Duration::MAX)).await;
/// assert!(late.is_err());
/// # });
/// ```
pub fn timeout<F: IntoFuture>(limit: Duration, future: F) -> Timeout<F::IntoFuture> {
    Timeout { future: future.into_future(), sleep: Sleep::new(limit) }
}

/// As [`timeout`], until `deadline`.
pub fn timeout_at<F: IntoFuture>(deadline: Instant, future: F) -> Timeout<F::IntoFuture> {
    Timeout { future: future.into_future(), sleep: Sleep::until(deadline) }
}

pin_project! {
    /// See [`timeout`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct Timeout<F> {
        #[pin]
        future: F,
        // Arms itself when it is polled, which happens only when the future is not ready.
        sleep: Sleep,
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.future.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        // What the task waits for is the future's to say.
        if beside(|| Pin::new(&mut *this.sleep).poll(cx)).is_ready() {
            return Poll::Ready(Err(Elapsed(())));
        }
        // A future that uses up the budget at every turn would leave none for the sleep, and so have no end.
        if !has_remaining() && this.sleep.is_elapsed() {
            return Poll::Ready(Err(Elapsed(())));
        }
        Poll::Pending
    }
}

/// The time was up before the future was ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed(());

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time limit was reached")
    }
}

impl Error for Elapsed {}

/// An error of [`ErrorKind::TimedOut`](io::ErrorKind::TimedOut).
impl From<Elapsed> for io::Error {
    fn from(elapsed: Elapsed) -> io::Error {
        io::Error::new(io::ErrorKind::TimedOut, elapsed)
    }
}

/// What a time limit costs.
const _: () = assert!(size_of::<Timeout<()>>() <= 24);
