//! Connections: data, ends, resets, and what is left when somebody gives up.

mod helpers;

use futures_util::future::{join, select};
use gambol::{
    io::{AsyncReadExt, AsyncWriteExt, ErrorKind, IoSlice, IoSliceMut},
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    time::{Duration, timeout},
};
use helpers::{PATIENCE, at_most, poll_once};
use socket2::SockRef;
use std::{
    io::{Read, Write},
    net::{self, Shutdown},
    pin::pin,
};

/// A connection of which the other end is std's.
async fn pair() -> (TcpStream, net::TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (stream, from) = listener.accept().await.unwrap();
    assert_eq!(from, peer.local_addr().unwrap());
    (stream, peer)
}

/// A connection of which both ends are ours.
async fn own_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (accepted, connected) = join(listener.accept(), TcpStream::connect(address)).await;
    (accepted.unwrap().0, connected.unwrap())
}

/// The peer goes, and the kernel says so by a reset.
fn reset(peer: net::TcpStream) {
    SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
    drop(peer);
}

#[gambol::test]
async fn what_is_sent_is_received() {
    let (mut ours, theirs) = own_pair().await;
    let sent: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    let expected = sent.clone();
    let writer = gambol::spawn(async move {
        (&theirs).write_all(&sent).await.unwrap();
        (&theirs).close().await.unwrap();
        theirs
    });
    let mut received = Vec::new();
    ours.read_to_end(&mut received).await.unwrap();
    assert!(received == expected);
    drop(writer.await.unwrap());
}

#[gambol::test]
async fn both_ends_know_their_addresses_and_options() {
    let (ours, theirs) = own_pair().await;
    assert_eq!(ours.local_addr().unwrap(), theirs.peer_addr().unwrap());
    assert_eq!(ours.peer_addr().unwrap(), theirs.local_addr().unwrap());
    assert!(!ours.nodelay().unwrap());
    ours.set_nodelay(true).unwrap();
    assert!(ours.nodelay().unwrap());
    ours.set_ttl(17).unwrap();
    assert_eq!(ours.ttl().unwrap(), 17);
}

#[gambol::test]
async fn buffers_in_rows_are_written_and_read_in_order() {
    let (mut ours, mut theirs) = own_pair().await;
    let n = theirs.write_vectored(&[IoSlice::new(b"abc"), IoSlice::new(b""), IoSlice::new(b"defg")]).await.unwrap();
    assert_eq!(n, 7);
    let (mut first, mut second) = ([0; 2], [0; 16]);
    let n = ours.read_vectored(&mut [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)]).await.unwrap();
    assert_eq!(n, 7);
    assert_eq!((&first, &second[..5]), (b"ab", &b"cdefg"[..]));
    // More than the kernel takes at once.
    let row = vec![IoSlice::new(b"x"); 5000];
    let n = theirs.write_vectored(&row).await.unwrap();
    assert!((1..=5000).contains(&n));
    let mut back = vec![0; n];
    ours.read_exact(&mut back).await.unwrap();
    assert!(back.iter().all(|&byte| byte == b'x'));
}

#[gambol::test]
async fn few_bytes_in_pieces_arrive_in_order_as_many_do() {
    let (mut ours, mut theirs) = own_pair().await;
    let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(1500).collect();
    for sum in [0, 1, 2, 100, 511, 512, 513, 1023, 1024, 1025, 1500] {
        for pieces in 1..5 {
            let row: Vec<_> = bytes[..sum].chunks(sum.div_ceil(pieces).max(1)).map(IoSlice::new).collect();
            assert_eq!(theirs.write_vectored(&row).await.unwrap(), sum);
            let mut back = vec![0; sum];
            ours.read_exact(&mut back).await.unwrap();
            assert_eq!(back, &bytes[..sum]);
        }
    }
}

#[gambol::test]
async fn nothing_to_read_into_is_no_reason_to_wait() {
    let (mut ours, mut theirs) = own_pair().await;
    assert_eq!(ours.read(&mut []).await.unwrap(), 0);
    assert_eq!(theirs.write(&[]).await.unwrap(), 0);
}

