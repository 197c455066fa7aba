//! Runtimes as their users hold them: handles, the default one, and the end. How they are built is in `builder.rs`.

use crate::{
    block_on as blocking,
    builder::Builder,
    context,
    core::Core,
    deadlock::{self, Deadlock},
    dump::{TaskDump, TaskInfo, TaskState},
    fork, local,
    metrics::Metrics,
    shard::Shard,
    stall::StallSite,
    task::JoinHandle,
    trace::{self, Recorder},
    worker::{self, table::MAX_WORKERS},
};
use gambol_timer::Key;
use std::{
    env, fmt,
    future::Future,
    io,
    panic::Location,
    path::Path,
    ptr,
    sync::{Once, OnceLock},
    task::Waker,
    time::{Duration, Instant},
};

/// How long the drop of a runtime waits for a poll that does not end.
const DROP_WAITS: Duration = Duration::from_secs(5);
/// How long the end of main waits for the workers to reach a poll boundary.
const EXIT_WAITS: Duration = Duration::from_millis(10);

/// A runtime: its workers, its poller, its timers and its blocking pool.
///
/// Dropping it cancels its tasks, which drops their futures, and waits until its workers have ended, but not for ever: after
/// 5 s a poll that does not end is left behind with its thread, and that is said on stderr. Blocking jobs that have begun are
/// not waited for. Dropped inside one of its own tasks, it ends in the background.
pub struct Runtime {
    pub(crate) handle: Handle,
}

impl Runtime {
    /// A runtime with default settings.
    ///
    /// # Errors
    ///
    /// As for [`Builder::build`].
    pub fn new() -> io::Result<Runtime> {
        Builder::new().build()
    }

    /// Settings for a runtime.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Runs a future on this thread, with this runtime for what it spawns. Works on any thread, inside a task too.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        blocking::block_on(self.handle.core, future)
    }

    /// Starts a task.
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.handle.spawn(future)
    }

    /// Runs a closure that may block, in the blocking pool.
    #[track_caller]
    pub fn spawn_blocking<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        self.handle.spawn_blocking(job)
    }

    /// A handle, which may be cloned and outlive the runtime.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// What it has done so far.
    pub fn metrics(&self) -> Metrics {
        self.handle.metrics()
    }

    /// What every task does now; see [`Handle::dump`].
    pub fn dump(&self) -> TaskDump {
        self.handle.dump()
    }

    /// Cancels all tasks and waits at most `deadline` for the runtime's threads and for the blocking jobs that have begun.
    ///
    /// # Errors
    ///
    /// [`ShutdownTimeout`] when some have not ended by then; they are left behind.
    pub fn shutdown(self, deadline: Duration) -> Result<(), ShutdownTimeout> {
        let until = Instant::now().checked_add(deadline);
        let until = until.unwrap_or_else(|| Instant::now() + Duration::from_secs(1 << 32));
        self.close(until, true)
    }

    fn close(&self, until: Instant, pool: bool) -> Result<(), ShutdownTimeout> {
        let core = self.handle.core;
        if fork::is_child() || !core.begin_close() {
            // In the child of a fork there are no threads to stop, and locks may be held for ever.
            return Ok(());
        }
        core.table.close(true);
        core.stop_threads();
        core.schedtrace.stop();
        if context::is_thread_of(core) {
            // One of the threads that are to end is this one. The last worker to end cancels what is left then.
            // Users' drops run here, and may block.
            let _out = worker::step_out();
            core.drain();
            core.monitor.detach();
            if core.table.detach() {
                core.finish_trace();
            }
            return Ok(());
        }
        let _out = worker::step_out();
        let now = Instant::now();
        if !core.table.join(until.min(now + EXIT_WAITS)) {
            // A worker may be waiting for a task, or a timer, in a `block_on`.
            core.drain();
        }
        let joined = core.table.join(until);
        core.drain();
        let monitor_ended = core.monitor.join(until);
        let jobs_ended = !pool || core.pool.join(until);
        core.schedtrace.join(until);
        core.finish_trace();
        if joined && monitor_ended && jobs_ended {
            return Ok(());
        }
        // Those that have ended since count as one, so that the right ones are named.
        let workers = if joined { 0 } else { core.table.alive().max(1) };
        Err(ShutdownTimeout { workers, jobs: !jobs_ended })
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if let Err(timeout) = self.close(Instant::now() + DROP_WAITS, false) {
            eprintln!("gambol: {timeout}");
        }
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.handle.core.fmt_as("Runtime", f)
    }
}

