//! The leaf future of time: completes when its deadline has come.
//!
//! A `Sleep` that was never polled stands nowhere. At its first Pending it goes into the shard of the worker that polls
//! it, or, elsewhere, into one of the shards for foreign threads, and stays there until it is dropped: moving its
//! deadline moves it within that wheel. It holds an index into the wheel and no pointer points at it, so it may be moved
//! and shared freely.
//!
//! Long delays are rounded up to a coarser grid, so that timers that end at about the same time end together; see
//! [`Sleep::new`].
//!
//! What arming and cancelling costs on a running worker: one clock read, and, of the read-modify-writes, one if the same task
//! has cancelled a timer just before (`shard.rs`), otherwise two for the lock and two for a clone of the waker; no syscall, no
//! allocation. The clock is read when the `Sleep` is made, because that is from when its time counts. (What the worker has read before
//! is earlier by an unknown part of a poll, and the sleep would be short by that; what it reads next, at the end of a poll that
//! blocks for a second, would make it long by that.) To fire costs another hold of the lock, and no clock read.

use crate::{
    budget,
    clock::{Instant, NEVER, nanos},
    context::{self, park},
    runtime,
    shard::{Rearmed, Renewed, Shard},
    task::Reason,
};
use gambol_timer::Key;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

/// Delays up to this are exact.
const EXACT: u64 = 32_000_000;
/// In place of a grid: the delay was zero, and the first poll completes.
const IMMEDIATE: u8 = u8::MAX;
/// The coarsest grid, 2^19 ns: 0.52 ms.
const COARSEST: u32 = 19;

/// Completes when its deadline has come. Never early.
///
/// # Cancel safety
///
/// Dropping it cancels the timer. `&mut Sleep` may be awaited in several attempts.
pub struct Sleep {
    deadline: u64,
    home: Option<&'static Shard>,
    key: Option<Key>,
    /// The deadline in the wheel is rounded up to a multiple of 2^grid; or IMMEDIATE.
    grid: u8,
}

const _: () = assert!(size_of::<Sleep>() <= 24);

impl Sleep {
    /// Ends `delay` from now.
    ///
    /// Late by the time that the operating system needs to wake a thread, some tens of microseconds, plus what the worker is
    /// just doing. Delays beyond 32 ms are rounded up to a grid of at most a 256th of the delay and at most 0.53 ms, but not
    /// in virtual time. The end of time is never: `Duration::MAX` does not complete.
    pub fn new(delay: Duration) -> Sleep {
        let delay = nanos(delay);
        let grid = match delay {
            0 => IMMEDIATE,
            // On a virtual clock nobody is woken for nothing, and an hour is an hour.
            EXACT.. if context::is_virtual() => 0,
            _ => grid(delay),
        };
        Sleep { deadline: context::now().saturating_add(delay), home: None, key: None, grid }
    }

    /// Ends at `deadline`, without rounding.
    pub fn until(deadline: Instant) -> Sleep {
        Sleep { deadline: deadline.0, home: None, key: None, grid: 0 }
    }

    /// When it ends.
    pub fn deadline(&self) -> Instant {
        Instant(self.deadline)
    }

    /// Whether the deadline has come.
    pub fn is_elapsed(&self) -> bool {
        context::now() >= self.deadline
    }

    /// Moves the deadline; also one that has passed. Allocates nothing. Who awaits it need not poll again.
    pub fn reset(&mut self, deadline: Instant) {
        self.deadline = deadline.0;
        self.grid = 0;
        let (Some(home), Some(key)) = (self.home, &self.key) else { return };
        match home.rearm(key, deadline.0) {
            Rearmed::Pending { earliest: true } => runtime::timer_armed(home, deadline.0),
            Rearmed::Pending { earliest: false } => {}
            // It will be armed again when it is polled; whoever was to be woken has been woken.
            Rearmed::Fired => self.disarm(),
        }
    }

    /// The deadline in the wheel.
    fn target(&self) -> u64 {
        let mask = (1u64 << self.grid) - 1;
        self.deadline.checked_add(mask).map_or(NEVER, |d| d & !mask)
    }

    /// Cancels it.
    #[inline]
    fn disarm(&mut self) {
        if let (Some(home), Some(key)) = (self.home.take(), self.key.take()) {
            runtime::disarm(home, key);
        }
    }

    fn arm(&mut self, waker: &Waker) {
        let (home, key) = runtime::arm(self.target(), waker);
        (self.home, self.key) = (Some(home), Some(key));
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let spent = ready!(budget::spend(cx));
        match (self.home, self.key.take()) {
            (Some(home), Some(key)) => match home.renew(key, self.deadline, cx.waker()) {
                Renewed::Pending(key) => self.key = Some(key),
                Renewed::Fired { due } => {
                    self.home = None;
                    // The shard goes by its runtime's clock, and we by the one that is here.
                    if (due && context::is_inside(home.core)) || context::now() >= self.deadline {
                        return Poll::Ready(());
                    }
                    // Its runtime went away before its time. It goes on in the one that is here now.
                    self.arm(cx.waker());
                }
            },
            _ => {
                // A worker's own recent look at the clock decides whether it is worth to arm at all; nothing is ever early
                // by that, and what has just become due fires at the worker's next look.
                if self.grid == IMMEDIATE || runtime::recent_now() >= self.deadline {
                    return Poll::Ready(());
                }
                self.arm(cx.waker());
            }
        }
        spent.refund();
        park(Reason::Sleep);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.disarm();
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("deadline", &self.deadline()).field("armed", &self.key.is_some()).finish()
    }
}

/// The grid for a delay: the largest power of two that is at most a 256th of it.
fn grid(delay: u64) -> u8 {
    if delay <= EXACT {
        return 0;
    }
    (delay / 256).ilog2().min(COARSEST) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grid_is_at_most_a_256th_and_at_most_a_millisecond() {
        for delay in [0, 1, 20_000_000, EXACT, EXACT + 1, 100_000_000, 1_000_000_000, 3_600_000_000_000, NEVER] {
            let step = 1u64 << grid(delay);
            assert!(step == 1 || step <= delay / 256, "{delay}");
            assert!(step <= 1_000_000, "{delay}");
            assert!(delay > 20_000_000 || step == 1, "{delay}");
        }
    }

    #[test]
    fn a_sleep_is_send_sync_and_unpin() {
        fn check<T: Send + Sync + Unpin + 'static>() {}
        check::<Sleep>();
    }
}
