//! The road everywhere but on Linux: `polling` as it is, over kqueue, event ports, `poll` or IOCP.
//!
//! In edge mode, where there is one, a descriptor is added once for both directions. Otherwise it is added with no interest
//! at all; a waiter that enrols sets the interest of all who wait, and since an event takes the interest of both
//! directions away, the interest of those who still wait is set again after it.
//!
//! Closed bits are never set here. They exist so that a short read does not hide an end; a one-shot registration reports the
//! end anew when it is armed, and in edge mode a short read does not clear at all (`short_clears`).
//!
//! What this takes for granted is listed in `platform.rs`.

use std::io;
use std::num::NonZeroUsize;
use std::task::Waker;
use std::time::Duration;

use polling::{Event, PollMode};

use super::{Descriptor, RawDescriptor, raw};
use crate::latch::Latch;
use crate::poller::Missing;
use crate::readiness::{Direction, Occurrence};
use crate::source::{Source, Waiting};
use crate::sync::Arc;

pub(crate) struct Road {
    poller: Arc<polling::Poller>,
    edge: bool,
    /// In front of `polling`'s own flag, which a notifier that finds it set only reads: it hands nothing over.
    latch: Latch,
}

/// What is remembered per descriptor. Under the source's lock.
pub(crate) struct Arm {
    /// `None` in edge mode: there is nothing to arm.
    one_shot: Option<OneShot>,
}

struct OneShot {
    poller: Arc<polling::Poller>,
    /// Open until the source is deregistered, by the contract of `Poller::register`; nothing is armed after that, since a
    /// retired source enrols nobody.
    descriptor: RawDescriptor,
    /// Whether `polling` knows the descriptor at present.
    added: bool,
}

pub(crate) struct Events(polling::Events);

impl Road {
    pub(crate) fn new(_: Missing) -> io::Result<Road> {
        let poller = polling::Poller::new()?;
        Ok(Road { edge: poller.supports_edge(), latch: Latch::new(), poller: Arc::new(poller) })
    }

    pub(crate) fn edge(&self) -> bool {
        self.edge
    }

    pub(crate) fn short_clears(&self) -> bool {
        !self.edge
    }

    pub(crate) fn arm(&self, descriptor: Descriptor<'_>) -> Arm {
        Arm {
            one_shot: (!self.edge).then(|| OneShot {
                poller: Arc::clone(&self.poller),
                descriptor: raw(descriptor),
                added: false,
            }),
        }
    }

    /// # Safety
    ///
    /// As for `Poller::register`.
    pub(crate) unsafe fn add(&self, source: &Source, descriptor: Descriptor<'_>) -> io::Result<()> {
        let key = source.key() as usize;
        if self.edge {
            // SAFETY: `polling` asks that the descriptor be valid, which its being borrowed says, and that it be deleted
            // before it is closed, which is the contract of `Poller::register`.
            return unsafe { self.poller.add_with_mode(raw(descriptor), Event::all(key), PollMode::Edge) };
        }
        source.with_arm(|arm, _| match &mut arm.one_shot {
            Some(one_shot) => one_shot.set(Event::none(key)),
            None => Ok(()),
        })
    }

    pub(crate) fn delete(&self, source: &Source, descriptor: Descriptor<'_>) -> io::Result<()> {
        source.with_arm(|arm, _| match &mut arm.one_shot {
            None => self.poller.delete(descriptor),
            Some(one_shot) if one_shot.added => {
                one_shot.added = false;
                self.poller.delete(descriptor)
            }
            Some(_) => Ok(()),
        })
    }

    pub(crate) fn notify(&self) {
        if self.latch.set() && self.poller.notify().is_err() {
            // Nobody is on the way, so the next one must not rely on it.
            self.latch.open();
        }
    }

    pub(crate) fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        events.0.clear();
        let outcome = match self.poller.wait(&mut events.0, timeout) {
            // The `poll` backend saw a notification whose byte was not in its pipe yet. It has ended the wait and left the flag
            // up with which it coalesces; a wait that succeeds takes it down.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.poller.wait(&mut events.0, Some(Duration::ZERO))
            }
            outcome => outcome,
        };
        // Whatever ended the wait.
        self.latch.open();
        match outcome {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn sort(&self, events: &Events, mut each: impl FnMut(u64, Occurrence)) -> usize {
        let mut count = 0;
        for event in events.0.iter() {
            count += 1;
            each(event.key as u64, occurrence(&event));
        }
        count
    }

    /// After a delivery: the event has taken all interest away. Sets it again for those who still wait.
    pub(crate) fn settle(&self, source: &Source, occurrence: Occurrence, ready: &mut Vec<Waker>) {
        let settled = source.with_arm(|arm, waiting| {
            let Some(one_shot) = &mut arm.one_shot else {
                return Ok(());
            };
            if waiting.read || waiting.write {
                one_shot.set(Event::new(source.key() as usize, waiting.read, waiting.write))
            } else if occurrence.wakes(Direction::Read) && occurrence.wakes(Direction::Write) && one_shot.added {
                // Hung up or in error, perhaps: `poll` would go on reporting that to nobody.
                one_shot.remove()
            } else {
                Ok(())
            }
        });
        if settled.is_err() {
            // Whoever waits shall come and get the error from arming.
            source.deliver(Occurrence::READABLE | Occurrence::WRITABLE, ready);
        }
    }
}

impl Arm {
    pub(crate) fn arm(&mut self, key: u64, waiting: Waiting) -> io::Result<()> {
        match &mut self.one_shot {
            Some(one_shot) => one_shot.set(Event::new(key as usize, waiting.read, waiting.write)),
            None => Ok(()),
        }
    }

    /// Of a source that is registered nowhere, for tests and models.
    #[cfg(any(test, gambol_loom))]
    pub(crate) fn detached() -> Arm {
        Arm { one_shot: None }
    }
}

impl OneShot {
    fn set(&mut self, interest: Event) -> io::Result<()> {
        if self.added {
            return self.poller.modify(borrow(&self.descriptor), interest);
        }
        // SAFETY: `polling` asks that the descriptor be valid, and deleted before it is closed: it is open until the source is
        // deregistered (see the field), which deletes it.
        unsafe { self.poller.add(self.descriptor, interest)? };
        self.added = true;
        Ok(())
    }

    fn remove(&mut self) -> io::Result<()> {
        self.added = false;
        self.poller.delete(borrow(&self.descriptor))
    }
}

impl Events {
    pub(crate) fn with_capacity(capacity: usize) -> Events {
        // The caller has made sure that it is not zero.
        let capacity = NonZeroUsize::new(capacity).unwrap_or(NonZeroUsize::MIN);
        Events(polling::Events::with_capacity(capacity))
    }
}

fn borrow(descriptor: &RawDescriptor) -> Descriptor<'_> {
    // SAFETY: The descriptor must be open while it is borrowed: it is open until the source is deregistered (see the
    // field `descriptor`), and all calls come before that.
    unsafe { Descriptor::borrow_raw(*descriptor) }
}

fn occurrence(event: &Event) -> Occurrence {
    let mut occurrence = Occurrence::NOTHING;
    if event.readable {
        occurrence = occurrence | Occurrence::READABLE;
    }
    if event.writable {
        occurrence = occurrence | Occurrence::WRITABLE;
    }
    if event.is_err() == Some(true) {
        occurrence = occurrence | Occurrence::ERROR;
    }
    // IOCP tells of an aborted connection, and a connection that failed, apart from reading and writing.
    if event.is_interrupt() {
        occurrence = occurrence | Occurrence::READABLE | Occurrence::WRITABLE;
    }
    occurrence
}
