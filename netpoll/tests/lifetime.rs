//! What becomes of sources, keys and waiters when descriptors, pollers and descriptors' numbers come and go.
#![cfg(all(unix, not(gambol_loom)))]

mod common;

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd};
use std::os::unix::net::UnixStream;
use std::task::{Poll, Waker};
use std::time::Duration;

use common::{Rig, flag};
use gambol_netpoll::{Direction, Gone, Missing, Poller, Source};

fn error(poll: Poll<std::io::Result<gambol_netpoll::Ready>>) -> std::io::Error {
    match poll {
        Poll::Ready(Err(error)) => error,
        other => panic!("expected an error, found {other:?}"),
    }
}

#[test]
fn deregistering_hands_back_everybody_and_nobody_waits_after_it() {
    let mut rig = Rig::new();
    let (one, _other) = UnixStream::pair().unwrap();
    let io = rig.add(one);
    rig.settle();
    assert_eq!(rig.poller.len(), 1);
    let (flag, waker) = flag();
    assert!(io.is_pending(Direction::Read, &waker));
    let mut ready = Vec::new();
    rig.poller.deregister(&io.source, io.inner.as_fd(), &mut ready).unwrap();
    assert!(rig.poller.is_empty());
    ready.into_iter().for_each(Waker::wake);
    assert_eq!(flag.woken(), 1);
    for direction in [Direction::Read, Direction::Write] {
        assert!(io.source.ready(direction).is_none());
        let error = error(io.source.poll_ready(direction, &waker));
        assert_eq!(error.kind(), ErrorKind::NotConnected);
    }
}

#[test]
fn deregistering_twice_is_an_error_and_leaves_the_successor_alone() {
    let mut rig = Rig::new();
    let (one, other) = UnixStream::pair().unwrap();
    let first = rig.add(one);
    let mut ready = Vec::new();
    rig.poller.deregister(&first.source, first.inner.as_fd(), &mut ready).unwrap();
    // SAFETY: deregistered below, before the descriptor is closed.
    let second = unsafe { rig.poller.register(first.inner.as_fd()) }.unwrap();
    let again = rig.poller.deregister(&first.source, first.inner.as_fd(), &mut ready);
    assert_eq!(again.unwrap_err().kind(), ErrorKind::NotFound);
    rig.settle();
    let (flag, waker) = flag();
    assert!(second.poll_ready(Direction::Read, &waker).is_pending());
    drop(other);
    rig.until(|| flag.woken() == 1);
    rig.poller.deregister(&second, first.inner.as_fd(), &mut ready).unwrap();
}

#[test]
fn closing_hands_back_everybody_and_later_use_is_an_error() {
    let mut rig = Rig::new();
    let (ios, _others): (Vec<_>, Vec<_>) = (0..10)
        .map(|_| {
            let (one, other) = UnixStream::pair().unwrap();
            (rig.add(one), other)
        })
        .unzip();
    rig.settle();
    let (flags, wakers): (Vec<_>, Vec<_>) = (0..10).map(|_| flag()).unzip();
    for (io, waker) in ios.iter().zip(&wakers) {
        assert!(io.is_pending(Direction::Read, waker));
    }
    let mut ready = Vec::new();
    rig.poller.close(&mut ready);
    assert!(rig.poller.is_empty());
    ready.into_iter().for_each(Waker::wake);
    assert!(flags.iter().all(|flag| flag.woken() == 1));

    // Registered is not what a source of a closed poller is, ready or not.
    for (io, waker) in ios.iter().zip(&wakers) {
        for direction in [Direction::Read, Direction::Write] {
            assert!(io.source.ready(direction).is_none());
            let error = error(io.source.poll_ready(direction, waker));
            assert_eq!(error.kind(), ErrorKind::Other);
            assert_eq!(error.to_string(), "the runtime is gone");
            assert!(error.get_ref().unwrap().is::<Gone>());
        }
    }
    let (late, _other) = UnixStream::pair().unwrap();
    // SAFETY: nothing is registered, since this fails.
    let refused = unsafe { rig.poller.register(late.as_fd()) }.unwrap_err();
    assert!(refused.get_ref().unwrap().is::<Gone>());
    // Waiting and closing again do nothing; deregistering still works.
    rig.turn(Some(Duration::ZERO));
    rig.poller.close(&mut Vec::new());
    for io in &ios {
        rig.poller.deregister(&io.source, io.inner.as_fd(), &mut Vec::new()).unwrap();
    }
}

