//! A task says that it blocks its thread: `block_in_place`, and a `block_on` inside a task.
//!
//! The worker steps out: it counts as active no more, what was in its slot goes to the injector, its ring stands open to
//! thieves, and the thread itself does everything as a foreign one would. If something waits to be run or nobody is left to
//! look after poller and timers, somebody takes over at once; if not, whoever runs next finds what comes, and the
//! monitor sees to the rest.
//!
//! It steps in again with its own ring as it finds it. If its place was filled, it is surplus, and rests after the current
//! poll.

use super::{Local, table::Leave};
use crate::{
    attention::SURPLUS,
    context::{self, Before},
    core::Core,
    queue::Job,
};
use std::sync::atomic::{Ordering, fence};

/// Runs `f`, which may block the thread; the other tasks go on meanwhile.
pub(crate) fn block_in_place<R>(f: impl FnOnce() -> R) -> R {
    let _out = step_out();
    f()
}

/// The worker is out until this is dropped.
pub(crate) struct Out {
    before: Option<Before>,
    core: Option<(&'static Core, u16)>,
}

/// Steps out, if the thread is a worker that is in.
pub(crate) fn step_out() -> Out {
    let core = context::with(|cx| cx.local().map(Local::step_out));
    Out { before: core.is_some().then(context::leave_worker), core }
}

impl Out {
    /// The worker that is out.
    pub(crate) fn worker(&self) -> Option<(&'static Core, u16)> {
        self.core
    }

    /// Whether nobody is left to run tasks, and nobody can be found.
    pub(crate) fn is_last(&self) -> bool {
        self.core.is_some_and(|(core, _)| core.table.active() == 0 && core.table.hire(core).is_err())
    }

    /// Runs tasks as the worker that is out, until `done`. False: the runtime is being shut down.
    pub(crate) fn run_tasks(&self, done: impl Fn() -> bool) -> bool {
        let (Some((core, index)), Some(before)) = (self.core, &self.before) else { return false };
        let worker = core.table.worker(index);
        core.table.step_in(worker);
        let leave = {
            let local = before.local().expect("the worker that stepped out");
            // SAFETY: the `Local` lives on this very thread's stack, further up.
            let _inside = unsafe { context::enter_worker(local) };
            local.run_until(done)
        };
        core.table.step_out(worker);
        leave != Some(Leave::Stop)
    }
}

impl Local {
    fn step_out(&self) -> (&'static Core, u16) {
        let (core, worker) = (self.core(), self.worker);
        core.table.step_out(worker);
        if let Some(item) = worker.slot.take() {
            core.injector.push(Job::One(item));
        }
        // Pairs with the fence in `Idle::enter`: a worker that falls asleep now sees that our ring is open, or is seen.
        fence(Ordering::SeqCst);
        let waiting = core.has_work();
        if waiting && let Some(other) = core.idle.claim() {
            core.unpark(other);
        } else if (waiting && core.idle.counts().0 == 0) || core.table.active() == 0 {
            // No thread to be had: the monitor tries again.
            let _ = core.table.hire(core);
        } else {
            core.attend_ground();
        }
        core.monitor.watch();
        (core, worker.index)
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        drop(self.before.take());
        if let Some((core, index)) = self.core {
            let worker = core.table.worker(index);
            if core.table.step_in(worker) {
                worker.attention.raise(SURPLUS);
            }
        }
    }
}
