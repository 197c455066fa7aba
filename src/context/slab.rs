//! Things in places: a thing gets a place when it comes, and leaves it in constant time.
//!
//! It is used under its owner's lock and calls nobody: what is taken out is handed out, to be dropped after the lock was
//! released.

/// Places for things of which there is usually one: that stands here, and only with a second one do they move into a slab.
#[derive(Debug, Default)]
pub(crate) enum Places<T> {
    #[default]
    None,
    /// In the first place.
    One(T),
    Many(Box<Slab<T>>),
}

impl<T> Places<T> {
    pub(crate) fn len(&self) -> usize {
        match self {
            Places::None => 0,
            Places::One(_) => 1,
            Places::Many(slab) => slab.len(),
        }
    }

    /// Gives `thing` a place.
    pub(crate) fn insert(&mut self, thing: T) -> usize {
        match self {
            Places::None => {
                *self = Places::One(thing);
                FIRST
            }
            Places::One(_) => {
                let Places::One(first) = std::mem::take(self) else { unreachable!("looked at just now") };
                let mut slab = Box::new(Slab::new());
                let place = slab.insert(first);
                debug_assert_eq!(place, FIRST);
                let place = slab.insert(thing);
                *self = Places::Many(slab);
                place
            }
            Places::Many(slab) => slab.insert(thing),
        }
    }

    /// Takes out what has this place.
    pub(crate) fn remove(&mut self, at: usize) -> T {
        if let Places::Many(slab) = self {
            return slab.remove(at);
        }
        let Places::One(thing) = std::mem::take(self) else { unreachable!("a place is given back once") };
        debug_assert_eq!(at, FIRST);
        thing
    }

    /// Takes out all that have a place.
    pub(crate) fn move_to(self, list: &mut Vec<T>) {
        match self {
            Places::None => {}
            Places::One(thing) => list.push(thing),
            Places::Many(slab) => list.extend(slab.into_all()),
        }
    }
}

impl<T> Default for Slab<T> {
    fn default() -> Slab<T> {
        Slab::new()
    }
}

/// The place that a slab gives first.
const FIRST: usize = 0;

/// Any number of things.
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

    /// The same for places: those who come and go, with never more than a few there.
    #[test]
    fn one_or_few_keep_their_places() {
        let mut random = fastrand::Rng::with_seed(7);
        let (mut places, mut map) = (Places::None, BTreeMap::new());
        for thing in 0..10_000_usize {
            if map.len() == 3 || (!map.is_empty() && random.bool()) {
                let at = *map.keys().nth(random.usize(..map.len())).unwrap();
                assert_eq!(Some(places.remove(at)), map.remove(&at));
            } else {
                assert_eq!(map.insert(places.insert(thing), thing), None);
            }
            assert_eq!(places.len(), map.len());
            if random.u8(..50) == 0 {
                let mut all = Vec::new();
                std::mem::take(&mut places).move_to(&mut all);
                all.sort_unstable();
                let mut expected: Vec<usize> = std::mem::take(&mut map).into_values().collect();
                expected.sort_unstable();
                assert_eq!(all, expected);
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
