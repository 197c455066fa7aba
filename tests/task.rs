//! Tasks: their ids and names, giving way, and what can be done from where.

mod helpers;

use gambol::{
    runtime::{Handle, Reason, Runtime, TaskInfo},
    task::{self, JoinHandle, consume_budget, yield_now},
    time::timeout,
};
use helpers::{PATIENCE, at_most};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

#[test]
fn ids_are_known_inside_only() {
    assert!(task::try_id().is_none());
    assert!(gambol::block_on(async { task::try_id() }).is_none());
    let panic = std::panic::catch_unwind(task::id).unwrap_err();
    assert!(panic.downcast_ref::<String>().unwrap().contains("task::try_id()"));
    gambol::block_on(async {
        let handle = gambol::spawn(async { task::id() });
        let id = handle.id();
        assert_eq!(handle.await.unwrap(), id);
        let other = gambol::spawn(async { task::try_id() }).await.unwrap();
        assert_ne!(other, Some(id));
    });
}

#[gambol::test]
async fn a_named_task_runs_as_any_other() {
    let named: JoinHandle<i32> = task::Builder::new().name("answer").spawn(async { 42 });
    let plain = task::Builder::new().spawn(async { 43 });
    assert_eq!((named.await.unwrap(), plain.await.unwrap()), (42, 43));
}

#[test]
fn a_builder_starts_every_kind_of_task() {
    let another = Runtime::builder().workers(1).name("another").build().unwrap();
    let builder = task::Builder::new().name("of a kind");
    gambol::block_on(async {
        let thread = || std::thread::current().name().unwrap_or_default().to_owned();
        let here = thread();
        assert_eq!(builder.clone().spawn_local(async move { thread() }).await.unwrap(), here);
        assert!(builder.clone().spawn_blocking(thread).await.unwrap().ends_with("-blk"));
        let on = builder.spawn_on(another.handle(), async move { thread() });
        assert!(on.await.unwrap().starts_with("another"));
    });
}

#[gambol::test]
async fn a_parked_task_tells_what_it_waits_for() {
    let task = task::Builder::new().name("late").spawn(std::future::pending::<()>());
    let sleeper = gambol::spawn(gambol::sleep(PATIENCE));
    let info = |id| async move {
        loop {
            let parked: Vec<TaskInfo> = Handle::current().parked_tasks();
            if let Some(info) = parked.into_iter().find(|info| info.id == id) {
                return info;
            }
            yield_now().await;
        }
    };
    let (named, asleep) = timeout(PATIENCE, async { (info(task.id()).await, info(sleeper.id()).await) }).await.unwrap();
    assert_eq!((named.name.as_deref(), named.wait), (Some("late"), Reason::Unknown));
    assert_eq!((asleep.name, asleep.wait), (None, Reason::Sleep));
}

#[test]
fn yielding_lets_the_others_run() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let turns = Arc::new(AtomicUsize::new(0));
    let other = turns.clone();
    runtime
        .block_on(runtime.spawn(async move {
            gambol::spawn(async move {
                for _ in 0..10 {
                    other.fetch_add(1, Ordering::Relaxed);
                    yield_now().await;
                }
            });
            for n in 1..=10 {
                yield_now().await;
                assert!(turns.load(Ordering::Relaxed) >= n);
            }
        }))
        .unwrap();
}

#[gambol::test]
async fn yielding_takes_two_polls() {
    assert_eq!(at_most(1, yield_now()).await, None);
    assert_eq!(at_most(2, yield_now()).await, Some(()));
}

#[test]
fn a_loop_that_spends_its_budget_lets_the_others_run() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    runtime.block_on(async {
        let spinner = runtime.spawn(async {
            loop {
                consume_budget().await;
            }
        });
        timeout(PATIENCE, runtime.spawn(async {})).await.unwrap().unwrap();
        spinner.abort();
        assert!(timeout(PATIENCE, spinner).await.unwrap().unwrap_err().is_cancelled());
    });
    // Where nothing of gambol's polls there is no budget.
    futures::executor::block_on(async {
        for _ in 0..1000 {
            assert_eq!(at_most(1, consume_budget()).await, Some(()));
        }
    });
}

#[gambol::test]
async fn blocking_work_goes_by_every_road() {
    assert_eq!(gambol::spawn_blocking(|| 1).await.unwrap(), 1);
    assert_eq!(gambol::block_in_place(|| 2), 2);
    assert_eq!(gambol::block_on(async { gambol::block_on(async { 3 }) }), 3);
}
