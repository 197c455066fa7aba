//! Tasks that hold up their worker and do not say so. Each one goes on only when somebody else has run whom it holds up, so
//! nothing here depends on how fast the relief comes, only on its coming.

mod common;
#[path = "common/hold.rs"]
mod hold;

use common::{ends, event, pair, runtime};
use gambol_executor::{Direction, Done, Reason, Runtime, Sleep, Stall, StallSite, block_on, spawn};
use hold::{Hold, Holds, settles};
use std::{
    future::{Future, poll_fn},
    io::{Read, Write},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::Duration,
};

fn workers_are_as_many_as_were_asked_for(runtime: &Runtime, workers: usize) {
    settles("as many workers as before", || {
        let metrics = runtime.metrics();
        metrics.workers() == workers && metrics.workers_parked() == workers
    });
}

#[test]
fn a_task_that_is_queued_behind_a_stuck_one_is_run() {
    for hold in Hold::UNSAID {
        for workers in [1, 2, 4] {
            ends("the tasks", move || {
                let runtime = runtime(workers);
                let tasks: Vec<_> = (0..2 * workers)
                    .map(|_| {
                        let (tell, told) = mpsc::channel();
                        runtime.spawn(async move {
                            // The one who frees it stands in the slot or on the ring of the very worker.
                            let frees = spawn(async move { tell.send(()).unwrap() });
                            hold.until(&told);
                            frees.await.unwrap();
                        })
                    })
                    .collect();
                tasks.into_iter().for_each(|task| block_on(task).unwrap());
                assert!(runtime.metrics().stalls() >= 1);
                workers_are_as_many_as_were_asked_for(&runtime, workers);
            });
        }
    }
}

