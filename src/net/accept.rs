//! The loop around accept(2), for listeners of all families.

use super::{back_off::BackOff, platform::is_of_the_connection};
use gambol_executor::{AsDescriptor, Direction, Done, Io, Reason, Sleep, park};
use std::{
    io,
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

/// A listener, and how long to wait after it has failed.
#[derive(Debug)]
pub(crate) struct Acceptor<L: AsDescriptor> {
    io: Io<L>,
    back_off: BackOff,
    /// The sleep of [`poll_kept`](Self::poll_kept), whose callers have no future to keep it in.
    wait: Mutex<Option<Box<Sleep>>>,
}

impl<L: AsDescriptor> Acceptor<L> {
    /// `listener` is in non-blocking mode.
    pub(crate) fn new(listener: L) -> io::Result<Acceptor<L>> {
        Ok(Acceptor { io: Io::new(listener)?, back_off: BackOff::default(), wait: Mutex::default() })
    }

    pub(crate) fn get_ref(&self) -> &L {
        self.io.get_ref()
    }

    pub(crate) fn into_inner(self) -> io::Result<L> {
        self.io.into_inner()
    }

    /// Takes the next connection by `take`, passing over those that are gone already. `wait` belongs to the caller's future:
    /// the sleep in which it waits for the back-off.
    pub(crate) fn poll<C>(
        &self,
        cx: &mut Context<'_>,
        wait: &mut Option<Box<Sleep>>,
        take: impl Fn(&L) -> io::Result<C>,
    ) -> Poll<io::Result<C>> {
        loop {
            if let Some(sleep) = wait {
                if Pin::new(sleep).poll(cx).is_pending() {
                    // Not "sleep", which is only how it waits.
                    park(Reason::Accept);
                    return Poll::Pending;
                }
                *wait = None;
            }
            if let Some(until) = self.back_off.until() {
                *wait = Some(Box::new(Sleep::until(until)));
                continue;
            }
            let take = |listener: &L| Ok(Done { value: take(listener)?, short: false });
            let result = ready!(self.io.poll_io(cx, Direction::Read, Reason::Accept, take));
            match &result {
                Ok(_) => self.back_off.succeeded(),
                Err(error) if is_of_the_connection(error) => continue,
                Err(_) => self.back_off.failed(),
            }
            return Poll::Ready(result);
        }
    }

    /// As [`poll`](Self::poll) for those who have no future: the listener keeps the sleep.
    pub(crate) fn poll_kept<C>(&self, cx: &mut Context<'_>, take: impl Fn(&L) -> io::Result<C>) -> Poll<io::Result<C>> {
        // Taken out and put back, since wakers are cloned and dropped under a sleep's poll.
        let mut wait = self.wait().take();
        let polled = self.poll(cx, &mut wait, take);
        if wait.is_some() {
            let mut kept = self.wait();
            if kept.is_none() {
                *kept = wait;
            } else {
                // Another task was here at the same time. Two sleeps cannot be kept: this one comes again.
                drop(kept);
                cx.waker().wake_by_ref();
            }
        }
        polled
    }

    fn wait(&self) -> MutexGuard<'_, Option<Box<Sleep>>> {
        self.wait.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes a stream of what has a `listener`, with a `poll_accept_with`, and the `wait` for it.
macro_rules! connections {
    ($type:ty, $connection:ty) => {
        impl futures_core::stream::Stream for $type {
            type Item = std::io::Result<$connection>;

            fn poll_next(
                mut self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<Option<Self::Item>> {
                let this = &mut *self;
                this.listener.poll_accept_with(cx, &mut this.wait).map(|result| Some(result.map(|(stream, _)| stream)))
            }
        }

        impl futures_core::stream::FusedStream for $type {
            fn is_terminated(&self) -> bool {
                false
            }
        }
    };
}

pub(crate) use connections;
