//! The relief of stuck workers in hard circumstances: others that never rest, thresholds at their limits, hooks that hold up
//! their thread, no threads to be had, a program that is idle but for one worker that never comes back.

mod common;
#[path = "common/hold.rs"]
mod hold;

use common::{ends, runtime, yield_now};
use gambol_executor::{Runtime, Sleep, Stall, block_in_place, block_on, spawn};
use hold::{Hold, Holds, settles};
use std::{
    future::{Future, pending},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    task::{Context, Waker},
    thread,
    time::Duration,
};
#[cfg(target_os = "linux")]
use {
    common::{pair, read},
    std::time::Instant,
};

/// Tasks that yield for ever, until this is dropped: whoever runs them never comes to look for other work.
struct Crowd(Arc<AtomicBool>);

impl Crowd {
    /// Ten of them, spawned here.
    fn new() -> Crowd {
        let over = Arc::new(AtomicBool::new(false));
        for _ in 0..10 {
            let over = over.clone();
            spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    yield_now().await;
                }
            });
        }
        Crowd(over)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn tasks_behind_a_stuck_one_are_run_though_the_others_never_rest() {
    for hold in Hold::ALL {
        for workers in [1, 2] {
            ends("the tasks", move || {
                let runtime = runtime(workers);
                let tasks: Vec<_> = (0..workers)
                    .map(|_| {
                        let (tell, told) = mpsc::channel();
                        runtime.spawn(async move {
                            // These stand before them on the ring, and so are taken over first.
                            let _crowd = Crowd::new();
                            for _ in 0..10 {
                                let tell = tell.clone();
                                spawn(async move { tell.send(()).unwrap() });
                            }
                            (0..10).for_each(|_| hold.until(&told));
                        })
                    })
                    .collect();
                tasks.into_iter().for_each(|task| block_on(task).unwrap());
            });
        }
    }
}

#[test]
fn the_batch_of_a_stuck_worker_is_woken_though_the_others_never_rest() {
    for hold in Hold::ALL {
        ends("the batch", move || {
            let runtime = runtime(1);
            let (begun, is_begun) = mpsc::channel();
            let (tell, told) = mpsc::channel();
            let task = runtime.spawn(async move {
                let crowd = Crowd::new();
                let deadline = gambol_executor::Instant::now() + Duration::from_millis(5);
                let waker = Waker::from(Arc::new(Holds(hold, begun, Mutex::new(told))));
                // Some stand in the batch before the one that blocks, the others behind it.
                let mut others: Vec<_> = (0..10).map(|_| spawn(Sleep::until(deadline))).collect();
                yield_now().await;
                yield_now().await;
                let mut blocks = Box::pin(Sleep::until(deadline));
                assert!(blocks.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
                others.extend((0..10).map(|_| spawn(Sleep::until(deadline))));
                // All have armed their timers before these are due.
                yield_now().await;
                yield_now().await;
                (blocks, others, crowd)
            });
            let (blocks, others, crowd) = block_on(task).unwrap();
            is_begun.recv().unwrap();
            others.into_iter().for_each(|other| block_on(other).unwrap());
            tell.send(()).unwrap();
            drop((blocks, crowd));
        });
    }
}

/// How often threads of this name have gone to sleep so far.
#[cfg(target_os = "linux")]
fn sleeps(name: &str) -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let texts = tasks.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("status")).ok());
    let ours = texts.filter(|text| text.lines().next().unwrap().strip_prefix("Name:\t").unwrap().starts_with(name));
    let counts = ours.map(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:\t"));
        line.unwrap().parse::<u64>().unwrap()
    });
    counts.sum()
}

