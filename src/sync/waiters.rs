//! A line of waiters, first come first served: a doubly linked list through a slab, so that a waiter in the middle leaves in
//! constant time, and no pointer points into a future.
//!
//! It is used under its owner's lock. No waker is cloned, dropped or woken here: they are handed out to be woken, or
//! dropped, after the lock was released, since that is somebody else's code.

use std::task::Waker;

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Waiters {
    slots: Vec<Slot>,
    /// The first vacant slot.
    vacant: usize,
    first: usize,
    last: usize,
    /// Occupied slots, of waiters in line and of those that were called.
    len: usize,
}

/// No slot.
const NONE: usize = usize::MAX;

/// A waiter's place, until it is given to `remove`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place(usize);

#[derive(Debug)]
enum Slot {
    Vacant { next: usize },
    InLine { waker: Waker, note: usize, before: usize, behind: usize },
    Called(Call),
}

/// How a waiter was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// Alone: if it goes away, somebody else is to be called in its stead.
    Alone,
    /// With all others.
    WithAll,
}

/// What became of a waiter. The waker is of no use any more, and is for the caller to drop.
#[derive(Debug)]
pub(super) enum Found {
    /// It waits.
    InLine(Waker),
    /// It was called in this way, and its place is gone.
    Called(Waker, Call),
}

/// Wakers of those who were called, mostly one, to be woken when the lock was released.
#[derive(Debug, Default)]
#[must_use = "to be woken after the lock was released"]
pub(super) struct Wakers {
    first: Option<Waker>,
    others: Vec<Waker>,
}

impl Wakers {
    pub(super) fn push(&mut self, waker: Waker) {
        match &self.first {
            None => self.first = Some(waker),
            Some(_) => self.others.push(waker),
        }
    }

    /// In the order of their places.
    pub(super) fn into_iter(self) -> impl Iterator<Item = Waker> {
        self.first.into_iter().chain(self.others)
    }
}

impl Waiters {
    pub(super) const fn new() -> Waiters {
        Waiters { slots: Vec::new(), vacant: NONE, first: NONE, last: NONE, len: 0 }
    }

    /// Gets in line.
    pub(super) fn push(&mut self, waker: Waker) -> Place {
        self.push_with(waker, 0)
    }

    /// Gets in line with a note of what it wants, which its owner reads when it is the first.
    pub(super) fn push_with(&mut self, waker: Waker, note: usize) -> Place {
        let at = self.fill(Slot::InLine { waker, note, before: self.last, behind: NONE });
        self.link(self.last, at);
        self.last = at;
        Place(at)
    }

    /// Gets in line before all others.
    pub(super) fn push_front(&mut self, waker: Waker, note: usize) -> Place {
        let at = self.fill(Slot::InLine { waker, note, before: NONE, behind: self.first });
        match self.first {
            NONE => self.last = at,
            behind => self.set_before(behind, at),
        }
        self.first = at;
        Place(at)
    }

    /// The note of the first in line. None: nobody is.
    pub(super) fn first_note(&self) -> Option<usize> {
        match self.slots.get(self.first)? {
            Slot::InLine { note, .. } => Some(*note),
            _ => unreachable!("the first stands in line"),
        }
    }

    /// Calls the first in line. None: nobody is.
    pub(super) fn call_one(&mut self) -> Option<Waker> {
        (self.first != NONE).then(|| self.call(self.first, Call::Alone))
    }

    /// Calls all who are in line now.
    pub(super) fn call_all(&mut self) -> Vec<Waker> {
        let mut wakers = Vec::new();
        while self.first != NONE {
            wakers.push(self.call(self.first, Call::WithAll));
        }
        wakers
    }

    /// How a waiter was called, if it was; then its place is gone. So it need not clone its waker to ask.
    pub(super) fn take_call(&mut self, place: &Place) -> Option<Call> {
        let Slot::Called(call) = self.slots[place.0] else { return None };
        self.free(place.0);
        Some(call)
    }

    /// Asks for a waiter that is polled again; `waker` is what it is to be woken with. If it was called, its place is gone.
    pub(super) fn look(&mut self, place: &Place, waker: Waker) -> Found {
        match &mut self.slots[place.0] {
            Slot::InLine { waker: old, .. } => {
                if old.will_wake(&waker) {
                    return Found::InLine(waker);
                }
                Found::InLine(std::mem::replace(old, waker))
            }
            Slot::Called(_) => Found::Called(waker, self.take_call(place).expect("it was called")),
            Slot::Vacant { .. } => unreachable!("a place is given back once"),
        }
    }

    /// Gets in line, or keeps its place in it; who was called for something that is over gets in line again. A waker that is
    /// not needed is for the caller to drop.
    #[must_use = "to be dropped after the lock was released"]
    pub(super) fn stay(&mut self, place: &mut Option<Place>, waker: Waker) -> Option<Waker> {
        let waker = match place.take() {
            None => waker,
            Some(stands) => match self.look(&stands, waker) {
                Found::InLine(other) => {
                    *place = Some(stands);
                    return Some(other);
                }
                Found::Called(waker, _) => waker,
            },
        };
        *place = Some(self.push(waker));
        None
    }

