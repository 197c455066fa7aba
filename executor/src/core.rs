//! The shared state of one runtime, and the road by which a task gets from a wake to a queue.
//!
//! Cores stand in process-wide slots, are never freed and are used again when everything of their runtime is gone. So a
//! task finds its runtime by a number of two bytes, and a foreign wake that comes too late finds a closed runtime and
//! never freed memory.
//!
//! A core is used again when nobody has a *lease* on it any more (handles, threads) and every task it ever had has been
//! dropped. A runtime that left a thread behind in a poll without end keeps its core.
//!
//! What an operation costs in read-modify-writes on shared words, beyond async-task's own:
//!
//! | operation | ours | async-task's |
//! | --- | --- | --- |
//! | spawn on a worker | 0 | 0, one allocation |
//! | wake on a worker into an empty slot, or onto the ring | 0 | 1 |
//! | take from slot or ring | 1 | |
//! | run | 0 | 2 to 3 |
//! | wake or spawn from elsewhere | injector push and pop, a fence | 1 |
//! | first Pending | 1 clone of a waker, 1 on the task's own line | |
//! | end of a task that was Pending | 1 swap in the registry, 1 on its own line, 1 drop of the waker | 2 |

mod end;

use crate::{
    builder::Config,
    clock::{Clock, real_now},
    context, deadlock,
    driver::Driver,
    fork,
    histogram::{self, Timing},
    idle::{Idle, Owed, Seat},
    metrics::Counters,
    monitor::Monitor,
    pool::Pool,
    queue::{Injector, Item, Job},
    schedtrace::Schedtrace,
    shard::Shard,
    stage::Stage,
    stall::Sites,
    task::{Contained, Extra, Id, JoinHandle, Meta, Outcome, Owned, Registry, Runnable, contain},
    trace::{Lane, Recorder},
    worker::{
        self,
        table::{MAX_WORKERS, Table},
    },
};
use async_task::{ScheduleInfo, WithInfo};
use std::{
    any::Any,
    cell::Cell,
    future::Future,
    io,
    panic::Location,
    ptr,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
    },
    task::Waker,
    time::Duration,
};

/// Runtimes that can be alive at one time.
const MAX_CORES: usize = 4096;
/// Shards for threads that are no workers.
const FOREIGN_SHARDS: usize = 4;

/// The place of `spawn_local`'s tasks in the registry, behind the workers'.
const LOCALS: u16 = MAX_WORKERS as u16;

/// Takes tasks.
pub(crate) const OPEN: u8 = 0;
/// Is being shut down: what is queued is cancelled by whoever shuts it down.
pub(crate) const CLOSING: u8 = 1;
/// Is shut down: what comes late is cancelled where it comes.
pub(crate) const CLOSED: u8 = 2;

/// Serves no runtime.
pub(crate) const UNUSED: u8 = 3;

static CORES: [AtomicPtr<Core>; MAX_CORES] = [const { AtomicPtr::new(ptr::null_mut()) }; MAX_CORES];
static SPARE: Mutex<(Vec<&'static Core>, usize)> = Mutex::new((Vec::new(), 0));

/// The core in a slot that was read from a task's metadata or an id.
#[inline]
pub(crate) fn by_slot(slot: u16) -> &'static Core {
    // SAFETY: a slot number is given out after the core was put there, and cores are never freed.
    unsafe { &*CORES[slot as usize].load(Ordering::Acquire) }
}

/// Every core that there has ever been.
pub(crate) fn all() -> impl Iterator<Item = &'static Core> {
    // SAFETY: a slot is null, or holds a core, which is never freed.
    CORES.iter().map_while(|core| unsafe { core.load(Ordering::Acquire).as_ref() })
}

pub(crate) use end::run_cancelled;

