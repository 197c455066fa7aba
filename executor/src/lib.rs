//! The scheduler of the gambol runtime. Only `gambol`'s API is promised; this crate may change with every release.
//!
//! In reading order:

// Tasks: the cell's metadata, the container around the user's future, handles, the table of the parked.
mod task;
// Where runnable tasks wait: rings, slots, the injector.
mod queue;
// Who is idle and how they are woken. Begin with `idle/README.md`.
mod idle;
// How much of its stack a worker has used.
mod stack;
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
// What wakes the monitor; that thread, which looks at the workers from outside; and what it finds.
mod alarm;
mod monitor;
mod stall;
// The threads that are ours; whether anything can go on at all.
mod deadlock;
mod ours;
// What others want of a worker; what a task may still spend; what a thread is; what time it is.
mod attention;
mod budget;
mod clock;
mod context;
// What tasks hand on to those that they spawn.
mod heritage;
// The shared state of a runtime, and how a task gets into a queue. What must not go on in the child of a fork.
mod core;
mod fork;
// Runtimes as users build and hold them, `block_on`, its thread's own tasks, and the pool for blocking work.
mod block_on;
mod builder;
mod local;
mod pool;
mod runtime;
// Counters, how long things take, trace points, the recording of these, and a line per interval.
#[doc(hidden)]
#[cfg(not(gambol_loom))]
pub mod bench;
mod histogram;
mod metrics;
mod schedtrace;
mod trace;
// What the tasks do now, as a table; the same when SIGQUIT comes; what `gambol-top` is told.
mod dump;
#[cfg(unix)]
mod sigquit;
#[cfg(unix)]
mod top;
// A lock that is one word, which the roof's channels use too; atomics and locks, std's or the model checker's.
#[doc(hidden)]
pub mod lock;
mod sync;

pub use budget::{Spent, has_remaining, on_credit, spend, unconstrained};
pub use builder::Builder;
pub use clock::Instant;
pub use context::{aside, beside, current_task, inside_runtime, park, random, task_depth};
pub use core::{discard, wake};
pub use deadlock::{Deadlock, parked_tasks};
pub use dump::{Interest, TaskDump, TaskInfo, TaskState};
pub use gambol_netpoll::{AsDescriptor, Direction, RawDescriptor};
pub use heritage::{Heritage, look_at_heritage, with_heritage};
pub use histogram::{Bucket, Histogram};
pub use io::{Done, Io};
pub use metrics::{Metrics, WorkerMetrics, WorkerState};
#[doc(hidden)]
pub use ours::spawn_thread;
pub use runtime::{
    Handle, Runtime, ShutdownTimeout, block_in_place, block_on, named, run_main, run_main_local, spawn, spawn_blocking,
    spawn_local,
};
#[cfg(unix)]
pub use sigquit::dump_on_sigquit;
pub use sleep::Sleep;
pub use stall::{Stall, StallSite};
pub use task::{AbortHandle, Id, JoinError, JoinHandle, Reason};
#[cfg(unix)]
pub use top::TopServer;
pub use trace::{Event, Tracer};
pub use virtual_time::{Advance, advance};