#[test]
fn a_source_outlives_its_poller() {
    let mut rig = Rig::new();
    let (one, other) = UnixStream::pair().unwrap();
    // SAFETY: the descriptor stays open until the end of the test, after the poller is gone; it is never deregistered, which
    // nobody can do any more.
    let source = unsafe { rig.poller.register(one.as_fd()) }.unwrap();
    rig.settle();
    let mut ready = Vec::new();
    rig.poller.close(&mut ready);
    drop(rig);
    let (_, waker) = flag();
    let error = error(source.poll_ready(Direction::Read, &waker));
    assert!(error.get_ref().unwrap().is::<Gone>());
    drop((one, other));
}

/// A duplicate keeps the registration of a closed descriptor alive; what it reports must not reach the descriptor that has
/// the number now. Only epoll can be brought into this state without being misled itself.
#[test]
#[cfg(all(target_os = "linux", not(polling_test_poll_backend)))]
fn an_event_for_a_closed_descriptor_does_not_reach_its_successor() {
    let mut rig = Rig::new();
    let (old, mut old_peer) = UnixStream::pair().unwrap();
    let number = old.as_raw_fd();
    let duplicate = old.try_clone().unwrap();
    // SAFETY: broken on purpose. epoll holds the file, not the number.
    let stale = unsafe { rig.poller.register(old.as_fd()) }.unwrap();
    rig.settle();
    // The poller forgets the source, the kernel does not: this descriptor was never registered.
    let mut ready = Vec::new();
    let error = rig.poller.deregister(&stale, old_peer.as_fd(), &mut ready).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);

    let (new, _new_peer) = UnixStream::pair().unwrap();
    let new = renumber(new, old);
    assert_eq!(new.as_raw_fd(), number);
    let io = rig.add(new);
    rig.settle();
    let (flag, waker) = flag();
    assert!(io.is_pending(Direction::Read, &waker));
    old_peer.write_all(b"for the old one").unwrap();
    // The kernel tells of it, and the event finds nobody.
    while rig.turn(Some(common::HANG)) == 0 {}
    assert_eq!(flag.woken(), 0);
    assert!(io.source.ready(Direction::Read).is_none());
    assert!(stale.ready(Direction::Read).is_none());
    drop(duplicate);
}

#[test]
fn a_descriptor_is_registered_once() {
    let rig = Rig::new();
    let (one, _other) = UnixStream::pair().unwrap();
    let io = rig.add(one);
    // SAFETY: nothing is registered, since this fails.
    let again = unsafe { rig.poller.register(io.inner.as_fd()) }.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AlreadyExists);
    assert_eq!(rig.poller.len(), 1);
}

#[test]
fn abandoning_hands_back_everybody_and_nobody_is_woken_after_it() {
    let mut rig = Rig::new();
    let (one, mut other) = UnixStream::pair().unwrap();
    let io = rig.add(one);
    rig.settle();
    let (flag, waker) = flag();
    assert!(io.is_pending(Direction::Read, &waker));
    let mut ready = Vec::new();
    rig.poller.abandon(&io.source, &mut ready);
    assert!(rig.poller.is_empty());
    ready.drain(..).for_each(Waker::wake);
    assert_eq!(flag.woken(), 1);
    assert_eq!(error(io.source.poll_ready(Direction::Read, &waker)).kind(), ErrorKind::NotConnected);

    other.write_all(b"for nobody").unwrap();
    rig.turn(Some(Duration::ZERO));
    assert_eq!(flag.woken(), 1);
    rig.poller.abandon(&io.source, &mut ready);
    let again = rig.poller.deregister(&io.source, io.inner.as_fd(), &mut ready);
    assert_eq!(again.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(ready.is_empty());
}

/// When a number comes to stand for another file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reused {
    BeforeAbandoning,
    AfterAbandoning,
}

