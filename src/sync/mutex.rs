//! A value behind a lock that is waited for by parking the task; how, stands in `raw_mutex.rs`.
//!
//! Unsafe is here for the value alone: a guard gives access to it, and there is one guard at a time.

use super::{
    raw_mutex::{Line, RawMutex},
    threads::{self, AtomicUsize},
    waiters::Place,
};
use gambol_executor::{Reason, block_on, park, spend};
use std::{
    cell::UnsafeCell,
    fmt, mem,
    ops::{Deref, DerefMut},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// A value that one task at a time has, across awaits as well.
///
/// A `std::sync::Mutex` is cheaper where no await stands between locking and unlocking.
///
/// ```
/// use gambol::sync::Mutex;
/// use std::sync::Arc;
///
/// # gambol::block_on(async {
/// let log = Arc::new(Mutex::new(Vec::new()));
/// let writes = log.clone();
/// let task = gambol::spawn(async move {
///     let mut log = writes.lock().await;
///     log.push("begin");
///     gambol::yield_now().await;
///     log.push("end");
/// });
/// task.await.unwrap();
/// assert_eq!(*log.lock().await, ["begin", "end"]);
/// # });
/// ```
///
/// # Fairness
///
/// Those who wait are served in the order in which they came. Who comes when the lock is free takes it, even if the first of
/// those who wait was woken for it and is on its way; but when that one then finds the lock taken, it is the next to have it,
/// whoever else comes. So a waiter is passed over only between its wake and its next poll.
///
/// A future of [`lock`](Self::lock) that was woken and is neither polled nor dropped holds up those behind it.
///
/// # Panics
///
/// There is no poisoning: a panic while the lock is held unlocks it, and leaves the value as it is.
pub struct Mutex<T: ?Sized> {
    raw: RawMutex,
    value: UnsafeCell<T>,
}

// SAFETY: who has the mutex alone may take the value out of it on another thread: T: Send. There is nothing else in it that
// is tied to a thread.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}
// SAFETY: by `&Mutex` one gets at the value through a guard only, of which there is one at a time (`RawMutex`), with what
// the one before did visible. That is as if the value were sent from thread to thread: T: Send. The value is never shared
// without the guard, so T: Sync is not needed.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}

impl<T> Mutex<T> {
    /// Unlocked.
    pub const fn new(value: T) -> Mutex<T> {
        let raw = RawMutex::new(AtomicUsize::new(0), threads::Mutex::new(Line::new()));
        Mutex { raw, value: UnsafeCell::new(value) }
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits until the value is free, and has it until the guard is dropped.
    ///
    /// # Cancel safety
    ///
    /// The place in line is lost. A lock that was given to the future goes to the next.
    #[inline]
    pub fn lock(&self) -> Lock<'_, T> {
        Lock { mutex: self, place: None }
    }

    /// Locks, if it is not locked.
    #[inline]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.raw.try_lock().then(|| MutexGuard { mutex: self })
    }

    /// As [`lock`](Self::lock), for a thread: it blocks.
    pub fn lock_blocking(&self) -> MutexGuard<'_, T> {
        block_on(self.lock())
    }

    /// As [`lock`](Self::lock), with a guard that keeps the mutex alive and goes where it likes.
    #[doc(alias = "lock_owned")]
    #[inline]
    pub fn lock_arc(self: &Arc<Self>) -> LockArc<T> {
        LockArc { mutex: self.clone(), place: None }
    }

    /// As [`try_lock`](Self::try_lock), with a guard that keeps the mutex alive.
    #[doc(alias = "try_lock_owned")]
    #[inline]
    pub fn try_lock_arc(self: &Arc<Self>) -> Option<MutexGuardArc<T>> {
        self.raw.try_lock().then(|| MutexGuardArc { mutex: self.clone() })
    }

    /// As [`lock_arc`](Self::lock_arc), for a thread: it blocks.
    pub fn lock_arc_blocking(self: &Arc<Self>) -> MutexGuardArc<T> {
        block_on(self.lock_arc())
    }

    /// The value, without locking: nobody else has the mutex.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Mutex<T> {
        Mutex::new(T::default())
    }
}

impl<T> From<T> for Mutex<T> {
    fn from(value: T) -> Mutex<T> {
        Mutex::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.try_lock() {
            Some(guard) => f.debug_struct("Mutex").field("value", &&*guard).finish(),
            None => f.debug_struct("Mutex").field("value", &format_args!("<locked>")).finish(),
        }
    }
}

