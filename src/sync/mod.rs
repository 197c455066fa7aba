//! Locks, permits, notifications and other meeting points of tasks.
//!
//! Whoever waits parks its task, never its thread, and holds up nobody when its future is dropped. Each type says in which
//! order those who wait are served. A `std::sync::Mutex` is cheaper where no `.await` stands between locking and unlocking.

// Those who wait: in a line; and all for the same.
mod crowd;
mod waiters;

// The machines of the semaphore, of the mutex, and of the read-write lock, which is both. What they share between threads.
mod permits;
mod raw_mutex;
mod raw_rwlock;
mod threads;

// One at a time; many readers or one writer.
mod mutex;
mod rwlock;
pub use mutex::{Lock, LockArc, Mutex, MutexGuard, MutexGuardArc};
pub use rwlock::{
    RwLock, RwLockReadGuard, RwLockReadGuardArc, RwLockUpgradableReadGuard, RwLockUpgradableReadGuardArc,
    RwLockWriteGuard, RwLockWriteGuardArc,
};

// So many at a time.
mod semaphore;
pub use semaphore::{Acquire, AcquireArc, AcquireError, OrClosed, Semaphore, SemaphoreGuard, SemaphoreGuardArc};

// Made once.
mod once_cell;
pub use once_cell::OnceCell;

// Waiting for each other.
mod barrier;
pub use barrier::{Barrier, BarrierWait, BarrierWaitResult};

// Something has changed.
mod notify;
pub use notify::{Notified, Notify};

// A number of things are done.
mod wait_group;
pub use wait_group::{Wait, WaitGroup, WaitGroupWorker};

// Values for many: the latest one; every one.
pub mod broadcast;
pub mod watch;
