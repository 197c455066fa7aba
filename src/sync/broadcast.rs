//! Every value for every receiver.
//!
//! One lock guards the values that are kept, with how many receivers have yet to see each, and the line of those who wait. A
//! value is in an `Arc` of its own, so that it is cloned after the lock was released; and under a lock of its own, since it
//! need not be `Sync`. Receivers take values in order, so those that all have seen are always the first ones, and go at
//! once; the last to see one gets it without a clone.
//!
//! tokio keeps the slots for ever, each under a lock that a slow clone keeps the sender out by; it saves the `Arc`.

use super::waiters::{Place, Waiters};
use futures_core::Stream;
use gambol_executor::{Reason, block_on, discard, park, spend, wake};
use std::{
    collections::VecDeque,
    error::Error,
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

/// Makes a channel in which every receiver gets every value that is sent while it exists.
///
/// It keeps the last `capacity` values, exactly, as long as somebody has yet to see them. Sending never waits: when there
/// are more, the oldest is dropped, and a receiver that had yet to see it is told how many it has lost, with
/// [`RecvError::Lagged`].
///
/// ```
/// use gambol::sync::broadcast::{self, RecvError};
///
/// # gambol::block_on(async {
/// let (sender, mut slow) = broadcast::channel(2);
/// let mut quick = sender.subscribe();
/// sender.send("a").unwrap();
/// assert_eq!(quick.recv().await, Ok("a"));
/// sender.send("b").unwrap();
/// sender.send("c").unwrap();
/// assert_eq!(quick.recv().await, Ok("b"));
/// assert_eq!(slow.recv().await, Err(RecvError::Lagged(1)));
/// assert_eq!(slow.recv().await, Ok("b"));
/// drop(sender);
/// assert_eq!(slow.recv().await, Ok("c"));
/// assert_eq!(slow.recv().await, Err(RecvError::Closed));
/// # });
/// ```
///
/// # Fairness
///
/// All who wait are woken with each value, in the order in which they came.
///
/// # Panics
///
/// When `capacity` is 0.
#[track_caller]
pub fn channel<T: Clone>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let sender = Sender::new(capacity);
    let receiver = sender.subscribe();
    (sender, receiver)
}

struct Shared<T> {
    capacity: usize,
    state: Mutex<State<T>>,
}

struct State<T> {
    values: VecDeque<Slot<T>>,
    /// The number of the first in `values`, counted from the first ever sent.
    first: u64,
    senders: usize,
    receivers: usize,
    /// By `close`.
    closed: bool,
    /// For a value, or the end of the senders.
    waiting: Waiters,
    /// For the end of the receivers.
    closing: Waiters,
}

struct Slot<T> {
    value: Value<T>,
    /// Receivers that have yet to see it; never 0 while the lock is free.
    unseen: usize,
}

type Value<T> = Arc<Mutex<T>>;

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> State<T> {
    /// The number of the value that is sent next.
    fn next(&self) -> u64 {
        self.first + self.values.len() as u64
    }

    fn is_closed(&self) -> bool {
        self.closed || self.senders == 0
    }

    /// What comes after `position`, which moves on.
    fn take(&mut self, position: &mut u64) -> Result<Value<T>, TryRecvError> {
        if *position < self.first {
            let lost = self.first - *position;
            *position = self.first;
            return Err(TryRecvError::Lagged(lost));
        }
        let Some(slot) = self.values.get_mut((*position - self.first) as usize) else {
            return Err(if self.is_closed() { TryRecvError::Closed } else { TryRecvError::Empty });
        };
        *position += 1;
        slot.unseen -= 1;
        if slot.unseen > 0 {
            return Ok(slot.value.clone());
        }
        self.first += 1;
        Ok(self.values.pop_front().expect("what all have seen is the first").value)
    }
}

/// The value itself: it is the last, or a clone.
fn unwrap<T: Clone>(value: Value<T>) -> T {
    match Arc::try_unwrap(value) {
        Ok(value) => value.into_inner().unwrap_or_else(PoisonError::into_inner),
        // A clone that panicked has poisoned the lock; it had `&T`, so the value is as it was.
        Err(shared) => shared.lock().unwrap_or_else(PoisonError::into_inner).clone(),
    }
}