#[gambol::test]
async fn peeked_bytes_are_still_there() {
    let (mut ours, mut peer) = pair().await;
    let mut buf = [0; 16];
    {
        let mut early = pin!(ours.peek(&mut buf));
        assert!(poll_once(&mut early).await.is_pending());
        peer.write_all(b"hello").unwrap();
        assert_eq!(early.await.unwrap(), 5);
    }
    assert_eq!(ours.peek(&mut buf[..2]).await.unwrap(), 2);
    assert_eq!(ours.read(&mut buf).await.unwrap(), 5);
    assert_eq!(&buf[..5], b"hello");
}

#[gambol::test]
async fn data_and_the_end_in_one_event_are_both_seen() {
    for waits_first in [false, true] {
        let (mut ours, mut peer) = pair().await;
        let mut buf = [0; 64];
        let mut read = pin!(ours.read(&mut buf));
        if waits_first {
            assert!(poll_once(&mut read).await.is_pending());
        }
        peer.write_all(b"short").unwrap();
        drop(peer);
        assert_eq!(timeout(PATIENCE, read).await.unwrap().unwrap(), 5);
        assert_eq!(timeout(PATIENCE, ours.read(&mut buf)).await.unwrap().unwrap(), 0);
        assert_eq!(timeout(PATIENCE, ours.read(&mut buf)).await.unwrap().unwrap(), 0);
    }
}

#[gambol::test]
async fn a_reset_is_an_error_for_readers_and_writers() {
    for waits_first in [false, true] {
        let (mut ours, peer) = pair().await;
        let mut buf = [0; 64];
        let mut read = pin!(ours.read(&mut buf));
        if waits_first {
            assert!(poll_once(&mut read).await.is_pending());
        }
        reset(peer);
        let error = timeout(PATIENCE, read).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        let error = ours.write(b"x").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        let error = ours.write_vectored(&[IoSlice::new(b"x")]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    }
}

#[gambol::test]
async fn a_reset_ends_a_write_that_waits() {
    let (mut ours, peer) = pair().await;
    let mut write = pin!(async {
        let block = vec![0; 65536];
        loop {
            if let Err(error) = ours.write(&block).await {
                return error.kind();
            }
        }
    });
    // Nobody reads: in the end it waits.
    assert!(poll_once(&mut write).await.is_pending());
    reset(peer);
    let kind = timeout(PATIENCE, write).await.unwrap();
    assert!(matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{kind:?}");
}

#[cfg(unix)]
#[test]
fn a_broken_connection_raises_no_signal() {
    if !helpers::is_child() {
        return helpers::assert_success(&helpers::in_child("a_broken_connection_raises_no_signal"));
    }
    // SAFETY: no handler of ours is involved; the default action would end the process.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    gambol::block_on(async {
        let many = [b'y'; 2000];
        // Few bytes in several pieces take another road than many.
        for pieces in [&[&b"x"[..]][..], &[b"x", b"y"], &[b"x", &many]] {
            let (mut ours, peer) = pair().await;
            reset(peer);
            let error = loop {
                let row: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
                let result = match pieces {
                    [piece] => ours.write(piece).await,
                    _ => ours.write_vectored(&row).await,
                };
                if let Err(error) = result
                    && error.kind() != ErrorKind::ConnectionReset
                {
                    break error;
                }
            };
            assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        }
    });
}

#[gambol::test]
async fn after_the_peer_ends_its_direction_ours_still_works() {
    let (mut ours, mut peer) = pair().await;
    peer.write_all(b"question").unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    let mut question = Vec::new();
    ours.read_to_end(&mut question).await.unwrap();
    assert_eq!(question, b"question");
    ours.write_all(b"answer").await.unwrap();
    ours.close().await.unwrap();
    ours.close().await.unwrap();
    let answer = gambol::spawn_blocking(move || {
        let mut answer = String::new();
        peer.read_to_string(&mut answer).unwrap();
        answer
    });
    assert_eq!(answer.await.unwrap(), "answer");
}

