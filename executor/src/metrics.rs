//! Counters: plain ones per worker, summed when somebody asks.
//!
//! A worker's counter has one writer, so counting is a load and a store without a read-modify-write. Threads that are no
//! workers (those in a `block_on`, those of the blocking pool, the monitor) count with one, in the runtime's own set.
//!
//! What is a state and not a count (who sleeps, how much is queued) is kept nowhere for this: it is looked up when somebody
//! asks, without stopping anybody.
//!
//! How long things take is in `histogram.rs`.

use crate::{
    core::Core,
    histogram::Histogram,
    worker::{Worker, table::MAX_WORKERS},
};
use std::{
    fmt, slice,
    sync::atomic::{AtomicU64, Ordering, fence},
    time::Duration,
};

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
                $(self.$name.reset();)*
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
    /// Jobs that a thread of the blocking pool has come back from.
    blocking_jobs,
}

/// One counter.
#[derive(Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) const fn new() -> Counter {
        Counter(AtomicU64::new(0))
    }

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
        self.add_shared(1);
    }

    /// Counts several, by any thread.
    pub(crate) fn add_shared(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// What a runtime has done so far and what it does now.
///
/// All counts begin at zero with the runtime and only grow. Nobody is stopped for a snapshot, so figures of one snapshot may be a
/// moment apart; `tasks_finished` is read first, so that no task is missing in `tasks_live`.
///
/// # What counts where
///
/// | | a task on a worker | a task of `spawn_local` | a `spawn_blocking` job | the future of a `block_on` |
/// | --- | --- | --- | --- | --- |
/// | `tasks_*` | yes | yes | yes | no, it is no task |
/// | `polls`, histograms | yes | yes | no | no |
/// | `budget_yields` | yes | yes | it has no budget | yes |
/// | `worker(i)` | yes | no | no | no |
#[derive(Clone, Debug)]
pub struct Metrics {
    pub(crate) sums: Sums,
    uptime: Duration,
    workers: usize,
    parked: usize,
    spare: usize,
    injector_depth: usize,
    armed: u64,
    fired: u64,
    timers_cancelled: u64,
    blocking: Blocking,
    each: Vec<WorkerMetrics>,
    /// Poll times, schedule latencies.
    histograms: Option<(Histogram, Histogram)>,
}

/// The blocking pool at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Blocking {
    pub(crate) threads: usize,
    pub(crate) idle: usize,
    pub(crate) queued: usize,
}

