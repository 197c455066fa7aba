//! The board: who may act, who acts, what holds the time. Plain data under the stage's lock; it calls nobody, and what it
//! returns says what its caller owes when the lock is free.

use super::{guest::Guest, streams::Streams};
use std::{collections::VecDeque, sync::Arc, task::Waker};

/// Who waits for a baton.
pub(super) enum Entry<T> {
    /// A task, for whichever worker.
    Task(T),
    /// A thread that is in `block_on`, or comes back from blocking.
    Guest(Waiter),
}

/// A task that was drawn, with the number of the worker that it runs as and the seed of its random choices.
pub(super) struct Turn<T> {
    pub(super) task: T,
    pub(super) lane: u16,
    pub(super) random: Option<u64>,
}

/// A baton was given out, and whoever got it must be woken when the lock is free.
#[must_use]
pub(super) enum Grant {
    /// To this thread.
    Guest(Arc<Guest>),
    /// To this worker's thread, which finds its turn with `take`.
    Worker(u16),
    /// To a worker that there is no thread for (`is_short`): one is to be hired, which finds its turn with `take`.
    Hire,
}

/// A guest that sleeps.
pub(super) struct Waiter {
    pub(super) guest: Arc<Guest>,
    /// Some: it is a worker's thread, in so many turns one inside the other, and could give another meanwhile.
    pub(super) nested: Option<u32>,
}

/// Somebody who moves the clock.
pub(super) struct Advance {
    pub(super) id: u64,
    pub(super) target: u64,
    pub(super) waker: Waker,
}

/// See the head of `mod.rs`. Every field belongs to who has the stage's lock.
pub(super) struct Board<T> {
    /// Batons that are out: turns, guests that act, and whoever moves the time.
    pub(super) acting: usize,
    /// Who waits for one. Changed by `push` and `start`.
    ready: VecDeque<Entry<T>>,
    /// The numbers that no running turn has.
    lanes: Vec<u16>,
    /// Worker threads with nothing to do, or on their way to that; ascending.
    idle: Vec<u16>,
    /// Turns for worker threads that have been told.
    given: Vec<(u16, Turn<T>)>,
    /// Turns that no thread is there for yet.
    unmanned: VecDeque<Turn<T>>,
    parked: Vec<Waiter>,
    /// Turns for guests that have been told, in whose sleep they are given.
    errands: Vec<(Arc<Guest>, Turn<T>)>,
    /// Threads that are in a `block_on` which began without a baton, asleep or not.
    pub(super) guests: usize,
    /// Blocking jobs that are queued or run, and threads that are aside: time does not leap beside them.
    pub(super) holds: usize,
    /// Some: one baton, in an order that is drawn.
    streams: Option<Streams>,
    /// Who moves the clock by hand.
    pub(super) advances: Vec<Advance>,
    /// The last guest has left: what is ready stays so until something happens outside.
    pub(super) paused: bool,
    /// All who wait for sockets have been woken to see who still does, and nothing has happened since.
    pub(super) called: bool,
    /// The deadline on the real clock that the ground thread sleeps until at most.
    pub(super) watched: u64,
    /// Everyone acts as he likes: the runtime ends, or has not begun.
    pub(super) closed: bool,
}

impl Waiter {
    /// A guest that gives no turns.
    pub(super) fn new(guest: &Arc<Guest>) -> Waiter {
        Waiter { guest: guest.clone(), nested: None }
    }
}

impl<T> Board<T> {
    /// A board for so many workers, which are on their way.
    pub(super) fn new(workers: u16, seed: Option<u64>) -> Board<T> {
        Board {
            acting: 0,
            ready: VecDeque::new(),
            lanes: (0..workers).collect(),
            idle: (0..workers).collect(),
            given: Vec::new(),
            unmanned: VecDeque::new(),
            parked: Vec::new(),
            errands: Vec::new(),
            guests: 0,
            holds: 0,
            streams: seed.map(Streams::new),
            advances: Vec::new(),
            paused: false,
            called: false,
            watched: u64::MAX,
            closed: false,
        }
    }

    /// A board that keeps nobody from acting.
    pub(super) fn closed() -> Board<T> {
        Board { closed: true, ..Board::new(0, None) }
    }

    pub(super) fn is_seeded(&self) -> bool {
        self.streams.is_some()
    }

    /// The seed of somebody's random choices, who is about to act.
    pub(super) fn random(&mut self) -> Option<u64> {
        self.streams.as_mut().map(|streams| streams.choices.next() | 1)
    }

    /// Somebody waits for a baton from now on.
    pub(super) fn push(&mut self, entry: Entry<T>) {
        self.ready.push_back(entry);
    }

    /// Gives out a baton, if there is one for somebody who waits.
    pub(super) fn start(&mut self) -> Option<Grant> {
        if self.closed || self.paused {
            return None;
        }
        let entry = match &mut self.streams {
            Some(streams) => {
                if self.acting > 0 || self.ready.is_empty() {
                    return None;
                }
                self.ready.swap_remove_back(streams.order.below(self.ready.len()))?
            }
            // A guest brings its own thread and needs no worker's place.
            None if self.lanes.is_empty() => {
                let place = self.ready.iter().position(|entry| matches!(entry, Entry::Guest(_)))?;
                self.ready.remove(place)?
            }
            None => self.ready.pop_front()?,
        };
        self.acting += 1;
        let random = self.random();
        match entry {
            Entry::Guest(Waiter { guest, .. }) => {
                guest.prepare(random);
                Some(Grant::Guest(guest))
            }
            Entry::Task(task) => {
                let place = self.streams.as_mut().map_or(0, |streams| streams.lanes.below(self.lanes.len()));
                let lane = self.lanes.swap_remove(place);
                Some(self.man(Turn { task, lane, random }))
            }
        }
    }

