//! The lists in which armed timers hang, and what finds the earliest among them.
//!
//! There are 11 levels of 64 slots; a slot is a list. Level `l` looks at the `l`-th group of six
//! bits of a deadline, counted from the lowest, and its slot is what those bits say: a slot of
//! level 0 is one nanosecond wide, one of level 5 is about a second, one of level 10 is 36 years. A
//! timer hangs at the level of the highest bit in which its deadline differs from the wheel's
//! `elapsed`, which is earlier. Above that level both agree; at that level the deadline's digit is
//! the greater one. From this follows what makes the wheel quick:
//! - no slot ever holds deadlines of two rounds: it is a range of time, and slots of one level are
//!   in the order of time;
//! - all of level `l` comes before all of level `l + 1`, since it agrees with `elapsed` in a digit
//!   where the other is greater;
//! - so the earliest deadline is in the first occupied slot of the lowest occupied level, and two
//!   bitmaps find it.
//!
//! Two more lists stand beside the levels: `FRONT`, for what `expire` has to look at first, and
//! `NEVER`.
//!
//! A list is circular, doubly linked, and closed by its head. A [`Link`] names a node, or, with the
//! top bit, a head, so that a node unlinks itself without knowing its list, and a list that runs
//! empty is recognised by whose head it was. Heads that are nodes of the arena would spare the test
//! of that bit; they would be 22 KiB for a wheel. As they are, a head is 16 bytes with the slot's
//! minimum, a level is 1 KiB, made when it is first used and kept: five or six levels in most
//! programs.

use crate::arena::Arena;

/// Bits of a deadline that a level looks at.
const BITS: u32 = 6;
const SLOTS: usize = 1 << BITS;
const LEVELS: usize = u64::BITS.div_ceil(BITS) as usize;

/// A neighbour in a list: a node by its index, or, with the top bit, a list by its number.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Link(u32);

/// What a [`Link`] leads to.
enum Target {
    Node(u32),
    Head(List),
}

impl Link {
    const HEAD: u32 = 1 << 31;

    pub(crate) const fn node(index: u32) -> Link {
        Link(index)
    }

    const fn head(list: List) -> Link {
        Link(list.0 | Link::HEAD)
    }

    #[inline]
    fn target(self) -> Target {
        if self.0 & Link::HEAD == 0 { Target::Node(self.0) } else { Target::Head(List(self.0 & !Link::HEAD)) }
    }
}

/// The number of a list: level and slot, or one of those beside the levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct List(u32);

impl List {
    /// What has to be fired or put into its slot before anything else is looked at.
    pub(crate) const FRONT: List = List((LEVELS * SLOTS) as u32);
    /// What is armed for never.
    pub(crate) const NEVER: List = List((LEVELS * SLOTS) as u32 + 1);

    /// The slot of a deadline that is later than `elapsed`.
    #[inline]
    pub(crate) fn of(deadline: u64, elapsed: u64) -> List {
        debug_assert!(deadline > elapsed);
        let level = (deadline ^ elapsed).ilog2() / BITS;
        let slot = (deadline >> (level * BITS)) as u32 % SLOTS as u32;
        List(level << BITS | slot)
    }

    /// The last deadline that belongs to the slot that `deadline` belongs to, if this is that slot.
    pub(crate) fn last_deadline(self, deadline: u64) -> u64 {
        deadline | ((1 << (self.level() as u32 * BITS)) - 1)
    }

    /// `LEVELS` for a list beside the levels.
    #[inline]
    fn level(self) -> usize {
        self.0 as usize / SLOTS
    }

    #[inline]
    fn slot(self) -> usize {
        self.0 as usize % SLOTS
    }
}

/// The head of a list.
#[derive(Clone, Copy)]
struct Head {
    /// No deadline in the list is earlier. Meaningless when the list is empty.
    min: u64,
    /// The head itself when the list is empty.
    first: Link,
    last: Link,
}

const _: () = assert!(size_of::<Head>() == 16);

impl Head {
    const fn empty(list: List) -> Head {
        Head { min: u64::MAX, first: Link::head(list), last: Link::head(list) }
    }
}

type Level = [Head; SLOTS];

