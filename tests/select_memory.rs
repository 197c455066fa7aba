//! What a `select!` needs: no allocation, and little more room than its arms.

use gambol::{select, sync::Notify, task::yield_now};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    future::{pending, ready},
    hint::black_box,
};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

/// Counts, per thread.
struct Counting;

// SAFETY: the system's allocator does all of it. The counter is a cell without a destructor, and allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn nothing_is_allocated() {
    let notify = Notify::new();
    let mut turns = [0; 5];
    let all = async {
        let mut counted = 0;
        for turn in 0..1000 {
            select! {
                () = yield_now() => turns[0] += 1,
                () = ready(()), if turn % 2 == 0 => turns[1] += 1,
                Some(()) = ready(None) => unreachable!(),
                () = async { yield_now().await; pending().await } => {}
            }
            select! {
                biased;
                () = pending() => {}
                () = notify.notified(), if false => {}
                () = yield_now() => turns[2] += 1,
            }
            select! {
                () = pending() => {}
                default => turns[3] += 1,
            }
            select! {
                Some(()) = ready(None) => {}
                else => turns[4] += 1,
            }
            // The first turn may seed the generator.
            if turn == 0 {
                counted = ALLOCATIONS.get();
            }
        }
        ALLOCATIONS.get() - counted
    };
    assert_eq!(futures::executor::block_on(all), 0);
    assert_eq!(turns[0] + turns[1], 1000);
    assert_eq!(turns[2..], [1000; 3]);
    drop(black_box(Box::new(1)));
    assert!(ALLOCATIONS.get() > 0, "the counter counts");
}

#[test]
fn the_arms_are_there_once() {
    async fn large(bytes: [u8; 1000]) -> u8 {
        yield_now().await;
        bytes[0]
    }
    let arm = size_of_val(&large([0; 1000]));
    let on = black_box(true);
    let two = async {
        select! {
            byte = large([1; 1000]) => byte,
            byte = large([2; 1000]), if on => byte,
            else => 0,
        }
    };
    assert!(size_of_val(&two) <= 2 * arm + 32, "{} for two of {arm}", size_of_val(&two));
    assert!((1..=2).contains(&futures::executor::block_on(two)));
    let small = async {
        select! {
            byte = ready(3_u8) => byte,
            byte = pending() => byte,
        }
    };
    assert!(size_of_val(&small) <= 16, "{}", size_of_val(&small));
}