/// Gives the number of `old`, which is closed, to `new`.
fn renumber(new: UnixStream, old: UnixStream) -> UnixStream {
    let number = old.into_raw_fd();
    // SAFETY: dup2 takes two descriptors; nothing else owns the second one until it is wrapped.
    unsafe {
        assert_eq!(libc::dup2(new.as_raw_fd(), number), number);
        UnixStream::from_raw_fd(number)
    }
}

#[test]
fn the_number_of_an_abandoned_source_serves_its_next_owner() {
    for reused in [Reused::BeforeAbandoning, Reused::AfterAbandoning] {
        for old_is_hung_up in [false, true] {
            let mut rig = Rig::new();
            let (old, old_peer) = UnixStream::pair().unwrap();
            let (new, mut new_peer) = UnixStream::pair().unwrap();
            new.set_nonblocking(true).unwrap();
            // SAFETY: broken on purpose, as an I/O object does whose descriptor was replaced: abandoned instead of
            // deregistered.
            let stale = unsafe { rig.poller.register(old.as_fd()) }.unwrap();
            rig.settle();
            let (stale_flag, stale_waker) = flag();
            assert!(stale.poll_ready(Direction::Read, &stale_waker).is_pending());
            let old_peer = if old_is_hung_up { None } else { Some(old_peer) };

            let mut ready = Vec::new();
            let io = match reused {
                Reused::AfterAbandoning => {
                    rig.poller.abandon(&stale, &mut ready);
                    rig.add(renumber(new, old))
                }
                Reused::BeforeAbandoning if cfg!(all(target_os = "linux", not(polling_test_poll_backend))) => {
                    let io = rig.add(renumber(new, old));
                    rig.poller.abandon(&stale, &mut ready);
                    io
                }
                // What stands for a file here is its number, which the stale source holds until it is abandoned.
                Reused::BeforeAbandoning => {
                    let new = renumber(new, old);
                    // SAFETY: nothing is registered, since this fails.
                    let refused = unsafe { rig.poller.register(new.as_fd()) }.unwrap_err();
                    assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
                    rig.poller.abandon(&stale, &mut ready);
                    rig.add(new)
                }
            };
            ready.into_iter().for_each(Waker::wake);
            let before = stale_flag.woken();

            rig.settle();
            assert_eq!(rig.poller.len(), 1);
            for _ in 0..2 {
                let (flag, waker) = flag();
                assert!(io.is_pending(Direction::Read, &waker), "{reused:?}, {old_is_hung_up}");
                new_peer.write_all(b"x").unwrap();
                rig.until(|| flag.woken() == 1);
                assert_eq!(rig.call(&io, Direction::Read, 2, |mut io| io.read(&mut [0; 2])).unwrap(), 1);
                let seen = rig.ready(&io, Direction::Write);
                assert!(!seen.is_error());
                if let Some(seen) = io.source.ready(Direction::Read) {
                    io.source.would_block(Direction::Read, seen);
                }
            }
            assert_eq!(stale_flag.woken(), before);
            drop(old_peer);
        }
    }
}

/// What has become of a descriptor that is registered, or was when it was abandoned.
#[derive(Debug, Clone, Copy)]
enum Fate {
    HungUp,
    Closed,
}

