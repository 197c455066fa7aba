//! What `gambol-top` is told: one page of text that says what a runtime does at this moment.
//!
//! Lines of fields with tabs between them; the first field says what the line is. Readers skip lines that they do not know and
//! fields behind those that they know, so both may be added without a new version.
//!
//! ```text
//! gambol-top  1                                   the version; always the first line
//! runtime     NAME                                the first part of its threads' names
//! pid         NUMBER
//! metric      NAME  NUMBER                        each figure of `Metrics`, by the name of its method; `uptime_ms`
//! worker      INDEX  STATE  POLLS  STEALS  PARKS  QUEUED  TASK  SITE
//!                                                 STATE as `WorkerState` prints it; TASK and SITE what a busy or blocked one runs,
//!                                                 or ran last, `-` if that is not known
//! stall       COUNT  LONGEST_MS  TASK  SITE       the stalls of tasks that were spawned at one place, the longest, the last task; `-` and
//!                                                 `-` for wakers. The place that stalled last comes first, 64 at most
//! tasks       COUNT  OLDEST_MS  STATE  WAIT  SITE  alike tasks: how many, for how long the one that has waited longest, and where
//!                                                 they were spawned
//! more        GROUPS  TASKS                       what was left out, the smallest groups
//! end                                             always the last line; a page without it is not whole
//! ```
//!
//! Control characters in names and places come as U+FFFD.

use crate::{
    Handle, TaskState,
    builder::Config,
    metrics::{Metrics, WorkerState},
};
use std::{
    collections::HashMap,
    fmt::{Display, Write},
    panic::Location,
    process,
    time::Duration,
};

/// The version of this format.
const VERSION: u32 = 1;
/// Groups of tasks on a page.
const GROUPS: usize = 1000;

/// The page of this moment.
pub(super) fn page(handle: &Handle, config: &Config) -> String {
    let mut page = String::with_capacity(4096);
    line(&mut page, &[&"gambol-top", &VERSION]);
    line(&mut page, &[&"runtime", &plain(&config.name)]);
    line(&mut page, &[&"pid", &process::id()]);
    let metrics = handle.metrics();
    figures(&mut page, &metrics);
    workers(&mut page, handle, &metrics);
    stalls(&mut page, handle);
    tasks(&mut page, handle);
    line(&mut page, &[&"end"]);
    page
}

fn line(page: &mut String, fields: &[&dyn Display]) {
    for (place, field) in fields.iter().enumerate() {
        // A `String` takes everything.
        let _ = write!(page, "{}{field}", if place == 0 { "" } else { "\t" });
    }
    page.push('\n');
}

/// Text that keeps the lines and fields of the page what they are.
fn plain(text: impl Display) -> String {
    text.to_string().replace(char::is_control, "\u{fffd}")
}

fn figures(page: &mut String, m: &Metrics) {
    let figures: [(&str, u64); 30] = [
        ("uptime_ms", m.uptime().as_millis() as u64),
        ("workers", m.workers() as u64),
        ("workers_parked", m.workers_parked() as u64),
        ("workers_spare", m.workers_spare() as u64),
        ("workers_blocked", m.workers_blocked() as u64),
        ("stalls", m.stalls()),
        ("tasks_live", m.tasks_live()),
        ("tasks_spawned", m.tasks_spawned()),
        ("tasks_finished", m.tasks_finished()),
        ("tasks_aborted", m.tasks_aborted()),
        ("tasks_panicked", m.tasks_panicked()),
        ("polls", m.polls()),
        ("steals", m.steals()),
        ("slot_hits", m.slot_hits()),
        ("budget_yields", m.budget_yields()),
        ("injector_depth", m.injector_depth() as u64),
        ("local_depth", m.local_depth() as u64),
        ("poller_waits", m.poller_waits()),
        ("poller_events", m.poller_events()),
        ("timers_armed", m.timers_armed()),
        ("timers_fired", m.timers_fired()),
        ("timers_cancelled", m.timers_cancelled()),
        ("wakes", m.wakes()),
        ("parks", m.parks()),
        ("blocking_threads", m.blocking_threads() as u64),
        ("blocking_idle", m.blocking_idle() as u64),
        ("blocking_queued", m.blocking_queued() as u64),
        ("blocking_jobs_done", m.blocking_jobs_done()),
        // None without histograms: then the readers see nothing.
        ("poll_time_p99_ns", percentile(m.poll_time())),
        ("schedule_latency_p99_ns", percentile(m.schedule_latency())),
    ];
    for (name, value) in figures {
        let only_with_histograms = name.ends_with("_ns");
        if !only_with_histograms || m.poll_time().is_some() {
            line(page, &[&"metric", &name, &value]);
        }
    }
}

fn percentile(histogram: Option<crate::Histogram>) -> u64 {
    histogram.and_then(|histogram| histogram.quantile(0.99)).map_or(0, |time| time.as_nanos() as u64)
}

fn workers(page: &mut String, handle: &Handle, metrics: &Metrics) {
    let table = &handle.core.table;
    for worker in metrics.per_worker() {
        let runs = match worker.state() {
            WorkerState::Busy | WorkerState::Blocked => table.worker(worker.index() as u16).pulse.running(),
            _ => None,
        };
        let (task, site) = match runs {
            Some((task, site)) => (task.to_string(), plain(site)),
            None => ("-".to_owned(), "-".to_owned()),
        };
        line(
            page,
            &[
                &"worker",
                &worker.index(),
                &worker.state(),
                &worker.polls(),
                &worker.steals(),
                &worker.parks(),
                &worker.queued(),
                &task,
                &site,
            ],
        );
    }
}

fn stalls(page: &mut String, handle: &Handle) {
    for stalled in handle.stalls() {
        let task = stalled.last_task().map_or("-".to_owned(), |task| task.to_string());
        let site = stalled.location().map_or("-".to_owned(), plain);
        line(page, &[&"stall", &stalled.count(), &stalled.longest().as_millis(), &task, &site]);
    }
}

/// What tasks have in common.
type Likeness = (&'static str, &'static str, &'static Location<'static>);

/// How many tasks there are of each kind, and the age of the oldest.
fn groups(handle: &Handle) -> HashMap<Likeness, (u64, Duration)> {
    let mut groups = HashMap::new();
    for task in handle.dump().iter() {
        let wait = if task.state == TaskState::Parked { task.wait.as_str() } else { "-" };
        let group: &mut (u64, Duration) = groups.entry((task.state.as_str(), wait, task.location)).or_default();
        group.0 += 1;
        group.1 = group.1.max(task.since);
    }
    groups
}

fn tasks(page: &mut String, handle: &Handle) {
    let mut groups: Vec<_> = groups(handle).into_iter().collect();
    // The largest first, and in a fixed order.
    groups.sort_unstable_by_key(|((state, wait, site), (count, _))| {
        (std::cmp::Reverse(*count), site.file(), site.line(), site.column(), *state, *wait)
    });
    let left_out = groups.split_off(groups.len().min(GROUPS));
    for ((state, wait, site), (count, oldest)) in groups {
        line(page, &[&"tasks", &count, &oldest.as_millis(), &state, &wait, &plain(site)]);
    }
    if !left_out.is_empty() {
        let tasks: u64 = left_out.iter().map(|(_, (count, _))| count).sum();
        line(page, &[&"more", &left_out.len(), &tasks]);
    }
}
