//! What the handles of a channel share. The steps under its lock are in `state.rs`; here are the roads that lead to them.
//!
//! # To receive
//!
//! 1. Lock. Take the first value; if that makes room, the first sender in line loses its value to the queue and is woken.
//!    Without a queue, or with an empty one, the value is the sender's own.
//! 2. Nothing there: get in line, in the same hold of the lock. Release, return Pending.
//! 3. Woken: begin at 1. Who finds that another was faster keeps its place in line.
//!
//! So nobody is ever handed a value that it might not come for: to take it is one step of the poll that returns it.
//!
//! # To send
//!
//! 1. Lock. If there is room, put the value into the queue and *call* the first receiver in line.
//! 2. No room: get in line with the value, in the same hold. Where there is no queue, call the first receiver. Release, return Pending.
//! 3. Woken: the value was taken, or comes back because the channel was closed.
//!
//! A sender that waits need not be polled for its value to go on.
//!
//! # Room
//!
//! In a queue there is room for as many values as the channel's capacity, and for one more for each receiver that was called and has
//! not come yet: that value is on its way out. So, as in Go, a sender goes on past a receiver that waits. (When such a value took the
//! room of others, four senders and four receivers at capacity 1 needed one and a half turns of a task for each message; now it is a
//! third of one.)
//!
//! *Always so, when the lock is released: where there is room, no sender is in line*, but for the sends of a select that runs just
//! now, which looks again before it waits. Room comes with a value that is taken, and it is never more than one value's then; that
//! the first sender in line gets. Who was called and comes gives its own room up before it makes that of its value free. Who was called
//! and goes away, or finds nothing, takes its room along; what had been sent into it stays, beyond the capacity, until it is received.
//! And while a receiver is in line, more have been called than there are values, or as many: so there is room, and no sender.
//!
//! # Calls
//!
//! A receiver is called at most once for each time that it gets in line. *Always so, when the lock is released: as many receivers have
//! been called and have not come yet as there are values to take (in the queue, or with senders in line where there is none), or
//! nobody is in line.* A value that comes calls one; one that is called and goes away (dropped, or it was an arm of a select that did
//! something else) calls the next if there is something to take; one that is called and comes either takes a value or finds none. A
//! receiver that runs anyway and takes a value leaves one called too many, which finds nothing and gets in line again.
//!
//! A receiver that was called and is neither polled nor dropped (it lies in a `FuturesUnordered` that nobody looks at just now)
//! could hold up those behind it. `patience.rs` sees to that.
//!
//! # Costs
//!
//! A message through a channel with room and without waiting: two read-modify-writes (a lock each), both on one line. Without a limit
//! they are on different lines, while values are waiting, and two more for each chunk that goes from the one to the other (`front.rs`).
//! With a wait on one side: one lock more to enrol, a clone of the waker, and the wake. No allocation once the channel has had its size.

use super::{
    attached::Attached,
    ends,
    error::{TryRecvError, TrySendError},
    front::Front,
    line::{Found, Left, Line, Place, Waiter},
    patience::{Patience, Patient},
    queue::Queue,
    state::{Owed, State},
    sync::{AtomicUsize, Ordering, fence},
    word::{self, Word},
};
use gambol_executor::{discard, wake};
use std::{
    cell::UnsafeCell,
    fmt,
    mem::{self, ManuallyDrop},
    ops::{Deref, DerefMut},
    panic::{RefUnwindSafe, UnwindSafe},
    sync::{Arc, OnceLock},
    task::{Context, Poll, Waker},
};

/// See the head of this file. In this order, so that what each operation touches lies together.
#[repr(C)]
pub(crate) struct Shared<T> {
    word: Word,
    /// Under the lock.
    state: UnsafeCell<State<T>>,
    /// Handles. Who brings one of them to zero closes the channel.
    pub(super) senders: AtomicUsize,
    pub(super) receivers: AtomicUsize,
    /// Made when it is first needed.
    patience: OnceLock<Arc<Patience>>,
    /// What the channel holds without a receiver; `usize::MAX` without a limit. Receivers ask for each value, and senders write the word's
    /// line for each.
    capacity: usize,
    /// The first values, if there is no limit. Last, so that receivers find it on another line than senders find the rest.
    front: Front<T>,
}

// SAFETY: the state is reached under the lock only, so by one thread at a time; with it go the values, which are Send.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above. No reference to a value is given out.
unsafe impl<T: Send> Sync for Shared<T> {}

