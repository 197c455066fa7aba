//! Making connections to several addresses, of which some hang; giving up; options that are set before.

mod helpers;

use gambol::{
    io::{AsyncReadExt, AsyncWriteExt, ErrorKind},
    net::{Keepalive, TcpListener, TcpSocket, TcpStream},
    time::{Duration, timeout},
};
use helpers::PATIENCE;
use std::net::{self, Shutdown, SocketAddr};

#[cfg(target_os = "linux")]
mod hang {
    use socket2::{Domain, Socket, Type};
    use std::{
        net::{self, SocketAddr},
        thread,
        time::Duration,
    };

    /// A listener at which connections hang, since its queue is full and nobody accepts.
    pub struct Full {
        _listener: net::TcpListener,
        _queued: Vec<Socket>,
        pub address: SocketAddr,
    }

    pub fn full() -> Full {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let listener: net::TcpListener = listener.into();
        let address = listener.local_addr().unwrap();
        let mut queued = Vec::new();
        loop {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            super::begin(&socket, address);
            // On the loopback a connection stands before connect returns, unless there is no room for it.
            thread::sleep(Duration::from_millis(50));
            let hangs = socket.peer_addr().is_err();
            queued.push(socket);
            if hangs {
                return Full { _listener: listener, _queued: queued, address };
            }
        }
    }
}

/// Who polls.
#[derive(Clone, Copy, Debug)]
enum Executor {
    Gambol,
    Futures,
    Tokio,
}

const EXECUTORS: [Executor; 3] = [Executor::Gambol, Executor::Futures, Executor::Tokio];

impl Executor {
    fn run<F: Future>(self, future: F) -> F::Output {
        match self {
            Executor::Gambol => gambol::block_on(future),
            Executor::Futures => futures::executor::block_on(future),
            Executor::Tokio => tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future),
        }
    }
}

/// Begins to connect a non-blocking socket.
fn begin(socket: &socket2::Socket, address: SocketAddr) {
    while socket.connect(&address.into()).is_err_and(|error| error.kind() == ErrorKind::Interrupted) {}
}

fn gone() -> SocketAddr {
    net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

async fn echo_once(listener: &TcpListener, client: &mut TcpStream) {
    client.write_all(b"hello").await.unwrap();
    let (mut served, _) = listener.accept().await.unwrap();
    let mut buf = [0; 5];
    served.read_exact(&mut buf).await.unwrap();
    served.write_all(&buf).await.unwrap();
    client.read_exact(&mut buf).await.unwrap();
    assert_eq!(&buf, b"hello");
}

#[test]
fn connections_are_made_under_any_executor() {
    for executor in EXECUTORS {
        executor.run(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let there = listener.local_addr().unwrap();
            let mut client = timeout(PATIENCE, TcpStream::connect([gone(), there])).await.unwrap().unwrap();
            timeout(PATIENCE, echo_once(&listener, &mut client)).await.unwrap();
            let mut client = TcpStream::connect(("localhost", there.port())).await.unwrap();
            timeout(PATIENCE, echo_once(&listener, &mut client)).await.unwrap();
        });
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_address_that_hangs_is_overtaken_by_the_next() {
    for executor in EXECUTORS {
        let full = hang::full();
        executor.run(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let there = listener.local_addr().unwrap();
            let begin = gambol::time::Instant::now();
            let connect = TcpStream::connect([full.address, gone(), there]);
            let stream = timeout(PATIENCE, connect).await.unwrap().unwrap();
            assert_eq!(stream.peer_addr().unwrap(), there);
            assert!(begin.elapsed() >= Duration::from_millis(250), "the first had {:?}", begin.elapsed());
            assert_eq!(listener.accept().await.unwrap().1, stream.local_addr().unwrap());
            // The good one first: nobody tries the other.
            let stream = TcpStream::connect([there, full.address]).await.unwrap();
            assert_eq!(stream.peer_addr().unwrap(), there);
        });
    }
}

#[cfg(target_os = "linux")]
#[test]
fn attempts_that_lost_or_were_given_up_are_closed() {
    if !helpers::is_child() {
        return helpers::assert_success(&helpers::in_child("attempts_that_lost_or_were_given_up_are_closed"));
    }
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let full = hang::full();
    gambol::block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let there = listener.local_addr().unwrap();
        let hangs = full.address;
        let before = descriptors();
        drop(TcpStream::connect([hangs, hangs, there]).await.unwrap());
        assert_eq!(descriptors(), before, "after a race");
        for polls in 0..4 {
            // With several addresses, of which one more is under way at each poll, and with one.
            assert!(helpers::at_most(polls, TcpStream::connect([hangs; 8])).await.is_none());
            assert!(helpers::at_most(1, TcpStream::connect(hangs)).await.is_none());
            assert_eq!(descriptors(), before, "given up after {polls} polls");
        }
        let late = timeout(Duration::from_millis(20), TcpStream::connect([hangs])).await;
        assert!(late.is_err(), "it does not hang");
        assert_eq!(descriptors(), before, "after a time limit");
    });
}

