//! Tasks of which the first error ends all, as in Go's errgroup.
//!
//! Each task is a [`Member`] around the user's future. It looks before each poll whether the group has failed, and ends if
//! so; what it looks at, and is woken by, is an [`Ending`] of the group's own, so a failure costs one pass over the members,
//! and a member that leaves costs one lock. The group's context ends as well, for what the members have started, but does not
//! end members: if its parent ends, that is theirs to see.
//!
//! A member counts until its future was dropped, in whatever way it ends: the count is a [`WaitGroup`]'s. What waits for a
//! place under the limit stands in a queue and is no task yet; a member that leaves starts the next one. It counts as well.
//!
//! The outcome is the first failure, written under the lock before the group ends.

use crate::{
    context::{Canceller, Cause, Context, Waiting, ending::Ending},
    sync::{Wait, WaitGroup, WaitGroupWorker},
};
use gambol_executor::{
    Heritage, Reason,
    named::{self, Particulars},
    park, with_heritage,
};
use pin_project_lite::pin_project;
use std::{
    any::Any,
    collections::VecDeque,
    fmt,
    panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{self, Poll},
};

/// Tasks of which the first error cancels the rest. Dropping it aborts those that have not ended; a failure that nobody has
/// waited for is dropped with it.
///
/// The tasks run in a [`Context`] of the group's own, a child of the one that was current when the group was made. The first
/// error, or panic, ends it, and aborts all other tasks of the group: their futures are dropped at their next turn. If the
/// parent context ends, the tasks see it through theirs, and go on or not as they like. For tasks that return values there is
/// [`JoinSet`](super::JoinSet).
///
/// A task that fails drops what it owns before its error is noted. So one that ends in consequence, because nobody is left at
/// the other end of a channel, should return Ok: its error might be taken for the first.
///
/// ```
/// use gambol::task::TaskGroup;
///
/// # gambol::block_on(async {
/// let group = TaskGroup::new();
/// for text in ["1", "2", "x"] {
///     group.spawn(async move { text.parse::<i32>().map(drop) });
/// }
/// group.spawn(std::future::pending());
/// assert!(group.wait().await.is_err());
/// # });
/// ```
pub struct TaskGroup<E> {
    shared: Arc<Shared<E>>,
}

struct Shared<E> {
    context: Context,
    canceller: Canceller,
    heritage: Option<Heritage>,
    /// Ends the members.
    abort: Arc<Ending>,
    /// Members, and what is queued.
    count: WaitGroup,
    limit: usize,
    state: Mutex<State<E>>,
}

struct State<E> {
    /// Members that have not ended. Not more than the limit.
    running: usize,
    /// Empty unless as many run as may.
    queue: VecDeque<Start>,
    /// Nothing is started any more.
    closed: bool,
    /// Until somebody takes it.
    failure: Option<Failure<E>>,
}

/// Makes a future that has waited a member.
type Start = Box<dyn FnOnce() + Send>;

enum Failure<E> {
    Error(E),
    Panic(Box<dyn Any + Send>),
    /// It was cancelled from outside.
    Lost,
}

