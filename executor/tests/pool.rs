//! The blocking pool: who comes for a job.

mod common;

use common::{ends, runtime};
use gambol_executor::Runtime;
use std::{
    sync::{
        Arc, Barrier, Condvar, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

#[test]
fn jobs_that_wait_for_each_other_are_all_begun() {
    ends("jobs at a barrier", || {
        let runtime = runtime(1);
        // By threads that are made, by threads that have slept, and by some of both.
        for jobs in [1, 2, 40, 40, 2, 60] {
            let barrier = Arc::new(Barrier::new(jobs));
            let handles: Vec<_> = (0..jobs)
                .map(|_| {
                    let barrier = barrier.clone();
                    runtime.spawn_blocking(move || barrier.wait().is_leader())
                })
                .collect();
            let leaders = handles.into_iter().map(|job| runtime.block_on(job).unwrap());
            assert_eq!(leaders.filter(|leads| *leads).count(), 1);
        }
    });
}

#[test]
fn a_hook_that_waits_holds_up_no_job_but_its_threads_own() {
    ends("a thread that waits in its hook", || {
        let (first, ran) = (AtomicBool::new(true), Arc::new((Mutex::new(false), Condvar::new())));
        let hook = {
            let ran = ran.clone();
            move || {
                let is_job_thread = thread::current().name().is_some_and(|name| name.ends_with("-blk"));
                if is_job_thread && first.swap(false, Ordering::Relaxed) {
                    let (done, changed) = &*ran;
                    drop(changed.wait_while(done.lock().unwrap(), |done| !*done).unwrap());
                }
            }
        };
        let runtime = Runtime::builder().workers(1).on_thread_start(hook).build().unwrap();
        let jobs: Vec<_> = (0..2)
            .map(|_| {
                let ran = ran.clone();
                runtime.spawn_blocking(move || {
                    *ran.0.lock().unwrap() = true;
                    ran.1.notify_all();
                })
            })
            .collect();
        for job in jobs {
            runtime.block_on(job).unwrap();
        }
    });
}

#[test]
fn an_idle_thread_takes_a_job_though_another_waits_in_its_hook() {
    ends("a thread that waits in its hook beside an idle one", || {
        let (threads, ran) = (AtomicUsize::new(0), Arc::new((Mutex::new(false), Condvar::new())));
        let wait = |ran: &(Mutex<bool>, Condvar)| {
            let limit = Duration::from_secs(5);
            let waited = ran.1.wait_timeout_while(ran.0.lock().unwrap(), limit, |done| !*done).unwrap();
            assert!(!waited.1.timed_out(), "the last job is not begun");
        };
        let (in_hook, entered) = mpsc::channel();
        let hook = {
            let ran = ran.clone();
            move || {
                let is_job_thread = thread::current().name().is_some_and(|name| name.ends_with("-blk"));
                if is_job_thread && threads.fetch_add(1, Ordering::Relaxed) == 1 {
                    in_hook.send(()).unwrap();
                    wait(&ran);
                }
            }
        };
        let runtime = Runtime::builder().workers(1).on_thread_start(hook).build().unwrap();
        let (go, gone) = mpsc::channel();
        let first = runtime.spawn_blocking(move || gone.recv().unwrap());
        // For this one a second thread is made, which waits in its hook; the first one is done before, and takes it.
        let second = runtime.spawn_blocking(|| ());
        entered.recv().unwrap();
        go.send(()).unwrap();
        runtime.block_on(first).unwrap();
        runtime.block_on(second).unwrap();
        while runtime.metrics().blocking_idle() == 0 {
            thread::yield_now();
        }
        let last = {
            let ran = ran.clone();
            runtime.spawn_blocking(move || {
                *ran.0.lock().unwrap() = true;
                ran.1.notify_all();
            })
        };
        wait(&ran);
        runtime.block_on(last).unwrap();
    });
}

#[test]
fn there_are_no_more_threads_than_allowed_and_every_job_runs() {
    ends("a hundred jobs for three threads", || {
        let runtime = Runtime::builder().workers(1).max_blocking_threads(3).build().unwrap();
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let jobs: Vec<_> = (0..100)
            .map(|_| {
                let (now, most) = (now.clone(), most.clone());
                runtime.spawn_blocking(move || {
                    most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                    thread::sleep(Duration::from_millis(1));
                    now.fetch_sub(1, Ordering::Relaxed);
                })
            })
            .collect();
        for job in jobs {
            runtime.block_on(job).unwrap();
        }
        assert!((1..=3).contains(&most.load(Ordering::Relaxed)));
    });
}

/// Hunted: a push that relies on a thread that is on its way, and which takes another's job.
#[test]
fn pairs_of_jobs_from_many_threads_meet() {
    ends("jobs that hand over to one another", || {
        let runtime = runtime(2);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for round in 0..300 {
                        let (give, take) = mpsc::sync_channel(0);
                        let giver = runtime.spawn_blocking(move || give.send(round).unwrap());
                        // A short one between them.
                        let short = runtime.spawn_blocking(|| ());
                        let taker = runtime.spawn_blocking(move || take.recv().unwrap());
                        runtime.block_on(short).unwrap();
                        runtime.block_on(giver).unwrap();
                        assert_eq!(runtime.block_on(taker).unwrap(), round);
                    }
                });
            }
        });
    });
}
