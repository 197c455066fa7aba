//! smol: async-executor's `StaticExecutor` on n threads, each in async-io's `block_on`, as the `smol` crate runs its
//! global executor; and beside it its plain `Executor`, which is what most programs have, run in the same way.
//!
//! The static flavour keeps no list of its tasks and so does less for each of them than `Executor` does.
//! The calling thread waits with futures-lite's `block_on`, which does not drive the reactor: with async-io's it would
//! take events away from the workers, and one worker would be two.
//!
//! Sockets are `Async<TcpStream>` directly, without async-net's wrapper around it.

use super::{Listener, Runtime, Scheduler, Stream, Tasks};
use async_executor::{Executor, StaticExecutor, Task};
use async_io::{Async, Timer};
use futures_lite::{AsyncReadExt, AsyncWriteExt, future};
use std::io;
use std::marker::PhantomData;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

/// Which of async-executor's executors.
pub trait Flavour: Send + 'static {
    /// Spawns onto the process's one.
    fn spawn<F>(future: F) -> Task<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static;

    /// Runs its tasks, for ever.
    fn run() -> impl Future<Output = ()>;
}

/// `StaticExecutor`.
pub struct Static;

/// `Executor`.
pub struct Plain;

impl Flavour for Static {
    fn spawn<F>(future: F) -> Task<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        STATIC.spawn(future)
    }

    fn run() -> impl Future<Output = ()> {
        STATIC.run(future::pending())
    }
}

impl Flavour for Plain {
    fn spawn<F>(future: F) -> Task<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        PLAIN.spawn(future)
    }

    fn run() -> impl Future<Output = ()> {
        PLAIN.run(future::pending())
    }
}

static STATIC: StaticExecutor = StaticExecutor::new();

static PLAIN: Executor<'static> = Executor::new();

/// The started executor. Its threads live as long as the process.
pub struct Smol<E = Static>(PhantomData<E>);

impl<E: Flavour> Tasks for Smol<E> {
    type Join<T: Send + 'static> = Task<T>;

    fn start(workers: usize) -> Self {
        for index in 0..workers {
            thread::Builder::new()
                .name(format!("smol-{index}"))
                .spawn(|| async_io::block_on(E::run()))
                .expect("a thread starts");
        }
        Smol(PhantomData)
    }

    fn block_on<F: Future>(&self, future: F) -> F::Output {
        future::block_on(future)
    }

    fn spawn_from_outside<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        E::spawn(future)
    }

    fn spawn<F>(future: F) -> Task<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        E::spawn(future)
    }
}

impl<E: Flavour> Scheduler for Smol<E> {
    fn spawn_detached<F>(future: F)
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        E::spawn(future).detach();
    }

    fn yield_now() -> impl Future<Output = ()> + Send {
        future::yield_now()
    }

    fn sleep(duration: Duration) -> impl Future<Output: Send> + Send {
        Timer::after(duration)
    }
}

impl<E: Flavour> Runtime for Smol<E> {
    type Listener = Async<TcpListener>;

    async fn timeout<F>(duration: Duration, future: F) -> Option<F::Output>
    where
        F: Future<Output: Send> + Send,
    {
        let finished = async { Some(future.await) };
        let expired = async {
            Timer::after(duration).await;
            None
        };
        future::or(finished, expired).await
    }
}

impl Listener for Async<TcpListener> {
    type Stream = Async<TcpStream>;

    async fn bind(address: SocketAddr) -> io::Result<Self> {
        Async::<TcpListener>::bind(address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.get_ref().local_addr()
    }

    async fn accept(&self) -> io::Result<Async<TcpStream>> {
        let (stream, _) = Async::<TcpListener>::accept(self).await?;
        stream.get_ref().set_nodelay(true)?;
        Ok(stream)
    }
}

impl Stream for Async<TcpStream> {
    fn read<'a>(&'a mut self, buffer: &'a mut [u8]) -> impl Future<Output = io::Result<usize>> + Send {
        AsyncReadExt::read(self, buffer)
    }

    fn write_all<'a>(&'a mut self, bytes: &'a [u8]) -> impl Future<Output = io::Result<()>> + Send {
        AsyncWriteExt::write_all(self, bytes)
    }
}