/// Sends values to all receivers. Clones send to the same; when the last is gone, receivers get what is left, and then the
/// end.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Sender<T> {
    /// For `capacity` values, and without a receiver yet.
    ///
    /// # Panics
    ///
    /// When `capacity` is 0.
    #[track_caller]
    pub fn new(capacity: usize) -> Sender<T> {
        assert!(capacity > 0, "a broadcast channel keeps one value at least");
        let state = State {
            values: VecDeque::new(),
            first: 0,
            senders: 1,
            receivers: 0,
            closed: false,
            waiting: Waiters::new(),
            closing: Waiters::new(),
        };
        Sender { shared: Arc::new(Shared { capacity, state: Mutex::new(state) }) }
    }

    /// Sends a value to all receivers there are, and returns how many. They need not get it: they may go away, or be too
    /// slow.
    ///
    /// # Errors
    ///
    /// The value, if there are none, or the channel was closed.
    pub fn send(&self, value: T) -> Result<usize, SendError<T>> {
        let value = Arc::new(Mutex::new(value));
        let mut state = self.shared.lock();
        let receivers = state.receivers;
        if receivers == 0 || state.closed {
            drop(state);
            let value = Arc::into_inner(value).expect("it was not sent");
            return Err(SendError(value.into_inner().unwrap_or_else(PoisonError::into_inner)));
        }
        let mut oldest = None;
        if state.values.len() == self.shared.capacity {
            oldest = state.values.pop_front();
            state.first += 1;
        }
        state.values.push_back(Slot { value, unseen: receivers });
        let wakers = state.waiting.call_all();
        drop(state);
        wakers.into_iter().for_each(wake);
        drop(oldest);
        Ok(receivers)
    }

    /// One more receiver, which gets what is sent from now on.
    pub fn subscribe(&self) -> Receiver<T> {
        Receiver::new(&self.shared)
    }

    /// No value is sent any more; receivers get what is left, and then the end.
    pub fn close(&self) {
        let mut state = self.shared.lock();
        state.closed = true;
        let mut wakers = state.waiting.call_all();
        wakers.extend(state.closing.call_all());
        drop(state);
        wakers.into_iter().for_each(wake);
    }

    /// Whether sending fails: there is no receiver, or the channel was closed.
    pub fn is_closed(&self) -> bool {
        let state = self.shared.lock();
        state.receivers == 0 || state.closed
    }

    /// Waits until sending fails; see [`is_closed`](Self::is_closed).
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn closed(&self) {
        Closing { shared: &self.shared, place: None }.await;
    }

    /// How many receivers there are.
    pub fn receiver_count(&self) -> usize {
        self.shared.lock().receivers
    }

    /// How many values are kept, which somebody has yet to see.
    pub fn len(&self) -> usize {
        self.shared.lock().values.len()
    }

    /// Whether all have seen all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many values are kept at most.
    pub fn capacity(&self) -> usize {
        self.shared.capacity
    }

    /// Whether both send to the same receivers.
    pub fn same_channel(&self, other: &Sender<T>) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        self.shared.lock().senders += 1;
        Sender { shared: self.shared.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.senders -= 1;
        let wakers = if state.senders == 0 { state.waiting.call_all() } else { Vec::new() };
        drop(state);
        wakers.into_iter().for_each(wake);
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("capacity", &self.shared.capacity).finish_non_exhaustive()
    }
}

/// Gets every value that is sent while it exists, in order.
///
/// As a `Stream` it gives what [`recv`](Self::recv) returns, and ends where that returns [`RecvError::Closed`].
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    /// The number of the value that it gets next.
    position: u64,
    /// In the line, as a stream.
    place: Option<Place>,
}

impl<T> Receiver<T> {
    fn new(shared: &Arc<Shared<T>>) -> Receiver<T> {
        let mut state = shared.lock();
        state.receivers += 1;
        Receiver { shared: shared.clone(), position: state.next(), place: None }
    }

    /// One more receiver, which gets what is sent from now on; what this one has yet to see, it does not get.
    pub fn resubscribe(&self) -> Receiver<T> {
        Receiver::new(&self.shared)
    }

    /// How many values were sent that it has yet to see, those that it has lost among them.
    pub fn len(&self) -> usize {
        (self.shared.lock().next() - self.position) as usize
    }

    /// Whether it has seen all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether no value is sent any more: there is no sender, or the channel was closed. Some may be left.
    pub fn is_closed(&self) -> bool {
        self.shared.lock().is_closed()
    }

    /// Whether both receive from the same channel.
    pub fn same_channel(&self, other: &Receiver<T>) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl<T: Clone> Receiver<T> {
    /// Waits for the next value.
    ///
    /// The value is cloned with no lock of the channel held; only who gets the same value at the same time blocks its thread
    /// until that is done. So a clone may use the channel, but not receive what it is a clone of. If the clone panics, this
    /// receiver has seen the value, and nothing else happens.
    ///
    /// # Errors
    ///
    /// [`RecvError::Lagged`] once for each time that values were lost; after it come those that are kept.
    /// [`RecvError::Closed`] when nothing is left and nothing will come.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub fn recv(&mut self) -> Recv<'_, T> {
        Recv { receiver: self }
    }

    /// As [`recv`](Self::recv), for a thread: it blocks.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub fn recv_blocking(&mut self) -> Result<T, RecvError> {
        block_on(self.recv())
    }

    /// The next value, if there is one.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv), and [`TryRecvError::Empty`] where that waits.
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        let taken = self.shared.lock().take(&mut self.position);
        taken.map(unwrap)
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, RecvError>> {
        let spent = ready!(spend(cx));
        if let Poll::Ready(taken) = self.poll_take(cx) {
            return Poll::Ready(taken.map(unwrap));
        }
        spent.refund();
        park(Reason::ChanRecv);
        Poll::Pending
    }

    fn poll_take(&mut self, cx: &mut Context<'_>) -> Poll<Result<Value<T>, RecvError>> {
        let mut state = self.shared.lock();
        let taken = ready_unless_empty(state.take(&mut self.position));
        if taken.is_ready() {
            let removed = self.place.take().map(|place| state.waiting.remove(place));
            drop(state);
            if let Some(removed) = removed {
                discard(removed);
            }
            return taken;
        }
        drop(state);
        // Cloned before the lock is taken, and what is not needed is dropped after it.
        let waker = cx.waker().clone();
        let mut state = self.shared.lock();
        let taken = ready_unless_empty(state.take(&mut self.position));
        let unneeded = if taken.is_ready() {
            (Some(waker), self.place.take().map(|place| state.waiting.remove(place)))
        } else {
            (state.waiting.stay(&mut self.place, waker), None)
        };
        drop(state);
        discard(unneeded);
        taken
    }
}

