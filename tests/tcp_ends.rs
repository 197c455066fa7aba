//! How connections end: every way in which a peer goes, with every part that reads, at every moment.

mod helpers;

use futures_util::future::{join, join_all};
use gambol::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ErrorKind, IoSlice},
    net::{TcpListener, TcpSocket, TcpStream},
    time::timeout,
};
use helpers::{PATIENCE, at_most, poll_once};
use socket2::SockRef;
use std::{
    io::{self, Read, Write},
    net::{self, Shutdown},
    pin::pin,
    time::Duration,
};

async fn pair() -> (TcpStream, net::TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (listener.accept().await.unwrap().0, peer)
}

/// A connection with small buffers: a writer waits soon.
async fn narrow_pair() -> (TcpStream, TcpStream) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(8).unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_send_buffer_size(4096).unwrap();
    let (reads, writes) = join(listener.accept(), socket.connect(listener.local_addr().unwrap())).await;
    (reads.unwrap().0, writes.unwrap())
}

/// What the peer does in the end.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Closes,
    ClosesItsHalf,
    Resets,
}

/// When the reader comes.
#[derive(Clone, Copy, Debug)]
enum Reader {
    AfterTheEnd,
    WaitsBefore,
    /// It waits, gives up, and another one comes.
    GaveUpBefore,
}

#[derive(Clone, Copy, Debug)]
enum Part {
    Whole,
    Borrowed,
    Owned,
}

const ENDS: [End; 3] = [End::Closes, End::ClosesItsHalf, End::Resets];
const READERS: [Reader; 3] = [Reader::AfterTheEnd, Reader::WaitsBefore, Reader::GaveUpBefore];
const PARTS: [Part; 3] = [Part::Whole, Part::Borrowed, Part::Owned];
const SIZES: [usize; 3] = [0, 5, 40_000];

impl End {
    /// What is left of the peer.
    fn come(self, mut peer: net::TcpStream, data: &[u8]) -> Option<net::TcpStream> {
        peer.write_all(data).unwrap();
        match self {
            End::Closes => None,
            End::ClosesItsHalf => {
                peer.shutdown(Shutdown::Write).unwrap();
                Some(peer)
            }
            End::Resets => {
                SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
                None
            }
        }
    }
}

/// Reads to the end, and what is read there once more.
async fn to_the_end(stream: &mut (dyn AsyncRead + Unpin + Send), data: &mut Vec<u8>) -> io::Result<()> {
    let mut buf = [0; 4096];
    loop {
        match stream.read(&mut buf).await? {
            0 => break,
            n => data.extend_from_slice(&buf[..n]),
        }
    }
    assert_eq!(stream.read(&mut buf).await?, 0, "something came after the end");
    Ok(())
}

