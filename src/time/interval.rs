//! Ticks at regular moments.

use super::{Duration, Instant, Sleep};
use futures_core::stream::{FusedStream, Stream};
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

/// Ticks every `period`, for the first time at once.
///
/// # Panics
///
/// When `period` is zero.
///
/// ```
/// use gambol::time::{Duration, interval};
///
/// # gambol::block_on(async {
/// let mut ticks = interval(Duration::from_millis(2));
/// let first = ticks.tick().await;
/// let second = ticks.tick().await;
/// assert_eq!(second - first, Duration::from_millis(2));
/// # });
/// ```
#[track_caller]
pub fn interval(period: Duration) -> Interval {
    assert!(
        !period.is_zero(),
        "the period of an interval is zero; use at least a nanosecond, or task::yield_now() in a loop"
    );
    Interval { sleep: Sleep::new(Duration::ZERO), period, missed: MissedTick::default() }
}

/// What becomes of ticks whose time passed before they were taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissedTick {
    /// They are made up for, one right after the other, until the ticks are back at their times. The number of ticks is right.
    #[default]
    Burst,
    /// The next tick comes a whole period after the late one was taken, and the ones after it from there. A tick counts as
    /// late when it is taken more than a sixteenth of the period, and at most 5 ms, after its time; otherwise every tick would
    /// drift by the time that waking takes.
    Delay,
    /// They are left out; the next tick comes at the first of the original times that is still to come.
    Skip,
}

/// A tick comes with the moment it was due; see [`interval`]. As a [`Stream`] it does not end.
#[derive(Debug)]
pub struct Interval {
    /// Its deadline is the next tick.
    sleep: Sleep,
    period: Duration,
    missed: MissedTick,
}

impl Interval {
    /// Waits for the next tick, and yields the moment at which it was due.
    ///
    /// # Cancel safety
    ///
    /// No tick is lost: one that has not been yielded is still to come.
    pub fn tick(&mut self) -> Tick<'_> {
        Tick { interval: self }
    }

    /// As [`tick`](Self::tick), for those who write futures by hand.
    pub fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<Instant> {
        ready!(Pin::new(&mut self.sleep).poll(cx));
        let due = self.sleep.deadline();
        self.sleep.reset(self.after(due));
        Poll::Ready(due)
    }

    /// Lets the next tick come one period from now.
    pub fn reset(&mut self) {
        self.sleep.reset(Instant::now() + self.period);
    }

    /// The time between two ticks.
    pub fn period(&self) -> Duration {
        self.period
    }

    /// What becomes of ticks that were missed.
    pub fn missed_tick(&self) -> MissedTick {
        self.missed
    }

    /// Decides what becomes of ticks that were missed. Default: [`MissedTick::Burst`].
    pub fn set_missed_tick(&mut self, missed: MissedTick) {
        self.missed = missed;
    }

    /// The tick after the one that was due at `due` and is taken now.
    fn after(&self, due: Instant) -> Instant {
        let next = due + self.period;
        if self.missed == MissedTick::Burst {
            return next;
        }
        let now = Instant::now();
        match self.missed {
            MissedTick::Delay if now - due > (self.period / 16).min(LATE) => now + self.period,
            MissedTick::Skip if now >= next => {
                let period = self.period.as_nanos();
                let since = (now - due).as_nanos() % period;
                // A remainder of a period that is shorter than the time since boot fits.
                now + Duration::from_nanos((period - since) as u64)
            }
            _ => next,
        }
    }
}

/// A tick that is later than this is late, however long the period.
const LATE: Duration = Duration::from_millis(5);

impl Stream for Interval {
    type Item = Instant;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Instant>> {
        self.poll_tick(cx).map(Some)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::MAX, None)
    }
}

impl FusedStream for Interval {
    fn is_terminated(&self) -> bool {
        false
    }
}

/// See [`Interval::tick`].
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct Tick<'a> {
    interval: &'a mut Interval,
}

impl Future for Tick<'_> {
    type Output = Instant;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Instant> {
        self.interval.poll_tick(cx)
    }
}