/// Not everything had ended when the deadline of a shutdown came.
#[derive(Debug)]
pub struct ShutdownTimeout {
    workers: usize,
    /// Whether blocking jobs were waited for and have not ended.
    jobs: bool,
}

impl fmt::Display for ShutdownTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.workers {
            0 if self.jobs => f.write_str("the runtime was shut down, but blocking jobs that had begun still run"),
            // The only thread that can still be there is the monitor.
            0 => f.write_str("the runtime was shut down, but a waker or a hook that it has called does not return"),
            n => write!(f, "the runtime was shut down, but {n} of its workers are in a poll that does not end"),
        }
    }
}

impl std::error::Error for ShutdownTimeout {}

impl From<ShutdownTimeout> for io::Error {
    fn from(timeout: ShutdownTimeout) -> io::Error {
        io::Error::new(io::ErrorKind::TimedOut, timeout)
    }
}

/// Starts tasks in a runtime from anywhere. What is spawned after its runtime's end is cancelled at once.
pub struct Handle {
    pub(crate) core: &'static Core,
}

impl Clone for Handle {
    fn clone(&self) -> Handle {
        self.core.lease();
        Handle { core: self.core }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.core.release();
    }
}

impl Handle {
    /// The runtime that `spawn` would use here: the task's, the `block_on`'s, or else the default one, which is started if
    /// needed.
    ///
    /// # Panics
    ///
    /// When the default runtime cannot be started.
    pub fn current() -> Handle {
        let core = current();
        core.lease();
        Handle { core }
    }

    /// As [`current`](Self::current), but starts nothing: none outside of tasks and `block_on`, unless the default runtime
    /// runs already.
    pub fn try_current() -> Option<Handle> {
        let core =
            context::with(context::Context::core).or_else(|| DEFAULT.get().map(|runtime| runtime.handle.core))?;
        core.lease();
        Some(Handle { core })
    }

    /// For a runtime that is there.
    pub(crate) fn of(core: &'static Core) -> Handle {
        core.lease();
        Handle { core }
    }

    /// Starts a task.
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.core.spawn(future, None, Location::caller())
    }

    /// Runs a closure that may block, in the blocking pool.
    #[track_caller]
    pub fn spawn_blocking<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        self.core.spawn_blocking(job, None, Location::caller())
    }

    /// What the runtime has done so far.
    pub fn metrics(&self) -> Metrics {
        self.core.metrics()
    }

    /// The stalls so far, by the places where the tasks were spawned, the place that stalled last first: what
    /// [`Metrics::stalls`] counts. At most 64 places are kept, those that stalled last. Empty in virtual time and with a seed.
    pub fn stalls(&self) -> Vec<StallSite> {
        self.core.stalls.list()
    }

    /// Writes what the scheduler has done so far, as [`Builder::trace`] does at the end. Stops nobody: what happens meanwhile may be in it
    /// or not. For the length of the call it takes as much memory as the events do that are kept.
    ///
    /// `out` is written to in small pieces; give it a `BufWriter`.
    ///
    /// # Errors
    ///
    /// `Unsupported` if the runtime does not record; what `out` gives.
    pub fn write_trace(&self, out: &mut dyn io::Write) -> io::Result<()> {
        match self.core.recorder() {
            Some(recorder) => recorder.write(out),
            None => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "this runtime records nothing; build it with Builder::trace or Builder::trace_events, or set GAMBOL_TRACE",
            )),
        }
    }

    /// What every task of the runtime does now. Works on any thread, in a task too, and also when all workers are stuck.
    ///
    /// It stops nobody: what it looks at it holds for some microseconds at a time, whatever the number of tasks. So it is no
    /// picture of one moment; tasks that come or go meanwhile may be missing. It is empty when the runtime was shut down.
    /// `gambol::guide::seeing` shows one, and says what its columns mean.
    pub fn dump(&self) -> TaskDump {
        self.core.dump()
    }

    /// The parked tasks of a [`dump`](Self::dump).
    #[doc(hidden)]
    pub fn parked_tasks(&self) -> Vec<TaskInfo> {
        self.dump().into_iter().filter(|task| task.state == TaskState::Parked).collect()
    }
}

