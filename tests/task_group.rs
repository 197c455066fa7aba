//! `TaskGroup`: the first failure ends all, nobody is forgotten, and no more run than may.

mod helpers;

use gambol::{
    context::Context,
    runtime::Runtime,
    task::{TaskGroup, yield_now},
    time::{Duration, sleep, timeout},
};
use helpers::{PATIENCE, at_most};
use std::{
    future::pending,
    panic::{AssertUnwindSafe, catch_unwind, panic_any},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Wake, Waker},
    thread,
};

type Group = TaskGroup<&'static str>;

/// Counts what has begun, what lives and what has been dropped.
#[derive(Default)]
struct Counts {
    begun: AtomicUsize,
    alive: AtomicUsize,
    most: AtomicUsize,
    dropped: AtomicUsize,
}

struct Guard(Arc<Counts>);

impl Counts {
    fn begin(self: &Arc<Self>) -> Running {
        self.begun.fetch_add(1, Ordering::AcqRel);
        let alive = self.alive.fetch_add(1, Ordering::AcqRel) + 1;
        self.most.fetch_max(alive, Ordering::AcqRel);
        Running(self.clone())
    }

    fn dropped(&self) -> usize {
        self.dropped.load(Ordering::Acquire)
    }
}

/// A task that runs.
struct Running(Arc<Counts>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.alive.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A future that is there.
impl Drop for Guard {
    fn drop(&mut self) {
        self.0.dropped.fetch_add(1, Ordering::AcqRel);
    }
}

/// What a task does in the end.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ends {
    Ok,
    Error,
    Panic,
    Never,
}

fn work(counts: &Arc<Counts>, turns: usize, ends: Ends) -> impl Future<Output = Result<(), &'static str>> + use<> {
    let guard = Guard(counts.clone());
    async move {
        let _running = guard.0.begin();
        for _ in 0..turns {
            yield_now().await;
        }
        match ends {
            Ends::Ok => Ok(()),
            Ends::Error => Err("failed"),
            Ends::Panic => panic!("on purpose"),
            Ends::Never => pending().await,
        }
    }
}

async fn until(done: impl Fn() -> bool) {
    timeout(PATIENCE, async {
        while !done() {
            yield_now().await;
        }
    })
    .await
    .expect("it does not come");
}

/// How the group ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum GroupEnds {
    AllOk,
    Error,
    Panic,
    Aborted,
    Dropped,
}

#[test]
fn however_a_group_ends_nobody_is_left_and_the_limit_holds() {
    use GroupEnds::*;
    for workers in [1, 2] {
        let runtime = Runtime::builder().workers(workers).build().unwrap();
        for limit in [1, 2, 7, usize::MAX] {
            for ends in [AllOk, Error, Panic, Aborted, Dropped] {
                for turns in [0, 1, 5] {
                    let context = format!("{workers} {limit} {ends:?} {turns}");
                    let ended = runtime.block_on(timeout(PATIENCE, ended(limit, ends, turns)));
                    let most = ended.unwrap_or_else(|_| panic!("{context}"));
                    assert!(most <= limit, "{context}: {most}");
                }
            }
        }
    }
}

