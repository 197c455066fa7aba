//! Streams in memory, as a pair and one way: ends, cancels, wake-ups, and the same as a naive one does.

mod helpers;

use futures_util::future::join_all;
use gambol::{
    io::{
        AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ErrorKind, IoSlice, IoSliceMut, duplex,
        simplex,
    },
    time::timeout,
};
use helpers::{PATIENCE, at_most, poll_once};
use std::{
    collections::VecDeque,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread,
};

/// Bytes that no shift or loss leaves unnoticed.
fn pattern(length: usize) -> Vec<u8> {
    (0..length as u32).map(|n| (n % 251) as u8).collect()
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("it did not come")
}

#[gambol::test]
async fn what_is_written_is_read_whatever_the_buffer() {
    for capacity in [1, 2, 3, 64, 1000, 1 << 20] {
        let (ours, mut theirs) = duplex(capacity);
        let sent = pattern(if capacity < 64 { 1000 } else { 20_000 });
        let echoing = gambol::spawn(async move {
            gambol::io::copy(&theirs, &theirs).await.unwrap();
            theirs.close().await.unwrap();
        });
        let ours = Arc::new(ours);
        let writing = gambol::spawn({
            let (ours, sent) = (ours.clone(), sent.clone());
            async move {
                (&*ours).write_all(&sent).await.unwrap();
                (&*ours).close().await.unwrap();
            }
        });
        let mut received = Vec::new();
        soon((&*ours).read_to_end(&mut received)).await.unwrap();
        assert!(received == sent, "{capacity}");
        writing.await.unwrap();
        echoing.await.unwrap();
    }
}

#[derive(Clone, Copy, Debug)]
enum End {
    Close,
    CloseAndDrop,
    Drop,
    DropWriter,
}

impl End {
    const ALL: [End; 4] = [End::Close, End::CloseAndDrop, End::Drop, End::DropWriter];

