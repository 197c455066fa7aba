//! Copying between connections, by whichever road: all of it arrives, and what the ends are shows in nothing but speed.

mod helpers;

use futures_util::io::Cursor;
use gambol::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, BufReader, Copy, ErrorKind, copy},
    net::{TcpListener, TcpStream},
};
use helpers::{PATIENCE, poll_once};
use std::{
    fmt::Debug,
    future::poll_fn,
    io::{self, Read, Write},
    net::{self, Shutdown},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    thread,
};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Bytes that a copy between connections holds at most.
const HELD: usize = 256 * KIB;

/// So much takes the short road, where there is one.
const LONG: usize = 4 * MIB;

/// Content whose period is no power of two.
fn content(size: usize) -> Arc<Vec<u8>> {
    Arc::new((0..size).map(|n| (n % 251) as u8 ^ (n >> 16) as u8).collect())
}

/// Two ends of a connection: ours, and the test's, which blocks.
fn pair() -> (TcpStream, net::TcpStream) {
    let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
    let theirs = net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    theirs.set_read_timeout(Some(PATIENCE)).unwrap();
    theirs.set_write_timeout(Some(PATIENCE)).unwrap();
    (listener.accept().unwrap().0.try_into().unwrap(), theirs)
}

/// Sends `data` and ends, on a thread.
fn feed(mut stream: net::TcpStream, data: Arc<Vec<u8>>) -> thread::JoinHandle<net::TcpStream> {
    thread::spawn(move || {
        stream.write_all(&data).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        stream
    })
}

/// Receives all until the end, on a thread.
fn collect(mut stream: net::TcpStream) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        all
    })
}

/// A number that a copy shows in its `Debug`.
fn shown(copy: &impl Debug, field: &str) -> usize {
    let text = format!("{copy:?}");
    let at = text.find(&format!("{field}: ")).unwrap() + field.len() + 2;
    text[at..].split(|byte: char| !byte.is_ascii_digit()).next().unwrap().parse().unwrap()
}

/// Bytes copied, and how many of them on the short road.
async fn run<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(reader: R, writer: W) -> io::Result<(u64, usize)> {
    let mut copying = pin!(copy(reader, writer));
    let copied = copying.as_mut().await?;
    Ok((copied, shown(&copying, "spliced")))
}

/// What a reader or a writer is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Owned,
    Ref,
    Mut,
    MutRef,
    MutMut,
    Half,
    MutHalf,
    OwnedHalf,
    /// From here on it is no connection, or more than one.
    Boxed,
    Buffered,
    Wrapped,
    Memory,
}

const ENDS: [End; 12] = [
    End::Owned,
    End::Ref,
    End::Mut,
    End::MutRef,
    End::MutMut,
    End::Half,
    End::MutHalf,
    End::OwnedHalf,
    End::Boxed,
    End::Buffered,
    End::Wrapped,
    End::Memory,
];

impl End {
    fn is_bare(self) -> bool {
        !matches!(self, End::Boxed | End::Buffered | End::Wrapped | End::Memory)
    }
}

/// Passes everything on, by the very buffer that it was given, and turns every bit over on the way in or out.
struct Inverter<S>(S);

impl<S: AsyncRead + Unpin> AsyncRead for Inverter<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.0).poll_read(cx, buf);
        if let Poll::Ready(Ok(n)) = poll {
            buf[..n].iter_mut().for_each(|byte| *byte = !*byte);
        }
        poll
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Inverter<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let inverted: Vec<u8> = buf.iter().map(|byte| !byte).collect();
        Pin::new(&mut self.0).poll_write(cx, &inverted)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }
}

/// Copies from an end of the given kind.
async fn read_by<W>(kind: End, mut stream: TcpStream, data: &[u8], writer: W) -> io::Result<(u64, usize)>
where
    W: AsyncWrite + Unpin,
{
    match kind {
        End::Owned => run(stream, writer).await,
        End::Ref => run(&stream, writer).await,
        End::Mut => run(&mut stream, writer).await,
        End::MutRef => run(&mut &stream, writer).await,
        End::MutMut => run(&mut &mut stream, writer).await,
        End::Half => run(TcpStream::split(&mut stream).0, writer).await,
        End::MutHalf => run(&mut TcpStream::split(&mut stream).0, writer).await,
        End::OwnedHalf => run(stream.into_split().0, writer).await,
        End::Boxed => run(Box::new(stream) as Box<dyn AsyncRead + Unpin + Send>, writer).await,
        End::Buffered => {
            // A part of it is in the buffer already.
            let mut reader = BufReader::with_capacity(100 * KIB, stream);
            poll_fn(|cx| gambol::io::AsyncBufRead::poll_fill_buf(Pin::new(&mut reader), cx).map_ok(drop)).await?;
            run(reader, writer).await
        }
        End::Wrapped => run(Inverter(stream), writer).await,
        End::Memory => run(Cursor::new(data), writer).await,
    }
}

