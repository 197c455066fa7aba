//! A worker: a thread that runs tasks, and the part of it that all can reach.
//!
//! [`Worker`] is shared and stays where it is as long as its core. [`Local`] belongs to the thread that is the worker at
//! this time, and lives on its stack. What another thread might have to take over when this one is stuck stands in the
//! shared part: ring, slot, timers, and the wakers that it was just waking.
//!
//! - `run.rs`     the loop: what runs next
//! - `check.rs`   the look at the clock, and what depends on it: poller, timers, fairness, and whether to wake others
//! - `search.rs`  stealing, and falling asleep
//! - `block.rs`   a task says that it blocks
//! - `thread.rs`  whether the thread runs or sleeps, as the kernel sees it: for the monitor, which finds out what no task says
//! - `table.rs`   which workers there are, the spare ones, and the threads

pub(crate) mod block;
mod check;
mod run;
mod search;
pub(crate) mod table;
mod thread;

pub(crate) use block::{block_in_place, step_out};

use crate::{
    attention::Attention,
    context::Context,
    core::{Core, OPEN},
    fork,
    histogram::{self, Times, Timing},
    idle::Parker,
    metrics::Counters,
    queue::{CAPACITY, Item, Job, Ring, Slot},
    shard::Shard,
    task::{Id, Meta, Owned, Runnable},
    trace::{Lane, Note},
};
use gambol_timer::Key;
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    panic::Location,
    ptr,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, Ordering, fence},
    },
    task::Waker,
};
use table::Standing;
use thread::Thread;

/// The shared part of a worker.
pub(crate) struct Worker {
    pub(crate) index: u16,
    pub(crate) core: &'static Core,
    pub(crate) ring: Ring,
    pub(crate) pulse: Pulse,
    pub(crate) attention: Attention,
    pub(crate) slot: Slot,
    pub(crate) parker: Parker,
    pub(crate) shard: Shard,
    /// Wakers that the poller or a shard handed back and that have not been woken yet, from the first on that may be foreign. The
    /// lock is held to take one.
    draining: Mutex<VecDeque<Waker>>,
    /// There may be something in `draining`. Written under that lock, by the worker and by whoever
    /// takes over.
    pub(crate) drains: AtomicBool,
    pub(crate) counters: Counters,
    /// A [`Standing`]. Written under the table's lock.
    standing: AtomicU8,
    pub(crate) thread: Thread,
    pub(crate) timing: Timing,
    /// The registry's pages that this worker inserts into; with its thread while it has one.
    owned: Mutex<Option<Owned>>,
}

/// What a worker shows of itself: plain stores by its thread, sampled by others.
#[repr(align(128))]
pub(crate) struct Pulse {
    /// Turns given to tasks. Two equal samples of a worker that is not parked: it sat in one poll all the time.
    pub(crate) tick: AtomicU32,
    /// The tasks in its ring are worth another worker (`check.rs`). The monitor sets it too.
    pub(crate) wants_help: AtomicBool,
    /// It stands as Out or Stuck: nothing here runs until somebody takes it. Written under the table's lock.
    pub(crate) blocked: AtomicBool,
    /// What it pushes goes to the injector, and what it arms is told: it stands as Stuck, or the runtime is being shut down. Written
    /// under the table's lock.
    pub(crate) diverts: AtomicBool,
    /// The id of the task that has its turn, as a word; 0 between turns.
    pub(crate) running: AtomicU64,
    /// Where that one was spawned. Changed while `running` is 0, and Release, with the Acquire of who reads both: two equal ids
    /// around a site are the site's.
    pub(crate) site: AtomicPtr<Location<'static>>,
    /// When the worker last looked at the clock, by the runtime's: the running task has run since then at most.
    pub(crate) looked: AtomicU64,
}

impl Pulse {
    fn new() -> Pulse {
        Pulse {
            tick: AtomicU32::new(0),
            wants_help: AtomicBool::new(false),
            blocked: AtomicBool::new(false),
            diverts: AtomicBool::new(false),
            running: AtomicU64::new(0),
            site: AtomicPtr::new(ptr::null_mut()),
            looked: AtomicU64::new(0),
        }
    }

