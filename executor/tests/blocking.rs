//! A task that blocks its thread, with notice or without, holds up nobody: `block_on` and `block_in_place` in tasks, and
//! polls that sit.

mod common;

use common::{TakeWaker, capped, ends, event, pair, read, runtime, yield_now};
use gambol_executor::{Direction, Reason, Runtime, Sleep, block_in_place, block_on, spawn};
use std::{
    future::{Future, pending, poll_fn},
    io::Write,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    task::{Context, Wake, Waker},
    time::{Duration, Instant},
};

const MILLI: Duration = Duration::from_millis(1);

#[test]
fn a_block_on_in_a_task_that_has_slept_ends() {
    for workers in [1, 2, 4] {
        ends("sleep, block_on(sleep), and again", move || {
            let runtime = runtime(workers);
            let task = runtime.spawn(async {
                for _ in 0..50 {
                    Sleep::new(MILLI).await;
                    block_on(Sleep::new(MILLI));
                }
            });
            runtime.block_on(task).unwrap();
        });
    }
}

#[test]
fn a_timer_armed_by_a_worker_that_then_blocks_fires() {
    for workers in [1, 2, 4] {
        ends("a timer of a worker that has stepped out", move || {
            let runtime = runtime(workers);
            for _ in 0..50 {
                let task = runtime.spawn(async {
                    let (tx, rx) = mpsc::channel();
                    spawn(async move {
                        Sleep::new(MILLI).await;
                        tx.send(()).unwrap();
                    });
                    spawn(async move { block_in_place(|| rx.recv().unwrap()) }).await.unwrap();
                });
                runtime.block_on(task).unwrap();
            }
        });
    }
}

#[test]
fn a_timer_armed_by_a_worker_that_then_rests_fires() {
    for workers in [1, 2, 4] {
        ends("a timer of a worker that became a spare", move || {
            let runtime = runtime(workers);
            let task = runtime.spawn(async {
                for _ in 0..50 {
                    // Its place is filled at once, because its ring holds a task.
                    spawn(async {});
                    block_in_place(|| std::thread::sleep(MILLI));
                    Sleep::new(MILLI).await;
                }
            });
            runtime.block_on(task).unwrap();
        });
    }
}

#[test]
fn a_socket_is_served_while_the_worker_that_sat_in_the_poller_blocks() {
    for workers in [1, 2, 4] {
        ends("read, block_on(read), and again", move || {
            let runtime = runtime(workers);
            let (tx, rx) = mpsc::channel::<()>();
            let (io, mut peer) = runtime.block_on(async { pair() });
            let task = runtime.spawn(async move {
                for _ in 0..25 {
                    assert_eq!(read(&io).await.unwrap(), 1);
                    tx.send(()).unwrap();
                    assert_eq!(block_on(read(&io)).unwrap(), 1);
                    tx.send(()).unwrap();
                }
            });
            for _ in 0..50 {
                // The time lets all workers fall asleep, which is what the test is about; its result does not depend on it.
                std::thread::sleep(3 * MILLI);
                peer.write_all(&[1]).unwrap();
                rx.recv().unwrap();
            }
            runtime.block_on(task).unwrap();
        });
    }
}

#[test]
fn a_task_in_the_slot_of_a_stuck_worker_is_run_by_another() {
    ends("the slot of a stuck worker", || {
        let runtime = runtime(2);
        let task = runtime.spawn(async {
            let (waker_tx, waker_rx) = mpsc::channel();
            let (tx, rx) = mpsc::channel();
            spawn(async move {
                TakeWaker(Some(waker_tx)).await;
                tx.send(()).unwrap();
            });
            Sleep::new(5 * MILLI).await;
            waker_rx.recv().unwrap().wake();
            // The worker sits here, and says nothing.
            rx.recv().unwrap();
        });
        runtime.block_on(task).unwrap();
    });
}

#[test]
fn a_block_on_runs_tasks_when_the_last_worker_blocks_after_it() {
    ends("block_on, then block_in_place at the cap", || {
        let runtime = capped(2);
        let (first_in, first_is_in) = mpsc::channel();
        let (second_in, second_is_in) = mpsc::channel();
        let (go_tx, go_rx) = mpsc::channel::<()>();
        let (signal, event) = event();
        let first = runtime.spawn(async move {
            let mut first_in = Some(first_in);
            block_on(async {
                let mut event = event;
                poll_fn(|cx| {
                    let poll = Pin::new(&mut event).poll(cx);
                    if let Some(tx) = first_in.take() {
                        tx.send(()).unwrap();
                    }
                    poll
                })
                .await;
            });
        });
        first_is_in.recv().unwrap();
        let second = runtime.spawn(async move {
            block_in_place(|| {
                second_in.send(()).unwrap();
                go_rx.recv().unwrap();
            });
        });
        second_is_in.recv().unwrap();
        let third = runtime.spawn(async move {
            go_tx.send(()).unwrap();
            signal.send();
        });
        runtime.block_on(async {
            third.await.unwrap();
            second.await.unwrap();
            first.await.unwrap();
        });
    });
}

