//! What tells of a runtime, all of it at once and in each kind of runtime: dump, metrics, histograms, trace, the page for
//! `gambol-top`; beside stuck workers, stages, local tasks, and runtimes that end inside themselves. No figure and no setting goes
//! from one runtime to the next in the same core.

#[path = "common/chrome.rs"]
mod chrome;
mod common;

use chrome::{Trace, check};
use common::{LIMIT, ends, event, yield_now};
use gambol_executor::{
    Builder, Event, Handle, Reason, Runtime, Sleep, TaskState, WorkerState, block_in_place, block_on, park, random,
    spawn, spawn_local,
};
use std::{
    future::{pending, poll_fn},
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    task::Poll,
    thread,
    time::Duration,
};

/// Asks until it is so; the limit is that of `ends`.
fn wait_until(mut holds: impl FnMut() -> bool) {
    while !holds() {
        thread::sleep(Duration::from_millis(1));
    }
}

fn trace_of(handle: &Handle) -> Trace {
    let mut json = Vec::new();
    handle.write_trace(&mut json).unwrap();
    check(std::str::from_utf8(&json).unwrap())
}

/// Real time with free workers, and everything that has a stage.
fn kinds() -> [Builder; 4] {
    let new = || Builder::new().workers(2);
    [new(), new().virtual_time(true), new().seed(5), new().virtual_time(true).seed(5)]
}

#[test]
fn turns_are_measured_in_every_kind_of_runtime() {
    for (kind, builder) in kinds().into_iter().enumerate() {
        ends("turns", move || {
            let runtime = builder.histograms(true).build().unwrap();
            runtime.block_on(async {
                let tasks: Vec<_> = (0..20).map(|_| spawn(yield_now())).collect();
                let local = spawn_local(yield_now());
                // Cancelled at the end, in a turn.
                drop(spawn_local(pending::<()>()));
                for task in tasks {
                    task.await.unwrap();
                }
                local.await.unwrap();
            });
            let counts = || {
                let m = runtime.metrics();
                (m.polls(), m.poll_time().unwrap().count(), m.schedule_latency().unwrap().count())
            };
            wait_until(|| counts().0 == counts().1);
            let (polls, times, waits) = counts();
            // The last had one turn before it was cancelled, or none.
            assert!((43..=44).contains(&polls), "{kind}: {polls}");
            // Who was cancelled while it waited was woken for that.
            assert_eq!((times, waits), (polls, polls), "{kind}");
            let by_workers: u64 = runtime.metrics().per_worker().map(|worker| worker.polls()).sum();
            assert_eq!(by_workers, 40, "{kind}");
        });
    }
}

#[test]
fn a_dump_tells_right_ages_in_every_kind_of_runtime_also_where_turns_are_measured() {
    for histograms in [false, true] {
        for (kind, builder) in kinds().into_iter().enumerate() {
            ends("ages", move || {
                // Another runtime may have left another clock.
                let other = Runtime::builder().workers(1).virtual_time(kind % 2 == 0).build().unwrap();
                other.block_on(Sleep::new(Duration::from_millis(if kind % 2 == 0 { 3_600_000 } else { 1 })));
                drop(other);
                let runtime = builder.histograms(histograms).build().unwrap();
                let handle = runtime.handle().clone();
                runtime.block_on(async {
                    // Says nothing, something; was parked and runs; waits in a `block_on`.
                    let silent = spawn(pending::<()>());
                    let says = spawn(poll_fn(|_| {
                        park(Reason::Notify);
                        Poll::<()>::Pending
                    }));
                    let (signal, event) = event();
                    let asks = handle.clone();
                    let runs = spawn(async move {
                        yield_now().await;
                        signal.send();
                        let dump = asks.dump();
                        let me = dump.iter().find(|task| Some(task.id) == gambol_executor::current_task()).cloned();
                        (me.unwrap(), dump)
                    });
                    let asks = handle.clone();
                    let local = spawn_local(async move {
                        yield_now().await;
                        let dump = asks.dump();
                        let me = dump.iter().find(|task| Some(task.id) == gambol_executor::current_task()).cloned();
                        me.unwrap()
                    });
                    let waits = spawn(async { block_on(spawn(pending::<()>())) });
                    event.await;
                    let runs = runs.await.unwrap();
                    assert_eq!(runs.0.state, TaskState::Running, "{kind}, {histograms}: {}", runs.1);
                    assert!(runs.0.since < LIMIT, "{kind}, {histograms}: {}", runs.1);
                    let local = local.await.unwrap();
                    assert!(local.since < LIMIT, "{kind}, {histograms}: {local:?}");
                    while handle.parked_tasks().len() < 3 {
                        yield_now().await;
                    }
                    let dump = handle.dump();
                    assert!(dump.iter().all(|task| task.since < LIMIT), "{kind}, {histograms}: {dump}");
                    let wait = |id| dump.iter().find(|task| task.id == id).map(|task| (task.state, task.wait));
                    assert_eq!(wait(silent.id()), Some((TaskState::Parked, Reason::Unknown)));
                    assert_eq!(wait(says.id()), Some((TaskState::Parked, Reason::Notify)));
                    // Ready, if another has its turn in its sleep.
                    let (state, wait) = wait(waits.id()).unwrap();
                    assert!(matches!(state, TaskState::Running | TaskState::Ready), "{dump}");
                    assert_eq!(wait, Reason::Unknown);
                });
            });
        }
    }
}

