//! The blocking pool: threads for closures that block, one pool per runtime.
//!
//! A job is a task whose future runs the closure, so it has the same cell, handle and containment as any other. Threads are
//! made as jobs come, up to a limit, and end when they have had nothing to do for a while. When the system has no thread to
//! give, the job stays queued; a thread that is there takes it, or the monitor tries again.
//!
//! # Who comes for a job
//!
//! Every job that is queued has a thread coming for it, woken or made, unless there may be no more threads. But one is on its way at a
//! time: whoever queues a job sends for one only if nobody is on the way, and who arrives sends for the next before it runs anything, if
//! a thread is idle and a job is queued, or more jobs are queued than threads are coming. So jobs that block are all begun as fast as threads can follow each other,
//! and of short jobs a few threads do many: who is done with one takes the next. (20,000 empty jobs at once, one worker: 12.5 µs each
//! when every push sent for a thread, of which there were 512 in the end; 0.3 µs so.)
//!
//! The pool holds up no exit: its threads are not joined.

use crate::{
    context,
    core::{CLOSED, Core, run_cancelled},
    deadlock::{self, Discarding},
    metrics::Blocking,
    ours, stage,
    task::{Id, Runnable},
    worker::table::call_hook,
};
use std::{
    collections::VecDeque,
    panic::Location,
    ptr,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How long a thread waits for a job before it ends.
const IDLE_LASTS: Duration = Duration::from_secs(10);

/// See the head of this file.
pub(crate) struct Pool {
    state: Mutex<State>,
    work: Condvar,
    /// Notified when a thread has ended.
    gone: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Runnable>,
    /// One per thread that has a job, in no order.
    running: Vec<Running>,
    threads: usize,
    idle: usize,
    /// Threads that were sent for and have not looked into the queue yet.
    coming: usize,
    /// The last one of these has not arrived yet.
    on_the_way: Way,
    /// A thread was wanted and could not be had; the monitor tries again.
    stranded: bool,
    closed: bool,
}

/// How the thread that is on its way comes.
#[derive(Default, PartialEq, Eq)]
enum Way {
    /// There is none.
    #[default]
    Nobody,
    /// It slept and was notified.
    Notified,
    /// It was made.
    Made,
}

/// A job that runs.
#[derive(Clone)]
pub(crate) struct Running {
    pub(crate) id: Id,
    pub(crate) name: Option<Box<str>>,
    pub(crate) location: &'static Location<'static>,
    /// When it began, by the runtime's clock. A look at the clock costs a hundredth of the futex call that brings a job to its thread.
    pub(crate) since: u64,
}

impl Running {
    fn new(job: &Runnable, since: u64) -> Running {
        let meta = job.metadata();
        let name = meta.extra().and_then(|extra| extra.name.clone());
        Running { id: meta.id, name, location: meta.location, since }
    }
}

impl Pool {
    pub(crate) fn new() -> Pool {
        Pool { state: Mutex::default(), work: Condvar::new(), gone: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What there is now.
    pub(crate) fn figures(&self) -> Blocking {
        let state = self.lock();
        Blocking { threads: state.threads, idle: state.idle, queued: state.queue.len() }
    }

    /// A new runtime begins.
    pub(crate) fn open(&self) {
        self.lock().closed = false;
    }

    /// Queues a job and finds a thread for it.
    pub(crate) fn push(&self, core: &'static Core, job: Runnable) {
        let mut state = self.lock();
        if state.closed || core.phase() == CLOSED {
            drop(state);
            return core.cancel_late(job.into_raw());
        }
        stage::hold_job(core);
        state.queue.push_back(job);
        self.send_for_one(core, state);
    }

    /// Sees to a thread for what is queued, if none is on the way, and either one is idle or fewer are coming than there are jobs.
    fn send_for_one(&self, core: &'static Core, mut state: MutexGuard<'_, State>) {
        // Who is coming and not on the way is in a hook of the user's, which may last: no reason to let another one sleep.
        let seen_to = if state.idle > 0 { 0 } else { state.coming };
        if state.on_the_way != Way::Nobody || state.queue.len() <= seen_to {
            return;
        }
        if state.idle > 0 {
            state.coming += 1;
            state.on_the_way = Way::Notified;
            // It would only wait for the lock. Should it end meanwhile on its own, it sees the job.
            drop(state);
            self.work.notify_one();
        } else {
            self.add_thread(core, state);
        }
    }

    /// A thread that was made is there.
    fn arrive(&self, core: &'static Core) {
        let mut state = self.lock();
        state.on_the_way = Way::Nobody;
        self.send_for_one(core, state);
    }

    /// The jobs that run, and how many wait.
    pub(crate) fn jobs(&self) -> (Vec<Running>, usize) {
        let mut running = Vec::new();
        loop {
            let state = self.lock();
            if state.running.len() <= running.capacity() {
                running.extend(state.running.iter().cloned());
                return (running, state.queue.len());
            }
            // Nothing is allocated for all of them under the lock, but for the names of those that have one.
            let wanted = state.running.len();
            drop(state);
            running.reserve(wanted + wanted / 4);
        }
    }

    /// Whether jobs wait that no thread was found for, though there may be more threads.
    pub(crate) fn wants_thread(&self) -> bool {
        self.lock().stranded
    }

    /// Whether there is neither a job nor a thread. One that waits for a job is a thread, too: it may end, and with it what is the
    /// users' in its thread-locals.
    pub(crate) fn is_empty(&self) -> bool {
        let state = self.lock();
        state.threads == 0 && state.queue.is_empty()
    }

    /// Tries again to make a thread, if that has failed.
    pub(crate) fn retry(&self, core: &'static Core) {
        let mut state = self.lock();
        if std::mem::take(&mut state.stranded) {
            self.send_for_one(core, state);
        }
    }

    fn add_thread(&self, core: &'static Core, mut state: MutexGuard<'_, State>) {
        let config = core.config();
        if state.threads >= config.max_blocking_threads {
            return;
        }
        core.lease();
        match ours::spawn_thread(format!("{}-blk", config.name), config.stack_size, move || thread_main(core)) {
            Ok(_) => {
                state.threads += 1;
                state.coming += 1;
                state.on_the_way = Way::Made;
            }
            Err(_) => {
                state.stranded = true;
                drop(state);
                core.release();
                core.monitor.watch();
                if core.stage.is_on() {
                    core.stage.wake_ground(core);
                }
            }
        }
    }

    /// Waits until no thread is left. False: some are, at `until`. The pool was closed before.
    pub(crate) fn join(&self, until: Instant) -> bool {
        let mut state = self.lock();
        while state.threads > 0 {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.gone.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Cancels what is queued; what runs is left alone. Jobs that come later are cancelled at once.
    pub(crate) fn close(&self, core: &'static Core) {
        let mut state = self.lock();
        state.closed = true;
        state.stranded = false;
        let queue = std::mem::take(&mut state.queue);
        drop(state);
        self.work.notify_all();
        let _inside = context::enter_foreign(core);
        queue.into_iter().for_each(run_cancelled);
    }
}

fn thread_main(core: &'static Core) {
    let config = core.config();
    context::set_thread_of(core);
    // Before the hook, which may take its time.
    core.pool.arrive(core);
    call_hook(config.on_thread_start.as_deref());
    let inside = context::enter_foreign(core);
    let (mut last, mut discarding) = (Last::Arrival, None);
    while let Some(job) = next_job(core, last, &mut discarding) {
        last = Last::Job(job.metadata().id);
        // The waker keeps the cell, and so the metadata, until the guard is gone.
        let waker = job.waker();
        // SAFETY: see above.
        let task = unsafe { context::enter_task(&*ptr::from_ref(job.metadata())) };
        let traced = core.trace_turn(&job);
        core.stage.run_job(core, || job.run());
        if let Some(turn) = traced {
            turn.end();
        }
        drop(task);
        drop(waker);
        core.counters.blocking_jobs.bump_shared();
    }
    drop(inside);
    call_hook(config.on_thread_stop.as_deref());
    // Before the release: the user's hooks are dropped in there, while it is known that they are.
    drop(config);
    deadlock::thread_ends(core);
    core.release();
}

/// What a thread has done last.
enum Last {
    /// Nothing: it has just been made.
    Arrival,
    Job(Id),
}

/// The next job of a thread that has done `last`; none: the thread is to end, and is not counted any more. It still has a hook to
/// call: while `discarding` lasts no deadlock is certain.
fn next_job(core: &'static Core, last: Last, discarding: &mut Option<Discarding>) -> Option<Runnable> {
    let pool = &core.pool;
    let mut state = pool.lock();
    match last {
        Last::Arrival => state.coming -= 1,
        Last::Job(id) => {
            let place = state.running.iter().position(|running| running.id == id);
            state.running.swap_remove(place.expect("whoever takes a job enters it"));
        }
    }
    loop {
        if let Some(job) = state.queue.pop_front() {
            state.running.push(Running::new(&job, core.clock.now()));
            pool.send_for_one(core, state);
            return Some(job);
        }
        if state.closed {
            break;
        }
        state.idle += 1;
        let (back, timeout) = pool.work.wait_timeout(state, IDLE_LASTS).unwrap_or_else(PoisonError::into_inner);
        state = back;
        state.idle -= 1;
        // Whoever wakes first takes the place of the one that was notified; that one finds less to do, or nothing.
        if state.on_the_way == Way::Notified {
            state.on_the_way = Way::Nobody;
            state.coming -= 1;
        } else if timeout.timed_out() && state.queue.is_empty() {
            break;
        }
    }
    *discarding = Some(Discarding::begin());
    state.threads -= 1;
    pool.gone.notify_all();
    None
}