/// The value of a [`Mutex`]. Dropping this unlocks it.
#[must_use = "dropping this unlocks at once"]
pub struct MutexGuard<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
}

/// The value of a [`Mutex`], which this keeps alive. Dropping this unlocks it.
#[must_use = "dropping this unlocks at once"]
pub struct MutexGuardArc<T: ?Sized> {
    mutex: Arc<Mutex<T>>,
}

// SAFETY: `&MutexGuard` gives `&T`, which needs T: Sync; and the mutex, which for T: Send is shared anyway. (By the rule for
// fields, T: Send would be enough, and `&T` be shared without T: Sync.)
unsafe impl<T: ?Sized + Send + Sync> Sync for MutexGuard<'_, T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send + Sync> Sync for MutexGuardArc<T> {}

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    /// The mutex that it locks.
    pub fn source(guard: &MutexGuard<'a, T>) -> &'a Mutex<T> {
        guard.mutex
    }
}

impl<T: ?Sized> MutexGuardArc<T> {
    /// The mutex that it locks.
    pub fn source(guard: &MutexGuardArc<T>) -> &Arc<Mutex<T>> {
        &guard.mutex
    }
}

macro_rules! guard {
    ($($guard:tt)*) => {
        impl<T: ?Sized> Deref for $($guard)* {
            type Target = T;

            #[inline]
            fn deref(&self) -> &T {
                // SAFETY: the value lives as long as the mutex, which the guard borrows or shares. While the guard exists
                // nobody else has the value: `RawMutex` lets one lock at a time, `get_mut` and `into_inner` need the mutex
                // for themselves. Through the guard it is borrowed by this rule too: `&self` here, `&mut self` in
                // `deref_mut`.
                unsafe { &*self.mutex.value.get() }
            }
        }

        impl<T: ?Sized> DerefMut for $($guard)* {
            #[inline]
            fn deref_mut(&mut self) -> &mut T {
                // SAFETY: as in `deref`.
                unsafe { &mut *self.mutex.value.get() }
            }
        }

        impl<T: ?Sized> Drop for $($guard)* {
            #[inline]
            fn drop(&mut self) {
                self.mutex.raw.unlock();
            }
        }

        impl<T: ?Sized + fmt::Debug> fmt::Debug for $($guard)* {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&**self, f)
            }
        }

        impl<T: ?Sized + fmt::Display> fmt::Display for $($guard)* {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&**self, f)
            }
        }
    };
}

guard!(MutexGuard<'_, T>);
guard!(MutexGuardArc<T>);

/// Completes with the lock; see [`Mutex::lock`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct Lock<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
    place: Option<Place>,
}

/// Completes with the lock; see [`Mutex::lock_arc`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct LockArc<T: ?Sized> {
    mutex: Arc<Mutex<T>>,
    place: Option<Place>,
}

#[inline]
fn poll_lock(raw: &RawMutex, place: &mut Option<Place>, cx: &mut Context<'_>) -> Poll<()> {
    let spent = ready!(spend(cx));
    if raw.poll_lock(place, cx).is_ready() {
        return Poll::Ready(());
    }
    spent.refund();
    park(Reason::Lock);
    Poll::Pending
}

impl<'a, T: ?Sized> Future for Lock<'a, T> {
    type Output = MutexGuard<'a, T>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<MutexGuard<'a, T>> {
        ready!(poll_lock(&self.mutex.raw, &mut self.place, cx));
        Poll::Ready(MutexGuard { mutex: self.mutex })
    }
}

impl<T: ?Sized> Future for LockArc<T> {
    type Output = MutexGuardArc<T>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<MutexGuardArc<T>> {
        let this = &mut *self;
        ready!(poll_lock(&this.mutex.raw, &mut this.place, cx));
        Poll::Ready(MutexGuardArc { mutex: this.mutex.clone() })
    }
}

impl<T: ?Sized> Drop for Lock<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if let Some(place) = mem::take(&mut self.place) {
            self.mutex.raw.leave(place);
        }
    }
}

impl<T: ?Sized> Drop for LockArc<T> {
    #[inline]
    fn drop(&mut self) {
        if let Some(place) = mem::take(&mut self.place) {
            self.mutex.raw.leave(place);
        }
    }
}

impl<T: ?Sized> fmt::Debug for Lock<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock").field("locked", &self.mutex.raw.is_locked()).finish_non_exhaustive()
    }
}

impl<T: ?Sized> fmt::Debug for LockArc<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockArc").field("locked", &self.mutex.raw.is_locked()).finish_non_exhaustive()
    }
}
