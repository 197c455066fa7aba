//! With a seed, the trace of a run is equal every time.

mod common;

use common::{ends, yield_now};
use gambol_executor::{Builder, Event, Instant, Sleep, block_on, random, spawn, spawn_local};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// What is done at each turn, without the runtime's slot.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    what: &'static str,
    task: String,
    worker: Option<u16>,
}

type Trace = Vec<Line>;

/// Runs the future that `program` makes, and returns what was traced beside what it returned.
fn run<F: Future>(workers: usize, seed: u64, program: impl Fn() -> F) -> (Trace, F::Output) {
    let trace: Arc<Mutex<Trace>> = Arc::default();
    let lines = trace.clone();
    let runtime = Builder::new()
        .workers(workers)
        .virtual_time(true)
        .seed(seed)
        .tracer(move |event| {
            let (what, id, worker) = match event {
                Event::Spawn { id, .. } => ("spawn", id, None),
                Event::Run { id, worker } => ("run", id, Some(*worker)),
                Event::Stop { id, worker } => ("stop", id, Some(*worker)),
                _ => return,
            };
            lines.lock().unwrap().push(Line { what, task: id.to_string(), worker });
        })
        .build()
        .unwrap();
    let output = runtime.block_on(program());
    drop(runtime);
    let trace = std::mem::take(&mut *trace.lock().unwrap());
    (trace, output)
}

fn tasks(trace: &Trace) -> Vec<(&'static str, &str)> {
    trace.iter().map(|line| (line.what, &*line.task)).collect()
}

/// Tasks that yield, sleep, wait for each other, wait in `block_on`, panic and are aborted, by choices of their own.
async fn crowd(tasks: usize) -> u64 {
    let sum = Arc::new(AtomicUsize::new(0));
    let handles: Vec<_> = (0..tasks)
        .map(|_| {
            let sum = sum.clone();
            spawn(async move {
                for _ in 0..5 {
                    match random() % 6 {
                        0 => yield_now().await,
                        1 => Sleep::new(Duration::from_micros(random() % 5)).await,
                        2 => drop(spawn(yield_now()).await),
                        3 => {
                            let choice = block_on(async {
                                Sleep::new(Duration::from_micros(random() % 5)).await;
                                spawn(async { random() }).await.unwrap()
                            });
                            sum.fetch_add(choice as usize % 1000, Ordering::Relaxed);
                        }
                        4 => {
                            let task = spawn(Sleep::new(Duration::from_secs(1)));
                            yield_now().await;
                            task.abort();
                            assert!(task.await.is_err());
                        }
                        _ => drop(spawn(async { std::panic::panic_any(()) }).await),
                    }
                    sum.fetch_add(random() as usize % 1000, Ordering::Relaxed);
                }
                Instant::now()
            })
        })
        .collect();
    let local = spawn_local(async {
        Sleep::new(Duration::from_micros(3)).await;
        spawn(async { random() % 1000 }).await.unwrap()
    });
    let mut last = Instant::now();
    for handle in handles {
        last = last.max(handle.await.unwrap());
    }
    let local = local.await.unwrap();
    // Some are left when it ends.
    (0..10).for_each(|_| drop(spawn(yield_now())));
    yield_now().await;
    last.duration_since(Instant::now()).as_nanos() as u64 + sum.load(Ordering::Relaxed) as u64 + local
}

fn quiet() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !info.payload().is::<()>() {
                before(info);
            }
        }));
    });
}

#[test]
fn a_run_is_the_same_every_time() {
    quiet();
    for workers in [1, 2, 4, 8] {
        ends(&format!("runs with {workers} workers"), move || {
            for seed in 0..8 {
                let first = run(workers, seed, || crowd(20));
                assert!(first.0.len() > 200);
                for _ in 0..5 {
                    assert!(run(workers, seed, || crowd(20)) == first, "seed {seed}");
                }
            }
        });
    }
}