async fn ended(limit: usize, ends: GroupEnds, turns: usize) -> usize {
    const TASKS: usize = 30;
    let counts = Arc::new(Counts::default());
    let group = Group::with_limit(limit);
    for n in 0..TASKS {
        let own = match ends {
            _ if n != 10 => Ends::Ok,
            GroupEnds::AllOk => Ends::Ok,
            GroupEnds::Error => Ends::Error,
            GroupEnds::Panic => Ends::Panic,
            GroupEnds::Aborted | GroupEnds::Dropped => Ends::Never,
        };
        // Behind the one that fails stand some that would never end.
        let own = if n > 10 && ends != GroupEnds::AllOk { Ends::Never } else { own };
        group.spawn(work(&counts, turns, own));
    }
    assert!(group.len() <= TASKS);
    let context = group.context().clone();
    match ends {
        GroupEnds::AllOk => {
            assert_eq!(group.wait().await, Ok(()));
            assert!(!context.is_cancelled());
        }
        GroupEnds::Error => {
            // With a limit, all those ahead of the failing one end before it.
            assert_eq!(group.wait().await, Err("failed"));
            assert_eq!(context.cause().unwrap().to_string(), "a task of the group has failed");
        }
        GroupEnds::Panic => {
            let panicked = catch(group.wait()).await;
            assert_eq!(panicked.unwrap_err().downcast_ref::<&str>(), Some(&"on purpose"));
            assert!(context.is_cancelled());
        }
        GroupEnds::Aborted => {
            yield_now().await;
            group.abort_all();
            assert_eq!(group.wait().await, Ok(()));
            assert!(context.is_cancelled());
        }
        GroupEnds::Dropped => {}
    }
    if ends != GroupEnds::Dropped {
        assert_eq!(counts.dropped(), TASKS, "wait has waited for all");
        assert!(group.is_empty());
        assert_eq!(group.wait().await, Ok(()), "a failure is handed out once");
    }
    drop(group);
    until(|| counts.dropped() == TASKS).await;
    assert!(context.is_cancelled());
    assert_eq!(counts.alive.load(Ordering::Acquire), 0);
    counts.most.load(Ordering::Acquire)
}

/// Awaits; a panic is an error.
async fn catch<F: Future>(future: F) -> thread::Result<F::Output> {
    use futures_util::FutureExt;
    AssertUnwindSafe(future).catch_unwind().await
}

#[gambol::test]
async fn the_first_of_several_failures_is_the_one() {
    // The others fail when the first has, unless they are aborted before.
    for panics in [false, true] {
        let group = Group::new();
        for _ in 0..2 {
            group.spawn(async move {
                Context::current().cancelled().await;
                assert!(!panics, "on purpose");
                Err("later")
            });
        }
        group.spawn(async { Err("first") });
        assert_eq!(group.wait().await, Err("first"));
    }
}

#[gambol::test]
async fn a_payload_of_any_type_comes_out_of_wait() {
    #[derive(Debug, PartialEq)]
    struct Payload(u32);
    let group = Group::new();
    group.spawn(async { panic_any(Payload(7)) });
    let payload = catch(group.wait()).await.unwrap_err();
    assert_eq!(payload.downcast_ref(), Some(&Payload(7)));
}

#[test]
fn the_runtimes_hook_sees_a_panic() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let own = seen.clone();
    let runtime = Runtime::builder().workers(1).on_task_panic(move |_, payload| {
        own.lock().unwrap().push(payload.downcast_ref::<String>().cloned());
    });
    let runtime = runtime.build().unwrap();
    runtime.block_on(async {
        let group = Group::new();
        let word = String::from("purpose");
        group.spawn(async move { panic!("on {word}") });
        assert!(catch(group.wait()).await.is_err());
    });
    assert_eq!(*seen.lock().unwrap(), [Some(String::from("on purpose"))]);
    assert_eq!(runtime.metrics().tasks_panicked(), 1);
}

#[gambol::test]
async fn a_failed_group_starts_nothing_and_a_good_one_goes_on() {
    let counts = Arc::new(Counts::default());
    let group = Group::default();
    for _ in 0..3 {
        group.spawn(work(&counts, 1, Ends::Ok));
        assert_eq!(group.wait().await, Ok(()));
    }
    assert_eq!((counts.begun.load(Ordering::Acquire), counts.dropped()), (3, 3));
    group.spawn(work(&counts, 0, Ends::Error));
    assert_eq!(group.wait().await, Err("failed"));
    group.spawn(work(&counts, 0, Ends::Ok));
    assert!(group.try_spawn(work(&counts, 0, Ends::Ok)).is_err());
    assert_eq!((counts.begun.load(Ordering::Acquire), counts.dropped()), (4, 6));
    assert_eq!(group.wait().await, Ok(()));
}

