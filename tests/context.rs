//! `Context`: what ends ends all below it, once, and nobody else; nothing is left behind; and whoever is spawned inherits.

mod helpers;

use gambol::{
    context::{Canceller, Cause, Context},
    runtime::Runtime,
    task::{Builder, JoinSet, consume_budget, yield_now},
    time::{Duration, Instant, sleep, timeout},
};
use helpers::{PATIENCE, at_most, poll_once};
use std::{
    error::Error,
    future::{pending, poll_fn},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Poll, Wake, Waker},
    thread,
};

fn background() -> Context {
    Context::background()
}

/// Counts its drops.
#[derive(Clone)]
struct Counts(#[expect(dead_code, reason = "it is there to be dropped")] Arc<Dropped>);

struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Release);
    }
}

/// A value, and how many of it have been dropped.
fn counts() -> (Counts, Arc<AtomicUsize>) {
    let drops = Arc::new(AtomicUsize::new(0));
    (Counts(Arc::new(Dropped(drops.clone()))), drops)
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

fn wait_until(done: impl Fn() -> bool) {
    let begin = std::time::Instant::now();
    while !done() {
        assert!(begin.elapsed() < PATIENCE, "it does not come");
        thread::yield_now();
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct User(u32);

#[derive(Clone, Copy, Debug, PartialEq)]
struct Trace(u32);

// ---- the tree

#[test]
fn the_background_never_ends_and_carries_nothing() {
    let root = Context::current();
    assert!(!root.is_cancelled() && root.cause().is_none() && root.deadline().is_none());
    assert_eq!(root.value::<User>(), None);
    gambol::block_on(async {
        assert_eq!(at_most(1, root.cancelled()).await, None);
        assert_eq!(root.run(async { 7 }).await.unwrap(), 7);
    });
    assert_eq!(format!("{root:?}"), "Context(background)");
}

/// How a context comes from its parent.
#[derive(Clone, Copy, Debug)]
enum Step {
    Cancel,
    Late,
    Value,
    Clone,
}

impl Step {
    const ALL: [Step; 4] = [Step::Cancel, Step::Late, Step::Value, Step::Clone];

    fn take(self, parent: &Context) -> (Context, Option<Canceller>) {
        match self {
            Step::Cancel => {
                let (child, canceller) = parent.with_cancel();
                (child, Some(canceller))
            }
            Step::Late => (parent.with_timeout(PATIENCE * 3), None),
            Step::Value => (parent.with_value(User(1)), None),
            Step::Clone => (parent.clone(), None),
        }
    }
}

/// How the tree ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Cancel,
    CancelWith,
    Deadline,
}

/// On what the waiting is done.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::enum_variant_names, reason = "it is called so")]
enum On {
    Tasks,
    BlockOn,
    Foreign,
    Tokio,
}

#[test]
fn an_end_reaches_all_below_and_nobody_beside_whatever_lies_between() {
    for end in [End::Cancel, End::CancelWith, End::Deadline] {
        for on in [On::Tasks, On::BlockOn, On::Foreign, On::Tokio] {
            for first in Step::ALL {
                for second in Step::ALL {
                    reaches(end, on, first, second);
                }
            }
        }
    }
}

fn reaches(end: End, on: On, first: Step, second: Step) {
    let circumstances = (end, on, first, second);
    let (above, _above) = background().with_cancel();
    let (top, canceller) = match end {
        End::Deadline => (above.with_timeout(Duration::from_millis(2)), None),
        _ => {
            let (top, canceller) = above.with_cancel();
            (top, Some(canceller))
        }
    };
    let (child, _one) = first.take(&top);
    let (grandchild, _two) = second.take(&child);
    let (beside, _) = above.with_cancel();
    let (woken, barrier) = (grandchild.cancelled_owned(), Arc::new(Barrier::new(2)));
    let waits = {
        let barrier = barrier.clone();
        async move {
            let mut woken = pin!(woken);
            let mut polled = woken.as_mut();
            let _ = poll_once(&mut polled).await;
            barrier.wait();
            woken.await;
        }
    };
    let waiter = thread::spawn(move || match on {
        On::Tasks => gambol::block_on(gambol::spawn(waits)).unwrap(),
        On::BlockOn => gambol::block_on(waits),
        On::Foreign => futures::executor::block_on(waits),
        On::Tokio => tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap().block_on(waits),
    });
    barrier.wait();
    match end {
        End::Cancel => canceller.unwrap().cancel(),
        End::CancelWith => canceller.unwrap().cancel_with("enough"),
        End::Deadline => {}
    }
    waiter.join().unwrap();
    wait_until(|| grandchild.is_cancelled());
    for context in [&top, &child, &grandchild] {
        let cause = context.cause().unwrap_or_else(|| panic!("{circumstances:?}"));
        match end {
            End::Cancel => assert!(cause.is_cancelled(), "{circumstances:?}"),
            End::CancelWith => assert_eq!(cause.to_string(), "enough", "{circumstances:?}"),
            End::Deadline => assert!(cause.is_timeout(), "{circumstances:?}"),
        }
    }
    assert!(!above.is_cancelled() && !beside.is_cancelled(), "{circumstances:?}");
}

#[test]
fn the_first_cause_stays_and_a_child_may_end_before_its_parent() {
    let (parent, cancel_parent) = background().with_cancel();
    let (child, cancel_child) = parent.with_cancel();
    let (late, _late) = child.with_cancel();
    cancel_child.cancel_with("first");
    cancel_child.cancel_with("second");
    cancel_parent.clone().cancel_with(String::from("third"));
    cancel_parent.cancel();
    assert_eq!(child.cause().unwrap().to_string(), "first");
    assert_eq!(late.cause().unwrap().to_string(), "first");
    assert_eq!(parent.cause().unwrap().to_string(), "third");
    // Born with the end of its parent.
    let (born, canceller) = late.with_cancel();
    assert!(canceller.is_cancelled());
    canceller.cancel_with("fourth");
    assert_eq!(born.cause().unwrap().to_string(), "first");
    assert_eq!(late.with_timeout(Duration::ZERO).cause().unwrap().to_string(), "first");
    assert_eq!(late.with_value(1).with_timeout(PATIENCE).cause().unwrap().to_string(), "first");
}

#[test]
fn dropping_a_canceller_does_not_cancel_and_its_guard_does() {
    let (context, canceller) = background().with_cancel();
    drop(canceller.clone());
    drop(canceller.clone().drop_guard().disarm());
    assert!(!context.is_cancelled());
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let _guard = canceller.drop_guard();
        panic!("on purpose");
    }));
    assert!(unwound.is_err());
    assert!(context.cause().unwrap().is_cancelled());
}

