//! A number of permits to share out; the waiting and counting is done in `permits.rs`.
//!
//! An acquire and a release that nobody contends are one read-modify-write each. async-lock's semaphore, which stood here
//! before, cannot be closed, gives one permit at a time, and lets who comes at the right moment overtake those who wait;
//! tokio's takes a lock for each release. Measured (ns, in turns in one run; this, async-lock 3.5, tokio 1.54): uncontended
//! 6.8, 10.9, 31; 8 tasks that hold one of two permits across a yield 95, 75 to 88, 95: the last is the price of serving in
//! order.

use super::{
    permits::Permits,
    threads::{AtomicUsize, Mutex},
    waiters::{Place, Waiters},
};
use gambol_executor::{Reason, block_on, park, spend};
use std::{
    error::Error,
    fmt, mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// A number of permits. Who has one may do what is limited; who drops it gives it back.
///
/// ```
/// use gambol::sync::Semaphore;
/// use std::sync::Arc;
///
/// # gambol::block_on(async {
/// // No more than ten at a time.
/// let limit = Arc::new(Semaphore::new(10));
/// for _ in 0..100 {
///     let permit = limit.acquire_arc().await;
///     gambol::spawn(async move {
///         // The work; then:
///         drop(permit);
///     });
/// }
/// // When all are back, all are done.
/// let _all = limit.acquire_many(10).await;
/// # });
/// ```
///
/// # Fairness
///
/// First come, first served, strictly: while anybody waits, nobody else takes a permit, not with
/// [`try_acquire`](Self::try_acquire) either. Who wants many is not overtaken by those behind who want few; what comes back
/// is kept for the first in line until it is enough. A permit belongs to the waiter from the moment at which it is served: a
/// future that was served and is neither polled nor dropped keeps it from others.
pub struct Semaphore {
    permits: Permits,
}

impl Semaphore {
    /// The most permits that are counted.
    pub const MAX_PERMITS: usize = Permits::MAX;

    /// With so many permits.
    ///
    /// # Panics
    ///
    /// When there are more than [`MAX_PERMITS`](Self::MAX_PERMITS).
    pub const fn new(permits: usize) -> Semaphore {
        let word = AtomicUsize::new(Permits::word(permits));
        Semaphore { permits: Permits::new(word, Mutex::new(Waiters::new())) }
    }

    /// Takes a permit, if there is one and nobody waits. None also after [`close`](Self::close).
    pub fn try_acquire(&self) -> Option<SemaphoreGuard<'_>> {
        self.try_acquire_many(1)
    }

    /// Takes `n` permits at once, if there are so many and nobody waits. None also after [`close`](Self::close).
    pub fn try_acquire_many(&self, n: u32) -> Option<SemaphoreGuard<'_>> {
        self.permits.try_take(n as usize).ok().map(|()| SemaphoreGuard { semaphore: self, permits: n as usize })
    }

    /// As [`try_acquire`](Self::try_acquire), with a permit that keeps the semaphore alive.
    #[doc(alias = "try_acquire_owned")]
    pub fn try_acquire_arc(self: &Arc<Self>) -> Option<SemaphoreGuardArc> {
        self.try_acquire_many_arc(1)
    }

    /// As [`try_acquire_many`](Self::try_acquire_many), with permits that keep the semaphore alive.
    #[doc(alias = "try_acquire_many_owned")]
    pub fn try_acquire_many_arc(self: &Arc<Self>, n: u32) -> Option<SemaphoreGuardArc> {
        let taken = self.permits.try_take(n as usize).ok();
        taken.map(|()| SemaphoreGuardArc { semaphore: self.clone(), permits: n as usize })
    }

    /// Waits for a permit.
    ///
    /// Where the semaphore may be closed, [`acquire().or_closed()`](Acquire::or_closed) gives an error instead of panicking.
    ///
    /// # Panics
    ///
    /// When it is awaited and the semaphore is closed, or is closed meanwhile.
    ///
    /// # Cancel safety
    ///
    /// The place in line is lost. A permit that had come goes to the next.
    pub fn acquire(&self) -> Acquire<'_> {
        self.acquire_many(1)
    }

    /// Waits for `n` permits, which come all at once. For more than there ever are, it waits for ever, and those behind it wait
    /// as long; none at all are waited for as well, while anybody is in line.
    ///
    /// # Panics
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire).
    pub fn acquire_many(&self, n: u32) -> Acquire<'_> {
        Acquire { semaphore: self, permits: n as usize, place: None }
    }

    /// As [`acquire`](Self::acquire), with a permit that keeps the semaphore alive and goes where it likes.
    #[doc(alias = "acquire_owned")]
    pub fn acquire_arc(self: &Arc<Self>) -> AcquireArc {
        self.acquire_many_arc(1)
    }

    /// As [`acquire_many`](Self::acquire_many), with permits that keep the semaphore alive.
    #[doc(alias = "acquire_many_owned")]
    pub fn acquire_many_arc(self: &Arc<Self>, n: u32) -> AcquireArc {
        AcquireArc { semaphore: self.clone(), permits: n as usize, place: None }
    }

    /// As [`acquire`](Self::acquire), for a thread: it blocks.
    ///
    /// # Panics
    ///
    /// As [`acquire`](Self::acquire).
    pub fn acquire_blocking(&self) -> SemaphoreGuard<'_> {
        block_on(self.acquire())
    }

    /// As [`acquire_arc`](Self::acquire_arc), for a thread: it blocks.
    ///
    /// # Panics
    ///
    /// As [`acquire`](Self::acquire).
    pub fn acquire_arc_blocking(self: &Arc<Self>) -> SemaphoreGuardArc {
        block_on(self.acquire_arc())
    }

    /// There are `n` more permits.
    ///
    /// # Panics
    ///
    /// When there would be more than [`MAX_PERMITS`](Self::MAX_PERMITS); nothing is added then. Those that somebody holds are not
    /// counted here: when they come back and are too many, that panics.
    #[track_caller]
    pub fn add_permits(&self, n: usize) {
        self.permits.give(n);
    }

    /// Takes up to `n` permits away for good, of those that nobody holds: they are never given back. Returns how many it
    /// were.
    pub fn forget_permits(&self, n: usize) -> usize {
        self.permits.take_away(n)
    }

    /// Permits that nobody holds at this moment. They may be kept for who waits for more of them.
    pub fn available_permits(&self) -> usize {
        self.permits.available()
    }

    /// Gives out no permit any more. Who waits is refused, now and later; who has a permit keeps it, and may give it back.
    pub fn close(&self) {
        self.permits.close();
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.permits.is_closed()
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("Semaphore");
        f.field("available_permits", &self.available_permits()).field("is_closed", &self.is_closed()).finish()
    }
}

