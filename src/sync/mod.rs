//! Locks, permits, notifications and other meeting points of tasks.
//!
//! Whoever waits parks its task, never its thread. The locks and permits are async-lock's; they are fair in the end, and hold up
//! nobody when a future that waits for them is dropped. A `std::sync::Mutex` is cheaper where no `.await` stands between
//! locking and unlocking.

// Locks and permits.
pub use async_lock::{
    Barrier, BarrierWaitResult, Mutex, MutexGuard, MutexGuardArc, OnceCell, RwLock, RwLockReadGuard,
    RwLockReadGuardArc, RwLockUpgradableReadGuard, RwLockUpgradableReadGuardArc, RwLockWriteGuard, RwLockWriteGuardArc,
    Semaphore, SemaphoreGuard, SemaphoreGuardArc,
};

// A line of those who wait.
mod waiters;

// Something has changed.
mod notify;
pub use notify::{Notified, Notify};

// A number of things are done.
mod wait_group;
pub use wait_group::{Wait, WaitGroup, WaitGroupWorker};