#[test]
fn a_context_without_cancel_keeps_the_values_only() {
    let (context, canceller) = background().with_value(User(1)).with_cancel();
    let on = context.with_timeout(PATIENCE).without_cancel();
    canceller.cancel();
    assert!(!on.is_cancelled() && on.deadline().is_none());
    assert_eq!(on.value(), Some(User(1)));
    assert_eq!(format!("{:?}", background().with_cancel().0.without_cancel()), "Context(background)");
}

// ---- values

#[test]
fn the_innermost_value_of_a_type_is_seen() {
    let outer = background().with_value(User(1)).with_value(Trace(2));
    let (cancellable, _canceller) = outer.with_cancel();
    let inner = cancellable.with_timeout(PATIENCE).with_value(User(3));
    assert_eq!((outer.value(), outer.value()), (Some(User(1)), Some(Trace(2))));
    assert_eq!((cancellable.value(), cancellable.value()), (Some(User(1)), Some(Trace(2))));
    assert_eq!((inner.value(), inner.value()), (Some(User(3)), Some(Trace(2))));
    assert_eq!(inner.value::<&'static str>(), None);
}

// ---- deadlines

#[test]
fn a_deadline_is_never_later_than_the_parents() {
    let now = Instant::now();
    let parent = background().with_deadline(now + PATIENCE);
    assert_eq!(parent.deadline(), Some(now + PATIENCE));
    assert_eq!(parent.with_deadline(now + PATIENCE * 2).deadline(), Some(now + PATIENCE));
    assert_eq!(parent.with_timeout(Duration::MAX).deadline(), Some(now + PATIENCE));
    assert_eq!(parent.with_deadline(now + PATIENCE / 2).deadline(), Some(now + PATIENCE / 2));
    assert_eq!(parent.with_cancel().0.with_value(1).deadline(), Some(now + PATIENCE));
    assert_eq!(background().with_timeout(Duration::MAX).deadline(), None);
    assert_eq!(background().with_deadline(Instant::NEVER).deadline(), None);
}

#[test]
fn a_deadline_that_has_passed_ends_at_birth() {
    for passed in [Instant::now(), Instant::now().checked_sub(Duration::from_millis(1)).unwrap()] {
        let context = background().with_deadline(passed);
        assert!(context.cause().unwrap().is_timeout());
        let (child, _canceller) = context.with_cancel();
        assert!(child.cause().unwrap().is_timeout());
    }
    assert!(background().with_timeout(Duration::ZERO).cause().unwrap().is_timeout());
}

#[test]
fn a_deadline_ends_a_context_that_nobody_awaits() {
    for in_runtime in [false, true] {
        let make = || {
            let parent = background().with_timeout(Duration::from_millis(3));
            let (child, _canceller) = parent.with_cancel();
            (Instant::now(), child.with_value(User(1)).with_cancel().0)
        };
        let (_, grandchild) = if in_runtime {
            gambol::block_on(async { gambol::spawn(async move { make() }).await.unwrap() })
        } else {
            make()
        };
        let deadline = grandchild.deadline().unwrap();
        wait_until(|| grandchild.is_cancelled());
        assert!(Instant::now() >= deadline, "early");
        assert!(grandchild.cause().unwrap().is_timeout());
    }
}

#[test]
fn a_deadline_outlives_the_runtime_in_which_it_was_made() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let context = runtime.block_on(async {
        gambol::spawn(async { background().with_timeout(Duration::from_millis(30)) }).await.unwrap()
    });
    drop(runtime);
    let deadline = context.deadline().unwrap();
    wait_until(|| context.is_cancelled());
    assert!(Instant::now() >= deadline, "early");
}

