//! Copying: all of it, in order, in time, and whatever the reader and the writer do.

mod helpers;

use futures_util::future::poll_fn;
use gambol::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufWriter, ErrorKind, copy};
use helpers::poll_once;
use std::{
    collections::VecDeque,
    io,
    pin::{Pin, pin},
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

/// What the next call does.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    /// Moves at most so many bytes.
    Move(usize),
    Pending,
    Interrupted,
    Broken,
}

impl Step {
    /// Bytes to move, of `possible`.
    fn act(self, cx: &mut Context<'_>, possible: usize) -> Poll<io::Result<usize>> {
        match self {
            Step::Move(n) => Poll::Ready(Ok(n.min(possible))),
            Step::Pending => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Step::Interrupted => Poll::Ready(Err(ErrorKind::Interrupted.into())),
            Step::Broken => Poll::Ready(Err(ErrorKind::ConnectionReset.into())),
        }
    }
}

/// Gives `data` in the given steps, then the rest, then the end.
struct Reader {
    data: VecDeque<u8>,
    steps: VecDeque<Step>,
}

impl AsyncRead for Reader {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let step = self.steps.pop_front().unwrap_or(Step::Move(usize::MAX));
        let possible = buf.len().min(self.data.len());
        step.act(cx, possible).map_ok(|n| {
            for (place, byte) in buf.iter_mut().zip(self.data.drain(..n)) {
                *place = byte;
            }
            n
        })
    }
}

/// Takes data in the given steps, then all there is. What was flushed is visible.
#[derive(Default)]
struct Writer {
    written: Vec<u8>,
    flushed: usize,
    closed: bool,
    steps: VecDeque<Step>,
}

impl AsyncWrite for Writer {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let step = self.steps.pop_front().unwrap_or(Step::Move(usize::MAX));
        step.act(cx, buf.len()).map_ok(|n| {
            self.written.extend_from_slice(&buf[..n]);
            n
        })
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.steps.pop_front() {
            Some(step @ (Step::Pending | Step::Interrupted)) => step.act(cx, 0).map_ok(drop),
            _ => {
                self.flushed = self.written.len();
                Poll::Ready(Ok(()))
            }
        }
    }

    fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.closed = true;
        Poll::Ready(Ok(()))
    }
}

#[gambol::test]
async fn everything_arrives_whatever_the_steps() {
    const STEPS: [Step; 4] = [Step::Move(1), Step::Move(7000), Step::Pending, Step::Interrupted];
    let data: Vec<u8> = (0..40_000u32).map(|n| (n % 253) as u8).collect();
    // All triples of steps on either side.
    for triple in 0..STEPS.len().pow(3) {
        let steps = |n: usize| [n, n / 4, n / 16].map(|n| STEPS[n % 4]);
        for other in [triple, STEPS.len().pow(3) - 1 - triple] {
            let mut reader = Reader { data: data.clone().into(), steps: steps(triple).into() };
            let mut writer = Writer { steps: steps(other).into(), ..Writer::default() };
            let copied = copy(&mut reader, &mut writer).await.unwrap();
            assert_eq!(copied, data.len() as u64);
            assert!(writer.written == data, "{:?} {:?}", steps(triple), steps(other));
            assert_eq!(writer.flushed, data.len());
            assert!(!writer.closed);
        }
    }
}

#[gambol::test]
async fn an_empty_reader_is_copied_too() {
    let mut writer = Writer::default();
    assert_eq!(copy(&[][..], &mut writer).await.unwrap(), 0);
}

#[gambol::test]
async fn what_has_come_is_flushed_while_the_reader_waits() {
    let shared = Arc::new(Mutex::new(Writer::default()));
    struct Shared(Arc<Mutex<Writer>>);
    impl AsyncWrite for Shared {
        fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            Pin::new(&mut *self.0.lock().unwrap()).poll_write(cx, buf)
        }
        fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut *self.0.lock().unwrap()).poll_flush(cx)
        }
        fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut *self.0.lock().unwrap()).poll_close(cx)
        }
    }
    let reader = Reader { data: b"prompt: ".to_vec().into(), steps: [Step::Move(8), Step::Pending].into() };
    let mut future = pin!(copy(reader, BufWriter::new(Shared(shared.clone()))));
    assert!(poll_once(&mut future).await.is_pending());
    assert_eq!(shared.lock().unwrap().written, b"prompt: ");
    assert_eq!(shared.lock().unwrap().flushed, 8);
    assert_eq!(future.await.unwrap(), 8);
}

#[gambol::test]
async fn errors_of_either_side_are_given() {
    let reader = |steps: &[Step]| Reader { data: vec![0; 10].into(), steps: steps.to_vec().into() };
    let mut writer = Writer::default();
    let error = copy(reader(&[Step::Move(5), Step::Broken]), &mut writer).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(writer.written.len(), 5);
    let writer = Writer { steps: [Step::Broken].into(), ..Writer::default() };
    assert_eq!(copy(reader(&[]), writer).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    let writer = Writer { steps: [Step::Move(0)].into(), ..Writer::default() };
    assert_eq!(copy(reader(&[]), writer).await.unwrap_err().kind(), ErrorKind::WriteZero);
}

#[gambol::test]
async fn a_copy_without_end_lets_the_others_run() {
    struct Zeroes;
    impl AsyncRead for Zeroes {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
            buf.fill(0);
            Poll::Ready(Ok(buf.len()))
        }
    }
    struct Nothing;
    impl AsyncWrite for Nothing {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(buf.len()))
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }
    let mut future = pin!(copy(Zeroes, Nothing));
    // It returns, although both are always ready.
    assert!(poll_once(&mut future).await.is_pending());
    let mut turns = 0;
    poll_fn(|cx| {
        turns += 1;
        if turns == 3 { Poll::Ready(()) } else { future.as_mut().poll(cx).map(drop) }
    })
    .await;
}

#[gambol::test]
async fn a_socket_is_copied_to_itself() {
    let listener = gambol::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let echo = gambol::spawn(async move {
        let (peer, _) = listener.accept().await.unwrap();
        copy(&peer, &peer).await.unwrap()
    });
    let mut client = gambol::net::TcpStream::connect(address).await.unwrap();
    client.write_all(b"all of it").await.unwrap();
    client.close().await.unwrap();
    let mut back = Vec::new();
    copy(&client, &mut back).await.unwrap();
    assert_eq!(back, b"all of it");
    assert_eq!(echo.await.unwrap(), 9);
}