#[gambol::test]
async fn try_spawn_gives_the_future_back_when_as_many_run_as_may() {
    let counts = Arc::new(Counts::default());
    let group = Group::with_limit(2);
    group.spawn(work(&counts, 0, Ends::Never));
    assert!(group.try_spawn(work(&counts, 0, Ends::Ok)).is_ok());
    let back = group.try_spawn(work(&counts, 0, Ends::Ok)).unwrap_err();
    assert_eq!((group.len(), counts.dropped()), (2, 0));
    assert_eq!(back.await, Ok(()));
    until(|| group.len() == 1).await;
    assert!(group.try_spawn(work(&counts, 0, Ends::Error)).is_ok());
    assert_eq!(group.wait().await, Err("failed"));
}

#[gambol::test]
async fn what_waits_is_started_in_its_order() {
    let order = Arc::new(Mutex::new(Vec::new()));
    let group = Group::with_limit(1);
    for n in 0..1000 {
        let order = order.clone();
        group.spawn(async move {
            order.lock().unwrap().push(n);
            Ok(())
        });
    }
    assert_eq!(group.wait().await, Ok(()));
    assert_eq!(*order.lock().unwrap(), (0..1000).collect::<Vec<_>>());
}

#[gambol::test]
async fn tasks_run_in_the_groups_context_also_those_that_waited() {
    let outer = Context::background().with_value(7_u32);
    let (outer, canceller) = outer.with_cancel();
    let group = outer.sync_scope(|| Group::with_limit(1));
    let seen = Arc::new(AtomicUsize::new(0));
    for _ in 0..5 {
        let seen = seen.clone();
        group.spawn(async move {
            assert_eq!(Context::current().value(), Some(7_u32));
            // What it spawns is in it as well.
            let inner = gambol::spawn(async { Context::current().value() }).await.unwrap();
            assert_eq!(inner, Some(7_u32));
            seen.fetch_add(1, Ordering::Relaxed);
            Ok(())
        });
    }
    assert_eq!(group.wait().await, Ok(()));
    assert_eq!(seen.load(Ordering::Relaxed), 5);
    // The end of the parent is the tasks' to see, and aborts none.
    group.spawn(async {
        Context::current().cancelled().await;
        yield_now().await;
        Err("cancelled, and orderly")
    });
    canceller.cancel();
    assert_eq!(group.wait().await, Err("cancelled, and orderly"));
}

#[gambol::test]
async fn what_members_have_started_sees_the_failure() {
    let group = Group::new();
    let (tell, told) = std::sync::mpsc::channel();
    group.spawn(async move {
        gambol::spawn(async move {
            Context::current().cancelled().await;
            tell.send(Context::current().cause().unwrap().to_string()).unwrap();
        });
        yield_now().await;
        Err("failed")
    });
    assert_eq!(group.wait().await, Err("failed"));
    let told = gambol::spawn_blocking(move || told.recv_timeout(PATIENCE).unwrap()).await.unwrap();
    assert_eq!(told, "a task of the group has failed");
}

#[gambol::test]
async fn a_member_may_spawn_into_its_group_and_wait_may_be_given_up() {
    let group = Arc::new(Group::with_limit(2));
    let counts = Arc::new(Counts::default());
    for _ in 0..3 {
        let (own, counts) = (group.clone(), counts.clone());
        group.spawn(async move {
            for _ in 0..3 {
                own.spawn(work(&counts, 2, Ends::Ok));
                yield_now().await;
            }
            Ok(())
        });
    }
    for polls in 0..3 {
        // It may have come to its end meanwhile.
        let _ = at_most(polls, group.wait()).await;
    }
    let (one, other) = gambol::join!(group.wait(), group.wait());
    assert_eq!((one, other), (Ok(()), Ok(())));
    assert_eq!(counts.dropped(), 9);
    assert_eq!(Arc::strong_count(&group), 1);
}

/// On what `wait` is polled, and from where tasks are spawned.
#[test]
fn it_works_under_other_executors_and_from_plain_threads() {
    let tokio = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for foreign in [true, false] {
        let run = async {
            let group = Group::with_limit(3);
            for n in 0..20_u64 {
                group.spawn(async move {
                    sleep(Duration::from_micros(n * 10)).await;
                    if n == 15 { Err("failed") } else { Ok(()) }
                });
            }
            group.wait().await
        };
        let outcome = if foreign { futures::executor::block_on(run) } else { tokio.block_on(run) };
        assert_eq!(outcome, Err("failed"));
    }
}