#[test]
fn a_timer_goes_with_its_context() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let armed =
        || runtime.metrics().timers_armed() - runtime.metrics().timers_cancelled() - runtime.metrics().timers_fired();
    runtime.block_on(async {
        let (parent, canceller) = background().with_cancel();
        let contexts: Vec<Context> = (0..10).map(|_| parent.with_timeout(PATIENCE * 3)).collect();
        assert_eq!(armed(), 10);
        drop(background().with_timeout(PATIENCE));
        // A deadline that is no earlier costs no timer.
        let _same = contexts[0].with_timeout(PATIENCE * 9);
        assert_eq!(armed(), 10);
        drop(contexts.into_iter().skip(5).collect::<Vec<_>>());
        let kept: Vec<Context> = (0..5).map(|_| parent.with_timeout(PATIENCE * 3)).collect();
        canceller.cancel();
        assert_eq!(armed(), 0);
        drop(kept);
    });
}

// ---- waiting and running

#[gambol::test]
async fn who_gives_up_waiting_is_not_woken() {
    struct Woken(AtomicUsize);
    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let woken = Arc::new(Woken(AtomicUsize::new(0)));
    let waker = Waker::from(woken.clone());
    let mut cx = std::task::Context::from_waker(&waker);
    let (context, canceller) = background().with_cancel();
    let mut gives_up = Box::pin(context.cancelled());
    let mut waits = Box::pin(context.cancelled());
    let mut moves = Box::pin(context.cancelled());
    assert!(moves.as_mut().poll(&mut std::task::Context::from_waker(Waker::noop())).is_pending());
    for _ in 0..3 {
        assert!(gives_up.as_mut().poll(&mut cx).is_pending());
        assert!(waits.as_mut().poll(&mut cx).is_pending());
        assert!(moves.as_mut().poll(&mut cx).is_pending(), "with another waker than before");
    }
    drop(gives_up);
    // Ours and the two that wait.
    assert_eq!(Arc::strong_count(&woken), 4);
    canceller.cancel();
    assert_eq!(woken.0.load(Ordering::Relaxed), 2);
    assert!(waits.as_mut().poll(&mut cx).is_ready() && waits.as_mut().poll(&mut cx).is_ready());
    assert!(moves.as_mut().poll(&mut cx).is_ready());
    drop((waits, moves));
    assert_eq!(Arc::strong_count(&woken), 2);
}

#[gambol::test]
async fn a_waker_that_panics_keeps_nobody_from_being_woken() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("on purpose");
        }
    }
    let (context, canceller) = background().with_cancel();
    let mut bad = pin!(context.cancelled());
    let waker = Waker::from(Arc::new(Panics));
    assert!(bad.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending());
    let good = gambol::spawn(context.cancelled_owned());
    yield_now().await;
    canceller.cancel();
    timeout(PATIENCE, good).await.unwrap().unwrap();
}

#[gambol::test]
async fn run_yields_the_output_or_the_cause_and_the_output_wins() {
    let (context, canceller) = background().with_cancel();
    assert_eq!(context.run(async { 1 }).await.unwrap(), 1);
    let (counts, drops) = counts();
    let mut run = pin!(context.run(async move {
        let _counts = counts;
        pending::<()>().await
    }));
    assert!(poll_once(&mut run.as_mut()).await.is_pending());
    canceller.cancel_with("enough");
    let Poll::Ready(Err(cause)) = poll_once(&mut run.as_mut()).await else { panic!("it goes on") };
    assert_eq!(cause.to_string(), "enough");
    assert_eq!(drops.load(Ordering::Acquire), 1, "the future lives on");
    assert_eq!(context.run(async { 2 }).await.unwrap(), 2, "the output wins");
    assert!(context.run(yield_now()).await.is_err());
}

