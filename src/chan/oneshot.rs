//! A channel for one value, once: an answer, an end.
//!
//! ```
//! # gambol::block_on(async {
//! let (tx, rx) = gambol::chan::oneshot();
//! gambol::spawn(async move { tx.send(6 * 7) });
//! assert_eq!(rx.await, Ok(42));
//! # });
//! ```
//!
//! The lock is that of the other channels (`word.rs`): sending and receiving take one read-modify-write each, and both handles stand
//! in one allocation. Lock-free ones take as many.

use super::{
    blocking,
    error::{RecvError, TryRecvError},
    word::{self, Word},
};
use futures_util::future::FusedFuture;
use gambol_executor::{Reason, park, spend, wake};
use std::{
    cell::UnsafeCell,
    fmt, mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

/// Both ends of a channel for one value.
pub(super) fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let state = State { value: None, sender: true, receiver: true, receives: None, closes: None };
    let shared = Arc::new(Shared { word: Word::new(0), state: UnsafeCell::new(state) });
    (Sender { shared: Some(shared.clone()) }, Receiver { shared, over: false })
}

/// Sends the one value. Dropped before, it closes the channel.
pub struct Sender<T> {
    /// None: it has sent.
    shared: Option<Arc<Shared<T>>>,
}

/// Completes with the value, or with an error when the sender was dropped without sending.
///
/// # Panics
///
/// When it is polled after it has completed, or after [`try_recv`](Self::try_recv) has taken the value.
///
/// # Cancel safety
///
/// `&mut Receiver` may be awaited in several attempts. Dropping it drops the value.
#[must_use = "futures do nothing unless they are awaited"]
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    /// It has completed, and touches the channel no more.
    over: bool,
}

struct Shared<T> {
    word: Word,
    /// Under the lock.
    state: UnsafeCell<State<T>>,
}

// SAFETY: the state is reached under the lock only, so by one thread at a time; with it goes the value, which is Send.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above. No reference to the value is given out.
unsafe impl<T: Send> Sync for Shared<T> {}

struct State<T> {
    value: Option<T>,
    /// Whether a value may still come.
    sender: bool,
    /// Whether somebody would take it.
    receiver: bool,
    /// Who waits for the value.
    receives: Option<Waker>,
    /// Who waits in [`Closed`].
    closes: Option<Waker>,
}

impl<T> Shared<T> {
    /// Runs `f` under the lock. It touches no waker's or value's code.
    #[inline]
    fn with<R>(&self, f: impl FnOnce(&mut State<T>) -> R) -> R {
        self.word.acquire();
        // SAFETY: we hold the lock.
        let state = unsafe { &mut *self.state.get() };
        let result = f(state);
        let bit = |condition: bool, bit: usize| if condition { bit } else { 0 };
        let bits = bit(state.value.is_some() | !state.sender, word::RECEIVABLE) | bit(!state.receiver, word::CLOSED);
        // SAFETY: we hold the lock, and `state` is not used after this.
        unsafe { self.word.release(bits) };
        result
    }
}

impl<T> Sender<T> {
    /// Sends the value. It may be called from anywhere and does not wait.
    ///
    /// # Errors
    ///
    /// The receiver is gone or was closed. The value comes back.
    pub fn send(mut self, value: T) -> Result<(), T> {
        let shared = self.shared.take().expect("it is taken here and in the drop only");
        let (sent, wakers) = shared.with(|state| {
            state.sender = false;
            if !state.receiver {
                return (Err(value), (None, state.closes.take()));
            }
            state.value = Some(value);
            (Ok(()), (state.receives.take(), state.closes.take()))
        });
        wakers.0.into_iter().for_each(wake);
        sent
    }

    /// Whether the receiver is gone or was closed.
    pub fn is_closed(&self) -> bool {
        self.shared().word.may(word::CLOSED) && self.shared().with(|state| !state.receiver)
    }

