//! Async mutexes behind one trait, for the workload `mutex`: each on the runtime that it belongs to.
//!
//! As types of their own, so that two peers may have the same mutex.

use crate::rt::{self, Scheduler};
use std::future::Future;
use std::ops::DerefMut;

/// A mutex around a counter.
pub trait Lock: Send + Sync + 'static {
    /// What its users run on.
    type Runtime: Scheduler;

    /// Around 0.
    fn new() -> Self;

    /// Waits for its turn; the guard unlocks.
    fn lock(&self) -> impl Future<Output = impl DerefMut<Target = u64> + Send> + Send;
}

/// `gambol::sync::Mutex`.
pub struct GambolMutex(gambol::sync::Mutex<u64>);

impl Lock for GambolMutex {
    type Runtime = rt::Gambol;

    fn new() -> Self {
        GambolMutex(gambol::sync::Mutex::new(0))
    }

    fn lock(&self) -> impl Future<Output = impl DerefMut<Target = u64> + Send> + Send {
        self.0.lock()
    }
}

/// `tokio::sync::Mutex`.
pub struct TokioMutex(tokio::sync::Mutex<u64>);

impl Lock for TokioMutex {
    type Runtime = rt::Tokio;

    fn new() -> Self {
        TokioMutex(tokio::sync::Mutex::new(0))
    }

    fn lock(&self) -> impl Future<Output = impl DerefMut<Target = u64> + Send> + Send {
        self.0.lock()
    }
}

/// `async_lock::Mutex`, which is smol's.
pub struct SmolMutex(async_lock::Mutex<u64>);

impl Lock for SmolMutex {
    type Runtime = rt::Smol;

    fn new() -> Self {
        SmolMutex(async_lock::Mutex::new(0))
    }

    fn lock(&self) -> impl Future<Output = impl DerefMut<Target = u64> + Send> + Send {
        self.0.lock()
    }
}

/// `may::sync::Mutex`, which blocks the coroutine and not the thread.
pub struct MayMutex(may::sync::Mutex<u64>);

impl Lock for MayMutex {
    type Runtime = rt::May;

    fn new() -> Self {
        MayMutex(may::sync::Mutex::new(0))
    }

    async fn lock(&self) -> impl DerefMut<Target = u64> + Send {
        self.0.lock().expect("nobody panics under the lock")
    }
}
