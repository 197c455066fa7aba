//! The wakers that wait on one descriptor: any number for each direction, in the order in which they came.
//!
//! Nearly every descriptor has at most one reader and one writer, so one waker of each direction lies inline: 16 bytes a direction, as
//! much as an `Option<Waker>`. More of them lie in a vector, which is freed when it is empty. A plain value: its lock is the source's.
//!
//! No method clones, drops or calls a waker, since all three run foreign code and the lock is held: wakers come in owned and
//! leave owned.

use std::mem;
use std::slice;
use std::task::Waker;

use crate::readiness::Direction;

#[derive(Default)]
pub(crate) struct Waiters([Line; 2]);

/// Those of one direction.
enum Line {
    One(Waker),
    /// Never an empty vector.
    #[expect(clippy::box_collection, reason = "three words do not fit beside a waker")]
    Other(Option<Box<Vec<Waker>>>),
}

const _: () = assert!(size_of::<Line>() == size_of::<Option<Waker>>());

impl Default for Line {
    fn default() -> Line {
        Line::Other(None)
    }
}

impl Line {
    fn as_slice(&self) -> &[Waker] {
        match self {
            Line::One(waker) => slice::from_ref(waker),
            Line::Other(None) => &[],
            Line::Other(Some(wakers)) => wakers,
        }
    }

    fn is_empty(&self) -> bool {
        matches!(self, Line::Other(None))
    }
}

impl Waiters {
    #[inline]
    pub(crate) fn is_empty(&self, direction: Direction) -> bool {
        self.0[direction.index()].is_empty()
    }

    #[inline]
    pub(crate) fn contains(&self, direction: Direction, waker: &Waker) -> bool {
        // Nearly always asked where nobody waits.
        !self.is_empty(direction) && self.iter(direction).any(|waiting| waiting.will_wake(waker))
    }

    /// Who waits in a direction.
    pub(crate) fn iter(&self, direction: Direction) -> impl Iterator<Item = &Waker> {
        self.0[direction.index()].as_slice().iter()
    }

    #[inline]
    pub(crate) fn push(&mut self, direction: Direction, waker: Waker) {
        let line = &mut self.0[direction.index()];
        *line = match mem::take(line) {
            Line::Other(None) => Line::One(waker),
            Line::One(first) => Line::Other(Some(Box::new(vec![first, waker]))),
            Line::Other(Some(mut wakers)) => {
                wakers.push(waker);
                Line::Other(Some(wakers))
            }
        };
    }

    /// Appends those of one direction to `taken`.
    #[inline]
    pub(crate) fn take(&mut self, direction: Direction, taken: &mut Vec<Waker>) {
        let line = &mut self.0[direction.index()];
        if line.is_empty() {
            return;
        }
        match mem::take(line) {
            Line::One(waker) => taken.push(waker),
            Line::Other(None) => {}
            Line::Other(Some(mut wakers)) => taken.append(&mut wakers),
        }
    }

    /// Takes out the waker that wakes the same task.
    #[must_use]
    pub(crate) fn remove(&mut self, direction: Direction, waker: &Waker) -> Option<Waker> {
        let line = &mut self.0[direction.index()];
        let place = line.as_slice().iter().position(|waiting| waiting.will_wake(waker))?;
        match mem::take(line) {
            Line::One(waker) => Some(waker),
            Line::Other(wakers) => {
                let mut wakers = wakers?;
                let removed = wakers.remove(place);
                if !wakers.is_empty() {
                    *line = Line::Other(Some(wakers));
                }
                Some(removed)
            }
        }
    }
}

#[cfg(all(test, not(gambol_loom)))]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::task::Wake;

    struct Nobody;

    impl Wake for Nobody {
        fn wake(self: Arc<Self>) {}
    }

    /// Random operations on the list and on a plain vector of numbers, compared after each.
    #[test]
    fn the_list_does_what_a_plain_vector_does() {
        let wakers: Vec<Waker> = (0..6).map(|_| Waker::from(Arc::new(Nobody))).collect();
        let mut list = Waiters::default();
        let mut naive: [Vec<usize>; 2] = [Vec::new(), Vec::new()];
        let mut random = 0x9E37_79B9_7F4A_7C15_u64;
        for _ in 0..20_000 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let direction = Direction::BOTH[(random >> 8) as usize % 2];
            let naive = &mut naive[direction.index()];
            let who = (random >> 16) as usize % wakers.len();
            let contained = list.contains(direction, &wakers[who]);
            assert_eq!(contained, naive.contains(&who));
            match random % 8 {
                0 => {
                    let mut taken = Vec::new();
                    list.take(direction, &mut taken);
                    assert_eq!(taken.len(), naive.len());
                    for (waker, who) in taken.iter().zip(naive.drain(..)) {
                        assert!(waker.will_wake(&wakers[who]));
                    }
                }
                1..4 => {
                    let removed = list.remove(direction, &wakers[who]);
                    assert_eq!(removed.is_some(), contained);
                    naive.retain(|other| *other != who);
                }
                _ if contained => {}
                _ => {
                    list.push(direction, wakers[who].clone());
                    naive.push(who);
                }
            }
            assert_eq!(list.is_empty(direction), naive.is_empty());
            let lines = list.0.iter();
            assert!(lines.into_iter().all(|line| line.is_empty() == line.as_slice().is_empty()));
        }
    }
}
