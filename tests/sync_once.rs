//! `OnceCell` and `Barrier`: made once, and all together.

mod helpers;

use gambol::{
    runtime::Handle,
    sync::{Barrier, Notify, OnceCell},
    task::yield_now,
    time::{Duration, sleep, timeout},
};
use helpers::{PATIENCE, at_most, poll_once};
use std::{
    future::pending,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    thread,
};

#[gambol::test(workers = 2)]
async fn a_crowd_makes_the_value_once() {
    for _ in 0..50 {
        let (cell, made) = (Arc::new(OnceCell::new()), Arc::new(AtomicUsize::new(0)));
        let tasks: Vec<_> = (0..20)
            .map(|n| {
                let (cell, made) = (cell.clone(), made.clone());
                gambol::spawn(async move {
                    let make = || async {
                        made.fetch_add(1, Ordering::Relaxed);
                        yield_now().await;
                        n
                    };
                    if n % 4 == 0 { *cell.wait().await } else { *cell.get_or_init(make).await }
                })
            })
            .collect();
        let mut values = Vec::new();
        for task in tasks {
            values.push(timeout(PATIENCE, task).await.unwrap().unwrap());
        }
        values.dedup();
        assert_eq!((values.len(), made.load(Ordering::Relaxed)), (1, 1));
        assert_eq!(cell.get(), values.first());
    }
}

#[derive(Clone, Copy, Debug)]
enum Ends {
    Fails,
    Panics,
    IsDropped,
}

#[gambol::test]
async fn when_one_does_not_make_it_the_next_does() {
    for ends in [Ends::Fails, Ends::Panics, Ends::IsDropped] {
        let (cell, begun) = (Arc::new(OnceCell::new()), Arc::new(Notify::new()));
        let (makes, begins) = (cell.clone(), begun.clone());
        let go_on = Arc::new(Notify::new());
        let goes_on = go_on.clone();
        let first = gambol::spawn(async move {
            let make = || async move {
                begins.notify_one();
                goes_on.notified().await;
                match ends {
                    Ends::Fails => Err("failed"),
                    Ends::Panics => panic!("the maker has a problem"),
                    Ends::IsDropped => pending().await,
                }
            };
            makes.get_or_try_init(make).await.copied()
        });
        timeout(PATIENCE, begun.notified()).await.unwrap();
        assert_eq!(cell.try_set(0), Err(0));
        let mut second = pin!(cell.get_or_init(|| async { 2 }));
        let mut waits = pin!(cell.wait());
        assert!(poll_once(&mut second).await.is_pending() && poll_once(&mut waits).await.is_pending());
        go_on.notify_one();
        match ends {
            Ends::Fails => assert_eq!(timeout(PATIENCE, first).await.unwrap().unwrap(), Err("failed")),
            Ends::Panics => assert!(timeout(PATIENCE, first).await.unwrap().unwrap_err().is_panic()),
            Ends::IsDropped => first.abort(),
        }
        assert_eq!(timeout(PATIENCE, second).await, Ok(&2), "{ends:?}");
        assert_eq!(timeout(PATIENCE, waits).await, Ok(&2), "{ends:?}");
        assert_eq!((cell.try_set(3), cell.set(4).await), (Err(3), Err(4)));
    }
}

#[test]
fn a_cell_is_set_read_and_taken() {
    static EVERYWHERE: OnceCell<u8> = OnceCell::new();
    assert!(!EVERYWHERE.is_initialized());
    assert_eq!(EVERYWHERE.get_or_try_init_blocking(|| Err("no")), Err("no"));
    let waits = thread::spawn(|| *EVERYWHERE.wait_blocking());
    assert_eq!(EVERYWHERE.set_blocking(1), Ok(&1));
    assert_eq!(waits.join().unwrap(), 1);
    assert_eq!((EVERYWHERE.get_or_init_blocking(|| 2), EVERYWHERE.get()), (&1, Some(&1)));
    assert_eq!(format!("{EVERYWHERE:?}"), "OnceCell(Some(1))");

    let mut cell = OnceCell::from(5);
    *cell.get_mut().unwrap() += 1;
    assert_eq!(cell.take(), Some(6));
    assert_eq!((cell.get(), cell.try_set(7)), (None, Ok(())));
    assert_eq!(futures::executor::block_on(cell.wait()), &7);
    assert_eq!(cell.into_inner(), Some(7));
}