    /// A task's turn begins.
    #[inline]
    pub(crate) fn shows(&self, meta: &Meta) {
        self.site.store(ptr::from_ref(meta.location).cast_mut(), Ordering::Release);
        self.running.store(meta.id.to_raw(), Ordering::Release);
    }

    /// What it shows, to be kept while other tasks have turns inside of this one's, and then shown again.
    pub(crate) fn shown(&self) -> (u64, *mut Location<'static>) {
        (self.running.load(Ordering::Relaxed), self.site.load(Ordering::Relaxed))
    }

    /// The task that waited meanwhile is the running one again.
    pub(crate) fn shows_again(&self, (running, site): (u64, *mut Location<'static>)) {
        self.site.store(site, Ordering::Release);
        self.running.store(running, Ordering::Release);
    }

    /// The task that has its turn, and where it was spawned.
    pub(crate) fn running(&self) -> Option<(Id, &'static Location<'static>)> {
        let raw = self.running.load(Ordering::Acquire);
        let site = self.site.load(Ordering::Acquire);
        if raw != self.running.load(Ordering::Relaxed) {
            // One turn has ended and another has perhaps begun: to be told at some other time.
            return None;
        }
        // SAFETY: the pointer is null, or was made from a reference that is good for ever.
        Some((Id::from_raw(raw)?, unsafe { site.as_ref() }?))
    }
}

impl Worker {
    fn new(core: &'static Core, index: u16) -> Worker {
        Worker {
            index,
            core,
            ring: Ring::new(),
            pulse: Pulse::new(),
            attention: Attention::new(),
            slot: Slot::new(),
            parker: Parker::new(),
            shard: Shard::new(core.slot),
            draining: Mutex::new(VecDeque::new()),
            drains: AtomicBool::new(false),
            counters: Counters::default(),
            standing: AtomicU8::new(Standing::Resting as u8),
            thread: Thread::new(),
            timing: Timing::new(),
            owned: Mutex::new(Some(Owned::default())),
        }
    }

    /// Whether there is something here for a thief.
    #[inline]
    pub(crate) fn wants_help(&self) -> bool {
        (self.pulse.wants_help.load(Ordering::Relaxed) && self.ring.len() > 0) || self.is_left()
    }

    /// Whether there is something here that the worker will not come to, because it stands as Out or Stuck.
    #[inline]
    pub(crate) fn is_left(&self) -> bool {
        self.pulse.blocked.load(Ordering::Relaxed) && self.has_any()
    }

    /// Whether anything waits here for its turn.
    pub(crate) fn has_any(&self) -> bool {
        self.ring.len() > 0 || !self.slot.is_empty() || self.drains.load(Ordering::Relaxed)
    }

    /// Gives everything in ring and slot to the others. By any thread.
    pub(crate) fn give_away(&self) {
        // No more than may have stood there: its owner may push as fast as we take.
        let ring = std::iter::from_fn(|| self.ring.pop()).take(CAPACITY);
        let mut items = self.slot.take().into_iter().chain(ring);
        let Some(first) = items.next() else { return };
        let job = match items.next() {
            None => Job::One(first),
            Some(second) => Job::Many([first, second].into_iter().chain(items).collect()),
        };
        self.core.injector.push(job);
        self.core.wake_after_publish();
    }

    pub(crate) fn lock_draining(&self) -> MutexGuard<'_, VecDeque<Waker>> {
        self.draining.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts wakers where others reach them.
    fn put_in_reach(&self, wakers: impl ExactSizeIterator<Item = Waker>) {
        if wakers.len() > 0 {
            let mut draining = self.lock_draining();
            draining.extend(wakers);
            self.drains.store(true, Ordering::Relaxed);
        }
    }

    /// The first waker that stands there.
    fn take_in_reach(&self) -> Option<Waker> {
        let mut draining = self.lock_draining();
        let waker = draining.pop_front();
        if waker.is_none() {
            self.drains.store(false, Ordering::Relaxed);
        }
        waker
    }

    pub(crate) fn standing(&self) -> Standing {
        Standing::from_u8(self.standing.load(Ordering::Relaxed))
    }

