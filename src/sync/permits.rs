//! The machine of the semaphore: a number of permits in one word, and a line of those who want more than there are.
//!
//! The word holds the number and two bits:
//!
//! | bit | set by | cleared by |
//! | --- | --- | --- |
//! | `LINE`: somebody is in line | who gets in line | who calls, or takes away, the last in line |
//! | `CLOSED` | `close` | nobody |
//!
//! *The rule*: while `LINE` is set, the word changes under the line's lock only. Without it, to take and to give back are one
//! read-modify-write each, which fail when they meet the bit, and go on under the lock. `LINE` and `CLOSED` themselves are
//! written under the lock, always.
//!
//! *To get in line*, under the lock: set `LINE`, by a compare-and-exchange that saw too few permits; get in line. *To give
//! back*: add, by a compare-and-exchange that saw no `LINE`; or take the lock, add, and serve from the front of the line as
//! long as there are enough for the first.
//!
//! *The race*: permits are given back while somebody gets in line. Both change the same word. If the giver comes first, the
//! other's exchange fails, and it looks again; if it comes second, its own fails, it takes the lock, and by then the other
//! is in line.
//!
//! Who is served has his permits from that moment, whether he is polled or not; nobody who comes later gets ahead of
//! the first, however few he wants. The models are in `tests/sync_models.rs`, which compiles this file with loom's types.

use super::{
    threads::{AtomicUsize, Mutex, MutexGuard, Ordering, discard, fence, wake},
    waiters::{Call, Found, Place, Waiters, Wakers},
};
use std::{
    sync::PoisonError,
    task::{Context, Poll},
};

const LINE: usize = 1;
const CLOSED: usize = 2;
/// The number's unit.
const ONE: usize = 4;

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Permits {
    word: AtomicUsize,
    line: Mutex<Waiters>,
}

/// Why there are no permits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    TooFew,
    Closed,
}

impl Permits {
    /// More are not counted.
    pub(super) const MAX: usize = usize::MAX >> 3;

    /// What the word is at first.
    pub(super) const fn word(permits: usize) -> usize {
        assert!(permits <= Permits::MAX, "a semaphore counts Semaphore::MAX_PERMITS permits at most");
        permits * ONE
    }

    /// With `word(permits)` and an empty line.
    pub(super) const fn new(word: AtomicUsize, line: Mutex<Waiters>) -> Permits {
        Permits { word, line }
    }

    pub(super) fn available(&self) -> usize {
        self.word.load(Ordering::Relaxed) / ONE
    }

    pub(super) fn is_closed(&self) -> bool {
        // Acquire, with `close`: who sees it closed sees what came before.
        self.word.load(Ordering::Acquire) & CLOSED != 0
    }

