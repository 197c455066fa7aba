//! What is recorded of the scheduler's steps, and how it is kept: in four words.
//!
//! | word | bits | holds |
//! | --- | --- | --- |
//! | 0 | | nanoseconds on the monotonic clock, also when the runtime's time is virtual |
//! | 1 | 0..8 | the kind |
//! | | 8..16 | a small figure: by whom, or how a turn ended |
//! | | 16..32 | the task's name, a number of the recorder's; 0: none |
//! | | 32.. | the track: a worker, or a thread that is none |
//! | 2 | | the task |
//! | 3 | | the spawn location as an address, another task, or a count |

use crate::task::{Reason, unpack_wait};
use std::{panic::Location, ptr};

/// A place in the source. Such references are good for ever.
pub(crate) type Site = &'static Location<'static>;

/// Who made a task ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// Another task, by its id.
    Task(u64),
    /// The network poller.
    Poller,
    /// A timer.
    Timer,
    /// Someone outside of tasks.
    Outside,
    /// Somebody, while it ran: itself, if it yielded.
    Meanwhile,
}

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The task waits.
    Waits(Reason),
    /// It was woken during its turn, and will have another one.
    Ready,
    /// The task has ended.
    Over,
}

/// Something that the scheduler did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    /// A task was spawned. `name` is a number of the recorder's.
    Spawn { id: u64, site: Option<Site>, name: u16 },
    /// A task's turn begins.
    Run { id: u64, site: Option<Site>, name: u16 },
    /// The turn is over.
    Stop { id: u64, end: End },
    /// A task that waited is to run.
    Ready { id: u64, by: By },
    /// A worker took tasks from another.
    Steal { from: u16, tasks: usize },
    /// A worker goes to sleep.
    Park,
    /// It woke up.
    Unpark,
    /// The thread waits in the poller, or only looks there.
    PollBegin,
    /// With so many events it is out of there.
    PollEnd { events: usize },
    /// So many timers were due.
    Timers { fired: usize },
    /// A thread becomes a worker, or serves again after a rest.
    WorkerStart,
    /// It is one too many, and is kept for later.
    WorkerRest,
    /// The thread ends.
    WorkerEnd,
    /// A worker has sat in one turn for too long. `id` is 0 if the task is not known.
    StallBegin { worker: u16, id: u64, site: Option<Site> },
    /// It is back.
    StallEnd { worker: u16 },
}

const OVER: u8 = 255;
const READY: u8 = 254;

impl Note {
    /// The four words. Always inlined: where the note is known, little is left of this.
    #[inline(always)]
    pub(super) fn pack(self, time: u64, track: u32) -> [u64; 4] {
        let site = |site: Option<Site>| site.map_or(0, |site| ptr::from_ref(site).expose_provenance() as u64);
        let (kind, small, name, id, rest) = match self {
            Note::Spawn { id, site: at, name } => (1u8, 0, name, id, site(at)),
            Note::Run { id, site: at, name } => (2, 0, name, id, site(at)),
            Note::Stop { id, end } => (3, end.pack(), 0, id, 0),
            Note::Ready { id, by } => match by {
                By::Task(waker) => (4, 0, 0, id, waker),
                By::Poller => (4, 1, 0, id, 0),
                By::Timer => (4, 2, 0, id, 0),
                By::Outside => (4, 3, 0, id, 0),
                By::Meanwhile => (4, 4, 0, id, 0),
            },
            Note::Steal { from, tasks } => (5, 0, from, 0, tasks as u64),
            Note::Park => (6, 0, 0, 0, 0),
            Note::Unpark => (7, 0, 0, 0, 0),
            Note::PollBegin => (8, 0, 0, 0, 0),
            Note::PollEnd { events } => (9, 0, 0, 0, events as u64),
            Note::Timers { fired } => (10, 0, 0, 0, fired as u64),
            Note::WorkerStart => (11, 0, 0, 0, 0),
            Note::WorkerRest => (12, 0, 0, 0, 0),
            Note::WorkerEnd => (13, 0, 0, 0, 0),
            Note::StallBegin { worker, id, site: at } => (14, 0, worker, id, site(at)),
            Note::StallEnd { worker } => (15, 0, worker, 0, 0),
        };
        let word = u64::from(kind) | u64::from(small) << 8 | u64::from(name) << 16 | u64::from(track) << 32;
        [time, word, id, rest]
    }

