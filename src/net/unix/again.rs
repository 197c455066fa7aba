//! Attempts at growing distances, for the two calls whose `WouldBlock` no event takes back.
//!
//! Linux gives it to a `connect` when the listener's backlog is full, and to a `sendto` when the receiver's queue is. In
//! blocking mode both would wait in a queue of the other socket's; a poller sees only one's own, which is writable all the
//! time. To wait for its events is worse than useless: a `sendto` that fails frees the buffer that it has allocated, which makes
//! an event, so that the sender would try a hundred thousand times in a second.
//!
//! So nothing is left but to try again. The first distance is short against the time in which somebody who is merely busy makes
//! room, the longest one short for a human, and 50 calls a second are no load.

use gambol_executor::{Reason, Sleep, park, spend};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

const FIRST: Duration = Duration::from_micros(250);
const LONGEST: Duration = Duration::from_millis(20);

/// The distance to the next attempt.
#[derive(Debug, Default)]
pub(super) struct Again {
    /// Allocated by the first failure, which is rare.
    waiting: Option<Box<Waiting>>,
}

#[derive(Debug)]
struct Waiting {
    delay: Duration,
    sleep: Sleep,
}

impl Again {
    /// Makes attempts until one does not say `WouldBlock`. A poll that comes before the next one is due makes none.
    pub(super) fn poll<R>(
        &mut self,
        cx: &mut Context<'_>,
        reason: Reason,
        mut attempt: impl FnMut() -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        let spent = ready!(spend(cx));
        loop {
            if let Some(waiting) = &mut self.waiting
                && Pin::new(&mut waiting.sleep).poll(cx).is_pending()
            {
                spent.refund();
                // Not "sleep", which is only how it waits.
                park(reason);
                return Poll::Pending;
            }
            match attempt() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.put_off(),
                result => return Poll::Ready(result),
            }
        }
    }

    #[cold]
    fn put_off(&mut self) {
        let delay = self.waiting.as_ref().map_or(FIRST, |waiting| (waiting.delay * 2).min(LONGEST));
        self.waiting = Some(Box::new(Waiting { delay, sleep: Sleep::new(delay) }));
    }
}
