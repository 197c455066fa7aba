//! Connections of the Unix domain: data, ends, parts, and what is left when somebody gives up.
#![cfg(unix)]

#[path = "helpers/directory.rs"]
mod directory;
mod helpers;
#[path = "helpers/signals.rs"]
mod signals;

use directory::Directory;
use futures_util::future::join;
use gambol::{
    io::{AsyncReadExt, AsyncWriteExt, ErrorKind, IoSlice, IoSliceMut},
    net::{UnixListener, UnixStream, unix},
    runtime::Runtime,
    time::{Duration, timeout},
};
use helpers::{PATIENCE, assert_success, at_most, in_child, is_child, poll_once};
#[cfg(target_os = "linux")]
use socket2::{Domain, SockAddr, Socket, Type};
use std::{
    io::{Read, Write},
    net::Shutdown,
    os::{fd::AsFd, unix::net},
    pin::pin,
};

/// A connection of which the other end is std's.
fn pair() -> (UnixStream, net::UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    (ours, theirs.into_std().unwrap())
}

/// How a connection is used.
#[derive(Clone, Copy, Debug)]
enum Half {
    Whole,
    Borrowed,
    Owned,
    /// By `readable`, `writable` and the calls that do not wait.
    Ready,
}

impl Half {
    const ALL: [Half; 4] = [Half::Whole, Half::Borrowed, Half::Owned, Half::Ready];

    async fn exchange(self, mut ours: UnixStream, sent: &[u8], received: &mut [u8]) {
        match self {
            Half::Whole => {
                let (mut reader, mut writer) = (&ours, &ours);
                let (wrote, read) = join(writer.write_all(sent), reader.read_exact(received)).await;
                wrote.and(read).unwrap();
            }
            Half::Borrowed => {
                let (mut reader, mut writer) = UnixStream::split(&mut ours);
                let (wrote, read) = join(writer.write_all(sent), reader.read_exact(received)).await;
                wrote.and(read).unwrap();
            }
            Half::Owned => {
                let (mut reader, mut writer) = ours.into_split();
                let (wrote, read) = join(writer.write_all(sent), reader.read_exact(received)).await;
                wrote.and(read).unwrap();
                let again = writer.reunite(reader).unwrap();
                assert!(again.local_addr().unwrap().is_unnamed());
            }
            Half::Ready => {
                let writing = async {
                    let mut left = sent;
                    while !left.is_empty() {
                        ours.writable().await.unwrap();
                        match ours.try_write(left) {
                            Ok(n) => left = &left[n..],
                            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
                        }
                    }
                };
                let reading = async {
                    let mut n = 0;
                    while n < received.len() {
                        ours.readable().await.unwrap();
                        match ours.try_read(&mut received[n..]) {
                            Ok(more) => n += more,
                            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
                        }
                    }
                };
                join(writing, reading).await;
            }
        }
    }
}

#[gambol::test]
async fn what_is_sent_is_received_by_all_kinds_of_halves() {
    let sent: Vec<u8> = (0..1_000_000u32).map(|n| (n % 251) as u8).collect();
    for half in Half::ALL {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let echo = gambol::spawn(async move { gambol::io::copy(&theirs, &theirs).await });
        let mut received = vec![0; sent.len()];
        timeout(PATIENCE, half.exchange(ours, &sent, &mut received)).await.unwrap_or_else(|_| panic!("{half:?}"));
        assert!(sent == received, "{half:?}");
        assert_eq!(echo.await.unwrap().unwrap(), sent.len() as u64);
    }
}

