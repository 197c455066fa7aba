//! However a task ends, it ends alone: panics wherever they come from, and aborts at whatever moment.

mod common;

use common::{TakeWaker, ends, event, runtime, yield_now};
use gambol_executor::{Runtime, Sleep, block_in_place, block_on};
use std::{
    future::{Future, pending, poll_fn},
    mem::ManuallyDrop,
    panic::{AssertUnwindSafe, catch_unwind, panic_any},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    task::{Context, Poll, RawWaker, RawWakerVTable, Wake, Waker},
    thread,
    time::Duration,
};

const HOUR: Duration = Duration::from_secs(3600);

/// Counts its drop, then panics if it is to.
struct Drops(Arc<AtomicUsize>, bool);

impl Drop for Drops {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
        if self.1 && !thread::panicking() {
            panic_any(Bomb(self.0.clone(), false));
        }
    }
}

/// A panic's payload, whose own drop panics too.
struct Bomb(Arc<AtomicUsize>, bool);

impl Drop for Bomb {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
        if !self.1 && !thread::panicking() {
            panic_any(Bomb(self.0.clone(), true));
        }
    }
}

fn is_well(runtime: &Runtime) {
    for _ in 0..10 {
        assert_eq!(
            runtime
                .block_on(runtime.spawn(async {
                    yield_now().await;
                    1
                }))
                .unwrap(),
            1
        );
    }
    while runtime.metrics().tasks_live() > 0 {
        thread::yield_now();
    }
}

#[test]
fn a_panic_ends_its_task_alone() {
    for workers in [1, 2] {
        ends("panics in poll", move || {
            let hooked = Arc::new(AtomicUsize::new(0));
            let count = hooked.clone();
            let runtime = Runtime::builder()
                .workers(workers)
                .on_task_panic(move |_, _| {
                    count.fetch_add(1, SeqCst);
                    panic!("in the hook");
                })
                .on_thread_start(|| panic!("in the hook"))
                .on_thread_stop(|| panic!("in the hook"))
                .build()
                .unwrap();
            let drops = Arc::new(AtomicUsize::new(0));
            for polls in 0..3 {
                let guard = Drops(drops.clone(), false);
                let task = runtime.spawn(async move {
                    let _guard = guard;
                    for _ in 0..polls {
                        yield_now().await;
                    }
                    panic!("on purpose");
                });
                let error = runtime.block_on(task).unwrap_err();
                assert!(error.is_panic());
                assert_eq!(*error.into_panic().downcast_ref::<&str>().unwrap(), "on purpose");
            }
            assert_eq!((drops.load(SeqCst), hooked.load(SeqCst)), (3, 3));
            is_well(&runtime);
            assert_eq!(runtime.metrics().tasks_panicked(), 3);
        });
    }
}

#[derive(Clone, Copy, Debug)]
enum Bombed {
    Poll,
    DropOnAbort,
    DropOnShutdown,
    DropWhenDone,
    Output,
    OutputOfAJob,
    Job,
}

#[test]
fn a_panic_in_any_drop_stays_inside_its_task() {
    use Bombed::*;
    for workers in [1, 2] {
        for bombed in [Poll, DropOnAbort, DropOnShutdown, DropWhenDone, Output, OutputOfAJob, Job] {
            ends(&format!("{bombed:?} with {workers} workers"), move || {
                let runtime = runtime(workers);
                let drops = Arc::new(AtomicUsize::new(0));
                let defused = matches!(bombed, Poll | Job);
                let bomb = Drops(drops.clone(), !defused);
                let payload = drops.clone();
                match bombed {
                    Poll => drop(runtime.spawn(async move {
                        let _bomb = bomb;
                        panic_any(Bomb(payload, false));
                    })),
                    DropOnAbort => {
                        let (tx, rx) = mpsc::channel();
                        let task = runtime.spawn(async move {
                            let _bomb = bomb;
                            tx.send(()).unwrap();
                            pending::<()>().await
                        });
                        rx.recv().unwrap();
                        task.abort();
                        assert!(runtime.block_on(task).unwrap_err().is_cancelled());
                    }
                    DropOnShutdown => drop(runtime.spawn(async move {
                        let _bomb = bomb;
                        pending::<()>().await
                    })),
                    DropWhenDone => drop(runtime.spawn(async move {
                        let _bomb = bomb;
                    })),
                    Output => drop(runtime.spawn(async move { bomb })),
                    OutputOfAJob => drop(runtime.spawn_blocking(move || bomb)),
                    Job => drop(runtime.spawn_blocking(move || {
                        let _bomb = bomb;
                        panic_any(Bomb(payload, false))
                    })),
                }
                if !matches!(bombed, DropOnShutdown) {
                    is_well(&runtime);
                }
                drop(runtime);
                // The output of a job may still be on its way out.
                while drops.load(SeqCst) == 0 {
                    thread::yield_now();
                }
            });
        }
    }
}

