//! Datagrams between processes: whole, cut and empty ones, and senders that wait for a receiver.
#![cfg(unix)]

#[path = "helpers/directory.rs"]
mod directory;
mod helpers;
#[path = "helpers/signals.rs"]
mod signals;

use directory::Directory;
use gambol::{
    io::ErrorKind,
    net::UnixDatagram,
    runtime::Runtime,
    time::{Duration, timeout},
};
use helpers::{PATIENCE, assert_success, at_most, in_child, is_child, poll_once};
use std::{
    io,
    net::Shutdown,
    os::unix::net::{self, SocketAddr},
    pin::pin,
    sync::{Arc, Mutex},
};

/// The ways to receive.
#[derive(Clone, Copy, Debug)]
enum Receive {
    Recv,
    RecvFrom,
    Readable,
}

impl Receive {
    const ALL: [Receive; 3] = [Receive::Recv, Receive::RecvFrom, Receive::Readable];

    async fn receive(self, socket: &UnixDatagram, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Receive::Recv => socket.recv(buf).await,
            Receive::RecvFrom => Ok(socket.recv_from(buf).await?.0),
            Receive::Readable => loop {
                socket.readable().await?;
                match socket.try_recv_from(buf) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    result => return Ok(result?.0),
                }
            },
        }
    }
}

/// The ways to send to a socket that has a name.
#[derive(Clone, Copy, Debug)]
enum Send {
    Connected,
    Path,
    Address,
}

impl Send {
    const ALL: [Send; 3] = [Send::Connected, Send::Path, Send::Address];

    /// A socket to send by.
    fn socket(self, to: &SocketAddr) -> UnixDatagram {
        let socket = UnixDatagram::unbound().unwrap();
        if let Send::Connected = self {
            socket.connect_addr(to).unwrap();
        }
        socket
    }

    async fn send(self, socket: &UnixDatagram, to: &SocketAddr, buf: &[u8]) -> io::Result<usize> {
        match self {
            Send::Connected => socket.send(buf).await,
            Send::Path => socket.send_to(buf, to.as_pathname().unwrap()).await,
            Send::Address => socket.send_to_addr(buf, to).await,
        }
    }
}

