//! What a channel's lock guards, and the steps that are made under it. Begin at `shared.rs`, which says what they are for.
//!
//! No step runs code of others: whom to wake, and what to drop, is handed out for after the release.

use super::{
    attached::Attached,
    claim::Claim,
    front::Front,
    line::{Left, Line, Place, Waiter},
    queue::Queue,
    shared::Shared,
    word,
};
use gambol_executor::wake;
use std::task::Waker;

/// What the lock guards.
#[repr(C)]
pub(crate) struct State<T> {
    pub(super) queue: Queue<T>,
    /// Whether a value was taken since patience was last asked for.
    pub(super) taken: bool,
    /// Whether the channel is being looked after (`patience.rs`).
    pub(super) patience: bool,
    pub(super) closed: bool,
    pub(super) capacity: usize,
    pub(super) receivers: Line<()>,
    pub(super) senders: Line<T>,
    /// Who waits for the end, once somebody has.
    pub(super) watchers: Option<Box<Line<()>>>,
    /// Where the values come from, if that is no sender.
    pub(super) attached: Option<Attached>,
}

/// Wakes that are owed by who held the lock, for after the release. One step owes two at most: to a sender whose value moved up, and to a
/// receiver that is called for it.
#[derive(Debug, Default)]
#[must_use]
pub struct Owed {
    first: Option<Waker>,
    second: Option<Waker>,
    patience: bool,
}

impl Owed {
    /// Nothing.
    pub(crate) const fn new() -> Owed {
        Owed { first: None, second: None, patience: false }
    }

    /// Whether it is that.
    pub(crate) fn is_nothing(&self) -> bool {
        self.first.is_none() && self.second.is_none() && !self.patience
    }

    fn add(&mut self, waker: Option<Waker>) {
        let place = if self.first.is_none() { &mut self.first } else { &mut self.second };
        debug_assert!(place.is_none(), "one step owes two wakes at most");
        if waker.is_some() {
            *place = waker;
        }
    }

    /// Wakes them. `shared` is where they are owed.
    pub(crate) fn settle<T>(self, shared: &Shared<T>) {
        if let Some(first) = self.first {
            wake(first);
        }
        if let Some(second) = self.second {
            wake(second);
        }
        if self.patience {
            shared.have_patience();
        }
    }
}

impl<T> State<T> {
    /// Whether the receiver was called, and comes for a value that is there. Then it has left its place.
    #[inline]
    pub(super) fn has_come(&mut self, place: &mut Option<Place>) -> bool {
        let comes = place.as_ref().is_some_and(|place| self.receivers.is_called(place));
        if comes && let Some(place) = place.take() {
            self.receivers.forget(place);
        }
        comes
    }

    /// Step 1 of receiving. Who takes a value leaves the line; what is left of its place is to be dropped after the release.
    pub(crate) fn take(
        &mut self,
        front: &Front<T>,
        place: &mut Option<Place>,
        owed: &mut Owed,
    ) -> Option<(T, Option<Left<()>>)> {
        let first = if self.capacity == usize::MAX { self.take_unbounded(front) } else { self.queue.pop() };
        let (value, made_room) = match first {
            Some(value) => (value, true),
            None if self.senders.is_empty() => return None,
            None => {
                let (value, waker) = self.senders.claim_first()?;
                owed.add(waker);
                (value, false)
            }
        };
        self.note_taken();
        // First: who was called has come, and its own room is no room for others.
        let left = place.take().map(|place| self.receivers.remove(place));
        if made_room && !self.senders.is_empty() {
            self.move_up(owed);
        }
        Some((value, left))
    }

    /// The first value where there is no limit (`front.rs`).
    fn take_unbounded(&mut self, front: &Front<T>) -> Option<T> {
        if let Some(value) = front.take() {
            return Some(value);
        }
        let value = self.queue.pop()?;
        if self.queue.len() > 0 {
            front.fill(&mut self.queue);
        }
        Some(value)
    }

    /// A value is taken. Written only if that is news: senders read what stands on the same line.
    #[inline]
    pub(super) fn note_taken(&mut self) {
        if !self.taken {
            self.taken = true;
        }
    }

    /// As `take`; or learns that the channel is closed and empty, and leaves the line as well.
    pub(crate) fn receive(
        &mut self,
        front: &Front<T>,
        place: &mut Option<Place>,
        owed: &mut Owed,
    ) -> Option<(Option<T>, Option<Left<()>>)> {
        match self.take(front, place, owed) {
            Some((value, left)) => Some((Some(value), left)),
            None if self.closed => Some((None, place.take().map(|place| self.receivers.remove(place)))),
            None => None,
        }
    }

