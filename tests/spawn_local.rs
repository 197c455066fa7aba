//! `spawn_local`: where it works, how its tasks end, and that nobody starves beside them.

mod helpers;

use futures_util::{
    future::{join_all, pending, poll_fn},
    task::AtomicWaker,
};
use gambol::{
    runtime::{Handle, Runtime},
    spawn_local,
    task::{self, JoinHandle, consume_budget, yield_now},
    time::{Duration, sleep, timeout},
};
use helpers::{PATIENCE, poll_once};
use std::{
    cell::{Cell, RefCell},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    rc::Rc,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    task::{Poll, Waker},
    thread,
};

/// Calls its closure when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Notes that it was dropped, and whether that was on the thread that made it.
fn witness() -> (OnDrop<impl FnMut()>, Arc<AtomicUsize>) {
    let here = thread::current().id();
    let drops = Arc::new(AtomicUsize::new(0));
    let noted = drops.clone();
    let guard = OnDrop(move || {
        assert_eq!(thread::current().id(), here);
        noted.fetch_add(1, Ordering::Relaxed);
    });
    (guard, drops)
}

#[test]
fn local_tasks_share_what_is_not_send() {
    gambol::block_on(async {
        let here = thread::current().id();
        let sum = Rc::new(Cell::new(0));
        let handles: Vec<JoinHandle<Rc<usize>>> = (0..100)
            .map(|n| {
                let sum = sum.clone();
                spawn_local(async move {
                    yield_now().await;
                    if n % 10 == 0 {
                        sleep(Duration::from_millis(1)).await;
                    }
                    assert_eq!(thread::current().id(), here);
                    sum.set(sum.get() + n);
                    Rc::new(n)
                })
            })
            .collect();
        for (n, handle) in handles.into_iter().enumerate() {
            assert_eq!(*handle.await.unwrap(), n);
        }
        assert_eq!(sum.get(), 4950);
    });
}

#[test]
fn local_tasks_are_tasks() {
    gambol::block_on(async {
        let handle = spawn_local(async { task::id() });
        let id = handle.id();
        assert_eq!(handle.await.unwrap(), id);
        assert!(task::try_id().is_none());

        let error = spawn_local(async { panic!("a local problem") }).await.unwrap_err();
        assert!(error.is_panic());
        assert_eq!(*error.into_panic().downcast::<&str>().unwrap(), "a local problem");

        // A handle whose output may move may be awaited anywhere.
        let handle = spawn_local(async { 5 });
        assert_eq!(gambol::spawn(handle).await.unwrap().unwrap(), 5);

        // Inside another one.
        let inner = spawn_local(async { spawn_local(async { Rc::new(6) }).await.unwrap() });
        assert_eq!(*inner.await.unwrap(), 6);

        let named = task::Builder::new().name("waits").spawn_local(pending::<()>());
        yield_now().await;
        let parked = Handle::current().parked_tasks();
        let info = parked.iter().find(|info| info.id == named.id()).unwrap();
        assert_eq!(info.name.as_deref(), Some("waits"));
        assert!(info.location.file().ends_with("spawn_local.rs"));
    });
}

#[test]
fn elsewhere_the_panic_names_the_remedy() {
    fn attempt() -> String {
        let payload = catch_unwind(|| drop(spawn_local(async {}))).unwrap_err();
        payload
            .downcast_ref::<&str>()
            .map_or_else(|| payload.downcast_ref::<String>().unwrap().clone(), ToString::to_string)
    }
    fn check(message: &str) {
        for word in ["gambol::block_on", "#[gambol::main(local)]", "gambol::spawn"] {
            assert!(message.contains(word), "{message}");
        }
    }
    check(&attempt());
    check(&futures::executor::block_on(async { attempt() }));
    gambol::block_on(async {
        check(&gambol::spawn(async { attempt() }).await.unwrap());
        check(&gambol::spawn_blocking(attempt).await.unwrap());
        spawn_local(async {}).await.unwrap();
    });
    check(&attempt());
    // A worker that has no other thread runs tasks inside a block_on; they are not that thread's own.
    let runtime = Runtime::builder().workers(1).max_workers(1).build().unwrap();
    runtime
        .block_on(runtime.spawn(async {
            gambol::block_on(async {
                let local = spawn_local(async { 1 });
                check(&gambol::spawn(async { attempt() }).await.unwrap());
                assert_eq!(local.await.unwrap(), 1);
            });
        }))
        .unwrap();
}

