//! Which workers there are: their places, the threads in them, and the spare ones.
//!
//! The table has a fixed number of places. As many workers are *active* as the runtime was built with; one whose task
//! blocks is not, and another takes over if there is something to do. When it returns and finds its place filled, it empties
//! its queues, becomes a *spare* and sleeps until it is needed; after a while it ends.
//!
//! ```text
//! Resting   no thread, or a spare one                       hire: -> Active
//! Active    runs tasks or waits for some                    its task blocks and says so: -> Out (`step_out`)
//!                                                           it blocks and does not: -> Stuck (`mark`, by the monitor)
//!                                                           surplus: -> Resting (`rest`); ends: -> Resting (`exit`)
//! Out       its task has said that it blocks                the task goes on: -> Active (`step_in`)
//! Stuck     the monitor has found it in one poll too long   its next poll boundary: -> Active (`recover`)
//!                                                           its task says now that it blocks: -> Out
//! ```
//!
//! All of this is rare, so it stands behind one lock. What hot paths read is beside it: `len` and `active`, and each worker's
//! own standing.

use super::{Local, Worker};
use crate::{
    attention::{LOOK, STOP, STUCK, SURPLUS},
    context,
    core::Core,
    deadlock, ours, stack, stage,
    task::contain,
    trace::Note,
};
use std::{
    io, ptr,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Places in a table.
pub(crate) const MAX_WORKERS: usize = 256;
/// How long a spare thread sleeps before it ends.
const SPARE_LASTS: Duration = Duration::from_secs(5);

/// Whether a worker counts as active: the table in the head of this file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Standing {
    Resting,
    Active,
    Out,
    Stuck,
}

impl Standing {
    pub(super) fn from_u8(standing: u8) -> Standing {
        match standing {
            0 => Standing::Resting,
            1 => Standing::Active,
            2 => Standing::Out,
            _ => Standing::Stuck,
        }
    }
}

/// Why a worker leaves its loop.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Leave {
    /// The runtime stops.
    Stop,
    /// The worker is one too many.
    Rest,
}

/// See the head of this file.
pub(crate) struct Table {
    /// Filled from the front, never emptied.
    places: [AtomicPtr<Worker>; MAX_WORKERS],
    len: AtomicUsize,
    /// `Roster::active`, for those who only want to know about.
    active: AtomicUsize,
    roster: Mutex<Roster>,
    /// Notified when a thread has ended.
    gone: Condvar,
    /// The cap was reached and reported.
    reported: AtomicBool,
}

#[derive(Default)]
struct Roster {
    /// How many are to be active.
    target: usize,
    /// How many places may be used.
    max: usize,
    /// How many stand as Active.
    active: usize,
    /// How many threads are alive.
    alive: usize,
    /// How many of these have not left their loop for good.
    serving: usize,
    /// Sleeping threads.
    spares: Vec<u16>,
    /// Workers that are out and sleep in a `block_on`, each once, with how many further down on their stacks wait beneath tasks.
    waiters: Vec<(u16, u32)>,
    /// Places without a thread.
    vacant: Vec<u16>,
    threads: Vec<thread::JoinHandle<()>>,
    closing: bool,
    /// The last thread to leave cancels what is left. Not when the process is about to end anyway.
    drains: bool,
    /// Nobody waits for the threads to end.
    detached: bool,
}

impl Table {
    pub(crate) fn new() -> Table {
        Table {
            places: [const { AtomicPtr::new(ptr::null_mut()) }; MAX_WORKERS],
            len: AtomicUsize::new(0),
            active: AtomicUsize::new(0),
            roster: Mutex::default(),
            gone: Condvar::new(),
            reported: AtomicBool::new(false),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Roster> {
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Places that have ever been used.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Acquire)
    }

    /// The worker in a place below `len`.
    #[inline]
    pub(crate) fn worker(&self, index: u16) -> &'static Worker {
        // SAFETY: places below `len` were filled before `len` was raised (Release, Acquire), with workers that are never
        // freed.
        unsafe { &*self.places[index as usize].load(Ordering::Acquire) }
    }

    /// All workers that ever were.
    pub(crate) fn workers(&self) -> impl Iterator<Item = &'static Worker> + '_ {
        (0..self.len()).map(|index| self.worker(index as u16))
    }

