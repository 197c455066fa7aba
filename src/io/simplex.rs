//! A byte stream in memory, one way.
//!
//! One buffer and those who wait at both ends lie under one lock, which is held to copy bytes and never while a waker is
//! called, cloned or dropped.
//! - A read takes what is there and wakes all writers; a write puts in what there is room for and wakes all readers.
//! - Who finds nothing to do clones its waker without the lock, looks again under it, and enrols. A change comes either before
//!   that look or after the enrolment, and then it takes the waker out and wakes it.
//! - A waker that was left behind by a future that was dropped is woken by the next change, for nothing.
//!
//! All who wait are woken, not one, because a reader that is woken need not read: it may be a future that is never polled
//! again.

use super::waiting::Waiting;
use futures_io::{AsyncRead, AsyncWrite};
use gambol_executor::{Direction, Reason, park, spend};
use std::{
    collections::VecDeque,
    fmt,
    io::{self, IoSlice, IoSliceMut},
    mem,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

/// A byte stream in memory: what is written to the one is read from the other, which is at most `capacity` bytes behind.
///
/// A half of [`duplex`](super::duplex). Memory is taken when bytes are written.
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
///     let (mut reader, mut writer) = io::simplex(8);
///     writer.write_all(b"text").await?;
///     drop(writer);
///     let mut text = String::new();
///     reader.read_to_string(&mut text).await?;
///     assert_eq!(text, "text");
///     Ok(())
/// })
/// # }
/// ```
pub fn simplex(capacity: usize) -> (SimplexReader, SimplexWriter) {
    assert!(capacity != 0, "an in-memory stream without a buffer passes nothing: give it at least one byte");
    let state = State {
        buffer: VecDeque::new(),
        ended: false,
        abandoned: false,
        readers: Waiting::new(),
        writers: Waiting::new(),
    };
    let pipe = Arc::new(Pipe { capacity, state: Mutex::new(state) });
    (SimplexReader(pipe.clone()), SimplexWriter(pipe))
}

/// The end of a [`simplex`] that reads. When it is dropped, what was not read is lost, and writes give `BrokenPipe`.
///
/// # Cancel safety
///
/// A read that was not ready has taken nothing.
pub struct SimplexReader(Arc<Pipe>);

/// The end of a [`simplex`] that writes. When it is closed or dropped, the reader gets what was written, and then the end.
///
/// # Errors
///
/// `BrokenPipe` when it was closed, or when the reader was dropped.
///
/// # Cancel safety
///
/// A write that was not ready has written nothing.
pub struct SimplexWriter(Arc<Pipe>);

struct Pipe {
    /// Bytes that wait to be read at most.
    capacity: usize,
    state: Mutex<State>,
}

struct State {
    buffer: VecDeque<u8>,
    /// Nothing more will be written.
    ended: bool,
    /// Nothing more will be read.
    abandoned: bool,
    readers: Waiting,
    writers: Waiting,
}

impl Pipe {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does `look` when it has a result, and then wakes those who wait for the other direction; otherwise enrols.
    fn poll<R>(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        mut look: impl FnMut(&mut State) -> Option<R>,
    ) -> Poll<R> {
        let spent = ready!(spend(cx));
        // Declared before the lock: dropped after it.
        let mut waker = None;
        loop {
            let mut state = self.lock();
            if let Some(result) = look(&mut state) {
                let woken = match direction {
                    Direction::Read => state.writers.take(),
                    Direction::Write => state.readers.take(),
                };
                drop(state);
                woken.wake();
                return Poll::Ready(result);
            }
            let Some(fresh) = waker.take() else {
                drop(state);
                waker = Some(cx.waker().clone());
                continue;
            };
            let (surplus, reason) = match direction {
                Direction::Read => (state.readers.enrol(fresh), Reason::Read),
                Direction::Write => (state.writers.enrol(fresh), Reason::Write),
            };
            drop(state);
            drop(surplus);
            spent.refund();
            park(reason);
            return Poll::Pending;
        }
    }

    fn poll_read(&self, cx: &mut Context<'_>, bufs: &mut [IoSliceMut<'_>]) -> Poll<io::Result<usize>> {
        if bufs.iter().all(|buf| buf.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        self.poll(cx, Direction::Read, |state| {
            if state.buffer.is_empty() {
                return state.ended.then_some(Ok(0));
            }
            let taken = bufs.iter_mut().map(|buf| take(&mut state.buffer, buf)).sum();
            Some(Ok(taken))
        })
    }

    fn poll_write(&self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let nothing = bufs.iter().all(|buf| buf.is_empty());
        self.poll(cx, Direction::Write, |state| {
            if state.ended || state.abandoned {
                return Some(Err(io::ErrorKind::BrokenPipe.into()));
            }
            let before = state.buffer.len();
            if before == self.capacity && !nothing {
                return None;
            }
            for buf in bufs {
                let room = self.capacity - state.buffer.len();
                state.buffer.extend(&buf[..room.min(buf.len())]);
            }
            Some(Ok(state.buffer.len() - before))
        })
    }

    /// Nothing more will be written.
    fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        let woken = [state.readers.take(), state.writers.take()];
        drop(state);
        woken.into_iter().for_each(|woken| woken.wake());
    }

    /// Nothing more will be read.
    fn abandon(&self) {
        let mut state = self.lock();
        state.abandoned = true;
        let lost = mem::take(&mut state.buffer);
        let woken = state.writers.take();
        drop(state);
        drop(lost);
        woken.wake();
    }

    /// Without blocking.
    fn debug(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct(name);
        debug.field("capacity", &self.capacity);
        if let Ok(state) = self.state.try_lock() {
            debug.field("held", &state.buffer.len()).field("ended", &state.ended);
        }
        debug.finish_non_exhaustive()
    }
}

