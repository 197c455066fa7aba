//! Which wakers are certainly those of our own tasks.
//!
//! To wake a task of ours runs nobody's code but ours: its state is changed, and it is queued. So it takes a moment, and who has many to
//! wake need not keep the rest where others reach it meanwhile (`worker/check.rs`), which costs two read-modify-writes for each.
//! With one exception, which steps out before: a task that comes late to a runtime that is shut down is dropped by who wakes it
//! (`core/end.rs`). Any other waker may do anything, and block.
//!
//! They are known by the address of their vtable. What stands there is `'static` and never changes, so two wakers with the same
//! address call the same functions; and the address of a task's own waker is learned when the task is first Pending. There is
//! about one for each type of future that is spawned.
//!
//! A place of the table is taken by the first who comes and kept. Whoever finds his taken by another is not known: his wakers are
//! taken for foreign, which is slower and otherwise the same.

use std::{
    ptr,
    sync::atomic::{AtomicUsize, Ordering},
    task::Waker,
};

const PLACES: usize = 1 << BITS;
const BITS: u32 = 8;

/// Addresses of vtables; 0 is vacant. Relaxed throughout: an address says all, and nothing is read through it.
static KNOWN: [AtomicUsize; PLACES] = [const { AtomicUsize::new(0) }; PLACES];

/// `waker` is a clone of the one that async-task has given to a task of ours: as those are that will wait. (The address of what a constant
/// is promoted to may differ between the functions that point at it.)
pub(crate) fn learn(waker: &Waker) {
    let (address, place) = look_up(waker);
    if place.load(Ordering::Relaxed) == 0 {
        // If another came first, he has it.
        let _ = place.compare_exchange(0, address, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// Whether it is a task's of ours. If not, it may still be one.
#[inline]
pub(crate) fn is_own(waker: &Waker) -> bool {
    let (address, place) = look_up(waker);
    place.load(Ordering::Relaxed) == address
}

#[inline]
fn look_up(waker: &Waker) -> (usize, &'static AtomicUsize) {
    let address = ptr::from_ref(waker.vtable()).addr();
    // The linker lays them side by side: a multiplication spreads them (Fibonacci hashing: Knuth, The Art of Computer Programming 3,
    // 6.4).
    const GOLDEN: usize = (0x9E37_79B9_7F4A_7C15_u64 >> (u64::BITS - usize::BITS)) as usize;
    (address, &KNOWN[address.wrapping_mul(GOLDEN) >> (usize::BITS - BITS)])
}

#[cfg(all(test, not(gambol_loom)))]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::task::Poll;

    #[test]
    fn a_tasks_waker_is_known_from_its_first_pending_on_and_others_are_not() {
        assert!(!is_own(Waker::noop()));
        let runtime = crate::Builder::new().workers(1).build().unwrap();
        let mut was_pending = false;
        let task = runtime.spawn(poll_fn(move |cx| {
            if was_pending {
                return Poll::Ready(is_own(&cx.waker().clone()));
            }
            was_pending = true;
            cx.waker().wake_by_ref();
            Poll::Pending
        }));
        assert!(runtime.block_on(task).unwrap());
        assert!(!is_own(Waker::noop()));
    }
}
