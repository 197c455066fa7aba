//! Hints at tasks that wait for each other for ever: they name all of them, and nobody who may go on.
//!
//! Where no hint is to come, tasks that get one are started afterwards: when theirs is there, the other would be there too.

mod helpers;

use futures_util::future::join;
use gambol::{
    chan::{self, LeakHint, Receiver, Sender},
    runtime::{Handle, Reason},
    select,
    sync::{Mutex, MutexGuard},
    task,
    task::{Id, JoinHandle},
    time::{Duration, sleep},
};
use helpers::{PATIENCE, start_command};
use std::{
    env,
    io::{BufRead, BufReader},
    process::Command,
    sync::mpsc,
    thread,
    time::Instant,
};

const AFTER: Duration = Duration::from_millis(100);

/// Recording is the process's, so the tests come one after the other.
async fn recording() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    let alone = ALONE.lock().await;
    chan::watch_ends(true);
    alone
}

/// Sends, receives, and then each waits for the other to send.
fn embrace() -> [JoinHandle<()>; 2] {
    let (to_second, first) = chan::unbuffered::<u32>();
    let (to_first, second) = chan::unbuffered::<u32>();
    let one = gambol::spawn(async move {
        to_first.send(1).await.unwrap();
        assert_eq!(first.recv().await, Some(2));
        first.recv().await;
    });
    let other = gambol::spawn(async move {
        assert_eq!(second.recv().await, Some(1));
        to_second.send(2).await.unwrap();
        second.recv().await;
    });
    [one, other]
}