    /// How many workers run or wait for tasks.
    #[inline]
    pub(crate) fn active(&self) -> usize {
        self.active.load(Ordering::Relaxed)
    }

    /// How many workers are active and how many spare; `see` is shown each spare (true) and each place without a thread.
    pub(crate) fn look(&self, mut see: impl FnMut(u16, bool)) -> (usize, usize) {
        let roster = self.lock();
        roster.spares.iter().for_each(|index| see(*index, true));
        roster.vacant.iter().for_each(|index| see(*index, false));
        // Those of a larger runtime that this core has served before.
        (roster.max..self.len()).for_each(|index| see(index as u16, false));
        (roster.active, roster.spares.len())
    }

    /// Threads that are out, each in a task that has said that it blocks; none if there are spare or ending threads as well.
    pub(crate) fn only_out(&self) -> Option<usize> {
        let roster = self.lock();
        let settled = roster.spares.is_empty() && roster.alive == roster.serving;
        settled.then(|| roster.alive.checked_sub(roster.active)).flatten()
    }

    /// Whether fewer are active than were asked for.
    pub(crate) fn is_short(&self) -> bool {
        let roster = self.lock();
        !roster.closing && roster.active < roster.target
    }

    /// Changes a worker's standing, and the number of the active with it. What it was.
    fn stand(&self, roster: &mut Roster, worker: &Worker, standing: Standing) -> Standing {
        let before = worker.standing();
        roster.active += usize::from(standing == Standing::Active);
        roster.active -= usize::from(before == Standing::Active);
        self.active.store(roster.active, Ordering::Relaxed);
        worker.standing.store(standing as u8, Ordering::Relaxed);
        let away = matches!(standing, Standing::Out | Standing::Stuck);
        worker.pulse.blocked.store(away, Ordering::Relaxed);
        let diverts = standing == Standing::Stuck || (standing == Standing::Active && roster.closing);
        worker.pulse.diverts.store(diverts, Ordering::Relaxed);
        match (before, standing) {
            (_, Standing::Stuck) => worker.attention.raise(STUCK),
            (Standing::Stuck, _) => worker.attention.clear(STUCK),
            _ => {}
        }
        before
    }

    /// Starts the runtime's workers.
    pub(crate) fn start(&self, core: &'static Core, workers: usize, max: usize) -> io::Result<()> {
        {
            let mut roster = self.lock();
            roster.target = workers;
            roster.max = max;
            self.reported.store(false, Ordering::Relaxed);
            roster.closing = false;
            roster.drains = false;
            roster.detached = false;
            // A core that has served a larger runtime has more places than this one may use.
            roster.vacant = (0..self.len().min(max) as u16).rev().collect();
        }
        for _ in 0..workers {
            self.hire(core)?;
        }
        Ok(())
    }

    /// Sees to it that one more worker is active, unless enough are.
    pub(crate) fn hire(&self, core: &'static Core) -> io::Result<()> {
        let mut roster = self.lock();
        if roster.closing || roster.active >= roster.target {
            return Ok(());
        }
        if let Some(index) = roster.spares.pop() {
            self.stand(&mut roster, self.worker(index), Standing::Active);
            drop(roster);
            core.unpark(index);
            return Ok(());
        }
        let index = match roster.vacant.pop() {
            Some(index) => index,
            None if self.len() < roster.max => self.add_place(core),
            None => {
                let max = roster.max;
                drop(roster);
                self.report_cap(max);
                return Err(io::Error::other("all places for workers are taken"));
            }
        };
        let worker = self.worker(index);
        worker.attention.clear(LOOK | STOP | SURPLUS);
        worker.pulse.wants_help.store(false, Ordering::Relaxed);
        worker.thread.forget();
        let config = core.config();
        worker.timing.set(config.histograms);
        core.lease();
        let stack = config.stack_size.unwrap_or_else(stack::default_size);
        let main = move || {
            stack::begin(stack);
            thread_main(worker);
        };
        match ours::spawn_thread(format!("{}-{index}", config.name), Some(stack), main) {
            Ok(thread) => {
                self.stand(&mut roster, worker, Standing::Active);
                roster.alive += 1;
                roster.serving += 1;
                roster.threads.retain(|thread| !thread.is_finished());
                roster.threads.push(thread);
                Ok(())
            }
            Err(error) => {
                roster.vacant.push(index);
                drop(roster);
                core.release();
                Err(error)
            }
        }
    }