async fn try_to_the_end(stream: &TcpStream, data: &mut Vec<u8>) -> io::Result<()> {
    let mut buf = [0; 4096];
    loop {
        stream.readable().await?;
        match stream.try_read(&mut buf) {
            Ok(0) => return Ok(()),
            Ok(n) => data.extend_from_slice(&buf[..n]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// The result and the data must be those of the end.
fn check(end: End, sent: &[u8], (result, data): (io::Result<()>, Vec<u8>), what: &str) {
    match end {
        End::Closes | End::ClosesItsHalf => {
            result.unwrap_or_else(|error| panic!("{what}: {error}"));
            assert!(data == sent, "{what}: {} bytes", data.len());
        }
        End::Resets => {
            assert_eq!(result.unwrap_err().kind(), ErrorKind::ConnectionReset, "{what}");
            assert!(sent.starts_with(&data), "{what}");
        }
    }
}

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|n| (n % 251) as u8).collect()
}

#[gambol::test]
async fn every_end_is_told_after_the_data_before_it() {
    for (end, reader, part, size) in product() {
        let what = format!("{end:?} {reader:?} {part:?} {size}");
        let (mut ours, peer) = pair().await;
        let (mut whole, mut borrowed, mut owned, mut _writer);
        let stream: &mut (dyn AsyncRead + Unpin + Send) = match part {
            Part::Whole => {
                whole = &ours;
                &mut whole
            }
            Part::Borrowed => {
                borrowed = TcpStream::split(&mut ours).0;
                &mut borrowed
            }
            Part::Owned => {
                (owned, _writer) = ours.into_split();
                &mut owned
            }
        };
        let (sent, mut data) = (bytes(size), Vec::new());
        if let Reader::GaveUpBefore = reader {
            assert!(at_most(1, to_the_end(stream, &mut data)).await.is_none());
        }
        let mut peer = Some(peer);
        let mut _left = None;
        if let Reader::AfterTheEnd | Reader::GaveUpBefore = reader {
            _left = peer.take().and_then(|peer| end.come(peer, &sent));
        }
        let mut reading = Box::pin(to_the_end(stream, &mut data));
        if let Some(peer) = peer {
            assert!(futures::poll!(reading.as_mut()).is_pending());
            _left = end.come(peer, &sent);
        }
        let result = timeout(PATIENCE, reading).await.unwrap_or_else(|_| panic!("{what}: no end"));
        check(end, &sent, (result, data), &what);
    }
}

fn product() -> impl Iterator<Item = (End, Reader, Part, usize)> {
    ENDS.into_iter().flat_map(|end| {
        READERS
            .into_iter()
            .flat_map(move |reader| PARTS.into_iter().flat_map(move |part| SIZES.map(|size| (end, reader, part, size))))
    })
}

#[gambol::test]
async fn every_end_is_told_to_those_who_try() {
    for end in ENDS {
        for size in SIZES {
            let what = format!("{end:?} {size}");
            let (ours, peer) = pair().await;
            let (sent, mut data) = (bytes(size), Vec::new());
            let mut reading = Box::pin(try_to_the_end(&ours, &mut data));
            assert!(futures::poll!(reading.as_mut()).is_pending());
            let _left = end.come(peer, &sent);
            let result = timeout(PATIENCE, reading).await.unwrap_or_else(|_| panic!("{what}: no end"));
            check(end, &sent, (result, data), &what);
        }
    }
}

#[gambol::test]
async fn what_can_be_written_after_the_peers_end_depends_on_the_end() {
    for end in ENDS {
        for part in PARTS {
            let (ours, peer) = pair().await;
            let left = end.come(peer, b"");
            let mut ours = ours;
            let (mut owned, mut borrowed, mut whole);
            let mut _reader = None;
            let stream: &mut (dyn AsyncWrite + Unpin + Send) = match part {
                Part::Whole => {
                    whole = &ours;
                    &mut whole
                }
                Part::Borrowed => {
                    borrowed = TcpStream::split(&mut ours).1;
                    &mut borrowed
                }
                Part::Owned => {
                    let (from, to) = ours.into_split();
                    _reader = Some(from);
                    owned = to;
                    &mut owned
                }
            };
            let Some(mut left) = left else {
                // The first writes may go out before it is known that nobody is there.
                let error = loop {
                    if let Err(error) = timeout(PATIENCE, stream.write(b"x")).await.unwrap() {
                        break error;
                    }
                };
                assert!(matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{error}");
                let error = stream.write(b"x").await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::BrokenPipe, "{end:?} {part:?}");
                continue;
            };
            stream.write_all(b"answer").await.unwrap();
            stream.close().await.unwrap();
            // One's own end: both kinds of write say so.
            assert_eq!(stream.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
            let row = [IoSlice::new(b"x"), IoSlice::new(b"y")];
            assert_eq!(stream.write_vectored(&row).await.unwrap_err().kind(), ErrorKind::BrokenPipe);
            let mut answer = String::new();
            gambol::block_in_place(|| left.read_to_string(&mut answer)).unwrap();
            assert_eq!(answer, "answer");
        }
    }
}

#[gambol::test]
async fn a_write_that_was_dropped_has_sent_nothing() {
    const CHUNK: [u8; 3000] = [1; 3000];
    const TOTAL: usize = 200_000;
    for polls in 0..4 {
        let (mut reads, writes) = narrow_pair().await;
        let reader = gambol::spawn(async move {
            let mut found = Vec::new();
            let mut buf = [0; 1000];
            loop {
                match reads.read(&mut buf).await.unwrap() {
                    0 => return found.len(),
                    n => found.extend_from_slice(&buf[..n]),
                }
                gambol::yield_now().await;
            }
        });
        let mut sent = 0;
        while sent < TOTAL {
            match at_most(polls, (&writes).write(&CHUNK)).await {
                Some(n) => sent += n.unwrap(),
                None => sent += timeout(PATIENCE, (&writes).write(&CHUNK)).await.unwrap().unwrap(),
            }
        }
        drop(writes);
        assert_eq!(timeout(PATIENCE, reader).await.unwrap().unwrap(), sent, "{polls} polls");
    }
}

#[gambol::test(workers = 2)]
async fn writers_that_wait_hold_up_nobody() {
    let stuck: Vec<_> = join_all((0..40).map(|_| narrow_pair())).await;
    let mut tasks = Vec::new();
    let mut readers = Vec::new();
    for (reads, mut writes) in stuck {
        readers.push(reads);
        tasks.push(gambol::spawn(async move {
            let block = [0; 1000];
            let mut taken = 0;
            loop {
                match writes.write(&block).await {
                    Ok(n) => taken += n,
                    Err(_) => return taken,
                }
            }
        }));
    }
    let (mut ours, mut theirs) = narrow_pair().await;
    let pings = async {
        for _ in 0..200 {
            let mut buf = [0; 4];
            theirs.write_all(b"ping").await.unwrap();
            ours.read_exact(&mut buf).await.unwrap();
            ours.write_all(&buf).await.unwrap();
            theirs.read_exact(&mut buf).await.unwrap();
        }
    };
    timeout(PATIENCE, pings).await.unwrap();
    // They end when their peers go, and until then have given away no more than the kernel's buffers hold.
    for reads in readers {
        reads.set_linger(Some(Duration::ZERO)).unwrap();
    }
    for task in tasks {
        let taken = timeout(PATIENCE, task).await.unwrap().unwrap();
        assert!(taken < 1 << 20, "{taken} bytes went somewhere");
    }
}

#[gambol::test]
async fn to_try_is_not_to_wait() {
    let (reads, writes) = narrow_pair().await;
    let mut buf = [0; 8];
    assert_eq!(reads.try_read(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
    {
        let mut readable = pin!(reads.readable());
        assert!(poll_once(&mut readable).await.is_pending());
        assert_eq!(writes.try_write(b"abc").unwrap(), 3);
        timeout(PATIENCE, readable).await.unwrap().unwrap();
    }
    assert_eq!(reads.try_read(&mut buf).unwrap(), 3);
    assert_eq!(&buf[..3], b"abc");
    assert_eq!(reads.try_read(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
    // What was told is over.
    assert!(at_most(1, reads.readable()).await.is_none());

    let error = loop {
        if let Err(error) = writes.try_write(&[0; 1000]) {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    let mut writable = pin!(writes.writable());
    assert!(poll_once(&mut writable).await.is_pending());
    let drain = async {
        let mut block = [0; 4096];
        loop {
            assert_ne!((&reads).read(&mut block).await.unwrap(), 0);
        }
    };
    let drain = pin!(timeout(PATIENCE, drain));
    let drained = futures_util::future::select(drain, writable).await;
    assert!(matches!(drained, futures_util::future::Either::Right((Ok(()), _))));
    loop {
        match writes.try_write(b"x") {
            Ok(n) => break assert_eq!(n, 1),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        timeout(PATIENCE, writes.writable()).await.unwrap().unwrap();
    }
}

#[test]
fn ends_are_told_under_foreign_executors() {
    async fn run(end: End) {
        let (mut ours, peer) = pair().await;
        let mut data = Vec::new();
        assert!(at_most(1, to_the_end(&mut ours, &mut data)).await.is_none());
        let left = end.come(peer, b"bytes");
        let result = timeout(PATIENCE, to_the_end(&mut ours, &mut data)).await.unwrap();
        match end {
            End::Resets => assert_eq!(result.unwrap_err().kind(), ErrorKind::ConnectionReset),
            _ => assert_eq!((result.unwrap(), &data[..]), ((), &b"bytes"[..])),
        }
        drop(left);
    }
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    for end in ENDS {
        futures::executor::block_on(run(end));
        tokio.block_on(async { tokio::spawn(run(end)).await.unwrap() });
    }
}

/// A read stops in front of an urgent byte, though there is more behind it.
#[cfg(target_os = "linux")]
#[gambol::test]
async fn what_stands_behind_an_urgent_byte_is_read() {
    for early in [true, false] {
        let (mut stream, mut peer) = pair().await;
        let mut reading = gambol::spawn(async move {
            let (mut bytes, mut buffer) = (Vec::new(), [0; 64]);
            while bytes.len() < 20 {
                let n = stream.read(&mut buffer).await.unwrap();
                bytes.extend_from_slice(&buffer[..n]);
            }
            bytes
        });
        if early {
            // So that it waits when all of it comes.
            gambol::task::yield_now().await;
        }
        peer.write_all(b"before the").unwrap();
        assert_eq!(rustix::net::send(&peer, b"!", rustix::net::SendFlags::OOB).unwrap(), 1);
        peer.write_all(b"after it..").unwrap();
        let bytes = timeout(PATIENCE, &mut reading).await.expect("the reader waits for what is there").unwrap();
        assert_eq!(bytes, b"before theafter it..");
    }
}
