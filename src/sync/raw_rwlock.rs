//! The machine of the read-write lock, put together from those of the semaphore and the mutex.
//!
//! There are [`ALL`] shares. A reader takes one; a writer all, so that there is nobody beside it. Shares are given out in
//! the order in which they are asked for, so later readers wait behind a writer that waits. Before it asks for shares, a
//! writer or an upgradable reader takes its *turn*, a mutex: there is one of them at a time, and it may ask for the rest of
//! the shares while it has one, without meeting another one that does the same. A writer that ends gives back its shares
//! first and its turn second, so that readers who waited get in before the next writer.
//!
//! What somebody has is told by [`Has`]; [`Held`] gives it back when it is dropped, whatever it is at that moment, and
//! [`Asking`] is on the way from one to the other.
//!
//! The models are in `tests/sync_models.rs`, which compiles this file with loom's types.

use super::{
    permits::Permits,
    raw_mutex::RawMutex,
    threads::{Reason, park, spend},
    waiters::Place,
};
use std::{
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// More readers wait.
pub(super) const ALL: usize = 1 << 28;

/// See the head of this file.
#[derive(Debug)]
pub(super) struct RawRwLock {
    turn: RawMutex,
    shares: Permits,
}

/// What one holder has of the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Has {
    Nothing,
    /// The turn, on the way to more.
    Turn,
    /// A share.
    Read,
    /// The turn and a share.
    Upgradable,
    /// The turn and all shares.
    Write,
}

impl Has {
    const fn shares(self) -> usize {
        match self {
            Has::Nothing | Has::Turn => 0,
            Has::Read | Has::Upgradable => 1,
            Has::Write => ALL,
        }
    }

    const fn turn(self) -> bool {
        matches!(self, Has::Turn | Has::Upgradable | Has::Write)
    }
}

impl RawRwLock {
    /// With a free mutex and `ALL` permits.
    pub(super) const fn new(turn: RawMutex, shares: Permits) -> RawRwLock {
        RawRwLock { turn, shares }
    }
}

/// A way to the lock: borrowed or shared.
pub(super) trait Lock {
    fn raw(&self) -> &RawRwLock;
}

/// Something of the lock, given back when this is dropped.
#[derive(Debug)]
pub(super) struct Held<L: Lock> {
    pub(super) lock: L,
    has: Has,
}

impl<L: Lock> Held<L> {
    /// Takes it, if it can be had at once.
    pub(super) fn try_new(lock: L, wants: Has) -> Option<Held<L>> {
        let mut held = Held { lock, has: Has::Nothing };
        if wants.turn() {
            if !held.lock.raw().turn.try_lock() {
                return None;
            }
            held.has = Has::Turn;
        }
        held.try_raise(wants).then_some(held)
    }

    /// Takes what is missing, if it can be had at once.
    pub(super) fn try_raise(&mut self, wants: Has) -> bool {
        debug_assert!(self.has.turn() == wants.turn());
        let raised = self.lock.raw().shares.try_take(wants.shares() - self.has.shares()).is_ok();
        if raised {
            self.has = wants;
        }
        raised
    }

    /// Gives back what is too much.
    #[inline]
    pub(super) fn lower(&mut self, to: Has) {
        let has = mem::replace(&mut self.has, to);
        let raw = self.lock.raw();
        // The shares first: see the head of this file.
        if has.shares() > to.shares() {
            raw.shares.give(has.shares() - to.shares());
        }
        if has.turn() && !to.turn() {
            raw.turn.unlock();
        }
    }
}

impl<L: Lock> Drop for Held<L> {
    #[inline]
    fn drop(&mut self) {
        self.lower(Has::Nothing);
    }
}

/// Completes with more than there was, made into a guard.
#[must_use = "futures do nothing unless they are awaited"]
pub(super) struct Asking<L: Lock, F> {
    /// None: it is complete.
    held: Option<Held<L>>,
    wants: Has,
    /// In the line for what is missing next.
    place: Option<Place>,
    guard: F,
}

impl<L: Lock, F> Asking<L, F> {
    #[inline]
    pub(super) fn new(lock: L, wants: Has, guard: F) -> Asking<L, F> {
        Asking::raise(Held { lock, has: Has::Nothing }, wants, guard)
    }

    /// From something to more.
    #[inline]
    pub(super) fn raise(held: Held<L>, wants: Has, guard: F) -> Asking<L, F> {
        Asking { held: Some(held), wants, place: None, guard }
    }

    #[inline]
    fn poll_steps(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let held = self.held.as_mut().expect("it was awaited to its end");
        let raw = held.lock.raw();
        if self.wants.turn() && !held.has.turn() {
            ready!(raw.turn.poll_lock(&mut self.place, cx));
            held.has = Has::Turn;
        }
        let missing = self.wants.shares() - held.has.shares();
        let taken = ready!(raw.shares.poll_take(missing, &mut self.place, cx));
        debug_assert!(taken.is_ok(), "nobody closes the shares");
        held.has = self.wants;
        Poll::Ready(())
    }
}

// Nothing in it points to itself.
impl<L: Lock, F> Unpin for Asking<L, F> {}

impl<L: Lock, G, F: Fn(Held<L>) -> G> Future for Asking<L, F> {
    type Output = G;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<G> {
        let spent = ready!(spend(cx));
        if self.poll_steps(cx).is_ready() {
            let held = self.held.take().expect("it was not awaited to its end before");
            return Poll::Ready((self.guard)(held));
        }
        spent.refund();
        park(Reason::Lock);
        Poll::Pending
    }
}

impl<L: Lock, F> Drop for Asking<L, F> {
    #[inline]
    fn drop(&mut self) {
        // What it has by now goes with `held`, after this.
        if let (Some(place), Some(held)) = (self.place.take(), &self.held) {
            let raw = held.lock.raw();
            if self.wants.turn() && !held.has.turn() {
                raw.turn.leave(place);
            } else {
                raw.shares.leave(self.wants.shares() - held.has.shares(), place);
            }
        }
    }
}
