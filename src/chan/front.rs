//! The first values of an unbounded channel, under a lock of their own: so senders and receivers that run at the same time on several
//! processors do not meet at each value.
//!
//! With one lock for all, each operation of the one side fetched the line with the lock and the ends of the queue from the other
//! side's processor, though hardly ever one of them found the lock taken: 30 ns a message between two workers, where the same on one
//! worker takes 10. A limit for the channel needs a count that both sides change, so there it stays like that.
//!
//! # The protocol
//!
//! *The order of the locks*: the channel's, then this one, which is held for a few instructions in which no other is taken.
//!
//! To take: lock this, take its first value. There is none: lock the channel, look here once more, then take the first value of the
//! channel's queue; what stands behind that comes here, a chunk at most, in the same hold. So
//!
//! 1. what is here is older than what is in the queue;
//! 2. values come here only under the channel's lock, and go at any time. Whoever has that lock and finds nothing here knows that
//!    nothing will come before the release: in the moment in which it finds nothing in the queue either, the channel is empty.
//!
//! *The race*: a receiver finds nothing here, and while it waits for the channel's lock another one brings a chunk. It would take a
//! value from the queue before older ones, or get in line beside values for which nobody is called. It does not: it looks here again
//! under the channel's lock (2).
//!
//! What was said of the calls (`shared.rs`) holds with the values here among those "to take": one that is sent calls a receiver, and
//! wherever it stands meanwhile, to take it only makes them fewer.

use super::{queue::Queue, sync::UnsafeCell};
use gambol_executor::lock::{LOCKED, Word};
use std::{collections::VecDeque, mem};

/// In the word: a value was taken since that was last asked for.
const TAKEN: usize = LOCKED << 1;
/// One value; how many there are stands in the other bits.
const ONE: usize = TAKEN << 1;

/// See the head of this file.
pub(crate) struct Front<T> {
    word: Word,
    /// Under the lock.
    values: UnsafeCell<VecDeque<T>>,
}

impl<T> Front<T> {
    pub(super) fn new() -> Front<T> {
        Front { word: Word::new(0), values: UnsafeCell::new(VecDeque::new()) }
    }

    /// Whether there is a value, or may be one in a moment. For who has the channel's lock, false is certain.
    #[inline]
    pub(super) fn may(&self) -> bool {
        self.word.look() & !TAKEN != 0
    }

    /// Does something with the values, which leaves these bits in the word.
    #[inline]
    fn with<R>(&self, f: impl FnOnce(&mut VecDeque<T>, usize) -> (R, usize)) -> R {
        let bits = self.word.acquire();
        // SAFETY: we hold the lock, so nobody else is here.
        let (result, bits) = self.values.with_mut(|values| f(unsafe { &mut *values }, bits));
        // SAFETY: we hold the lock, and the reference has ended. No panic keeps us from here: no code of others runs in `f`.
        unsafe { self.word.release(bits) };
        result
    }

    /// Takes the first value. None: there is none; as `may` says.
    #[inline]
    pub(super) fn take(&self) -> Option<T> {
        if !self.may() {
            return None;
        }
        self.with(|values, bits| match values.pop_front() {
            Some(value) => (Some(value), (bits - ONE) | TAKEN),
            None => (None, bits),
        })
    }

    /// Takes over the first values of the channel's queue. The caller has the channel's lock, and has found nothing here.
    pub(super) fn fill(&self, queue: &mut Queue<T>) {
        self.with(|values, bits| {
            queue.take_chunk(values);
            ((), bits + values.len() * ONE)
        });
    }

    /// How many there are. The caller has the channel's lock.
    pub(super) fn len(&self) -> usize {
        if self.may() { self.with(|_, bits| (bits / ONE, bits)) } else { 0 }
    }

    /// How many there are, unless somebody has the lock.
    pub(super) fn peek(&self) -> Option<usize> {
        let bits = self.word.look();
        (bits & LOCKED == 0).then_some(bits / ONE)
    }

    /// Takes all.
    pub(super) fn empty(&self) -> VecDeque<T> {
        self.with(|values, _| (mem::take(values), 0))
    }

    /// Whether a value was taken since this was last asked.
    pub(super) fn was_taken(&self) -> bool {
        self.with(|_, bits| (bits & TAKEN != 0, bits & !TAKEN))
    }
}
