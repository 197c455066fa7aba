//! What the loom models need to see, and nobody else: a source without a kernel, and the latch. Compiled under
//! `gambol_loom` only.

use std::task::Waker;

use crate::latch;
use crate::platform::road;
use crate::readiness::{Occurrence, Retirement};
use crate::source::Source;

/// A source that no kernel knows.
pub fn source() -> Source {
    Source::new(0, crate::platform::RawDescriptor::default(), road::Arm::detached())
}

/// Delivers an event: readable, with the end if `closed`.
pub fn deliver_read(source: &Source, closed: bool, ready: &mut Vec<Waker>) {
    let occurrence = if closed { Occurrence::READ_CLOSED } else { Occurrence::READABLE };
    source.deliver(occurrence, ready);
}

/// Delivers an event: readable and writable.
pub fn deliver_both(source: &Source, ready: &mut Vec<Waker>) {
    source.deliver(Occurrence::READABLE | Occurrence::WRITABLE, ready);
}

/// What `Poller::deregister` does to a source.
pub fn deregister(source: &Source, ready: &mut Vec<Waker>) -> bool {
    source.retire(Retirement::Deregistered, ready)
}

/// What `Poller::close` does to a source.
pub fn close(source: &Source, ready: &mut Vec<Waker>) -> bool {
    source.retire(Retirement::Gone, ready)
}

/// The latch of `Poller::notify`.
pub struct Latch(latch::Latch);

impl Latch {
    /// Open.
    #[expect(clippy::new_without_default)]
    pub fn new() -> Latch {
        Latch(latch::Latch::new())
    }

    /// Whether the caller owes a wake-up.
    pub fn set(&self) -> bool {
        self.0.set()
    }

    /// The wake-up has arrived.
    pub fn open(&self) {
        self.0.open();
    }
}
