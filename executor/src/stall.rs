//! A task that held up its worker while others waited, as it is reported.
//!
//! The monitor finds it (`monitor/`) and tells of it once per place of spawn, so that a handler that blocks a thousand times is
//! one line in the log; the metrics count each. For those who ask later a table keeps, for each of the places that stalled last, how
//! often that was and for how long. Only the monitor writes it, when it marks a worker and while the mark stands; tasks pay nothing.

use crate::{
    core::{Core, drop_payload},
    task::{Id, contain},
};
use std::{
    collections::HashSet,
    fmt,
    panic::Location,
    ptr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Places of spawn of which the stalls are kept. For a further one the place goes whose last stall was the longest ago.
const SITES: usize = 64;

/// Called with a stall.
pub(crate) type StallHook = Arc<dyn Fn(&Stall) + Send + Sync>;

/// A poll that held up its worker for longer than the runtime's threshold while other tasks, timers or descriptors waited, so
/// that another worker was added.
#[derive(Clone, Debug)]
pub struct Stall {
    pub(crate) task: Option<(Id, &'static Location<'static>)>,
    pub(crate) duration: Duration,
    pub(crate) ended: bool,
    pub(crate) asleep: bool,
}

impl Stall {
    /// The task; none if it was a waker that timers or poller woke, or a hook.
    pub fn task(&self) -> Option<Id> {
        self.task.map(|(id, _)| id)
    }

    /// Where the task was spawned.
    pub fn location(&self) -> Option<&'static Location<'static>> {
        self.task.map(|(_, site)| site)
    }

    /// How long the worker was held up, to a few milliseconds; if it still [is](Self::has_ended), so far.
    pub fn duration(&self) -> Duration {
        self.duration
    }

    /// Whether the worker goes on. One that is held up for more than a second is reported before.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether its thread slept in a system call when it was found: `spawn_blocking` is for such work. Otherwise it computed.
    /// Known on Linux only; false elsewhere.
    pub fn was_asleep(&self) -> bool {
        self.asleep
    }
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.task {
            Some((id, site)) => write!(f, "task {id}, spawned at {site}, ")?,
            None => f.write_str("a waker ")?,
        }
        let verb = match (self.ended, self.asleep) {
            (true, true) => "blocked",
            (true, false) => "held up",
            (false, true) => "has blocked",
            (false, false) => "has held up",
        };
        write!(f, "{verb} its worker for {} ms while others waited", self.duration.as_millis())
    }
}

/// The stalls of the tasks that were spawned at one place: what [`Handle::stalls`](crate::Handle::stalls) tells.
#[derive(Clone, Debug)]
pub struct StallSite {
    location: Option<&'static Location<'static>>,
    count: u64,
    longest: Duration,
    last_task: Option<Id>,
}

impl StallSite {
    /// Where the tasks were spawned; none for the wakers that timers or poller woke, and for hooks.
    pub fn location(&self) -> Option<&'static Location<'static>> {
        self.location
    }

    /// How many stalls there were, one that has not ended included.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The longest of them, to a few milliseconds; one that has not ended counts as far as it was seen.
    pub fn longest(&self) -> Duration {
        self.longest
    }

    /// The task that stalled last; none without a [`location`](Self::location).
    pub fn last_task(&self) -> Option<Id> {
        self.last_task
    }
}

impl fmt::Display for StallSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stalls = if self.count == 1 { "stall" } else { "stalls" };
        write!(f, "{} {stalls} of at most {} ms by ", self.count, self.longest.as_millis())?;
        match (self.location, self.last_task) {
            (Some(site), Some(id)) => write!(f, "tasks spawned at {site}, the last one task {id}"),
            _ => f.write_str("wakers"),
        }
    }
}

/// The places that stalled last. The monitor writes, anybody reads.
#[derive(Default)]
pub(crate) struct Sites(Mutex<Vec<StallSite>>);

impl Sites {
    /// In the order of their last stalls.
    fn lock(&self) -> MutexGuard<'_, Vec<StallSite>> {
        // No foreign code runs under it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A stall was found.
    pub(crate) fn count(&self, task: Option<(Id, &'static Location<'static>)>) {
        let (last_task, location) = task.unzip();
        let mut sites = self.lock();
        let mut site = match sites.iter().position(|site| site.location == location) {
            Some(place) => sites.remove(place),
            None => {
                if sites.len() == SITES {
                    sites.remove(0);
                }
                StallSite { location, count: 0, longest: Duration::ZERO, last_task }
            }
        };
        site.count += 1;
        site.last_task = last_task;
        sites.push(site);
    }

