//! Datagrams of the internet.
//!
//! All operations take `&self`, and any number of tasks may wait for one socket. An event wakes all who wait in its direction;
//! each then tries until the kernel says `WouldBlock`, so no datagram is left lying while somebody waits, also when one
//! of the woken was dropped meanwhile. A call that moves a datagram says nothing about the next one, so only `WouldBlock`
//! ends readiness.
//!
//! Waking one reader per event would spare the others the attempt, but an edge may stand for many datagrams, so the one would
//! have to wake the next; and one that is dropped, or takes its datagram and then computes, would hold up the rest.

// What can be set: routers, groups, buffers.
mod options;

use super::{
    ToSocketAddrs, address,
    datagram::{done, receives},
    lookup::LookupHost,
    platform,
};
use gambol_executor::{Direction, Io, Reason};
use std::{
    fmt,
    future::poll_fn,
    io,
    net::{self, SocketAddr},
    task::{Context, Poll},
};

/// A UDP socket.
///
/// It is used by `&self`: any number of tasks may send and receive on one socket, and each datagram goes to one of them.
///
/// # Datagrams
///
/// A datagram is received whole or cut: what the buffer has no room for is lost (on Windows the call then gives an error). One
/// may also be empty; 0 is not an end. What is sent may be lost on the way, and what is too long for the system is an
/// error.
///
/// # Errors
///
/// Those of the operating system, untouched. An earlier datagram that could not be delivered may be reported by any later call,
/// once: `ConnectionRefused` on a connected socket, and on Windows `ConnectionReset`, there on sockets without a connection too.
/// A loop that receives goes on after them.
///
/// # Cancel safety
///
/// An operation that is dropped before it was ready has taken or sent nothing.
///
/// # Examples
///
/// ```
/// use gambol::net::UdpSocket;
///
/// # gambol::block_on(async {
/// let server = UdpSocket::bind("127.0.0.1:0").await?;
/// let client = UdpSocket::bind("127.0.0.1:0").await?;
/// client.connect(server.local_addr()?).await?;
/// client.send(b"ping").await?;
///
/// let mut buf = [0; 1500];
/// let (n, from) = server.recv_from(&mut buf).await?;
/// server.send_to(&buf[..n], from).await?;
/// assert_eq!(client.recv(&mut buf).await?, 4);
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
pub struct UdpSocket {
    io: Io<net::UdpSocket>,
}

impl UdpSocket {
    /// A socket at the first of the addresses where that is possible. Port 0: the system chooses one; see
    /// [`local_addr`](Self::local_addr).
    ///
    /// # Errors
    ///
    /// The operating system's for the last address: `AddrInUse`, `AddrNotAvailable` and others. `InvalidInput` for a text that
    /// is no address. The resolver's for a name that cannot be resolved.
    pub async fn bind(address: impl ToSocketAddrs) -> io::Result<UdpSocket> {
        address::each(address.target(), async |address| net::UdpSocket::bind(address)?.try_into()).await
    }

    /// Fixes the other end to the first of the addresses that the system takes: [`send`](Self::send) goes there, and only what
    /// comes from there is received. Nothing is sent, so it says nothing about whether somebody is there.
    ///
    /// # Errors
    ///
    /// The operating system's for the last address; otherwise as for [`bind`](Self::bind).
    pub async fn connect(&self, address: impl ToSocketAddrs) -> io::Result<()> {
        address::each(address.target(), async |address| self.io.get_ref().connect(address)).await
    }