/// Waits until no thread of this name wakes any more.
#[cfg(target_os = "linux")]
fn falls_silent(name: &str) {
    let start = Instant::now();
    loop {
        let before = sleeps(name);
        thread::sleep(Duration::from_millis(300));
        if sleeps(name) == before {
            return;
        }
        assert!(start.elapsed() < common::LIMIT, "{name} still wakes");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_idle_program_is_silent_though_a_worker_never_comes_back() {
    // Together, since each waits for silence.
    let cases = [(1, false), (2, false), (1, true), (2, true)].map(|(workers, io)| {
        thread::spawn(move || {
            ends("silence", move || {
                // 15 bytes at most are a thread's name.
                let name = format!("mute{workers}{}", u8::from(io));
                let runtime = Runtime::builder().workers(workers).name(name.clone()).build().unwrap();
                let ends = io.then(|| runtime.block_on(async { pair() }));
                let far = ends.map(|(near, far)| (runtime.spawn(async move { read(&near).await.unwrap() }), far));
                let sleeper = runtime.spawn(Sleep::new(Duration::from_secs(3_600)));
                let (begun, is_begun) = mpsc::channel();
                let (tell, told) = mpsc::channel::<()>();
                let stuck = runtime.spawn(async move {
                    begun.send(()).unwrap();
                    let _ = told.recv();
                });
                is_begun.recv().unwrap();
                falls_silent(&name);
                // One at most: a poller that nobody looks at is reason enough for relief, and so is the sleeper, if it had not run yet.
                assert!(runtime.metrics().stalls() <= 1, "nobody waited for long");
                // Whoever comes is served all the same: from outside, by a timer, by a socket.
                block_on(runtime.spawn(async {})).unwrap();
                block_on(runtime.spawn(Sleep::new(Duration::from_millis(5)))).unwrap();
                if let Some((reader, far)) = far {
                    drop(far);
                    assert_eq!(block_on(reader).unwrap(), 0);
                }
                falls_silent(&name);
                drop(tell);
                block_on(stuck).unwrap();
                sleeper.abort();
                settles("as many workers as before", || {
                    let metrics = runtime.metrics();
                    metrics.workers() == workers && metrics.workers_parked() == workers
                });
                falls_silent(&name);
            });
        })
    });
    cases.into_iter().for_each(|case| case.join().unwrap());
}

#[test]
fn thresholds_may_be_as_short_or_as_long_as_one_likes() {
    let short = [Duration::ZERO, Duration::from_nanos(1), Duration::from_micros(1), Duration::from_micros(500)];
    for threshold in short {
        ends("the tasks", move || {
            let runtime = Runtime::builder().workers(2).max_workers(8).stall_threshold(threshold).build().unwrap();
            let tasks: Vec<_> = (0..50)
                .map(|i| {
                    runtime.spawn(async move {
                        let other = spawn(Sleep::new(Duration::from_micros(100 * i)));
                        yield_now().await;
                        thread::sleep(Duration::from_micros(200));
                        other.await.unwrap();
                    })
                })
                .collect();
            tasks.into_iter().for_each(|task| block_on(task).unwrap());
            settles("as many workers as before", || runtime.metrics().workers() == 2);
        });
    }
    let long = [
        Duration::from_secs(3_600),
        Duration::from_nanos(u64::MAX - 1),
        Duration::from_nanos(u64::MAX),
        Duration::MAX - Duration::from_nanos(1),
        Duration::MAX,
    ];
    for threshold in long {
        ends("the tasks", move || {
            let runtime = Runtime::builder().workers(2).stall_threshold(threshold).build().unwrap();
            for _ in 0..10 {
                settles("the others sleep", || runtime.metrics().workers_parked() == 2);
                // A worker sleeps, and nobody has told it: the monitor does, however long the threshold.
                let (tell, told) = mpsc::channel();
                let task = runtime.spawn(async move {
                    spawn(async move { tell.send(()).unwrap() });
                    told.recv().unwrap();
                });
                block_on(task).unwrap();
            }
            assert_eq!(runtime.metrics().stalls(), 0);
        });
    }
}

#[test]
fn a_hook_that_holds_up_a_new_thread_is_not_reported_as_a_task() {
    ends("the task", || {
        // The places of its workers, and the tasks that they ran last, may be the next one's.
        drop({
            let runtime = runtime(1);
            block_on(runtime.spawn(async {})).unwrap();
            runtime
        });
        let (report, reports) = mpsc::channel::<Stall>();
        let report = Mutex::new(report);
        let (tell, told) = mpsc::channel();
        let told = Mutex::new(Some(told));
        let runtime = Runtime::builder()
            .workers(1)
            .on_thread_start(move || {
                // The first thread waits for what the second one runs.
                let told = told.lock().unwrap().take();
                told.into_iter().for_each(|told: mpsc::Receiver<()>| {
                    told.recv().unwrap();
                    // What is shorter than the threshold is not reported.
                    thread::sleep(Duration::from_millis(20));
                });
            })
            .on_stall(move |stall| report.lock().unwrap().send(stall.clone()).unwrap())
            .build()
            .unwrap();
        block_on(runtime.spawn(async move { tell.send(()).unwrap() })).unwrap();
        assert_eq!(runtime.metrics().stalls(), 1);
        let stall = reports.recv().unwrap();
        assert_eq!(stall.task(), None, "{stall}");
    });
}

#[test]
fn a_report_that_holds_up_the_monitor_ends_nothing_but_relief() {
    ends("the runtime", || {
        let (begun, is_begun) = mpsc::channel();
        let (tell, told) = mpsc::channel::<()>();
        let both = Mutex::new((begun, told));
        let hook = move |_: &Stall| {
            let (begun, told) = &*both.lock().unwrap();
            begun.send(()).unwrap();
            let _ = told.recv();
        };
        let runtime = Runtime::builder().workers(2).on_stall(hook).build().unwrap();
        let stall = || {
            let (tell, told) = mpsc::channel();
            runtime.spawn(async move {
                // Two of them, since the other worker may take the first.
                let both = [tell.clone(), tell].map(|tell| spawn(async move { tell.send(()).unwrap() }));
                told.recv().unwrap();
                for one in both {
                    one.await.unwrap();
                }
            })
        };
        let tasks: Vec<_> = (0..4).map(|_| stall()).collect();
        tasks.into_iter().for_each(|task| block_on(task).unwrap());
        // With relief or without: what is spawned is run.
        for _ in 0..100 {
            block_on(runtime.spawn(async { spawn(Sleep::new(Duration::from_micros(10))).await.unwrap() })).unwrap();
        }
        if is_begun.try_recv().is_ok() {
            drop(tell);
            block_on(stall()).unwrap();
        }
        runtime.shutdown(common::LIMIT).unwrap();
    });
}

/// Each task waits, without saying so, for one that it has spawned.
fn chain(depth: usize) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        if depth > 0 {
            let (tell, told) = mpsc::channel();
            spawn(async move {
                chain(depth - 1).await;
                tell.send(()).unwrap();
            });
            told.recv().unwrap();
        }
    })
}

