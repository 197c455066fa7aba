//! The task dump: it lists what is there, in every state, wherever it is asked for, and holds up nobody.
#![cfg(unix)]

mod common;

use common::{LIMIT, ends, pair, runtime};
use gambol_executor::{
    Direction, Done, Handle, Id, Interest, JoinHandle, Reason, Runtime, Sleep, TaskDump, TaskInfo, TaskState,
    block_in_place,
    named::{self, Particulars},
    spawn, spawn_blocking, spawn_local,
};
use std::{
    future::{Future, pending, poll_fn},
    io::{self, Read},
    os::fd::AsRawFd,
    pin::pin,
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    task::{Poll, Waker},
    thread,
    time::{Duration, Instant},
};

/// Asks until the task is listed so that `is` likes it.
fn until(handle: &Handle, id: Id, is: impl Fn(&TaskInfo) -> bool) -> TaskInfo {
    let begin = Instant::now();
    loop {
        let dump = handle.dump();
        if let Some(info) = dump.iter().find(|info| info.id == id && is(info)) {
            return info.clone();
        }
        assert!(begin.elapsed() < LIMIT, "task {id} does not come to that:\n{dump}");
        thread::yield_now();
    }
}

fn parked(handle: &Handle, id: Id) -> TaskInfo {
    until(handle, id, |info| info.state == TaskState::Parked)
}

fn spawn_named<F>(handle: &Handle, name: &str, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    named::spawn(Some(handle), Particulars { name: Some(name.into()), ..Particulars::default() }, future)
}

#[test]
fn each_leaf_says_what_it_waits_for() {
    ends("leaves", || {
        let runtime = runtime(2);
        let handle = runtime.handle();
        let (release, held) = mpsc::channel::<()>();
        let job = runtime.spawn_blocking(move || held.recv().is_err());
        let (reader, _peer) = runtime.block_on(async { pair() });
        let descriptor = reader.get_ref().as_raw_fd();
        let read = async move {
            poll_fn(|cx| {
                reader.poll_io(cx, Direction::Read, Reason::Read, |mut stream| {
                    Ok(Done { value: stream.read(&mut [0; 8])?, short: false })
                })
            })
            .await
        };
        let foreign = runtime.spawn(pending::<()>());
        let cases = [
            (runtime.spawn(async move { drop(foreign.await) }).id(), Reason::Join),
            (runtime.spawn(async move { drop(job.await) }).id(), Reason::Blocking),
            (runtime.spawn(Sleep::new(Duration::MAX)).id(), Reason::Sleep),
            (runtime.spawn(pending::<()>()).id(), Reason::Unknown),
            (runtime.spawn(async move { drop(read.await) }).id(), Reason::Read),
        ];
        for (id, expected) in cases {
            let info = parked(handle, id);
            assert_eq!(info.wait, expected);
            let descriptors: &[_] = if expected == Reason::Read { &[(descriptor, Direction::Read)] } else { &[] };
            assert_eq!(
                info.descriptors.iter().map(|it: &Interest| (it.descriptor, it.direction)).collect::<Vec<_>>(),
                descriptors
            );
        }
        let text = handle.dump().to_string();
        assert!(text.contains(&format!("read, fd {descriptor} ")), "{text}");
        drop(release);
    });
}

/// A reason is of the last turn: one that was said before a turn in which nobody said anything is not shown again.
#[test]
fn a_reason_is_not_shown_for_longer_than_it_is_true() {
    ends("stale reasons", || {
        let runtime = runtime(2);
        let handle = runtime.handle();
        let (send, receive) = mpsc::channel::<Waker>();
        let mut turns = 0;
        let mut sleep = Sleep::new(Duration::MAX);
        let task = runtime.spawn(poll_fn(move |cx| {
            turns += 1;
            send.send(cx.waker().clone()).unwrap();
            if turns == 1 { pin!(&mut sleep).poll(cx) } else { Poll::Pending }
        }));
        assert_eq!(parked(handle, task.id()).wait, Reason::Sleep);
        receive.recv().unwrap().wake();
        receive.recv().unwrap();
        assert_eq!(
            until(handle, task.id(), |info| info.wait != Reason::Sleep && info.state == TaskState::Parked).wait,
            Reason::Unknown
        );
    });
}

