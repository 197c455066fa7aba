//! What a task waits for, and since when: one word in its metadata.
//!
//! Bits 0..5 the reason, bit 5 see below, bits 6..32 the time in units of 17 ms on the runtime's coarse clock, which the monitor and the
//! workers' own clock reads keep; 26 bits come round after 13 days, so an age is right modulo 13 days.
//!
//! ```text
//! 0          queued since then, and nothing was said since: written by the schedule function (`core.rs`)
//! a reason   parked since then: written by the leaf that returns Pending
//! ```
//!
//! A task that returns Pending while the word still says that it is queued was parked by a future that is not gambol's: then its
//! container says [`Reason::Unknown`], and leaves the time. So a reason is never older than the turn in which the task was parked.
//! That the word of the queued has no reason, and that `Unknown` is one bit, makes it three instructions for each wake and three
//! for each Pending.
//!
//! In a runtime that measures how long tasks wait for their turn (`histogram.rs`) the time of a task that stands in a queue is in
//! microseconds, until its turn begins. From then on, until a leaf says something, bit 5 tells that it is not.

use std::fmt;

/// What there is of a time in the word.
pub(crate) const TIME_MASK: u32 = u32::MAX >> 6;

/// The bits of the reason.
const REASON: u32 = 31;
/// The task's turn has begun, and the time is on the coarse clock. Set where turns are measured only.
const BEGUN: u32 = 32;

/// Why a task is parked. Under `join!` the last leaf that was polled wins.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum Reason {
    /// Nothing was said: a future that is not gambol's, or a combinator that has polled none of its futures in the last turn, as
    /// `FuturesUnordered` does.
    Unknown = 1,
    /// Room in a channel, or a receiver.
    ChanSend,
    /// A value from a channel.
    ChanRecv,
    /// Any arm of a `select!`.
    Select,
    /// A deadline.
    Sleep,
    /// Readability of a descriptor.
    Read,
    /// Writability of a descriptor.
    Write,
    /// A connection to accept.
    Accept,
    /// A connection being made.
    Connect,
    /// The end of another task.
    Join,
    /// A lock or a permit.
    Lock,
    /// A job in the blocking pool.
    Blocking,
    /// The end of a child process.
    Process,
    /// A signal from the operating system.
    Signal,
    /// A notification.
    Notify,
}

impl Reason {
    const ALL: [Reason; 15] = [
        Reason::Unknown,
        Reason::ChanSend,
        Reason::ChanRecv,
        Reason::Select,
        Reason::Sleep,
        Reason::Read,
        Reason::Write,
        Reason::Accept,
        Reason::Connect,
        Reason::Join,
        Reason::Lock,
        Reason::Blocking,
        Reason::Process,
        Reason::Signal,
        Reason::Notify,
    ];

    /// The word that dumps print.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Unknown => "unknown",
            Reason::ChanSend => "chan send",
            Reason::ChanRecv => "chan recv",
            Reason::Select => "select",
            Reason::Sleep => "sleep",
            Reason::Read => "read",
            Reason::Write => "write",
            Reason::Accept => "accept",
            Reason::Connect => "connect",
            Reason::Join => "join",
            Reason::Lock => "lock",
            Reason::Blocking => "blocking",
            Reason::Process => "process",
            Reason::Signal => "signal",
            Reason::Notify => "notify",
        }
    }

    pub(crate) fn pack(self, coarse: u32) -> u32 {
        self as u32 | coarse << 6
    }
}

/// The word of a task that is queued.
pub(crate) fn queued(coarse: u32) -> u32 {
    coarse << 6
}

/// The word of such a task in its turn, where turns are measured.
pub(crate) fn begun(coarse: u32) -> u32 {
    coarse << 6 | BEGUN
}

/// Whether a word says that a task is queued, or was when its turn began.
pub(crate) fn is_queued(word: u32) -> bool {
    word & REASON == 0
}

/// Whether the time of such a word, where turns are measured, is that of a queue, in microseconds.
pub(crate) fn is_in_micros(word: u32) -> bool {
    word & (REASON | BEGUN) == 0
}

/// The reason, if there is one, and the time, in coarse units.
pub(crate) fn unpack(word: u32) -> (Option<Reason>, u32) {
    let reason = (word & REASON).checked_sub(1);
    (reason.map(|place| *Reason::ALL.get(place as usize).unwrap_or(&Reason::Unknown)), word >> 6)
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_survives_the_word() {
        assert_eq!(unpack(queued(12_345)), (None, 12_345));
        assert_eq!(unpack(begun(12_345)), (None, 12_345));
        assert!(is_queued(begun(7)) && !is_in_micros(begun(7)) && is_in_micros(queued(7)));
        assert_eq!(unpack(begun(7) | Reason::Unknown.pack(0)), (Some(Reason::Unknown), 7));
        for reason in Reason::ALL {
            assert_eq!(unpack(reason.pack(12_345)), (Some(reason), 12_345));
        }
    }
}
