//! The attention word of a worker: what others want of it at its next poll boundary.
//!
//! | bit | set by | cleared by | the worker then |
//! | --- | --- | --- | --- |
//! | LOOK | the monitor, when poller or timers are unattended, or wakers of a stuck worker | the worker | looks at them at once |
//! | SURPLUS | a worker that returns from blocking and finds its place filled, on itself | the worker | empties its queues and becomes a spare |
//! | STUCK | the monitor, when the worker sits in one poll too long | the worker, with its standing | counts itself active again, or rests if its place was filled |
//! | STOP | shutdown | nobody, while the runtime lives | leaves its loop |
//!
//! The word has a line of its own, which is written only when something is wanted, and is read once per tick with a plain
//! load. Bits are raised before the worker is unparked, so a worker that was about to sleep sees them in its last look
//! or is woken.

use crate::sync::{AtomicU32, Ordering};

pub(crate) const LOOK: u32 = 1;
pub(crate) const SURPLUS: u32 = 2;
pub(crate) const STOP: u32 = 4;
pub(crate) const STUCK: u32 = 8;

/// See the head of this file.
#[repr(align(128))]
pub(crate) struct Attention(AtomicU32);

impl Attention {
    pub(crate) fn new() -> Attention {
        Attention(AtomicU32::new(0))
    }

    /// Sets a bit. Unpark the worker afterwards if it must not sleep on.
    pub(crate) fn raise(&self, bit: u32) {
        self.0.fetch_or(bit, Ordering::Release);
    }

    /// The bits.
    #[inline]
    pub(crate) fn get(&self) -> u32 {
        // Relaxed in the tick: a bit that is seen a tick later is seen early enough. What comes with STOP is read under
        // locks.
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn clear(&self, bit: u32) {
        self.0.fetch_and(!bit, Ordering::AcqRel);
    }
}
