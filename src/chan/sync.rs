//! Atomics and cells for the protocols of this module: std's, or the model checker's under `--cfg gambol_loom`.
//!
//! Re-exports, and std's cell behind the model checker's interface; no logic.

#[cfg(not(gambol_loom))]
pub(crate) use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering, fence};

#[cfg(gambol_loom)]
pub(crate) use loom::sync::atomic::{AtomicU32, AtomicUsize, Ordering, fence};

#[cfg(gambol_loom)]
pub(crate) use loom::cell::UnsafeCell;

/// std's cell, with the closures that loom checks accesses by.
#[cfg(not(gambol_loom))]
#[derive(Debug)]
pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

#[cfg(not(gambol_loom))]
impl<T> UnsafeCell<T> {
    pub(crate) fn new(value: T) -> UnsafeCell<T> {
        UnsafeCell(std::cell::UnsafeCell::new(value))
    }

    #[inline]
    pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}