/// Moves bytes out of the buffer, in whose ring they may lie in two pieces.
fn take(buffer: &mut VecDeque<u8>, room: &mut [u8]) -> usize {
    let mut taken = 0;
    while taken < room.len() && !buffer.is_empty() {
        let piece = buffer.as_slices().0;
        let n = piece.len().min(room.len() - taken);
        room[taken..taken + n].copy_from_slice(&piece[..n]);
        buffer.drain(..n);
        taken += n;
    }
    taken
}

impl Drop for SimplexReader {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

impl Drop for SimplexWriter {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl AsyncRead for &SimplexReader {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.0.poll_read(cx, &mut [IoSliceMut::new(buf)])
    }

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_read(cx, bufs)
    }
}

impl AsyncWrite for &SimplexWriter {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.0.poll_write(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_write(cx, bufs)
    }

    /// What was written is there to be read already.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.end();
        Poll::Ready(Ok(()))
    }
}

/// Reads by `&SimplexReader`.
macro_rules! read_by {
    ($type:ty, |$this:ident| $end:expr) => {
        impl AsyncRead for $type {
            fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
                let $this = &*self;
                let mut end: &SimplexReader = $end;
                Pin::new(&mut end).poll_read(cx, buf)
            }

            fn poll_read_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &mut [IoSliceMut<'_>],
            ) -> Poll<io::Result<usize>> {
                let $this = &*self;
                let mut end: &SimplexReader = $end;
                Pin::new(&mut end).poll_read_vectored(cx, bufs)
            }
        }
    };
}

/// Writes by `&SimplexWriter`.
macro_rules! write_by {
    ($type:ty, |$this:ident| $end:expr) => {
        impl AsyncWrite for $type {
            fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
                let $this = &*self;
                let mut end: &SimplexWriter = $end;
                Pin::new(&mut end).poll_write(cx, buf)
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                let $this = &*self;
                let mut end: &SimplexWriter = $end;
                Pin::new(&mut end).poll_write_vectored(cx, bufs)
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                let $this = &*self;
                let mut end: &SimplexWriter = $end;
                Pin::new(&mut end).poll_flush(cx)
            }

            fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                let $this = &*self;
                let mut end: &SimplexWriter = $end;
                Pin::new(&mut end).poll_close(cx)
            }
        }
    };
}

pub(super) use {read_by, write_by};

read_by!(SimplexReader, |this| this);
write_by!(SimplexWriter, |this| this);

impl fmt::Debug for SimplexReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.debug("SimplexReader", f)
    }
}

impl fmt::Debug for SimplexWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.debug("SimplexWriter", f)
    }
}
