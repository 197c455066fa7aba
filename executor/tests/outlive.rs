//! What outlives its runtime completes or gives an error; it never hangs. And runtimes that come and go leave nothing.
#![cfg(target_os = "linux")]

mod common;

use common::{capped, ends, event, pair, read, runtime, yield_now};
use gambol_executor::{Direction, Io, Reason, Runtime, Sleep, block_on, spawn};
use std::{
    cell::RefCell,
    fs,
    future::{Future, pending, poll_fn},
    io::Write,
    net::TcpStream,
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    task::{Context, Wake, Waker},
    thread,
    time::{Duration, Instant},
};

const MILLI: Duration = Duration::from_millis(1);

#[derive(Clone, Copy, Debug)]
enum Under {
    AnotherRuntime,
    AnotherExecutor,
}

#[test]
fn a_sleep_that_outlives_its_runtime_completes_and_is_not_early() {
    for under in [Under::AnotherRuntime, Under::AnotherExecutor] {
        for armed in [false, true] {
            ends(&format!("{under:?}, armed {armed}"), move || {
                let first = runtime(1);
                let start = Instant::now();
                let mut kept = None;
                first.block_on(async {
                    let sleep = kept.insert(Sleep::new(20 * MILLI));
                    if armed {
                        assert!(futures::poll!(sleep).is_pending());
                    }
                });
                drop(first);
                let sleep = kept.unwrap();
                match under {
                    Under::AnotherRuntime => runtime(1).block_on(sleep),
                    Under::AnotherExecutor => futures::executor::block_on(sleep),
                }
                assert!(start.elapsed() >= 20 * MILLI);
            });
        }
    }
}