impl Handle {
    /// Whether all tasks of all runtimes of the process sleep at this moment, with nothing inside left to wake them: no timer, no
    /// descriptor that somebody waits for, no blocking job. Threads that are not gambol's may wake them all the same, the caller's
    /// among them; a program that waits for these looks so whenever it is idle. The ages of the waits tell more.
    ///
    /// None also while the last blocking threads linger, 10 s, and always when it is asked by a task. It is about the process, not
    /// about this runtime alone.
    pub fn suspected_deadlock(&self) -> Option<Deadlock> {
        deadlock::suspected()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.core.fmt_as("Handle", f)
    }
}

impl Core {
    fn fmt_as(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (parked, searching) = self.idle.counts();
        f.debug_struct(name)
            .field("workers", &self.table.active())
            .field("parked", &parked)
            .field("searching", &searching)
            .field("injected", &self.injector.len())
            .finish_non_exhaustive()
    }
}

static DEFAULT: OnceLock<Runtime> = OnceLock::new();

/// The default runtime, started by the first who needs it. It is never dropped.
#[cold]
fn default_core() -> &'static Core {
    let runtime = DEFAULT.get_or_init(|| {
        let mut builder = Builder::new();
        if let Some(text) = env::var_os("GAMBOL_WORKERS") {
            match text.to_str().and_then(|text| text.parse().ok()) {
                Some(workers @ 1..=MAX_WORKERS) => builder = builder.workers(workers),
                _ => eprintln!("gambol: GAMBOL_WORKERS={text:?} is not a number from 1 to 256, and is ignored"),
            }
        }
        let runtime = from_environment(builder).build().unwrap_or_else(|error| {
            panic!("the default runtime cannot be started: {error}; build one with Runtime::builder() to handle this")
        });
        observe(&runtime.handle);
        runtime
    });
    runtime.handle.core
}

/// `GAMBOL_DUMP=sigquit`, for the default runtime or the one of main.
fn obey_dump_variable() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let Some(text) = env::var_os("GAMBOL_DUMP") else { return };
        if text != "sigquit" {
            eprintln!("gambol: GAMBOL_DUMP={text:?} is not \"sigquit\", and is ignored");
            return;
        }
        #[cfg(unix)]
        if let Err(error) = crate::sigquit::dump_on_sigquit() {
            eprintln!("gambol: GAMBOL_DUMP=sigquit has no effect: {error}");
        }
        #[cfg(not(unix))]
        eprintln!("gambol: GAMBOL_DUMP=sigquit has no effect: this system has no such signal");
    });
}

/// Does what the environment says about looking at the default runtime.
fn observe(_handle: &Handle) {
    #[cfg(unix)]
    crate::top::serve_default(_handle);
}

/// What the environment says about seeing what the default runtime does.
fn from_environment(mut builder: Builder) -> Builder {
    obey_dump_variable();
    let events = number("GAMBOL_TRACE_EVENTS", trace::MIN_EVENTS, trace::MAX_EVENTS).unwrap_or(trace::EVENTS);
    if let Some(path) = env::var_os("GAMBOL_TRACE").filter(|path| !path.is_empty()) {
        // The program runs without a trace rather than not at all.
        match Recorder::new(&builder.config.name, events, Some(Path::new(&path))) {
            Ok(recorder) => builder.config.recorder = Some(recorder),
            Err(error) => trace::say(format_args!(
                "there will be no trace: {} cannot be made: {error}",
                Path::new(&path).display()
            )),
        }
    }
    if let Some(millis) = number("GAMBOL_SCHEDTRACE", 1, 1_000_000_000) {
        builder = builder.schedtrace(Duration::from_millis(millis as u64));
    }
    builder
}