    /// A waiter goes away. Its waker, if it was in line; or how it was called.
    pub(super) fn remove(&mut self, place: Place) -> Result<Waker, Call> {
        if let Some(call) = self.take_call(&place) {
            return Err(call);
        }
        let waker = self.unlink(place.0);
        self.free(place.0);
        Ok(waker)
    }

    fn call(&mut self, at: usize, call: Call) -> Waker {
        let waker = self.unlink(at);
        self.slots[at] = Slot::Called(call);
        waker
    }

    /// Takes a slot out of the line. It is to be filled with something else next.
    fn unlink(&mut self, at: usize) -> Waker {
        let slot = std::mem::replace(&mut self.slots[at], Slot::Vacant { next: NONE });
        let Slot::InLine { waker, before, behind, .. } = slot else { unreachable!("it stands in line") };
        match before {
            NONE => self.first = behind,
            before => self.set_behind(before, behind),
        }
        match behind {
            NONE => self.last = before,
            behind => self.set_before(behind, before),
        }
        waker
    }

    fn fill(&mut self, slot: Slot) -> usize {
        self.len += 1;
        match self.vacant {
            NONE => {
                self.slots.push(slot);
                self.slots.len() - 1
            }
            at => {
                let Slot::Vacant { next } = self.slots[at] else { unreachable!("a vacant slot is vacant") };
                self.vacant = next;
                self.slots[at] = slot;
                at
            }
        }
    }

    fn free(&mut self, at: usize) {
        self.len -= 1;
        if self.len == 0 {
            // After a crowd nothing is kept; after a few, their slots.
            self.slots.clear();
            self.slots.shrink_to(16);
            self.vacant = NONE;
        } else {
            self.slots[at] = Slot::Vacant { next: self.vacant };
            self.vacant = at;
        }
    }

    fn link(&mut self, before: usize, at: usize) {
        match before {
            NONE => self.first = at,
            before => self.set_behind(before, at),
        }
    }

    fn set_behind(&mut self, at: usize, to: usize) {
        let Slot::InLine { behind, .. } = &mut self.slots[at] else { unreachable!("neighbours stand in line") };
        *behind = to;
    }

    fn set_before(&mut self, at: usize, to: usize) {
        let Slot::InLine { before, .. } = &mut self.slots[at] else { unreachable!("neighbours stand in line") };
        *before = to;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        collections::VecDeque,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::Wake,
    };

    struct Numbered(usize, Arc<AtomicUsize>);

    impl Wake for Numbered {
        fn wake(self: Arc<Self>) {
            self.1.store(self.0, Ordering::Relaxed);
        }
    }

    /// Beside it stands a queue of numbers that is searched from end to end.
    #[test]
    fn it_does_what_a_plain_queue_does() {
        for seed in 0..50 {
            let mut random = seed * 2 + 1;
            let mut draw = move |below: usize| {
                random = (random * 6_364_136_223_846_793_005 + 1_442_695_040_888_963_407) & u128::from(u64::MAX);
                (random >> 33) as usize % below
            };
            let woken = Arc::new(AtomicUsize::new(0));
            let mut line = Waiters::new();
            let mut plain: VecDeque<usize> = VecDeque::new();
            let mut places: Vec<(usize, Place)> = Vec::new();
            for number in 1..600 {
                match draw(6) {
                    0..2 => {
                        let waker = Waker::from(Arc::new(Numbered(number, woken.clone())));
                        places.push((number, line.push_with(waker, number)));
                        plain.push_back(number);
                    }
                    2 => {
                        let waker = Waker::from(Arc::new(Numbered(number, woken.clone())));
                        places.push((number, line.push_front(waker, number)));
                        plain.push_front(number);
                    }
                    3 => match (line.call_one(), plain.pop_front()) {
                        (Some(waker), Some(number)) => {
                            waker.wake();
                            assert_eq!(woken.load(Ordering::Relaxed), number);
                        }
                        (None, None) => {}
                        other => panic!("{other:?}"),
                    },
                    4 if !places.is_empty() => {
                        let (number, place) = places.swap_remove(draw(places.len()));
                        match (line.remove(place), plain.iter().position(|other| *other == number)) {
                            (Ok(_), Some(at)) => drop(plain.remove(at)),
                            (Err(Call::Alone | Call::WithAll), None) => {}
                            other => panic!("{other:?}"),
                        }
                    }
                    _ if draw(10) == 0 => {
                        assert_eq!(line.call_all().len(), plain.len());
                        plain.clear();
                    }
                    _ => {}
                }
                assert_eq!((line.len, line.first_note()), (places.len(), plain.front().copied()));
            }
            for (_, place) in places {
                let _ = line.remove(place);
            }
            assert_eq!((line.len, line.first, line.last, line.slots.len()), (0, NONE, NONE, 0));
        }
    }
}
