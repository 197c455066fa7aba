//! The one word by which a `select!` with several arms is done once, and woken once.
//!
//! A select that waits stands in line at several channels, each with a lock of its own. What they must agree on is here: a
//! receiver that takes the value of one of its sends *claims* it, so that no other arm is done as well.
//!
//! | state | meaning |
//! | --- | --- |
//! | SHUT | the select runs, or is over: nobody may claim it. From its making, and from [`shut`](Claim::shut) on |
//! | OPEN | it waits: whoever comes first may claim it. Set by [`open`](Claim::open), under the locks of all its channels |
//! | SENT + arm | claimed: the send in this arm was done, or refused by a closed channel. For good |
//!
//! Beside it stands the bit WOKEN: whoever sets it takes the waker out of the cell and owes the wake. It is set whenever the
//! state is not OPEN, so the cell belongs to the select itself then; but see below.
//!
//! To claim, or to call (a value has come for a receive; that claims nothing): under the lock of the channel in whose line the
//! select was found, change the word; who has set WOKEN takes the waker.
//!
//! To run: `shut`. It fails if the select was claimed, which is then its outcome. Otherwise nobody can claim it until it
//! opens, and it may be done by an arm of its own choice. If WOKEN was not set, the waker is still in the cell and the select's.
//! If it was, somebody may be taking it out at this moment, under the lock of one of the channels; so the select touches the cell
//! no more until it has held all of these locks again: in `open`, or while it leaves the lines, before its memory ends.
//!
//! *The race*: two selects meet, each of which sends what the other receives. The one that runs is shut, so the other one cannot
//! claim it; but it cannot have missed the other either, since it looks, gets in line and opens while it holds all the
//! locks: whoever comes second finds the first open, or has all of the first's attempt before its own.

use super::sync::{AtomicU32, Ordering, UnsafeCell};
use gambol_executor::discard;
use std::{marker::PhantomPinned, task::Waker};

const SHUT: u32 = 0;
const OPEN: u32 = 1;
const SENT: u32 = 2;
const WOKEN: u32 = 1 << 31;

/// See the head of this file.
#[derive(Debug)]
pub struct Claim {
    word: AtomicU32,
    /// As the head of this file says. None: it was taken, or never there.
    waker: UnsafeCell<Option<Waker>>,
    /// Lines point here.
    _pinned: PhantomPinned,
}

// SAFETY: the cell is touched by one thread at a time, as the head of this file says; wakers are Send and Sync.
unsafe impl Send for Claim {}
// SAFETY: as above.
unsafe impl Sync for Claim {}

impl Drop for Claim {
    /// A panic of the waker's drop ends here: the select's outcome is on its way out at this moment, and would go with it.
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the select has left all lines, under their locks, so nobody else knows the cell.
        if let Some(waker) = self.waker.with_mut(|cell| unsafe { (*cell).take() }) {
            discard(waker);
        }
    }
}

/// What became of an attempt to claim.
#[derive(Debug)]
#[must_use]
pub(super) enum Claimed {
    /// It was open. Its waker, if it is not being woken already.
    Won(Option<Waker>),
    /// It runs, and may wait again later.
    Busy,
    /// Another arm of it is done.
    Over,
}

/// What became of a call.
#[derive(Debug)]
#[must_use]
pub(super) enum Called {
    /// It will look. Its waker, if it does not run and is not being woken already.
    Comes(Option<Waker>),
    /// A send of it is done: it will not come for this.
    Over,
}

/// What a select finds that begins to run.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Shut {
    /// The send in this arm was done while it waited.
    Sent(u32),
    /// None was. It may be claimed no more. Whether its waker is still in its cell, and its own again.
    Running { waker: bool },
}

impl Claim {
    pub(crate) fn new() -> Claim {
        Claim { word: AtomicU32::new(SHUT | WOKEN), waker: UnsafeCell::new(None), _pinned: PhantomPinned }
    }