#[test]
fn a_descriptor_that_ends_behind_the_pollers_back_does_not_end_every_wait() {
    for fate in [Fate::HungUp, Fate::Closed] {
        for abandoned in [false, true] {
            let mut rig = Rig::new();
            let (one, other) = UnixStream::pair().unwrap();
            // SAFETY: broken on purpose where it is closed.
            let source = unsafe { rig.poller.register(one.as_fd()) }.unwrap();
            rig.settle();
            if abandoned {
                rig.poller.abandon(&source, &mut Vec::new());
            }
            let kept = match fate {
                Fate::HungUp => {
                    drop(other);
                    Some(one)
                }
                Fate::Closed => {
                    drop(one);
                    None
                }
            };
            // It may be told of once; or a few times more, if another test has got the number.
            let quiet = (0..100).any(|_| rig.turn(Some(Duration::from_millis(1))) == 0);
            assert!(quiet, "{fate:?}, abandoned: {abandoned}");
            drop(kept);
        }
    }
}

/// `poll` would call a file ready.
#[test]
#[cfg(all(target_os = "linux", not(polling_test_poll_backend)))]
fn what_the_kernel_cannot_watch_is_its_error_untouched() {
    let rig = Rig::new();
    let file = std::fs::File::open("/proc/self/exe").unwrap();
    // SAFETY: nothing is registered, since this fails.
    let error = unsafe { rig.poller.register(file.as_fd()) }.unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EPERM));
    assert!(rig.poller.is_empty());
}

/// Runs itself in a process of its own, whose limit of descriptors it lowers step by step.
#[test]
fn a_poller_without_descriptors_is_an_error_and_leaks_nothing() {
    const MARK: &str = "GAMBOL_NETPOLL_TEST_CHILD";
    if std::env::var_os(MARK).is_none() {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_poller_without_descriptors_is_an_error_and_leaks_nothing"])
            .env(MARK, "1")
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        return;
    }
    let missing = [Missing::default(), Missing::EVERYTHING];
    for missing in missing {
        let mut failed = 0;
        let mut made = 0;
        for limit in 3..32 {
            let limits = libc::rlimit { rlim_cur: limit, rlim_max: 1024 };
            // SAFETY: setrlimit takes a resource and a pointer to a structure that lives during the call.
            assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limits) }, 0);
            match Poller::without(missing) {
                Ok(_) => made += 1,
                Err(error) => {
                    assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
                    failed += 1;
                    assert_eq!(made, 0, "it failed with more than it worked with");
                }
            }
        }
        assert!(failed > 1 && made > 1);
    }
}

/// No descriptor is inherited by a program that is executed.
#[test]
#[cfg(target_os = "linux")]
fn every_descriptor_is_closed_on_exec() {
    for missing in common::all_missing() {
        let mut rig = Rig::without(missing);
        // Makes what is made late.
        rig.turn(Some(Duration::from_nanos(1)));
        let mut kinds = 0;
        for entry in std::fs::read_dir("/proc/self/fd").unwrap() {
            let entry = entry.unwrap();
            let Ok(target) = std::fs::read_link(entry.path()) else {
                continue;
            };
            if !target.to_string_lossy().starts_with("anon_inode:") {
                continue;
            }
            let name = entry.file_name().into_string().unwrap();
            // Of other tests, perhaps: then it may be gone by now, and if not, it is a poller's too.
            let Ok(info) = std::fs::read_to_string(format!("/proc/self/fdinfo/{name}")) else {
                continue;
            };
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
            let flags = i32::from_str_radix(flags.trim(), 8).unwrap();
            assert_ne!(flags & libc::O_CLOEXEC, 0, "{target:?}");
            kinds += 1;
        }
        if cfg!(not(polling_test_poll_backend)) {
            assert!(kinds >= 2);
        }
    }
}

#[test]
fn a_source_may_be_used_across_a_caught_panic() {
    fn may<T: std::panic::UnwindSafe + std::panic::RefUnwindSafe>() {}
    may::<Source>();
    may::<Poller>();
}
