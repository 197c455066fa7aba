//! Datagrams of the internet: whole, cut and empty ones, to one task or many, and what the kernel reports of the lost.

mod helpers;
#[cfg(unix)]
#[path = "helpers/signals.rs"]
mod signals;

use gambol::{
    io::ErrorKind,
    net::UdpSocket,
    runtime::Runtime,
    time::{Duration, timeout},
};
use helpers::{PATIENCE, at_most, poll_once};
use std::{
    io,
    net::{self, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::pin,
    sync::{Arc, Mutex},
};

async fn socket() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// Two sockets that are connected to each other.
async fn pair() -> (UdpSocket, UdpSocket) {
    let ((one, address_of_one), (other, address_of_other)) = (socket().await, socket().await);
    one.connect(address_of_other).await.unwrap();
    other.connect(address_of_one).await.unwrap();
    (one, other)
}

/// The ways to receive.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Receive {
    Recv,
    RecvFrom,
    /// Looks first, then takes.
    Peek,
    PeekFrom,
    /// Waits, then takes what is there.
    Readable,
}

impl Receive {
    const ALL: [Receive; 5] = [Receive::Recv, Receive::RecvFrom, Receive::Peek, Receive::PeekFrom, Receive::Readable];

    async fn receive(self, socket: &UdpSocket, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Receive::Recv => socket.recv(buf).await,
            Receive::RecvFrom => Ok(socket.recv_from(buf).await?.0),
            Receive::Peek => {
                let n = socket.peek(buf).await?;
                assert_eq!(socket.try_recv(buf)?, n);
                Ok(n)
            }
            Receive::PeekFrom => {
                let peeked = socket.peek_from(buf).await?;
                assert_eq!(socket.try_recv_from(buf)?, peeked);
                Ok(peeked.0)
            }
            Receive::Readable => loop {
                socket.readable().await?;
                match socket.try_recv(buf) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    result => return result,
                }
            },
        }
    }
}

/// The ways to send.
#[derive(Clone, Copy, Debug)]
enum Send {
    Connected,
    To,
    Writable,
}

impl Send {
    const ALL: [Send; 3] = [Send::Connected, Send::To, Send::Writable];

    async fn send(self, socket: &UdpSocket, buf: &[u8]) -> io::Result<usize> {
        match self {
            Send::Connected => socket.send(buf).await,
            Send::To => socket.send_to(buf, socket.peer_addr()?).await,
            Send::Writable => {
                socket.writable().await?;
                socket.try_send(buf)
            }
        }
    }
}