#[test]
fn workers_of_a_stage_that_have_nothing_to_do_are_parked() {
    ends("rest", || {
        for builder in kinds() {
            let runtime = builder.build().unwrap();
            runtime.block_on(async { spawn(yield_now()).await.unwrap() });
            wait_until(|| {
                let m = runtime.metrics();
                m.workers_parked() == 2 && m.per_worker().all(|worker| worker.state() == WorkerState::Parked)
            });
            assert!(runtime.dump().to_string().contains("2 active, 2 of these parked"), "{}", runtime.dump());
            // Not whether a deadlock is suspected: that is about other tests' runtimes as well.
            assert!(runtime.handle().parked_tasks().is_empty());
        }
    });
}

#[test]
fn a_turn_inside_of_another_ends_for_its_own_reason() {
    ends("turns", || {
        // No place is left for a second worker: what the first waits for runs in its sleep.
        for builder in kinds() {
            let builder = builder.workers(1).max_workers(1).trace_events(1 << 12);
            let runtime = builder.build().unwrap();
            let (outer, again) = runtime.block_on(async {
                // The inner one is woken during its turn, the outer is not.
                let outer = spawn(async {
                    block_on(async { spawn(yield_now()).await.unwrap() });
                    poll_fn(|_| {
                        park(Reason::Notify);
                        Poll::<()>::Pending
                    })
                    .await;
                });
                // The outer one is, before the inner begins.
                let again = spawn(async {
                    let mut first = true;
                    poll_fn(|cx| {
                        if std::mem::replace(&mut first, false) {
                            cx.waker().wake_by_ref();
                            block_on(async { spawn(async {}).await.unwrap() });
                            return Poll::Pending;
                        }
                        Poll::Ready(())
                    })
                    .await;
                });
                let ids = [outer.id(), again.id()].map(|id| id.to_string().parse::<u64>().unwrap());
                again.await.unwrap();
                while !runtime.handle().parked_tasks().iter().any(|task| task.wait == Reason::Notify) {
                    yield_now().await;
                }
                (ids[0], ids[1])
            });
            let handle = runtime.handle().clone();
            drop(runtime);
            let trace = trace_of(&handle);
            assert_eq!(trace.of(outer)[0].why, "notify");
            assert_eq!(trace.of(again)[0].why, "woken during its turn");
        }
    });
}

