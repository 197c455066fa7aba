//! The threads that the runtime starts, counted: workers, blocking pool, monitors, and whoever else serves it.
//!
//! All of them are made here and nowhere else. A deadlock is certain only if no thread of the process is anybody else's
//! (`deadlock.rs`), so a thread of ours that is not counted keeps every report back, and one that is counted and runs code of others
//! unseen would make a false one. Each kind of thread says there how it is seen to be asleep.
//!
//! A thread counts itself when it has begun, and no more before its thread-locals are destroyed, whose drops may be
//! anybody's code. The kernel counts it from before the first to after the second moment. So the two counts differ by too
//! much, never by too little, while a thread comes or goes. That it is about to come, or has just gone, is known as well, so that
//! whoever compares the counts then can do so again.

use crate::clock::real_now;
use std::{
    cell::Cell,
    io,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    thread,
};

/// How many there are. Raised and lowered by the thread itself.
static OURS: AtomicUsize = AtomicUsize::new(0);
/// How many are made and have not counted themselves yet.
static COMING: AtomicUsize = AtomicUsize::new(0);
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
    let coming = Coming::new();
    builder.spawn(move || {
        let _counted = Counted::new();
        drop(coming);
        main();
    })
}

/// How many threads of the runtime's own there are.
pub(crate) fn count() -> usize {
    OURS.load(Ordering::Relaxed)
}

/// Whether some are about to count themselves. To be asked before they are counted.
pub(crate) fn are_coming() -> bool {
    // Acquire, with the Release in `drop`: who has come is counted.
    COMING.load(Ordering::Acquire) > 0
}

/// Whether the calling thread is one of them.
pub(crate) fn is_ours() -> bool {
    IS_OURS.get()
}

/// When the last of them ended, in nanoseconds on the real clock: the kernel may still count it a moment later. Zero: none has.
pub(crate) fn last_end() -> u64 {
    ENDED.load(Ordering::Relaxed)
}

/// Until it is dropped, by the thread or where none could be made, a thread is coming.
struct Coming(());

impl Coming {
    fn new() -> Coming {
        COMING.fetch_add(1, Ordering::Relaxed);
        Coming(())
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        COMING.fetch_sub(1, Ordering::Release);
    }
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
