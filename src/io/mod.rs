//! The I/O traits, copying, and the standard streams.
//!
//! The traits are those of the `futures` crates, and so are their extensions: bring [`AsyncReadExt`] and [`AsyncWriteExt`] into
//! scope for `read`, `read_exact`, `write_all`, `flush`, `close` and the rest.

// Everything from here to there.
mod copy;
// The standard streams, by way of the blocking pool.
mod stdin;
mod stdout;
// Those who wait for a standard stream or a file.
pub(crate) mod waiting;

pub use copy::{Copy, copy};
#[doc(no_inline)]
pub use futures_io::{AsyncBufRead, AsyncRead, AsyncSeek, AsyncWrite};
#[doc(no_inline)]
pub use futures_util::io::{AsyncBufReadExt, AsyncReadExt, AsyncSeekExt, AsyncWriteExt, BufReader, BufWriter};
#[doc(no_inline)]
pub use std::io::{Error, ErrorKind, IoSlice, IoSliceMut, Result, SeekFrom};
pub use stdin::{Stdin, stdin};
pub use stdout::{Stdout, stdout};
