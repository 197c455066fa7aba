//! Deadlocks: nothing in this process can go on, ever, and somebody waits.
//!
//! It is *certain* when, at one moment,
//! 1. every thread of the process is ours, or sleeps in a `block_on` of ours, and all of them sleep;
//! 2. nothing stands in a queue, and no sleeper was called;
//! 3. nothing from outside can come in: no timer is armed, nobody waits for a descriptor (signals and children come through these),
//!    there is no blocking job, nor a thread that ends by itself after a while, nor one that calls or drops hooks as it ends.
//!
//! Threads of ours that only look (`sigquit.rs`, `schedtrace.rs`, `top.rs`) count as asleep, since they wake nobody.
//!
//! Whoever is to wake somebody must run, and nobody runs or is going to. A thread that is not ours may hold a `Sender`, so with
//! one there is at most a suspicion, which is told to those who ask.
//!
//! Not seen is a signal handler that calls a waker by itself; wakers are not for signal handlers. Where the number of threads cannot be
//! had (`/proc`), nothing is certain.
//!
//! # How one moment is looked at while everything moves
//!
//! Nobody is stopped. The monitor of the runtime that became quiet last looks twice, a second apart. Whoever sleeps has a number that
//! changes with each sleep: a worker its tick, a `block_on` the epoch below, a monitor its looks.
//!
//! ```text
//! the look         1 all sleep, 2 and 3 hold, as many threads as are known of; every number is written down
//! a second later   the same again. The numbers are the same: it is certain
//! ```
//!
//! *The argument.* A thread that was asleep at both looks with the same number has slept from the one to the other. So all have slept
//! together between the last reading of the first look and the first reading of the second: that is the one moment. What they did
//! before they fell asleep was visible a second later (no reading needs an ordering for that), so the second look has seen every
//! timer, queue and call that there was at that moment. Who was just woken was woken by somebody who was awake, or by 3.
//!
//! *The races*, all of which end in silence: a thread that just wakes has left the idle list, or changes its number; one that was
//! called and has not run yet (a loaded machine may let it wait for more than a second) is marked as called before its
//! thread is unparked; one that just begins or ends is counted by the kernel and not by us (`ours.rs`), so it is looked once more; a
//! runtime that begins or ends has somebody who does it.
//!
//! # Sleeping in a `block_on`
//!
//! ```text
//! to sleep  1 take the mark off   2 make the epoch odd   3 look whether there is something to do   4 park   5 make it even
//! to wake   1 make something to do   2 set the mark   3 unpark
//! ```
//!
//! *The race*: the sleeper takes off a mark that was just set. It has then seen what was made before (Acquire and Release on the
//! mark), and step 3 finds it. A mark that comes later stays until the thread has run.
//!
//! # When it is looked
//!
//! After each quiet look of a monitor, as it goes to sleep; the cheap questions come first, and an idle server answers one of them
//! (timer, descriptor) with no. A `block_on` that goes to sleep while no monitor watches asks for a look, unless the last look has
//! found threads that never were in a `block_on`. A blocking or spare thread that ends asks for one as well. No more is done: a
//! program that becomes deadlocked by the end of a foreign thread, which tells us nothing, is not reported.
//!
//! Left: to count who sleeps in one word for the process. Every park would change it, for all threads on one line.

use crate::{
    clock::{NEVER, real_now},
    context,
    core::{self, CLOSED, Core, OPEN, UNUSED, drop_payload},
    dump::TaskInfo,
    fork, ours,
    runtime::Handle,
    task::contain,
};
use std::{
    cell::OnceCell,
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread::{self, Thread},
    time::{Duration, Instant},
};

/// Between the two looks.
const CALM: Duration = Duration::from_secs(1);

/// Called with a deadlock that is certain.
pub(crate) type DeadlockHook = Arc<dyn Fn(&Deadlock) + Send + Sync>;

/// What was written down at a look.
#[derive(PartialEq, Eq)]
struct Numbers {
    /// What changes when somebody does something.
    work: Vec<u64>,
    /// What changes when a thread of ours only wakes and falls asleep again.
    rest: Vec<u64>,
}