    /// Whether what it pushes and arms is for others.
    #[inline]
    pub(crate) fn diverts(&self) -> bool {
        self.pulse.diverts.load(Ordering::Relaxed)
    }
}

/// The part of a worker that only its thread touches. All cells: calls nest, because polling a task calls back here.
pub(crate) struct Local {
    pub(crate) worker: &'static Worker,
    /// Turns given so far.
    tick: Cell<u32>,
    /// Turns in a row that went to the slot.
    slot_run: Cell<u8>,
    /// Tasks put on the ring since the last look at the clock that had been running before (a yielding crowd), as
    /// opposed to fresh ones.
    rescheduled: Cell<u32>,
    /// Those among them that had not yielded, but stood in the slot when another one was woken.
    displaced: Cell<u32>,
    /// We count as searching.
    searching: Cell<bool>,
    /// What is in the ring would hold up others for long: fresh tasks, and those that join, go to the injector. Found out at each look
    /// at the clock.
    crowded: Cell<bool>,
    /// It is crowded, or those in the ring mostly yield: what poller or timers wake does not queue behind them.
    passes: Cell<bool>,
    /// Woken tasks go to the ring: a batch from the poller is being woken.
    batch: Cell<bool>,
    /// A timer in the worker's shard that was cancelled last, and may be taken over (`shard.rs`).
    cancelled: Cell<Option<Key>>,
    clock: check::Watch,
    /// The last sleep was shorter than [`SHORT`](crate::monitor::SHORT).
    brief: Cell<bool>,
    /// Nanoseconds by which long sleeps end early, since the kernel ends them late by about as much.
    early: Cell<u64>,
    /// While a batch is being woken, what is left of it, the next one last; nobody else reaches it. Otherwise kept for its memory.
    ready: RefCell<Vec<Waker>>,
    owned: RefCell<Owned>,
    /// Numbers for ids, taken from the core in blocks.
    numbers: Cell<(u64, u64)>,
    random: RefCell<fastrand::Rng>,
    /// Trace points. None: nobody wants to know.
    lane: Option<Box<Lane>>,
    /// Where to count how long things take, if that is measured.
    times: Option<&'static Times>,
    /// Either of the two is there: asked once per turn and once per wake or spawn.
    watched: bool,
}

/// Numbers for ids that a worker takes at once.
const NUMBERS: u64 = 1024;
/// Tasks on the ring of a worker that is marked as stuck from which on it gives them away, though nobody is idle.
const GATHERED: usize = 32;

impl Local {
    /// The thread becomes `worker`.
    ///
    /// # Safety
    ///
    /// No other `Local` of this worker exists.
    unsafe fn new(worker: &'static Worker) -> Local {
        let tick = worker.pulse.tick.load(Ordering::Relaxed);
        worker.parker.adopt();
        let owned = worker.owned.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (lane, times) = (worker.core.lane(worker.index), worker.timing.get());
        Local {
            worker,
            tick: Cell::new(tick),
            slot_run: Cell::new(0),
            rescheduled: Cell::new(0),
            displaced: Cell::new(0),
            searching: Cell::new(false),
            crowded: Cell::new(false),
            passes: Cell::new(false),
            batch: Cell::new(false),
            cancelled: Cell::new(None),
            clock: check::Watch::new(tick, worker.core.clock.now()),
            brief: Cell::new(true),
            early: Cell::new(0),
            ready: RefCell::new(Vec::new()),
            owned: RefCell::new(owned.expect("a worker has one thread at a time")),
            numbers: Cell::new((0, 0)),
            random: RefCell::new(fastrand::Rng::new()),
            watched: lane.is_some() || times.is_some(),
            lane,
            times,
        }
    }

    fn core(&self) -> &'static Core {
        self.worker.core
    }

    /// The time at the worker's last look at the clock.
    #[inline]
    pub(crate) fn recent_now(&self) -> u64 {
        self.clock.recent()
    }

    /// The id for a task that is spawned here.
    #[inline]
    pub(crate) fn next_id(&self) -> Id {
        let (mut next, mut end) = self.numbers.get();
        if next == end {
            next = self.core().reserve_numbers(NUMBERS);
            end = next + NUMBERS;
        }
        self.numbers.set((next + 1, end));
        Id::new(self.core().slot, next)
    }

    // ---- trace points: each one branch, if nobody wants to know

