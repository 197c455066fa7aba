//! Copying in one direction.

use super::transfer::Transfer;
use futures_io::{AsyncRead, AsyncWrite};
use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll},
};

/// Copies until the reader ends, flushes the writer, and yields the number of bytes. The writer is not closed.
///
/// Whenever the reader has nothing more at the moment, the writer is flushed, so that whoever sits at its other end waits for
/// nothing that has already come. Both may be given as `&mut`; sockets as `&` too.
///
/// On Linux, a copy of more than 64 KiB from one socket or pipe of this crate to another, to itself or to a regular
/// [`fs::File`](crate::fs::File) is done inside the kernel (`splice`). It shows in nothing but speed; wherever the kernel refuses,
/// the bytes go through memory, as they do for all other readers and writers. What wraps such a type is another type: its
/// bytes do not go past it. Files are read, never spliced from: the kernel would send their pages, and a change to the file after
/// the copy could still reach the receiver.
///
/// # Errors
///
/// The first that the reader or the writer gives, except `Interrupted`; `WriteZero` when the writer takes nothing more. What
/// was read and not yet written is lost then too.
///
/// # Cancel safety
///
/// Bytes that were read and not yet written are lost: up to 16 KiB, or where the copy is done inside the kernel up to 256 KiB, and
/// up to 1 MiB on the way to a file. What a thread has begun to write to a file it writes to the end; the file's next
/// operation waits for that.
pub fn copy<R, W>(reader: R, writer: W) -> Copy<R, W>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    Copy { reader, writer, transfer: Transfer::default() }
}

/// See [`copy`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct Copy<R, W> {
    reader: R,
    writer: W,
    transfer: Transfer,
}

impl<R, W> Future for Copy<R, W>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    type Output = io::Result<u64>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        let this = &mut *self;
        this.transfer.poll(cx, &mut this.reader, &mut this.writer)
    }
}

impl<R, W> fmt::Debug for Copy<R, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Copy").field("transfer", &self.transfer).finish_non_exhaustive()
    }
}