#[test]
fn while_all_workers_are_stuck_everything_can_be_asked() {
    ends("stuck", || {
        let builder = Runtime::builder().workers(2).max_workers(2).histograms(true).trace_events(1 << 12);
        let runtime = builder.build().unwrap();
        let gate: &'static Barrier = Box::leak(Box::new(Barrier::new(3)));
        let (started, has_started) = mpsc::channel();
        for _ in 0..2 {
            let started = started.clone();
            drop(runtime.spawn(async move {
                started.send(()).unwrap();
                gate.wait();
            }));
        }
        (0..2).for_each(|_| has_started.recv().unwrap());
        // Somebody waits for them.
        let behind = runtime.spawn(async {});
        wait_until(|| runtime.metrics().workers_blocked() == 2);
        let m = runtime.metrics();
        assert!(m.per_worker().all(|worker| worker.state() == WorkerState::Blocked), "{m}");
        assert!(m.stalls() >= 1, "{m}");
        let dump = runtime.dump();
        assert_eq!(dump.iter().filter(|task| task.state == TaskState::Running).count(), 2, "{dump}");
        assert_eq!(dump.to_string().matches("is blocked by task").count(), 2, "{dump}");
        assert_eq!(trace_of(runtime.handle()).count("B", "parked"), trace_of(runtime.handle()).count("B", "parked"));
        assert!(runtime.handle().suspected_deadlock().is_none());
        gate.wait();
        runtime.block_on(behind).unwrap();
        wait_until(|| runtime.metrics().workers_blocked() == 0);
        let handle = runtime.handle().clone();
        runtime.shutdown(LIMIT).unwrap();
        let trace = trace_of(&handle);
        assert!(trace.counts.keys().any(|(phase, name)| phase == "b" && name.starts_with("stall ")), "{trace:?}");
    });
}

/// What the tasks did, one after the other.
fn order(record: bool, measure: bool, watch: bool, seed: u64) -> Vec<(char, String)> {
    let lines: Arc<Mutex<Vec<_>>> = Arc::default();
    let mut builder = Builder::new().workers(3).virtual_time(true).seed(seed).histograms(measure).tracer({
        let lines = lines.clone();
        move |event| {
            let (what, id) = match event {
                Event::Spawn { id, .. } => ('s', id),
                Event::Run { id, .. } => ('r', id),
                Event::Stop { id, .. } => ('e', id),
                _ => return,
            };
            lines.lock().unwrap().push((what, id.to_string()));
        }
    });
    if record {
        builder = builder.trace_events(64);
    }
    let runtime = builder.build().unwrap();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        if watch {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    drop((runtime.dump(), runtime.metrics().to_string()));
                    let _ = runtime.handle().write_trace(&mut std::io::sink());
                }
            });
        }
        runtime.block_on(async {
            let crowd: Vec<_> = (0..20)
                .map(|_| {
                    spawn(async {
                        for _ in 0..5 {
                            match random() % 4 {
                                0 => yield_now().await,
                                1 => Sleep::new(Duration::from_millis(random() % 9)).await,
                                2 => drop(spawn(yield_now()).await),
                                _ => block_on(async { drop(spawn(Sleep::new(Duration::from_millis(1))).await) }),
                            }
                        }
                    })
                })
                .collect();
            let local = spawn_local(async { Sleep::new(Duration::from_millis(3)).await });
            for task in crowd {
                task.await.unwrap();
            }
            local.await.unwrap();
        });
        over.store(true, Ordering::Relaxed);
    });
    drop(runtime);
    std::mem::take(&mut *lines.lock().unwrap())
}

#[test]
fn who_looks_at_a_seeded_run_does_not_change_it() {
    ends("seeded runs", || {
        for seed in 0..6 {
            let plain = order(false, false, false, seed);
            assert!(plain.len() > 200);
            for (record, measure, watch) in [(true, false, false), (false, true, false), (true, true, true)] {
                assert!(order(record, measure, watch, seed) == plain, "{seed}: {record} {measure} {watch}");
            }
        }
    });
}

#[test]
fn a_runtime_that_is_dropped_inside_itself_leaves_a_whole_trace() {
    ends("drops", || {
        for local in [false, true] {
            for builder in kinds() {
                let runtime = builder.histograms(true).trace_events(1 << 10).build().unwrap();
                let handle = runtime.handle().clone();
                let drops = async move {
                    yield_now().await;
                    block_in_place(|| ());
                    drop(runtime);
                };
                if local {
                    let inside = handle.clone();
                    // In a task of another runtime's `block_on`, which is that one's own thread for it.
                    block_on(async move {
                        let done = inside.spawn(drops);
                        let _ = spawn_local(done).await;
                    });
                } else {
                    drop(handle.spawn(drops));
                }
                wait_until(|| handle.metrics().tasks_live() == 0);
                wait_until(|| handle.metrics().per_worker().all(|worker| worker.state() == WorkerState::Vacant));
                let trace = trace_of(&handle);
                assert!(trace.lost == 0 && !trace.turns.is_empty());
                assert!(handle.dump().is_empty());
            }
        }
    });
}

