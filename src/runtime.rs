//! Runtimes other than the default one, and what a runtime tells about itself.
//!
//! Most programs need nothing from here: [`spawn`](crate::spawn) and the rest use the runtime of the task or of the
//! [`block_on`](crate::block_on) around the call, and elsewhere the default one, which is started by the first who needs it, with
//! a worker for each processor that the process may use, or `GAMBOL_WORKERS` of them.
//!
//! # The environment
//!
//! What stands in the environment when the default runtime or that of `#[gambol::main]` starts:
//!
//! | variable | | |
//! | --- | --- | --- |
//! | `GAMBOL_WORKERS=4` | so many workers, 1 to 256 | [`Builder::workers`] |
//! | `GAMBOL_DUMP=sigquit` | SIGQUIT makes the program tell what its tasks do | [`guide::seeing`](crate::guide::seeing) |
//! | `GAMBOL_TOP=path` | `gambol-top` can look at it | [`guide::metrics`](crate::guide::metrics) |
//! | `GAMBOL_TRACE=file`, `GAMBOL_TRACE_EVENTS=n` | it records what the scheduler does | [`guide::tracing`](crate::guide::tracing) |
//! | `GAMBOL_SCHEDTRACE=1000` | it writes a line every so many milliseconds | [`guide::tracing`](crate::guide::tracing) |
//!
//! and besides, in any program `GAMBOL_LEAKS=30`, for tasks that seem to wait for each other for ever
//! ([`guide::deadlocks`](crate::guide::deadlocks)), and in tests `GAMBOL_SEED=7` ([`guide::testing`](crate::guide::testing)). What is no
//! sensible value is said to be ignored.

pub use gambol_executor::{
    Bucket, Builder, Deadlock, Direction, Handle, Histogram, Interest, Metrics, Reason, Runtime, ShutdownTimeout,
    Stall, StallSite, TaskDump, TaskInfo, TaskState, WorkerMetrics, WorkerState,
};
#[cfg(unix)]
pub use gambol_executor::{TopServer, dump_on_sigquit};
