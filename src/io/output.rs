//! The standard output and the standard error output, each of which is one of these.
//!
//! As with the standard input, writing may block, so it is done in the blocking pool; and there is one of each in a process, so
//! all handles share one buffer and at most one job:
//! 1. A write puts its bytes behind those that wait, if there is room, and starts a job if none is under way.
//! 2. The job takes all that wait, writes and flushes them, wakes all who are enrolled, and looks again. If nothing has come,
//!    it ends under the lock under which it looked.
//!
//! A job that was cancelled before it began puts its bytes back in front and wakes all; the first who flushes or writes starts
//! another. If somebody waits for that and it does not begin either, there is no point in more: he may be on the very stack on
//! which a closing runtime cancels them. The bytes stay.
//!
//! Room is where less than [`CAPACITY`] waits, and then up to as much again is taken: so a line is never torn because the
//! buffer was nearly full, and a long write is not passed over for ever by short ones that still fit.

use super::waiting::Waiting;
use gambol_executor::{Reason, park, spawn_blocking, spend};
use std::{
    io::{self, IoSlice},
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

/// Bytes that one write takes at most. Less than twice as many may wait for a job, and as many be in the job's hands.
const CAPACITY: usize = 64 * 1024;

pub(super) struct Output {
    state: Mutex<State>,
    /// Writes all of it and flushes. Blocks, whatever mode the stream is in.
    write: fn(&[u8]) -> io::Result<()>,
}

struct State {
    /// What was written and no job has taken yet.
    buffer: Vec<u8>,
    /// What went wrong in a job. Told once, to one writer.
    error: Option<io::Error>,
    /// A job is under way.
    writing: bool,
    /// Jobs that ended without having begun since one did begin, of those that were started by who waits; and were not told of.
    refused: u8,
    waiting: Waiting,
}

impl Output {
    pub(super) const fn new(write: fn(&[u8]) -> io::Result<()>) -> Output {
        let state = State { buffer: Vec::new(), error: None, writing: false, refused: 0, waiting: Waiting::new() };
        Output { state: Mutex::new(state), write }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn poll_write(&'static self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let nothing = bufs.iter().all(|buf| buf.is_empty());
        self.poll(cx, |state| {
            let before = state.buffer.len();
            if before >= CAPACITY && !nothing {
                return None;
            }
            for buf in bufs {
                let room = before + CAPACITY - state.buffer.len();
                state.buffer.extend_from_slice(&buf[..buf.len().min(room)]);
            }
            Some(state.buffer.len() - before)
        })
    }

    pub(super) fn poll_flush(&'static self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(cx, |state| (!state.writing && state.buffer.is_empty()).then_some(()))
    }

    /// Does `look` until it has a result; in between it waits for a job, which it starts if there is none.
    fn poll<R>(
        &'static self,
        cx: &mut Context<'_>,
        mut look: impl FnMut(&mut State) -> Option<R>,
    ) -> Poll<io::Result<R>> {
        let spent = ready!(spend(cx));
        let waker = cx.waker().clone();
        let mut state = self.lock();
        if let Some(error) = state.error.take() {
            return Poll::Ready(Err(error));
        }
        let found = look(&mut state);
        // If it was only the last, that may have been in a runtime that has ended, and this be another one.
        if found.is_none() && state.is_refused(2) {
            return Poll::Ready(Err(gone()));
        }
        let surplus = match &found {
            Some(_) => Some(waker),
            None => state.waiting.enrol(waker),
        };
        let start = !state.writing && !state.buffer.is_empty();
        if start {
            state.writing = true;
            let buffer = mem::take(&mut state.buffer);
            drop(state);
            let job = Job { output: self, buffer, awaited: found.is_none(), begun: false, under_way: true };
            drop(spawn_blocking(move || job.run()));
            state = self.lock();
            if found.is_none() && state.is_refused(1) {
                // It was dropped at once.
                drop(state);
                return Poll::Ready(Err(gone()));
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

impl State {
    /// Whether so many jobs in a row did not begin; then they are told of.
    fn is_refused(&mut self, times: u8) -> bool {
        let refused = !self.writing && self.refused >= times;
        if refused {
            self.refused = 0;
        }
        refused
    }
}

fn gone() -> io::Error {
    io::Error::other("the runtime is gone")
}

/// Writes in the blocking pool.
struct Job {
    output: &'static Output,
    /// Who has started it waits.
    awaited: bool,
    begun: bool,
    /// What was taken and is not yet written.
    buffer: Vec<u8>,
    /// It has not ended.
    under_way: bool,
}

impl Job {
    fn run(mut self) {
        self.begun = true;
        loop {
            let result = (self.output.write)(&self.buffer);
            self.buffer.clear();
            let mut state = self.output.lock();
            if let Err(error) = result {
                state.error = Some(error);
                state.buffer.clear();
            }
            let ended = state.buffer.is_empty();
            if ended {
                // Under the lock under which nothing was found: what comes later starts a job of its own.
                self.end(&mut state);
            } else {
                mem::swap(&mut state.buffer, &mut self.buffer);
            }
            let woken = state.waiting.take();
            drop(state);
            woken.wake();
            if ended {
                return;
            }
        }
    }

    /// Gives the buffer back, with what is in it in front.
    fn end(&mut self, state: &mut State) {
        // Usually both are empty, and the larger allocation is kept.
        self.buffer.append(&mut state.buffer);
        mem::swap(&mut state.buffer, &mut self.buffer);
        state.writing = false;
        if self.begun {
            state.refused = 0;
        } else if self.awaited {
            state.refused = state.refused.saturating_add(1);
        }
        self.under_way = false;
    }
}

/// That of a job that was cancelled before it began.
impl Drop for Job {
    fn drop(&mut self) {
        if self.under_way {
            let mut state = self.output.lock();
            self.end(&mut state);
            let woken = state.waiting.take();
            drop(state);
            woken.wake();
        }
    }
}
