//! What threads share, by the names that the files of the protocols use. `tests/sync_models.rs` compiles them with loom's.

pub(super) use gambol_executor::{Reason, discard, park, spend, wake};
pub(super) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicUsize, Ordering, fence},
};
