//! The scheduler of the gambol runtime. Only `gambol`'s API is promised; this crate may change with every release.
//!
//! In reading order:

// Tasks: the cell's metadata, the container around the user's future, handles, the table of the parked.
mod task;
// Where runnable tasks wait: rings, slots, the injector.
mod queue;
// Who is idle and how they are woken. Begin with `idle/README.md`.
mod idle;
// A worker: its loop, its looks at the clock, stealing and sleeping, blocking, the table of all workers.
mod worker;
// The seam to `gambol-netpoll` and `gambol-timer`.
mod driver;
// Timers: a wheel under a lock; and the future that waits for one.
mod shard;
mod sleep;
// Descriptors: the future's side of the poller.
mod io;
// Where tasks run in virtual time, or in an order that is drawn from a seed.
mod stage;
mod virtual_time;
// The thread that looks at the workers from outside.
mod monitor;
// What others want of a worker; what a task may still spend; what a thread is; what time it is.
mod attention;
mod budget;
mod clock;
mod context;
// What tasks hand on to those that they spawn.
mod heritage;
// The shared state of a runtime, and how a task gets into a queue.
mod core;
// Runtimes as users hold them, `block_on`, its thread's own tasks, and the pool for blocking work.
mod block_on;
mod local;
mod pool;
mod runtime;
// Counters and trace points.
#[doc(hidden)]
#[cfg(not(gambol_loom))]
pub mod bench;
mod metrics;
mod trace;
// Atomics and locks, std's or the model checker's.
mod sync;

pub use budget::{Spent, has_remaining, on_credit, spend, unconstrained};
pub use clock::Instant;
pub use context::{current_task, inside_runtime, park, random, task_depth};
pub use core::{discard, wake};
pub use gambol_netpoll::{AsDescriptor, Direction};
pub use heritage::{Heritage, look_at_heritage, with_heritage};
pub use io::{Done, Io};
pub use metrics::Metrics;
pub use runtime::{
    Builder, Handle, Runtime, ShutdownTimeout, block_in_place, block_on, named, run_main, run_main_local, spawn,
    spawn_blocking, spawn_local,
};
pub use sleep::Sleep;
pub use task::{AbortHandle, Id, JoinError, JoinHandle, Reason, TaskInfo};
pub use trace::{Event, Tracer};
pub use virtual_time::{Advance, advance};
