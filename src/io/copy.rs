//! Everything from a reader to a writer.

use futures_io::{AsyncRead, AsyncWrite};
use gambol_executor::spend;
use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// Bytes that are on their way at most, and so what every copy that waits holds.
const CAPACITY: usize = 16 * 1024;

/// Copies until the reader ends, flushes the writer, and yields the number of bytes. The writer is not closed.
///
/// Whenever the reader has nothing more at the moment, the writer is flushed, so that whoever sits at its other end waits for
/// nothing that has already come. Both may be given as `&mut`; sockets as `&` too.
///
/// # Errors
///
/// The first that the reader or the writer gives, except `Interrupted`; `WriteZero` when the writer takes nothing more.
///
/// # Cancel safety
///
/// Bytes that were read and not yet written are lost, up to 16 KiB.
pub fn copy<R, W>(reader: R, writer: W) -> Copy<R, W>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    Copy { reader, writer, buffer: Box::default(), start: 0, end: 0, copied: 0, at_end: false, to_flush: false }
}

/// See [`copy`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct Copy<R, W> {
    reader: R,
    writer: W,
    /// Empty until the first poll.
    buffer: Box<[u8]>,
    /// What was read and not yet written: `buffer[start..end]`.
    start: usize,
    end: usize,
    copied: u64,
    /// The reader has ended.
    at_end: bool,
    /// Something was written since the writer was flushed.
    to_flush: bool,
}

impl<R, W> Copy<R, W>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.buffer.is_empty() {
            self.buffer = vec![0; CAPACITY].into_boxed_slice();
        }
        let n = ready!(Pin::new(&mut self.reader).poll_read(cx, &mut self.buffer))?;
        (self.start, self.end) = (0, n);
        self.at_end = n == 0;
        Poll::Ready(Ok(()))
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.start < self.end {
            let n = ready!(Pin::new(&mut self.writer).poll_write(cx, &self.buffer[self.start..self.end]))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.start += n;
            self.copied += n as u64;
            self.to_flush = true;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.to_flush {
            ready!(Pin::new(&mut self.writer).poll_flush(cx))?;
            self.to_flush = false;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_copy(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        loop {
            ready!(self.poll_drain(cx))?;
            if self.at_end {
                ready!(self.poll_flush(cx))?;
                return Poll::Ready(Ok(self.copied));
            }
            match self.poll_fill(cx) {
                Poll::Ready(result) => result?,
                Poll::Pending => {
                    ready!(self.poll_flush(cx))?;
                    return Poll::Pending;
                }
            }
            // For readers and writers that are always ready and know no budget.
            let _spent = ready!(spend(cx));
        }
    }
}

impl<R, W> Future for Copy<R, W>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    type Output = io::Result<u64>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        loop {
            match ready!(self.poll_copy(cx)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return Poll::Ready(result),
            }
        }
    }
}

impl<R, W> fmt::Debug for Copy<R, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Copy")
            .field("copied", &self.copied)
            .field("held", &(self.end - self.start))
            .field("at_end", &self.at_end)
            .finish_non_exhaustive()
    }
}
