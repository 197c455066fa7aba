//! Ten thousand registrations, in a process of their own.
#![cfg(all(unix, not(gambol_loom)))]

mod common;

use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use common::{Rig, flag};
use gambol_netpoll::{Direction, Events};

/// The number of descriptors that this process may have in all, after asking for more.
fn descriptors(wanted: libc::rlim_t) -> usize {
    let mut limits = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: getrlimit and setrlimit take a resource and a pointer to a structure that lives during the call.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &mut limits), 0);
        limits.rlim_cur = limits.rlim_max.min(wanted);
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &limits), 0);
    }
    usize::try_from(limits.rlim_cur).unwrap()
}

#[test]
fn ten_thousand_descriptors_are_all_told_and_all_forgotten() {
    let many = 10_000.min(descriptors(10_200) - 200);
    let mut rig = Rig::new();
    rig.events = Events::with_capacity(256);
    // Duplicates of one socket: one byte makes all of them readable.
    let (one, mut other) = UnixStream::pair().unwrap();
    let ios: Vec<_> = (0..many).map(|_| rig.add(one.try_clone().unwrap())).collect();
    assert_eq!(rig.poller.len(), many);
    rig.settle();
    assert_eq!(rig.poller.waiting(), []);
    let mut enrolled = Vec::new();
    let flags: Vec<_> = ios
        .iter()
        .map(|io| {
            let (flag, waker) = flag();
            assert!(io.is_pending(Direction::Read, &waker));
            enrolled.push((waker.data().addr(), io.inner.as_raw_fd(), Direction::Read));
            flag
        })
        .collect();
    let mut waiting: Vec<_> =
        rig.poller.waiting().into_iter().map(|it| (it.waker, it.descriptor, it.direction)).collect();
    waiting.sort_unstable_by_key(|&(_, descriptor, _)| descriptor);
    enrolled.sort_unstable_by_key(|&(_, descriptor, _)| descriptor);
    assert!(waiting == enrolled, "who waits is not who is told to wait");
    other.write_all(b"x").unwrap();
    rig.until(|| flags.iter().all(|flag| flag.woken() == 1));
    drop(ios);
    assert!(rig.poller.is_empty());
    assert_eq!(rig.turn(Some(std::time::Duration::ZERO)), 0);
}
