//! Descriptors that the kernel is asked to watch only when somebody has to wait for them.
#![cfg(all(unix, not(gambol_loom)))]

mod common;

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::task::Poll;
use std::time::Duration;

use common::{Rig, flag};
use gambol_netpoll::{Direction, Poller};

fn pair() -> (UnixStream, UnixStream) {
    let (one, other) = UnixStream::pair().unwrap();
    one.set_nonblocking(true).unwrap();
    (one, other)
}

/// Whether a descriptor can be added when somebody has to wait.
const IS_LATER: bool = cfg!(all(target_os = "linux", not(polling_test_poll_backend)));

#[test]
fn what_is_used_up_before_anybody_waits_is_never_told_to_the_kernel() {
    let mut rig = Rig::new();
    let (one, mut other) = pair();
    let io = rig.add_later(one);
    other.write_all(b"request").unwrap();
    let mut buffer = [0; 16];
    // Ready without a wait of the poller; where it is watched from the beginning, only to be written to.
    assert!(io.source.ready(Direction::Write).is_some());
    assert_eq!(io.source.ready(Direction::Read).is_some(), IS_LATER);
    assert_eq!((&io.inner).read(&mut buffer).unwrap(), 7);
    (&io.inner).write_all(b"answer").unwrap();
    if IS_LATER {
        // What it has read, and the room that there is, would be events.
        assert_eq!(rig.turn(Some(Duration::ZERO)), 0);
    }
    let mut ready = Vec::new();
    rig.poller.deregister(&io.source, io.inner.as_fd(), &mut ready).unwrap();
    assert!(rig.poller.is_empty() && ready.is_empty());
}

#[test]
fn what_came_before_and_after_the_first_wait_is_told() {
    let mut rig = Rig::new();
    let (one, mut other) = pair();
    let io = rig.add_later(one);
    let mut buffer = [0; 16];
    for text in [b"before", b"after!"] {
        let (flag, waker) = flag();
        let empty = |seen| io.source.would_block(Direction::Read, seen);
        io.source.ready(Direction::Read).into_iter().for_each(empty);
        if text == b"before" {
            other.write_all(text).unwrap();
            assert!(io.is_pending(Direction::Read, &waker));
        } else {
            assert!(io.is_pending(Direction::Read, &waker));
            other.write_all(text).unwrap();
        }
        rig.until(|| flag.woken() == 1);
        assert_eq!((&io.inner).read(&mut buffer).unwrap(), 6);
        assert_eq!(&buffer[..6], text);
    }
}

#[test]
fn who_does_not_try_waits_for_news() {
    let mut rig = Rig::new();
    let (one, mut other) = pair();
    let io = rig.add_later(one);
    let (flag, waker) = flag();
    io.source.distrust(Direction::Read);
    let is_pending = io.is_pending(Direction::Read, &waker);
    // Where it was registered at once, it keeps what was assumed then.
    if !cfg!(all(target_os = "linux", not(polling_test_poll_backend))) {
        return;
    }
    assert!(is_pending && io.source.ready(Direction::Write).is_some());
    rig.settle();
    assert_eq!(flag.woken(), 0);
    other.write_all(b"news").unwrap();
    rig.until(|| flag.woken() == 1);
    // What an event has brought stays.
    io.source.distrust(Direction::Read);
    assert!(io.source.ready(Direction::Read).is_some());
}

#[test]
fn an_end_before_the_first_wait_is_told() {
    let mut rig = Rig::new();
    let (one, other) = pair();
    let io = rig.add_later(one);
    if let Some(seen) = io.source.ready(Direction::Read) {
        io.source.would_block(Direction::Read, seen);
    }
    drop(other);
    assert_eq!(rig.call(&io, Direction::Read, 16, |mut one| one.read(&mut [0; 16])).unwrap(), 0);
}

#[cfg(all(target_os = "linux", not(polling_test_poll_backend)))]
#[test]
fn a_descriptor_that_the_kernel_refuses_is_an_error_each_time() {
    let rig = Rig::new();
    let io = rig.add_later(std::fs::File::open("/proc/self/exe").unwrap());
    let seen = io.source.ready(Direction::Read).unwrap();
    io.source.would_block(Direction::Read, seen);
    let (_, waker) = flag();
    for _ in 0..2 {
        match rig.poller.poll_ready(&io.source, Direction::Read, &waker) {
            Poll::Ready(Err(error)) => assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied),
            other => panic!("{other:?}"),
        }
    }
    // Without the poller nobody can watch it, and it is not waited for.
    match io.source.poll_ready(Direction::Read, &waker) {
        Poll::Ready(Err(error)) => assert_eq!(error.kind(), std::io::ErrorKind::Unsupported),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_closed_poller_gives_its_error_though_nobody_has_waited() {
    let rig = Rig::new();
    let (one, _other) = pair();
    let io = rig.add_later(one);
    rig.poller.close(&mut Vec::new());
    let (_, waker) = flag();
    assert!(matches!(rig.poller.poll_ready(&io.source, Direction::Read, &waker), Poll::Ready(Err(_))));
    let (two, _other) = pair();
    let poller: &Poller = &rig.poller;
    // SAFETY: nothing is registered: it is refused.
    assert!(unsafe { poller.register_later(two.as_fd()) }.is_err());
}