    /// Gives back what is to be kept.
    async fn end(self, mut stream: DuplexStream) -> Option<Box<dyn Send>> {
        match self {
            End::Close => {
                stream.close().await.unwrap();
                assert_eq!(stream.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
                // Once more is no error.
                stream.close().await.unwrap();
                Some(Box::new(stream))
            }
            End::CloseAndDrop => {
                stream.close().await.unwrap();
                None
            }
            End::Drop => None,
            End::DropWriter => Some(Box::new(stream.into_split().0)),
        }
    }
}

#[gambol::test]
async fn an_end_is_read_after_all_that_was_written() {
    for end in End::ALL {
        for held in [0, 1, 8] {
            for waits_first in [false, true] {
                let (mut ours, mut theirs) = duplex(8);
                let what = format!("{end:?} {held} {waits_first}");
                let mut first = [0; 1];
                let mut read = pin!(ours.read(&mut first));
                if waits_first {
                    assert!(poll_once(&mut read).await.is_pending(), "{what}");
                }
                theirs.write_all(&vec![b'x'; held]).await.unwrap();
                let kept = end.end(theirs).await;
                assert_eq!(soon(read).await.unwrap(), held.min(1), "{what}");
                let mut rest = Vec::new();
                soon(ours.read_to_end(&mut rest)).await.unwrap();
                assert_eq!(rest.len(), held.saturating_sub(1), "{what}");
                assert_eq!(ours.read(&mut first).await.unwrap(), 0, "{what}");
                // The other direction is not concerned, as long as somebody can read it.
                let written = ours.write(b"x").await;
                match kept {
                    Some(_) => assert_eq!(written.unwrap(), 1, "{what}"),
                    None => assert_eq!(written.unwrap_err().kind(), ErrorKind::BrokenPipe, "{what}"),
                }
            }
        }
    }
}

#[gambol::test]
async fn a_write_that_nobody_will_read_is_a_broken_pipe() {
    for waits_first in [false, true] {
        for whole in [false, true] {
            let (mut ours, theirs) = duplex(4);
            let mut write = pin!(ours.write_all(b"more than four"));
            if waits_first {
                assert!(poll_once(&mut write).await.is_pending());
            }
            let kept = match whole {
                true => {
                    drop(theirs);
                    None
                }
                false => Some(theirs.into_split().1),
            };
            assert_eq!(soon(write).await.unwrap_err().kind(), ErrorKind::BrokenPipe);
            assert_eq!(ours.write(b"").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
            drop(kept);
        }
    }
}

#[gambol::test]
async fn a_close_ends_the_writes_that_wait() {
    let (ours, _theirs) = duplex(1);
    (&ours).write_all(b"x").await.unwrap();
    let mut writer = &ours;
    let mut write = pin!(writer.write(b"y"));
    assert!(poll_once(&mut write).await.is_pending());
    (&ours).close().await.unwrap();
    assert_eq!(soon(write).await.unwrap_err().kind(), ErrorKind::BrokenPipe);
}

#[derive(Clone, Copy, Debug)]
enum Wait {
    Read,
    ReadVectored,
    Write,
    WriteVectored,
}

#[derive(Clone, Copy, Debug)]
enum Then {
    Again,
    AgainElsewhere,
    PeerGone,
    Dropped,
}

#[gambol::test]
async fn who_gives_up_has_moved_nothing_and_delays_nobody() {
    for wait in [Wait::Read, Wait::ReadVectored, Wait::Write, Wait::WriteVectored] {
        for polls in 0..4 {
            for then in [Then::Again, Then::AgainElsewhere, Then::PeerGone, Then::Dropped] {
                let what = format!("{wait:?} {polls} {then:?}");
                let (mut ours, mut theirs) = duplex(4);
                let reads = matches!(wait, Wait::Read | Wait::ReadVectored);
                if !reads {
                    ours.write_all(b"full").await.unwrap();
                }
                async fn once(wait: Wait, mut ours: DuplexStream) -> (std::io::Result<usize>, DuplexStream) {
                    let (mut a, mut b) = ([0; 1], [0; 3]);
                    let result = match wait {
                        Wait::Read => ours.read(&mut b).await,
                        Wait::ReadVectored => {
                            ours.read_vectored(&mut [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)]).await
                        }
                        Wait::Write => ours.write(b"new").await,
                        Wait::WriteVectored => ours.write_vectored(&[IoSlice::new(b"n"), IoSlice::new(b"ew")]).await,
                    };
                    (result, ours)
                }
                {
                    let mut borrowed = &ours;
                    let mut buf = [0; 3];
                    if reads {
                        let mut read = pin!(borrowed.read(&mut buf));
                        for _ in 0..polls {
                            assert!(poll_once(&mut read).await.is_pending(), "{what}");
                        }
                    } else {
                        let mut write = pin!(borrowed.write(b"new"));
                        for _ in 0..polls {
                            assert!(poll_once(&mut write).await.is_pending(), "{what}");
                        }
                    }
                }
                let serve = async |theirs: &mut DuplexStream| {
                    if reads {
                        theirs.write_all(b"new").await.unwrap();
                    } else {
                        let mut full = [0; 4];
                        theirs.read_exact(&mut full).await.unwrap();
                        assert_eq!(&full, b"full", "{what}");
                    }
                };
                match then {
                    Then::Again | Then::AgainElsewhere => {
                        let again = once(wait, ours);
                        let (result, ours) = if matches!(then, Then::Again) {
                            let mut again = pin!(again);
                            assert!(poll_once(&mut again).await.is_pending(), "{what}");
                            serve(&mut theirs).await;
                            soon(again).await
                        } else {
                            let again = gambol::spawn(again);
                            gambol::yield_now().await;
                            serve(&mut theirs).await;
                            soon(again).await.unwrap()
                        };
                        assert_eq!(result.unwrap(), 3, "{what}");
                        drop(ours);
                        let mut rest = String::new();
                        soon(theirs.read_to_string(&mut rest)).await.unwrap();
                        assert_eq!(rest, if reads { "" } else { "new" }, "{what}");
                    }
                    Then::PeerGone => {
                        drop(theirs);
                        match soon(once(wait, ours)).await.0 {
                            Ok(n) => assert_eq!((n, reads), (0, true), "{what}"),
                            Err(error) => assert_eq!((error.kind(), reads), (ErrorKind::BrokenPipe, false), "{what}"),
                        }
                    }
                    Then::Dropped => {
                        drop(ours);
                        let mut rest = String::new();
                        soon(theirs.read_to_string(&mut rest)).await.unwrap();
                        assert_eq!(rest, if reads { "" } else { "full" }, "{what}");
                    }
                }
            }
        }
    }
}

/// Counts.
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn every_task_that_waits_is_woken_once() {
    let (reader, writer) = simplex(1);
    let bells: Vec<_> = (0..5).map(|_| Arc::new(Bell(AtomicUsize::new(0)))).collect();
    let wakers: Vec<_> = bells.iter().cloned().map(Waker::from).collect();
    let rung = || bells.iter().map(|bell| bell.0.load(Ordering::Relaxed)).collect::<Vec<_>>();
    let read = |who: usize| {
        let mut buf = [0];
        Pin::new(&mut &reader).poll_read(&mut Context::from_waker(&wakers[who]), &mut buf)
    };
    let write = |who: usize| Pin::new(&mut &writer).poll_write(&mut Context::from_waker(&wakers[who]), b"xy");
    for who in [0, 1, 2, 1, 0] {
        assert!(read(who).is_pending());
    }
    assert!(matches!(write(3), Poll::Ready(Ok(1))));
    assert_eq!(rung(), [1, 1, 1, 0, 0]);
    for who in [3, 4, 3] {
        assert!(write(who).is_pending());
    }
    assert!(matches!(read(2), Poll::Ready(Ok(1))));
    assert_eq!(rung(), [1, 1, 1, 1, 1]);
    // Nobody waits any more.
    assert!(matches!(write(3), Poll::Ready(Ok(1))));
    assert!(matches!(read(2), Poll::Ready(Ok(1))));
    assert_eq!(rung(), [1, 1, 1, 1, 1]);
    assert!(read(0).is_pending());
    drop(writer);
    assert_eq!(rung(), [2, 1, 1, 1, 1]);
    // An end of either side wakes the writers too.
    for reader_goes in [false, true] {
        let bell = Arc::new(Bell(AtomicUsize::new(0)));
        let waker = Waker::from(bell.clone());
        let mut cx = Context::from_waker(&waker);
        let (reader, mut writer) = simplex(1);
        let write = |cx: &mut Context<'_>| Pin::new(&mut &writer).poll_write(cx, b"x");
        assert!(write(&mut cx).is_ready() && write(&mut cx).is_pending());
        match reader_goes {
            true => drop(reader),
            false => assert!(Pin::new(&mut writer).poll_close(&mut cx).is_ready()),
        }
        assert_eq!(bell.0.load(Ordering::Relaxed), 1, "{reader_goes}");
    }
}

#[gambol::test]
async fn nothing_to_move_is_no_reason_to_wait() {
    let (mut ours, mut theirs) = duplex(1);
    assert_eq!(ours.read(&mut []).await.unwrap(), 0);
    assert_eq!(ours.read_vectored(&mut [IoSliceMut::new(&mut [])]).await.unwrap(), 0);
    theirs.write_all(b"x").await.unwrap();
    assert_eq!(theirs.write(b"").await.unwrap(), 0);
    assert_eq!(theirs.write_vectored(&[]).await.unwrap(), 0);
    theirs.flush().await.unwrap();
}

#[gambol::test]
async fn rows_of_buffers_are_filled_in_order() {
    let (mut ours, mut theirs) = duplex(6);
    let row = [IoSlice::new(b"abc"), IoSlice::new(b""), IoSlice::new(b"defg")];
    // The ring is entered in its middle too.
    for _ in 0..5 {
        assert_eq!(theirs.write_vectored(&row).await.unwrap(), 6);
        let (mut a, mut b) = ([0; 4], [0; 9]);
        assert_eq!(ours.read_vectored(&mut [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)]).await.unwrap(), 6);
        assert_eq!((&a, &b[..2]), (b"abcd", &b"ef"[..]));
    }
}