#[test]
fn a_group_whose_runtime_has_ended_does_not_say_that_all_went_well() {
    let counts = Arc::new(Counts::default());
    let group = Group::with_limit(2);
    let runtime = Runtime::builder().workers(1).build().unwrap();
    runtime.block_on(async {
        for _ in 0..5 {
            group.spawn(work(&counts, 0, Ends::Never));
        }
        until(|| counts.begun.load(Ordering::Acquire) == 2).await;
    });
    drop(runtime);
    let outcome = catch_unwind(AssertUnwindSafe(|| futures::executor::block_on(group.wait())));
    let payload = outcome.unwrap_err();
    assert!(payload.downcast_ref::<&str>().unwrap().contains("the end of its runtime"));
    assert_eq!(counts.dropped(), 5);
}

#[test]
fn spawning_while_another_thread_fails_the_group_leaves_nobody() {
    let runtime = Runtime::builder().workers(2).build().unwrap();
    for round in 0..500 {
        let counts = Arc::new(Counts::default());
        let group = Arc::new(Group::with_limit(1 + round % 4 * 8));
        let own = (group.clone(), counts.clone(), runtime.handle().clone());
        let spawns = thread::spawn(move || {
            let (group, counts, _handle) = own;
            for _ in 0..20 {
                group.spawn(work(&counts, 1, Ends::Never));
            }
        });
        runtime.block_on(async {
            group.spawn(work(&counts, round % 3, Ends::Error));
            // With a limit, those that never end may stand before it.
            yield_now().await;
            group.abort_all();
        });
        spawns.join().unwrap();
        let outcome = runtime.block_on(timeout(PATIENCE, group.wait())).expect("somebody is left");
        assert!(outcome == Ok(()) || outcome == Err("failed"));
        assert_eq!(counts.dropped(), 21, "{round}");
    }
}

#[gambol::test]
async fn futures_whose_drop_panics_or_spawns_harm_nobody() {
    struct Hostile(Option<Arc<Group>>);
    impl Drop for Hostile {
        fn drop(&mut self) {
            match self.0.take() {
                Some(group) => group.spawn(async { Ok(()) }),
                None => panic!("on purpose"),
            }
        }
    }
    for limit in [1, 4] {
        let group = Arc::new(Group::with_limit(limit));
        for n in 0..10 {
            let hostile = Hostile((n % 2 == 0).then(|| group.clone()));
            group.spawn(async move {
                let _hostile = hostile;
                yield_now().await;
                pending().await
            });
        }
        for _ in 0..limit {
            yield_now().await;
        }
        // Those that wait in the queue are dropped here, the others in their tasks.
        group.abort_all();
        timeout(PATIENCE, group.wait()).await.unwrap().unwrap();
    }
}

#[test]
#[should_panic(expected = "allow at least one")]
fn a_limit_of_zero_is_refused() {
    Group::with_limit(0);
}

#[test]
fn it_can_go_to_other_threads() {
    fn check<T: Send + Sync + 'static>() {}
    check::<Group>();
}

// ---- in bad company

#[test]
fn an_error_and_a_panic_at_once_are_one_failure() {
    let runtime = Runtime::builder().workers(2).build().unwrap();
    let (mut errors, mut panics) = (0, 0);
    for round in 0..300 {
        let counts = Arc::new(Counts::default());
        let outcomes = runtime.block_on(async {
            let group = Group::new();
            let gate = Arc::new(AtomicUsize::new(0));
            for ends in [Ends::Error, Ends::Panic] {
                let (gate, counts) = (gate.clone(), counts.clone());
                group.spawn(async move {
                    gate.fetch_add(1, Ordering::AcqRel);
                    for _ in 0..1000 {
                        if gate.load(Ordering::Acquire) == 2 {
                            break;
                        }
                        yield_now().await;
                    }
                    work(&counts, round % 3, ends).await
                });
            }
            group.spawn(work(&counts, 0, Ends::Never));
            // Two who wait: one has the failure, whatever it is.
            let wait = || catch(timeout(PATIENCE, group.wait()));
            let (one, other) = gambol::join!(wait(), wait());
            assert_eq!(counts.alive.load(Ordering::Acquire), 0);
            group.spawn(work(&counts, 0, Ends::Error));
            assert!(matches!(catch(group.wait()).await, Ok(Ok(()))), "it was told already");
            [one, other]
        });
        let failures: Vec<_> = outcomes.into_iter().filter(|outcome| !matches!(outcome, Ok(Ok(Ok(()))))).collect();
        match &failures[..] {
            [Ok(outcome)] => {
                assert_eq!(outcome.expect("somebody is left"), Err("failed"));
                errors += 1;
            }
            [Err(payload)] => {
                assert_eq!(payload.downcast_ref(), Some(&"on purpose"));
                panics += 1;
            }
            _ => panic!("{} failures", failures.len()),
        }
    }
    assert_eq!(errors + panics, 300);
}

