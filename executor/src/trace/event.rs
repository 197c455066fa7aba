//! What a runtime's hook is called with, on the thread where it happens.

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
    /// A task's turn begins.
    Run {
        /// The task.
        id: Id,
        /// The worker; `u16::MAX` for a blocking job, and for a task of `spawn_local`.
        worker: u16,
    },
    /// The turn is over.
    Stop {
        /// The task.
        id: Id,
        /// As in `Run`.
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

/// Calls the hook; a panic in it ends here.
pub(super) fn tell(tracer: &Tracer, event: &Event) {
    if let Err(payload) = crate::task::contain(|| tracer(event)) {
        crate::core::drop_payload(payload);
    }
}