impl Numbers {
    const fn new() -> Numbers {
        Numbers { work: Vec::new(), rest: Vec::new() }
    }
}

/// What was told last. Its lock is held for a look: of two monitors that become quiet together, the second sees the first settled.
static TOLD: Mutex<Vec<u64>> = Mutex::new(Vec::new());
/// Every thread that has slept in a `block_on` and has not ended.
static SLEEPERS: Mutex<Vec<Arc<Sleeper>>> = Mutex::new(Vec::new());
/// The last look found threads that have never slept in a `block_on`: one more that does changes nothing.
static HOPELESS: AtomicBool = AtomicBool::new(false);
/// When threads were last found that nothing is known of, by the real clock.
static FOREIGN: AtomicU64 = AtomicU64::new(0);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

// ---- those who sleep in a `block_on`

/// A thread that sleeps in a `block_on` now and then; the protocol is in the head of this file.
pub(crate) struct Sleeper {
    /// Odd: it sleeps, or is about to. Written by its thread.
    epoch: AtomicU64,
    /// It was called since it last began to sleep. Set by who calls it, taken off by its thread.
    called: AtomicBool,
    /// Whether it is one of the runtime's own: a worker whose task is in a `block_on`.
    ours: bool,
    thread: Thread,
}

/// The calling thread's own; gone from the list when the thread ends.
struct Own(OnceCell<Arc<Sleeper>>);

thread_local! {
    static OWN: Own = const { Own(OnceCell::new()) };
}

impl Own {
    fn get(&self) -> &Arc<Sleeper> {
        self.0.get_or_init(|| {
            let sleeper = Arc::new(Sleeper {
                epoch: AtomicU64::new(0),
                called: AtomicBool::new(false),
                ours: ours::is_ours(),
                thread: thread::current(),
            });
            lock(&SLEEPERS).push(sleeper.clone());
            HOPELESS.store(false, Ordering::Relaxed);
            sleeper
        })
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        if let Some(own) = self.0.get()
            && !fork::is_child()
        {
            lock(&SLEEPERS).retain(|sleeper| !Arc::ptr_eq(sleeper, own));
        }
    }
}

impl Sleeper {
    /// The calling thread's. None: the thread is ending; what it does from here on keeps every report back.
    pub(crate) fn own() -> Option<Arc<Sleeper>> {
        OWN.try_with(|own| own.get().clone()).ok()
    }

    /// Something was made that it has to do. To be called between that and the unpark.
    #[inline]
    pub(crate) fn call(&self) {
        // Release, with the Acquire in `sleep`: it finds what there is to do.
        self.called.store(true, Ordering::Release);
    }

    fn is_asleep(&self) -> bool {
        self.epoch.load(Ordering::Acquire) % 2 == 1
    }

    fn is_called(&self) -> bool {
        self.called.load(Ordering::Relaxed)
    }
}

/// The calling thread, which is in a `block_on`, sleeps by `park`, unless it is `ready`. Whatever calls it marks its [`Sleeper`]. It may
/// return at any time.
///
/// Beside the futex calls of the park: one read-modify-write and two stores on a line of the thread's own.
pub(crate) fn sleep(ready: impl Fn() -> bool, park: impl Fn()) {
    let slept = OWN.try_with(|own| {
        let own = own.get();
        // Acquire, with the Release in `call`.
        own.called.swap(false, Ordering::AcqRel);
        let epoch = own.epoch.load(Ordering::Relaxed);
        own.epoch.store(epoch + 1, Ordering::Release);
        if !ready() {
            if !HOPELESS.load(Ordering::Relaxed)
                && let Some(core) = context::with(context::Context::core)
            {
                core.monitor.watch();
            }
            park();
        }
        own.epoch.store(epoch + 2, Ordering::Release);
    });
    if slept.is_err() {
        park();
    }
}

/// A thread of `core` that was idle ends. It may have been the last thing that could wake somebody.
pub(crate) fn thread_ends(core: &'static Core) {
    if !HOPELESS.load(Ordering::Relaxed) && core.phase() == OPEN {
        core.monitor.watch();
    }
}

