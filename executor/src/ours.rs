//! Threads that the runtime makes for its own purposes beside workers and pool: they are counted while they live.

use std::{
    io,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

/// How many live. Raised by the new thread itself at its start, lowered at its end.
pub(crate) static OURS: AtomicUsize = AtomicUsize::new(0);

struct Counted;

impl Drop for Counted {
    fn drop(&mut self) {
        OURS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Starts such a thread; `stack` is its size in bytes, if not std's.
///
/// # Errors
///
/// The operating system's, when it has no thread to give.
pub(crate) fn spawn_thread(
    name: String,
    stack: Option<usize>,
    main: impl FnOnce() + Send + 'static,
) -> io::Result<thread::JoinHandle<()>> {
    let mut builder = thread::Builder::new().name(name);
    if let Some(bytes) = stack {
        builder = builder.stack_size(bytes);
    }
    builder.spawn(move || {
        OURS.fetch_add(1, Ordering::Relaxed);
        let _counted = Counted;
        main();
    })
}
