//! Checks the wheel's invariant, letter by letter, by looking at everything. For tests.

use super::{NEVER, Wheel};
use crate::slots::List;

impl Wheel {
    /// Panics if the invariant of the head comment does not hold.
    pub(crate) fn check(&self) {
        assert!(self.elapsed <= self.front_end && self.front_end < NEVER);
        let mut armed = 0;
        for list in self.slots.lists() {
            let nodes = self.slots.nodes(&self.arena, list);
            armed += nodes.len();
            let is_level = list != List::FRONT && list != List::NEVER;
            if is_level {
                assert_eq!(self.slots.is_marked(list), !nodes.is_empty());
            }
            if list == List::FRONT && nodes.is_empty() {
                assert_eq!(self.front_end, self.elapsed, "(c)");
            }
            for &index in &nodes {
                let node = self.arena.node(index);
                let front_min = self.slots.front_min();
                assert!(front_min.is_none_or(|min| min <= node.deadline), "(e)");
                assert!(node.waker.is_some());
                assert!(self.slots.list_min(list) <= node.deadline, "(b)");
                if is_level {
                    assert!(node.deadline > self.elapsed, "(a)");
                    assert_eq!(list, List::of(node.deadline, self.elapsed), "(a)");
                } else if list == List::FRONT {
                    assert!(node.deadline <= self.front_end, "(c)");
                } else {
                    assert_eq!(node.deadline, NEVER);
                }
            }
            if is_level && !nodes.is_empty() {
                let min = self.slots.list_min(list);
                assert_eq!(list, List::of(min, self.elapsed), "(b)");
            }
        }
        assert_eq!(armed, self.len());
    }

    /// Levels for which memory is allocated.
    pub(crate) fn levels_made(&self) -> usize {
        self.slots.levels_made()
    }
}