/// See the head of this file.
pub(crate) struct Core {
    pub(crate) slot: u16,
    phase: AtomicU8,
    /// Handles and threads that use this core. At zero it may serve another runtime.
    leases: AtomicUsize,
    config: RwLock<Arc<Config>>,
    pub(crate) clock: Clock,
    /// The time in units of 2^24 ns (16.8 ms), kept by those who look at the clock anyway.
    coarse: AtomicU32,
    pub(crate) idle: Idle,
    pub(crate) seat: Seat,
    pub(crate) injector: Injector,
    pub(crate) table: Table,
    pub(crate) registry: Registry,
    /// The registry's side for the tasks of `spawn_local`, whichever thread they stay on. It counts as one more worker's there.
    locals: Mutex<Owned>,
    pub(crate) driver: Driver,
    pub(crate) foreign: [Shard; FOREIGN_SHARDS],
    pub(crate) monitor: Monitor,
    /// Where tasks run if time is virtual or the order is drawn from a seed.
    pub(crate) stage: Stage,
    pub(crate) pool: Pool,
    /// What threads that are no workers count.
    pub(crate) counters: Counters,
    /// The places of spawn whose tasks stalled last.
    pub(crate) stalls: Sites,
    next_number: AtomicU64,
    /// Somebody wants to know of each step: `trace/outside.rs`. Workers have copied that when they started.
    pub(crate) tracing: AtomicBool,
    /// How long things take, for threads that are no workers; and whether anybody measures it.
    pub(crate) timing: Timing,
    /// When its runtime was built, on the real clock.
    started: AtomicU64,
    /// What is recorded of these steps, from the start of the runtime until nobody uses its core any more.
    recorder: RwLock<Option<Arc<Recorder>>>,
    pub(crate) schedtrace: Schedtrace,
}

