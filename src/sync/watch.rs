//! The latest value, for many who observe it.
//!
//! The value is behind std's read-write lock, which nobody holds across an await: a [`Ref`] cannot be sent. Beside it stands
//! the version, which is counted up under the lock with each change, so that a value and its version are read together; and
//! those who wait for a change stand in a line of their own. A change writes first and calls second.

use super::{crowd::Crowd, waiters::Place};
use futures_core::Stream;
use gambol_executor::{Reason, park, spend};
use std::{
    error::Error,
    fmt,
    future::poll_fn,
    mem,
    ops::Deref,
    pin::Pin,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

/// Makes a channel that keeps the latest value, `value` at first. The receiver has seen that one.
///
/// A receiver learns that there is a new value, not how many there were in between. Change and observation never wait for
/// each other, but for the time of a closure or a [`Ref`].
///
/// ```
/// use gambol::sync::watch;
///
/// # gambol::block_on(async {
/// let (sender, mut receiver) = watch::channel("starting");
/// gambol::spawn(async move {
///     sender.send("running").unwrap();
///     sender.send("stopped").unwrap();
/// });
/// let last = receiver.wait_for(|state| *state == "stopped").await.map(|state| *state);
/// assert_eq!(last, Ok("stopped"));
/// # });
/// ```
///
/// # Fairness
///
/// All who wait are called with each change, in the order in which they came.
pub fn channel<T>(value: T) -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared {
        value: RwLock::new(value),
        version: AtomicUsize::new(0),
        senders: AtomicUsize::new(1),
        receivers: AtomicUsize::new(1),
        changed: Crowd::new(),
        abandoned: Crowd::new(),
    });
    (Sender { shared: shared.clone() }, Receiver { shared, seen: 0, place: None })
}

struct Shared<T> {
    value: RwLock<T>,
    /// Counted up under the write lock, in steps of `STEP`; bit 0: there is no sender any more.
    version: AtomicUsize,
    senders: AtomicUsize,
    receivers: AtomicUsize,
    /// Those who wait for a change, or for the end of the senders.
    changed: Crowd,
    /// Those who wait for the end of the receivers.
    abandoned: Crowd,
}

const CLOSED: usize = 1;
const STEP: usize = 2;

impl<T> Shared<T> {
    fn read(&self) -> RwLockReadGuard<'_, T> {
        self.value.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn version(&self) -> usize {
        // Acquire, with the Release of who changes it: who sees that there is no sender any more sees the last value.
        self.version.load(Ordering::Acquire)
    }

    /// Whether there is something new after `seen`. Err: never again.
    fn look(&self, seen: usize) -> Result<bool, RecvError> {
        let version = self.version();
        match version & !CLOSED != seen {
            true => Ok(true),
            false if version & CLOSED != 0 => Err(RecvError(())),
            false => Ok(false),
        }
    }

    /// Waits for a change after `seen`, and has seen it then.
    fn poll_changed(
        &self,
        seen: &mut usize,
        place: &mut Option<Place>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), RecvError>> {
        let spent = ready!(spend(cx));
        let mut result = Ok(false);
        let mut look = || {
            result = self.look(*seen);
            result != Ok(false)
        };
        if self.changed.poll(place, cx, &mut look).is_ready() {
            if result.is_ok() {
                *seen = self.version() & !CLOSED;
            }
            return Poll::Ready(result.map(drop));
        }
        spent.refund();
        park(Reason::Notify);
        Poll::Pending
    }
}

/// A change under way. At its end, a panic too, the version is counted up, the lock released, and whoever waits called.
struct Change<'a, T> {
    shared: &'a Shared<T>,
    value: Option<RwLockWriteGuard<'a, T>>,
    modified: bool,
}

impl<'a, T> Change<'a, T> {
    fn begin(shared: &'a Shared<T>) -> Change<'a, T> {
        let value = shared.value.write().unwrap_or_else(PoisonError::into_inner);
        Change { shared, value: Some(value), modified: true }
    }

    fn value(&mut self) -> &mut T {
        self.value.as_mut().expect("it is there until the end")
    }
}

impl<T> Drop for Change<'_, T> {
    fn drop(&mut self) {
        if self.modified {
            self.shared.version.fetch_add(STEP, Ordering::Release);
        }
        self.value = None;
        if self.modified {
            self.shared.changed.call_all();
        }
    }
}

