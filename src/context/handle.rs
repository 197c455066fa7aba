//! The context itself: what ends it, and what it carries.
//!
//! It is nothing, or an `Arc` of what is made once and never changed: an [`Ending`], in which the values stand as well, or a
//! [`Carries`], for a context that adds values to an ending that has others. That `Arc` is also what `spawn` hands on
//! (`gambol_executor::Heritage`), so entering a scope allocates nothing and inheriting costs a clone.

use super::{Cancelled, CancelledOwned, Canceller, Cause, Run, Scope, ending::Ending, values::Values};
use crate::time::{Duration, Instant};
use gambol_executor::{Heritage, look_at_heritage, with_heritage};
use std::{fmt, sync::Arc};

/// What a piece of work has in common, with all the work that it starts: when it is to end, and values that go with it.
///
/// Contexts form a tree. Each is made from another one, its parent, and ends with it at the latest, with the same [`Cause`].
/// Clones are the same context. To end is a request: the work looks at [`is_cancelled`](Self::is_cancelled), awaits
/// [`cancelled`](Self::cancelled), or runs inside [`run`](Self::run), which drops it.
///
/// ```
/// use gambol::{context::Context, time::{Duration, sleep}};
///
/// # gambol::block_on(async {
/// let request = Context::background().with_value("ann").with_timeout(Duration::from_millis(5));
/// let outcome = request.run(async {
///     // Tasks inherit the context.
///     let user = gambol::spawn(async { Context::current().value::<&str>() });
///     assert_eq!(user.await.unwrap(), Some("ann"));
///     sleep(Duration::MAX).await
/// });
/// assert!(outcome.await.unwrap_err().is_timeout());
/// # });
/// ```
///
/// # What it costs
///
/// Whoever uses none pays a load and a branch per spawn. A task that inherits one has an allocation more. A context that adds
/// only a value, or a deadline that is no earlier than its parent's, takes no place in the tree. Cancelling takes time in
/// proportion to what is below in the tree, and dropping takes constant time; neither recurses.
#[derive(Clone, Default)]
pub struct Context(Option<Inner>);

/// Not the background.
#[derive(Clone)]
enum Inner {
    Ends(Arc<Ending>),
    Carries(Arc<Carries>),
}

struct Carries {
    /// None: it does not end.
    ending: Option<Arc<Ending>>,
    values: Arc<Values>,
}

impl Context {
    /// The root: it never ends and carries nothing.
    pub const fn background() -> Context {
        Context(None)
    }

    /// The context whose scope this code runs in: that of the innermost [`scope`](Self::scope), or the one that its task has
    /// inherited, or else the background.
    pub fn current() -> Context {
        look_at_heritage(|heritage| {
            let inner = |heritage: &Heritage| match Arc::downcast(heritage.clone()) {
                Ok(ending) => Some(Inner::Ends(ending)),
                Err(other) => other.downcast().ok().map(Inner::Carries),
            };
            Context(heritage.and_then(inner))
        })
    }

    /// A child that the [`Canceller`] ends.
    pub fn with_cancel(&self) -> (Context, Canceller) {
        let ending = Ending::with_values(self.ending().cloned(), self.values().cloned());
        (Context(Some(Inner::Ends(ending.clone()))), Canceller::new(ending))
    }

    /// A child that ends after `delay` by itself, with a cause whose [`is_timeout`](Cause::is_timeout) is true.
    ///
    /// The delay counts from this call; `Duration::MAX` is never.
    pub fn with_timeout(&self, delay: Duration) -> Context {
        self.with_deadline(Instant::now() + delay)
    }

    /// A child that ends at `deadline` by itself, with a cause whose [`is_timeout`](Cause::is_timeout) is true.
    ///
    /// Never early; late by the time that the system needs to wake a thread, some tens of microseconds, plus what a worker is
    /// just doing. It ends though nobody waits for it, and outside of any runtime as well: then the default one calls. A
    /// deadline that is later than the parent's changes nothing, and one that has passed ends it at once.
    pub fn with_deadline(&self, deadline: Instant) -> Context {
        self.until(deadline, || None)
    }

    /// As [`with_timeout`](Self::with_timeout), with a cause that says what took too long: a text, an error.
    ///
    /// ```
    /// use gambol::{context::Context, time::Duration};
    ///
    /// # gambol::block_on(async {
    /// let context = Context::current().with_timeout_cause(Duration::from_millis(5), "the name server does not answer");
    /// let cause = context.run(std::future::pending::<()>()).await.unwrap_err();
    /// assert!(cause.is_timeout());
    /// assert_eq!(cause.to_string(), "the name server does not answer");
    /// # });
    /// ```
    pub fn with_timeout_cause(&self, delay: Duration, cause: impl Into<Cause>) -> Context {
        self.with_deadline_cause(Instant::now() + delay, cause)
    }