    /// Sends a datagram to the address to which the socket is connected. Yields its length.
    ///
    /// # Errors
    ///
    /// The operating system's, also for want of a connection; as for the type.
    ///
    /// # Cancel safety
    ///
    /// A datagram that was not ready to be sent has not been sent.
    pub async fn send(&self, buf: &[u8]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_send(cx, buf)).await
    }

    /// As [`send`](Self::send), for those who write futures by hand.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn poll_send(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.io.poll_io(cx, Direction::Write, Reason::Write, |socket| done(socket.send(buf)))
    }

    /// As [`send`](Self::send), without waiting.
    ///
    /// # Errors
    ///
    /// `WouldBlock` instead of waiting; otherwise as there.
    pub fn try_send(&self, buf: &[u8]) -> io::Result<usize> {
        self.io.try_io(Direction::Write, |socket| done(socket.send(buf)))
    }

    /// Sends a datagram to the first of the addresses. Yields its length.
    ///
    /// # Errors
    ///
    /// As for the type. `InvalidInput` for a text that is no address, or if there is none. The resolver's for a name that
    /// cannot be resolved.
    ///
    /// # Cancel safety
    ///
    /// A datagram that was not ready to be sent has not been sent.
    pub async fn send_to(&self, buf: &[u8], address: impl ToSocketAddrs) -> io::Result<usize> {
        let address = LookupHost::new(address.target()).await?.next().ok_or_else(address::none)?;
        poll_fn(|cx| self.poll_send_to(cx, buf, address)).await
    }

    /// As [`send_to`](Self::send_to), for those who write futures by hand.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn poll_send_to(&self, cx: &mut Context<'_>, buf: &[u8], address: SocketAddr) -> Poll<io::Result<usize>> {
        self.io.poll_io(cx, Direction::Write, Reason::Write, |socket| done(socket.send_to(buf, address)))
    }

    /// As [`send_to`](Self::send_to), without waiting.
    ///
    /// # Errors
    ///
    /// `WouldBlock` instead of waiting; otherwise as there.
    pub fn try_send_to(&self, buf: &[u8], address: SocketAddr) -> io::Result<usize> {
        self.io.try_io(Direction::Write, |socket| done(socket.send_to(buf, address)))
    }

    /// As [`recv`](Self::recv), but leaves the datagram where it is.
    ///
    /// # Errors
    ///
    /// As for the type.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_peek(cx, buf)).await
    }

    /// As [`peek`](Self::peek), for those who write futures by hand.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn poll_peek(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.io.poll_io(cx, Direction::Read, Reason::Read, |socket| done(socket.peek(buf)))
    }

    /// As [`peek`](Self::peek), without waiting.
    ///
    /// # Errors
    ///
    /// `WouldBlock` instead of waiting; otherwise as there.
    pub fn try_peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.io.try_io(Direction::Read, |socket| done(socket.peek(buf)))
    }

    /// As [`recv_from`](Self::recv_from), but leaves the datagram where it is.
    ///
    /// # Errors
    ///
    /// As for the type.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        poll_fn(|cx| self.poll_peek_from(cx, buf)).await
    }

    /// As [`peek_from`](Self::peek_from), for those who write futures by hand.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn poll_peek_from(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>> {
        self.io.poll_io(cx, Direction::Read, Reason::Read, |socket| done(socket.peek_from(buf)))
    }

    /// As [`peek_from`](Self::peek_from), without waiting.
    ///
    /// # Errors
    ///
    /// `WouldBlock` instead of waiting; otherwise as there.
    pub fn try_peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.io.try_io(Direction::Read, |socket| done(socket.peek_from(buf)))
    }

    /// The address to which the socket is connected.
    ///
    /// # Errors
    ///
    /// The operating system's; `NotConnected` if it is not.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.io.get_ref().peer_addr()
    }

    /// This end's address.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.get_ref().local_addr()
    }

    /// Takes the error that has come up and that no call has reported yet (`SO_ERROR`).
    ///
    /// # Errors
    ///
    /// The operating system's, when it cannot tell.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.io.get_ref().take_error()
    }

    /// Back to std's type, in blocking mode.
    ///
    /// # Errors
    ///
    /// The operating system's; the socket is then closed.
    pub fn into_std(self) -> io::Result<net::UdpSocket> {
        let socket = self.io.into_inner()?;
        socket.set_nonblocking(false)?;
        Ok(socket)
    }
}

receives!(UdpSocket, SocketAddr);

/// Makes a std socket ours; it is put into non-blocking mode.
impl TryFrom<net::UdpSocket> for UdpSocket {
    type Error = io::Error;

    fn try_from(socket: net::UdpSocket) -> io::Result<UdpSocket> {
        socket.set_nonblocking(true)?;
        Ok(UdpSocket { io: Io::new_writable(socket)? })
    }
}

/// As [`UdpSocket::into_std`].
impl TryFrom<UdpSocket> for net::UdpSocket {
    type Error = io::Error;

    fn try_from(socket: UdpSocket) -> io::Result<net::UdpSocket> {
        socket.into_std()
    }
}

platform::descriptor!(UdpSocket, |this| this.io.get_ref());

impl fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.io.fmt(f)
    }
}
