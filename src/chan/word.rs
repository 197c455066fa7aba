//! One word that is a channel's lock and, while nobody holds it, tells at a glance how things stand.
//!
//! | bit | name | meaning, in the moment of the last release |
//! | --- | --- | --- |
//! | 0 | LOCKED | somebody holds the lock; the other bits say nothing |
//! | 1 | RECEIVABLE | a value in the queue, a sender who waits, or the end: to receive may not have to wait |
//! | 2 | SENDABLE | room, or the end: to send does not have to wait |
//! | 3 | CLOSED | the channel was closed |
//! | 4 | AWAITED | a receiver waits that has not been called |
//! | 5 | OFFERED | a sender waits |
//! | 6.. | | how many values are in the queue; without a limit there may be more before it (`front.rs`) |
//!
//! How it is locked is in `executor/src/lock.rs`: an operation is one read-modify-write and one plain store on one line, and whoever has
//! locked has in the old bits what it needs to know for the usual case.
//!
//! The lock is held for some dozens of instructions, at the longest for the growth of a list, and never while somebody
//! else's code runs: wakers are cloned before it is taken and woken or dropped after it was released, and so are values
//! dropped.
//!
//! What the other bits tell without the lock may be outdated as soon as it is read. They save work (the lock, or the clone
//! of a waker) and decide nothing: who waits has always looked again under the lock.

use gambol_executor::lock::{self, LOCKED};

pub(crate) const RECEIVABLE: usize = 1 << 1;
pub(crate) const SENDABLE: usize = 1 << 2;
pub(crate) const CLOSED: usize = 1 << 3;
pub(crate) const AWAITED: usize = 1 << 4;
pub(crate) const OFFERED: usize = 1 << 5;
/// Where the number of values begins.
pub(crate) const LEN: u32 = 6;
/// One value.
pub(crate) const ONE: usize = 1 << LEN;

/// See the head of this file.
#[derive(Debug)]
pub struct Word(lock::Word, #[cfg(gambol_loom)] usize);

impl Word {
    pub(crate) fn new(bits: usize) -> Word {
        Word(
            lock::Word::new(bits),
            #[cfg(gambol_loom)]
            number(),
        )
    }

    /// Who takes the locks of several takes them in the order of this: their addresses. Null comes first.
    #[cfg(not(gambol_loom))]
    #[inline]
    pub(crate) fn rank(word: *const Word) -> usize {
        word.addr()
    }

    /// The model checker repeats what it does, and addresses do not: the order in which they were made.
    #[cfg(gambol_loom)]
    pub(crate) fn rank(word: *const Word) -> usize {
        // SAFETY: there are no others than null and such as are there.
        unsafe { word.as_ref() }.map_or(0, |word| word.1)
    }

    /// Takes the lock. The bits as they were left by the last holder.
    #[inline]
    pub(crate) fn acquire(&self) -> usize {
        self.0.acquire()
    }

    /// # Safety
    ///
    /// The caller holds the lock, and what it guards is not touched afterwards.
    #[inline]
    pub(crate) unsafe fn release(&self, bits: usize) {
        // SAFETY: the caller's promise.
        unsafe { self.0.release(bits) };
    }

    /// The bits, unless somebody holds the lock.
    #[inline]
    pub(crate) fn peek(&self) -> Option<usize> {
        let bits = self.0.look();
        (bits & LOCKED == 0).then_some(bits)
    }

    /// Whether a bit was set, or may be set in a moment.
    #[inline]
    pub(crate) fn may(&self, bit: usize) -> bool {
        self.0.look() & (bit | LOCKED) != 0
    }
}

#[cfg(gambol_loom)]
fn number() -> usize {
    static LAST: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    LAST.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1
}
