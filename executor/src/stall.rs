//! A task that held up its worker while others waited, as it is reported.
//!
//! The monitor finds it (`monitor.rs`) and tells of it once per place of spawn, so that a handler that blocks a thousand times is
//! one line in the log; the metrics count each.

use crate::{
    core::{Core, drop_payload},
    task::{Id, contain},
};
use std::{collections::HashSet, fmt, panic::Location, ptr, sync::Arc, time::Duration};

/// Called with a stall.
pub(crate) type StallHook = Arc<dyn Fn(&Stall) + Send + Sync>;

/// A poll that held up its worker for longer than the runtime's threshold while other tasks, timers or descriptors waited, so
/// that another worker was added.
#[derive(Clone, Debug)]
pub struct Stall {
    pub(crate) task: Option<(Id, &'static Location<'static>)>,
    pub(crate) duration: Duration,
    pub(crate) ended: bool,
    pub(crate) asleep: bool,
}

impl Stall {
    /// The task; none if it was a waker that timers or poller woke, or a hook.
    pub fn task(&self) -> Option<Id> {
        self.task.map(|(id, _)| id)
    }

    /// Where the task was spawned.
    pub fn location(&self) -> Option<&'static Location<'static>> {
        self.task.map(|(_, site)| site)
    }

    /// How long the worker was held up, to a few milliseconds; if it still [is](Self::has_ended), so far.
    pub fn duration(&self) -> Duration {
        self.duration
    }

    /// Whether the worker goes on. One that is held up for more than a second is reported before.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether its thread slept in a system call when it was found: `spawn_blocking` is for such work. Otherwise it computed.
    /// Known on Linux only; false elsewhere.
    pub fn was_asleep(&self) -> bool {
        self.asleep
    }
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.task {
            Some((id, site)) => write!(f, "task {id}, spawned at {site}, ")?,
            None => f.write_str("a waker ")?,
        }
        let verb = match (self.ended, self.asleep) {
            (true, true) => "blocked",
            (true, false) => "held up",
            (false, true) => "has blocked",
            (false, false) => "has held up",
        };
        write!(f, "{verb} its worker for {} ms while others waited", self.duration.as_millis())
    }
}

/// The places of spawn that were reported.
#[derive(Default)]
pub(crate) struct Reported(HashSet<*const Location<'static>>);

impl Reported {
    /// Whether a stall of this task would be reported.
    pub(crate) fn is_new(&self, task: Option<(Id, &'static Location<'static>)>) -> bool {
        !self.0.contains(&place(task))
    }

    /// Tells the user, if this place is new.
    pub(crate) fn report(&mut self, core: &Core, stall: &Stall) {
        if !self.0.insert(place(stall.task)) {
            return;
        }
        #[cfg(feature = "log")]
        log::warn!(target: "gambol", "{stall}");
        #[cfg(feature = "tracing")]
        tracing::warn!(target: "gambol", "{stall}");
        if let Some(hook) = &core.config().on_stall
            && let Err(payload) = contain(|| hook(stall))
        {
            drop_payload(payload);
        }
    }
}

fn place(task: Option<(Id, &'static Location<'static>)>) -> *const Location<'static> {
    task.map_or(ptr::null(), |(_, site)| ptr::from_ref(site))
}
