//! One word that is a channel's lock and, while nobody holds it, tells at a glance how things stand.
//!
//! | bit | name | meaning, in the moment of the last release |
//! | --- | --- | --- |
//! | 0 | LOCKED | somebody holds the lock; the other bits say nothing |
//! | 1 | RECEIVABLE | a value, a sender who waits, or the end: to receive may not have to wait |
//! | 2 | SENDABLE | room, or the end: to send does not have to wait |
//! | 3 | CLOSED | the channel was closed |
//! | 4 | AWAITED | a receiver waits that has not been called |
//! | 5 | OFFERED | a sender waits |
//! | 6.. | | how many values are in the channel |
//!
//! To lock: swap LOCKED in (Acquire); who finds it there spins a little, then yields its thread, then sleeps. To release: store the
//! new bits (Release). So an operation is one read-modify-write and one plain store on one line, and whoever has locked has in
//! the old bits what it needs to know for the usual case.
//!
//! The lock is held for some dozens of instructions, at the longest for the growth of a list, and never while somebody
//! else's code runs: wakers are cloned before it is taken and woken or dropped after it was released, and so are values
//! dropped. A futex mutex would take two read-modify-writes each time.
//!
//! What the other bits tell without the lock may be outdated as soon as it is read. They save work (the lock, or the clone
//! of a waker) and decide nothing: who waits has always looked again under the lock.

use super::sync::{AtomicUsize, Ordering, spin_loop, thread};

const LOCKED: usize = 1;
pub(crate) const RECEIVABLE: usize = 1 << 1;
pub(crate) const SENDABLE: usize = 1 << 2;
pub(crate) const CLOSED: usize = 1 << 3;
pub(crate) const AWAITED: usize = 1 << 4;
pub(crate) const OFFERED: usize = 1 << 5;
/// Where the number of values begins.
pub(crate) const LEN: u32 = 6;
/// One value.
pub(crate) const ONE: usize = 1 << LEN;

/// Looks of a thread that finds the lock taken before it gives its processor away: the holder may be on another one, and be done in a
/// moment. Before each look but the first it waits twice as long, up to 2^6 pauses: so where several want the lock all the time, each
/// has the line to itself for some dozens of operations, which is faster for all than to exchange it after each.
const SPINS: u32 = if cfg!(gambol_loom) { 0 } else { 12 };
/// Yields before it sleeps: a holder of lower priority would otherwise never run under a real-time scheduler.
const YIELDS: u32 = 1_000;

/// See the head of this file.
#[derive(Debug)]
pub struct Word(AtomicUsize, #[cfg(gambol_loom)] usize);

impl Word {
    pub(crate) fn new(bits: usize) -> Word {
        Word(
            AtomicUsize::new(bits),
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
        match self.try_acquire() {
            Some(bits) => bits,
            None => self.acquire_slow(),
        }
    }

    #[cfg(not(gambol_loom))]
    #[inline]
    fn try_acquire(&self) -> Option<usize> {
        // Acquire, with the Release in `release`: what the last holder wrote is seen.
        let bits = self.0.swap(LOCKED, Ordering::Acquire);
        (bits & LOCKED == 0).then_some(bits)
    }

    /// The model checker does not know that nothing comes between what a swap has read and what it has written: a swap that finds
    /// LOCKED could then stand behind the holder's release, and the lock would never be free again. So it writes nothing here.
    #[cfg(gambol_loom)]
    fn try_acquire(&self) -> Option<usize> {
        let bits = self.0.load(Ordering::Relaxed);
        if bits & LOCKED == 0 && self.0.compare_exchange(bits, LOCKED, Ordering::Acquire, Ordering::Relaxed).is_ok() {
            return Some(bits);
        }
        thread::yield_now();
        None
    }

    #[cold]
    fn acquire_slow(&self) -> usize {
        let mut looks = 0;
        loop {
            if looks < SPINS {
                (0..1 << looks.min(6)).for_each(|_| spin_loop());
            } else {
                wait(looks - SPINS);
            }
            looks += 1;
            if self.0.load(Ordering::Relaxed) & LOCKED == 0
                && let Some(bits) = self.try_acquire()
            {
                return bits;
            }
        }
    }

    /// # Safety
    ///
    /// The caller holds the lock, and what it guards is not touched afterwards.
    #[inline]
    pub(crate) unsafe fn release(&self, bits: usize) {
        debug_assert_eq!(bits & LOCKED, 0);
        self.0.store(bits, Ordering::Release);
    }

    /// The bits, unless somebody holds the lock.
    #[inline]
    pub(crate) fn peek(&self) -> Option<usize> {
        let bits = self.0.load(Ordering::Relaxed);
        (bits & LOCKED == 0).then_some(bits)
    }

    /// Whether a bit was set, or may be set in a moment.
    #[inline]
    pub(crate) fn may(&self, bit: usize) -> bool {
        self.0.load(Ordering::Relaxed) & (bit | LOCKED) != 0
    }
}

#[cfg(not(gambol_loom))]
fn wait(times: u32) {
    if times <= YIELDS { thread::yield_now() } else { thread::sleep(std::time::Duration::from_micros(50)) }
}

#[cfg(gambol_loom)]
fn wait(_: u32) {
    let _ = YIELDS;
    thread::yield_now();
}

#[cfg(gambol_loom)]
fn number() -> usize {
    static LAST: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}
