//! Recordings of processes that end without telling the runtime: main returns beside the default runtime, or somebody calls
//! `std::process::exit`.
//!
//! On Unix the C library then calls us, on the thread that ends the process, while the workers go on. We copy what they
//! have recorded, which stops nobody and waits for nobody, and take every lock with patience only. A process that is
//! killed, aborts or calls `_exit` leaves an empty file.

use super::recorder::{Recorder, lock_within};
use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

/// The recordings that are to be written to a file.
static PENDING: Mutex<Vec<Weak<Recorder>>> = Mutex::new(Vec::new());

/// Sees to it that the recording is written when the process ends, if it was not before.
pub(super) fn watch(recorder: &Arc<Recorder>) {
    let mut pending = PENDING.lock().unwrap_or_else(PoisonError::into_inner);
    pending.retain(|other| other.strong_count() > 0);
    pending.push(Arc::downgrade(recorder));
    drop(pending);
    arrange();
}

#[cfg(unix)]
fn arrange() {
    use std::sync::Once;
    static ONCE: Once = Once::new();
    extern "C" fn at_exit() {
        // A panic must not leave us for the C library.
        if let Err(payload) = crate::task::contain(finish_all) {
            crate::core::drop_payload(payload);
        }
    }
    ONCE.call_once(|| {
        // SAFETY: the handler may be called at any time when the process ends: it uses no thread-local that has a destructor
        // without being ready for its absence, and does not unwind.
        unsafe { libc::atexit(at_exit) };
    });
}

#[cfg(not(unix))]
fn arrange() {
    // Recordings are written by those runtimes that are told of their end.
    let _ = finish_all as fn();
}

fn finish_all() {
    if crate::fork::is_child() {
        // The file is the parent's.
        return;
    }
    let Some(pending) = lock_within(&PENDING, Duration::from_secs(2)).map(|mut pending| std::mem::take(&mut *pending))
    else {
        return;
    };
    pending.iter().filter_map(Weak::upgrade).for_each(|recorder| recorder.finish());
}
