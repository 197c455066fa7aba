//! The task dump: what every task of a runtime does now, put together from what is there anyway.
//!
//! - A *parked* or *queued* task that has been Pending before stands in the registry, with the word that its last leaf or its last wake has
//!   written (`task/wait.rs`).
//! - A *running* one is published by its worker, with its site, for the length of the turn. The worker's last look at the clock, at most
//!   some tens of microseconds before the turn, tells for how long.
//! - A *job* stands in the blocking pool's list while it runs.
//! - The *descriptor* that a task waits for is known to the poller, which has the task's waker. It is the same task if both wakers have
//!   the same data, for which the dump keeps the cells of such tasks alive with a waker of its own until it has compared. A combinator with
//!   wakers of its own (`FuturesUnordered`) hides the task from the poller; then no descriptor is told.
//! - What nobody knows: a fresh task in a queue, a job that waits. Of these there is the number only: all that live, less those that
//!   were found. To list them would take a read-modify-write at each spawn.
//!
//! *It stops nobody.* Each lock is held for at most 256 looks of some tens of nanoseconds: the visitors' lock of the registry, for which
//! an abort waits and nobody else does; the poller's table; a source; the pool's list. What is found is copied out, and everything else
//! (names, sorting, words) is done afterwards. Among 100,000 parked tasks the registry is held for 2.4 µs at a time, in one of a thousand
//! for 6 µs; among 100,000 descriptors the table for 49 µs at the last page (`a_page_of_a_hundred_thousand_tasks`,
//! `a_page_behind_a_hundred_thousand`; `executor/tests/dump.rs` measures the whole).
//!
//! So it is no picture of one moment: what comes or goes meanwhile may be missing, and one who has just been woken may be listed as parked.
//!
//! Left: stopping the workers, which Go does for its profile; it is exact, and a stop of milliseconds. A list of all tasks linked at the
//! spawn: two read-modify-writes for each task that never waits.

use crate::{
    clock::real_now,
    core::{CLOSED, Core, discard},
    fork, histogram, pool,
    task::{Id, Meta, PAGE, Reason, TIME_MASK, is_in_micros, unpack_wait},
    worker::{Worker, table::Standing},
};
use gambol_netpoll::{Direction, Enrolment, RawDescriptor};
use std::{
    cmp::Reverse,
    collections::HashMap,
    fmt::{self, Write as _},
    panic::Location,
    sync::atomic::Ordering,
    task::Waker,
    time::Duration,
};

/// What a task does.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum TaskState {
    /// It has its turn: on a worker, also on one whose thread it blocks.
    Running,
    /// It was woken and waits for its turn. A task of `spawn_local` that has its turn is listed so as well: its thread publishes nothing.
    Ready,
    /// It waits for something.
    Parked,
    /// It is a closure that runs in the blocking pool.
    Blocking,
}

impl TaskState {
    /// In one word.
    pub fn as_str(self) -> &'static str {
        match self {
            TaskState::Running => "running",
            TaskState::Ready => "ready",
            TaskState::Parked => "parked",
            TaskState::Blocking => "blocking",
        }
    }
}

/// A descriptor that a task waits for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Interest {
    /// The number that was registered.
    pub descriptor: RawDescriptor,
    /// What it waits for there.
    pub direction: Direction,
}

/// What is known of a task, at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TaskInfo {
    /// The task.
    pub id: Id,
    /// Its name, if it was given one. Of a task that runs and was never parked it is not known.
    pub name: Option<String>,
    /// What it does.
    pub state: TaskState,
    /// What it waits for if it is parked; otherwise `Reason::Unknown`.
    pub wait: Reason,
    /// For how long. If it is parked or ready, in steps of 17 ms and modulo 13 days; if it runs, some tens of microseconds too much.
    pub since: Duration,
    /// Where it was spawned.
    pub location: &'static Location<'static>,
    /// If it is parked and waits for I/O, or in a `select!`: the descriptors, those included that an operation which was dropped
    /// half-way has left behind. Empty where a combinator polls with wakers of its own.
    pub descriptors: Vec<Interest>,
}