#[test]
fn running_ready_and_blocking_tasks_are_told_apart() {
    ends("states", || {
        let runtime = common::capped(1);
        let handle = runtime.handle();
        let (go, wait) = mpsc::channel::<()>();
        let wakers = Arc::new(Mutex::new(None));
        let waker = wakers.clone();
        let queued = spawn_named(
            handle,
            "queued 7",
            poll_fn(move |cx| {
                *waker.lock().unwrap() = Some(cx.waker().clone());
                Poll::<()>::Pending
            }),
        );
        parked(handle, queued.id());
        let held = runtime.spawn(async move { wait.recv().is_err() });
        let running = until(handle, held.id(), |info| info.state == TaskState::Running);
        assert!(running.location.file().ends_with("dump.rs"));
        let fresh = runtime.spawn(async {});
        let waker: Waker = wakers.lock().unwrap().take().unwrap();
        waker.wake();
        let ready = until(handle, queued.id(), |info| info.state == TaskState::Ready);
        assert_eq!((ready.name.as_deref(), ready.wait), (Some("queued 7"), Reason::Unknown));
        let (release, block) = mpsc::channel::<()>();
        let job = runtime.spawn_blocking(move || block.recv().is_err());
        until(handle, job.id(), |info| info.state == TaskState::Blocking);

        let dump = handle.dump();
        assert!(dump.iter().all(|info| info.id != fresh.id()), "a fresh task in a queue is not known");
        assert_eq!((dump.len(), dump.live(), dump.unlisted(), dump.jobs_waiting()), (3, 4, 1, 0));
        let text = dump.to_string();
        let tasks = "tasks: 4 live, 3 listed: 1 running, 1 ready, 0 parked, 1 in the blocking pool; 1 queued";
        assert!(text.contains(tasks), "{tasks:?} is missing in\n{text}");
        // The monitor may have seen by now that the task blocks its worker.
        let worker = ["worker 0 runs task", "worker 0 is blocked by task"];
        assert!(worker.iter().any(|part| text.contains(part)), "no worker in\n{text}");
        drop((go, release));
    });
}

#[test]
fn a_task_that_blocks_its_worker_is_running_and_its_age_grows() {
    ends("blocked", || {
        let runtime = runtime(1);
        let handle = runtime.handle();
        let (go, wait) = mpsc::channel::<()>();
        let task = runtime.spawn(async move { block_in_place(|| wait.recv().is_err()) });
        let first = until(handle, task.id(), |info| info.state == TaskState::Running).since;
        let later = until(handle, task.id(), |info| info.since >= first + Duration::from_millis(50));
        assert_eq!(later.state, TaskState::Running);
        // Somebody else has its place.
        assert_eq!(runtime.block_on(runtime.spawn(async { 1 })).unwrap(), 1);
        let text = handle.dump().to_string();
        assert!(text.contains(&format!("is blocked by task {} for", task.id())), "{text}");
        drop(go);
    });
}

#[test]
fn a_task_that_waits_in_a_block_on_is_still_the_running_one() {
    ends("nested", || {
        let runtime = common::capped(1);
        let handle = runtime.handle().clone();
        // The only worker runs the inner task inside the outer one's `block_on`.
        let found = runtime.block_on(runtime.spawn(async move {
            let id = gambol_executor::current_task().unwrap();
            gambol_executor::block_on(spawn(async {})).unwrap();
            let dump = handle.dump();
            dump.iter().find(|info| info.id == id).map(|info| info.state)
        }));
        assert_eq!(found.unwrap(), Some(TaskState::Running));
    });
}

