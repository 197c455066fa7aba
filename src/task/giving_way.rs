//! Giving way to other tasks, always or when it is time.

use gambol_executor::spend;
use std::{
    pin::Pin,
    task::{Context, Poll},
};

/// Lets the other tasks that are ready run first.
///
/// Futures of gambol do this by themselves once a task has found 128 of them ready in a row; it is for loops that compute,
/// and then [`consume_budget`] is usually the better one.
///
/// Tasks whose sockets and timers become ready meanwhile, and those that are spawned, need not queue behind a crowd of tasks that yield:
/// together they have half of the time.
pub fn yield_now() -> YieldNow {
    YieldNow { yielded: false }
}

/// See [`yield_now`].
///
/// # Cancel safety
///
/// Nothing is lost.
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct YieldNow {
    yielded: bool,
}

impl Future for YieldNow {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.yielded {
            return Poll::Ready(());
        }
        self.yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Spends one unit of the running task's budget, as a channel or a socket that was ready does, and lets the other tasks run
/// if none was left: at every 128th call. Outside of a task and of `block_on` it does nothing.
///
/// For loops that await nothing of gambol's.
pub fn consume_budget() -> ConsumeBudget {
    ConsumeBudget(())
}

/// See [`consume_budget`].
///
/// # Cancel safety
///
/// Nothing is lost.
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct ConsumeBudget(());

impl Future for ConsumeBudget {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        spend(cx).map(drop)
    }
}
