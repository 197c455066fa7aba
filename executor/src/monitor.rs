//! The monitor: a thread that looks at the workers from outside while any of them runs.
//!
//! Its duties: work that waits though workers sleep; workers that sit in one poll while others wait for them; poller and timers
//! that nobody looks at. It samples what the workers publish with plain stores; they pay nothing for it.
//!
//! # Who is stuck
//!
//! A worker whose tick has not moved between two looks is *held up*. It is *stuck*
//! - if its thread sleeps in a system call (`worker/thread.rs`) after a quarter of the threshold: its processor is idle, and nothing
//!   is gained by waiting longer; Go takes the processor from a thread in a system call after one look, too;
//! - if it computes, when it has computed for the threshold. The time for which it waited for a processor does not count: more
//!   threads would only wait with it.
//!
//! For a while after a worker was found stuck the looks follow each other four times faster, a sleeper is stuck after a quarter of a
//! quarter, and if the one found computed, who computes has a quarter of the threshold: what held up the first will often hold up
//! those that take its place. (Eight tasks that block for a second each on two workers: the last has begun 5 ms after the first.)
//! It is a while, and who was found in less than the full time does not prolong it: otherwise one task that never comes back
//! would bring relief to every poll of some milliseconds, and a thread for each.
//!
//! # What is done
//!
//! Nothing, as long as nobody waits: no task queued, no timer overdue, the poller attended to. If somebody waits and a worker
//! sleeps, that one is woken. If none does, the monitor steps out on behalf of those who are stuck (`worker/table.rs`, Stuck):
//! they count as active no more, their rings, slots and wakers stand open to thieves, and as many others are hired. Thieves are those
//! who have nothing to do. What still stands there at a later look, since all others are busy, is put into the injector, which the
//! busy serve as well; and they are asked to wake the wakers.
//!
//! Who sleeps in a system call for long though nobody waits for it is *set aside*: marked, but neither counted nor reported. If it was
//! the last one, another is hired, who looks after poller and timers. So a program that is idle but for one worker that never
//! comes back is idle for the monitor as well.
//!
//! The core is not taken from the stuck thread, which may be about to use it. It may push, arm and wake as ever:
//!
//! ```text
//! to mark     1 `diverts` on   2 slot into the injector, sitter told of the earliest deadline   3 at every look while the
//!               mark stands: its queues again, the deadlines again
//! the marked  1 pushes and arms as always   2 looks at `diverts`: on, it moves what it has into the injector, tells the sitter.
//!               While nobody is idle it may let a few gather: fence, then a look at who is parked, as a push from outside has them
//! ```
//!
//! *The race*: it has looked at `diverts` just before the mark. There is no fence on its side, since that would cost every push.
//! But its push comes first, and so is done, if not yet seen by all: it is found at the monitor's next look; and the monitor does
//! not rest before it has looked once more after a mark, and found nothing. (The other way round, the thread may stop between the
//! look and the push, for as long as it likes, and what it pushes then nobody finds.)
//!
//! When the stuck worker comes to its next poll boundary it finds the attention bit, counts itself active again, and rests if its
//! place was filled.
//!
//! # When it watches
//!
//! It looks at regular intervals while somebody runs, and sleeps while nobody does. Its sleep ends by an alarm (`alarm.rs`), which is set
//! by the workers: to 0.3 ms after one of them begins to run. `due` says when the monitor looks next: at once and
//! again and again (it watches), when the alarm rings, or never.
//!
//! ```text
//! a worker that leaves its sleep   1 comes off the list of the idle   2 fence   3 if the monitor looks much later than it would
//!                                    after an alarm that is set now, sets it
//! the monitor, after a quiet look  1 due never   2 fence   3 looks once more: somebody runs -> it watches on
//! who lies down                    1 due 0.3 ms after its deadline, or in 0.1 s if there is none   2 fence
//!                                    3 looks: somebody runs -> due as it was; nobody -> the alarm is set to that
//! ```
//!
//! *The races*: a worker wakes while the monitor goes to sleep, or while another puts the alarm off. By the fences one of the two sees
//! the other. `due` and the alarm are changed together, under a lock. So an idle program wakes nobody, and a running one is watched.
//!
//! A look is quiet if all sleep and have had less than two turns since the last one. To begin anew costs whoever wakes next a system
//! call before its first poll, and a look soon after; so who wakes more often than the monitor looks is watched on. (A plain thread that
//! woke a task every 0.5 ms: late by 68 µs in one of a hundred when the monitor began anew for most of them, and by 22 µs since.)
//!
//! Who lies down puts the alarm off so that a program that wakes for some microseconds every now and then has no monitor that wakes with
//! it: to tick every 20 ms took four context switches and 70 µs of CPU time, of which the monitor had 2 and 30. It is done by whoever
//! lies down last, so that nobody runs, if the monitor does not watch yet and its own last sleep was longer than [`SHORT`]: a server
//! with little time between requests would otherwise make a system call more for each. Without a deadline the monitor has its look
//! 0.1 s later: nothing may ever run again, and whether that is a deadlock is its to find out. (A plain thread that woke a task every
//! 3 ms woke the monitor 620 times a second when it looked at once, and seldom since.)
//!
//! Where there is no alarm the monitor is woken instead, and watches from then on.
//!
//! # How often it looks
//!
//! Every quarter of the threshold. A look is calm if nothing waits and each worker that runs has looked at its clock in that time, so
//! that no poll is long. After eight of these in a row the looks become rarer by half, after eight more once again: one per threshold. A
//! worker that gets stuck then is found three quarters of a threshold later at worst than otherwise.
//!
//! A look costs 26 µs, most of which is the thread's wake and its sleep, and the rest a system call per running worker. To look 400
//! times a second, and to begin anew after each moment of quiet, took 2 to 4 % of the CPU time of an echo server with two workers; it
//! is 1 % now.