/// Changes the value. Clones change the same one; when the last is gone, receivers are told.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Sender<T> {
    /// With this value, and no receiver yet.
    pub fn new(value: T) -> Sender<T> {
        channel(value).0
    }

    /// Changes the value and tells the receivers.
    ///
    /// # Errors
    ///
    /// The value, if there is no receiver; the one before stays. [`send_replace`](Self::send_replace) changes it all the
    /// same.
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        if self.is_closed() {
            return Err(SendError(value));
        }
        self.send_replace(value);
        Ok(())
    }

    /// Changes the value, whether there is a receiver or not, and returns the one before.
    pub fn send_replace(&self, value: T) -> T {
        let mut change = Change::begin(&self.shared);
        mem::replace(change.value(), value)
    }

    /// Changes the value in place.
    ///
    /// `modify` runs with the value locked: it must not touch this channel. If it panics, receivers are told of a change,
    /// and find what it has left.
    pub fn send_modify(&self, modify: impl FnOnce(&mut T)) {
        self.send_if_modified(|value| {
            modify(value);
            true
        });
    }

    /// Changes the value in place, and tells the receivers if `modify` returns true. Returns what it returned.
    ///
    /// As with [`send_modify`](Self::send_modify), it runs with the value locked, and a panic counts as a change.
    pub fn send_if_modified(&self, modify: impl FnOnce(&mut T) -> bool) -> bool {
        let mut change = Change::begin(&self.shared);
        let modified = modify(change.value());
        change.modified = modified;
        modified
    }

    /// The value. It cannot change until the result is dropped, and who wants to change it blocks its thread: drop it soon.
    /// While there is such a result, its thread must neither change the value nor borrow it again: the latter may have to wait
    /// for somebody who waits for the former.
    pub fn borrow(&self) -> Ref<'_, T> {
        Ref { value: self.shared.read(), has_changed: false }
    }

    /// One more receiver, which has seen the value of this moment.
    pub fn subscribe(&self) -> Receiver<T> {
        self.shared.receivers.fetch_add(1, Ordering::Relaxed);
        Receiver { shared: self.shared.clone(), seen: self.shared.version() & !CLOSED, place: None }
    }

    /// How many receivers there are.
    pub fn receiver_count(&self) -> usize {
        self.shared.receivers.load(Ordering::Acquire)
    }

    /// Whether there is no receiver. [`subscribe`](Self::subscribe) makes a new one.
    pub fn is_closed(&self) -> bool {
        self.receiver_count() == 0
    }

    /// Waits until there is no receiver.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn closed(&self) {
        Abandoned { shared: &self.shared, place: None }.await;
    }

    /// Whether both change the same value.
    pub fn same_channel(&self, other: &Sender<T>) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        self.shared.senders.fetch_add(1, Ordering::Relaxed);
        Sender { shared: self.shared.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if self.shared.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.shared.version.fetch_or(CLOSED, Ordering::Release);
            self.shared.changed.call_all();
        }
    }
}

impl<T: Default> Default for Sender<T> {
    fn default() -> Sender<T> {
        Sender::new(T::default())
    }
}

impl<T: fmt::Debug> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.fmt("Sender", f)
    }
}

impl<T: fmt::Debug> Shared<T> {
    fn fmt(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct(name);
        match self.value.try_read() {
            Ok(value) => f.field("value", &*value),
            Err(std::sync::TryLockError::Poisoned(value)) => f.field("value", &**value.get_ref()),
            Err(std::sync::TryLockError::WouldBlock) => f.field("value", &format_args!("<locked>")),
        };
        f.finish_non_exhaustive()
    }
}

/// Observes the value. A clone has seen what this one has.
///
/// As a `Stream` it gives a clone of the value after each change that it has not seen yet, and ends with the last sender.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    /// The version that was seen last.
    seen: usize,
    /// As a stream.
    place: Option<Place>,
}

