//! Receives and sends as arms of a `select!`.
//!
//! They do under their channel's lock what the plain futures do (`shared.rs`), with two differences: the locks of all arms are held
//! together when they get in line, and in the line stands the select's claim in place of a waker.

use super::{
    claim::Claim,
    ends::{self, Side},
    error::SendError,
    line::{Arm as InLine, Left, Place, Waiter},
    recv::Receiving,
    send::Sending,
    shared::{NO_VALUE, Shared},
    state::{Owed, State},
    word::{self, Word},
};
use crate::select::{Arm, How, Lines, Look, Standing, Wrap};
use std::{borrow::BorrowMut, fmt, pin::Pin, task::Context};

/// A receive. It has no drop of its own: the select has it leave its line (`Arm::leave`). So the compiler has nothing to clean up
/// between the making of one arm and of the next, and puts them in place at once; it copied each as often as others followed (of eight
/// receives 110 instructions, and as many to drop them).
pub struct ReceiveArm<'a, T> {
    channel: &'a Shared<T>,
    place: Option<Place>,
}

/// A send.
#[derive(Debug)]
pub struct SendArm<'a, T, V: BorrowMut<Option<T>>> {
    sending: Sending<'a, T, V>,
    /// Whether its place, if it has one, is the select's and not that of the future that it was before.
    enrolled: bool,
}

impl<'a, T> Wrap<Receiving<'a, T>> {
    /// The arm.
    #[inline]
    pub fn arm(self) -> ReceiveArm<'a, T> {
        let Wrap(mut receiving) = self;
        // It may have been polled before, and stand in line by itself.
        receiving.leave();
        ReceiveArm { channel: receiving.channel, place: None }
    }
}

impl<'a, T, V: BorrowMut<Option<T>>> Wrap<Sending<'a, T, V>> {
    /// The arm.
    #[inline]
    pub fn arm(self) -> SendArm<'a, T, V> {
        SendArm { sending: self.0, enrolled: false }
    }
}

impl<T> fmt::Debug for ReceiveArm<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceiveArm").field("waits", &self.place.is_some()).finish_non_exhaustive()
    }
}

impl<T> Arm for ReceiveArm<'_, T> {
    type Output = Option<T>;
    type Lines<Rest: Lines> = Standing;

    const IS_CHANNEL: bool = true;

    #[inline]
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>, how: How) -> Look<Option<T>> {
        let ReceiveArm { channel, place } = self.get_mut();
        if ends::on() {
            ends::used(channel, Side::Receivers);
        }
        if !channel.may_receive() {
            return Look::Waits;
        }
        if how == How::Peek {
            return Look::Could;
        }
        channel.receive_as_arm(place).map_or(Look::Waits, Look::Ready)
    }

    fn word(&self) -> Option<&Word> {
        Some(self.channel.word())
    }

    unsafe fn try_held(self: Pin<&mut Self>, _: How, owed: &mut Owed) -> Option<Option<T>> {
        let ReceiveArm { channel, place } = self.get_mut();
        // SAFETY: the caller holds the lock, and nothing else of the state is used here.
        let received = unsafe { channel.held() }.receive(channel.front(), place, owed);
        // An arm brings no waker, so nothing is left to drop.
        received.map(|(value, _)| value)
    }

    unsafe fn enrol_held(self: Pin<&mut Self>, claim: &Claim, number: u32, again: bool, _: &mut Owed) {
        if again {
            // There may be something. Who was called for it stays called: it would have to call the next one if it did not come.
            return;
        }
        let ReceiveArm { channel, place } = self.get_mut();
        // SAFETY: the caller holds the lock, and nothing else of the state is used here.
        let state = unsafe { channel.held() };
        // SAFETY: the caller has us leave before the claim ends, which removes the place under the lock, as every other road does.
        let waiter = || Waiter::Arm(unsafe { InLine::new(claim, number) });
        match place {
            None => *place = Some(state.receivers.push(waiter(), ())),
            Some(place) if state.receivers.is_called(place) => state.receivers.rejoin(place, waiter()),
            Some(_) => {}
        }
    }

    unsafe fn release(&self) {
        // SAFETY: the caller holds the lock.
        drop(unsafe { self.channel.locked() });
    }

    fn settle(&self, owed: Owed) {
        owed.settle(self.channel);
    }

    fn leave(self: Pin<&mut Self>) {
        let ReceiveArm { channel, place } = self.get_mut();
        if let Some(place) = place.take() {
            channel.leave_receivers(place);
        }
    }
}

