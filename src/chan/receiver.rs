//! The receiving handle.

use super::{
    blocking,
    ends::{self, Side, Stood},
    error::TryRecvError,
    line::Place,
    recv::{self, Receiving},
    shared::Shared,
    sync::{AtomicU32, Ordering},
};
use futures_util::{Stream, stream::FusedStream};
use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// Receives the values of a channel. Clones share them: each value goes to one of them.
///
/// The channel is closed when the last `Receiver` is dropped, the last [`Sender`](super::Sender), or by [`close`](Self::close).
/// With the last receiver go the values that nobody has received.
///
/// It is also a [`Stream`], which ends when the channel is closed and empty.
pub struct Receiver<T> {
    pub(super) shared: Arc<Shared<T>>,
    /// Where the stream waits, or NONE. Whoever takes the number out leaves the line for it.
    place: AtomicU32,
}

impl<T> Receiver<T> {
    /// For a handle that has been counted already.
    pub(super) fn new(shared: Arc<Shared<T>>) -> Receiver<T> {
        Receiver { shared, place: AtomicU32::new(Place::NONE) }
    }

    /// Receives a value, or waits for one. None: the channel is closed, and all its values have been received.
    ///
    /// Those who wait are called in the order in which they began to; one that runs anyway may be faster, and then the one who
    /// was called keeps its place.
    ///
    /// # Cancel safety
    ///
    /// No value is lost.
    pub fn recv(&self) -> Receiving<'_, T> {
        // The stream was polled and is not now, since it would have to borrow us mutably: it does not wait before us.
        if self.place.load(Ordering::Relaxed) != Place::NONE {
            self.leave();
        }
        Receiving { channel: &self.shared, place: None }
    }

    /// Receives a value that is there; in an [`unbuffered`](super::unbuffered) channel, that of a sender who waits.
    ///
    /// Where there is no limit, and others send and receive at this very time, it may find nothing though the channel was at no moment
    /// empty: values stand in two places. What was sent before the call, and is taken by nobody else, is found.
    ///
    /// # Errors
    ///
    /// [`Empty`](TryRecvError::Empty): there is none at this time. [`Closed`](TryRecvError::Closed): there will be none, the
    /// channel is closed.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        if ends::on() {
            ends::used(&self.shared, Side::Receivers);
        }
        self.shared.try_receive()
    }

    /// As [`recv`](Self::recv), and blocks the thread while it waits. For threads that run no tasks.
    ///
    /// In a task it gives the worker's place to another one, as [`block_on`](crate::block_on) does.
    pub fn recv_blocking(&self) -> Option<T> {
        blocking::wait(self.recv())
    }

    /// Closes the channel for everybody: nothing more can be sent, and those who wait to send get their values back. What was sent
    /// can still be received. False: it was closed before.
    pub fn close(&self) -> bool {
        self.shared.close()
    }

    /// Whether the channel is closed. There may be values left.
    pub fn is_closed(&self) -> bool {
        self.shared.is_closed()
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

    /// How many values the channel holds without a receiver. Some(0): none, see [`unbuffered`](super::unbuffered). None: there is no
    /// limit.
    pub fn capacity(&self) -> Option<usize> {
        self.shared.capacity()
    }

    /// How many [`Sender`](super::Sender)s there are.
    pub fn sender_count(&self) -> usize {
        self.shared.senders.load(Ordering::Relaxed)
    }

    /// How many `Receiver`s there are.
    pub fn receiver_count(&self) -> usize {
        self.shared.receivers.load(Ordering::Relaxed)
    }

    /// Whether both receive from the same channel.
    pub fn same_channel(&self, other: &Receiver<T>) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// A handle that does not keep the channel open.
    pub fn downgrade(&self) -> WeakReceiver<T> {
        if ends::on() {
            ends::downgraded(&self.shared);
        }
        WeakReceiver { shared: self.shared.clone() }
    }

    #[cold]
    fn leave(&self) {
        // Relaxed: whoever gets the number has the place to himself, and what it stands for is under the lock.
        if let Some(place) = Place::from_raw(self.place.swap(Place::NONE, Ordering::Relaxed)) {
            if ends::on() {
                Stood::at(Some(&place)).stands(&self.shared, ends::Line::Receive, None);
            }
            self.shared.leave_receivers(place);
        }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Receiver<T> {
        // Relaxed: it is not zero while we are here.
        self.shared.receivers.fetch_add(1, Ordering::Relaxed);
        if ends::on() {
            ends::cloned(&self.shared);
        }
        Receiver::new(self.shared.clone())
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        // Also if the stream's waker panics when it is dropped.
        let _counts = Goes(&self.shared);
        self.leave();
    }
}

/// A receiver that goes.
struct Goes<'a, T>(&'a Shared<T>);

impl<T> Drop for Goes<'_, T> {
    fn drop(&mut self) {
        if self.0.receivers.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.close_and_empty();
        }
        if ends::on() {
            ends::dropped(self.0, Side::Receivers);
        }
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.debug("Receiver", f)
    }
}

impl<T> Stream for Receiver<T> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let place = Place::from_raw(self.place.swap(Place::NONE, Ordering::Relaxed));
        let mut lent = Lent { home: &self.place, place };
        recv::poll(&self.shared, &mut lent.place, cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len(), None)
    }
}

/// The stream's place while it is polled. It goes back in the end, also when a waker panics: a place that nobody knows would be called in
/// somebody else's stead.
struct Lent<'a> {
    home: &'a AtomicU32,
    place: Option<Place>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            self.home.store(place.into_raw(), Ordering::Relaxed);
        }
    }
}

impl<T> FusedStream for Receiver<T> {
    fn is_terminated(&self) -> bool {
        self.is_closed() && self.is_empty()
    }
}

/// A handle for receiving that does not keep the channel open. Made by [`Receiver::downgrade`].
pub struct WeakReceiver<T> {
    shared: Arc<Shared<T>>,
}

impl<T> WeakReceiver<T> {
    /// A receiver, if one is left.
    pub fn upgrade(&self) -> Option<Receiver<T>> {
        let one_more = |count: usize| if count == 0 { None } else { Some(count + 1) };
        let counted = self.shared.receivers.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        counted.is_ok().then(|| Receiver::new(self.shared.clone()))
    }
}

impl<T> Clone for WeakReceiver<T> {
    fn clone(&self) -> WeakReceiver<T> {
        WeakReceiver { shared: self.shared.clone() }
    }
}

impl<T> fmt::Debug for WeakReceiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.debug("WeakReceiver", f)
    }
}