/// The number in an environment variable. What is none is said to be ignored.
fn number(variable: &str, least: usize, most: usize) -> Option<usize> {
    let text = env::var_os(variable)?;
    let number = text.to_str().and_then(|text| text.parse().ok()).filter(|number| (least..=most).contains(number));
    if number.is_none() {
        trace::say(format_args!("{variable}={text:?} is not a number from {least} to {most}, and is ignored"));
    }
    number
}

/// The runtime of this task or `block_on`, or the default one.
#[inline]
pub(crate) fn current() -> &'static Core {
    context::with(context::Context::core).unwrap_or_else(default_core)
}

/// Starts a task in the current runtime: that of the task or of the `block_on` around the call, or else the default one.
#[track_caller]
#[inline]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    current().spawn(future, None, Location::caller())
}

/// Runs a closure that may block, in the current runtime's blocking pool.
#[track_caller]
pub fn spawn_blocking<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    current().spawn_blocking(job, None, Location::caller())
}

/// Starts a task that stays on this thread, which runs it while it is in `block_on`. Its future need not be `Send`.
///
/// It belongs to the outermost [`block_on`] of this thread. When that ends, the task is cancelled if it has not finished: its
/// future is dropped on this thread, and its handle yields an error whose `is_cancelled` is true. Any `block_on` on this
/// thread runs it, also one inside another local task, up to 16 of them one inside the other.
///
/// # Panics
///
/// On a thread that is not in [`block_on`], [`Runtime::block_on`] or a local main, and in a task of a worker.
#[track_caller]
pub fn spawn_local<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    local::spawn(None, Location::caller(), future)
}

/// Tasks that differ from the usual ones: what `gambol::task::Builder` stands on.
#[doc(hidden)]
pub mod named {
    use super::*;
    use crate::heritage::{Heritage, with_heritage};

    /// What is particular about a task.
    #[derive(Clone, Debug, Default)]
    pub struct Particulars {
        /// Its name.
        pub name: Option<Box<str>>,
        /// What it inherits, if not what is in scope.
        pub heritage: Option<Option<Heritage>>,
        /// Where it was spawned, if not where the function is called.
        pub location: Option<&'static Location<'static>>,
    }

    impl Particulars {
        #[track_caller]
        fn apply<R>(self, start: impl FnOnce(Option<Box<str>>, &'static Location<'static>) -> R) -> R {
            let location = self.location.unwrap_or(Location::caller());
            match self.heritage {
                Some(heritage) => with_heritage(heritage.as_ref(), || start(self.name, location)),
                None => start(self.name, location),
            }
        }
    }

    /// See [`spawn`](super::spawn); in a runtime of the caller's choice if there is one.
    #[track_caller]
    pub fn spawn<F>(handle: Option<&Handle>, particulars: Particulars, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let core = handle.map_or_else(current, |handle| handle.core);
        particulars.apply(|name, location| core.spawn(future, name, location))
    }

    /// See [`spawn_blocking`](super::spawn_blocking).
    #[track_caller]
    pub fn spawn_blocking<T: Send + 'static>(
        particulars: Particulars,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        particulars.apply(|name, location| current().spawn_blocking(job, name, location))
    }

    /// See [`spawn_local`](super::spawn_local).
    #[track_caller]
    pub fn spawn_local<F>(particulars: Particulars, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        particulars.apply(|name, location| local::spawn(name, location, future))
    }
}

/// Runs a future on this thread, whichever it is; inside a task the other tasks go on meanwhile.
pub fn block_on<F: Future>(future: F) -> F::Output {
    blocking::block_on(current(), future)
}

/// Runs a closure that may block the thread, on this thread; inside a task the other tasks go on meanwhile.
pub fn block_in_place<T>(job: impl FnOnce() -> T) -> T {
    worker::block_in_place(job)
}

