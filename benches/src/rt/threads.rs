//! Plain threads: a task is a thread of its own, and what is awaited in it blocks the thread.
//!
//! For channels that know nothing of futures. The kernel schedules the threads, so the number of workers does not limit
//! them; instead the process is bound to as many processors. A stack is as small as the workloads allow, since the prime
//! sieve has a thousand of them.

use super::Tasks;
use futures_lite::future;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread::{self, JoinHandle};

/// Bytes of a task's stack.
const STACK: usize = 64 << 10;

/// The binding to the processors, which every thread inherits that is started later.
pub struct Threads(());

/// A thread that is joined at the first poll, which blocks.
pub struct Join<T>(Option<JoinHandle<T>>);

impl<T> Future for Join<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<T> {
        let thread = self.0.take().expect("a task is joined once");
        Poll::Ready(thread.join().expect("a measured task does not panic"))
    }
}

impl Tasks for Threads {
    type Join<T: Send + 'static> = Join<T>;

    fn start(workers: usize) -> Self {
        let allowed = sched_getaffinity(None).expect("a process may ask where it may run");
        let mut chosen = CpuSet::new();
        for processor in (0..CpuSet::MAX_CPU).filter(|&processor| allowed.is_set(processor)).take(workers) {
            chosen.set(processor);
        }
        sched_setaffinity(None, &chosen).expect("a process may choose among the processors that it has");
        Threads(())
    }

    fn block_on<F: Future>(&self, future: F) -> F::Output {
        future::block_on(future)
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
        let thread = thread::Builder::new().stack_size(STACK).spawn(|| future::block_on(future));
        Join(Some(thread.expect("a thread starts")))
    }
}