#[test]
fn the_order_of_the_tasks_does_not_depend_on_the_number_of_workers() {
    quiet();
    ends("numbers of workers", || {
        let one = run(1, 7, || crowd(20));
        for workers in [2, 3, 8] {
            let many = run(workers, 7, || crowd(20));
            assert_eq!(tasks(&one.0), tasks(&many.0));
            assert_eq!(one.1, many.1);
            let mut seen: Vec<_> =
                many.0.iter().filter_map(|line| line.worker).filter(|worker| *worker != u16::MAX).collect();
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen.len(), workers, "all workers have turns");
        }
    });
}

#[test]
fn the_same_crowd_ends_on_free_workers_too() {
    quiet();
    for workers in [1, 2, 8] {
        ends(&format!("a free crowd on {workers} workers"), move || {
            for _ in 0..10 {
                let runtime = Builder::new().workers(workers).virtual_time(true).build().unwrap();
                runtime.block_on(crowd(50));
            }
        });
    }
}

#[test]
fn another_seed_gives_another_order() {
    quiet();
    ends("seeds", || {
        let program = || async {
            let order = Arc::new(Mutex::new(Vec::new()));
            let tasks: Vec<_> = (0..8)
                .map(|n| {
                    let order = order.clone();
                    spawn(async move { order.lock().unwrap().push(n) })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
            std::mem::take(&mut *order.lock().unwrap())
        };
        let mut orders: Vec<Vec<i32>> = (0..50).map(|seed| run(2, seed, program).1).collect();
        orders.sort();
        orders.dedup();
        assert!(orders.len() > 40, "{} orders of 8 tasks from 50 seeds", orders.len());
    });
}

#[test]
fn one_thread_acts_at_a_time() {
    ends("one at a time", || {
        run(8, 1, || async {
            let inside = Arc::new(AtomicUsize::new(0));
            let tasks: Vec<_> = (0..50)
                .map(|_| {
                    let inside = inside.clone();
                    spawn(async move {
                        for _ in 0..20 {
                            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                            std::thread::yield_now();
                            assert_eq!(inside.fetch_sub(1, Ordering::SeqCst), 1);
                            yield_now().await;
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
    });
}

#[test]
fn a_seed_without_virtual_time_waits_for_real_deadlines() {
    for workers in [1, 3] {
        ends("real time", move || {
            let runtime = Builder::new().workers(workers).seed(5).build().unwrap();
            let begin = std::time::Instant::now();
            runtime.block_on(async {
                let delay = Duration::from_millis(5);
                let tasks: Vec<_> = (1..=5).map(|n| spawn(Sleep::new(n * delay))).collect();
                Sleep::new(delay).await;
                for task in tasks {
                    task.await.unwrap();
                }
                // Deadlines are kept beside what never rests, on the thread that is in block_on as well.
                let sleeper = spawn(Sleep::new(delay));
                while !sleeper.is_finished() {
                    yield_now().await;
                }
                let mut sleep = std::pin::pin!(Sleep::new(delay));
                while futures::poll!(&mut sleep).is_pending() {
                    yield_now().await;
                }
            });
            assert!(begin.elapsed() >= Duration::from_millis(35));
        });
    }
}

#[test]
fn a_seeded_runtime_reads_from_sockets() {
    for virtual_time in [false, true] {
        ends("sockets", move || {
            let runtime = Builder::new().workers(2).virtual_time(virtual_time).seed(5).build().unwrap();
            runtime.block_on(async {
                for _ in 0..20 {
                    let (ours, mut theirs) = common::pair();
                    let writer = std::thread::spawn(move || {
                        std::io::Write::write_all(&mut theirs, b"x").unwrap();
                        theirs
                    });
                    let read = spawn(async move { common::read(&ours).await });
                    while !read.is_finished() {
                        yield_now().await;
                    }
                    assert_eq!(read.await.unwrap().unwrap(), 1);
                    writer.join().unwrap();
                }
            });
        });
    }
}
