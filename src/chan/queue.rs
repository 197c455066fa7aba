//! The values in a channel: first in, first out, in chunks. Where there is no limit the first chunk stands apart (`front.rs`).
//!
//! Up to [`CHUNK`] bytes they stand in one ring that grows as it must; so a channel that was never full takes no more than
//! it needed. Beyond that further chunks follow, so that a long queue is never moved as a whole while the channel is
//! locked, and gives its memory back as it empties.

use std::{collections::VecDeque, mem};

/// Bytes of values in a chunk, of which it holds 32 at least.
const CHUNK: usize = 8 * 1024;

/// See the head of this file.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Queue<T> {
    /// Where values come in; and go out, if nothing stands in `full`.
    last: VecDeque<T>,
    /// How many values stand in `full`.
    before: usize,
    /// What comes before `last`, the oldest first. None of these is empty.
    full: VecDeque<VecDeque<T>>,
}

impl<T> Queue<T> {
    /// Values in a chunk.
    const VALUES: usize = {
        let size = if size_of::<T>() == 0 { 1 } else { size_of::<T>() };
        if CHUNK / size < 32 { 32 } else { CHUNK / size }
    };

    pub(super) fn new() -> Queue<T> {
        Queue { last: VecDeque::new(), before: 0, full: VecDeque::new() }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.before + self.last.len()
    }

    #[inline]
    pub(super) fn push(&mut self, value: T) {
        if self.last.len() >= Self::VALUES {
            self.begin_chunk();
        }
        self.last.push_back(value);
    }

    #[inline]
    pub(super) fn pop(&mut self) -> Option<T> {
        if self.before != 0 { self.pop_full() } else { self.last.pop_front() }
    }

    /// Takes the first chunk out, which may be empty, in exchange for the memory of one that is empty.
    pub(super) fn take_chunk(&mut self, empty: &mut VecDeque<T>) {
        debug_assert!(empty.is_empty(), "what is in it would change places with what came later");
        match self.full.pop_front() {
            None => mem::swap(&mut self.last, empty),
            Some(first) => {
                self.before -= first.len();
                *empty = first;
                self.forget_peak();
            }
        }
    }

    #[cold]
    fn begin_chunk(&mut self) {
        self.before += self.last.len();
        self.full.push_back(mem::replace(&mut self.last, VecDeque::with_capacity(Self::VALUES)));
    }

    #[inline(never)]
    fn pop_full(&mut self) -> Option<T> {
        let first = self.full.front_mut()?;
        let value = first.pop_front();
        self.before -= 1;
        if first.is_empty() {
            self.full.pop_front();
            self.forget_peak();
        }
        value
    }

    /// The list of chunks itself was long after a peak.
    fn forget_peak(&mut self) {
        if self.full.is_empty() {
            drop(mem::take(&mut self.full));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_does_what_a_plain_queue_does() {
        let mut queue = Queue::new();
        let mut plain = VecDeque::new();
        let mut next = 0_u64;
        // Waves that go over several chunks and back to nothing.
        for wave in [1, 10, 5_000, 3, 100_000, 1] {
            for _ in 0..wave {
                queue.push([next; 4]);
                plain.push_back([next; 4]);
                next += 1;
                if fastrand::u8(..) < 64 {
                    assert_eq!(queue.pop(), plain.pop_front());
                }
                assert_eq!(queue.len(), plain.len());
            }
            while let Some(value) = plain.pop_front() {
                assert_eq!(queue.pop(), Some(value));
            }
            assert_eq!((queue.pop(), queue.len(), queue.full.capacity()), (None, 0, 0));
            assert!(queue.last.capacity() <= 2 * Queue::<[u64; 4]>::VALUES);
        }
    }

    #[test]
    fn chunks_are_taken_in_the_order_of_their_values() {
        let mut queue = Queue::new();
        let mut chunk = VecDeque::new();
        let mut next = 0_u64;
        for wave in [1, 10, 100_000, 3, 5_000] {
            (0..wave).for_each(|n| queue.push([next + n; 4]));
            while queue.len() > 0 {
                queue.take_chunk(&mut chunk);
                assert!((1..=Queue::<[u64; 4]>::VALUES).contains(&chunk.len()));
                while let Some(value) = chunk.pop_front() {
                    assert_eq!(value, [next; 4]);
                    next += 1;
                }
            }
            assert_eq!((queue.before, queue.full.capacity()), (0, 0));
        }
    }

    #[test]
    fn values_without_a_size_are_counted() {
        let mut queue = Queue::new();
        (0..100_000).for_each(|_| queue.push(()));
        assert_eq!((queue.len(), (0..100_000).filter_map(|_| queue.pop()).count(), queue.len()), (100_000, 100_000, 0));
    }
}
