//! Signals: everybody who listens is told, nobody is told of what has not come, and no wake is lost.
#![cfg(unix)]

mod helpers;

use futures_util::StreamExt;
use gambol::{
    io::ErrorKind,
    runtime::Runtime,
    signal::{self, SignalKind},
    time::timeout,
};
use helpers::{PATIENCE, assert_success, at_most, in_child, is_child, poll_once};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{
    fs::File,
    os::unix::process::CommandExt,
    pin::pin,
    process::{Command, ExitCode},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::Poll,
    thread,
    time::Duration,
};

const USER1: SignalKind = SignalKind::user_defined1();
const USER2: SignalKind = SignalKind::user_defined2();

/// Sends a signal to this thread; its handlers have run when it returns.
fn raise(kind: SignalKind) {
    // SAFETY: no condition; the tests listen to what they raise.
    assert_eq!(unsafe { libc::raise(kind.as_raw()) }, 0);
}

/// Runs a test as a task, one test at a time: signals are the whole process's.
fn alone<F: Future<Output = ()> + Send + 'static>(test: F) {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = Runtime::builder().workers(2).build().unwrap();
    runtime.block_on(runtime.spawn(async { timeout(PATIENCE * 2, test).await.unwrap() })).unwrap();
}

/// Nothing has come.
async fn assert_silent(listener: &mut signal::Signal) {
    for _ in 0..3 {
        assert!(poll_once(&mut pin!(listener.recv())).await.is_pending());
        gambol::yield_now().await;
    }
}

#[test]
fn all_who_listen_are_told() {
    alone(async {
        let mut listeners: Vec<_> = (0..5).map(|_| signal::unix(USER1).unwrap()).collect();
        for round in 0..3 {
            if round == 1 {
                // They wait already.
                gambol::spawn(async { raise(USER1) });
            } else {
                raise(USER1);
            }
            for listener in &mut listeners {
                assert_eq!(listener.recv().await, Some(()));
            }
            for listener in &mut listeners {
                assert_silent(listener).await;
            }
        }
    });
}

#[test]
fn signals_that_come_together_are_received_as_one() {
    alone(async {
        let mut listener = signal::unix(USER1).unwrap();
        for count in [1, 2, 100] {
            (0..count).for_each(|_| raise(USER1));
            assert_eq!(listener.recv().await, Some(()));
            assert_silent(&mut listener).await;
        }
    });
}

#[test]
fn signals_do_not_mix() {
    let kinds = [
        SignalKind::alarm(),
        SignalKind::child(),
        SignalKind::hangup(),
        SignalKind::interrupt(),
        SignalKind::io(),
        SignalKind::pipe(),
        SignalKind::quit(),
        SignalKind::terminate(),
        USER1,
        USER2,
        SignalKind::window_change(),
        SignalKind::from_raw(libc::SIGCONT),
    ];
    alone(async move {
        let mut listeners = kinds.map(|kind| signal::unix(kind).unwrap());
        for (raised, kind) in kinds.into_iter().enumerate() {
            // Other tests have children.
            if kind == SignalKind::child() {
                continue;
            }
            raise(kind);
            for (index, listener) in listeners.iter_mut().enumerate() {
                if index == raised {
                    assert_eq!(listener.recv().await, Some(()), "{kind:?}");
                } else if kinds[index] != SignalKind::child() {
                    assert_silent(listener).await;
                }
            }
        }
    });
}

#[test]
fn what_came_before_a_listener_is_not_for_it() {
    alone(async {
        let mut early = signal::unix(USER1).unwrap();
        raise(USER1);
        let mut late = signal::unix(USER1).unwrap();
        assert_eq!(early.recv().await, Some(()));
        assert_silent(&mut late).await;
    });
}