#[gambol::test]
async fn run_ends_a_future_that_uses_up_its_budget_at_every_turn() {
    let context = background().with_timeout(Duration::from_millis(2));
    let busy = context.run(async {
        loop {
            consume_budget().await;
        }
    });
    assert!(timeout(PATIENCE, busy).await.unwrap().unwrap_err().is_timeout());
}

#[gambol::test]
async fn run_dropped_at_every_poll_leaves_nothing_behind() {
    let (context, canceller) = background().with_cancel();
    for polls in 0..6 {
        let (counts, drops) = counts();
        let ended = at_most(
            polls,
            context.run(async move {
                let _counts = counts;
                for _ in 0..3 {
                    yield_now().await;
                }
            }),
        )
        .await;
        assert_eq!(ended.is_some(), polls > 3, "{polls}");
        assert_eq!(drops.load(Ordering::Acquire), 1, "{polls}");
    }
    assert!(format!("{:?}", context.cancelled()).contains("waiters: 0"), "{:?}", context.cancelled());
    drop(canceller);
}

#[gambol::test]
async fn a_wait_for_an_end_that_has_come_leaves_a_turn_to_others() {
    let (context, canceller) = background().with_cancel();
    canceller.cancel();
    let polls = AtomicUsize::new(0);
    let mut first = pin!(async {
        loop {
            context.cancelled().await;
            polls.fetch_add(1, Ordering::Relaxed);
        }
    });
    let _: Poll<()> = poll_once(&mut first.as_mut()).await;
    assert!(polls.load(Ordering::Relaxed) < 1000);
}

// ---- scopes and inheritance

#[gambol::test]
async fn a_scope_is_current_inside_and_nowhere_else() {
    let context = background().with_value(User(1));
    let current = || Context::current().value::<User>();
    let inner = context.with_value(User(2));
    context
        .scope(async {
            assert_eq!(current(), Some(User(1)));
            yield_now().await;
            assert_eq!(current(), Some(User(1)));
            inner.scope(async { assert_eq!(current(), Some(User(2))) }).await;
            assert_eq!(current(), Some(User(1)));
            inner.sync_scope(|| assert_eq!(current(), Some(User(2))));
            background().scope(async { assert_eq!(current(), None) }).await;
            assert_eq!(current(), Some(User(1)));
        })
        .await;
    assert_eq!(current(), None);
    let unwound = catch_unwind(AssertUnwindSafe(|| context.sync_scope(|| panic!("on purpose"))));
    assert!(unwound.is_err());
    assert_eq!(current(), None);
    let mut scope = Box::pin(context.scope(poll_fn(|_| -> Poll<()> { panic!("on purpose") })));
    assert!(
        catch_unwind(AssertUnwindSafe(|| scope.as_mut().poll(&mut std::task::Context::from_waker(Waker::noop()))))
            .is_err()
    );
    assert_eq!(current(), None);
}

/// Notes the current user when it is dropped.
struct Notes(Arc<Mutex<Vec<Option<User>>>>);

impl Drop for Notes {
    fn drop(&mut self) {
        self.0.lock().unwrap().push(Context::current().value());
    }
}

#[gambol::test]
async fn a_future_is_dropped_inside_its_scope() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let context = background().with_value(User(1));
    let notes = |ready: bool| {
        let notes = Notes(seen.clone());
        async move {
            let _notes = notes;
            if !ready {
                pending::<()>().await;
            }
        }
    };
    // It completes; it is dropped half-way; it was never polled.
    context.scope(notes(true)).await;
    assert_eq!(at_most(1, context.scope(notes(false))).await, None);
    drop(context.scope(async { drop(Notes(seen.clone())) }));
    drop(context.scope(notes(false)));
    // The context ends.
    let (ended, canceller) = context.with_cancel();
    canceller.cancel();
    assert!(ended.run(notes(false)).await.is_err());
    // A task that inherited it completes, panics, is aborted.
    let (done, panics, aborted) = context.sync_scope(|| {
        let panicking = Notes(seen.clone());
        (
            gambol::spawn(notes(true)),
            gambol::spawn(async move {
                let _notes = panicking;
                panic!("on purpose");
            }),
            gambol::spawn(notes(false)),
        )
    });
    assert!(done.await.is_ok() && panics.await.is_err());
    aborted.abort();
    assert!(aborted.await.is_err());
    assert_eq!(*seen.lock().unwrap(), [Some(User(1)); 7]);
}

/// How a task is started.
#[derive(Clone, Copy, Debug)]
enum Start {
    Spawn,
    Blocking,
    Local,
    Named,
    Set,
    Handle,
    InTask,
    InBlockOn,
    Overridden,
    OverriddenByNone,
}