#[gambol::test]
async fn a_loop_over_a_value_lets_others_run() {
    let cell = OnceCell::from(1);
    let busy = async {
        for _ in 0..1_000 {
            cell.get_or_init(|| async { 2 }).await;
            cell.wait().await;
        }
    };
    assert!(poll_once(&mut pin!(busy)).await.is_pending());
}

#[gambol::test(workers = 2)]
async fn a_barrier_lets_all_go_together_again_and_again() {
    const TASKS: usize = 7;
    let (barrier, arrived) = (Arc::new(Barrier::new(TASKS)), Arc::new(AtomicUsize::new(0)));
    let tasks: Vec<_> = (0..TASKS)
        .map(|n| {
            let (barrier, arrived) = (barrier.clone(), arrived.clone());
            gambol::spawn(async move {
                let mut led = 0;
                for round in 1..=200 {
                    if (n + round) % 3 == 0 {
                        yield_now().await;
                    }
                    arrived.fetch_add(1, Ordering::Relaxed);
                    led += usize::from(barrier.wait().await.is_leader());
                    let now = arrived.load(Ordering::Relaxed);
                    assert!((round * TASKS..(round + 1) * TASKS).contains(&now));
                }
                led
            })
        })
        .collect();
    let mut led = 0;
    for task in tasks {
        led += timeout(PATIENCE, task).await.unwrap().unwrap();
    }
    assert_eq!(led, 200);
}

#[gambol::test]
async fn who_gives_up_at_a_barrier_has_not_arrived() {
    let barrier = Barrier::new(2);
    assert!(at_most(1, barrier.wait()).await.is_none());
    let mut first = pin!(barrier.wait());
    assert!(poll_once(&mut first).await.is_pending() && poll_once(&mut first).await.is_pending());
    {
        let mut second = Box::pin(barrier.wait());
        let Poll::Ready(result) = poll_once(&mut second.as_mut()).await else { panic!("two are there") };
        assert!(result.is_leader());
    }
    let mut next = pin!(barrier.wait());
    assert!(poll_once(&mut next).await.is_pending());
    let Poll::Ready(result) = poll_once(&mut first).await else { panic!("two were there") };
    assert!(!result.is_leader());
    // One that was let go and is dropped takes nothing with it.
    let mut last = pin!(barrier.wait());
    assert!(poll_once(&mut last).await.is_ready() && poll_once(&mut next).await.is_ready());
    for alone in [0, 1] {
        assert!(Barrier::new(alone).wait_blocking().is_leader());
    }
}

#[gambol::test]
async fn a_task_that_waits_at_a_barrier_or_for_a_cell_says_so() {
    let (barrier, cell) = (Arc::new(Barrier::new(2)), Arc::new(OnceCell::<u8>::new()));
    let (at, of) = (barrier.clone(), cell.clone());
    let tasks = [
        gambol::spawn(async move {
            at.wait().await;
        }),
        gambol::spawn(async move {
            of.wait().await;
        }),
    ];
    for task in &tasks {
        let shows =
            || Handle::current().parked_tasks().iter().any(|it| it.id == task.id() && it.wait.as_str() == "lock");
        let shown = async {
            while !shows() {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, shown).await.unwrap();
    }
    barrier.wait().await;
    cell.set(1).await.unwrap();
    for task in tasks {
        timeout(PATIENCE, task).await.unwrap().unwrap();
    }
}
