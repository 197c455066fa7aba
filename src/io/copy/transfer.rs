//! The bytes of one direction, from a reader to a writer that are handed in at each poll.
//!
//! A chunk is read only when the one before it has been written, so what is under way is bounded and the reader feels the
//! writer's pace. The chunk is in the buffer, or in the shortcut's pipe.

use super::shortcut::{Drained, Shortcut};
use futures_io::{AsyncRead, AsyncWrite};
use gambol_executor::spend;
use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// Bytes in the buffer at most, and so what every copy that waits holds.
pub(super) const CAPACITY: usize = 16 * 1024;

/// Bytes that are read in one poll, before others get their turn. The budget counts operations, and is none at all under
/// another executor; without this, an endless reader would keep it, and the other direction, waiting.
const AT_A_TIME: usize = 1024 * 1024;

#[derive(Default)]
pub(super) struct Transfer {
    /// Empty until the first poll.
    buffer: Box<[u8]>,
    /// What was read and not yet written: `buffer[start..end]`, and before any of it, nothing in the shortcut.
    start: usize,
    end: usize,
    copied: u64,
    /// The reader has ended.
    at_end: bool,
    /// Nothing was written since the writer was flushed. At first this is not so: it may hold what was written before.
    flushed: bool,
    shortcut: Shortcut,
}

impl Transfer {
    /// Copies until the reader ends, and flushes.
    pub(super) fn poll<R, W>(&mut self, cx: &mut Context<'_>, reader: &mut R, writer: &mut W) -> Poll<io::Result<u64>>
    where
        R: AsyncRead + Unpin + ?Sized,
        W: AsyncWrite + Unpin + ?Sized,
    {
        loop {
            match ready!(self.poll_copy(cx, reader, writer)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return Poll::Ready(result),
            }
        }
    }

    fn poll_copy<R, W>(&mut self, cx: &mut Context<'_>, reader: &mut R, writer: &mut W) -> Poll<io::Result<u64>>
    where
        R: AsyncRead + Unpin + ?Sized,
        W: AsyncWrite + Unpin + ?Sized,
    {
        let mut left = AT_A_TIME;
        loop {
            ready!(self.poll_drain(cx, writer))?;
            if self.at_end {
                ready!(self.poll_flush(cx, writer))?;
                return Poll::Ready(Ok(self.copied));
            }
            if left == 0 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            match self.poll_fill(cx, reader, writer) {
                Poll::Ready(n) => left = left.saturating_sub(n?),
                Poll::Pending => {
                    self.shortcut.rest();
                    ready!(self.poll_flush(cx, writer))?;
                    return Poll::Pending;
                }
            }
            // For readers and writers that are always ready and know no budget.
            let _spent = ready!(spend(cx));
        }
    }

    fn poll_fill<R, W>(&mut self, cx: &mut Context<'_>, reader: &mut R, writer: &W) -> Poll<io::Result<usize>>
    where
        R: AsyncRead + Unpin + ?Sized,
        W: AsyncWrite + Unpin + ?Sized,
    {
        let n = ready!(self.shortcut.poll_fill(cx, reader, writer))?;
        if n != 0 {
            return Poll::Ready(Ok(n));
        }
        if self.buffer.is_empty() {
            self.buffer = vec![0; CAPACITY].into_boxed_slice();
        }
        let n = ready!(Pin::new(reader).poll_read(cx, &mut self.buffer))?;
        (self.start, self.end) = (0, n);
        self.at_end = n == 0;
        self.shortcut.consider(n, self.copied);
        Poll::Ready(Ok(n))
    }

    fn poll_drain<W>(&mut self, cx: &mut Context<'_>, writer: &mut W) -> Poll<io::Result<()>>
    where
        W: AsyncWrite + Unpin + ?Sized,
    {
        loop {
            while self.start < self.end {
                let n = ready!(Pin::new(&mut *writer).poll_write(cx, &self.buffer[self.start..self.end]))?;
                if n == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.start += n;
                self.wrote(n);
            }
            match ready!(self.shortcut.poll_drain(cx, writer, &mut self.buffer))? {
                Drained::All => return Poll::Ready(Ok(())),
                Drained::Written(n) => self.wrote(n),
                Drained::Buffered(n) => (self.start, self.end) = (0, n),
            }
        }
    }

    fn poll_flush<W>(&mut self, cx: &mut Context<'_>, writer: &mut W) -> Poll<io::Result<()>>
    where
        W: AsyncWrite + Unpin + ?Sized,
    {
        if !self.flushed {
            ready!(Pin::new(writer).poll_flush(cx))?;
            self.flushed = true;
        }
        Poll::Ready(Ok(()))
    }

    fn wrote(&mut self, n: usize) {
        self.copied += n as u64;
        self.flushed = false;
    }
}

impl fmt::Debug for Transfer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transfer")
            .field("copied", &self.copied)
            .field("spliced", &self.shortcut.spliced())
            .field("held", &(self.end - self.start + self.shortcut.held()))
            .field("at_end", &self.at_end)
            .finish_non_exhaustive()
    }
}