#[test]
fn whatever_is_spawned_inherits() {
    use Start::*;
    let current = || Context::current().value::<User>();
    for start in [Spawn, Blocking, Local, Named, Set, Handle, InTask, InBlockOn, Overridden, OverriddenByNone] {
        let context = background().with_value(User(1));
        let other = background().with_value(User(2));
        let seen = gambol::block_on(context.scope(async move {
            match start {
                Spawn => gambol::spawn(async move { current() }).await,
                Blocking => gambol::spawn_blocking(current).await,
                Local => gambol::spawn_local(async move { current() }).await,
                Named => Builder::new().name("named").spawn(async move { current() }).await,
                Set => {
                    let mut set = JoinSet::new();
                    set.spawn(async move { current() });
                    set.join_next().await.unwrap()
                }
                Handle => gambol::runtime::Handle::current().spawn(async move { current() }).await,
                InTask => {
                    gambol::spawn(async move {
                        yield_now().await;
                        gambol::spawn(async move { current() }).await.unwrap()
                    })
                    .await
                }
                InBlockOn => {
                    gambol::spawn(async move {
                        gambol::block_on(async move { gambol::spawn(async move { current() }).await.unwrap() })
                    })
                    .await
                }
                Overridden => Builder::new().context(other).spawn(async move { current() }).await,
                OverriddenByNone => Builder::new().context(background()).spawn(async move { current() }).await,
            }
        }));
        let expected = match start {
            Overridden => Some(User(2)),
            OverriddenByNone => None,
            _ => Some(User(1)),
        };
        assert_eq!(seen.unwrap(), expected, "{start:?}");
        assert_eq!(current(), None, "{start:?}");
    }
}

#[test]
fn a_task_that_runs_on_top_of_a_waiting_one_does_not_see_its_context() {
    // One worker and no more: whoever waits in a `block_on` runs the others on its own stack.
    let runtime = Runtime::builder().workers(1).max_workers(1).build().unwrap();
    let current = || Context::current().value::<User>();
    let seen = runtime.block_on(async move {
        let plain = move || async move {
            let before = current();
            yield_now().await;
            (before, current())
        };
        let outer = background().with_value(User(1)).scope(async move {
            let other = Builder::new().context(background()).spawn(plain());
            let own = Builder::new().context(background().with_value(User(2))).spawn(plain());
            let seen = gambol::block_on(async { (other.await.unwrap(), own.await.unwrap(), current()) });
            (seen, current())
        });
        gambol::spawn(outer).await.unwrap()
    });
    let two = Some(User(2));
    assert_eq!(seen, (((None, None), (two, two), Some(User(1))), Some(User(1))));
}

#[test]
fn local_tasks_do_not_see_each_others_context() {
    let current = || Context::current().value::<User>();
    gambol::block_on(async move {
        let of = |user| background().with_value(User(user));
        let one = of(1).sync_scope(|| {
            gambol::spawn_local(async move {
                for _ in 0..10 {
                    assert_eq!(current(), Some(User(1)));
                    yield_now().await;
                }
                gambol::block_on(async { yield_now().await });
                assert_eq!(current(), Some(User(1)));
            })
        });
        let none = gambol::spawn_local(async move {
            for _ in 0..10 {
                assert_eq!(current(), None);
                yield_now().await;
            }
        });
        of(3)
            .scope(async move {
                none.await.unwrap();
                one.await.unwrap();
                assert_eq!(current(), Some(User(3)));
            })
            .await;
    });
}

/// On a thread that is in a scope around its `block_on`.
#[test]
fn a_local_or_cancelled_task_without_a_context_does_not_see_that_of_its_thread() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let notes = Notes(seen.clone());
    background().with_value(User(1)).sync_scope(|| {
        let runtime = Runtime::builder().workers(1).build().unwrap();
        let local = runtime.block_on(async {
            assert_eq!(Context::current().value(), Some(User(1)));
            let none = || Builder::new().context(background());
            drop(none().spawn(async move {
                let _notes = notes;
                pending::<()>().await
            }));
            let local = none().spawn_local(async {
                yield_now().await;
                Context::current().value::<User>()
            });
            local.await.unwrap()
        });
        assert_eq!(local, None);
        drop(runtime);
        assert_eq!(Context::current().value(), Some(User(1)));
    });
    assert_eq!(*seen.lock().unwrap(), [None]);
}

#[gambol::test]
async fn whoever_is_woken_by_the_end_of_a_task_is_not_in_its_context() {
    struct Sees(Mutex<Vec<Option<User>>>);
    impl Wake for Sees {
        fn wake(self: Arc<Self>) {
            let current = Context::current().value();
            self.0.lock().unwrap().push(current);
        }
    }
    let sees = Arc::new(Sees(Mutex::default()));
    let (context, canceller) = background().with_cancel();
    let context = context.with_value(User(1));
    let mut handle = context.sync_scope(|| gambol::spawn(Context::current().cancelled_owned()));
    let waker = Waker::from(sees.clone());
    until(|| format!("{:?}", context.cancelled()).contains("waiters: 1")).await;
    assert!(pin!(&mut handle).poll(&mut std::task::Context::from_waker(&waker)).is_pending());
    canceller.cancel();
    until(|| !sees.0.lock().unwrap().is_empty()).await;
    assert_eq!(*sees.0.lock().unwrap(), [None]);
    handle.await.unwrap();
}

