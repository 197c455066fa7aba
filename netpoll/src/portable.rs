//! The road everywhere but on Linux: `polling` as it is, over kqueue, event ports, `poll` or IOCP.
//!
//! In edge mode, where there is one, a descriptor is added once for both directions. Otherwise it is added with no interest
//! at all; a waiter that enrols sets the interest of all who wait, and since an event takes the interest of both
//! directions away, the interest of those who still wait is set again after it.
//!
//! # Who a number belongs to
//!
//! `polling` knows descriptors by their numbers, and a number may come to stand for another file while it is registered: safe code
//! can close what an I/O object has registered, by putting something else in its place. What was registered is then
//! *abandoned* (`Poller::abandon`), by its number, for which three things have to be seen to:
//! - `poll` calls a closed descriptor invalid in every wait, and a hung up one hung up; each wait would end at once, for
//!   ever. So the number is taken out of `polling`.
//! - It must not be taken away from another source: event ports and IOCP forget a descriptor when it is closed, and would
//!   accept the next one of that number. So the road keeps a set of the numbers that its sources have, and
//!   refuses a second one until the first gives its number up, on all systems.
//! - `polling` itself keeps the number of a closed descriptor where the kernel refuses to remove that (kqueue), and then
//!   refuses the next one of that number. No source has it, as the road's own set tells: so it is taken over.
//!
//! Closed bits are never set here. They exist so that a short read does not hide an end; a one-shot registration reports the
//! end anew when it is armed, and in edge mode a short read does not clear at all (`short_clears`).
//!
//! What this takes for granted is listed in `platform.rs`.

use std::collections::HashSet;
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
use crate::sync::{Arc, Mutex, PoisonError};

/// Whether a descriptor may be added when the first one has to wait. Here a number that another source has is refused, which
/// whoever registers it is to learn at once.
pub(crate) const CAN_ADD_LATER: bool = false;

pub(crate) struct Road {
    set: Arc<Set>,
    /// In front of `polling`'s own flag, which a notifier that finds it set only reads: it hands nothing over.
    latch: Latch,
}

/// `polling`, and whose its numbers are.
struct Set {
    poller: polling::Poller,
    edge: bool,
    /// The numbers of all descriptors that sources have added. A source that finds `Arm::added` set is the one that put its
    /// number here.
    taken: Mutex<HashSet<RawDescriptor>>,
}

/// What is remembered per descriptor. Under the source's lock. `None`: a source that is registered nowhere.
pub(crate) struct Arm(Option<Registration>);

struct Registration {
    set: Arc<Set>,
    /// Open until the source is deregistered, by the contract of `Poller::register`, or else abandoned; nothing is armed after
    /// that, since a retired source enrols nobody.
    descriptor: RawDescriptor,
    /// Whether `polling` knows the descriptor at present.
    added: bool,
}

pub(crate) struct Events(polling::Events);

impl Road {
    pub(crate) fn new(_: Missing) -> io::Result<Road> {
        let poller = polling::Poller::new()?;
        let set = Set { edge: poller.supports_edge(), poller, taken: Mutex::new(HashSet::new()) };
        Ok(Road { set: Arc::new(set), latch: Latch::new() })
    }

    pub(crate) fn edge(&self) -> bool {
        self.set.edge
    }

    pub(crate) fn short_clears(&self) -> bool {
        !self.set.edge
    }

    pub(crate) fn arm(&self, descriptor: Descriptor<'_>) -> Arm {
        Arm(Some(Registration { set: Arc::clone(&self.set), descriptor: raw(descriptor), added: false }))
    }

    /// # Safety
    ///
    /// As for `Poller::register`.
    pub(crate) unsafe fn add(&self, source: &Source, _: Descriptor<'_>) -> io::Result<()> {
        let key = source.key() as usize;
        let interest = if self.set.edge { Event::all(key) } else { Event::none(key) };
        source.with_arm(|arm, _| arm.0.as_mut().map_or(Ok(()), |registration| registration.add(interest)))
    }

