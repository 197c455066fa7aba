//! The seat: the one idle worker that waits in the network poller, and until when it will wait.
//!
//! ```text
//! to sit    1 take the driver's lock   2 publish the earliest deadline   3 fence   4 look at all deadlines again; an
//!             earlier one is published instead   5 wait   6 publish NOBODY
//! to arm from outside   1 put the timer into its shard   2 fence   3 if the published deadline is later, wake the
//!             one who sits
//! ```
//!
//! *The race*: a timer is armed while the sitter goes to sleep. By the two fences either the armer sees the published
//! deadline and wakes the sitter, or the sitter's second look sees the timer.
//!
//! A running worker that arms a timer wakes nobody: before it sleeps it compares the earliest deadline in its own shard with the
//! published one, and sleeps with a timeout of its own if its is earlier. While nobody sits, somebody runs (the last
//! one to sleep always finds the seat free), and who runs looks at the timers. Whoever sits next, sees them all: who has compared
//! with an earlier sitter's deadline did so before that one published its own, and so armed before its second look.

use crate::sync::{AtomicU16, AtomicU64, Ordering, fence};

/// Published while nobody sits: no deadline is earlier, so no armer wakes anyone.
pub(crate) const NOBODY: u64 = 0;

/// See the head of this file.
pub(crate) struct Seat {
    /// Nanoseconds on the runtime's clock; `u64::MAX`: waits without end. Written by the sitter, read by all.
    deadline: AtomicU64,
    /// Who sits. Means something only while `deadline` is not NOBODY.
    holder: AtomicU16,
}

impl Seat {
    pub(crate) fn new() -> Seat {
        Seat { deadline: AtomicU64::new(NOBODY), holder: AtomicU16::new(0) }
    }

    /// Publishes until when `worker` will wait, and returns the deadline to wait for. `earliest` looks at all shards.
    pub(crate) fn sit(&self, worker: u16, earliest: impl Fn() -> u64) -> u64 {
        let mut deadline = earliest();
        self.holder.store(worker, Ordering::Relaxed);
        loop {
            // Release, with the Acquire in `to_wake`: the holder is read with the deadline.
            self.deadline.store(deadline.max(1), Ordering::Release);
            // Pairs with the fence in `to_wake`.
            fence(Ordering::SeqCst);
            let again = earliest();
            if again >= deadline {
                return deadline;
            }
            deadline = again;
        }
    }

    /// Nobody sits any more.
    pub(crate) fn rise(&self) {
        self.deadline.store(NOBODY, Ordering::Relaxed);
    }

    /// The published deadline, or NOBODY.
    pub(crate) fn deadline(&self) -> u64 {
        self.deadline.load(Ordering::Relaxed)
    }

    /// Called after a timer was put into a shard from outside: whom to wake so that `deadline` is kept.
    #[must_use]
    pub(crate) fn to_wake(&self, deadline: u64) -> Option<u16> {
        // Pairs with the fence in `sit`.
        fence(Ordering::SeqCst);
        (self.deadline.load(Ordering::Acquire) > deadline).then(|| self.holder.load(Ordering::Relaxed))
    }

    /// Who sits, if anybody does: the first descriptor was registered, and the sitter does not know the poller yet.
    #[must_use]
    pub(crate) fn occupant(&self) -> Option<u16> {
        self.to_wake(NOBODY)
    }
}
