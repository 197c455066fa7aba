//! Time that stands still while anything can run, and leaps when nothing can.

mod common;

use common::{ends, event, pair, read, yield_now};
use gambol_executor::{
    Builder, Instant, Runtime, Sleep, advance, block_in_place, block_on, spawn, spawn_blocking, spawn_local,
};
use std::{
    cell::Cell,
    io::Write,
    pin::Pin,
    rc::Rc,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

const HOUR: Duration = Duration::from_secs(3600);

/// Virtual, without a seed and with one.
fn runtimes(workers: usize) -> [Builder; 2] {
    let builder = || Builder::new().workers(workers).virtual_time(true);
    [builder(), builder().seed(workers as u64)]
}

/// For every number of workers, without a seed and with one.
fn each<F: Future>(what: &str, test: impl Fn() -> F + Send + Copy + 'static) {
    for workers in [1, 2, 4, 8] {
        for (seeded, builder) in runtimes(workers).into_iter().enumerate() {
            ends(&format!("{what}, {workers} workers, seeded: {seeded}"), move || {
                let runtime = builder.build().unwrap();
                runtime.block_on(test());
            });
        }
    }
}

#[test]
fn an_hour_takes_no_hour_and_is_exact() {
    each("an hour", || async {
        let begin = Instant::now();
        Sleep::new(HOUR).await;
        assert_eq!(begin.elapsed(), HOUR);
        spawn(async move {
            Sleep::new(HOUR).await;
            assert_eq!(begin.elapsed(), 2 * HOUR);
        })
        .await
        .unwrap();
        assert_eq!(begin.elapsed(), 2 * HOUR);
    });
}

#[test]
fn the_clock_begins_at_the_same_moment_each_time() {
    let begin =
        || ends("a runtime", || Builder::new().virtual_time(true).build().unwrap().block_on(async { Instant::now() }));
    assert_eq!(begin(), begin());
}

#[test]
fn deadlines_come_in_their_order_however_many_there_are() {
    each("many deadlines", || async {
        let order = Arc::new(Mutex::new(Vec::new()));
        let tasks: Vec<_> = (0..1000_u64)
            .map(|n| {
                let order = order.clone();
                spawn(async move {
                    let delay = n * 7919 % 1000;
                    Sleep::new(Duration::from_secs(delay)).await;
                    order.lock().unwrap().push(delay);
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert!(order.lock().unwrap().is_sorted());
    });
}

#[test]
fn time_stands_still_while_a_task_yields() {
    each("yields", || async {
        let begin = Instant::now();
        let sleeper = spawn(Sleep::new(Duration::from_nanos(1)));
        for _ in 0..1000 {
            yield_now().await;
        }
        assert_eq!(begin.elapsed(), Duration::ZERO);
        sleeper.await.unwrap();
        assert_eq!(begin.elapsed(), Duration::from_nanos(1));
    });
}

#[test]
fn time_stands_still_while_a_poll_computes() {
    each("a poll computes", || async {
        let sleeper = spawn(Sleep::new(HOUR));
        let begin = Instant::now();
        let (tx, rx) = mpsc::channel();
        thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            tx.send(()).unwrap();
        });
        rx.recv().unwrap();
        assert_eq!(begin.elapsed(), Duration::ZERO);
        assert!(!sleeper.is_finished());
        sleeper.await.unwrap();
    });
}

#[test]
fn a_blocking_job_holds_the_time_until_its_result_has_arrived() {
    each("a blocking job", || async {
        let begin = Instant::now();
        let sleeper = spawn(Sleep::new(HOUR));
        for _ in 0..10 {
            spawn_blocking(|| thread::sleep(Duration::from_millis(3))).await.unwrap();
            assert_eq!(begin.elapsed(), Duration::ZERO);
        }
        sleeper.await.unwrap();
        assert_eq!(begin.elapsed(), HOUR);
    });
}

#[test]
fn a_blocking_job_that_waits_in_block_on_holds_nothing() {
    each("block_on in a job", || async {
        let begin = Instant::now();
        spawn_blocking(|| block_on(Sleep::new(HOUR))).await.unwrap();
        assert_eq!(begin.elapsed(), HOUR);
    });
}

#[test]
fn block_in_place_holds_the_time_and_lets_others_run() {
    each("block_in_place", || async {
        let begin = Instant::now();
        let sleeper = spawn(Sleep::new(HOUR));
        let (tx, rx) = mpsc::channel();
        let blocker = spawn(async move { block_in_place(|| rx.recv().unwrap()) });
        yield_now().await;
        spawn(async move { tx.send(()).unwrap() }).await.unwrap();
        blocker.await.unwrap();
        assert_eq!(begin.elapsed(), Duration::ZERO);
        sleeper.await.unwrap();
        spawn(async { block_in_place(|| block_on(Sleep::new(HOUR))) }).await.unwrap();
        assert_eq!(begin.elapsed(), 2 * HOUR);
    });
}

#[test]
fn a_block_on_inside_a_task_waits_like_a_task() {
    each("block_on in a task", || async {
        let begin = Instant::now();
        let tasks: Vec<_> = (1..=10)
            .map(|n| {
                spawn(async move {
                    block_on(async {
                        Sleep::new(n * HOUR).await;
                        spawn(Sleep::new(HOUR)).await.unwrap();
                    });
                    assert_eq!(begin.elapsed(), (n + 1) * HOUR);
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(begin.elapsed(), 11 * HOUR);
    });
}

/// Waits in a `block_on` for a task that does the same, so deep.
fn nest(depth: u32) -> Pin<Box<dyn Future<Output = u32> + Send>> {
    Box::pin(async move {
        if depth == 0 {
            return 0;
        }
        Sleep::new(HOUR).await;
        block_on(async { spawn(nest(depth - 1)).await.unwrap() }) + 1
    })
}

#[test]
fn tasks_run_though_all_places_for_workers_wait() {
    for seed in [None, Some(1), Some(2)] {
        for workers in [1, 2] {
            ends("at the cap", move || {
                let builder = Builder::new().workers(workers).max_workers(workers).virtual_time(true);
                let runtime = match seed {
                    Some(seed) => builder.seed(seed),
                    None => builder,
                };
                runtime.build().unwrap().block_on(async {
                    let begin = Instant::now();
                    let tasks: Vec<_> = (0..3).map(|_| spawn(nest(3))).collect();
                    for task in tasks {
                        assert_eq!(task.await.unwrap(), 3);
                    }
                    // Longer where one had to wait for another that slept on top of it.
                    assert!((3 * HOUR..=9 * HOUR).contains(&begin.elapsed()), "{:?}", begin.elapsed());
                });
            });
        }
    }
}

#[test]
fn a_pending_socket_holds_the_time() {
    each("a socket", || async {
        let begin = Instant::now();
        let (ours, mut theirs) = pair();
        let sleeper = spawn(Sleep::new(HOUR));
        let writer = thread::spawn(move || {
            thread::sleep(Duration::from_millis(10));
            theirs.write_all(b"x").unwrap();
            theirs
        });
        assert_eq!(read(&ours).await.unwrap(), 1);
        assert_eq!(begin.elapsed(), Duration::ZERO);
        let _theirs = writer.join().unwrap();
        // Nobody waits for it any more.
        sleeper.await.unwrap();
        assert_eq!(begin.elapsed(), HOUR);
    });
}

#[test]
fn a_socket_that_somebody_has_waited_for_holds_nothing() {
    each("a wait that was given up", || async {
        let begin = Instant::now();
        let (ours, _theirs) = pair();
        {
            let mut read = Box::pin(read(&ours));
            assert!(futures::poll!(&mut read).is_pending());
        }
        Sleep::new(HOUR).await;
        assert_eq!(begin.elapsed(), HOUR);
    });
}

#[test]
fn a_thread_in_block_on_that_computes_holds_the_time() {
    for builder in runtimes(2) {
        ends("a computing block_on", move || {
            let runtime = Arc::new(builder.build().unwrap());
            let (begun, computing) = mpsc::channel();
            let (go, may_go) = mpsc::channel::<()>();
            let other = thread::spawn({
                let runtime = runtime.clone();
                move || {
                    runtime.block_on(async {
                        let now = Instant::now();
                        begun.send(()).unwrap();
                        may_go.recv().unwrap();
                        assert_eq!(now.elapsed(), Duration::ZERO);
                    });
                }
            });
            computing.recv().unwrap();
            let sleeper = runtime.spawn(Sleep::new(HOUR));
            thread::sleep(Duration::from_millis(20));
            assert!(!sleeper.is_finished());
            go.send(()).unwrap();
            other.join().unwrap();
            runtime.block_on(sleeper).unwrap();
        });
    }
}

#[test]
fn local_tasks_are_waited_for() {
    each("local tasks", || async {
        let begin = Instant::now();
        let count = Rc::new(Cell::new(0));
        let tasks: Vec<_> = (1..=20)
            .map(|n| {
                let count = count.clone();
                spawn_local(async move {
                    Sleep::new(n * HOUR).await;
                    spawn(yield_now()).await.unwrap();
                    assert_eq!(begin.elapsed(), n * HOUR);
                    count.set(count.get() + 1);
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!((count.get(), begin.elapsed()), (20, 20 * HOUR));
    });
}

#[test]
fn advance_fires_what_is_due_each_at_its_time() {
    each("advance", || async {
        let begin = Instant::now();
        let times = Arc::new(Mutex::new(Vec::new()));
        for n in [3, 1, 2, 5] {
            let times = times.clone();
            drop(spawn(async move {
                Sleep::new(n * HOUR).await;
                times.lock().unwrap().push(begin.elapsed());
                // A chain that takes some turns, and ends in another deadline on the way.
                spawn(yield_now()).await.unwrap();
                Sleep::new(HOUR / 2).await;
                times.lock().unwrap().push(begin.elapsed());
            }));
        }
        advance(3 * HOUR).await;
        assert_eq!(begin.elapsed(), 3 * HOUR);
        assert_eq!(*times.lock().unwrap(), [2, 3, 4, 5, 6].map(|n| n * HOUR / 2));
        advance(10 * HOUR).await;
        assert_eq!(times.lock().unwrap().len(), 8);
        assert_eq!(begin.elapsed(), 13 * HOUR);
    });
}

#[test]
fn advance_moves_the_clock_though_something_holds_it() {
    each("advance beside a hold", || async {
        let begin = Instant::now();
        let (ours, _theirs) = pair();
        let reader = spawn(async move { read(&ours).await });
        let (tx, rx) = mpsc::channel::<()>();
        let job = spawn_blocking(move || rx.recv());
        let sleeper = spawn(Sleep::new(HOUR));
        advance(2 * HOUR).await;
        assert!(sleeper.is_finished());
        assert_eq!(begin.elapsed(), 2 * HOUR);
        reader.abort();
        drop(tx);
        assert!(job.await.unwrap().is_err());
    });
}

#[test]
fn an_advance_that_is_dropped_leaves_the_clock_where_it_is() {
    each("a dropped advance", || async {
        let begin = Instant::now();
        let moving = spawn(advance(5 * HOUR));
        Sleep::new(HOUR).await;
        moving.abort();
        assert!(moving.await.unwrap_err().is_cancelled());
        assert_eq!(begin.elapsed(), HOUR);
        let two = [spawn(advance(2 * HOUR)), spawn(advance(HOUR))];
        for advance in two {
            advance.await.unwrap();
        }
        assert_eq!(begin.elapsed(), 3 * HOUR);
        advance(Duration::ZERO).await;
        assert_eq!(begin.elapsed(), 3 * HOUR);
    });
}

#[test]
#[should_panic(expected = "time::advance needs a runtime with virtual time: use #[gambol::test(virtual_time = true)]")]
fn advance_names_the_remedy_where_time_is_real() {
    common::runtime(1).block_on(advance(HOUR));
}

#[test]
fn a_core_serves_both_clocks_in_turn() {
    ends("in turn", || {
        for round in 0..6 {
            let real = common::runtime(2);
            real.block_on(async {
                let before = std::time::Instant::now();
                let delay = Duration::from_millis(5);
                spawn(Sleep::new(delay)).await.unwrap();
                Sleep::new(delay).await;
                assert!(before.elapsed() >= 2 * delay, "a sleep was early");
            });
            drop(real);
            for builder in runtimes(2) {
                let runtime = builder.build().unwrap();
                runtime.block_on(async {
                    let begin = Instant::now();
                    // Beyond what the machine's clock shows.
                    let years = HOUR * 24 * 365 * 100;
                    let far = spawn(Sleep::new(years));
                    Sleep::new(HOUR).await;
                    assert_eq!(begin.elapsed(), HOUR, "{round}");
                    far.await.unwrap();
                    assert_eq!(begin.elapsed(), years);
                });
            }
        }
    });
}

/// Where the runtime ends, and what its tasks are just doing.
#[test]
fn a_runtime_ends_whatever_its_clock_does() {
    for workers in [1, 4] {
        for seed in [None, Some(3)] {
            for what in 0..4 {
                ends(&format!("the end, {workers} {seed:?} {what}"), move || {
                    let mut builder = Builder::new().workers(workers).virtual_time(true);
                    if let Some(seed) = seed {
                        builder = builder.seed(seed);
                    }
                    let runtime = builder.build().unwrap();
                    let dropped = Arc::new(AtomicUsize::new(0));
                    let guard = Count(dropped.clone());
                    match what {
                        // Leaps without end.
                        0 => drop(runtime.spawn(async move {
                            let _guard = guard;
                            loop {
                                Sleep::new(HOUR).await;
                            }
                        })),
                        // Runs without end.
                        1 => drop(runtime.spawn(async move {
                            let _guard = guard;
                            loop {
                                yield_now().await;
                            }
                        })),
                        // Moves the clock without end.
                        2 => drop(runtime.spawn(async move {
                            let _guard = guard;
                            advance(Duration::MAX).await;
                        })),
                        // Waits for ever in a block_on inside a task.
                        _ => drop(runtime.spawn(async move {
                            let _guard = guard;
                            let task = spawn(std::future::pending::<()>());
                            assert!(block_on(task).is_err());
                        })),
                    }
                    if what != 1 {
                        runtime.block_on(Sleep::new(HOUR));
                    }
                    drop(runtime);
                    assert_eq!(dropped.load(Ordering::SeqCst), 1);
                });
            }
        }
    }
}

struct Count(Arc<AtomicUsize>);

impl Drop for Count {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_runtime_is_dropped_inside_itself() {
    for builder in runtimes(2) {
        ends("dropped inside", move || {
            let runtime = builder.build().unwrap();
            let (tx, rx) = mpsc::channel();
            let handle = runtime.handle().clone();
            handle.spawn(async move {
                Sleep::new(HOUR).await;
                drop(runtime);
                tx.send(()).unwrap();
            });
            rx.recv().unwrap();
        });
    }
}

#[test]
fn two_virtual_runtimes_have_two_clocks() {
    ends("two clocks", || {
        let [a, b] = runtimes(2).map(|builder| Arc::new(builder.build().unwrap()));
        a.block_on(async {
            let begin = Instant::now();
            Sleep::new(HOUR).await;
            let inner = b.clone();
            spawn(async move {
                assert_eq!(begin.elapsed(), HOUR);
                inner.block_on(async {
                    let begin = Instant::now();
                    Sleep::new(5 * HOUR).await;
                    assert_eq!(begin.elapsed(), 5 * HOUR);
                });
                assert_eq!(begin.elapsed(), HOUR);
            })
            .await
            .unwrap();
            b.spawn(Sleep::new(HOUR)).await.unwrap();
        });
    });
}

#[test]
fn a_panic_and_an_abort_take_no_baton_along() {
    each("panics", || async {
        for _ in 0..20 {
            let panics = spawn(async {
                Sleep::new(HOUR).await;
                panic!("on purpose");
            });
            let aborted = spawn(Sleep::new(HOUR));
            aborted.abort();
            assert!(aborted.await.unwrap_err().is_cancelled());
            assert!(panics.await.unwrap_err().is_panic());
            let caught = std::panic::catch_unwind(|| block_on(async { panic!("in block_on") }));
            assert!(caught.is_err());
        }
    });
}

#[test]
fn a_plain_thread_may_wake_and_spawn() {
    for builder in runtimes(2) {
        ends("a plain thread", move || {
            let runtime: Runtime = builder.build().unwrap();
            // Nobody is in block_on.
            for _ in 0..50 {
                let (tx, rx) = mpsc::channel();
                drop(runtime.spawn(async move {
                    Sleep::new(HOUR).await;
                    tx.send(()).unwrap();
                }));
                rx.recv().unwrap();
            }
            let (signal, event) = event();
            let task = runtime.spawn(event);
            let thread = thread::spawn(move || signal.send());
            runtime.block_on(task).unwrap();
            thread.join().unwrap();
        });
    }
}

#[test]
fn what_was_ready_when_block_on_ended_runs_all_the_same() {
    ends("the pause", || {
        let runtime = Builder::new().workers(1).virtual_time(true).seed(1).build().unwrap();
        let ran = Arc::new(AtomicBool::new(false));
        let (tx, rx) = mpsc::channel();
        let task = ran.clone();
        runtime.block_on(async {
            drop(spawn(async move {
                task.store(true, Ordering::SeqCst);
                tx.send(()).unwrap();
            }));
        });
        // It has not run yet, or had its turn before; it runs without being asked.
        rx.recv().unwrap();
        assert!(ran.load(Ordering::SeqCst));
    });
}

/// One in the other, in both orders, on a plain thread and in a task; the thread's own tasks belong to the outermost.
#[test]
fn a_real_runtime_and_a_virtual_one_wait_for_each_other() {
    for seed in [None, Some(9)] {
        for in_task in [false, true] {
            ends("mixed runtimes", move || {
                let real = Arc::new(common::runtime(1));
                let builder = Builder::new().workers(1).virtual_time(true);
                let virtual_one = Arc::new(match seed {
                    Some(seed) => builder.seed(seed).build().unwrap(),
                    None => builder.build().unwrap(),
                });
                for virtual_is_outer in [false, true] {
                    let (outer, inner) = match virtual_is_outer {
                        true => (virtual_one.clone(), real.clone()),
                        false => (real.clone(), virtual_one.clone()),
                    };
                    let delay = |is_virtual| if is_virtual { HOUR } else { Duration::from_millis(2) };
                    let body = {
                        let outer = outer.clone();
                        move || {
                            let begin = Instant::now();
                            let (signal, event) = event();
                            let local = (!in_task).then(|| {
                                let waker = outer.handle().clone();
                                spawn_local(async move {
                                    event.await;
                                    drop(waker);
                                })
                            });
                            inner.block_on(async {
                                let begin = Instant::now();
                                Sleep::new(delay(!virtual_is_outer)).await;
                                spawn(async { Sleep::new(Duration::from_millis(1)).await }).await.unwrap();
                                assert!(begin.elapsed() >= delay(!virtual_is_outer));
                                // A local task of the outer one is woken by a worker of the inner one.
                                spawn(async move { signal.send() }).await.unwrap();
                                if let Some(local) = local {
                                    local.await.unwrap();
                                }
                            });
                            if virtual_is_outer {
                                assert_eq!(begin.elapsed(), Duration::ZERO, "the inner one is blocking work here");
                            }
                        }
                    };
                    if in_task {
                        let task = outer.spawn(async move { body() });
                        outer.block_on(task).unwrap();
                    } else {
                        outer.block_on(async { body() });
                    }
                }
            });
        }
    }
}
