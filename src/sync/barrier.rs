//! A place where tasks wait for each other. One lock guards the count and the line.

use super::waiters::{Found, Place, Waiters};
use gambol_executor::{Reason, block_on, discard, park, spend, wake};
use std::{
    fmt,
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

/// Lets tasks go on when `n` of them have arrived, `n` at a time.
///
/// ```
/// use gambol::sync::Barrier;
/// use std::sync::Arc;
///
/// # gambol::block_on(async {
/// let barrier = Arc::new(Barrier::new(3));
/// let tasks: Vec<_> = (0..3)
///     .map(|_| {
///         let barrier = barrier.clone();
///         gambol::spawn(async move { barrier.wait().await.is_leader() })
///     })
///     .collect();
/// let mut leaders = 0;
/// for task in tasks {
///     leaders += usize::from(task.await.unwrap());
/// }
/// assert_eq!(leaders, 1);
/// # });
/// ```
#[derive(Debug)]
pub struct Barrier {
    n: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Those in line.
    arrived: usize,
    line: Waiters,
}

impl Barrier {
    /// For `n` tasks; 0 is as 1: nobody waits.
    pub const fn new(n: usize) -> Barrier {
        Barrier { n, state: Mutex::new(State { arrived: 0, line: Waiters::new() }) }
    }

    /// Waits until `n` have arrived, this one among them. It arrives at its first poll.
    ///
    /// After that the barrier is as new.
    ///
    /// # Cancel safety
    ///
    /// Who gives up before all are there has not arrived.
    pub fn wait(&self) -> BarrierWait<'_> {
        BarrierWait { barrier: self, place: None }
    }

    /// As [`wait`](Self::wait), for a thread: it blocks.
    pub fn wait_blocking(&self) -> BarrierWaitResult {
        block_on(self.wait())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells one of those who waited from the others; see [`Barrier::wait`].
#[derive(Debug, Clone)]
pub struct BarrierWaitResult {
    is_leader: bool,
}

impl BarrierWaitResult {
    /// True for one of the `n`: the one that came last.
    pub fn is_leader(&self) -> bool {
        self.is_leader
    }
}

/// Completes when all have arrived; see [`Barrier::wait`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct BarrierWait<'a> {
    barrier: &'a Barrier,
    place: Option<Place>,
}

impl BarrierWait<'_> {
    fn poll_line(&mut self, cx: &mut Context<'_>) -> Poll<BarrierWaitResult> {
        // Cloned before the lock is taken, and what is not needed is dropped after it.
        let waker = cx.waker().clone();
        let mut state = self.barrier.lock();
        let (is_leader, unneeded, called) = match self.place.take() {
            Some(place) => match state.line.look(&place, waker) {
                Found::InLine(other) => {
                    self.place = Some(place);
                    (None, Some(other), Vec::new())
                }
                Found::Called(waker, _) => (Some(false), Some(waker), Vec::new()),
            },
            None if state.arrived + 1 >= self.barrier.n => {
                state.arrived = 0;
                (Some(true), Some(waker), state.line.call_all())
            }
            None => {
                state.arrived += 1;
                self.place = Some(state.line.push(waker));
                (None, None, Vec::new())
            }
        };
        drop(state);
        called.into_iter().for_each(wake);
        discard(unneeded);
        is_leader.map_or(Poll::Pending, |is_leader| Poll::Ready(BarrierWaitResult { is_leader }))
    }
}

impl Future for BarrierWait<'_> {
    type Output = BarrierWaitResult;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<BarrierWaitResult> {
        let spent = ready!(spend(cx));
        if let Poll::Ready(result) = self.poll_line(cx) {
            return Poll::Ready(result);
        }
        spent.refund();
        park(Reason::Lock);
        Poll::Pending
    }
}

impl Drop for BarrierWait<'_> {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            let mut state = self.barrier.lock();
            let removed = state.line.remove(place);
            if removed.is_ok() {
                state.arrived -= 1;
            }
            drop(state);
            discard(removed);
        }
    }
}

impl fmt::Debug for BarrierWait<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BarrierWait").field("arrived", &self.place.is_some()).finish_non_exhaustive()
    }
}