#[gambol::test]
async fn buffers_in_rows_are_written_and_read_in_order() {
    let (mut ours, mut theirs) = UnixStream::pair().unwrap();
    let n = theirs.write_vectored(&[IoSlice::new(b"abc"), IoSlice::new(b""), IoSlice::new(b"defg")]).await.unwrap();
    assert_eq!(n, 7);
    let (mut first, mut second) = ([0; 2], [0; 16]);
    let n = ours.read_vectored(&mut [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)]).await.unwrap();
    assert_eq!(n, 7);
    assert_eq!((&first, &second[..5]), (b"ab", &b"cdefg"[..]));
    // More than the kernel takes at once.
    let n = theirs.write_vectored(&vec![IoSlice::new(b"x"); 5000]).await.unwrap();
    assert!((1..=5000).contains(&n));
    ours.read_exact(&mut vec![0; n]).await.unwrap();
    assert_eq!(theirs.try_write_vectored(&[IoSlice::new(b"yz")]).unwrap(), 2);
    assert_eq!(ours.try_read_vectored(&mut [IoSliceMut::new(&mut first)]).unwrap(), 2);
    assert_eq!(ours.try_read(&mut first).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(ours.read(&mut []).await.unwrap(), 0);
}

#[gambol::test]
async fn data_and_the_end_in_one_event_are_both_seen() {
    for half in Half::ALL {
        for waits_first in [false, true] {
            let (mut ours, mut peer) = pair();
            let mut buf = [0; 64];
            let mut rest = [0; 64];
            let end = async |ours: &mut UnixStream, buf: &mut [u8]| match half {
                Half::Whole | Half::Owned => ours.read(buf).await,
                Half::Borrowed => UnixStream::split(ours).0.read(buf).await,
                Half::Ready => loop {
                    ours.readable().await.unwrap();
                    match ours.try_read(buf) {
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                        result => break result,
                    }
                },
            };
            {
                let mut read = pin!(end(&mut ours, &mut buf));
                if waits_first {
                    assert!(poll_once(&mut read).await.is_pending());
                }
                peer.write_all(b"short").unwrap();
                drop(peer);
                assert_eq!(timeout(PATIENCE, read).await.unwrap().unwrap(), 5);
            }
            for _ in 0..2 {
                assert_eq!(timeout(PATIENCE, end(&mut ours, &mut rest)).await.unwrap().unwrap(), 0, "{half:?}");
            }
        }
    }
}

#[gambol::test]
async fn after_the_peer_ends_its_direction_ours_still_works() {
    let (mut ours, mut peer) = pair();
    peer.write_all(b"question").unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    let mut question = Vec::new();
    ours.read_to_end(&mut question).await.unwrap();
    assert_eq!(question, b"question");
    ours.write_all(b"answer").await.unwrap();
    ours.close().await.unwrap();
    ours.close().await.unwrap();
    let mut answer = String::new();
    peer.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "answer");
    drop(peer);
    ours.close().await.unwrap();
}

#[test]
fn a_peer_that_is_gone_is_an_error_and_no_signal() {
    if !is_child() {
        return assert_success(&in_child("a_peer_that_is_gone_is_an_error_and_no_signal"));
    }
    // SAFETY: no handler of ours is involved; the default action would end the process.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    gambol::block_on(async {
        for half in Half::ALL {
            for waits in [false, true] {
                let (mut ours, peer) = pair();
                if waits {
                    let mut filling = pin!(async {
                        loop {
                            (&ours).write_all(&[0; 65536]).await.unwrap();
                        }
                    });
                    assert!(poll_once(&mut filling).await.is_pending());
                }
                let gone = async {
                    gambol::yield_now().await;
                    drop(peer);
                };
                let written = async {
                    loop {
                        let result = match half {
                            Half::Whole => ours.write(b"x").await,
                            Half::Borrowed => UnixStream::split(&mut ours).1.write(b"x").await,
                            Half::Owned => ours.write_vectored(&[IoSlice::new(b"x"), IoSlice::new(b"y")]).await,
                            Half::Ready => {
                                ours.writable().await.unwrap();
                                ours.try_write(b"x")
                            }
                        };
                        match result {
                            Ok(_) => gambol::yield_now().await,
                            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                            Err(error) => break error,
                        }
                    }
                };
                let (error, ()) = timeout(PATIENCE, join(written, gone)).await.unwrap();
                assert_eq!(error.kind(), ErrorKind::BrokenPipe, "{half:?}");
            }
        }
    });
}

