//! A line on stderr for each interval: what the scheduler does, in Go's style (`GODEBUG=schedtrace`).
//!
//! A thread of its own writes them; it is made only when somebody asks. It reads what is published anyway, so nobody
//! is held up: the workers' counters, the lengths of their queues, and the table's lock for a moment.
//!
//! It is told of the runtime's end, and waited for, but not for ever: stderr may be a pipe that nobody reads.

use crate::{core::Core, deadlock::Discarding, metrics::Metrics, ours};
use std::{
    fmt::Write as _,
    io::{self, Write as _},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// See the head of this file.
pub(crate) struct Schedtrace {
    state: Mutex<State>,
    /// Notified when `state` changes.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    stop: bool,
    alive: bool,
}

impl Schedtrace {
    pub(crate) fn new() -> Schedtrace {
        Schedtrace { state: Mutex::default(), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to write a line every `interval`.
    ///
    /// # Errors
    ///
    /// The operating system's, when it has no thread to give.
    pub(crate) fn start(&self, core: &'static Core, interval: Duration) -> io::Result<()> {
        *self.lock() = State { stop: false, alive: true };
        core.lease();
        let name = format!("{}-sched", core.config().name);
        // Here and not in the thread, which may be late: what comes until its first line belongs there.
        let (start, before) = (Instant::now(), core.metrics());
        let result = ours::spawn_thread(name, None, move || {
            core.schedtrace.run(core, interval, start, before);
            core.schedtrace.lock().alive = false;
            core.schedtrace.changed.notify_all();
            let _discarding = Discarding::begin();
            core.release();
        });
        if result.is_err() {
            self.lock().alive = false;
            core.release();
        }
        result.map(drop)
    }

    /// Asks the thread to end.
    pub(crate) fn stop(&self) {
        self.lock().stop = true;
        self.changed.notify_all();
    }

    /// Waits for its end. False: it is still there at `until`.
    pub(crate) fn join(&self, until: Instant) -> bool {
        let left = until.saturating_duration_since(Instant::now());
        let state = self.changed.wait_timeout_while(self.lock(), left, |state| state.alive);
        !state.unwrap_or_else(PoisonError::into_inner).0.alive
    }

    fn run(&self, core: &'static Core, interval: Duration, start: Instant, mut before: Metrics) {
        let mut n = 0;
        loop {
            // From the start on, so that the lines do not drift. What was missed is left out.
            n = (start.elapsed().as_nanos() / interval.as_nanos() + 1).max(n + 1);
            let after = u64::try_from(n * interval.as_nanos()).ok().map(Duration::from_nanos);
            // Never, then.
            let Some(until) = after.and_then(|after| start.checked_add(after)) else { return };
            if self.stops_before(until) {
                return;
            }
            let now = core.metrics();
            let line = line(core, start.elapsed(), &before, &now);
            before = now;
            // One write, so that the lines of several runtimes do not mix. If stderr is closed, nobody wants them.
            let _ = io::stderr().write_all(line.as_bytes());
        }
    }

    /// Waits until then. True: the runtime ends before.
    fn stops_before(&self, until: Instant) -> bool {
        let mut state = self.lock();
        while !state.stop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

/// One line. What has a plus sign is since the line before.
fn line(core: &'static Core, since: Duration, before: &Metrics, now: &Metrics) -> String {
    let searching = core.idle.counts().1;
    let mut line = format!(
        "SCHED {} {}ms: workers={} idle={} searching={searching} spare={} blocked={} tasks={} injector={} [",
        core.config().name,
        since.as_millis(),
        now.workers(),
        now.workers_parked(),
        now.workers_spare(),
        now.workers_blocked(),
        now.tasks_live(),
        now.injector_depth(),
    );
    for worker in now.per_worker() {
        let _ = write!(line, " {}", worker.queued());
    }
    let _ = writeln!(
        line,
        " ] polls=+{} steals=+{} wakes=+{} polled=+{} events=+{} timers=+{}",
        now.polls().saturating_sub(before.polls()),
        now.steals().saturating_sub(before.steals()),
        now.wakes().saturating_sub(before.wakes()),
        now.poller_waits().saturating_sub(before.poller_waits()),
        now.poller_events().saturating_sub(before.poller_events()),
        now.timers_fired().saturating_sub(before.timers_fired()),
    );
    line
}
