//! Those who wait at a channel, first come first served: a doubly linked list through a slab, so that who goes away from the
//! middle does so in constant time, and no pointer points into a plain future.
//!
//! A waiter is in line until it is called; then it keeps its slot, and with it its place: a receiver that was called and finds
//! that somebody else was faster gets in again where it stood, before all who came after it.
//!
//! They stand before all others, since each was the first in line when it was called (but for the arms of a select that called it);
//! and among themselves in a heap, because a whole crowd may come again, in any order. (Looked for from the front of the list, the
//! places of 100,000 took minutes.)
//!
//! A line is used under its channel's lock. No waker is cloned, dropped or woken here, and no value dropped: they are handed
//! out, for after the release.

use super::claim::{Called, Claim, Claimed};
use std::{cmp::Reverse, collections::BinaryHeap, mem, ptr::NonNull, task::Waker};

/// See the head of this file. `V` is what a waiter brings: a sender its value, a receiver nothing.
#[derive(Debug)]
pub(crate) struct Line<V> {
    slots: Vec<Slot<V>>,
    /// The first vacant slot; the next one stands in its `behind`.
    vacant: u32,
    /// The list of those in line that were never called.
    first: u32,
    last: u32,
    /// Those that were called and are in line again, by ticket. Who has gone away meanwhile is still in here, until its turn; since
    /// nobody gets in without having been called, which takes one out, there are never more than waited at a time. None: there were none since the last
    /// crowd; most channels never have any.
    again: Option<Box<Again>>,
    /// How many of these are in line.
    again_in_line: u32,
    /// Slots that are not vacant.
    taken: u32,
    /// Those of them whose waiter was called, and has neither come nor gone.
    called: u32,
    tickets: u64,
}

/// By ticket, the first to come first: a ticket and a slot.
type Again = BinaryHeap<Reverse<(u64, u32)>>;

/// No slot.
const NONE: u32 = u32::MAX;
/// In place of the slot before: in the heap, not in the list.
const AGAIN: u32 = u32::MAX - 1;

/// Slots that are kept when a crowd has gone.
const KEPT: usize = 16;

/// A waiter's slot, until it is given to `remove`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place(u32);

impl Place {
    /// A number that is no place's.
    pub(crate) const NONE: u32 = NONE;

    /// Which one it is.
    pub(crate) fn number(&self) -> u32 {
        self.0
    }

    pub(crate) fn into_raw(self) -> u32 {
        self.0
    }

    /// From what `into_raw` gave, once; or NONE.
    pub(crate) fn from_raw(raw: u32) -> Option<Place> {
        (raw != NONE).then_some(Place(raw))
    }
}

#[derive(Debug)]
struct Slot<V> {
    /// Counts up with each arrival.
    ticket: u64,
    /// Or AGAIN.
    before: u32,
    behind: u32,
    stage: Stage<V>,
}

#[derive(Debug)]
enum Stage<V> {
    Vacant,
    InLine(Waiter, V),
    /// Called, with what it brought if that was not taken.
    Called(Option<V>),
}

/// Whom to wake.
#[derive(Debug)]
pub(crate) enum Waiter {
    /// A future of its own.
    Task(Waker),
    /// An arm of a select.
    Arm(Arm),
}

/// An arm of a select that stands in line at several channels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arm {
    claim: NonNull<Claim>,
    number: u32,
}

// SAFETY: a Claim is Sync; it is reached through a line only, as `Arm::new` says.
unsafe impl Send for Arm {}

impl Arm {
    /// # Safety
    ///
    /// The arm is put into one line, which is touched under its channel's lock only. The claim does not move or end before the
    /// arm's place was removed from that line.
    pub(crate) unsafe fn new(claim: &Claim, number: u32) -> Arm {
        Arm { claim: NonNull::from(claim), number }
    }

    fn claim(&self) -> Claimed {
        // SAFETY: called by lines only, for an arm that stands there: so the claim is there and the lock is held (`new`).
        unsafe { self.claim.as_ref().claim(self.number) }
    }

    fn call(&self) -> Called {
        // SAFETY: as in `claim`.
        unsafe { self.claim.as_ref().call() }
    }
}

