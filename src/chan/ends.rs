//! Who uses which end of which channel, as far as that can be seen: for hints at tasks that may wait for each other for ever.
//!
//! A channel does not know who has its handles: they are moved without a trace. What can be seen is which task used one last, and
//! how many there are. So while recording is on, each use of an end is noted in a table beside the channels, and with it who stands in
//! which line. A hint is then a closed set of tasks: each of them waits for channels of which *every* handle, on both sides, was
//! used by a member of the set, none of which has done anything for a while. It is the largest such set: begin with all tasks that have
//! waited long enough, take out whoever waits for a channel that somebody outside of the set may use, until nobody is left to take out.
//!
//! Whatever is not known speaks against the hint: a handle that nobody has used, or only a thread or a `block_on`; a weak handle;
//! a channel that was made before recording was on; a task that also waits for something else. After a task has dropped a handle
//! it counts as a user no more, also if it has another; if a handle is dropped by somebody who was not known to have one, nobody counts.
//!
//! What can still mislead, and makes it a hint: a handle that was used and then given to another task, which has not used it yet; one that
//! several tasks share by reference, of which one has not used it yet; and a task that waits for several things at once, other than by
//! `select!`, and asked the channel last.
//!
//! Left: tasks in a `select!` (its other arms may be anything; they count as alive), and handles of tasks that have ended, which
//! cannot be told from tasks that run.
//!
//! Off, it costs one load and one branch on a line that nobody writes, two instructions, per operation on a channel: 4.5 of 226 for
//! a send and a receive without a wait, 1.4 of 1438 for a message that wakes a task. On, a lock for the process and a few searches
//! in maps.

