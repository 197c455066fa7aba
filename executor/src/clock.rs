//! The clock: nanoseconds as one word, real or virtual.
//!
//! The real clock is the operating system's monotonic one (`CLOCK_MONOTONIC`), which stands still while the machine is
//! suspended. One look costs about 18 ns, so hot paths keep what they read.

use std::{
    ops::{Add, AddAssign, Sub, SubAssign},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

/// Never.
pub(crate) const NEVER: u64 = u64::MAX;

/// A runtime's clock.
pub(crate) struct Clock {
    /// Set before the runtime's threads start.
    is_virtual: AtomicBool,
    /// The virtual time in nanoseconds. Moved only forward, by whoever advances it.
    virtual_now: AtomicU64,
}

impl Clock {
    pub(crate) fn new() -> Clock {
        Clock { is_virtual: AtomicBool::new(false), virtual_now: AtomicU64::new(1) }
    }

    /// Makes the clock a virtual one, which begins at one nanosecond, or the real one.
    pub(crate) fn set_virtual(&self, on: bool) {
        self.is_virtual.store(on, Ordering::Relaxed);
        self.virtual_now.store(1, Ordering::Relaxed);
    }

    pub(crate) fn is_virtual(&self) -> bool {
        self.is_virtual.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn now(&self) -> u64 {
        if self.is_virtual() { self.virtual_now.load(Ordering::Acquire) } else { real_now() }
    }

    /// Moves the virtual clock forward to `now`, if it is not there yet.
    pub(crate) fn advance_to(&self, now: u64) {
        self.virtual_now.fetch_max(now, Ordering::AcqRel);
    }
}

#[cfg(unix)]
#[inline]
pub(crate) fn real_now() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

#[cfg(not(unix))]
pub(crate) fn real_now() -> u64 {
    use std::{sync::OnceLock, time};
    static ORIGIN: OnceLock<time::Instant> = OnceLock::new();
    // One second is added so that the origin is later than zero.
    nanos(ORIGIN.get_or_init(time::Instant::now).elapsed()).saturating_add(1_000_000_000)
}

/// A duration in nanoseconds; what does not fit is never.
#[inline]
pub(crate) fn nanos(duration: Duration) -> u64 {
    duration
        .as_secs()
        .checked_mul(1_000_000_000)
        .and_then(|seconds| seconds.checked_add(u64::from(duration.subsec_nanos())))
        .unwrap_or(NEVER)
}

/// A moment on the clock of the current runtime: the real monotonic clock, or the virtual one in a runtime that has it.
///
/// Additions saturate: a moment more than 584 years away is [`Instant::NEVER`]. Moments of two runtimes of which one is
/// virtual mean nothing to each other.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(pub(crate) u64);

impl Instant {
    /// Later than every moment; a deadline that is never reached.
    pub const NEVER: Instant = Instant(NEVER);

    /// This moment.
    #[inline]
    pub fn now() -> Instant {
        Instant(crate::context::now())
    }

    /// The time from `earlier` to this moment, or zero if `earlier` is later.
    pub fn duration_since(&self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// As `duration_since`; the name that std users know.
    pub fn saturating_duration_since(&self, earlier: Instant) -> Duration {
        self.duration_since(earlier)
    }

    /// The time from `earlier`, or none if `earlier` is later.
    pub fn checked_duration_since(&self, earlier: Instant) -> Option<Duration> {
        self.0.checked_sub(earlier.0).map(Duration::from_nanos)
    }

    /// The time since this moment, or zero if it has not come yet.
    pub fn elapsed(&self) -> Duration {
        Instant::now().duration_since(*self)
    }

    /// The sum, or none if it is 584 years away or more.
    pub fn checked_add(&self, duration: Duration) -> Option<Instant> {
        self.0.checked_add(nanos(duration)).filter(|&n| n != NEVER).map(Instant)
    }

    /// The difference, or none if it is before the clock's origin.
    pub fn checked_sub(&self, duration: Duration) -> Option<Instant> {
        self.0.checked_sub(nanos(duration)).map(Instant)
    }

    /// The same moment on std's clock, which says nothing if the current clock is virtual.
    pub fn into_std(self) -> Option<std::time::Instant> {
        let (now, std_now) = (Instant::now(), std::time::Instant::now());
        if self >= now {
            std_now.checked_add(self.duration_since(now))
        } else {
            std_now.checked_sub(now.duration_since(self))
        }
    }
}

impl From<std::time::Instant> for Instant {
    fn from(then: std::time::Instant) -> Instant {
        let (now, std_now) = (Instant::now(), std::time::Instant::now());
        if then >= std_now { now + (then - std_now) } else { now - (std_now - then) }
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;
    fn add(self, duration: Duration) -> Instant {
        Instant(self.0.saturating_add(nanos(duration)))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub<Duration> for Instant {
    type Output = Instant;
    fn sub(self, duration: Duration) -> Instant {
        Instant(self.0.saturating_sub(nanos(duration)))
    }
}

impl SubAssign<Duration> for Instant {
    fn sub_assign(&mut self, duration: Duration) {
        *self = *self - duration;
    }
}

impl Sub<Instant> for Instant {
    type Output = Duration;
    fn sub(self, earlier: Instant) -> Duration {
        self.duration_since(earlier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_that_do_not_fit_are_never() {
        let now = Instant::now();
        assert_eq!(now + Duration::MAX, Instant::NEVER);
        assert_eq!(Instant::NEVER + Duration::from_secs(1), Instant::NEVER);
        assert_eq!(now.checked_add(Duration::MAX), None);
        assert_eq!(now.checked_sub(Duration::MAX), None);
        assert_eq!(now - Duration::MAX, Instant(0));
        assert_eq!(now.duration_since(now + Duration::from_secs(1)), Duration::ZERO);
    }

    #[test]
    fn the_virtual_clock_stands_still_until_it_is_moved_and_never_goes_back() {
        let clock = Clock::new();
        clock.set_virtual(true);
        let start = clock.now();
        assert_eq!(clock.now(), start);
        clock.advance_to(start + 5);
        clock.advance_to(start + 3);
        assert_eq!(clock.now(), start + 5);
        clock.set_virtual(false);
        assert!(clock.now() > start + 5);
    }

    #[test]
    fn std_instants_survive_the_way_there_and_back() {
        let now = std::time::Instant::now();
        for then in [now, now + Duration::from_secs(5), now - Duration::from_millis(5)] {
            let back = Instant::from(then).into_std().unwrap();
            let error = if back > then { back - then } else { then - back };
            assert!(error < Duration::from_millis(100), "{error:?}");
        }
    }
}
