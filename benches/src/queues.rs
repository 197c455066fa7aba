//! Run queues compared without a runtime: what it costs their owner to push and pop, and a thief to take half of 256.
//!
//! On one thread, so that it is the price of the instructions and not of cache lines on the move. In turns, medians over
//! the repetitions. The pushes and pops of a worker outnumber its steals by far; the first column decides.

use crate::args::{Args, Failure};
use crate::row::median;
use concurrent_queue::ConcurrentQueue;
use gambol_executor::bench::Ring;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// The size of a worker's ring.
const CAPACITY: usize = 256;
const PAIRS: usize = 4_000_000;
const STEALS: usize = 20_000;

/// All queues; the executor's own first.
const QUEUES: &[Entry] = &[
    Entry::of::<Ring>(),
    Entry::of::<st3::fifo::Worker<usize>>(),
    Entry::of::<crossbeam_deque::Worker<usize>>(),
    Entry::of::<Bounded>(),
    Entry::of::<Unbounded>(),
];

/// A queue that one thread owns and others steal from.
trait Queue {
    const NAME: &'static str;

    /// An empty queue with room for [`CAPACITY`] items.
    fn empty() -> Self;

    /// Pushes an item; there is room.
    fn push(&self, item: usize);

    /// Pops the oldest item.
    fn pop(&self) -> Option<usize>;

    /// Moves half of the items to an empty queue and returns how many these were.
    fn steal_half(&self, thief: &Self) -> usize;
}

struct Entry {
    name: &'static str,
    push_pop: fn() -> f64,
    steal: fn() -> f64,
}

impl Entry {
    const fn of<Q: Queue>() -> Self {
        Entry { name: Q::NAME, push_pop: push_pop::<Q>, steal: steal::<Q> }
    }
}

/// `queues [--reps n]`
pub fn main(words: &[String]) -> Result<(), Failure> {
    let mut args = Args::new(words);
    let reps = args.option("--reps")?.unwrap_or(7);
    args.finish()?;

    let mut samples: Vec<(Vec<f64>, Vec<f64>)> = QUEUES.iter().map(|_| Default::default()).collect();
    for _ in 0..reps {
        for (queue, (push_pops, steals)) in QUEUES.iter().zip(&mut samples) {
            push_pops.push((queue.push_pop)());
            steals.push((queue.steal)());
        }
    }
    println!("{:<28} {:>14} {:>18}", "queue", "push+pop, ns", "steal, ns an item");
    for (queue, (push_pops, steals)) in QUEUES.iter().zip(&samples) {
        let push_pop = median(push_pops).ok_or("--reps must be more than 0")?;
        let steal = median(steals).ok_or("--reps must be more than 0")?;
        println!("{:<28} {push_pop:>14.1} {steal:>18.1}", queue.name);
    }
    Ok(())
}

/// Nanoseconds for a push and a pop.
fn push_pop<Q: Queue>() -> f64 {
    let queue = Q::empty();
    let start = Instant::now();
    for item in 0..PAIRS {
        queue.push(black_box(item));
        assert_eq!(black_box(queue.pop()), Some(item), "a queue with one item returns it");
    }
    start.elapsed().as_nanos() as f64 / PAIRS as f64
}

/// Nanoseconds for each item of a stolen half.
fn steal<Q: Queue>() -> f64 {
    let victim = Q::empty();
    let thief = Q::empty();
    let mut time = Duration::ZERO;
    for _ in 0..STEALS {
        (0..CAPACITY).for_each(|item| victim.push(item));
        let start = Instant::now();
        let stolen = black_box(&victim).steal_half(black_box(&thief));
        time += start.elapsed();
        assert_eq!(stolen, CAPACITY / 2, "half of a full ring is stolen");
        // The oldest went to the thief, in order.
        for (item, queue) in (0..CAPACITY).map(|item| (item, if item < stolen { &thief } else { &victim })) {
            assert_eq!(queue.pop(), Some(item), "nothing is lost and the order stays");
        }
    }
    time.as_nanos() as f64 / (STEALS * CAPACITY / 2) as f64
}

impl Queue for Ring {
    const NAME: &'static str = "gambol's ring";

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

impl Queue for st3::fifo::Worker<usize> {
    const NAME: &'static str = "st3 fifo";

    fn empty() -> Self {
        Self::new(CAPACITY)
    }

    fn push(&self, item: usize) {
        self.push(item).expect("there is room");
    }

    fn pop(&self) -> Option<usize> {
        self.pop()
    }

    fn steal_half(&self, thief: &Self) -> usize {
        self.stealer_ref().steal(thief, |length| length / 2).expect("there is something to steal")
    }
}

impl Queue for crossbeam_deque::Worker<usize> {
    const NAME: &'static str = "crossbeam-deque fifo";

    fn empty() -> Self {
        Self::new_fifo()
    }

    fn push(&self, item: usize) {
        self.push(item);
    }

    fn pop(&self) -> Option<usize> {
        self.pop()
    }

    fn steal_half(&self, thief: &Self) -> usize {
        // Without the limit it would take 32 at most.
        let stolen = self.stealer().steal_batch_with_limit(thief, CAPACITY / 2);
        assert!(stolen.is_success(), "nobody interferes");
        thief.len()
    }
}

struct Bounded(ConcurrentQueue<usize>);

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
    const NAME: &'static str = "concurrent-queue bounded";

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
    const NAME: &'static str = "concurrent-queue unbounded";

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
