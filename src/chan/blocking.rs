//! Waiting on a plain thread, where there is no task to park.

use gambol_executor::{block_on, inside_runtime};
use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

/// Waits for a future of this module on the calling thread. Inside of a runtime this is its `block_on`, which lets the other
/// tasks go on; elsewhere it starts no runtime.
pub(super) fn wait<F: Future>(future: F) -> F::Output {
    if inside_runtime() {
        return block_on(future);
    }
    let parked = Arc::new(Parked { thread: thread::current(), woken: AtomicBool::new(false) });
    let waker = Waker::from(parked.clone());
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        // Somebody else may unpark this thread, for reasons of his own. Acquire, with the Release in `wake`.
        while !parked.woken.swap(false, Ordering::Acquire) {
            thread::park();
        }
    }
}

struct Parked {
    thread: Thread,
    woken: AtomicBool,
}

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}
