//! The ground thread of a stage: it waits in the poller, and for deadlines on the real clock; and it moves the time where others
//! must not. It is the monitor's thread, which has nothing to watch here.
//!
//! ```text
//! over and over   1 look at the board, with nothing in hand from the poller   2 sleep   3 wake what the poller has brought
//! to call it      1 change the board   2 unpark it
//! ```
//!
//! *The race*: the board changes between 1 and 2. Then the parker remembers, and the sleep ends at once.

use super::{PAUSE, Stage, Who};
use crate::{
    clock::NEVER,
    context,
    core::{Core, OPEN},
};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

/// Between two attempts to get a thread that the system had none of.
const RETRY: Duration = Duration::from_millis(10);

impl Stage {
    /// Does the ground thread's work until `stop`.
    pub(crate) fn tend(&self, core: &'static Core, stop: &AtomicBool) {
        self.ground.adopt();
        let mut ready = Vec::new();
        // When the pause ends that was seen at the last look.
        let mut paused_until = None;
        while !stop.load(Ordering::Acquire) && core.phase() == OPEN {
            let mut board = self.lock();
            if !board.paused {
                paused_until = None;
            } else if Instant::now() >= *paused_until.get_or_insert_with(|| Instant::now() + PAUSE) {
                board.paused = false;
            }
            let short = board.is_short();
            self.settle(core, board, Who::Ground);
            let short = (short && core.table.hire(core).is_err()) || core.pool.wants_thread();
            core.pool.retry(core);
            let timeout = [
                self.next_deadline(core),
                paused_until.map(|until| until.saturating_duration_since(Instant::now())),
                short.then_some(RETRY),
            ];
            self.sleep(core, timeout.into_iter().flatten().min(), &mut ready);
            if !ready.is_empty() {
                self.lock().called = false;
                let _inside = context::enter_foreign(core);
                core.wake_all(ready.drain(..));
            }
        }
    }

    /// The time left until the next deadline on the real clock. Whoever arms an earlier one calls us.
    fn next_deadline(&self, core: &Core) -> Option<Duration> {
        if core.clock.is_virtual() {
            return None;
        }
        let mut board = self.lock();
        // Whoever acts looks at the timers when it ends, and calls us if it leaves one that we do not know.
        board.watched = if board.paused || board.acting > 0 { NEVER } else { core.earliest() };
        core.until(board.watched)
    }

    fn sleep(&self, core: &Core, timeout: Option<Duration>, ready: &mut Vec<std::task::Waker>) {
        match core.driver.try_wait() {
            Some(mut wait) if wait.has_poller() => {
                self.ground.park_in_poller(|| {
                    wait.wait(timeout, ready);
                });
            }
            _ => {
                self.ground.park(timeout);
            }
        }
    }
}
