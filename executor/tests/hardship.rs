//! Hard times: the system has no more threads, the process is stopped, memory must come back. Each in a process of its
//! own, which is this one started again for one test.
#![cfg(target_os = "linux")]

mod common;

use common::{ends, runtime};
use gambol_executor::{Instant, Runtime, Sleep, block_on};
use std::{
    env, fs,
    future::pending,
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

const CHILD: &str = "GAMBOL_TEST_CHILD";
const MILLI: Duration = Duration::from_millis(1);

/// Whether this is the child.
fn is_child() -> bool {
    env::var_os(CHILD).is_some()
}

/// This test again, in a process of its own.
fn again(test: &str) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(CHILD, "1");
    command
}

/// This test again, under a system that refuses some threads. None: there is no strace here that can do it.
fn refusing(test: &str, when: &str) -> Option<bool> {
    let works = Command::new("strace").args(["-o", "/dev/null", "true"]).stderr(Stdio::null()).status();
    if !works.is_ok_and(|status| status.success()) {
        println!("skipped: strace is not there or may not trace");
        return None;
    }
    let child = again(test);
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=clone3"]);
    strace.args(["-e", &format!("inject=clone3:error=EAGAIN:when={when}")]);
    strace.arg(child.get_program()).args(child.get_args()).env(CHILD, "1");
    Some(strace.status().unwrap().success())
}

fn threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}

#[test]
fn a_runtime_that_cannot_have_its_threads_is_an_error_and_joins_those_it_had() {
    let name = "a_runtime_that_cannot_have_its_threads_is_an_error_and_joins_those_it_had";
    if is_child() {
        return ends("too few threads", || {
            let before = threads();
            let error = Runtime::builder().workers(4).build().map(drop).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
            // A thread that was joined may be listed for a moment longer.
            while threads() > before {
                thread::yield_now();
            }
        });
    }
    // `when` counts per thread, and the thread that builds has made none: first the monitor, then four workers. (Should
    // the harness be refused a thread it does without.)
    for when in 1..=5 {
        match refusing(name, &when.to_string()) {
            None => return,
            Some(success) => assert!(success, "the {when}th thread"),
        }
    }
}

#[test]
fn the_blocking_pool_waits_for_threads_and_recovers() {
    let name = "the_blocking_pool_waits_for_threads_and_recovers";
    if is_child() {
        return ends("jobs without threads", || {
            let runtime = runtime(1);
            let jobs: Vec<_> = (0..8).map(|i| runtime.spawn_blocking(move || i)).collect();
            for (i, job) in jobs.into_iter().enumerate() {
                assert_eq!(runtime.block_on(job).unwrap(), i);
            }
        });
    }
    // This thread makes the monitor and a worker; what comes after that is for the pool.
    for when in ["3", "3..8", "3+2"] {
        match refusing(name, when) {
            None => return,
            Some(success) => assert!(success, "refused: {when}"),
        }
    }
}

#[test]
fn timers_that_came_due_while_the_process_was_stopped_fire_once_and_in_order() {
    let name = "timers_that_came_due_while_the_process_was_stopped_fire_once_and_in_order";
    if !is_child() {
        let mut child = again(name).spawn().unwrap();
        let pid = child.id().to_string();
        // The child stops itself; it goes on after two seconds.
        let state = || fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        while !state().rsplit(')').next().unwrap().starts_with(" T") && child.try_wait().unwrap().is_none() {
            thread::sleep(MILLI);
        }
        thread::sleep(Duration::from_secs(2));
        // SAFETY: the child has not been waited for, so the number is its own.
        unsafe { libc::kill(child.id() as i32, libc::SIGCONT) };
        return assert!(child.wait().unwrap().success());
    }
    ends("stopped", || {
        let runtime = runtime(1);
        let order = Arc::new(Mutex::new(Vec::new()));
        let shared = order.clone();
        let task = runtime.spawn(async move {
            let start = Instant::now();
            let sleeps: Vec<_> = (0..100u32)
                .map(|i| {
                    let order = shared.clone();
                    gambol_executor::spawn(async move {
                        // Each before the one that was spawned before it.
                        Sleep::until(start + 300 * MILLI + (100 - i) * 15 * MILLI).await;
                        order.lock().unwrap().push(i);
                    })
                })
                .collect();
            gambol_executor::spawn(async {
                // SAFETY: the parent lets us go on.
                unsafe { libc::raise(libc::SIGSTOP) }
            });
            for sleep in sleeps {
                sleep.await.unwrap();
            }
        });
        runtime.block_on(task).unwrap();
        assert!(order.lock().unwrap().iter().copied().eq((0..100).rev()));
    });
}

