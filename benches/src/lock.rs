//! Async mutexes behind one trait, for the workload `mutex`: each on the runtime that it belongs to.

use crate::rt::{self, Runtime};
use std::future::Future;
use std::ops::DerefMut;

/// A mutex around a counter.
pub trait Lock: Send + Sync + 'static {
    /// What its users run on.
    type Runtime: Runtime;

    /// Around 0.
    fn new() -> Self;

    /// Waits for its turn; the guard unlocks.
    fn lock(&self) -> impl Future<Output = impl DerefMut<Target = u64> + Send> + Send;
}

impl Lock for tokio::sync::Mutex<u64> {
    type Runtime = rt::Tokio;

    fn new() -> Self {
        Self::new(0)
    }

    fn lock(&self) -> impl Future<Output = impl DerefMut<Target = u64> + Send> + Send {
        self.lock()
    }
}

impl Lock for async_lock::Mutex<u64> {
    type Runtime = rt::Smol;

    fn new() -> Self {
        Self::new(0)
    }

    fn lock(&self) -> impl Future<Output = impl DerefMut<Target = u64> + Send> + Send {
        self.lock()
    }
}
