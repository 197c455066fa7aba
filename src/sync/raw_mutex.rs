//! The machine of the mutex: a word that says whether it is locked, and a line of those who want it.
//!
//! | bit | set by | cleared by |
//! | --- | --- | --- |
//! | `LOCKED` | who locks | who unlocks, unless the lock is handed over |
//! | `OWES`: who unlocks is to look at the line; never without `LOCKED` | who gets in line, or comes in vain | who unlocks, when somebody was called |
//!
//! To lock and to unlock are one read-modify-write each, while nobody is in line. `OWES` is written under the line's lock
//! only.
//!
//! *To unlock*: exchange `LOCKED` for 0. If `OWES` is there as well, take the line's lock and *call* the first in line: it
//! leaves the line and is woken, and the word becomes 0. Anybody may take the lock now. While the one who was called is on
//! his way, those who get in line do not set `OWES`, so others lock and unlock as if nobody waited. When he comes and finds
//! the lock taken, he goes back to the front of the line, marked, and sets `OWES`; and to a marked one the lock is *handed
//! over*: it stays locked, and is his from then on.
//!
//! So each waiter is passed over during the time between one wake and one poll, and after that never again.
//!
//! *Nobody is forgotten*: if anybody is in line, the lock is taken and `OWES` is set, or somebody was called. Who was called
//! comes, or is dropped; either way he sets `OWES`, or finds the lock free: then he takes it, or calls the next.
//! *The race* is of one who gets in line with one who unlocks. Both change the same word: if the former sets `OWES` first,
//! the latter's exchange fails and it takes the line's lock; if the lock is free first, the former's exchange fails, and it
//! looks again.
//!
//! What was tried: handing over each time, which is the semaphore's way and tokio's. Where the lock is held for some
//! nanoseconds, every unlock with somebody in line then makes the next one wait for a wake, and so on. Not handing over for
//! half a millisecond, which is async-lock's way: where the lock is held across an await, most who are woken come in vain.
//! Instructions for a lock and unlock by one of four tasks on one worker (callgrind; this, async-lock 3.5, tokio 1.54 on this
//! runtime, tokio on its own): held for an addition, 85, 162, 288, 905; held across a yield, 1180, 1605, 1289, 2024. On two
//! workers, with 2 to 8 tasks (ns, in turns in one run): 10.6, 17.7, 27.5, 67; and 77, 140, 96, 590.
//!
//! The models are in `tests/sync_models.rs`, which compiles this file with loom's types.

use super::{
    threads::{AtomicUsize, Mutex, MutexGuard, Ordering, discard, wake},
    waiters::{Found, Place, Waiters},
};
use std::{
    sync::PoisonError,
    task::{Context, Poll, Waker},
};

const LOCKED: usize = 1;
const OWES: usize = 2;

/// The note of one who came in vain.
const MARKED: usize = 1;

/// See the head of this file.
#[derive(Debug)]
pub(super) struct RawMutex {
    word: AtomicUsize,
    line: Mutex<Line>,
}

#[derive(Debug)]
pub(super) struct Line {
    waiters: Waiters,
    /// The one who has left the line and has not been polled since.
    comes: Comes,
}

#[derive(Debug, PartialEq, Eq)]
enum Comes {
    Nobody,
    /// He is to look whether the lock is free.
    Called,
    /// The lock is his.
    Owner,
}

impl Line {
    pub(super) const fn new() -> Line {
        Line { waiters: Waiters::new(), comes: Comes::Nobody }
    }
}

impl RawMutex {
    /// With 0 and an empty line.
    pub(super) const fn new(word: AtomicUsize, line: Mutex<Line>) -> RawMutex {
        RawMutex { word, line }
    }

