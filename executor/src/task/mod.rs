//! Tasks: what stands in a task's cell beside the user's future, and what others may do with it.
//!
//! A cell is one allocation, made by `async-task`: state and reference count, awaiter, vtable, our [`Meta`], the
//! [`Contained`] future or its [`Outcome`]. The schedule function has no captures: any captured word costs two
//! read-modify-writes per wake, because async-task must then keep the cell alive while the function runs. The runtime
//! is found by the number in the metadata.
//!
//! A task is never dropped unrun. To cancel it, its cancel bit is set and it is run once more: the container sees the
//! bit, drops the future and completes with an error. So whoever awaits it always gets an outcome.

mod abort;
mod contained;
mod join;
pub(crate) mod kin;
mod meta;
mod registry;
mod wait;

pub use abort::AbortHandle;
pub use join::{JoinError, JoinHandle};
pub use meta::Id;
pub use wait::Reason;

pub(crate) use abort::AbortCell;
pub(crate) use contained::{Contained, Outcome, contain};
pub(crate) use meta::{Extra, Meta};
pub(crate) use registry::{Owned, PAGE, Registry};
pub(crate) use wait::{TIME_MASK, is_in_micros, unpack as unpack_wait};

/// A task that is to run.
pub(crate) type Runnable = async_task::Runnable<Meta>;
