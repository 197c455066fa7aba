//! A lock that is half a word: a read-modify-write to take it, a plain store to give it back.
//!
//! To lock: swap HELD in (Acquire); who finds it there spins a little, then yields its thread, then sleeps. To release: store FREE
//! (Release). A mutex of std's takes two read-modify-writes, since who releases it must learn whether somebody sleeps; here nobody is
//! woken, and who has waited for long looks again by itself.
//!
//! It is a source's, whose holder moves a waker and changes a bit: two want it at the same time only if an event comes at the moment at
//! which a task begins to wait, or two tasks share a direction. Elsewhere than on Linux, and at the first wait for a connection, it is
//! held over a system call. The crate above has another of the kind, whose word says more.
//!
//! The models of sources have the model checker's mutex in its place ([`Lock`]): the checker knows no end of looks at a lock that is taken.
//! This one has a model of its own, with a bound on the times that a thread is interrupted.

use crate::sync::{AtomicU32, MutPtr, Ordering, UnsafeCell, spin_loop, thread};
use std::ops::{Deref, DerefMut};
use std::panic::{RefUnwindSafe, UnwindSafe};

const FREE: u32 = 0;
const HELD: u32 = 1;

/// Looks of a thread that finds the lock taken before it gives its processor away. Before each but the first it waits twice as long, up
/// to 2^6 pauses.
const SPINS: u32 = if cfg!(gambol_loom) { 0 } else { 12 };
/// Yields before it sleeps: a holder of lower priority would otherwise never run under a real-time scheduler.
#[cfg(not(gambol_loom))]
const YIELDS: u32 = 1_000;

/// What a source has.
#[cfg(not(gambol_loom))]
pub(crate) type Lock<T, B> = SpinLock<T, B>;

/// A value behind the lock, and one beside it that never changes and fills the word.
pub(crate) struct SpinLock<T, B> {
    state: AtomicU32,
    beside: B,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached through `Guard` only, of which there is one at a time, so it goes from thread to thread but is never with
// two: that it is Send is enough. What stands beside it is shared, and is Sync.
unsafe impl<T: Send, B: Sync> Sync for SpinLock<T, B> {}

// A panic gives the lock back, and its holders leave the value whole: they call nobody's code.
impl<T, B> UnwindSafe for SpinLock<T, B> {}
impl<T, B> RefUnwindSafe for SpinLock<T, B> {}

impl<T, B> SpinLock<T, B> {
    pub(crate) fn new(value: T, beside: B) -> SpinLock<T, B> {
        SpinLock { state: AtomicU32::new(FREE), beside, value: UnsafeCell::new(value) }
    }

    #[cfg_attr(gambol_loom, expect(dead_code, reason = "a source has another there"))]
    pub(crate) fn beside(&self) -> &B {
        &self.beside
    }

    /// Waits for the lock; it is held until the guard is dropped.
    #[inline]
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        if !self.try_acquire() {
            self.acquire_slow();
        }
        // From here on a panic would give it back.
        let held = Held(&self.state);
        Guard { value: self.value.get_mut(), _held: held }
    }

    #[cfg(not(gambol_loom))]
    #[inline]
    fn try_acquire(&self) -> bool {
        // Acquire, with the Release in `Held::drop`: what the last holder wrote is seen.
        self.state.swap(HELD, Ordering::Acquire) == FREE
    }

    /// The model checker does not know that nothing comes between what a swap has read and what it has written: a swap that finds
    /// HELD could then stand behind the holder's release, and the lock would never be free again. So it writes nothing here.
    #[cfg(gambol_loom)]
    fn try_acquire(&self) -> bool {
        self.state.compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    #[cold]
    fn acquire_slow(&self) {
        let mut looks = 0;
        loop {
            if looks < SPINS {
                (0..1 << looks.min(6)).for_each(|_| spin_loop());
            } else {
                wait(looks - SPINS);
            }
            looks += 1;
            if self.state.load(Ordering::Relaxed) == FREE && self.try_acquire() {
                return;
            }
        }
    }
}

#[cfg(not(gambol_loom))]
fn wait(times: u32) {
    if times <= YIELDS { thread::yield_now() } else { thread::sleep(std::time::Duration::from_micros(50)) }
}

#[cfg(gambol_loom)]
fn wait(_: u32) {
    thread::yield_now();
}

/// The right to the value.
pub(crate) struct Guard<'a, T> {
    // Before the lock in the order of drops.
    value: MutPtr<T>,
    _held: Held<'a>,
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the pointer is that of a cell in the lock that the guard borrows (`_held` has its lifetime), so it points to a value.
        // The lock is held as long as the guard is there, so no other guard is; and the reference borrows this one, so that no
        // reference for writing is there.
        self.value.with(|value| unsafe { &*value })
    }
}

impl<T> DerefMut for Guard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`, and the reference borrows this guard for writing, so that no other reference is there.
        self.value.with(|value| unsafe { &mut *value })
    }
}

/// Gives the lock back when it is dropped. It is made by who has taken the lock, and nowhere else.
struct Held<'a>(&'a AtomicU32);

impl Drop for Held<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.store(FREE, Ordering::Release);
    }
}

/// What stands in for it in the models of sources.
#[cfg(gambol_loom)]
pub(crate) struct Lock<T, B> {
    value: crate::sync::Mutex<T>,
    beside: B,
}

#[cfg(gambol_loom)]
impl<T, B> Lock<T, B> {
    pub(crate) fn new(value: T, beside: B) -> Lock<T, B> {
        Lock { value: crate::sync::Mutex::new(value), beside }
    }

    pub(crate) fn beside(&self) -> &B {
        &self.beside
    }

    pub(crate) fn lock(&self) -> impl DerefMut<Target = T> + '_ {
        self.value.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(all(test, not(gambol_loom)))]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[test]
    fn a_panic_gives_the_lock_back() {
        let lock = Lock::new(1, ());
        let result = catch_unwind(AssertUnwindSafe(|| {
            let _guard = lock.lock();
            panic!("on purpose");
        }));
        assert!(result.is_err());
        assert_eq!(*lock.lock(), 1);
    }

    #[test]
    fn many_who_want_it_lose_nothing() {
        let lock = Lock::new(0u64, ());
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..10_000).for_each(|_| *lock.lock() += 1));
            }
        });
        assert_eq!(*lock.lock(), 80_000);
    }
}
