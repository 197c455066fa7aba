//! Tasks: the table of those that wait, their wakers, and a switch from one to the next through the slot.

use crate::MANY;
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use gambol::runtime::Runtime;
use gambol_executor::bench::Registry;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Waker};

/// Tasks in the table, one after the other.
const TASKS: usize = 1_000;

/// What is done many times in one task, so that its spawn and its end are a small part.
const TURNS: usize = 100_000;

/// At the first Pending and at the end, on the task's own worker; so many at a time, and the counter tells them.
#[divan::bench]
fn registry_insert_remove(bencher: Bencher<'_, '_>) {
    let mut registry = Registry::new(TASKS);
    bencher.counter(ItemsCount::new(TASKS)).bench_local(|| {
        (0..TASKS).for_each(|task| registry.insert(task));
        for task in 0..TASKS {
            assert!(registry.remove(task, false), "it was in the table");
        }
    });
}

/// The same for tasks that end elsewhere: what their own worker does then is part of it.
#[divan::bench]
fn registry_remove_elsewhere(bencher: Bencher<'_, '_>) {
    let mut registry = Registry::new(TASKS);
    bencher.counter(ItemsCount::new(TASKS)).bench_local(|| {
        (0..TASKS).for_each(|task| registry.insert(task));
        for task in 0..TASKS {
            assert!(registry.remove(task, true), "it was in the table");
        }
        registry.tidy();
    });
}

/// A runtime with a task that waits for ever, and its waker.
fn waiting() -> (Runtime, Waker) {
    let runtime = runtime();
    let (give, take) = std::sync::mpsc::channel();
    drop(runtime.spawn(poll_fn(move |cx| {
        // Nobody takes those of later turns.
        let _ = give.send(cx.waker().clone());
        Poll::<()>::Pending
    })));
    let waker = take.recv().expect("the task has a turn");
    (runtime, waker)
}

fn runtime() -> Runtime {
    Runtime::builder().workers(1).build().expect("gambol starts")
}

/// One more reference to a task, and one less.
#[divan::bench(sample_size = MANY)]
fn waker_clone_drop(bencher: Bencher<'_, '_>) {
    let (_runtime, waker) = waiting();
    bencher.bench_local(|| drop(black_box(&waker).clone()));
}

/// A wake of a task that has been woken already: all but the first of so many, which the counter tells.
#[divan::bench]
fn wake_by_ref_again(bencher: Bencher<'_, '_>) {
    let runtime = runtime();
    bencher.counter(ItemsCount::new(TURNS)).bench_local(|| {
        let mut turns = 0;
        let woken = runtime.spawn(poll_fn(move |cx| {
            turns += 1;
            if turns == 2 {
                return Poll::Ready(turns);
            }
            (0..TURNS).for_each(|_| cx.waker().wake_by_ref());
            Poll::Pending
        }));
        assert_eq!(runtime.block_on(woken).expect("it does not fail"), 2, "many wakes are one turn");
    });
}

/// The same by value: a clone, and a wake that uses it up.
#[divan::bench]
#[expect(clippy::waker_clone_wake, reason = "it is what is measured")]
fn wake_again(bencher: Bencher<'_, '_>) {
    let runtime = runtime();
    bencher.counter(ItemsCount::new(TURNS)).bench_local(|| {
        let mut turns = 0;
        let woken = runtime.spawn(poll_fn(move |cx| {
            turns += 1;
            if turns == 2 {
                return Poll::Ready(turns);
            }
            (0..TURNS).for_each(|_| cx.waker().clone().wake());
            Poll::Pending
        }));
        assert_eq!(runtime.block_on(woken).expect("it does not fail"), 2, "many wakes are one turn");
    });
}

/// One of two tasks that wake each other and do nothing else.
#[derive(Default)]
struct Partner {
    waker: OnceLock<Waker>,
    is_done: AtomicBool,
}

impl Partner {
    /// Has so many turns, each of which wakes the other.
    async fn dance(own: Arc<Partner>, other: Arc<Partner>, turns: usize) -> usize {
        let mut had = 0;
        poll_fn(move |cx| {
            own.waker.get_or_init(|| cx.waker().clone());
            let Some(waker) = other.waker.get() else {
                // Its first turn is to come.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            };
            had += 1;
            if had == turns {
                own.is_done.store(true, Ordering::Relaxed);
                waker.wake_by_ref();
                return Poll::Ready(had);
            }
            waker.wake_by_ref();
            if other.is_done.load(Ordering::Relaxed) {
                // It wakes nobody any more.
                cx.waker().wake_by_ref();
            }
            Poll::Pending
        })
        .await
    }
}

/// From one task to another that it has woken, through the slot; so many turns, and the counter tells them.
#[divan::bench]
fn switch(bencher: Bencher<'_, '_>) {
    let runtime = runtime();
    bencher.counter(ItemsCount::new(2 * TURNS)).bench_local(|| {
        let (one, other) = (Arc::new(Partner::default()), Arc::new(Partner::default()));
        let first = runtime.spawn(Partner::dance(one.clone(), other.clone(), TURNS));
        let second = runtime.spawn(Partner::dance(other, one, TURNS));
        let (first, second) = (runtime.block_on(first), runtime.block_on(second));
        let turns = first.expect("it does not fail") + second.expect("it does not fail");
        assert_eq!(turns, 2 * TURNS, "each has its turns");
    });
}