// A panic leaves nothing half-done: no code of others runs under the lock.
impl<T> UnwindSafe for Shared<T> {}
impl<T> RefUnwindSafe for Shared<T> {}

/// The lock, held.
pub(crate) struct Locked<'a, T>(&'a Shared<T>);

impl<T> Deref for Locked<'_, T> {
    type Target = State<T>;

    #[inline]
    fn deref(&self) -> &State<T> {
        // SAFETY: we hold the lock, until we are dropped.
        unsafe { &*self.0.state.get() }
    }
}

impl<T> DerefMut for Locked<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut State<T> {
        // SAFETY: as above, and we are borrowed mutably.
        unsafe { &mut *self.0.state.get() }
    }
}

impl<T> Locked<'_, T> {
    /// Releases the lock with these bits, which are known to be those of the state.
    #[inline]
    fn release(self, bits: usize) {
        debug_assert_eq!(bits, self.bits());
        let Locked(shared) = *ManuallyDrop::new(self);
        // SAFETY: we hold the lock, and end here.
        unsafe { shared.word.release(bits) };
    }
}

impl<T> Drop for Locked<'_, T> {
    #[inline]
    fn drop(&mut self) {
        let bits = self.bits();
        // SAFETY: we hold the lock, and end here.
        unsafe { self.0.word.release(bits) };
    }
}

impl<T> Shared<T> {
    /// With one handle of each kind.
    pub(crate) fn new(capacity: usize) -> Shared<T> {
        let state = State {
            queue: Queue::new(),
            capacity,
            closed: false,
            senders: Line::new(),
            receivers: Line::new(),
            taken: false,
            patience: false,
            watchers: None,
            attached: None,
        };
        Shared {
            word: Word::new(state.bits()),
            state: UnsafeCell::new(state),
            senders: AtomicUsize::new(1),
            receivers: AtomicUsize::new(1),
            patience: OnceLock::new(),
            capacity,
            front: Front::new(),
        }
    }

