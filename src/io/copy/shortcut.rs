//! The way past user space: from the reader's descriptor into a pipe of ours, and from there to the writer's, by `splice`.
//!
//! Only the bytes go this way. What else there is to know is asked of the reader and the writer themselves, so it is the
//! same as without a shortcut:
//!
//! - **Nothing there, or the end?** `splice` does not always know. From a TCP socket whose next byte is urgent it gives EAGAIN, or
//!   zero if the peer has finished, although there are bytes behind. So whenever it moves nothing, the reader is read
//!   into the buffer, which yields bytes, the end, an error or Pending, and waits in the usual way.
//! - **Socket empty, or pipe full?** EAGAIN could mean either, and a pipe is full when its slots are, be there one byte in each.
//!   So the pipe is filled only when it is empty: the chunk that was taken is written before the next one is.
//! - **The writer is not ready?** The pipe has bytes then, so here EAGAIN says just this, and the writer's readiness is cleared
//!   and waited for.
//! - **Refused?** A splice that the kernel refuses (which sockets it takes has changed with the versions; sandboxes forbid it) has
//!   moved nothing. The bytes that are in the pipe already are read into the buffer and written from there, and this copy
//!   tries no more. Errors of a connection are another matter: the kernel tells them once, so they are passed on.
//!
//! # When
//!
//! A request and its answer are copied faster through the buffer: two system calls and not four. So the shortcut is taken when 64 KiB
//! have been copied and a read has filled the buffer, which says that there is more; it is left when it moves less than
//! the buffer holds.
//!
//! # What was left
//!
//! - A pipe at one end could be spliced without ours between. That spares one cheap call and brings the question above back.
//! - Regular files. `splice` and `sendfile` from a file send its pages, not their contents of now: what somebody writes to
//!   the file after the copy has ended is still seen by the other side. (std gave it up for this.) To a file they copy
//!   all the same, and block.

use super::{
    ends::known,
    pipe::{self, Pipe},
    transfer::CAPACITY,
};
use rustix::io::Errno;
use std::{
    io,
    task::{Context, Poll, ready},
};

/// Bytes that must have been copied before a shortcut is worth while.
const WORTH: u64 = 64 * 1024;

#[derive(Default)]
pub(super) struct Shortcut {
    road: Road,
    /// Ours while there are bytes in it, or are expected at once.
    pipe: Option<Pipe>,
    /// Bytes that went this way so far.
    spliced: u64,
}

#[derive(Default, PartialEq)]
enum Road {
    /// Through the buffer, so far.
    #[default]
    Long,
    Short,
    /// Through the buffer for good.
    OnlyLong,
}

/// What became of the bytes in the pipe.
pub(super) enum Drained {
    /// There are none left.
    All,
    /// So many were written.
    Written(usize),
    /// So many were put into the buffer, to be written from there.
    Buffered(usize),
}

impl Shortcut {
    /// A read into the buffer gave `n` bytes, after `copied`.
    pub(super) fn consider(&mut self, n: usize, copied: u64) {
        if self.road == Road::Long && n == CAPACITY && copied >= WORTH {
            self.road = Road::Short;
        }
    }

    /// Moves bytes from the reader into the pipe, which is empty. Zero: the reader is to be read.
    pub(super) fn poll_fill<R: ?Sized, W: ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &R,
        writer: &W,
    ) -> Poll<io::Result<usize>> {
        if self.road != Road::Short {
            return Poll::Ready(Ok(0));
        }
        // A direction at rest is polled whenever the other one moves: it takes no pipe, and asks the kernel nothing.
        if let Some(from) = known(reader) {
            ready!(from.poll_readable(cx))?;
        }
        Poll::Ready(self.fill(reader, writer))
    }

    fn fill<R: ?Sized, W: ?Sized>(&mut self, reader: &R, writer: &W) -> io::Result<usize> {
        match self.try_fill(reader, writer) {
            Ok(n) => {
                if n != 0 && n < CAPACITY {
                    self.road = Road::Long;
                }
                Ok(n)
            }
            Err(Errno::AGAIN) => Ok(0),
            // No pipe now; perhaps later.
            Err(Errno::BUSY) => {
                self.road = Road::Long;
                Ok(0)
            }
            Err(errno) if is_refusal(errno) => {
                self.road = Road::OnlyLong;
                self.rest();
                Ok(0)
            }
            Err(errno) => Err(errno.into()),
        }
    }

    fn try_fill<R: ?Sized, W: ?Sized>(&mut self, reader: &R, writer: &W) -> rustix::io::Result<usize> {
        let (Some(from), Some(_)) = (known(reader), known(writer)) else {
            return Err(Errno::OPNOTSUPP);
        };
        let pipe = match &mut self.pipe {
            Some(pipe) => pipe,
            none => none.insert(pipe::take()?),
        };
        pipe.fill(from.descriptor())
    }

    /// Writes what is in the pipe, or a part. Done when it gives `All`.
    pub(super) fn poll_drain<W: ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        writer: &W,
        buffer: &mut [u8],
    ) -> Poll<io::Result<Drained>> {
        let Some(pipe) = self.pipe.as_mut().filter(|pipe| pipe.held() != 0) else {
            return Poll::Ready(Ok(Drained::All));
        };
        if self.road != Road::OnlyLong
            && let Some(to) = known(writer)
        {
            match ready!(to.poll_write_with(cx, &mut |descriptor| Ok(pipe.drain(descriptor)?))) {
                Ok(n) if n != 0 => {
                    self.spliced += n as u64;
                    return Poll::Ready(Ok(Drained::Written(n)));
                }
                Err(error) if !Errno::from_io_error(&error).is_some_and(is_refusal) => return Poll::Ready(Err(error)),
                _ => self.road = Road::OnlyLong,
            }
        }
        Poll::Ready(Ok(Drained::Buffered(pipe.read(buffer)?)))
    }

    /// Nothing is expected at once: somebody else may have the pipe.
    pub(super) fn rest(&mut self) {
        if let Some(pipe) = self.pipe.take() {
            pipe::give_back(pipe);
        }
    }

    /// Bytes in the pipe.
    pub(super) fn held(&self) -> usize {
        self.pipe.as_ref().map_or(0, Pipe::held)
    }

    /// Bytes that went this way so far.
    pub(super) fn spliced(&self) -> u64 {
        self.spliced
    }
}

impl Drop for Shortcut {
    fn drop(&mut self) {
        self.rest();
    }
}

/// Whether the kernel does not want to splice, and not: whether something is wrong with the connection.
fn is_refusal(errno: Errno) -> bool {
    matches!(errno, Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM | Errno::ACCESS | Errno::NOMEM)
}
