//! Ring, slot and injector in every interleaving, and in every reordering that the model checker knows.
//!
//! Behind each item stands a cell that its publisher fills and its taker empties. So an item that is taken twice, lost, or
//! seen before what it leads to, is found. What makes each model fail stands in `idle/README.md`.
//!
//! The checker has no reads from the future: it cannot find out that `Ring::claim` must be Release, so that a cell is
//! read before its reuse. (By the compare-exchange alone a cell that is read too late is never claimed; too early it can be.)

use super::{Item, Ring, Slot, ring::CAPACITY};
use crate::idle::models::{Part, explore};
use loom::cell::UnsafeCell;
use std::{ptr::NonNull, sync::Arc};

/// What stands behind the items.
struct Tasks(Vec<UnsafeCell<State>>);

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    New,
    Ready,
    Done,
}

// SAFETY: the model checker's cell reports every unsynchronised use instead of performing it.
unsafe impl Sync for Tasks {}
// SAFETY: as above.
unsafe impl Send for Tasks {}

impl Tasks {
    fn new(n: usize) -> Arc<Tasks> {
        Arc::new(Tasks((0..n).map(|_| UnsafeCell::new(State::New)).collect()))
    }

    /// Fills the `n`th, by whoever publishes it.
    fn make(&self, n: usize) -> Item {
        self.step(n, State::New, State::Ready);
        NonNull::from(&self.0[n]).cast()
    }

    /// Empties one, by whoever took it.
    fn run(&self, item: Item) {
        let place = self.0.iter().position(|task| NonNull::from(task).cast() == item);
        self.step(place.expect("an item that was pushed"), State::Ready, State::Done);
    }

    fn step(&self, n: usize, from: State, to: State) {
        // SAFETY: the model checker has seen that nobody else has access.
        self.0[n].with_mut(|state| unsafe {
            assert_eq!(*state, from, "task {n}");
            *state = to;
        });
    }

    fn assert_all_done(&self) {
        // SAFETY: as above.
        self.0.iter().for_each(|task| task.with(|state| assert_eq!(unsafe { *state }, State::Done)));
    }

    /// Runs all that is in a ring.
    fn run_all(&self, ring: &Ring) {
        while let Some(item) = ring.pop() {
            self.run(item);
        }
    }

    /// Pushes as the owner of a ring does, and runs what is spilled.
    fn push(&self, ring: &Ring, n: usize) {
        // SAFETY: each model pushes onto a ring from one thread, after those that did so before.
        if let Err(spill) = unsafe { ring.push(self.make(n)) } {
            assert_eq!(spill.len(), CAPACITY / 2 + 1);
            spill.into_iter().for_each(|item| self.run(item));
        }
    }

    /// Steals into a ring of the thief's own, and runs what it has got.
    fn steal(&self, ring: &Ring) {
        let own = Ring::new();
        // SAFETY: the ring was just made.
        if let Some((first, n)) = unsafe { ring.steal_into(&own) } {
            assert_eq!(own.len(), n - 1);
            self.run(first);
            self.run_all(&own);
        }
    }
}

/// A ring with the first tasks in it.
fn ring(tasks: &Tasks, n: usize) -> Arc<Ring> {
    let ring = Ring::new();
    (0..n).for_each(|n| tasks.push(&ring, n));
    Arc::new(ring)
}

fn part(tasks: &Arc<Tasks>, ring: &Arc<Ring>, f: impl FnOnce(&Tasks, &Ring) + Send + 'static) -> Part {
    let (tasks, ring) = (tasks.clone(), ring.clone());
    Box::new(move || f(&tasks, &ring))
}

/// What the threads have left is there, and nothing else.
fn rest(tasks: Arc<Tasks>, ring: Arc<Ring>) -> Part {
    Box::new(move || {
        tasks.run_all(&ring);
        assert_eq!(ring.len(), 0);
        tasks.assert_all_done();
    })
}

/// Hunted: owner and thief read the same `head`, and both take what stands there.
#[test]
fn a_task_is_run_once_by_owner_or_thief() {
    explore(3, || {
        let tasks = Tasks::new(4);
        let ring = ring(&tasks, 1);
        let owner = part(&tasks, &ring, |tasks, ring| {
            (1..4).for_each(|n| tasks.push(ring, n));
            ring.pop().into_iter().chain(ring.pop()).for_each(|item| tasks.run(item));
        });
        let thief = part(&tasks, &ring, |tasks, ring| tasks.steal(ring));
        (vec![owner, thief], rest(tasks, ring))
    });
}