#[gambol::test]
async fn a_writer_waits_for_a_reader_that_never_reads_and_nobody_else_does() {
    let (ours, mut peer) = pair();
    let mut sent = 0;
    loop {
        let block = [7; 4096];
        match at_most(1, (&ours).write(&block)).await {
            Some(n) => sent += n.unwrap(),
            None => break,
        }
    }
    let (mut ours2, mut theirs2) = UnixStream::pair().unwrap();
    theirs2.write_all(b"ping").await.unwrap();
    ours2.read_exact(&mut [0; 4]).await.unwrap();
    // What was given up has sent nothing: the peer finds exactly what was reported.
    drop(ours);
    let mut found = Vec::new();
    peer.read_to_end(&mut found).unwrap();
    assert_eq!(found.len(), sent);
}

#[gambol::test]
async fn a_read_that_was_dropped_has_taken_nothing() {
    for polls in 0..4 {
        let (ours, mut peer) = pair();
        let writer = gambol::spawn_blocking(move || {
            for byte in 0..10 {
                peer.write_all(&[byte]).unwrap();
            }
        });
        let mut received = Vec::new();
        while received.len() < 10 {
            let mut buf = [0; 3];
            let n = match at_most(polls, (&ours).read(&mut buf)).await {
                Some(n) => n,
                None => (&ours).read(&mut buf).await,
            };
            received.extend_from_slice(&buf[..n.unwrap()]);
        }
        assert_eq!(received, (0..10).collect::<Vec<u8>>());
        writer.await.unwrap();
    }
}

/// What becomes of the write part.
#[derive(Clone, Copy, Debug)]
enum End {
    Dropped,
    Closed,
    Forgotten,
}

