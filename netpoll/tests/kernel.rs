//! Pins what the Linux road takes for granted of the kernel, and of `polling`: each line of "epoll" in `platform.rs`.
#![cfg(all(target_os = "linux", not(any(gambol_loom, polling_test_poll_backend))))]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime};

/// The set that `polling` makes, used as the road uses it.
struct Set(polling::Poller);

impl Set {
    fn new() -> Set {
        Set(polling::Poller::new().unwrap())
    }

    fn add(&self, descriptor: impl AsFd, key: u64) {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::PRI | EventFlags::ET;
        epoll::add(&self.0, descriptor, epoll::EventData::new_u64(key), flags).unwrap();
    }

    /// What there is now, by key.
    fn look(&self) -> Vec<(u64, EventFlags)> {
        self.wait(Some(&Timespec::default()))
    }

    /// What there is, as soon as there is something.
    fn next(&self) -> Vec<(u64, EventFlags)> {
        self.wait(None)
    }

    fn wait(&self, timeout: Option<&Timespec>) -> Vec<(u64, EventFlags)> {
        let mut events = Vec::with_capacity(16);
        epoll::wait(&self.0, spare_capacity(&mut events), timeout).unwrap();
        events
            .iter()
            .map(|event: &epoll::Event| {
                let (data, flags) = (event.data, event.flags);
                (data.u64(), flags)
            })
            .collect()
    }
}

fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (one, listener.accept().unwrap().0)
}

fn timer() -> OwnedFd {
    timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC).unwrap()
}

fn set_timer(timer: &OwnedFd, seconds: i64, nanoseconds: i64) {
    let value =
        Itimerspec { it_interval: Timespec::default(), it_value: Timespec { tv_sec: seconds, tv_nsec: nanoseconds } };
    timerfd_settime(timer, TimerfdTimerFlags::empty(), &value).unwrap();
}

#[test]
fn the_descriptors_of_polling_report_nothing() {
    let set = Set::new();
    assert_eq!(set.look(), []);
    let eventfd = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
    set.add(&eventfd, 7);
    for _ in 0..3 {
        rustix::io::write(&eventfd, &1_u64.to_ne_bytes()).unwrap();
        let events = set.next();
        assert!(events.iter().all(|(key, _)| *key == 7), "{events:?}");
    }
}

#[test]
fn an_eventfd_that_is_never_read_makes_an_edge_for_each_write() {
    let set = Set::new();
    let eventfd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).unwrap();
    epoll::add(&set.0, &eventfd, epoll::EventData::new_u64(7), EventFlags::IN | EventFlags::ET).unwrap();
    assert_eq!(set.look(), []);
    for _ in 0..100 {
        rustix::io::write(&eventfd, &1_u64.to_ne_bytes()).unwrap();
        assert_eq!(set.look(), [(7, EventFlags::IN)]);
        assert_eq!(set.look(), []);
    }
}

#[test]
fn a_timerfd_that_is_never_read_makes_an_edge_for_each_expiry() {
    let set = Set::new();
    let timer = timer();
    epoll::add(&set.0, &timer, epoll::EventData::new_u64(7), EventFlags::IN | EventFlags::ET).unwrap();
    for _ in 0..10 {
        set_timer(&timer, 0, 1_000);
        assert_eq!(set.next(), [(7, EventFlags::IN)]);
        assert_eq!(set.look(), []);
    }
}

#[test]
fn setting_a_timerfd_anew_takes_back_an_expiry_that_was_not_harvested() {
    let set = Set::new();
    let (timer, witness) = (timer(), timer());
    set.add(&timer, 7);
    let seen = Set::new();
    seen.add(&witness, 8);
    seen.add(&timer, 9);
    set_timer(&timer, 0, 1_000);
    // Another set tells that it has expired.
    assert!(seen.next().iter().any(|(key, _)| *key == 9));
    set_timer(&timer, 1000, 0);
    assert_eq!(set.look(), []);
}

#[test]
fn what_is_ready_when_it_is_added_is_reported_at_once() {
    let set = Set::new();
    let (one, mut other) = UnixStream::pair().unwrap();
    other.write_all(b"x").unwrap();
    set.add(&one, 7);
    assert_eq!(set.look(), [(7, EventFlags::IN | EventFlags::OUT)]);
}