#[test]
fn block_on_in_a_task_nests_three_deep_and_on_all_workers_at_once_while_others_tick() {
    for (workers, cap) in [(1, false), (2, false), (4, false), (1, true), (2, true), (4, true)] {
        ends("nested block_on on every worker", move || {
            let runtime = if cap { capped(workers) } else { runtime(workers) };
            let stop = Arc::new(AtomicBool::new(false));
            let ticks = Arc::new(AtomicUsize::new(0));
            let tickers: Vec<_> = (0..100)
                .map(|_| {
                    let (stop, ticks) = (stop.clone(), ticks.clone());
                    runtime.spawn(async move {
                        while !stop.load(Ordering::Relaxed) {
                            Sleep::new(MILLI).await;
                            ticks.fetch_add(1, Ordering::Relaxed);
                        }
                    })
                })
                .collect();
            let nested: Vec<_> = (0..2 * workers)
                .map(|_| {
                    runtime.spawn(async {
                        block_on(async {
                            yield_now().await;
                            block_on(async {
                                Sleep::new(MILLI).await;
                                block_on(async { spawn(async { 3 }).await.unwrap() })
                            })
                        })
                    })
                })
                .collect();
            runtime.block_on(async {
                for task in nested {
                    assert_eq!(task.await.unwrap(), 3);
                }
                let before = ticks.load(Ordering::Relaxed);
                while ticks.load(Ordering::Relaxed) < before + 200 {
                    Sleep::new(MILLI).await;
                }
                stop.store(true, Ordering::Relaxed);
                for ticker in tickers {
                    ticker.await.unwrap();
                }
            });
        });
    }
}

/// A task in whose `block_on` there is a task in whose `block_on` there is one, and so on. Between two of them others have time to wake
/// and to lie down again.
fn chain(depth: usize, pause: Duration) -> Pin<Box<dyn Future<Output = usize> + Send>> {
    Box::pin(async move {
        if depth == 0 {
            return 0;
        }
        std::thread::sleep(pause);
        1 + block_on(spawn(chain(depth - 1, pause))).unwrap()
    })
}

#[test]
fn a_chain_of_block_ons_goes_on_at_the_cap() {
    for (workers, depth) in [(1, 30), (2, 30), (4, 60), (1, 60), (2, 120)] {
        for pause in [Duration::ZERO, MILLI] {
            for virtual_time in [false, true] {
                let what =
                    format!("{depth} block_ons on {workers} threads, {pause:?} apart, virtual time {virtual_time}");
                ends(&what, move || {
                    let builder = Runtime::builder().workers(workers).max_workers(workers);
                    let runtime = builder.virtual_time(virtual_time).stall_threshold(Duration::MAX).build().unwrap();
                    let chain = runtime.spawn(chain(depth, pause));
                    assert_eq!(runtime.block_on(chain).unwrap(), depth);
                });
            }
        }
    }
}

/// A task that waits in `block_on`s for two such tasks, down to so many generations.
fn tree(depth: usize) -> Pin<Box<dyn Future<Output = usize> + Send>> {
    Box::pin(async move {
        if depth == 0 {
            return 1;
        }
        let (left, right) = (spawn(tree(depth - 1)), spawn(tree(depth - 1)));
        block_on(left).unwrap() + block_on(right).unwrap()
    })
}

/// As broad as it is, the first one would not stand on the stack of its thread. The others are small enough to: several threads take from
/// each other what is oldest.
#[test]
fn a_tree_of_block_ons_ends_at_the_cap() {
    for (workers, max, depth) in [(1, 1, 12), (1, 4, 9), (2, 16, 10)] {
        ends(&format!("a tree of depth {depth} on {max} threads"), move || {
            let runtime = Runtime::builder().workers(workers).max_workers(max).build().unwrap();
            assert_eq!(runtime.block_on(runtime.spawn(tree(depth))).unwrap(), 1 << depth);
        });
    }
}

/// It looked at more workers than it had counted, and its thread ended with a panic.
#[test]
fn the_monitor_lives_while_workers_are_added() {
    ends("the runtimes", || {
        // With the handles the cores are kept, so that each runtime begins with no places for workers.
        let _handles: Vec<_> = (0..16)
            .map(|_| {
                let runtime = Runtime::builder().workers(2).build().unwrap();
                assert_eq!(runtime.block_on(runtime.spawn(tree(10))).unwrap(), 1 << 10);
                let handle = runtime.handle().clone();
                runtime.shutdown(common::LIMIT / 4).unwrap();
                handle
            })
            .collect();
    });
}