impl<E: Send + 'static> TaskGroup<E> {
    /// A group without tasks and without a limit.
    pub fn new() -> TaskGroup<E> {
        TaskGroup::with_limit(usize::MAX)
    }

    /// A group of which at most `limit` tasks run at a time; the others wait, and are started in their order.
    ///
    /// A task that waits for one that is not started yet waits for ever.
    ///
    /// # Panics
    ///
    /// When the limit is zero.
    #[track_caller]
    pub fn with_limit(limit: usize) -> TaskGroup<E> {
        assert!(limit > 0, "a TaskGroup with a limit of zero would never run a task; allow at least one");
        let (context, canceller) = Context::current().with_cancel();
        let heritage = context.heritage();
        let state = State { running: 0, queue: VecDeque::new(), closed: false, failure: None };
        let (abort, count) = (Ending::new(None), WaitGroup::new());
        let state = Mutex::new(state);
        TaskGroup { shared: Arc::new(Shared { context, canceller, heritage, abort, count, limit, state }) }
    }

    /// Starts a task in the group. If the group has failed, the future is dropped instead.
    #[track_caller]
    pub fn spawn<F>(&self, future: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
    {
        let location = Location::caller();
        let shared = &self.shared;
        let worker = shared.count.worker();
        let mut state = shared.lock();
        if state.closed {
            drop(state);
            drop(future);
        } else if state.running < shared.limit {
            state.running += 1;
            drop(state);
            shared.start(future, worker, location);
        } else {
            let own = shared.clone();
            state.queue.push_back(Box::new(move || own.start(future, worker, location)));
        }
    }

    /// As [`spawn`](Self::spawn), if the task can be started at once.
    ///
    /// # Errors
    ///
    /// The future, when as many tasks run as may, or the group has failed.
    #[track_caller]
    pub fn try_spawn<F>(&self, future: F) -> Result<(), F>
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
    {
        let location = Location::caller();
        let shared = &self.shared;
        let worker = shared.count.worker();
        let mut state = shared.lock();
        if state.closed || state.running == shared.limit {
            return Err(future);
        }
        state.running += 1;
        drop(state);
        shared.start(future, worker, location);
        Ok(())
    }

    /// Waits until no task is left, running or queued. Yields the first error, if there was one.
    ///
    /// The error is handed out once. Afterwards the group stays failed; one that has not failed can be used again.
    ///
    /// # Errors
    ///
    /// The first error that a task has returned.
    ///
    /// # Panics
    ///
    /// With the panic of a task, if that was the first failure, as `std::thread::scope` does. And when a task was cancelled
    /// because its runtime has ended.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub fn wait(&self) -> WaitAll<'_, E> {
        WaitAll { shared: &self.shared, wait: self.shared.count.wait() }
    }
}

impl<E> TaskGroup<E> {
    /// The context in which the tasks run. It ends with the first failure, with the group, or with its parent.
    pub fn context(&self) -> &Context {
        &self.shared.context
    }

    /// Tasks that have not ended, with those that wait to be started.
    pub fn len(&self) -> usize {
        self.shared.count.count()
    }

    /// Whether no task is left.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Aborts all tasks; the group takes no new ones. [`wait`](Self::wait) waits until their futures are dropped.
    pub fn abort_all(&self) {
        self.shared.close(None, "the task group was aborted");
    }
}

impl<E: Send + 'static> Default for TaskGroup<E> {
    fn default() -> TaskGroup<E> {
        TaskGroup::new()
    }
}

impl<E> Drop for TaskGroup<E> {
    fn drop(&mut self) {
        self.abort_all();
    }
}

impl<E> fmt::Debug for TaskGroup<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskGroup").field("len", &self.len()).field("context", self.context()).finish_non_exhaustive()
    }
}

impl<E> Shared<E> {
    fn lock(&self) -> MutexGuard<'_, State<E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends all, and takes no more tasks; notes why, if that is the first failure.
    fn close(&self, failure: Option<Failure<E>>, cause: &str) {
        let mut state = self.lock();
        if state.closed {
            drop(state);
            return drop_contained(failure);
        }
        state.closed = true;
        state.failure = failure;
        let queue = std::mem::take(&mut state.queue);
        drop(state);
        self.canceller.cancel_with(cause);
        self.abort.end(Cause::cancelled());
        // What has not been started is dropped as tasks are: in the group's context, and a panic ends there.
        with_heritage(self.heritage.as_ref(), || queue.into_iter().for_each(drop_contained));
    }
}

