//! Moving the virtual clock by hand. When it moves by itself is decided in `stage/mod.rs`.

use crate::{
    context::{self, park},
    core::Core,
    stage,
    task::Reason,
};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

/// Moves the virtual clock on by `duration`, which counts from the first poll.
///
/// The clock goes from deadline to deadline, in order, and not further before every task and every thread in `block_on` that was woken is
/// parked again. So when this completes, everything has happened that is due by then, at its own time, and nothing else can run.
/// Unlike [`Sleep`](crate::Sleep) it also moves the clock while sockets or blocking work hold it. A duration of zero lets
/// everybody else come to rest. `Duration::MAX` goes from deadline to deadline without end.
///
/// Several at one time, in different tasks, complete in the order of where they want the clock. `gambol::guide::testing` has an
/// example.
///
/// # Panics
///
/// When it is polled outside of a runtime with virtual time.
///
/// # Cancel safety
///
/// The clock stays where it has come to.
pub fn advance(duration: Duration) -> Advance {
    Advance { duration, state: None }
}

/// See [`advance`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct Advance {
    duration: Duration,
    /// Some: the clock is on its way, in this runtime; with our number there.
    state: Option<(&'static Core, u64)>,
}

impl Future for Advance {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let polled = match self.state {
            Some((core, id)) => core.stage.poll_advance(core, id, None, cx.waker()),
            None => {
                let Some(core) = context::with(context::Context::core).filter(|core| core.clock.is_virtual()) else {
                    panic!(
                        "time::advance needs a runtime with virtual time: use #[gambol::test(virtual_time = true)] or \
                         Builder::virtual_time(true)"
                    );
                };
                let target = core.clock.now().saturating_add(crate::clock::nanos(self.duration));
                let id = stage::next_advance();
                self.state = Some((core, id));
                core.stage.poll_advance(core, id, Some(target), cx.waker())
            }
        };
        if polled.is_pending() {
            park(Reason::Sleep);
        }
        polled
    }
}

impl Drop for Advance {
    fn drop(&mut self) {
        if let Some((core, id)) = self.state {
            core.stage.drop_advance(id);
        }
    }
}

impl fmt::Debug for Advance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Advance").field("duration", &self.duration).field("moving", &self.state.is_some()).finish()
    }
}