/// What every task of a runtime does; see [`Handle::dump`](crate::Handle::dump).
///
/// `Display` makes a table of it: tasks of the same state and spawn site in one line, the most frequent first.
#[derive(Clone, Debug)]
pub struct TaskDump {
    runtime: String,
    active: usize,
    parked: usize,
    spare: usize,
    live: usize,
    unlisted: usize,
    jobs_waiting: usize,
    workers: Vec<WorkerInfo>,
    tasks: Vec<TaskInfo>,
}

/// What a worker does.
#[derive(Clone, Debug)]
struct WorkerInfo {
    index: u16,
    /// The task whose turn it is, where that was spawned, and for how long.
    runs: Option<(Id, &'static Location<'static>, Duration)>,
    /// The task has declared that it blocks.
    blocked: bool,
    /// Tasks in its own queue.
    queued: usize,
}

impl TaskDump {
    /// The tasks, in the order of their ids.
    pub fn iter(&self) -> std::slice::Iter<'_, TaskInfo> {
        self.tasks.iter()
    }

    /// How many tasks are listed.
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether no task is listed.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Tasks that have not ended, jobs of the blocking pool among them.
    pub fn live(&self) -> usize {
        self.live
    }

    /// Of these, tasks that are queued and were never parked: there are so many, and nothing more is known of them.
    pub fn unlisted(&self) -> usize {
        self.unlisted
    }

    /// Of these, jobs that wait for a thread of the blocking pool.
    pub fn jobs_waiting(&self) -> usize {
        self.jobs_waiting
    }
}

impl<'a> IntoIterator for &'a TaskDump {
    type Item = &'a TaskInfo;
    type IntoIter = std::slice::Iter<'a, TaskInfo>;

    fn into_iter(self) -> Self::IntoIter {
        self.tasks.iter()
    }
}

impl IntoIterator for TaskDump {
    type Item = TaskInfo;
    type IntoIter = std::vec::IntoIter<TaskInfo>;

    fn into_iter(self) -> Self::IntoIter {
        self.tasks.into_iter()
    }
}

// ---- collecting

/// What is copied from the registry under the visitors' lock.
struct Fact {
    id: Id,
    location: &'static Location<'static>,
    wait: Option<Reason>,
    /// In coarse units, or in microseconds.
    since: u32,
    /// The latter, if the runtime measures turns.
    in_micros: bool,
    /// Where the metadata lies, and a waker that keeps it there, if there is more to be learned of the task.
    kept: Option<(Waker, *const Meta)>,
}

impl Fact {
    fn new(waker: &Waker, meta: &Meta) -> Fact {
        let word = meta.wait_word();
        let (wait, since) = unpack_wait(word);
        let more = wait.is_some_and(has_descriptor) || meta.extra().is_some();
        Fact {
            id: meta.id,
            location: meta.location,
            wait,
            since,
            in_micros: is_in_micros(word),
            // No allocation, but a count.
            kept: more.then(|| (waker.clone(), std::ptr::from_ref(meta))),
        }
    }

    fn name(&self) -> Option<String> {
        let (_, meta) = self.kept.as_ref()?;
        // SAFETY: the metadata lies in the task's cell, which the waker keeps.
        let extra = unsafe { &**meta }.extra()?;
        extra.name.as_deref().map(str::to_owned)
    }
}

