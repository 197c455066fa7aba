//! The wakers that wait on one descriptor: any number for each direction, in the order in which they came.
//!
//! Nearly every descriptor has at most one reader and one writer, so one waker of each direction lies inline; the rest lie in
//! vectors behind one pointer, which are freed when both are empty. A plain value: its lock is the source's.
//!
//! No method clones, drops or calls a waker, since all three run foreign code and the lock is held: wakers come in owned and
//! leave owned.

use std::task::Waker;

use crate::readiness::Direction;

#[derive(Default)]
pub(crate) struct Waiters {
    /// Occupied whenever anybody waits in that direction.
    first: [Option<Waker>; 2],
    /// Never with two empty vectors.
    rest: Option<Box<[Vec<Waker>; 2]>>,
}

impl Waiters {
    pub(crate) fn is_empty(&self, direction: Direction) -> bool {
        self.first[direction.index()].is_none()
    }

    pub(crate) fn contains(&self, direction: Direction, waker: &Waker) -> bool {
        // Nearly always asked where nobody waits.
        !self.is_empty(direction) && self.iter(direction).any(|waiting| waiting.will_wake(waker))
    }

    /// Who waits in a direction.
    pub(crate) fn iter(&self, direction: Direction) -> impl Iterator<Item = &Waker> {
        let index = direction.index();
        let rest = self.rest.iter().flat_map(move |rest| &rest[index]);
        self.first[index].iter().chain(rest)
    }

    pub(crate) fn push(&mut self, direction: Direction, waker: Waker) {
        let index = direction.index();
        match &mut self.first[index] {
            first @ None => *first = Some(waker),
            Some(_) => self.rest.get_or_insert_default()[index].push(waker),
        }
    }

    /// Appends those of one direction to `taken`.
    pub(crate) fn take(&mut self, direction: Direction, taken: &mut Vec<Waker>) {
        let index = direction.index();
        if let Some(first) = self.first[index].take() {
            taken.push(first);
        }
        if let Some(rest) = &mut self.rest {
            taken.append(&mut rest[index]);
            self.trim();
        }
    }

    /// Takes out the waker that wakes the same task.
    #[must_use]
    pub(crate) fn remove(&mut self, direction: Direction, waker: &Waker) -> Option<Waker> {
        let index = direction.index();
        let first = &mut self.first[index];
        let removed = if first.as_ref().is_some_and(|first| first.will_wake(waker)) {
            let removed = first.take();
            if let Some(rest) = &mut self.rest
                && !rest[index].is_empty()
            {
                *first = Some(rest[index].remove(0));
            }
            removed
        } else {
            let rest = &mut self.rest.as_mut()?[index];
            let place = rest.iter().position(|waiting| waiting.will_wake(waker))?;
            Some(rest.remove(place))
        };
        self.trim();
        removed
    }

    fn trim(&mut self) {
        if let Some(rest) = &self.rest
            && rest.iter().all(Vec::is_empty)
        {
            self.rest = None;
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
            let crowded = list.rest.as_ref();
            assert!(crowded.is_none_or(|rest| rest.iter().any(|rest| !rest.is_empty())));
        }
    }
}
