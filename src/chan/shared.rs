//! What the handles of a channel share, and every step that is made under its lock.
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
//! 1. Lock. If there is room, and nobody in line who can take it, put the value into the queue and *call* the first receiver in line.
//! 2. No room: get in line with the value, in the same hold. Where there is no queue, call the first receiver. Release, return Pending.
//! 3. Woken: the value was taken, or comes back because the channel was closed.
//!
//! A sender that waits need not be polled for its value to go on.
//!
//! # Calls
//!
//! A receiver is called at most once for each time that it gets in line. *Always so, when the lock is released: as many receivers have been called
//! and have not come yet as there are values to take, or nobody is in line.* A value that comes calls one; one that is called and goes away (dropped, or it
//! was an arm of a select that did something else) calls the next if there is something to take; one that is called and
//! comes either takes a value or finds none. A receiver that runs anyway and takes a value leaves one called too many, which
//! finds nothing and gets in line again.
//!
//! A receiver that was called and is neither polled nor dropped (it lies in a `FuturesUnordered` that nobody looks at just now) could hold up
//! those behind it. `patience.rs` sees to that.
//!
//! # Costs
//!
//! A message through a channel with room and without waiting: two read-modify-writes (a lock each), both on one line. With
//! a wait on one side: one lock more to enrol, a clone of the waker, and the wake. No allocation once the channel has had its size.

use super::{
    attached::Attached,
    claim::Claim,
    error::{TryRecvError, TrySendError},
    line::{Found, Left, Line, Place, Waiter},
    patience::{Patience, Patient},
    queue::Queue,
    sync::AtomicUsize,
    word::{self, Word},
};
use gambol_executor::wake;
use std::{
    cell::UnsafeCell,
    fmt, mem,
    ops::{Deref, DerefMut},
    sync::{Arc, OnceLock},
    task::{Context, Poll, Waker},
};

/// See the head of this file.
pub(crate) struct Shared<T> {
    word: Word,
    /// Under the lock.
    state: UnsafeCell<State<T>>,
    /// What the channel holds without a receiver; `usize::MAX` without a limit.
    capacity: usize,
    /// Handles. Who brings one of them to zero closes the channel.
    pub(super) senders: AtomicUsize,
    pub(super) receivers: AtomicUsize,
    /// Made when it is first needed.
    patience: OnceLock<Arc<Patience>>,
}

// SAFETY: the state is reached under the lock only, so by one thread at a time; with it go the values, which are Send.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above. No reference to a value is given out.
unsafe impl<T: Send> Sync for Shared<T> {}

/// What the lock guards.
pub(crate) struct State<T> {
    queue: Queue<T>,
    capacity: usize,
    closed: bool,
    pub(super) senders: Line<T>,
    pub(super) receivers: Line<()>,
    /// How many values were taken out of the channel, modulo 2^64 or so.
    taken: usize,
    /// `taken`, when patience was last asked for. None: it is not, at this time.
    patience: Option<usize>,
    /// Where the values come from, if that is no sender.
    attached: Option<Attached>,
}

/// Wakes that are owed by who held the lock, for after the release. One step owes two at most: to a sender whose value moved up, and to a
/// receiver that is called for it.
#[derive(Debug, Default)]
#[must_use]
pub struct Owed {
    first: Option<Waker>,
    second: Option<Waker>,
    patience: bool,
}

impl Owed {
    fn add(&mut self, waker: Option<Waker>) {
        let place = if self.first.is_none() { &mut self.first } else { &mut self.second };
        debug_assert!(place.is_none(), "one step owes two wakes at most");
        if waker.is_some() {
            *place = waker;
        }
    }

    /// Wakes them. `shared` is where they are owed.
    pub(crate) fn settle<T>(self, shared: &Shared<T>) {
        if let Some(first) = self.first {
            wake(first);
        }
        if let Some(second) = self.second {
            wake(second);
        }
        if self.patience {
            shared.have_patience();
        }
    }
}

impl<T> State<T> {
    /// The first value, where no sender waits for its place.
    #[inline]
    fn take_queued(&mut self) -> Option<T> {
        let value = self.queue.pop()?;
        self.taken = self.taken.wrapping_add(1);
        Some(value)
    }

    /// Step 1 of receiving.
    pub(crate) fn take(&mut self, owed: &mut Owed) -> Option<T> {
        let value = match self.queue.pop() {
            Some(value) => {
                if !self.senders.is_empty() {
                    self.move_up(owed);
                }
                value
            }
            None if self.senders.is_empty() => return None,
            None => {
                let (value, waker) = self.senders.claim_first()?;
                owed.add(waker);
                value
            }
        };
        self.taken = self.taken.wrapping_add(1);
        Some(value)
    }

    /// A sender in line loses its value to the queue.
    fn move_up(&mut self, owed: &mut Owed) {
        if self.queue.len() < self.capacity
            && let Some((value, waker)) = self.senders.claim_first()
        {
            owed.add(waker);
            self.queue.push(value);
            self.call_receiver(owed);
        }
    }

