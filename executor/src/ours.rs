//! Threads of the runtime's own that run no tasks and belong to no runtime alone. They are counted while they live, so that whoever asks
//! whether every thread of the process is ours can leave them out.

use std::{
    io,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

/// How many there are: raised by each at its start, lowered at its end, also by a panic.
static OURS: AtomicUsize = AtomicUsize::new(0);

struct Counted;

impl Drop for Counted {
    fn drop(&mut self) {
        OURS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Starts such a thread; `stack` in bytes, or std's default.
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