    /// Takes `n`, if nobody is in line.
    #[inline]
    pub(super) fn try_take(&self, n: usize) -> Result<(), Refused> {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if word & CLOSED != 0 {
                // Acquire, with the Release of `close`: who is refused sees what came before it, too.
                fence(Ordering::Acquire);
                return Err(Refused::Closed);
            }
            if word & LINE != 0 || word / ONE < n {
                return Err(Refused::TooFew);
            }
            // Acquire, with the Release of who gave them back: what he did with them was before.
            match self.word.compare_exchange_weak(word, word - n * ONE, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(now) => word = now,
            }
        }
    }

    /// Takes `n`, or waits for them at `place`, where the next poll finds it. Err: closed.
    #[inline]
    pub(super) fn poll_take(&self, n: usize, place: &mut Option<Place>, cx: &mut Context<'_>) -> Poll<Result<(), ()>> {
        if place.is_none() {
            match self.try_take(n) {
                Ok(()) => return Poll::Ready(Ok(())),
                Err(Refused::Closed) => return Poll::Ready(Err(())),
                Err(Refused::TooFew) => {}
            }
        }
        self.poll_take_slow(n, place, cx)
    }

    #[cold]
    fn poll_take_slow(&self, n: usize, place: &mut Option<Place>, cx: &mut Context<'_>) -> Poll<Result<(), ()>> {
        // Cloned before the lock is taken, and what is not needed is dropped after it.
        let waker = cx.waker().clone();
        let mut line = self.lock();
        let (poll, unneeded) = match place.take() {
            None => match self.enter(n) {
                Err(Refused::TooFew) => {
                    *place = Some(line.push_with(waker, n));
                    (Poll::Pending, None)
                }
                taken => (Poll::Ready(taken.map_err(drop)), Some(waker)),
            },
            Some(stands) => match line.look(&stands, waker) {
                Found::InLine(other) => {
                    *place = Some(stands);
                    (Poll::Pending, Some(other))
                }
                Found::Called(waker, Call::Alone) => (Poll::Ready(Ok(())), Some(waker)),
                Found::Called(waker, Call::WithAll) => (Poll::Ready(Err(())), Some(waker)),
            },
        };
        drop(line);
        discard(unneeded);
        poll
    }

    /// Takes `n` all the same, or sets `LINE`. Under the lock.
    fn enter(&self, n: usize) -> Result<(), Refused> {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let (new, result) = match word {
                _ if word & CLOSED != 0 => return Err(Refused::Closed),
                _ if word & LINE != 0 => return Err(Refused::TooFew),
                _ if word / ONE >= n => (word - n * ONE, Ok(())),
                _ => (word | LINE, Err(Refused::TooFew)),
            };
            match self.word.compare_exchange_weak(word, new, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return result,
                Err(now) => word = now,
            }
        }
    }

    /// Adds `n`, and serves those in line.
    ///
    /// # Panics
    ///
    /// When there would be more than `MAX`.
    #[inline]
    #[track_caller]
    pub(super) fn give(&self, n: usize) {
        let mut word = self.word.load(Ordering::Relaxed);
        while word & LINE == 0 {
            // Release, with the Acquire of who takes them.
            match self.word.compare_exchange_weak(word, add(word, n), Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
        let mut line = self.lock();
        let called = self.give_under(&mut line, n);
        drop(line);
        called.into_iter().for_each(wake);
    }

    /// Adds `n`, and calls who can be served. Counted under the lock, so that several who add cannot exceed `MAX` together.
    #[track_caller]
    fn give_under(&self, line: &mut Waiters, n: usize) -> Wakers {
        // Release as above, for those who take without the lock. Who is served sees what was before by the lock: what came
        // back without it came before `LINE` was set, and who set it has seen that.
        let mut word = self.word.load(Ordering::Relaxed);
        while let Err(now) = self.word.compare_exchange_weak(word, add(word, n), Ordering::Release, Ordering::Relaxed) {
            word = now;
        }
        if word & LINE == 0 { Wakers::default() } else { self.serve(line) }
    }

    /// Serves from the front. `LINE` is set, so nobody else writes the word.
    fn serve(&self, line: &mut Waiters) -> Wakers {
        let mut called = Wakers::default();
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            match line.first_note() {
                None => {
                    word &= !LINE;
                    break;
                }
                Some(n) if n <= word / ONE => {
                    word -= n * ONE;
                    called.push(line.call_one().expect("there is a first"));
                }
                Some(_) => break,
            }
        }
        // Release: it ends the sequence that the additions before it were part of.
        self.word.store(word, Ordering::Release);
        called
    }

    /// Who waited for `n` at this place goes away.
    pub(super) fn leave(&self, n: usize, place: Place) {
        let mut line = self.lock();
        let removed = line.remove(place);
        let called = match removed {
            // It may have kept others from being served.
            Ok(_) => self.serve(&mut line),
            Err(Call::Alone) => self.give_under(&mut line, n),
            Err(Call::WithAll) => Wakers::default(),
        };
        drop(line);
        called.into_iter().for_each(wake);
        discard(removed);
    }

    /// Takes away up to `n` that nobody holds. How many it were.
    pub(super) fn take_away(&self, n: usize) -> usize {
        let _line = self.lock();
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let taken = n.min(word / ONE);
            match self.word.compare_exchange_weak(word, word - taken * ONE, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return taken,
                Err(now) => word = now,
            }
        }
    }

    /// From now on nothing is taken, and nobody waits.
    pub(super) fn close(&self) {
        let mut line = self.lock();
        self.word.fetch_or(CLOSED, Ordering::Release);
        let called = line.call_all();
        self.word.fetch_and(!LINE, Ordering::Release);
        drop(line);
        called.into_iter().for_each(wake);
    }

    fn lock(&self) -> MutexGuard<'_, Waiters> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[track_caller]
fn add(word: usize, n: usize) -> usize {
    assert!(
        n <= Permits::MAX - (word / ONE).min(Permits::MAX),
        "a semaphore counts Semaphore::MAX_PERMITS permits at most"
    );
    word + n * ONE
}
