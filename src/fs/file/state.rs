//! What a file and its job share, under one lock.

use super::{
    jobs::{Call, Job, ReadJob, SeekJob, WriteJob},
    nowait::{self, Attempt},
    pieces::Pieces,
};
use crate::io::waiting::{Waiting, Woken};
use std::{
    fs,
    io::{self, IoSlice, Seek, SeekFrom},
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Waker,
};

/// Bytes that one read moves at most: what a worker copies without a look at its other tasks, some 100 µs.
pub(super) const MOST_READ: usize = 1 << 20;

/// What a job reads at least from a regular file: the way to the pool costs more than copying as much as this.
const LEAST_READ: usize = 8 * 1024;
/// To this the least doubles with each job that goes on where the last one ended. Reads of 4 KiB without the kernel's help took
/// 25, 6, 5 and 2 µs with a least of 4, 16, 32 and 64 KiB. More would show even older bytes to who reads while others write.
const LEAST_READ_IN_A_ROW: usize = 64 * 1024;

/// The lock, as jobs share it.
pub(super) type Shared = Arc<Mutex<State>>;

pub(super) struct State {
    /// What is under way.
    pub(super) job: Option<Kind>,
    /// Jobs that ended without having begun since one did begin; and were not told of.
    refused: u8,
    /// A regular file. None: nobody has looked yet.
    pub(super) regular: Option<bool>,
    /// Others move the position too, and may hold the kernel's lock on it while they wait for a disk.
    shared_position: bool,
    /// Reads without waiting are worth a try.
    nowait: bool,
    /// Empty while a job has it.
    pub(super) ahead: Ahead,
    /// How the last read went, if it brought nothing: the end, or an error. Told once.
    pub(super) ended: Option<io::Result<()>>,
    /// What came of the last seek that was a job.
    pub(super) sought: Option<(SeekFrom, io::Result<u64>)>,
    /// Where tokio's `start_seek` wants to go.
    #[cfg(feature = "tokio-io")]
    pub(super) wanted: Option<SeekFrom>,
    /// What was written and no job has taken yet. It has a write job in sight, unless `failed` or that was cancelled.
    pub(super) behind: Pieces,
    /// The other of the two buffers that go round; a write job has it while it runs.
    pub(super) spare: Pieces,
    /// What went wrong in a write. Told once.
    pub(super) error: Option<io::Error>,
    /// `behind` is what is left of a write that went wrong.
    pub(super) failed: bool,
    /// Who waits for the end of the job, and who for room in `behind`.
    pub(super) waiting: Waiting,
    pub(super) for_room: Waiting,
}

/// What kind of job is under way.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Write,
    Other,
}

/// What must be so before something else is done, beside that no job is under way.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Before {
    /// What was written has been handed to the system, if it did not fail.
    Written,
    /// The same, and what has failed was tried again.
    Retried,
    /// What was written has been handed to the system or given up, and the system's position is about to be the user's.
    Settled,
    /// What was written has been handed to the system, and its position is about to be the user's: for who writes there.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "only there the kernel copies into files"))]
    Writable,
}

impl State {
    pub(super) fn new(regular: Option<bool>) -> State {
        State {
            job: None,
            refused: 0,
            regular,
            shared_position: false,
            nowait: true,
            ahead: Ahead::default(),
            ended: None,
            sought: None,
            #[cfg(feature = "tokio-io")]
            wanted: None,
            behind: Pieces::default(),
            spare: Pieces::default(),
            error: None,
            failed: false,
            waiting: Waiting::new(),
            for_room: Waiting::new(),
        }
    }

    pub(super) fn lock(shared: &Mutex<State>) -> MutexGuard<'_, State> {
        shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on somebody else moves the position as well.
    pub(super) fn position_is_shared(&mut self) {
        self.shared_position = true;
    }

    /// Whether no job is under way and `before` is so.
    pub(super) fn is_ready_for(&mut self, before: Before) -> bool {
        if self.job.is_some() {
            return false;
        }
        if self.failed && before == Before::Settled {
            self.behind.clear();
            self.failed = false;
        }
        self.behind.is_empty() || self.failed && before == Before::Written
    }

    /// Takes what was read ahead, or what the kernel has at hand.
    pub(super) fn read(&mut self, file: &fs::File, room: &mut [u8], try_kernel: bool) -> Option<io::Result<usize>> {
        if !self.is_ready_for(Before::Settled) {
            return None;
        }
        self.forget_seeks();
        if self.ahead.len() > 0 {
            return Some(Ok(self.ahead.take(room)));
        }
        if let Some(end) = self.ended.take() {
            return Some(end.map(|()| 0));
        }
        if try_kernel && self.nowait && !self.shared_position {
            let most = room.len().min(MOST_READ);
            match nowait::read(file, &mut room[..most]) {
                Attempt::Read(n) => return Some(Ok(n)),
                Attempt::Wait => {}
                Attempt::Never => self.nowait = false,
            }
        }
        None
    }

    /// Whether a write job is to be started: for a write, after one that was cancelled, or to try again.
    pub(super) fn owes_write(&self) -> bool {
        self.job.is_none() && !self.behind.is_empty()
    }

    /// Whether the system has all that was written.
    pub(super) fn is_flushed(&self) -> bool {
        self.job != Some(Kind::Write) && self.behind.is_empty()
    }