#[gambol::test]
async fn a_context_is_freed_with_the_future_and_not_with_the_handle() {
    /// How the task ends.
    #[derive(Clone, Copy, Debug)]
    enum Ends {
        AtOnce,
        Later,
        Panics,
        Aborted,
    }
    for ends in [Ends::AtOnce, Ends::Later, Ends::Panics, Ends::Aborted] {
        for named in [false, true] {
            let (counts, drops) = counts();
            let work = async move {
                match ends {
                    Ends::AtOnce => {}
                    Ends::Later => yield_now().await,
                    Ends::Panics => panic!("on purpose"),
                    Ends::Aborted => pending().await,
                }
            };
            let handle = background()
                .with_value(counts)
                .sync_scope(|| if named { Builder::new().name("named").spawn(work) } else { gambol::spawn(work) });
            let abort = handle.abort_handle();
            if let Ends::Aborted = ends {
                abort.abort();
            }
            until(|| drops.load(Ordering::Acquire) == 1).await;
            until(|| handle.is_finished() && abort.is_finished()).await;
            drop(handle);
        }
    }
}

#[gambol::test]
async fn a_value_whose_drop_panics_or_spawns_harms_nobody() {
    #[derive(Clone, Copy)]
    enum Does {
        Panic,
        Spawn,
        Block,
    }
    struct Hostile(Does, Arc<AtomicUsize>);
    impl Drop for Hostile {
        fn drop(&mut self) {
            self.1.fetch_add(1, Ordering::Release);
            match self.0 {
                Does::Panic => panic!("on purpose"),
                Does::Spawn => drop(gambol::spawn(async {})),
                Does::Block => gambol::block_on(gambol::spawn(async {
                    assert!(Context::current().value::<Arc<Hostile>>().is_none())
                }))
                .unwrap(),
            }
        }
    }
    for does in [Does::Panic, Does::Spawn, Does::Block] {
        let drops = Arc::new(AtomicUsize::new(0));
        let value = Arc::new(Hostile(does, drops.clone()));
        let handle = Builder::new().context(background().with_value(value)).spawn(async { 5 });
        assert_eq!(handle.await.unwrap(), 5);
        until(|| drops.load(Ordering::Acquire) == 1).await;
    }
}

// ---- size

const MANY: usize = 100_000;

#[test]
fn a_wide_tree_ends_and_goes() {
    let (top, canceller) = background().with_cancel();
    let children: Vec<Context> = (0..MANY).map(|_| top.with_cancel().0).collect();
    canceller.cancel();
    assert!(children.iter().all(Context::is_cancelled));
    drop(children);
    let (top, _canceller) = background().with_cancel();
    drop((0..MANY).map(|_| top.with_cancel().0).collect::<Vec<_>>());
    assert!(format!("{:?}", top.cancelled()).contains("children: 0"));
}

/// What the links of a chain are.
#[derive(Clone, Copy, Debug)]
enum Links {
    Cancel,
    Values,
    Deadlines,
    Mixed,
}

#[test]
fn a_deep_chain_ends_and_goes_on_a_small_stack() {
    for links in [Links::Cancel, Links::Values, Links::Deadlines, Links::Mixed] {
        for cancel in [false, true] {
            for keep_all in [false, true] {
                let small = thread::Builder::new().stack_size(64 << 10);
                small.spawn(move || chain(links, cancel, keep_all)).unwrap().join().unwrap();
            }
        }
    }
}

fn chain(links: Links, cancel: bool, keep_all: bool) {
    let (top, canceller) = background().with_cancel();
    let (counts, drops) = counts();
    let far = Instant::now() + PATIENCE * 100;
    let (mut kept, mut last) = (Vec::new(), top.with_value(counts));
    for n in 0..MANY {
        last = match links {
            Links::Cancel => last.with_cancel().0,
            Links::Values => last.with_value(n),
            Links::Deadlines => last.with_deadline(far - Duration::from_micros(n as u64)),
            Links::Mixed if n % 3 == 0 => last.with_value(n),
            Links::Mixed => last.with_cancel().0,
        };
        if keep_all {
            kept.push(last.clone());
        }
    }
    if cancel {
        canceller.cancel();
    }
    assert_eq!(last.is_cancelled(), cancel, "{links:?}");
    drop(last);
    drop(kept);
    assert_eq!(drops.load(Ordering::Acquire), 1, "{links:?}");
}