    /// Completes when the receiver is gone or was closed: nobody needs the value any more.
    pub fn closed(&mut self) -> Closed<'_, T> {
        Closed { sender: self }
    }

    fn shared(&self) -> &Shared<T> {
        self.shared.as_ref().expect("it is taken by what consumes the sender")
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.take() {
            let wakers = shared.with(|state| {
                state.sender = false;
                (state.receives.take(), state.closes.take())
            });
            wakers.0.into_iter().for_each(wake);
        }
    }
}

impl<T> Receiver<T> {
    /// The value, if it is there.
    ///
    /// # Errors
    ///
    /// It is not, or it will never be: the sender was dropped, or the value was taken before.
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        if self.over {
            return Err(TryRecvError::Closed);
        }
        if !self.shared.word.may(word::RECEIVABLE) {
            return Err(TryRecvError::Empty);
        }
        let (value, sender) = self.shared.with(|state| (state.value.take(), state.sender));
        self.over = value.is_some() || !sender;
        value.ok_or(if sender { TryRecvError::Empty } else { TryRecvError::Closed })
    }

    /// As awaiting it, and blocks the thread while it waits. For threads that run no tasks.
    ///
    /// # Errors
    ///
    /// The sender was dropped and has sent nothing.
    pub fn recv_blocking(self) -> Result<T, RecvError> {
        blocking::wait(self)
    }

    /// Takes no value from now on; one that was sent can still be received. The sender learns it by
    /// [`is_closed`](Sender::is_closed) and [`closed`](Sender::closed).
    pub fn close(&mut self) {
        if !self.over {
            let (_own, closes) = self.shared.with(|state| {
                state.receiver = false;
                // Nothing can come any more.
                state.sender = false;
                (state.receives.take(), state.closes.take())
            });
            closes.into_iter().for_each(wake);
        }
    }
}

impl<T> Future for Receiver<T> {
    type Output = Result<T, RecvError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, RecvError>> {
        assert!(!self.over, "a oneshot receiver is not polled after it has completed");
        let spent = ready!(spend(cx));
        // Cloned before the lock is taken, and what is not needed is dropped after it.
        let mut waker = if self.shared.word.may(word::RECEIVABLE) { None } else { Some(cx.waker().clone()) };
        loop {
            let (polled, waits, _unneeded) = self.shared.with(|state| match state.value.take() {
                None if state.sender => {
                    let waits = waker.is_some();
                    if waits {
                        mem::swap(&mut state.receives, &mut waker);
                    }
                    (Poll::Pending, waits, None)
                }
                value => (Poll::Ready(value.ok_or(RecvError(()))), false, state.receives.take()),
            });
            if polled.is_ready() {
                self.over = true;
                return polled;
            }
            if waits {
                spent.refund();
                park(Reason::ChanRecv);
                return Poll::Pending;
            }
            // It only looked as if there were something.
            waker = Some(cx.waker().clone());
        }
    }
}

impl<T> FusedFuture for Receiver<T> {
    fn is_terminated(&self) -> bool {
        self.over
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        if !self.over {
            let left = self.shared.with(|state| {
                state.receiver = false;
                (state.value.take(), state.receives.take(), state.closes.take())
            });
            left.2.into_iter().for_each(wake);
        }
    }
}

/// Completes when nobody needs the value any more; see [`Sender::closed`].
///
/// # Cancel safety
///
/// Nothing is lost.
#[must_use = "futures do nothing unless they are awaited"]
pub struct Closed<'a, T> {
    sender: &'a mut Sender<T>,
}

impl<T> Future for Closed<'_, T> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let spent = ready!(spend(cx));
        let mut waker = Some(cx.waker().clone());
        let closed = self.sender.shared().with(|state| {
            mem::swap(&mut state.closes, &mut waker);
            !state.receiver
        });
        if closed {
            return Poll::Ready(());
        }
        spent.refund();
        park(Reason::ChanSend);
        Poll::Pending
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("closed", &self.is_closed()).finish()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("over", &self.over).finish()
    }
}

impl<T> fmt::Debug for Closed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Closed").finish_non_exhaustive()
    }
}