impl Core {
    /// See the head of this file.
    pub(crate) fn dump(&self) -> TaskDump {
        let mut dump = TaskDump {
            runtime: self.config().name.clone(),
            active: 0,
            parked: 0,
            spare: 0,
            live: 0,
            unlisted: 0,
            jobs_waiting: 0,
            workers: Vec::new(),
            tasks: Vec::new(),
        };
        // In the child of a fork there are no tasks, and locks may be held for ever.
        if self.phase() >= CLOSED || fork::is_child() {
            return dump;
        }
        // So that ages are right in a runtime that sleeps, where nobody looks at the clock.
        self.keep_coarse(self.clock.now());
        let facts = self.facts();
        let enrolled = enrolled(self.driver.existing().map(|poller| poller.waiting()).unwrap_or_default());
        // After the registry: a task that is there and has its turn now has it, whatever it was found to do.
        dump.workers = self.workers();
        let running: HashMap<Id, (&'static Location<'static>, Duration)> =
            dump.workers.iter().filter_map(|worker| worker.runs).map(|(id, site, since)| (id, (site, since))).collect();
        let mut unseen = running.clone();
        dump.tasks.reserve(facts.len() + running.len());
        // Not what is kept, which a thread that was held up between its look and its store may have set back.
        let (coarse, real, measured) = ((self.clock.now() >> 24) as u32, real_now(), self.timing.is_on());
        for fact in &facts {
            unseen.remove(&fact.id);
            let age = if measured && fact.in_micros {
                histogram::queued_for(fact.since, real)
            } else {
                let units = coarse.wrapping_sub(fact.since) & TIME_MASK;
                Duration::from_nanos(u64::from(units) << 24)
            };
            dump.tasks.push(info(fact, running.get(&fact.id).map(|(_, since)| *since), age, &enrolled));
        }
        // They may end a task's cell; what is dropped with it is ours.
        discard(facts);
        dump.tasks.extend(unseen.into_iter().map(|(id, (location, since))| TaskInfo {
            id,
            name: None,
            state: TaskState::Running,
            wait: Reason::Unknown,
            since,
            location,
            descriptors: Vec::new(),
        }));
        let (jobs, waiting) = self.pool.jobs();
        let now = self.clock.now();
        dump.tasks.extend(jobs.into_iter().map(|job| job_info(job, now)));
        // Who has finished between the registry and here may be counted in neither; who was spawned, as unlisted.
        let sums = self.sums();
        dump.live = (sums.spawned.saturating_sub(sums.finished) as usize).max(dump.tasks.len() + waiting);
        dump.jobs_waiting = waiting;
        dump.unlisted = dump.live - dump.tasks.len() - waiting;
        (dump.active, dump.spare) = self.table.look(|_, _| {});
        dump.parked = self.look_at_parked(|_| {});
        dump.tasks.sort_unstable_by_key(|task| task.id);
        dump
    }

    fn facts(&self) -> Vec<Fact> {
        let mut facts = Vec::new();
        for number in 0..self.registry.numbers() {
            // Before the lock is taken.
            facts.reserve(PAGE as usize);
            self.registry.visit_page(number, |waker, meta| facts.push(Fact::new(waker, meta)));
        }
        facts
    }

    fn workers(&self) -> Vec<WorkerInfo> {
        let now = self.clock.now();
        // One that was just hired may have a task in its hands before it stands as active.
        let is_here = |worker: &&Worker| worker.standing() != Standing::Resting || worker.pulse.running().is_some();
        let here = self.table.workers().filter(is_here);
        here.map(|worker| {
            let since = Duration::from_nanos(now.saturating_sub(worker.pulse.looked.load(Ordering::Relaxed)));
            WorkerInfo {
                index: worker.index,
                runs: worker.pulse.running().map(|(id, site)| (id, site, since)),
                blocked: worker.pulse.blocked.load(Ordering::Relaxed),
                queued: worker.ring.len() + usize::from(!worker.slot.is_empty()),
            }
        })
        .collect()
    }
}

/// Whether the poller may know more of who waits so.
fn has_descriptor(reason: Reason) -> bool {
    reason == Reason::Select || direction(reason).is_some()
}

/// The direction in which a task waits for one thing.
fn direction(reason: Reason) -> Option<Direction> {
    match reason {
        Reason::Read | Reason::Accept | Reason::Process | Reason::Signal => Some(Direction::Read),
        Reason::Write | Reason::Connect => Some(Direction::Write),
        _ => None,
    }
}

/// By the data of their wakers.
fn enrolled(list: Vec<Enrolment>) -> HashMap<usize, Vec<Interest>> {
    let mut enrolled: HashMap<usize, Vec<Interest>> = HashMap::with_capacity(list.len());
    for Enrolment { waker, descriptor, direction } in list {
        enrolled.entry(waker).or_default().push(Interest { descriptor, direction });
    }
    enrolled
}