macro_rules! read {
    ($type:ident: $($(#[$doc:meta])* $name:ident -> $result:ty = |$self:ident| $value:expr;)*) => {
        impl $type {
            $($(#[$doc])* pub fn $name(&$self) -> $result { $value })*
        }
    };
}

read! { Metrics:
    /// The time since the runtime was built.
    uptime -> Duration = |self| self.uptime;
    /// Worker threads that run or wait for tasks now; those that block and the spares are not counted.
    workers -> usize = |self| self.workers;
    /// Workers that sleep now.
    workers_parked -> usize = |self| self.parked;
    /// Threads kept for the next time that a worker blocks.
    workers_spare -> usize = |self| self.spare;
    /// Workers whose task blocks its thread now: in a `block_in_place`, in a `block_on` inside a task, or stuck.
    workers_blocked -> usize = |self| self.each.iter().filter(|worker| worker.state == WorkerState::Blocked).count();
    /// Times that a poll held up its worker while others waited, so that another worker was added.
    stalls -> u64 = |self| self.sums.stalls;
    /// Tasks that have not ended, blocking jobs included.
    tasks_live -> u64 = |self| self.sums.spawned.saturating_sub(self.sums.finished);
    /// Tasks spawned, blocking jobs included.
    tasks_spawned -> u64 = |self| self.sums.spawned;
    /// Tasks that have ended in whatever way. Counted when the future is dropped, before the handle yields the outcome.
    tasks_finished -> u64 = |self| self.sums.finished;
    /// Of these, tasks that were cancelled: by `abort`, or by the end of their runtime or of their `block_on`. One that was asked to
    /// end and finished before is not.
    tasks_aborted -> u64 = |self| self.sums.aborted;
    /// Of these, tasks whose poll panicked.
    tasks_panicked -> u64 = |self| self.sums.panicked;
    /// Turns that tasks were given.
    polls -> u64 = |self| self.sums.polls;
    /// Tasks that a worker took from another.
    steals -> u64 = |self| self.sums.steals;
    /// Turns given to a task that the one before it had woken, out of turn.
    slot_hits -> u64 = |self| self.sums.slot_hits;
    /// Times that a leaf refused because the budget of the turn was spent: once per turn, unless the task goes on asking.
    budget_yields -> u64 = |self| self.sums.budget_yields;
    /// Elements in the queue that all workers share; a spill of many tasks is one.
    injector_depth -> usize = |self| self.injector_depth;
    /// Tasks in the workers' own queues.
    local_depth -> usize = |self| self.each.iter().map(WorkerMetrics::queued).sum();
    /// Waits in the network poller, those without sleep included.
    poller_waits -> u64 = |self| self.sums.poller_waits;
    /// Events that the network poller delivered.
    poller_events -> u64 = |self| self.sums.poller_events;
    /// Timers armed so far. One that is moved to another deadline is not armed anew.
    timers_armed -> u64 = |self| self.armed;
    /// Timers that have fired.
    timers_fired -> u64 = |self| self.fired;
    /// Timers cancelled before they fired.
    timers_cancelled -> u64 = |self| self.timers_cancelled;
    /// Times that a worker was woken to look for work.
    wakes -> u64 = |self| self.sums.wakes;
    /// Times that a worker went to sleep.
    parks -> u64 = |self| self.sums.parks;
    /// Threads of the blocking pool.
    blocking_threads -> usize = |self| self.blocking.threads;
    /// Of these, threads that wait for a job.
    blocking_idle -> usize = |self| self.blocking.idle;
    /// Blocking jobs that wait for a thread.
    blocking_queued -> usize = |self| self.blocking.queued;
    /// Blocking jobs that a thread has taken and is done with. Counted a moment after the job's handle yields the outcome.
    blocking_jobs_done -> u64 = |self| self.sums.blocking_jobs;
}

impl Metrics {
    /// How long the turns of tasks took, what they waited for in a `block_on` of theirs included. None unless the runtime was built
    /// with [`histograms`](crate::Builder::histograms).
    pub fn poll_time(&self) -> Option<Histogram> {
        self.histograms.as_ref().map(|(poll, _)| poll.clone())
    }

    /// How long tasks waited for their turn, from the moment that they were spawned or woken. None unless the runtime was built
    /// with [`histograms`](crate::Builder::histograms). Its resolution is 1 µs, and what is longer than 67 s is counted modulo that.
    pub fn schedule_latency(&self) -> Option<Histogram> {
        self.histograms.as_ref().map(|(_, latency)| latency.clone())
    }

    /// The figures of one worker; none if there never was a worker with this index.
    pub fn worker(&self, index: usize) -> Option<&WorkerMetrics> {
        self.each.get(index)
    }

    /// The figures of each worker that there ever was, in the order of their indices. A thread that replaces another in a worker's
    /// place counts on.
    pub fn per_worker(&self) -> slice::Iter<'_, WorkerMetrics> {
        self.each.iter()
    }
}

/// What a worker does at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WorkerState {
    /// Runs tasks, or looks for one.
    Busy,
    /// Sleeps until there is something to do, perhaps in the network poller.
    Parked,
    /// Its task blocks the thread; another worker may have taken its place.
    Blocked,
    /// Is one too many, and sleeps until a worker blocks.
    Spare,
    /// Has no thread.
    Vacant,
}

impl WorkerState {
    /// The word that views print.
    pub fn as_str(self) -> &'static str {
        match self {
            WorkerState::Busy => "busy",
            WorkerState::Parked => "parked",
            WorkerState::Blocked => "blocked",
            WorkerState::Spare => "spare",
            WorkerState::Vacant => "vacant",
        }
    }
}

impl fmt::Display for WorkerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What one worker has done so far and what it does now.
#[derive(Clone, Copy, Debug)]
pub struct WorkerMetrics {
    index: usize,
    state: WorkerState,
    queued: usize,
    polls: u64,
    steals: u64,
    slot_hits: u64,
    parks: u64,
}

read! { WorkerMetrics:
    /// Its place, which is the last part of its thread's name.
    index -> usize = |self| self.index;
    /// What it does.
    state -> WorkerState = |self| self.state;
    /// Tasks in its own queue. The one that it runs is not there any more.
    queued -> usize = |self| self.queued;
    /// Turns that it has given to tasks.
    polls -> u64 = |self| self.polls;
    /// Tasks that it took from others.
    steals -> u64 = |self| self.steals;
    /// Turns that it has given to a task that the one before had woken, out of turn.
    slot_hits -> u64 = |self| self.slot_hits;
    /// Times that it went to sleep.
    parks -> u64 = |self| self.parks;
}

impl WorkerMetrics {
    fn of(worker: &Worker, asleep: &[Asleep]) -> WorkerMetrics {
        let index = worker.index as usize;
        WorkerMetrics {
            index,
            state: match asleep[index] {
                // One that blocks is on none of the lists.
                Asleep::No if worker.pulse.blocked.load(Ordering::Relaxed) => WorkerState::Blocked,
                Asleep::No => WorkerState::Busy,
                Asleep::Parked => WorkerState::Parked,
                Asleep::Spare => WorkerState::Spare,
                Asleep::Gone => WorkerState::Vacant,
            },
            queued: worker.ring.len() + usize::from(!worker.slot.is_empty()),
            polls: worker.counters.polls.get(),
            steals: worker.counters.steals.get(),
            slot_hits: worker.counters.slot_hits.get(),
            parks: worker.counters.parks.get(),
        }
    }

    fn is_unused(&self) -> bool {
        self.state == WorkerState::Vacant && self.polls == 0 && self.parks == 0
    }
}

/// On which list a worker is.
#[derive(Clone, Copy)]
enum Asleep {
    No,
    Parked,
    Spare,
    Gone,
}

/// One readable block: a line for each area, and one for each worker that has a thread.
impl fmt::Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let m = self;
        writeln!(
            f,
            "workers   {} active ({} parked), {} blocked, {} spare; {} stalls, {} parks, {} wakes",
            m.workers(),
            m.workers_parked(),
            m.workers_blocked(),
            m.workers_spare(),
            m.stalls(),
            m.parks(),
            m.wakes()
        )?;
        writeln!(
            f,
            "tasks     {} live; {} spawned, {} finished ({} aborted, {} panicked)",
            m.tasks_live(),
            m.tasks_spawned(),
            m.tasks_finished(),
            m.tasks_aborted(),
            m.tasks_panicked()
        )?;
        writeln!(
            f,
            "turns     {} polls, {} from the slot, {} stolen, {} budget yields; queued: {} local, {} shared",
            m.polls(),
            m.slot_hits(),
            m.steals(),
            m.budget_yields(),
            m.local_depth(),
            m.injector_depth()
        )?;
        writeln!(f, "poller    {} waits, {} events", m.poller_waits(), m.poller_events())?;
        writeln!(
            f,
            "timers    {} armed, {} fired, {} cancelled",
            m.timers_armed(),
            m.timers_fired(),
            m.timers_cancelled()
        )?;
        write!(
            f,
            "blocking  {} threads ({} idle), {} jobs queued, {} done",
            m.blocking_threads(),
            m.blocking_idle(),
            m.blocking_queued(),
            m.blocking_jobs_done()
        )?;
        if let Some((poll, latency)) = &m.histograms {
            write!(f, "\npoll time {poll}\nlatency   {latency}")?;
        }
        for w in m.per_worker().filter(|worker| worker.state != WorkerState::Vacant) {
            write!(
                f,
                "\nworker {:<3}{:<8} {} polls, {} stolen, {} parks, {} queued",
                w.index(),
                w.state(),
                w.polls(),
                w.steals(),
                w.parks(),
                w.queued()
            )?;
        }
        Ok(())
    }
}