/// Copies from one kind to another, and yields what has arrived.
async fn transfer(from: End, to: End, data: &Arc<Vec<u8>>) -> (u64, usize, Vec<u8>) {
    let (source, feeder) = pair();
    let (sink, collector) = pair();
    let fed = (from != End::Memory).then(|| feed(feeder, data.clone()));
    let collected = collect(collector);
    let mut memory = Vec::new();
    // Each arm takes the sink, so that it is closed in the end.
    let (copied, spliced) = match to {
        End::Owned => read_by(from, source, data, sink).await,
        End::Ref => {
            let sink = sink;
            read_by(from, source, data, &sink).await
        }
        End::Mut => {
            let mut sink = sink;
            read_by(from, source, data, &mut sink).await
        }
        End::MutRef => {
            let sink = sink;
            read_by(from, source, data, &mut &sink).await
        }
        End::MutMut => {
            let mut sink = sink;
            read_by(from, source, data, &mut &mut sink).await
        }
        End::Half => {
            let mut sink = sink;
            read_by(from, source, data, TcpStream::split(&mut sink).1).await
        }
        End::MutHalf => {
            let mut sink = sink;
            read_by(from, source, data, &mut TcpStream::split(&mut sink).1).await
        }
        End::OwnedHalf => read_by(from, source, data, sink.into_split().1).await,
        End::Boxed => read_by(from, source, data, Box::new(sink) as Box<dyn AsyncWrite + Unpin + Send>).await,
        End::Buffered => read_by(from, source, data, gambol::io::BufWriter::new(sink)).await,
        End::Wrapped => read_by(from, source, data, Inverter(sink)).await,
        End::Memory => read_by(from, source, data, &mut memory).await,
    }
    .unwrap();
    if let Some(fed) = fed {
        fed.join().unwrap();
    }
    (copied, spliced, if to == End::Memory { memory } else { collected.join().unwrap() })
}

async fn check(from: End, to: End, data: &Arc<Vec<u8>>) -> usize {
    let (copied, spliced, mut arrived) = transfer(from, to, data).await;
    if (from == End::Wrapped) != (to == End::Wrapped) {
        arrived.iter_mut().for_each(|byte| *byte = !*byte);
    }
    assert_eq!((copied as usize, arrived.len()), (data.len(), data.len()), "{from:?} to {to:?}");
    assert!(arrived == **data, "{from:?} to {to:?}, {} bytes", data.len());
    let both_are_bare = from.is_bare() && to.is_bare();
    assert!(spliced == 0 || both_are_bare, "{from:?} to {to:?}: {spliced} bytes went past");
    spliced
}

#[gambol::test]
async fn everything_arrives_between_all_kinds_of_ends() {
    for size in [0, 1, 16 * KIB, 64 * KIB + 1, 300 * KIB] {
        let data = content(size);
        for from in ENDS {
            for to in ENDS {
                check(from, to, &data).await;
            }
        }
    }
}

#[gambol::test]
async fn what_is_long_is_spliced_between_bare_connections_and_nowhere_else() {
    let data = content(LONG);
    for (n, from) in ENDS.into_iter().enumerate() {
        for to in [ENDS[n], End::Owned, End::Ref] {
            let spliced = check(from, to, &data).await;
            let expected = cfg!(target_os = "linux") && from.is_bare() && to.is_bare();
            assert_eq!(spliced != 0, expected, "{from:?} to {to:?}");
        }
    }
}

#[gambol::test]
async fn a_very_long_copy_arrives() {
    let data = content(64 * MIB);
    for to in [End::Owned, End::Wrapped] {
        check(End::Ref, to, &data).await;
    }
}

#[test]
fn it_works_under_any_executor() {
    let data = content(LONG);
    for (from, to) in [(End::Mut, End::Ref), (End::Wrapped, End::OwnedHalf)] {
        futures::executor::block_on(check(from, to, &data));
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(check(from, to, &data));
        let data = data.clone();
        gambol::block_on(gambol::spawn(async move { check(from, to, &data).await })).unwrap();
    }
}