#[gambol::test]
async fn a_half_closed_connection_uses_no_processor_time() {
    let (ours, peer) = pair().await;
    let mut buf = [0; 8];
    peer.shutdown(Shutdown::Write).unwrap();
    assert_eq!((&ours).read(&mut buf).await.unwrap(), 0);
    // Fill it, so that the writer waits on a connection whose other direction has ended for good.
    let mut write = pin!(async {
        let block = vec![0; 65536];
        loop {
            (&ours).write_all(&block).await.unwrap();
        }
    });
    assert!(poll_once(&mut write).await.is_pending());
    let mut polls = 0;
    let counted = std::future::poll_fn(|cx| {
        polls += 1;
        write.as_mut().poll(cx).map(|()| ())
    });
    assert!(timeout(Duration::from_millis(100), counted).await.is_err());
    assert!(polls < 20, "polled {polls} times");
}

#[gambol::test]
async fn a_shutdown_is_seen_by_both_ends() {
    let (mut ours, mut theirs) = own_pair().await;
    ours.shutdown(Shutdown::Write).unwrap();
    assert_eq!(theirs.read(&mut [0; 8]).await.unwrap(), 0);
    assert_eq!(ours.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    // One's own reader ends too, also one that waits already.
    let (mut reader, _writer) = own_pair().await;
    let mut buf = [0; 8];
    let other = reader.try_clone_for_test();
    let mut read = pin!(reader.read(&mut buf));
    assert!(poll_once(&mut read).await.is_pending());
    other.shutdown(Shutdown::Read).unwrap();
    assert_eq!(timeout(PATIENCE, read).await.unwrap().unwrap(), 0);
}

/// A second descriptor for the same connection.
trait TryCloneForTest {
    fn try_clone_for_test(&self) -> net::TcpStream;
}

impl TryCloneForTest for TcpStream {
    fn try_clone_for_test(&self) -> net::TcpStream {
        SockRef::from(self).try_clone().unwrap().into()
    }
}

#[gambol::test]
async fn a_writer_waits_for_a_reader_that_never_reads_and_nobody_else_does() {
    let (ours, mut peer) = pair().await;
    SockRef::from(&ours).set_send_buffer_size(4096).unwrap();
    let mut sent = 0;
    let block = [7; 4096];
    while let Ok(result) = timeout(Duration::from_millis(50), (&ours).write(&block)).await {
        sent += result.unwrap();
    }
    // Another connection is not held up.
    let (mut ours2, mut theirs2) = own_pair().await;
    theirs2.write_all(b"ping").await.unwrap();
    ours2.read_exact(&mut [0; 4]).await.unwrap();
    // What was given up has sent nothing: the peer finds exactly what was reported.
    drop(ours);
    let found = gambol::spawn_blocking(move || {
        let mut found = Vec::new();
        peer.read_to_end(&mut found).unwrap();
        found.len()
    });
    assert_eq!(found.await.unwrap(), sent);
}

#[gambol::test]
async fn a_read_that_was_dropped_has_taken_nothing() {
    for polls in 0..4 {
        let (ours, mut peer) = pair().await;
        let writer = gambol::spawn_blocking(move || {
            for byte in 0..10 {
                peer.write_all(&[byte]).unwrap();
            }
        });
        let mut received = Vec::new();
        while received.len() < 10 {
            let mut buf = [0; 3];
            match at_most(polls, (&ours).read(&mut buf)).await {
                Some(n) => received.extend_from_slice(&buf[..n.unwrap()]),
                None => {
                    let n = (&ours).read(&mut buf).await.unwrap();
                    received.extend_from_slice(&buf[..n]);
                }
            }
        }
        assert_eq!(received, (0..10).collect::<Vec<u8>>());
        writer.await.unwrap();
    }
}

#[gambol::test]
async fn a_connect_that_was_dropped_leaves_a_listener_that_works() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    for polls in 0..4 {
        let _ = at_most(polls, TcpStream::connect(address)).await;
        let _ = at_most(polls, TcpStream::connect(address.to_string())).await;
        let _ = at_most(polls, TcpStream::connect(("localhost", address.port()))).await;
    }
    let stream = TcpStream::connect(address).await.unwrap();
    let own = stream.local_addr().unwrap();
    // Those that were made and given up may stand before it in the queue.
    while timeout(PATIENCE, listener.accept()).await.unwrap().unwrap().1 != own {}
}

