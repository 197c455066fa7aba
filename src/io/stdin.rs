//! The standard input.
//!
//! A read of it may block for as long as nobody types, and on most descriptors that it can be (a file, a terminal that is
//! shared with the shell) there is no other way. So it is done in the blocking pool, whose threads hold up no exit.
//!
//! There is one standard input, so all handles share one buffer and at most one job. The buffer moves into the job and back:
//! 1. Who finds nothing in the buffer enrols, takes the buffer, and starts a job with it, if none is under way.
//! 2. The job reads, puts the buffer back with what came, and wakes all who are enrolled.
//!
//! A reader that gives up changes nothing: what its job brings is there for the next reader. A job that was cancelled before
//! it began puts the buffer back and wakes all, and the first of them starts another, in its own runtime. If that does not begin
//! either, there is no point in more: the reader may be on the very stack on which a closing runtime cancels them.

use super::{nonblocking, standard::descriptor, waiting::Waiting};
use futures_io::AsyncRead;
use gambol_executor::{Reason, park, spawn_blocking, spend};
use std::{
    io, mem,
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

/// Bytes that one job reads at most.
const CAPACITY: usize = 16 * 1024;

static STATE: Mutex<State> =
    Mutex::new(State { buffer: Vec::new(), taken: 0, end: None, reading: false, refused: 0, waiting: Waiting::new() });

struct State {
    /// What was read and not yet taken: `buffer[taken..]`. Empty while a job has the buffer.
    buffer: Vec<u8>,
    taken: usize,
    /// How the last read went, if it brought nothing: the end, or an error. Told once, to one reader.
    end: Option<io::Result<()>>,
    /// A job has the buffer.
    reading: bool,
    /// Jobs that ended without having begun since one did begin; and were not told of.
    refused: u8,
    waiting: Waiting,
}

impl State {
    fn lock() -> MutexGuard<'static, State> {
        STATE.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what is there.
    fn take(&mut self, room: &mut [u8]) -> Option<io::Result<usize>> {
        let held = &self.buffer[self.taken..];
        if held.is_empty() {
            return self.end.take().map(|end| end.map(|()| 0));
        }
        let n = held.len().min(room.len());
        room[..n].copy_from_slice(&held[..n]);
        self.taken += n;
        Some(Ok(n))
    }

    /// Whether so many jobs in a row did not begin; then they are told of.
    fn is_refused(&mut self, times: u8) -> bool {
        let refused = !self.reading && self.refused >= times;
        if refused {
            self.refused = 0;
        }
        refused
    }
}

fn gone() -> io::Error {
    io::Error::other("the runtime is gone")
}

/// The standard input of the process.
pub fn stdin() -> Stdin {
    Stdin { std: io::stdin() }
}

/// See [`stdin`]. All handles read from the same stream, and may be used by several tasks: each byte goes to one of them.
///
/// A read that is under way does not hold up the end of the program. After the end of input, a read may give more, as on a
/// terminal. What std's handle has buffered comes first. A read waits for bytes also if somebody has put the terminal or the
/// pipe into non-blocking mode.
///
/// For lines, put one `BufReader` around it and keep that: what it has read ahead is lost to other handles when it is dropped.
///
/// ```no_run
/// use futures_util::TryStreamExt;
/// use gambol::io::{self, AsyncBufReadExt, BufReader};
///
/// # async fn main_loop() -> io::Result<()> {
/// let mut lines = BufReader::new(io::stdin()).lines();
/// while let Some(line) = lines.try_next().await? {
///     println!("{line}");
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// The operating system's; "the runtime is gone" when no read can be started any more.
///
/// # Cancel safety
///
/// What a read brings after its future was dropped is kept for the next one.
#[derive(Debug)]
pub struct Stdin {
    std: io::Stdin,
}

impl AsyncRead for Stdin {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        if room.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let spent = ready!(spend(cx));
        if let Some(result) = State::lock().take(room) {
            return Poll::Ready(result);
        }
        let waker = cx.waker().clone();
        let mut state = State::lock();
        if let Some(result) = state.take(room) {
            return Poll::Ready(result);
        }
        // If it was only the last, that may have been in a runtime that has ended, and this be another one.
        if state.is_refused(2) {
            return Poll::Ready(Err(gone()));
        }
        let surplus = state.waiting.enrol(waker);
        if state.reading {
            drop(state);
        } else {
            state.reading = true;
            state.taken = 0;
            let buffer = mem::take(&mut state.buffer);
            drop(state);
            let job = Job { buffer, begun: false };
            drop(spawn_blocking(move || job.run()));
            // It was dropped at once.
            if State::lock().is_refused(1) {
                return Poll::Ready(Err(gone()));
            }
        }
        drop(surplus);
        spent.refund();
        park(Reason::Read);
        Poll::Pending
    }
}

descriptor!(Stdin);

/// A read in the blocking pool.
struct Job {
    buffer: Vec<u8>,
    begun: bool,
}

impl Job {
    fn run(mut self) {
        self.begun = true;
        self.buffer.resize(CAPACITY, 0);
        let result = nonblocking::read(&io::stdin(), io::stdin().lock(), &mut self.buffer);
        self.buffer.truncate(*result.as_ref().unwrap_or(&0));
        if self.buffer.is_empty() {
            State::lock().end = Some(result.map(drop));
        }
    }
}

/// Gives the buffer back, also that of a job that was cancelled before it began.
impl Drop for Job {
    fn drop(&mut self) {
        let mut state = State::lock();
        state.buffer = mem::take(&mut self.buffer);
        state.reading = false;
        state.refused = if self.begun { 0 } else { state.refused.saturating_add(1) };
        let woken = state.waiting.take();
        drop(state);
        woken.wake();
    }
}
