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
//! # Into a file
//!
//! A regular file is always ready and makes whoever writes to it wait for the disk. So the pipe itself goes to the blocking
//! pool, in a job that drains it at the file's position and brings it back; the file lends itself as to its own jobs, one at a
//! time and in order (`File::poll_take`). If the copy is dropped meanwhile, the job goes on to its end and then the pipe is closed.
//! A job that has written something and then failed says how much; the next one is told the error again. Files that splicing does
//! not suit (in append mode, devices, FIFOs) are a refusal as above.
//!
//! From a connection into a new file, on two busy cores, beside the road through a buffer of 16 KiB and the file's own
//! (ms of CPU per GB, medians of 4, in turns):
//!
//! | | tmpfs | ext4 |
//! |---|---|---|
//! | buffer of 16 KiB | 913 | 1039 |
//! | buffer of 64 KiB | 719 | 774 |
//! | buffer of 256 KiB | 732 | 801 |
//! | pipe of 256 KiB | 828 | 670 |
//! | pipe of 1 MiB | 604 | 405 |
//!
//! It pays in CPU only. The buffer's road fills while the file's job writes; this one does one thing after the other, and is
//! slower by a tenth or more where a second core is free (`benches/README.md` has both).
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
//! - From regular files. `splice` and `sendfile` send a file's pages, not their contents of now: what somebody writes to
//!   the file after the copy has ended is still seen by the other side. (std gave it up for this.)
//! - From file to file, by `copy_file_range`. `fs::copy` is for that.
//! - Filling a second pipe while the first one is drained into a file. It would be faster where cores are idle, and cost as much.

use super::{
    ends::{known, known_file},
    pipe::{self, Pipe},
    transfer::CAPACITY,
};
use crate::fs::{Call, Off};
use rustix::io::{Errno, retry_on_intr};
use std::{
    fs, io,
    os::fd::AsFd,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// Bytes that must have been copied before a shortcut is worth while.
const WORTH: u64 = 64 * 1024;

#[derive(Default)]
pub(super) struct Shortcut {
    road: Road,
    /// Ours while there are bytes in it, or are expected at once.
    pipe: Option<Pipe>,
    /// The pipe is with a job that drains it into a file.
    job: Option<Job>,
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
        let from = known(reader).ok_or(Errno::OPNOTSUPP)?;
        let capacity = match (known(writer), known_file(writer)) {
            (Some(_), _) => pipe::CAPACITY,
            (None, Some(_)) => pipe::CAPACITY_TO_FILE,
            (None, None) => return Err(Errno::OPNOTSUPP),
        };
        let pipe = match &mut self.pipe {
            Some(pipe) => pipe,
            none => none.insert(pipe::take()?),
        };
        pipe.fill(from.descriptor(), capacity)
    }

    /// Writes what is in the pipe, or a part. Done when it gives `All`.
    pub(super) fn poll_drain<W: ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        writer: &W,
        buffer: &mut [u8],
    ) -> Poll<io::Result<Drained>> {
        if let Some(drained) = ready!(self.poll_job(cx))? {
            return Poll::Ready(Ok(drained));
        }
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
        } else if self.road != Road::OnlyLong
            && let Some(to) = known_file(writer)
        {
            let call = ready!(to.poll_take(cx))?;
            self.job = self.pipe.take().map(|pipe| Job::start(pipe, call));
            return self.poll_drain(cx, writer, buffer);
        }
        Poll::Ready(Ok(Drained::Buffered(pipe.read(buffer)?)))
    }

    /// Waits for the job, if there is one. None: what is in the pipe, if anything, is still to be written.
    fn poll_job(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Drained>>> {
        let Some(job) = &mut self.job else {
            return Poll::Ready(Ok(None));
        };
        let result = ready!(Pin::new(&mut job.result).poll(cx));
        self.job = None;
        let (pipe, drained) = result?;
        self.pipe = Some(pipe);
        match drained {
            Ok(n) => {
                self.spliced += n as u64;
                Poll::Ready(Ok(Some(Drained::Written(n))))
            }
            // A file that would have us wait for readiness is none that we know.
            Err(errno) if errno == Errno::AGAIN || is_refusal(errno) => {
                self.road = Road::OnlyLong;
                Poll::Ready(Ok(None))
            }
            Err(errno) => Poll::Ready(Err(errno.into())),
        }
    }

    /// Nothing is expected at once: somebody else may have the pipe.
    pub(super) fn rest(&mut self) {
        if let Some(pipe) = self.pipe.take() {
            pipe::give_back(pipe);
        }
    }

    /// Bytes in the pipe.
    pub(super) fn held(&self) -> usize {
        self.pipe.as_ref().map_or(0, Pipe::held) + self.job.as_ref().map_or(0, |job| job.held)
    }

    /// Bytes that went this way so far.
    pub(super) fn spliced(&self) -> u64 {
        self.spliced
    }
}

/// Drains a pipe into a file, on a thread of the blocking pool, since it may wait for the disk.
struct Job {
    /// Bytes that were in the pipe.
    held: usize,
    result: Off<(Pipe, rustix::io::Result<usize>)>,
}

impl Job {
    fn start(mut pipe: Pipe, call: Call) -> Job {
        let held = pipe.held();
        let result = Off::start(move || {
            call.make(|file| {
                let drained = drain_into(&mut pipe, file);
                Ok((pipe, drained))
            })
        });
        Job { held, result }
    }
}

/// The number of bytes that were written, or, if there are none, why.
fn drain_into(pipe: &mut Pipe, file: &fs::File) -> rustix::io::Result<usize> {
    if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
        return Err(Errno::INVAL);
    }
    let held = pipe.held();
    while pipe.held() != 0 {
        match retry_on_intr(|| pipe.drain(file.as_fd())) {
            Ok(0) => break,
            Ok(_) => {}
            Err(errno) if pipe.held() == held => return Err(errno),
            // The next attempt tells it.
            Err(_) => break,
        }
    }
    match held - pipe.held() {
        0 => Err(Errno::INVAL),
        n => Ok(n),
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
