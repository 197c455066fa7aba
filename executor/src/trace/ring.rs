//! The last so many events of one writer: a flight recorder.
//!
//! One thread at a time pushes, with plain stores; any thread copies, at any time, and stops nobody. What was overwritten
//! while it was copied is left out of the copy, so no event is ever torn.
//!
//! ```text
//! to push   1 fence    2 store the words into the place of event `head`    3 head + 1
//! to copy   1 load head    2 load the words of the last events    3 fence    4 load head again; whose place the writer
//!             may have begun to use by now is left out
//! ```
//!
//! *The race*: a place is copied while the writer fills it anew. A copier that has seen one word of event `n` also
//! sees, by the two fences, that `head` is `n` at least, and so leaves out the event `n - len`, which was in that place before.
//! Since the writer may be at work on event `head` at any time, the oldest event is never believed: a ring of `len`
//! places gives `len - 1` events.
//!
//! On x86 both fences are none, so an event costs five plain stores.
//!
//! The memory is asked for at once but zeroed, so the system gives pages as they are first written to.

use crate::sync::{AtomicU64, Ordering, fence};

/// Words of an event.
pub(super) const WORDS: usize = 4;

/// One event's place. All zeros is a valid one.
#[repr(transparent)]
struct Place([AtomicU64; WORDS]);

/// See the head of this file.
pub(super) struct Ring {
    places: Box<[Place]>,
    /// Events pushed so far. Written by the one who pushes.
    head: AtomicU64,
}

/// What a ring held at one time.
#[derive(Default)]
pub(super) struct Copied {
    /// Oldest first.
    pub(super) events: Vec<[u64; WORDS]>,
    /// How many older ones there were.
    pub(super) lost: u64,
}

impl Ring {
    /// A ring with so many places, rounded up to a power of two.
    pub(super) fn new(places: usize) -> Ring {
        Ring { places: zeroed(places.next_power_of_two()), head: AtomicU64::new(0) }
    }

    /// Adds an event; the oldest one goes. By one thread at a time, one after the other as if under a lock.
    #[inline]
    pub(super) fn push(&self, event: [u64; WORDS]) {
        let head = self.head.load(Ordering::Relaxed);
        // Pairs with the fence in `copy`: who sees one of the words below sees this head, or a later one.
        fence(Ordering::Release);
        let place = &self.places[head as usize & (self.places.len() - 1)];
        for (word, value) in place.0.iter().zip(event) {
            word.store(value, Ordering::Relaxed);
        }
        // Release, with the Acquire in `copy`: the words are seen with it.
        self.head.store(head + 1, Ordering::Release);
    }

    /// The events that are there now. By any thread.
    pub(super) fn copy(&self) -> Copied {
        let len = self.places.len() as u64;
        let end = self.head.load(Ordering::Acquire);
        let begin = (end + 1).saturating_sub(len);
        let load = |n: u64| {
            let place = &self.places[n as usize & (self.places.len() - 1)];
            std::array::from_fn(|word| place.0[word].load(Ordering::Relaxed))
        };
        let mut events: Vec<[u64; WORDS]> = (begin..end).map(load).collect();
        // Pairs with the fence in `push`.
        fence(Ordering::Acquire);
        let now = self.head.load(Ordering::Relaxed);
        let whole = (now + 1).saturating_sub(len).clamp(begin, end);
        events.drain(..(whole - begin) as usize);
        Copied { events, lost: whole }
    }
}

#[cfg(not(gambol_loom))]
fn zeroed(places: usize) -> Box<[Place]> {
    use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};
    let layout = Layout::array::<Place>(places).expect("the number of places has a limit");
    assert!(layout.size() > 0, "a ring has places");
    // SAFETY: the layout is not of size zero.
    let memory = unsafe { alloc_zeroed(layout) }.cast::<Place>();
    if memory.is_null() {
        handle_alloc_error(layout);
    }
    // SAFETY: the memory comes from the global allocator, with the layout of so many places, as a box of this slice would
    // have; it belongs to nobody else; and zeros are a valid value of atomics.
    unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(memory, places)) }
}

#[cfg(gambol_loom)]
fn zeroed(places: usize) -> Box<[Place]> {
    (0..places).map(|_| Place(std::array::from_fn(|_| AtomicU64::new(0)))).collect()
}

#[cfg(all(test, not(gambol_loom)))]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn a_ring_keeps_the_last_events_and_says_how_many_are_lost() {
        let ring = Ring::new(8);
        for n in 0..5 {
            ring.push([n; WORDS]);
        }
        let copied = ring.copy();
        assert_eq!((copied.events.len(), copied.lost), (5, 0));
        for n in 5..100 {
            ring.push([n; WORDS]);
        }
        let copied = ring.copy();
        assert_eq!(copied.lost, 93);
        assert_eq!(copied.events, (93..100).map(|n| [n; WORDS]).collect::<Vec<_>>());
    }

    #[test]
    fn events_that_are_overwritten_while_they_are_copied_are_left_out() {
        let (ring, over) = (Ring::new(64), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut n = 0;
                while !over.load(Ordering::Relaxed) {
                    ring.push([n; WORDS]);
                    n += 1;
                }
            });
            // Until enough of them have met with pushes.
            let (mut met, mut before) = (0, 0);
            while met < 1000 {
                let copied = ring.copy();
                met += usize::from(copied.lost != before);
                before = copied.lost;
                for (n, event) in (copied.lost..).zip(&copied.events) {
                    assert_eq!(*event, [n; WORDS]);
                }
            }
            over.store(true, Ordering::Relaxed);
        });
    }
}

#[cfg(all(test, gambol_loom))]
mod models {
    use super::{Ring, WORDS};
    use crate::idle::models::explore;
    use std::sync::Arc;

    /// Hunted: the copier reads a place while the writer fills it with the event that comes `len` later, and takes the
    /// mixture for an event. It fails without either fence, with a Relaxed store of `head`, and when the oldest event is believed.
    #[test]
    fn no_event_is_torn() {
        explore(3, || {
            let ring = Arc::new(Ring::new(2));
            let writer = {
                let ring = ring.clone();
                move || (1..4).for_each(|n| ring.push([n; WORDS]))
            };
            let copier = move || {
                let copied = ring.copy();
                for (n, event) in (copied.lost + 1..).zip(&copied.events) {
                    assert_eq!(*event, [n; WORDS]);
                }
            };
            (vec![Box::new(writer), Box::new(copier)], Box::new(|| {}))
        });
    }
}
