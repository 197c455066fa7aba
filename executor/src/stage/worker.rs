//! The workers of a stage: threads that take turns from the board.
//!
//! The number that a turn has on the board stands for the worker in what is traced. It is mostly, and not always, the number of the
//! thread: one whose task waits in a `block_on` is replaced by another.

use super::{Who, board::Turn, visit};
use crate::{attention::STOP, budget, context, core::Core, fork, histogram, task::Runnable, worker::Worker};
use std::sync::atomic::Ordering;

/// Takes turns until the runtime ends.
pub(crate) fn serve(worker: &'static Worker) {
    let core = worker.core;
    worker.parker.adopt();
    let _inside = context::enter_serving(core);
    let _serving = visit::Serving::begin(worker);
    core.stage.lock().rest(worker.index);
    while worker.attention.get() & STOP == 0 {
        fork::check_worker();
        let turn = core.stage.lock().take(worker.index);
        match turn {
            Some(turn) => {
                show(worker, &turn);
                let lane = give(core, turn);
                worker.pulse.running.store(0, Ordering::Relaxed);
                let mut board = core.stage.lock();
                board.stop(lane);
                board.rest(worker.index);
                core.stage.settle(core, board, Who::Worker);
            }
            None => {
                worker.parker.park(None);
            }
        }
    }
}

/// Gives a task a turn in the sleep of one that waits on this thread. The turn's number, unless it was given back on the way.
pub(super) fn give_nested(core: &'static Core, turn: Turn<Runnable>) -> Option<u16> {
    let _inside = context::enter_serving(core);
    let Some(worker) = visit::serving(core) else { return give(core, turn) };
    let shown = worker.pulse.shown();
    show(worker, &turn);
    let lane = give(core, turn);
    worker.pulse.running.store(0, Ordering::Relaxed);
    worker.pulse.shows_again(shown);
    lane
}

/// The worker begins a turn.
fn show(worker: &Worker, turn: &Turn<Runnable>) {
    worker.pulse.looked.store(worker.core.clock.now(), Ordering::Relaxed);
    worker.pulse.shows(turn.task.metadata());
}

/// Gives a task a turn. The turn's number, unless it was given back on the way.
fn give(core: &'static Core, turn: Turn<Runnable>) -> Option<u16> {
    visit::begin_turn(core, turn.lane, turn.random);
    run(core, turn.task, turn.lane);
    visit::end_turn()
}

fn run(core: &'static Core, task: Runnable, worker: u16) {
    // Many threads share these, as they share the board.
    let measured = core.timing.get().map(|times| (times, histogram::Turn::begin(task.metadata(), core.coarse_now())));
    let traced = core.trace_staged_turn(&task, worker);
    match visit::serving(core) {
        Some(worker) => worker.counters.polls.bump(),
        None => core.counters.polls.bump_shared(),
    }
    context::with(|cx| {
        // SAFETY: the runnable keeps the cell alive for its turn; the context forgets the task right after. async-task may
        // free the cell at the very end of `run`, when our code in the future and its drop has returned.
        unsafe { context::enter_task_fast(cx, task.metadata(), budget::FULL) };
        task.run();
        if let Some(turn) = traced {
            turn.end();
        }
        context::leave_task_fast(cx);
    });
    if let Some((times, turn)) = measured {
        turn.end_shared(times);
    }
}
