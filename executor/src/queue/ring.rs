//! The run queue of one worker: a bounded first-in first-out ring that its owner fills and that anyone may empty.
//!
//! Two counters that only grow. `tail` is written by the owner alone; `head` is moved by whoever takes, with one
//! compare-exchange for any number of items. The items are single words in atomic cells, so a thief may read cells
//! first and claim them afterwards: if the claim fails, what it read is thrown away.
//!
//! ```text
//! push (owner)      1 head -> is there room?   2 write the cell   3 tail + 1, Release
//! pop  (anyone)     1 head, tail -> empty?     2 read the cell    3 head + 1 by compare-exchange
//! steal (a thief)   1 head, tail -> half       2 copy the cells behind its own tail
//!                   3 head + n by compare-exchange   4 its own tail + n - 1, Release
//! ```
//!
//! *The race*: a thief has read `head` and copies cells while the owner laps the ring and overwrites them. The owner
//! writes cell `i` only when `head > i - CAPACITY`, so `head` has moved by then, so the thief's compare-exchange
//! fails. The counters are as wide as a pointer and never reused, so `head` cannot come round to an old value.
//!
//! Costs: push no read-modify-write and, unless the ring looks full, no shared line that a thief writes; pop one
//! read-modify-write; stealing n items one.
//!
//! Tried beside it, on one thread in one run (`cargo bench -p gambol-benches -- queue`), ns for a push with its pop, and for
//! each item of a stolen half: this ring 4.4 and 0.9, st3 4.0 and 1.1, crossbeam-deque 3.5 and 2.2, concurrent-queue bounded 8.2
//! and 7.3. So any of the first three would do; this one is kept because the spill, takers that own no queue and the models
//! need its inside. A ring of 1024 made spawn+join in batches of 1000 slower (81 ns instead of 70).

use super::Item;
use crate::sync::{AtomicPtr, AtomicUsize, Ordering};
use std::ptr::{self, NonNull};

/// Items that fit. A power of two. Four under the model checker, so that wrapping and overflow are explored.
#[cfg(not(gambol_loom))]
pub(crate) const CAPACITY: usize = 256;
#[cfg(gambol_loom)]
pub(crate) const CAPACITY: usize = 4;

const MASK: usize = CAPACITY - 1;

/// What a full ring gives up: its older half and the item that found no room, oldest first.
pub(crate) type Spill = Vec<Item>;

#[repr(align(128))]
struct Padded<T>(T);

/// See the head of this file.
pub(crate) struct Ring {
    /// Next to be taken. Moved by anyone, by compare-exchange.
    head: Padded<AtomicUsize>,
    /// Next to be filled. Written by the owner only.
    tail: Padded<AtomicUsize>,
    /// Cell `i & MASK` holds item `i` for `head <= i < tail`. Written by the owner only.
    cells: Box<[AtomicPtr<()>]>,
}

impl Ring {
    pub(crate) fn new() -> Ring {
        Ring {
            head: Padded(AtomicUsize::new(0)),
            tail: Padded(AtomicUsize::new(0)),
            cells: (0..CAPACITY).map(|_| AtomicPtr::new(ptr::null_mut())).collect(),
        }
    }

    /// Items waiting, as far as this thread can see.
    pub(crate) fn len(&self) -> usize {
        // Head first, and Acquire: it never passes tail, so the difference is never negative.
        let head = self.head.0.load(Ordering::Acquire);
        let tail = self.tail.0.load(Ordering::Acquire);
        tail.wrapping_sub(head).min(CAPACITY)
    }

    /// Items that were ever appended. For the owner.
    pub(crate) fn appended(&self) -> usize {
        self.tail.0.load(Ordering::Relaxed)
    }

    /// Appends an item; a full ring gives up its older half together with it.
    ///
    /// # Safety
    ///
    /// The caller is the owner: no other call of `push`, and no `steal_into` with this ring as destination, happens
    /// at the same time.
    #[inline]
    pub(crate) unsafe fn push(&self, item: Item) -> Result<(), Spill> {
        let tail = self.tail.0.load(Ordering::Relaxed);
        // Acquire, with the Release of every taker: what the taker read from the cell, it read before we overwrite it.
        let head = self.head.0.load(Ordering::Acquire);
        if tail.wrapping_sub(head) < CAPACITY {
            self.cells[tail & MASK].store(item.as_ptr(), Ordering::Relaxed);
            // Release, with the Acquire of every taker: who sees the count sees the cell and the task behind it.
            self.tail.0.store(tail.wrapping_add(1), Ordering::Release);
            return Ok(());
        }
        // SAFETY: the caller is the owner.
        unsafe { self.push_slow(item) }
    }