    /// Makes a worker for the next free place. The caller holds the roster's lock.
    fn add_place(&self, core: &'static Core) -> u16 {
        let index = self.len();
        let worker = Box::leak(Box::new(Worker::new(core, index as u16)));
        self.places[index].store(worker, Ordering::Release);
        self.len.store(index + 1, Ordering::Release);
        index as u16
    }

    #[cold]
    fn report_cap(&self, max: usize) {
        if !self.reported.swap(true, Ordering::Relaxed) {
            eprintln!(
                "gambol: all {max} workers are blocked; tasks wait until one returns. Use spawn_blocking for long blocking \
                 work, or raise max_workers"
            );
        }
    }

    /// A worker's task begins to block, and says so.
    pub(crate) fn step_out(&self, worker: &Worker) {
        self.stand(&mut self.lock(), worker, Standing::Out);
    }

    /// It goes on. True: its place was filled meanwhile.
    #[must_use]
    pub(crate) fn step_in(&self, worker: &Worker) -> bool {
        let mut roster = self.lock();
        self.stand(&mut roster, worker, Standing::Active);
        roster.active > roster.target && !roster.closing
    }

    /// Marks a worker that still sits in turn `tick` as stuck. False: it is not so any more.
    ///
    /// The caller unparks it afterwards: it may have been about to sleep, and is to come and take the mark off.
    #[must_use]
    pub(crate) fn mark(&self, worker: &Worker, tick: u32) -> bool {
        let mut roster = self.lock();
        let sits = worker.standing() == Standing::Active && worker.pulse.tick.load(Ordering::Relaxed) == tick;
        if sits && !roster.closing {
            self.stand(&mut roster, worker, Standing::Stuck);
        }
        sits && !roster.closing
    }

    /// A worker comes to a poll boundary and finds that it was marked. True: its place was filled meanwhile.
    #[must_use]
    pub(super) fn recover(&self, worker: &Worker) -> bool {
        let mut roster = self.lock();
        if worker.standing() == Standing::Stuck {
            self.stand(&mut roster, worker, Standing::Active);
        }
        roster.active > roster.target && !roster.closing
    }

    /// A worker that is out begins to wait, and could run tasks meanwhile; if it could not, it counts as the most nested.
    pub(super) fn enrol(&self, index: u16, nested: u32) {
        self.lock().waiters.push((index, nested));
    }

    /// It waits no more.
    pub(super) fn withdraw(&self, index: u16) {
        let mut roster = self.lock();
        roster.waiters.retain(|&(waiter, _)| waiter != index);
    }

    /// Nobody is active and no thread can be had: asks one who waits to run tasks, the least nested one.
    pub(crate) fn call_waiter(&self, core: &Core) {
        let waiter = self.lock().waiters.iter().copied().min_by_key(|&(_, nested)| nested);
        if let Some((index, _)) = waiter {
            core.unpark(index);
        }
    }

    /// A surplus worker sleeps until it is needed. False: its thread ends.
    fn rest(&self, worker: &Worker) -> bool {
        {
            let mut roster = self.lock();
            if roster.active <= roster.target {
                return true;
            }
            self.stand(&mut roster, worker, Standing::Resting);
            roster.spares.push(worker.index);
        }
        worker.core.attend_ground();
        let until = Instant::now() + SPARE_LASTS;
        loop {
            worker.parker.park(Some(until.saturating_duration_since(Instant::now())));
            let mut roster = self.lock();
            let Some(place) = roster.spares.iter().position(|&spare| spare == worker.index) else {
                // Hired again.
                return true;
            };
            if roster.closing || Instant::now() >= until {
                roster.spares.remove(place);
                return false;
            }
        }
    }