#[test]
#[should_panic = "give it at least one byte"]
fn a_stream_without_a_buffer_is_refused() {
    duplex(0);
}

#[gambol::test(workers = 1)]
async fn one_that_is_always_ready_leaves_a_turn_to_others() {
    let stop = Arc::new(AtomicBool::new(false));
    let spinning = gambol::spawn({
        let stop = stop.clone();
        async move {
            let (mut ours, mut theirs) = duplex(8);
            while !stop.load(Ordering::Relaxed) {
                ours.write_all(b"x").await.unwrap();
                theirs.read_exact(&mut [0]).await.unwrap();
            }
        }
    });
    gambol::spawn(async move { stop.store(true, Ordering::Relaxed) }).await.unwrap();
    soon(spinning).await.unwrap();
}

#[gambol::test]
async fn a_reader_that_never_reads_holds_up_its_writer_alone() {
    let (mut ours, mut theirs) = duplex(100);
    let mut write = pin!(async { ours.write_all(&[0; 1000]).await });
    for _ in 0..10 {
        assert!(at_most(1, &mut write).await.is_none());
    }
    theirs.write_all(b"the other way").await.unwrap();
    assert!(at_most(1, &mut write).await.is_none());
    drop(theirs);
    assert_eq!(soon(write).await.unwrap_err().kind(), ErrorKind::BrokenPipe);
}