fn hostile() -> Waker {
    static VTABLE: RawWakerVTable = RawWakerVTable::new(
        |_| RawWaker::new(std::ptr::null(), &VTABLE),
        |_| panic!("a hostile waker"),
        |_| panic!("a hostile waker"),
        |_| {},
    );
    // SAFETY: the waker holds nothing.
    unsafe { Waker::new(std::ptr::null(), &VTABLE) }
}

#[test]
fn a_foreign_waker_that_panics_when_a_timer_wakes_it_hurts_nobody() {
    for workers in [1, 2] {
        ends("hostile wakers", move || {
            let runtime = runtime(workers);
            runtime.block_on(async {
                let mut sleeps: Vec<_> = (0..100).map(|_| Sleep::new(Duration::from_millis(2))).collect();
                for (i, sleep) in sleeps.iter_mut().enumerate() {
                    // The slow machine's may have come due already.
                    let _ = if i % 2 == 0 {
                        Pin::new(sleep).poll(&mut Context::from_waker(&hostile()))
                    } else {
                        poll_fn(|cx| Poll::Ready(Pin::new(&mut *sleep).poll(cx))).await
                    };
                }
                for sleep in sleeps {
                    sleep.await;
                }
            });
            is_well(&runtime);
        });
    }
}

/// A waker that panics when it is cloned, or when it is dropped. It wakes nobody.
#[derive(Clone, Copy, Debug)]
enum Bad {
    Clone,
    Drop,
}

fn bad(bad: Bad) -> ManuallyDrop<Waker> {
    static CLONE: RawWakerVTable = RawWakerVTable::new(|_| panic!("a hostile clone"), |_| {}, |_| {}, |_| {});
    static DROP: RawWakerVTable =
        RawWakerVTable::new(|_| RawWaker::new(std::ptr::null(), &DROP), |_| {}, |_| {}, |_| panic!("a hostile drop"));
    let vtable = match bad {
        Bad::Clone => &CLONE,
        Bad::Drop => &DROP,
    };
    // SAFETY: the waker holds nothing.
    ManuallyDrop::new(unsafe { Waker::new(std::ptr::null(), vtable) })
}

fn poll_with(sleep: &mut Sleep, waker: &Waker) -> Poll<()> {
    Pin::new(sleep).poll(&mut Context::from_waker(waker))
}

#[test]
fn a_foreign_waker_that_panics_as_it_is_replaced_leaves_no_timer_behind() {
    for kind in [Bad::Clone, Bad::Drop] {
        ends(&format!("{kind:?}"), move || {
            let runtime = runtime(1);
            // Not on a worker, which keeps a cancelled timer for a moment.
            runtime.block_on(async {
                let mut sleep = Sleep::new(HOUR);
                let bad = bad(kind);
                let (first, second) = match kind {
                    Bad::Clone => (Waker::noop(), &*bad),
                    Bad::Drop => (&*bad, Waker::noop()),
                };
                assert!(poll_with(&mut sleep, first).is_pending());
                let polled = catch_unwind(AssertUnwindSafe(|| poll_with(&mut sleep, second)));
                // Nobody asked for the drop of the one that is not needed.
                assert_eq!(polled.is_err(), matches!(kind, Bad::Clone));
            });
            let metrics = runtime.metrics();
            assert_eq!((metrics.timers_armed(), metrics.timers_cancelled()), (1, 1));
        });
    }
}

#[test]
fn a_foreign_waker_that_panics_as_its_timer_is_taken_out_hurts_nobody() {
    ends("a hostile drop", || {
        let runtime = runtime(1);
        let task = runtime.spawn(async {
            poll_fn(|cx| {
                let (mut one, mut other) = (Sleep::new(HOUR), Sleep::new(HOUR));
                assert!(poll_with(&mut one, &bad(Bad::Drop)).is_pending());
                drop(one);
                // The same turn: the worker still keeps it.
                assert!(poll_with(&mut other, cx.waker()).is_pending());
                Poll::Ready(())
            })
            .await
        });
        runtime.block_on(task).unwrap();
    });
}

#[test]
fn a_detached_task_whose_wakers_are_gone_lives_until_its_abort_or_its_runtimes_end() {
    for abort in [false, true] {
        ends("nobody holds a waker", move || {
            let runtime = runtime(2);
            let drops = Arc::new(AtomicUsize::new(0));
            let guard = Drops(drops.clone(), false);
            let (tx, rx) = mpsc::channel();
            let task = runtime.spawn(async move {
                let _guard = guard;
                tx.send(()).unwrap();
                pending::<()>().await
            });
            let handle = task.abort_handle();
            drop(task);
            rx.recv().unwrap();
            is_well_but_for(&runtime, 1);
            assert_eq!(drops.load(SeqCst), 0);
            if abort {
                handle.abort();
                is_well(&runtime);
                assert!(handle.is_finished());
            } else {
                drop(runtime);
            }
            assert_eq!(drops.load(SeqCst), 1);
        });
    }
}

fn is_well_but_for(runtime: &Runtime, live: u64) {
    runtime.block_on(runtime.spawn(yield_now())).unwrap();
    while runtime.metrics().tasks_live() > live {
        thread::yield_now();
    }
    assert_eq!(runtime.metrics().tasks_live(), live);
}

