//! Counters: plain ones per worker, summed when somebody asks.
//!
//! A worker's counter has one writer, so counting is a load and a store without a read-modify-write. Threads that are no
//! workers count with one, in the runtime's own set.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// One set of counters.
        #[derive(Default)]
        pub(crate) struct Counters {
            $($(#[$doc])* pub(crate) $name: Counter,)*
        }

        impl Counters {
            /// Begins again at zero; nobody counts at this moment.
            pub(crate) fn reset(&self) {
                $(self.$name.0.store(0, Ordering::Relaxed);)*
            }

            /// Adds this set to a sum.
            pub(crate) fn add_to(&self, sum: &mut Sums) {
                $(sum.$name += self.$name.get();)*
            }
        }

        /// Counters summed.
        #[derive(Clone, Copy, Debug, Default)]
        pub(crate) struct Sums {
            $($(#[$doc])* pub(crate) $name: u64,)*
        }
    };
}

counters! {
    /// Tasks spawned, blocking jobs included.
    spawned,
    /// Tasks whose future was dropped.
    finished,
    /// Of these, tasks that were cancelled.
    aborted,
    /// Of these, tasks that panicked.
    panicked,
    /// Turns that tasks were given.
    polls,
    /// Tasks taken from another worker.
    steals,
    /// Turns given to a task from the slot.
    slot_hits,
    /// Turns that ended because the budget was spent.
    budget_yields,
    /// Waits in the poller, those without sleep included.
    poller_waits,
    /// Events that the poller delivered.
    poller_events,
    /// Times that a worker was found stuck.
    stalls,
    /// Threads that were woken to look for work.
    wakes,
    /// Times that a worker went to sleep.
    parks,
}

/// One counter.
#[derive(Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Counts, by the one thread that writes here.
    #[inline]
    pub(crate) fn bump(&self) {
        self.add(1);
    }

    /// Counts several, by the one thread that writes here.
    #[inline]
    pub(crate) fn add(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    /// Counts, by any thread.
    pub(crate) fn bump_shared(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a runtime has done so far and what it does now. Figures of one snapshot may be a moment apart.
#[derive(Clone, Copy, Debug)]
pub struct Metrics {
    pub(crate) sums: Sums,
    pub(crate) workers: usize,
    pub(crate) parked: usize,
    pub(crate) spare: usize,
    pub(crate) injector_depth: usize,
    pub(crate) armed: u64,
    pub(crate) fired: u64,
    pub(crate) timers_cancelled: u64,
}

macro_rules! read {
    ($($(#[$doc:meta])* $name:ident -> $type:ty = |$self:ident| $value:expr;)*) => {
        impl Metrics {
            $($(#[$doc])* pub fn $name(&$self) -> $type { $value })*
        }
    };
}

read! {
    /// Worker threads that run or wait for tasks now; those that block and the spares are not counted.
    workers -> usize = |self| self.workers;
    /// Workers that sleep now.
    workers_parked -> usize = |self| self.parked;
    /// Threads kept for the next time that a worker blocks.
    workers_spare -> usize = |self| self.spare;
    /// Times that a poll held up its worker while others waited, so that another worker was added.
    stalls -> u64 = |self| self.sums.stalls;
    /// Tasks that have not ended.
    tasks_live -> u64 = |self| self.sums.spawned.saturating_sub(self.sums.finished);
    /// Tasks spawned, blocking jobs included.
    tasks_spawned -> u64 = |self| self.sums.spawned;
    /// Tasks that have ended in whatever way.
    tasks_finished -> u64 = |self| self.sums.finished;
    /// Tasks that were cancelled.
    tasks_aborted -> u64 = |self| self.sums.aborted;
    /// Tasks that panicked.
    tasks_panicked -> u64 = |self| self.sums.panicked;
    /// Turns that tasks were given.
    polls -> u64 = |self| self.sums.polls;
    /// Tasks that a worker took from another.
    steals -> u64 = |self| self.sums.steals;
    /// Turns given to a task that the one before it had woken.
    slot_hits -> u64 = |self| self.sums.slot_hits;
    /// Turns that ended because the budget was spent.
    budget_yields -> u64 = |self| self.sums.budget_yields;
    /// Elements in the queue that all workers share; a spill of many tasks is one.
    injector_depth -> usize = |self| self.injector_depth;
    /// Waits in the network poller, those without sleep included.
    poller_waits -> u64 = |self| self.sums.poller_waits;
    /// Events that the network poller delivered.
    poller_events -> u64 = |self| self.sums.poller_events;
    /// Timers armed so far.
    timers_armed -> u64 = |self| self.armed;
    /// Timers that have fired.
    timers_fired -> u64 = |self| self.fired;
    /// Timers cancelled before they fired.
    timers_cancelled -> u64 = |self| self.timers_cancelled;
    /// Times that a worker was woken to look for work.
    wakes -> u64 = |self| self.sums.wakes;
    /// Times that a worker went to sleep.
    parks -> u64 = |self| self.sums.parks;
}
