//! The values in a channel: first in, first out, in chunks.
//!
//! Up to [`CHUNK`] bytes they stand in one ring that grows as it must; so a channel that was never full takes no more than
//! it needed. Beyond that further chunks follow, so that a long queue is never moved as a whole while the channel is
//! locked, and gives its memory back as it empties.

use std::{collections::VecDeque, mem};

/// Bytes of values in a chunk, of which it holds 32 at least.
const CHUNK: usize = 16 * 1024;

/// See the head of this file.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Queue<T> {
    front: VecDeque<T>,
    /// How many values stand in `rest`.
    behind: usize,
    /// What comes behind `front`, and is empty if that is. None of these is empty.
    rest: VecDeque<VecDeque<T>>,
}

impl<T> Queue<T> {
    /// Values in a chunk.
    const VALUES: usize = {
        let size = if size_of::<T>() == 0 { 1 } else { size_of::<T>() };
        if CHUNK / size < 32 { 32 } else { CHUNK / size }
    };

    pub(super) fn new() -> Queue<T> {
        Queue { front: VecDeque::new(), rest: VecDeque::new(), behind: 0 }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.front.len() + self.behind
    }

    #[inline]
    pub(super) fn push(&mut self, value: T) {
        if self.behind == 0 && self.front.len() < Self::VALUES {
            self.front.push_back(value);
        } else {
            self.push_rest(value);
        }
    }

    #[inline]
    pub(super) fn pop(&mut self) -> Option<T> {
        let value = self.front.pop_front()?;
        if self.behind != 0 && self.front.is_empty() {
            self.advance();
        }
        Some(value)
    }

    #[cold]
    fn push_rest(&mut self, value: T) {
        self.behind += 1;
        match self.rest.back_mut() {
            Some(last) if last.len() < Self::VALUES => last.push_back(value),
            _ => {
                let mut chunk = VecDeque::with_capacity(Self::VALUES);
                chunk.push_back(value);
                self.rest.push_back(chunk);
            }
        }
    }

    #[cold]
    fn advance(&mut self) {
        if let Some(next) = self.rest.pop_front() {
            self.behind -= next.len();
            self.front = next;
        }
        if self.rest.is_empty() {
            // The list itself was long after a peak.
            drop(mem::take(&mut self.rest));
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
            assert_eq!((queue.pop(), queue.len(), queue.rest.capacity()), (None, 0, 0));
            assert!(queue.front.capacity() <= 2 * Queue::<[u64; 4]>::VALUES);
        }
    }

    #[test]
    fn values_without_a_size_are_counted() {
        let mut queue = Queue::new();
        (0..100_000).for_each(|_| queue.push(()));
        assert_eq!((queue.len(), (0..100_000).filter_map(|_| queue.pop()).count(), queue.len()), (100_000, 100_000, 0));
    }
}