pub(crate) struct Slots {
    levels: [Option<Box<Level>>; LEVELS],
    /// One bit for each slot that is not empty.
    occupied: [u64; LEVELS],
    /// One bit for each level with an occupied slot.
    occupied_levels: u32,
    /// `FRONT` and `NEVER`.
    beside: [Head; 2],
}

impl Slots {
    pub(crate) const fn new() -> Slots {
        Slots {
            levels: [const { None }; LEVELS],
            occupied: [0; LEVELS],
            occupied_levels: 0,
            beside: [Head::empty(List::FRONT), Head::empty(List::NEVER)],
        }
    }

    /// Hangs a node that is in no list at the end of one.
    #[inline]
    pub(crate) fn push_back(&mut self, arena: &mut Arena, list: List, index: u32, deadline: u64) {
        let head = self.head_to_fill(list);
        let last = std::mem::replace(&mut head.last, Link::node(index));
        match last.target() {
            Target::Head(_) => {
                head.min = deadline;
                head.first = Link::node(index);
                self.mark_occupied(list);
            }
            Target::Node(last) => {
                head.min = head.min.min(deadline);
                arena.node_mut(last).next = Link::node(index);
            }
        }
        let node = arena.node_mut(index);
        node.prev = last;
        node.next = Link::head(list);
    }

    /// Takes a node out of the list that it is in, and names that list if it is empty now.
    #[inline]
    pub(crate) fn unlink(&mut self, arena: &mut Arena, index: u32) -> Option<List> {
        let node = arena.node(index);
        let (prev, next) = (node.prev, node.next);
        match prev.target() {
            Target::Node(prev) => arena.node_mut(prev).next = next,
            Target::Head(list) => self.head_mut(list).first = next,
        }
        match next.target() {
            Target::Node(next) => arena.node_mut(next).prev = prev,
            Target::Head(list) => {
                self.head_mut(list).last = prev;
                // Only a head is both neighbours of one node.
                if prev == next {
                    self.mark_empty(list);
                    return Some(list);
                }
            }
        }
        None
    }

    /// The first node of a list.
    #[inline]
    pub(crate) fn first(&self, list: List) -> Option<u32> {
        match self.head(list).first.target() {
            Target::Node(index) => Some(index),
            Target::Head(_) => None,
        }
    }

    /// A lower bound of the deadlines in the levels: the minimum of the first occupied slot, or
    /// what it was before the earliest timer of that slot was taken out.
    #[inline]
    pub(crate) fn min(&self) -> Option<u64> {
        self.first_occupied().map(|list| self.head(list).min)
    }

    /// The same for `FRONT`.
    pub(crate) fn front_min(&self) -> Option<u64> {
        self.first(List::FRONT).map(|_| self.head(List::FRONT).min)
    }

    /// The first occupied slot of the lowest occupied level.
    #[inline]
    pub(crate) fn first_occupied(&self) -> Option<List> {
        if self.occupied_levels == 0 {
            return None;
        }
        let level = self.occupied_levels.trailing_zeros();
        let slot = self.occupied[level as usize].trailing_zeros();
        Some(List(level << BITS | slot))
    }

    /// Moves everything in a slot to `FRONT`, which is empty, by changing four links. False if the
    /// slot is empty.
    pub(crate) fn move_to_front(&mut self, arena: &mut Arena, list: List) -> bool {
        debug_assert!(self.first(List::FRONT).is_none());
        if self.occupied[list.level()] & 1 << list.slot() == 0 {
            return false;
        }
        self.mark_empty(list);
        let head = std::mem::replace(self.head_mut(list), Head::empty(list));
        let front = Link::head(List::FRONT);
        if let Target::Node(first) = head.first.target() {
            arena.node_mut(first).prev = front;
        }
        if let Target::Node(last) = head.last.target() {
            arena.node_mut(last).next = front;
        }
        *self.head_mut(List::FRONT) = head;
        true
    }

    #[inline]
    fn head(&self, list: List) -> &Head {
        match self.levels.get(list.level()) {
            Some(level) => &level.as_ref().expect(UNMADE)[list.slot()],
            None => &self.beside[list.slot()],
        }
    }

