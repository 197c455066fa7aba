//! A pair of byte streams in memory: two [`simplex`]es, crosswise.

use super::simplex::{SimplexReader, SimplexWriter, read_by, simplex, write_by};
use futures_io::{AsyncRead, AsyncWrite};
use std::{
    io::{self, IoSlice, IoSliceMut},
    pin::Pin,
    task::{Context, Poll},
};

/// Two ends of a connection in memory, with a buffer of `capacity` bytes for each direction: what a socket pair is, without
/// the operating system. For tests, and wherever a stream is wanted.
///
/// # Panics
///
/// If the capacity is zero: no byte could ever pass.
///
/// # Examples
///
/// ```
/// use gambol::io::{self, AsyncReadExt, AsyncWriteExt};
///
/// # fn main() -> io::Result<()> {
/// gambol::block_on(async {
///     let (mut client, server) = io::duplex(1024);
///     gambol::spawn(async move { io::copy(&server, &server).await });
///     client.write_all(b"echo").await?;
///     let mut answer = [0; 4];
///     client.read_exact(&mut answer).await?;
///     assert_eq!(&answer, b"echo");
///     Ok(())
/// })
/// # }
/// ```
pub fn duplex(capacity: usize) -> (DuplexStream, DuplexStream) {
    let (a, b) = (simplex(capacity), simplex(capacity));
    (DuplexStream { reader: a.0, writer: b.1 }, DuplexStream { reader: b.0, writer: a.1 })
}

/// One end of a [`duplex`].
///
/// It is read and written by `&DuplexStream` too, so that one task may read while another writes. When it is closed, the other
/// end reads what was written, and then the end; when it is dropped, writes of the other end give `BrokenPipe` as well.
///
/// # Errors
///
/// `BrokenPipe` for writes after it was closed, or after the other end was dropped.
///
/// # Cancel safety
///
/// A read or write that was not ready has taken or written nothing.
#[derive(Debug)]
pub struct DuplexStream {
    reader: SimplexReader,
    writer: SimplexWriter,
}

impl DuplexStream {
    /// A part to read and a part to write, for two tasks. They share nothing.
    pub fn into_split(self) -> (SimplexReader, SimplexWriter) {
        (self.reader, self.writer)
    }
}

read_by!(DuplexStream, |this| &this.reader);
read_by!(&DuplexStream, |this| &this.reader);
write_by!(DuplexStream, |this| &this.writer);
write_by!(&DuplexStream, |this| &this.writer);
