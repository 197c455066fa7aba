//! Tasks that differ from those that `spawn` makes.

use crate::context::Context;
use gambol_executor::{
    Handle, JoinHandle,
    named::{self, Particulars},
};

/// Starts a task with a name, or with another context than the one in scope.
///
/// ```
/// # gambol::block_on(async {
/// let sum = gambol::task::Builder::new().name("sum").spawn(async { 1 + 2 });
/// assert_eq!(sum.await?, 3);
/// # Ok::<(), gambol::task::JoinError>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug, Default)]
pub struct Builder {
    name: Option<Box<str>>,
    /// None: the one in scope.
    context: Option<Context>,
}

impl Builder {
    /// As [`spawn`](crate::spawn) does it.
    pub fn new() -> Builder {
        Builder::default()
    }

    /// The name that reports show beside the id. It costs the task one more allocation.
    pub fn name(mut self, name: impl Into<String>) -> Builder {
        self.name = Some(name.into().into_boxed_str());
        self
    }

    /// The [`Context::current`] of the task, in place of the one that it would inherit. [`Context::background`]: none.
    pub fn context(mut self, context: Context) -> Builder {
        self.context = Some(context);
        self
    }

    /// Starts the task in the current runtime, as [`spawn`](crate::spawn) does.
    #[track_caller]
    pub fn spawn<F>(self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        named::spawn(None, self.particulars(), future)
    }

    /// Starts the task in the runtime that the handle stands for, as [`Handle::spawn`] does.
    #[track_caller]
    pub fn spawn_on<F>(self, handle: &Handle, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        named::spawn(Some(handle), self.particulars(), future)
    }

    /// Starts a task that stays on this thread, as [`spawn_local`](crate::spawn_local) does.
    ///
    /// # Panics
    ///
    /// As `spawn_local`: on a thread that is not in `block_on`.
    #[track_caller]
    pub fn spawn_local<F>(self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        named::spawn_local(self.particulars(), future)
    }

    /// Runs a closure that may block, as [`spawn_blocking`](crate::spawn_blocking) does.
    #[track_caller]
    pub fn spawn_blocking<T: Send + 'static>(self, job: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        named::spawn_blocking(self.particulars(), job)
    }

    fn particulars(self) -> Particulars {
        Particulars { name: self.name, heritage: self.context.map(|context| context.heritage()), location: None }
    }
}
