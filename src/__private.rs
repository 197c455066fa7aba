//! What the macros call. Not promised to anyone else.
//!
//! A main or a test runs as an ordinary task if its future is `Send`, and stays on its thread otherwise. Which one it is, is
//! found by the order in which Rust looks for methods: `(&probe(&future)).road()` first tries [`Either::road`] of `Probe<F>`,
//! which exists for `F: Send` only, and then, by one more reference, [`Other::road`] of `&Probe<F>`. This works where the type
//! is known, so it is called in the code that the macro makes. That code must not contain the future's own `async` block:
//! inside one function body its being `Send` is decided too late. So the user's code becomes a function of its own, and the
//! result is reported in [`report`].
//!
//! The result is reported inside the task, so that a result that is not `Send` does not tie main to its thread. The future is
//! boxed: a main may be large, and without optimization it would be copied from stack frame to stack frame on its way into
//! the task.

pub use crate::task::Rota;
pub use futures_util::future::{maybe_done, try_maybe_done};

use gambol_executor as executor;
use std::{
    marker::PhantomData,
    panic,
    process::{ExitCode, Termination},
};

/// Runs the future and reports what it returns, as std does for main.
pub async fn report<F>(future: F) -> ExitCode
where
    F: Future,
    F::Output: Termination,
{
    future.await.report()
}

/// Stands for the type of a future.
pub struct Probe<F>(PhantomData<fn() -> F>);

/// What is known about this future?
pub fn probe<F>(_: &F) -> Probe<F> {
    Probe(PhantomData)
}

/// The road of what may move between threads.
pub struct AsTask;

/// The road of what may not.
pub struct OnThread;

/// Tried first.
pub trait Either {
    /// As a task.
    fn road(&self) -> AsTask {
        AsTask
    }
}

impl<F: Send + 'static> Either for Probe<F> {}

/// Tried when the first does not apply.
pub trait Other {
    /// On this thread.
    fn road(&self) -> OnThread {
        OnThread
    }
}

impl<F> Other for &Probe<F> {}

impl AsTask {
    /// Runs a main on the default runtime. A dump says of it where the macro stands.
    #[track_caller]
    pub fn main<F>(self, workers: Option<usize>, main: F) -> ExitCode
    where
        F: Future<Output = ExitCode> + Send + 'static,
    {
        executor::run_main(workers, Box::pin(main))
    }

    /// Runs a test on a runtime of its own.
    #[track_caller]
    pub fn test<F>(self, workers: usize, test: F) -> ExitCode
    where
        F: Future<Output = ExitCode> + Send + 'static,
    {
        let runtime = test_runtime(workers);
        match runtime.block_on(runtime.spawn(Box::pin(test))) {
            Ok(code) => code,
            // The hook has told of it already.
            Err(error) if error.is_panic() => panic::resume_unwind(error.into_panic()),
            Err(error) => panic!("{error}"),
        }
    }
}

impl OnThread {
    /// As for a task.
    pub fn main<F: Future<Output = ExitCode>>(self, workers: Option<usize>, main: F) -> ExitCode {
        executor::run_main_local(workers, Box::pin(main))
    }

    /// As for a task.
    pub fn test<F: Future<Output = ExitCode>>(self, workers: usize, test: F) -> ExitCode {
        test_runtime(workers).block_on(Box::pin(test))
    }
}

/// What `select!` is made of.
pub mod select {
    pub use crate::select::*;
}

fn test_runtime(workers: usize) -> executor::Runtime {
    executor::Builder::new()
        .workers(workers)
        .build()
        .unwrap_or_else(|error| panic!("the runtime for this test cannot be started: {error}"))
}
