//! What threads share: std's atomics, mutex and cell, or those of the model checker. Re-exports, and std's cell behind the model
//! checker's interface; no logic.
//!
//! `Arc` is std's in both builds. It stands in the public interface, where a type that changes with the build would have
//! to change in every caller too, and no protocol here leans on its counting.

#[cfg(not(gambol_loom))]
pub(crate) use std::{
    hint::spin_loop,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicUsize},
    },
    thread,
};

#[cfg(gambol_loom)]
pub(crate) use loom::{
    cell::{MutPtr, UnsafeCell},
    hint::spin_loop,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicUsize},
    },
    thread,
};

pub(crate) use std::sync::{Arc, PoisonError, atomic::Ordering};

/// std's cell, which gives out what the model checker watches: for how long its value is pointed at.
#[cfg(not(gambol_loom))]
pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

/// See [`UnsafeCell`].
#[cfg(not(gambol_loom))]
pub(crate) struct MutPtr<T>(*mut T);

#[cfg(not(gambol_loom))]
impl<T> UnsafeCell<T> {
    pub(crate) fn new(value: T) -> UnsafeCell<T> {
        UnsafeCell(std::cell::UnsafeCell::new(value))
    }

    #[inline]
    pub(crate) fn get_mut(&self) -> MutPtr<T> {
        MutPtr(self.0.get())
    }
}

#[cfg(not(gambol_loom))]
impl<T> MutPtr<T> {
    #[inline]
    pub(crate) fn with<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0)
    }
}
