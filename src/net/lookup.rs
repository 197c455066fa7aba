//! The addresses of a name.
//!
//! The system's resolver blocks, for seconds when a server does not answer, so it is asked in the blocking pool. It is asked for all
//! that getaddrinfo(3) considers: `/etc/hosts`, the DNS, and what else the system is configured for. A resolver of our own
//! would not know them, and was left to those who want one.
//!
//! Whoever gives up leaves a job behind. One that has not begun is cancelled, so that those who ask again and again while the
//! resolver hangs do not fill the pool's queue with questions that nobody waits for.

use super::address::{Resolved, ToSocketAddrs};
use gambol_executor::{JoinHandle, Reason, park, spawn_blocking, spend};
use std::{
    fmt,
    future::Future,
    io,
    iter::FusedIterator,
    net::{SocketAddr, ToSocketAddrs as _},
    pin::Pin,
    task::{Context, Poll, ready},
    vec,
};

/// Looks up the addresses of a host, off the workers. What is an address already is not looked up.
///
/// The addresses come in the order in which the system prefers them.
///
/// # Errors
///
/// The resolver's, untouched, for a name that cannot be resolved. `InvalidInput` for a text that is neither an address nor a name
/// with a port.
///
/// # Cancel safety
///
/// Nothing is lost. A question to the resolver that has begun goes on in the blocking pool, and its answer is dropped.
///
/// # Examples
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// # gambol::block_on(async {
/// let mut addresses = gambol::net::lookup_host("localhost:80").await?;
/// assert!(addresses.all(|address| address.ip().is_loopback() && address.port() == 80));
/// # Ok(())
/// # })
/// # }
/// ```
pub fn lookup_host(host: impl ToSocketAddrs) -> LookupHost {
    LookupHost::new(host.target())
}

/// See [`lookup_host`].
///
/// # Panics
///
/// When it is polled again after it has yielded the addresses.
#[must_use = "futures do nothing unless they are awaited"]
pub struct LookupHost(State);

enum State {
    /// Not polled yet.
    Begin(Resolved),
    Asked(JoinHandle<io::Result<Addresses>>),
    End,
}

impl LookupHost {
    pub(crate) fn new(target: Resolved) -> LookupHost {
        LookupHost(State::Begin(target))
    }
}

impl Future for LookupHost {
    type Output = io::Result<Addresses>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match &mut self.0 {
                State::Begin(_) => {
                    // The unit is spent also on what is known already: whoever looks that up in a loop must yield.
                    let spent = ready!(spend(cx));
                    let State::Begin(target) = std::mem::replace(&mut self.0, State::End) else { unreachable!() };
                    match target {
                        Resolved::Addresses(addresses) => return Poll::Ready(Ok(addresses)),
                        Resolved::Invalid(what) => {
                            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidInput, what)));
                        }
                        Resolved::Name(host, port) => {
                            spent.refund();
                            let ask = move || (host.as_str(), port).to_socket_addrs().map(Addresses::from);
                            self.0 = State::Asked(spawn_blocking(ask));
                        }
                    }
                }
                State::Asked(job) => {
                    let Poll::Ready(answer) = Pin::new(job).poll(cx) else {
                        park(Reason::Blocking);
                        return Poll::Pending;
                    };
                    self.0 = State::End;
                    return Poll::Ready(answer?);
                }
                State::End => panic!("a lookup was polled after it had ended; await it once"),
            }
        }
    }
}

impl Drop for LookupHost {
    fn drop(&mut self) {
        if let State::Asked(job) = &self.0 {
            job.abort();
        }
    }
}

impl fmt::Debug for LookupHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.0 {
            State::Begin(_) => "begin",
            State::Asked(_) => "asked",
            State::End => "end",
        };
        f.debug_struct("LookupHost").field("state", &state).finish()
    }
}

/// The addresses that [`lookup_host`] has found.
#[derive(Clone, Debug)]
pub struct Addresses(Found);

/// One address without an allocation, or several.
#[derive(Clone, Debug)]
enum Found {
    One(Option<SocketAddr>),
    Many(vec::IntoIter<SocketAddr>),
}

impl Addresses {
    pub(crate) fn one(address: SocketAddr) -> Addresses {
        Addresses(Found::One(Some(address)))
    }

    pub(crate) fn many(addresses: Vec<SocketAddr>) -> Addresses {
        Addresses(Found::Many(addresses.into_iter()))
    }
}

/// What the resolver gives.
impl From<vec::IntoIter<SocketAddr>> for Addresses {
    fn from(addresses: vec::IntoIter<SocketAddr>) -> Addresses {
        Addresses(Found::Many(addresses))
    }
}

impl Iterator for Addresses {
    type Item = SocketAddr;

    fn next(&mut self) -> Option<SocketAddr> {
        match &mut self.0 {
            Found::One(one) => one.take(),
            Found::Many(many) => many.next(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = match &self.0 {
            Found::One(one) => usize::from(one.is_some()),
            Found::Many(many) => many.len(),
        };
        (left, Some(left))
    }
}

impl ExactSizeIterator for Addresses {}
impl FusedIterator for Addresses {}