/// Runs `main` as a task of the default runtime, and lets the process end soon after it has: workers that do not come to a
/// poll boundary within 10 ms are left to run. For the attribute macro.
#[track_caller]
pub fn run_main<F>(workers: Option<usize>, main: F) -> F::Output
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let core = main_core(workers);
    let result = blocking::block_on(core, core.spawn(main, None, Location::caller()));
    stop_for_exit(core);
    match result {
        Ok(output) => output,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(error) => panic!("{error}"),
    }
}

/// As [`run_main`] for a `main` that stays on its thread.
pub fn run_main_local<F: Future>(workers: Option<usize>, main: F) -> F::Output {
    let core = main_core(workers);
    let output = blocking::block_on(core, main);
    stop_for_exit(core);
    output
}

fn main_core(workers: Option<usize>) -> &'static Core {
    if let Some(workers) = workers {
        let runtime = from_environment(Builder::new().workers(workers))
            .build()
            .unwrap_or_else(|error| panic!("the runtime for main cannot be started: {error}"));
        // Whoever called `set` first keeps the default runtime; then main has this one for itself.
        match DEFAULT.set(runtime) {
            Ok(()) => observe(&DEFAULT.get().expect("it was just set").handle),
            Err(runtime) => {
                let core = runtime.handle.core;
                std::mem::forget(runtime);
                return core;
            }
        }
    }
    default_core()
}

/// Asks the workers to stop at their next poll boundary and waits a little for it. Handlers that run at exit are
/// not safe beside working threads.
fn stop_for_exit(core: &'static Core) {
    #[cfg(unix)]
    crate::top::end_default();
    if core.begin_close() {
        core.table.close(false);
        core.stop_threads();
        core.schedtrace.stop();
        core.table.join(Instant::now() + EXIT_WAITS);
        core.finish_trace();
    }
}

// ---- timers

/// The current runtime's time, as fresh as the worker's last look at the clock.
#[inline]
pub(crate) fn recent_now() -> u64 {
    match context::with(|cx| cx.local().map(worker::Local::recent_now)) {
        Some(now) => now,
        None => context::now(),
    }
}

/// Arms a timer where it is cheapest: in the shard of the worker that this thread is, or in one for foreign threads.
#[inline]
pub(crate) fn arm(deadline: u64, waker: &Waker) -> (&'static Shard, Key) {
    if let Some((worker, cancelled)) =
        context::with(|cx| cx.local().map(|local| (local.worker, local.take_cancelled())))
        && let Some((key, earliest)) = cancelled
            .and_then(|cancelled| worker.shard.take_over(cancelled, deadline, waker))
            .or_else(|| worker.shard.insert(deadline, waker.clone()))
    {
        if earliest && worker.diverts() {
            worker.core.timer_armed(deadline);
        }
        return (&worker.shard, key);
    }
    arm_slow(deadline, waker)
}

/// Cancels a timer. If it stands in the shard of the worker that this thread is, the next one there may take it over.
#[inline]
pub(crate) fn disarm(home: &'static Shard, key: Key) {
    let before = context::with(|cx| match cx.local() {
        Some(local) if ptr::eq(&local.worker.shard, home) => {
            home.keep();
            local.keep_cancelled(key)
        }
        _ => Some(key),
    });
    if let Some(before) = before {
        crate::core::discard(home.remove(before));
    }
}

#[cold]
fn arm_slow(deadline: u64, waker: &Waker) -> (&'static Shard, Key) {
    // The second only if the first is closed: it may have to be started.
    for find in [current as fn() -> &'static Core, default_core] {
        let core = find();
        let shard = core.foreign_shard();
        if let Some((key, earliest)) = shard.insert(deadline, waker.clone()) {
            if earliest {
                core.timer_armed(deadline);
            }
            return (shard, key);
        }
    }
    unreachable!("the default runtime's timers are never closed");
}

/// The timer in `home` has become its earliest: wakes who must know.
#[cold]
pub(crate) fn timer_armed(home: &'static Shard, deadline: u64) {
    let ours = |worker: &worker::Worker| ptr::eq(&worker.shard, home) && !worker.diverts();
    let ours = context::with(|cx| cx.local().is_some_and(|local| ours(local.worker)));
    if !ours {
        crate::core::by_slot(home.core).timer_armed(deadline);
    }
}
