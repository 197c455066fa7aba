//! Runtimes other than the default one, and what a runtime tells about itself.
//!
//! Most programs need nothing from here: [`spawn`](crate::spawn) and the rest use the runtime of the task or of the
//! [`block_on`](crate::block_on) around the call, and elsewhere the default one, which is started by the first who needs it, with
//! a worker for each processor that the process may use, or `GAMBOL_WORKERS` of them. `GAMBOL_TRACE` and `GAMBOL_SCHEDTRACE` make it tell
//! what it does: [`guide::tracing`](crate::guide::tracing).

pub use gambol_executor::{Builder, Handle, Metrics, Reason, Runtime, ShutdownTimeout, TaskInfo};