#[gambol::test]
async fn a_limit_around_a_connection_holds() {
    let data = content(LONG);
    let (source, feeder) = pair();
    let (sink, collector) = pair();
    let fed = feed(feeder, data.clone());
    let collected = collect(collector);
    let limit = LONG as u64 - 12_345;
    assert_eq!(copy((&source).take(limit), sink).await.unwrap(), limit);
    assert!(collected.join().unwrap() == data[..limit as usize]);
    let mut rest = Vec::new();
    (&source).read_to_end(&mut rest).await.unwrap();
    assert!(rest == data[limit as usize..]);
    fed.join().unwrap();
}

#[gambol::test]
async fn a_slow_reader_gets_everything() {
    for bare in [true, false] {
        let data = content(16 * MIB);
        let (source, feeder) = pair();
        let (sink, mut theirs) = pair();
        let fed = feed(feeder, data.clone());
        let mut arrived = Vec::new();
        let mut copying: Pin<Box<dyn Future<Output = io::Result<u64>>>> =
            if bare { Box::pin(copy(source, &sink)) } else { Box::pin(copy(Inverter(source), Inverter(&sink))) };
        loop {
            if let Poll::Ready(result) = poll_once(&mut Pin::new(&mut copying)).await {
                assert_eq!(result.unwrap(), 16 * MIB as u64);
                break;
            }
            // A little at a time, so that the writer is full again and again.
            theirs.set_nonblocking(true).unwrap();
            let mut piece = [0; 50_000];
            match theirs.read(&mut piece) {
                Ok(n) => arrived.extend_from_slice(&piece[..n]),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
        drop(copying);
        drop(sink);
        theirs.set_nonblocking(false).unwrap();
        theirs.read_to_end(&mut arrived).unwrap();
        assert!(arrived == *data);
        fed.join().unwrap();
    }
}

/// When a copy is given up.
#[derive(Clone, Copy, Debug)]
enum When {
    /// After so many polls.
    Polls(usize),
    /// When the sink takes no more, and the copy holds what it cannot write.
    Stalled,
}

#[gambol::test]
async fn a_copy_that_is_given_up_loses_what_it_holds_and_nothing_else() {
    // More than the buffers of the two connections take, so that in the end it stalls; for the others, less is enough.
    let (long, short) = (content(32 * MIB), content(2 * MIB));
    let times = (0..10).chain([30, 100]).map(When::Polls).chain([When::Stalled]);
    for (when, bare) in times.flat_map(|when| [(when, true), (when, false)]) {
        let data = if let When::Stalled = when { &long } else { &short };
        let (source, feeder) = pair();
        let (sink, mut theirs) = pair();
        let fed = feed(feeder, data.clone());
        let (copied, held) = match bare {
            true => give_up(copy(&source, &sink), when).await,
            false => give_up(copy(Plain(&source), &sink), when).await,
        };
        assert!(held <= if bare && cfg!(target_os = "linux") { HELD } else { 16 * KIB }, "{held}, {when:?}");
        drop(sink);
        let mut arrived = Vec::new();
        theirs.read_to_end(&mut arrived).unwrap();
        assert!(arrived == data[..copied], "{} of {copied}, {when:?}", arrived.len());
        let mut rest = Vec::new();
        (&source).read_to_end(&mut rest).await.unwrap();
        assert!(rest == data[copied + held..], "{} after {copied} and {held}, {when:?}", rest.len());
        fed.join().unwrap();
    }
}

/// What was copied, and what was under way.
async fn give_up<R, W>(mut copying: Copy<R, W>, when: When) -> (usize, usize)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut polls = 0;
    loop {
        let held = shown(&copying, "held");
        let enough = match when {
            When::Polls(n) => polls == n,
            When::Stalled => held != 0,
        };
        if enough {
            let copied = shown(&copying, "copied");
            // In the pipe, if the road is short: it was taken long before.
            if matches!(when, When::Stalled) && held > 16 * KIB {
                assert_ne!(shown(&copying, "spliced"), 0);
            }
            return (copied, held);
        }
        if poll_once(&mut Pin::new(&mut copying)).await.is_ready() {
            return (shown(&copying, "copied"), shown(&copying, "held"));
        }
        polls += 1;
        gambol::yield_now().await;
    }
}

/// A connection that is not known.
struct Plain<S>(S);

impl<S: AsyncRead + Unpin> AsyncRead for Plain<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

#[gambol::test]
async fn a_reset_in_the_middle_is_an_error_on_every_road() {
    for bare in [true, false] {
        for reader_breaks in [true, false] {
            let (source, mut feeder) = pair();
            let (sink, mut theirs) = pair();
            let half = LONG;
            let breaking = thread::spawn(move || {
                if reader_breaks {
                    let collected = collect(theirs);
                    feeder.write_all(&vec![1; half]).unwrap();
                    socket2::SockRef::from(&feeder).set_linger(Some(std::time::Duration::ZERO)).unwrap();
                    drop(feeder);
                    drop(collected.join());
                } else {
                    let mut some = vec![0; half];
                    let fed = thread::spawn(move || while feeder.write(&[1; 100_000]).is_ok_and(|n| n != 0) {});
                    theirs.read_exact(&mut some).unwrap();
                    socket2::SockRef::from(&theirs).set_linger(Some(std::time::Duration::ZERO)).unwrap();
                    drop(theirs);
                    fed.join().unwrap();
                }
            });
            let error = match bare {
                true => copy(source, sink).await.unwrap_err(),
                false => copy(Inverter(source), Inverter(sink)).await.unwrap_err(),
            };
            match reader_breaks {
                true => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
                false => assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)),
            }
            breaking.join().unwrap();
        }
    }
}

