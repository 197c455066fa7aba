//! The pipes that shortcuts lead through.
//!
//! To make one and to close it costs 8 µs, as much as to copy 30 KB, and it holds two descriptors. So a copy that waits for its
//! reader gives its pipe back, an idle connection holds none, and a few idle pipes are kept for whoever comes next. A pipe
//! that has bytes in it is never given to another: it is closed.

use rustix::{
    io::{self, Errno, retry_on_intr},
    pipe::{PipeFlags, SpliceFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with, splice},
};
use std::{
    mem::MaybeUninit,
    os::fd::{BorrowedFd, OwnedFd},
    ptr,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

/// Bytes that a pipe takes at most.
pub(super) const CAPACITY: usize = 256 * 1024;

/// The same while it leads to a file, where each time that it is drained costs the way to the blocking pool and back. What a
/// user's pipes may take together is limited, to 64 MiB as a rule, so that idle ones are not as large.
pub(super) const CAPACITY_TO_FILE: usize = 1024 * 1024;

/// With less it is not worth while. Where a user has very many pipes, the kernel gives them a page only.
const LEAST: usize = 64 * 1024;

/// Pipes that there are at most. A writer that is stuck keeps one for as long as it is, and all that a user has without
/// privileges is 64 MiB (`pipe-user-pages-soft`): beyond, every new pipe of that user, in whatever process, gets two pages. This
/// is half of it, if few of them lead to files.
const MOST: usize = 128;

/// Idle pipes that are kept.
const KEPT: usize = 16;

const FLAGS: SpliceFlags = SpliceFlags::MOVE.union(SpliceFlags::NONBLOCK);

static IDLE: Mutex<Vec<Pipe>> = Mutex::new(Vec::new());

/// Pipes that there are.
static COUNT: AtomicUsize = AtomicUsize::new(0);

fn idle() -> MutexGuard<'static, Vec<Pipe>> {
    IDLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An empty pipe.
///
/// # Errors
///
/// `BUSY`: others have them all at the moment. `OPNOTSUPP`: there is none to be had that would do, for want of descriptors or
/// because the process would get a signal.
pub(super) fn take() -> io::Result<Pipe> {
    if !broken_pipes_are_quiet() {
        return Err(Errno::OPNOTSUPP);
    }
    let pipe = idle().pop();
    pipe.map_or_else(Pipe::new, Ok)
}

/// Gives a pipe back, or closes it.
pub(super) fn give_back(mut pipe: Pipe) {
    if pipe.held == 0 && pipe.resize(CAPACITY) {
        let mut idle = idle();
        if idle.len() < KEPT {
            idle.push(pipe);
            return;
        }
    }
    // It is closed here, after the lock.
    drop(pipe);
}

/// Whether SIGPIPE is ignored, as Rust's start of a program sets it. `splice` raises it when the writer's peer is gone and has no flag
/// against it, while writing to a socket never does.
fn broken_pipes_are_quiet() -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: with no new action it only writes the present one to `action`, which has room for it.
    let result = unsafe { libc::sigaction(libc::SIGPIPE, ptr::null(), action.as_mut_ptr()) };
    // SAFETY: it was zeroed at least, which is a value of each field: numbers, and a function that may be none.
    result == 0 && unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN
}

/// A pipe, and how much is in it: we alone fill and drain it.
pub(super) struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
    held: usize,
    /// Bytes that it was made to take, if the user's limit allowed it.
    capacity: usize,
    /// Dropped after the descriptors.
    _counted: Counted,
}

/// One of [`COUNT`].
struct Counted;

impl Counted {
    fn new() -> Option<Counted> {
        // Relaxed: it is only a number.
        COUNT.fetch_update(Relaxed, Relaxed, |count| (count < MOST).then_some(count + 1)).ok().map(|_| Counted)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        COUNT.fetch_sub(1, Relaxed);
    }
}

impl Pipe {
    fn new() -> io::Result<Pipe> {
        let counted = Counted::new().ok_or(Errno::BUSY)?;
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).map_err(|_| Errno::OPNOTSUPP)?;
        let mut pipe = Pipe { reader, writer, held: 0, capacity: 0, _counted: counted };
        pipe.resize(CAPACITY);
        if !fcntl_getpipe_size(&pipe.writer).is_ok_and(|size| size >= LEAST) {
            return Err(Errno::OPNOTSUPP);
        }
        Ok(pipe)
    }

    /// Beyond the user's limit it stays as it is, and is not asked for again. False: it could not be done.
    fn resize(&mut self, capacity: usize) -> bool {
        if self.capacity == capacity {
            return true;
        }
        self.capacity = capacity;
        fcntl_setpipe_size(&self.writer, capacity).is_ok()
    }

    /// Bytes in it.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// Moves as much as there is, and room for, from a descriptor into the pipe, which is empty and takes so much at most.
    pub(super) fn fill(&mut self, from: BorrowedFd<'_>, capacity: usize) -> io::Result<usize> {
        self.resize(capacity);
        debug_assert_eq!(self.held, 0, "EAGAIN could mean that it is full");
        let n = retry_on_intr(|| splice(from, None, &self.writer, None, capacity, FLAGS))?;
        self.held = n;
        Ok(n)
    }

    /// Moves what is in it, or a part, to a descriptor.
    pub(super) fn drain(&mut self, to: BorrowedFd<'_>) -> io::Result<usize> {
        // Exactly what it holds: if more were asked for, the kernel would let the last segment wait for more to come.
        let n = splice(&self.reader, None, to, None, self.held, FLAGS)?;
        self.held -= n;
        Ok(n)
    }

    /// Reads what is in it, or a part.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = retry_on_intr(|| io::read(&self.reader, &mut *buffer))?;
        self.held -= n;
        Ok(n)
    }
}
