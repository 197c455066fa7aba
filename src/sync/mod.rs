//! Locks, permits, notifications and other meeting points of tasks.
//!
//! Whoever waits parks its task, never its thread. The locks and permits are async-lock's; they are fair in the end, and hold up
//! nobody when a future that waits for them is dropped. A `std::sync::Mutex` is cheaper where no `.await` stands between
//! locking and unlocking.

// What waits for what: the line of those who wait, and the machines of the mutex and the semaphore.
mod permits;
mod raw_mutex;
mod threads;
mod waiters;

// One at a time, or many readers at a time.
mod mutex;
pub use async_lock::{
    Barrier, BarrierWaitResult, OnceCell, RwLock, RwLockReadGuard, RwLockReadGuardArc, RwLockUpgradableReadGuard,
    RwLockUpgradableReadGuardArc, RwLockWriteGuard, RwLockWriteGuardArc,
};
pub use mutex::{Lock, LockArc, Mutex, MutexGuard, MutexGuardArc};

// So many at a time.
mod semaphore;
pub use semaphore::{Acquire, AcquireArc, AcquireError, OrClosed, Semaphore, SemaphoreGuard, SemaphoreGuardArc};

// Something has changed.
mod notify;
pub use notify::{Notified, Notify};

// A number of things are done.
mod wait_group;
pub use wait_group::{Wait, WaitGroup, WaitGroupWorker};
