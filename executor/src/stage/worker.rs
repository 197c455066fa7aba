//! The workers of a stage: threads that take turns from the board.
//!
//! The number that a turn has on the board stands for the worker in what is traced. It is mostly, and not always, the number of the
//! thread: one whose task waits in a `block_on` is replaced by another.

use super::{Who, board::Turn, visit};
use crate::{
    attention::STOP,
    budget, context,
    core::{Core, fork},
    task::Runnable,
    worker::Worker,
};
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
                worker.pulse.shows(turn.task.metadata());
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
    give(core, turn)
}

/// Gives a task a turn. The turn's number, unless it was given back on the way.
fn give(core: &'static Core, turn: Turn<Runnable>) -> Option<u16> {
    visit::begin_turn(core, turn.lane, turn.random);
    run(core, turn.task, turn.lane);
    visit::end_turn()
}

fn run(core: &'static Core, task: Runnable, worker: u16) {
    let traced = core.trace_staged_turn(&task, worker);
    core.counters.polls.bump_shared();
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
}
