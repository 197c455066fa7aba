//! Run queues: what it costs their owner to push and pop, and a thief to take half of 256. The executor's own beside three
//! that it could have been made of.
//!
//! The pushes and pops of a worker outnumber its steals by far.

use crate::MANY;
use concurrent_queue::ConcurrentQueue;
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use gambol_executor::bench::{Injector, Ring, Slot};

/// The size of a worker's ring.
const CAPACITY: usize = 256;

/// A queue that one thread owns and others steal from.
trait Queue {
    /// An empty queue with room for [`CAPACITY`] items.
    fn empty() -> Self;

    /// Pushes an item; there is room.
    fn push(&self, item: usize);

    /// Pops the oldest item.
    fn pop(&self) -> Option<usize>;

    /// Moves half of the items to an empty queue and returns how many these were.
    fn steal_half(&self, thief: &Self) -> usize;
}

/// A push and a pop, of one item.
#[divan::bench(types = [Ring, St3, CrossbeamDeque, Bounded, Unbounded], sample_size = MANY)]
fn push_pop<Q: Queue>(bencher: Bencher<'_, '_>) {
    let queue = Q::empty();
    bencher.bench_local(|| {
        queue.push(black_box(7));
        assert_eq!(queue.pop(), Some(7), "a queue with one item returns it");
    });
}

/// Half of a full queue, to an empty one; the counter tells items. The filling before and the popping after are not timed.
#[divan::bench(types = [Ring, St3, CrossbeamDeque, Bounded, Unbounded])]
fn steal_half<Q: Queue>(bencher: Bencher<'_, '_>) {
    let full = || {
        let (victim, thief) = (Q::empty(), Q::empty());
        (0..CAPACITY).for_each(|item| victim.push(item));
        Robbery { victim, thief, stolen: 0 }
    };
    bencher.counter(ItemsCount::new(CAPACITY / 2)).with_inputs(full).bench_local_values(|mut robbery| {
        robbery.stolen = black_box(&robbery.victim).steal_half(black_box(&robbery.thief));
        robbery
    });
}

/// Two queues and what moved between them, which is checked at the end.
struct Robbery<Q: Queue> {
    victim: Q,
    thief: Q,
    stolen: usize,
}

impl<Q: Queue> Drop for Robbery<Q> {
    fn drop(&mut self) {
        assert_eq!(self.stolen, CAPACITY / 2, "half of a full queue is stolen");
        // The oldest went to the thief, in order.
        for item in 0..CAPACITY {
            let queue = if item < self.stolen { &self.thief } else { &self.victim };
            assert_eq!(queue.pop(), Some(item), "nothing is lost and the order stays");
        }
    }
}

/// Into the empty slot and out of it.
#[divan::bench(sample_size = MANY)]
fn slot_put_take(bencher: Bencher<'_, '_>) {
    let slot = Slot::new();
    bencher.bench_local(|| {
        assert_eq!(slot.put(black_box(7)), None, "the slot is empty");
        assert_eq!(slot.take(), Some(7), "what was put in comes out");
    });
}

/// Into the full slot: what stood there goes to the ring.
#[divan::bench(sample_size = MANY)]
fn slot_displace(bencher: Bencher<'_, '_>) {
    let slot = Slot::new();
    slot.put(7);
    bencher.bench_local(|| assert_eq!(slot.put(black_box(7)), Some(7), "what stood there is displaced"));
}

/// Into the queue that all workers share, and out of it.
#[divan::bench(sample_size = MANY)]
fn injector_push_pop(bencher: Bencher<'_, '_>) {
    let injector = Injector::new();
    bencher.bench_local(|| {
        injector.push(black_box(7));
        assert_eq!(injector.pop(), Some(7), "a queue with one item returns it");
    });
}

/// A look into it when it is empty.
#[divan::bench(sample_size = MANY)]
fn injector_pop_empty(bencher: Bencher<'_, '_>) {
    let injector = Injector::new();
    bencher.bench_local(|| assert_eq!(black_box(&injector).pop(), None, "there is nothing"));
}

impl Queue for Ring {
    fn empty() -> Self {
        Ring::new()
    }

    fn push(&self, item: usize) {
        assert!(self.push(item), "there is room");
    }

    fn pop(&self) -> Option<usize> {
        self.pop()
    }

    fn steal_half(&self, thief: &Self) -> usize {
        self.steal_half(thief)
    }
}

/// st3's, first in, first out.
struct St3(st3::fifo::Worker<usize>);

impl Queue for St3 {
    fn empty() -> Self {
        St3(st3::fifo::Worker::new(CAPACITY))
    }

    fn push(&self, item: usize) {
        self.0.push(item).expect("there is room");
    }

    fn pop(&self) -> Option<usize> {
        self.0.pop()
    }

    fn steal_half(&self, thief: &Self) -> usize {
        self.0.stealer_ref().steal(&thief.0, |length| length / 2).expect("there is something to steal")
    }
}

/// crossbeam-deque's, first in, first out.
struct CrossbeamDeque(crossbeam_deque::Worker<usize>);

impl Queue for CrossbeamDeque {
    fn empty() -> Self {
        CrossbeamDeque(crossbeam_deque::Worker::new_fifo())
    }

    fn push(&self, item: usize) {
        self.0.push(item);
    }

    fn pop(&self) -> Option<usize> {
        self.0.pop()
    }

    fn steal_half(&self, thief: &Self) -> usize {
        // Without the limit it would take 32 at most.
        let stolen = self.0.stealer().steal_batch_with_limit(&thief.0, CAPACITY / 2);
        assert!(stolen.is_success(), "nobody interferes");
        thief.0.len()
    }
}

/// concurrent-queue with a fixed capacity.
struct Bounded(ConcurrentQueue<usize>);

/// The same without: what the injector is made of.
struct Unbounded(ConcurrentQueue<usize>);

/// Item by item, as async-executor does it.
fn move_half(from: &ConcurrentQueue<usize>, to: &ConcurrentQueue<usize>) -> usize {
    let half = from.len() / 2;
    for _ in 0..half {
        let item = from.pop().expect("there is something to steal");
        to.push(item).expect("there is room");
    }
    half
}

impl Queue for Bounded {
    fn empty() -> Self {
        Bounded(ConcurrentQueue::bounded(CAPACITY))
    }

    fn push(&self, item: usize) {
        self.0.push(item).expect("there is room");
    }

    fn pop(&self) -> Option<usize> {
        self.0.pop().ok()
    }

    fn steal_half(&self, thief: &Self) -> usize {
        move_half(&self.0, &thief.0)
    }
}

impl Queue for Unbounded {
    fn empty() -> Self {
        Unbounded(ConcurrentQueue::unbounded())
    }

    fn push(&self, item: usize) {
        self.0.push(item).expect("there is room");
    }

    fn pop(&self) -> Option<usize> {
        self.0.pop().ok()
    }

    fn steal_half(&self, thief: &Self) -> usize {
        move_half(&self.0, &thief.0)
    }
}