/// Who lets go of the group last.
#[derive(Clone, Copy, Debug)]
enum Last {
    Member,
    DropOfAMember,
    Queued,
    Waker,
}

#[test]
fn a_group_may_be_dropped_by_those_who_belong_to_it() {
    for workers in [1, 2] {
        let runtime = Runtime::builder().workers(workers).build().unwrap();
        for last in [Last::Member, Last::DropOfAMember, Last::Queued, Last::Waker] {
            for limit in [1, 3, usize::MAX] {
                runtime.block_on(dropped_by(last, limit));
            }
        }
    }
}

async fn dropped_by(last: Last, limit: usize) {
    struct Drops(Mutex<Option<Group>>);
    impl Drop for Drops {
        fn drop(&mut self) {
            // It is ours now to abort all, us included.
            drop(self.0.lock().unwrap().take());
        }
    }
    impl Wake for Drops {
        fn wake(self: Arc<Self>) {
            drop(self.0.lock().unwrap().take());
        }
    }
    let counts = Arc::new(Counts::default());
    let group = Group::with_limit(limit);
    let context = group.context().clone();
    let drops = Arc::new(Drops(Mutex::new(None)));
    let guard = || Guard(counts.clone());
    let mut expected = 4;
    match last {
        Last::Member => {
            let (own, guard) = (drops.clone(), guard());
            group.spawn(async move {
                let _guard = guard;
                until(|| own.0.lock().unwrap().is_some()).await;
                let group = own.0.lock().unwrap().take();
                drop(group);
                pending().await
            });
        }
        Last::DropOfAMember => {
            let (own, guard) = (drops.clone(), guard());
            group.spawn(async move {
                let (_own, _guard) = (own, guard);
                for _ in 0..10 {
                    yield_now().await;
                }
                Err("failed")
            });
        }
        Last::Queued => {
            let (own, guard) = (drops.clone(), guard());
            group.spawn(work(&counts, 2, Ends::Error));
            group.spawn(async move {
                let (_own, _guard) = (own, guard);
                pending().await
            });
            expected += 1;
        }
        Last::Waker => {
            let mut waits = Box::pin(group.context().cancelled_owned());
            let waker = Waker::from(drops.clone());
            assert!(waits.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending());
            group.spawn(async move {
                let _waits = waits;
                yield_now().await;
                Err("failed")
            });
            expected -= 1;
        }
    }
    for _ in 0..3 {
        group.spawn(work(&counts, 0, Ends::Never));
    }
    *drops.0.lock().unwrap() = Some(group);
    drop(drops);
    until(|| counts.dropped() == expected).await;
    assert!(context.is_cancelled(), "{last:?} {limit}");
}