#[gambol::test]
async fn a_write_part_ends_its_direction_unless_it_is_forgotten() {
    for end in [End::Dropped, End::Closed, End::Forgotten] {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (reader, mut writer) = theirs.into_split();
        writer.write_all(b"x").await.unwrap();
        let mut buf = [0; 8];
        assert_eq!((&ours).read(&mut buf).await.unwrap(), 1);
        match end {
            End::Dropped => drop(writer),
            End::Closed => writer.close().await.unwrap(),
            End::Forgotten => writer.forget(),
        }
        match end {
            End::Forgotten => assert_eq!(ours.try_read(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock),
            _ => assert_eq!(ours.try_read(&mut buf).unwrap(), 0, "{end:?}"),
        }
        // The other direction works.
        (&ours).write_all(b"still").await.unwrap();
        reader.readable().await.unwrap();
        assert_eq!(reader.try_read(&mut buf).unwrap(), 5);
        drop(reader);
        assert_eq!((&ours).read(&mut buf).await.unwrap(), 0);
    }
}

#[gambol::test]
async fn only_parts_of_one_connection_are_put_together() {
    let (one, other) = UnixStream::pair().unwrap();
    let ((read_one, write_one), (read_other, write_other)) = (one.into_split(), other.into_split());
    let (read_one, write_other) = read_one.reunite(write_other).unwrap_err().into_parts();
    let error: unix::ReuniteError = write_one.reunite(read_other).unwrap_err();
    assert_eq!(error.to_string(), "the two parts are not of one connection");
    let (read_other, write_one) = error.into_parts();
    let mut one = read_one.reunite(write_one).unwrap();
    let mut other = write_other.reunite(read_other).unwrap();
    // No direction has ended by that.
    for forward in [true, false] {
        let (from, to) = if forward { (&mut one, &mut other) } else { (&mut other, &mut one) };
        from.write_all(b"x").await.unwrap();
        to.read_exact(&mut [0; 1]).await.unwrap();
    }
}

#[gambol::test]
async fn connecting_fails_as_the_system_says() {
    let directory = Directory::new();
    let kind = async |path| UnixStream::connect(path).await.unwrap_err().kind();
    assert_eq!(kind(directory.path("nobody")).await, ErrorKind::NotFound);
    drop(UnixListener::bind(directory.path("gone")).unwrap());
    assert_eq!(kind(directory.path("gone")).await, ErrorKind::ConnectionRefused);
    assert_eq!(kind("a\0b".into()).await, ErrorKind::InvalidInput);
    assert_eq!(kind("x".repeat(200).into()).await, ErrorKind::InvalidInput);
}

/// A listener of std's whose backlog is full, and those who have filled it.
#[cfg(target_os = "linux")]
fn full(directory: &Directory) -> (net::UnixListener, SockAddr, Vec<Socket>) {
    let path = directory.path("listener");
    let address = SockAddr::unix(&path).unwrap();
    let listener = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    listener.bind(&address).unwrap();
    listener.listen(1).unwrap();
    let mut clients = Vec::new();
    loop {
        let client = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        client.set_nonblocking(true).unwrap();
        match client.connect(&address) {
            Ok(()) => clients.push(client),
            Err(_) => return (listener.into(), address, clients),
        }
    }
}

#[cfg(target_os = "linux")]
#[gambol::test]
async fn a_connect_waits_while_the_backlog_is_full() {
    for polls in 0..5 {
        let directory = Directory::new();
        let (listener, _, clients) = full(&directory);
        let path = directory.path("listener");
        // Given up after some attempts; it leaves nothing in the queue.
        assert!(at_most(polls, UnixStream::connect(&path)).await.is_none());
        let mut connecting = pin!(UnixStream::connect(&path));
        assert!(poll_once(&mut connecting).await.is_pending());
        let accepting = gambol::spawn_blocking(move || {
            let accepted: Vec<_> = clients.iter().map(|_| listener.accept().unwrap().0).collect();
            (accepted, listener.accept().unwrap().0)
        });
        let mut ours = timeout(PATIENCE, connecting).await.unwrap().unwrap();
        let (_others, mut theirs) = accepting.await.unwrap();
        ours.write_all(b"through").await.unwrap();
        let mut buf = [0; 7];
        theirs.read_exact(&mut buf).unwrap();
        assert_eq!(&buf, b"through");
    }
}

#[cfg(target_os = "linux")]
#[gambol::test]
async fn a_listener_that_goes_ends_a_connect_that_waits() {
    let directory = Directory::new();
    let (listener, _, clients) = full(&directory);
    let mut connecting = pin!(UnixStream::connect(directory.path("listener")));
    assert!(poll_once(&mut connecting).await.is_pending());
    drop((listener, clients));
    let error = timeout(PATIENCE, connecting).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[gambol::test]
async fn a_stream_is_shown_as_std_shows_it() {
    let (ours, _theirs) = pair();
    let shown = format!("{ours:?}");
    assert_eq!(shown, format!("{:?}", ours.into_std().unwrap()));
}

#[gambol::test]
async fn std_streams_and_descriptors_come_and_go() {
    let (ours, theirs) = net::UnixStream::pair().unwrap();
    let (ours, theirs) = (UnixStream::try_from(ours).unwrap(), UnixStream::try_from(theirs).unwrap());
    let duplicate = UnixStream::try_from(net::UnixStream::from(ours.as_fd().try_clone_to_owned().unwrap())).unwrap();
    (&duplicate).write_all(b"x").await.unwrap();
    assert_eq!((&theirs).read(&mut [0; 8]).await.unwrap(), 1);
    // A shutdown by one is seen by a reader that waits at the other.
    let mut buf = [0; 8];
    let mut reader = &ours;
    let mut read = pin!(reader.read(&mut buf));
    assert!(poll_once(&mut read).await.is_pending());
    duplicate.shutdown(Shutdown::Read).unwrap();
    assert_eq!(timeout(PATIENCE, read).await.unwrap().unwrap(), 0);
    assert!(duplicate.take_error().unwrap().is_none());
    // In blocking mode again.
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut std_stream = net::UnixStream::try_from(ours).unwrap();
    let reading = gambol::spawn_blocking(move || {
        let mut buf = [0; 4];
        std_stream.read_exact(&mut buf).unwrap();
        buf
    });
    (&theirs).write_all(b"back").await.unwrap();
    assert_eq!(&reading.await.unwrap(), b"back");
}

#[test]
fn other_executors_do_as_well() {
    let work = || async {
        let directory = Directory::new();
        let listener = UnixListener::bind(directory.path("listener")).unwrap();
        let (ours, theirs) = join(UnixStream::connect(directory.path("listener")), listener.accept()).await;
        let (mut ours, (mut theirs, _)) = (ours.unwrap(), theirs.unwrap());
        let mut buf = [0; 4];
        let mut read = pin!(ours.read_exact(&mut buf));
        assert!(poll_once(&mut read).await.is_pending());
        theirs.write_all(b"here").await.unwrap();
        read.await.unwrap();
    };
    std::thread::spawn(move || futures::executor::block_on(work())).join().unwrap();
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap().block_on(work());
}

#[test]
fn a_stream_that_outlives_its_runtime_gives_an_error() {
    let runtime = Runtime::new().unwrap();
    let (mut ours, _theirs) = runtime.block_on(async { UnixStream::pair().unwrap() });
    drop(runtime);
    gambol::block_on(async {
        let error = timeout(PATIENCE, ours.read(&mut [0; 8])).await.unwrap().unwrap_err();
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
            let (ours, theirs) = UnixStream::pair().unwrap();
            let echo = gambol::spawn(async move { gambol::io::copy(&theirs, &theirs).await });
            let mut buf = [0; 8];
            for round in 0..10_000u64 {
                (&ours).write_all(&round.to_le_bytes()).await.unwrap();
                (&ours).read_exact(&mut buf).await.unwrap();
                assert_eq!(u64::from_le_bytes(buf), round);
            }
            drop(ours);
            assert_eq!(echo.await.unwrap().unwrap(), 80_000);
            gambol::sleep(Duration::from_millis(5)).await;
        });
    });
}