    #[inline]
    pub(crate) fn lock(&self) -> Locked<'_, T> {
        self.word.acquire();
        Locked(self)
    }

    /// The state, for who has taken the lock by [`word`](Self::word).
    ///
    /// # Safety
    ///
    /// The caller holds the lock, and no other reference to the state.
    #[inline]
    #[expect(clippy::mut_from_ref, reason = "it is what a lock gives")]
    pub(crate) unsafe fn held(&self) -> &mut State<T> {
        // SAFETY: the caller's promise.
        unsafe { &mut *self.state.get() }
    }

    /// The lock alone, for who takes several.
    pub(crate) fn word(&self) -> &Word {
        &self.word
    }

    /// For who has taken the lock by [`word`](Self::word): dropping the result releases it.
    ///
    /// # Safety
    ///
    /// The caller holds the lock, and has no other such result, nor one of `held`.
    #[inline]
    pub(crate) unsafe fn locked(&self) -> Locked<'_, T> {
        Locked(self)
    }

    pub(crate) fn capacity(&self) -> Option<usize> {
        (self.capacity != usize::MAX).then_some(self.capacity)
    }

    /// Whether there is no limit, and so a `front`.
    #[inline]
    fn is_unbounded(&self) -> bool {
        self.capacity == usize::MAX
    }

    /// The first values, for who has the lock and the `State`.
    #[inline]
    pub(super) fn front(&self) -> &Front<T> {
        &self.front
    }

    /// Whether there is something to receive, or may be in a moment.
    #[inline]
    pub(super) fn may_receive(&self) -> bool {
        if self.word.may(word::RECEIVABLE) {
            return true;
        }
        // Acquire, with the Release of the lock's release: whoever has moved the values away from there has brought them here, which
        // is seen.
        self.is_unbounded() && {
            fence(Ordering::Acquire);
            self.front.may()
        }
    }

    /// Whether the first value stands in the queue, no sender is in line and no values are to be moved: then to receive is
    /// `take_first`. For who has the lock, and has found these bits.
    #[inline]
    fn is_simple(&self, bits: usize) -> bool {
        bits & word::OFFERED == 0
            && bits >= word::ONE
            && (!self.is_unbounded() || (bits < 2 * word::ONE && !self.front.may()))
    }

    pub(crate) fn len(&self) -> usize {
        if self.is_unbounded() {
            let state = self.lock();
            return state.queue.len() + self.front.len();
        }
        match self.word.peek() {
            Some(bits) => bits >> word::LEN,
            None => self.lock().queue.len(),
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        match self.word.peek() {
            Some(bits) => bits & word::CLOSED != 0,
            None => self.lock().closed,
        }
    }

    /// Receives, or gets in line at `place`. Ready(None): closed and empty.
    #[inline]
    pub(crate) fn poll_receive(&self, place: &mut Option<Place>, cx: &Context<'_>) -> Poll<Option<T>> {
        if self.is_unbounded() {
            return self.poll_receive_unbounded(place, cx);
        }
        if !self.word.may(word::RECEIVABLE) {
            return self.wait_to_receive(place, cx);
        }
        let bits = self.word.acquire();
        // SAFETY: we have just taken the lock, and the guard releases it.
        let state = unsafe { self.locked() };
        if place.is_none() && bits & word::OFFERED == 0 && bits >= word::ONE {
            return Poll::Ready(Self::take_first(state, bits));
        }
        self.poll_receive_behind(state, bits, place, cx)
    }

    /// As above, where there is no limit.
    #[inline(never)]
    fn poll_receive_unbounded(&self, place: &mut Option<Place>, cx: &Context<'_>) -> Poll<Option<T>> {
        if place.is_none()
            && let Some(value) = self.front.take()
        {
            return Poll::Ready(Some(value));
        }
        if !self.may_receive() {
            return self.wait_to_receive(place, cx);
        }
        let bits = self.word.acquire();
        // SAFETY: we have just taken the lock, and the guard releases it.
        let state = unsafe { self.locked() };
        if place.is_none() && self.is_simple(bits) {
            return Poll::Ready(Self::take_first(state, bits));
        }
        self.poll_receive_behind(state, bits, place, cx)
    }

    /// As above, for one that has waited, or where senders do.
    #[inline(never)]
    fn poll_receive_behind<'a>(
        &'a self,
        mut state: Locked<'a, T>,
        bits: usize,
        place: &mut Option<Place>,
        cx: &Context<'_>,
    ) -> Poll<Option<T>> {
        if self.is_simple(bits) && state.has_come(place) {
            return Poll::Ready(Self::take_first(state, bits));
        }
        let called = place.as_ref().is_none_or(|place| state.receivers.is_called(place));
        if called && bits & word::OFFERED != 0 && bits < word::ONE && !self.is_unbounded() {
            return self.poll_receive_offered(state, bits, place, cx);
        }
        self.poll_receive_slow(state, None, place, cx)
    }

    /// Takes the first value, where there is one and no sender is in line. `bits`: as they were when the lock was taken.
    #[inline(always)]
    fn take_first(mut state: Locked<'_, T>, bits: usize) -> Option<T> {
        let value = state.queue.pop();
        state.note_taken();
        // A value less, and maybe room; and something left, or the end.
        let rest = bits - word::ONE;
        let something = if rest >= word::ONE { word::RECEIVABLE } else { (rest & word::CLOSED) >> 2 };
        let room = if state.has_room_behind(rest >> word::LEN) { word::SENDABLE } else { (rest & word::CLOSED) >> 1 };
        state.release((rest & !(word::RECEIVABLE | word::SENDABLE)) | something | room);
        value
    }

    /// Step 1 of `poll_receive`, for an arm of a select, which does not wait here. None: there is nothing.
    #[inline]
    pub(crate) fn receive_as_arm(&self, place: &mut Option<Place>) -> Option<Option<T>> {
        let bits = self.word.acquire();
        // SAFETY: we have just taken the lock, and the guard releases it.
        let state = unsafe { self.locked() };
        if place.is_none() && self.is_simple(bits) {
            return Some(Self::take_first(state, bits));
        }
        self.receive_as_arm_behind(state, bits, place)
    }

    #[inline(never)]
    fn receive_as_arm_behind(
        &self,
        mut state: Locked<'_, T>,
        bits: usize,
        place: &mut Option<Place>,
    ) -> Option<Option<T>> {
        if self.is_simple(bits) && state.has_come(place) {
            return Some(Self::take_first(state, bits));
        }
        let mut owed = Owed::default();
        let received = state.receive(&self.front, place, &mut owed);
        drop(state);
        owed.settle(self);
        // An arm brings no waker, so nothing is left to drop.
        received.map(|(value, _)| value)
    }

    /// As above, where it looks as if there is nothing: the waker is cloned before the lock is taken.
    #[inline(never)]
    fn wait_to_receive(&self, place: &mut Option<Place>, cx: &Context<'_>) -> Poll<Option<T>> {
        let waker = cx.waker().clone();
        let bits = self.word.acquire();
        // SAFETY: we have just taken the lock, and the guard releases it.
        let mut state = unsafe { self.locked() };
        if place.is_some() || bits & word::RECEIVABLE != 0 || (self.is_unbounded() && self.front.may()) {
            return self.poll_receive_slow(state, Some(waker), place, cx);
        }
        *place = Some(state.receivers.push(Waiter::Task(waker), ()));
        state.release(bits | word::AWAITED);
        Poll::Pending
    }

    /// As above, where there is nothing but a sender in line. If there is a place, its receiver was called.
    #[inline(never)]
    fn poll_receive_offered<'a>(
        &'a self,
        mut state: Locked<'a, T>,
        bits: usize,
        place: &mut Option<Place>,
        cx: &Context<'_>,
    ) -> Poll<Option<T>> {
        let Some((value, waker)) = state.senders.claim_first() else {
            return self.poll_receive_slow(state, None, place, cx);
        };
        state.note_taken();
        if let Some(place) = place.take() {
            state.receivers.forget(place);
        }
        let rest = bits & !(word::OFFERED | word::RECEIVABLE);
        let more = if state.senders.is_empty() { (rest & word::CLOSED) >> 2 } else { word::OFFERED | word::RECEIVABLE };
        state.release(rest | more);
        if let Some(waker) = waker {
            wake(waker);
        }
        Poll::Ready(Some(value))
    }

    /// As above, in every case. `waker`: a clone of the one in `cx`, if there is one already.
    #[inline(never)]
    fn poll_receive_slow<'a>(
        &'a self,
        mut state: Locked<'a, T>,
        mut waker: Option<Waker>,
        place: &mut Option<Place>,
        cx: &Context<'_>,
    ) -> Poll<Option<T>> {
        loop {
            let mut owed = Owed::default();
            if let Some((value, left)) = state.receive(&self.front, place, &mut owed) {
                drop(state);
                owed.settle(self);
                // The value is not to go with a waker whose drop panics.
                if left.is_some() || waker.is_some() {
                    discard((left, waker));
                }
                return Poll::Ready(value);
            }
            if state.receivers.wait(place, cx.waker(), &mut waker) {
                drop(state);
                return Poll::Pending;
            }
            drop(state);
            waker = Some(cx.waker().clone());
            state = self.lock();
        }
    }

    /// Receives without waiting.
    pub(crate) fn try_receive(&self) -> Result<T, TryRecvError> {
        if self.is_unbounded()
            && let Some(value) = self.front.take()
        {
            return Ok(value);
        }
        if !self.may_receive() {
            return Err(TryRecvError::Empty);
        }
        let mut owed = Owed::default();
        let mut state = self.lock();
        let value = state.take(&self.front, &mut None, &mut owed);
        let error = if state.closed { TryRecvError::Closed } else { TryRecvError::Empty };
        drop(state);
        owed.settle(self);
        value.map(|(value, _)| value).ok_or(error)
    }

    /// A receiver that was in line, or was called, goes away.
    pub(crate) fn leave_receivers(&self, place: Place) {
        let mut owed = Owed::default();
        let mut state = self.lock();
        let left = state.leave_receivers(&self.front, place, &mut owed);
        drop(state);
        owed.settle(self);
        drop(left);
    }

    /// Sends `value`, or gets in line with it at `place`. Ready(Err): closed; the value comes back.
    #[inline]
    pub(crate) fn poll_send(
        &self,
        value: &mut Option<T>,
        place: &mut Option<Place>,
        cx: &Context<'_>,
    ) -> Poll<Result<(), T>> {
        if place.is_some() {
            return self.poll_sent(place, cx);
        }
        if !self.word.may(word::SENDABLE) {
            return self.wait_to_send(value, place, cx);
        }
        let sent = value.take().expect(NO_VALUE);
        let bits = self.word.acquire();
        // SAFETY: we have just taken the lock, and the guard releases it.
        let mut state = unsafe { self.locked() };
        if bits & (word::SENDABLE | word::CLOSED) == word::SENDABLE {
            state.queue.push(sent);
            // A value more, and maybe no room.
            let more = (bits + word::ONE) | word::RECEIVABLE;
            if bits & word::AWAITED != 0 {
                self.call_and_release(state, more);
                return Poll::Ready(Ok(()));
            }
            let room = if state.has_room_behind(more >> word::LEN) { word::SENDABLE } else { 0 };
            state.release((more & !word::SENDABLE) | room);
            return Poll::Ready(Ok(()));
        }
        self.poll_send_slow(state, None, sent, value, place, cx)
    }

    /// As above, where it looks as if there is no room: the waker is cloned before the lock is taken.
    #[inline(never)]
    fn wait_to_send(&self, value: &mut Option<T>, place: &mut Option<Place>, cx: &Context<'_>) -> Poll<Result<(), T>> {
        // May panic, and the value is still where it was.
        let waker = cx.waker().clone();
        let sent = value.take().expect(NO_VALUE);
        let bits = self.word.acquire();
        // SAFETY: we have just taken the lock, and the guard releases it.
        let mut state = unsafe { self.locked() };
        if bits & word::SENDABLE != 0 {
            return self.poll_send_slow(state, Some(waker), sent, value, place, cx);
        }
        *place = Some(state.senders.push(Waiter::Task(waker), sent));
        let more = bits | word::OFFERED | word::RECEIVABLE;
        if self.capacity == 0 && bits & word::AWAITED != 0 {
            self.call_and_release(state, more);
        } else {
            state.release(more);
        }
        Poll::Pending
    }

    /// Calls a receiver for a value that has come; the channel is not closed. `bits`: as they are, but for what the call changes.
    #[inline(never)]
    fn call_and_release(&self, mut state: Locked<'_, T>, bits: usize) {
        let mut owed = Owed::default();
        state.call_receiver(&mut owed);
        let room = if state.has_room() { word::SENDABLE } else { 0 };
        let awaited = if state.receivers.is_empty() { 0 } else { word::AWAITED };
        state.release((bits & !(word::SENDABLE | word::AWAITED)) | room | awaited);
        owed.settle(self);
    }

    /// As above, in every case; `waker` as for `poll_receive_slow`.
    #[inline(never)]
    fn poll_send_slow<'a>(
        &'a self,
        mut state: Locked<'a, T>,
        mut waker: Option<Waker>,
        mut sent: T,
        home: &mut Option<T>,
        place: &mut Option<Place>,
        cx: &Context<'_>,
    ) -> Poll<Result<(), T>> {
        loop {
            let mut owed = Owed::default();
            if state.closed {
                drop(state);
                discard(waker);
                return Poll::Ready(Err(sent));
            }
            sent = match state.put(sent, &mut owed) {
                Ok(()) => {
                    drop(state);
                    owed.settle(self);
                    return Poll::Ready(Ok(()));
                }
                Err(back) => back,
            };
            if let Some(waker) = waker {
                *place = Some(state.wait_to_send(waker, sent, &mut owed));
                drop(state);
                owed.settle(self);
                return Poll::Pending;
            }
            drop(state);
            sent = clone_waker(&mut waker, cx, sent, home);
            state = self.lock();
        }
    }

    /// Step 3 of sending.
    #[inline(never)]
    fn poll_sent(&self, place: &mut Option<Place>, cx: &Context<'_>) -> Poll<Result<(), T>> {
        let at = place.as_ref().expect("the caller has looked");
        let mut waker = None;
        loop {
            let bits = self.word.acquire();
            // SAFETY: we have just taken the lock, and the guard releases it.
            let mut state = unsafe { self.locked() };
            if let Some(back) = state.senders.outcome(at) {
                // It was out of the line before.
                state.release(bits);
                *place = None;
                discard(waker);
                return Poll::Ready(back.map_or(Ok(()), Err));
            }
            match state.senders.look(at, cx.waker(), &mut waker) {
                Found::InLine => return Poll::Pending,
                Found::Stale => drop(state),
                Found::Called => unreachable!("then there is an outcome"),
            }
            waker = Some(cx.waker().clone());
        }
    }

    /// A sender that was in line goes away. What it brought is put `back`, if it was not taken; before its waker is dropped, which
    /// may panic.
    pub(crate) fn leave_senders(&self, place: Place, back: &mut Option<T>) {
        let left = self.lock().senders.remove(place);
        let _waiter = match left {
            Left::InLine(waiter, value) => {
                *back = Some(value);
                Some(waiter)
            }
            Left::Called(value) => {
                *back = value;
                None
            }
        };
    }

    /// Sends without waiting.
    pub(crate) fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        let mut owed = Owed::default();
        let mut state = self.lock();
        if state.closed {
            drop(state);
            return Err(TrySendError::Closed(value));
        }
        let sent = state.put_now(value, &mut owed);
        drop(state);
        owed.settle(self);
        sent.map_err(TrySendError::Full)
    }

    /// Takes no more values; what is in the queue can still be received. False: it was closed before.
    pub(crate) fn close(&self) -> bool {
        let mut wakers = Vec::new();
        let mut state = self.lock();
        let closes = !mem::replace(&mut state.closed, true);
        state.senders.refuse_all(&mut wakers);
        state.receivers.call_all(&mut wakers);
        if let Some(watchers) = &mut state.watchers {
            watchers.call_all(&mut wakers);
        }
        drop(state);
        wakers.into_iter().for_each(wake);
        closes
    }

    /// Waits until the channel is closed, in line at `place`.
    pub(crate) fn poll_closed(&self, place: &mut Option<Place>, cx: &Context<'_>) -> Poll<()> {
        if self.is_closed() {
            return Poll::Ready(());
        }
        let mut waker = Some(cx.waker().clone());
        let mut state = self.lock();
        if state.closed {
            return Poll::Ready(());
        }
        let waits = state.watchers.get_or_insert_default().wait(place, cx.waker(), &mut waker);
        drop(state);
        debug_assert!(waits, "a waker was brought, and nobody is called before the end");
        Poll::Pending
    }

    /// Somebody who has waited in `poll_closed` goes away.
    pub(crate) fn leave_watchers(&self, place: Place) {
        let mut state = self.lock();
        let left = state.watchers.as_mut().map(|watchers| watchers.remove(place));
        drop(state);
        drop(left);
    }

    /// Nobody will receive any more.
    pub(crate) fn close_and_empty(&self) {
        self.close();
        let mut state = self.lock();
        let queue = mem::replace(&mut state.queue, Queue::new());
        let first = self.front.empty();
        let attached = state.attached.take();
        drop(state);
        drop(attached);
        drop(first);
        drop(queue);
    }

    /// Gives the channel something that ends with its last receiver.
    pub(crate) fn attach(&self, attached: Attached) {
        let mut state = self.lock();
        let refused = if state.closed { Some(attached) } else { state.attached.replace(attached) };
        drop(state);
        drop(refused);
    }

    /// Sends if there is room, without waiting and without leaving it to a receiver.
    pub(crate) fn send_if_room(&self, value: T) -> Result<(), TrySendError<T>> {
        let mut owed = Owed::default();
        let mut state = self.lock();
        if state.closed {
            drop(state);
            return Err(TrySendError::Closed(value));
        }
        let sent = state.put(value, &mut owed);
        drop(state);
        owed.settle(self);
        sent.map_err(TrySendError::Full)
    }

    /// The handles' Debug: what can be seen without waiting for the lock.
    pub(crate) fn debug(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct(name);
        if let (Some(bits), Some(first)) = (self.word.peek(), self.front.peek()) {
            shown.field("len", &((bits >> word::LEN) + first)).field("closed", &(bits & word::CLOSED != 0));
        }
        shown.field("capacity", &self.capacity()).finish_non_exhaustive()
    }

    #[cold]
    pub(crate) fn have_patience(&self) {
        if self.is_unbounded() {
            // From now on. One that is taken just now and forgotten by this costs a call too many.
            self.front.was_taken();
        }
        // SAFETY: a channel stands in an Arc, where it stays, and its drop calls `end`.
        Patience::start(self.patience.get_or_init(|| unsafe { Patience::new(self) }));
    }
}

/// What is wrong where there is none.
pub(super) const NO_VALUE: &str =
    "there is no value to send: a send is over once it has completed, and send_from wants a value in its variable";

/// Clones the waker, with the value where it came from meanwhile: the clone may panic.
fn clone_waker<T>(waker: &mut Option<Waker>, cx: &Context<'_>, value: T, home: &mut Option<T>) -> T {
    *home = Some(value);
    *waker = Some(cx.waker().clone());
    home.take().expect("it was put there just now")
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        if let Some(patience) = self.patience.get() {
            patience.end();
        }
        if ends::on() {
            ends::ended(self);
        }
    }
}

impl<T> Patient for Shared<T> {
    fn look_after(&self, wakers: &mut Vec<Waker>) -> bool {
        let mut state = self.lock();
        let state = &mut *state;
        state.patience = !state.receivers.is_empty() && state.has_something(&self.front);
        let taken = state.taken | (self.is_unbounded() && self.front.was_taken());
        if state.patience && !taken {
            state.receivers.call_all(wakers);
            state.patience = false;
        }
        state.taken = false;
        state.patience
    }
}