/// A task that waits in a `block_on` for another such task.
fn endless() -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async { drop(block_on(spawn(endless()))) })
}

/// Calls a function, once, when it is woken.
struct Calls(Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl Calls {
    fn waker(call: impl FnOnce() + Send + 'static) -> Waker {
        Waker::from(Arc::new(Calls(Mutex::new(Some(Box::new(call))))))
    }
}

impl Wake for Calls {
    fn wake(self: Arc<Self>) {
        let call = self.0.lock().unwrap().take();
        call.into_iter().for_each(|call| call());
    }
}

#[test]
fn a_waker_that_blocks_where_no_task_can_run_holds_up_none_of_its_batch() {
    for _ in 0..3 {
        ends("the second waker", || {
            let builder = Runtime::builder().workers(1).max_workers(1).stack_size(256 << 10);
            let runtime = builder.stall_threshold(Duration::MAX).build().unwrap();
            let (io, mut peer) = runtime.block_on(async { pair() });
            // Two who wait for the same event, in this order.
            let (signal, event) = event();
            let (tell, told) = mpsc::channel();
            let first = Calls::waker(move || {
                block_on(event);
                tell.send(()).unwrap();
            });
            let second = Calls::waker(move || signal.send());
            let news = || poll_fn(|cx| io.poll_ready(cx, Direction::Read, Reason::Read));
            let mut waits = [Box::pin(news()), Box::pin(news())];
            for (wait, waker) in waits.iter_mut().zip([first, second]) {
                assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            }
            let chain = runtime.spawn(endless());
            // Until the only stack is used up, or not: it holds for both.
            let (mut before, mut polls) = (0, 0);
            while polls == 0 || polls > before {
                std::thread::sleep(20 * MILLI);
                before = std::mem::replace(&mut polls, runtime.metrics().polls());
            }
            peer.write_all(&[1]).unwrap();
            told.recv().unwrap();
            drop(runtime);
            block_on(chain).unwrap();
        });
    }
}

#[test]
fn a_timer_armed_inside_a_block_on_at_the_cap_fires_when_that_goes_on() {
    ends("the timers", || {
        let runtime = capped(2);
        for _ in 0..20 {
            // Who waits in a `block_on` runs tasks, since the other one blocks until it is told.
            let (second_in, second_is_in) = mpsc::channel();
            let (go, may_go) = mpsc::channel::<()>();
            let second = runtime.spawn(async move {
                block_in_place(|| {
                    second_in.send(()).unwrap();
                    may_go.recv().unwrap();
                });
            });
            second_is_in.recv().unwrap();
            let (timer_in, timer_is_in) = mpsc::channel();
            let (arm, may_arm) = mpsc::channel::<()>();
            let (signal, event) = event();
            let first = runtime.spawn(async move {
                let timer = spawn(async move {
                    timer_in.send(()).unwrap();
                    may_arm.recv().unwrap();
                    // Ends the turns inside the `block_on`.
                    signal.send();
                    Sleep::new(5 * MILLI).await;
                });
                block_on(async {
                    event.await;
                    timer.await.unwrap();
                });
            });
            timer_is_in.recv().unwrap();
            // The second one comes back, finds nothing to do, and sits down with no deadline.
            go.send(()).unwrap();
            runtime.block_on(second).unwrap();
            while runtime.metrics().workers_parked() == 0 {
                std::thread::yield_now();
            }
            arm.send(()).unwrap();
            runtime.block_on(first).unwrap();
        }
    });
}

#[test]
fn a_runtime_that_is_dropped_ends_the_block_on_in_its_tasks() {
    for workers in [1, 2] {
        let elapsed = ends("drop beside a block_on", move || {
            let runtime = runtime(workers);
            let (tx, rx) = mpsc::channel();
            drop(runtime.spawn(async move {
                block_on(async {
                    let child = spawn(pending::<()>());
                    tx.send(()).unwrap();
                    assert!(child.await.unwrap_err().is_cancelled());
                });
            }));
            rx.recv().unwrap();
            let start = Instant::now();
            drop(runtime);
            start.elapsed()
        });
        assert!(elapsed < Duration::from_secs(2), "{elapsed:?}: the end waited for what only the end would have ended");
    }
}

#[test]
fn runtimes_nest() {
    ends("a runtime in a task of a runtime", || {
        let outer = runtime(1);
        let task = outer.spawn(async {
            let inner = Runtime::builder().workers(1).build().unwrap();
            let task = inner.spawn(async {
                Sleep::new(MILLI).await;
                spawn(async { 5 }).await.unwrap()
            });
            inner.block_on(task).unwrap()
        });
        assert_eq!(outer.block_on(task).unwrap(), 5);
    });
}