impl<E: Send + 'static> Shared<E> {
    /// Starts a member, for which there is a place.
    fn start<F>(self: &Arc<Self>, future: F, worker: WaitGroupWorker, location: &'static Location<'static>)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
    {
        let membership = Membership { shared: self.clone(), completed: false, _worker: worker };
        let waiting = Waiting::new(self.abort.clone());
        let particulars =
            Particulars { heritage: Some(self.heritage.clone()), location: Some(location), ..Particulars::default() };
        drop(named::spawn(None, particulars, Member { future, waiting, membership }));
    }

    fn fail(&self, failure: Failure<E>) {
        self.close(Some(failure), "a task of the group has failed");
    }

    /// A member has ended: its place goes to the next.
    fn leave(&self) {
        let mut state = self.lock();
        let next = state.queue.pop_front();
        if next.is_none() {
            state.running -= 1;
        }
        drop(state);
        if let Some(start) = next {
            start();
        }
    }
}

pin_project! {
    /// A user's future in the group.
    struct Member<E, F>
    where
        E: Send,
        E: 'static,
    {
        // Dropped first.
        #[pin]
        future: F,
        waiting: Waiting<Arc<Ending>>,
        membership: Membership<E>,
    }
}

impl<E, F> Future for Member<E, F>
where
    E: Send + 'static,
    F: Future<Output = Result<(), E>>,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<()> {
        let this = self.project();
        if this.waiting.ending().has_ended() {
            return Poll::Ready(());
        }
        match catch_unwind(AssertUnwindSafe(|| this.future.poll(cx))) {
            Ok(Poll::Pending) => this.waiting.poll(cx),
            Ok(Poll::Ready(outcome)) => {
                this.membership.completed = true;
                if let Err(error) = outcome {
                    this.membership.shared.fail(Failure::Error(error));
                }
                Poll::Ready(())
            }
            Err(payload) => {
                this.membership.completed = true;
                // The runtime counts it as a panic and shows its message to its hook; the payload is for who waits.
                let told = message(&*payload);
                this.membership.shared.fail(Failure::Panic(payload));
                resume_unwind(told)
            }
        }
    }
}

/// Drops a value; panics end here, also those of the payloads' own drops.
fn drop_contained<T>(value: T) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(value)))
        && let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload)))
    {
        std::mem::forget(second);
    }
}

/// A panic's message as a payload of its own.
fn message(payload: &(dyn Any + Send)) -> Box<dyn Any + Send> {
    if let Some(text) = payload.downcast_ref::<&'static str>() {
        Box::new(*text)
    } else if let Some(text) = payload.downcast_ref::<String>() {
        Box::new(text.clone())
    } else {
        Box::new("a value that is not a string")
    }
}

/// A member's place in the group. Dropped after its future.
struct Membership<E: Send + 'static> {
    shared: Arc<Shared<E>>,
    /// It has returned or panicked.
    completed: bool,
    /// Dropped last: who waits for the group finds everything done.
    _worker: WaitGroupWorker,
}

impl<E: Send + 'static> Drop for Membership<E> {
    fn drop(&mut self) {
        if !self.completed && !self.shared.abort.has_ended() {
            self.shared.fail(Failure::Lost);
        }
        self.shared.leave();
    }
}

pin_project! {
    /// See [`TaskGroup::wait`].
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct WaitAll<'a, E> {
        shared: &'a Shared<E>,
        #[pin]
        wait: Wait<'a>,
    }
}

impl<E> Future for WaitAll<'_, E> {
    type Output = Result<(), E>;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Result<(), E>> {
        let this = self.project();
        if this.wait.poll(cx).is_pending() {
            park(Reason::Join);
            return Poll::Pending;
        }
        let failure = this.shared.lock().failure.take();
        match failure {
            None => Poll::Ready(Ok(())),
            Some(Failure::Error(error)) => Poll::Ready(Err(error)),
            Some(Failure::Panic(payload)) => resume_unwind(payload),
            Some(Failure::Lost) => {
                panic!("a task of the group was cancelled by the end of its runtime; wait for the group before that")
            }
        }
    }
}

impl<E> fmt::Debug for WaitAll<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitAll").field("left", &self.shared.count.count()).finish()
    }
}
