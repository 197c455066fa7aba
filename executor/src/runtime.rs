//! Runtimes as their users hold them: building, handles, the default one, and the end.

use crate::{
    block_on as blocking, context,
    core::{Core, fork},
    deadlock::{self, Deadlock, DeadlockHook},
    dump::{TaskDump, TaskInfo, TaskState},
    local,
    metrics::Metrics,
    shard::Shard,
    stall::{Stall, StallHook, StallSite},
    task::{Id, JoinHandle},
    trace::{self, Event, Recorder, Tracer},
    worker::{self, table::MAX_WORKERS},
};
use gambol_timer::Key;
use std::{
    any::Any,
    env, fmt,
    future::Future,
    io,
    num::NonZeroUsize,
    panic::Location,
    path::{Path, PathBuf},
    ptr,
    sync::{Arc, Once, OnceLock},
    task::Waker,
    thread,
    time::{Duration, Instant},
};

/// How long the drop of a runtime waits for a poll that does not end.
const DROP_WAITS: Duration = Duration::from_secs(5);
/// How long the end of main waits for the workers to reach a poll boundary.
const EXIT_WAITS: Duration = Duration::from_millis(10);

/// Called with the payload of a task's panic.
pub(crate) type PanicHook = Arc<dyn Fn(Id, &(dyn Any + Send)) + Send + Sync>;

/// What a runtime was built with.
pub(crate) struct Config {
    pub(crate) name: String,
    pub(crate) workers: Option<usize>,
    pub(crate) max_workers: usize,
    pub(crate) max_blocking_threads: usize,
    pub(crate) stack_size: Option<usize>,
    pub(crate) stall_threshold: Duration,
    pub(crate) virtual_time: bool,
    pub(crate) histograms: bool,
    pub(crate) seed: Option<u64>,
    pub(crate) choices: Option<u64>,
    pub(crate) on_thread_start: Option<Arc<dyn Fn() + Send + Sync>>,
    pub(crate) on_thread_stop: Option<Arc<dyn Fn() + Send + Sync>>,
    pub(crate) on_task_panic: Option<PanicHook>,
    pub(crate) on_stall: Option<StallHook>,
    pub(crate) on_deadlock: Option<DeadlockHook>,
    pub(crate) tracer: Option<Tracer>,
    /// Made by `build`, if `trace` or `trace_events` was asked for; the core takes it.
    pub(crate) recorder: Option<Arc<Recorder>>,
    trace: Option<PathBuf>,
    trace_events: Option<usize>,
    schedtrace: Option<Duration>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            name: "gambol".to_owned(),
            workers: None,
            max_workers: MAX_WORKERS,
            max_blocking_threads: 512,
            stack_size: None,
            stall_threshold: Duration::from_millis(10),
            virtual_time: false,
            histograms: false,
            seed: None,
            choices: None,
            on_thread_start: None,
            on_thread_stop: None,
            on_task_panic: None,
            on_stall: None,
            on_deadlock: None,
            tracer: None,
            recorder: None,
            trace: None,
            trace_events: None,
            schedtrace: None,
        }
    }
}

/// Builds a runtime that differs from the default one.
#[derive(Default)]
pub struct Builder {
    config: Config,
}

impl Builder {
    /// As many workers as the process may use processors, everything else as documented at each setting.
    pub fn new() -> Builder {
        Builder::default()
    }

    /// Workers that run tasks at one time: 1 to 256. Default: `std::thread::available_parallelism`, which knows cgroups.
    pub fn workers(mut self, workers: usize) -> Builder {
        self.config.workers = Some(workers);
        self
    }

    /// Worker threads at most, those whose tasks block included: from the number of workers to 256, the default.
    pub fn max_workers(mut self, max: usize) -> Builder {
        self.config.max_workers = max;
        self
    }

    /// Threads for `spawn_blocking` at most. More jobs wait. Default 512.
    pub fn max_blocking_threads(mut self, max: usize) -> Builder {
        self.config.max_blocking_threads = max;
        self
    }

