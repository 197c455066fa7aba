//! The worker's loop: what runs next, and giving it a turn.
//!
//! In order: what the look at the clock brought (one task from the injector, so that what comes from outside is not held
//! up by what is here), the slot, the ring, the injector, other workers' rings. Go's `findRunnable` has the same order.
//!
//! Per turn, beside the task's own work: one plain load of the attention word, plain stores of the tick, the task's id and
//! where it was spawned, one read-modify-write to take the task, and one branch on whether anything is to be recorded or measured.

use super::{Local, table::Leave};
use crate::{
    attention::{LOOK, STOP, STUCK, SURPLUS},
    budget, context,
    histogram::{Times, Turn},
    queue::{CAPACITY, Item, Job},
    task::Runnable,
    trace::Note,
};
use std::sync::atomic::Ordering;

/// Turns in a row that the slot may have before the ring gets one (tokio has 3, after its issue 5712; Go lets them share one
/// time slice). The pair that passes a message to and fro stays on this core all the same. If they are long it is fewer (`check.rs`).
pub(super) const SLOT_RUN: u8 = 16;

impl Local {
    /// Runs tasks until the worker is to stop or to rest.
    pub(super) fn run(&self) -> Leave {
        // It may find work before it ever sleeps.
        self.core().monitor.watch();
        self.run_until(|| false).expect("it is not asked to end otherwise")
    }

    /// Runs tasks until `done`, which is asked between turns and after every wake-up; `None` then.
    pub(super) fn run_until(&self, done: impl Fn() -> bool) -> Option<Leave> {
        loop {
            if done() {
                self.end_search();
                return None;
            }
            let attention = self.worker.attention.get();
            if attention != 0
                && let Some(leave) = self.attend(attention)
            {
                self.end_search();
                return Some(leave);
            }
            let tick = self.tick.get().wrapping_add(1);
            self.tick.set(tick);
            self.worker.pulse.tick.store(tick, Ordering::Relaxed);
            let item = if self.clock.is_due(tick) { self.check(tick) } else { None };
            if let Some(item) = item.or_else(|| self.next()) {
                self.turn(item);
            } else if let Some(item) = self.find() {
                self.turn(item);
            }
        }
    }

    /// The next task of our own.
    #[inline]
    fn next(&self) -> Option<Item> {
        if self.slot_run.get() < SLOT_RUN {
            if let Some(item) = self.worker.slot.take() {
                self.slot_run.set(self.slot_run.get() + 1);
                self.worker.counters.slot_hits.bump();
                return Some(item);
            }
            self.slot_run.set(0);
            return self.worker.ring.pop();
        }
        self.slot_run.set(0);
        self.worker.ring.pop().or_else(|| {
            let item = self.worker.slot.take()?;
            self.worker.counters.slot_hits.bump();
            Some(item)
        })
    }

    /// A task from the injector. The rest of a spill goes onto our ring, or, if there is no room, back behind the others: the ring
    /// would spill as many again.
    pub(super) fn next_injected(&self) -> Option<Item> {
        match self.core().injector.pop()? {
            Job::One(item) => Some(item),
            Job::Many(mut items) => {
                let first = items.remove(0);
                if self.worker.ring.len() + items.len() <= CAPACITY {
                    items.into_iter().for_each(|item| self.push_back(item));
                } else {
                    self.core().injector.push(Job::Many(items));
                }
                Some(first)
            }
        }
    }

    /// Gives a task a turn, and records and measures it if that is wanted.
    #[inline]
    fn turn(&self, item: Item) {
        if self.watched {
            self.watched_turn(item);
        } else {
            self.give_turn::<false>(item);
        }
    }

    #[cold]
    #[inline(never)]
    fn watched_turn(&self, item: Item) {
        match self.times {
            None => self.give_turn::<true>(item),
            Some(times) => self.measured_turn(times, item),
        }
    }

    fn measured_turn(&self, times: &Times, item: Item) {
        // SAFETY: the queues hold raw runnables, and give each to one taker; it is made raw again.
        let runnable = unsafe { Runnable::from_raw(item) };
        let turn = Turn::begin(runnable.metadata(), self.core().coarse_now());
        self.give_turn::<true>(runnable.into_raw());
        turn.end(times);
    }

    /// Gives a task a turn. `TRACED`: somebody may want to know.
    #[inline]
    fn give_turn<const TRACED: bool>(&self, item: Item) {
        if self.searching.get() {
            self.end_search();
        }
        // SAFETY: the queues hold raw runnables, and give each to one taker.
        let runnable = unsafe { Runnable::from_raw(item) };
        let pulse = &self.worker.pulse;
        pulse.shows(runnable.metadata());
        let runnable = if TRACED { self.trace_turn(runnable) } else { runnable };
        context::with(|cx| {
            // SAFETY: the runnable keeps the cell alive for its turn; the context forgets the task right after. async-task
            // may free the cell at the very end of `run`, when our code in the future and its drop has returned.
            unsafe { context::enter_task_fast(cx, runnable.metadata(), budget::FULL) };
            self.worker.counters.polls.bump();
            runnable.run();
            if TRACED {
                self.trace_end(cx);
            }
            context::leave_task_fast(cx);
        });
        pulse.running.store(0, Ordering::Relaxed);
    }

    /// Does what the attention word asks for.
    #[cold]
    fn attend(&self, attention: u32) -> Option<Leave> {
        if attention & STOP != 0 {
            return Some(Leave::Stop);
        }
        let mut surplus = attention & SURPLUS != 0;
        if surplus {
            self.worker.attention.clear(SURPLUS);
        }
        if attention & STUCK != 0 {
            // Not stuck after all, or no longer.
            self.trace(|| Note::StallEnd { worker: self.worker.index });
            surplus |= self.core().table.recover(self.worker);
            self.core().monitor.watch();
        }
        if surplus {
            // Nested in a `block_on` its next sleep is not ours to tidy up before. To drop a waker may queue its task.
            self.clear_cancelled();
            self.worker.give_away();
            return Some(Leave::Rest);
        }
        if attention & LOOK != 0 {
            self.worker.attention.clear(LOOK);
            self.clock.look_now(self.tick.get());
            // Also at what those who are stuck or out leave lying, which otherwise only idle workers do.
            self.take_over_batches();
        }
        None
    }
}