/// The semaphore was closed; see [`Semaphore::close`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcquireError(());

impl fmt::Display for AcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the semaphore was closed")
    }
}

impl Error for AcquireError {}

#[cold]
#[track_caller]
fn closed() -> ! {
    panic!("a closed semaphore gives no permits; await `acquire().or_closed()` where it may be closed")
}

/// Permits of a [`Semaphore`]. Dropping this gives them back.
#[derive(Debug)]
#[must_use = "the permit is given back when this is dropped"]
pub struct SemaphoreGuard<'a> {
    semaphore: &'a Semaphore,
    permits: usize,
}

impl SemaphoreGuard<'_> {
    /// Never gives them back. [`Semaphore::add_permits`] makes new ones.
    pub fn forget(mut self) {
        self.permits = 0;
    }

    /// How many permits this is.
    pub fn num_permits(&self) -> usize {
        self.permits
    }
}

impl Drop for SemaphoreGuard<'_> {
    fn drop(&mut self) {
        if self.permits > 0 {
            self.semaphore.permits.give(self.permits);
        }
    }
}

/// Permits of a [`Semaphore`], which they keep alive. Dropping this gives them back.
#[derive(Debug)]
#[must_use = "the permit is given back when this is dropped"]
pub struct SemaphoreGuardArc {
    semaphore: Arc<Semaphore>,
    permits: usize,
}

impl SemaphoreGuardArc {
    /// Never gives them back. [`Semaphore::add_permits`] makes new ones.
    pub fn forget(mut self) {
        self.permits = 0;
    }

    /// How many permits this is.
    pub fn num_permits(&self) -> usize {
        self.permits
    }