    #[inline]
    fn head_mut(&mut self, list: List) -> &mut Head {
        match self.levels.get_mut(list.level()) {
            Some(level) => &mut level.as_mut().expect(UNMADE)[list.slot()],
            None => &mut self.beside[list.slot()],
        }
    }

    /// The same, and the level is made if this is its first use.
    #[inline]
    fn head_to_fill(&mut self, list: List) -> &mut Head {
        match self.levels.get_mut(list.level()) {
            Some(level) => &mut level.get_or_insert_with(|| make_level(list))[list.slot()],
            None => &mut self.beside[list.slot()],
        }
    }

    #[inline]
    fn mark_occupied(&mut self, list: List) {
        if let Some(occupied) = self.occupied.get_mut(list.level()) {
            *occupied |= 1 << list.slot();
            self.occupied_levels |= 1 << list.level();
        }
    }

    #[inline]
    fn mark_empty(&mut self, list: List) {
        if let Some(occupied) = self.occupied.get_mut(list.level()) {
            *occupied &= !(1 << list.slot());
            if *occupied == 0 {
                self.occupied_levels &= !(1 << list.level());
            }
        }
    }
}

const UNMADE: &str = "a list that has been in use has its level";

/// The level of `list`, empty.
#[cold]
#[inline(never)]
fn make_level(list: List) -> Box<Level> {
    let first = (list.level() * SLOTS) as u32;
    let mut level = Box::new([Head::empty(list); SLOTS]);
    for (number, head) in (first..).zip(level.iter_mut()) {
        *head = Head::empty(List(number));
    }
    level
}

#[cfg(test)]
impl Slots {
    /// Every list, every head of which is made.
    pub(crate) fn lists(&self) -> impl Iterator<Item = List> {
        let made = (0..LEVELS).filter(|&level| self.levels[level].is_some());
        made.flat_map(|level| (0..SLOTS).map(move |slot| List((level * SLOTS + slot) as u32)))
            .chain([List::FRONT, List::NEVER])
    }

    /// The nodes of a list in order, their links checked in both directions.
    pub(crate) fn nodes(&self, arena: &Arena, list: List) -> Vec<u32> {
        let mut nodes = Vec::new();
        let mut prev = Link::head(list);
        let mut link = self.head(list).first;
        while let Target::Node(index) = link.target() {
            let node = arena.node(index);
            assert!(node.prev == prev, "broken link in {list:?}");
            nodes.push(index);
            prev = link;
            link = node.next;
        }
        assert!(link == Link::head(list) && self.head(list).last == prev, "{list:?} is not closed");
        nodes
    }

    pub(crate) fn list_min(&self, list: List) -> u64 {
        self.head(list).min
    }

    /// What the bitmaps say of a slot.
    pub(crate) fn is_marked(&self, list: List) -> bool {
        let marked = self.occupied[list.level()] & 1 << list.slot() != 0;
        let level_marked = self.occupied_levels & 1 << list.level() != 0;
        assert_eq!(level_marked, self.occupied[list.level()] != 0);
        marked
    }

    pub(crate) fn levels_made(&self) -> usize {
        self.levels.iter().flatten().count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_the_highest_digit_that_differs() {
        assert_eq!(LEVELS, 11);
        assert_eq!(List::of(1, 0), List(1));
        assert_eq!(List::of(63, 0), List(63));
        assert_eq!(List::of(64, 0), List(64 + 1));
        assert_eq!(List::of(64, 63), List(64 + 1));
        assert_eq!(List::of(4095, 0), List(64 + 63));
        assert_eq!(List::of(4096, 4095), List(2 * 64 + 1));
        assert_eq!(List::of(4097, 4096), List(1));
        assert_eq!(List::of(u64::MAX, 0), List(10 * 64 + 15));
        assert_eq!(List::of(u64::MAX, u64::MAX - 1), List(63));
        assert!(List::of(u64::MAX, 0).0 < List::FRONT.0);
    }

    #[test]
    fn a_slot_ends_before_the_next_one() {
        assert_eq!(List::of(63, 0).last_deadline(63), 63);
        assert_eq!(List::of(64, 0).last_deadline(64), 127);
        assert_eq!(List::of(100, 0).last_deadline(100), 127);
        assert_eq!(List::of(u64::MAX, 0).last_deadline(u64::MAX), u64::MAX);
    }
}
