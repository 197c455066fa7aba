//! Telling others that something has changed, without a value.
//!
//! One lock guards everything: the stored notification, the line of those who wait, and the number of calls to
//! `notify_waiters`. Such a call is one step: it counts up and calls all who are in line, so no waiter gets in between and
//! none that comes later is called. A future that has not been polled yet stands in no line; it remembers the number
//! that it was made at, and finds it changed.
//!
//! event-listener has a line of its own, in which a future stands from its making on. It was left: a `notify_one` could
//! then go to a future that nobody polls, while another one waits.

use super::waiters::{Call, Found, Place, Waiters};
use gambol_executor::{Reason, discard, park, spend, wake};
use std::{
    pin::Pin,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker, ready},
};

/// Tells one waiter, or all, that something has changed. What has changed stands elsewhere.
///
/// ```
/// use gambol::sync::Notify;
/// use std::sync::Arc;
///
/// # gambol::block_on(async {
/// let ready = Arc::new(Notify::new());
/// let tells = ready.clone();
/// gambol::spawn(async move { tells.notify_one() });
/// ready.notified().await;
/// # });
/// ```
#[derive(Debug)]
pub struct Notify {
    state: Mutex<State>,
    /// Calls to `notify_waiters`. Written under the lock; read also without it, when a future is made.
    rounds: AtomicUsize,
}

#[derive(Debug)]
struct State {
    /// A notification that came when nobody waited.
    stored: bool,
    waiters: Waiters,
}

impl Notify {
    /// Nobody waits, and no notification is stored.
    pub const fn new() -> Notify {
        Notify { state: Mutex::new(State { stored: false, waiters: Waiters::new() }), rounds: AtomicUsize::new(0) }
    }

    /// Notifies the one who waits longest. If nobody does, the notification is stored, at most one, and the next who waits
    /// takes it.
    pub fn notify_one(&self) {
        let waker = self.lock().notify_one();
        waker.into_iter().for_each(wake);
    }

    /// Notifies all who wait now: every [`Notified`] that was made before this call, also one that has not been polled yet.
    /// Nothing is stored for those who come later.
    pub fn notify_waiters(&self) {
        self.notify_waiters_if(|| true);
    }

    /// As [`notify_waiters`](Self::notify_waiters), if `change` returns true. That is called under the lock, so what it changes
    /// and the call are one step for [`notified_in_step`](Self::notified_in_step).
    pub(super) fn notify_waiters_if(&self, change: impl FnOnce() -> bool) {
        let mut state = self.lock();
        if !change() {
            return;
        }
        // Release, with the Acquire in `notified`: who sees this round sees what its caller did before.
        self.rounds.fetch_add(1, Ordering::Release);
        let wakers = state.waiters.call_all();
        drop(state);
        wakers.into_iter().for_each(wake);
    }

    /// The same as [`notify_waiters`](Self::notify_waiters), by the name that other libraries use.
    pub fn notify_all(&self) {
        self.notify_waiters();
    }

    /// Waits for a notification.
    ///
    /// It counts as waiting from now on for [`notify_waiters`](Self::notify_waiters), and from its first poll on for
    /// [`notify_one`](Self::notify_one). So one may make it, look whether there is still a reason to wait, and then await it:
    /// what comes in between is not missed.
    pub fn notified(&self) -> Notified<'_> {
        Notified { notify: self, round: self.rounds.load(Ordering::Acquire), stage: Stage::New }
    }

    /// As [`notified`](Self::notified); it comes before a step of [`notify_waiters_if`](Self::notify_waiters_if) or after it, as
    /// its caller does.
    pub(super) fn notified_in_step(&self) -> Notified<'_> {
        let _state = self.lock();
        self.notified()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Notify {
    fn default() -> Notify {
        Notify::new()
    }
}

impl State {
    #[must_use = "to be woken after the lock was released"]
    fn notify_one(&mut self) -> Option<Waker> {
        let waker = self.waiters.call_one();
        self.stored |= waker.is_none();
        waker
    }
}

/// Completes with a notification; see [`Notify::notified`].
///
/// # Cancel safety
///
/// A notification of `notify_one` that had come goes on to the next who waits, or is stored.
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct Notified<'a> {
    notify: &'a Notify,
    /// How many `notify_waiters` there had been.
    round: usize,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    New,
    Waiting(Place),
    Done,
}

impl Notified<'_> {
    /// Gets in line for [`Notify::notify_one`] without waiting. True: it was notified, and the next poll completes.
    pub fn enable(mut self: Pin<&mut Self>) -> bool {
        if let Stage::Waiting(place) = &self.stage {
            // It stands in line already, with the waker that it was polled with.
            if self.notify.lock().waiters.take_call(place).is_some() {
                self.stage = Stage::Done;
            }
            return matches!(self.stage, Stage::Done);
        }
        self.poll_line(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    fn poll_line(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Stage::Done = self.stage {
            return Poll::Ready(());
        }
        if let Stage::Waiting(place) = &self.stage
            && self.notify.lock().waiters.take_call(place).is_some()
        {
            self.stage = Stage::Done;
            return Poll::Ready(());
        }
        // Cloned before the lock is taken, and what is not needed is dropped after it.
        let waker = cx.waker().clone();
        let mut state = self.notify.lock();
        let unneeded = match &self.stage {
            Stage::New if self.notify.rounds.load(Ordering::Relaxed) != self.round => {
                self.stage = Stage::Done;
                Some(waker)
            }
            Stage::New if state.stored => {
                state.stored = false;
                self.stage = Stage::Done;
                Some(waker)
            }
            Stage::New => {
                self.stage = Stage::Waiting(state.waiters.push(waker));
                None
            }
            Stage::Waiting(place) => match state.waiters.look(place, waker) {
                Found::InLine(other) => Some(other),
                Found::Called(waker, _) => {
                    self.stage = Stage::Done;
                    Some(waker)
                }
            },
            Stage::Done => unreachable!("looked at above"),
        };
        drop(state);
        discard(unneeded);
        if let Stage::Done = self.stage { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Future for Notified<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let spent = ready!(spend(cx));
        if self.poll_line(cx).is_ready() {
            return Poll::Ready(());
        }
        spent.refund();
        park(Reason::Notify);
        Poll::Pending
    }
}

impl Drop for Notified<'_> {
    fn drop(&mut self) {
        if let Stage::Waiting(place) = std::mem::replace(&mut self.stage, Stage::Done) {
            let mut state = self.notify.lock();
            let removed = state.waiters.remove(place);
            let next = if let Err(Call::Alone) = removed { state.notify_one() } else { None };
            drop(state);
            next.into_iter().for_each(wake);
            discard(removed);
        }
    }
}