#[gambol::test]
async fn a_connection_that_nobody_takes_is_refused() {
    let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    assert_eq!(TcpStream::connect(address).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

#[gambol::test]
async fn addresses_are_tried_in_turn() {
    let gone = net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let there = listener.local_addr().unwrap();
    let stream = TcpStream::connect([gone, there]).await.unwrap();
    assert_eq!(stream.peer_addr().unwrap(), there);
    let error = TcpStream::connect(vec![gone]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert_eq!(TcpStream::connect(&[][..]).await.unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[gambol::test]
async fn names_are_resolved_and_other_texts_are_invalid() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    TcpStream::connect(("localhost", port)).await.unwrap();
    TcpStream::connect(format!("localhost:{port}")).await.unwrap();
    TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    for text in ["nonsense", "127.0.0.1", "127.0.0.1:", "127.0.0.1:70000", ""] {
        let error = TcpStream::connect(text).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text:?}: {error}");
    }
}

#[gambol::test]
async fn two_parts_read_and_write_at_the_same_time() {
    let (mut ours, theirs) = own_pair().await;
    let (mut from, mut to) = theirs.into_split();
    let echo = gambol::spawn(async move {
        gambol::io::copy(&mut from, &mut to).await.unwrap();
        assert_eq!(from.peer_addr().unwrap(), to.peer_addr().unwrap());
    });
    let (mut reader, mut writer) = TcpStream::split(&mut ours);
    let sent = vec![3; 1_000_000];
    let mut received = vec![0; sent.len()];
    let (wrote, read) = join(writer.write_all(&sent), reader.read_exact(&mut received)).await;
    wrote.unwrap();
    read.unwrap();
    assert!(sent == received);
    writer.close().await.unwrap();
    // The drop of the owned part ends the direction.
    assert_eq!(reader.read(&mut [0; 8]).await.unwrap(), 0);
    echo.await.unwrap();
}

#[gambol::test]
async fn a_dropped_write_part_ends_its_direction_only() {
    let (mut ours, theirs) = own_pair().await;
    let (mut from, to) = theirs.into_split();
    drop(to);
    assert_eq!(ours.read(&mut [0; 8]).await.unwrap(), 0);
    ours.write_all(b"still").await.unwrap();
    let mut buf = [0; 5];
    assert_eq!(from.peek(&mut buf).await.unwrap(), 5);
    from.read_exact(&mut buf).await.unwrap();
    assert_eq!(&buf, b"still");
}

#[gambol::test]
async fn std_streams_come_and_go() {
    let (ours, peer) = pair().await;
    let mut std_stream = ours.into_std().unwrap();
    let mut ours = TcpStream::try_from(peer).unwrap();
    ours.write_all(b"x").await.unwrap();
    let mut buf = [0; 1];
    // In blocking mode again.
    gambol::block_in_place(|| std_stream.read_exact(&mut buf)).unwrap();
    assert_eq!(&buf, b"x");
}

#[gambol::test]
async fn one_task_waits_in_both_directions() {
    let (ours, mut peer) = pair().await;
    let mut buf = [0; 8];
    let mut reader = &ours;
    let mut read = pin!(reader.read(&mut buf));
    let mut write = pin!(async {
        let block = vec![0; 65536];
        loop {
            (&ours).write_all(&block).await.unwrap();
        }
    });
    assert!(poll_once(&mut read).await.is_pending());
    assert!(poll_once(&mut write).await.is_pending());
    peer.write_all(b"x").unwrap();
    let won = timeout(PATIENCE, select(read, write)).await.unwrap();
    assert!(matches!(won, futures_util::future::Either::Left((Ok(1), _))));
}

#[test]
fn a_stream_that_outlives_its_runtime_gives_an_error() {
    let runtime = Runtime::new().unwrap();
    let (mut ours, _theirs) = runtime.block_on(own_pair());
    let (waits, _theirs2) = runtime.block_on(own_pair());
    let waiting = std::thread::spawn(move || {
        gambol::block_on(async {
            let mut waits = waits;
            waits.read(&mut [0; 8]).await.unwrap_err().to_string()
        })
    });
    drop(runtime);
    gambol::block_on(async {
        let error = timeout(PATIENCE, ours.read(&mut [0; 8])).await.unwrap().unwrap_err();
        assert_eq!(error.to_string(), "the runtime is gone");
    });
    assert_eq!(waiting.join().unwrap(), "the runtime is gone");
}
