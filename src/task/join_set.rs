//! Tasks that are awaited together, in the order in which they end.
//!
//! The handles stand in a `FuturesUnordered`: a handle whose task has ended puts itself on its list of the woken, so that
//! whoever waits looks at those only, and never through all. It costs each task an allocation of its own beside the
//! task's cell; a list of our own through the cells would save that, and was left for when somebody needs it.

use super::{AbortHandle, Builder, Id, JoinError, JoinHandle};
use futures_util::{Stream, stream::FuturesUnordered};
use gambol_executor::{Handle, Reason, aside, park, unconstrained};
use std::{
    fmt,
    future::poll_fn,
    panic::resume_unwind,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

/// Tasks that are awaited together. Dropping it aborts those that have not ended.
///
/// ```
/// # gambol::block_on(async {
/// let mut set = gambol::task::JoinSet::new();
/// for n in 1..=10 {
///     set.spawn(async move { n * n });
/// }
/// let mut sum = 0;
/// while let Some(square) = set.join_next().await {
///     sum += square?;
/// }
/// assert_eq!(sum, 385);
/// # Ok::<(), gambol::task::JoinError>(())
/// # }).unwrap();
/// ```
pub struct JoinSet<T> {
    handles: FuturesUnordered<Entry<T>>,
}

impl<T> JoinSet<T> {
    /// A set without tasks. It allocates with the first.
    pub fn new() -> JoinSet<T> {
        JoinSet { handles: FuturesUnordered::new() }
    }

    /// Tasks that were not yet taken out, ended or not.
    pub fn len(&self) -> usize {
        self.handles.len()
    }

    /// Whether none is left.
    pub fn is_empty(&self) -> bool {
        self.handles.is_empty()
    }

    /// Starts a task as [`spawn`](crate::spawn) does, in the set.
    #[track_caller]
    pub fn spawn<F>(&mut self, future: F) -> AbortHandle
    where
        F: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        self.insert(crate::spawn(future))
    }

    /// Starts a task in the runtime that the handle stands for.
    #[track_caller]
    pub fn spawn_on<F>(&mut self, future: F, handle: &Handle) -> AbortHandle
    where
        F: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        self.insert(handle.spawn(future))
    }

    /// Starts a task that stays on this thread, as [`spawn_local`](crate::spawn_local) does.
    ///
    /// # Panics
    ///
    /// As `spawn_local`: on a thread that is not in `block_on`.
    #[track_caller]
    pub fn spawn_local<F>(&mut self, future: F) -> AbortHandle
    where
        F: Future<Output = T> + 'static,
        T: 'static,
    {
        self.insert(crate::spawn_local(future))
    }

    /// Runs a closure that may block, as [`spawn_blocking`](crate::spawn_blocking) does. One that has begun cannot be aborted.
    #[track_caller]
    pub fn spawn_blocking(&mut self, job: impl FnOnce() -> T + Send + 'static) -> AbortHandle
    where
        T: Send + 'static,
    {
        self.insert(crate::spawn_blocking(job))
    }

    /// Starts a task with a name.
    #[track_caller]
    pub fn spawn_named<F>(&mut self, name: impl Into<String>, future: F) -> AbortHandle
    where
        F: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        self.insert(Builder::new().name(name).spawn(future))
    }

    /// Takes a task into the set that was started elsewhere.
    pub fn insert(&mut self, handle: JoinHandle<T>) -> AbortHandle {
        let abort = handle.abort_handle();
        self.handles.push(Entry(handle));
        abort
    }

    /// Waits for the next task that ends. None: the set is empty.
    ///
    /// # Cancel safety
    ///
    /// No task and no outcome is lost.
    pub async fn join_next(&mut self) -> Option<Result<T, JoinError>> {
        poll_fn(|cx| self.poll_join_next(cx)).await
    }

    /// As [`join_next`](Self::join_next), with the task's id.
    ///
    /// # Cancel safety
    ///
    /// As for `join_next`.
    pub async fn join_next_with_id(&mut self) -> Option<(Id, Result<T, JoinError>)> {
        poll_fn(|cx| self.poll_join_next_with_id(cx)).await
    }

    /// A task that has ended, if there is one.
    pub fn try_join_next(&mut self) -> Option<Result<T, JoinError>> {
        self.try_join_next_with_id().map(|(_, outcome)| outcome)
    }

    /// As [`try_join_next`](Self::try_join_next), with the task's id.
    pub fn try_join_next_with_id(&mut self) -> Option<(Id, Result<T, JoinError>)> {
        // Nobody is to be woken: this set cannot be awaited at the same time.
        let mut cx = Context::from_waker(Waker::noop());
        match aside(|| unconstrained(|| self.poll_join_next_with_id(&mut cx))) {
            Poll::Ready(next) => next,
            Poll::Pending => None,
        }
    }

    /// As [`join_next`](Self::join_next), for those who write futures by hand.
    pub fn poll_join_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, JoinError>>> {
        Poll::Ready(ready!(self.poll_join_next_with_id(cx)).map(|(_, outcome)| outcome))
    }

    /// As [`poll_join_next`](Self::poll_join_next), with the task's id.
    pub fn poll_join_next_with_id(&mut self, cx: &mut Context<'_>) -> Poll<Option<(Id, Result<T, JoinError>)>> {
        let polled = Pin::new(&mut self.handles).poll_next(cx);
        if polled.is_pending() {
            // Handles that were not woken are not polled, and say nothing.
            park(Reason::Join);
        }
        polled
    }

    /// Waits for all; their outcomes in the order in which they ended. Dropped half-way, it aborts what is left.
    pub async fn join_all(mut self) -> Vec<Result<T, JoinError>> {
        let mut outcomes = Vec::with_capacity(self.len());
        while let Some(outcome) = self.join_next().await {
            outcomes.push(outcome);
        }
        outcomes
    }

    /// Aborts all. They stay in the set, and those that had not ended yield an error whose `is_cancelled` is true.
    pub fn abort_all(&mut self) {
        self.handles.iter().for_each(|entry| entry.0.abort());
    }

    /// Aborts all and waits until they have ended and their futures are dropped.
    ///
    /// # Cancel safety
    ///
    /// They are aborted in any case; those not yet waited for stay in the set.
    pub async fn shutdown(&mut self) {
        self.abort_all();
        while self.join_next().await.is_some() {}
    }

    /// Lets all go on without the set, which is empty then.
    pub fn detach_all(&mut self) {
        drop(std::mem::take(&mut self.handles));
    }
}