    /// The first part of the threads' names. Default "gambol".
    pub fn name(mut self, prefix: impl Into<String>) -> Builder {
        self.config.name = prefix.into();
        self
    }

    /// The stack of each thread in bytes. Default: std's, 2 MiB, or `RUST_MIN_STACK`.
    pub fn stack_size(mut self, bytes: usize) -> Builder {
        self.config.stack_size = Some(bytes);
        self
    }

    /// How long a poll may compute while others wait before a worker is added. Default 10 ms.
    ///
    /// What counts is the time on a processor, where the system tells it (Linux): a task that waits for one holds up nobody who could
    /// be helped. A task that sleeps in a system call (a lock of std, a blocking read, `thread::sleep`) is found there after one or
    /// two looks; elsewhere after the threshold. While anything runs the monitor looks every quarter of this, from 0.1 ms to 10 ms.
    /// For 0.1 s after it has found one it gives the next a quarter of the time. The added worker ends when the first goes on.
    /// `Duration::MAX`: no worker is added for a task that has not said that it blocks. None is added beyond
    /// [`max_workers`](Self::max_workers), nor in [virtual time](Self::virtual_time) or with a [`seed`](Self::seed).
    ///
    /// A poll that sleeps and comes back within it is counted and not reported. There is no lower limit; zero finds every poll that is
    /// seen at two looks. `gambol::guide::stalls` has more.
    pub fn stall_threshold(mut self, threshold: Duration) -> Builder {
        self.config.stall_threshold = threshold;
        self
    }

    /// Measures how long turns take and how long tasks wait for theirs: [`Metrics::poll_time`] and [`Metrics::schedule_latency`].
    ///
    /// A turn then costs two looks at the clock more, and a wake or a spawn one: about 60 ns together. 8 KiB per worker. Default
    /// false: a branch per turn and one per wake.
    pub fn histograms(mut self, on: bool) -> Builder {
        self.config.histograms = on;
        self
    }

    /// Lets the runtime's time stand still while anything can run, and leap to the next deadline when nothing can. Default: off.
    ///
    /// The clock begins at the same moment each time, and only [`Instant`](crate::Instant) and what is built on it follow it:
    /// sleeps, time limits, tickers, contexts' deadlines; not std's clocks. Time leaps when every task and every thread in `block_on`
    /// is parked. It stands still while
    /// - a poll runs, however long;
    /// - a task waits for a socket, a pipe, a signal or a child process;
    /// - a blocking job is queued or runs, or a thread is in `block_in_place`; but not while these wait in a `block_on` or in
    ///   a channel's blocking call;
    /// - there is no deadline.
    ///
    /// A plain thread that will wake a task some time is not seen: wait for it in `spawn_blocking`. To move the clock all the
    /// same, use [`advance`](crate::advance).
    ///
    /// Meant for tests: `#[gambol::test(virtual_time = true)]` switches it on, and `gambol::guide::testing` has examples. Each turn
    /// of a task takes a lock that all workers share. A poll that blocks its thread is not relieved by other workers.
    pub fn virtual_time(mut self, on: bool) -> Builder {
        self.config.virtual_time = on;
        self
    }

    /// Draws from `seed` who runs next, one at a time, and what `select!` draws: the same program then does the same each time, step by
    /// step. Default: the workers run freely.
    ///
    /// The workers pass one baton from poll to poll, and threads in `block_on` have to wait for it too. With [virtual
    /// time](Self::virtual_time), what a run does depends on the program and the seed alone, as long as nothing comes from outside:
    /// sockets, files, blocking jobs, plain threads, `block_in_place`, real time, addresses in memory, hash maps with random keys. What
    /// does is entered when it comes.
    /// The order of the tasks does not depend on the number of workers. It may change with the version of this crate.
    ///
    /// Spawn inside of `block_on`: what is spawned from a plain thread begins to run at once, beside that thread. When the last
    /// thread leaves `block_on`, the tasks that are left stand still until something comes from outside, or for a second.
    ///
    /// Meant for tests: `#[gambol::test(seed = 7)]` gives one, and `gambol::guide::testing` has an example. A poll that blocks its thread
    /// blocks the runtime.
    pub fn seed(mut self, seed: u64) -> Builder {
        self.config.seed = Some(seed);
        self
    }