#[gambol::test]
async fn what_is_sent_is_received_in_every_way() {
    let (one, other) = pair().await;
    let mut buf = [0; 64];
    for send in Send::ALL {
        for receive in Receive::ALL {
            for waits_first in [false, true] {
                let n = {
                    let mut received = pin!(receive.receive(&one, &mut buf));
                    if waits_first {
                        assert!(poll_once(&mut received).await.is_pending());
                    }
                    assert_eq!(send.send(&other, b"datagram").await.unwrap(), 8);
                    timeout(PATIENCE, received).await.unwrap().unwrap()
                };
                assert_eq!(&buf[..n], b"datagram", "{send:?} {receive:?}");
                buf.fill(0);
            }
        }
    }
    assert_eq!(one.try_recv(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[gambol::test]
async fn a_sender_is_known_and_can_be_answered() {
    let ((server, at), (client, from)) = (socket().await, socket().await);
    client.send_to(b"question", at).await.unwrap();
    let mut buf = [0; 64];
    assert_eq!(server.peek_from(&mut buf).await.unwrap(), (8, from));
    assert_eq!(server.recv_from(&mut buf).await.unwrap(), (8, from));
    server.try_send_to(b"answer", from).unwrap();
    assert_eq!(client.recv_from(&mut buf).await.unwrap(), (6, at));
}

#[gambol::test]
async fn a_datagram_that_is_too_long_for_the_buffer_is_cut() {
    for receive in Receive::ALL {
        let (one, other) = pair().await;
        other.send(b"0123456789").await.unwrap();
        other.send(b"next").await.unwrap();
        let mut buf = [0; 4];
        assert_eq!(receive.receive(&one, &mut buf).await.unwrap(), 4, "{receive:?}");
        assert_eq!(&buf, b"0123");
        assert_eq!(receive.receive(&one, &mut buf).await.unwrap(), 4);
        assert_eq!(&buf, b"next", "the rest is gone");
    }
}

#[gambol::test]
async fn an_empty_datagram_is_one_and_no_end() {
    for receive in Receive::ALL {
        let (one, other) = pair().await;
        let mut buf = [0; 8];
        {
            let mut received = pin!(receive.receive(&one, &mut buf));
            assert!(poll_once(&mut received).await.is_pending());
            assert_eq!(other.send(b"").await.unwrap(), 0);
            assert_eq!(timeout(PATIENCE, received).await.unwrap().unwrap(), 0, "{receive:?}");
        }
        other.send(b"more").await.unwrap();
        assert_eq!(receive.receive(&one, &mut buf).await.unwrap(), 4);
        // Into an empty buffer too.
        other.send(b"x").await.unwrap();
        assert_eq!(receive.receive(&one, &mut []).await.unwrap(), 0);
    }
}

#[gambol::test]
async fn one_that_is_too_long_to_be_sent_is_an_error() {
    let (one, other) = pair().await;
    let error = one.send(&vec![0; 70_000]).await.unwrap_err();
    #[cfg(unix)]
    assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
    drop(error);
    one.send(b"well").await.unwrap();
    assert_eq!(other.recv(&mut [0; 8]).await.unwrap(), 4);
}

#[gambol::test]
async fn a_receive_that_was_dropped_has_taken_nothing() {
    for receive in Receive::ALL {
        for polls in 0..4 {
            let (one, other) = pair().await;
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

#[gambol::test]
async fn a_send_that_was_dropped_was_sent_at_most_once() {
    for send in Send::ALL {
        for polls in 0..3 {
            let (one, other) = pair().await;
            let sent = at_most(polls, send.send(&other, b"maybe")).await.is_some();
            other.send(b"end").await.unwrap();
            let mut found = 0;
            let mut buf = [0; 8];
            while one.recv(&mut buf).await.unwrap() != 3 {
                found += 1;
            }
            assert_eq!(found, usize::from(sent), "{send:?}, {polls} polls");
        }
    }
}

/// Each datagram goes to one of the readers, and none lies there while readers wait, also when some of them are dropped just
/// after they were woken.
#[gambol::test(workers = 4)]
async fn many_tasks_receive_each_datagram_once_and_none_is_stranded() {
    const READERS: usize = 8;
    const ROUNDS: usize = 300;
    for receive in [Receive::Recv, Receive::RecvFrom, Receive::Readable] {
        for with_quitters in [false, true] {
            let (one, other) = pair().await;
            let one = Arc::new(one);
            let seen = Arc::new(Mutex::new(Vec::new()));
            let readers: Vec<_> = (0..READERS)
                .map(|_| {
                    let (one, seen) = (one.clone(), seen.clone());
                    gambol::spawn(async move {
                        let mut buf = [0; 8];
                        loop {
                            receive.receive(&one, &mut buf).await.unwrap();
                            seen.lock().unwrap().push(u64::from_le_bytes(buf));
                        }
                    })
                })
                .collect();
            let mut sent = 0u64;
            for round in 0..ROUNDS {
                let quitter = with_quitters.then(|| {
                    let one = one.clone();
                    // It waits by `readable` only, so that its end loses nothing.
                    gambol::spawn(async move { one.readable().await })
                });
                // Few enough to fit into the kernel's queue, so that none is lost.
                for _ in 0..1 + round % 20 {
                    other.send(&sent.to_le_bytes()).await.unwrap();
                    sent += 1;
                }
                if let Some(quitter) = quitter {
                    quitter.abort();
                }
                let all = async {
                    while (seen.lock().unwrap().len() as u64) < sent {
                        gambol::yield_now().await;
                    }
                };
                assert!(timeout(PATIENCE, all).await.is_ok(), "{receive:?}: a datagram was stranded");
            }
            let mut seen = seen.lock().unwrap().clone();
            seen.sort_unstable();
            assert_eq!(seen, (0..sent).collect::<Vec<u64>>(), "{receive:?}");
            for reader in readers {
                reader.abort();
            }
        }
    }
}

#[gambol::test(workers = 2)]
async fn a_socket_that_always_has_something_starves_nobody() {
    let (one, other) = pair().await;
    // Peeks at the same datagram for ever.
    other.send(b"x").await.unwrap();
    let busy: Vec<_> = {
        let one = Arc::new(one);
        (0..4)
            .map(|_| {
                let one = one.clone();
                gambol::spawn(async move {
                    loop {
                        one.peek(&mut [0; 1]).await.unwrap();
                    }
                })
            })
            .collect()
    };
    timeout(PATIENCE, gambol::sleep(Duration::from_millis(20))).await.unwrap();
    for task in busy {
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    }
}

/// Where the kernel hands the answer "nobody is there" to the socket at once, it comes up in one call, whichever is next.
#[cfg(target_os = "linux")]
#[gambol::test]
async fn nobody_there_is_an_error_once() {
    for receive in Receive::ALL {
        for waits_first in [false, true] {
            let ((gone, nowhere), (ours, _)) = (socket().await, socket().await);
            drop(gone);
            ours.connect(nowhere).await.unwrap();
            let mut buf = [0; 8];
            {
                let mut received = pin!(receive.receive(&ours, &mut buf));
                if waits_first {
                    assert!(poll_once(&mut received).await.is_pending());
                }
                ours.send(b"anybody?").await.unwrap();
                let error = timeout(PATIENCE, received).await.unwrap().unwrap_err();
                assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{receive:?}");
            }
            // Once: the next one waits, and does so without end.
            let mut polls = 0;
            let mut received = pin!(receive.receive(&ours, &mut buf));
            let counted = std::future::poll_fn(|cx| {
                polls += 1;
                received.as_mut().poll(cx)
            });
            assert!(timeout(Duration::from_millis(30), counted).await.is_err());
            assert!(polls < 10, "polled {polls} times");
            assert!(ours.take_error().unwrap().is_none());
        }
    }
    // A send tells it as well, in place of the datagram that it was to send.
    let ((gone, nowhere), (ours, _)) = (socket().await, socket().await);
    drop(gone);
    ours.connect(nowhere).await.unwrap();
    ours.send(b"anybody?").await.unwrap();
    assert_eq!(ours.send(b"anybody?").await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

#[gambol::test]
async fn addresses_are_tried_in_turn_where_that_means_something() {
    let (ours, at) = socket().await;
    // Not an address of this machine, then one.
    let foreign: SocketAddr = "192.0.2.1:9".parse().unwrap();
    let free: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let second = UdpSocket::bind(&[foreign, free][..]).await.unwrap();
    assert_eq!(second.local_addr().unwrap().ip(), free.ip());
    assert_eq!(UdpSocket::bind(at).await.unwrap_err().kind(), ErrorKind::AddrInUse);
    // An IPv4 socket cannot go to an IPv6 address; then it goes to the next.
    let of_the_other_kind: SocketAddr = "[::1]:9".parse().unwrap();
    second.connect([of_the_other_kind, at]).await.unwrap();
    assert_eq!(second.peer_addr().unwrap(), at);
    assert!(second.connect(of_the_other_kind).await.is_err());
    // A datagram goes to the first and only there.
    let third = UdpSocket::bind(free).await.unwrap();
    assert!(third.send_to(b"x", &[of_the_other_kind, at][..]).await.is_err());
    assert_eq!(third.send_to(b"x", &[at, of_the_other_kind][..]).await.unwrap(), 1);
    assert_eq!(ours.recv_from(&mut [0; 8]).await.unwrap(), (1, third.local_addr().unwrap()));
    // Names and other texts.
    third.send_to(b"x", ("127.0.0.1", at.port())).await.unwrap();
    third.send_to(b"x", at.to_string()).await.unwrap();
    for text in ["nonsense", "127.0.0.1", ""] {
        assert_eq!(third.send_to(b"x", text).await.unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(third.connect(text).await.unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(UdpSocket::bind(text).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    assert_eq!(third.send_to(b"x", &[][..]).await.unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[gambol::test]
async fn a_socket_that_is_not_connected_has_no_peer() {
    let (ours, _) = socket().await;
    assert_eq!(ours.peer_addr().unwrap_err().kind(), ErrorKind::NotConnected);
    assert!(ours.send(b"x").await.is_err());
}

#[gambol::test]
async fn options_are_what_they_were_set_to() {
    let (ours, _) = socket().await;
    assert!(!ours.broadcast().unwrap());
    ours.set_broadcast(true).unwrap();
    assert!(ours.broadcast().unwrap());
    ours.set_ttl(17).unwrap();
    assert_eq!(ours.ttl().unwrap(), 17);
    assert!(ours.multicast_loop_v4().unwrap());
    ours.set_multicast_loop_v4(false).unwrap();
    assert!(!ours.multicast_loop_v4().unwrap());
    ours.set_multicast_ttl_v4(3).unwrap();
    assert_eq!(ours.multicast_ttl_v4().unwrap(), 3);
    ours.set_multicast_if_v4(Ipv4Addr::LOCALHOST).unwrap();
    assert_eq!(ours.multicast_if_v4().unwrap(), Ipv4Addr::LOCALHOST);
    ours.set_send_buffer_size(20_000).unwrap();
    assert!(ours.send_buffer_size().unwrap() >= 20_000);
    ours.set_recv_buffer_size(20_000).unwrap();
    assert!(ours.recv_buffer_size().unwrap() >= 20_000);
}

/// What a machine says that has no such network, or forbids it.
fn is_forbidden(error: &io::Error) -> bool {
    eprintln!("this machine does not let groups be tried: {error}");
    matches!(
        error.kind(),
        ErrorKind::PermissionDenied
            | ErrorKind::Unsupported
            | ErrorKind::AddrNotAvailable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::HostUnreachable
    ) || error.raw_os_error() == Some(libc::ENODEV)
}

#[gambol::test]
async fn a_group_is_joined_and_left() {
    let group = Ipv4Addr::new(239, 255, 17, 4);
    let member = UdpSocket::bind("0.0.0.0:0").await.unwrap();
    let to = SocketAddr::from((group, member.local_addr().unwrap().port()));
    let (sender, from) = socket().await;
    sender.set_multicast_if_v4(Ipv4Addr::LOCALHOST).unwrap();
    if let Err(error) = member.join_multicast_v4(group, Ipv4Addr::LOCALHOST) {
        return assert!(is_forbidden(&error));
    }
    if let Err(error) = sender.send_to(b"all", to).await {
        return assert!(is_forbidden(&error));
    }
    let mut buf = [0; 8];
    assert_eq!(timeout(PATIENCE, member.recv_from(&mut buf)).await.unwrap().unwrap(), (3, from));
    member.leave_multicast_v4(group, Ipv4Addr::LOCALHOST).unwrap();
    assert!(member.leave_multicast_v4(group, Ipv4Addr::LOCALHOST).is_err());
    // To the group, where it is no more, and then to itself: only the second one comes.
    let _ = sender.send_to(b"all", to).await;
    sender.send_to(b"you", SocketAddr::from((Ipv4Addr::LOCALHOST, to.port()))).await.unwrap();
    timeout(PATIENCE, member.recv(&mut buf)).await.unwrap().unwrap();
    assert_eq!(&buf[..3], b"you");
}

#[gambol::test]
async fn a_group_of_ipv6_is_joined_and_left() {
    let group: Ipv6Addr = "ff02::1:1704".parse().unwrap();
    let member = match UdpSocket::bind("[::]:0").await {
        Ok(member) => member,
        Err(error) => return assert!(is_forbidden(&error)),
    };
    assert!(member.multicast_loop_v6().unwrap());
    member.set_multicast_loop_v6(false).unwrap();
    assert!(!member.multicast_loop_v6().unwrap());
    if let Err(error) = member.join_multicast_v6(&group, 0) {
        return assert!(is_forbidden(&error));
    }
    member.leave_multicast_v6(&group, 0).unwrap();
    assert!(member.leave_multicast_v6(&group, 0).is_err());
}

#[gambol::test]
async fn std_sockets_come_and_go() {
    let ours = UdpSocket::try_from(net::UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap();
    let (theirs, from) = socket().await;
    let at = ours.local_addr().unwrap();
    theirs.send_to(b"one", at).await.unwrap();
    let mut buf = [0; 8];
    assert_eq!(ours.recv_from(&mut buf).await.unwrap(), (3, from));
    let std_socket = net::UdpSocket::try_from(ours).unwrap();
    let received = gambol::spawn_blocking(move || std_socket.recv(&mut [0; 8]).unwrap());
    theirs.send_to(b"three", at).await.unwrap();
    // In blocking mode again, or it would say WouldBlock if it came too early.
    assert_eq!(received.await.unwrap(), 5);
}

#[test]
fn other_executors_do_as_well() {
    let work = || async {
        let (one, other) = pair().await;
        let (mut early, mut buf) = ([0; 8], [0; 8]);
        let mut received = pin!(one.recv(&mut early));
        assert!(poll_once(&mut received).await.is_pending());
        other.send(b"here").await.unwrap();
        assert_eq!(received.await.unwrap(), 4);
        other.send_to(b"there", ("localhost", one.local_addr().unwrap().port())).await.unwrap();
        assert_eq!(one.recv(&mut buf).await.unwrap(), 5);
    };
    std::thread::spawn(move || futures::executor::block_on(work())).join().unwrap();
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap().block_on(work());
}

#[test]
fn a_socket_that_outlives_its_runtime_gives_an_error() {
    let runtime = Runtime::new().unwrap();
    let (one, other) = runtime.block_on(pair());
    drop(runtime);
    gambol::block_on(async {
        let error = timeout(PATIENCE, one.recv(&mut [0; 8])).await.unwrap().unwrap_err();
        assert_eq!(error.to_string(), "the runtime is gone");
        // What waits for nothing still works.
        other.try_send(b"x").unwrap();
        assert_eq!(one.try_recv(&mut [0; 8]).unwrap(), 1);
    });
}

#[cfg(unix)]
#[test]
fn signals_are_not_seen() {
    if !helpers::is_child() {
        return helpers::assert_success(&helpers::in_child("signals_are_not_seen"));
    }
    signals::with_many_signals(|| {
        gambol::block_on(async {
            let (one, other) = pair().await;
            let mut buf = [0; 8];
            for round in 0..20_000u64 {
                other.send(&round.to_le_bytes()).await.unwrap();
                one.recv(&mut buf).await.unwrap();
                assert_eq!(u64::from_le_bytes(buf), round);
            }
        });
    });
}