    /// A stall that was counted has lasted so long.
    pub(crate) fn lasted(&self, task: Option<(Id, &'static Location<'static>)>, duration: Duration) {
        let location = task.map(|(_, site)| site);
        if let Some(site) = self.lock().iter_mut().find(|site| site.location == location) {
            site.longest = site.longest.max(duration);
        }
    }

    /// The last one first.
    pub(crate) fn list(&self) -> Vec<StallSite> {
        self.lock().iter().rev().cloned().collect()
    }

    pub(crate) fn clear(&self) {
        self.lock().clear();
    }
}

/// The places of spawn that were reported.
#[derive(Default)]
pub(crate) struct Reported(HashSet<*const Location<'static>>);

impl Reported {
    /// Tells the user, if this place is new.
    pub(crate) fn report(&mut self, core: &Core, stall: &Stall) {
        if !self.0.insert(place(stall.task)) {
            return;
        }
        #[cfg(feature = "log")]
        log::warn!(target: "gambol", "{stall}");
        #[cfg(feature = "tracing")]
        tracing::warn!(target: "gambol", "{stall}");
        if let Some(hook) = &core.config().on_stall
            && let Err(payload) = contain(|| hook(stall))
        {
            drop_payload(payload);
        }
    }
}

fn place(task: Option<(Id, &'static Location<'static>)>) -> *const Location<'static> {
    task.map_or(ptr::null(), |(_, site)| ptr::from_ref(site))
}

#[cfg(all(test, not(gambol_loom)))]
mod tests {
    use super::*;

    #[track_caller]
    fn at() -> &'static Location<'static> {
        Location::caller()
    }

    fn task(number: u64, place: &'static Location<'static>) -> Option<(Id, &'static Location<'static>)> {
        Some((Id::new(0, number), place))
    }

    #[test]
    fn a_place_has_its_count_its_longest_and_its_last() {
        let sites = Sites::default();
        let (one, other) = (at(), at());
        for (number, place, millis) in [(1, one, 20), (2, other, 5), (3, one, 10)] {
            sites.count(task(number, place));
            sites.lasted(task(number, place), Duration::from_millis(millis));
        }
        sites.count(None);
        let told: Vec<_> = sites.list().iter().map(StallSite::to_string).collect();
        let expected = [
            "1 stall of at most 0 ms by wakers".to_owned(),
            format!("2 stalls of at most 20 ms by tasks spawned at {one}, the last one task {}", Id::new(0, 3)),
            format!("1 stall of at most 5 ms by tasks spawned at {other}, the last one task {}", Id::new(0, 2)),
        ];
        assert_eq!(told, expected);
        sites.clear();
        assert!(sites.list().is_empty());
    }

    #[test]
    fn the_place_whose_last_stall_was_the_longest_ago_goes_when_there_are_many() {
        #[rustfmt::skip]
        let places = [
            at(), at(), at(), at(), at(), at(), at(), at(), at(), at(), at(), at(), at(), at(), at(), at(), at(),
            at(), at(), at(), at(), at(), at(), at(), at(), at(), at(), at(), at(), at(), at(), at(), at(), at(),
            at(), at(), at(), at(), at(), at(), at(), at(), at(), at(), at(), at(), at(), at(), at(), at(), at(),
            at(), at(), at(), at(), at(), at(), at(), at(), at(), at(), at(), at(), at(), at(), at(), at(), at(),
        ];
        let sites = Sites::default();
        for place in &places[..SITES] {
            sites.count(task(1, place));
        }
        // The first is not the oldest any more.
        sites.count(task(2, places[0]));
        sites.count(task(3, places[SITES]));
        let told = sites.list();
        assert_eq!(told.len(), SITES);
        let has = |place| told.iter().any(|site| site.location() == Some(place));
        assert_eq!((has(places[0]), has(places[1]), has(places[2]), has(places[SITES])), (true, false, true, true));
        assert_eq!((told[0].count(), told[1].count(), told[2].count()), (1, 2, 1));
    }
}