/// What became of a waiter that goes away.
#[derive(Debug)]
pub(crate) enum Left<V> {
    /// It was in line. Its waker, to be dropped after the release, and what it brought.
    InLine(Waiter, V),
    /// It was called, and what it brought taken if there is none.
    Called(Option<V>),
}

/// What became of a waiter that looks again.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// It is in line, and will be woken with the right waker.
    InLine,
    /// It is in line with a waker of before.
    Stale,
    Called,
}

impl<V> Line<V> {
    pub(crate) const fn new() -> Line<V> {
        Line {
            slots: Vec::new(),
            vacant: NONE,
            first: NONE,
            last: NONE,
            again: None,
            again_in_line: 0,
            taken: 0,
            called: 0,
            tickets: 0,
        }
    }

    /// Whether nobody is in line; some may have been called and not have come yet.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        (self.first == NONE) & (self.again_in_line == 0)
    }

    /// How many were called and have neither come nor gone.
    #[inline]
    pub(crate) fn called(&self) -> usize {
        self.called as usize
    }

    /// Gets in line.
    pub(crate) fn push(&mut self, waiter: Waiter, value: V) -> Place {
        let ticket = self.tickets;
        self.tickets += 1;
        let slot = Slot { ticket, before: self.last, behind: NONE, stage: Stage::InLine(waiter, value) };
        let at = match self.vacant {
            NONE => {
                let at = u32::try_from(self.slots.len()).ok().filter(|at| *at < AGAIN);
                self.slots.push(slot);
                at.expect("fewer than 2^32 wait at one channel")
            }
            at => {
                let old = mem::replace(self.at(at), slot);
                self.vacant = old.behind;
                // A vacant slot has nothing to drop, which the compiler does not know.
                debug_assert!(matches!(old.stage, Stage::Vacant), "the list of the vacant ones holds no other");
                mem::forget(old);
                at
            }
        };
        match self.last {
            NONE => self.first = at,
            last => self.at(last).behind = at,
        }
        self.last = at;
        self.taken += 1;
        Place(at)
    }

    /// Looks after a waiter of its own future, which is polled with `waker`. If it stands there with another one, that is
    /// exchanged for the clone in `new`, if there is one.
    pub(crate) fn look(&mut self, place: &Place, waker: &Waker, new: &mut Option<Waker>) -> Found {
        match &mut self.at(place.0).stage {
            Stage::InLine(Waiter::Task(old), _) if old.will_wake(waker) => Found::InLine,
            Stage::InLine(Waiter::Task(old), _) => match new {
                Some(new) => {
                    mem::swap(old, new);
                    Found::InLine
                }
                None => Found::Stale,
            },
            Stage::InLine(Waiter::Arm(_), _) => Found::InLine,
            Stage::Called(_) => Found::Called,
            Stage::Vacant => unreachable!("a place is given back once"),
        }
    }

    /// Goes away.
    pub(crate) fn remove(&mut self, place: Place) -> Left<V> {
        let left = match mem::replace(&mut self.at(place.0).stage, Stage::Vacant) {
            Stage::InLine(waiter, value) => {
                self.unlink(place.0);
                Left::InLine(waiter, value)
            }
            Stage::Called(value) => {
                self.called -= 1;
                Left::Called(value)
            }
            Stage::Vacant => unreachable!("a place is given back once"),
        };
        self.free(place.0);
        left
    }

    /// Takes a waiter out of the line; it keeps its slot, as one that was called.
    fn take_out(&mut self, at: u32) -> (Waiter, V) {
        self.unlink(at);
        self.called += 1;
        match mem::replace(&mut self.at(at).stage, Stage::Called(None)) {
            Stage::InLine(waiter, value) => (waiter, value),
            _ => unreachable!("it is in line"),
        }
    }

    fn unlink(&mut self, at: u32) {
        let Slot { before, behind, .. } = *self.at(at);
        match before {
            AGAIN => {
                self.again_in_line -= 1;
                return;
            }
            NONE => self.first = behind,
            before => self.at(before).behind = behind,
        }
        match behind {
            NONE => self.last = before,
            behind => self.at(behind).before = before,
        }
    }

    #[inline]
    fn free(&mut self, at: u32) {
        self.at(at).behind = self.vacant;
        self.vacant = at;
        self.taken -= 1;
        if self.taken == 0 {
            if let Some(again) = &mut self.again {
                again.clear();
            }
            if self.slots.len() > KEPT {
                self.shrink();
            }
        }
    }

    #[cold]
    fn shrink(&mut self) {
        self.slots.clear();
        self.slots.shrink_to(KEPT);
        self.again = None;
        self.vacant = NONE;
    }

    #[inline]
    fn at(&mut self, at: u32) -> &mut Slot<V> {
        &mut self.slots[at as usize]
    }
}