// ---- races

/// What happens to the tree while others are born.
#[derive(Clone, Copy, Debug)]
enum Meanwhile {
    Cancel,
    Deadline,
    DropParent,
}

#[test]
fn a_child_that_is_born_during_an_end_is_not_missed() {
    for meanwhile in [Meanwhile::Cancel, Meanwhile::Deadline, Meanwhile::DropParent] {
        let rounds = if let Meanwhile::Deadline = meanwhile { 200 } else { 2000 };
        for round in 0..rounds {
            born_during(meanwhile, round);
        }
    }
}

fn born_during(meanwhile: Meanwhile, round: usize) {
    let (top, canceller) = background().with_cancel();
    let parent = match meanwhile {
        Meanwhile::Deadline => top.with_timeout(Duration::from_micros(50)),
        _ => top.with_cancel().0,
    };
    let barrier = Barrier::new(2);
    thread::scope(|scope| {
        let (births, own, barrier) = (parent.clone(), parent, &barrier);
        let born = scope.spawn(move || {
            barrier.wait();
            let mut born = Vec::new();
            while born.len() < 20 + round % 7 {
                let child = births.with_cancel().0;
                born.push(if born.len() % 2 == 0 { child.with_timeout(PATIENCE * 2) } else { child });
                if born.len() % 5 == 0 {
                    born.swap_remove(0);
                    born.push(births.with_value(1).with_cancel().0);
                }
            }
            born
        });
        barrier.wait();
        match meanwhile {
            Meanwhile::Deadline => drop(own),
            Meanwhile::Cancel => {
                canceller.cancel();
                assert!(own.is_cancelled());
            }
            Meanwhile::DropParent => {
                drop(own);
                canceller.cancel();
            }
        }
        let born = born.join().unwrap();
        if let Meanwhile::Deadline = meanwhile {
            wait_until(|| born.iter().all(Context::is_cancelled));
        }
        assert!(born.iter().all(Context::is_cancelled), "{meanwhile:?} {round}");
    });
    drop(canceller);
    // Whoever calls for the deadline may have the parent in his hand still.
    wait_until(|| format!("{:?}", top.cancelled()).contains("children: 0"));
}

#[test]
fn tasks_that_are_spawned_while_their_context_ends_all_end() {
    const ROUNDS: usize = 1000;
    let runtime = Runtime::builder().workers(2).build().unwrap();
    for round in 0..ROUNDS {
        let (context, canceller) = background().with_cancel();
        let ends = thread::spawn(move || canceller.cancel_with("enough"));
        let causes = runtime.block_on(context.scope(async move {
            let mut set = JoinSet::new();
            for n in 0..10 {
                set.spawn(async move {
                    let (child, _canceller) = Context::current().with_cancel();
                    if n % 2 == 0 {
                        child.cancelled().await;
                        child.cause().unwrap()
                    } else {
                        child.run(pending::<()>()).await.unwrap_err()
                    }
                });
            }
            timeout(PATIENCE, set.join_all()).await.unwrap_or_else(|_| panic!("somebody was missed in round {round}"))
        }));
        assert!(causes.into_iter().all(|cause| cause.unwrap().to_string() == "enough"));
        ends.join().unwrap();
    }
}

#[test]
fn waiting_giving_up_and_ending_at_once_harm_nobody() {
    let runtime = Runtime::builder().workers(2).build().unwrap();
    for round in 0..500_u64 {
        let (context, canceller) = background().with_cancel();
        let ends = thread::spawn(move || {
            for _ in 0..round % 50 {
                std::hint::spin_loop();
            }
            canceller.cancel();
        });
        runtime.block_on(async {
            let mut set = JoinSet::new();
            for polls in 0..8 {
                let context = context.clone();
                set.spawn(async move {
                    while at_most(polls, context.cancelled()).await.is_none() {
                        if polls == 0 && context.is_cancelled() {
                            break;
                        }
                        yield_now().await;
                    }
                });
            }
            assert!(timeout(PATIENCE, set.join_all()).await.unwrap().iter().all(Result::is_ok));
        });
        ends.join().unwrap();
        assert!(format!("{:?}", context.cancelled()).contains("waiters: 0"));
    }
}

