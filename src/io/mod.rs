//! The I/O traits, copying, streams of all kinds, and the standard ones.
//!
//! The traits are those of the `futures` crates, and so are their extensions: bring [`AsyncReadExt`] and [`AsyncWriteExt`] into
//! scope for `read`, `read_exact`, `write_all`, `flush`, `close` and the rest. With the feature `tokio-io`, gambol's types have
//! tokio's traits as well.

// Everything from here to there, and back.
pub(crate) mod copy;

// Whatever has a descriptor.
mod async_fd;

// Streams in memory: one way, both ways.
mod simplex;

mod duplex;

// Any stream in two parts.
mod split;

// The standard streams, by way of the blocking pool.
mod stdin;

mod stdout;

mod stderr;

// What the two outputs are; what all three have in common.
mod output;

mod standard;

// What they do when somebody has put them into non-blocking mode.
mod nonblocking;

// Those who wait for a standard stream, a file, or one in memory.
pub(crate) mod waiting;

pub use async_fd::Async;
pub use copy::{Copy, CopyBidirectional, copy, copy_bidirectional};
pub use duplex::{DuplexStream, duplex};
#[doc(no_inline)]
pub use futures_io::{AsyncBufRead, AsyncRead, AsyncSeek, AsyncWrite};
#[doc(no_inline)]
pub use futures_util::io::{
    AllowStdIo, AsyncBufReadExt, AsyncReadExt, AsyncSeekExt, AsyncWriteExt, BufReader, BufWriter, Chain, Cursor, Empty,
    LineWriter, Lines, ReadHalf, Repeat, ReuniteError, Sink, Take, WriteHalf, copy_buf, empty, repeat, sink,
};
#[doc(no_inline)]
pub use gambol_executor::AsDescriptor;
pub use simplex::{SimplexReader, SimplexWriter, simplex};
pub use split::split;
#[doc(no_inline)]
pub use std::io::{Error, ErrorKind, IoSlice, IoSliceMut, Result, SeekFrom};
pub use stderr::{Stderr, stderr};
pub use stdin::{Stdin, stdin};
pub use stdout::{Stdout, stdout};