impl<V> Default for Line<V> {
    fn default() -> Line<V> {
        Line::new()
    }
}

/// Receivers: they are called, and come to take what there is.
impl Line<()> {
    /// Calls the first in line who will come. None: nobody. Some(None): it is awake already.
    pub(crate) fn call_first(&mut self) -> Option<Option<Waker>> {
        loop {
            let at = if self.again_in_line == 0 { self.first } else { self.first_again() };
            if at == NONE {
                return None;
            }
            if let Called::Comes(waker) = self.call(at) {
                return Some(waker);
            }
        }
    }

    /// As above, for a value that the select of `claim` brings, which does not take it itself.
    pub(crate) fn call_another(&mut self, claim: &Claim) -> Option<Option<Waker>> {
        let mut own = Vec::new();
        let mut called = None;
        while called.is_none() && self.again_in_line > own.len() as u32 {
            let at = self.first_again();
            if self.is_arm_of(at, claim) {
                own.push(at);
            } else if let Called::Comes(waker) = self.call(at) {
                called = Some(waker);
            }
        }
        for at in own {
            let ticket = self.at(at).ticket;
            self.again.get_or_insert_default().push(Reverse((ticket, at)));
        }
        let mut at = self.first;
        while called.is_none() && at != NONE {
            let behind = self.at(at).behind;
            if !self.is_arm_of(at, claim)
                && let Called::Comes(waker) = self.call(at)
            {
                called = Some(waker);
            }
            at = behind;
        }
        called
    }

    fn call(&mut self, at: u32) -> Called {
        let (waiter, ()) = self.take_out(at);
        match waiter {
            Waiter::Task(waker) => Called::Comes(Some(waker)),
            Waiter::Arm(arm) => arm.call(),
        }
    }

    fn is_arm_of(&self, at: u32, claim: &Claim) -> bool {
        let stage = &self.slots[at as usize].stage;
        matches!(stage, Stage::InLine(Waiter::Arm(arm), ()) if arm.claim == NonNull::from(claim))
    }

    /// The first of those that are in line again, of which there is one. It leaves the heap.
    #[cold]
    fn first_again(&mut self) -> u32 {
        while let Some(Reverse((ticket, at))) = self.again.as_mut().and_then(|again| again.pop()) {
            // Its slot may be vacant, or somebody else's; or its own, and it is called since it came the second time.
            let slot = &self.slots[at as usize];
            if slot.ticket == ticket && slot.before == AGAIN && matches!(slot.stage, Stage::InLine(..)) {
                return at;
            }
        }
        unreachable!("one of them is in line")
    }

    /// Calls all who are in line.
    pub(crate) fn call_all(&mut self, wakers: &mut Vec<Waker>) {
        while let Some(waker) = self.call_first() {
            wakers.extend(waker);
        }
    }

    /// Gets in line, or stays there, for a future of its own that is polled with `waker`. False: come again with a clone of that in
    /// `new`.
    pub(crate) fn wait(&mut self, place: &mut Option<Place>, waker: &Waker, new: &mut Option<Waker>) -> bool {
        match place.as_ref().map(|place| self.look(place, waker, new)) {
            Some(Found::InLine) => return true,
            Some(Found::Stale) => return false,
            Some(Found::Called) | None => {}
        }
        let Some(waker) = new.take() else { return false };
        match place {
            Some(place) => self.rejoin(place, Waiter::Task(waker)),
            None => *place = Some(self.push(Waiter::Task(waker), ())),
        }
        true
    }

