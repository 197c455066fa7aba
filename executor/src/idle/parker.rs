//! How one worker's thread sleeps and is woken, on its own or inside the network poller.
//!
//! ```text
//! EMPTY     nobody sleeps, nothing is pending         set by the owner when it wakes
//! NOTIFIED  the next sleep ends at once               set by anyone, in `unpark`
//! PARKED    the owner sleeps in `thread::park`        set by the owner
//! POLLING   the owner sleeps in the poller's wait     set by the owner
//!
//! to sleep 1 EMPTY -> PARKED or POLLING, by compare-exchange; NOTIFIED there means: do not    2 sleep
//!          3 swap EMPTY
//! to wake  1 swap NOTIFIED    2 what was there says whether a thread or a poller must be woken, or nobody
//! ```
//!
//! *The race*: the owner is between 1 and 2 when it is woken. The waker has seen PARKED or POLLING, so it does wake the
//! thread or the poller, and both remember: `thread::park` and the poller's wait then return at once.
//!
//! A token that is left over, because somebody else on that thread used `thread::unpark` or because we were woken
//! twice, costs one empty turn. All ways to park cost the same on Linux (1.55 µs a round trip, 1.9 µs for the waker).

use crate::sync::{AtomicU8, Mutex, Ordering, thread};

const EMPTY: u8 = 0;
const NOTIFIED: u8 = 1;
const PARKED: u8 = 2;
const POLLING: u8 = 3;

/// What the caller of [`Parker::unpark`] now owes.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Owed {
    /// Nothing: the owner was awake, or its thread was unparked here.
    Nothing,
    /// The poller must be notified.
    PollerNotify,
}

/// See the head of this file.
pub(crate) struct Parker {
    state: AtomicU8,
    /// The owner's thread, put here before it first sleeps.
    thread: Mutex<Option<thread::Thread>>,
}

impl Parker {
    pub(crate) fn new() -> Parker {
        Parker { state: AtomicU8::new(EMPTY), thread: Mutex::new(None) }
    }

    /// Makes the calling thread the one that sleeps here.
    pub(crate) fn adopt(&self) {
        *self.thread.lock().unwrap() = Some(thread::current());
    }

    /// Sleeps until `unpark`, or for `timeout`. True: it was unparked.
    pub(crate) fn park(&self, timeout: Option<std::time::Duration>) -> bool {
        if !self.begin(PARKED) {
            return true;
        }
        match timeout {
            #[cfg(not(gambol_loom))]
            Some(timeout) => thread::park_timeout(timeout),
            // The model checker knows no time. The models sleep without end, so that a lost wake-up is a deadlock.
            #[cfg(gambol_loom)]
            Some(_) => thread::yield_now(),
            None => thread::park(),
        }
        self.end()
    }

    /// Sleeps in `wait`, which ends when the poller is notified. Does not call it if a wake is pending. True: it was unparked.
    pub(crate) fn park_in_poller(&self, wait: impl FnOnce()) -> bool {
        if !self.begin(POLLING) {
            return true;
        }
        wait();
        self.end()
    }

    /// Whether the owner sleeps, or is about to.
    pub(crate) fn sleeps(&self) -> bool {
        matches!(self.state.load(Ordering::Relaxed), PARKED | POLLING)
    }

    /// Ends the owner's sleep, or its next one.
    pub(crate) fn unpark(&self) -> Owed {
        // AcqRel: what we published before is visible to the owner when it reads NOTIFIED.
        match self.state.swap(NOTIFIED, Ordering::AcqRel) {
            PARKED => {
                if let Some(thread) = &*self.thread.lock().unwrap() {
                    thread.unpark();
                }
                Owed::Nothing
            }
            POLLING => Owed::PollerNotify,
            _ => Owed::Nothing,
        }
    }

    fn begin(&self, sleep: u8) -> bool {
        match self.state.compare_exchange(EMPTY, sleep, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => true,
            Err(_) => {
                // NOTIFIED: only the owner sets the others. Taken with a swap, to acquire from every waker.
                self.state.swap(EMPTY, Ordering::AcqRel);
                false
            }
        }
    }

    fn end(&self) -> bool {
        self.state.swap(EMPTY, Ordering::AcqRel) == NOTIFIED
    }
}
