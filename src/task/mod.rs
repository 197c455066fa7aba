//! Tasks: awaiting, aborting and naming them, and giving way to others.
//!
//! A task is a future that was given to [`spawn`]. It runs on any worker, beside all others, and ends with its
//! future, with a panic, with [`JoinHandle::abort`], or with its runtime. Tasks that belong together are kept in a [`JoinSet`], which yields
//! what they return, or in a [`TaskGroup`], of which the first error ends all.

// Names for tasks.
mod builder;

// Giving way to others, or not.
mod giving_way;
mod unconstrained;

// Many tasks, awaited as they end; several futures in one task.
mod join;
mod join_set;

// Many tasks of which the first error ends all.
mod task_group;

// Values that belong to a task.
mod local_key;

pub use crate::task_local;
pub use builder::Builder;
pub use gambol_executor::{AbortHandle, Id, JoinError, JoinHandle, spawn, spawn_blocking, spawn_local};
pub use giving_way::{ConsumeBudget, YieldNow, consume_budget, yield_now};
#[doc(hidden)]
pub use join::Rota;
pub use join_set::JoinSet;
pub use local_key::{AccessError, LocalKey, Scope};
pub use task_group::{TaskGroup, WaitAll};
pub use unconstrained::{Unconstrained, unconstrained};

/// The id of the task that runs this.
///
/// # Panics
///
/// Outside of a task; [`try_id`] does not.
#[track_caller]
pub fn id() -> Id {
    try_id().expect("this runs outside of a task, which has no id; use task::try_id() where that may be so")
}

/// The id of the task that runs this; none outside of a task. A closure in the blocking pool has one too.
pub fn try_id() -> Option<Id> {
    gambol_executor::current_task()
}