    #[inline]
    pub(super) fn try_lock(&self) -> bool {
        // Acquire, with the Release of who unlocks.
        self.word.compare_exchange(0, LOCKED, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Locks, or waits at `place`, where the next poll finds it.
    #[inline]
    pub(super) fn poll_lock(&self, place: &mut Option<Place>, cx: &mut Context<'_>) -> Poll<()> {
        if place.is_none() && self.try_lock() { Poll::Ready(()) } else { self.poll_lock_slow(place, cx) }
    }

    #[cold]
    fn poll_lock_slow(&self, place: &mut Option<Place>, cx: &mut Context<'_>) -> Poll<()> {
        // Cloned before the lock is taken, and what is not needed is dropped after it.
        let waker = cx.waker().clone();
        let mut line = self.lock_line();
        let (poll, unneeded) = match place.take() {
            None if self.lock_or_owe(&line) => (Poll::Ready(()), Some(waker)),
            None => {
                *place = Some(line.waiters.push(waker));
                (Poll::Pending, None)
            }
            Some(stands) => match line.waiters.look(&stands, waker) {
                Found::InLine(other) => {
                    *place = Some(stands);
                    (Poll::Pending, Some(other))
                }
                Found::Called(waker, _) => match std::mem::replace(&mut line.comes, Comes::Nobody) {
                    Comes::Called if !self.lock_or_owe(&line) => {
                        *place = Some(line.waiters.push_front(waker, MARKED));
                        (Poll::Pending, None)
                    }
                    Comes::Called | Comes::Owner => (Poll::Ready(()), Some(waker)),
                    Comes::Nobody => unreachable!("who is called comes"),
                },
            },
        };
        drop(line);
        discard(unneeded);
        poll
    }

    /// Locks, or sees to it that who unlocks looks at the line.
    fn lock_or_owe(&self, line: &Line) -> bool {
        let owes = if line.waiters.first_note().is_some() { OWES } else { 0 };
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let new = match word {
                // Those in line are owed a call, unless one of them is on his way.
                0 if line.comes == Comes::Nobody => LOCKED | owes,
                0 => LOCKED,
                _ if line.comes == Comes::Called || word & OWES != 0 => return false,
                _ => LOCKED | OWES,
            };
            match self.word.compare_exchange_weak(word, new, Ordering::Acquire, Ordering::Relaxed) {
                Ok(before) => return before == 0,
                Err(now) => word = now,
            }
        }
    }

    /// For the one who has locked.
    #[inline]
    pub(super) fn unlock(&self) {
        // Release, with the Acquire of who locks.
        if self.word.compare_exchange(LOCKED, 0, Ordering::Release, Ordering::Relaxed).is_err() {
            self.unlock_slow();
        }
    }

    #[cold]
    fn unlock_slow(&self) {
        let mut line = self.lock_line();
        let waker = self.unlock_under(&mut line);
        drop(line);
        waker.into_iter().for_each(wake);
    }

    /// Nobody else writes the word: it is locked, and the line's lock is held.
    #[must_use = "to be woken after the lock was released"]
    fn unlock_under(&self, line: &mut Line) -> Option<Waker> {
        debug_assert!(line.comes == Comes::Nobody, "who is called keeps those in line from setting OWES");
        let first = line.waiters.first_note();
        let waker = line.waiters.call_one();
        let word = match first {
            Some(MARKED) => {
                line.comes = Comes::Owner;
                if line.waiters.first_note().is_some() { LOCKED | OWES } else { LOCKED }
            }
            Some(_) => {
                line.comes = Comes::Called;
                0
            }
            None => 0,
        };
        self.word.store(word, Ordering::Release);
        waker
    }

    /// Who waited at this place goes away.
    pub(super) fn leave(&self, place: Place) {
        let mut line = self.lock_line();
        let removed = line.waiters.remove(place);
        let waker = match &removed {
            Ok(_) => None,
            Err(_) => match std::mem::replace(&mut line.comes, Comes::Nobody) {
                Comes::Owner => self.unlock_under(&mut line),
                // Locked, if only for a moment, it can be unlocked: that calls the next.
                Comes::Called if line.waiters.first_note().is_some() && self.lock_or_owe(&line) => {
                    self.unlock_under(&mut line)
                }
                Comes::Called => None,
                Comes::Nobody => unreachable!("who is called comes"),
            },
        };
        drop(line);
        waker.into_iter().for_each(wake);
        discard(removed);
    }

    pub(super) fn is_locked(&self) -> bool {
        self.word.load(Ordering::Relaxed) & LOCKED != 0
    }

    fn lock_line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