#[test]
fn a_read_that_outlives_its_runtime_gives_an_error() {
    for under in [Under::AnotherRuntime, Under::AnotherExecutor] {
        for waiting in [false, true] {
            ends(&format!("{under:?}, waiting {waiting}"), move || {
                let first = runtime(1);
                let (io, _peer) = first.block_on(async { pair() });
                let (io, barrier) = (Arc::new(io), Arc::new(Barrier::new(2)));
                let reader = thread::spawn({
                    let (io, barrier) = (io.clone(), barrier.clone());
                    move || {
                        if !waiting {
                            barrier.wait();
                        }
                        let reading = async {
                            let mut reading = std::pin::pin!(read(&io));
                            if waiting {
                                assert!(futures::poll!(reading.as_mut()).is_pending());
                                barrier.wait();
                            }
                            reading.await
                        };
                        match under {
                            Under::AnotherRuntime => runtime(1).block_on(reading),
                            Under::AnotherExecutor => futures::executor::block_on(reading),
                        }
                    }
                });
                if waiting {
                    barrier.wait();
                    drop(first);
                } else {
                    drop(first);
                    barrier.wait();
                }
                assert!(reader.join().unwrap().is_err());
            });
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Place {
    OwnTask,
    OwnPool,
    OtherTask,
    OtherBlockOn,
}

#[test]
fn a_runtime_may_be_dropped_anywhere() {
    for workers in [1, 2] {
        for place in [Place::OwnTask, Place::OwnPool, Place::OtherTask, Place::OtherBlockOn] {
            ends(&format!("{place:?}, {workers} workers"), move || {
                let inner = runtime(workers);
                let handle = inner.handle().clone();
                let left: Vec<_> = (0..100).map(|_| inner.spawn(pending::<()>())).collect();
                match place {
                    Place::OwnTask => drop(handle.spawn(async move { drop(inner) })),
                    Place::OwnPool => drop(handle.spawn_blocking(move || drop(inner))),
                    Place::OtherTask => {
                        let outer = runtime(1);
                        outer.block_on(outer.spawn(async move { drop(inner) })).unwrap();
                    }
                    Place::OtherBlockOn => runtime(1).block_on(async move { drop(inner) }),
                }
                for task in left {
                    assert!(futures::executor::block_on(task).unwrap_err().is_cancelled());
                }
                let metrics = || handle.metrics();
                while metrics().tasks_spawned() != metrics().tasks_finished() {
                    thread::yield_now();
                }
                assert!(futures::executor::block_on(handle.spawn(async {})).unwrap_err().is_cancelled());
                assert!(futures::executor::block_on(handle.spawn_blocking(|| ())).unwrap_err().is_cancelled());
            });
        }
    }
}

#[test]
fn a_poll_that_never_ends_is_left_behind_at_the_deadline() {
    ends("shutdown beside a loop", || {
        let runtime = runtime(2);
        let (tx, rx) = mpsc::channel();
        let go = Arc::new(AtomicBool::new(false));
        let stop = go.clone();
        drop(runtime.spawn(async move {
            tx.send(()).unwrap();
            while !stop.load(SeqCst) {
                std::hint::spin_loop();
            }
        }));
        let parked = runtime.spawn(pending::<()>());
        rx.recv().unwrap();
        let start = Instant::now();
        assert!(runtime.shutdown(50 * MILLI).is_err());
        assert!(start.elapsed() >= 50 * MILLI);
        assert!(futures::executor::block_on(parked).unwrap_err().is_cancelled());
        go.store(true, SeqCst);
    });
}

#[test]
fn what_a_poll_that_was_left_behind_spawns_is_cancelled() {
    for (workers, is_marked) in [(1, true), (2, true), (1, false), (2, false)] {
        ends(&format!("a late spawn, {workers} workers, marked {is_marked}"), move || {
            let threshold = if is_marked { MILLI } else { Duration::MAX };
            let runtime = Runtime::builder().workers(workers).stall_threshold(threshold).build().unwrap();
            let (begun, has_begun) = mpsc::channel();
            let (go, may_go) = mpsc::channel::<()>();
            let (tell, told) = mpsc::channel();
            let (end, may_end) = mpsc::channel::<()>();
            let task = runtime.spawn(async move {
                // For somebody else to run, so that the worker is found stuck.
                let other = spawn(async {});
                begun.send(()).unwrap();
                may_go.recv().unwrap();
                tell.send(spawn(pending::<()>())).unwrap();
                let _ = may_end.recv();
                drop(other);
            });
            has_begun.recv().unwrap();
            while is_marked && runtime.metrics().stalls() == 0 {
                thread::yield_now();
            }
            assert!(runtime.shutdown(Duration::ZERO).is_err());
            go.send(()).unwrap();
            assert!(block_on(told.recv().unwrap()).unwrap_err().is_cancelled());
            end.send(()).unwrap();
            let _ = block_on(task);
        });
    }
}

#[test]
fn a_storm_of_wakes_before_during_and_after_a_tasks_end_is_harmless() {
    for workers in [1, 2] {
        ends("wakes from 8 threads", move || {
            let runtime = runtime(workers);
            let polls = Arc::new(AtomicUsize::new(0));
            let (tx, rx) = mpsc::channel::<Waker>();
            let (counted, enough) = (polls.clone(), 1_000);
            let task = runtime.spawn(poll_fn(move |cx| {
                if counted.fetch_add(1, SeqCst) == 0 {
                    tx.send(cx.waker().clone()).unwrap();
                }
                if counted.load(SeqCst) < enough { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
            }));
            let waker = rx.recv().unwrap();
            let clones = vec![waker.clone(); 1_000_000];
            let stop = Arc::new(AtomicBool::new(false));
            thread::scope(|scope| {
                for _ in 0..8 {
                    let (waker, stop) = (waker.clone(), stop.clone());
                    scope.spawn(move || {
                        while !stop.load(SeqCst) {
                            waker.wake_by_ref();
                        }
                    });
                }
                runtime.block_on(task).unwrap();
                drop(runtime);
                stop.store(true, SeqCst);
            });
            assert_eq!(polls.load(SeqCst), enough);
            clones.into_iter().for_each(Waker::wake);
            assert_eq!(polls.load(SeqCst), enough);
        });
    }
}

#[test]
fn spawn_and_sleep_work_in_the_destructors_of_thread_locals() {
    struct AtExit(RefCell<Option<mpsc::Sender<()>>>);
    impl Drop for AtExit {
        fn drop(&mut self) {
            let Some(tx) = self.0.take() else { return };
            block_on(async {
                Sleep::new(MILLI).await;
                spawn(async move {
                    Sleep::new(MILLI).await;
                    tx.send(()).unwrap();
                })
                .await
                .unwrap();
            });
        }
    }
    thread_local!(static LATE: AtExit = const { AtExit(RefCell::new(None)) });
    for used_before in [false, true] {
        ends("a destructor", move || {
            let (tx, rx) = mpsc::channel();
            thread::spawn(move || {
                if !used_before {
                    LATE.with(|late| late.0.replace(Some(tx.clone())));
                }
                // What the runtime keeps for this thread is destroyed before or after the guard, as they were first used.
                block_on(async { spawn(yield_now()).await.unwrap() });
                if used_before {
                    LATE.with(|late| late.0.replace(Some(tx)));
                }
            })
            .join()
            .unwrap();
            rx.recv().unwrap();
        });
    }
}

fn entries(path: &str) -> usize {
    fs::read_dir(path).unwrap().count()
}

fn resident() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// In a process of its own: other tests have threads and descriptors too.
#[test]
fn a_thousand_runtimes_in_sequence_leave_no_thread_descriptor_or_memory() {
    const CHILD: &str = "GAMBOL_TEST_THOUSAND";
    if std::env::var_os(CHILD).is_none() {
        let name = "a_thousand_runtimes_in_sequence_leave_no_thread_descriptor_or_memory";
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        let status = child.args(["--exact", name]).env(CHILD, "1").status().unwrap();
        return assert!(status.success());
    }
    let once = || {
        let runtime = Runtime::builder().workers(2).build().unwrap();
        runtime.block_on(async {
            let (io, peer) = pair();
            let (signal, event) = event();
            spawn(async move {
                Sleep::new(Duration::from_micros(10)).await;
                signal.send();
            });
            event.await;
            drop(peer);
            assert_eq!(read(&io).await.unwrap(), 0);
        });
    };
    (0..100).for_each(|_| once());
    let before = (entries("/proc/self/task"), entries("/proc/self/fd"), resident());
    (0..1_000).for_each(|_| once());
    let after = (entries("/proc/self/task"), entries("/proc/self/fd"), resident());
    assert!(after.0 <= before.0 + 1 && after.1 <= before.1, "{before:?} {after:?}");
    assert!(after.2 < before.2 + (8 << 20), "{before:?} {after:?}");
}

/// Says that it is being dropped, and waits until it is told to go on.
struct Drops(mpsc::Sender<()>, Option<futures::channel::oneshot::Receiver<()>>);

impl Drop for Drops {
    fn drop(&mut self) {
        let _ = self.0.send(());
        let _ = block_on(self.1.take().unwrap());
    }
}

/// Who holds up whoever wakes a batch.
#[derive(Clone, Copy, Debug)]
enum First {
    /// A task of a runtime that is being shut down: to wake it may drop its future, there and then.
    LateTask,
    ForeignWaker,
}

impl Wake for Drops {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn a_wake_that_blocks_does_not_hold_up_the_rest_of_its_batch() {
    for first in [First::LateTask, First::ForeignWaker] {
        for cap in [false, true] {
            ends(&format!("the rest behind {first:?}, cap {cap}"), move || {
                let ours = if cap { capped(1) } else { runtime(2) };
                let other = runtime(1);
                let (io, mut peer) = ours.block_on(async { pair() });
                let io = Arc::new(io);
                let news = |io: Arc<Io<TcpStream>>| async move {
                    poll_fn(|cx| io.poll_ready(cx, Direction::Read, Reason::Read)).await.unwrap();
                };

                // Holds up the shutdown while it cancels: its timer is fired just before.
                let (begun, is_begun) = mpsc::channel();
                let (release, released) = futures::channel::oneshot::channel();
                let guard = Drops(begun, Some(released));
                other.spawn(async move {
                    let _guard = guard;
                    Sleep::new(Duration::from_secs(1000)).await;
                });
                // Two who wait for the same event, in this order.
                let (blocks, does_block) = mpsc::channel();
                let (tell, told) = futures::channel::oneshot::channel();
                let (guard, waiting) = (Drops(blocks, Some(told)), news(io.clone()));
                match first {
                    First::LateTask => {
                        other.spawn(async move {
                            let _guard = guard;
                            waiting.await;
                        });
                        parks(&other, 2);
                    }
                    First::ForeignWaker => {
                        // What it does, it does when its last handle is dropped, which is by the wake.
                        let waker = Waker::from(Arc::new(guard));
                        let mut waiting = Box::pin(waiting);
                        assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
                        parks(&other, 1);
                    }
                }
                let waiting = news(io.clone());
                let behind = ours.spawn(async move {
                    waiting.await;
                    tell.send(()).unwrap();
                });
                parks(&ours, 1);

                let closing = thread::spawn(move || drop(other));
                is_begun.recv().unwrap();
                peer.write_all(b"x").unwrap();
                does_block.recv().unwrap();
                block_on(behind).unwrap();
                release.send(()).unwrap();
                closing.join().unwrap();
            });
        }
    }
}

/// Waits until so many tasks are Pending.
fn parks(runtime: &Runtime, tasks: usize) {
    while runtime.handle().parked_tasks().len() < tasks {
        thread::yield_now();
    }
}
