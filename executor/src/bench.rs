//! The worker's ring, for the comparison of queues in `gambol-benches`; for nothing else.

use crate::queue::{self, Item};
use std::{cell::Cell, ptr};

/// The ring with numbers in it, used by one thread.
pub struct Ring {
    ring: queue::Ring,
    /// The oldest of what was stolen, which a thief runs at once.
    first: Cell<Option<Item>>,
    /// Not for two threads: pushing is the owner's alone.
    _one_thread: std::marker::PhantomData<*mut ()>,
}

impl Default for Ring {
    fn default() -> Ring {
        Ring::new()
    }
}

impl Ring {
    /// An empty ring.
    pub fn new() -> Ring {
        Ring { ring: queue::Ring::new(), first: Cell::new(None), _one_thread: std::marker::PhantomData }
    }

    /// Pushes a number. False: the ring was full and gave up half of what it had.
    pub fn push(&self, number: usize) -> bool {
        let item = Item::new(ptr::without_provenance_mut(number + 1)).expect("it is not zero");
        // SAFETY: the type is neither `Send` nor `Sync`, so this thread is the owner.
        unsafe { self.ring.push(item) }.is_ok()
    }

    /// Pops the oldest number.
    pub fn pop(&self) -> Option<usize> {
        self.first.take().or_else(|| self.ring.pop()).map(|item| item.as_ptr().addr() - 1)
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