    /// Accepts a write, given in slices. Not while other tasks wait for the end of a write job, which else would not come as long as
    /// writes come faster than the system takes them.
    pub(super) fn write(&mut self, slices: &[IoSlice<'_>], waker: &Waker) -> Option<usize> {
        if self.job == Some(Kind::Other) || self.job == Some(Kind::Write) && self.waiting.has_others(waker) {
            return None;
        }
        self.forget_seeks();
        self.behind.push(slices)
    }

    /// Moves the position, if that is known not to wait.
    pub(super) fn seek(&mut self, file: &fs::File, to: SeekFrom) -> Option<io::Result<u64>> {
        if !self.is_ready_for(Before::Settled) {
            return None;
        }
        if let Some((asked, result)) = self.sought.take()
            && asked == to
        {
            return Some(result);
        }
        // For regular files this is arithmetic, except that for the end a network file system may ask its server.
        if self.regular != Some(true) || self.shared_position || matches!(to, SeekFrom::End(_)) {
            return None;
        }
        let result = seek(file, to, self.ahead.len());
        if result.is_ok() {
            self.sought_to(to);
        }
        Some(result)
    }

    /// Something else is done with the position. A seek that was dropped must not come to an end after that.
    fn forget_seeks(&mut self) {
        self.sought = None;
        #[cfg(feature = "tokio-io")]
        {
            self.wanted = None;
        }
    }

    /// The position was moved, with what was read ahead in mind.
    pub(super) fn sought_to(&mut self, to: SeekFrom) {
        if to != SeekFrom::Current(0) {
            self.ahead.clear();
            self.ended = None;
        }
    }

    pub(super) fn begin_read(&mut self, file: &Arc<fs::File>, shared: &Shared, want: usize) -> Job {
        self.begin(Kind::Other);
        let ahead = mem::take(&mut self.ahead);
        let want = want.min(MOST_READ);
        // Others who move the position would find it too far on.
        let want_of_regular = if self.shared_position { want } else { want.max(ahead.least()) };
        Job::Read(ReadJob::new(file, shared, ahead, want, want_of_regular, self.regular))
    }

    pub(super) fn begin_seek(&mut self, file: &Arc<fs::File>, shared: &Shared, to: SeekFrom) -> Job {
        self.begin(Kind::Other);
        Job::Seek(SeekJob::new(file, shared, to, self.ahead.len()))
    }

    pub(super) fn begin_write(&mut self, file: &Arc<fs::File>, shared: &Shared) -> Job {
        self.begin(Kind::Write);
        self.failed = false;
        Job::Write(WriteJob::new(file, shared, mem::take(&mut self.spare)))
    }

    pub(super) fn begin_call(&mut self, file: &Arc<fs::File>, shared: &Shared, before: Before) -> Call {
        self.begin(Kind::Other);
        let goes_back = matches!(before, Before::Settled | Before::Writable);
        if goes_back {
            // It may move the end, from where a seek that nobody waited for has counted.
            self.forget_seeks();
        }
        Call::new(file, shared, goes_back.then(|| self.ahead.len()))
    }

    fn begin(&mut self, kind: Kind) {
        debug_assert!(self.job.is_none(), "one job at a time");
        self.job = Some(kind);
    }

    /// Whether there is no point in starting a job: the one that was started just now did not begin, or neither the last nor
    /// the one before. If it was only the last, it may have been in a runtime that has ended, and the caller be in another one.
    pub(super) fn is_refused(&mut self, just_now: bool) -> bool {
        let refused = self.job.is_none() && self.refused >= if just_now { 1 } else { 2 };
        if refused {
            self.refused = 0;
        }
        refused
    }

    /// The job has ended.
    #[must_use = "wake them when no lock is held"]
    pub(super) fn end(&mut self, begun: bool) -> [Woken; 2] {
        self.job = None;
        self.refused = if begun { 0 } else { self.refused.saturating_add(1) };
        [self.waiting.take(), self.for_room.take()]
    }
}

/// Moves the position from where the user sees it, when `held` bytes were read ahead.
pub(super) fn seek(mut file: &fs::File, to: SeekFrom, held: usize) -> io::Result<u64> {
    let held = held as i64;
    match to {
        // Only asks.
        SeekFrom::Current(0) => Ok(file.stream_position()?.saturating_sub(held as u64)),
        // So far back that the system refuses it in any case.
        SeekFrom::Current(n) => file.seek(SeekFrom::Current(n.saturating_sub(held))),
        to => file.seek(to),
    }
}

/// What was read and not yet taken: `bytes[start..end]`. The rest of the buffer is initialized as well, and is not again for the
/// next read.
#[derive(Default)]
pub(super) struct Ahead {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// Jobs that filled it since it was last cleared.
    in_a_row: u32,
}

impl Ahead {
    pub(super) fn len(&self) -> usize {
        self.end - self.start
    }

    /// What it holds is elsewhere than the position is now.
    pub(super) fn clear(&mut self) {
        (self.start, self.end, self.in_a_row) = (0, 0, 0);
    }

    /// What the next job reads at least.
    pub(super) fn least(&self) -> usize {
        LEAST_READ.saturating_mul(1 << self.in_a_row.min(16)).min(LEAST_READ_IN_A_ROW)
    }

    fn take(&mut self, room: &mut [u8]) -> usize {
        let n = self.len().min(room.len());
        room[..n].copy_from_slice(&self.bytes[self.start..][..n]);
        self.start += n;
        n
    }

    /// Reads into it; it is empty.
    pub(super) fn fill(&mut self, mut file: impl io::Read, want: usize) -> io::Result<usize> {
        if self.bytes.len() < want {
            self.bytes.resize(want, 0);
        }
        self.in_a_row = self.in_a_row.saturating_add(1);
        loop {
            match file.read(&mut self.bytes[..want]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => {
                    (self.start, self.end) = (0, *result.as_ref().unwrap_or(&0));
                    return result;
                }
            }
        }
    }
}