#[gambol::test]
async fn both_families_of_a_name_are_tried() {
    let Ok(listener) = TcpListener::bind("[::1]:0").await else { return };
    let port = listener.local_addr().unwrap().port();
    for text in [format!("[::1]:{port}"), format!("::1:{port}")] {
        TcpStream::connect(text).await.unwrap();
    }
    for host in ["::1", "[::1]"] {
        let mut client = TcpStream::connect((host, port)).await.unwrap();
        assert!(client.peer_addr().unwrap().is_ipv6());
        client.close().await.unwrap();
    }
    // Nobody listens in the other family.
    let v4 = SocketAddr::from(([127, 0, 0, 1], port));
    let v6 = listener.local_addr().unwrap();
    for addresses in [[v4, v6], [v6, v4]] {
        let client = timeout(PATIENCE, TcpStream::connect(addresses)).await.unwrap().unwrap();
        assert_eq!(client.peer_addr().unwrap(), v6);
    }
}

#[gambol::test]
async fn a_socket_keeps_the_options_that_it_was_given() {
    let socket = TcpSocket::new_v4().unwrap();
    assert!(!socket.reuse_addr().unwrap());
    socket.set_reuse_addr(true).unwrap();
    assert!(socket.reuse_addr().unwrap());
    socket.set_nodelay(true).unwrap();
    assert!(socket.nodelay().unwrap());
    socket.set_ttl(33).unwrap();
    assert_eq!(socket.ttl().unwrap(), 33);
    socket.set_tos_v4(0x10).unwrap();
    assert_eq!(socket.tos_v4().unwrap(), 0x10);
    assert_eq!(socket.linger().unwrap(), None);
    socket.set_linger(Some(Duration::ZERO)).unwrap();
    assert_eq!(socket.linger().unwrap(), Some(Duration::ZERO));
    socket.set_linger(None).unwrap();
    socket.set_send_buffer_size(20_000).unwrap();
    assert!(socket.send_buffer_size().unwrap() >= 20_000);
    socket.set_recv_buffer_size(30_000).unwrap();
    assert!(socket.recv_buffer_size().unwrap() >= 30_000);
    assert!(!socket.keepalive().unwrap());
    socket.set_tcp_keepalive(&Keepalive::new().time(Duration::from_secs(77)).retries(3)).unwrap();
    assert!(socket.keepalive().unwrap());
    #[cfg(unix)]
    assert_eq!(socket2::SockRef::from(&socket).tcp_keepalive_time().unwrap(), Duration::from_secs(77));
    socket.set_keepalive(false).unwrap();
    assert!(!socket.keepalive().unwrap());
    assert!(socket.take_error().unwrap().is_none());

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stream = socket.connect(listener.local_addr().unwrap()).await.unwrap();
    assert!(stream.nodelay().unwrap());
    assert_eq!(stream.ttl().unwrap(), 33);
    assert_eq!(stream.linger().unwrap(), None);
    assert!(stream.take_error().unwrap().is_none());
    stream.set_linger(Some(Duration::ZERO)).unwrap();
    assert_eq!(stream.linger().unwrap(), Some(Duration::ZERO));
    stream.set_tcp_keepalive(&Keepalive::new().time(Duration::from_secs(5))).unwrap();
    assert!(stream.keepalive().unwrap());
    stream.set_keepalive(false).unwrap();
    assert!(!stream.keepalive().unwrap());
}