#[test]
fn it_can_be_asked_for_inside_a_task_and_on_any_thread_also_when_all_workers_are_stuck() {
    ends("anywhere", || {
        let runtime = common::capped(2);
        let handle = runtime.handle().clone();
        let inside = runtime.block_on(runtime.spawn(async move {
            let id = gambol_executor::current_task().unwrap();
            handle.dump().iter().any(|info| info.id == id && info.state == TaskState::Running)
        }));
        assert!(inside.unwrap());
        let (go, all) = (Arc::new(Barrier::new(3)), Arc::new(Barrier::new(3)));
        let stuck: Vec<_> = (0..2)
            .map(|_| {
                let (go, all) = (go.clone(), all.clone());
                runtime.spawn(async move {
                    all.wait();
                    go.wait();
                })
            })
            .collect();
        all.wait();
        let handle = runtime.handle().clone();
        let dump = thread::spawn(move || handle.dump()).join().unwrap();
        for task in &stuck {
            assert!(dump.iter().any(|info| info.id == task.id() && info.state == TaskState::Running), "{dump}");
        }
        go.wait();
    });
}

#[test]
fn local_tasks_are_listed() {
    ends("local tasks", || {
        let runtime = runtime(1);
        let handle = runtime.handle().clone();
        runtime.block_on(async {
            let task = named::spawn_local(
                Particulars { name: Some("local".into()), ..Particulars::default() },
                Sleep::new(Duration::MAX),
            );
            let other = spawn_local(async {});
            other.await.unwrap();
            let info = handle.dump().into_iter().find(|info| info.id == task.id()).unwrap();
            assert_eq!(
                (info.state, info.wait, info.name.as_deref()),
                (TaskState::Parked, Reason::Sleep, Some("local"))
            );
        });
    });
}

#[test]
fn of_a_runtime_that_is_shut_down_it_is_empty() {
    let runtime = runtime(1);
    let handle = runtime.handle().clone();
    let task = runtime.spawn(pending::<()>());
    parked(&handle, task.id());
    drop(runtime);
    let dump = handle.dump();
    assert!(dump.is_empty() && dump.live() == 0, "{dump}");
}

#[test]
fn equal_tasks_share_a_line_the_most_frequent_first() {
    ends("groups", || {
        let runtime = runtime(2);
        let handle = runtime.handle();
        let mut last = Vec::new();
        for n in 0..1_234 {
            last.push(spawn_named(handle, &format!("conn {n}"), Sleep::new(Duration::MAX)).id());
        }
        last.push(spawn_named(handle, "bad\x1b[2Jname", pending::<()>()).id());
        for id in last {
            parked(handle, id);
        }
        let text = handle.dump().to_string();
        assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");
        let table: Vec<&str> = text.lines().skip_while(|line| !line.contains("spawned at")).skip(1).collect();
        assert_eq!(table.len(), 2, "{text}");
        assert!(table[0].trim_start().starts_with("1,234  sleep ") && table[0].contains("\"conn #\""), "{text}");
        assert!(table[1].trim_start().starts_with("1  unknown ") && table[1].contains(r"bad\u{1b}[2Jname"), "{text}");
    });
}

