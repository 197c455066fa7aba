//! The memory of the timers: nodes of 32 bytes in chunks of 64, named by an index that never
//! changes.
//!
//! A chunk is one allocation of 2 KiB with one word that has a bit for each vacant node. To take a
//! node is to clear the lowest such bit of the first chunk with room; to give it back is to set the
//! bit. A chunk whose nodes are all vacant is freed, except for one, which is kept so that a
//! program at a chunk's border does not allocate and free with every timer. Growth allocates a
//! chunk and moves no node. What moves is the table of chunks, 24 bytes for every 2 KiB.
//!
//! Chunks with room form a list, the one that was full last in front: it is the densest, and
//! filling it first lets the sparse ones run empty. Table entries whose chunk is freed ("holes")
//! form another and are used again before the table grows; holes at the table's end are cut off.
//!
//! A free list through the nodes was left: it has to write to a node that nobody uses, and to free
//! a chunk it would have to find that chunk's nodes in the list. One allocation for each timer was
//! left as well: the caller would run the allocator under its lock for every sleep.

use crate::slots::Link;
use std::task::Waker;

/// Nodes in a chunk: as many as a word has bits.
const CHUNK: usize = 64;
const CHUNK_BITS: u32 = CHUNK.trailing_zeros();

/// Every node of a chunk is vacant.
const ALL: u64 = u64::MAX;

/// No chunk: the end of a list of chunks.
const NONE: u32 = u32::MAX;

/// The table is not shrunk below this many entries.
const TABLE_MIN: usize = 64;

/// One timer. It is armed if it has a waker, and then it hangs in exactly one list; without a waker
/// it has fired or is vacant, hangs nowhere, and its links mean nothing.
///
/// Aligned to its size, so that no node lies across two cache lines.
#[repr(align(32))]
pub(crate) struct Node {
    pub(crate) deadline: u64,
    pub(crate) waker: Option<Waker>,
    pub(crate) prev: Link,
    pub(crate) next: Link,
}

const _: () = assert!(size_of::<Node>() == 32);

impl Node {
    const VACANT: Node = Node { deadline: 0, waker: None, prev: Link::node(0), next: Link::node(0) };
}

struct Chunk {
    /// `None`: a hole.
    nodes: Option<Box<[Node; CHUNK]>>,
    /// One bit for each vacant node. 0 for a hole.
    vacant: u64,
    /// Neighbours in the list of chunks with room (`vacant != 0`) or in that of holes. A full chunk
    /// is in neither.
    prev: u32,
    next: u32,
}

/// Which of the two lists of chunks.
#[derive(Clone, Copy)]
enum Chunks {
    WithRoom = 0,
    Holes = 1,
}

pub(crate) struct Arena {
    chunks: Vec<Chunk>,
    /// First of each list of [`Chunks`].
    first: [u32; 2],
    /// Chunks that have memory.
    allocated: u32,
    /// The one chunk that has memory and no occupied node, or `NONE`.
    spare: u32,
}

impl Arena {
    pub(crate) const fn new() -> Arena {
        Arena { chunks: Vec::new(), first: [NONE; 2], allocated: 0, spare: NONE }
    }

    /// The node at `index`, which a key or a list names.
    #[inline]
    pub(crate) fn node(&self, index: u32) -> &Node {
        let chunk = &self.chunks[(index >> CHUNK_BITS) as usize];
        debug_assert!(chunk.is_occupied(index), "{FOREIGN}");
        let nodes = chunk.nodes.as_ref().expect(FOREIGN);
        &nodes[index as usize % CHUNK]
    }

    /// The same, to be changed.
    #[inline]
    pub(crate) fn node_mut(&mut self, index: u32) -> &mut Node {
        let chunk = &mut self.chunks[(index >> CHUNK_BITS) as usize];
        debug_assert!(chunk.is_occupied(index), "{FOREIGN}");
        let nodes = chunk.nodes.as_mut().expect(FOREIGN);
        &mut nodes[index as usize % CHUNK]
    }

