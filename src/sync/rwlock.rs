//! A value for many readers or one writer; how they wait, stands in `raw_rwlock.rs`.
//!
//! async-lock's stood here before. In its 3.5.0 a reader that waits for a writer is not woken when the writer becomes an
//! upgradable reader, nor when that one ends; and a stream of writers keeps readers out.
//!
//! Unsafe is here for the value alone.

use super::{
    permits::Permits,
    raw_mutex::{Line, RawMutex},
    raw_rwlock::{ALL, Asking, Has, Held, Lock, RawRwLock},
    threads::{AtomicUsize, Mutex},
    waiters::Waiters,
};
use gambol_executor::block_on;
use std::{
    cell::UnsafeCell,
    fmt,
    ops::{Deref, DerefMut},
    sync::Arc,
};

/// A value that many may read at a time, or one may change, across awaits as well.
///
/// ```
/// use gambol::sync::RwLock;
///
/// # gambol::block_on(async {
/// let config = RwLock::new(String::from("a"));
/// {
///     let (one, other) = (config.read().await, config.read().await);
///     assert_eq!(*one, *other);
/// }
/// config.write().await.push('b');
/// assert_eq!(*config.read().await, "ab");
/// # });
/// ```
///
/// An *upgradable* reader reads beside others, and may become a writer without letting another writer in between; there is
/// one of them at a time, and none beside a writer.
///
/// # Fairness
///
/// Readers and writers take turns. Who asks to read while a writer waits for readers to end, waits behind it; who has asked
/// to read by the time at which a writer ends, reads before the next writer writes. Among each other, writers and upgradable
/// readers are served as with a [`Mutex`](super::Mutex). So nobody starves: neither writers in a stream of readers, nor
/// readers in a stream of writers.
///
/// Hence a task that reads and asks to read again may wait for ever: for a writer that waits for its first guard. And a
/// future that was served and is neither polled nor dropped keeps others out.
///
/// # Panics
///
/// There is no poisoning: a panic while the lock is held unlocks it, and leaves the value as it is.
pub struct RwLock<T: ?Sized> {
    raw: RawRwLock,
    value: UnsafeCell<T>,
}

// SAFETY: who has the lock alone may take the value out of it on another thread: T: Send.
unsafe impl<T: ?Sized + Send> Send for RwLock<T> {}
// SAFETY: by `&RwLock` several threads may have `&T` at a time: T: Sync; and one after the other `&mut T`, by which the
// value may be taken to another thread: T: Send. `RawRwLock` sees to it that nobody is beside who has `&mut T`.
unsafe impl<T: ?Sized + Send + Sync> Sync for RwLock<T> {}

impl<T: ?Sized> Lock for &RwLock<T> {
    #[inline]
    fn raw(&self) -> &RawRwLock {
        &self.raw
    }
}

impl<T: ?Sized> Lock for Arc<RwLock<T>> {
    #[inline]
    fn raw(&self) -> &RawRwLock {
        &self.raw
    }
}