#[cfg(target_os = "linux")]
#[gambol::test]
async fn abstract_addresses_are_no_files() {
    use std::os::{linux::net::SocketAddrExt, unix::net::SocketAddr};
    let address = SocketAddr::from_abstract_name(format!("gambol-stream-{}", std::process::id())).unwrap();
    let listener = UnixListener::bind_addr(&address).unwrap();
    assert_eq!(UnixListener::bind_addr(&address).unwrap_err().kind(), ErrorKind::AddrInUse);
    let ours = UnixStream::connect_addr(&address).await.unwrap();
    let (_theirs, peer) = listener.accept().await.unwrap();
    assert!(peer.is_unnamed());
    assert_eq!(ours.peer_addr().unwrap().as_abstract_name(), address.as_abstract_name());
    drop(listener);
    assert_eq!(UnixStream::connect_addr(&address).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

/// A read stops behind bytes that came with a descriptor. What follows them is there already, and nothing more is told of it.
#[cfg(target_os = "linux")]
#[gambol::test]
async fn what_is_behind_bytes_with_a_descriptor_is_read_at_once() {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    let (mut ours, mut theirs) = pair();
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut along = SendAncillaryBuffer::new(&mut space);
    let descriptors = [theirs.as_fd()];
    assert!(along.push(SendAncillaryMessage::ScmRights(&descriptors)));
    // The reader waits, so that all three are told as one.
    assert!(at_most(1, ours.read(&mut [0; 1])).await.is_none());
    sendmsg(&theirs, &[IoSlice::new(b"with ")], &mut along, SendFlags::empty()).unwrap();
    theirs.write_all(b"and without").unwrap();
    let mut data = [0; 64];
    let mut n = 0;
    while n < "with and without".len() {
        n += timeout(PATIENCE, ours.read(&mut data[n..])).await.unwrap().unwrap();
    }
    assert_eq!(&data[..n], b"with and without");
}
