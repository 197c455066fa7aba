//! Where runnable tasks wait: each worker's ring and slot, and the injector that all share.
//!
//! The structures hold [`Item`]s, one machine word each, and know nothing of tasks. That keeps them small enough for
//! the model checker and lets a thief read a word that it then fails to claim.

mod injector;
mod ring;
mod slot;

pub(crate) use injector::{Injector, Job};
pub(crate) use ring::{CAPACITY, Ring, Spill};
pub(crate) use slot::Slot;

use std::ptr::NonNull;

/// A task that is to run, as the raw word of its `Runnable`.
pub(crate) type Item = NonNull<()>;

#[cfg(all(test, gambol_loom))]
mod models;
