//! The future of one send.

use super::{
    ends::{self, Side, Stood},
    error::SendError,
    line::Place,
    shared::Shared,
};
use gambol_executor::{Reason, park, spend};
use std::{
    borrow::BorrowMut,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// Completes when the value was sent; see [`Sender::send`](super::Sender::send) and
/// [`Sender::send_from`](super::Sender::send_from).
///
/// # Cancel safety
///
/// Dropped before it has completed, the value was either sent (a receiver has taken it, or it stands in the queue), or it is dropped too;
/// that of `send_from` goes back where it came from.
#[must_use = "futures do nothing unless they are awaited"]
pub struct Sending<'a, T, V: BorrowMut<Option<T>> = Option<T>> {
    pub(super) channel: &'a Shared<T>,
    /// Where the value is while it is not in the channel.
    pub(super) value: V,
    pub(super) place: Option<Place>,
}

// A place is an index, and nothing points into a Sending.
impl<T, V: BorrowMut<Option<T>>> Unpin for Sending<'_, T, V> {}

impl<'a, T, V: BorrowMut<Option<T>>> Sending<'a, T, V> {
    pub(super) fn new(channel: &'a Shared<T>, value: V) -> Sending<'a, T, V> {
        Sending { channel, value, place: None }
    }
}

impl<T, V: BorrowMut<Option<T>>> Future for Sending<'_, T, V> {
    type Output = Result<(), SendError<T>>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let spent = ready!(spend(cx));
        match poll(this.channel, this.value.borrow_mut(), &mut this.place, cx) {
            Poll::Ready(sent) => Poll::Ready(sent.map_err(SendError)),
            Poll::Pending => {
                spent.refund();
                park(Reason::ChanSend);
                Poll::Pending
            }
        }
    }
}

/// As the future does it, for a value and a place that stand elsewhere.
#[inline]
pub(super) fn poll<T>(
    channel: &Shared<T>,
    value: &mut Option<T>,
    place: &mut Option<Place>,
    cx: &mut Context<'_>,
) -> Poll<Result<(), T>> {
    if ends::on() { poll_noted(channel, value, place, cx) } else { channel.poll_send(value, place, cx) }
}

/// Notes who sends.
#[cold]
fn poll_noted<T>(
    channel: &Shared<T>,
    value: &mut Option<T>,
    place: &mut Option<Place>,
    cx: &mut Context<'_>,
) -> Poll<Result<(), T>> {
    ends::used(channel, Side::Senders);
    let stood = Stood::at(place.as_ref());
    let polled = channel.poll_send(value, place, cx);
    stood.stands(channel, ends::Line::Send, place.as_ref());
    polled
}

impl<T, V: BorrowMut<Option<T>>> Sending<'_, T, V> {
    /// Leaves the line, if it stands there, and takes the value with it.
    #[inline]
    pub(super) fn leave(&mut self) {
        if let Some(place) = self.place.take() {
            if ends::on() {
                Stood::at(Some(&place)).stands(self.channel, ends::Line::Send, None);
            }
            self.channel.leave_senders(place, self.value.borrow_mut());
        }
    }
}

impl<T, V: BorrowMut<Option<T>>> Drop for Sending<'_, T, V> {
    #[inline]
    fn drop(&mut self) {
        self.leave();
    }
}

impl<T, V: BorrowMut<Option<T>>> fmt::Debug for Sending<'_, T, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sending").field("waits", &self.place.is_some()).finish_non_exhaustive()
    }
}
