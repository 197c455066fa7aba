//! The loop around accept(2), for listeners of all families.

use super::{back_off::BackOff, platform::is_of_the_connection};
use gambol_executor::{AsDescriptor, Direction, Done, Io, Reason, Sleep};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// A listener, and how long to wait after it has failed.
#[derive(Debug)]
pub(crate) struct Acceptor<L: AsDescriptor> {
    io: Io<L>,
    back_off: BackOff,
}

impl<L: AsDescriptor> Acceptor<L> {
    /// `listener` is in non-blocking mode.
    pub(crate) fn new(listener: L) -> io::Result<Acceptor<L>> {
        Ok(Acceptor { io: Io::new(listener)?, back_off: BackOff::default() })
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
                ready!(Pin::new(sleep).poll(cx));
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
}
