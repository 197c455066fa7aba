//! The execution trace: it is whole whatever happens, and it tells what happened.

#[path = "common/chrome.rs"]
mod chrome;
mod common;

use chrome::{Trace, check};
use common::{LIMIT, TakeWaker, ends, ends_within, pair, read, yield_now};
use gambol_executor::{Builder, Id, Reason, Runtime, Sleep, block_on, named, park, spawn, spawn_local};
use std::{
    collections::BTreeSet,
    env, fs,
    future::poll_fn,
    io::{self, Write},
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    task::Poll,
    thread,
    time::Duration,
};

fn traced(workers: usize) -> Runtime {
    Runtime::builder().workers(workers).trace_events(1 << 16).build().unwrap()
}

fn trace_of(runtime: &Runtime) -> Trace {
    let mut json = Vec::new();
    runtime.handle().write_trace(&mut json).unwrap();
    check(std::str::from_utf8(&json).unwrap())
}

fn number(id: Id) -> u64 {
    id.to_string().parse().unwrap()
}

/// Whether poller or timers have woken it: through a worker, or through the monitor, if no worker had time for them.
fn is_by(turn: &chrome::Turn, whom: &str) -> bool {
    turn.woken_by.as_deref() == Some(whom) || turn.woken_on.as_deref() == Some("gambol-mon")
}

/// A sleep of so many milliseconds.
fn millis(n: u64) -> Sleep {
    Sleep::new(Duration::from_millis(n))
}

#[test]
fn every_task_has_its_turns_with_what_ended_and_began_them() {
    for workers in [1, 2] {
        ends("the tasks", move || {
            let runtime = traced(workers);
            let (yields, sleeper, reader, job, fails) = runtime.block_on(async {
                let crowd: Vec<_> = (0..200)
                    .map(|_| {
                        spawn(async {
                            for _ in 0..3 {
                                yield_now().await;
                            }
                        })
                    })
                    .collect();
                let yields: Vec<u64> = crowd.iter().map(|task| number(task.id())).collect();
                let sleeper = spawn(async { millis(100).await });
                let (ours, mut other) = pair();
                let reader = spawn(async move { read(&ours).await.unwrap() });
                let job = runtime.spawn_blocking(|| {});
                let fails = spawn(async { std::panic::resume_unwind(Box::new("as it should")) });
                let ids = [number(sleeper.id()), number(reader.id()), number(job.id()), number(fails.id())];
                for task in crowd {
                    task.await.unwrap();
                }
                sleeper.await.unwrap();
                // By now it waits for the byte.
                other.write_all(&[1]).unwrap();
                reader.await.unwrap();
                job.await.unwrap();
                fails.await.unwrap_err();
                (yields, ids[0], ids[1], ids[2], ids[3])
            });
            while runtime.metrics().parks() == 0 {
                thread::yield_now();
            }
            // The workers' last events are there when the workers have ended.
            let handle = runtime.handle().clone();
            runtime.shutdown(LIMIT).unwrap();
            let mut json = Vec::new();
            handle.write_trace(&mut json).unwrap();
            let trace = check(std::str::from_utf8(&json).unwrap());
            assert_eq!(trace.lost, 0);
            for task in &yields {
                let turns = trace.of(*task);
                assert_eq!(turns.len(), 4, "{turns:?}");
                assert_eq!(turns[0].woken_by.as_deref(), Some("its spawn"));
                assert!(turns[1..].iter().all(|turn| turn.woken_by.as_deref() == Some("during its turn")), "{turns:?}");
                assert!(turns[..3].iter().all(|turn| turn.why == "woken during its turn"), "{turns:?}");
                assert!(turns[0].name.starts_with("executor/tests/trace.rs:"), "{turns:?}");
            }
            for task in yields.iter().chain([&sleeper, &reader, &job, &fails]) {
                assert!(trace.spawned.contains(task));
                assert_eq!(trace.of(*task).last().unwrap().why, "finished");
            }
            let turns = trace.of(sleeper);
            assert_eq!((turns.len(), &*turns[0].why), (2, "sleep"));
            assert!(is_by(turns[1], "timer"), "{turns:?}");
            let turns = trace.of(reader);
            assert_eq!(turns[0].why, "read");
            assert!(turns[1..].iter().all(|turn| is_by(turn, "poller")), "{turns:?}");
            assert_eq!(trace.of(job).len(), 1);
            assert!(trace.tracks[&trace.of(job)[0].track].ends_with("-blk"));
            assert!(trace.count("B", "parked") > 0);
            // What the monitor had to do has no slices.
            if turns[1..].iter().any(|turn| turn.woken_by.as_deref() == Some("poller")) {
                assert!(trace.count("B", "poller") > 0);
            }
            assert!(trace.count("i", "timers") > 0);
            // More, if one was not given a processor for so long that it was taken for stuck.
            let started = trace.count("i", "worker starts");
            assert!(started >= workers, "{started}");
            assert_eq!(trace.count("i", "worker ends") + trace.count("i", "worker rests"), started);
        });
    }
}