fn ready_unless_empty<T>(taken: Result<Value<T>, TryRecvError>) -> Poll<Result<Value<T>, RecvError>> {
    match taken {
        Ok(value) => Poll::Ready(Ok(value)),
        Err(TryRecvError::Lagged(lost)) => Poll::Ready(Err(RecvError::Lagged(lost))),
        Err(TryRecvError::Closed) => Poll::Ready(Err(RecvError::Closed)),
        Err(TryRecvError::Empty) => Poll::Pending,
    }
}

impl<T> Receiver<T> {
    /// Waits no more.
    #[inline]
    fn leave(&mut self) {
        if let Some(place) = self.place.take() {
            self.remove(place);
        }
    }

    #[cold]
    fn remove(&self, place: Place) {
        let removed = self.shared.lock().waiting.remove(place);
        discard(removed);
    }
}

impl<T: Clone> Stream for Receiver<T> {
    type Item = Result<T, RecvError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(Some(ready!(self.poll_recv(cx))).filter(|item| !matches!(item, Err(RecvError::Closed))))
    }
}

impl<T> Unpin for Receiver<T> {}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        let place = self.place.take().map(|place| state.waiting.remove(place));
        let begin = self.position.saturating_sub(state.first) as usize;
        state.values.range_mut(begin..).for_each(|slot| slot.unseen -= 1);
        let seen = state.values.iter().take_while(|slot| slot.unseen == 0).count();
        let values: Vec<_> = state.values.drain(..seen).collect();
        state.first += seen as u64;
        state.receivers -= 1;
        let wakers = if state.receivers == 0 { state.closing.call_all() } else { Vec::new() };
        drop(state);
        wakers.into_iter().for_each(wake);
        discard(place);
        drop(values);
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("capacity", &self.shared.capacity).finish_non_exhaustive()
    }
}

/// Completes with the next value; see [`Receiver::recv`].
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct Recv<'a, T> {
    receiver: &'a mut Receiver<T>,
}

impl<T: Clone> Future for Recv<'_, T> {
    type Output = Result<T, RecvError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.receiver.poll_recv(cx)
    }
}

impl<T> Drop for Recv<'_, T> {
    fn drop(&mut self) {
        self.receiver.leave();
    }
}

/// See [`Sender::closed`].
struct Closing<'a, T> {
    shared: &'a Shared<T>,
    place: Option<Place>,
}

impl<T> Future for Closing<'_, T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let spent = ready!(spend(cx));
        // Cloned before the lock is taken, and what is not needed is dropped after it.
        let waker = cx.waker().clone();
        let mut state = self.shared.lock();
        let closed = state.receivers == 0 || state.closed;
        let unneeded = if closed { Some(waker) } else { state.closing.stay(&mut self.place, waker) };
        drop(state);
        discard(unneeded);
        if closed {
            return Poll::Ready(());
        }
        spent.refund();
        park(Reason::Notify);
        Poll::Pending
    }
}

impl<T> Drop for Closing<'_, T> {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            let removed = self.shared.lock().closing.remove(place);
            discard(removed);
        }
    }
}

/// A value that nobody receives; see [`Sender::send`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SendError<T>(T);

impl<T> SendError<T> {
    /// The value.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendError").finish_non_exhaustive()
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the broadcast channel has no receivers, or was closed")
    }
}

impl<T> Error for SendError<T> {}

/// Why there is no value; see [`Receiver::recv`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecvError {
    /// Nothing is left, and nothing will come.
    Closed,
    /// The receiver was too slow: so many values were dropped before it saw them. The next ones are those that are kept.
    Lagged(u64),
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecvError::Closed => f.write_str("the broadcast channel is closed"),
            RecvError::Lagged(lost) => write!(f, "the receiver was too slow and has lost {lost} values"),
        }
    }
}

impl Error for RecvError {}

/// Why there is no value now; see [`Receiver::try_recv`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TryRecvError {
    /// Nothing was sent that the receiver has not seen.
    Empty,
    /// Nothing is left, and nothing will come.
    Closed,
    /// As [`RecvError::Lagged`].
    Lagged(u64),
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TryRecvError::Empty => f.write_str("the broadcast channel is empty"),
            TryRecvError::Closed => RecvError::Closed.fmt(f),
            TryRecvError::Lagged(lost) => RecvError::Lagged(*lost).fmt(f),
        }
    }
}

impl Error for TryRecvError {}
