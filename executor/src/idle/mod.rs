//! Who is idle, who searches, and whom to wake: the protocol is in `idle/README.md`, which comes first.
//!
//! [`Idle`] counts and lists, [`Parker`] puts one thread to sleep, [`Seat`] is the place in the network poller that one
//! idle worker takes. None of them knows what work is.

mod parker;
mod seat;

pub(crate) use parker::{Owed, Parker};
pub(crate) use seat::{NOBODY, Seat};

use crate::sync::{AtomicUsize, Mutex, MutexGuard, Ordering, fence};
use std::sync::PoisonError;

#[cfg(all(test, gambol_loom))]
pub(crate) mod models;

/// One parked worker in the state word.
const PARKED: usize = 1;
/// One searching worker in the state word.
const SEARCHING: usize = 1 << 16;
const MASK: usize = SEARCHING - 1;

/// How a worker came off the list.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Left {
    /// By itself. It counts as busy, and does not search.
    Alone,
    /// A publisher took it off. It counts as searching and owes a `stop_search`.
    Claimed,
}

/// The parked workers, and the number of those that search.
pub(crate) struct Idle {
    /// Bits 0..16 the length of `list`, bits 16.. how many search. Changed only while `list` is locked, except for the
    /// searching count, which has no list behind it; read by anyone.
    state: AtomicUsize,
    /// Parked workers. The last is woken first, because it is warmest; the one in the poller is put in front.
    list: Mutex<Vec<u16>>,
}

impl Idle {
    pub(crate) fn new() -> Idle {
        Idle { state: AtomicUsize::new(0), list: Mutex::new(Vec::new()) }
    }

    /// Parked workers and searching workers, at this moment or a little before.
    #[inline]
    pub(crate) fn counts(&self) -> (usize, usize) {
        let state = self.state.load(Ordering::Relaxed);
        (state & MASK, state >> 16)
    }

    /// Whether a wake could find someone and is not already on its way. For the owner's pushes, which may be wrong.
    #[inline]
    pub(crate) fn wants_wake(&self) -> bool {
        let (parked, searching) = self.counts();
        parked > 0 && searching == 0
    }

    /// Called after work was made visible to all: takes a parked worker off the list, unless one searches.
    ///
    /// Whoever is returned counts as searching and must be unparked by the caller.
    #[must_use]
    pub(crate) fn claim_after_publish(&self) -> Option<u16> {
        // Pairs with the fence in `enter`: either we see the parker in the state, or it sees our work in its recheck.
        // Without it both may miss the other, and the work lies there while everyone sleeps.
        fence(Ordering::SeqCst);
        self.claim()
    }

    /// As above for a caller that has nothing new to publish.
    #[must_use]
    pub(crate) fn claim(&self) -> Option<u16> {
        if !self.wants_wake() {
            return None;
        }
        let mut list = lock(&self.list);
        let (_, searching) = self.counts();
        if searching > 0 {
            return None;
        }
        let worker = list.pop()?;
        self.state.fetch_add(SEARCHING - PARKED, Ordering::Relaxed);
        Some(worker)
    }

    /// Puts a worker on the list. It must look at all sources of work once more before it sleeps.
    ///
    /// `searching` says whether it counted as such until now; `seated` that it will sleep in the poller.
    pub(crate) fn enter(&self, worker: u16, searching: bool, seated: bool) {
        let mut list = lock(&self.list);
        if seated {
            list.insert(0, worker);
        } else {
            list.push(worker);
        }
        let delta = if searching { PARKED.wrapping_sub(SEARCHING) } else { PARKED };
        self.state.fetch_add(delta, Ordering::Relaxed);
        drop(list);
        // Pairs with the fence in `claim_after_publish`.
        fence(Ordering::SeqCst);
    }

    /// Takes a worker off the list, if it is still on it.
    pub(crate) fn leave(&self, worker: u16) -> Left {
        let mut list = lock(&self.list);
        match list.iter().position(|&w| w == worker) {
            Some(place) => {
                list.remove(place);
                self.state.fetch_sub(PARKED, Ordering::Relaxed);
                Left::Alone
            }
            None => Left::Claimed,
        }
    }

    /// One who is on the list, to be unparked without a claim: it comes off the list by itself.
    pub(crate) fn any(&self) -> Option<u16> {
        lock(&self.list).last().copied()
    }

    /// Whether a worker is on the list.
    pub(crate) fn lists(&self, worker: u16) -> bool {
        lock(&self.list).contains(&worker)
    }

    /// Shows all who are on the list.
    pub(crate) fn look(&self, see: impl FnMut(u16)) {
        lock(&self.list).iter().copied().for_each(see);
    }

    /// Takes a worker off the list that has seen work in its last look, and counts it as searching, whoever took it off.
    ///
    /// It may have searched before, and publishers have relied on that. If it went on as busy, what it does not take itself
    /// would lie there. It owes a `stop_search`.
    pub(crate) fn leave_to_search(&self, worker: u16) {
        let mut list = lock(&self.list);
        if let Some(place) = list.iter().position(|&w| w == worker) {
            list.remove(place);
            self.state.fetch_add(SEARCHING - PARKED, Ordering::Relaxed);
        }
    }

    /// Counts the caller as searching, unless half of the busy workers search already.
    pub(crate) fn start_search(&self, workers: usize) -> bool {
        let (parked, searching) = self.counts();
        if 2 * searching >= workers.saturating_sub(parked) {
            return false;
        }
        self.state.fetch_add(SEARCHING, Ordering::Relaxed);
        true
    }

    /// Ends a search that found work. If it was the last one, the caller must see whether more work wants a worker:
    /// publishers have relied on the searcher and woken nobody.
    #[must_use]
    pub(crate) fn stop_search(&self) -> bool {
        let before = self.state.fetch_sub(SEARCHING, Ordering::Relaxed);
        // Pairs with the fence in `claim_after_publish`: a publisher that still saw us searching published before the
        // caller's next look.
        fence(Ordering::SeqCst);
        before >> 16 == 1
    }
}

/// Locks a list that no panic can leave half-changed.
fn lock(list: &Mutex<Vec<u16>>) -> MutexGuard<'_, Vec<u16>> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}