    /// For the select itself, at the begin of a turn and before it is dropped.
    pub(crate) fn shut(&self) -> Shut {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if word & !WOKEN >= SENT {
                break;
            }
            // Acquire, with the AcqRel in `claim`: what its receiver did before is seen. Release: not needed, whoever reads SHUT does
            // nothing then.
            match self.word.compare_exchange(word, SHUT | WOKEN, Ordering::Acquire, Ordering::Acquire) {
                Ok(_) => return Shut::Running { waker: word & WOKEN == 0 },
                Err(now) => word = now,
            }
        }
        Shut::Sent((self.word.load(Ordering::Acquire) & !WOKEN) - SENT)
    }

    /// For the select itself, whose outcome did not suit it: it begins anew.
    ///
    /// # Safety
    ///
    /// It stands in no line.
    pub(crate) unsafe fn reset(&self) {
        // Relaxed: nobody else knows us, and whoever will learns of us by a lock.
        self.word.store(SHUT | WOKEN, Ordering::Relaxed);
    }

    /// For the select itself, which waits from now on. The waker that was in the cell is returned, to be dropped later.
    ///
    /// # Safety
    ///
    /// The caller is the select, has shut it, and holds the locks of all channels in whose lines it stands.
    pub(crate) unsafe fn open(&self, waker: Option<Waker>) -> Option<Waker> {
        // SAFETY: shut, so nobody sets WOKEN; and who had set it before did so under one of the locks that we hold now, and has
        // taken the waker under it.
        let old = self.waker.with_mut(|cell| unsafe {
            match waker {
                Some(waker) => (*cell).replace(waker),
                None => {
                    debug_assert!((*cell).is_some(), "a select that waits has a waker");
                    None
                }
            }
        });
        // Release: the cell is seen by who claims it. The locks do that as well, for those that come after us; a claim of a plain
        // channel operation is under one of them.
        self.word.store(OPEN, Ordering::Release);
        old
    }

    /// Whether the waker in the cell wakes the same as `waker`.
    ///
    /// # Safety
    ///
    /// `shut` has said that the cell is the select's own.
    pub(crate) unsafe fn wakes(&self, waker: &Waker) -> bool {
        // SAFETY: the caller's promise: WOKEN is set by ourselves, so nobody else touches the cell.
        self.waker.with_mut(|cell| unsafe { (*cell).as_ref().is_some_and(|own| own.will_wake(waker)) })
    }

    /// For a receiver that would take the value of the send in `arm`, or for who closes the channel.
    ///
    /// # Safety
    ///
    /// The caller holds the lock of a channel in whose line the select stands.
    pub(super) unsafe fn claim(&self, arm: u32) -> Claimed {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            match word & !WOKEN {
                SHUT => return Claimed::Busy,
                OPEN => {}
                _ => return Claimed::Over,
            }
            // Acquire: the waker is seen. Release, with the Acquire in `shut`: what was done in this arm is seen.
            match self.word.compare_exchange(word, (SENT + arm) | WOKEN, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => {
                    // SAFETY: we have set WOKEN if it was not set, under the lock of one of its channels.
                    return Claimed::Won(if word & WOKEN == 0 { unsafe { self.take() } } else { None });
                }
                Err(now) => word = now,
            }
        }
    }

    /// For somebody who has something for one of its receives.
    ///
    /// # Safety
    ///
    /// As for `claim`.
    pub(super) unsafe fn call(&self) -> Called {
        // Acquire: the waker is seen.
        let word = self.word.fetch_or(WOKEN, Ordering::Acquire);
        if word & !WOKEN >= SENT {
            Called::Over
        } else if word & WOKEN != 0 {
            Called::Comes(None)
        } else {
            // SAFETY: we have set WOKEN, under the lock of one of its channels.
            Called::Comes(unsafe { self.take() })
        }
    }

    /// # Safety
    ///
    /// The caller has just set WOKEN, and holds the lock of a channel in whose line the select stands.
    unsafe fn take(&self) -> Option<Waker> {
        // SAFETY: who sets WOKEN has the cell to himself until the select has held all the locks again, ours among them.
        self.waker.with_mut(|cell| unsafe { (*cell).take() })
    }
}
