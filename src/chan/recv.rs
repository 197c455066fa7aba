//! The future of one receive.

use super::{
    ends::{self, Side, Stood},
    line::Place,
    shared::Shared,
};
use gambol_executor::{Reason, park, spend};
use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// Completes with a value, or with none when the channel is closed and empty; see [`Receiver::recv`](super::Receiver::recv).
///
/// # Cancel safety
///
/// No value is lost: it is taken by the very poll that returns it.
#[must_use = "futures do nothing unless they are awaited"]
pub struct Receiving<'a, T> {
    pub(super) channel: &'a Shared<T>,
    pub(super) place: Option<Place>,
}

impl<T> Future for Receiving<'_, T> {
    type Output = Option<T>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let this = self.get_mut();
        poll(this.channel, &mut this.place, cx)
    }
}

/// As the future does it, for a place that stands elsewhere.
#[inline]
pub(super) fn poll<T>(channel: &Shared<T>, place: &mut Option<Place>, cx: &mut Context<'_>) -> Poll<Option<T>> {
    let spent = ready!(spend(cx));
    let polled = if ends::on() { poll_noted(channel, place, cx) } else { channel.poll_receive(place, cx) };
    if polled.is_pending() {
        spent.refund();
        park(Reason::ChanRecv);
    }
    polled
}

/// Notes who receives.
#[cold]
fn poll_noted<T>(channel: &Shared<T>, place: &mut Option<Place>, cx: &mut Context<'_>) -> Poll<Option<T>> {
    ends::used(channel, Side::Receivers);
    let stood = Stood::at(place.as_ref());
    let polled = channel.poll_receive(place, cx);
    stood.stands(channel, ends::Line::Receive, place.as_ref());
    polled
}

impl<T> Receiving<'_, T> {
    /// Leaves the line, if it stands there.
    #[inline]
    pub(super) fn leave(&mut self) {
        if let Some(place) = self.place.take() {
            if ends::on() {
                Stood::at(Some(&place)).stands(self.channel, ends::Line::Receive, None);
            }
            self.channel.leave_receivers(place);
        }
    }
}

impl<T> Drop for Receiving<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.leave();
    }
}

impl<T> fmt::Debug for Receiving<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiving").field("waits", &self.place.is_some()).finish_non_exhaustive()
    }
}
