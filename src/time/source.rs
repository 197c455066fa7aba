//! Time as a channel: what stands beside other channels, is shared by cloning, or is given to code that knows channels only.
//!
//! A channel of one place is fed by an alarm, and owns it: with the last receiver goes the timer. Nothing runs in between, no
//! task and no thread.

use super::{
    Duration, Instant,
    alarm::{Alarm, OnAlarm, Set},
};
use crate::chan::{self, Receiver, Sender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// A channel that yields one moment, when `delay` has passed, and is closed then: Go's `time.After`.
///
/// ```
/// use gambol::{chan, select, time::{Duration, after}};
///
/// # gambol::block_on(async {
/// let (_tx, rx) = chan::unbuffered::<u32>();
/// let end = after(Duration::from_millis(5));
/// let mut turns = 0;
/// loop {
///     select! {
///         value = rx.recv() => println!("{value:?}"),
///         _ = end.recv() => break,
///         _ = gambol::sleep(Duration::from_millis(1)) => turns += 1,
///     }
/// }
/// assert!(turns > 0);
/// # });
/// ```
///
/// As precise as [`sleep_until`](super::sleep_until), and never early; the moment is that of the sending. `Duration::MAX` never comes. Dropping
/// the receivers disarms the timer. [`sleep`](super::sleep) is cheaper where one future waits: this takes some allocations.
pub fn after(delay: Duration) -> Receiver<Instant> {
    source(delay, None)
}

/// A channel that yields a moment every `period`, for the first time after one: Go's `time.Ticker`.
///
/// It holds one tick. Those that come while it is there are left out, so a slow receiver gets fewer. Each is the moment at which it was
/// due, a whole number of periods after the first. Between two of them lie at least 50 microseconds, however short the period is; that
/// is what timers are good for. Dropping the receivers ends it; it ends in no other way.
/// [`interval`](super::interval) is cheaper where one task waits; its first tick comes at once, and it can make up for what was missed.
///
/// # Panics
///
/// When `period` is zero.
#[track_caller]
pub fn ticker(period: Duration) -> Receiver<Instant> {
    assert!(!period.is_zero(), "the period of a ticker is zero; use at least a nanosecond");
    source(period, Some(period))
}

fn source(delay: Duration, period: Option<Duration>) -> Receiver<Instant> {
    let due = Instant::now() + delay;
    chan::fed(1, |sender| {
        let source = Arc::new_cyclic(|me: &Weak<Source>| Source {
            state: Mutex::new(State { sender: Some(sender), due }),
            period,
            alarm: Alarm::new(me.clone()),
        });
        let mut next = due;
        while source.alarm.set(next) == Set::Passed {
            match source.clone().on_alarm() {
                Some(later) => next = later,
                None => break,
            }
        }
        source
    })
}

/// What feeds the channel, and belongs to it.
struct Source {
    state: Mutex<State>,
    /// None: it yields once.
    period: Option<Duration>,
    alarm: Alarm,
}

struct State {
    /// None: it is over, and the channel closed.
    sender: Option<Sender<Instant>>,
    /// When it yields next.
    due: Instant,
}

impl OnAlarm for Source {
    fn on_alarm(self: Arc<Self>) -> Option<Instant> {
        let now = Instant::now();
        let (sender, due, next) = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(period) = self.period else {
                // What sends is dropped after it: that closes the channel.
                let sender = state.sender.take();
                drop(state);
                let _ = sender?.try_send(now);
                return None;
            };
            let due = state.due;
            let stride = stride(period);
            state.due = due + stride * steps(now.duration_since(due), stride);
            (state.sender.clone()?, due, state.due)
        };
        // The one before is still there. That a receiver was called for it makes no room for another.
        if sender.is_full() && !sender.is_closed() {
            return Some(next);
        }
        match sender.try_send(due) {
            Ok(()) | Err(TrySendError::Full(_)) => Some(next),
            Err(TrySendError::Closed(_)) => None,
        }
    }
}

/// The shortest time between two ticks: the slack that Linux allows itself with timers. A shorter one may be over by the time it was
/// set, again and again, and whoever sets it would come to no end.
const LEAST: Duration = Duration::from_micros(50);

/// The time from one tick to the next: the period, or as many as are not too short.
fn stride(period: Duration) -> Duration {
    if period >= LEAST { period } else { period * steps(LEAST.saturating_sub(Duration::from_nanos(1)), period) }
}

/// How many strides it takes from a tick to the first one that is still to come, `late` after it.
fn steps(late: Duration, stride: Duration) -> u32 {
    let whole = late.as_nanos() / stride.as_nanos();
    u32::try_from(whole).unwrap_or(u32::MAX).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stride_is_the_first_whole_number_of_periods_that_is_long_enough() {
        for (period, expected) in [(1, 50_000), (7, 50_001), (30_000, 60_000), (49_999, 99_998), (50_000, 50_000)] {
            assert_eq!(stride(Duration::from_nanos(period)), Duration::from_nanos(expected));
        }
        assert_eq!(stride(Duration::MAX), Duration::MAX);
    }
}