impl Core {
    /// The counters of all, summed.
    pub(crate) fn sums(&self) -> Sums {
        let mut sums = Sums::default();
        self.counters.add_to(&mut sums);
        for worker in self.table.workers() {
            worker.counters.add_to(&mut sums);
        }
        sums
    }

    /// The next runtime's figures begin at zero.
    pub(crate) fn reset_counters(&self) {
        self.counters.reset();
        self.timing.reset();
        for worker in self.table.workers() {
            // What was counted so far cancels out in `spawned - finished`.
            worker.counters.reset();
            worker.timing.reset();
        }
    }

    /// Shows each worker that sleeps, and says how many there are.
    pub(crate) fn look_at_parked(&self, mut see: impl FnMut(u16)) -> usize {
        if self.stage.is_on() {
            return self.stage.look_at_idle(see);
        }
        let mut parked = 0;
        self.idle.look(|index| {
            parked += 1;
            see(index);
        });
        parked
    }

    pub(crate) fn metrics(&self) -> Metrics {
        let finished = self.sums().finished;
        // As many were spawned by the time of the second look as had finished by the first.
        fence(Ordering::SeqCst);
        let mut sums = self.sums();
        sums.finished = finished;
        let mut asleep = [Asleep::No; MAX_WORKERS];
        let (active, spare) = self.table.look(|index, spare| {
            asleep[index as usize] = if spare { Asleep::Spare } else { Asleep::Gone };
        });
        let parked = self.look_at_parked(|index| asleep[index as usize] = Asleep::Parked);
        let mut each: Vec<_> = self.table.workers().map(|worker| WorkerMetrics::of(worker, &asleep)).collect();
        // The rest are places that only an earlier runtime in this core has used.
        while each.last().is_some_and(WorkerMetrics::is_unused) {
            each.pop();
        }
        let mut metrics = Metrics {
            sums,
            uptime: self.uptime(),
            workers: active,
            parked,
            spare,
            injector_depth: self.injector.len(),
            armed: 0,
            fired: 0,
            timers_cancelled: 0,
            blocking: self.pool.figures(),
            each,
            histograms: self.histograms(),
        };
        for shard in self.foreign.iter().chain(self.table.workers().map(|worker| &worker.shard)) {
            let (armed, fired, cancelled) = shard.totals();
            metrics.armed += armed;
            metrics.fired += fired;
            metrics.timers_cancelled += cancelled;
        }
        metrics
    }

    fn histograms(&self) -> Option<(Histogram, Histogram)> {
        self.timing.is_on().then(|| {
            let (mut poll, mut latency) = (Histogram::default(), Histogram::default());
            let sets = self.table.workers().filter_map(|worker| worker.timing.get()).chain(self.timing.get());
            for times in sets {
                times.poll.add_to(&mut poll);
                times.latency.add_to(&mut latency);
            }
            (poll, latency)
        })
    }
}