#[gambol::test]
async fn what_is_sent_is_received_in_every_way() {
    let directory = Directory::new();
    let receiver = UnixDatagram::bind(directory.path("receiver")).unwrap();
    let at = receiver.local_addr().unwrap();
    assert_eq!(at.as_pathname().unwrap(), directory.path("receiver"));
    let mut buf = [0; 64];
    for send in Send::ALL {
        let sender = send.socket(&at);
        for receive in Receive::ALL {
            for waits_first in [false, true] {
                let n = {
                    let mut received = pin!(receive.receive(&receiver, &mut buf));
                    if waits_first {
                        assert!(poll_once(&mut received).await.is_pending());
                    }
                    assert_eq!(send.send(&sender, &at, b"datagram").await.unwrap(), 8);
                    timeout(PATIENCE, received).await.unwrap().unwrap()
                };
                assert_eq!(&buf[..n], b"datagram", "{send:?} {receive:?}");
                buf.fill(0);
            }
        }
    }
    assert_eq!(receiver.try_recv(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[gambol::test]
async fn a_sender_with_a_name_can_be_answered() {
    let directory = Directory::new();
    let server = UnixDatagram::bind(directory.path("server")).unwrap();
    let client = UnixDatagram::bind(directory.path("client")).unwrap();
    client.connect(directory.path("server")).unwrap();
    assert_eq!(client.peer_addr().unwrap().as_pathname().unwrap(), directory.path("server"));
    client.send(b"question").await.unwrap();
    let mut buf = [0; 64];
    let (n, from) = server.recv_from(&mut buf).await.unwrap();
    assert_eq!((n, from.as_pathname().unwrap()), (8, &*directory.path("client")));
    server.try_send_to_addr(b"answer", &from).unwrap();
    assert_eq!(client.recv(&mut buf).await.unwrap(), 6);
    server.try_send_to(b"another", directory.path("client")).unwrap();
    assert_eq!(client.recv(&mut buf).await.unwrap(), 7);
    let nameless = UnixDatagram::unbound().unwrap();
    nameless.send_to(b"x", directory.path("server")).await.unwrap();
    assert!(server.recv_from(&mut buf).await.unwrap().1.is_unnamed());
}

#[gambol::test]
async fn a_file_that_exists_is_an_address_in_use() {
    let directory = Directory::new();
    let path = directory.path("socket");
    let socket = UnixDatagram::bind(&path).unwrap();
    assert_eq!(UnixDatagram::bind(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
    let sender = UnixDatagram::unbound().unwrap();
    assert_eq!(sender.send(b"x").await.unwrap_err().kind(), ErrorKind::NotConnected);
    drop(socket);
    // The file is still there, and nobody behind it.
    assert_eq!(UnixDatagram::bind(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
    assert_eq!(sender.send_to(b"x", &path).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    assert_eq!(sender.connect(&path).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(sender.send_to(b"x", &path).await.unwrap_err().kind(), ErrorKind::NotFound);
    UnixDatagram::bind(&path).unwrap();
    for path in ["a\0b".into(), "x".repeat(200)] {
        assert_eq!(sender.send_to(b"x", path).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}

#[cfg(target_os = "linux")]
#[gambol::test]
async fn abstract_addresses_are_no_files() {
    use std::os::linux::net::SocketAddrExt;
    let name = format!("gambol-datagram-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let receiver = UnixDatagram::bind_addr(&address).unwrap();
    assert_eq!(UnixDatagram::bind_addr(&address).unwrap_err().kind(), ErrorKind::AddrInUse);
    for send in [Send::Connected, Send::Address] {
        let sender = send.socket(&address);
        send.send(&sender, &address, b"abstract").await.unwrap();
        assert_eq!(receiver.recv(&mut [0; 16]).await.unwrap(), 8);
    }
    drop(receiver);
    UnixDatagram::bind_addr(&address).unwrap();
}

#[gambol::test]
async fn long_ones_are_cut_and_empty_ones_are_no_end() {
    for receive in Receive::ALL {
        let (one, other) = UnixDatagram::pair().unwrap();
        other.send(b"0123456789").await.unwrap();
        other.send(b"").await.unwrap();
        other.send(b"next").await.unwrap();
        let mut buf = [0; 4];
        assert_eq!(receive.receive(&one, &mut buf).await.unwrap(), 4, "{receive:?}");
        assert_eq!(&buf, b"0123");
        assert_eq!(receive.receive(&one, &mut buf).await.unwrap(), 0);
        assert_eq!(receive.receive(&one, &mut buf).await.unwrap(), 4);
        assert_eq!(&buf, b"next");
    }
}

/// Who has filled the receiver's queue before somebody else sends.
#[cfg(target_os = "linux")]
#[derive(Clone, Copy, Debug)]
enum FilledBy {
    ItSelf,
    Another,
}

/// The kernel tells a sender without a connection nothing when others' datagrams are taken out of the receiver's queue.
#[cfg(target_os = "linux")]
#[gambol::test]
async fn a_send_waits_while_the_receiver_is_full_and_goes_on_when_it_is_not() {
    for send in Send::ALL {
        for filled_by in [FilledBy::ItSelf, FilledBy::Another] {
            for cancelled in [false, true] {
                let directory = Directory::new();
                let receiver = UnixDatagram::bind(directory.path("receiver")).unwrap();
                let at = receiver.local_addr().unwrap();
                let sender = send.socket(&at);
                let another = UnixDatagram::unbound().unwrap();
                let filler = match filled_by {
                    FilledBy::ItSelf => &sender,
                    FilledBy::Another => &another,
                };
                let mut filled = 0;
                while filler.try_send_to_addr(b"full", &at).is_ok() {
                    filled += 1;
                }
                assert_eq!(sender.try_send_to_addr(b"x", &at).unwrap_err().kind(), ErrorKind::WouldBlock);
                let mut sent = pin!(send.send(&sender, &at, b"late"));
                if cancelled {
                    assert!(at_most(1, send.send(&sender, &at, b"never")).await.is_none());
                }
                assert!(poll_once(&mut sent).await.is_pending());
                let reading = async {
                    let mut buf = [0; 8];
                    for _ in 0..filled {
                        receiver.recv(&mut buf).await.unwrap();
                        assert_eq!(&buf[..4], b"full");
                    }
                    receiver.recv(&mut buf).await.unwrap();
                    assert_eq!(&buf[..4], b"late");
                };
                let both = futures_util::future::join(sent, reading);
                let (sent, ()) = timeout(PATIENCE, both).await.unwrap_or_else(|_| panic!("{send:?}, {filled_by:?}"));
                assert_eq!(sent.unwrap(), 4);
            }
        }
    }
}

/// A failed attempt frees what it has allocated, which to the kernel is room to write, and so an event.
#[cfg(target_os = "linux")]
#[gambol::test]
async fn a_send_that_waits_does_not_spin() {
    for send in Send::ALL {
        for filled_by in [FilledBy::ItSelf, FilledBy::Another] {
            let directory = Directory::new();
            let receiver = UnixDatagram::bind(directory.path("receiver")).unwrap();
            let at = receiver.local_addr().unwrap();
            let sender = send.socket(&at);
            let another = UnixDatagram::unbound().unwrap();
            let filler = match filled_by {
                FilledBy::ItSelf => &sender,
                FilledBy::Another => &another,
            };
            while filler.try_send_to_addr(b"full", &at).is_ok() {}
            let mut sent = pin!(send.send(&sender, &at, b"late"));
            let mut polls = 0;
            let counted = std::future::poll_fn(|cx| {
                polls += 1;
                sent.as_mut().poll(cx).map(|_| ())
            });
            assert!(timeout(Duration::from_millis(100), counted).await.is_err());
            assert!(polls < 20, "{send:?}, {filled_by:?}: polled {polls} times");
        }
    }
}

#[gambol::test]
async fn a_receive_that_was_dropped_has_taken_nothing() {
    for receive in Receive::ALL {
        for polls in 0..4 {
            let (one, other) = UnixDatagram::pair().unwrap();
            let sender = gambol::spawn(async move {
                for byte in 0..10 {
                    other.send(&[byte]).await.unwrap();
                    gambol::yield_now().await;
                }
                other
            });
            let mut received = Vec::new();
            while received.len() < 10 {
                let mut buf = [0; 3];
                let n = match at_most(polls, receive.receive(&one, &mut buf)).await {
                    Some(n) => n,
                    None => timeout(PATIENCE, one.recv(&mut buf)).await.unwrap(),
                };
                received.extend_from_slice(&buf[..n.unwrap()]);
            }
            assert_eq!(received, (0..10).collect::<Vec<u8>>(), "{receive:?}, {polls} polls");
            sender.await.unwrap();
        }
    }
}

#[gambol::test(workers = 4)]
async fn many_tasks_send_and_receive_each_datagram_once() {
    const SENDERS: u64 = 4;
    const EACH: u64 = 500;
    let (one, other) = UnixDatagram::pair().unwrap();
    let (one, other) = (Arc::new(one), Arc::new(other));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let receivers: Vec<_> = (0..4)
        .map(|_| {
            let (one, seen) = (one.clone(), seen.clone());
            gambol::spawn(async move {
                let mut buf = [0; 8];
                loop {
                    one.recv(&mut buf).await.unwrap();
                    seen.lock().unwrap().push(u64::from_le_bytes(buf));
                }
            })
        })
        .collect();
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let other = other.clone();
            gambol::spawn(async move {
                for n in 0..EACH {
                    other.send(&(sender * EACH + n).to_le_bytes()).await.unwrap();
                }
            })
        })
        .collect();
    for sender in senders {
        timeout(PATIENCE, sender).await.expect("a sender was stranded").unwrap();
    }
    let all = async {
        while (seen.lock().unwrap().len() as u64) < SENDERS * EACH {
            gambol::yield_now().await;
        }
    };
    timeout(PATIENCE, all).await.expect("a datagram was stranded");
    let mut seen = seen.lock().unwrap().clone();
    seen.sort_unstable();
    assert_eq!(seen, (0..SENDERS * EACH).collect::<Vec<u64>>());
    for receiver in receivers {
        receiver.abort();
    }
}

#[test]
fn a_peer_that_is_gone_is_an_error_and_no_signal() {
    if !is_child() {
        return assert_success(&in_child("a_peer_that_is_gone_is_an_error_and_no_signal"));
    }
    // SAFETY: no handler of ours is involved; the default action would end the process.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    gambol::block_on(async {
        let (one, other) = UnixDatagram::pair().unwrap();
        other.shutdown(Shutdown::Read).unwrap();
        assert_eq!(one.send(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        drop(other);
        for _ in 0..2 {
            let kind = one.send(b"x").await.unwrap_err().kind();
            assert!(
                matches!(kind, ErrorKind::ConnectionRefused | ErrorKind::NotConnected | ErrorKind::ConnectionReset),
                "{kind:?}"
            );
        }
    });
}

/// Linux then gives `WouldBlock` to a receive, for ever, together with a hang-up that lasts.
#[gambol::test]
async fn after_a_shutdown_sends_fail_and_a_receive_does_not_spin() {
    let (one, _other) = UnixDatagram::pair().unwrap();
    one.shutdown(Shutdown::Both).unwrap();
    assert_eq!(one.send(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    assert!(one.take_error().unwrap().is_none());
    let mut buf = [0; 8];
    let mut received = pin!(one.recv(&mut buf));
    let mut polls = 0;
    let counted = std::future::poll_fn(|cx| {
        polls += 1;
        received.as_mut().poll(cx)
    });
    if let Ok(ended) = timeout(Duration::from_millis(30), counted).await {
        assert_eq!(ended.unwrap(), 0);
    }
    // `poll` has no edges, and tells of the hang-up each time it is asked. It is nobody's road on Linux but that of tests.
    assert!(polls < 10 || cfg!(polling_test_poll_backend), "polled {polls} times");
}

#[gambol::test]
async fn std_sockets_come_and_go() {
    let (one, other) = net::UnixDatagram::pair().unwrap();
    let (one, other) = (UnixDatagram::try_from(one).unwrap(), UnixDatagram::try_from(other).unwrap());
    other.send(b"one").await.unwrap();
    assert_eq!(one.recv(&mut [0; 8]).await.unwrap(), 3);
    let std_socket = net::UnixDatagram::try_from(one).unwrap();
    let received = gambol::spawn_blocking(move || std_socket.recv(&mut [0; 8]).unwrap());
    other.send(b"three").await.unwrap();
    assert_eq!(received.await.unwrap(), 5);
}

#[test]
fn other_executors_do_as_well() {
    let work = || async {
        let (one, other) = UnixDatagram::pair().unwrap();
        let mut buf = [0; 8];
        let mut received = pin!(one.recv(&mut buf));
        assert!(poll_once(&mut received).await.is_pending());
        other.send(b"here").await.unwrap();
        assert_eq!(received.await.unwrap(), 4);
    };
    std::thread::spawn(move || futures::executor::block_on(work())).join().unwrap();
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap().block_on(work());
}

#[test]
fn a_socket_that_outlives_its_runtime_gives_an_error() {
    let runtime = Runtime::new().unwrap();
    let (one, _other) = runtime.block_on(async { UnixDatagram::pair().unwrap() });
    drop(runtime);
    gambol::block_on(async {
        let error = timeout(PATIENCE, one.recv(&mut [0; 8])).await.unwrap().unwrap_err();
        assert_eq!(error.to_string(), "the runtime is gone");
    });
}

#[test]
fn signals_are_not_seen() {
    if !is_child() {
        return assert_success(&in_child("signals_are_not_seen"));
    }
    signals::with_many_signals(|| {
        gambol::block_on(async {
            let (one, other) = UnixDatagram::pair().unwrap();
            let sender = gambol::spawn(async move {
                for round in 0..20_000u64 {
                    other.send(&round.to_le_bytes()).await.unwrap();
                }
            });
            let mut buf = [0; 8];
            for round in 0..20_000u64 {
                one.recv(&mut buf).await.unwrap();
                assert_eq!(u64::from_le_bytes(buf), round);
            }
            sender.await.unwrap();
            let _ = timeout(Duration::from_millis(20), one.recv(&mut buf)).await;
        });
    });
}