use crate::{
    alarm::Alarm,
    attention::LOOK,
    clock::{self, NEVER, nanos},
    core::{Core, OPEN},
    deadlock::{Discarding, Post, Watcher},
    idle::{NOBODY, Owed, Parker},
    ours,
    queue::Job,
    stall::{Reported, Stall},
    sync::{AtomicU64, Mutex, MutexGuard, fence},
    task::Id,
    trace::Note,
    worker::{Worker, block, table::Standing},
};
use std::{
    io,
    panic::Location,
    sync::{
        self, Condvar, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// See the head of this file.
pub(crate) struct Monitor {
    watch: Switch,
    /// What the search for deadlocks shows of this thread.
    pub(crate) post: Post,
    stop: AtomicBool,
    parker: Parker,
    thread: sync::Mutex<Thread>,
    /// Notified when the thread has ended.
    gone: Condvar,
}

#[derive(Default)]
struct Thread {
    alive: bool,
    /// None: there is no thread, or nobody will wait for it.
    handle: Option<thread::JoinHandle<()>>,
}

/// When the monitor looks next: the protocol in the head of this file.
pub(crate) struct Switch {
    /// Nanoseconds on the real clock, WATCHES or NEVER. Written under the lock.
    due: AtomicU64,
    /// Set to `due`, unless that is WATCHES or NEVER.
    alarm: Mutex<Alarm>,
}

/// `due`: the monitor looks at regular intervals.
const WATCHES: u64 = 0;
/// Nanoseconds between the moment when somebody begins to run and the monitor's first look.
const GRACE: u64 = 300_000;
/// Nanoseconds between the moment when the last one lies down, with nothing to wait for but others, and the monitor's look.
const LAST_LOOK: u64 = 100_000_000;
/// Nanoseconds. Who has slept less than that will often do so again, and leaves the alarm as it is.
pub(crate) const SHORT: u64 = 500_000;

impl Switch {
    pub(crate) fn new() -> Switch {
        Switch { due: AtomicU64::new(NEVER), alarm: Mutex::new(Alarm::None) }
    }

    /// Sees to a look soon after something began to run. True: there is no alarm, the monitor must be woken. `now`: the real clock.
    #[inline]
    #[must_use]
    pub(crate) fn on(&self, now: impl FnOnce() -> u64) -> bool {
        // Pairs with the fences in `off` and `put_off`.
        fence(Ordering::SeqCst);
        self.due.load(Ordering::Relaxed) != WATCHES && self.on_slow(now())
    }

    #[cold]
    fn on_slow(&self, now: u64) -> bool {
        let moment = now.saturating_add(GRACE);
        // A little later will do, and spares a system call.
        if self.due.load(Ordering::Relaxed) <= moment + GRACE {
            return false;
        }
        let mut alarm = self.lock();
        if self.due.load(Ordering::Relaxed) <= moment {
            return false;
        }
        self.due.store(moment, Ordering::Relaxed);
        alarm.set(moment);
        !alarm.exists()
    }

    /// The caller sleeps until `deadline`, on the real clock, and nobody runs, unless `busy` sees somebody: no look is needed before. If
    /// that is NEVER, there is a last look some time after `now`.
    pub(crate) fn put_off(&self, deadline: u64, now: impl FnOnce() -> u64, busy: impl FnOnce() -> bool) {
        let due = self.due.load(Ordering::Relaxed);
        if due == WATCHES || due == NEVER {
            return;
        }
        let deadline = if deadline == NEVER { now().saturating_add(LAST_LOOK) } else { deadline };
        let moment = deadline.saturating_add(GRACE);
        if due >= moment {
            return;
        }
        let mut alarm = self.lock();
        let due = self.due.load(Ordering::Relaxed);
        if due == WATCHES || due >= moment || !alarm.exists() {
            return;
        }
        self.due.store(moment, Ordering::Relaxed);
        // Pairs with the fence in `on`.
        fence(Ordering::SeqCst);
        if busy() {
            self.due.store(due, Ordering::Relaxed);
        } else {
            alarm.set(moment);
        }
    }

    /// The monitor's sleep has ended. Begins to watch, if it is time. Whether it watches. `now`: the real clock.
    fn begin(&self, now: u64) -> bool {
        let mut alarm = self.lock();
        let due = self.due.load(Ordering::Relaxed);
        if due == NEVER {
            return false;
        }
        if due > now && alarm.exists() {
            // It was put off; set once more, since it may have rung before that.
            alarm.set(due);
            return false;
        }
        self.due.store(WATCHES, Ordering::Relaxed);
        true
    }

    /// Ends the watch, unless `busy` sees that something runs.
    pub(crate) fn off(&self, busy: impl FnOnce() -> bool) {
        let _alarm = self.lock();
        self.due.store(NEVER, Ordering::Relaxed);
        // Pairs with the fence in `on`.
        fence(Ordering::SeqCst);
        if busy() {
            self.due.store(WATCHES, Ordering::Relaxed);
        }
    }

    /// By the monitor: from now on this is the alarm.
    fn hang(&self, new: Alarm) {
        let mut alarm = self.lock();
        *alarm = new;
        let due = self.due.load(Ordering::Relaxed);
        if due != WATCHES && due != NEVER {
            alarm.set(due);
        }
    }

    /// Ends the monitor's sleep.
    fn ring(&self) {
        self.lock().set(0);
    }

    fn is_on(&self) -> bool {
        self.due.load(Ordering::Relaxed) == WATCHES
    }

    fn lock(&self) -> MutexGuard<'_, Alarm> {
        self.alarm.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stall that lasts this long is reported though it has not ended.
const LONG_STALL: u64 = 1_000_000_000;
/// After a stall was found, looks follow each other this much faster, and those held up have that much less time.
const HASTE: u64 = 4;
/// Nanoseconds for which that is so.
const HASTE_LASTS: u64 = 100_000_000;
/// Nanoseconds between two looks at most, whatever the threshold: there are other things to see.
const LONGEST_PERIOD: u64 = 10_000_000;
/// Turns since the last look, of all workers, from which on a moment in which all sleep is not taken for the end.
const BREATH: u32 = 2;
/// Calm looks in a row after which the time between two is doubled.
const CALM: u32 = 8;
/// How often it is doubled: until it is the threshold.
const DOUBLINGS: u32 = 2;
/// Nanoseconds after which a worker that sleeps in a system call, and holds up nobody, is set aside.
const SET_ASIDE: u64 = 100_000_000;
/// Nanoseconds between two looks after which the process is taken to have been stopped meanwhile: what was seen before says nothing.
const STOPPED: u64 = 200_000_000;
/// Who has not computed, and of whom it cannot be seen whether it sleeps or waits for a processor, is given this much longer.
const UNSEEN: u64 = 8;

/// What the monitor's thread remembers between two looks.
struct Memory {
    /// Nanoseconds; NEVER: nobody is ever stuck.
    threshold: u64,
    /// Nanoseconds between two looks.
    period: u64,
    /// The last look, on the real clock.
    looked: u64,
    /// One per worker.
    samples: Vec<Sample>,
    /// Until then looks are hasty: a stall was found.
    hasty_until: u64,
    /// Until then those who compute have less time: one who computed was found.
    strict_until: u64,
    /// Somebody was marked at the last look.
    marked: bool,
    /// Looks in a row that have found nothing to do and nobody in a long poll, as far as it matters how many.
    calm: u32,
    /// The ticks of all workers at the last look, added up.
    turns: u32,
    reported: Reported,
}

/// What is remembered of one worker.
#[derive(Clone, Default)]
struct Sample {
    tick: u32,
    /// When the tick was first seen, on the real clock.
    since: u64,
    /// What its thread had computed then.
    cpu: Option<u64>,
    /// It was marked as one who holds up others, and has not gone on since.
    stall: Option<Found>,
}

/// What holds up a worker.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Held {
    /// It sleeps in a system call.
    Asleep,
    /// It computes; early: not for the full threshold yet.
    Computes { early: bool },
}

/// A stall that was found.
#[derive(Clone, Copy)]
struct Found {
    task: Option<(Id, &'static Location<'static>)>,
    since: u64,
    asleep: bool,
    /// It was told of, though it had not ended.
    told: bool,
}

impl Found {
    fn stall(&self, now: u64, ended: bool) -> Stall {
        let duration = Duration::from_nanos(now.saturating_sub(self.since));
        Stall { task: self.task, duration, ended, asleep: self.asleep }
    }
}

impl Memory {
    fn new(core: &Core) -> Memory {
        let threshold = nanos(core.config().stall_threshold);
        Memory {
            threshold,
            period: (threshold / 4).clamp(100_000, LONGEST_PERIOD),
            looked: 0,
            samples: Vec::new(),
            hasty_until: 0,
            strict_until: 0,
            marked: false,
            calm: 0,
            turns: 0,
            reported: Reported::default(),
        }
    }

    /// Nanoseconds until the next look.
    fn pause(&self) -> u64 {
        (self.period << (self.calm / CALM)).min(LONGEST_PERIOD) / self.haste()
    }

    /// Whether this look was a calm one.
    fn keep_calm(&mut self, calm: bool) {
        self.calm = if calm { (self.calm + 1).min(CALM * DOUBLINGS) } else { 0 };
    }

    fn haste(&self) -> u64 {
        if self.looked < self.hasty_until { HASTE } else { 1 }
    }

    /// Reports stalls that have ended, or have lasted for long; not those that were relieved before the threshold, and ended before
    /// it too. Keeps how long they are. True: one is left to report.
    fn report(&mut self, core: &Core, now: u64) -> bool {
        let mut left = false;
        for (worker, sample) in core.table.workers().zip(&mut self.samples) {
            let Some(found) = &mut sample.stall else { continue };
            let ended =
                worker.standing() != Standing::Stuck || worker.pulse.tick.load(Ordering::Relaxed) != sample.tick;
            let stall = found.stall(now, ended);
            // The monitor may have slept beside one that was told of, and not know when that ended.
            if !(ended && found.told) {
                core.stalls.lasted(found.task, stall.duration);
            }
            let long = now.saturating_sub(found.since) >= LONG_STALL;
            if (ended || long) && !std::mem::replace(&mut found.told, true) && nanos(stall.duration) >= self.threshold {
                self.reported.report(core, &stall);
            }
            if ended {
                sample.stall = None;
            } else {
                left |= !long;
            }
        }
        left
    }

    /// Looks at one worker that stands as Active. Some: it is stuck.
    fn look_at(&mut self, worker: &Worker, now: u64) -> Option<Held> {
        let haste = self.haste();
        let strict = now < self.strict_until;
        let sample = &mut self.samples[usize::from(worker.index)];
        let tick = worker.pulse.tick.load(Ordering::Relaxed);
        if tick != sample.tick || sample.since == 0 || worker.parker.sleeps() {
            *sample = Sample { tick, since: now, cpu: worker.thread.cpu_time(), stall: sample.stall };
            return None;
        }
        if self.threshold == NEVER {
            return None;
        }
        let held = now.saturating_sub(sample.since);
        let limit = self.threshold / if strict { HASTE } else { 1 };
        let computed = worker.thread.cpu_time().zip(sample.cpu).map(|(now, then)| now.saturating_sub(then));
        if computed.is_some_and(|computed| computed < held / 2) {
            let long = self.period.max(self.threshold / 4) / haste;
            // The look may come a little early.
            if held >= long - long / 8 {
                match worker.thread.is_asleep() {
                    Some(true) => return Some(Held::Asleep),
                    Some(false) => {}
                    None if held >= self.threshold.saturating_mul(UNSEEN) => return Some(Held::Asleep),
                    None => {}
                }
            }
        }
        let computed = computed.unwrap_or(held);
        (computed >= limit).then_some(Held::Computes { early: computed < self.threshold })
    }
}

impl Monitor {
    pub(crate) fn new() -> Monitor {
        Monitor {
            watch: Switch::new(),
            post: Post::default(),
            stop: AtomicBool::new(false),
            parker: Parker::new(),
            thread: sync::Mutex::default(),
            gone: Condvar::new(),
        }
    }

    pub(crate) fn start(&self, core: &'static Core) -> io::Result<()> {
        self.stop.store(false, Ordering::Relaxed);
        core.lease();
        let name = format!("{}-mon", core.config().name);
        // Held until the thread is noted, so that it does not end before that.
        let mut thread = self.thread();
        // Made here, so that no descriptor appears after the runtime was built.
        let alarm = if core.stage.is_on() { Alarm::None } else { Alarm::new() };
        match ours::spawn_thread(name, None, move || {
            core.monitor.run(core, alarm);
            let _discarding = Discarding::begin();
            core.monitor.thread().alive = false;
            core.monitor.gone.notify_all();
            core.release();
        }) {
            Ok(handle) => {
                *thread = Thread { alive: true, handle: Some(handle) };
                Ok(())
            }
            Err(error) => {
                core.release();
                Err(error)
            }
        }
    }

    /// Something runs from now on: sees to it that it is watched.
    #[inline]
    pub(crate) fn watch(&self) {
        if self.watch.on(clock::real_now) {
            self.wake();
        }
    }

    /// The calling worker lies down, and nothing is due before `deadline`, which may be NEVER: if nobody runs, the monitor need not look
    /// before.
    #[inline]
    pub(crate) fn put_off(&self, core: &Core, deadline: u64) {
        self.watch.put_off(deadline, clock::real_now, || !core.is_quiet());
    }

    #[cold]
    fn wake(&self) {
        let owed = self.parker.unpark();
        debug_assert_eq!(owed, Owed::Nothing, "the monitor never sleeps in the poller");
    }

    /// Ends the thread.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.wake();
        self.watch.ring();
    }

    /// Nobody will wait for the end of the thread.
    pub(crate) fn detach(&self) {
        drop(self.thread().handle.take());
    }

    /// Waits for the end of the thread, which was told to stop. False: it has not ended by `until`, because a waker that it
    /// calls does not return; it is left behind.
    pub(crate) fn join(&self, until: Instant) -> bool {
        let mut thread = self.thread();
        let handle = thread.handle.take();
        while thread.alive {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            thread = self.gone.wait_timeout(thread, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(thread);
        if let Some(handle) = handle {
            let _ = handle.join();
        }
        true
    }

    /// Whether there is a thread.
    pub(crate) fn is_alive(&self) -> bool {
        self.thread().alive
    }

    fn thread(&self) -> sync::MutexGuard<'_, Thread> {
        self.thread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // Never, once per thread: so that `gambol-benches instructions` can tell the thread from the others.
    #[inline(never)]
    fn run(&self, core: &'static Core, alarm: Alarm) {
        self.parker.adopt();
        crate::context::set_thread_of(core);
        if core.stage.is_on() {
            return core.stage.tend(core, &self.stop);
        }
        self.watch.hang(alarm.clone());
        let mut memory = Memory::new(core);
        let mut watcher = Watcher::default();
        watcher.stir(core);
        while !self.stop.load(Ordering::Acquire) {
            if !self.watch.is_on() {
                watcher.sleep(core, |timeout| alarm.wait(timeout, &self.parker));
                if self.watch.begin(clock::real_now()) {
                    // Where everybody stands as it begins.
                    watcher.stir(core);
                    self.sample(core, &mut memory);
                    memory.keep_calm(false);
                }
                continue;
            }
            watcher.stir(core);
            let until = Instant::now() + Duration::from_nanos(memory.pause());
            while !self.stop.load(Ordering::Acquire) {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                self.parker.park(Some(left));
            }
            let quiet = self.sample(core, &mut memory);
            if quiet {
                self.watch.off(|| !core.is_quiet());
                if !self.watch.is_on() {
                    watcher.look(core);
                }
            }
        }
        self.watch.hang(Alarm::None);
    }

    /// One look. True: everybody sleeps or is stuck, and there is nothing to watch.
    fn sample(&self, core: &'static Core, memory: &mut Memory) -> bool {
        if core.phase() != OPEN {
            return false;
        }
        let (now, real) = (core.clock.now(), clock::real_now());
        core.keep_coarse(now);
        core.pool.retry(core);
        // Workers may be added at any time. They are looked at the next time.
        let known = core.table.len();
        memory.samples.resize(known, Sample::default());
        if real.saturating_sub(std::mem::replace(&mut memory.looked, real)) >= STOPPED {
            memory.samples.iter_mut().for_each(|sample| sample.since = 0);
        }
        let unreported = memory.report(core, real);
        let turns =
            core.table.workers().fold(0u32, |sum, worker| sum.wrapping_add(worker.pulse.tick.load(Ordering::Relaxed)));
        let turned = turns.wrapping_sub(std::mem::replace(&mut memory.turns, turns));
        if core.is_quiet() {
            // What follows begins anew.
            memory.samples.iter_mut().for_each(|sample| sample.since = 0);
            (memory.hasty_until, memory.strict_until) = (0, 0);
            if std::mem::take(&mut memory.marked) {
                core.timer_armed(core.earliest());
                return false;
            }
            memory.keep_calm(true);
            return !unreported && turned < BREATH;
        }
        memory.marked = false;
        let mut waiting = !core.injector.is_empty();
        let (mut stuck, mut any_stuck, mut left, mut long) = (Vec::new(), false, false, false);
        for worker in core.table.workers().take(known) {
            let index = usize::from(worker.index);
            match worker.standing() {
                Standing::Resting => memory.samples[index].since = 0,
                Standing::Out | Standing::Stuck => {
                    left |= worker.has_any();
                    any_stuck |= worker.standing() == Standing::Stuck;
                    memory.samples[index].since = 0;
                }
                Standing::Active => {
                    let looked = worker.pulse.looked.load(Ordering::Relaxed);
                    long |= !worker.parker.sleeps() && now.saturating_sub(looked) > memory.period;
                    let before = memory.samples[index].since;
                    if let Some(held) = memory.look_at(worker, real) {
                        stuck.push((worker, held));
                    }
                    if memory.samples[index].since == before && worker.has_any() {
                        // It has sat in one poll since the last look, with others behind it.
                        worker.pulse.wants_help.store(true, Ordering::Relaxed);
                        waiting = true;
                    }
                }
            }
        }
        waiting |= left;
        let unattended = self.is_unattended(core, now, memory.period);
        let calm = !(waiting || unattended || long) && stuck.is_empty() && memory.haste() == 1;
        memory.keep_calm(calm);
        let parked = core.idle.counts().0;
        if waiting && parked > 0 {
            core.wake_one();
        } else if core.is_deserted() {
            core.attend_ground();
        }
        let wanted = parked == 0 && (waiting || unattended || core.table.active() == 0);
        let mut relieves = wanted;
        for (worker, held) in stuck {
            // What stands with it still others cannot take: wakers, say, that it had begun to wake.
            let counts = wanted || worker.has_any();
            let since = memory.samples[usize::from(worker.index)].since;
            if counts || (held == Held::Asleep && real.saturating_sub(since) >= SET_ASIDE) {
                let marked = self.mark(worker, held, counts, memory);
                any_stuck |= marked;
                relieves |= marked && counts;
            }
        }
        if relieves || core.table.active() == 0 {
            self.hire(core, now);
        }
        if left && parked == 0 {
            self.give_away(core);
        }
        if any_stuck {
            core.timer_armed(core.earliest());
        }
        if unattended {
            self.call_to_ground(core);
        }
        false
    }

    /// Steps out on behalf of a worker that is stuck. `counts`: it holds somebody up, and is not just set aside.
    fn mark(&self, worker: &'static Worker, held: Held, counts: bool, memory: &mut Memory) -> bool {
        let core = worker.core;
        let sample = &mut memory.samples[usize::from(worker.index)];
        let found =
            Found { task: worker.pulse.running(), since: sample.since, asleep: held == Held::Asleep, told: false };
        if core.idle.lists(worker.index) || !core.table.mark(worker, sample.tick) {
            return false;
        }
        let (id, site) = found.task.map_or((0, None), |(id, site)| (id.to_raw(), Some(site)));
        core.trace_event(|| Note::StallBegin { worker: worker.index, id, site });
        // It may come back before the next look, and be held up by something else in the same turn, or in its next thread's first.
        sample.since = 0;
        memory.marked = true;
        if counts {
            core.counters.stalls.bump_shared();
            core.stalls.count(found.task);
            sample.stall = Some(found);
            let until = memory.looked + HASTE_LASTS;
            match held {
                Held::Asleep => memory.hasty_until = until,
                Held::Computes { early: false } => (memory.hasty_until, memory.strict_until) = (until, until),
                Held::Computes { early: true } => {}
            }
        }
        // If it was about to sleep it comes and takes the mark off. If not, its next sleep ends at once.
        core.unpark(worker.index);
        if let Some(item) = worker.slot.take() {
            core.injector.push(Job::One(item));
        }
        // Also if nothing stands there yet: who has lain down before it could see the mark would not look at what the worker leaves.
        core.wake_after_publish();
        true
    }

    /// All others are busy, and do not come to steal what those who are stuck or out have left: it comes to them.
    #[cold]
    fn give_away(&self, core: &'static Core) {
        let mut wakers = false;
        for worker in core.table.workers().filter(|worker| worker.is_left()) {
            worker.give_away();
            wakers |= worker.drains.load(Ordering::Relaxed);
        }
        if wakers {
            core.table.workers().for_each(|worker| worker.attention.raise(LOOK));
        }
    }

    /// Fills the places of those who are stuck or out. If that cannot be, does what is left to do.
    #[cold]
    fn hire(&self, core: &'static Core, now: u64) {
        while core.table.is_short() {
            if core.table.hire(core).is_ok() {
                continue;
            }
            // At the cap, or no thread to be had: the next look tries again.
            if core.table.active() == 0 {
                core.table.call_waiter(core);
                // Nobody runs tasks, but threads in `block_on` may wait for a timer or a descriptor.
                let mut ready = Vec::new();
                core.expire_all(now, &mut ready);
                if let Some(mut wait) = core.driver.try_wait() {
                    wait.wait(Some(Duration::ZERO), &mut ready);
                    drop(wait);
                    core.driver.keep_looked(now);
                }
                let _inside = crate::context::enter_foreign(core);
                block::wake_where_nobody_runs(core, &mut ready);
            }
            return;
        }
        // Who has just been hired looks at poller and timers before anything else.
    }

    /// Whether a timer is overdue, or nobody has looked at the poller for long.
    fn is_unattended(&self, core: &Core, now: u64, period: u64) -> bool {
        let earliest = core.earliest();
        let overdue = earliest != NEVER && earliest.saturating_add(period / 2) < now;
        let unseen = core.seat.deadline() == NOBODY && now.saturating_sub(core.driver.looked()) > period;
        overdue || (core.driver.has_poller() && unseen)
    }

    /// Sees to it that somebody looks at poller and timers: a sleeper, or the next who comes to a poll boundary.
    fn call_to_ground(&self, core: &'static Core) {
        core.table.workers().for_each(|worker| worker.attention.raise(LOOK));
        if let Some(sleeper) = core.idle.any() {
            // It takes the seat when it lies down again, and looks at all timers before.
            core.unpark(sleeper);
        }
    }
}

impl Core {
    /// Nothing runs, and nothing waits to be run.
    pub(crate) fn is_quiet(&self) -> bool {
        let (parked, searching) = self.idle.counts();
        parked == self.table.active()
            && parked > 0
            && self.seat.deadline() != NOBODY
            && searching == 0
            && !self.has_waiting()
            && !self.pool.wants_thread()
    }
}

#[cfg(all(test, gambol_loom))]
mod models {
    use super::{GRACE, NEVER, Switch, WATCHES};
    use crate::{
        alarm::Alarm,
        idle::{
            Owed, Parker,
            models::{Part, explore},
        },
        sync::{AtomicBool, Ordering},
    };
    use std::sync::Arc;

    /// Hunted: the worker has begun to run and sees the watch on, while the monitor has looked before and turns it off. Then
    /// the monitor sleeps though something runs.
    #[test]
    fn a_busy_worker_is_watched() {
        explore(4, || {
            let shared = Arc::new((Switch::new(), Parker::new(), AtomicBool::new(false)));
            assert!(shared.0.on(|| 0));
            assert!(shared.0.begin(0));
            let worker = {
                let shared = shared.clone();
                move || {
                    shared.2.store(true, Ordering::Relaxed);
                    if shared.0.on(|| 0) {
                        assert_eq!(shared.1.unpark(), Owed::Nothing);
                    }
                }
            };
            // `Monitor::run` without an alarm, until it watches the worker.
            let monitor = move || {
                let (watch, parker, runs) = &*shared;
                let runs = || runs.load(Ordering::Relaxed);
                parker.adopt();
                loop {
                    if !watch.is_on() {
                        parker.park(None);
                        watch.begin(0);
                    } else if runs() {
                        break;
                    } else {
                        watch.off(runs);
                    }
                }
            };
            (vec![Box::new(worker), Box::new(monitor)], Box::new(|| {}))
        });
    }

    const HOUR: u64 = 3_600_000_000_000;

    /// At the end: somebody runs, and either the monitor watches or the alarm rings soon, at the moment that `due` says.
    fn is_watched(watch: &Switch, soon: u64) {
        let due = watch.due.load(Ordering::Relaxed);
        assert!(due <= soon, "nobody looks before {due}");
        assert!(due == WATCHES || matches!(*watch.lock(), Alarm::Noted(moment) if moment == due));
    }

    /// Hunted: the worker has begun to run and sees an alarm that rings soon, while another, which has looked before, puts that off by an
    /// hour; or the alarm is not what it is said to be. `far`: the alarm was put off before, so that the worker sets it anew.
    fn an_alarm_is_not_put_off(far: bool) {
        explore(4, move || {
            let shared = Arc::new((Switch::new(), AtomicBool::new(false)));
            shared.0.hang(Alarm::Noted(NEVER));
            // The sleeper has woken just before.
            assert!(!shared.0.on(|| 0));
            if far {
                shared.0.put_off(HOUR / 60, || 0, || false);
            }
            let worker = {
                let shared = shared.clone();
                move || {
                    shared.1.store(true, Ordering::Relaxed);
                    assert!(!shared.0.on(|| 0));
                }
            };
            let sleeper = {
                let shared = shared.clone();
                move || shared.0.put_off(HOUR, || 0, || shared.1.load(Ordering::Relaxed))
            };
            (vec![Box::new(worker), Box::new(sleeper)], Box::new(move || is_watched(&shared.0, 2 * GRACE)))
        });
    }

    #[test]
    fn an_alarm_is_not_put_off_while_somebody_runs() {
        an_alarm_is_not_put_off(false);
    }

    #[test]
    fn an_alarm_that_was_put_off_is_not_put_off_again_while_somebody_runs() {
        an_alarm_is_not_put_off(true);
    }

    /// Hunted: the alarm has rung, and the monitor begins to watch, while a sleeper puts the alarm off and takes that back, since a
    /// worker begins to run. Then `due` has passed, the alarm does not ring again, and all believe that the monitor is about to look.
    #[test]
    fn an_alarm_that_has_rung_is_heard() {
        explore(4, || {
            let shared = Arc::new((Switch::new(), AtomicBool::new(false)));
            shared.0.hang(Alarm::Noted(NEVER));
            assert!(!shared.0.on(|| 0));
            // `Alarm::wait` has returned.
            *shared.0.lock() = Alarm::Noted(NEVER);
            let worker = {
                let shared = shared.clone();
                move || {
                    shared.1.store(true, Ordering::Relaxed);
                    assert!(!shared.0.on(|| GRACE));
                }
            };
            let sleeper = {
                let shared = shared.clone();
                move || shared.0.put_off(HOUR, || 0, || shared.1.load(Ordering::Relaxed))
            };
            let monitor = {
                let shared = shared.clone();
                move || _ = shared.0.begin(GRACE)
            };
            let parts: Vec<Part> = vec![Box::new(worker), Box::new(sleeper), Box::new(monitor)];
            (parts, Box::new(move || is_watched(&shared.0, 3 * GRACE)))
        });
    }
}
