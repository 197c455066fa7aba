//! What ends the monitor's sleep at a given moment, and can be moved by those who are watched: a timer of the kernel's.
//!
//! To move it costs a system call of about 2 µs, because the processor's own timer is set anew; to wake the monitor's thread costs 30 µs of
//! CPU time and two context switches (an otherwise idle virtual machine). Where the kernel has no such timer, or no descriptor is
//! left, the monitor is woken at once instead.

use crate::idle::Parker;
use std::time::Duration;
#[cfg(target_os = "linux")]
use {
    rustix::{
        event::{PollFd, PollFlags, Timespec, poll},
        fd::OwnedFd,
        time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime},
    },
    std::sync::Arc,
};

/// See the head of this file.
#[derive(Clone)]
pub(crate) enum Alarm {
    /// There is none.
    None,
    #[cfg(target_os = "linux")]
    Timer(Arc<OwnedFd>),
    /// For the models: when it would ring.
    #[cfg(all(test, gambol_loom))]
    Noted(u64),
}

impl Alarm {
    /// An alarm that is not set, if it can be had.
    pub(crate) fn new() -> Alarm {
        #[cfg(target_os = "linux")]
        if let Ok(timer) = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK) {
            return Alarm::Timer(Arc::new(timer));
        }
        Alarm::None
    }

    pub(crate) fn exists(&self) -> bool {
        !matches!(self, Alarm::None)
    }

    /// Rings at `moment` and not before, by the real clock; at once if that has passed. What it was set to before is forgotten.
    pub(crate) fn set(&mut self, moment: u64) {
        match self {
            Alarm::None => _ = moment,
            #[cfg(target_os = "linux")]
            Alarm::Timer(timer) => {
                // Zero would stop it.
                let moment = moment.max(1);
                let value = Timespec { tv_sec: (moment / 1_000_000_000) as _, tv_nsec: (moment % 1_000_000_000) as _ };
                let interval = Timespec { tv_sec: 0, tv_nsec: 0 };
                let set = timerfd_settime(
                    &**timer,
                    TimerfdTimerFlags::ABSTIME,
                    &Itimerspec { it_interval: interval, it_value: value },
                );
                debug_assert!(set.is_ok(), "the descriptor is a timer, and the moment a valid one");
            }
            #[cfg(all(test, gambol_loom))]
            Alarm::Noted(noted) => *noted = moment,
        }
    }

    /// Sleeps until it rings, for `timeout` at most; may return early. Where there is none, sleeps at `parker`.
    pub(crate) fn wait(&self, timeout: Option<Duration>, parker: &Parker) {
        match self {
            #[cfg(target_os = "linux")]
            Alarm::Timer(timer) => {
                let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
                let _ = poll(&mut [PollFd::new(&**timer, PollFlags::IN)], timeout.as_ref());
                // How often it has rung; or nothing, if it has not, or was set anew.
                let _ = rustix::io::read(&**timer, &mut [0; 8]);
            }
            _ => {
                parker.park(timeout);
            }
        }
    }
}

#[cfg(all(test, target_os = "linux", not(gambol_loom)))]
mod tests {
    use super::*;
    use crate::clock::real_now;

    #[test]
    fn it_rings_when_it_was_set_to_last_and_not_before() {
        let alarm = Alarm::new();
        assert!(alarm.exists());
        let parker = Parker::new();
        let moment = real_now() + 2_000_000;
        alarm.clone().set(real_now() + 3_600_000_000_000);
        alarm.clone().set(moment);
        while real_now() < moment {
            alarm.wait(None, &parker);
        }
        // One that has passed rings at once, and zero is one.
        alarm.clone().set(0);
        alarm.wait(None, &parker);
    }
}