    /// Finds a thread for a turn: that of its number, or else the first that is idle.
    fn man(&mut self, turn: Turn<T>) -> Grant {
        let place = self.idle.binary_search(&turn.lane).unwrap_or(0);
        if self.idle.is_empty() {
            self.unmanned.push_back(turn);
            return Grant::Hire;
        }
        let thread = self.idle.remove(place);
        self.given.push((thread, turn));
        Grant::Worker(thread)
    }

    /// A worker's thread has nothing to do; or it has just begun, and may be known already.
    pub(super) fn rest(&mut self, thread: u16) {
        if !self.given.iter().any(|(other, _)| *other == thread)
            && let Err(place) = self.idle.binary_search(&thread)
        {
            self.idle.insert(place, thread);
        }
    }

    /// Worker threads with nothing to do.
    pub(super) fn idle(&self) -> &[u16] {
        &self.idle
    }

    /// The turn of a worker's thread, which was idle until now.
    pub(super) fn take(&mut self, thread: u16) -> Option<Turn<T>> {
        if let Some(place) = self.given.iter().position(|(other, _)| *other == thread) {
            return Some(self.given.swap_remove(place).1);
        }
        let turn = self.unmanned.pop_front()?;
        if let Ok(place) = self.idle.binary_search(&thread) {
            self.idle.remove(place);
        }
        Some(turn)
    }

    /// Whether a turn waits for a thread.
    pub(super) fn is_short(&self) -> bool {
        !self.unmanned.is_empty()
    }

    /// A baton comes back; from a turn, with its number, unless it has given that back before.
    pub(super) fn stop(&mut self, lane: Option<u16>) {
        // On a closed board nobody counts.
        self.acting = self.acting.saturating_sub(1);
        self.lanes.extend(lane);
    }

    /// A guest sleeps until it is notified.
    pub(super) fn park(&mut self, waiter: Waiter) {
        self.parked.push(waiter);
    }

    /// No thread can be had for a turn: finds a guest in whose sleep it can be given, the one that is least nested. One that waits for
    /// the baton does as well: with a seed it would wait for this very turn. If there is none, a guest that wants the baton has it first.
    pub(super) fn lend(&mut self) -> Option<Grant> {
        if self.unmanned.is_empty() {
            return None;
        }
        let parked = self.parked.iter().enumerate().map(|(place, waiter)| (waiter.nested, false, place));
        let ready = self.ready.iter().enumerate().filter_map(|(place, entry)| match entry {
            Entry::Guest(waiter) => Some((waiter.nested, true, place)),
            Entry::Task(_) => None,
        });
        let lender = parked.chain(ready).filter(|(nested, ..)| nested.is_some()).min();
        let Some((_, is_ready, place)) = lender else { return self.give_up() };
        let turn = self.unmanned.pop_front()?;
        let guest = match is_ready {
            false => self.parked.swap_remove(place).guest,
            true => match self.ready.remove(place)? {
                Entry::Guest(waiter) => waiter.guest,
                Entry::Task(_) => unreachable!("a guest stood there"),
            },
        };
        self.errands.push((guest.clone(), turn));
        Some(Grant::Guest(guest))
    }

    /// Takes a turn back that there is no thread for, so that a guest can act, which may bring one.
    fn give_up(&mut self) -> Option<Grant> {
        let place = self.ready.iter().position(|entry| matches!(entry, Entry::Guest(_)))?;
        let entry = self.ready.remove(place)?;
        let turn = self.unmanned.pop_back()?;
        self.stop(Some(turn.lane));
        self.ready.push_front(Entry::Task(turn.task));
        self.acting += 1;
        let random = self.random();
        let Entry::Guest(Waiter { guest, .. }) = entry else { unreachable!("a guest stood there") };
        guest.prepare(random);
        Some(Grant::Guest(guest))
    }

    /// The turn that a guest was woken for, if it was not for itself.
    pub(super) fn take_errand(&mut self, guest: &Arc<Guest>) -> Option<Turn<T>> {
        let place = self.errands.iter().position(|(other, _)| Arc::ptr_eq(other, guest))?;
        Some(self.errands.swap_remove(place).1)
    }

    /// A guest that sleeps wants a baton. False: it does not sleep.
    #[must_use]
    pub(super) fn notify(&mut self, guest: &Arc<Guest>) -> bool {
        let Some(place) = self.parked.iter().position(|other| Arc::ptr_eq(&other.guest, guest)) else { return false };
        let waiter = self.parked.swap_remove(place);
        self.push(Entry::Guest(waiter));
        true
    }

    /// Everyone acts as he likes from now on: the tasks that waited, the guests to be woken, the wakers of those who move
    /// the clock.
    pub(super) fn close(&mut self) -> (Vec<T>, Vec<Arc<Guest>>, Vec<Waker>) {
        let old = std::mem::replace(self, Board::closed());
        let mut guests: Vec<_> = old.parked.into_iter().map(|waiter| waiter.guest).collect();
        let mut tasks = Vec::new();
        for entry in old.ready {
            match entry {
                Entry::Task(task) => tasks.push(task),
                Entry::Guest(waiter) => guests.push(waiter.guest),
            }
        }
        tasks.extend(old.given.into_iter().map(|(_, turn)| turn.task));
        // Their guests have been told already, and find nothing.
        tasks.extend(old.errands.into_iter().map(|(_, turn)| turn.task));
        tasks.extend(old.unmanned.into_iter().map(|turn| turn.task));
        (tasks, guests, old.advances.into_iter().map(|advance| advance.waker).collect())
    }
}