    /// A waiter that was called has come, and done what it was called for.
    #[inline]
    pub(crate) fn forget(&mut self, place: Place) {
        debug_assert!(self.is_called(&place), "else it has a waker that is to be dropped elsewhere");
        self.at(place.0).stage = Stage::Vacant;
        self.called -= 1;
        self.free(place.0);
    }

    /// Whether the waiter was called, and is not in line.
    #[inline]
    pub(crate) fn is_called(&self, place: &Place) -> bool {
        matches!(self.slots[place.0 as usize].stage, Stage::Called(_))
    }

    /// A waiter that was called gets in line again, where it stood before.
    pub(crate) fn rejoin(&mut self, place: &Place, waiter: Waiter) {
        let at = place.0;
        let slot = self.at(at);
        debug_assert!(matches!(slot.stage, Stage::Called(_)), "only who was called comes again");
        (slot.before, slot.behind, slot.stage) = (AGAIN, NONE, Stage::InLine(waiter, ()));
        let ticket = slot.ticket;
        self.again.get_or_insert_default().push(Reverse((ticket, at)));
        self.again_in_line += 1;
        self.called -= 1;
    }
}

/// Senders: what they brought is taken from them, which is the end of their waiting.
impl<V> Line<V> {
    /// Takes what the first in line brought who can be claimed, and whom to wake for it.
    pub(crate) fn claim_first(&mut self) -> Option<(V, Option<Waker>)> {
        let mut at = self.first;
        while at != NONE {
            let slot = self.at(at);
            let behind = slot.behind;
            if let Stage::InLine(Waiter::Task(_), _) = slot.stage {
                let (waiter, value) = self.take_out(at);
                return Some((value, waiter.into_waker()));
            }
            match self.claim(at) {
                Claimed::Won(waker) => return Some((self.take_out(at).1, waker)),
                Claimed::Busy => {}
                // It will not come back for this. Nobody need look at it again.
                Claimed::Over => drop(self.set_aside(at)),
            }
            at = behind;
        }
        None
    }

    /// For a waiter that looks again: what it brought, if that was not taken. None: it is in line. Otherwise its place is gone.
    #[inline]
    pub(crate) fn outcome(&mut self, place: &Place) -> Option<Option<V>> {
        let stage = &mut self.at(place.0).stage;
        if !matches!(stage, Stage::Called(_)) {
            return None;
        }
        let Stage::Called(value) = mem::replace(stage, Stage::Vacant) else { unreachable!("seen just now") };
        self.called -= 1;
        self.free(place.0);
        Some(value)
    }

    /// Leaves to all in line what they brought, and ends their waiting. Selects that run just now stay, and see for themselves.
    pub(crate) fn refuse_all(&mut self, wakers: &mut Vec<Waker>) {
        let mut at = self.first;
        while at != NONE {
            let behind = self.at(at).behind;
            match self.claim(at) {
                Claimed::Won(waker) => wakers.extend(waker.or(self.set_aside(at))),
                Claimed::Busy => {}
                Claimed::Over => drop(self.set_aside(at)),
            }
            at = behind;
        }
    }

    fn claim(&mut self, at: u32) -> Claimed {
        match &self.at(at).stage {
            Stage::InLine(Waiter::Task(_), _) => Claimed::Won(None),
            Stage::InLine(Waiter::Arm(arm), _) => arm.claim(),
            _ => unreachable!("it is in line"),
        }
    }

    /// Takes a waiter out of the line that keeps what it brought. Its waker, if it has one of its own.
    fn set_aside(&mut self, at: u32) -> Option<Waker> {
        let (waiter, value) = self.take_out(at);
        self.at(at).stage = Stage::Called(Some(value));
        waiter.into_waker()
    }
}

impl Waiter {
    fn into_waker(self) -> Option<Waker> {
        match self {
            Waiter::Task(waker) => Some(waker),
            Waiter::Arm(_) => None,
        }
    }
}
