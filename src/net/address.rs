//! What names a place to bind or connect to: addresses, and texts that are or stand for some.
//!
//! A text is taken apart here, without asking anybody. If it needs the resolver, `lookup.rs` goes on.

use super::lookup::{Addresses, LookupHost};
use gambol_executor::spend;
use std::{
    future::poll_fn,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
};

/// What a socket can be bound or connected to: an address, a text such as `"127.0.0.1:80"` or `"example.org:80"`, a pair of host
/// and port, or several addresses, which are tried in turn. An IPv6 address as a host may stand in brackets or not.
///
/// It is implemented for the types for which std's trait of this name is, and cannot be implemented elsewhere.
pub trait ToSocketAddrs: sealed::Target {}

impl<T: sealed::Target + ?Sized> ToSocketAddrs for T {}

mod sealed {
    pub trait Target {
        fn target(&self) -> super::Resolved;
    }
}

/// Where to go, as far as it is known without asking.
pub enum Resolved {
    Addresses(Addresses),
    /// A host and a port.
    Name(String, u16),
    /// Not an address, and not a name with a port.
    Invalid(&'static str),
}

/// Does `attempt` with each address until one succeeds. The error is that of the last one.
pub(crate) async fn each<A, T, F>(target: Resolved, mut attempt: A) -> io::Result<T>
where
    A: FnMut(SocketAddr) -> F,
    F: Future<Output = io::Result<T>>,
{
    let mut last = None;
    for address in LookupHost::new(target).await? {
        match attempt(address).await {
            Ok(done) => return Ok(done),
            Err(error) => last = Some(error),
        }
        // There may be thousands, and to bind does not wait.
        let _spent = poll_fn(spend).await;
    }
    Err(last.unwrap_or_else(none))
}

/// The error when there is no address at all.
#[cold]
pub(crate) fn none() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "the name has no address")
}

fn one(address: impl Into<SocketAddr>) -> Resolved {
    Resolved::Addresses(Addresses::one(address.into()))
}

fn name(host: &str, port: u16) -> Resolved {
    // The brackets of an address in a URL, which the resolver does not know.
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).filter(|host| host.contains(':'));
    let host = bare.unwrap_or(host);
    match host.parse::<IpAddr>() {
        Ok(ip) => one((ip, port)),
        Err(_) => Resolved::Name(host.to_owned(), port),
    }
}

impl sealed::Target for SocketAddr {
    fn target(&self) -> Resolved {
        one(*self)
    }
}

impl sealed::Target for SocketAddrV4 {
    fn target(&self) -> Resolved {
        one(*self)
    }
}

impl sealed::Target for SocketAddrV6 {
    fn target(&self) -> Resolved {
        one(*self)
    }
}

impl sealed::Target for (IpAddr, u16) {
    fn target(&self) -> Resolved {
        one(*self)
    }
}

impl sealed::Target for (Ipv4Addr, u16) {
    fn target(&self) -> Resolved {
        one(*self)
    }
}

impl sealed::Target for (Ipv6Addr, u16) {
    fn target(&self) -> Resolved {
        one(*self)
    }
}

impl sealed::Target for [SocketAddr] {
    fn target(&self) -> Resolved {
        Resolved::Addresses(Addresses::many(Vec::from(self)))
    }
}

impl<const N: usize> sealed::Target for [SocketAddr; N] {
    fn target(&self) -> Resolved {
        self.as_slice().target()
    }
}

impl sealed::Target for Vec<SocketAddr> {
    fn target(&self) -> Resolved {
        self.as_slice().target()
    }
}

impl sealed::Target for (&str, u16) {
    fn target(&self) -> Resolved {
        name(self.0, self.1)
    }
}

impl sealed::Target for (String, u16) {
    fn target(&self) -> Resolved {
        name(&self.0, self.1)
    }
}

impl sealed::Target for str {
    fn target(&self) -> Resolved {
        if let Ok(address) = self.parse::<SocketAddr>() {
            return one(address);
        }
        let Some((host, port)) = self.rsplit_once(':') else {
            return Resolved::Invalid(
                "not an address: it lacks the port, as in \"127.0.0.1:8000\" or \"localhost:8000\"",
            );
        };
        match port.parse() {
            Ok(port) => name(host, port),
            Err(_) => Resolved::Invalid("not an address: what follows the last colon is not a port"),
        }
    }
}

impl sealed::Target for String {
    fn target(&self) -> Resolved {
        self.as_str().target()
    }
}

impl<T: sealed::Target + ?Sized> sealed::Target for &T {
    fn target(&self) -> Resolved {
        (**self).target()
    }
}