/// The hints, as soon as there is one for each of these tasks.
async fn hints_for(tasks: &[Id]) -> Vec<LeakHint> {
    let begin = Instant::now();
    loop {
        let hints = chan::leak_hints(AFTER);
        if tasks.iter().all(|task| hints.iter().any(|hint| hint.task().id == *task)) {
            return hints;
        }
        assert!(begin.elapsed() < PATIENCE, "{tasks:?} in {hints:?}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// The tasks that get a hint, when all that is there by now has had the time for one.
async fn hinted() -> Vec<Id> {
    let control = embrace();
    let control_ids = control.each_ref().map(JoinHandle::id);
    let hints = hints_for(&control_ids).await;
    control.iter().for_each(JoinHandle::abort);
    hints.iter().map(|hint| hint.task().id).filter(|id| !control_ids.contains(id)).collect()
}

/// Waits until the task is parked for this reason.
async fn parked(task: Id, reason: Reason) {
    let parked = || Handle::current().parked_tasks().iter().any(|info| info.id == task && info.wait == reason);
    let begin = Instant::now();
    while !parked() {
        assert!(begin.elapsed() < PATIENCE, "{task:?} does not park for {reason}");
        sleep(Duration::from_millis(1)).await;
    }
}

/// A task that waits for a value that only it could send.
fn loner(before: impl FnOnce(&Sender<u32>, &Receiver<u32>)) -> JoinHandle<()> {
    let (tx, rx) = chan::buffered(4);
    before(&tx, &rx);
    gambol::spawn(async move {
        tx.send(1).await.unwrap();
        while rx.recv().await.is_some() {}
    })
}

#[gambol::test]
async fn two_tasks_that_wait_for_each_other_are_both_named() {
    let _recording = recording().await;
    let tasks = embrace();
    let ids = tasks.each_ref().map(JoinHandle::id);
    let hints = hints_for(&ids).await;
    assert_eq!(hints.len(), 2);
    for (hint, other) in hints.iter().zip([ids[1], ids[0]]) {
        assert_eq!(hint.others(), [other]);
        assert_eq!(hint.task().wait, Reason::ChanRecv);
        let text = hint.to_string();
        assert!(text.contains("for chan recv since ") && text.contains("spawned at tests/leak_hints.rs:"), "{text}");
        assert!(text.ends_with(&format!("waits as well: task {other}")), "{text}");
    }
    tasks.iter().for_each(JoinHandle::abort);
}

#[gambol::test]
async fn a_ring_of_senders_and_receivers_is_named_and_gets_no_hint_once_one_goes_on() {
    let _recording = recording().await;
    let (full, drain) = chan::buffered(1);
    let (go, gone) = chan::buffered::<u32>(1);
    // It waits for room, which only the other would make, which waits for this one.
    let sender = gambol::spawn(async move {
        go.send(1).await.unwrap();
        // The other has tried to take one.
        for value in 0..3 {
            full.send(value).await.unwrap();
        }
        go.close();
    });
    let receiver = gambol::spawn(async move {
        let _ = drain.try_recv();
        while gone.recv().await.is_some() {}
        drop(drain);
    });
    let ids = [sender.id(), receiver.id()];
    let hints = hints_for(&ids).await;
    assert_eq!(hints.iter().map(|hint| hint.task().wait).collect::<Vec<_>>(), [Reason::ChanSend, Reason::ChanRecv]);
    receiver.abort();
    assert!(sender.await.is_err(), "its channel was closed");
    assert_eq!(hinted().await, []);
}

#[gambol::test]
async fn a_task_that_holds_a_sender_and_sleeps_keeps_the_hint_back() {
    let _recording = recording().await;
    for uses in [false, true] {
        let mut third = None;
        let loner = loner(|tx, _| {
            let tx = tx.clone();
            third = Some(gambol::spawn(async move {
                if uses {
                    let _ = tx.try_send(0);
                }
                sleep(Duration::from_secs(3600)).await;
                drop(tx);
            }));
        });
        let third = third.unwrap();
        parked(third.id(), Reason::Sleep).await;
        parked(loner.id(), Reason::ChanRecv).await;
        assert_eq!(hinted().await, [], "{uses}");
        // Without it there is nobody left.
        third.abort();
        assert!(third.await.is_err());
        if uses {
            hints_for(&[loner.id()]).await;
        }
        loner.abort();
    }
}

#[gambol::test]
async fn a_plain_thread_that_holds_a_sender_keeps_the_hint_back() {
    let _recording = recording().await;
    for uses in [false, true] {
        let (end, ended) = mpsc::channel::<()>();
        let (tell, told) = mpsc::channel();
        let mut thread = None;
        let loner = loner(|tx, _| {
            let tx = tx.clone();
            thread = Some(thread::spawn(move || {
                if uses {
                    let _ = tx.try_send(0);
                }
                tell.send(()).unwrap();
                let _ = ended.recv();
            }));
        });
        told.recv().unwrap();
        parked(loner.id(), Reason::ChanRecv).await;
        assert_eq!(hinted().await, [], "{uses}");
        loner.abort();
        drop(end);
        thread.unwrap().join().unwrap();
    }
}

#[gambol::test]
async fn what_is_not_known_keeps_the_hint_back() {
    let _recording = recording().await;
    // A weak handle may become another sender.
    let mut weak = None;
    let with_weak = loner(|tx, _| weak = Some(tx.downgrade()));
    // A receiver that nobody uses may close the channel.
    let mut receiver = None;
    let with_receiver = loner(|_, rx| receiver = Some(rx.clone()));
    // What else it waits for, nobody knows.
    let (tx, rx) = chan::buffered(1);
    let selects = gambol::spawn(async move {
        let _ = tx.try_send(1);
        rx.recv().await;
        select! {
            _ = rx.recv() => {}
            _ = sleep(Duration::from_secs(3600)) => {}
        }
    });
    let (tx, rx) = chan::buffered(1);
    let joins = gambol::spawn(async move {
        let _ = tx.try_send(1);
        rx.recv().await;
        join(rx.recv(), sleep(Duration::from_secs(3600))).await;
    });
    // Of two channels one may bring something.
    let (tx, rx) = chan::buffered(1);
    let (alive, waits) = chan::unbuffered::<u32>();
    let waits_twice = gambol::spawn(async move {
        let _ = tx.try_send(1);
        rx.recv().await;
        join(waits.recv(), rx.recv()).await;
    });
    parked(with_weak.id(), Reason::ChanRecv).await;
    parked(with_receiver.id(), Reason::ChanRecv).await;
    parked(selects.id(), Reason::Select).await;
    parked(joins.id(), Reason::Sleep).await;
    parked(waits_twice.id(), Reason::ChanRecv).await;
    assert_eq!(hinted().await, []);
    drop((weak, receiver, alive));
    selects.abort();
    joins.abort();
    with_weak.abort();
    with_receiver.abort();
    waits_twice.abort();
}

#[gambol::test]
async fn channels_from_before_the_recording_get_no_hint() {
    let _recording = recording().await;
    chan::watch_ends(false);
    let before = loner(|_, _| ());
    parked(before.id(), Reason::ChanRecv).await;
    assert!(chan::leak_hints(Duration::ZERO).is_empty());
    chan::watch_ends(true);
    assert_eq!(hinted().await, []);
    before.abort();
}

#[gambol::test]
async fn everything_works_while_it_is_recorded() {
    let _recording = recording().await;
    let (tx, rx) = chan::buffered(2);
    let tasks: Vec<_> = (0..8)
        .map(|n| {
            let (tx, rx) = (tx.clone(), rx.clone());
            gambol::spawn(async move {
                let mut sum = 0;
                for value in 0..200 {
                    select! {
                        sent = tx.send(1) => sent.unwrap(),
                        got = rx.recv() => sum += got.unwrap(),
                    }
                    if (value + n) % 7 == 0 {
                        task::yield_now().await;
                    }
                }
                sum
            })
        })
        .collect();
    drop((tx, rx));
    let mut sum = 0;
    for task in tasks {
        sum += task.await.unwrap();
    }
    assert!(sum > 0);
    assert!(chan::leak_hints(Duration::ZERO).is_empty());
}

/// The tasks are those of a child process.
#[test]
fn the_environment_switches_it_on_and_a_thread_tells() {
    const CHILD: &str = "GAMBOL_TEST_LEAKS";
    if env::var_os(CHILD).is_some() {
        return gambol::block_on(async {
            let [one, other] = embrace();
            let _ = join(one, other).await;
        });
    }
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "the_environment_switches_it_on_and_a_thread_tells", "--nocapture"]);
    let mut child = start_command(command.env(CHILD, "1").env("GAMBOL_LEAKS", "0.2"));
    let stderr = BufReader::new(child.child.stderr.take().unwrap());
    let (tell, told) = mpsc::channel();
    thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
    let mut hints = 0;
    while hints < 2 {
        let line = told.recv_timeout(PATIENCE).expect("a hint for each of the two");
        if line.contains("may wait for ever") {
            assert!(line.starts_with("gambol: task ") && line.contains("spawned at tests/leak_hints.rs:"), "{line}");
            hints += 1;
        }
    }
}