#[gambol::test]
async fn an_endless_copy_gives_way_without_a_budget() {
    let (source, mut feeder) = pair();
    let (sink, mut theirs) = pair();
    let feeding = thread::spawn(move || while feeder.write(&[0; 100_000]).is_ok_and(|n| n != 0) {});
    let draining = thread::spawn(move || while theirs.read(&mut [0; 100_000]).is_ok_and(|n| n != 0) {});
    // Polled outside of a task, where the budget has no end: each poll returns all the same.
    thread::scope(|scope| {
        scope.spawn(|| {
            futures::executor::block_on(async {
                let mut copying = pin!(copy(&source, &sink));
                let mut polls = 0;
                poll_fn(|cx| {
                    polls += 1;
                    assert!(copying.as_mut().poll(cx).is_pending());
                    if polls == 20 { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
            });
        });
    });
    drop((source, sink));
    feeding.join().unwrap();
    draining.join().unwrap();
}

#[gambol::test]
async fn a_request_is_answered_while_the_connection_stays_open() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let echo = gambol::spawn(async move {
        let (peer, _) = listener.accept().await.unwrap();
        copy(&peer, &peer).await.unwrap()
    });
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let mut total = 0;
    // Long and short ones in turns: the roads change, and nothing stays behind.
    for size in [1, MIB, 100, 64 * KIB, 3, 2 * MIB + 5, 16 * KIB, 1] {
        let data = content(size);
        let sending = data.clone();
        let sent = gambol::spawn(async move {
            gambol::io::AsyncWriteExt::write_all(&mut writer, &sending).await.unwrap();
            writer
        });
        let mut back = vec![0; size];
        reader.read_exact(&mut back).await.unwrap();
        assert!(back == *data);
        writer = sent.await.unwrap();
        total += size as u64;
    }
    drop(writer);
    assert_eq!(echo.await.unwrap(), total);
}

#[cfg(target_os = "linux")]
#[gambol::test]
async fn what_comes_behind_an_urgent_byte_is_copied() {
    // Splicing stops in front of one, and says that there is nothing, or even that this is the end.
    let data = content(2 * LONG);
    let (source, mut feeder) = pair();
    let (sink, collector) = pair();
    let collected = collect(collector);
    let sending = data.clone();
    let fed = thread::spawn(move || {
        feeder.write_all(&sending[..LONG]).unwrap();
        assert_eq!(rustix::net::send(&feeder, b"!", rustix::net::SendFlags::OOB).unwrap(), 1);
        feeder.write_all(&sending[LONG..]).unwrap();
    });
    assert_eq!(copy(source, sink).await.unwrap(), 2 * LONG as u64);
    assert!(collected.join().unwrap() == *data);
    fed.join().unwrap();
}

#[cfg(target_os = "linux")]
mod alone {
    use super::{
        helpers::{assert_success, in_child, is_child},
        *,
    };
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    /// Descriptors of pipes.
    fn pipes() -> usize {
        let is_pipe = |entry: io::Result<std::fs::DirEntry>| {
            std::fs::read_link(entry.unwrap().path()).is_ok_and(|path| path.to_string_lossy().starts_with("pipe:"))
        };
        std::fs::read_dir("/proc/self/fd").unwrap().map(is_pipe).filter(|&is| is).count()
    }

    #[test]
    fn a_closed_direction_raises_no_signal() {
        if !is_child() {
            return assert_success(&in_child("alone::a_closed_direction_raises_no_signal"));
        }
        // SAFETY: the default action is always allowed, and no handler is set.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        let (source, mut feeder) = pair();
        let (sink, mut theirs) = pair();
        let feeding = thread::spawn(move || while feeder.write(&[0; 100_000]).is_ok_and(|n| n != 0) {});
        let draining = thread::spawn(move || while theirs.read(&mut [0; 100_000]).is_ok_and(|n| n != 0) {});
        gambol::block_on(async {
            let mut copying = pin!(copy(&source, &sink));
            while shown(&copying, "copied") < LONG {
                assert!(poll_once(&mut copying).await.is_pending());
            }
            // No error that comes before it, as after a reset.
            sink.shutdown(Shutdown::Write).unwrap();
            assert_eq!(copying.await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        });
        drop((source, sink));
        feeding.join().unwrap();
        draining.join().unwrap();
    }

    #[test]
    fn without_descriptors_it_copies_all_the_same() {
        if !is_child() {
            return assert_success(&in_child("alone::without_descriptors_it_copies_all_the_same"));
        }
        let data = content(LONG);
        let (source, feeder) = pair();
        let (sink, collector) = pair();
        let fed = feed(feeder, data.clone());
        let collected = collect(collector);
        let limit = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(3), ..limit }).unwrap();
        let (copied, spliced) = gambol::block_on(run(source, sink)).unwrap();
        assert_eq!((copied, spliced), (LONG as u64, 0));
        assert!(collected.join().unwrap() == *data);
        fed.join().unwrap();
    }

    #[test]
    fn connections_that_idle_hold_no_pipes() {
        if !is_child() {
            return assert_success(&in_child("alone::connections_that_idle_hold_no_pipes"));
        }
        const CONNECTIONS: usize = 40;
        let before = pipes();
        gambol::block_on(async {
            let data = content(LONG);
            let mut open = Vec::new();
            for _ in 0..CONNECTIONS {
                let (source, mut feeder) = pair();
                let (sink, mut theirs) = pair();
                let copying = gambol::spawn(async move { run(&source, &sink).await });
                let sending = data.clone();
                let fed = thread::spawn(move || {
                    feeder.write_all(&sending).unwrap();
                    feeder
                });
                let mut arrived = vec![0; LONG];
                theirs.read_exact(&mut arrived).unwrap();
                assert!(arrived == *data);
                open.push((copying, fed.join().unwrap(), theirs));
            }
            // They have nothing more to copy, and wait. Those that are still about to find out hold one at most.
            while pipes() > before + 2 * 16 {
                gambol::yield_now().await;
            }
            for (copying, feeder, theirs) in open {
                drop(feeder);
                let (copied, spliced) = copying.await.unwrap().unwrap();
                assert_eq!(copied, LONG as u64);
                assert!(spliced != 0);
                drop(theirs);
            }
        });
        assert!(pipes() <= before + 2 * 16);
    }

    #[test]
    fn writers_that_are_stuck_do_not_hold_all_pipes_of_the_user() {
        if !is_child() {
            return assert_success(&in_child("alone::writers_that_are_stuck_do_not_hold_all_pipes_of_the_user"));
        }
        const MOST: usize = 128;
        gambol::block_on(async {
            // So that the poller is there, which may have a pipe of its own.
            let mut stuck = vec![gambol::net::UnixStream::pair().unwrap().0];
            let before = pipes();
            for _ in 0..MOST + 20 {
                let (source, feeder) = gambol::net::UnixStream::pair().unwrap();
                let (sink, theirs) = gambol::net::UnixStream::pair().unwrap();
                gambol::spawn(copy(futures_util::io::repeat(0), feeder));
                gambol::spawn(copy(source, sink));
                stuck.push(theirs);
            }
            let all_taken = async {
                while pipes() < before + 2 * MOST {
                    gambol::sleep(gambol::time::Duration::from_millis(5)).await;
                }
            };
            gambol::time::timeout(PATIENCE, all_taken).await.unwrap();
            // What finds none is copied all the same.
            let data = content(LONG);
            let (source, feeder) = pair();
            let (sink, collector) = pair();
            let fed = feed(feeder, data.clone());
            let collected = collect(collector);
            assert_eq!(run(source, sink).await.unwrap().0, LONG as u64);
            assert!(collected.join().unwrap() == *data);
            fed.join().unwrap();
            let held = pipes() - before;
            assert!(held <= 2 * MOST, "{held}");
        });
    }
}