impl<T, V: BorrowMut<Option<T>>> SendArm<'_, T, V> {
    /// Sends if there is room, or learns that the channel is closed, and leaves the line.
    #[inline]
    fn put(
        state: &mut State<T>,
        sending: (&mut V, &mut Option<Place>),
        how: How,
        owed: &mut Owed,
    ) -> Option<Result<(), SendError<T>>> {
        let (value, place) = sending;
        let value = value.borrow_mut();
        if !state.can_put(how == How::Now) {
            return None;
        }
        if let Some(place) = place.take() {
            *value = match state.senders.remove(place) {
                Left::InLine(_, value) => Some(value),
                Left::Called(value) => value,
            };
        }
        let sent = value.take().expect(NO_VALUE);
        if state.is_closed() {
            return Some(Err(SendError(sent)));
        }
        match state.put_now(sent, owed) {
            Ok(()) => Some(Ok(())),
            Err(_) => unreachable!("there was room a moment ago, under the same lock"),
        }
    }

    /// For a future that stood in line by itself before it became an arm: how that ended, if it has.
    #[cold]
    fn leave_own_place(&mut self) -> Option<Result<(), SendError<T>>> {
        let place = self.sending.place.take()?;
        let left = self.sending.channel.lock().senders.remove(place);
        match left {
            Left::InLine(_waiter, value) => {
                *self.sending.value.borrow_mut() = Some(value);
                None
            }
            Left::Called(back) => Some(back.map_or(Ok(()), |value| Err(SendError(value)))),
        }
    }
}

impl<T, V: BorrowMut<Option<T>>> Arm for SendArm<'_, T, V> {
    type Output = Result<(), SendError<T>>;
    type Lines<Rest: Lines> = Standing;

    const IS_CHANNEL: bool = true;

    #[inline]
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>, how: How) -> Look<Self::Output> {
        let this = self.get_mut();
        if !this.enrolled
            && this.sending.place.is_some()
            && let Some(sent) = this.leave_own_place()
        {
            return Look::Ready(sent);
        }
        let Sending { channel, value, place } = &mut this.sending;
        let channel = *channel;
        if ends::on() {
            ends::used(channel, Side::Senders);
        }
        // Here, where no lock is held.
        assert!(place.is_some() || (*value).borrow_mut().is_some(), "{NO_VALUE}");
        let meets = channel.capacity() == Some(0) && channel.word().may(word::AWAITED);
        let could = channel.word().may(word::SENDABLE) || (meets && how == How::Now);
        if !could {
            return if meets && how == How::Meeting { Look::Meets } else { Look::Waits };
        }
        if how == How::Peek {
            return Look::Could;
        }
        let mut owed = Owed::default();
        let mut state = channel.lock();
        let sent = Self::put(&mut state, (value, place), how, &mut owed);
        drop(state);
        owed.settle(channel);
        match sent {
            Some(sent) => Look::Ready(sent),
            None if meets && how == How::Meeting => Look::Meets,
            None => Look::Waits,
        }
    }

    fn word(&self) -> Option<&Word> {
        Some(self.sending.channel.word())
    }

    unsafe fn try_held(self: Pin<&mut Self>, how: How, owed: &mut Owed) -> Option<Self::Output> {
        let Sending { channel, value, place } = &mut self.get_mut().sending;
        // SAFETY: the caller holds the lock, and nothing else of the state is used here.
        Self::put(unsafe { channel.held() }, (value, place), how, owed)
    }

    unsafe fn enrol_held(self: Pin<&mut Self>, claim: &Claim, number: u32, _: bool, owed: &mut Owed) {
        let this = self.get_mut();
        let Sending { channel, value, place } = &mut this.sending;
        // SAFETY: the caller holds the lock, and nothing else of the state is used here.
        let state = unsafe { channel.held() };
        if state.is_closed() {
            // The next turn will find it so. Until then nobody is to receive this, who may have learned already that nothing comes.
            if let Some(place) = place.take() {
                *value.borrow_mut() = match state.senders.remove(place) {
                    Left::InLine(_, value) => Some(value),
                    Left::Called(value) => value,
                };
            }
            return;
        }
        if place.is_none() {
            // SAFETY: the caller has us leave before the claim ends, which removes the place under the lock, as every other road does.
            let waiter = Waiter::Arm(unsafe { InLine::new(claim, number) });
            let sent = value.borrow_mut().take().expect(NO_VALUE);
            *place = Some(state.senders.push(waiter, sent));
            this.enrolled = true;
        }
        state.can_be_claimed(claim, owed);
    }

    unsafe fn release(&self) {
        // SAFETY: the caller holds the lock.
        drop(unsafe { self.sending.channel.locked() });
    }

    fn settle(&self, owed: Owed) {
        owed.settle(self.sending.channel);
    }

    fn claimed(self: Pin<&mut Self>) -> Option<Self::Output> {
        let sending = &mut self.get_mut().sending;
        let left = sending.channel.lock().senders.remove(sending.place.take()?);
        match left {
            Left::Called(back) => Some(back.map_or(Ok(()), |value| Err(SendError(value)))),
            Left::InLine(..) => unreachable!("a send that was claimed is no longer in line"),
        }
    }

    fn leave(self: Pin<&mut Self>) {
        let this = self.get_mut();
        this.sending.leave();
        this.enrolled = false;
    }
}