/// Every operation polled once, beside a queue that is obviously right.
#[test]
fn it_does_what_a_naive_one_does() {
    let mut seed = 1u64;
    let mut random = move |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let cx = &mut Context::from_waker(Waker::noop());
    for _ in 0..300 {
        let capacity = 1 + random(20) as usize;
        let (mut reader, mut writer) = simplex(capacity);
        let (mut naive, mut closed, mut next) = (VecDeque::<u8>::new(), false, 0u8);
        for _ in 0..200 {
            let n = random(25) as usize;
            match random(100) {
                0 => {
                    assert!(Pin::new(&mut writer).poll_close(cx).is_ready());
                    closed = true;
                }
                1..50 => {
                    let mut buf = vec![0; n];
                    match Pin::new(&mut reader).poll_read(cx, &mut buf) {
                        Poll::Pending => assert!(naive.is_empty() && !closed && n != 0),
                        Poll::Ready(result) => {
                            let moved = result.unwrap();
                            assert_eq!(moved, n.min(naive.len()));
                            assert!(naive.drain(..moved).eq(buf[..moved].iter().copied()));
                            assert!(moved != 0 || n == 0 || closed);
                        }
                    }
                }
                _ => {
                    let bytes: Vec<u8> = (0..n).map(|i| next.wrapping_add(i as u8)).collect();
                    match Pin::new(&mut writer).poll_write(cx, &bytes) {
                        Poll::Pending => assert!(naive.len() == capacity && !closed && n != 0),
                        Poll::Ready(Err(error)) => assert_eq!((error.kind(), closed), (ErrorKind::BrokenPipe, true)),
                        Poll::Ready(Ok(moved)) => {
                            assert!(!closed);
                            assert_eq!(moved, n.min(capacity - naive.len()));
                            naive.extend(&bytes[..moved]);
                            next = next.wrapping_add(moved as u8);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn between_threads_no_wake_up_is_lost() {
    for capacity in [1, 7] {
        let (ours, theirs) = duplex(capacity);
        let echo = thread::spawn(move || {
            futures::executor::block_on(async { gambol::io::copy(&theirs, &theirs).await.unwrap() })
        });
        gambol::block_on(async {
            let ours = Arc::new(ours);
            let writers = (0..3).map(|_| {
                let ours = ours.clone();
                gambol::spawn(async move { (&*ours).write_all(&[b'#'; 3000]).await.unwrap() })
            });
            let readers = (0..3).map(|_| {
                let ours = ours.clone();
                gambol::spawn(async move { (&*ours).read_exact(&mut [0; 3000]).await.unwrap() })
            });
            for ended in soon(join_all(writers.chain(readers).collect::<Vec<_>>())).await {
                ended.unwrap();
            }
        });
        assert_eq!(echo.join().unwrap(), 9000);
    }
}