    /// A thread has left its loop. True: it was the last one of a runtime that closes, and has to cancel what is left.
    fn exit(&self, worker: &Worker) -> bool {
        let mut roster = self.lock();
        self.stand(&mut roster, worker, Standing::Resting);
        roster.vacant.push(worker.index);
        roster.serving -= 1;
        roster.drains && roster.serving == 0
    }

    /// The thread has nothing more to do with the runtime but its lease. True: it was the last one, and nobody waits for it.
    fn exited(&self) -> bool {
        let mut roster = self.lock();
        roster.alive -= 1;
        let last = roster.alive == 0 && roster.detached;
        drop(roster);
        self.gone.notify_all();
        last
    }

    /// No thread starts from now on; the last one to end cancels what is left, if `drains`.
    pub(crate) fn close(&self, drains: bool) {
        let mut roster = self.lock();
        roster.closing = true;
        roster.drains = drains;
        // Who is in a poll that does not end may be left behind, and spawn in it. That is cancelled where it comes.
        for worker in self.workers().filter(|worker| worker.standing() == Standing::Active) {
            worker.pulse.diverts.store(true, Ordering::Relaxed);
        }
    }

    /// Waits until all threads have ended. False: some have not by `until`.
    pub(crate) fn join(&self, until: Instant) -> bool {
        let mut roster = self.lock();
        while roster.alive > 0 {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            roster = self.gone.wait_timeout(roster, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let threads = std::mem::take(&mut roster.threads);
        drop(roster);
        for thread in threads {
            // The thread's main function has returned, and what it may have panicked with was reported by the hook.
            let _ = thread.join();
        }
        true
    }

    /// Nobody will wait for the threads. True: all have ended already.
    pub(crate) fn detach(&self) -> bool {
        let mut roster = self.lock();
        roster.threads.clear();
        roster.detached = true;
        roster.alive == 0
    }

    /// Threads that have not ended.
    pub(crate) fn alive(&self) -> usize {
        self.lock().alive
    }
}

/// What a worker's thread does from start to end.
fn thread_main(worker: &'static Worker) {
    let core = worker.core;
    let config = core.config();
    context::set_thread_of(core);
    exact_sleeps();
    worker.thread.adopt();
    if let Some(seed) = config.choices {
        // Different ones on each worker: the generator's states are as far apart as this constant is from its step.
        context::seed_random(seed.wrapping_add(u64::from(worker.index) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    }
    call_hook(config.on_thread_start.as_deref());
    loop {
        if core.stage.is_on() {
            stage::serve(worker);
            break;
        }
        let leave = {
            // SAFETY: a place has one thread, and this is its only `Local` at this time.
            let local = unsafe { Local::new(worker) };
            // SAFETY: declared after `local`, so dropped before it.
            let _inside = unsafe { context::enter_worker(&local) };
            local.trace(|| Note::WorkerStart);
            let leave = local.run();
            local.trace(|| if leave == Leave::Rest { Note::WorkerRest } else { Note::WorkerEnd });
            leave
        };
        match leave {
            Leave::Rest if core.table.rest(worker) => {}
            Leave::Stop | Leave::Rest => break,
        }
    }
    worker.thread.forget();
    let last = core.table.exit(worker);
    if last || core.is_drained() {
        // Not the last, but late: what had its turn here while the runtime was drained has parked since, and nobody has seen it.
        // A worker that still waits for it, in a `block_on`, will never be the last.
        core.drain();
    }
    call_hook(config.on_thread_stop.as_deref());
    let _discarding = deadlock::Discarding::begin();
    if core.table.exited() {
        core.finish_trace();
    }
    // Before the release: the user's hooks are dropped in there, while it is known that they are.
    drop(config);
    deadlock::thread_ends(core);
    core.release();
}

pub(crate) fn call_hook(hook: Option<&(dyn Fn() + Send + Sync)>) {
    if let Some(hook) = hook
        && let Err(payload) = contain(hook)
    {
        crate::core::drop_payload(payload);
    }
}

/// Asks the kernel to wake this thread when its timeout ends, and not up to 50 µs later, which is the default.
pub(crate) fn exact_sleeps() {
    #[cfg(target_os = "linux")]
    {
        use std::num::NonZero;
        let _ = rustix::thread::set_current_timer_slack(Some(NonZero::<u64>::MIN));
    }
}