#[derive(Clone, Copy, Debug)]
enum At {
    BeforeFirstPoll,
    Running,
    Parked,
    Queued,
    Finished,
}

#[derive(Clone, Copy, Debug)]
enum By {
    JoinHandle,
    HandleMadeBefore,
    HandleMadeAfter,
}

#[test]
fn an_abort_ends_a_task_at_any_moment_by_any_handle() {
    use {At::*, By::*};
    for at in [BeforeFirstPoll, Running, Parked, Queued, Finished] {
        for by in [JoinHandle, HandleMadeBefore, HandleMadeAfter] {
            ends(&format!("{at:?} by {by:?}"), move || abort(at, by));
        }
    }
}

fn abort(at: At, by: By) {
    let runtime = common::capped(1);
    let drops = Arc::new(AtomicUsize::new(0));
    let guard = Drops(drops.clone(), false);
    // Holds the only worker, so that what is behind it stays where it is.
    let hold = |runtime: &Runtime| {
        let (in_tx, in_rx) = mpsc::channel();
        let (out_tx, out_rx) = mpsc::channel::<()>();
        drop(runtime.spawn(async move {
            in_tx.send(()).unwrap();
            let _ = out_rx.recv();
        }));
        in_rx.recv().unwrap();
        out_tx
    };
    let early = matches!(at, At::BeforeFirstPoll).then(|| hold(&runtime));
    let (waker_tx, waker_rx) = mpsc::channel();
    let (running_tx, running_rx) = mpsc::channel();
    let (go_tx, go_rx) = mpsc::channel::<()>();
    let task = runtime.spawn(async move {
        let _guard = guard;
        match at {
            At::Running => {
                running_tx.send(()).unwrap();
                let _ = go_rx.recv();
            }
            At::Finished => return,
            _ => TakeWaker(Some(waker_tx)).await,
        }
        pending::<()>().await
    });
    let mut handle = matches!(by, By::HandleMadeBefore).then(|| task.abort_handle());
    let mut late = None;
    match at {
        At::BeforeFirstPoll => {}
        At::Running => running_rx.recv().unwrap(),
        At::Parked | At::Queued => {
            let waker = waker_rx.recv().unwrap();
            late = Some(hold(&runtime));
            if matches!(at, At::Queued) {
                waker.wake();
            }
        }
        At::Finished => is_well(&runtime),
    }
    match by {
        By::JoinHandle => task.abort(),
        By::HandleMadeBefore => handle.take().unwrap().abort(),
        By::HandleMadeAfter => task.abort_handle().abort(),
    }
    drop((early, late, go_tx));
    let result = runtime.block_on(task);
    match at {
        At::Finished => result.unwrap(),
        _ => assert!(result.unwrap_err().is_cancelled()),
    }
    assert_eq!(drops.load(SeqCst), 1);
    is_well(&runtime);
}

struct Nothing;

impl Wake for Nothing {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn a_sleep_dropped_after_any_number_of_polls_leaves_no_timer() {
    ends("cancellation at every await", || {
        let runtime = runtime(1);
        runtime.block_on(async {
            let waker = Waker::from(Arc::new(Nothing));
            for polls in 0..40 {
                let mut future = Box::pin(async {
                    for i in 0..10 {
                        let far = Sleep::new(Duration::from_secs(100));
                        futures::future::select(Box::pin(yield_now()), far).await;
                        Sleep::new(Duration::from_nanos(i)).await;
                        let (signal, event) = event();
                        signal.send();
                        event.await;
                    }
                });
                for _ in 0..polls {
                    if future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                        break;
                    }
                }
            }
        });
        let metrics = runtime.metrics();
        assert!(metrics.timers_armed() > 0);
        assert_eq!(metrics.timers_armed(), metrics.timers_fired() + metrics.timers_cancelled());
    });
}

#[test]
fn block_in_place_and_block_on_let_a_panic_through() {
    ends("panics further down", || {
        let runtime = runtime(1);
        for nested in [false, true] {
            let task = runtime.spawn(async move {
                if nested { block_on(async { panic!("down there") }) } else { block_in_place(|| panic!("down there")) }
            });
            assert!(runtime.block_on(task).unwrap_err().is_panic());
            is_well(&runtime);
        }
    });
}

#[test]
fn an_abort_is_counted_by_whichever_handle_it_came() {
    ends("the count of aborted tasks", || {
        let runtime = runtime(1);
        for (count, by) in (1..).zip([By::JoinHandle, By::HandleMadeBefore, By::HandleMadeAfter]) {
            let (tx, rx) = mpsc::channel();
            let task = runtime.spawn(TakeWaker(Some(tx)));
            let before = matches!(by, By::HandleMadeBefore).then(|| task.abort_handle());
            rx.recv().unwrap();
            match (by, before) {
                (By::JoinHandle, _) => task.abort(),
                (_, Some(handle)) => handle.abort(),
                (_, None) => task.abort_handle().abort(),
            }
            assert!(runtime.block_on(task).unwrap_err().is_cancelled());
            is_well(&runtime);
            assert_eq!(runtime.metrics().tasks_aborted(), count, "{by:?}");
        }
    });
}
