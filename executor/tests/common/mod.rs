//! What several test files share: a limit on how long a promise may take to be kept, and small futures.
#![allow(dead_code, reason = "each test file uses its own part of this")]

use gambol_executor::{Direction, Done, Io, Reason, Runtime};
use std::{
    future::{Future, poll_fn},
    io::{self, Read},
    net::{TcpListener, TcpStream},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

/// Longer than anything here takes on a loaded machine with sanitizers on; what takes longer hangs.
pub const LIMIT: Duration = Duration::from_secs(if cfg!(debug_assertions) { 90 } else { 30 });

/// Runs `f` on a thread of its own and panics if it does not end in time.
pub fn ends<T: Send + 'static>(what: &str, f: impl FnOnce() -> T + Send + 'static) -> T {
    ends_within(LIMIT, what, f)
}

/// As [`ends`], with a limit of its own.
pub fn ends_within<T: Send + 'static>(limit: Duration, what: &str, f: impl FnOnce() -> T + Send + 'static) -> T {
    let (tx, rx) = mpsc::channel();
    let thread = thread::Builder::new().name(format!("test: {what}")).spawn(move || {
        let _ = tx.send(f());
    });
    let thread = thread.expect("a thread for a test");
    match rx.recv_timeout(limit) {
        Ok(value) => {
            thread.join().expect("it has sent its result");
            value
        }
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("{what}: does not end within {limit:?}"),
        Err(mpsc::RecvTimeoutError::Disconnected) => match thread.join() {
            Err(payload) => std::panic::resume_unwind(payload),
            Ok(()) => unreachable!("it sends before it ends"),
        },
    }
}

/// A runtime with so many workers and places for many more.
pub fn runtime(workers: usize) -> Runtime {
    Runtime::builder().workers(workers).build().expect("a runtime")
}

/// A runtime that cannot add workers, and does not try to: nobody steps out on behalf of one that is stuck.
pub fn capped(workers: usize) -> Runtime {
    let builder = Runtime::builder().workers(workers).max_workers(workers);
    builder.stall_threshold(std::time::Duration::MAX).build().expect("a runtime")
}

/// A loopback connection: the current runtime's end, and a plain one.
pub fn pair() -> (Io<TcpStream>, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    ours.set_nonblocking(true).unwrap();
    (Io::new(ours).unwrap(), listener.accept().unwrap().0)
}

/// Waits for a byte: 1, or 0 at the end.
pub async fn read(io: &Io<TcpStream>) -> io::Result<usize> {
    poll_fn(|cx| {
        io.poll_io(cx, Direction::Read, Reason::Read, |mut socket: &TcpStream| {
            socket.read(&mut [0]).map(|value| Done { value, short: false })
        })
    })
    .await
}

/// Pending once, after it has woken itself.
#[derive(Default)]
pub struct Yield(bool);

impl Future for Yield {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

pub fn yield_now() -> Yield {
    Yield::default()
}

/// An event that happens once, on any thread, and is awaited once.
pub fn event() -> (Signal, Event) {
    let happened = Arc::new(AtomicBool::new(false));
    let (tx, rx) = futures::channel::oneshot::channel();
    (Signal(tx, happened), Event(rx))
}

/// See [`event`].
pub struct Signal(futures::channel::oneshot::Sender<()>, Arc<AtomicBool>);

impl Signal {
    pub fn send(self) {
        self.1.store(true, Ordering::SeqCst);
        let _ = self.0.send(());
    }
}

/// See [`event`].
pub struct Event(futures::channel::oneshot::Receiver<()>);

impl Future for Event {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx).map(|_| ())
    }
}

/// Hands its first waker out, and completes when it is polled again.
pub struct TakeWaker(pub Option<mpsc::Sender<Waker>>);

impl Future for TakeWaker {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.0.take() {
            Some(tx) => {
                let _ = tx.send(cx.waker().clone());
                Poll::Pending
            }
            None => Poll::Ready(()),
        }
    }
}
