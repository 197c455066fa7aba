//! Locks and atomics for the tree: std's, or the model checker's under `--cfg gambol_loom`.
//!
//! Re-exports only, no logic. `Arc` is std's in both: the model checker has no `Weak`.

#[cfg(not(gambol_loom))]
pub(super) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

#[cfg(gambol_loom)]
pub(super) use loom::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};