    /// # Safety
    ///
    /// As for `push`.
    #[cold]
    unsafe fn push_slow(&self, item: Item) -> Result<(), Spill> {
        let head = self.head.0.load(Ordering::Acquire);
        let tail = self.tail.0.load(Ordering::Relaxed);
        if tail.wrapping_sub(head) == CAPACITY {
            let half = CAPACITY / 2;
            let mut spill: Spill = Vec::with_capacity(half + 1);
            spill.extend((0..half).map(|i| self.read(head.wrapping_add(i))));
            if self.claim(head, half) {
                spill.push(item);
                return Err(spill);
            }
        }
        // A thief was faster, so there is room.
        // SAFETY: the caller is the owner.
        unsafe { self.push(item) }
    }

    /// Takes the oldest item.
    #[inline]
    pub(crate) fn pop(&self) -> Option<Item> {
        loop {
            let head = self.head.0.load(Ordering::Acquire);
            let tail = self.tail.0.load(Ordering::Acquire);
            if head == tail {
                return None;
            }
            let item = self.cells[head & MASK].load(Ordering::Relaxed);
            if self.claim(head, 1) {
                return NonNull::new(item);
            }
        }
    }

    /// Moves the older half of the items here into `to`, except the oldest, which is returned.
    ///
    /// At most what `to` has room for. The second figure counts all that were taken.
    ///
    /// # Safety
    ///
    /// The caller owns `to`, and `to` is another ring than `self`.
    pub(crate) unsafe fn steal_into(&self, to: &Ring) -> Option<(Item, usize)> {
        let to_tail = to.tail.0.load(Ordering::Relaxed);
        let room = CAPACITY - to_tail.wrapping_sub(to.head.0.load(Ordering::Acquire));
        loop {
            let head = self.head.0.load(Ordering::Acquire);
            let tail = self.tail.0.load(Ordering::Acquire);
            let len = tail.wrapping_sub(head);
            if len == 0 {
                return None;
            }
            let n = len.div_ceil(2);
            if n > CAPACITY / 2 {
                // Head was read long before tail; together they mean nothing.
                continue;
            }
            let n = n.min(room + 1);
            let first = self.read(head);
            for i in 1..n {
                let item = self.read(head.wrapping_add(i));
                to.cells[to_tail.wrapping_add(i - 1) & MASK].store(item.as_ptr(), Ordering::Relaxed);
            }
            if self.claim(head, n) {
                if n > 1 {
                    to.tail.0.store(to_tail.wrapping_add(n - 1), Ordering::Release);
                }
                return Some((first, n));
            }
        }
    }

    /// The item in a cell that the caller is about to claim.
    fn read(&self, index: usize) -> Item {
        let item = self.cells[index & MASK].load(Ordering::Relaxed);
        // Every cell below a tail that was read with Acquire was written once, with a pointer that is not null.
        NonNull::new(item).expect("a cell below the tail holds an item")
    }

    /// Moves `head` on by `n`, if it is still where it was.
    #[inline]
    fn claim(&self, head: usize, n: usize) -> bool {
        // Release, with the Acquire in `push`: our reads of the cells come before their reuse. One step weaker, the
        // owner's next lap could be read here and run twice.
        self.head.0.compare_exchange(head, head.wrapping_add(n), Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}

#[cfg(all(test, not(gambol_loom)))]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    fn item(n: usize) -> Item {
        NonNull::new(ptr::without_provenance_mut((n + 1) * 8)).unwrap()
    }

    #[test]
    fn items_leave_in_the_order_they_came_also_across_spills_and_steals() {
        let (a, b) = (Ring::new(), Ring::new());
        let mut model: VecDeque<Item> = VecDeque::new();
        let mut random = fastrand::Rng::with_seed(7);
        let mut next = 0;
        for _ in 0..100_000 {
            match random.u8(0..8) {
                0..=4 => {
                    // SAFETY: this thread owns both rings.
                    match unsafe { a.push(item(next)) } {
                        Ok(()) => model.push_back(item(next)),
                        Err(spill) => {
                            assert_eq!(spill.len(), CAPACITY / 2 + 1);
                            for (i, spilled) in spill.iter().enumerate() {
                                if i < CAPACITY / 2 {
                                    assert_eq!(model.pop_front(), Some(*spilled));
                                } else {
                                    assert_eq!(*spilled, item(next));
                                }
                            }
                        }
                    }
                    next += 1;
                }
                5 | 6 => assert_eq!(a.pop(), model.pop_front()),
                _ => {
                    let before = model.len();
                    // SAFETY: this thread owns both rings, and they differ.
                    match unsafe { a.steal_into(&b) } {
                        None => assert_eq!(before, 0),
                        Some((first, n)) => {
                            assert_eq!(n, before.div_ceil(2));
                            assert_eq!(model.pop_front(), Some(first));
                            for _ in 1..n {
                                assert_eq!(b.pop(), model.pop_front());
                            }
                            assert_eq!(b.len(), 0);
                        }
                    }
                }
            }
            assert_eq!(a.len(), model.len());
        }
    }
}