#[test]
fn an_edge_reports_all_that_is_true_and_only_once() {
    let set = Set::new();
    let (one, mut other) = UnixStream::pair().unwrap();
    set.add(&one, 7);
    assert_eq!(set.look(), [(7, EventFlags::OUT)]);
    for _ in 0..3 {
        other.write_all(b"x").unwrap();
        assert_eq!(set.look(), [(7, EventFlags::IN | EventFlags::OUT)]);
        assert_eq!(set.look(), []);
    }
}

#[test]
fn an_end_that_came_with_the_data_is_reported_with_it() {
    let set = Set::new();
    let (one, mut other) = tcp();
    set.add(&one, 7);
    set.look();
    other.write_all(b"hello").unwrap();
    other.shutdown(Shutdown::Write).unwrap();
    let mut all = EventFlags::empty();
    while !all.contains(EventFlags::RDHUP) {
        all |= set.next()[0].1;
    }
    assert!(all.contains(EventFlags::IN));
    assert!(!all.contains(EventFlags::HUP));
    // Loopback delivers in the sender's call, so both were there before the first look: one edge, no second.
    assert_eq!(set.look(), []);
}

#[test]
fn an_end_after_the_data_makes_an_edge_of_its_own() {
    let set = Set::new();
    let (mut one, mut other) = tcp();
    set.add(&one, 7);
    set.look();
    other.write_all(b"hello").unwrap();
    assert!(set.next()[0].1.contains(EventFlags::IN));
    assert_eq!(one.read(&mut [0; 64]).unwrap(), 5);
    other.shutdown(Shutdown::Write).unwrap();
    assert!(set.next()[0].1.contains(EventFlags::RDHUP));
}

/// Why a closed bit may be trusted on a connected stream: with RDHUP, recv never gives `WouldBlock`.
#[test]
fn a_stream_that_has_ended_never_would_block() {
    let (mut one, mut other) = tcp();
    one.set_nonblocking(true).unwrap();
    let set = Set::new();
    set.add(&one, 7);
    other.write_all(b"hello").unwrap();
    other.shutdown(Shutdown::Write).unwrap();
    while !set.next()[0].1.contains(EventFlags::RDHUP) {}
    let mut sizes = [0; 5];
    for size in &mut sizes {
        *size = one.read(&mut [0; 4]).unwrap();
    }
    assert_eq!(sizes, [4, 1, 0, 0, 0]);
}

#[test]
fn a_stream_that_has_not_connected_is_called_hung_up() {
    let set = Set::new();
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    set.add(&socket, 7);
    assert_eq!(set.look(), [(7, EventFlags::OUT | EventFlags::HUP)]);
}

#[test]
fn the_ends_of_a_pipe_are_told_when_the_other_leaves() {
    let set = Set::new();
    let (reader, writer) = std::io::pipe().unwrap();
    set.add(&writer, 7);
    set.look();
    drop(reader);
    assert!(set.look()[0].1.contains(EventFlags::ERR));

    let set = Set::new();
    let (reader, writer) = std::io::pipe().unwrap();
    set.add(&reader, 7);
    set.look();
    drop(writer);
    assert_eq!(set.look(), [(7, EventFlags::HUP)]);
}

#[test]
fn a_refused_datagram_is_an_error_that_one_call_takes_away() {
    let set = Set::new();
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.connect(nobody.local_addr().unwrap()).unwrap();
    drop(nobody);
    set.add(&socket, 7);
    set.look();
    socket.send(b"x").unwrap();
    while !set.next()[0].1.contains(EventFlags::ERR) {}
    let kinds = [0; 2].map(|_| socket.recv(&mut [0; 8]).unwrap_err().kind());
    use std::io::ErrorKind::{ConnectionRefused, WouldBlock};
    assert_eq!(kinds, [ConnectionRefused, WouldBlock]);
}

#[test]
fn what_is_deleted_before_a_wait_is_not_reported_by_it() {
    let set = Set::new();
    let (one, mut other) = UnixStream::pair().unwrap();
    set.add(&one, 7);
    other.write_all(b"x").unwrap();
    epoll::delete(&set.0, &one).unwrap();
    assert_eq!(set.look(), []);
}
