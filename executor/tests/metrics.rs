//! Each figure of `Metrics` tells the truth: known numbers of everything are brought about and compared.

mod common;

use common::{capped, ends, event, pair, read, runtime, yield_now};
use gambol_executor::{
    Histogram, Metrics, Runtime, Sleep, WorkerMetrics, WorkerState, block_in_place, block_on, spawn, spawn_blocking,
    spawn_local, spend,
};
use std::{
    future::{pending, poll_fn},
    io::Write,
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    task::{Poll, Waker},
    thread,
    time::Duration,
};

/// Asks until it is so; the limit is that of `ends`.
fn wait_until(mut holds: impl FnMut() -> bool) {
    while !holds() {
        thread::sleep(Duration::from_millis(1));
    }
}

/// A panic that does not fill the output.
fn panic_quietly() {
    std::panic::resume_unwind(Box::new("as asked"));
}

#[test]
fn tasks_are_counted_once_for_each_way_to_end() {
    ends("tasks", || {
        let runtime = runtime(2);
        let handle = runtime.handle();
        let finish: Vec<_> = (0..100).map(|_| handle.spawn(async {})).collect();
        let panic: Vec<_> = (0..3).map(|_| handle.spawn(async { panic_quietly() })).collect();
        let parked: Vec<_> = (0..5).map(|_| handle.spawn(pending::<()>())).collect();
        let jobs: Vec<_> = (0..7).map(|n| handle.spawn_blocking(move || n)).collect();
        let panicking_job = handle.spawn_blocking(panic_quietly);
        wait_until(|| handle.parked_tasks().len() == 5);
        runtime.block_on(async {
            for task in finish {
                task.await.unwrap();
            }
            for task in panic {
                assert!(task.await.unwrap_err().is_panic());
            }
            for job in jobs {
                job.await.unwrap();
            }
            assert!(panicking_job.await.unwrap_err().is_panic());
            assert_eq!(handle.metrics().tasks_live(), 5);
            for task in parked {
                task.abort();
                assert!(task.await.unwrap_err().is_cancelled());
            }
        });
        // Counted before the handles yielded the outcomes.
        let m = runtime.metrics();
        assert_eq!((m.tasks_spawned(), m.tasks_finished(), m.tasks_live()), (116, 116, 0));
        assert_eq!((m.tasks_aborted(), m.tasks_panicked()), (5, 4));
        // One turn each, and a second one for those that were cancelled; jobs have none.
        assert_eq!(m.polls(), 100 + 3 + 2 * 5);
        assert_eq!(m.per_worker().map(WorkerMetrics::polls).sum::<u64>(), m.polls());
        wait_until(|| runtime.metrics().blocking_jobs_done() == 8);
    });
}

#[test]
fn tasks_of_spawn_local_count_as_others_but_for_no_worker() {
    ends("local tasks", || {
        let runtime = runtime(1);
        runtime.block_on(async {
            let tasks: Vec<_> = (0..10).map(|_| spawn_local(yield_now())).collect();
            for task in tasks {
                task.await.unwrap();
            }
            drop(spawn_local(pending::<()>()));
        });
        let m = runtime.metrics();
        assert_eq!((m.tasks_spawned(), m.tasks_finished(), m.tasks_aborted()), (11, 11, 1));
        // The last one's only turn is the one in which it is cancelled, or that and one before.
        assert!((21..=22).contains(&m.polls()), "{}", m.polls());
        assert_eq!(m.per_worker().map(WorkerMetrics::polls).sum::<u64>(), 0);
    });
}

#[test]
fn each_stolen_task_is_counted() {
    ends("steals", || {
        const TASKS: usize = 20;
        let runtime = capped(2);
        let done = runtime.block_on(async {
            spawn(async {
                let ran = Arc::new(AtomicUsize::new(0));
                for _ in 0..TASKS {
                    let ran = ran.clone();
                    drop(spawn(async move { ran.fetch_add(1, Ordering::SeqCst) }));
                }
                // They stand behind this one: only who steals can run them.
                wait_until(|| ran.load(Ordering::SeqCst) == TASKS);
                ran.load(Ordering::SeqCst)
            })
            .await
        });
        assert_eq!(done.unwrap(), TASKS);
        let m = runtime.metrics();
        assert_eq!(m.steals(), TASKS as u64);
        assert!(m.per_worker().any(|worker| worker.steals() == TASKS as u64));
    });
}

/// A task and the waker by which another one calls it.
#[derive(Default)]
struct Place(Mutex<(bool, Option<Waker>)>);

impl Place {
    fn call(&self) {
        let mut place = self.0.lock().unwrap();
        place.0 = true;
        let waker = place.1.take();
        drop(place);
        waker.into_iter().for_each(Waker::wake);
    }

