//! What a task waits for, and since when: one word in its metadata, written by the leaf that returns Pending.
//!
//! Bits 0..6 the reason, bits 6..32 the time in units of 17 ms on the runtime's coarse clock, which the monitor and the
//! workers' own clock reads keep; 26 bits come round after 13 days, so an age is right modulo 13 days.

//!
//! In a runtime that measures how long tasks wait for their turn (`histogram.rs`) the word of a task in a queue holds READY instead,
//! and the time in microseconds.

use std::fmt;

/// The mark, in the place of a reason, of a task that stands in a queue.
pub(crate) const READY: u32 = 63;
/// What there is of a time in the word.
pub(crate) const READY_MASK: u32 = u32::MAX >> 6;

/// Why a task is parked. Under `join!` the last leaf that was polled wins.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum Reason {
    /// Nothing was said: a future that is not gambol's, or a task that has not been polled yet.
    Unknown = 0,
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

    /// Reason and time, in coarse units.
    pub(crate) fn unpack(word: u32) -> (Reason, u32) {
        (*Reason::ALL.get((word & 63) as usize).unwrap_or(&Reason::Unknown), word >> 6)
    }
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
        for reason in Reason::ALL {
            assert_eq!(Reason::unpack(reason.pack(12_345)), (reason, 12_345));
        }
    }
}
