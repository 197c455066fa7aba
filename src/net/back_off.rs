//! Not trying again too soon what has just failed.
//!
//! When descriptors or memory have run out, `accept` fails at once, the connection stays in the queue, and the listener stays
//! ready: a loop that tries again at once burns a processor until something is closed. So after a failure the listener
//! makes the next attempt wait, twice as long each time.

use gambol_executor::Instant;
use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

const FIRST: Duration = Duration::from_millis(5);
const LONGEST: Duration = Duration::from_secs(1);

/// How long to wait, shared by all who try.
#[derive(Debug, Default)]
pub(crate) struct BackOff {
    /// The last attempt failed. Written under the lock; read without it, so that success costs one load.
    failing: AtomicBool,
    wait: Mutex<Option<Wait>>,
}

#[derive(Debug)]
struct Wait {
    until: Instant,
    delay: Duration,
}

impl BackOff {
    /// When the next attempt may be made; none: now.
    pub(crate) fn until(&self) -> Option<Instant> {
        if !self.failing.load(Ordering::Relaxed) {
            return None;
        }
        let wait = self.wait.lock().unwrap_or_else(PoisonError::into_inner);
        wait.as_ref().map(|wait| wait.until).filter(|&until| until > Instant::now())
    }

    /// An attempt has failed. Several that fail at the same time count as one.
    #[cold]
    pub(crate) fn failed(&self) {
        let now = Instant::now();
        let mut wait = self.wait.lock().unwrap_or_else(PoisonError::into_inner);
        let delay = match &*wait {
            Some(wait) if wait.until > now => return,
            Some(wait) => (wait.delay * 2).min(LONGEST),
            None => FIRST,
        };
        *wait = Some(Wait { until: now + delay, delay });
        self.failing.store(true, Ordering::Relaxed);
    }

    /// An attempt has succeeded.
    pub(crate) fn succeeded(&self) {
        if self.failing.load(Ordering::Relaxed) {
            let mut wait = self.wait.lock().unwrap_or_else(PoisonError::into_inner);
            *wait = None;
            self.failing.store(false, Ordering::Relaxed);
        }
    }
}