#[test]
fn nothing_goes_from_one_runtime_to_the_next() {
    ends("runtimes", || {
        let mut dice = fastrand::Rng::with_seed(11);
        for round in 0..150 {
            let (record, measure, workers) = (dice.bool(), dice.bool(), dice.usize(1..5));
            let (is_virtual, seeded, hook) = (dice.u8(0..4) == 0, dice.u8(0..4) == 0, dice.bool());
            let told: Arc<Mutex<usize>> = Arc::default();
            let name = format!("round{round}");
            let mut builder = Builder::new().workers(workers).histograms(measure).virtual_time(is_virtual).name(&*name);
            if seeded {
                builder = builder.seed(round);
            }
            if record {
                builder = builder.trace_events(1 << 12);
            }
            if hook {
                let told = told.clone();
                builder = builder.tracer(move |_| *told.lock().unwrap() += 1);
            }
            let runtime = builder.build().unwrap();
            let what = format!("{round}: {record} {measure} {workers} {is_virtual} {seeded} {hook}");
            let handle = runtime.handle();
            // As it begins.
            let m = runtime.metrics();
            assert_eq!(
                (m.polls(), m.tasks_spawned(), m.timers_armed(), m.stalls(), m.steals()),
                (0, 0, 0, 0, 0),
                "{what}"
            );
            assert_eq!(m.poll_time().map(|times| times.count()), measure.then_some(0), "{what}");
            assert_eq!(m.schedule_latency().map(|times| times.count()), measure.then_some(0), "{what}");
            assert!(runtime.dump().is_empty(), "{what}");
            wait_until(|| runtime.metrics().workers_parked() == workers);
            assert!(runtime.metrics().per_worker().count() <= workers, "{what}");
            // Some of what leaves traces.
            let turns = dice.usize(1..20);
            runtime.block_on(async {
                let tasks: Vec<_> = (0..turns).map(|_| spawn(yield_now())).collect();
                let sleeper = spawn(Sleep::new(Duration::from_millis(1)));
                let local = spawn_local(yield_now());
                drop(spawn(pending::<()>()));
                if dice.u8(0..8) == 0 {
                    // An added worker.
                    spawn(async { block_in_place(|| thread::sleep(Duration::from_millis(1))) }).await.unwrap();
                }
                for task in tasks {
                    task.await.unwrap();
                }
                sleeper.await.unwrap();
                local.await.unwrap();
            });
            let dump = runtime.dump();
            assert!(dump.to_string().starts_with(&format!("runtime {name:?};")), "{what}: {dump}");
            assert!(dump.iter().all(|task| task.since < LIMIT), "{what}: {dump}");
            let m = runtime.metrics();
            assert!(m.tasks_spawned() as usize >= turns + 3 && m.uptime() < LIMIT, "{what}: {m}");
            // None if it was due before it was looked at.
            assert!(m.timers_armed() <= 1, "{what}: {m}");
            let kept = handle.clone();
            drop(runtime);
            if measure {
                let m = kept.metrics();
                assert!(m.poll_time().unwrap().count() <= m.polls(), "{what}: {m}");
            }
            assert_eq!(kept.write_trace(&mut std::io::sink()).is_ok(), record, "{what}");
            if record {
                let trace = trace_of(&kept);
                assert!(trace.tracks.values().any(|track| track.starts_with(&name)), "{what}: {:?}", trace.tracks);
                assert!(
                    trace.tracks.values().all(|track| !track.starts_with("round") || track.starts_with(&name)),
                    "{what}"
                );
                assert!(trace.spawned.len() >= turns + 3, "{what}");
            }
            assert_eq!(*told.lock().unwrap() > 0, hook, "{what}");
        }
    });
}