#[test]
fn a_chain_of_stuck_tasks_is_relieved_as_far_as_it_goes() {
    ends("the chain", || {
        let runtime = runtime(1);
        block_on(runtime.spawn(chain(40))).unwrap();
        assert!(runtime.metrics().stalls() >= 40);
        settles("as many workers as before", || {
            let metrics = runtime.metrics();
            metrics.workers() == 1 && metrics.workers_parked() == 1
        });
    });
}

/// Under a system that refuses the monitor some threads.
#[cfg(target_os = "linux")]
#[test]
fn relief_goes_on_when_threads_can_be_had_again() {
    use std::{env, process::Command, process::Stdio};
    const CHILD: &str = "GAMBOL_TEST_CHILD";
    let name = "relief_goes_on_when_threads_can_be_had_again";
    if env::var_os(CHILD).is_some() {
        return ends("the chain", || {
            let runtime = runtime(1);
            runtime.block_on(runtime.spawn(chain(12))).unwrap();
            settles("as many workers as before", || runtime.metrics().workers_parked() == 1);
        });
    }
    let works = Command::new("strace").args(["-o", "/dev/null", "true"]).stderr(Stdio::null()).status();
    if !works.is_ok_and(|status| status.success()) {
        return println!("skipped: strace is not there or may not trace");
    }
    // `when` counts per thread. Who builds makes two; the third and later ones are the monitor's.
    for when in ["3..20", "3+2", "4..9"] {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=clone3"]);
        strace.args(["-e", &format!("inject=clone3:error=EAGAIN:when={when}")]);
        strace.arg(env::current_exe().unwrap()).args(["--exact", name, "--nocapture", "--test-threads=1"]);
        assert!(strace.env(CHILD, "1").status().unwrap().success(), "refused: {when}");
    }
}

