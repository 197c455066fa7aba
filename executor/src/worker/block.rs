//! A task says that it blocks its thread: `block_in_place`, and a `block_on` inside a task.
//!
//! The worker steps out: it counts as active no more, what was in its slot goes to the injector, what is left of a batch of wakers
//! stands where others reach it, its ring stands open to thieves, and the thread itself does everything as a foreign one would. If
//! something waits to be run or nobody is left to look after poller and timers, somebody takes over at once; if not, whoever runs next
//! finds what comes, and the monitor sees to the rest.
//!
//! The threads may be used up: all places are taken by workers that are out. Then those of them that only wait, in a `block_on`,
//! run tasks while they wait, on top of themselves, as long as half of the stack is left (`stack.rs`). When that is used up too, what
//! is left is to look after poller and timers, until one of those that wait may go on. (There was a limit of 16, one inside the other:
//! a chain of so many tasks, each in a `block_on` for the next, hung.)
//!
//! It steps in again with its own ring as it finds it. If its place was filled, it is surplus, and rests after the current
//! poll.

use super::{
    Local, Worker,
    table::{Leave, Standing},
};
use crate::{
    attention::SURPLUS,
    context::{self, Before, Context},
    core::{Core, OPEN},
    deadlock, fork,
    queue::{CAPACITY, Job},
    stack,
    stage::{self, Aside},
    task::Runnable,
    trace::Note,
};
use std::{
    cmp::Reverse,
    sync::atomic::{Ordering, fence},
    task::Waker,
    thread,
    time::Duration,
};

/// How long a worker that has to look after poller and timers sleeps at most: others may leave them to it unseen.
const TEND_EVERY: Duration = Duration::from_millis(5);

/// Runs `f`, which may block the thread; the other tasks go on meanwhile.
pub(crate) fn block_in_place<R>(f: impl FnOnce() -> R) -> R {
    let _out = step_out();
    f()
}

/// The worker is out until this is dropped.
pub(crate) struct Out {
    before: Option<Before>,
    /// The worker that is out: by us, or by a caller further up whom we are nested in.
    worker: Option<&'static Worker>,
    /// In a runtime with a stage: the baton that was given back.
    _aside: Option<Aside>,
}

/// Steps out, if the thread is a worker that is in.
pub(crate) fn step_out() -> Out {
    match context::with(|cx| cx.local().map(Local::step_out)) {
        Some(worker) => Out { before: Some(context::leave_worker()), worker: Some(worker), _aside: None },
        None => {
            let worker = context::with(|cx| cx.outside().map(|local| local.worker));
            Out { before: None, worker, _aside: stage::step_aside() }
        }
    }
}

impl Out {
    /// For a thread that has a baton and keeps it: it is no worker that could step out.
    pub(crate) fn none() -> Out {
        Out { before: None, worker: None, _aside: None }
    }

    /// The worker that is out.
    pub(crate) fn worker(&self) -> Option<&'static Worker> {
        self.worker
    }

    /// Sleeps until the worker, or the thread if it is none, is unparked. If nobody is left to run tasks, and nobody can be
    /// found, the worker runs tasks instead, until `done`.
    pub(crate) fn wait(&self, done: impl Fn() -> bool) {
        let Some(worker) = self.worker else { return deadlock::sleep(done, thread::park) };
        let table = &worker.core.table;
        let may_run = stack::is_half_left();
        let nested = if may_run { context::with(|cx| cx.nested.get()) } else { u32::MAX };
        // First on the list, then the look: whoever steps out as the last one sees us there, or we see that it has.
        table.enrol(worker.index, nested);
        let sleeps = table.active() > 0 || table.hire(worker.core).is_ok();
        if sleeps {
            deadlock::sleep(&done, || {
                worker.parker.park(None);
            });
        }
        // Who runs tasks is on the list no more: it would be asked, in its next `block_on`, in place of one that can do something.
        table.withdraw(worker.index);
        if !sleeps && (!may_run || !run_tasks(worker, &done)) {
            tend_ground(worker, done);
        }
    }
}

/// Runs tasks as the worker that is out, until `done`. False: the runtime is being shut down.
fn run_tasks(worker: &'static Worker, done: impl Fn() -> bool) -> bool {
    let core = worker.core;
    // Its place cannot be filled: there is no thread to be had.
    let _ = core.table.step_in(worker);
    core.monitor.watch();
    context::with(|cx| cx.nested.set(cx.nested.get() + 1));
    let shown = worker.pulse.shown();
    let leave = {
        let local = context::with(Context::outside_ptr).expect("a worker is out");
        // SAFETY: the `Local` lives on this very thread's stack, further up.
        let local = unsafe { local.as_ref() };
        // SAFETY: as above.
        let _inside = unsafe { context::enter_worker(local) };
        local.sort_ring();
        let leave = local.run_until(done);
        // What these turns have queued and armed is for others.
        local.step_out();
        leave
    };
    worker.pulse.shows_again(shown);
    context::with(|cx| cx.nested.set(cx.nested.get() - 1));
    if core.is_drained() {
        // As at the end of a thread: what we wait for may have had its turn here while the runtime was drained, or been in our hands.
        core.drain();
    }
    leave != Some(Leave::Stop)
}

