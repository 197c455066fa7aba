//! Addresses, and names for them.
//!
//! An address is taken as it is. A name is looked up by the system's resolver, which blocks: so in the blocking pool.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, ToSocketAddrs as _},
};

/// What a socket can be bound or connected to: an address, a text such as `"127.0.0.1:80"` or `"example.org:80"`, a pair of host
/// and port, or several addresses, which are tried in turn.
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

/// One address without an allocation, or several.
pub enum Addresses {
    One(Option<SocketAddr>),
    Many(std::vec::IntoIter<SocketAddr>),
}

impl Iterator for Addresses {
    type Item = SocketAddr;

    fn next(&mut self) -> Option<SocketAddr> {
        match self {
            Addresses::One(one) => one.take(),
            Addresses::Many(many) => many.next(),
        }
    }
}

impl Resolved {
    /// The addresses; asks the resolver if need be.
    pub(crate) async fn addresses(self) -> io::Result<Addresses> {
        match self {
            Resolved::Addresses(addresses) => Ok(addresses),
            Resolved::Name(host, port) => {
                let lookup = move || (host.as_str(), port).to_socket_addrs().map(Addresses::Many);
                gambol_executor::spawn_blocking(lookup).await?
            }
            Resolved::Invalid(what) => Err(io::Error::new(io::ErrorKind::InvalidInput, what)),
        }
    }
}

/// Does `attempt` with each address until one succeeds. The error is that of the last one.
pub(crate) async fn each<A, T, F>(target: Resolved, mut attempt: A) -> io::Result<T>
where
    A: FnMut(SocketAddr) -> F,
    F: Future<Output = io::Result<T>>,
{
    let mut last = None;
    for address in target.addresses().await? {
        match attempt(address).await {
            Ok(done) => return Ok(done),
            Err(error) => last = Some(error),
        }
    }
    let none = || io::Error::new(io::ErrorKind::InvalidInput, "the name has no address");
    Err(last.unwrap_or_else(none))
}

fn one(address: impl Into<SocketAddr>) -> Resolved {
    Resolved::Addresses(Addresses::One(Some(address.into())))
}

fn name(host: &str, port: u16) -> Resolved {
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
        Resolved::Addresses(Addresses::Many(Vec::from(self).into_iter()))
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