/// How long the calling thread has run on a processor.
#[cfg(target_os = "linux")]
fn computed() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` may be written to.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) }, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[cfg(target_os = "linux")]
#[test]
fn who_waits_for_a_processor_is_not_stuck() {
    ends("the tasks", || {
        let over = Arc::new(AtomicBool::new(false));
        let busy: Vec<_> = (0..8 * thread::available_parallelism().unwrap().get())
            .map(|_| {
                let over = over.clone();
                thread::spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                })
            })
            .collect();
        // A poll takes less than a third of this, and longer than this until it ends.
        let runtime = Runtime::builder().workers(2).stall_threshold(Duration::from_millis(50)).build().unwrap();
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                runtime.spawn(async {
                    for _ in 0..6 {
                        let until = computed() + Duration::from_millis(15);
                        while computed() < until {
                            std::hint::spin_loop();
                        }
                        yield_now().await;
                    }
                })
            })
            .collect();
        tasks.into_iter().for_each(|task| block_on(task).unwrap());
        over.store(true, Ordering::Relaxed);
        busy.into_iter().for_each(|thread| thread.join().unwrap());
        // Who has no processor at all for 0.4 s may be taken for stuck.
        let stalls = runtime.metrics().stalls();
        assert!(stalls <= 4, "{stalls} of 24 polls");
    });
}

#[test]
fn tasks_that_stall_and_say_so_in_turn_are_counted_right() {
    for (workers, max) in [(1, 1), (1, 3), (2, 3), (2, 256)] {
        ends("the tasks", move || {
            let builder = Runtime::builder().workers(workers).max_workers(max);
            let runtime = builder.stall_threshold(Duration::from_millis(1)).build().unwrap();
            let ran = Arc::new(AtomicUsize::new(0));
            // No more than may stand on one stack.
            let tasks: Vec<_> = (0..12)
                .map(|n| {
                    let ran = ran.clone();
                    runtime.spawn(async move {
                        thread::sleep(Duration::from_micros(300 * n));
                        block_on(async {
                            let other = spawn(async { thread::sleep(Duration::from_millis(2)) });
                            thread::sleep(Duration::from_millis(1));
                            other.await.unwrap();
                        });
                        let sleep = Sleep::new(Duration::from_micros(150 * n));
                        block_in_place(|| thread::sleep(Duration::from_millis(1)));
                        sleep.await;
                        ran.fetch_add(1, Ordering::Relaxed);
                    })
                })
                .collect();
            tasks.into_iter().for_each(|task| block_on(task).unwrap());
            assert_eq!(ran.load(Ordering::Relaxed), 12);
            settles("as many workers as before", || {
                let metrics = runtime.metrics();
                metrics.workers() == workers && metrics.workers_parked() == workers
            });
        });
    }
}

/// In one poll, in which its worker is marked as stuck: over and over it spawns some, which gather on its ring or not, and waits until
/// all of them have run. The others lie down meanwhile, or are kept busy by tasks that come and go.
#[test]
fn a_stuck_poll_that_waits_for_what_it_spawns_goes_on() {
    for workers in [1, 2, 4, 8] {
        ends(&format!("the poll, {workers} workers"), move || {
            let runtime =
                Runtime::builder().workers(workers).stall_threshold(Duration::from_millis(1)).build().unwrap();
            let over = Arc::new(AtomicBool::new(false));
            let others: Vec<_> = (1..workers)
                .map(|n| {
                    let over = over.clone();
                    runtime.spawn(async move {
                        while !over.load(Ordering::Relaxed) {
                            for _ in 0..20 * n {
                                yield_now().await;
                            }
                            Sleep::new(Duration::from_micros(50)).await;
                        }
                    })
                })
                .collect();
            let stuck = runtime.spawn(async move {
                let mut random = fastrand::Rng::with_seed(7);
                let (tell, told) = mpsc::channel();
                for _ in 0..2_000 {
                    // Around the number from which on they are given away.
                    let tasks = if random.u8(..) < 250 { random.usize(1..4) } else { random.usize(25..40) };
                    for n in 0..tasks {
                        let tell = tell.clone();
                        drop(spawn(async move { tell.send(n).unwrap() }));
                    }
                    let sum: usize = told.iter().take(tasks).sum();
                    assert_eq!(sum, tasks * (tasks - 1) / 2);
                }
            });
            block_on(stuck).unwrap();
            over.store(true, Ordering::Relaxed);
            others.into_iter().for_each(|other| block_on(other).unwrap());
            assert!(runtime.metrics().stalls() > 0);
        });
    }
}

#[test]
fn a_runtime_that_is_dropped_by_a_stuck_task_ends() {
    for _ in 0..5 {
        ends("the runtimes", || {
            let runtime = runtime(1);
            let handle = runtime.handle().clone();
            let (tell, told) = mpsc::channel();
            let task = runtime.handle().clone().spawn(async move {
                spawn(async move { tell.send(()).unwrap() });
                told.recv().unwrap();
                // The mark stands.
                drop(runtime);
            });
            let _ = block_on(task);
            assert!(block_on(handle.spawn(pending::<()>())).unwrap_err().is_cancelled());
        });
    }
}