/// Looks after poller and timers until `done`, without running a task: what wakes there goes to the injector.
#[cold]
fn tend_ground(worker: &'static Worker, done: impl Fn() -> bool) {
    let core = worker.core;
    let mut ready = Vec::new();
    while !done() {
        if core.phase() != OPEN {
            worker.parker.park(None);
            return;
        }
        let earliest = core.until(core.earliest()).map_or(TEND_EVERY, |left| left.min(TEND_EVERY));
        match core.driver.try_wait() {
            Some(mut wait) if wait.has_poller() => {
                worker.parker.park_in_poller(|| {
                    let events = wait.wait(Some(earliest), &mut ready);
                    core.count_poller_wait(events);
                });
            }
            // Somebody else sits, or there is nothing to sit in.
            _ => {
                worker.parker.park(Some(earliest));
            }
        }
        core.expire_all(core.clock.now(), &mut ready);
        wake_where_nobody_runs(core, &mut ready);
        if core.table.active() > 0 {
            return;
        }
    }
}

/// Wakes what poller and timers have handed back, and what workers that are out or stuck had begun to wake. One by one, and in reach of
/// others: a waker may wait in a `block_on` for one that stands behind it, and nobody but who tends the ground comes for that.
pub(crate) fn wake_where_nobody_runs(core: &'static Core, ready: &mut Vec<Waker>) {
    let blocked = |worker: &&Worker| worker.pulse.blocked.load(Ordering::Relaxed);
    match core.table.workers().find(blocked) {
        Some(worker) => worker.put_in_reach(ready.drain(..)),
        None => core.wake_all(ready.drain(..)),
    }
    for worker in core.table.workers().filter(|worker| worker.is_left()) {
        while let Some(waker) = worker.take_in_reach() {
            crate::core::wake(waker);
        }
    }
}

impl Local {
    /// The newest task first: who waits in a `block_on` mostly waits for what it has just spawned. A tree of tasks, each of which waits so
    /// for its children, then stands on the stack of one thread as deep as it is, and otherwise as broad. (Several take from each other what is
    /// oldest.) Those in the injector as well: there stands what was spawned inside a `block_on`, and what the monitor has given away of a
    /// worker that is long in one turn, as these are.
    fn sort_ring(&self) {
        let mut items: Vec<_> = std::iter::from_fn(|| self.worker.ring.pop()).take(CAPACITY).collect();
        while items.len() < CAPACITY {
            match self.core().injector.pop() {
                Some(Job::One(item)) => items.push(item),
                Some(Job::Many(more)) => items.extend(more),
                None => break,
            }
        }
        items.sort_by_cached_key(|&item| {
            // SAFETY: the queues hold raw runnables, and give each to one taker; it is made raw again.
            let runnable = unsafe { Runnable::from_raw(item) };
            let id = runnable.metadata().id.to_raw();
            let _ = runnable.into_raw();
            Reverse(id)
        });
        items.into_iter().for_each(|item| self.push_back(item));
    }

    fn step_out(&self) -> &'static Worker {
        let (core, worker) = (self.core(), self.worker);
        if worker.standing() == Standing::Stuck {
            self.trace(|| Note::StallEnd { worker: worker.index });
        }
        // To drop a waker may run code of others, which may step out and in again.
        self.clear_cancelled();
        self.put_rest_in_reach();
        core.table.step_out(worker);
        if let Some(item) = worker.slot.take() {
            core.injector.push(Job::One(item));
        }
        // Pairs with the fence in `Idle::enter`: a worker that falls asleep now sees that our ring is open, or is seen.
        fence(Ordering::SeqCst);
        if core.has_work() {
            core.wake_one();
        }
        ensure_runner(core);
        core.attend_ground();
        core.monitor.watch();
        worker
    }
}

/// A worker has stepped out. If that was the last one, or if work waits and nobody sleeps who could run it, sees to another.
fn ensure_runner(core: &'static Core) {
    if fork::is_child() {
        // A thread that was hired here would begin to run copies of the parent's tasks, and so end the process.
        return;
    }
    if core.table.active() == 0 {
        if core.table.hire(core).is_err() {
            // No thread to be had. Somebody who waits in a `block_on` can run tasks meanwhile; the monitor asks again.
            core.table.call_waiter(core);
        }
    } else if core.idle.counts() == (0, 0) && core.has_work() {
        // If there is no thread to be had, those who are active come to it in their turn.
        let _ = core.table.hire(core);
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        if let (Some(before), Some(worker)) = (self.before.take(), self.worker) {
            drop(before);
            if worker.core.table.step_in(worker) {
                worker.attention.raise(SURPLUS);
            }
            // While we were out everybody else may have fallen asleep, and the monitor with them.
            worker.core.monitor.watch();
        }
    }
}
