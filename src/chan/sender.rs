//! The sending handle.

use super::{
    blocking,
    ends::{self, Side, Stood},
    error::{SendError, TrySendError},
    line::Place,
    receiver::Receiver,
    send::{self, Sending},
    shared::Shared,
    sync::Ordering,
};
use futures_util::Sink;
use gambol_executor::{Reason, park, spend};
use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

/// Sends values into a channel. Clones send into the same one.
///
/// The channel is closed when the last `Sender` is dropped, the last [`Receiver`], or by [`close`](Self::close).
///
/// It is also a [`Sink`]. That keeps one value that has not found room, until it is flushed.
pub struct Sender<T> {
    pub(super) shared: Arc<Shared<T>>,
    /// What the sink has taken and not sent. The mutex is for Sync alone: it is reached through `&mut` only.
    pending: Mutex<Option<Box<Pending<T>>>>,
}

struct Pending<T> {
    value: Option<T>,
    place: Option<Place>,
}

impl<T> Sender<T> {
    /// For a handle that has been counted already.
    pub(super) fn new(shared: Arc<Shared<T>>) -> Sender<T> {
        Sender { shared, pending: Mutex::new(None) }
    }

    /// Sends a value, and waits for room; in an [`unbuffered`](super::unbuffered) channel, until a receiver has taken it.
    ///
    /// Those who wait are served in the order in which they began to.
    ///
    /// # Errors
    ///
    /// The channel is closed, or was while this waited. The value comes back.
    ///
    /// # Cancel safety
    ///
    /// A value that was not sent is dropped with the future; with [`send_from`](Self::send_from) it is not.
    pub fn send(&self, value: T) -> Sending<'_, T> {
        Sending::new(&self.shared, Some(value))
    }

    /// As [`send`](Self::send), for a value that stands in a variable. It is taken out of there, and put back if the future is
    /// dropped before it was sent.
    ///
    /// ```
    /// # gambol::block_on(async {
    /// use gambol::{chan, time::{Duration, timeout}};
    ///
    /// let (tx, _rx) = chan::unbuffered();
    /// let mut precious = Some("still here");
    /// let given_up = timeout(Duration::from_millis(1), tx.send_from(&mut precious)).await;
    /// assert!(given_up.is_err());
    /// assert_eq!(precious, Some("still here"));
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// When it is polled and there is no value.
    ///
    /// # Errors
    ///
    /// As `send`. The value is in the error then.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost: the value is where it came from, or it was sent.
    pub fn send_from<'a>(&'a self, value: &'a mut Option<T>) -> Sending<'a, T, &'a mut Option<T>> {
        Sending::new(&self.shared, value)
    }

    /// Sends a value without waiting. In an [`unbuffered`](super::unbuffered) channel it is left to a receiver that waits at this
    /// moment, and to the next one should that go away.
    ///
    /// # Errors
    ///
    /// [`Full`](TrySendError::Full): there is no room; in an unbuffered channel, no receiver waits. [`Closed`](TrySendError::Closed): the
    /// channel is closed. The value comes back.
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        if ends::on() {
            ends::used(&self.shared, Side::Senders);
        }
        self.shared.try_send(value)
    }

    /// As [`send`](Self::send), and blocks the thread while it waits. For threads that run no tasks.
    ///
    /// In a task it gives the worker's place to another one, as [`block_on`](crate::block_on) does.
    ///
    /// # Errors
    ///
    /// As `send`.
    pub fn send_blocking(&self, value: T) -> Result<(), SendError<T>> {
        blocking::wait(self.send(value))
    }

    /// Closes the channel for everybody: nothing more can be sent, and those who wait to send get their values back. What was sent
    /// can still be received. False: it was closed before.
    pub fn close(&self) -> bool {
        self.shared.close()
    }

    /// Whether the channel is closed.
    pub fn is_closed(&self) -> bool {
        self.shared.is_closed()
    }

    /// Completes when the channel is closed: nobody needs what would be sent.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub fn closed(&self) -> Closed<'_, T> {
        Closed { channel: &self.shared, place: None }
    }

    /// Values that were sent and not received. They may be more than the [`capacity`](Self::capacity) by those for which a
    /// receiver waits, or has waited and gone.
    pub fn len(&self) -> usize {
        self.shared.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a value would have to wait now, if no receiver does.
    pub fn is_full(&self) -> bool {
        self.shared.capacity().is_some_and(|capacity| self.len() >= capacity)
    }

    /// How many values the channel holds without a receiver. Some(0): none, see [`unbuffered`](super::unbuffered). None: there is no
    /// limit.
    pub fn capacity(&self) -> Option<usize> {
        self.shared.capacity()
    }

    /// How many `Sender`s there are.
    pub fn sender_count(&self) -> usize {
        self.shared.senders.load(Ordering::Relaxed)
    }

    /// How many [`Receiver`]s there are.
    pub fn receiver_count(&self) -> usize {
        self.shared.receivers.load(Ordering::Relaxed)
    }

    /// Whether both send into the same channel.
    pub fn same_channel(&self, other: &Sender<T>) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// A handle that does not keep the channel open.
    pub fn downgrade(&self) -> WeakSender<T> {
        if ends::on() {
            ends::downgraded(&self.shared);
        }
        WeakSender { shared: self.shared.clone() }
    }

    /// A new receiver, which shares the values with those that there are, as a clone of one does. A channel that is closed stays
    /// closed.
    pub fn subscribe(&self) -> Receiver<T> {
        self.shared.receivers.fetch_add(1, Ordering::Relaxed);
        if ends::on() {
            ends::cloned(&self.shared);
        }
        Receiver::new(self.shared.clone())
    }

    fn pending(&mut self) -> &mut Option<Box<Pending<T>>> {
        self.pending.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        // Relaxed: it is not zero while we are here.
        self.shared.senders.fetch_add(1, Ordering::Relaxed);
        if ends::on() {
            ends::cloned(&self.shared);
        }
        Sender::new(self.shared.clone())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut pending = self.pending().take();
        // Before the value is dropped, which may panic; and also if a waker does.
        let _counts = Goes(&self.shared);
        if let Some(pending) = &mut pending
            && let Some(place) = pending.place.take()
        {
            if ends::on() {
                Stood::at(Some(&place)).stands(&self.shared, ends::Line::Send, None);
            }
            self.shared.leave_senders(place, &mut pending.value);
        }
    }
}

