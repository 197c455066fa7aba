//! Deadlines: sleeping, time limits, ticks.
//!
//! [`sleep`], [`timeout`] and [`interval`] are for the task that waits. [`after`] and [`ticker`] are channels, for what is shared,
//! or is given to code that knows channels only.
//!
//! Time is measured by [`Instant`], on the monotonic clock, or on the virtual one of a runtime that has it; [`advance`] moves that.
//! Nothing here is ever early.

// An end for a future that takes too long.
mod timeout;

// Ticks.
mod interval;

// Calling somebody at a time, without a task; channels that are fed by that.
pub(crate) mod alarm;
mod source;

pub use gambol_executor::{Advance, Instant, Sleep, advance};
pub use interval::{Interval, MissedTick, Tick, interval};
pub use source::{after, ticker};
pub use std::time::Duration;
pub use timeout::{Elapsed, Timeout, timeout, timeout_at};

/// Completes after `delay`.
///
/// Never early; late by the time that the system needs to wake a thread, some tens of microseconds, plus what the worker is
/// just doing. Delays beyond 32 ms are rounded up by at most a 256th and at most 0.53 ms, so that those that end together wake
/// together; [`sleep_until`] does not round, and virtual time does not. The delay counts from this call, not from the first poll.
/// Zero completes at once; `Duration::MAX` never does.
///
/// # Cancel safety
///
/// Dropping it cancels the timer.
pub fn sleep(delay: Duration) -> Sleep {
    Sleep::new(delay)
}

/// Completes at `deadline`: at once if it has passed, never if it is [`Instant::NEVER`].
///
/// As precise as [`sleep`], without the rounding.
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep::until(deadline)
}
