//! What a runtime is built with, and how it is started.

use crate::{
    core::Core,
    deadlock::{Deadlock, DeadlockHook},
    runtime::{Handle, Runtime},
    stall::{Stall, StallHook},
    task::Id,
    trace::{self, Event, Recorder, Tracer},
    worker::table::MAX_WORKERS,
};
use std::{any::Any, io, num::NonZeroUsize, path::PathBuf, sync::Arc, thread, time::Duration};

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
    pub(crate) config: Config,
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
    ///
    /// When all of them block, other tasks wait. But those of them that are in a [`block_on`](crate::block_on) run other tasks meanwhile,
    /// on top of their own, as long as half of the thread's [stack](Self::stack_size) is left; what is beneath goes on when these
    /// have had their turn.
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
    /// two looks; elsewhere after the threshold. While anything runs the monitor looks every quarter of this, from 0.1 ms to 10 ms, and
    /// up to four times as rarely, but not beyond 10 ms, while no poll is long and nothing waits.
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

    /// Measures how long turns take and how long tasks wait for theirs: [`Metrics::poll_time`](crate::Metrics::poll_time) and
    /// [`schedule_latency`](crate::Metrics::schedule_latency).
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
    /// With the features `log` and `tracing` such a stall is also a warning there. [`Metrics::stalls`](crate::Metrics::stalls) counts
    /// all for which a worker was added, shorter ones too, and [`Handle::stalls`] has them by place. It is not called in [virtual
    /// time](Self::virtual_time) or with a [`seed`](Self::seed). `gambol::guide::stalls` has an example.
    pub fn on_stall(mut self, hook: impl Fn(&Stall) + Send + Sync + 'static) -> Builder {
        self.config.on_stall = Some(Arc::new(hook));
        self
    }

    /// Called when nothing in the process can go on: all threads are gambol's or sleep in a [`block_on`](crate::block_on), every task
    /// is parked, and there is no timer, descriptor, blocking job or other thread that could wake one. It has stayed so for a second,
    /// or up to 12 where blocking work was done before, whose threads linger. Linux only.
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