#[cfg(target_os = "linux")]
#[gambol::test]
async fn a_socket_is_bound_to_a_device() {
    let socket = TcpSocket::new_v4().unwrap();
    assert_eq!(socket.device().unwrap(), None);
    // It may need a privilege, and then says so.
    match socket.bind_device(Some(b"lo")) {
        Ok(()) => assert_eq!(socket.device().unwrap().as_deref(), Some(&b"lo"[..])),
        Err(error) => assert_eq!(error.kind(), ErrorKind::PermissionDenied),
    }
}

#[gambol::test]
async fn a_bound_socket_connects_from_its_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let from = socket.local_addr().unwrap();
    assert_ne!(from.port(), 0);
    let mut client = socket.connect(listener.local_addr().unwrap()).await.unwrap();
    assert_eq!(client.local_addr().unwrap(), from);
    echo_once(&listener, &mut client).await;
    let error = TcpSocket::new_v4().unwrap().connect(gone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[cfg(unix)]
#[gambol::test]
async fn two_listeners_share_a_port_if_both_say_so() {
    let listen = |address: SocketAddr, share: bool| {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuse_port(share)?;
        assert_eq!(socket.reuse_port()?, share);
        socket.bind(address)?;
        socket.listen(16)
    };
    let first = listen("127.0.0.1:0".parse().unwrap(), true).unwrap();
    let address = first.local_addr().unwrap();
    let second = listen(address, true).unwrap();
    assert_eq!(second.local_addr().unwrap(), address);
    assert_eq!(listen(address, false).unwrap_err().kind(), ErrorKind::AddrInUse);
}

#[gambol::test]
async fn an_ipv6_socket_may_keep_to_ipv6() {
    let Ok(socket) = TcpSocket::new_v6() else { return };
    socket.set_only_v6(true).unwrap();
    assert!(socket.only_v6().unwrap());
    let Ok(()) = socket.bind("[::]:0".parse().unwrap()) else { return };
    let listener = socket.listen(u32::MAX).unwrap();
    let port = listener.local_addr().unwrap().port();
    assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err());
    TcpStream::connect(("::1", port)).await.unwrap();
}

#[cfg(unix)]
#[gambol::test]
async fn sockets_that_were_made_elsewhere_connect_and_listen() {
    use std::os::fd::{AsFd, AsRawFd, OwnedFd};
    let socket = || socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    // In blocking mode: it is changed in time.
    let listening = TcpSocket::from(OwnedFd::from(socket()));
    listening.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = listening.listen(8).unwrap();
    assert!(helpers::at_most(1, listener.accept()).await.is_none());
    let connecting = TcpSocket::from_std_stream(socket().into());
    assert_eq!(connecting.as_fd().as_raw_fd(), connecting.as_raw_fd());
    let mut client = connecting.connect(listener.local_addr().unwrap()).await.unwrap();
    echo_once(&listener, &mut client).await;
    let back = socket2::Socket::from(OwnedFd::from(TcpSocket::new_v4().unwrap()));
    assert!(back.nonblocking().unwrap());
}

/// The kernel's answers to a second connect are those that an interrupted one gets. They must not pass for success: the stream
/// leads elsewhere.
#[cfg(target_os = "linux")]
#[gambol::test]
async fn a_socket_that_is_connected_or_about_to_be_connects_to_nobody_else() {
    let wanted = net::TcpListener::bind("127.0.0.1:0").unwrap();
    let other = net::TcpListener::bind("127.0.0.1:0").unwrap();
    let connected = net::TcpStream::connect(other.local_addr().unwrap()).unwrap();
    let error = TcpSocket::from_std_stream(connected).connect(wanted.local_addr().unwrap()).await.unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EISCONN));

    let full = hang::full();
    let connecting = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    connecting.set_nonblocking(true).unwrap();
    begin(&connecting, full.address);
    let connecting = TcpSocket::from_std_stream(connecting.into()).connect(wanted.local_addr().unwrap());
    let error = timeout(PATIENCE, connecting).await.unwrap().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EALREADY));
}

#[gambol::test]
async fn a_std_stream_that_is_still_being_connected_may_be_given() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_nonblocking(true).unwrap();
    begin(&socket, listener.local_addr().unwrap());
    let mut client = TcpStream::try_from(net::TcpStream::from(socket)).unwrap();
    timeout(PATIENCE, echo_once(&listener, &mut client)).await.unwrap();
    client.shutdown(Shutdown::Both).unwrap();
}
