//! Datagrams between processes of this machine.
//!
//! Many tasks may use one socket; what `udp.rs` says about waking holds here. One thing is different: on Linux the send gives
//! `WouldBlock` when the *receiver's* queue is full. On a connected socket the kernel tells when there is room again. For a
//! datagram to an address it does not, and so those are sent as `again.rs` says.

use super::again::Again;
use crate::net::{
    datagram::{done, receives},
    platform,
};
use gambol_executor::{Direction, Done, Io, Reason};
use socket2::SockRef;
use std::{
    fmt,
    future::poll_fn,
    io,
    net::Shutdown,
    os::unix::net::{self, SocketAddr},
    path::Path,
    task::{Context, Poll},
};

/// A datagram socket of the Unix domain.
///
/// It is used by `&self`: any number of tasks may send and receive on one socket, and each datagram goes to one of them. The
/// file that names it stays when it is dropped.
///
/// # Datagrams
///
/// A datagram is received whole or cut: what the buffer has no room for is lost. One may also be empty; 0 is not an end. None
/// is lost and none overtakes another. On Linux a send waits while the receiver's queue is full (`net.unix.max_dgram_qlen`);
/// elsewhere it gives the system's error (`ENOBUFS`).
///
/// # Errors
///
/// Those of the operating system, untouched: `ConnectionRefused` when nobody receives at the address any more, `NotFound` when
/// there is no file. No signal is raised (`SIGPIPE`).
///
/// # Cancel safety
///
/// An operation that is dropped before it was ready has taken or sent nothing.
pub struct UnixDatagram {
    io: Io<net::UnixDatagram>,
}

impl UnixDatagram {
    /// A socket at `path`, where a file is made.
    ///
    /// # Errors
    ///
    /// The operating system's: `AddrInUse` when there is a file already, `NotFound`, `PermissionDenied` and others.
    /// `InvalidInput` for a path that is too long or has a zero byte.
    pub fn bind(path: impl AsRef<Path>) -> io::Result<UnixDatagram> {
        net::UnixDatagram::bind(path)?.try_into()
    }

    /// As [`bind`](Self::bind), at an address of any kind.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn bind_addr(address: &SocketAddr) -> io::Result<UnixDatagram> {
        net::UnixDatagram::bind_addr(address)?.try_into()
    }

    /// A socket without a name: it can send, and nobody can answer it.
    ///
    /// # Errors
    ///
    /// The operating system's, when it has no descriptor or no memory left.
    pub fn unbound() -> io::Result<UnixDatagram> {
        net::UnixDatagram::unbound()?.try_into()
    }

    /// Two sockets without names that are connected to each other.
    ///
    /// # Errors
    ///
    /// As for [`unbound`](Self::unbound).
    pub fn pair() -> io::Result<(UnixDatagram, UnixDatagram)> {
        let (one, other) = net::UnixDatagram::pair()?;
        Ok((one.try_into()?, other.try_into()?))
    }

    /// Fixes the other end: [`send`](Self::send) goes there, and only what comes from there is received.
    ///
    /// # Errors
    ///
    /// The operating system's: `NotFound`, `ConnectionRefused`, `PermissionDenied` and others.
    pub fn connect(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.io.get_ref().connect(path)
    }

    /// As [`connect`](Self::connect), to an address of any kind.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn connect_addr(&self, address: &SocketAddr) -> io::Result<()> {
        self.io.get_ref().connect_addr(address)
    }

    /// Sends a datagram to the socket to which this one is connected. Yields its length.
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
        self.io.poll_io(cx, Direction::Write, Reason::Write, |socket| send(socket, buf))
    }

    /// As [`send`](Self::send), without waiting.
    ///
    /// # Errors
    ///
    /// `WouldBlock` instead of waiting; otherwise as there.
    pub fn try_send(&self, buf: &[u8]) -> io::Result<usize> {
        self.io.try_io(Direction::Write, |socket| send(socket, buf))
    }

    /// Sends a datagram to the socket at `path`. Yields its length.
    ///
    /// # Errors
    ///
    /// As for the type.
    ///
    /// # Cancel safety
    ///
    /// A datagram that was not ready to be sent has not been sent.
    pub async fn send_to(&self, buf: &[u8], path: impl AsRef<Path>) -> io::Result<usize> {
        let mut again = Again::default();
        let socket = self.io.get_ref();
        poll_fn(|cx| again.poll(cx, Reason::Write, || socket.send_to(buf, path.as_ref()))).await
    }

    /// As [`send_to`](Self::send_to), without waiting.
    ///
    /// # Errors
    ///
    /// `WouldBlock` instead of waiting, which is until the receiver makes room; [`writable`](Self::writable) does not tell
    /// when. Otherwise as there.
    pub fn try_send_to(&self, buf: &[u8], path: impl AsRef<Path>) -> io::Result<usize> {
        self.io.try_io(Direction::Write, |socket| done(socket.send_to(buf, path.as_ref())))
    }

    /// As [`send_to`](Self::send_to), to an address of any kind.
    ///
    /// # Errors
    ///
    /// As for the type.
    ///
    /// # Cancel safety
    ///
    /// A datagram that was not ready to be sent has not been sent.
    pub async fn send_to_addr(&self, buf: &[u8], address: &SocketAddr) -> io::Result<usize> {
        let mut again = Again::default();
        let socket = self.io.get_ref();
        poll_fn(|cx| again.poll(cx, Reason::Write, || socket.send_to_addr(buf, address))).await
    }

    /// As [`send_to_addr`](Self::send_to_addr), without waiting.
    ///
    /// # Errors
    ///
    /// `WouldBlock` instead of waiting, which is until the receiver makes room; [`writable`](Self::writable) does not tell
    /// when. Otherwise as there.
    pub fn try_send_to_addr(&self, buf: &[u8], address: &SocketAddr) -> io::Result<usize> {
        self.io.try_io(Direction::Write, |socket| done(socket.send_to_addr(buf, address)))
    }

    /// Ends one direction, or both, for all who share the socket: sends then fail, at this end or at the other. On Linux it does
    /// not end a receive that waits.
    ///
    /// # Errors
    ///
    /// The operating system's, `NotConnected` among them.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.io.get_ref().shutdown(how)
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
    pub fn into_std(self) -> io::Result<net::UnixDatagram> {
        let socket = self.io.into_inner()?;
        socket.set_nonblocking(false)?;
        Ok(socket)
    }
}

fn send(socket: &net::UnixDatagram, buf: &[u8]) -> io::Result<Done<usize>> {
    done(SockRef::from(socket).send_with_flags(buf, platform::NO_SIGNAL))
}

receives!(UnixDatagram, SocketAddr);

/// Makes a std socket ours; it is put into non-blocking mode.
impl TryFrom<net::UnixDatagram> for UnixDatagram {
    type Error = io::Error;

    fn try_from(socket: net::UnixDatagram) -> io::Result<UnixDatagram> {
        socket.set_nonblocking(true)?;
        Ok(UnixDatagram { io: Io::new_writable(socket)? })
    }
}

/// As [`UnixDatagram::into_std`].
impl TryFrom<UnixDatagram> for net::UnixDatagram {
    type Error = io::Error;

    fn try_from(socket: UnixDatagram) -> io::Result<net::UnixDatagram> {
        socket.into_std()
    }
}

platform::descriptor!(UnixDatagram, |this| this.io.get_ref());

impl fmt::Debug for UnixDatagram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.io.fmt(f)
    }
}
