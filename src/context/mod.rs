//! Contexts: when a piece of work is to end, and what goes with it, through all tasks that it starts.
//!
//! They are Go's, with two differences. The context need not be an argument of every function: [`Context::scope`] makes it
//! the current one, and `spawn` hands it on. And [`Context::run`] ends a future from outside, since a future can be dropped.

// The context itself.
mod handle;

// Ending it by hand, and why it has ended.
mod canceller;
mod cause;

// Waiting for the end; running until then.
mod cancelled;
mod scope;

// The tree of what ends together, and the places in it.
pub(crate) mod ending;
mod slab;

// Its locks and atomics, std's or the model checker's; the tree in every interleaving.
#[cfg(all(test, gambol_loom))]
mod models;
mod sync;

// What contexts carry.
mod values;

pub(crate) use cancelled::Waiting;
pub use cancelled::{Cancelled, CancelledOwned};
pub use canceller::{CancelOnDrop, Canceller};
pub use cause::Cause;
pub use handle::Context;
pub use scope::{Run, Scope};