    async fn called(&self) {
        poll_fn(|cx| {
            let mut place = self.0.lock().unwrap();
            if std::mem::take(&mut place.0) {
                return Poll::Ready(());
            }
            place.1 = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

#[test]
fn each_turn_from_the_slot_is_counted_also_when_the_slot_had_many_in_a_row() {
    ends("slot", || {
        const ROUNDS: u64 = 1000;
        let runtime = runtime(1);
        let before = Arc::new(Mutex::new(None));
        let (task_before, handle) = (before.clone(), runtime.handle().clone());
        runtime
            .block_on(spawn_on(&runtime, async move {
                let places = Arc::new([Place::default(), Place::default()]);
                let theirs = places.clone();
                let peer = spawn(async move {
                    for _ in 0..ROUNDS {
                        theirs[1].called().await;
                        theirs[0].call();
                    }
                });
                // It parks first.
                yield_now().await;
                *task_before.lock().unwrap() = Some(handle.metrics());
                for _ in 0..ROUNDS {
                    places[1].call();
                    places[0].called().await;
                }
                drop(peer);
            }))
            .unwrap();
        let (before, after) = (before.lock().unwrap().take().unwrap(), runtime.metrics());
        // Each of the two was woken by the other, and nothing else ran.
        assert_eq!(after.slot_hits() - before.slot_hits(), 2 * ROUNDS);
        assert_eq!(after.polls() - before.polls(), 2 * ROUNDS);
        assert_eq!(after.worker(0).unwrap().slot_hits(), after.slot_hits());
    });
}

fn spawn_on<T: Send + 'static>(
    runtime: &Runtime,
    future: impl Future<Output = T> + Send + 'static,
) -> gambol_executor::JoinHandle<T> {
    runtime.handle().spawn(future)
}

/// Spends so many units of the budget.
async fn spend_units(units: usize) {
    for _ in 0..units {
        poll_fn(|cx| spend(cx).map(drop)).await;
    }
}

#[test]
fn each_refusal_of_the_budget_is_counted_wherever_the_budget_is() {
    ends("budget", || {
        let runtime = runtime(2);
        // 128 a turn: ten turns are not enough, and the eleventh is.
        runtime.block_on(spawn_on(&runtime, spend_units(1281))).unwrap();
        assert_eq!(runtime.metrics().budget_yields(), 10);
        runtime.block_on(spend_units(1281));
        assert_eq!(runtime.metrics().budget_yields(), 20);
        runtime.block_on(async { spawn_local(spend_units(1281)).await }).unwrap();
        assert_eq!(runtime.metrics().budget_yields(), 30);
        runtime.block_on(spawn_on(&runtime, async { block_on(spend_units(1281)) })).unwrap();
        assert_eq!(runtime.metrics().budget_yields(), 40);
    });
}

#[test]
fn events_and_waits_of_the_poller_are_counted() {
    ends("poller", || {
        const BYTES: u64 = 50;
        let runtime = runtime(2);
        assert_eq!((runtime.metrics().poller_events(), runtime.metrics().poller_waits()), (0, 0));
        runtime.block_on(async {
            let (ours, mut theirs) = pair();
            let (asks, asked) = mpsc::channel();
            let writer = thread::spawn(move || {
                while asked.recv().is_ok() {
                    theirs.write_all(&[1]).unwrap();
                }
            });
            for _ in 0..BYTES {
                let mut reading = Box::pin(read(&ours));
                // Nothing is there before it is asked for, so each byte is an event of its own, and a wait.
                let first = poll_fn(|cx| Poll::Ready(reading.as_mut().poll(cx))).await;
                assert!(first.is_pending());
                asks.send(()).unwrap();
                assert_eq!(reading.await.unwrap(), 1);
            }
            drop(asks);
            writer.join().unwrap();
        });
        let m = runtime.metrics();
        assert!(m.poller_events() >= BYTES && m.poller_waits() >= BYTES, "{m}");
    });
}

#[test]
fn timers_are_counted_as_armed_and_as_fired_or_cancelled() {
    ends("timers", || {
        let runtime = runtime(2);
        runtime.block_on(async {
            for _ in 0..10 {
                Sleep::new(Duration::from_millis(1)).await;
            }
            for _ in 0..5 {
                let mut sleep = Box::pin(Sleep::new(Duration::from_secs(3600)));
                let first = poll_fn(|cx| Poll::Ready(sleep.as_mut().poll(cx))).await;
                assert!(first.is_pending());
            }
            // Never polled: never armed.
            drop(Sleep::new(Duration::from_secs(3600)));
        });
        let m = runtime.metrics();
        assert_eq!((m.timers_armed(), m.timers_fired(), m.timers_cancelled()), (15, 10, 5));
    });
}

#[test]
fn the_blocking_pool_shows_its_threads_and_its_queue() {
    ends("pool", || {
        let runtime = Runtime::builder().workers(1).max_blocking_threads(2).build().unwrap();
        let figures = || {
            let m = runtime.metrics();
            (m.blocking_threads(), m.blocking_idle(), m.blocking_queued(), m.blocking_jobs_done())
        };
        assert_eq!(figures(), (0, 0, 0, 0));
        let gate = Arc::new(Barrier::new(3));
        let jobs: Vec<_> = (0..6)
            .map(|n| {
                let gate = gate.clone();
                runtime.handle().spawn_blocking(move || {
                    if n < 2 {
                        gate.wait();
                    }
                })
            })
            .collect();
        wait_until(|| figures() == (2, 0, 4, 0));
        gate.wait();
        runtime.block_on(async {
            for job in jobs {
                job.await.unwrap();
            }
        });
        wait_until(|| figures() == (2, 2, 0, 6));
    });
}

#[test]
fn sleeps_and_wakes_of_workers_are_counted() {
    ends("wakes", || {
        const ROUNDS: u64 = 20;
        let runtime = runtime(1);
        for _ in 0..ROUNDS {
            wait_until(|| runtime.metrics().workers_parked() == 1);
            assert_eq!(runtime.metrics().worker(0).unwrap().state(), WorkerState::Parked);
            runtime.block_on(spawn_on(&runtime, async {})).unwrap();
        }
        wait_until(|| runtime.metrics().workers_parked() == 1);
        let m = runtime.metrics();
        assert_eq!(m.wakes(), ROUNDS);
        // Once before each round and once at the end, and perhaps without a reason in between.
        assert!(m.parks() > ROUNDS, "{m}");
        assert_eq!(m.parks(), m.worker(0).unwrap().parks());
    });
}

#[test]
fn workers_whose_tasks_block_are_shown_as_blocked_while_they_do() {
    ends("blocked", || {
        let runtime = runtime(2);
        let blocked = || runtime.metrics().workers_blocked();
        let gate = Arc::new(Barrier::new(3));
        let tasks: Vec<_> = (0..2)
            .map(|n| {
                let gate = gate.clone();
                spawn_on(&runtime, async move {
                    let wait = || {
                        gate.wait();
                    };
                    if n == 0 { block_in_place(wait) } else { block_on(async { wait() }) }
                })
            })
            .collect();
        wait_until(|| blocked() == 2);
        // The runtime still has others: what is asked of it now is done.
        runtime.block_on(spawn_on(&runtime, async {})).unwrap();
        let m = runtime.metrics();
        assert_eq!(m.per_worker().filter(|worker| worker.state() == WorkerState::Blocked).count(), 2);
        assert!(m.to_string().contains("2 blocked"), "{m}");
        gate.wait();
        runtime.block_on(async {
            for task in tasks {
                task.await.unwrap();
            }
        });
        assert_eq!(blocked(), 0);
        // They were one or two too many.
        wait_until(|| runtime.metrics().workers() == 2);
        let m = runtime.metrics();
        assert_eq!(m.workers_spare(), m.per_worker().filter(|w| w.state() == WorkerState::Spare).count());
    });
}

#[test]
fn what_is_queued_is_shown_where_it_is_queued() {
    ends("queues", || {
        let runtime = capped(1);
        let (started, has_started) = event();
        let gate = Arc::new(Barrier::new(2));
        let theirs = gate.clone();
        let task = spawn_on(&runtime, async move {
            for _ in 0..7 {
                drop(spawn(async {}));
            }
            started.send();
            theirs.wait();
        });
        block_on(has_started);
        for _ in 0..4 {
            drop(spawn_on(&runtime, async {}));
        }
        let m = runtime.metrics();
        assert_eq!((m.local_depth(), m.injector_depth(), m.tasks_live()), (7, 4, 12));
        assert_eq!((m.worker(0).unwrap().queued(), m.worker(0).unwrap().state()), (7, WorkerState::Busy));
        assert!(m.worker(1).is_none());
        gate.wait();
        runtime.block_on(task).unwrap();
        wait_until(|| runtime.metrics().tasks_live() == 0);
        assert_eq!((runtime.metrics().local_depth(), runtime.metrics().injector_depth()), (0, 0));
    });
}

#[test]
fn a_runtime_begins_at_zero_whatever_ran_before_it() {
    ends("reuse", || {
        for round in 0..5 {
            // More workers in one than in the next, which does not show them.
            let workers = 5 - round;
            let runtime = Runtime::builder().workers(workers).histograms(round % 2 == 0).build().unwrap();
            let m = runtime.metrics();
            assert_eq!((m.tasks_spawned(), m.polls(), m.budget_yields(), m.timers_armed()), (0, 0, 0, 0));
            assert_eq!((m.stalls(), m.steals(), m.blocking_jobs_done()), (0, 0, 0));
            assert_eq!(m.poll_time().map(|poll| poll.count()), (round % 2 == 0).then_some(0));
            assert!(m.uptime() < common::LIMIT);
            wait_until(|| runtime.metrics().workers_parked() == workers);
            assert_eq!(runtime.metrics().per_worker().count(), workers);
            runtime.block_on(async {
                spawn(spend_units(200)).await.unwrap();
                Sleep::new(Duration::from_millis(1)).await;
                spawn_blocking(|| ()).await.unwrap();
            });
            assert!(runtime.metrics().polls() > 0);
            let handle = runtime.handle().clone();
            drop(runtime);
            assert!(handle.metrics().per_worker().all(|worker| worker.state() == WorkerState::Vacant));
        }
    });
}

#[test]
fn the_block_that_is_printed_names_every_area() {
    let runtime = Runtime::builder().workers(2).histograms(true).build().unwrap();
    runtime.block_on(spawn_on(&runtime, async {})).unwrap();
    // The turn ends a moment after its task has.
    wait_until(|| runtime.metrics().schedule_latency().unwrap().count() == 1);
    let text = runtime.metrics().to_string();
    for word in
        ["workers ", "tasks ", "turns ", "poller ", "timers ", "blocking ", "poll time 1;", "latency ", "worker 1 "]
    {
        assert!(text.contains(word), "{word} is missing:\n{text}");
    }
    assert!(!text.ends_with('\n'));
}

// ---- histograms

fn measured(workers: usize) -> Runtime {
    Runtime::builder().workers(workers).max_workers(workers).histograms(true).build().unwrap()
}

fn histograms(metrics: &Metrics) -> (Histogram, Histogram) {
    (metrics.poll_time().unwrap(), metrics.schedule_latency().unwrap())
}

#[test]
fn without_being_asked_for_there_are_no_histograms() {
    let metrics = runtime(1).metrics();
    assert!(metrics.poll_time().is_none() && metrics.schedule_latency().is_none());
}

#[test]
fn each_turn_is_in_both_histograms_once() {
    ends("turns", || {
        for workers in [1, 2] {
            let runtime = measured(workers);
            runtime.block_on(async {
                let tasks: Vec<_> = (0..50).map(|_| spawn(yield_now())).collect();
                let mut local: Vec<_> = (0..20).map(|_| spawn_local(yield_now())).collect();
                let (signal, event) = event();
                let sleeper = spawn(async move {
                    Sleep::new(Duration::from_millis(2)).await;
                    signal.send();
                });
                local.push(spawn_local(yield_now()));
                event.await;
                sleeper.await.unwrap();
                for task in tasks.into_iter().chain(local) {
                    task.await.unwrap();
                }
            });
            // A turn is in the histogram when it has ended, which the handle of its task does not wait for.
            let expected = 2 * 50 + 2 * 21 + 2;
            wait_until(|| runtime.metrics().poll_time().unwrap().count() == expected);
            wait_until(|| runtime.metrics().schedule_latency().unwrap().count() == expected);
            let metrics = runtime.metrics();
            let (poll, latency) = histograms(&metrics);
            assert_eq!(metrics.polls(), expected);
            // What one thread did took no longer than there was time; nobody waited longer than the runtime has run.
            assert!(poll.sum() <= metrics.uptime() * (workers as u32 + 1), "{metrics}");
            assert!(latency.quantile(1.0).unwrap() <= metrics.uptime() * 9 / 8, "{metrics}");
        }
    });
}

#[test]
fn a_stall_shows_in_the_poll_time_and_in_the_latency_of_who_waits_behind_it() {
    ends("stall", || {
        const STALL: Duration = Duration::from_millis(50);
        let runtime = measured(1);
        runtime
            .block_on(spawn_on(&runtime, async {
                let behind = spawn(async {});
                thread::sleep(STALL);
                behind.await
            }))
            .unwrap()
            .unwrap();
        wait_until(|| runtime.metrics().poll_time().unwrap().count() == 3);
        let (poll, latency) = histograms(&runtime.metrics());
        for (histogram, name) in [(&poll, "poll"), (&latency, "latency")] {
            let longest = histogram.quantile(1.0).unwrap();
            assert!(longest >= STALL, "{name}: {longest:?}");
            // One of them, and not the median.
            assert_eq!(
                histogram.count() - histogram.at_most(Duration::from_nanos(1 << 24)),
                1,
                "{name}: {histogram:?}"
            );
            assert!(histogram.sum() >= STALL - Duration::from_micros(1) && histogram.mean().unwrap() >= STALL / 4);
        }
    });
}
