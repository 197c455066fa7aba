//! The threads that the runtime starts, counted: workers, blocking pool, monitors, and whoever else serves it.
//!
//! All of them are made here and nowhere else. A deadlock is certain only if no thread of the process is anybody else's
//! (`deadlock.rs`), so a thread of ours that is not counted keeps every report back, and one that is counted and runs code of others
//! unseen would make a false one. Each kind of thread says there how it is seen to be asleep.
//!
//! A thread counts itself when it has begun, and no more before its thread-locals are destroyed, whose drops may be
//! anybody's code. The kernel counts it from before the first to after the second moment. So the two counts differ by too
//! much, never by too little, while a thread comes or goes.

use crate::clock::real_now;
use std::{
    cell::Cell,
    io,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    thread,
};

/// How many there are. Raised and lowered by the thread itself.
static OURS: AtomicUsize = AtomicUsize::new(0);
/// When the last one ended, by the real clock.
static ENDED: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static IS_OURS: Cell<bool> = const { Cell::new(false) };
}

/// Starts a thread of the runtime's own. `stack` in bytes; without one, std's.
///
/// # Errors
///
/// The operating system's.
pub fn spawn_thread(
    name: String,
    stack: Option<usize>,
    main: impl FnOnce() + Send + 'static,
) -> io::Result<thread::JoinHandle<()>> {
    let mut builder = thread::Builder::new().name(name);
    if let Some(bytes) = stack {
        builder = builder.stack_size(bytes);
    }
    builder.spawn(move || {
        let _counted = Counted::new();
        main();
    })
}

/// How many threads of the runtime's own there are.
pub(crate) fn count() -> usize {
    OURS.load(Ordering::Relaxed)
}

/// Whether the calling thread is one of them.
pub(crate) fn is_ours() -> bool {
    IS_OURS.get()
}

/// When the last of them ended, in nanoseconds on the real clock: the kernel may still count it a moment later. Zero: none has.
pub(crate) fn last_end() -> u64 {
    ENDED.load(Ordering::Relaxed)
}

struct Counted;

impl Counted {
    fn new() -> Counted {
        IS_OURS.set(true);
        OURS.fetch_add(1, Ordering::Relaxed);
        Counted
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        ENDED.store(real_now(), Ordering::Relaxed);
        OURS.fetch_sub(1, Ordering::Relaxed);
    }
}
