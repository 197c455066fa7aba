//! The threads that the runtime starts, counted.

use std::{
    io,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

/// How many there are. Raised and lowered by the thread itself.
static OURS: AtomicUsize = AtomicUsize::new(0);

/// Starts a thread of the runtime's own. `stack` in bytes; without one, std's.
pub(crate) fn spawn_thread(
    name: String,
    stack: Option<usize>,
    main: impl FnOnce() + Send + 'static,
) -> io::Result<thread::JoinHandle<()>> {
    struct Counted;

    impl Drop for Counted {
        fn drop(&mut self) {
            OURS.fetch_sub(1, Ordering::Relaxed);
        }
    }

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