impl Core {
    /// A core with no threads yet; one lease belongs to the caller.
    pub(crate) fn acquire(mut config: Config) -> io::Result<&'static Core> {
        fork::watch();
        let recorder = config.recorder.take();
        let config = Arc::new(config);
        let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
        let core = match spare.0.pop() {
            Some(core) => core,
            None => {
                let slot = spare.1;
                if slot == MAX_CORES {
                    return Err(io::Error::other("4096 runtimes are alive; drop one before building another"));
                }
                spare.1 += 1;
                let core = Box::leak(Box::new(Core::new(slot as u16, config.clone())));
                CORES[slot].store(core, Ordering::Release);
                core
            }
        };
        drop(spare);
        core.clock.set_virtual(config.virtual_time);
        // Another clock may have been kept here.
        core.keep_coarse(core.clock.now());
        core.stage.open(&config, config.workers.unwrap_or(1));
        if core.stage.is_on() {
            // The core may have served another runtime, of which no task is left.
            core.next_number.store(1, Ordering::Relaxed);
        }
        core.tracing.store(config.tracer.is_some() || recorder.is_some(), Ordering::Relaxed);
        *core.recorder.write().unwrap_or_else(PoisonError::into_inner) = recorder;
        core.timing.set(config.histograms);
        core.started.store(real_now(), Ordering::Relaxed);
        *core.config.write().unwrap_or_else(PoisonError::into_inner) = config;
        core.foreign.iter().chain(core.table.workers().map(|worker| &worker.shard)).for_each(Shard::open);
        core.driver.open();
        core.pool.open();
        core.lease();
        core.phase.store(OPEN, Ordering::Release);
        Ok(core)
    }

    fn new(slot: u16, config: Arc<Config>) -> Core {
        Core {
            slot,
            phase: AtomicU8::new(UNUSED),
            leases: AtomicUsize::new(0),
            config: RwLock::new(config),
            clock: Clock::new(),
            coarse: AtomicU32::new(0),
            idle: Idle::new(),
            seat: Seat::new(),
            injector: Injector::new(),
            table: Table::new(),
            registry: Registry::new(MAX_WORKERS + 1),
            locals: Mutex::default(),
            driver: Driver::new(),
            foreign: std::array::from_fn(|_| Shard::new(slot)),
            monitor: Monitor::new(),
            stage: Stage::new(),
            pool: Pool::new(),
            counters: Counters::default(),
            stalls: Sites::default(),
            next_number: AtomicU64::new(1),
            tracing: AtomicBool::new(false),
            timing: Timing::new(),
            started: AtomicU64::new(0),
            recorder: RwLock::new(None),
            schedtrace: Schedtrace::new(),
        }
    }

    pub(crate) fn config(&self) -> Arc<Config> {
        self.config.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn phase(&self) -> u8 {
        self.phase.load(Ordering::Relaxed)
    }

    /// Another handle or thread uses the core.
    pub(crate) fn lease(&self) {
        self.leases.fetch_add(1, Ordering::Relaxed);
    }

    /// A handle or thread no longer uses the core.
    pub(crate) fn release(&'static self) {
        if self.leases.fetch_sub(1, Ordering::AcqRel) == 1 && !fork::is_child() {
            self.retire();
        }
    }

    /// A lease for somebody who has come with a late task. False: the runtime is not closed any more; its task was cancelled
    /// by somebody else, and the queues belong to another runtime or to nobody.
    fn lease_closed(&self) -> bool {
        // Under the lock that `retire` holds.
        let _spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
        let closed = matches!(self.phase.load(Ordering::Acquire), CLOSING | CLOSED);
        if closed {
            self.lease();
        }
        closed
    }

    /// A lease for somebody who has found the core in its slot. False: it serves no runtime, or one that is shut down.
    #[cfg(unix)]
    fn lease_live(&self) -> bool {
        // Under the lock that `retire` holds.
        let _spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
        let live = matches!(self.phase.load(Ordering::Acquire), OPEN | CLOSING);
        if live {
            self.lease();
        }
        live
    }

    /// A task that nobody of the runtime knows of has had a turn. If it was the last one of a runtime that has ended, the core
    /// is free.
    #[inline]
    pub(crate) fn reuse_if_over(&'static self) {
        if self.phase() >= CLOSED && self.lease_closed() {
            self.release();
        }
    }

    /// Lets the core serve another runtime, if nobody uses it and all its tasks are gone.
    #[cold]
    fn retire(&'static self) {
        let _discarding = deadlock::Discarding::begin();
        // Looked at and changed under one lock, so that a core is not put here twice.
        let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
        // In this order: as many were spawned by now as had finished before, so none is left.
        let finished = self.sums().finished;
        fence(Ordering::SeqCst);
        let spawned = self.sums().spawned;
        if self.leases.load(Ordering::Acquire) == 0
            && spawned == finished
            && self.phase.compare_exchange(CLOSED, UNUSED, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        {
            self.reset_counters();
            self.stalls.clear();
            let recorder = self.recorder.write().unwrap_or_else(PoisonError::into_inner).take();
            let config = Arc::new(Config::default());
            let config = std::mem::replace(&mut *self.config.write().unwrap_or_else(PoisonError::into_inner), config);
            spare.0.push(self);
            drop(spare);
            // The user's hooks, and what they hold.
            discard((config, recorder));
        }
    }

    // ---- time

    #[inline]
    pub(crate) fn coarse_now(&self) -> u32 {
        self.coarse.load(Ordering::Relaxed)
    }

    /// Keeps the coarse time; `now` was read for another reason.
    #[inline]
    pub(crate) fn keep_coarse(&self, now: u64) {
        let coarse = (now >> 24) as u32;
        if self.coarse.load(Ordering::Relaxed) != coarse {
            self.coarse.store(coarse, Ordering::Relaxed);
        }
    }

    /// The time since the runtime was built.
    pub(crate) fn uptime(&self) -> Duration {
        Duration::from_nanos(real_now().saturating_sub(self.started.load(Ordering::Relaxed)))
    }

    /// The earliest deadline in all shards; NEVER if there is none.
    pub(crate) fn earliest(&self) -> u64 {
        let foreign = self.foreign.iter().map(Shard::next);
        foreign.chain(self.table.workers().map(|worker| worker.shard.next())).min().expect("there are shards")
    }

    /// The shard for the calling thread, which is no worker.
    pub(crate) fn foreign_shard(&self) -> &Shard {
        if self.stage.is_on() {
            // One wheel, so that what is due at the same time is woken in the order in which it was armed.
            return &self.foreign[0];
        }
        thread_local!(static PLACE: Cell<usize> = const { Cell::new(usize::MAX) });
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let place = PLACE.with(|place| {
            if place.get() == usize::MAX {
                place.set(NEXT.fetch_add(1, Ordering::Relaxed) % FOREIGN_SHARDS);
            }
            place.get()
        });
        &self.foreign[place]
    }

    // ---- spawning

    /// Starts a task.
    #[inline]
    pub(crate) fn spawn<F>(
        &'static self,
        future: F,
        name: Option<Box<str>>,
        location: &'static Location<'static>,
    ) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        fork::check();
        context::with(|cx| {
            let local = cx.local().filter(|local| ptr::eq(local.worker.core, self));
            let id = match local {
                Some(local) => local.next_id(),
                None => self.next_id(),
            };
            let (runnable, task) = cell(meta(id, name, location), future, WithInfo(schedule));
            match local {
                Some(local) => {
                    local.worker.counters.spawned.bump();
                    let runnable = local.mark_spawned(runnable);
                    local.push_spawned(runnable.into_raw());
                }
                None => {
                    self.mark_queued(&runnable);
                    self.counters.spawned.bump_shared();
                    self.trace_spawn(&runnable);
                    self.inject(runnable.into_raw());
                }
            }
            JoinHandle::new(task)
        })
    }

    /// Starts a job in the blocking pool.
    pub(crate) fn spawn_blocking<T: Send + 'static>(
        &'static self,
        job: impl FnOnce() -> T + Send + 'static,
        name: Option<Box<str>>,
        location: &'static Location<'static>,
    ) -> JoinHandle<T> {
        fork::check();
        let id = self.next_id();
        let meta = meta(id, name, location).of_job();
        let (runnable, task) = cell(meta, async move { job() }, WithInfo(schedule_blocking));
        self.counters.spawned.bump_shared();
        self.trace_spawn(&runnable);
        self.pool.push(self, runnable);
        JoinHandle::new(task)
    }

    /// Makes the cell of a task that stays on its thread; to queue it is the caller's.
    pub(crate) fn local_cell<F>(
        &'static self,
        future: F,
        name: Option<Box<str>>,
        location: &'static Location<'static>,
        schedule: impl Fn(Runnable) + Send + Sync + 'static,
    ) -> (Runnable, JoinHandle<F::Output>)
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        fork::check();
        let id = self.next_id();
        let (runnable, task) = async_task::Builder::new()
            .metadata(meta(id, name, location))
            .spawn_local(move |_| Contained::new(future), schedule);
        self.mark_queued(&runnable);
        self.counters.spawned.bump_shared();
        self.trace_spawn(&runnable);
        (runnable, JoinHandle::new(task))
    }

    /// Puts a task that stays on its thread into the registry. `waker` is a waker of the task whose metadata `meta` is.
    pub(crate) fn register_local(&self, waker: Waker, meta: &Meta) -> u32 {
        let mut owned = self.locals.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: of this place, whoever holds the lock is the thread. The waker is the task's own: the only caller is the
        // running task's container.
        unsafe { self.registry.insert(LOCALS, &mut owned, waker, meta) }
    }

    /// Takes such a task out of the registry again.
    ///
    /// # Safety
    ///
    /// `index` came from `register_local` and is removed once.
    pub(crate) unsafe fn unregister_local(&self, index: u32) -> Option<Waker> {
        let mut owned = self.locals.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: as in `register_local`, and the caller's promise.
        unsafe { self.registry.remove(index, Some((LOCALS, &mut owned))) }
    }

    fn next_id(&self) -> Id {
        Id::new(self.slot, self.next_number.fetch_add(1, Ordering::Relaxed))
    }

    /// The first of `n` numbers for ids.
    pub(crate) fn reserve_numbers(&self, n: u64) -> u64 {
        self.next_number.fetch_add(n, Ordering::Relaxed)
    }

    // ---- queueing

    /// A task is about to be put into a queue: notes that, and the time.
    #[inline]
    pub(crate) fn mark_queued(&self, runnable: &Runnable) {
        if self.timing.is_on() {
            histogram::mark_queued(runnable.metadata());
        } else {
            runnable.metadata().set_queued(self.coarse_now());
        }
    }

    /// Puts a task into the injector and sees to it that somebody looks.
    pub(crate) fn inject(&'static self, item: Item) {
        if self.stage.is_on() && self.stage.push(self, item) {
            return;
        }
        self.injector.push(Job::One(item));
        if fork::is_child() {
            // A wake, since a spawn would have said so. Nobody is left to run it; and locks may be held by threads that are not
            // here.
            return;
        }
        self.wake_after_publish();
        self.cancel_if_late();
    }

    /// Work was made visible to all: wakes a worker for it, if nobody searches already.
    pub(crate) fn wake_after_publish(&self) {
        if let Some(worker) = self.idle.claim_after_publish() {
            self.unpark_claimed(worker);
        }
    }

    /// Wakes a worker, if one sleeps and nobody searches.
    pub(crate) fn wake_one(&self) {
        if let Some(worker) = self.idle.claim() {
            self.unpark_claimed(worker);
        }
    }

    fn unpark_claimed(&self, worker: u16) {
        self.counters.wakes.bump_shared();
        self.unpark(worker);
    }

    /// Ends a worker's sleep, or its next one.
    pub(crate) fn unpark(&self, worker: u16) {
        match self.table.worker(worker).parker.unpark() {
            Owed::Nothing => {}
            Owed::PollerNotify => self.driver.notify(),
        }
    }

    /// Whether somebody should look for work: the injector has some, or a ring whose owner would like help.
    pub(crate) fn has_work(&self) -> bool {
        !self.injector.is_empty() || self.table.workers().any(|worker| worker.wants_help())
    }

    // ---- seeing

    /// The trace points of a worker, if somebody wants to know what it does.
    pub(crate) fn lane(&self, worker: u16) -> Option<Box<Lane>> {
        Lane::new(worker, self.config().tracer.clone(), self.recorder())
    }

    /// What is recorded, if anything is.
    pub(crate) fn recorder(&self) -> Option<Arc<Recorder>> {
        self.recorder.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The runtime has ended: writes its recording to the file that was asked for.
    pub(crate) fn finish_trace(&self) {
        if let Some(recorder) = self.recorder() {
            recorder.finish();
        }
    }

    /// Calls the user's hook.
    #[cold]
    pub(crate) fn report_panic(&self, id: Id, payload: &(dyn Any + Send)) {
        if let Some(hook) = &self.config().on_task_panic
            && let Err(payload) = contain(|| hook(id, payload))
        {
            drop_payload(payload);
        }
    }
}

