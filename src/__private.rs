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

use gambol_executor::{
    self as executor,
    named::{self, Particulars},
};
use std::{
    env,
    marker::PhantomData,
    panic::{self, Location},
    process::{ExitCode, Termination},
    thread,
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
    pub fn test<F>(self, setup: Setup, test: F) -> ExitCode
    where
        F: Future<Output = ExitCode> + Send + 'static,
    {
        let (runtime, mut told) = setup.start();
        let test = Box::pin(test);
        let particulars = Particulars { location: Some(Location::caller()), ..Particulars::default() };
        // It is spawned inside, where the order is drawn from the beginning.
        match runtime.block_on(async { named::spawn(None, particulars, test).await }) {
            Ok(code) => told.end(code),
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
    pub fn test<F: Future<Output = ExitCode>>(self, setup: Setup, test: F) -> ExitCode {
        let (runtime, mut told) = setup.start();
        let code = runtime.block_on(Box::pin(test));
        told.end(code)
    }
}

/// What `select!` is made of.
pub mod select {
    pub use crate::select::*;
}

/// What the attribute of a test says.
pub struct Setup {
    workers: usize,
    virtual_time: bool,
    seed: Option<u64>,
}

/// See [`Setup`].
pub fn setup(workers: usize, virtual_time: bool, seed: Option<u64>) -> Setup {
    Setup { workers, virtual_time, seed }
}

impl Setup {
    fn start(self) -> (executor::Runtime, Told) {
        let drawn = self.virtual_time || self.seed.is_some();
        // Half as long as it could be, for those who type it.
        let seed = self.seed.or_else(seed_from_environment).unwrap_or_else(|| executor::random() >> 32);
        let builder = executor::Builder::new().workers(self.workers).virtual_time(self.virtual_time);
        let builder = if drawn { builder.seed(seed) } else { builder.choices(seed) };
        let runtime =
            builder.build().unwrap_or_else(|error| panic!("the runtime for this test cannot be started: {error}"));
        (runtime, Told { seed, given: self.seed.is_some(), drawn, failed: false })
    }
}

fn seed_from_environment() -> Option<u64> {
    let text = env::var_os("GAMBOL_SEED")?;
    let seed = text.to_str().and_then(|text| text.parse().ok());
    if seed.is_none() {
        eprintln!("gambol: GAMBOL_SEED={text:?} is not a number of at most 64 bits, and is ignored");
    }
    seed
}

/// Tells the seed of a test that fails, when it is dropped.
struct Told {
    seed: u64,
    /// It stands in the source.
    given: bool,
    /// It is that of the order, and not only of the random choices.
    drawn: bool,
    failed: bool,
}

impl Told {
    fn end(&mut self, code: ExitCode) -> ExitCode {
        self.failed = code != ExitCode::SUCCESS;
        code
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        if !self.failed && !thread::panicking() {
            return;
        }
        let seed = self.seed;
        match (self.drawn, self.given) {
            (true, true) => eprintln!("gambol: the order in this test was drawn from its seed, {seed}"),
            (true, false) => eprintln!(
                "gambol: the order in this test was drawn from seed {seed}; run it with GAMBOL_SEED={seed} to repeat it"
            ),
            (false, _) => eprintln!(
                "gambol: the random choices in this test were drawn from seed {seed}; GAMBOL_SEED={seed} repeats these, but not \
                 how its workers met: add virtual_time or a seed to the attribute for that"
            ),
        }
    }
}