    /// Where they come from.
    pub fn semaphore(&self) -> &Arc<Semaphore> {
        &self.semaphore
    }
}

impl Drop for SemaphoreGuardArc {
    fn drop(&mut self) {
        if self.permits > 0 {
            self.semaphore.permits.give(self.permits);
        }
    }
}

/// Completes with a permit, or several; see [`Semaphore::acquire`].
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct Acquire<'a> {
    semaphore: &'a Semaphore,
    permits: usize,
    place: Option<Place>,
}

/// Completes with a permit, or several; see [`Semaphore::acquire_arc`].
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct AcquireArc {
    semaphore: Arc<Semaphore>,
    permits: usize,
    place: Option<Place>,
}

/// Completes with an error where another acquire panics: when the semaphore is closed. See [`Acquire::or_closed`].
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct OrClosed<F> {
    acquire: F,
}

impl<'a> Acquire<'a> {
    /// The same, with an error when the semaphore is closed, or is closed meanwhile.
    ///
    /// ```
    /// use gambol::sync::Semaphore;
    ///
    /// # gambol::block_on(async {
    /// let semaphore = Semaphore::new(1);
    /// assert!(semaphore.acquire().or_closed().await.is_ok());
    /// semaphore.close();
    /// assert!(semaphore.acquire().or_closed().await.is_err());
    /// # });
    /// ```
    pub fn or_closed(self) -> OrClosed<Acquire<'a>> {
        OrClosed { acquire: self }
    }

    #[inline]
    fn poll_acquire(&mut self, cx: &mut Context<'_>) -> Poll<Result<SemaphoreGuard<'a>, AcquireError>> {
        let taken = ready!(poll_permits(self.semaphore, self.permits, &mut self.place, cx));
        Poll::Ready(taken.map(|()| SemaphoreGuard { semaphore: self.semaphore, permits: self.permits }))
    }
}

impl AcquireArc {
    /// The same, with an error when the semaphore is closed, or is closed meanwhile.
    pub fn or_closed(self) -> OrClosed<AcquireArc> {
        OrClosed { acquire: self }
    }

    #[inline]
    fn poll_acquire(&mut self, cx: &mut Context<'_>) -> Poll<Result<SemaphoreGuardArc, AcquireError>> {
        let taken = ready!(poll_permits(&self.semaphore, self.permits, &mut self.place, cx));
        Poll::Ready(taken.map(|()| SemaphoreGuardArc { semaphore: self.semaphore.clone(), permits: self.permits }))
    }
}

#[inline]
fn poll_permits(
    semaphore: &Semaphore,
    permits: usize,
    place: &mut Option<Place>,
    cx: &mut Context<'_>,
) -> Poll<Result<(), AcquireError>> {
    let spent = ready!(spend(cx));
    if let Poll::Ready(taken) = semaphore.permits.poll_take(permits, place, cx) {
        return Poll::Ready(taken.map_err(AcquireError));
    }
    spent.refund();
    park(Reason::Lock);
    Poll::Pending
}

impl<'a> Future for Acquire<'a> {
    type Output = SemaphoreGuard<'a>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<SemaphoreGuard<'a>> {
        self.poll_acquire(cx).map(|taken| taken.unwrap_or_else(|_| closed()))
    }
}

impl Future for AcquireArc {
    type Output = SemaphoreGuardArc;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<SemaphoreGuardArc> {
        self.poll_acquire(cx).map(|taken| taken.unwrap_or_else(|_| closed()))
    }
}

impl<'a> Future for OrClosed<Acquire<'a>> {
    type Output = Result<SemaphoreGuard<'a>, AcquireError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.acquire.poll_acquire(cx)
    }
}

impl Future for OrClosed<AcquireArc> {
    type Output = Result<SemaphoreGuardArc, AcquireError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.acquire.poll_acquire(cx)
    }
}

impl Drop for Acquire<'_> {
    fn drop(&mut self) {
        if let Some(place) = mem::take(&mut self.place) {
            self.semaphore.permits.leave(self.permits, place);
        }
    }
}

impl Drop for AcquireArc {
    fn drop(&mut self) {
        if let Some(place) = mem::take(&mut self.place) {
            self.semaphore.permits.leave(self.permits, place);
        }
    }
}