    /// Time, track and note of four words; no note if they hold none.
    ///
    /// # Safety
    ///
    /// The words were made by `pack`, all four by the same call.
    pub(super) unsafe fn unpack(words: [u64; 4]) -> (u64, u32, Option<Note>) {
        let [time, word, id, rest] = words;
        let (small, name) = ((word >> 8) as u8, (word >> 16) as u16);
        let site = || {
            let site: *const Location<'static> = ptr::with_exposed_provenance(rest as usize);
            // SAFETY: by the caller's promise the word is zero, or the address of a reference that is good for ever, whose
            // provenance was exposed.
            unsafe { site.as_ref() }
        };
        let note = match word as u8 {
            1 => Note::Spawn { id, site: site(), name },
            2 => Note::Run { id, site: site(), name },
            3 => Note::Stop { id, end: End::unpack(small) },
            4 => Note::Ready {
                id,
                by: match small {
                    0 => By::Task(rest),
                    1 => By::Poller,
                    2 => By::Timer,
                    3 => By::Outside,
                    _ => By::Meanwhile,
                },
            },
            5 => Note::Steal { from: name, tasks: rest as usize },
            6 => Note::Park,
            7 => Note::Unpark,
            8 => Note::PollBegin,
            9 => Note::PollEnd { events: rest as usize },
            10 => Note::Timers { fired: rest as usize },
            11 => Note::WorkerStart,
            12 => Note::WorkerRest,
            13 => Note::WorkerEnd,
            14 => Note::StallBegin { worker: name, id, site: site() },
            15 => Note::StallEnd { worker: name },
            _ => return (time, (word >> 32) as u32, None),
        };
        (time, (word >> 32) as u32, Some(note))
    }
}

impl End {
    fn pack(self) -> u8 {
        match self {
            End::Waits(reason) => reason.pack(0) as u8,
            End::Ready => READY,
            End::Over => OVER,
        }
    }

    fn unpack(small: u8) -> End {
        match small {
            OVER => End::Over,
            READY => End::Ready,
            reason => End::Waits(unpack_wait(u32::from(reason)).0.unwrap_or(Reason::Unknown)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_note_survives_its_four_words() {
        let site = Some(Location::caller());
        let id = 7 << 48 | 12_345;
        for note in [
            Note::Spawn { id, site, name: 3 },
            Note::Run { id, site: None, name: 0 },
            Note::Stop { id, end: End::Over },
            Note::Stop { id, end: End::Ready },
            Note::Stop { id, end: End::Waits(Reason::Notify) },
            Note::Ready { id, by: By::Task(u64::MAX) },
            Note::Ready { id, by: By::Poller },
            Note::Ready { id, by: By::Timer },
            Note::Ready { id, by: By::Outside },
            Note::Ready { id, by: By::Meanwhile },
            Note::Steal { from: 255, tasks: 128 },
            Note::Park,
            Note::Unpark,
            Note::PollBegin,
            Note::PollEnd { events: 256 },
            Note::Timers { fired: 1_000_000 },
            Note::WorkerStart,
            Note::WorkerRest,
            Note::WorkerEnd,
            Note::StallBegin { worker: 9, id, site },
            Note::StallEnd { worker: 9 },
        ] {
            // SAFETY: the words come from one call of `pack`.
            let unpacked = unsafe { Note::unpack(note.pack(99, u32::MAX)) };
            assert_eq!(unpacked, (99, u32::MAX, Some(note)));
        }
    }
}
