//! The jobs of a file, in the blocking pool.
//!
//! A job that ends, however that comes about, lets go of the file, gives back what it has, and wakes those who wait: so in the
//! drops here. A job that is cancelled before it began is dropped too.

use super::{
    pieces::Pieces,
    state::{Ahead, Shared, State, seek},
};
use crate::io::waiting::Woken;
use gambol_executor::spawn_blocking;
use std::{
    fs, io,
    io::{Seek, SeekFrom},
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

/// How long a write job goes on before it queues anew, for the sake of others in a pool of few threads.
const TURN: Duration = Duration::from_millis(10);

/// A job that is to be started when the lock is released.
#[must_use = "it holds the file until it is started"]
pub(super) enum Job {
    Read(ReadJob),
    Write(WriteJob),
    Seek(SeekJob),
}

impl Job {
    /// Queues it. If the runtime is gone, it has been dropped when this returns.
    pub(super) fn start(self) {
        drop(match self {
            Job::Read(job) => spawn_blocking(move || job.run()),
            Job::Write(job) => spawn_blocking(move || job.run()),
            Job::Seek(job) => spawn_blocking(move || job.run()),
        });
    }
}

/// What each job has of its file.
struct Hold {
    /// None: it has ended.
    file: Option<Arc<fs::File>>,
    state: Shared,
    begun: bool,
}

impl Hold {
    fn new(file: &Arc<fs::File>, state: &Shared) -> Hold {
        Hold { file: Some(file.clone()), state: state.clone(), begun: false }
    }

    fn begin(&mut self) {
        self.begun = true;
    }

    fn file(&self) -> &fs::File {
        self.file.as_ref().expect("a job that works has not ended")
    }

    /// Ends the job, if it has not ended.
    fn end(&mut self, give_back: impl FnOnce(&mut State)) {
        // First of all, so that who then learns of the end and drops the file closes it.
        if self.file.take().is_none() {
            return;
        }
        let mut state = State::lock(&self.state);
        give_back(&mut state);
        let woken = state.end(self.begun);
        drop(state);
        woken.into_iter().for_each(Woken::wake);
    }
}

/// A read.
pub(super) struct ReadJob {
    hold: Hold,
    ahead: Ahead,
    want: usize,
    /// The same for a regular file.
    want_of_regular: usize,
    regular: Option<bool>,
    ended: Option<io::Result<()>>,
}

impl ReadJob {
    pub(super) fn new(
        file: &Arc<fs::File>,
        state: &Shared,
        ahead: Ahead,
        want: usize,
        want_of_regular: usize,
        regular: Option<bool>,
    ) -> ReadJob {
        ReadJob { hold: Hold::new(file, state), ahead, want, want_of_regular, regular, ended: None }
    }

    fn run(mut self) {
        self.hold.begin();
        let file = self.hold.file();
        // What was read too early of a pipe could not be given back.
        let regular = *self.regular.get_or_insert_with(|| is_regular(file));
        let want = if regular { self.want_of_regular } else { self.want };
        self.ended = match self.ahead.fill(file, want) {
            Ok(0) => Some(Ok(())),
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        };
    }
}

impl Drop for ReadJob {
    fn drop(&mut self) {
        let ReadJob { hold, ahead, regular, ended, .. } = self;
        hold.end(|state| {
            state.ahead = mem::take(ahead);
            state.ended = ended.take();
            state.regular = *regular;
        });
    }
}

/// Writes, as long as there is something to write.
pub(super) struct WriteJob {
    hold: Hold,
    /// What was taken and is not yet written. Otherwise an empty buffer, without which each job would allocate one anew.
    pieces: Pieces,
}

impl WriteJob {
    pub(super) fn new(file: &Arc<fs::File>, state: &Shared, spare: Pieces) -> WriteJob {
        WriteJob { hold: Hold::new(file, state), pieces: spare }
    }

    fn run(mut self) {
        if !self.write(TURN) {
            // It holds nothing now; if the runtime is gone, it is as if it had not begun.
            self.hold.begun = false;
            drop(spawn_blocking(move || self.run()));
        }
    }

    /// False: there is more to write, and so much time has passed.
    fn write(&mut self, most: Duration) -> bool {
        self.hold.begin();
        let begin = Instant::now();
        loop {
            let mut state = State::lock(&self.hold.state);
            if state.behind.is_empty() {
                // Under the lock that found nothing to write, since nobody would see what came between. If this closes the file,
                // there is nobody left who wants the lock.
                self.hold.file = None;
                state.spare = mem::take(&mut self.pieces);
                let woken = state.end(true);
                drop(state);
                woken.into_iter().for_each(Woken::wake);
                return true;
            }
            if begin.elapsed() > most {
                return false;
            }
            mem::swap(&mut state.behind, &mut self.pieces);
            let held = state.ahead.len();
            let for_room = state.for_room.take();
            drop(state);
            for_room.wake();
            if held > 0 && go_back(self.hold.file(), held) {
                State::lock(&self.hold.state).ahead.clear();
            }
            if let Err(error) = self.pieces.write_to(self.hold.file()) {
                self.fail(error);
                return true;
            }
        }
    }

    /// Ends with something left, which goes in front of what has come meanwhile.
    fn fail(&mut self, error: io::Error) {
        let WriteJob { hold, pieces } = self;
        hold.end(|state| {
            pieces.append(&mut state.behind);
            mem::swap(pieces, &mut state.behind);
            state.failed = true;
            state.error = Some(error);
        });
    }
}

impl Drop for WriteJob {
    fn drop(&mut self) {
        if self.hold.file.is_none() {
            return;
        }
        if self.hold.begun {
            return self.fail(io::Error::other("a write in the blocking pool panicked"));
        }
        // The runtime is being shut down. What was accepted would have no other chance if the file was dropped before; and a
        // regular file does not make us wait for anybody but the disk.
        let regular = State::lock(&self.hold.state).regular;
        if regular.unwrap_or_else(|| is_regular(self.hold.file())) {
            self.write(Duration::MAX);
        } else {
            self.hold.end(|_| {});
        }
    }
}

/// A seek.
pub(super) struct SeekJob {
    hold: Hold,
    to: SeekFrom,
    /// Bytes that were read ahead.
    held: usize,
    result: Option<io::Result<u64>>,
}

impl SeekJob {
    pub(super) fn new(file: &Arc<fs::File>, state: &Shared, to: SeekFrom, held: usize) -> SeekJob {
        SeekJob { hold: Hold::new(file, state), to, held, result: None }
    }

    fn run(mut self) {
        self.hold.begin();
        self.result = Some(seek(self.hold.file(), self.to, self.held));
    }
}

impl Drop for SeekJob {
    fn drop(&mut self) {
        let SeekJob { hold, to, result, .. } = self;
        hold.end(|state| {
            if let Some(Ok(_)) = result {
                state.sought_to(*to);
            }
            state.sought = result.take().map(|result| (*to, result));
        });
    }
}

/// Anything else, whose result goes to whoever started it.
pub(crate) struct Call {
    hold: Hold,
    /// Bytes that were read ahead, if they are to be given back.
    held: Option<usize>,
    went_back: bool,
}

impl Call {
    pub(super) fn new(file: &Arc<fs::File>, state: &Shared, held: Option<usize>) -> Call {
        Call { hold: Hold::new(file, state), held, went_back: false }
    }

    /// Makes it, on a thread of the blocking pool.
    pub(crate) fn make<T>(mut self, call: impl FnOnce(&fs::File) -> io::Result<T>) -> io::Result<T> {
        self.hold.begin();
        let file = self.hold.file();
        self.went_back = self.held.is_some_and(|held| held == 0 || go_back(file, held));
        call(file)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        // If it was cancelled, its handle tells whoever started it, and `refused` is for those whom nobody tells.
        self.hold.begin();
        let went_back = self.went_back;
        self.hold.end(|state| {
            if went_back {
                state.ahead.clear();
                state.ended = None;
            }
        });
    }
}

/// Puts the system's position where the user sees it. False: this file has none.
fn go_back(mut file: &fs::File, held: usize) -> bool {
    file.seek(SeekFrom::Current(-(held as i64))).is_ok()
}

fn is_regular(file: &fs::File) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.is_file())
}