// ---- the monitor's side

/// What others see of a monitor.
#[derive(Default)]
pub(crate) struct Post {
    /// It sleeps, or looks for a deadlock; and wakes nobody. Written by the monitor under the lock of `TOLD`, or before it does
    /// anything else.
    settled: AtomicBool,
    /// How often it was not. Written by the monitor.
    looks: AtomicU64,
}

/// What a monitor remembers between two looks for a deadlock.
#[derive(Default)]
pub(crate) struct Watcher {
    /// What the last look has written down.
    candidate: Option<Numbers>,
    /// When to look again.
    again: Option<Instant>,
}

/// Why nothing is certain.
enum Obstacle {
    /// Something goes on, or may come.
    Busy,
    /// A thread of ours is just beginning, or hooks run on one that ends, and nobody asks for a look when that is over. Or there were
    /// foreign threads a moment ago.
    Passing,
    /// There are threads that nothing is known of.
    Foreign,
}

impl Watcher {
    /// The monitor does something else.
    pub(crate) fn stir(&mut self, core: &Core) {
        let post = &core.monitor.post;
        post.looks.store(post.looks.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        post.settled.store(false, Ordering::Relaxed);
        *self = Watcher::default();
    }

    /// The monitor sleeps until it is woken; where the last look says so, it looks again before that.
    /// `sleep` returns when it is woken, or after the time that it is given.
    pub(crate) fn sleep(&mut self, core: &'static Core, sleep: impl FnOnce(Option<Duration>)) {
        let Some(until) = self.again else {
            sleep(None);
            return;
        };
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            self.look(core);
        } else {
            sleep(Some(left));
        }
    }

    /// Everybody in the monitor's own runtime sleeps.
    #[cold]
    pub(crate) fn look(&mut self, core: &'static Core) {
        let before = self.candidate.take();
        self.again = None;
        let mut told = lock(&TOLD);
        core.monitor.post.settled.store(true, Ordering::Relaxed);
        match certain() {
            Err(Obstacle::Busy) => {}
            Err(Obstacle::Passing) => self.again = Some(Instant::now() + CALM),
            Err(Obstacle::Foreign) => {
                // One of our own may have ended just now, and the kernel has not noted it.
                if real_now().saturating_sub(ours::last_end()) < CALM.as_nanos() as u64 {
                    self.again = Some(Instant::now() + CALM);
                }
            }
            Ok(numbers) if numbers.work == *told => {}
            Ok(numbers) if before.as_ref() == Some(&numbers) => {
                *told = numbers.work;
                // The hook may wake whom it likes, so this thread is not asleep for other monitors.
                self.stir(core);
                drop(told);
                report();
                // Whatever others have seen meanwhile they have not taken for a deadlock.
                self.again = Some(Instant::now());
            }
            Ok(numbers) => {
                self.candidate = Some(numbers);
                self.again = Some(Instant::now() + CALM);
            }
        }
    }
}

/// A thread of ours that counts as asleep, or does not count as running any more, calls or drops a runtime's hooks. They may block, and
/// then wake somebody.
static DISCARDING: AtomicUsize = AtomicUsize::new(0);

/// Until it is dropped nothing is certain.
pub(crate) struct Discarding(());

impl Discarding {
    /// To be called before the thread, or the runtime, counts as gone.
    pub(crate) fn begin() -> Discarding {
        DISCARDING.fetch_add(1, Ordering::Relaxed);
        Discarding(())
    }
}