#[test]
fn a_group_moves_from_runtime_to_runtime_and_to_none() {
    for limit in [1, 2, 8] {
        let counts = Arc::new(Counts::default());
        let group = Arc::new(Group::with_limit(limit));
        let runtimes: Vec<Runtime> = (0..2).map(|_| Runtime::builder().workers(1).build().unwrap()).collect();
        for runtime in &runtimes {
            runtime.block_on(async {
                for n in 0..20 {
                    group.spawn(work(&counts, n % 5, Ends::Ok));
                }
            });
        }
        for _ in 0..20 {
            group.spawn(work(&counts, 1, Ends::Ok));
        }
        assert_eq!(runtimes[1].block_on(timeout(PATIENCE, group.wait())), Ok(Ok(())));
        assert_eq!((counts.dropped(), counts.alive.load(Ordering::Acquire)), (60, 0));
        assert!(counts.most.load(Ordering::Acquire) <= limit);
        // It is good still, when those are gone.
        drop(runtimes);
        group.spawn(work(&counts, 1, Ends::Ok));
        assert_eq!(futures::executor::block_on(group.wait()), Ok(()));
    }
}

#[gambol::test]
async fn an_aborted_group_takes_nobody_and_ends() {
    let counts = Arc::new(Counts::default());
    for limit in [1, 8] {
        let group = Group::with_limit(limit);
        for _ in 0..4 {
            group.spawn(work(&counts, 1, Ends::Never));
        }
        group.abort_all();
        group.abort_all();
        let before = counts.dropped();
        group.spawn(work(&counts, 0, Ends::Panic));
        assert_eq!(counts.dropped(), before + 1, "not at once");
        assert!(group.try_spawn(work(&counts, 0, Ends::Error)).is_err());
        for polls in 0..3 {
            let _ = at_most(polls, group.wait()).await;
        }
        timeout(PATIENCE, group.wait()).await.unwrap().unwrap();
        assert!(group.is_empty() && group.context().is_cancelled());
    }
    assert_eq!(counts.dropped(), 12);
    assert_eq!(counts.alive.load(Ordering::Acquire), 0);
}

/// A member that sits in its poll is not interrupted, and holds up nobody but who waits for it.
#[test]
fn a_member_that_does_not_yield_ends_after_its_turn() {
    let runtime = Runtime::builder().workers(2).build().unwrap();
    let (tell, told) = std::sync::mpsc::channel::<()>();
    runtime.block_on(async {
        let counts = Arc::new(Counts::default());
        let group = Group::new();
        let sits = Arc::new(AtomicUsize::new(0));
        let own = sits.clone();
        group.spawn(async move {
            own.store(1, Ordering::Release);
            let _ = told.recv();
            pending().await
        });
        until(|| sits.load(Ordering::Acquire) == 1).await;
        for _ in 0..5 {
            group.spawn(work(&counts, 3, Ends::Never));
        }
        group.spawn(work(&counts, 3, Ends::Error));
        until(|| counts.dropped() == 6).await;
        assert_eq!(group.len(), 1);
        assert_eq!(at_most(1, group.wait()).await, None);
        drop(tell);
        assert_eq!(timeout(PATIENCE, group.wait()).await, Ok(Err("failed")));
    });
}

#[test]
fn a_long_queue_that_ends_does_not_recurse() {
    const MANY: usize = 20_000;
    /// What becomes of the queue.
    #[derive(Clone, Copy, Debug)]
    enum Queue {
        Runs,
        Fails,
        LosesItsRuntime,
    }
    for queue in [Queue::Runs, Queue::Fails, Queue::LosesItsRuntime] {
        let runtime = Runtime::builder().workers(1).stack_size(128 << 10).build().unwrap();
        let counts = Arc::new(Counts::default());
        let group = Arc::new(Group::with_limit(1));
        runtime.block_on(async {
            let first = match queue {
                Queue::Runs => Ends::Ok,
                Queue::Fails => Ends::Error,
                Queue::LosesItsRuntime => Ends::Never,
            };
            group.spawn(work(&counts, 3, first));
            for _ in 1..MANY {
                group.spawn(work(&counts, 0, Ends::Ok));
            }
            if !matches!(queue, Queue::LosesItsRuntime) {
                assert_eq!(group.wait().await.is_ok(), matches!(queue, Queue::Runs));
            }
        });
        drop(runtime);
        wait_for(|| counts.dropped() == MANY);
    }
}

fn wait_for(done: impl Fn() -> bool) {
    let begin = std::time::Instant::now();
    while !done() {
        assert!(begin.elapsed() < PATIENCE, "it does not come");
        thread::yield_now();
    }
}