/// A sender that goes.
struct Goes<'a, T>(&'a Shared<T>);

impl<T> Drop for Goes<'_, T> {
    fn drop(&mut self) {
        // AcqRel is not needed for the values, which travel under the lock; it is for those who read the count alone.
        if self.0.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.close();
        }
        if ends::on() {
            ends::dropped(self.0, Side::Senders);
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.debug("Sender", f)
    }
}

/// The error of a send, which has the value.
impl<T> Sink<T> for Sender<T> {
    type Error = SendError<T>;

    /// Ready when there is nothing left to flush.
    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError<T>>> {
        self.poll_flush(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, value: T) -> Result<(), SendError<T>> {
        assert!(self.pending().is_none(), "poll_ready comes before start_send");
        if ends::on() {
            ends::used(&self.shared, Side::Senders);
        }
        match self.shared.send_if_room(value) {
            Ok(()) => {}
            Err(TrySendError::Full(value)) => {
                *self.pending() = Some(Box::new(Pending { value: Some(value), place: None }));
            }
            Err(TrySendError::Closed(value)) => return Err(SendError(value)),
        }
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError<T>>> {
        let this = self.get_mut();
        let spent = ready!(spend(cx));
        let shared = &this.shared;
        let slot = this.pending.get_mut().unwrap_or_else(PoisonError::into_inner);
        let Some(pending) = slot else { return Poll::Ready(Ok(())) };
        match send::poll(shared, &mut pending.value, &mut pending.place, cx) {
            Poll::Ready(sent) => {
                *slot = None;
                Poll::Ready(sent.map_err(SendError))
            }
            Poll::Pending => {
                spent.refund();
                park(Reason::ChanSend);
                Poll::Pending
            }
        }
    }

    /// Flushes. The channel is closed by dropping its senders, or by [`Sender::close`].
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError<T>>> {
        self.poll_flush(cx)
    }
}

/// A handle for sending that does not keep the channel open. Made by [`Sender::downgrade`].
pub struct WeakSender<T> {
    shared: Arc<Shared<T>>,
}

impl<T> WeakSender<T> {
    /// A sender, if one is left.
    pub fn upgrade(&self) -> Option<Sender<T>> {
        let one_more = |count: usize| if count == 0 { None } else { Some(count + 1) };
        let counted = self.shared.senders.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        counted.is_ok().then(|| Sender::new(self.shared.clone()))
    }
}

impl<T> Clone for WeakSender<T> {
    fn clone(&self) -> WeakSender<T> {
        WeakSender { shared: self.shared.clone() }
    }
}

impl<T> fmt::Debug for WeakSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.debug("WeakSender", f)
    }
}

/// Completes when a channel is closed; see [`Sender::closed`].
///
/// # Cancel safety
///
/// Nothing is lost.
#[must_use = "futures do nothing unless they are awaited"]
pub struct Closed<'a, T> {
    channel: &'a Shared<T>,
    place: Option<Place>,
}

impl<T> Future for Closed<'_, T> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let spent = ready!(spend(cx));
        let stood = Stood::at(this.place.as_ref());
        let polled = this.channel.poll_closed(&mut this.place, cx);
        if ends::on() {
            ends::used(this.channel, Side::Senders);
            stood.stands(this.channel, ends::Line::Closed, this.place.as_ref());
        }
        if polled.is_pending() {
            spent.refund();
            park(Reason::ChanSend);
        }
        polled
    }
}

impl<T> Drop for Closed<'_, T> {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            if ends::on() {
                Stood::at(Some(&place)).stands(self.channel, ends::Line::Closed, None);
            }
            self.channel.leave_watchers(place);
        }
    }
}

impl<T> fmt::Debug for Closed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Closed").field("waits", &self.place.is_some()).finish_non_exhaustive()
    }
}
