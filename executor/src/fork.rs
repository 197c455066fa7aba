//! Detects that we are the child of a fork: none of the runtime's threads exists there.

use std::sync::atomic::{AtomicBool, Ordering};

static CHILD: AtomicBool = AtomicBool::new(false);

/// Arranges that the child of a fork knows.
#[cfg(unix)]
pub(crate) fn watch() {
    use std::sync::Once;
    static ONCE: Once = Once::new();
    extern "C" fn child() {
        CHILD.store(true, Ordering::Relaxed);
    }
    ONCE.call_once(|| {
        // SAFETY: the handler stores to a static atomic, which is allowed in the child of a fork.
        unsafe { libc::pthread_atfork(None, None, Some(child)) };
    });
}

#[cfg(not(unix))]
pub(crate) fn watch() {}

const SENTENCE: &str = "this process was forked from one with a gambol runtime, whose threads do not exist here; call exec \
                        after fork, or fork before the runtime starts";

#[inline]
pub(crate) fn is_child() -> bool {
    CHILD.load(Ordering::Relaxed)
}

/// # Panics
///
/// In the child of a fork.
#[inline]
pub(crate) fn check() {
    if is_child() {
        panic_in_child();
    }
}

#[cold]
fn panic_in_child() -> ! {
    panic!("{SENTENCE}");
}

/// Ends the child of a fork in which a worker's loop would go on: it would run copies of the parent's tasks.
#[inline]
pub(crate) fn check_worker() {
    if is_child() {
        abort_child();
    }
}

#[cold]
fn abort_child() -> ! {
    // Not through std's stderr, whose lock may be held by a thread that is not here.
    #[cfg(unix)]
    for text in ["gambol: ", SENTENCE, "\n"] {
        // SAFETY: the pointer and the length are those of the text.
        unsafe { libc::write(2, text.as_ptr().cast(), text.len()) };
    }
    std::process::abort();
}