#[test]
fn a_wake_says_who_and_where() {
    ends("the wakes", || {
        let runtime = traced(1);
        let (tx, rx) = mpsc::channel();
        let (by_task, by_thread, waker) = runtime.block_on(async {
            let first = spawn(TakeWaker(Some(tx.clone())));
            // One worker: the second runs when the first waits.
            let id_of_first = number(first.id());
            spawn(async {}).await.unwrap();
            let taken = rx.recv().unwrap();
            let waker = spawn(async move { taken.wake() });
            let waker_id = number(waker.id());
            waker.await.unwrap();
            first.await.unwrap();
            let second = spawn(TakeWaker(Some(tx)));
            let id = number(second.id());
            let taken = rx.recv().unwrap();
            // Its turn is over when another has had one.
            spawn(async {}).await.unwrap();
            thread::Builder::new().name("the \"outsider\"".into()).spawn(|| taken.wake()).unwrap().join().unwrap();
            second.await.unwrap();
            (id_of_first, id, waker_id)
        });
        let trace = trace_of(&runtime);
        let woken = &trace.of(by_task)[1];
        assert_eq!(woken.woken_by, Some(format!("task {waker}")));
        assert_eq!(woken.woken_on.as_deref(), Some("worker 0"));
        let woken = &trace.of(by_thread)[1];
        assert_eq!(woken.woken_by.as_deref(), Some("outside of tasks"));
        assert_eq!(woken.woken_on.as_deref(), Some("the \"outsider\""));
    });
}

#[test]
fn the_reason_of_a_wait_is_the_tasks_own() {
    ends("the tasks", || {
        let runtime = traced(2);
        for reason in [Reason::Lock, Reason::ChanSend, Reason::Notify, Reason::Process] {
            let task = runtime.spawn(async move {
                let mut sleep = millis(100);
                poll_fn(|cx| {
                    let poll = std::pin::Pin::new(&mut sleep).poll(cx);
                    if poll.is_pending() {
                        park(reason);
                    }
                    poll.map(drop)
                })
                .await
            });
            let id = number(task.id());
            runtime.block_on(task).unwrap();
            assert_eq!(trace_of(&runtime).of(id)[0].why, reason.as_str());
        }
    });
}

#[test]
fn local_tasks_and_tasks_inside_a_block_on_nest_in_their_threads_track() {
    ends("the tasks", || {
        let runtime = traced(1);
        // On a foreign thread.
        let alone = runtime.block_on(async {
            let task = spawn_local(async { yield_now().await });
            let id = number(task.id());
            task.await.unwrap();
            id
        });
        // In a task of a worker, which has stepped out.
        let outer = runtime.spawn(async {
            block_on(async {
                let task = spawn_local(async { yield_now().await });
                let id = number(task.id());
                task.await.unwrap();
                id
            })
        });
        let outer_id = number(outer.id());
        let inner = runtime.block_on(outer).unwrap();
        let handle = runtime.handle().clone();
        runtime.shutdown(LIMIT).unwrap();
        let mut json = Vec::new();
        handle.write_trace(&mut json).unwrap();
        let trace = check(std::str::from_utf8(&json).unwrap());
        let turns = trace.of(alone);
        assert_eq!(turns.iter().map(|turn| &*turn.why).collect::<Vec<_>>(), ["woken during its turn", "finished"]);
        assert!(trace.tracks[&turns[0].track].starts_with("test: "), "{trace:?}");
        let outer = trace.of(outer_id)[0].clone();
        for turn in trace.of(inner) {
            assert_eq!((turn.track, turn.depth), (outer.track, 1));
            assert!(outer.begin <= turn.begin && turn.end <= outer.end, "{turn:?} {outer:?}");
        }
        assert_eq!(trace.of(inner).len(), 2);
    });
}

#[test]
fn names_are_told_whatever_is_in_them() {
    ends("the tasks", || {
        let runtime = traced(2);
        let names = ["plain", "a \"quoted\" \\ one\n", "\u{0}\u{1f}", "ünïcödé 🦀", ""];
        for name in names {
            let particulars = named::Particulars { name: Some(name.into()), ..Default::default() };
            let task = named::spawn(Some(runtime.handle()), particulars, yield_now());
            let id = number(task.id());
            runtime.block_on(task).unwrap();
            assert!(trace_of(&runtime).of(id).iter().all(|turn| turn.name == name));
        }
    });
}