/// Whatever the tasks do meanwhile, a dump ends, and lists no task twice and none with nonsense.
#[test]
fn tasks_that_come_and_go_do_not_disturb_it() {
    ends("churn", || {
        let runtime = runtime(2);
        let handle = runtime.handle().clone();
        let stop = Arc::new(AtomicBool::new(false));
        let rounds = Arc::new(AtomicUsize::new(0));
        let spawners: Vec<_> = (0..4)
            .map(|_| {
                let (stop, rounds) = (stop.clone(), rounds.clone());
                runtime.spawn(async move {
                    while !stop.load(Ordering::Relaxed) {
                        let tasks: Vec<_> = (0..100).map(|n| (n, spawn(churn(n)))).collect();
                        for (n, task) in tasks {
                            match n % 5 {
                                0 => task.abort(),
                                1 => drop(task.abort_handle()),
                                2 => task.abort_handle().abort(),
                                _ => {}
                            }
                            if n % 2 == 0 {
                                let _ = task.await;
                            }
                        }
                        rounds.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        let mut dumps = 0;
        while rounds.load(Ordering::Relaxed) < 50 || dumps < 100 {
            let dump: TaskDump = handle.dump();
            let mut last = None;
            for info in &dump {
                assert!(last.is_none_or(|last| last < info.id), "a task is listed twice:\n{dump}");
                last = Some(info.id);
                assert!(info.location.file().ends_with("dump.rs"), "{info:?}");
            }
            assert!(dump.live() >= dump.len());
            assert!(!dump.to_string().is_empty());
            dumps += 1;
        }
        stop.store(true, Ordering::Relaxed);
        spawners.into_iter().for_each(|task| runtime.block_on(task).unwrap());
    });
}

async fn churn(n: usize) {
    let mut yields = n % 7;
    poll_fn(|cx| {
        if yields == 0 {
            return Poll::Ready(());
        }
        yields -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
    match n % 3 {
        0 => drop(spawn_blocking(|| ()).await),
        1 => Sleep::new(Duration::from_micros(50)).await,
        _ => {}
    }
}

/// What stands behind a waker may be anybody's: a dump compares its address and touches nothing.
#[test]
fn a_combinator_with_wakers_of_its_own_hides_the_descriptor_and_nothing_breaks() {
    use futures::stream::{FuturesUnordered, StreamExt};
    ends("hidden", || {
        let runtime = runtime(1);
        let (reader, _peer) = runtime.block_on(async { pair() });
        let task = runtime.spawn(async move {
            let reader = &reader;
            let mut set: FuturesUnordered<_> = (0..2)
                .map(|_| async move { poll_fn(|cx| reader.poll_ready(cx, Direction::Read, Reason::Read)).await })
                .collect();
            let first: Option<io::Result<()>> = set.next().await;
            drop(first);
        });
        // It polls its children, wakes itself, and polls none of them in the turn after.
        let info =
            until(runtime.handle(), task.id(), |info| info.state == TaskState::Parked && info.wait == Reason::Unknown);
        assert!(info.descriptors.is_empty());
    });
}

/// Prints how long a dump takes and for how long at most it holds up who works beside it. Run it alone, in release mode:
/// `cargo test --release -p gambol-executor --test dump -- --ignored --nocapture hundred`
#[test]
#[ignore = "a measurement"]
fn a_hundred_thousand_tasks_under_load() {
    const TASKS: usize = 100_000;
    let runtime: Runtime = common::runtime(1);
    let handle = runtime.handle().clone();
    let tasks: Vec<_> = (0..TASKS).map(|_| runtime.spawn(Sleep::new(Duration::MAX))).collect();
    while handle.dump().iter().filter(|info| info.state == TaskState::Parked).count() < TASKS {
        thread::yield_now();
    }
    let stop = Arc::new(AtomicBool::new(false));
    // Spawns, parks, ends; and notes the longest time between two rounds.
    let inside = stop.clone();
    let load = runtime.spawn(async move {
        let (mut longest, mut last) = (Duration::ZERO, Instant::now());
        let mut gaps = Vec::new();
        while !inside.load(Ordering::Relaxed) {
            churn(2).await;
            let task = spawn(churn(5));
            task.abort();
            let _ = task.await;
            let now = Instant::now();
            gaps.push(now - last);
            longest = longest.max(now - last);
            last = now;
        }
        gaps.sort_unstable();
        (longest, gaps[gaps.len() - 1 - gaps.len() / 10_000], gaps.len())
    });
    for dumping in [false, true] {
        let begin = Instant::now();
        let mut dumps = 0;
        while begin.elapsed() < Duration::from_secs(2) {
            if dumping {
                let dump = handle.dump();
                assert!(dump.len() >= TASKS);
                dumps += 1;
            } else {
                thread::sleep(Duration::from_millis(10));
            }
        }
        eprintln!("dumping {dumping}: {dumps} dumps in {:?}", begin.elapsed());
    }
    stop.store(true, Ordering::Relaxed);
    let (longest, most, rounds) = runtime.block_on(load).unwrap();
    eprintln!("longest gap {longest:?}, all but one in 10,000 below {most:?}, {rounds} rounds");
    let begin = Instant::now();
    let text = handle.dump().to_string();
    eprintln!("one dump and its table: {:?}\n{text}", begin.elapsed());
    drop(tasks);
}

#[allow(dead_code, reason = "says that the types can be sent")]
fn a_dump_can_be_sent_and_shared() {
    fn check<T: Send + Sync + 'static>() {}
    check::<(TaskDump, TaskInfo)>();
}