    /// Called on each new thread of the runtime. A panic in it is caught.
    pub fn on_thread_start(mut self, hook: impl Fn() + Send + Sync + 'static) -> Builder {
        self.config.on_thread_start = Some(Arc::new(hook));
        self
    }

    /// Called on each thread of the runtime before it ends. A panic in it is caught.
    pub fn on_thread_stop(mut self, hook: impl Fn() + Send + Sync + 'static) -> Builder {
        self.config.on_thread_stop = Some(Arc::new(hook));
        self
    }

    /// Called with the payload of each panic in a task, on the worker. A panic in it is caught.
    pub fn on_task_panic(mut self, hook: impl Fn(Id, &(dyn Any + Send)) + Send + Sync + 'static) -> Builder {
        self.config.on_task_panic = Some(Arc::new(hook));
        self
    }

    /// Called when a poll has held up its worker while others waited, for longer than the threshold: once for each place of spawn,
    /// when the poll ends, or after a second. On the monitor's thread, which it should not block. A panic in it is caught.
    ///
    /// With the features `log` and `tracing` such a stall is also a warning there. [`Metrics::stalls`] counts all for which a worker was
    /// added, shorter ones too, and [`Handle::stalls`] has them by place. It is not called in [virtual time](Self::virtual_time) or with
    /// a [`seed`](Self::seed). `gambol::guide::stalls` has an example.
    pub fn on_stall(mut self, hook: impl Fn(&Stall) + Send + Sync + 'static) -> Builder {
        self.config.on_stall = Some(Arc::new(hook));
        self
    }

    /// Called when nothing in the process can go on: all threads are gambol's or sleep in a [`block_on`], every task is parked, and there
    /// is no timer, descriptor, blocking job or other thread that could wake one. It has stayed so for a second, or up to 12 where
    /// blocking work was done before, whose threads linger. Linux only.
    ///
    /// It is called on the monitor's thread, once, and again when something has gone on meanwhile and has come to a standstill
    /// again. With several runtimes, those that have a hook are told; without any hook it is printed to stderr. The program is
    /// not ended, as Go does it; call `std::process::exit` here for that, or wake somebody. A panic in the hook is caught.
    ///
    /// There is no false alarm, and so there may be none at all: a plain thread that exists, whatever it does, keeps it back. See
    /// [`Handle::suspected_deadlock`] for that case. `gambol::guide::deadlocks` has an example.
    pub fn on_deadlock(mut self, hook: impl Fn(&Deadlock) + Send + Sync + 'static) -> Builder {
        self.config.on_deadlock = Some(Arc::new(hook));
        self
    }

    /// Where the random choices on each worker begin, if the order is not drawn from a [`seed`](Self::seed). For the attribute macro.
    #[doc(hidden)]
    pub fn choices(mut self, seed: u64) -> Builder {
        self.config.choices = Some(seed);
        self
    }

    /// Called for each event of the scheduler, where it happens. A panic in it is caught.
    #[doc(hidden)]
    pub fn tracer(mut self, tracer: impl Fn(&Event) + Send + Sync + 'static) -> Builder {
        self.config.tracer = Some(Arc::new(tracer));
        self
    }

    /// Records what the scheduler does, and writes it to a file when the runtime ends: an execution trace that ui.perfetto.dev and
    /// chrome://tracing open. The file is made by [`build`](Self::build).
    ///
    /// What is kept are the last events of each worker, as many as [`trace_events`](Self::trace_events) says. They are written when
    /// the runtime is dropped or shut down, when main returns, and on Unix when somebody calls `std::process::exit`; not when the
    /// process is killed or aborts. If they cannot be written, a sentence on stderr says so. [`Handle::write_trace`] writes them at
    /// any other time.
    ///
    /// While it records, a turn of a task and the wake before it take about 60 ns longer together. `gambol::guide::tracing` says how
    /// to read the file.
    pub fn trace(mut self, path: impl Into<PathBuf>) -> Builder {
        self.config.trace = Some(path.into());
        self
    }

