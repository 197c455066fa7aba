//! The runtimes behind one trait, each used as its users would use it, at its best setting.
//!
//! The trait is dispatched statically: a workload is generic over its runtime and is compiled once for each, so nothing
//! of the harness sits between the workload and the runtime. The one function pointer is in
//! [`Peer`](crate::peer::Peer), outside of all that is measured.
//!
//! There are three traits, because not every peer can do it all: plain threads, a peer in the channels' rows, do what [`Tasks`]
//! asks, coroutines what [`Scheduler`] asks, and whoever runs futures that wait for anything is a [`Runtime`].
//!
//! Adding a runtime: a file beside this one, and a line in [`PEERS`](crate::peer::PEERS).

mod gambol;
mod may;
mod smol;
mod threads;
mod tokio;

pub use self::gambol::Gambol;
pub use self::may::May;
pub use self::smol::{Plain, Smol};
pub use self::threads::Threads;
pub use self::tokio::Tokio;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// What spawns and joins.
///
/// The functions without `self` are called inside a task and mean the task's runtime. A process starts one runtime at
/// most.
pub trait Tasks: Sized + 'static {
    /// What a spawn returns: a future of the task's output, that panics if the task did.
    type Join<T: Send + 'static>: Future<Output = T> + Send + 'static;

    /// Starts a runtime with so many worker threads; the calling thread is not one of them.
    fn start(workers: usize) -> Self;

    /// Blocks the calling thread, which is no worker, on a future.
    fn block_on<F: Future>(&self, future: F) -> F::Output;

    /// Spawns a task from a thread that does not belong to the runtime.
    fn spawn_from_outside<F>(&self, future: F) -> Self::Join<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static;

    /// Runs a future as a task on a worker, with the calling thread asleep until it has ended.
    fn run<F>(&self, future: F) -> F::Output
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        self.block_on(self.spawn_from_outside(future))
    }

    /// Spawns a task from inside a task.
    fn spawn<F>(future: F) -> Self::Join<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static;
}

/// Tasks that give way and sleep.
pub trait Scheduler: Tasks {
    /// Spawns a task that nobody will join.
    fn spawn_detached<F>(future: F)
    where
        F: Future<Output: Send + 'static> + Send + 'static;

    /// Lets the other tasks run.
    fn yield_now() -> impl Future<Output = ()> + Send;

    /// Waits. The runtime's own future, without a wrapper that would add to a task's size.
    fn sleep(duration: Duration) -> impl Future<Output: Send> + Send;
}

/// What a workload may ask of a runtime beyond that.
pub trait Runtime: Scheduler {
    /// A listening TCP socket.
    type Listener: Listener;

    /// Gives up on a future after a while: `None`.
    fn timeout<F>(duration: Duration, future: F) -> impl Future<Output = Option<F::Output>> + Send
    where
        F: Future<Output: Send> + Send;
}

/// A listening TCP socket.
pub trait Listener: Sized + Send + 'static {
    /// What it accepts.
    type Stream: Stream;

    /// Binds and listens.
    fn bind(address: SocketAddr) -> impl Future<Output = io::Result<Self>> + Send;

    /// Where it listens.
    fn local_addr(&self) -> io::Result<SocketAddr>;

    /// Waits for a connection; Nagle's algorithm is off in what it returns.
    fn accept(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

/// A connected TCP socket. The buffers go to the runtime's own traits, whichever these are, and what comes back is the runtime's own
/// future with nothing around it: what a connection's task takes in memory is a row.
pub trait Stream: Send + 'static {
    /// Reads some bytes; 0 at the end.
    fn read<'a>(&'a mut self, buffer: &'a mut [u8]) -> impl Future<Output = io::Result<usize>> + Send;

    /// Writes all of the bytes.
    fn write_all<'a>(&'a mut self, bytes: &'a [u8]) -> impl Future<Output = io::Result<()>> + Send;
}