impl<T> Receiver<T> {
    /// The value. Whether it counts as seen does not change. It cannot change until the result is dropped, and who wants to
    /// change it blocks its thread: drop it soon. As for a second result on the same thread, see [`Sender::borrow`].
    pub fn borrow(&self) -> Ref<'_, T> {
        let value = self.shared.read();
        let has_changed = self.shared.version() & !CLOSED != self.seen;
        Ref { value, has_changed }
    }

    /// The value, which counts as seen. As for the rest, see [`borrow`](Self::borrow).
    pub fn borrow_and_update(&mut self) -> Ref<'_, T> {
        let value = self.shared.read();
        let version = self.shared.version() & !CLOSED;
        let has_changed = mem::replace(&mut self.seen, version) != version;
        Ref { value, has_changed }
    }

    /// Whether there is a value that was not seen.
    ///
    /// # Errors
    ///
    /// There is none, and there is no sender any more.
    pub fn has_changed(&self) -> Result<bool, RecvError> {
        self.shared.look(self.seen)
    }

    /// Counts the value as not seen: the next [`changed`](Self::changed) completes at once.
    pub fn mark_changed(&mut self) {
        self.seen = self.seen.wrapping_sub(STEP);
    }

    /// Counts the value as seen.
    pub fn mark_unchanged(&mut self) {
        self.seen = self.shared.version() & !CLOSED;
    }

    /// Waits for a value that was not seen, which counts as seen then.
    ///
    /// # Errors
    ///
    /// There is none, and there is no sender any more.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn changed(&mut self) -> Result<(), RecvError> {
        Changed { shared: &self.shared, seen: &mut self.seen, place: None }.await
    }

    /// Waits for a value that `wanted` returns true for: this one, or a later one. It counts as seen then, as do those that
    /// were looked at before.
    ///
    /// Values that are gone before they are looked at are passed over. `wanted` runs with the value locked against changes:
    /// it must neither send to this channel nor look at its value.
    ///
    /// # Errors
    ///
    /// The last value is not wanted, and there is no sender any more.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn wait_for(&mut self, mut wanted: impl FnMut(&T) -> bool) -> Result<Ref<'_, T>, RecvError> {
        let Receiver { shared, seen, .. } = self;
        let shared: &Shared<T> = shared;
        let _spent = poll_fn(spend).await;
        // A change that was waited for was not seen before, though it counts as seen by now.
        let mut waited = false;
        loop {
            {
                let value = shared.read();
                let version = shared.version() & !CLOSED;
                let has_changed = mem::replace(seen, version) != version || waited;
                if wanted(&value) {
                    return Ok(Ref { value, has_changed });
                }
            }
            Changed { shared, seen, place: None }.await?;
            waited = true;
        }
    }

    /// Whether both observe the same value.
    pub fn same_channel(&self, other: &Receiver<T>) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl<T: Clone> Stream for Receiver<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let Receiver { shared, seen, place } = &mut *self;
        Poll::Ready(match ready!(shared.poll_changed(seen, place, cx)) {
            Ok(()) => Some(self.borrow_and_update().clone()),
            Err(_) => None,
        })
    }
}

impl<T> Unpin for Receiver<T> {}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Receiver<T> {
        self.shared.receivers.fetch_add(1, Ordering::Relaxed);
        Receiver { shared: self.shared.clone(), seen: self.seen, place: None }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.changed.leave(&mut self.place);
        // AcqRel: who sees that there is none sees what they all did.
        if self.shared.receivers.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.shared.abandoned.call_all();
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.fmt("Receiver", f)
    }
}

/// The value of a watch channel, locked against changes.
#[derive(Debug)]
pub struct Ref<'a, T> {
    value: RwLockReadGuard<'a, T>,
    has_changed: bool,
}

impl<T> Ref<'_, T> {
    /// Whether the receiver that this is from had not seen it. False from a sender.
    pub fn has_changed(&self) -> bool {
        self.has_changed
    }
}

impl<T> Deref for Ref<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// See [`Receiver::changed`].
struct Changed<'a, T> {
    shared: &'a Shared<T>,
    seen: &'a mut usize,
    place: Option<Place>,
}

impl<T> Future for Changed<'_, T> {
    type Output = Result<(), RecvError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Changed { shared, seen, place } = &mut *self;
        shared.poll_changed(seen, place, cx)
    }
}

impl<T> Drop for Changed<'_, T> {
    fn drop(&mut self) {
        self.shared.changed.leave(&mut self.place);
    }
}

/// See [`Sender::closed`].
struct Abandoned<'a, T> {
    shared: &'a Shared<T>,
    place: Option<Place>,
}

impl<T> Future for Abandoned<'_, T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let spent = ready!(spend(cx));
        let Abandoned { shared, place } = &mut *self;
        if shared.abandoned.poll(place, cx, || shared.receivers.load(Ordering::Acquire) == 0).is_ready() {
            return Poll::Ready(());
        }
        spent.refund();
        park(Reason::Notify);
        Poll::Pending
    }
}

impl<T> Drop for Abandoned<'_, T> {
    fn drop(&mut self) {
        self.shared.abandoned.leave(&mut self.place);
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
        f.write_str("the watch channel has no receivers")
    }
}

impl<T> Error for SendError<T> {}

/// There will be no new value; see [`Receiver::changed`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecvError(());

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the watch channel has no senders any more")
    }
}

impl Error for RecvError {}
