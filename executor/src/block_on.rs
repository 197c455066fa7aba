//! Running one future on the calling thread.
//!
//! The thread polls its future and sleeps in between; it runs no tasks but those that it has spawned for itself (`local.rs`), so
//! nobody else's blocking can hold it up. It works anywhere. Inside a task the worker steps out first (`worker/block.rs`), so
//! the other tasks go on.
//!
//! The future and the thread's own tasks take turns: a bounded number of theirs, then the future, if it was woken.
//!
//! The future has a budget as a task has, so that what is always ready in it leaves a turn to what stands beside it: a time
//! limit, another arm of a `select!`.
//!
//! One case is different. If all places for workers are taken by blocked tasks, nobody would be left to run what this one
//! waits for. Then the worker runs tasks here, between two polls of its future (`Out::wait`).

use crate::{
    context,
    core::Core,
    deadlock::Sleeper,
    fork,
    local::{Locals, Stay},
    stage::{self, Guest, Visit},
    worker::{self, Worker, block::Out},
};
use std::{
    cell::Cell,
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

/// Runs a future to its end on this thread, with `core` as the runtime for what it spawns.
pub(crate) fn block_on<F: Future>(core: &'static Core, future: F) -> F::Output {
    fork::check();
    if core.stage.is_on() {
        return block_on_stage(core, future);
    }
    let out = worker::step_out();
    block_on_out(core, future, &out, None)
}

/// As above, in a runtime with a stage. On its own, so that the others pay one branch.
#[cold]
#[inline(never)]
fn block_on_stage<F: Future>(core: &'static Core, future: F) -> F::Output {
    // Who has a baton of this very runtime waits with it, and needs no place of its own.
    let out = if stage::has_baton(core) { Out::none() } else { worker::step_out() };
    let visit = stage::visit(core);
    let output = block_on_out(core, future, &out, Some(&visit));
    drop(visit);
    drop(out);
    output
}

#[inline(always)]
fn block_on_out<F: Future>(core: &'static Core, future: F, out: &Out, visit: Option<&Visit>) -> F::Output {
    let inside = context::enter_foreign(core);
    let signal = Signal::take(out.worker(), visit);
    let waker = Waker::from(signal.clone());
    let mut cx = Context::from_waker(&waker);
    let own = Locals::new(out.worker());
    // Its end cancels the thread's own tasks, after the future was dropped, also when that has panicked.
    let stay = Stay::enter(&own);
    let output = run(future, &mut cx, &signal, stay.locals(), out, visit);
    drop(stay);
    drop(waker);
    signal.give_back();
    drop(inside);
    output
}

#[inline(always)]
fn run<F: Future>(
    future: F,
    cx: &mut Context<'_>,
    signal: &Signal,
    locals: &Locals,
    out: &Out,
    visit: Option<&Visit>,
) -> F::Output {
    let mut future = pin!(future);
    loop {
        context::begin_turn();
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return output;
        }
        let is_ready = || signal.notified.load(Ordering::Acquire) || locals.are_ready();
        loop {
            if let Some(visit) = visit
                && !context::cancel_for_those_above()
            {
                visit.give_way(is_ready);
            }
            let worked = locals.run_some();
            if signal.notified.swap(false, Ordering::Acquire) {
                break;
            }
            // We may be in the drop of a task that is being cancelled, and wait for one that stands behind it.
            if visit.is_none() && !worked && !context::cancel_for_those_above() {
                out.wait(is_ready);
            }
        }
    }
}

/// Wakes the thread that is in `block_on`.
struct Signal {
    notified: AtomicBool,
    thread: Thread,
    /// The worker that has stepped out. It sleeps as a worker does, and may be running tasks instead.
    worker: Option<&'static Worker>,
    /// The thread, as the search for deadlocks sees it.
    sleeper: Option<Arc<Sleeper>>,
    /// The thread waits on this runtime's stage.
    guest: Option<(&'static Core, Arc<Guest>)>,
}

thread_local! {
    /// The signal of the last `block_on` of this thread, for the next one.
    static KEPT: Cell<Option<Arc<Signal>>> = const { Cell::new(None) };
}

impl Signal {
    fn take(worker: Option<&'static Worker>, visit: Option<&Visit>) -> Arc<Signal> {
        if worker.is_none()
            && visit.is_none()
            && let Some(mut kept) = KEPT.try_with(Cell::take).ok().flatten()
            && let Some(signal) = Arc::get_mut(&mut kept)
        {
            *signal.notified.get_mut() = false;
            return kept;
        }
        let guest = visit.map(|visit| (visit.core(), visit.guest().clone()));
        let sleeper = Sleeper::own();
        Arc::new(Signal { notified: AtomicBool::new(false), thread: thread::current(), worker, sleeper, guest })
    }

    fn give_back(self: Arc<Self>) {
        if self.worker.is_none() && self.guest.is_none() {
            // While the thread ends there is nothing to keep it for.
            let _ = KEPT.try_with(|kept| kept.set(Some(self)));
        }
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.notified.swap(true, Ordering::AcqRel) {
            if let Some(sleeper) = &self.sleeper {
                sleeper.call();
            }
            match (&self.guest, self.worker) {
                (Some((core, guest)), _) => core.stage.notify(core, guest),
                (None, Some(worker)) => worker.core.unpark(worker.index),
                (None, None) => self.thread.unpark(),
            }
        }
    }
}