#[test]
fn a_timer_of_a_stuck_worker_fires() {
    for hold in Hold::UNSAID {
        ends("the timer", move || {
            let runtime = runtime(1);
            let (tell, told) = mpsc::channel();
            let task = runtime.spawn(async move {
                let mut sleep = Box::pin(Sleep::new(Duration::from_millis(30)));
                let waker = Waker::from(Arc::new(Tells(Mutex::new(Some(tell)))));
                assert!(sleep.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
                hold.until(&told);
            });
            block_on(task).unwrap();
        });
    }
}

struct Nobody;

impl Wake for Nobody {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn a_worker_that_goes_back_to_its_block_on_leaves_no_cancelled_timer() {
    ends("the timer", || {
        let runtime = Runtime::builder().workers(1).max_workers(2).build().unwrap();
        let waits = || {
            let (go, gone) = event();
            let (tell, told) = mpsc::channel();
            let task = runtime.spawn(async move {
                block_on(async move {
                    tell.send(thread::current().id()).unwrap();
                    gone.await;
                });
            });
            (told.recv().unwrap(), go, task)
        };
        let mut waiting = [waits(), waits()];
        // There is no third worker: one of the two runs tasks while it waits.
        let runs = block_on(runtime.spawn(async { thread::current().id() })).unwrap();
        waiting.sort_by_key(|(thread, ..)| *thread == runs);
        let [(_, first, ends_first), (_, second, ends_second)] = waiting;
        first.send();
        block_on(ends_first).unwrap();
        settles("the other one rests", || runtime.metrics().workers_spare() == 1);
        let (tell, told) = mpsc::channel();
        let (begin, begun) = mpsc::channel();
        let nobody = Arc::new(Nobody);
        let waker = Waker::from(nobody.clone());
        let holds = runtime.spawn(poll_fn(move |_| {
            let mut sleep = Sleep::new(Duration::from_secs(3600));
            assert!(Pin::new(&mut sleep).poll(&mut Context::from_waker(&waker)).is_pending());
            drop(sleep);
            begin.send(()).unwrap();
            told.recv().unwrap();
            Poll::Ready(())
        }));
        begun.recv().unwrap();
        // The other is hired again for this one. So who held it up is one too many, and goes back to its wait.
        block_on(runtime.spawn(async move { tell.send(()).unwrap() })).unwrap();
        block_on(holds).unwrap();
        settles("the timer is gone", || Arc::strong_count(&nobody) == 1);
        second.send();
        block_on(ends_second).unwrap();
    });
}

/// A waker that sends a word.
struct Tells(Mutex<Option<mpsc::Sender<()>>>);

impl Wake for Tells {
    fn wake(self: Arc<Self>) {
        if let Some(tell) = self.0.lock().unwrap().take() {
            tell.send(()).unwrap();
        }
    }
}

#[test]
fn what_a_stuck_worker_spawns_wakes_and_arms_is_not_left_to_it() {
    for hold in Hold::UNSAID {
        ends("the task", move || {
            let runtime = runtime(1);
            let (tell, told) = mpsc::channel();
            let (tell_again, told_again) = mpsc::channel();
            let (tell_last, told_last) = mpsc::channel();
            let task = runtime.spawn(async move {
                spawn(async move { tell.send(()).unwrap() });
                hold.until(&told);
                // Somebody else runs now, and the mark stands.
                spawn(async move { tell_again.send(()).unwrap() });
                hold.until(&told_again);
                let mut sleep = Box::pin(Sleep::new(Duration::from_millis(20)));
                let waker = Waker::from(Arc::new(Tells(Mutex::new(Some(tell_last)))));
                assert!(sleep.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
                hold.until(&told_last);
            });
            block_on(task).unwrap();
            assert!(runtime.metrics().stalls() >= 1);
            workers_are_as_many_as_were_asked_for(&runtime, 1);
        });
    }
}

#[test]
fn a_socket_is_served_while_every_worker_is_stuck() {
    for hold in Hold::UNSAID {
        for workers in [1, 2] {
            ends("the socket", move || {
                let runtime = runtime(workers);
                let (tell, told) = mpsc::channel();
                let told = Arc::new(Mutex::new(told));
                let (near, mut far) = runtime.block_on(async { pair() });
                let reader = runtime.spawn(async move {
                    poll_fn(|cx| {
                        near.poll_io(cx, Direction::Read, Reason::Read, |mut stream| {
                            let mut byte = [0];
                            stream.read(&mut byte).map(|n| Done { value: n, short: true })
                        })
                    })
                    .await
                    .unwrap();
                    for _ in 0..workers {
                        tell.send(()).unwrap();
                    }
                });
                let (all, begun) = mpsc::channel();
                let stuck: Vec<_> = (0..workers)
                    .map(|_| {
                        let (all, told) = (all.clone(), told.clone());
                        runtime.spawn(async move {
                            all.send(()).unwrap();
                            hold.until(&told.lock().unwrap());
                        })
                    })
                    .collect();
                // One of them may wait for the lock: it is stuck as well.
                (0..workers).for_each(|_| begun.recv().unwrap());
                far.write_all(b"x").unwrap();
                block_on(reader).unwrap();
                stuck.into_iter().for_each(|task| block_on(task).unwrap());
            });
        }
    }
}

#[test]
fn a_waker_that_holds_up_a_worker_holds_up_none_of_its_batch() {
    for hold in Hold::UNSAID {
        for workers in [1, 2] {
            ends("the batch", move || {
                let runtime = runtime(workers);
                let (begun, is_begun) = mpsc::channel();
                let (tell, told) = mpsc::channel();
                // A busy worker lets several timers become due, which then are one batch.
                let sleepers = Arc::new(AtomicUsize::new(0));
                let task = runtime.spawn(async move {
                    let deadline = gambol_executor::Instant::now() + Duration::from_millis(5);
                    let waker = Waker::from(Arc::new(Holds(hold, begun, Mutex::new(told))));
                    let mut first = Box::pin(Sleep::until(deadline));
                    assert!(first.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
                    let others: Vec<_> = (0..20)
                        .map(|_| {
                            let sleepers = sleepers.clone();
                            spawn(async move {
                                Sleep::until(deadline).await;
                                sleepers.fetch_add(1, Ordering::Relaxed);
                            })
                        })
                        .collect();
                    (first, others, sleepers)
                });
                let (first, others, sleepers) = block_on(task).unwrap();
                is_begun.recv().unwrap();
                others.into_iter().for_each(|other| block_on(other).unwrap());
                assert_eq!(sleepers.load(Ordering::Relaxed), 20);
                tell.send(()).unwrap();
                drop(first);
                workers_are_as_many_as_were_asked_for(&runtime, workers);
            });
        }
    }
}

/// Holds up the thread that drops it.
struct HoldsInDrop(Hold, mpsc::Receiver<()>);

impl Drop for HoldsInDrop {
    fn drop(&mut self) {
        self.0.until(&self.1);
    }
}

#[test]
fn a_drop_that_holds_up_a_worker_holds_up_nobody_else() {
    for hold in Hold::UNSAID {
        ends("the others", move || {
            let runtime = runtime(1);
            let (tell, told) = mpsc::channel();
            let guard = HoldsInDrop(hold, told);
            let task = runtime.spawn(async move {
                let _guard = guard;
                spawn(async move { tell.send(()).unwrap() });
            });
            block_on(task).unwrap();
        });
    }
}

#[test]
fn a_stuck_task_may_say_later_that_it_blocks() {
    ends("the tasks", || {
        for _ in 0..20 {
            let runtime = runtime(2);
            let tasks: Vec<_> = (0..6)
                .map(|_| {
                    let (tell, told) = mpsc::channel();
                    runtime.spawn(async move {
                        spawn(async move { tell.send(()).unwrap() });
                        told.recv().unwrap();
                        // Marked or not: it waits in a declared way now.
                        block_on(spawn(async {})).unwrap();
                        gambol_executor::block_in_place(|| thread::sleep(Duration::from_millis(1)));
                    })
                })
                .collect();
            tasks.into_iter().for_each(|task| block_on(task).unwrap());
            workers_are_as_many_as_were_asked_for(&runtime, 2);
        }
    });
}

#[test]
fn hundreds_of_stalls_leave_as_many_workers_as_before() {
    ends("the stalls", || {
        let runtime = runtime(2);
        let most = Arc::new(AtomicUsize::new(0));
        for _ in 0..40 {
            let tasks: Vec<_> = (0..8)
                .map(|_| {
                    let most = most.clone();
                    runtime.spawn(async move {
                        let next = spawn(async {});
                        thread::sleep(Duration::from_millis(6));
                        most.fetch_max(threads(), Ordering::Relaxed);
                        next.await.unwrap();
                    })
                })
                .collect();
            tasks.into_iter().for_each(|task| block_on(task).unwrap());
        }
        // Eight are stuck at a time, two run, and one is on its way.
        let most = most.load(Ordering::Relaxed);
        assert!(most <= others() + 8 + 2 + 2, "{most} threads");
        workers_are_as_many_as_were_asked_for(&runtime, 2);
    });
}

/// Threads of this process.
fn threads() -> usize {
    if cfg!(target_os = "linux") { std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count) } else { 0 }
}

/// Threads of this process that other tests may have at the same time.
fn others() -> usize {
    // Each test here has its own thread, that of its limit, a monitor, and some workers.
    64
}

#[test]
fn a_stuck_worker_is_reported_once_for_each_place_and_counted_each_time() {
    ends("the reports", || {
        let (report, reports) = mpsc::channel::<Stall>();
        let report = Mutex::new(report);
        let hook = move |stall: &Stall| {
            report.lock().unwrap().send(stall.clone()).unwrap();
            panic!("a hook's panic is caught");
        };
        let runtime = Runtime::builder().workers(1).on_stall(hook).build().unwrap();
        let line = line!() + 3;
        for round in 0..3 {
            workers_are_as_many_as_were_asked_for(&runtime, 1);
            let (tell, told) = mpsc::channel();
            let stuck = async move {
                spawn(async move { tell.send(()).unwrap() });
                told.recv().unwrap();
                // What is shorter than the threshold is not reported.
                thread::sleep(Duration::from_millis(20));
            };
            let task = if round < 2 { runtime.spawn(stuck) } else { runtime.handle().spawn(stuck) };
            let id = task.id();
            block_on(task).unwrap();
            if round == 0 {
                let first = reports.recv().unwrap();
                assert_eq!(first.task(), Some(id));
                assert!(first.has_ended());
                assert!(first.to_string().contains("stall.rs"), "{first}");
                assert!(first.location().unwrap().line() > line);
                assert_eq!(first.was_asleep(), cfg!(target_os = "linux"));
            }
        }
        assert!(runtime.metrics().stalls() >= 3);
        // The third was spawned at another place.
        let second = reports.recv().unwrap();
        assert!(second.duration() < common::LIMIT);
        settles("each in the table", || {
            let sites = runtime.handle().stalls();
            let counted: u64 = sites.iter().map(StallSite::count).sum();
            let has = |stall: &Stall| sites.iter().any(|site| site.last_task() == stall.task());
            counted == runtime.metrics().stalls() && has(&second)
        });
        drop(runtime);
        assert!(reports.recv().is_err(), "the second at the same place is not reported");
    });
}

#[test]
fn a_stall_that_does_not_end_is_reported_all_the_same() {
    ends("the report", || {
        let (report, reports) = mpsc::channel::<Stall>();
        let report = Mutex::new(report);
        let hook = move |stall: &Stall| report.lock().unwrap().send(stall.clone()).unwrap();
        let runtime = Runtime::builder().workers(1).on_stall(hook).build().unwrap();
        let (tell, told) = mpsc::channel::<()>();
        let stuck = runtime.spawn(async move { told.recv().unwrap() });
        runtime.block_on(runtime.spawn(async {})).unwrap();
        let stall = reports.recv().unwrap();
        assert!(!stall.has_ended());
        assert!(stall.duration() >= Duration::from_secs(1));
        let site = runtime.handle().stalls().into_iter().find(|site| site.location() == stall.location()).unwrap();
        assert!(site.longest() >= stall.duration(), "{site}");
        assert_eq!((site.count(), site.last_task()), (1, Some(stuck.id())));
        tell.send(()).unwrap();
        block_on(stuck).unwrap();
    });
}

#[test]
fn without_a_threshold_no_worker_is_added() {
    ends("the tasks", || {
        let runtime = Runtime::builder().workers(1).stall_threshold(Duration::MAX).build().unwrap();
        let ran = Arc::new(AtomicBool::new(false));
        let seen = ran.clone();
        let task = runtime.spawn(async move {
            let other = spawn(async move { ran.store(true, Ordering::Relaxed) });
            thread::sleep(Duration::from_millis(200));
            let ran = seen.load(Ordering::Relaxed);
            other.await.unwrap();
            ran
        });
        assert!(!block_on(task).unwrap());
        assert_eq!(runtime.metrics().stalls(), 0);
    });
}

#[test]
fn at_the_cap_tasks_wait_for_those_that_are_stuck_and_nothing_is_lost() {
    ends("the tasks", || {
        let runtime = Runtime::builder().workers(2).max_workers(3).build().unwrap();
        let tasks: Vec<_> = (0..30)
            .map(|n| {
                runtime.spawn(async move {
                    thread::sleep(Duration::from_millis(15));
                    spawn(async move { n }).await.unwrap()
                })
            })
            .collect();
        for (n, task) in tasks.into_iter().enumerate() {
            assert_eq!(block_on(task).unwrap(), n);
        }
        assert!(runtime.metrics().workers_spare() <= 1);
        workers_are_as_many_as_were_asked_for(&runtime, 2);
    });
}

#[test]
fn a_runtime_ends_while_workers_are_stuck() {
    for hold in Hold::UNSAID {
        for workers in [1, 2, 4] {
            ends("the runtime", move || {
                let runtime = runtime(workers);
                let (tell, told) = mpsc::channel::<()>();
                let told = Arc::new(Mutex::new(told));
                let dropped = Arc::new(AtomicUsize::new(0));
                for _ in 0..workers {
                    let (told, guard) = (told.clone(), Counts(dropped.clone()));
                    runtime.spawn(async move {
                        let _guard = guard;
                        hold.until(&told.lock().unwrap());
                    });
                }
                // It runs on a worker that was added.
                block_on(runtime.spawn(async {})).unwrap();
                settles("they are stuck", || runtime.metrics().stalls() >= 1);
                let guard = Counts(dropped.clone());
                runtime.spawn(async move {
                    let _guard = guard;
                    std::future::pending::<()>().await;
                });
                let frees = thread::spawn(move || {
                    thread::sleep(Duration::from_millis(30));
                    (0..workers).for_each(|_| tell.send(()).unwrap());
                });
                runtime.shutdown(common::LIMIT).unwrap();
                assert_eq!(dropped.load(Ordering::Relaxed), workers + 1);
                frees.join().unwrap();
            });
        }
    }
}

/// Counts its drops.
struct Counts(Arc<AtomicUsize>);

impl Drop for Counts {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A future that wakes another task and then holds up its worker, again and again.
struct WakesAndHolds {
    rounds: usize,
    other: Arc<Mutex<Option<Waker>>>,
    count: Arc<AtomicUsize>,
}

impl Future for WakesAndHolds {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.rounds == 0 {
            return Poll::Ready(());
        }
        self.rounds -= 1;
        let before = self.count.load(Ordering::Acquire);
        if let Some(other) = self.other.lock().unwrap().take() {
            other.wake();
            // It stands in our slot, or on our ring.
            while self.count.load(Ordering::Acquire) == before {
                thread::sleep(Duration::from_micros(100));
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[test]
fn tasks_that_block_until_those_that_they_have_woken_have_run() {
    for workers in [1, 2, 4] {
        ends("the tasks", move || {
            let runtime = runtime(workers);
            let tasks: Vec<_> = (0..4)
                .map(|_| {
                    let (other, count) = (Arc::new(Mutex::new(None::<Waker>)), Arc::new(AtomicUsize::new(0)));
                    let (others, counts) = (other.clone(), count.clone());
                    let counter = runtime.spawn(poll_fn(move |cx| {
                        counts.fetch_add(1, Ordering::AcqRel);
                        *others.lock().unwrap() = Some(cx.waker().clone());
                        Poll::<()>::Pending
                    }));
                    let task = runtime.spawn(WakesAndHolds { rounds: 30, other, count });
                    (task, counter)
                })
                .collect();
            for (task, counter) in tasks {
                block_on(task).unwrap();
                counter.abort();
                assert!(block_on(counter).unwrap_err().is_cancelled());
            }
            workers_are_as_many_as_were_asked_for(&runtime, workers);
        });
    }
}