#[test]
fn a_signal_that_cannot_be_handled_is_an_error() {
    for number in [libc::SIGKILL, libc::SIGSTOP, libc::SIGSEGV, libc::SIGILL, libc::SIGFPE] {
        assert_eq!(signal::unix(SignalKind::from_raw(number)).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    for number in [0, -1, 1000, i32::MAX, i32::MIN] {
        signal::unix(SignalKind::from_raw(number)).unwrap_err();
    }
}

#[test]
fn a_wait_that_was_given_up_takes_no_signal() {
    alone(async {
        let mut listener = signal::unix(USER1).unwrap();
        for polls in 0..4 {
            let raiser = gambol::spawn(async { raise(USER1) });
            if at_most(polls, listener.recv()).await.is_none() {
                assert_eq!(listener.recv().await, Some(()));
            }
            raiser.await.unwrap();
            assert_silent(&mut listener).await;
        }
    });
}

#[test]
fn a_listener_is_a_stream() {
    alone(async {
        let mut listener = signal::unix(USER2).unwrap();
        for _ in 0..3 {
            raise(USER2);
            assert_eq!(listener.next().await, Some(()));
        }
    });
}

#[test]
fn after_the_last_of_a_storm_everybody_is_told() {
    const SIGNALS: usize = 20_000;
    alone(async {
        let over = Arc::new(AtomicBool::new(false));
        let listeners: Vec<_> = [USER1, USER2, USER1, USER2, USER1]
            .into_iter()
            .map(|kind| {
                let (mut listener, over) = (signal::unix(kind).unwrap(), over.clone());
                gambol::spawn(async move {
                    let mut received = 0;
                    loop {
                        // Before: the last signal is raised after it was set.
                        assert_eq!(listener.recv().await, Some(()));
                        received += 1;
                        if over.load(Ordering::SeqCst) {
                            break received;
                        }
                    }
                })
            })
            .collect();
        let storms: Vec<_> = [USER1, USER2]
            .into_iter()
            .map(|kind| thread::spawn(move || (0..SIGNALS).for_each(|_| raise(kind))))
            .collect();
        let storms = gambol::spawn_blocking(|| storms.into_iter().for_each(|storm| storm.join().unwrap()));
        // Listeners come and go meanwhile.
        while !storms.is_finished() {
            let mut brief = signal::unix(USER1).unwrap();
            let _ = at_most(1, brief.recv()).await;
            gambol::yield_now().await;
        }
        storms.await.unwrap();
        over.store(true, Ordering::SeqCst);
        raise(USER1);
        raise(USER2);
        for listener in listeners {
            let received = listener.await.unwrap();
            assert!((1..=SIGNALS + 1).contains(&received), "{received}");
        }
    });
}

#[test]
fn a_listener_ends_with_its_runtime() {
    alone(async {
        let runtime = Runtime::builder().workers(1).build().unwrap();
        let [mut waiting, mut idle] = [0; 2].map(|_| runtime.block_on(async { signal::unix(USER1).unwrap() }));
        let (begun, begins) = std::sync::mpsc::channel();
        let waiter = thread::spawn(move || {
            futures::executor::block_on(async {
                assert!(poll_once(&mut pin!(waiting.recv())).await.is_pending());
                begun.send(()).unwrap();
                waiting.recv().await
            })
        });
        begins.recv().unwrap();
        drop(runtime);
        assert_eq!(waiter.join().unwrap(), None);
        assert_eq!(idle.recv().await, None);
        // Others hear on.
        let mut other = signal::unix(USER1).unwrap();
        raise(USER1);
        assert_eq!(other.recv().await, Some(()));
    });
}

#[test]
fn signals_reach_tasks_of_other_executors() {
    alone(async {
        let heard = Arc::new(AtomicUsize::new(0));
        let program = |heard: Arc<AtomicUsize>| async move {
            let mut listener = signal::unix(USER1).unwrap();
            heard.fetch_add(1, Ordering::SeqCst);
            assert_eq!(listener.recv().await, Some(()));
        };
        let threads = [
            thread::spawn({
                let program = program(heard.clone());
                || futures::executor::block_on(program)
            }),
            thread::spawn({
                let program = program(heard.clone());
                || tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(program)
            }),
            thread::spawn({
                let program = program(heard.clone());
                || gambol::block_on(program)
            }),
        ];
        while heard.load(Ordering::SeqCst) < threads.len() {
            gambol::yield_now().await;
        }
        raise(USER1);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn a_dump_says_who_waits_for_a_signal() {
    alone(async {
        let mut listener = signal::unix(USER1).unwrap();
        let task = gambol::spawn(async move { listener.recv().await });
        let handle = gambol::runtime::Handle::current();
        while !handle.parked_tasks().iter().any(|parked| parked.wait.as_str() == "signal") {
            gambol::yield_now().await;
        }
        raise(USER1);
        assert_eq!(task.await.unwrap(), Some(()));
    });
}

/// In the copy of this process, before it becomes the other program, our handler runs too, and writes into our pipe.
#[test]
fn a_signal_to_a_child_that_is_being_started_is_not_ours() {
    alone(async {
        let mut listener = signal::unix(USER1).unwrap();
        let mut command = Command::new("true");
        // SAFETY: `raise` and what our handler does are async-signal-safe.
        unsafe {
            command.pre_exec(|| {
                libc::raise(libc::SIGUSR1);
                Ok(())
            });
        }
        assert!(command.status().unwrap().success());
        assert_silent(&mut listener).await;
        // Whoever waits is not kept from hearing the next.
        assert!(timeout(Duration::from_millis(10), listener.recv()).await.is_err());
        raise(USER1);
        assert_eq!(listener.recv().await, Some(()));
    });
}

#[gambol::main]
async fn interrupted() -> ExitCode {
    // Whoever calls has it from then on.
    let first = signal::ctrl_c();
    raise(SignalKind::interrupt());
    first.await.unwrap();
    let mut second = pin!(signal::ctrl_c());
    assert!(poll_once(&mut second).await.is_pending());
    let raiser = gambol::spawn(async { raise(SignalKind::interrupt()) });
    second.await.unwrap();
    raiser.await.unwrap();
    ExitCode::from(7)
}

#[test]
fn ctrl_c_is_told_to_main() {
    if is_child() {
        assert_eq!(interrupted(), ExitCode::from(7));
        return;
    }
    assert_success(&in_child("ctrl_c_is_told_to_main"));
}

#[test]
fn the_default_action_does_not_come_back() {
    if is_child() {
        drop(signal::unix(USER1).unwrap());
        drop(signal::ctrl_c());
        raise(USER1);
        raise(SignalKind::interrupt());
        return;
    }
    assert_success(&in_child("the_default_action_does_not_come_back"));
}

#[cfg(target_os = "linux")]
fn descriptors() -> Vec<i32> {
    let entries = std::fs::read_dir("/proc/self/fd").unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect()
}

#[cfg(target_os = "linux")]
#[test]
fn a_listener_leaves_no_descriptor_and_hands_none_on() {
    if !is_child() {
        return assert_success(&in_child("a_listener_leaves_no_descriptor_and_hands_none_on"));
    }
    gambol::block_on(async {
        drop(signal::unix(USER1).unwrap());
        let before = descriptors();
        let listeners: Vec<_> = (0..10).map(|_| signal::unix(USER1).unwrap()).collect();
        let during = descriptors();
        assert_eq!(during.len(), before.len() + 20);
        for number in during.into_iter().filter(|number| !before.contains(number)) {
            // SAFETY: only asks, and an unknown number is an error.
            assert_eq!(unsafe { libc::fcntl(number, libc::F_GETFD) } & libc::FD_CLOEXEC, libc::FD_CLOEXEC);
        }
        drop(listeners);
        assert_eq!(descriptors(), before);
        for polls in 0..3 {
            assert!(at_most(polls, signal::ctrl_c()).await.is_none());
        }
        assert_eq!(descriptors(), before);
    });
}

#[test]
fn without_descriptors_there_is_an_error_and_then_none() {
    if !is_child() {
        return assert_success(&in_child("without_descriptors_there_is_an_error_and_then_none"));
    }
    gambol::block_on(async {
        let mut listener = signal::unix(USER1).unwrap();
        let limit = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum: limit.maximum }).unwrap();
        let mut files: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        for _ in 0..3 {
            let error = signal::unix(USER2).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
            assert!(matches!(poll_once(&mut pin!(signal::ctrl_c())).await, Poll::Ready(Err(_))));
            // One is not enough either.
            files.pop();
            signal::unix(USER2).unwrap_err();
            files.extend(File::open("/dev/null"));
        }
        raise(USER1);
        assert_eq!(listener.recv().await, Some(()));
        files.clear();
        let mut second = signal::unix(USER2).unwrap();
        raise(USER2);
        assert_eq!(second.recv().await, Some(()));
    });
}