fn info(fact: &Fact, running: Option<Duration>, age: Duration, enrolled: &HashMap<usize, Vec<Interest>>) -> TaskInfo {
    let (state, wait, since) = match (running, fact.wait) {
        (Some(since), _) => (TaskState::Running, Reason::Unknown, since),
        (None, None) => (TaskState::Ready, Reason::Unknown, age),
        (None, Some(wait)) => (TaskState::Parked, wait, age),
    };
    let mut descriptors = Vec::new();
    if let Some((waker, _)) = &fact.kept
        && has_descriptor(wait)
        && let Some(interests) = enrolled.get(&waker.data().addr())
    {
        let wanted = direction(wait);
        descriptors.extend(interests.iter().filter(|it| wanted.is_none_or(|wanted| it.direction == wanted)));
        descriptors.sort_unstable_by_key(|it: &Interest| (it.descriptor, it.direction == Direction::Write));
    }
    TaskInfo { id: fact.id, name: fact.name(), state, wait, since, location: fact.location, descriptors }
}

fn job_info(job: pool::Running, now: u64) -> TaskInfo {
    TaskInfo {
        id: job.id,
        name: job.name.map(String::from),
        state: TaskState::Blocking,
        wait: Reason::Unknown,
        since: Duration::from_nanos(now.saturating_sub(job.since)),
        location: job.location,
        descriptors: Vec::new(),
    }
}

// ---- the table

/// The widths of the table's columns, those after the first with two blanks before them.
const COUNT: usize = 9;
const STATE: usize = 20;
const AGE: usize = 8;
const SITE: usize = 36;
/// Columns in which a line should end.
const LINE: usize = 120;

impl fmt::Display for TaskDump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.head(f)?;
        self.show_workers(f)?;
        if self.tasks.is_empty() {
            return Ok(());
        }
        writeln!(f, "\n{:>COUNT$}  {:STATE$}  {:>AGE$}  {:SITE$}  tasks", "count", "state", "oldest", "spawned at")?;
        groups(&self.tasks).iter().try_for_each(|group| show_group(group, f))
    }
}

impl TaskDump {
    fn head(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |state| Grouped(self.tasks.iter().filter(|task| task.state == state).count());
        let blocked = self.workers.iter().filter(|worker| worker.blocked).count();
        writeln!(
            f,
            "runtime {:?}; workers: {} active, {} of these parked, {} spare, {} blocked",
            self.runtime, self.active, self.parked, self.spare, blocked
        )?;
        write!(
            f,
            "tasks: {} live, {} listed: {} running, {} ready, {} parked, {} in the blocking pool",
            Grouped(self.live),
            Grouped(self.tasks.len()),
            count(TaskState::Running),
            count(TaskState::Ready),
            count(TaskState::Parked),
            count(TaskState::Blocking),
        )?;
        if self.unlisted > 0 {
            write!(f, "; {} queued and never parked yet", Grouped(self.unlisted))?;
        }
        if self.jobs_waiting > 0 {
            write!(f, "; {} waiting for the blocking pool", Grouped(self.jobs_waiting))?;
        }
        writeln!(f)
    }

    fn show_workers(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut idle = 0;
        for worker in &self.workers {
            if worker.runs.is_none() && !worker.blocked && worker.queued == 0 {
                idle += 1;
                continue;
            }
            write!(f, "worker {}", worker.index)?;
            match worker.runs {
                Some((id, site, since)) => {
                    let does = if worker.blocked { "is blocked by" } else { "runs" };
                    write!(f, " {does} task {id} for {}, spawned at {site}", Age(since))?;
                }
                None => f.write_str(" is between two tasks")?,
            }
            if worker.queued > 0 {
                write!(f, "; {} queued", worker.queued)?;
            }
            writeln!(f)?;
        }
        match idle {
            0 => Ok(()),
            1 => writeln!(f, "1 worker is idle"),
            n => writeln!(f, "{n} workers are idle"),
        }
    }
}

/// Tasks of the same state, site and kind of name, the largest group first.
fn groups(tasks: &[TaskInfo]) -> Vec<Vec<&TaskInfo>> {
    let mut by_kind: HashMap<_, Vec<&TaskInfo>> = HashMap::new();
    for task in tasks {
        let kind = task.name.as_deref().map(kind);
        by_kind.entry((task.state, task.wait, ByPlace(task.location), kind)).or_default().push(task);
    }
    let mut groups: Vec<_> = by_kind.into_values().collect();
    groups.sort_by_key(|group| (Reverse(group.len()), group[0].state, group[0].id));
    groups
}

