//! Atomics, cells, locks and threads: std's, or the model checker's under `--cfg gambol_loom`.
//!
//! Re-exports only. Everything that threads share in this crate's protocols is built from these names, so that the
//! models run the code that ships.

#[cfg(not(gambol_loom))]
pub(crate) use std::{
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
    },
    thread,
};

#[cfg(gambol_loom)]
pub(crate) use loom::{
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
    },
    thread,
};