    /// Whether there is room for one more behind `len` values ("Room" in `shared.rs`). Without a queue there never is.
    #[inline]
    pub(super) fn has_room_behind(&self, len: usize) -> bool {
        len < self.capacity || (self.capacity != 0 && len - self.capacity < self.receivers.called())
    }

    /// Whether there is room for one more in the queue.
    #[inline]
    pub(super) fn has_room(&self) -> bool {
        self.has_room_behind(self.queue.len())
    }

    /// A sender in line loses its value to the queue.
    fn move_up(&mut self, owed: &mut Owed) {
        if self.has_room()
            && let Some((value, waker)) = self.senders.claim_first()
        {
            owed.add(waker);
            self.queue.push(value);
            self.call_receiver(owed);
        }
    }

    /// Step 1 of sending. Err: there is no room.
    #[inline]
    pub(crate) fn put(&mut self, value: T, owed: &mut Owed) -> Result<(), T> {
        if !self.has_room() {
            return Err(value);
        }
        self.queue.push(value);
        if !self.receivers.is_empty() {
            self.call_receiver(owed);
        }
        Ok(())
    }

    /// Whether `put`, or for `now` [`put_now`](Self::put_now), would find room; or the end.
    #[inline]
    pub(crate) fn can_put(&self, now: bool) -> bool {
        self.has_room() || self.closed || (now && self.can_leave())
    }

    /// Whether there is no queue, and a receiver in line to leave a value to.
    fn can_leave(&self) -> bool {
        self.capacity == 0 && self.senders.is_empty() && !self.receivers.is_empty()
    }

    /// For those who cannot wait: where there is no queue, a receiver in line will do. It is called, and the value stays for it
    /// or, if it goes away, for the next one.
    pub(crate) fn put_now(&mut self, value: T, owed: &mut Owed) -> Result<(), T> {
        let value = match self.put(value, owed) {
            Err(value) if self.can_leave() => value,
            other => return other,
        };
        self.queue.push(value);
        self.call_receiver(owed);
        Ok(())
    }

    /// Calls the first receiver in line, if there is one.
    pub(super) fn call_receiver(&mut self, owed: &mut Owed) {
        let called = self.receivers.call_first();
        self.called(called, owed);
    }

    /// What is owed after a call.
    fn called(&mut self, called: Option<Option<Waker>>, owed: &mut Owed) {
        if let Some(waker) = called {
            owed.add(waker);
            if !self.receivers.is_empty() && !self.patience {
                (self.patience, self.taken) = (true, false);
                owed.patience = true;
            }
        }
    }

    /// Step 2 of sending, for a future of its own.
    pub(super) fn wait_to_send(&mut self, waker: Waker, value: T, owed: &mut Owed) -> Place {
        let place = self.senders.push(Waiter::Task(waker), value);
        if self.capacity == 0 {
            self.call_receiver(owed);
        }
        place
    }

    /// A select whose send is in line can be claimed from now on. Its own receives are not called: it would come for nothing, and be
    /// missing in line.
    pub(crate) fn can_be_claimed(&mut self, claim: &Claim, owed: &mut Owed) {
        if self.capacity == 0 && !self.receivers.is_empty() {
            let called = self.receivers.call_another(claim);
            self.called(called, owed);
        }
    }

    /// A receiver goes away, with whatever it did.
    pub(crate) fn leave_receivers(&mut self, front: &Front<T>, place: Place, owed: &mut Owed) -> Left<()> {
        let left = self.receivers.remove(place);
        if matches!(left, Left::Called(_)) && self.has_something(front) {
            self.call_receiver(owed);
        }
        left
    }

    pub(super) fn has_something(&self, front: &Front<T>) -> bool {
        self.queue.len() > 0 || !self.senders.is_empty() || front.may()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// What the word says while nobody holds the lock.
    #[inline]
    pub(super) fn bits(&self) -> usize {
        let len = self.queue.len();
        let bit = |condition: bool, bit: usize| if condition { bit } else { 0 };
        (len << word::LEN)
            | bit((len > 0) | !self.senders.is_empty() | self.closed, word::RECEIVABLE)
            | bit(self.has_room_behind(len) | self.closed, word::SENDABLE)
            | bit(self.closed, word::CLOSED)
            | bit(!self.receivers.is_empty(), word::AWAITED)
            | bit(!self.senders.is_empty(), word::OFFERED)
    }
}