/// Hunted: a thief has read `head` and then reads a cell that the owner has filled again meanwhile; or it sees the new
/// `tail` and not what was written before.
#[test]
fn a_lapped_cell_is_not_stolen() {
    explore(3, || {
        let tasks = Tasks::new(CAPACITY + 2);
        let ring = ring(&tasks, CAPACITY - 1);
        let owner = part(&tasks, &ring, |tasks, ring| {
            tasks.push(ring, CAPACITY - 1);
            for n in [CAPACITY, CAPACITY + 1] {
                tasks.run(ring.pop().expect("the thief takes fewer"));
                tasks.push(ring, n);
            }
        });
        let thief = part(&tasks, &ring, |tasks, ring| tasks.run(ring.pop().expect("it is never empty")));
        (vec![owner, thief], rest(tasks, ring))
    });
}

/// Hunted: a taker sees the `head` of one who came before and a `tail` from before that, and takes what was never put there.
#[test]
fn an_empty_ring_gives_nothing() {
    explore(4, || {
        let tasks = Tasks::new(2);
        let ring = ring(&tasks, 0);
        let owner = part(&tasks, &ring, |tasks, ring| {
            for n in 0..2 {
                tasks.push(ring, n);
                tasks.run_all(ring);
            }
        });
        let thief = part(&tasks, &ring, |tasks, ring| {
            // Two, if it sees the second push and not the pop before it.
            assert!(ring.len() <= 2);
            ring.pop().into_iter().for_each(|item| tasks.run(item));
            tasks.steal(ring);
        });
        (vec![owner, thief], rest(tasks, ring))
    });
}

/// Hunted: the owner gives up the older half of its full ring while a thief takes from it.
#[test]
fn a_spill_and_a_thief_share_nothing() {
    explore(4, || {
        let tasks = Tasks::new(CAPACITY + 2);
        let ring = ring(&tasks, CAPACITY);
        let owner = part(&tasks, &ring, |tasks, ring| {
            tasks.push(ring, CAPACITY);
            tasks.push(ring, CAPACITY + 1);
        });
        let thief = part(&tasks, &ring, |tasks, ring| tasks.steal(ring));
        (vec![owner, thief], rest(tasks, ring))
    });
}

/// Hunted: two thieves copy the same cells, and one claims them after the other has run them.
#[test]
fn two_thieves_share_nothing() {
    explore(3, || {
        let tasks = Tasks::new(CAPACITY);
        let ring = ring(&tasks, CAPACITY - 1);
        let owner = part(&tasks, &ring, |tasks, ring| tasks.push(ring, CAPACITY - 1));
        let thief = || part(&tasks, &ring, |tasks, ring| tasks.steal(ring));
        (vec![owner, thief(), thief()], rest(tasks.clone(), ring.clone()))
    });
}

/// Hunted: a second thief sees that the first one's ring has grown, and not what stands there.
#[test]
fn what_was_stolen_is_stolen_again() {
    explore(4, || {
        let tasks = Tasks::new(CAPACITY);
        let ring = ring(&tasks, CAPACITY);
        let first = Arc::new(Ring::new());
        let thief = {
            let (tasks, ring, own) = (tasks.clone(), ring.clone(), first.clone());
            move || {
                // SAFETY: this thread alone pushes onto `own`.
                let (item, _) = unsafe { ring.steal_into(&own) }.expect("nobody else takes from it");
                tasks.run(item);
            }
        };
        let second = part(&tasks, &first, |tasks, first| tasks.steal(first));
        let end = rest(tasks.clone(), ring);
        let end = move || {
            tasks.run_all(&first);
            end();
        };
        (vec![Box::new(thief), second], Box::new(end))
    });
}

/// Hunted: a thief takes the old item while the owner puts a new one in its place; two takers have seen the same item; the
/// owner puts one where a late thief is about to leave nothing; the taker does not see what the item leads to.
#[test]
fn the_slot_is_taken_once() {
    explore(4, || {
        let tasks = Tasks::new(4);
        let slot = Arc::new(Slot::new());
        let take = |tasks: &Tasks, slot: &Slot| slot.take().into_iter().for_each(|item| tasks.run(item));
        let owner = {
            let (tasks, slot) = (tasks.clone(), slot.clone());
            move || {
                for n in 0..4 {
                    if n == 2 {
                        take(&tasks, &slot);
                    }
                    // SAFETY: this thread alone puts.
                    if let Some(displaced) = unsafe { slot.put(tasks.make(n)) } {
                        tasks.run(displaced);
                    }
                }
            }
        };
        let thief = || -> Part {
            let (tasks, slot) = (tasks.clone(), slot.clone());
            Box::new(move || take(&tasks, &slot))
        };
        let parts = vec![Box::new(owner), thief(), thief()];
        let end = move || {
            take(&tasks, &slot);
            assert!(slot.is_empty());
            tasks.assert_all_done();
        };
        (parts, Box::new(end))
    });
}
