//! What a task hands on to those that it spawns: one value behind an `Arc`, which the roof knows and this floor does not.
//!
//! A thread is in a scope, or in none; the scope is one pointer in its [`context`], to a heritage that whoever entered the
//! scope holds. `spawn` looks at it on a line that it touches anyway. Usually it is null, and that is all that this costs; or
//! else the heritage is cloned into the rare part of the task's metadata.
//!
//! When the task runs, its container points the thread at that clone, and the end of the turn sets the pointer back to null:
//! one plain store. A task that runs inside another one, in a `block_on` or a drop, does not see the other's: whoever gives
//! it the turn clears the pointer and restores it afterwards.
//!
//! The clone is dropped with the future, and not with the cell, which lives as long as somebody keeps the handle.
//!
//! A thread-local of the roof's own was left: each spawn would have had to look there as well, and every future of a task
//! would have been wrapped to set it.

use crate::context;
use std::{any::Any, sync::Arc};

/// See the head of this file.
pub type Heritage = Arc<dyn Any + Send + Sync>;

/// Runs `f` in another scope: what is spawned inside inherits this. None: nothing.
///
/// The thread is back in the old scope afterwards, also after a panic. A task or a `block_on` that is begun inside
/// ends inside.
pub fn with_heritage<R>(heritage: Option<&Heritage>, f: impl FnOnce() -> R) -> R {
    context::with_inherited(heritage, f)
}

/// Shows the heritage that is in scope here.
pub fn look_at_heritage<R>(look: impl FnOnce(Option<&Heritage>) -> R) -> R {
    context::with(|cx| look(cx.inherited()))
}
