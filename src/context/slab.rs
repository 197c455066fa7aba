//! Things in places: a thing gets a place when it comes, and leaves it in constant time.
//!
//! It is used under its owner's lock and calls nobody: what is taken out is handed out, to be dropped after the lock was
//! released.

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    slots: Vec<Slot<T>>,
    /// The first vacant slot.
    vacant: usize,
    len: usize,
}

#[derive(Debug)]
enum Slot<T> {
    Vacant { next: usize },
    Taken(T),
}

/// No slot.
const NONE: usize = usize::MAX;

impl<T> Slab<T> {
    pub(crate) const fn new() -> Slab<T> {
        Slab { slots: Vec::new(), vacant: NONE, len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Gives `thing` a place.
    pub(crate) fn insert(&mut self, thing: T) -> usize {
        self.len += 1;
        match self.slots.get_mut(self.vacant) {
            Some(slot) => {
                let Slot::Vacant { next } = *slot else { unreachable!("a vacant slot is vacant") };
                *slot = Slot::Taken(thing);
                std::mem::replace(&mut self.vacant, next)
            }
            None => {
                self.slots.push(Slot::Taken(thing));
                self.slots.len() - 1
            }
        }
    }

    /// Takes out what has this place.
    pub(crate) fn remove(&mut self, at: usize) -> T {
        let slot = std::mem::replace(&mut self.slots[at], Slot::Vacant { next: self.vacant });
        let Slot::Taken(thing) = slot else { unreachable!("a place is given back once") };
        self.vacant = at;
        self.len -= 1;
        if self.len == 0 {
            // After a crowd nothing is kept; after a few, their slots.
            self.slots.clear();
            self.slots.shrink_to(16);
            self.vacant = NONE;
        }
        thing
    }

    /// Puts another thing into a place; what was there comes back.
    pub(crate) fn replace(&mut self, at: usize, thing: T) -> T {
        let Slot::Taken(place) = &mut self.slots[at] else { unreachable!("a place is given back once") };
        std::mem::replace(place, thing)
    }

    /// All that have a place.
    pub(crate) fn into_all(self) -> impl Iterator<Item = T> + use<T> {
        self.slots.into_iter().filter_map(|slot| match slot {
            Slot::Taken(thing) => Some(thing),
            Slot::Vacant { .. } => None,
        })
    }
}

impl<T> Default for Slab<T> {
    fn default() -> Slab<T> {
        Slab::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Beside it stands a map.
    #[test]
    fn it_does_what_a_map_does() {
        for seed in 0..50 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (mut slab, mut map) = (Slab::new(), BTreeMap::new());
            for thing in 0..1000_usize {
                let places: Vec<usize> = map.keys().copied().collect();
                match random.usize(..100) {
                    0 => {
                        let mut all: Vec<usize> = std::mem::take(&mut slab).into_all().collect();
                        all.sort_unstable();
                        let mut expected: Vec<usize> = std::mem::take(&mut map).into_values().collect();
                        expected.sort_unstable();
                        assert_eq!(all, expected);
                    }
                    1..45 if !places.is_empty() => {
                        let at = places[random.usize(..places.len())];
                        assert_eq!(Some(slab.remove(at)), map.remove(&at));
                    }
                    45..50 if !places.is_empty() => {
                        let at = places[random.usize(..places.len())];
                        assert_eq!(Some(slab.replace(at, thing)), map.insert(at, thing));
                    }
                    _ => assert_eq!(map.insert(slab.insert(thing), thing), None),
                }
                assert_eq!(slab.len(), map.len());
            }
        }
    }

    #[test]
    fn a_crowd_leaves_no_memory_behind() {
        let mut slab = Slab::new();
        let places: Vec<usize> = (0..10_000_usize).map(|n| slab.insert(n)).collect();
        for (n, at) in places.into_iter().enumerate() {
            assert_eq!(slab.remove(at), n);
        }
        assert!(slab.slots.capacity() <= 16);
    }
}