#[test]
fn rings_that_overflow_give_a_whole_trace_of_the_last_events() {
    ends("the tasks", || {
        let runtime = Runtime::builder().workers(2).trace_events(64).build().unwrap();
        let last = runtime.block_on(async {
            let mut last = 0;
            for _ in 0..2000 {
                let task = spawn(async {
                    yield_now().await;
                    millis(0).await;
                });
                last = number(task.id());
                task.await.unwrap();
            }
            last
        });
        // Who awaits a task is woken before its turn is over; the workers' last events are there when these have ended.
        let handle = runtime.handle().clone();
        runtime.shutdown(LIMIT).unwrap();
        let mut json = Vec::new();
        handle.write_trace(&mut json).unwrap();
        let trace = check(std::str::from_utf8(&json).unwrap());
        assert!(trace.lost > 1000, "{}", trace.lost);
        let turns = trace.of(last);
        assert!(turns.iter().any(|turn| turn.why == "finished"), "{turns:?}");
    });
}

#[test]
fn a_trace_that_is_written_while_tasks_run_is_whole() {
    for events in [64, 1000, 4000] {
        // Each trace is written and read beside workers that never rest; with a sanitizer that takes a while.
        ends_within(LIMIT * 5, "the writes", move || {
            let runtime = Runtime::builder().workers(2).trace_events(events).build().unwrap();
            let over = Arc::new(AtomicBool::new(false));
            let tasks: Vec<_> = (0..8)
                .map(|n| {
                    let over = over.clone();
                    runtime.spawn(async move {
                        while !over.load(Ordering::Relaxed) {
                            match n % 4 {
                                0 => yield_now().await,
                                1 => millis(0).await,
                                2 => spawn(yield_now()).await.unwrap(),
                                _ => spawn(async { block_on(yield_now()) }).await.unwrap(),
                            }
                        }
                    })
                })
                .collect();
            // Slow without optimisation, and slower with a sanitizer.
            for _ in 0..if cfg!(debug_assertions) { 3 } else { 10 } {
                trace_of(&runtime);
                drop(runtime.spawn(async {}));
            }
            over.store(true, Ordering::Relaxed);
            for task in tasks {
                runtime.block_on(task).unwrap();
            }
            trace_of(&runtime);
        });
    }
}

#[test]
fn a_hook_that_panics_harms_nothing() {
    for workers in [1, 2] {
        ends("the tasks", move || {
            let calls = Arc::new(AtomicUsize::new(0));
            let counted = calls.clone();
            let hook = move |_: &_| {
                counted.fetch_add(1, Ordering::Relaxed);
                std::panic::resume_unwind(Box::new(Angry));
            };
            let runtime = Runtime::builder().workers(workers).tracer(hook).trace_events(1 << 14).build().unwrap();
            let sum: usize = runtime.block_on(async {
                let tasks: Vec<_> = (0..100)
                    .map(|n| {
                        spawn(async move {
                            yield_now().await;
                            n
                        })
                    })
                    .collect();
                let mut sum = 0;
                for task in tasks {
                    sum += task.await.unwrap();
                }
                sum + spawn_local(async { 1 }).await.unwrap() + runtime.spawn_blocking(|| 1).await.unwrap()
            });
            assert_eq!(sum, 4952);
            trace_of(&runtime);
            runtime.shutdown(LIMIT).unwrap();
            // A spawn, and two turns with their ends, of each.
            assert!(calls.load(Ordering::Relaxed) >= 506);
        });
    }
}

/// A payload that panics again when it is dropped.
struct Angry;

impl Drop for Angry {
    fn drop(&mut self) {
        if !thread::panicking() {
            std::panic::resume_unwind(Box::new(()));
        }
    }
}

#[test]
fn the_hook_is_told_of_turns_in_pairs() {
    ends("the tasks", || {
        let events = Arc::new(Mutex::new(Vec::new()));
        let kept = events.clone();
        let hook = move |event: &gambol_executor::Event| kept.lock().unwrap().push(event.clone());
        let runtime = Runtime::builder().workers(2).tracer(hook).build().unwrap();
        let id = runtime.block_on(async {
            let task = spawn(yield_now());
            let id = task.id();
            task.await.unwrap();
            id
        });
        runtime.shutdown(LIMIT).unwrap();
        use gambol_executor::Event::{Run, Spawn, Stop};
        let of_task: Vec<_> = events
            .lock()
            .unwrap()
            .iter()
            .filter_map(|event| match event {
                Spawn { id: of, .. } if *of == id => Some("spawn"),
                Run { id: of, .. } if *of == id => Some("run"),
                Stop { id: of, .. } if *of == id => Some("stop"),
                _ => None,
            })
            .collect();
        assert_eq!(of_task, ["spawn", "run", "stop", "run", "stop"]);
    });
}