    /// Takes a vacant node for a timer, whose links the caller still has to set. The index is below
    /// 2^31.
    #[inline]
    pub(crate) fn take(&mut self, deadline: u64, waker: Waker) -> u32 {
        if self.first[Chunks::WithRoom as usize] == NONE {
            self.grow();
        }
        let number = self.first[Chunks::WithRoom as usize];
        let chunk = &mut self.chunks[number as usize];
        let bit = chunk.vacant.trailing_zeros();
        if chunk.vacant == ALL {
            self.spare = NONE;
        }
        chunk.vacant &= chunk.vacant - 1;
        let is_full = chunk.vacant == 0;

        let nodes = chunk.nodes.as_mut().expect("a chunk with room has memory");
        let node = &mut nodes[bit as usize % CHUNK];
        node.deadline = deadline;
        node.waker = Some(waker);

        if is_full {
            self.unlink(Chunks::WithRoom, number);
        }
        number << CHUNK_BITS | bit
    }

    /// Gives a node back that hangs in no list, and hands out the waker that is still in it.
    #[inline]
    pub(crate) fn give_back(&mut self, index: u32) -> Option<Waker> {
        let number = index >> CHUNK_BITS;
        let chunk = &mut self.chunks[number as usize];
        assert!(!chunk.is_vacant(index), "{FOREIGN}");
        let waker = chunk.nodes.as_mut().expect(FOREIGN)[index as usize % CHUNK].waker.take();

        let was_full = chunk.vacant == 0;
        chunk.vacant |= chunk.bit(index);
        let is_empty = chunk.vacant == ALL;
        if was_full {
            self.link(Chunks::WithRoom, number);
        }
        if is_empty {
            self.keep_one_spare(number);
        }
        waker
    }

    /// Nodes, occupied and vacant, for which there is memory.
    pub(crate) fn nodes_allocated(&self) -> usize {
        self.allocated as usize * CHUNK
    }

    /// Puts a chunk, all of it vacant, at the front of those with room.
    #[cold]
    fn grow(&mut self) {
        let mut number = self.first[Chunks::Holes as usize];
        if number == NONE {
            // 2^25 chunks are 2^31 nodes. The bit above tells a node from a list's head.
            assert!(self.chunks.len() < 1 << 25, "a wheel holds at most 2^31 timers");
            number = self.chunks.len() as u32;
            self.chunks.push(Chunk { nodes: None, vacant: 0, prev: NONE, next: NONE });
        } else {
            self.unlink(Chunks::Holes, number);
        }
        let chunk = &mut self.chunks[number as usize];
        chunk.nodes = Some(Box::new([const { Node::VACANT }; CHUNK]));
        chunk.vacant = ALL;
        self.allocated += 1;
        self.spare = number;
        self.link(Chunks::WithRoom, number);
    }

    /// Of the spare chunk and one that has just run empty, frees the one nearer to the table's end.
    fn keep_one_spare(&mut self, number: u32) {
        let spare = self.spare;
        self.spare = number.min(spare);
        if spare != NONE {
            self.free(number.max(spare));
        }
    }

    /// Frees a chunk that has no occupied node, and cuts the holes off the table's end. Every entry
    /// that is cut was once pushed, so that this is constant on average; at worst, after a peak of
    /// a million timers, it walks 16 thousand entries.
    #[cold]
    fn free(&mut self, number: u32) {
        self.unlink(Chunks::WithRoom, number);
        let chunk = &mut self.chunks[number as usize];
        chunk.nodes = None;
        chunk.vacant = 0;
        self.allocated -= 1;
        self.link(Chunks::Holes, number);

        while self.chunks.last().is_some_and(|last| last.nodes.is_none()) {
            self.unlink(Chunks::Holes, self.chunks.len() as u32 - 1);
            self.chunks.pop();
        }
        let capacity = self.chunks.capacity();
        if capacity > TABLE_MIN && self.chunks.len() < capacity / 4 {
            self.chunks.shrink_to(TABLE_MIN.max(self.chunks.len() * 2));
        }
    }