impl<T, E> JoinSet<Result<T, E>> {
    /// Waits for all; their values in the order in which they ended. With the first error or panic the rest is aborted.
    ///
    /// What is aborted is waited for as well: when this is done, all futures of the set have been dropped. A closure of
    /// [`spawn_blocking`](Self::spawn_blocking) that has begun runs to its end first. What comes of the rest is dropped.
    ///
    /// ```
    /// # gambol::block_on(async {
    /// let set: gambol::task::JoinSet<_> = ["1", "2", "x"].map(|text| async { text.parse::<i32>() }).into_iter().collect();
    /// assert!(set.try_join_all().await.is_err());
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// The first error that a task has returned.
    ///
    /// # Panics
    ///
    /// With the panic of a task, if that was the first failure, as [`TaskGroup::wait`](super::TaskGroup::wait). And when a task was
    /// cancelled, by an [`AbortHandle`] or the end of its runtime: it has neither a value nor an error.
    ///
    /// # Cancel safety
    ///
    /// It aborts what is left, and drops the values that it has.
    pub async fn try_join_all(mut self) -> Result<Vec<T>, E> {
        let mut values = Vec::with_capacity(self.len());
        while let Some(outcome) = self.join_next().await {
            let failure = match outcome {
                Ok(Ok(value)) => {
                    values.push(value);
                    continue;
                }
                Ok(Err(error)) => Ok(error),
                Err(error) => Err(error),
            };
            self.shutdown().await;
            match failure {
                Ok(error) => return Err(error),
                Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
                Err(error) => panic!("{error}, and has nothing for try_join_all; where that may be, use join_next"),
            }
        }
        Ok(values)
    }
}

impl<T> Drop for JoinSet<T> {
    fn drop(&mut self) {
        self.abort_all();
    }
}

impl<T> Default for JoinSet<T> {
    fn default() -> JoinSet<T> {
        JoinSet::new()
    }
}

/// Starts a task for each future.
impl<T, F> FromIterator<F> for JoinSet<T>
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    fn from_iter<I: IntoIterator<Item = F>>(futures: I) -> JoinSet<T> {
        let mut set = JoinSet::new();
        set.extend(futures);
        set
    }
}

/// Starts a task for each future.
impl<T, F> Extend<F> for JoinSet<T>
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    fn extend<I: IntoIterator<Item = F>>(&mut self, futures: I) {
        for future in futures {
            self.handles.push(Entry(crate::spawn(future)));
        }
    }
}

impl<T> fmt::Debug for JoinSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinSet").field("len", &self.len()).finish()
    }
}

/// A handle that yields the task's id as well.
struct Entry<T>(JoinHandle<T>);

impl<T> Future for Entry<T> {
    type Output = (Id, Result<T, JoinError>);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = ready!(Pin::new(&mut self.0).poll(cx));
        Poll::Ready((self.0.id(), outcome))
    }
}
