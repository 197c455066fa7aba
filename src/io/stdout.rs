//! The standard output.
//!
//! As with the standard input, writing may block, so it is done in the blocking pool; and there is one standard output, so
//! all handles share one buffer and at most one job:
//! 1. A write puts its bytes behind those that wait, if there is room, and starts a job if none is under way.
//! 2. The job takes all that wait, writes and flushes them, wakes all who are enrolled, and looks again.
//!
//! A job that was cancelled before it began puts its bytes back in front and wakes all; the first who flushes or writes starts
//! another.

use super::waiting::{Waiting, Woken};
use futures_io::AsyncWrite;
use gambol_executor::{Reason, park, spawn_blocking, spend};
use std::{
    io::{self, Write},
    mem,
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

/// Bytes that wait for a job at most. As many may be in the job's hands.
const CAPACITY: usize = 64 * 1024;

static STATE: Mutex<State> =
    Mutex::new(State { buffer: Vec::new(), error: None, writing: false, waiting: Waiting::new() });

struct State {
    /// What was written and no job has taken yet.
    buffer: Vec<u8>,
    /// What went wrong in a job. Told once, to one writer.
    error: Option<io::Error>,
    /// A job is under way.
    writing: bool,
    waiting: Waiting,
}

impl State {
    fn lock() -> MutexGuard<'static, State> {
        STATE.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The standard output of the process.
pub fn stdout() -> Stdout {
    Stdout { _private: () }
}

/// See [`stdout`]. All handles write to the same stream, each write whole if it is not longer than 64 KiB and there is room.
///
/// A write is done when its bytes are in the buffer. `flush` waits until the operating system has them; **call it before main
/// returns**, otherwise the last bytes may be lost, since nothing holds up the end of a program.
///
/// # Errors
///
/// The operating system's, at the next call after the write that failed; what was in the buffer then is lost. "The runtime is
/// gone" when no write can be started any more.
///
/// # Cancel safety
///
/// A write that was not ready has written nothing. A flush that is dropped loses nothing.
#[derive(Debug)]
pub struct Stdout {
    _private: (),
}

impl Stdout {
    /// Does `look` until it has a result; in between it waits for a job, which it starts if there is none.
    fn poll<R>(cx: &mut Context<'_>, mut look: impl FnMut(&mut State) -> Option<R>) -> Poll<io::Result<R>> {
        let spent = ready!(spend(cx));
        let waker = cx.waker().clone();
        let mut state = State::lock();
        if let Some(error) = state.error.take() {
            return Poll::Ready(Err(error));
        }
        let found = look(&mut state);
        let surplus = match &found {
            Some(_) => Some(waker),
            None => state.waiting.enrol(waker),
        };
        let start = !state.writing && !state.buffer.is_empty();
        if start {
            state.writing = true;
            let buffer = mem::take(&mut state.buffer);
            drop(state);
            let job = Job { buffer };
            drop(spawn_blocking(move || job.run()));
            state = State::lock();
            if !state.writing && !state.buffer.is_empty() {
                // It did not run and does not stand in a queue.
                return Poll::Ready(Err(io::Error::other("the runtime is gone")));
            }
        }
        drop(state);
        drop(surplus);
        match found {
            Some(result) => Poll::Ready(Ok(result)),
            None => {
                spent.refund();
                park(Reason::Write);
                Poll::Pending
            }
        }
    }
}

impl AsyncWrite for Stdout {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Stdout::poll(cx, |state| {
            let room = CAPACITY - state.buffer.len();
            if room == 0 && !bytes.is_empty() {
                return None;
            }
            let n = room.min(bytes.len());
            state.buffer.extend_from_slice(&bytes[..n]);
            Some(n)
        })
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Stdout::poll(cx, |state| (!state.writing && state.buffer.is_empty()).then_some(()))
    }

    /// As `poll_flush`; the descriptor stays open, for others use it too.
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

/// Writes in the blocking pool.
struct Job {
    /// What was taken and is not yet written.
    buffer: Vec<u8>,
}

impl Job {
    fn run(mut self) {
        loop {
            let mut stdout = io::stdout().lock();
            let result = stdout.write_all(&self.buffer).and_then(|()| stdout.flush());
            drop(stdout);
            self.buffer.clear();
            let mut state = State::lock();
            if let Err(error) = result {
                state.error = Some(error);
                state.buffer.clear();
            }
            if state.buffer.is_empty() {
                // The drop hands the buffer back and wakes those who wait.
                break;
            }
            mem::swap(&mut state.buffer, &mut self.buffer);
            let woken = state.waiting.take();
            drop(state);
            woken.wake();
        }
    }

    fn end(&mut self) -> Woken {
        let mut state = State::lock();
        // Usually both are empty, and the larger allocation is kept.
        self.buffer.append(&mut state.buffer);
        mem::swap(&mut state.buffer, &mut self.buffer);
        state.writing = false;
        state.waiting.take()
    }
}

/// Gives the buffer back, also that of a job that was cancelled before it began.
impl Drop for Job {
    fn drop(&mut self) {
        self.end().wake();
    }
}
