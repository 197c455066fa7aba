//! Tasks that differ from those that `spawn` makes.

use gambol_executor::JoinHandle;

/// Starts a task with a name.
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

    /// Starts the task in the current runtime, as [`spawn`](crate::spawn) does.
    #[track_caller]
    pub fn spawn<F>(self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        match self.name {
            Some(name) => gambol_executor::spawn_named(name, future),
            None => gambol_executor::spawn(future),
        }
    }
}
