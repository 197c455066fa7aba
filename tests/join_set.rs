//! `JoinSet`, `join!` and `try_join!`: nothing is lost, whoever gives up, and nobody is left out.

mod helpers;

use gambol::{
    runtime::Runtime,
    task::{JoinSet, consume_budget, unconstrained, yield_now},
    time::{Duration, sleep, timeout},
};
use helpers::{PATIENCE, at_most};
use std::{
    cell::Cell,
    collections::HashSet,
    future::pending,
    panic::panic_any,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

struct Counts(Arc<AtomicUsize>);

impl Drop for Counts {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Release);
    }
}

/// Tasks that wait for ever, and how many of them have been dropped.
async fn waiting(tasks: usize) -> (JoinSet<()>, Arc<AtomicUsize>) {
    let drops = Arc::new(AtomicUsize::new(0));
    let set = (0..tasks)
        .map(|_| {
            let counts = Counts(drops.clone());
            async move {
                let _counts = counts;
                pending().await
            }
        })
        .collect();
    (set, drops)
}

async fn until(done: impl Fn() -> bool) {
    timeout(PATIENCE, async {
        while !done() {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .unwrap();
}

#[gambol::test(workers = 2)]
async fn a_hundred_thousand_tasks_are_joined_once_each() {
    const N: usize = 100_000;
    let mut set = JoinSet::new();
    for n in 0..N {
        set.spawn(async move {
            if n % 3 == 0 {
                yield_now().await;
            }
            n
        });
    }
    assert_eq!(set.len(), N);
    let mut seen = vec![false; N];
    while let Some(outcome) = set.join_next().await {
        assert!(!std::mem::replace(&mut seen[outcome.unwrap()], true));
    }
    assert!(seen.into_iter().all(|seen| seen) && set.is_empty());
    assert!(set.join_next().await.is_none());
}

#[gambol::test]
async fn tasks_come_out_as_they_end() {
    let mut set = JoinSet::new();
    set.spawn(pending());
    let ends = set.spawn(async { 1 });
    let (id, outcome) = set.join_next_with_id().await.unwrap();
    assert_eq!((id, outcome.unwrap()), (ends.id(), 1));
    assert!(set.try_join_next().is_none());
    let panics = set.spawn_named("panics", async { panic!("a task has a problem") });
    let (id, outcome) = set.join_next_with_id().await.unwrap();
    assert!(id == panics.id() && outcome.unwrap_err().is_panic());
    let blocks = set.spawn_blocking(|| 2);
    until(|| blocks.is_finished()).await;
    // It has finished just now, or is about to have.
    let mut found = set.try_join_next();
    while found.is_none() {
        yield_now().await;
        found = set.try_join_next();
    }
    assert_eq!(found.unwrap().unwrap(), 2);
    assert_eq!(set.len(), 1);
    assert!(at_most(1, set.join_next()).await.is_none());
    set.abort_all();
    assert!(set.join_next().await.unwrap().unwrap_err().is_cancelled());
}

#[test]
fn a_set_takes_tasks_from_everywhere() {
    let runtime = Runtime::builder().workers(1).name("another").build().unwrap();
    gambol::block_on(async {
        let here = std::thread::current().id();
        let mut set = JoinSet::new();
        set.spawn_local(async move { (std::thread::current().id() == here, "local") });
        set.spawn_on(async { (std::thread::current().name().unwrap().starts_with("another"), "on") }, runtime.handle());
        set.insert(gambol::spawn(async { (true, "inserted") }));
        let names: HashSet<_> = set.join_all().await.into_iter().map(Result::unwrap).collect();
        assert_eq!(names, HashSet::from([(true, "local"), (true, "on"), (true, "inserted")]));
    });
}

#[gambol::test]
async fn giving_up_a_join_loses_no_outcome() {
    for polls in 0..6 {
        let mut set: JoinSet<usize> = (0..50)
            .map(|n| async move {
                for _ in 0..n % 5 {
                    yield_now().await;
                }
                n
            })
            .collect();
        let mut sum = 0;
        let mut joined = 0;
        while !set.is_empty() {
            match at_most(polls, set.join_next()).await {
                Some(outcome) => {
                    sum += outcome.unwrap().unwrap();
                    joined += 1;
                }
                None => {
                    if let Some(outcome) = set.try_join_next() {
                        sum += outcome.unwrap();
                        joined += 1;
                    }
                    yield_now().await;
                }
            }
        }
        assert_eq!((sum, joined), (1225, 50), "{polls}");
    }
}

#[derive(Clone, Copy, Debug)]
enum End {
    Drop,
    DropOfJoinAll,
    AbortAll,
    Shutdown,
    Detach,
}

#[gambol::test]
async fn a_set_that_ends_takes_its_tasks_along_unless_they_are_detached() {
    for end in [End::Drop, End::DropOfJoinAll, End::AbortAll, End::Shutdown, End::Detach] {
        for polls in [0, 1] {
            let (mut set, drops) = waiting(100).await;
            let count = || drops.load(Ordering::Acquire);
            assert!(at_most(polls, set.join_next()).await.is_none());
            match end {
                End::Drop => drop(set),
                End::DropOfJoinAll => assert!(at_most(polls, set.join_all()).await.is_none()),
                End::AbortAll => {
                    set.abort_all();
                    assert_eq!(set.len(), 100);
                    let outcomes = set.join_all().await;
                    assert!(outcomes.into_iter().all(|outcome| outcome.unwrap_err().is_cancelled()));
                    assert_eq!(count(), 100);
                }
                End::Shutdown => {
                    set.shutdown().await;
                    assert_eq!((set.len(), count()), (0, 100));
                }
                End::Detach => {
                    set.detach_all();
                    assert!(set.is_empty());
                    drop(set);
                    for _ in 0..20 {
                        yield_now().await;
                    }
                    assert_eq!(count(), 0);
                    continue;
                }
            }
            until(|| count() == 100).await;
        }
    }
}

/// With one worker a task has ended, and told so, before another one runs.
#[gambol::test(workers = 1)]
async fn try_join_all_yields_the_values_as_the_tasks_ended() {
    let empty: JoinSet<Result<i32, ()>> = JoinSet::new();
    assert_eq!(empty.try_join_all().await, Ok(vec![]));
    let (tx, rx) = gambol::chan::oneshot();
    let mut set = JoinSet::new();
    set.spawn(async move { rx.await.map_err(|_| "nobody sends") });
    set.spawn(async move { tx.send(1).map(|()| 2).map_err(|_| "nobody receives") });
    assert_eq!(set.try_join_all().await, Ok(vec![2, 1]));
}

#[gambol::test]
async fn giving_up_try_join_all_ends_its_tasks() {
    for polls in 0..3 {
        let drops = Arc::new(AtomicUsize::new(0));
        let counts = Counts(drops.clone());
        let set: JoinSet<Result<(), ()>> = [async move {
            let _counts = counts;
            pending().await
        }]
        .into_iter()
        .collect();
        assert!(at_most(polls, set.try_join_all()).await.is_none());
        until(|| drops.load(Ordering::Acquire) == 1).await;
    }
}

#[derive(Clone, Copy, Debug)]
enum Failure {
    Error,
    Panic,
    Abort,
}

#[gambol::test]
async fn the_first_failure_ends_try_join_all_and_the_rest() {
    for failure in [Failure::Error, Failure::Panic, Failure::Abort] {
        let drops = Arc::new(AtomicUsize::new(0));
        let mut set = JoinSet::new();
        for _ in 0..50 {
            let counts = Counts(drops.clone());
            set.spawn(async move {
                let _counts = counts;
                pending::<Result<(), &str>>().await
            });
        }
        set.spawn(async { Ok(()) });
        match failure {
            Failure::Error => {
                set.spawn(async { Err("an error") });
            }
            Failure::Panic => {
                set.spawn(async { panic_any(7u8) });
            }
            Failure::Abort => set.spawn(pending()).abort(),
        }
        let joined = gambol::spawn(set.try_join_all());
        let outcome = timeout(PATIENCE, joined).await.unwrap();
        match failure {
            Failure::Error => assert_eq!(outcome.unwrap(), Err("an error")),
            Failure::Panic => assert_eq!(*outcome.unwrap_err().into_panic().downcast::<u8>().unwrap(), 7),
            Failure::Abort => {
                let text = outcome.unwrap_err().into_panic().downcast::<String>().unwrap();
                assert!(
                    text.ends_with("was cancelled, and has nothing for try_join_all; where that may be, use join_next")
                );
            }
        }
        assert_eq!(drops.load(Ordering::Acquire), 50, "{failure:?}");
    }
}

#[test]
fn a_busy_set_lets_the_others_run() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    runtime.block_on(async {
        let spinner = runtime.spawn(async {
            let mut set = JoinSet::new();
            loop {
                set.spawn(async {});
                set.join_next().await;
            }
        });
        timeout(PATIENCE, runtime.spawn(async {})).await.unwrap().unwrap();
        spinner.abort();
    });
}

#[gambol::test(workers = 1)]
async fn try_join_next_needs_no_budget() {
    gambol::spawn(async {
        let mut set = JoinSet::new();
        let tasks: Vec<_> = (0..1000).map(|_| set.spawn(async {})).collect();
        until(|| tasks.iter().all(|task| task.is_finished())).await;
        // One per worker may still be about to tell.
        let found = std::iter::from_fn(|| set.try_join_next()).count();
        assert!(found > 900, "{found}");
        unconstrained(async {
            for _ in 0..1000 {
                assert_eq!(at_most(1, consume_budget()).await, Some(()));
            }
        })
        .await;
    })
    .await
    .unwrap();
}

#[gambol::test]
async fn join_yields_all_outputs() {
    let text = String::from("borrowed");
    let (a, b, c) = gambol::join!(
        async {
            yield_now().await;
            1
        },
        async { text.as_str() },
        gambol::spawn(async { 'c' }),
    );
    assert_eq!((a, b, c.unwrap()), (1, "borrowed", 'c'));
    assert_eq!(gambol::join!(async { 1 }), (1,));
    gambol::join!();
    // The same expression with the same names outside; control flow in it is the caller's.
    let future = async { 2 };
    assert_eq!(gambol::join!(future, async { gambol::join!(async { 3 }, async { 4 }) }), (2, (3, 4)));
}

#[gambol::test]
async fn try_join_stops_at_the_first_error() {
    async fn number(text: &str) -> Result<i32, String> {
        yield_now().await;
        text.parse().map_err(|_| text.to_owned())
    }
    assert_eq!(gambol::try_join!(number("1"), number("2")), Ok((1, 2)));
    let dropped = Rc::new(Cell::new(false));
    struct Sets(Rc<Cell<bool>>);
    impl Drop for Sets {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    let sets = Sets(dropped.clone());
    let never = async move {
        let _sets = sets;
        pending::<Result<(), String>>().await
    };
    assert_eq!(gambol::try_join!(never, number("x"), number("2")), Err("x".to_owned()));
    assert!(dropped.get());
    let nothing: Result<(), ()> = gambol::try_join!();
    assert_eq!(nothing, Ok(()));
}

#[gambol::test]
async fn a_busy_branch_leaves_budget_to_the_others() {
    let joined = gambol::spawn(async {
        let done = AtomicUsize::new(0);
        let busy = async {
            while done.load(Ordering::Relaxed) < 2 {
                consume_budget().await;
            }
        };
        let other = async || {
            for _ in 0..10 {
                consume_budget().await;
            }
            done.fetch_add(1, Ordering::Relaxed);
        };
        gambol::join!(busy, other(), other());
    });
    timeout(PATIENCE, joined).await.unwrap().unwrap();
    let done = Arc::new(AtomicUsize::new(0));
    let tried = gambol::spawn(async move {
        let busy = async {
            while done.load(Ordering::Relaxed) == 0 {
                consume_budget().await;
            }
            Ok::<_, ()>(())
        };
        let other = async {
            consume_budget().await;
            done.store(1, Ordering::Relaxed);
            Ok(())
        };
        gambol::try_join!(busy, other)
    });
    assert_eq!(timeout(PATIENCE, tried).await.unwrap().unwrap(), Ok(((), ())));
}