    /// Nothing is dormant here.
    pub(crate) fn add_later(&self, _: &Source) -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn delete(&self, source: &Source, _: Descriptor<'_>) -> io::Result<()> {
        source.with_arm(|arm, _| match &mut arm.0 {
            Some(registration) if registration.added => registration.remove(),
            _ => Ok(()),
        })
    }

    /// As `delete` for a source whose descriptor is perhaps closed, and its number perhaps another file's: no other source has
    /// that number, so nothing but what was registered is removed.
    pub(crate) fn abandon(&self, source: &Source) {
        source.with_arm(|arm, _| {
            if let Some(registration) = &mut arm.0
                && registration.added
            {
                // It fails if the descriptor is closed: then the kernel has removed it already.
                let _ = registration.remove();
            }
        });
    }

    pub(crate) fn notify(&self) {
        if self.latch.set() && self.set.poller.notify().is_err() {
            // Nobody is on the way, so the next one must not rely on it.
            self.latch.open();
        }
    }

    pub(crate) fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        events.0.clear();
        let outcome = match self.set.poller.wait(&mut events.0, timeout) {
            // The `poll` backend saw a notification whose byte was not in its pipe yet. It has ended the wait and left the flag
            // up with which it coalesces; a wait that succeeds takes it down.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.set.poller.wait(&mut events.0, Some(Duration::ZERO))
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
        if self.set.edge {
            return;
        }
        let settled = source.with_arm(|arm, waiting| {
            let Some(registration) = &mut arm.0 else {
                return Ok(());
            };
            if waiting.read || waiting.write {
                registration.set(Event::new(source.key() as usize, waiting.read, waiting.write))
            } else if occurrence.wakes(Direction::Read) && occurrence.wakes(Direction::Write) && registration.added {
                // Hung up, in error or closed, perhaps: `poll` would go on reporting that to nobody.
                registration.remove()
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
        match &mut self.0 {
            Some(registration) if !registration.set.edge => {
                registration.set(Event::new(key as usize, waiting.read, waiting.write))
            }
            _ => Ok(()),
        }
    }

    /// Of a source that is registered nowhere, for tests and models.
    #[cfg(any(test, gambol_loom))]
    pub(crate) fn detached() -> Arm {
        Arm(None)
    }
}

impl Registration {
    fn add(&mut self, interest: Event) -> io::Result<()> {
        if !self.set.taken().insert(self.descriptor) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let mode = if self.set.edge { PollMode::Edge } else { PollMode::Oneshot };
        // SAFETY: `polling` asks that the descriptor be valid, and deleted before it is closed: it is open until the source is
        // deregistered (see the field), which deletes it.
        let added = match unsafe { self.set.poller.add_with_mode(self.descriptor, interest, mode) } {
            // Left there by a source that is gone; see the head of this file.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.set.poller.modify_with_mode(borrow(&self.descriptor), interest, mode)
            }
            added => added,
        };
        self.added = added.is_ok();
        if !self.added {
            self.set.taken().remove(&self.descriptor);
        }
        added
    }

    fn set(&mut self, interest: Event) -> io::Result<()> {
        if !self.added {
            return self.add(interest);
        }
        self.set.poller.modify(borrow(&self.descriptor), interest)
    }

    fn remove(&mut self) -> io::Result<()> {
        self.added = false;
        let removed = self.set.poller.delete(borrow(&self.descriptor));
        // Only now, so that nobody adds the number before it is removed.
        self.set.taken().remove(&self.descriptor);
        removed
    }
}

impl Set {
    fn taken(&self) -> impl std::ops::DerefMut<Target = HashSet<RawDescriptor>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
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
    // SAFETY: It must not be the number that stands for none, which no descriptor had. It must be open while it is
    // borrowed: it is open until the source is deregistered (see the field `descriptor`), and all calls but one come before
    // that. When a source is abandoned, only its number is meant: `polling` looks it up, and passes it to the kernel to remove
    // what was registered under it.
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
    // IOCP tells of an aborted connection, and a connection that failed, apart from reading and writing. And what says nothing
    // at all is how `poll` tells that a descriptor is closed.
    if event.is_interrupt() || occurrence == Occurrence::NOTHING {
        occurrence = occurrence | Occurrence::READABLE | Occurrence::WRITABLE;
    }
    occurrence
}