#[test]
fn a_runtime_that_records_nothing_says_so() {
    let runtime = common::runtime(1);
    let error = runtime.handle().write_trace(&mut io::sink()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
}

#[test]
fn settings_out_of_range_are_refused() {
    for builder in [
        Builder::new().trace_events(63),
        Builder::new().trace_events((1 << 24) + 1),
        Builder::new().schedtrace(Duration::from_micros(999)),
    ] {
        assert_eq!(builder.build().unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}

#[test]
fn a_file_that_cannot_be_made_is_an_error_of_build() {
    let path = env::temp_dir().join("there/is/no/such/directory");
    assert_eq!(Runtime::builder().trace(path).build().unwrap_err().kind(), io::ErrorKind::NotFound);
}

/// A file that goes when the test is over.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str) -> Temporary {
        Temporary(env::temp_dir().join(format!("gambol-trace-{}-{name}.json", std::process::id())))
    }

    fn check(&self) -> Trace {
        check(&fs::read_to_string(&self.0).unwrap())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[derive(Clone, Copy, Debug)]
enum Ending {
    Dropped,
    ShutDown,
    /// In one of its own tasks, so that it ends in the background.
    DroppedInside,
    /// In one of its own blocking jobs.
    DroppedInJob,
}

#[test]
fn the_file_is_written_when_the_runtime_ends_however_it_does() {
    for ending in [Ending::Dropped, Ending::ShutDown, Ending::DroppedInside, Ending::DroppedInJob] {
        ends(&format!("{ending:?}"), move || {
            let file = Temporary::new(&format!("{ending:?}"));
            let runtime = Runtime::builder().workers(2).trace(&file.0).build().unwrap();
            assert_eq!(fs::read(&file.0).unwrap(), b"", "it is made at once, and written in the end");
            let task = runtime.spawn(yield_now());
            let id = number(task.id());
            runtime.block_on(task).unwrap();
            match ending {
                Ending::Dropped => drop(runtime),
                Ending::ShutDown => runtime.shutdown(LIMIT).unwrap(),
                Ending::DroppedInside => {
                    let handle = runtime.handle().clone();
                    let _ = block_on(handle.spawn(async move { drop(runtime) }));
                }
                Ending::DroppedInJob => {
                    let handle = runtime.handle().clone();
                    let _ = block_on(handle.spawn_blocking(move || drop(runtime)));
                }
            }
            // In the background it takes its time; the end of the JSON is the last that is written.
            while !fs::read_to_string(&file.0).unwrap().ends_with("\n]}\n") {
                thread::yield_now();
            }
            assert_eq!(file.check().of(id).len(), 2);
        });
    }
}

#[test]
fn many_runtimes_one_after_the_other_each_have_their_own_trace() {
    ends("the runtimes", || {
        for _ in 0..20 {
            let runtime = Runtime::builder().workers(2).trace_events(4096).build().unwrap();
            let ids: BTreeSet<u64> = runtime.block_on(async {
                let tasks: Vec<_> = (0..10).map(|_| spawn(yield_now())).collect();
                let ids = tasks.iter().map(|task| number(task.id())).collect();
                for task in tasks {
                    task.await.unwrap();
                }
                ids
            });
            let trace = trace_of(&runtime);
            assert!(trace.turns.iter().all(|turn| ids.contains(&turn.task)), "{ids:?} {:?}", trace.turns);
            assert!(trace.spawned.is_subset(&ids));
        }
    });
}

#[test]
fn a_write_that_fails_gives_the_writers_error() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let runtime = traced(1);
    assert_eq!(runtime.handle().write_trace(&mut Full).unwrap_err().kind(), io::ErrorKind::StorageFull);
    trace_of(&runtime);
}

#[test]
fn a_pending_turn_is_closed_where_the_trace_ends() {
    ends("the trace", || {
        let runtime = traced(1);
        let (tx, rx) = mpsc::channel::<()>();
        let (inside_tx, inside_rx) = mpsc::channel();
        let task = runtime.spawn(poll_fn(move |_| {
            inside_tx.send(()).unwrap();
            let _ = rx.recv();
            Poll::Ready(())
        }));
        let id = number(task.id());
        inside_rx.recv().unwrap();
        assert_eq!(trace_of(&runtime).of(id)[0].why, "still going on");
        drop(tx);
        runtime.block_on(task).unwrap();
    });
}