    /// Step 1 of sending. Err: there is no room.
    #[inline]
    pub(crate) fn put(&mut self, value: T, owed: &mut Owed) -> Result<(), T> {
        if self.queue.len() >= self.capacity {
            return Err(value);
        }
        self.queue.push(value);
        if !self.receivers.is_empty() {
            self.call_receiver(owed);
        }
        Ok(())
    }

    /// Whether `put`, or for `now` [`put_now`](Self::put_now), would find room; or the end.
    #[inline]
    pub(crate) fn can_put(&self, now: bool) -> bool {
        self.queue.len() < self.capacity || self.closed || (now && self.can_leave())
    }

    /// Whether there is no queue, and a receiver in line to leave a value to.
    fn can_leave(&self) -> bool {
        self.capacity == 0 && self.senders.is_empty() && !self.receivers.is_empty()
    }

    /// For those who cannot wait: where there is no queue, a receiver in line will do. It is called, and the value stays for it
    /// or, if it goes away, for the next one.
    pub(crate) fn put_now(&mut self, value: T, owed: &mut Owed) -> Result<(), T> {
        let value = match self.put(value, owed) {
            Err(value) if self.can_leave() => value,
            other => return other,
        };
        self.queue.push(value);
        self.call_receiver(owed);
        Ok(())
    }

    /// Calls the first receiver in line, if there is one.
    fn call_receiver(&mut self, owed: &mut Owed) {
        let called = self.receivers.call_first();
        self.called(called, owed);
    }

    /// What is owed after a call.
    fn called(&mut self, called: Option<Option<Waker>>, owed: &mut Owed) {
        if let Some(waker) = called {
            owed.add(waker);
            if !self.receivers.is_empty() && self.patience.is_none() {
                self.patience = Some(self.taken);
                owed.patience = true;
            }
        }
    }

    /// Step 2 of sending, for a future of its own.
    fn wait_to_send(&mut self, waker: Waker, value: T, owed: &mut Owed) -> Place {
        let place = self.senders.push(Waiter::Task(waker), value);
        if self.capacity == 0 {
            self.call_receiver(owed);
        }
        place
    }

    /// A select whose send is in line can be claimed from now on. Its own receives are not called: it would come for nothing, and be
    /// missing in line.
    pub(crate) fn can_be_claimed(&mut self, claim: &Claim, owed: &mut Owed) {
        if self.capacity == 0 && !self.receivers.is_empty() {
            let called = self.receivers.call_another(claim);
            self.called(called, owed);
        }
    }

    /// Step 2 of receiving, for a future of its own that is polled with `waker`. False: come again with a clone of that in `new`.
    fn wait_to_receive(&mut self, place: &mut Option<Place>, waker: &Waker, new: &mut Option<Waker>) -> bool {
        match place.as_ref().map(|place| self.receivers.look(place, waker, new)) {
            Some(Found::InLine) => return true,
            Some(Found::Stale) => return false,
            Some(Found::Called) | None => {}
        }
        let Some(waker) = new.take() else { return false };
        match place {
            Some(place) => self.receivers.rejoin(place, Waiter::Task(waker)),
            None => *place = Some(self.receivers.push(Waiter::Task(waker), ())),
        }
        true
    }

    /// A receiver goes away, with whatever it did.
    pub(crate) fn leave_receivers(&mut self, place: Place, owed: &mut Owed) -> Left<()> {
        let left = self.receivers.remove(place);
        if matches!(left, Left::Called(_)) && self.has_something() {
            self.call_receiver(owed);
        }
        left
    }

