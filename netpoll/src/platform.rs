//! What is relied on, per operating system, and which road is taken. The only place of the crate that asks what it is
//! built for.
//!
//! # epoll (Linux; the road `epoll.rs`)
//!
//! - A descriptor is added once, edge triggered, with IN, OUT, RDHUP and PRI. Adding one that is ready already reports it at
//!   once. Each later event makes an edge, and an edge reports everything that is true when it is harvested, not
//!   only what changed.
//! - RDHUP comes with the data when the FIN came with the data, or as an edge of its own afterwards.
//! - HUP and ERR are reported unasked. HUP: both ways are down (or, for a pipe, the last writer has left). ERR: an error is
//!   pending, or the last reader of a pipe has left. A stream socket that has neither connected nor listened is reported as
//!   OUT and HUP.
//! - An eventfd that is never read makes an edge for each write (its counter would overflow after 2^64 of them).
//! - A timerfd that is never read makes an edge for each expiry. Setting it anew takes back an expiry that was not harvested.
//! - An event is handed to one waiter. An event for a registration that was deleted before the wait began is not reported.
//!   One for a descriptor that was closed while a duplicate lives is: keys sort that out.
//! - A timed wait never ends early: the kernel rounds up and adds the thread's timer slack.
//! - `polling`'s own eventfd and timerfd lie in the same set. Nobody writes to the one or sets the other, so they report
//!   nothing.
//!
//! The tests in `tests/kernel.rs` pin these.
//!
//! # `polling` (everywhere else; the road `portable.rs`)
//!
//! - `supports_edge()` (kqueue; epoll on Android and Redox): a descriptor is added once for both directions in edge mode. kqueue
//!   has a filter per direction, with EV_CLEAR: it reports readable when data arrives or an end does. `polling` passes no
//!   word on the end, and does not ask epoll for RDHUP. So a short read must not clear there; only `WouldBlock` may.
//! - Otherwise (event ports, `poll`, IOCP by way of AFD) a registration is one-shot, for both directions at once: an event
//!   takes the interest in both away. Setting interest reports at once what is ready then, as a level would. So a
//!   waiter that enrols sets the interest, and an end behind a short read is found then.
//! - `poll` reports HUP and ERR whether asked or not, for as long as they last. Where nobody waits after such an event, the
//!   descriptor is taken out until somebody does; otherwise every wait would end at once.
//! - It knows descriptors by number, and refuses one that it has (event ports excepted). `poll` tells of a closed one by an event
//!   that says nothing, in every wait. kqueue and event ports forget it by themselves, and so does IOCP, as soon as it hears
//!   of it; but `polling` keeps what it has noted for kqueue if removing fails, as it does for a closed one.
//! - `wait` goes on by itself after a signal. A second thread in `wait` returns at once. `notify` breaks the wait in
//!   progress or the next one, and is coalesced. With `poll` it may break it by the error `WouldBlock`; then it stays
//!   coalesced, that is dead, until another wait has succeeded.
//! - `modify` and `delete` of the `poll` backend break the wait in progress and wait for its lock, so they must not be called
//!   while a lock is held that a thread inside `wait` wants: there is none, `polling` calls nobody.
//! - The key `usize::MAX` is `polling`'s.

#[cfg(all(target_os = "linux", not(polling_test_poll_backend)))]
#[path = "epoll.rs"]
pub(crate) mod road;

#[cfg(not(all(target_os = "linux", not(polling_test_poll_backend))))]
#[path = "portable.rs"]
pub(crate) mod road;

#[cfg(unix)]
mod names {
    use std::os::fd;

    /// What the poller watches: a descriptor, or on Windows a socket.
    pub type Descriptor<'a> = fd::BorrowedFd<'a>;

    impl<T: fd::AsFd> super::AsDescriptor for T {
        fn as_descriptor(&self) -> Descriptor<'_> {
            self.as_fd()
        }
    }

    /// The number of a descriptor, which says nothing about who owns it.
    pub type RawDescriptor = fd::RawFd;

    /// The number of a descriptor.
    pub fn raw(descriptor: Descriptor<'_>) -> RawDescriptor {
        fd::AsRawFd::as_raw_fd(&descriptor)
    }
}

#[cfg(windows)]
mod names {
    use std::os::windows::io;

    /// What the poller watches: a socket, or elsewhere a descriptor.
    pub type Descriptor<'a> = io::BorrowedSocket<'a>;

    impl<T: io::AsSocket> super::AsDescriptor for T {
        fn as_descriptor(&self) -> Descriptor<'_> {
            self.as_socket()
        }
    }

    /// The number of a socket, which says nothing about who owns it.
    pub type RawDescriptor = io::RawSocket;

    /// The number of a socket.
    pub fn raw(descriptor: Descriptor<'_>) -> RawDescriptor {
        io::AsRawSocket::as_raw_socket(&descriptor)
    }
}

pub use names::{Descriptor, RawDescriptor, raw};

/// What has a descriptor: all that is `AsFd`, or on Windows `AsSocket`.
pub trait AsDescriptor {
    /// The descriptor.
    fn as_descriptor(&self) -> Descriptor<'_>;
}
