//! A lock that is one word: a read-modify-write to take it, a plain store to give it back.
//!
//! To lock: swap LOCKED in (Acquire); who finds it there spins a little, then yields its thread, then sleeps. To release: store what
//! the word is to say meanwhile (Release). A futex mutex takes two read-modify-writes, since who releases it must learn
//! whether somebody sleeps; here nobody is woken, and who has waited for long looks again by itself.
//!
//! So it is for what is held for some dozens of instructions, is seldom wanted by two, and never runs somebody else's code: a shard of
//! timers (`shard.rs`), and the channels of the roof, whose word says in the other bits how things stand.

use crate::sync::{AtomicUsize, Ordering, UnsafeCell, spin_loop, thread};

/// Somebody holds the lock; the other bits say nothing.
pub const LOCKED: usize = 1;

/// Looks of a thread that finds the lock taken before it gives its processor away: the holder may be on another one, and be done in a
/// moment.
const SPINS: u32 = if cfg!(gambol_loom) { 0 } else { 4 };
/// Pauses before each look, 1 to 6 µs, which is some hundred operations of the other thread. Who finds the lock taken has met one that
/// uses it all the time, most likely; and where two do, to exchange the line after each operation costs both ten times what the
/// operation does. (One pause before the first look, twice as many before each further one, up to 64: a message from four senders to
/// four receivers on two workers took 38 ns where it takes 25 without a limit, and 28 where it takes 22 at capacity 128. With 256, 21
/// and 18, but 8 % more from one sender to one receiver.)
const PAUSES: u32 = 128;
/// Yields before it sleeps: a holder of lower priority would otherwise never run under a real-time scheduler.
const YIELDS: u32 = 1_000;

/// The word alone: bit 0 is LOCKED, the others are its owner's.
#[derive(Debug)]
pub struct Word(AtomicUsize);

impl Word {
    /// A word that nobody holds.
    pub fn new(bits: usize) -> Word {
        Word(AtomicUsize::new(bits))
    }

    /// Takes the lock. The bits as they were left by the last holder.
    #[inline]
    pub fn acquire(&self) -> usize {
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
                (0..PAUSES).for_each(|_| spin_loop());
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

    /// Gives the lock back, and leaves `bits`, of which LOCKED is none.
    ///
    /// # Safety
    ///
    /// The caller holds the lock, and what it guards is not touched afterwards.
    #[inline]
    pub unsafe fn release(&self, bits: usize) {
        debug_assert_eq!(bits & LOCKED, 0);
        self.0.store(bits, Ordering::Release);
    }

    /// The bits, which say nothing if LOCKED is one of them, and may be outdated otherwise.
    #[inline]
    pub fn look(&self) -> usize {
        self.0.load(Ordering::Relaxed)
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

/// A value behind such a word.
pub(crate) struct Lock<T> {
    word: Word,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached in `with` only, by one thread at a time, so it goes from thread to thread but is never with two: that it
// is Send is enough.
unsafe impl<T: Send> Sync for Lock<T> {}

impl<T> Lock<T> {
    pub(crate) fn new(value: T) -> Lock<T> {
        Lock { word: Word::new(0), value: UnsafeCell::new(value) }
    }

    /// Runs `f` on the value with the lock held. It must not run code of others, and not lock again.
    #[inline]
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        self.word.acquire();
        let _held = Held(&self.word);
        // SAFETY: the lock is held until the reference is gone, also if `f` panics, so no other reference exists. The pointer is that
        // of a cell that `self` borrows.
        self.value.with_mut(|value| f(unsafe { &mut *value }))
    }
}

/// Gives the lock back when it is dropped.
struct Held<'a>(&'a Word);

impl Drop for Held<'_> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: it is made in `with` only, which has the lock and whose reference ends before this is dropped.
        unsafe { self.0.release(0) };
    }
}

#[cfg(all(test, gambol_loom))]
mod models {
    use super::Lock;
    use crate::idle::models::explore;
    use std::sync::Arc;

    /// Hunted: two hold the lock, or the second does not see what the first has written.
    #[test]
    fn who_holds_the_lock_is_alone() {
        explore(4, || {
            let shared = Arc::new(Lock::new(0));
            let adds = |shared: Arc<Lock<u32>>| {
                move || {
                    for _ in 0..2 {
                        shared.with(|sum| *sum += 1);
                    }
                }
            };
            let threads: Vec<Box<dyn FnOnce() + Send>> =
                vec![Box::new(adds(shared.clone())), Box::new(adds(shared.clone()))];
            (threads, Box::new(move || shared.with(|sum| assert_eq!(*sum, 4))))
        });
    }
}

#[cfg(all(test, not(gambol_loom)))]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[test]
    fn a_panic_gives_the_lock_back() {
        let lock = Lock::new(1);
        let result = catch_unwind(AssertUnwindSafe(|| lock.with(|_| panic!("on purpose"))));
        assert!(result.is_err());
        assert_eq!(lock.with(|value| *value), 1);
    }

    #[test]
    fn many_who_want_it_lose_nothing() {
        let lock = Lock::new(0u64);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..10_000).for_each(|_| lock.with(|sum| *sum += 1)));
            }
        });
        assert_eq!(lock.with(|sum| *sum), 80_000);
    }
}
