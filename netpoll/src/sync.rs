//! What threads share: std's atomics and mutex, or those of the model checker. Re-exports only.
//!
//! `Arc` is std's in both builds. It stands in the public interface, where a type that changes with the build would have
//! to change in every caller too, and no protocol here leans on its counting.

#[cfg(not(gambol_loom))]
pub(crate) use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicUsize},
};

#[cfg(gambol_loom)]
pub(crate) use loom::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicUsize},
};

pub(crate) use std::sync::{Arc, PoisonError, atomic::Ordering};
