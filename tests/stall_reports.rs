//! What the runtime tells of a task that keeps its thread: once for each place that spawns such tasks, with the task and the
//! duration, and each time in the metrics.
//!
//! A task counts as stalled only while somebody needs its worker: a task that cannot run before ends each stall.

use gambol::{
    runtime::{Builder, Runtime, Stall},
    task::{self, JoinHandle},
};
use std::{
    panic::Location,
    sync::{Arc, Mutex, mpsc},
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(20);

/// What was told, in a form that can be kept.
#[derive(Clone, Debug)]
struct Told {
    task: Option<task::Id>,
    line: Option<u32>,
    file: Option<&'static str>,
    duration: Duration,
}

type Report = Arc<Mutex<Vec<Told>>>;

fn told_to(report: &Report) -> impl Fn(&Stall) + Send + Sync + 'static {
    let report = report.clone();
    move |stall| {
        let location: Option<&'static Location<'static>> = stall.location();
        report.lock().unwrap().push(Told {
            task: stall.task(),
            line: location.map(Location::line),
            file: location.map(Location::file),
            duration: stall.duration(),
        });
    }
}

fn builder() -> (Builder, Report) {
    let report = Report::default();
    (Runtime::builder().workers(1).on_stall(told_to(&report)), report)
}

/// Keeps the only worker until a task that needs it has run, and the monitor has counted that.
fn stall(runtime: &Runtime, spawn: impl FnOnce(&Runtime, mpsc::Receiver<()>) -> JoinHandle<bool>) -> task::Id {
    let before = runtime.metrics().stalls();
    let (sender, receiver) = mpsc::channel();
    let stalled = spawn(runtime, receiver);
    let id = stalled.id();
    runtime.spawn(async move { sender.send(()) });
    assert!(runtime.block_on(stalled).unwrap(), "nobody relieved it: {runtime:?}");
    until("counted", || runtime.metrics().stalls() > before);
    id
}

/// Keeps its thread until another task has run, and for longer than the threshold: what is shorter is not told.
fn keep(receiver: &mpsc::Receiver<()>) -> bool {
    let relieved = receiver.recv_timeout(PATIENCE).is_ok();
    std::thread::sleep(Duration::from_millis(20));
    relieved
}

/// Waits for what another thread does.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "not {what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_stall_is_told_with_its_task_its_place_and_how_long_it_was() {
    let (builder, report) = builder();
    let runtime = builder.build().unwrap();
    let mut line = 0;
    let id = stall(&runtime, |runtime, receiver| {
        line = line!() + 1;
        runtime.spawn(async move { keep(&receiver) })
    });
    until("told", || !report.lock().unwrap().is_empty());
    let told = report.lock().unwrap().clone();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((told[0].task, told[0].line, told[0].file), (Some(id), Some(line), Some(file!())), "{told:?}");
    // The default threshold; it was found to be stuck after that.
    assert!(told[0].duration >= Duration::from_millis(10), "{told:?}");
}

#[test]
fn each_place_is_told_once_and_each_stall_is_counted() {
    const ROUNDS: u64 = 5;
    let (builder, report) = builder();
    let runtime = builder.build().unwrap();
    let mut first = 0;
    let mut second = 0;
    for _ in 0..ROUNDS {
        stall(&runtime, |runtime, receiver| {
            first = line!() + 1;
            runtime.spawn(async move { keep(&receiver) })
        });
        stall(&runtime, |runtime, receiver| {
            second = line!() + 1;
            runtime.spawn(async move { keep(&receiver) })
        });
    }
    assert!(runtime.metrics().stalls() >= 2 * ROUNDS);
    let has = |line| report.lock().unwrap().iter().any(|told| told.line == Some(line));
    until("told", || has(first) && has(second));
    let told = report.lock().unwrap().clone();
    assert_eq!(told.iter().filter(|told| told.line == Some(first)).count(), 1, "{told:?}");
    assert_eq!(told.iter().filter(|told| told.line == Some(second)).count(), 1, "{told:?}");
}

#[test]
fn a_hook_that_panics_harms_nothing() {
    let (builder, report) = builder();
    let tell = told_to(&report);
    let runtime = builder
        .on_stall(move |stall| {
            tell(stall);
            panic!("a hook's own");
        })
        .build()
        .unwrap();
    for _ in 0..3 {
        stall(&runtime, |runtime, receiver| runtime.spawn(async move { keep(&receiver) }));
    }
    until("told", || !report.lock().unwrap().is_empty());
    assert_eq!(runtime.block_on(runtime.spawn(async { 7 })).unwrap(), 7);
}

/// Without a threshold nothing counts as a stall, however long it takes.
#[test]
fn without_a_threshold_nothing_is_told() {
    let (builder, report) = builder();
    let runtime = builder.stall_threshold(Duration::MAX).build().unwrap();
    // Many default thresholds, and nobody can have run behind it.
    let (sender, receiver) = mpsc::channel();
    let stalled = runtime.spawn(async move { receiver.recv_timeout(Duration::from_millis(200)).is_ok() });
    let behind = runtime.spawn(async move {
        let _ = sender.send(());
    });
    let relieved = runtime.block_on(stalled).unwrap();
    runtime.block_on(behind).unwrap();
    assert_eq!((relieved, runtime.metrics().stalls()), (false, 0));
    assert!(report.lock().unwrap().is_empty());
}

/// A task that blocks while nobody needs its worker harms nobody.
#[test]
fn a_task_that_says_that_it_blocks_is_not_told() {
    let (builder, report) = builder();
    let runtime = builder.build().unwrap();
    let (sender, receiver) = mpsc::channel();
    let blocked = runtime.spawn(async move { gambol::block_in_place(|| keep(&receiver)) });
    let behind = runtime.spawn(async move { sender.send(()) });
    assert!(runtime.block_on(blocked).unwrap());
    runtime.block_on(behind).unwrap().unwrap();
    drop(runtime);
    let told = report.lock().unwrap().clone();
    assert!(told.is_empty(), "{told:?}");
}
