//! What the loom models need to see, and nobody else: a source without a kernel, the latch, and a source's lock. Compiled under
//! `gambol_loom` only.

use std::io;
use std::task::{Poll, Waker};

use crate::latch;
use crate::lock;
use crate::platform::road;
use crate::readiness::{Direction, Occurrence, Ready, Retirement};
use crate::source::Source;

/// A source that no kernel knows.
pub fn source() -> Source {
    Source::new(0, crate::platform::RawDescriptor::default(), road::Arm::detached())
}

/// A source that no kernel knows and that is to be watched later.
pub fn dormant() -> Source {
    Source::dormant(0, crate::platform::RawDescriptor::default(), road::Arm::detached())
}

/// What `Poller::poll_ready` does; `watch` stands for the kernel.
pub fn poll_ready(
    source: &Source,
    direction: Direction,
    waker: &Waker,
    watch: impl Fn() -> io::Result<()>,
) -> Poll<io::Result<Ready>> {
    source.poll_ready_or_rouse(direction, waker, |_| watch())
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

/// The lock of a source, around a number.
pub struct Lock(lock::SpinLock<u32, ()>);

impl Lock {
    /// Around 0.
    #[expect(clippy::new_without_default)]
    pub fn new() -> Lock {
        Lock(lock::SpinLock::new(0, ()))
    }

    /// Adds one to the number, which it had before.
    pub fn count(&self) -> u32 {
        let mut number = self.0.lock();
        *number += 1;
        *number - 1
    }
}