impl Drop for Discarding {
    fn drop(&mut self) {
        DISCARDING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The first half of the certainty: see the head of this file.
fn certain() -> Result<Numbers, Obstacle> {
    let mut numbers = Numbers::new();
    if DISCARDING.load(Ordering::Relaxed) > 0 || ours::are_coming() {
        return Err(Obstacle::Passing);
    }
    if !core::all().all(|core| core.is_settled(&mut numbers)) {
        return Err(Obstacle::Busy);
    }
    let inside = inside(&mut numbers).ok_or(Obstacle::Busy)?;
    // To count them takes a dozen system calls, and who has other threads has them for long.
    let now = real_now();
    if now.saturating_sub(FOREIGN.load(Ordering::Relaxed)) < CALM.as_nanos() as u64 {
        return Err(Obstacle::Passing);
    }
    let (ours, threads) = (ours::count(), threads());
    numbers.work.extend([ours as u64, threads as u64]);
    HOPELESS.store(threads > ours + inside.known, Ordering::Relaxed);
    if threads == ours + inside.asleep {
        Ok(numbers)
    } else {
        FOREIGN.store(now, Ordering::Relaxed);
        Err(Obstacle::Foreign)
    }
}

/// Threads that are not ours.
struct Inside {
    /// Of which it is known when they sleep.
    known: usize,
    /// Of these, those that do.
    asleep: usize,
}

/// None: something that we know of goes on, or may come.
fn inside(numbers: &mut Numbers) -> Option<Inside> {
    let mut out = 0;
    for core in core::all() {
        out += core.is_still(numbers)?;
    }
    let mut inside = Inside { known: 0, asleep: 0 };
    for sleeper in &*lock(&SLEEPERS) {
        let asleep = sleeper.is_asleep();
        if asleep && sleeper.is_called() {
            return None;
        }
        numbers.work.extend([Arc::as_ptr(sleeper).addr() as u64, sleeper.epoch.load(Ordering::Relaxed)]);
        if sleeper.ours {
            out = out.checked_sub(usize::from(asleep))?;
        } else {
            inside.known += 1;
            inside.asleep += usize::from(asleep);
        }
    }
    // Whoever is out sleeps in a `block_on`.
    if out != 0 {
        return None;
    }
    // Last, since it may take longest.
    (!core::all().any(|core| core.driver.is_awaited())).then_some(inside)
}

impl Core {
    /// Whether its monitor sleeps.
    fn is_settled(&self, numbers: &mut Numbers) -> bool {
        let post = &self.monitor.post;
        numbers.rest.push(post.looks.load(Ordering::Relaxed));
        self.phase() != OPEN || post.settled.load(Ordering::Relaxed)
    }

    /// How many of its workers are in a task that blocks, if nothing else in it can go on but these.
    fn is_still(&self, numbers: &mut Numbers) -> Option<usize> {
        match self.phase() {
            OPEN => {}
            UNUSED => return Some(0),
            // It may have left threads behind.
            CLOSED => {
                return (self.table.alive() == 0 && self.pool.is_empty() && !self.monitor.is_alive()).then_some(0);
            }
            _ => return None,
        }
        let out = self.table.only_out()?;
        let still = self.is_quiet() && self.earliest() == NEVER && self.pool.is_empty() && self.has_drained();
        if !still {
            return None;
        }
        let sums = self.sums();
        numbers.work.extend([u64::from(self.slot), sums.spawned, sums.finished, sums.polls]);
        numbers.rest.push(sums.parks);
        let ticks = self.table.workers().map(|worker| u64::from(worker.pulse.tick.load(Ordering::Relaxed)));
        numbers.rest.extend(ticks);
        Some(out)
    }

    fn has_drained(&self) -> bool {
        self.table.workers().all(|worker| worker.lock_draining().is_empty())
    }
}

/// How many threads the process has; as many as can be, where that cannot be had.
fn threads() -> usize {
    // The number is one counter of the kernel's. To count the entries of `/proc/self/task` would miss some while others end.
    #[cfg(target_os = "linux")]
    if let Ok(status) = std::fs::read("/proc/self/status")
        && let Some(line) = status.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"Threads:"))
        && let Some(count) = str::from_utf8(line).ok().and_then(|count| count.trim().parse().ok())
    {
        return count;
    }
    usize::MAX
}

