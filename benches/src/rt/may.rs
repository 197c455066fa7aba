//! may: stackful coroutines. Its API blocks the coroutine, and it knows no futures.
//!
//! So a task is a coroutine that polls its future once: what is awaited in it blocks the coroutine until it is there, and the future
//! is ready when it returns. The workloads are the others', and no waker is ever needed. What asks for one, a cell with a
//! waker or a timeout around any future, is not measured here.
//!
//! A stack is as large as that of plain threads, and so many are kept that no workload has to map new ones. Workers are bound to
//! processors, as they are by default. Its channels are in [`chan`](crate::chan).

use super::{Scheduler, Tasks};
use may::coroutine::{self, JoinHandle};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Words of a coroutine's stack: 64 KiB.
const STACK: usize = 0x2000;

/// Stacks that are kept: more than any workload here has coroutines at a time.
const POOL: usize = 10_000;

/// The started scheduler. Its threads live as long as the process.
pub struct May(());

/// A coroutine that is joined at the first poll, which blocks.
pub struct Join<T>(Option<JoinHandle<T>>);

impl<T> Future for Join<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<T> {
        let coroutine = self.0.take().expect("a task is joined once");
        Poll::Ready(coroutine.join().expect("a measured task does not panic"))
    }
}

impl Tasks for May {
    type Join<T: Send + 'static> = Join<T>;

    fn start(workers: usize) -> Self {
        may::config().set_workers(workers).set_stack_size(STACK).set_pool_capacity(POOL);
        May(())
    }

    fn block_on<F: Future>(&self, future: F) -> F::Output {
        finish(future)
    }

    fn spawn_from_outside<F>(&self, future: F) -> Join<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        Self::spawn(future)
    }

    fn spawn<F>(future: F) -> Join<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        // SAFETY: it asks that nothing of a thread's own is held where the coroutine may change threads, and that the stack
        // suffices. The workloads that this peer has use no thread-locals across an await, and what they call between two
        // awaits (std's channels, clocks and allocator) keeps none either. They do not recurse on the stack nor
        // hold large arrays there, and a guard page ends the process should they overrun it.
        Join(Some(unsafe { coroutine::spawn(move || finish(future)) }))
    }
}

impl Scheduler for May {
    fn spawn_detached<F>(future: F)
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        drop(Self::spawn(future));
    }

    async fn yield_now() {
        coroutine::yield_now();
    }

    fn sleep(duration: Duration) -> impl Future<Output: Send> + Send {
        async move { coroutine::sleep(duration) }
    }
}

/// Polls a future that is ready when it returns.
fn finish<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("what is awaited in a coroutine must block it"),
    }
}