impl<T> RwLock<T> {
    /// Unlocked.
    pub const fn new(value: T) -> RwLock<T> {
        let turn = RawMutex::new(AtomicUsize::new(0), Mutex::new(Line::new()));
        let shares = Permits::new(AtomicUsize::new(Permits::word(ALL)), Mutex::new(Waiters::new()));
        RwLock { raw: RawRwLock::new(turn, shares), value: UnsafeCell::new(value) }
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

macro_rules! ways {
    ($(#[$doc:meta])* $has:ident => $Guard:ident, $GuardArc:ident;
        $wait:ident, $try:ident, $block:ident; $wait_arc:ident, $try_arc:ident, $block_arc:ident; $alias:literal) => {
        $(#[$doc])*
        ///
        /// # Cancel safety
        ///
        /// The place in line is lost; what had been given goes to the next.
        #[inline]
        pub fn $wait(&self) -> impl Future<Output = $Guard<'_, T>> + use<'_, T> {
            Asking::new(self, Has::$has, |held| $Guard { held })
        }

        /// The same, if it can be had at once.
        pub fn $try(&self) -> Option<$Guard<'_, T>> {
            Held::try_new(self, Has::$has).map(|held| $Guard { held })
        }

        /// The same, for a thread: it blocks.
        pub fn $block(&self) -> $Guard<'_, T> {
            block_on(self.$wait())
        }

        /// The same, with a guard that keeps the lock alive and goes where it likes.
        #[doc(alias = $alias)]
        #[inline]
        pub fn $wait_arc(self: &Arc<Self>) -> impl Future<Output = $GuardArc<T>> + use<T> {
            Asking::new(self.clone(), Has::$has, |held| $GuardArc { held })
        }

        /// The same with such a guard, if it can be had at once.
        pub fn $try_arc(self: &Arc<Self>) -> Option<$GuardArc<T>> {
            Held::try_new(self.clone(), Has::$has).map(|held| $GuardArc { held })
        }

        /// The same with such a guard, for a thread: it blocks.
        pub fn $block_arc(self: &Arc<Self>) -> $GuardArc<T> {
            block_on(self.$wait_arc())
        }
    };
}

impl<T: ?Sized> RwLock<T> {
    ways! {
        /// Waits until no writer has the lock or waits in front, and reads until the guard is dropped.
        Read => RwLockReadGuard, RwLockReadGuardArc;
        read, try_read, read_blocking; read_arc, try_read_arc, read_arc_blocking; "read_owned"
    }

    ways! {
        /// Waits until nobody has the lock, and reads and writes until the guard is dropped.
        Write => RwLockWriteGuard, RwLockWriteGuardArc;
        write, try_write, write_blocking; write_arc, try_write_arc, write_arc_blocking; "write_owned"
    }

    ways! {
        /// Waits until there is neither a writer nor another upgradable reader, and reads until the guard is dropped or
        /// becomes a writer's.
        Upgradable => RwLockUpgradableReadGuard, RwLockUpgradableReadGuardArc;
        upgradable_read, try_upgradable_read, upgradable_read_blocking;
        upgradable_read_arc, try_upgradable_read_arc, upgradable_read_arc_blocking; "upgradable"
    }

    /// The value, without locking: nobody else has the lock.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> RwLock<T> {
        RwLock::new(T::default())
    }
}

impl<T> From<T> for RwLock<T> {
    fn from(value: T) -> RwLock<T> {
        RwLock::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.try_read() {
            Some(guard) => f.debug_struct("RwLock").field("value", &&*guard).finish(),
            None => f.debug_struct("RwLock").field("value", &format_args!("<locked>")).finish(),
        }
    }
}

macro_rules! guards {
    ($(#[$doc:meta])* $Guard:ident, $GuardArc:ident) => {
        $(#[$doc])*
        #[must_use = "dropping this unlocks at once"]
        pub struct $Guard<'a, T: ?Sized> {
            held: Held<&'a RwLock<T>>,
        }

        $(#[$doc])*
        /// It keeps the lock alive.
        #[must_use = "dropping this unlocks at once"]
        pub struct $GuardArc<T: ?Sized> {
            held: Held<Arc<RwLock<T>>>,
        }

        guards!(@deref $Guard<'_, T>);
        guards!(@deref $GuardArc<T>);
    };
    (@deref $($guard:tt)*) => {
        impl<T: ?Sized> Deref for $($guard)* {
            type Target = T;

            #[inline]
            fn deref(&self) -> &T {
                // SAFETY: the value lives as long as the lock, which the guard borrows or shares. A guard has one share at
                // least, so nobody has all of them and with them `&mut T`, except through this very guard: then `&self` sees
                // to it.
                unsafe { &*self.held.lock.value.get() }
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
    (@write $($guard:tt)*) => {
        impl<T: ?Sized> DerefMut for $($guard)* {
            #[inline]
            fn deref_mut(&mut self) -> &mut T {
                // SAFETY: the value lives as long as the lock. This guard has all shares, so there is no other, and `&mut
                // self` lends the value once at a time.
                unsafe { &mut *self.held.lock.value.get() }
            }
        }
    };
}

guards! {
    /// Reads the value of a [`RwLock`], beside others. Dropping this ends it.
    RwLockReadGuard, RwLockReadGuardArc
}

guards! {
    /// Reads the value of a [`RwLock`], beside others, and may become a writer. Dropping this ends it.
    RwLockUpgradableReadGuard, RwLockUpgradableReadGuardArc
}

guards! {
    /// Reads and writes the value of a [`RwLock`], alone. Dropping this ends it.
    RwLockWriteGuard, RwLockWriteGuardArc
}

guards!(@write RwLockWriteGuard<'_, T>);
guards!(@write RwLockWriteGuardArc<T>);

macro_rules! changes {
    ($Read:ident, $Upgradable:ident, $Write:ident, [$($life:lifetime)?]) => {
        impl<$($life,)? T: ?Sized> $Upgradable<$($life,)? T> {
            /// Becomes an ordinary reader.
            pub fn downgrade(mut guard: Self) -> $Read<$($life,)? T> {
                guard.held.lower(Has::Read);
                $Read { held: guard.held }
            }

            /// Becomes the writer, if there is no other reader.
            ///
            /// # Errors
            ///
            /// The guard, if there is one.
            pub fn try_upgrade(mut guard: Self) -> Result<$Write<$($life,)? T>, Self> {
                if guard.held.try_raise(Has::Write) { Ok($Write { held: guard.held }) } else { Err(guard) }
            }

            /// Waits until there is no other reader, and becomes the writer. Nobody writes in between, and readers that come
            /// later wait.
            ///
            /// # Cancel safety
            ///
            /// The lock is given up altogether.
            pub fn upgrade(guard: Self) -> impl Future<Output = $Write<$($life,)? T>> + use<$($life,)? T> {
                Asking::raise(guard.held, Has::Write, |held| $Write { held })
            }

            /// As [`upgrade`](Self::upgrade), for a thread: it blocks.
            pub fn upgrade_blocking(guard: Self) -> $Write<$($life,)? T> {
                block_on(Self::upgrade(guard))
            }
        }

        impl<$($life,)? T: ?Sized> $Write<$($life,)? T> {
            /// Becomes a reader; others may read as well.
            pub fn downgrade(mut guard: Self) -> $Read<$($life,)? T> {
                guard.held.lower(Has::Read);
                $Read { held: guard.held }
            }

            /// Becomes an upgradable reader; others may read as well.
            pub fn downgrade_to_upgradable(mut guard: Self) -> $Upgradable<$($life,)? T> {
                guard.held.lower(Has::Upgradable);
                $Upgradable { held: guard.held }
            }
        }
    };
}

changes!(RwLockReadGuard, RwLockUpgradableReadGuard, RwLockWriteGuard, ['a]);
changes!(RwLockReadGuardArc, RwLockUpgradableReadGuardArc, RwLockWriteGuardArc, []);