    /// As [`with_deadline`](Self::with_deadline), with a cause that says what took too long: a text, an error.
    ///
    /// [`is_timeout`](Cause::is_timeout) is true of it all the same. It is for this deadline only: if the parent ends before, or has a
    /// deadline that is no later, the cause is the parent's.
    pub fn with_deadline_cause(&self, deadline: Instant, cause: impl Into<Cause>) -> Context {
        self.until(deadline, || Some(Box::new(cause.into().of_deadline())))
    }

    fn until(&self, deadline: Instant, late: impl FnOnce() -> Option<Box<Cause>>) -> Context {
        let parents = self.deadline().unwrap_or(Instant::NEVER);
        if deadline >= parents {
            return self.clone();
        }
        let ending = Ending::with_deadline(self.ending().cloned(), deadline, late(), self.values().cloned());
        Context(Some(Inner::Ends(ending)))
    }

    /// The same with a value, which hides that of an outer context of the same type. It ends as this one does.
    ///
    /// Values are found by their type, so give each meaning a type of its own. They are for what goes with a request through
    /// code that need not know of it, and no replacement for arguments.
    pub fn with_value<V: Send + Sync + 'static>(&self, value: V) -> Context {
        let values = Values::new(value, self.values().cloned());
        Context(Some(Inner::Carries(Arc::new(Carries { ending: self.ending().cloned(), values }))))
    }

    /// The same values in a context that does not end: for work that goes on after the request that has started it.
    pub fn without_cancel(&self) -> Context {
        let Some(values) = self.values().cloned() else { return Context::background() };
        Context(Some(Inner::Carries(Arc::new(Carries { ending: None, values }))))
    }

    /// A clone of the innermost value of this type, if there is one.
    pub fn value<V: Clone + Send + Sync + 'static>(&self) -> Option<V> {
        Values::find(self.values().map(|values| &**values)).cloned()
    }

    /// Whether it has ended.
    #[inline]
    pub fn is_cancelled(&self) -> bool {
        self.ending().is_some_and(|ending| ending.has_ended())
    }

    /// Why it has ended, if it has. The first cause stays.
    pub fn cause(&self) -> Option<Cause> {
        self.ending()?.cause()
    }

    /// When it ends by itself, at the latest; none: not by itself. Never later than its parent's.
    pub fn deadline(&self) -> Option<Instant> {
        self.ending()?.deadline()
    }

    /// Completes when the context has ended; the background's never does.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost; it gives back its place among those who wait.
    pub fn cancelled(&self) -> Cancelled<'_> {
        Cancelled::new(self.ending())
    }

    /// As [`cancelled`](Self::cancelled), without a borrow of the context.
    pub fn cancelled_owned(&self) -> CancelledOwned {
        CancelledOwned::new(self.ending().cloned())
    }

    /// Runs a future in this context: inside it is [`Context::current`], and what is spawned there inherits it: tasks of every
    /// kind, and closures in the blocking pool. Threads of std's do not.
    ///
    /// The future goes on when the context ends; see [`run`](Self::run). It is dropped inside as well.
    ///
    /// # Cancel safety
    ///
    /// As the future's.
    pub fn scope<F: IntoFuture>(&self, future: F) -> Scope<F::IntoFuture> {
        Scope::new(self.clone(), future.into_future())
    }

    /// Runs a closure in this context, as [`scope`](Self::scope) does with a future.
    pub fn sync_scope<R>(&self, f: impl FnOnce() -> R) -> R {
        // On the stack until `f` has returned.
        let heritage = self.heritage();
        with_heritage(heritage.as_ref(), f)
    }

    /// Runs a future in this context, as [`scope`](Self::scope) does, until it completes or the context ends.
    ///
    /// The future is polled first: if both are ready, its output wins, also in a context that had ended before.
    ///
    /// # Errors
    ///
    /// The [`Cause`], when the context has ended first. The future has then been dropped. Tasks that it had spawned go on;
    /// they see the end through their own context.
    ///
    /// # Cancel safety
    ///
    /// As the future's, both when this is dropped and when the context ends.
    pub fn run<F: IntoFuture>(&self, future: F) -> Run<F::IntoFuture> {
        Run::new(self.ending().cloned(), self.scope(future))
    }

    fn ending(&self) -> Option<&Arc<Ending>> {
        match self.0.as_ref()? {
            Inner::Ends(ending) => Some(ending),
            Inner::Carries(carries) => carries.ending.as_ref(),
        }
    }

    fn values(&self) -> Option<&Arc<Values>> {
        match self.0.as_ref()? {
            Inner::Ends(ending) => ending.values(),
            Inner::Carries(carries) => Some(&carries.values),
        }
    }

    /// For the executor.
    pub(crate) fn heritage(&self) -> Option<Heritage> {
        Some(match self.0.clone()? {
            Inner::Ends(ending) => ending,
            Inner::Carries(carries) => carries,
        })
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_none() {
            return f.write_str("Context(background)");
        }
        let mut out = f.debug_struct("Context");
        out.field("cause", &self.cause()).field("deadline", &self.deadline()).field("ends", &self.ending().is_some());
        out.finish_non_exhaustive()
    }
}
