//! The queue that all workers share: spawns and wakes from foreign threads, and what full rings spill.
//!
//! A spill is one element, however many tasks it holds, so an overflow costs one queue operation. Whoever takes a spill
//! runs its first task and puts the rest onto its own ring.
//!
//! `concurrent_queue`'s unbounded queue is a list of blocks that are freed as they empty, so a peak leaves nothing
//! behind. Tried: its push and pop cost about 30 ns together on one thread (`cargo bench -p gambol-benches -- queue`),
//! which is why the owner's ring is not one of these.
//!
//! The order between a push here and the look at who is idle is the caller's: see `idle/README.md`.

use super::{Item, Spill};

/// One element of the injector.
pub(crate) enum Job {
    /// A task.
    One(Item),
    /// The older half of a ring, oldest first. Never empty.
    Many(Spill),
}

/// See the head of this file.
pub(crate) struct Injector {
    queue: Queue<Job>,
}

impl Injector {
    pub(crate) fn new() -> Injector {
        Injector { queue: Queue::new() }
    }

    /// Appends a job. The caller then looks for someone to run it.
    pub(crate) fn push(&self, job: Job) {
        self.queue.push(job);
    }

    /// Takes the oldest job.
    pub(crate) fn pop(&self) -> Option<Job> {
        self.queue.pop()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.len() == 0
    }

    /// Elements, a spill counting once.
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }
}

// SAFETY: a `Job` is the right to run its tasks, which may move to any thread (`Runnable` is `Send`: only `Send`
// futures are spawned onto a runtime); the queue hands each to one taker.
unsafe impl Send for Injector {}
// SAFETY: as above; the queue itself is made for shared use.
unsafe impl Sync for Injector {}

#[cfg(not(gambol_loom))]
struct Queue<T>(concurrent_queue::ConcurrentQueue<T>);

#[cfg(not(gambol_loom))]
impl<T> Queue<T> {
    fn new() -> Self {
        Queue(concurrent_queue::ConcurrentQueue::unbounded())
    }
    fn push(&self, value: T) {
        // The queue is unbounded and is never closed, so a push cannot be refused.
        let _ = self.0.push(value);
    }
    fn pop(&self) -> Option<T> {
        self.0.pop().ok()
    }
    fn len(&self) -> usize {
        self.0.len()
    }
}

/// Under the model checker a queue that is right by inspection, so that the model explores what surrounds it. Its
/// length is read without the lock and Relaxed: it promises no more order than the real one does.
#[cfg(gambol_loom)]
struct Queue<T> {
    items: crate::sync::Mutex<std::collections::VecDeque<T>>,
    len: crate::sync::AtomicUsize,
}

#[cfg(gambol_loom)]
impl<T> Queue<T> {
    fn new() -> Self {
        Queue { items: crate::sync::Mutex::new(Default::default()), len: crate::sync::AtomicUsize::new(0) }
    }
    fn push(&self, value: T) {
        let mut items = self.items.lock().unwrap();
        items.push_back(value);
        self.len.store(items.len(), crate::sync::Ordering::Relaxed);
    }
    fn pop(&self) -> Option<T> {
        let mut items = self.items.lock().unwrap();
        let item = items.pop_front();
        self.len.store(items.len(), crate::sync::Ordering::Relaxed);
        item
    }
    fn len(&self) -> usize {
        self.len.load(crate::sync::Ordering::Relaxed)
    }
}