    /// Something that the worker does.
    #[inline]
    pub(crate) fn trace(&self, note: impl FnOnce() -> Note) {
        if let Some(lane) = &self.lane {
            lane.note(note());
        }
    }

    /// Whether somebody wants to know, or measures.
    #[inline]
    pub(crate) fn is_watched(&self) -> bool {
        self.watched
    }

    // These take a runnable and give it back: a reference would keep it in memory, which costs those who are not traced.

    /// A task is spawned here, and is about to be put into a queue.
    #[inline]
    pub(crate) fn mark_spawned(&self, runnable: Runnable) -> Runnable {
        if self.watched {
            return self.mark_spawned_slow(runnable);
        }
        self.set_queued(&runnable);
        runnable
    }

    #[cold]
    #[inline(never)]
    fn mark_spawned_slow(&self, runnable: Runnable) -> Runnable {
        self.mark_queued(&runnable);
        match &self.lane {
            None => runnable,
            Some(lane) => lane.spawned(runnable),
        }
    }

    /// A task that waited is to run. `meanwhile`: it was woken during the turn that it just had.
    #[inline]
    pub(crate) fn trace_woken(&self, cx: &Context, runnable: Runnable, meanwhile: bool) -> Runnable {
        match &self.lane {
            None => runnable,
            Some(lane) => lane.woken(cx, runnable, self.batch.get(), meanwhile),
        }
    }

    /// A turn begins.
    #[inline]
    fn trace_turn(&self, runnable: Runnable) -> Runnable {
        match &self.lane {
            None => runnable,
            Some(lane) => lane.begin_turn(runnable),
        }
    }

    /// The turn is over, and the context still names the task, unless it has ended.
    #[inline]
    fn trace_end(&self, cx: &Context) {
        if let Some(lane) = &self.lane {
            lane.end_turn(cx);
        }
    }

    // ---- queueing, by the running task

    /// A task is about to be put into a queue, and nobody measures: notes that, and the time.
    #[inline]
    pub(crate) fn set_queued(&self, runnable: &Runnable) {
        runnable.metadata().set_queued(self.core().coarse_now());
    }

    /// As above, where somebody may measure.
    pub(crate) fn mark_queued(&self, runnable: &Runnable) {
        if self.times.is_some() {
            histogram::mark_queued(runnable.metadata());
        } else {
            self.set_queued(runnable);
        }
    }

    /// A fresh task, behind all others, but for those that yield.
    #[inline]
    pub(crate) fn push_spawned(&self, item: Item) {
        if self.passes.get() {
            return self.push_passing(item);
        }
        self.push_fresh(item);
    }

    #[inline]
    fn push_fresh(&self, item: Item) {
        self.push_back(item);
        if self.worker.diverts() {
            return self.divert();
        }
        if self.core().idle.wants_wake() {
            self.clock.spawned(self.tick.get());
        }
    }

    /// A fresh task that does not queue behind what is in the ring: it is next. Not so if another one is, be it the first of several that
    /// are spawned; and not while others have nothing to do: they take it from the ring, where it is weighed.
    #[cold]
    fn push_passing(&self, item: Item) {
        if self.crowded.get() {
            return self.core().inject(item);
        }
        if !self.worker.slot.is_empty() || self.core().idle.counts() != (0, 0) {
            return self.push_fresh(item);
        }
        self.push_woken(item);
    }

    /// A task, behind all others.
    #[inline]
    pub(crate) fn push_back(&self, item: Item) {
        // SAFETY: there is one `Local` per worker, and we are on its thread.
        if let Err(spill) = unsafe { self.worker.ring.push(item) } {
            self.spill(spill);
        }
    }

    /// A task that was woken while it ran: behind all others, but it will be back, so it weighs more.
    #[inline]
    pub(crate) fn reschedule(&self, item: Item) {
        self.rescheduled.set(self.rescheduled.get().wrapping_add(1));
        self.push_back(item);
    }

    /// A task that was woken by the running one: it is next.
    // Always: the second caller, which few have, must not cost the first a call.
    #[inline(always)]
    pub(crate) fn push_woken(&self, item: Item) {
        if self.batch.get() {
            return self.push_batch(item);
        }
        // SAFETY: there is one `Local` per worker, and we are on its thread.
        if let Some(displaced) = unsafe { self.worker.slot.put(item) } {
            self.displaced.set(self.displaced.get().wrapping_add(1));
            self.reschedule(displaced);
        }
        if self.worker.diverts() {
            self.divert();
        }
    }

