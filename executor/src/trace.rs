//! Trace points: what the scheduler tells whoever asked for it.
//!
//! A worker copies the runtime's tracer when it starts, so a point costs one branch on its own memory, which is
//! predicted. Without a tracer the event is not even built.

use crate::task::Id;
use std::{panic::Location, sync::Arc};

/// Something that the scheduler did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A task was spawned.
    Spawn {
        /// The task.
        id: Id,
        /// The place of the call.
        location: &'static Location<'static>,
    },
    /// A worker gives a task a turn.
    Run {
        /// The task.
        id: Id,
        /// The worker.
        worker: u16,
    },
    /// The turn is over.
    Stop {
        /// The task.
        id: Id,
        /// The worker.
        worker: u16,
    },
    /// A worker took tasks from another.
    Steal {
        /// Who took them.
        worker: u16,
        /// From whom.
        from: u16,
        /// How many.
        tasks: usize,
    },
    /// A worker goes to sleep.
    Park {
        /// The worker.
        worker: u16,
    },
    /// A worker woke up.
    Unpark {
        /// The worker.
        worker: u16,
    },
}

/// Receives events, on the thread where they happen.
pub type Tracer = Arc<dyn Fn(&Event) + Send + Sync>;
