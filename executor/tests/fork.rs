//! The child of a fork has none of the runtime's threads: what needs them says so, and nothing hangs.
#![cfg(unix)]

mod common;

use common::runtime;
use futures::future::{Either, join, select};
use gambol_executor::{Direction, Done, Io, Reason, Runtime, Sleep, block_in_place, block_on, spawn};
use std::{
    future::poll_fn,
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    panic::{AssertUnwindSafe, catch_unwind},
    task::{Context, Poll, Waker},
    thread,
    time::{Duration, Instant},
};

const PANICKED: i32 = 7;
const WENT_ON: i32 = 3;

/// Runs `f` in a child. Its exit status, or none if it did not end, or ended by a signal.
fn in_child(f: impl FnOnce()) -> Option<i32> {
    // SAFETY: only this thread goes on in the child, and it ends by `_exit`.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        let status = if catch_unwind(AssertUnwindSafe(f)).is_err() { PANICKED } else { WENT_ON };
        // SAFETY: ends the child without running handlers.
        unsafe { libc::_exit(status) };
    }
    let until = Instant::now() + Duration::from_secs(4);
    let mut status = 0;
    loop {
        // SAFETY: `status` outlives the call.
        if unsafe { libc::waitpid(child, &mut status, libc::WNOHANG) } == child {
            return libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status));
        }
        if Instant::now() >= until {
            // SAFETY: the child has not been waited for, so the number is its own.
            unsafe {
                libc::kill(child, libc::SIGKILL);
                libc::waitpid(child, &mut status, 0);
            }
            return None;
        }
        thread::sleep(Duration::from_millis(2));
    }
}

fn used() -> Runtime {
    let runtime = runtime(2);
    runtime.block_on(async { spawn(async {}).await.unwrap() });
    runtime
}

#[test]
fn block_on_panics_in_the_child() {
    let runtime = used();
    assert_eq!(in_child(|| runtime.block_on(async {})), Some(PANICKED));
}

#[test]
fn spawn_panics_in_the_child() {
    let runtime = used();
    assert_eq!(in_child(|| drop(runtime.spawn(async {}))), Some(PANICKED));
}

#[test]
fn spawn_blocking_panics_in_the_child() {
    let runtime = used();
    assert_eq!(in_child(|| drop(runtime.spawn_blocking(|| {}))), Some(PANICKED));
}

#[test]
fn to_register_a_descriptor_panics_in_the_child() {
    let runtime = used();
    let inside = runtime.block_on(async {
        in_child(|| {
            let _ = Io::new(UnixStream::pair().unwrap().0);
        })
    });
    assert_eq!(inside, Some(PANICKED));
}

#[test]
fn the_drop_of_a_runtime_in_the_child_returns_at_once() {
    let runtime = used();
    let mut runtime = Some(runtime);
    assert_eq!(in_child(|| drop(runtime.take())), Some(WENT_ON));
}

#[test]
fn a_task_that_forks_cannot_go_on_as_a_task_in_the_child() {
    #[derive(Clone, Copy, Debug)]
    enum Use {
        BlockOn,
        Spawn,
        SpawnInBlockInPlace,
    }
    let runtime = used();
    for kind in [Use::BlockOn, Use::Spawn, Use::SpawnInBlockInPlace] {
        let task = runtime.spawn(async move {
            in_child(|| match kind {
                Use::BlockOn => block_on(async {}),
                Use::Spawn => drop(spawn(async {})),
                Use::SpawnInBlockInPlace => drop(block_in_place(|| spawn(async {}))),
            })
        });
        assert_eq!(runtime.block_on(task).unwrap(), Some(PANICKED), "{kind:?}");
    }
}

#[test]
fn a_task_that_forks_and_awaits_does_not_run_on_in_the_child() {
    let runtime = used();
    let task = runtime.spawn(async {
        // SAFETY: the child ends by `_exit`, or in the runtime, which is what is asked here.
        let child = unsafe { libc::fork() };
        assert!(child >= 0);
        if child == 0 {
            Sleep::new(Duration::from_millis(1)).await;
            // SAFETY: ends the child without running handlers.
            unsafe { libc::_exit(WENT_ON) };
        }
        child
    });
    let child = runtime.block_on(task).unwrap();
    let until = Instant::now() + Duration::from_secs(4);
    let mut status = 0;
    // SAFETY: `status` outlives the call.
    while unsafe { libc::waitpid(child, &mut status, libc::WNOHANG) } != child {
        if Instant::now() >= until {
            // SAFETY: the child has not been waited for, so the number is its own.
            unsafe {
                libc::kill(child, libc::SIGKILL);
                libc::waitpid(child, &mut status, 0);
            }
            panic!("the child hangs");
        }
        thread::sleep(Duration::from_millis(2));
    }
    assert_ne!(libc::WEXITSTATUS(status), WENT_ON, "the worker's thread ran on in the child, with the parent's poller");
}

#[test]
fn the_drop_of_a_socket_in_the_child_leaves_the_parents_registered() {
    #[derive(Clone, Copy, Debug)]
    enum End {
        Dropped,
        TakenOut,
    }
    let runtime = used();
    for end in [End::Dropped, End::TakenOut] {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let mut io = Some(runtime.block_on(async { Io::new(ours).unwrap() }));
        let in_child = in_child(|| match end {
            End::Dropped => drop(io.take()),
            End::TakenOut => drop(io.take().unwrap().into_inner().unwrap()),
        });
        assert_eq!(in_child, Some(WENT_ON), "{end:?}");
        let io = io.take().unwrap();
        theirs.write_all(b"x").unwrap();
        let readable = runtime.block_on(async {
            let readable = poll_fn(|cx| io.poll_ready(cx, Direction::Read, Reason::Read));
            matches!(select(readable, Sleep::new(Duration::from_secs(5))).await, Either::Left((Ok(()), _)))
        });
        assert!(readable, "{end:?}");
    }
}

/// The kernel's set is the parent's too: what the child added to it could not be added by the parent any more.
#[test]
fn a_child_that_waits_for_a_connection_panics_and_leaves_it_to_the_parent() {
    #[derive(Clone, Copy, Debug)]
    enum Use {
        Read,
        Readable,
    }
    fn poll_read(io: &Io<UnixStream>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        io.poll_io(cx, Direction::Read, Reason::Read, |mut socket| {
            Ok(Done { value: socket.read_exact(&mut [0])?, short: false })
        })
    }
    let runtime = used();
    for kind in [Use::Read, Use::Readable] {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let io = runtime.block_on(async { Io::new_connected(ours).unwrap() });
        let in_child = in_child(|| {
            let cx = &mut Context::from_waker(Waker::noop());
            let _ = match kind {
                Use::Read => poll_read(&io, cx),
                Use::Readable => io.poll_ready(cx, Direction::Read, Reason::Read),
            };
        });
        assert_eq!(in_child, Some(PANICKED), "{kind:?}");
        // The parent has to wait as well, before the byte comes.
        let (read, written) =
            runtime.block_on(async { join(poll_fn(|cx| poll_read(&io, cx)), async { theirs.write_all(b"x") }).await });
        assert!(read.is_ok() && written.is_ok(), "{kind:?}: {read:?}");
    }
}