/// Tells those who want to know, or else everybody.
fn report() {
    let deadlock = Deadlock::collect(true);
    let hooks: Vec<DeadlockHook> =
        core::all().filter(|core| core.phase() == OPEN).filter_map(|core| core.config().on_deadlock.clone()).collect();
    let print = || eprintln!("gambol: {deadlock}");
    let mut results = Vec::new();
    if hooks.is_empty() {
        results.push(contain(print));
    }
    results.extend(hooks.iter().map(|hook| contain(|| hook(&deadlock))));
    results.into_iter().filter_map(Result::err).for_each(drop_payload);
}

/// Whether everything that is known of sleeps for good, at this moment; threads that are not gambol's may still wake it. For dumps, and
/// for those who ask.
pub(crate) fn suspected() -> Option<Deadlock> {
    inside(&mut Numbers::new())?;
    let deadlock = Deadlock::collect(false);
    (!deadlock.tasks.is_empty() || !deadlock.threads.is_empty()).then_some(deadlock)
}

/// The parked tasks of all runtimes of the process, in the order of their ids. See [`Handle::parked_tasks`].
pub fn parked_tasks() -> Vec<TaskInfo> {
    let open = core::all().filter(|core| core.phase() == OPEN);
    let mut tasks: Vec<_> = open.flat_map(|core| Handle::of(core).parked_tasks()).collect();
    tasks.sort_by_key(|task| task.id);
    tasks
}

// ---- what is told

/// All tasks are asleep, and nothing in the process wakes them.
///
/// It is told to the hook of [`Builder::on_deadlock`](crate::Builder::on_deadlock), where it is certain, and by
/// [`Handle::suspected_deadlock`](crate::Handle::suspected_deadlock), where it is not. Its Display is a sentence and a line for each
/// place where tasks that wait for the same were spawned.
#[derive(Clone, Debug)]
pub struct Deadlock {
    certain: bool,
    tasks: Vec<TaskInfo>,
    /// Names of the threads that wait in a `block_on`.
    threads: Vec<Option<String>>,
}

impl Deadlock {
    fn collect(certain: bool) -> Deadlock {
        let tasks = parked_tasks();
        let sleepers = lock(&SLEEPERS);
        let threads = sleepers.iter().filter(|sleeper| !sleeper.ours && sleeper.is_asleep());
        let threads = threads.map(|sleeper| sleeper.thread.name().map(str::to_owned)).collect();
        Deadlock { certain, tasks, threads }
    }

    /// Whether nothing can wake them. False: a thread that is not gambol's might.
    pub fn is_certain(&self) -> bool {
        self.certain
    }

    /// The tasks, of all runtimes of the process, in the order of their ids.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &TaskInfo> {
        self.tasks.iter()
    }

    /// How many threads wait in a [`block_on`](crate::block_on), those of the runtimes not counted.
    pub fn threads(&self) -> usize {
        self.threads.len()
    }
}

impl fmt::Display for Deadlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.certain {
            "all tasks are asleep: deadlock. No timer, descriptor, blocking job or other thread is left to wake them"
        } else {
            "all tasks are asleep. No timer, descriptor or blocking job is left to wake them; another thread may"
        })?;
        for thread in &self.threads {
            write!(f, "\n  thread {:?} waits in block_on", thread.as_deref().unwrap_or("unnamed"))?;
        }
        let mut groups = BTreeMap::<_, Vec<&TaskInfo>>::new();
        for task in &self.tasks {
            let place = (task.location.file(), task.location.line(), task.location.column());
            groups.entry((place, task.wait.as_str())).or_default().push(task);
        }
        let mut groups: Vec<_> = groups.into_values().collect();
        groups.sort_by_key(|tasks| tasks[0].id);
        for tasks in groups {
            let (first, more) = (tasks[0], tasks.len() - 1);
            write!(f, "\n  task {}", first.id)?;
            if let Some(name) = &first.name {
                write!(f, " {name:?}")?;
            }
            match more {
                0 => {}
                _ => write!(f, " and {more} more")?,
            }
            let age = tasks.iter().map(|task| task.since).max().unwrap_or_default();
            let verb = if more == 0 { "waits" } else { "wait" };
            write!(f, ": {verb} for {}, {:.1} s, spawned at {}", first.wait, age.as_secs_f64(), first.location)?;
        }
        Ok(())
    }
}