    fn link(&mut self, list: Chunks, number: u32) {
        let next = std::mem::replace(&mut self.first[list as usize], number);
        if next != NONE {
            self.chunks[next as usize].prev = number;
        }
        let chunk = &mut self.chunks[number as usize];
        chunk.prev = NONE;
        chunk.next = next;
    }

    fn unlink(&mut self, list: Chunks, number: u32) {
        let Chunk { prev, next, .. } = self.chunks[number as usize];
        if prev == NONE {
            self.first[list as usize] = next;
        } else {
            self.chunks[prev as usize].next = next;
        }
        if next != NONE {
            self.chunks[next as usize].prev = prev;
        }
    }
}

const FOREIGN: &str = "a timer's key works only on the wheel that made it";

impl Chunk {
    fn bit(&self, index: u32) -> u64 {
        1 << (index as usize % CHUNK)
    }

    fn is_vacant(&self, index: u32) -> bool {
        self.vacant & self.bit(index) != 0
    }

    fn is_occupied(&self, index: u32) -> bool {
        self.nodes.is_some() && !self.is_vacant(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(arena: &mut Arena, count: usize) -> Vec<u32> {
        let noop = Waker::noop();
        (0..count).map(|deadline| arena.take(deadline as u64, noop.clone())).collect()
    }

    #[test]
    fn indices_are_dense_and_stable() {
        let mut arena = Arena::new();
        let indices = take(&mut arena, 1000);
        let expected: Vec<u32> = (0..1000).collect();
        assert_eq!(indices, expected);
        for index in indices {
            assert_eq!(arena.node(index).deadline, u64::from(index));
        }
    }

    #[test]
    fn one_empty_chunk_is_kept_and_no_more() {
        let mut arena = Arena::new();
        assert_eq!(arena.nodes_allocated(), 0);
        let indices = take(&mut arena, 10 * CHUNK);
        assert_eq!(arena.nodes_allocated(), 10 * CHUNK);
        for index in indices {
            arena.give_back(index);
        }
        assert_eq!(arena.nodes_allocated(), CHUNK);
    }

    #[test]
    fn a_program_at_a_chunk_border_does_not_allocate_with_every_timer() {
        let mut arena = Arena::new();
        let _full = take(&mut arena, CHUNK);
        for _ in 0..10 {
            let index = take(&mut arena, 1)[0];
            assert_eq!(arena.nodes_allocated(), 2 * CHUNK);
            arena.give_back(index);
            assert_eq!(arena.nodes_allocated(), 2 * CHUNK);
        }
    }

    #[test]
    fn the_table_of_chunks_shrinks_after_a_peak() {
        for backwards in [false, true] {
            let mut arena = Arena::new();
            let mut indices = take(&mut arena, 1000 * CHUNK);
            if backwards {
                indices.reverse();
            }
            for index in indices {
                arena.give_back(index);
            }
            assert_eq!(arena.nodes_allocated(), CHUNK);
            assert_eq!(arena.chunks.len(), 1);
            assert!(arena.chunks.capacity() <= TABLE_MIN);
        }
    }

    #[test]
    fn holes_are_filled_before_the_table_grows() {
        let mut arena = Arena::new();
        let indices = take(&mut arena, 100 * CHUNK);
        for &index in &indices[10 * CHUNK..90 * CHUNK] {
            arena.give_back(index);
        }
        assert_eq!(arena.nodes_allocated(), 21 * CHUNK);
        take(&mut arena, 80 * CHUNK);
        assert_eq!(arena.chunks.len(), 100);
        assert_eq!(arena.nodes_allocated(), 100 * CHUNK);
    }

    #[test]
    #[should_panic(expected = "works only on the wheel that made it")]
    fn a_node_cannot_be_given_back_twice() {
        let mut arena = Arena::new();
        let index = take(&mut arena, 2)[0];
        arena.give_back(index);
        arena.give_back(index);
    }
}