    fn has_something(&self) -> bool {
        self.queue.len() > 0 || !self.senders.is_empty()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// What the word says while nobody holds the lock.
    #[inline]
    fn bits(&self) -> usize {
        let len = self.queue.len();
        let bit = |condition: bool, bit: usize| if condition { bit } else { 0 };
        (len << word::LEN)
            | bit((len > 0) | !self.senders.is_empty() | self.closed, word::RECEIVABLE)
            | bit((len < self.capacity) | self.closed, word::SENDABLE)
            | bit(self.closed, word::CLOSED)
            | bit(!self.receivers.is_empty(), word::AWAITED)
    }
}

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
            taken: 0,
            patience: None,
            attached: None,
        };
        Shared {
            word: Word::new(state.bits()),
            state: UnsafeCell::new(state),
            capacity,
            senders: AtomicUsize::new(1),
            receivers: AtomicUsize::new(1),
            patience: OnceLock::new(),
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

    pub(crate) fn len(&self) -> usize {
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
        if !self.word.may(word::RECEIVABLE) {
            return self.poll_receive_slow(None, place, cx);
        }
        let mut state = self.lock();
        let called = place.as_ref().is_none_or(|place| state.receivers.is_called(place));
        if called && state.senders.is_empty() {
            let value = state.take_queued();
            if value.is_some() {
                if let Some(place) = place.take() {
                    state.receivers.forget(place);
                }
                return Poll::Ready(value);
            }
        }
        self.poll_receive_slow(Some(state), place, cx)
    }

    /// As above. `held`: the lock. Without it, it looked as if a waker will be needed, which is cloned before the lock is taken.
    #[inline(never)]
    fn poll_receive_slow<'a>(
        &'a self,
        mut held: Option<Locked<'a, T>>,
        place: &mut Option<Place>,
        cx: &Context<'_>,
    ) -> Poll<Option<T>> {
        let mut waker = if held.is_none() { Some(cx.waker().clone()) } else { None };
        loop {
            let mut owed = Owed::default();
            let mut state = held.take().unwrap_or_else(|| self.lock());
            let value = state.take(&mut owed);
            if value.is_some() || state.closed {
                let left = place.take().map(|place| state.receivers.remove(place));
                drop(state);
                owed.settle(self);
                drop(left);
                return Poll::Ready(value);
            }
            if state.wait_to_receive(place, cx.waker(), &mut waker) {
                return Poll::Pending;
            }
            drop(state);
            waker = Some(cx.waker().clone());
        }
    }

    /// Receives without waiting.
    pub(crate) fn try_receive(&self) -> Result<T, TryRecvError> {
        if !self.word.may(word::RECEIVABLE) {
            return Err(TryRecvError::Empty);
        }
        let mut owed = Owed::default();
        let mut state = self.lock();
        let value = state.take(&mut owed);
        let error = if state.closed { TryRecvError::Closed } else { TryRecvError::Empty };
        drop(state);
        owed.settle(self);
        value.ok_or(error)
    }

    /// A receiver that was in line, or was called, goes away.
    pub(crate) fn leave_receivers(&self, place: Place) {
        let mut owed = Owed::default();
        let mut state = self.lock();
        let left = state.leave_receivers(place, &mut owed);
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
        let sent = value.take().expect("a send is not polled after it has completed, and send_from wants a value");
        if !self.word.may(word::SENDABLE) {
            return self.poll_send_slow(None, sent, place, cx);
        }
        let mut state = self.lock();
        if state.queue.len() < self.capacity && !state.closed {
            state.queue.push(sent);
            if !state.receivers.is_empty() {
                self.call_and_release(state);
            }
            return Poll::Ready(Ok(()));
        }
        self.poll_send_slow(Some(state), sent, place, cx)
    }

    #[inline(never)]
    fn call_and_release(&self, mut state: Locked<'_, T>) {
        let mut owed = Owed::default();
        state.call_receiver(&mut owed);
        drop(state);
        owed.settle(self);
    }

    /// As above; `held` as in `poll_receive_slow`.
    #[inline(never)]
    fn poll_send_slow<'a>(
        &'a self,
        mut held: Option<Locked<'a, T>>,
        mut sent: T,
        place: &mut Option<Place>,
        cx: &Context<'_>,
    ) -> Poll<Result<(), T>> {
        let mut waker = if held.is_none() { Some(cx.waker().clone()) } else { None };
        loop {
            let mut owed = Owed::default();
            let mut state = held.take().unwrap_or_else(|| self.lock());
            if state.closed {
                drop(state);
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
            waker = Some(cx.waker().clone());
        }
    }

    /// Step 3 of sending.
    fn poll_sent(&self, place: &mut Option<Place>, cx: &Context<'_>) -> Poll<Result<(), T>> {
        let mut waker = None;
        loop {
            let mut state = self.lock();
            let found = place.as_ref().map(|place| state.senders.look(place, cx.waker(), &mut waker));
            match found.expect("the caller has looked") {
                Found::InLine => return Poll::Pending,
                Found::Stale => {}
                Found::Called => {
                    let left = place.take().map(|place| state.senders.remove(place));
                    drop(state);
                    let Some(Left::Called(back)) = left else { unreachable!("it was called") };
                    return Poll::Ready(back.map_or(Ok(()), Err));
                }
            }
            drop(state);
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
        drop(state);
        wakers.into_iter().for_each(wake);
        closes
    }

    /// Nobody will receive any more.
    pub(crate) fn close_and_empty(&self) {
        self.close();
        let mut state = self.lock();
        let queue = mem::replace(&mut state.queue, Queue::new());
        let attached = state.attached.take();
        drop(state);
        drop(attached);
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
        if let Some(bits) = self.word.peek() {
            shown.field("len", &(bits >> word::LEN)).field("closed", &(bits & word::CLOSED != 0));
        }
        shown.field("capacity", &self.capacity()).finish_non_exhaustive()
    }

    #[cold]
    pub(crate) fn have_patience(&self) {
        // SAFETY: a channel stands in an Arc, where it stays, and its drop calls `end`.
        Patience::start(self.patience.get_or_init(|| unsafe { Patience::new(self) }));
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        if let Some(patience) = self.patience.get() {
            patience.end();
        }
    }
}

impl<T> Patient for Shared<T> {
    fn look_after(&self, wakers: &mut Vec<Waker>) -> bool {
        let mut state = self.lock();
        let state = &mut *state;
        if state.receivers.is_empty() || !state.has_something() {
            state.patience = None;
            return false;
        }
        if state.patience == Some(state.taken) {
            state.receivers.call_all(wakers);
            state.patience = None;
            return false;
        }
        state.patience = Some(state.taken);
        true
    }
}