#[test]
fn every_block_on_of_a_thread_has_local_tasks() {
    fn check() {
        let value = Rc::new(3);
        let other = value.clone();
        assert_eq!(gambol::block_on(async { spawn_local(async move { *other }).await.unwrap() }), *value);
    }
    check();
    let runtime = Runtime::builder().workers(1).build().unwrap();
    runtime.block_on(async {
        check();
        spawn_local(async { check() }).await.unwrap();
        runtime.spawn(async { check() }).await.unwrap();
        runtime.spawn_blocking(check).await.unwrap();
        gambol::block_in_place(check);
    });
    thread::spawn(check).join().unwrap();
}

#[gambol::test]
async fn a_test_that_is_not_send_has_them() {
    let value = Rc::new(RefCell::new(0));
    let other = value.clone();
    spawn_local(async move { *other.borrow_mut() += 1 }).await.unwrap();
    assert_eq!(*value.borrow(), 1);
}

#[derive(Clone, Copy, Debug)]
enum When {
    BeforeItsFirstTurn,
    Parked,
    Ready,
    Finished,
}

#[derive(Clone, Copy, Debug)]
enum By {
    Handle,
    AbortHandle,
    HandleElsewhere,
    AbortHandleElsewhere,
}

#[test]
fn an_abort_drops_the_future_on_its_thread() {
    for when in [When::BeforeItsFirstTurn, When::Parked, When::Ready, When::Finished] {
        for by in [By::Handle, By::AbortHandle, By::HandleElsewhere, By::AbortHandleElsewhere] {
            gambol::block_on(async {
                let (guard, drops) = witness();
                let handle = spawn_local(async move {
                    let _guard = guard;
                    match when {
                        When::BeforeItsFirstTurn | When::Parked => pending().await,
                        When::Ready => loop {
                            yield_now().await;
                        },
                        When::Finished => {}
                    }
                });
                let abort = handle.abort_handle();
                if !matches!(when, When::BeforeItsFirstTurn) {
                    yield_now().await;
                }
                match by {
                    By::Handle => handle.abort(),
                    By::AbortHandle => abort.abort(),
                    By::HandleElsewhere => thread::scope(|scope| scope.spawn(|| handle.abort()).join().unwrap()),
                    By::AbortHandleElsewhere => thread::scope(|scope| scope.spawn(|| abort.abort()).join().unwrap()),
                }
                let outcome = timeout(PATIENCE, handle).await.unwrap();
                assert_eq!(drops.load(Ordering::Relaxed), 1, "{when:?} {by:?}");
                assert!(abort.is_finished());
                match when {
                    When::Finished => outcome.unwrap(),
                    _ => assert!(outcome.unwrap_err().is_cancelled(), "{when:?} {by:?}"),
                }
            });
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum End {
    Returns,
    Panics,
}

#[test]
fn what_is_left_is_cancelled_with_the_outermost_block_on() {
    for end in [End::Returns, End::Panics] {
        for when in [When::BeforeItsFirstTurn, When::Parked, When::Ready] {
            for detach in [false, true] {
                let (guard, drops) = witness();
                let mut kept = None;
                let ended = catch_unwind(AssertUnwindSafe(|| {
                    gambol::block_on(async {
                        let handle = spawn_local(async move {
                            let _guard = guard;
                            match when {
                                When::Ready => loop {
                                    yield_now().await;
                                },
                                _ => pending().await,
                            }
                        });
                        // An inner one does not end them.
                        gambol::block_on(async {
                            if !matches!(when, When::BeforeItsFirstTurn) {
                                yield_now().await;
                            }
                        });
                        assert!(!handle.is_finished());
                        kept = (!detach).then_some(handle);
                        if let End::Panics = end {
                            panic!("main has a problem");
                        }
                    })
                }));
                assert_eq!(ended.is_err(), matches!(end, End::Panics));
                assert_eq!(drops.load(Ordering::Relaxed), 1, "{end:?} {when:?} {detach}");
                if let Some(handle) = kept {
                    assert!(handle.is_finished());
                    handle.abort();
                    let outcome: Result<(), _> = futures::executor::block_on(handle);
                    assert!(outcome.unwrap_err().is_cancelled());
                }
            }
        }
    }
}

#[test]
fn drops_at_the_end_may_do_anything() {
    let log = Arc::new(Mutex::new(Vec::new()));
    let note = |text: &'static str| {
        let log = log.clone();
        move || log.lock().unwrap().push(text)
    };
    let (spawns, panics, blocks, late) = (note("spawns"), note("panics"), note("blocks"), note("late"));
    gambol::block_on(async {
        let last = spawn_local(pending::<()>());
        let guard = OnDrop(move || {
            spawns();
            let late = OnDrop(late.clone());
            // It does not run any more, but it is dropped.
            drop(spawn_local(async move {
                let _late = late;
                unreachable!("a task that was spawned at the end ran");
            }));
        });
        drop(spawn_local(async move {
            let _guard = guard;
            pending::<()>().await;
        }));
        let guard = OnDrop(move || {
            panics();
            panic!("a drop has a problem");
        });
        drop(spawn_local(async move {
            let _guard = guard;
            pending::<()>().await;
        }));
        let mut last = Some(last);
        let guard = OnDrop(move || {
            let outcome = gambol::block_on(last.take().unwrap());
            assert!(outcome.unwrap_err().is_cancelled());
            blocks();
        });
        drop(spawn_local(async move {
            let _guard = guard;
            pending::<()>().await;
        }));
        yield_now().await;
    });
    let mut log = log.lock().unwrap().clone();
    log.sort_unstable();
    assert_eq!(log, ["blocks", "late", "panics", "spawns"]);
}

#[test]
fn a_detached_task_whose_waker_nobody_holds_lives_to_the_end() {
    let (guard, drops) = witness();
    gambol::block_on(async {
        drop(spawn_local(async move {
            let _guard = guard;
            poll_fn(|_| Poll::<()>::Pending).await;
        }));
        for _ in 0..10 {
            yield_now().await;
        }
        assert_eq!(drops.load(Ordering::Relaxed), 0);
    });
    assert_eq!(drops.load(Ordering::Relaxed), 1);
}

/// Wakers that other threads wake, as fast as they can, also when their tasks have long ended.
#[test]
fn wakes_from_elsewhere_reach_it_and_are_harmless_afterwards() {
    let wakers: Arc<Mutex<Vec<Waker>>> = Arc::default();
    let stop = Arc::new(AtomicBool::new(false));
    let storm: Vec<_> = (0..3)
        .map(|n| {
            let (wakers, stop) = (wakers.clone(), stop.clone());
            thread::spawn(move || {
                let mut kept: Vec<Waker> = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    kept.extend(wakers.lock().unwrap().iter().cloned());
                    let from = kept.len().saturating_sub(200);
                    kept.drain(..from);
                    for (i, waker) in kept.iter().enumerate() {
                        if i % 3 == n {
                            let owned = waker.clone();
                            owned.wake();
                        } else {
                            waker.wake_by_ref();
                        }
                    }
                    thread::yield_now();
                }
            })
        })
        .collect();
    for round in 0..300 {
        let mut drops = Vec::new();
        gambol::block_on(async {
            let polls = Rc::new(Cell::new(0));
            for _ in 0..8 {
                let (guard, dropped) = witness();
                drops.push(dropped);
                let (wakers, polls) = (wakers.clone(), polls.clone());
                drop(spawn_local(async move {
                    let _guard = guard;
                    poll_fn(|cx| {
                        wakers.lock().unwrap().push(cx.waker().clone());
                        polls.set(polls.get() + 1);
                        Poll::<()>::Pending
                    })
                    .await;
                }));
            }
            // Each has been woken by somebody else at least once on average.
            while polls.get() < if round % 3 == 0 { 8 } else { 16 } {
                yield_now().await;
            }
            wakers.lock().unwrap().clear();
        });
        assert!(drops.iter().all(|drops| drops.load(Ordering::Relaxed) == 1), "{round}");
    }
    stop.store(true, Ordering::Relaxed);
    storm.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn a_wake_from_elsewhere_ends_the_sleep() {
    let slot = Arc::new((AtomicWaker::new(), AtomicUsize::new(0)));
    let (tell, asked) = mpsc::channel();
    let waking = slot.clone();
    let other = thread::spawn(move || {
        for () in asked {
            waking.1.fetch_add(1, Ordering::Release);
            waking.0.wake();
        }
    });
    // On a plain thread, and on a worker that has stepped out.
    let road = |slot: Arc<(AtomicWaker, AtomicUsize)>, tell: mpsc::Sender<()>| {
        gambol::block_on(async move {
            spawn_local(async move {
                for _ in 0..2000 {
                    let before = slot.1.load(Ordering::Acquire);
                    tell.send(()).unwrap();
                    poll_fn(|cx| {
                        slot.0.register(cx.waker());
                        if slot.1.load(Ordering::Acquire) != before { Poll::Ready(()) } else { Poll::Pending }
                    })
                    .await;
                }
            })
            .await
            .unwrap();
        });
    };
    road(slot.clone(), tell.clone());
    gambol::block_on(gambol::spawn(async move { road(slot, tell) })).unwrap();
    other.join().unwrap();
}

#[test]
fn a_block_on_inside_runs_the_siblings() {
    gambol::block_on(async {
        let (tell, told) = futures::channel::oneshot::channel();
        let waits = spawn_local(async move { gambol::block_on(told).unwrap() });
        let tells = spawn_local(async move {
            yield_now().await;
            tell.send(7).unwrap();
        });
        assert_eq!(timeout(PATIENCE, waits).await.unwrap().unwrap(), 7);
        tells.await.unwrap();
    });
}

#[test]
fn nesting_deeper_than_its_bound_works() {
    fn nest(depth: usize) -> usize {
        if depth == 0 {
            return 0;
        }
        // The future of a block_on is polled at any depth; tasks are run down to the sixteenth.
        1 + gambol::block_on(async move {
            if depth > 40 { spawn_local(async move { nest(depth - 1) }).await.unwrap() } else { nest(depth - 1) }
        })
    }
    assert_eq!(nest(50), 50);
    gambol::block_on(async {
        let many = (0..100).map(|n| {
            spawn_local(async move { gambol::block_on(async { yield_now().await }) });
            spawn_local(async move { n })
        });
        assert_eq!(join_all(many).await.into_iter().map(Result::unwrap).sum::<usize>(), 4950);
    });
}

#[test]
fn nobody_on_the_thread_starves() {
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Spins {
        Main,
        Task,
        ManyTasks,
    }
    for spins in [Spins::Main, Spins::Task, Spins::ManyTasks] {
        gambol::block_on(async {
            let tasks = match spins {
                Spins::Main => 0,
                Spins::Task => 1,
                Spins::ManyTasks => 500,
            };
            for _ in 0..tasks {
                drop(spawn_local(async {
                    loop {
                        consume_budget().await;
                    }
                }));
            }
            let turn = spawn_local(async {
                for _ in 0..5 {
                    yield_now().await;
                }
                sleep(Duration::from_millis(1)).await;
            });
            if spins == Spins::Main {
                while !turn.is_finished() {
                    consume_budget().await;
                }
            } else {
                timeout(PATIENCE, turn).await.unwrap().unwrap();
            }
        });
    }
}

#[test]
fn a_main_future_without_a_budget_keeps_none_when_it_spawns() {
    gambol::block_on(async {
        let mut spends = pin!(task::unconstrained(async {
            drop(spawn_local(pending::<()>()));
            for _ in 0..1000 {
                consume_budget().await;
            }
        }));
        assert_eq!(poll_once(&mut spends).await, Poll::Ready(()));
    });
}

#[test]
fn a_runtime_that_ends_inside_takes_its_local_tasks_along() {
    gambol::block_on(async {
        for _ in 0..20 {
            let (guard, drops) = witness();
            let runtime = Runtime::builder().workers(1).build().unwrap();
            let mut kept = None;
            runtime.block_on(async {
                let handle = spawn_local(async move {
                    let _guard = guard;
                    pending::<()>().await;
                });
                yield_now().await;
                kept = Some(handle);
            });
            let handle = kept.unwrap();
            assert!(!handle.is_finished());
            drop(runtime);
            let error = timeout(PATIENCE, handle).await.unwrap().unwrap_err();
            assert!(error.is_cancelled());
            assert_eq!(drops.load(Ordering::Relaxed), 1);
        }
    });
}

#[test]
fn a_runtime_that_ends_cancels_local_tasks_that_had_no_turn_yet() {
    gambol::block_on(async {
        for n in 0..200 {
            let runtime = Runtime::builder().workers(1).build().unwrap();
            let mut kept = None;
            runtime.block_on(async { kept = Some(spawn_local(pending::<()>())) });
            // The task has its first turn before, after or while the runtime ends.
            let ends = thread::spawn(move || drop(runtime));
            if n % 2 == 0 {
                ends.join().unwrap();
            }
            let error = timeout(PATIENCE, kept.unwrap()).await.unwrap().unwrap_err();
            assert!(error.is_cancelled());
        }
    });
}

#[test]
fn a_panic_in_the_main_future_leaves_the_thread_as_it_was() {
    let panic = catch_unwind(|| gambol::block_on(async { panic!("main has a problem") }));
    assert!(panic.is_err());
    gambol::block_on(async {
        assert!(catch_unwind(|| gambol::block_on(async { panic!("inner main has a problem") })).is_err());
        assert_eq!(*spawn_local(async { Rc::new(1) }).await.unwrap(), 1);
    });
}
