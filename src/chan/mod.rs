//! Channels, as Go has them: many senders, many receivers, and [`select!`](crate::select!).
//!
//! ```
//! # gambol::block_on(async {
//! let (tx, rx) = gambol::chan::buffered(16);
//! for n in 1..=3 {
//!     let tx = tx.clone();
//!     gambol::spawn(async move { tx.send(n * n).await });
//! }
//! drop(tx);
//! let mut sum = 0;
//! while let Some(square) = rx.recv().await {
//!     sum += square;
//! }
//! assert_eq!(sum, 14);
//! # });
//! ```
//!
//! | | |
//! | --- | --- |
//! | [`unbuffered`] | sender and receiver meet: a send completes when a receiver has taken the value |
//! | [`buffered`] | holds so many values without a receiver |
//! | [`unbounded`] | holds any number: to send never waits |
//! | [`oneshot`](oneshot()) | one value, once |
//!
//! **No value is lost** or delivered twice, whichever future is dropped at whatever moment. A receiver takes a value in the very poll that
//! returns it. A value that was not delivered comes back in the error. Who drops a send before it has completed drops the value
//! with it, unless that was a [`Sender::send_from`]: that puts it back to where it came from. And with the last receiver goes what
//! nobody has received.
//!
//! **Order.** Values come in the order in which they were sent. Senders that wait are served in the order of their coming, and so
//! are receivers, but one that runs anyway may be faster: it costs a task less to take what is there than to wait for one that is
//! not awake yet. The one that was passed over keeps its place, in front. A receiver that was called and is not polled (it lies in
//! a `FuturesUnordered` that nobody looks at) delays those behind it by 20 ms at most.
//!
//! **Closing.** A channel is closed when its last sender or its last receiver is dropped, or by `close` on either side. What has been sent
//! can be received all the same; to send fails at once, and those who wait to send get their values back. A receiver gets None when
//! nothing is left. So a loop around `recv` ends by itself when all senders are gone; one that the receiving task itself holds
//! counts as well.
//!
//! Everything works on any thread and under any executor. The `_blocking` methods are for plain threads.

// Begin here: what the handles share, and why nothing is lost; every step that is made under a channel's lock.
mod shared;
mod state;
// What it is made of: the lock, the values, the first of them where there is no limit, those who wait, selects among them.
mod claim;
mod front;
mod line;
mod queue;
mod word;
// Receivers that were called and are not polled; what feeds a channel that has no sender.
mod attached;
mod patience;

// The handles and their futures.
mod receiver;
mod recv;
mod send;
mod sender;
pub use receiver::{Receiver, WeakReceiver};
pub use recv::Receiving;
pub use send::Sending;
pub use sender::{Closed, Sender, WeakSender};

// Receives and sends as arms of a `select!`.
mod arms;
pub(crate) use claim::{Claim, Shut};
pub(crate) use state::Owed;
pub(crate) use word::Word;

// On plain threads.
mod blocking;

// Who uses which end, when that is asked for.
mod ends;
pub use ends::{LeakHint, leak_hints, watch_ends};

// What can go wrong.
mod error;
pub use error::{RecvError, SendError, TryRecvError, TrySendError};

// One value, once.
pub mod oneshot;

// Atomics and cells, std's or the model checker's.
mod sync;

// The protocols, in every interleaving.
#[cfg(all(test, gambol_loom))]
pub(crate) mod models;

use shared::Shared;
use std::sync::Arc;

/// A channel without a queue: a send completes when a receiver has taken the value.
///
/// [`Sender::try_send`], which cannot wait for that, leaves its value to a receiver that waits already.
#[must_use]
pub fn unbuffered<T>() -> (Sender<T>, Receiver<T>) {
    channel(0)
}

/// A channel that holds up to `capacity` values, and, as in Go, one more for each receiver that waits: that one has been called for it
/// and is on its way. With 0 it is [`unbuffered`]. It takes memory for as many values as it ever held at a time.
#[must_use]
pub fn buffered<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    channel(capacity.min(usize::MAX - 1))
}

/// A channel that holds any number of values, up to the end of memory. It gives memory back as they are received.
#[must_use]
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    channel(usize::MAX)
}

/// A channel for one value; see [`oneshot`](mod@oneshot).
pub fn oneshot<T>() -> (oneshot::Sender<T>, oneshot::Receiver<T>) {
    oneshot::channel()
}

/// A channel that owns what feeds it.
pub(crate) fn fed<T, S: Send + 'static>(capacity: usize, make: impl FnOnce(Sender<T>) -> S) -> Receiver<T> {
    let (sender, receiver) = channel(capacity);
    let source = make(sender);
    receiver.shared.attach(Box::new(source));
    receiver
}

fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared::new(capacity));
    ends::made(&shared);
    (Sender::new(shared.clone()), Receiver::new(shared))
}
