//! An async runtime in which starting a task is as cheap and as careless as Go's `go`.
//!
//! Tasks run on as many worker threads as the process may use processors; `sleep` and I/O park the task, never the thread.
//! Everything works from any thread, without a runtime in sight: the default one starts when it is first needed.
//!
//! **Nothing stalls it.** A task that says that it blocks its thread ([`block_in_place`], a [`block_on`] inside a task) gives its place
//! to another worker at once. Behind one that blocks or computes without saying so a worker is added after some milliseconds:
//! [`guide::stalls`].
//!
//! **It tells what it does.** [`Handle::dump`](runtime::Handle::dump) lists all tasks with what they wait for, since when, and where they
//! were spawned: [`guide::seeing`]. There are [figures](guide::metrics) and a terminal view, a [trace](guide::tracing), a report
//! when [nothing goes on](guide::deadlocks), and for tests [virtual time and seeds](guide::testing). The environment asks for most
//! of these without a change to the program: [`runtime`] has the list.
//!
//! Tasks talk through [channels](chan), wait for the first of several things with [`select!`], and end together by a [`context`] or in a
//! [`TaskGroup`](task::TaskGroup). [`guide`] has a tour, and pages for those who come from Go or from tokio.
//!
//! # A service
//!
//! ```
//! use gambol::io::{self, AsyncReadExt, AsyncWriteExt};
//! use gambol::net::{TcpListener, TcpStream};
//!
//! #[gambol::main]
//! async fn main() -> io::Result<()> {
//!     let listener = TcpListener::bind("127.0.0.1:0").await?;
//!     let mut client = TcpStream::connect(listener.local_addr()?).await?;
//!     gambol::spawn(async move {
//!         while let Ok((peer, _)) = listener.accept().await {
//!             gambol::spawn(async move { io::copy(&peer, &peer).await });
//!         }
//!     });
//!
//!     client.write_all(b"echo").await?;
//!     let mut answer = [0; 4];
//!     client.read_exact(&mut answer).await?;
//!     assert_eq!(&answer, b"echo");
//!     Ok(())
//! }
//! ```
//!
//! # Features
//!
//! None is on by default.
//!
//! - `tokio-io`: tokio's `AsyncRead`, `AsyncWrite` and `AsyncSeek` on the same types; nothing of tokio runs.
//! - `log`, `tracing`: stalls are warnings in these crates, with the target `gambol`.
//!
//! # Platforms
//!
//! - **Linux** is where everything is tested and measured: epoll; copies between sockets and pipes that are spliced; reads of files
//!   that the page cache answers on the spot; children whose end a pidfd tells; stalls that are told from waiting for a processor;
//!   reports of deadlocks.
//! - **macOS** and **FreeBSD**: the same interface over kqueue, where whatever else the list above has is done in the ordinary way: copies
//!   go through a buffer, files through the blocking pool, and `SIGCHLD` tells of children. They are type-checked and not run; what
//!   stands in for epoll there is tested on Linux, over `poll` in place of kqueue.
//! - **Windows** has tasks, channels, timers, locks, TCP, UDP, files and the standard streams, type-checked and not run. It has no
//!   `process`, no Unix sockets and no `signal::unix`; [`signal::ctrl_c`] gives `Unsupported`. [`io::Async`] takes sockets
//!   (`AsSocket`) only.
//!
//! What a single system has, such as `TcpSocket::bind_device` on Linux, is not there on the others.

// Tasks: awaiting, aborting and naming them, and giving way to others.
pub mod task;

// Deadlines: sleeping, time limits, ticks.
pub mod time;

// When a piece of work is to end, and what goes with it.
pub mod context;

// Sockets.
pub mod net;

// The I/O traits, copying, and the standard streams.
pub mod io;

// Files and directories.
pub mod fs;

// Child processes.
#[cfg(unix)]
pub mod process;

// Signals from the operating system.
pub mod signal;

// Channels.
pub mod chan;

// Locks, permits, notifications.
pub mod sync;

// `select!`: the first of several futures.
mod select;

// tokio's I/O traits on the same types.
#[cfg(feature = "tokio-io")]
mod tokio_io;

// Runtimes other than the default one, and what a runtime tells about itself.
pub mod runtime;

// A tour, and pages for those who come from elsewhere.
pub mod guide;

// What the attribute macros call.
#[doc(hidden)]
pub mod __private;

pub use gambol_executor::{block_in_place, block_on, spawn, spawn_blocking, spawn_local};
pub use gambol_macros::{main, test};
pub use task::yield_now;
pub use time::sleep;

/// Compiles the service in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