    /// Records what the scheduler does, and keeps the last `events` of each worker, 32 bytes each, and as many of all
    /// other threads together: 64 to 16,777,216, rounded up to a power of two less one. The default for [`trace`](Self::trace) is
    /// 262,143 (8 MiB). Without a path they are there for [`Handle::write_trace`] only.
    pub fn trace_events(mut self, events: usize) -> Builder {
        self.config.trace_events = Some(events);
        self
    }

    /// Writes a line about the scheduler to stderr every `interval`, at least 1 ms, as the environment variable
    /// `GAMBOL_SCHEDTRACE` does for the default runtime. A thread of its own writes it; nobody is held up. `gambol::guide::tracing` says
    /// what the fields mean.
    pub fn schedtrace(mut self, interval: Duration) -> Builder {
        self.config.schedtrace = Some(interval);
        self
    }

    /// Starts the runtime.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a setting out of its range; the operating system's error when the file of a trace cannot be made, or a
    /// thread, after the threads that were made have ended.
    pub fn build(self) -> io::Result<Runtime> {
        let mut config = self.config;
        let invalid = |what: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        let workers = match config.workers {
            Some(workers) => workers,
            None => thread::available_parallelism().map_or(1, NonZeroUsize::get).min(MAX_WORKERS),
        };
        if config.workers.is_none() {
            config.max_workers = config.max_workers.max(workers);
        }
        if !(1..=MAX_WORKERS).contains(&workers) {
            return invalid("a runtime has 1 to 256 workers");
        }
        if !(workers..=MAX_WORKERS).contains(&config.max_workers) {
            return invalid("max_workers is at least the number of workers and at most 256");
        }
        if config.max_blocking_threads == 0 {
            return invalid("max_blocking_threads is at least 1");
        }
        if config.name.contains('\0') {
            return invalid("the name of a thread holds no NUL");
        }
        if config.trace_events.is_some_and(|events| !(trace::MIN_EVENTS..=trace::MAX_EVENTS).contains(&events)) {
            return invalid("trace_events is from 64 to 16777216");
        }
        if config.schedtrace.is_some_and(|interval| interval < Duration::from_millis(1)) {
            return invalid("the interval of schedtrace is at least a millisecond");
        }
        if config.trace.is_some() || config.trace_events.is_some() {
            let events = config.trace_events.unwrap_or(trace::EVENTS);
            config.recorder = Some(Recorder::new(&config.name, events, config.trace.as_deref())?);
        }
        config.workers = Some(workers);
        let (max, schedtrace) = (config.max_workers, config.schedtrace);
        let core = Core::acquire(config)?;
        let runtime = Runtime { handle: Handle { core } };
        core.monitor.start(core)?;
        core.table.start(core, workers, max)?;
        if let Some(interval) = schedtrace {
            core.schedtrace.start(core, interval)?;
        }
        Ok(runtime)
    }
}

/// A runtime: its workers, its poller, its timers and its blocking pool.
///
/// Dropping it cancels its tasks, which drops their futures, and waits until its workers have ended, but not for ever: after
/// 5 s a poll that does not end is left behind with its thread, and that is said on stderr. Blocking jobs that have begun are
/// not waited for. Dropped inside one of its own tasks, it ends in the background.
pub struct Runtime {
    handle: Handle,
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
    core: &'static Core,
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

    #[cfg(unix)]
    pub(crate) fn core(&self) -> &'static Core {
        self.core
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
    if let Some(worker) = context::with(|cx| cx.local().map(|local| local.worker))
        && let Some((key, earliest)) = worker.shard.insert(deadline, waker.clone())
    {
        if earliest && worker.diverts() {
            worker.core.timer_armed(deadline);
        }
        return (&worker.shard, key);
    }
    arm_slow(deadline, waker)
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
