//! tokio: the multi-thread runtime, with I/O and time enabled and all else as it comes.
//!
//! Workloads run in a spawned task: a future in `block_on` runs on the calling thread, outside of the scheduler, where
//! spawns and wakes take the slow road. Nobody who measures would do that.

use super::{Listener, Runtime, Scheduler, Stream, Tasks};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The runtime; dropping it stops it.
pub struct Tokio(tokio::runtime::Runtime);

/// A `JoinHandle` whose task must not fail.
pub struct Join<T>(JoinHandle<T>);

impl<T> Future for Join<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        Pin::new(&mut self.0).poll(cx).map(|result| result.expect("a measured task neither panics nor is aborted"))
    }
}

impl Tasks for Tokio {
    type Join<T: Send + 'static> = Join<T>;

    fn start(workers: usize) -> Self {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(workers).enable_io().enable_time();
        Tokio(builder.build().expect("tokio starts"))
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
        Join(tokio::spawn(future))
    }
}

impl Scheduler for Tokio {
    fn spawn_detached<F>(future: F)
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        drop(tokio::spawn(future));
    }

    fn yield_now() -> impl Future<Output = ()> + Send {
        tokio::task::yield_now()
    }

    fn sleep(duration: Duration) -> impl Future<Output: Send> + Send {
        tokio::time::sleep(duration)
    }
}

impl Runtime for Tokio {
    type Listener = TcpListener;

    async fn timeout<F>(duration: Duration, future: F) -> Option<F::Output>
    where
        F: Future<Output: Send> + Send,
    {
        tokio::time::timeout(duration, future).await.ok()
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