/// Makes a task's cell.
#[inline]
fn cell<F, S>(meta: Meta, future: F, schedule: S) -> (Runnable, async_task::Task<Outcome<F::Output>, Meta>)
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
    S: async_task::Schedule<Meta> + Send + Sync + 'static,
{
    async_task::Builder::new().metadata(meta).spawn(move |_| Contained::new(future), schedule)
}

#[inline]
fn meta(id: Id, name: Option<Box<str>>, location: &'static Location<'static>) -> Meta {
    let rare = name.is_some() || context::with(|cx| cx.inherited().is_some());
    Meta::new(id, location, if rare { Some(extra(name)) } else { None })
}

#[cold]
fn extra(name: Option<Box<str>>) -> Box<Extra> {
    Box::new(Extra::new(name, context::with(|cx| cx.inherited().cloned())))
}

/// The runtimes that are not shut down, one after the other; each stays what it is while it is shown.
#[cfg(unix)]
pub(crate) fn each_live(mut show: impl FnMut(&'static Core)) {
    let slots = SPARE.lock().unwrap_or_else(PoisonError::into_inner).1;
    for slot in 0..slots {
        let core = by_slot(slot as u16);
        if core.lease_live() {
            show(core);
            let _discarding = deadlock::Discarding::begin();
            core.release();
        }
    }
}

/// Every task's schedule function. A function without captures, so that async-task need not count references for it.
fn schedule(runnable: Runnable, info: ScheduleInfo) {
    let core = runnable.metadata().id.core();
    context::with(|cx| match cx.local() {
        Some(local) if local.worker.core.slot == core => {
            if local.is_watched() {
                // Does not come back here: that would cost those who are not watched a few registers.
                return schedule_watched(cx, local, runnable, info.woken_while_running);
            }
            local.set_queued(&runnable);
            if cx.is_between_turns() {
                return local.push_joiner(runnable.into_raw());
            }
            if info.woken_while_running {
                local.reschedule(runnable.into_raw());
            } else {
                local.push_woken(runnable.into_raw());
            }
        }
        _ => schedule_elsewhere(by_slot(core), runnable, info.woken_while_running),
    });
}

#[cold]
#[inline(never)]
fn schedule_watched(cx: &context::Context, local: &worker::Local, runnable: Runnable, meanwhile: bool) {
    local.mark_queued(&runnable);
    let runnable = local.trace_woken(cx, runnable, meanwhile);
    if cx.is_between_turns() {
        local.push_joiner(runnable.into_raw());
    } else if meanwhile {
        local.reschedule(runnable.into_raw());
    } else {
        local.push_woken(runnable.into_raw());
    }
}

/// By a thread that is none of the runtime's workers.
#[inline(never)]
fn schedule_elsewhere(core: &'static Core, runnable: Runnable, meanwhile: bool) {
    core.mark_queued(&runnable);
    core.trace_woken(&runnable, meanwhile);
    core.inject(runnable.into_raw());
}

/// The schedule function of a blocking job, which is scheduled once, by hand; a cancel schedules it no more.
fn schedule_blocking(runnable: Runnable, _: ScheduleInfo) {
    let core = by_slot(runnable.metadata().id.core());
    core.pool.push(core, runnable);
}

/// Wakes; a panic of the waker ends here, so that those who are to be woken after it are woken.
pub fn wake(waker: Waker) {
    if let Err(payload) = contain(|| waker.wake()) {
        drop_payload(payload);
    }
}

/// Drops a waker that is not needed, or several; a panic of theirs ends here, so that what their owner has just got is not lost
/// with it.
pub fn discard<T>(unneeded: T) {
    if let Err(payload) = contain(|| drop(unneeded)) {
        drop_payload(payload);
    }
}

/// Drops a panic's payload, whose own drop may panic too.
pub(crate) fn drop_payload(payload: Box<dyn Any + Send>) {
    if let Err(second) = contain(|| drop(payload)) {
        std::mem::forget(second);
    }
}
