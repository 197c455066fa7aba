//! Children that were dropped before their end. Each stays a zombie after it, until somebody reaps it: a task does.
//!
//! The task is cancelled with its runtime, and cannot wait when there are no descriptors; where the default runtime cannot
//! be started, there is none. What it had to reap is then left here, and the next who starts a process starts a task for
//! it again. Only at that point: a runtime that is ending takes no tasks, so to try again at once would be to try for ever.

use super::exit::Process;
use gambol_executor::spawn;
use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    process::Child,
    sync::{Mutex, PoisonError},
    task::{Context, Poll, ready},
};

/// Those whose task has ended before them.
static LEFT: Mutex<Vec<Child>> = Mutex::new(Vec::new());

/// Reaps the child, now or when it ends.
pub(super) fn adopt(mut process: Process) {
    // An error says that it is not ours any more: somebody else has reaped it, or we are the child of a fork.
    if matches!(process.child.try_wait(), Ok(None)) {
        // To start a task panics if it needs the default runtime and that cannot be started for want of threads. We are in a
        // drop, perhaps in a panic already. The orphan is dropped then, and so left.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(spawn(Orphan { process: Some(process) }))));
    }
}

/// Adopts those that were left.
pub(super) fn adopt_left() {
    let left = mem::take(&mut *LEFT.lock().unwrap_or_else(PoisonError::into_inner));
    for child in left {
        adopt(Process::new(child));
    }
}

/// The task that reaps one.
struct Orphan {
    /// None when it was reaped.
    process: Option<Process>,
}

impl Future for Orphan {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(process) = &mut self.process
            && ready!(process.poll_wait(cx)).is_ok()
        {
            self.process = None;
        }
        Poll::Ready(())
    }
}

impl Drop for Orphan {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            LEFT.lock().unwrap_or_else(PoisonError::into_inner).push(process.child);
        }
    }
}