#[test]
fn many_deadlines_and_cancels_leave_no_timer_and_no_value_behind() {
    let runtime = Runtime::builder().workers(2).build().unwrap();
    let (counts, drops) = counts();
    let top = background().with_value(counts);
    runtime.block_on(async {
        let mut set = JoinSet::new();
        for n in 0..2000_u64 {
            let (context, canceller) = top.with_timeout(Duration::from_micros(n % 500)).with_cancel();
            set.spawn(async move {
                match n % 3 {
                    0 => context.cancelled().await,
                    1 => canceller.cancel(),
                    _ => drop(context.run(sleep(Duration::from_micros(n % 300))).await),
                }
            });
        }
        assert!(timeout(PATIENCE, set.join_all()).await.unwrap().iter().all(Result::is_ok));
    });
    drop(top);
    wait_until(|| drops.load(Ordering::Acquire) == 1);
    let metrics = runtime.metrics();
    assert_eq!(metrics.timers_armed(), metrics.timers_cancelled() + metrics.timers_fired());
}

// ---- causes

#[test]
fn a_cause_says_what_it_is() {
    let own = || io::Error::new(io::ErrorKind::NotFound, "gone");
    let boxed: Box<dyn Error + Send + Sync> = Box::new(own());
    let customs = [Cause::from("text"), Cause::from(String::from("text")), Cause::new("text")];
    for cause in customs.clone() {
        assert!(!cause.is_timeout() && !cause.is_cancelled());
        assert_eq!(cause.to_string(), "text");
    }
    for cause in [Cause::from(own()), Cause::from(boxed)] {
        assert_eq!(cause.clone().downcast_ref::<io::Error>().unwrap().kind(), io::ErrorKind::NotFound);
        assert_eq!(cause.to_string(), "gone");
    }
    let (cancelled, late) = (Cause::cancelled(), Cause::deadline_exceeded());
    assert!(cancelled.is_cancelled() && !cancelled.is_timeout() && cancelled.get_ref().is_none());
    assert!(late.is_timeout() && !late.is_cancelled() && late.source().is_none());
    assert_eq!(cancelled.to_string(), "the context was cancelled");
    assert_eq!(late.to_string(), "the context's deadline has come");
    assert_eq!(io::Error::from(late).kind(), io::ErrorKind::TimedOut);
    assert_eq!(io::Error::from(cancelled).kind(), io::ErrorKind::Other);
    let [custom, ..] = customs;
    let error = io::Error::from(custom);
    assert_eq!((error.kind(), error.to_string().as_str()), (io::ErrorKind::Other, "text"));
}

#[test]
fn a_deadline_ends_all_below_with_the_cause_that_was_given() {
    let own = || io::Error::new(io::ErrorKind::NotFound, "no hotel answers");
    let (soon, passed) = (Duration::from_millis(3), Instant::now());
    let ends = |context: &Context| {
        wait_until(|| context.is_cancelled());
        context.cause().unwrap()
    };
    for context in [
        background().with_timeout_cause(soon, own()),
        background().with_timeout(PATIENCE * 3).with_deadline_cause(Instant::now() + soon, own()),
        background().with_deadline_cause(passed, own()),
        background().with_timeout_cause(Duration::ZERO, own()),
    ] {
        let below =
            [context.clone(), context.with_cancel().0, context.with_timeout_cause(PATIENCE, "another").with_value(1)];
        for cause in below.iter().map(ends) {
            assert!(cause.is_timeout() && !cause.is_cancelled());
            assert_eq!(cause.to_string(), "no hotel answers");
            assert_eq!(cause.downcast_ref::<io::Error>().unwrap().kind(), io::ErrorKind::NotFound);
            assert!(format!("{cause:?}").starts_with("Cause(\"deadline exceeded\", "), "{cause:?}");
            let error = io::Error::from(cause);
            assert_eq!((error.kind(), error.to_string().as_str()), (io::ErrorKind::TimedOut, "no hotel answers"));
        }
    }
    // Whatever ends it before has its own cause.
    let (parent, canceller) = background().with_cancel();
    let child = parent.with_timeout_cause(PATIENCE, "too late");
    canceller.cancel();
    assert!(child.cause().unwrap().is_cancelled());
    assert!(parent.with_timeout_cause(Duration::ZERO, "too late").cause().unwrap().is_cancelled());
    let parent = background().with_timeout_cause(soon, "the parent's");
    assert_eq!(ends(&parent.with_timeout_cause(PATIENCE, "the child's")).to_string(), "the parent's");
    assert_eq!(background().with_timeout_cause(Duration::MAX, "never").deadline(), None);
    // What says nothing of its own is the usual cause.
    for cause in [Cause::cancelled(), Cause::deadline_exceeded()] {
        let cause = background().with_deadline_cause(passed, cause).cause().unwrap();
        assert!(cause.is_timeout() && !cause.is_cancelled() && cause.get_ref().is_none());
    }
}

#[test]
fn everything_can_go_to_other_threads() {
    fn check<T: Send + Sync + 'static>() {}
    check::<Context>();
    check::<Canceller>();
    check::<Cause>();
    check::<gambol::context::CancelledOwned>();
    check::<gambol::context::Run<std::future::Ready<()>>>();
}