use super::{line::Place, shared::Shared, sync};
use gambol_executor::{Id, Reason, TaskInfo, current_task, parked_tasks, spawn_thread};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    env, fmt, ptr,
    sync::{
        Mutex, MutexGuard, Once, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Nobody has asked yet what the environment says.
const UNREAD: u8 = 0;
const OFF: u8 = 1;
const ON: u8 = 2;

/// Changed under the table's lock.
static STATE: AtomicU8 = AtomicU8::new(UNREAD);
static TABLE: Mutex<Option<Table>> = Mutex::new(None);

/// What is known of the channels, by their addresses. A channel is taken out before its memory is given back.
#[derive(Default)]
struct Table {
    channels: HashMap<usize, Ends>,
    /// Who stands in which line of which channel, and since when. By channel, line and place.
    lines: BTreeMap<(usize, Line, u32), (Id, Instant)>,
}

#[derive(Default)]
struct Ends {
    /// Of senders and of receivers: how many there are, and who has used one.
    handles: [usize; 2],
    users: [BTreeSet<User>; 2],
    /// There may be a weak handle, of which a handle may be made.
    weak: bool,
}

/// A side of a channel.
#[derive(Clone, Copy, Debug)]
pub(super) enum Side {
    Senders,
    Receivers,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Line {
    Send,
    Receive,
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum User {
    Task(Id),
    /// A thread, or the future of a `block_on`.
    Other,
}

/// Whether it is to be recorded.
#[inline]
pub(super) fn on() -> bool {
    !cfg!(gambol_loom) && STATE.load(Ordering::Relaxed) == ON
}

fn lock() -> MutexGuard<'static, Option<Table>> {
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn key<T>(channel: &Shared<T>) -> usize {
    ptr::from_ref(channel).addr()
}

fn user() -> User {
    current_task().map_or(User::Other, User::Task)
}

/// Changes what is known of a channel, if anything is.
fn note<T>(channel: &Shared<T>, change: impl FnOnce(&mut Ends)) {
    let mut table = lock();
    if let Some(table) = &mut *table
        && let Some(ends) = table.channels.get_mut(&key(channel))
    {
        // Under the lock, so that who notes last has seen what everybody before has counted.
        let count = |handles: &sync::AtomicUsize| handles.load(sync::Ordering::Relaxed);
        ends.handles = [count(&channel.senders), count(&channel.receivers)];
        change(ends);
    }
}

/// A channel was made.
#[inline]
pub(super) fn made<T>(channel: &Shared<T>) {
    if !cfg!(gambol_loom) && STATE.load(Ordering::Relaxed) != OFF {
        made_slow(channel);
    }
}

#[cold]
fn made_slow<T>(channel: &Shared<T>) {
    ask_environment();
    if let Some(table) = &mut *lock() {
        table.channels.insert(key(channel), Ends { handles: [1, 1], ..Ends::default() });
    }
}

/// It ends.
#[cold]
pub(super) fn ended<T>(channel: &Shared<T>) {
    let mut table = lock();
    if let Some(table) = &mut *table
        && table.channels.remove(&key(channel)).is_some()
    {
        let all = (key(channel), Line::Send, 0)..=(key(channel), Line::Closed, u32::MAX);
        let lines: Vec<_> = table.lines.range(all).map(|(&line, _)| line).collect();
        for line in lines {
            table.lines.remove(&line);
        }
    }
}

/// The caller uses a handle.
#[cold]
pub(super) fn used<T>(channel: &Shared<T>, side: Side) {
    note(channel, |ends| {
        ends.users[side as usize].insert(user());
    });
}

/// There is one handle more.
#[cold]
pub(super) fn cloned<T>(channel: &Shared<T>) {
    note(channel, |_| {});
}

/// There is one handle less, which the caller had.
#[cold]
pub(super) fn dropped<T>(channel: &Shared<T>, side: Side) {
    note(channel, |ends| {
        let users = &mut ends.users[side as usize];
        if !users.remove(&user()) {
            users.clear();
        }
    });
}

/// There may be weak handles.
#[cold]
pub(super) fn downgraded<T>(channel: &Shared<T>) {
    note(channel, |ends| ends.weak = true);
}

/// The place of a future before it was polled.
#[derive(Clone, Copy)]
pub(super) struct Stood(Option<u32>);

impl Stood {
    pub(super) fn at(place: Option<&Place>) -> Stood {
        Stood(place.map(Place::number))
    }

    /// The future was polled, and stands at `now`; or it has left the line.
    #[cold]
    pub(super) fn stands<T>(self, channel: &Shared<T>, line: Line, now: Option<&Place>) {
        let mut table = lock();
        let Some(table) = &mut *table else { return };
        let (channel, now) = (key(channel), now.map(Place::number));
        if let Some(before) = self.0
            && self.0 != now
        {
            table.lines.remove(&(channel, line, before));
        }
        let Some(now) = now else { return };
        if !table.channels.contains_key(&channel) {
            return;
        }
        let place = (channel, line, now);
        match current_task() {
            Some(task) if table.lines.get(&place).is_none_or(|before| before.0 != task) => {
                table.lines.insert(place, (task, Instant::now()));
            }
            Some(_) => {}
            None => {
                table.lines.remove(&place);
            }
        }
    }
}

/// Switches the recording for [`leak_hints`] on or off, for all channels that are made from then on. It is off at first, unless the
/// environment has `GAMBOL_LEAKS`. What was recorded is forgotten.
///
/// While it is on, each operation on a channel takes a lock that all share.
///
/// With `GAMBOL_LEAKS=30` in its environment a program records from its first channel on, and a thread tells on stderr every 30
/// seconds of tasks that have been waiting for as long, each of them once. Fractions are allowed.
pub fn watch_ends(on: bool) {
    ask_environment();
    switch(on);
}

fn switch(on: bool) {
    let mut table = lock();
    let before = if on { table.replace(Table::default()) } else { table.take() };
    STATE.store(if on { ON } else { OFF }, Ordering::Relaxed);
    drop(table);
    drop(before);
}

/// Does what the environment says, once.
fn ask_environment() {
    static ASKED: Once = Once::new();
    ASKED.call_once(|| {
        let Some(text) = env::var_os("GAMBOL_LEAKS") else { return switch(false) };
        let seconds = text.to_str().and_then(|text| text.parse().ok()).filter(|&seconds| seconds > 0.0);
        match seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) {
            Some(after) => {
                switch(true);
                if let Err(error) = spawn_thread("gambol-leaks".to_owned(), None, move || tell_all(after)) {
                    eprintln!("gambol: there is no thread for GAMBOL_LEAKS: {error}");
                }
            }
            None => {
                eprintln!("gambol: GAMBOL_LEAKS={text:?} is not a number of seconds, and is ignored");
                switch(false);
            }
        }
    });
}

/// What the thread does.
fn tell_all(after: Duration) {
    let mut told = HashSet::new();
    loop {
        thread::sleep(after);
        let hints = leak_hints(after);
        for hint in hints.iter().filter(|hint| !told.contains(&hint.task.id)) {
            eprintln!("gambol: {hint}");
        }
        // Those that wait no more are forgotten.
        told = hints.iter().map(|hint| hint.task.id).collect();
    }
}

/// Tasks that have waited for at least `after` to send or to receive, and seem to wait for each other: all handles of the channels
/// that they wait for were last used by tasks that wait like this themselves.
///
/// **It is a hint.** Recording must have been switched on, by [`watch_ends`] or in the environment, before the channels were made;
/// without it there is none. What is not known to be stuck counts as alive: a handle that no task has used yet, one that a thread
/// or the future of a [`block_on`](crate::block_on) has used, a weak one; a task in a `select!`. It can be wrong where a handle was
/// used by one task and then given to another, or is shared, or where a task waits for a channel and something else at once in a
/// way other than `select!`. So choose `after` longer than such a pause may be.
///
/// ```
/// use gambol::{chan, time::{Duration, sleep}};
///
/// # gambol::block_on(async {
/// chan::watch_ends(true);
/// let (tx, rx) = chan::unbuffered::<u32>();
/// // It waits for a value that only it could send.
/// let stuck = gambol::spawn(async move {
///     let _ = tx.try_send(1);
///     rx.recv().await
/// });
/// let hint = loop {
///     if let Some(hint) = chan::leak_hints(Duration::from_millis(50)).pop() {
///         break hint;
///     }
///     sleep(Duration::from_millis(10)).await;
/// };
/// assert_eq!(hint.task().id, stuck.id());
/// # chan::watch_ends(false);
/// # });
/// ```
pub fn leak_hints(after: Duration) -> Vec<LeakHint> {
    // First who waits for what, by their own word; then who stands where. A task that goes on between the two leaves its line.
    let tasks: HashMap<Id, TaskInfo> = parked_tasks().into_iter().map(|task| (task.id, task)).collect();
    let table = lock();
    let Some(table) = &*table else { return Vec::new() };
    let now = Instant::now();
    // The channels that each waits for, and whether all have waited long enough.
    let mut waiting: BTreeMap<Id, (BTreeSet<usize>, bool)> = BTreeMap::new();
    for (&(channel, ..), &(task, since)) in &table.lines {
        let (channels, long) = waiting.entry(task).or_insert((BTreeSet::new(), true));
        channels.insert(channel);
        *long &= now.saturating_duration_since(since) >= after;
    }
    waiting.retain(|task, (_, long)| {
        *long && tasks.get(task).is_some_and(|task| matches!(task.wait, Reason::ChanSend | Reason::ChanRecv))
    });
    loop {
        let may_go_on = |channels: &BTreeSet<usize>| {
            let mut channels = channels.iter().filter_map(|channel| table.channels.get(channel));
            channels.any(|ends| !ends.are_all(|task| waiting.contains_key(&task)))
        };
        let alive: Vec<Id> =
            waiting.iter().filter(|(_, (channels, _))| may_go_on(channels)).map(|(&task, _)| task).collect();
        if alive.is_empty() {
            break;
        }
        alive.iter().for_each(|task| drop(waiting.remove(task)));
    }
    let hint = |(task, (channels, _)): (&Id, &(BTreeSet<usize>, bool))| {
        let ends = channels.iter().filter_map(|channel| table.channels.get(channel));
        let others: BTreeSet<Id> = ends.flat_map(Ends::tasks).filter(|other| other != task).collect();
        LeakHint { task: tasks[task].clone(), others: others.into_iter().collect() }
    };
    waiting.iter().map(hint).collect()
}

impl Ends {
    /// Whether all handles are known to be those of such tasks.
    fn are_all(&self, mut such: impl FnMut(Id) -> bool) -> bool {
        let known = self.handles.iter().zip(&self.users).all(|(&handles, users)| handles == users.len());
        let all = self.users.iter().flatten().all(|user| match user {
            User::Task(task) => such(*task),
            User::Other => false,
        });
        known && all && !self.weak
    }

    fn tasks(&self) -> impl Iterator<Item = Id> {
        self.users.iter().flatten().filter_map(|user| match user {
            User::Task(task) => Some(*task),
            User::Other => None,
        })
    }
}

/// A task that may wait for ever; see [`leak_hints`]. Its Display is a sentence with the place where it was spawned.
#[derive(Clone, Debug)]
pub struct LeakHint {
    task: TaskInfo,
    others: Vec<Id>,
}

impl LeakHint {
    /// The task.
    pub fn task(&self) -> &TaskInfo {
        &self.task
    }

    /// The other tasks that have used the channels for which it waits. They are as stuck as this one, each with a hint of its own.
    pub fn others(&self) -> &[Id] {
        &self.others
    }
}

impl fmt::Display for LeakHint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LeakHint { task, others } = self;
        write!(f, "task {}", task.id)?;
        if let Some(name) = &task.name {
            write!(f, " {name:?}")?;
        }
        let age = task.since.as_secs_f64();
        write!(f, " may wait for ever: for {} since {age:.1} s, spawned at {}", task.wait, task.location)?;
        match &others[..] {
            [] => f.write_str("; only it has used that channel"),
            [first, rest @ ..] => {
                write!(f, "; whoever has used that channel waits as well: task {first}")?;
                rest.iter().take(7).try_for_each(|task| write!(f, ", {task}"))?;
                if rest.len() > 7 {
                    write!(f, " and {} more", rest.len() - 7)?;
                }
                Ok(())
            }
        }
    }
}
