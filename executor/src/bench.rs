//! Parts of the scheduler for the micro-benchmarks of `gambol-benches`; for nothing else, and not part of `gambol`.
//!
//! Each is used by one thread, with numbers in place of tasks where tasks do not matter.

use crate::{
    queue::{self, Item, Job},
    task::{self, Id, Meta, Owned, Runnable},
};
use std::{cell::Cell, marker::PhantomData, panic::Location, ptr};

/// What is not for two threads: the owner's side of a part is its owner's alone.
type OneThread = PhantomData<*mut ()>;

/// A number as what the queues hold.
fn item(number: usize) -> Item {
    Item::new(ptr::without_provenance_mut(number + 1)).expect("it is not zero")
}

fn number(item: Item) -> usize {
    item.as_ptr().addr() - 1
}

/// A worker's ring.
pub struct Ring {
    ring: queue::Ring,
    /// The oldest of what was stolen, which a thief runs at once.
    first: Cell<Option<Item>>,
    _one_thread: OneThread,
}

impl Default for Ring {
    fn default() -> Ring {
        Ring::new()
    }
}

impl Ring {
    /// An empty ring.
    pub fn new() -> Ring {
        Ring { ring: queue::Ring::new(), first: Cell::new(None), _one_thread: PhantomData }
    }

    /// Pushes a number. False: the ring was full and gave up half of what it had.
    pub fn push(&self, number: usize) -> bool {
        // SAFETY: the type is neither `Send` nor `Sync`, so this thread is the owner.
        unsafe { self.ring.push(item(number)) }.is_ok()
    }

    /// Pops the oldest number.
    pub fn pop(&self) -> Option<usize> {
        self.first.take().or_else(|| self.ring.pop()).map(number)
    }

    /// Steals half of what is here into another ring, which is empty. How many these were.
    pub fn steal_half(&self, thief: &Ring) -> usize {
        assert!(!ptr::eq(self, thief), "a ring does not steal from itself");
        // SAFETY: as in `push`, and the rings are two.
        match unsafe { self.ring.steal_into(&thief.ring) } {
            Some((first, count)) => {
                thief.first.set(Some(first));
                count
            }
            None => 0,
        }
    }
}

/// A worker's slot for the task that runs next.
pub struct Slot(queue::Slot, OneThread);

impl Default for Slot {
    fn default() -> Slot {
        Slot::new()
    }
}

impl Slot {
    /// An empty slot.
    pub fn new() -> Slot {
        Slot(queue::Slot::new(), PhantomData)
    }

    /// Puts a number in, and returns the one that it displaces.
    pub fn put(&self, number: usize) -> Option<usize> {
        // SAFETY: the type is neither `Send` nor `Sync`, so this thread is the owner.
        unsafe { self.0.put(item(number)) }.map(self::number)
    }

    /// Takes the number out.
    pub fn take(&self) -> Option<usize> {
        self.0.take().map(number)
    }
}

/// The queue that all workers share.
pub struct Injector(queue::Injector);

impl Default for Injector {
    fn default() -> Injector {
        Injector::new()
    }
}

impl Injector {
    /// An empty queue.
    pub fn new() -> Injector {
        Injector(queue::Injector::new())
    }

    /// Pushes a number.
    pub fn push(&self, number: usize) {
        self.0.push(Job::One(item(number)));
    }

    /// Pops the oldest number.
    pub fn pop(&self) -> Option<usize> {
        match self.0.pop()? {
            Job::One(item) => Some(number(item)),
            Job::Many(_) => unreachable!("only numbers are pushed"),
        }
    }
}

/// The table of the tasks that wait, with tasks of its own that never run.
pub struct Registry {
    registry: task::Registry,
    owned: Owned,
    tasks: Vec<Parked>,
    _one_thread: OneThread,
}

struct Parked {
    runnable: Runnable,
    /// Where it stands in the table.
    index: Option<u32>,
}

impl Registry {
    /// A table for one worker and so many tasks, none of which is in it.
    pub fn new(tasks: usize) -> Registry {
        let parked = |number| {
            let meta = Meta::new(Id::new(0, number), Location::caller(), None);
            // Nobody wakes it.
            let schedule = |_: Runnable| {};
            let (runnable, task) = async_task::Builder::new().metadata(meta).spawn(|_| async {}, schedule);
            task.detach();
            Parked { runnable, index: None }
        };
        Registry {
            registry: task::Registry::new(1),
            owned: Owned::default(),
            tasks: (1..=tasks as u64).map(parked).collect(),
            _one_thread: PhantomData,
        }
    }

    /// What a task does at its first Pending: it clones its waker and goes into the table.
    ///
    /// # Panics
    ///
    /// If it is there already.
    pub fn insert(&mut self, task: usize) {
        let Parked { runnable, index } = &mut self.tasks[task];
        assert!(index.is_none(), "a task enters the registry once");
        // SAFETY: the type is neither `Send` nor `Sync`, so this thread is the one worker's; and the waker is of the task
        // whose metadata this is.
        let place = unsafe { self.registry.insert(0, &mut self.owned, runnable.waker(), runnable.metadata()) };
        *index = Some(place);
    }

    /// What a task does at its end, on its own worker or `elsewhere`: it leaves the table and drops the waker. False: it was
    /// not there.
    pub fn remove(&mut self, task: usize, elsewhere: bool) -> bool {
        let Some(index) = self.tasks[task].index.take() else {
            return false;
        };
        let mine = (!elsewhere).then_some((0, &mut self.owned));
        // SAFETY: the index came from `insert` and was just taken out; and this thread is the one worker's, as above.
        unsafe { self.registry.remove(index, mine) }.is_some()
    }

    /// What a worker does before it sleeps: takes back the places that were given up elsewhere.
    pub fn tidy(&mut self) {
        // SAFETY: as in `insert`.
        unsafe { self.registry.tidy(0, &mut self.owned) };
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // The table does not drop what is still in it.
        for task in 0..self.tasks.len() {
            self.remove(task, false);
        }
    }
}
