//! gambol: a runtime of its own with n workers and all else as it comes, but for the watch over stalls, which may be off.
//!
//! Workloads run in a spawned task, as for the others: a future in `block_on` is polled on the calling thread.

use super::{Listener, Runtime, Scheduler, Stream, Tasks};
use futures::io::{AsyncReadExt, AsyncWriteExt};
use gambol::net::{TcpListener, TcpStream};
use gambol::task::JoinHandle;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// The runtime; dropping it cancels its tasks and joins its workers. `WATCHED`: stalls are looked for, as by default.
pub struct Gambol<const WATCHED: bool = true>(gambol::runtime::Runtime);

/// A `JoinHandle` whose task must not fail.
pub struct Join<T>(JoinHandle<T>);

impl<T: Send + 'static> Future for Join<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        Pin::new(&mut self.0).poll(cx).map(|result| result.expect("a measured task neither panics nor is aborted"))
    }
}

impl<const WATCHED: bool> Tasks for Gambol<WATCHED> {
    type Join<T: Send + 'static> = Join<T>;

    fn start(workers: usize) -> Self {
        let mut builder = gambol::runtime::Runtime::builder().workers(workers);
        if !WATCHED {
            builder = builder.stall_threshold(Duration::MAX);
        }
        Gambol(builder.build().expect("gambol starts"))
    }

    fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.0.block_on(future)
    }

    fn spawn_from_outside<F>(&self, future: F) -> Join<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        Join(self.0.spawn(future))
    }

    fn spawn<F>(future: F) -> Join<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        Join(gambol::spawn(future))
    }
}

impl<const WATCHED: bool> Scheduler for Gambol<WATCHED> {
    fn spawn_detached<F>(future: F)
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        drop(gambol::spawn(future));
    }

    fn yield_now() -> impl Future<Output = ()> + Send {
        gambol::yield_now()
    }

    fn sleep(duration: Duration) -> impl Future<Output: Send> + Send {
        gambol::time::sleep(duration)
    }
}

impl<const WATCHED: bool> Runtime for Gambol<WATCHED> {
    type Listener = TcpListener;

    async fn timeout<F>(duration: Duration, future: F) -> Option<F::Output>
    where
        F: Future<Output: Send> + Send,
    {
        gambol::time::timeout(duration, future).await.ok()
    }
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn bind(address: SocketAddr) -> io::Result<Self> {
        TcpListener::bind(address).await
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        TcpListener::local_addr(self)
    }

    async fn accept(&self) -> io::Result<TcpStream> {
        let (stream, _) = TcpListener::accept(self).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

impl Stream for TcpStream {
    fn read<'a>(&'a mut self, buffer: &'a mut [u8]) -> impl Future<Output = io::Result<usize>> + Send {
        AsyncReadExt::read(self, buffer)
    }

    fn write_all<'a>(&'a mut self, bytes: &'a [u8]) -> impl Future<Output = io::Result<()>> + Send {
        AsyncWriteExt::write_all(self, bytes)
    }
}