/// A site as its text has it: the same call may have several addresses.
struct ByPlace(&'static Location<'static>);

impl ByPlace {
    fn key(&self) -> (&str, u32, u32) {
        (self.0.file(), self.0.line(), self.0.column())
    }
}

impl PartialEq for ByPlace {
    fn eq(&self, other: &ByPlace) -> bool {
        self.key() == other.key()
    }
}

impl Eq for ByPlace {}

impl std::hash::Hash for ByPlace {
    fn hash<H: std::hash::Hasher>(&self, hasher: &mut H) {
        self.key().hash(hasher);
    }
}

/// A name without its numbers: those who count their tasks in the names want one line for them.
fn kind(name: &str) -> String {
    let mut kind = String::with_capacity(name.len());
    for letter in name.chars() {
        match letter {
            '0'..='9' if kind.ends_with('#') => {}
            '0'..='9' => kind.push('#'),
            letter => kind.push(letter),
        }
    }
    kind
}

fn show_group(group: &[&TaskInfo], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (first, count) = (group[0], group.len());
    let oldest = group.iter().map(|task| task.since).max().unwrap_or_default();
    let mut line = format!("{:>COUNT$}  ", Grouped(count).to_string());
    write!(line, "{:STATE$}  {:>AGE$}  ", state(group), Age(oldest).to_string())?;
    write!(line, "{:SITE$}  ", first.location.to_string())?;
    if let Some(name) = &first.name {
        // With whatever a terminal might obey put into words.
        write!(line, "{:?} ", if count > 1 { kind(name) } else { name.clone() })?;
    }
    for (shown, task) in group.iter().enumerate() {
        let id = task.id.to_string();
        // A blank before it and a comma behind.
        if shown > 0 && line.len() + id.len() + " , ...".len() > LINE {
            line.push_str(" ...");
            break;
        }
        let comma = if shown + 1 < count { "," } else { "" };
        let blank = if shown > 0 { " " } else { "" };
        write!(line, "{blank}{id}{comma}")?;
    }
    writeln!(f, "{}", line.trim_end())
}

/// What the tasks of a group do, and of a single one on which descriptors.
fn state(group: &[&TaskInfo]) -> String {
    let task = group[0];
    let mut text = match task.state {
        TaskState::Running => "running".to_owned(),
        TaskState::Ready => "ready".to_owned(),
        TaskState::Blocking => "in blocking pool".to_owned(),
        TaskState::Parked => task.wait.as_str().to_owned(),
    };
    if let [task] = group {
        for (n, interest) in task.descriptors.iter().enumerate() {
            text.push_str(match (n, task.descriptors.len()) {
                (0, 1) => ", fd ",
                (0, _) => ", fds ",
                _ => " ",
            });
            // Infallible: it is a String.
            let _ = write!(text, "{}", interest.descriptor);
            if direction(task.wait).is_none() {
                text.push_str(match interest.direction {
                    Direction::Read => " read",
                    Direction::Write => " write",
                });
            }
        }
    }
    text
}

/// A duration as one reads it.
struct Age(Duration);

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (millis, seconds) = (self.0.as_millis(), self.0.as_secs());
        match seconds {
            0 => write!(f, "{millis} ms"),
            // Cut and not rounded, so that it never says 60.0 s.
            1..60 => write!(f, "{seconds}.{} s", millis / 100 % 10),
            60..7200 => write!(f, "{} min", seconds / 60),
            7200..172_800 => write!(f, "{} h", seconds / 3600),
            _ => write!(f, "{} days", seconds / 86_400),
        }
    }
}

/// A number with a comma before each three digits.
struct Grouped(usize);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (n, digit) in digits.chars().enumerate() {
            if n > 0 && (digits.len() - n).is_multiple_of(3) {
                f.write_char(',')?;
            }
            f.write_char(digit)?;
        }
        Ok(())
    }
}