fn resident() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[test]
fn memory_comes_back_after_a_million_sleeping_tasks() {
    if !is_child() {
        return assert!(again("memory_comes_back_after_a_million_sleeping_tasks").status().unwrap().success());
    }
    ends("a million sleeping tasks", || {
        let runtime = runtime(2);
        let crowd = |count: usize| {
            let go = Arc::new(AtomicBool::new(false));
            let task = runtime.spawn(async move {
                let tasks: Vec<_> = (0..count)
                    .map(|_| gambol_executor::spawn(async { Sleep::new(Duration::from_secs(1_000)).await }))
                    .collect();
                Sleep::new(10 * MILLI).await;
                for task in &tasks {
                    task.abort();
                }
                for task in tasks {
                    assert!(task.await.unwrap_err().is_cancelled());
                }
                go.store(true, SeqCst);
            });
            runtime.block_on(task).unwrap();
        };
        crowd(1_000);
        let before = resident();
        crowd(1_000_000);
        runtime.block_on(Sleep::new(50 * MILLI));
        // SAFETY: gives the allocator's free pages back, so that what is left is in use.
        #[cfg(target_env = "gnu")]
        unsafe {
            libc::malloc_trim(0)
        };
        let after = resident();
        // Of some 230 MiB. What is left is in pages of the allocator that are not all free, the more of them the more threads took part.
        assert!(after < before + (96 << 20), "{} MiB more", (after - before) >> 20);
    });
}

#[test]
fn jobs_that_have_not_begun_are_cancelled_at_the_end() {
    ends("a full pool", || {
        let runtime = Runtime::builder().workers(1).max_blocking_threads(1).build().unwrap();
        let (tx, rx) = std::sync::mpsc::channel::<()>();
        let (begun_tx, begun_rx) = std::sync::mpsc::channel();
        let first = runtime.spawn_blocking(move || {
            begun_tx.send(()).unwrap();
            let _ = rx.recv();
        });
        begun_rx.recv().unwrap();
        let second = runtime.spawn_blocking(|| ());
        let parked = runtime.spawn(pending::<()>());
        drop(runtime);
        assert!(block_on(second).unwrap_err().is_cancelled());
        assert!(block_on(parked).unwrap_err().is_cancelled());
        drop(tx);
        assert!(block_on(first).is_ok());
    });
}

#[test]
fn a_crowd_of_block_ons_at_the_cap_does_not_use_up_the_stack() {
    let name = "a_crowd_of_block_ons_at_the_cap_does_not_use_up_the_stack";
    if !is_child() {
        return assert!(again(name).stderr(Stdio::null()).status().unwrap().success());
    }
    for (workers, max, tasks) in [(1, 1, 200), (2, 256, 5_000)] {
        ends("block_on in many tasks", move || {
            let runtime = Runtime::builder().workers(workers).max_workers(max).build().unwrap();
            let tasks: Vec<_> = (0..tasks).map(|_| runtime.spawn(async { block_on(Sleep::new(20 * MILLI)) })).collect();
            runtime.block_on(async {
                for task in tasks {
                    task.await.unwrap();
                }
            });
        });
    }
}