    /// A task that was woken by the end of another, which it joins: behind what is ready, if anything is. One that joins many in
    /// turn so finds ended those that stood behind the first, and need not wait for each by itself. (As the next one, which
    /// it was before, it waited at half of a thousand joins; spawn and join took 78 ns of CPU time each, and take 62.) Not behind a crowd
    /// of long polls: what was spawned there did not wait for them either.
    #[inline(never)]
    pub(crate) fn push_joiner(&self, item: Item) {
        if self.crowded.get() {
            return self.core().inject(item);
        }
        let passes = self.passes.get() || self.worker.ring.len() == 0;
        if self.batch.get() || (passes && self.worker.slot.is_empty()) {
            return self.push_woken(item);
        }
        self.push_back(item);
        if self.worker.diverts() {
            self.divert();
        }
    }

    /// A task that poller or timers have woken.
    fn push_batch(&self, item: Item) {
        if self.passes.get() {
            return self.core().inject(item);
        }
        self.push_back(item);
        if self.worker.diverts() {
            self.divert();
        }
    }

    /// We are marked as stuck, or the runtime ends: what was just pushed is for others. Asked after the push and not before, so that what
    /// was pushed when the mark came is seen by the monitor's next look, however long this thread stops between the two.
    ///
    /// While all others are busy a few may gather: whoever has nothing to do takes them from our ring, and the monitor gives away at its
    /// next look what is left there. (A task that spawned a million in one poll had them one by one in the injector, at 80 bytes each
    /// beyond their own: 219 resident bytes for each in the end, where it is 170.)
    #[cold]
    fn divert(&self) {
        if fork::is_child() {
            return;
        }
        if self.worker.ring.len() < GATHERED {
            // Pairs with the one in `Idle::enter`: whoever lies down sees what is on our ring, or is seen here. And with the one in
            // `Core::drain`: whoever cancels what is queued sees it, or we see that nobody will come.
            fence(Ordering::SeqCst);
            if self.core().idle.counts().0 == 0 && self.core().phase() == OPEN {
                return;
            }
        }
        self.worker.give_away();
        self.core().cancel_if_late();
    }

    /// The ring is full. Nobody is woken for the spill here: this worker comes to it in its turn, and whether others are
    /// wanted is found out at its next look at the clock.
    #[cold]
    fn spill(&self, spill: Vec<Item>) {
        self.core().injector.push(Job::Many(spill));
        self.clock.check_soon(self.tick.get());
    }

    // ---- timers

    /// The timer that was cancelled last, if it still stands in the shard.
    #[inline]
    pub(crate) fn take_cancelled(&self) -> Option<Key> {
        self.cancelled.take()
    }

    /// A timer in the worker's shard was cancelled. It may stay there for a moment; the one before may not.
    #[inline]
    pub(crate) fn keep_cancelled(&self, key: Key) -> Option<Key> {
        self.cancelled.replace(Some(key))
    }

    /// Takes the timer that was cancelled last out of the shard.
    fn clear_cancelled(&self) {
        // To drop a waker may run code of others, which may cancel another.
        while let Some(key) = self.cancelled.take() {
            crate::core::discard(self.worker.shard.remove_kept(key));
        }
    }

    // ---- the registry

    pub(crate) fn register(&self, waker: Waker, meta: &Meta) -> u32 {
        // SAFETY: we are the worker's thread, and the caller passes the running task's own waker and metadata.
        unsafe { self.core().registry.insert(self.worker.index, &mut self.owned.borrow_mut(), waker, meta) }
    }

    pub(crate) fn unregister(&self, index: u32) -> Option<Waker> {
        // SAFETY: we are the worker's thread, and the caller took the index out of the task's metadata.
        unsafe { self.core().registry.remove(index, Some((self.worker.index, &mut self.owned.borrow_mut()))) }
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.clear_cancelled();
        let owned = self.owned.take();
        *self.worker.owned.lock().unwrap_or_else(PoisonError::into_inner) = Some(owned);
    }
}
