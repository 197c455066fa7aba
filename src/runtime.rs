//! Runtimes other than the default one, and what a runtime tells about itself.
//!
//! Most programs need nothing from here: [`spawn`](crate::spawn) and the rest use the runtime of the task or of the
//! [`block_on`](crate::block_on) around the call, and elsewhere the default one, which is started by the first who needs it, with
//! a worker for each processor that the process may use, or `GAMBOL_WORKERS` of them.
//!
//! With `GAMBOL_DUMP=sigquit` in the environment, SIGQUIT makes the program tell what its tasks do; see
//! [`guide::seeing`](crate::guide::seeing). With `GAMBOL_TOP=path` it can be looked at: [`guide::metrics`](crate::guide::metrics).

pub use gambol_executor::{
    Bucket, Builder, Deadlock, Direction, Handle, Histogram, Interest, Metrics, Reason, Runtime, ShutdownTimeout,
    Stall, TaskDump, TaskInfo, TaskState, WorkerMetrics, WorkerState,
};
#[cfg(unix)]
pub use gambol_executor::{TopServer, dump_on_sigquit};
