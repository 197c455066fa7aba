//! Connections.

use super::{
    Keepalive, OwnedReadHalf, OwnedWriteHalf, ReadHalf, ToSocketAddrs, WriteHalf,
    connecting::Connecting,
    connection::{self, Connection, delegate_read, delegate_write},
    eyeballs::{self, Race},
    halves,
    lookup::LookupHost,
    platform,
};
use gambol_executor::{Direction, Done, Io, Reason};
use socket2::SockRef;
use std::{
    fmt,
    future::poll_fn,
    io,
    net::{self, Shutdown, SocketAddr},
    task::{Context, Poll},
    time::Duration,
};

/// A TCP connection.
///
/// It is read and written through the traits of [`io`](crate::io), by `&TcpStream` too: so one task may read while another
/// writes, or a task may do both through two references. Dropping it closes the connection.
///
/// # Errors
///
/// Those of the operating system, untouched: `ConnectionReset` when the peer has reset it, `BrokenPipe` when it is written after
/// that or after one's own shutdown. No signal is raised (`SIGPIPE`).
///
/// # Cancel safety
///
/// A read or write that is dropped before it was ready has taken or sent nothing. `read_exact` and `write_all` may have done a
/// part.
pub struct TcpStream {
    io: Io<net::TcpStream>,
}

impl TcpStream {
    /// Connects to the first of the addresses that answers.
    ///
    /// Of several addresses, IPv6 and IPv4 ones are tried in turn, beginning with the first address. When one has not answered
    /// within 250 ms, the next is tried beside it; when one fails, the next is tried at once (RFC 8305). The first connection
    /// that is made is the result, and the other attempts are given up. [`TcpSocket`](super::TcpSocket) connects to one
    /// address only, with options set before.
    ///
    /// # Errors
    ///
    /// The operating system's: `ConnectionRefused`, `TimedOut` (after minutes; see [`timeout`](crate::time::timeout)) and
    /// others. Of several addresses, that of the attempt that failed first; one that says that this machine has no way there
    /// (`NetworkUnreachable` and its like) only if all say so. `InvalidInput` for a text that is no address. The resolver's for
    /// a name that cannot be resolved.
    ///
    /// # Cancel safety
    ///
    /// The connections that are being made are given up.
    pub async fn connect(address: impl ToSocketAddrs) -> io::Result<TcpStream> {
        let mut addresses = LookupHost::new(address.target()).await?;
        if addresses.len() == 1
            && let Some(address) = addresses.next()
        {
            return Connecting::begin(address)?.await;
        }
        Race::new(addresses, eyeballs::DELAY, Connecting::begin).await
    }

    /// As `read`, but leaves the bytes where they are.
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
    pub fn poll_peek(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.io.poll_io(cx, Direction::Read, Reason::Read, |stream| Ok(Done { value: stream.peek(buf)?, short: false }))
    }

    /// Waits until there is something to read: data, the end, or an error.
    ///
    /// It may be told once too often; [`try_read`](Self::try_read) then says `WouldBlock`, and waiting goes on after that.
    ///
    /// # Errors
    ///
    /// "The runtime is gone"; the operating system's, when it refuses to watch the connection.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn readable(&self) -> io::Result<()> {
        poll_fn(|cx| self.poll_readable(cx)).await
    }

    /// As [`readable`](Self::readable), for those who write futures by hand.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_ready(cx, Direction::Read, Reason::Read)
    }

    /// Waits until there is room to write, or an error.
    ///
    /// It may be told once too often; [`try_write`](Self::try_write) then says `WouldBlock`, and waiting goes on after that.
    ///
    /// # Errors
    ///
    /// "The runtime is gone"; the operating system's, when it refuses to watch the connection.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn writable(&self) -> io::Result<()> {
        poll_fn(|cx| self.poll_writable(cx)).await
    }

    /// As [`writable`](Self::writable), for those who write futures by hand.
    pub fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_ready(cx, Direction::Write, Reason::Write)
    }

    /// Reads what is there now.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when nothing is there. Otherwise as for the type.
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        connection::try_read(self, buf)
    }

    /// Writes what there is room for now.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when there is no room. Otherwise as for the type.
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        connection::try_write(self, buf)
    }

    /// Ends one direction, or both, for all who share the socket. What was written before is still sent.
    ///
    /// # Errors
    ///
    /// The operating system's, `NotConnected` among them.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.io.get_ref().shutdown(how)
    }

    /// A part to read and a part to write, which borrow it.
    ///
    /// `AsyncReadExt` has a `split` too, which takes the stream itself and is preferred where that trait is in scope; there,
    /// write `TcpStream::split(&mut stream)`.
    pub fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        halves::borrowed(self)
    }

    /// A part to read and a part to write, for two tasks. The write part ends its direction when it is dropped; the connection
    /// is closed with the last part.
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        halves::owned(self)
    }

    /// The other end's address.
    ///
    /// # Errors
    ///
    /// The operating system's; `NotConnected` when the peer has reset the connection.
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

    /// Whether small writes are sent at once (`TCP_NODELAY`). Default: no; the kernel may wait for more.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.io.get_ref().nodelay()
    }

    /// Sets what [`nodelay`](Self::nodelay) gets.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn set_nodelay(&self, on: bool) -> io::Result<()> {
        self.io.get_ref().set_nodelay(on)
    }

    /// How many routers a packet may pass (`IP_TTL`).
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn ttl(&self) -> io::Result<u32> {
        self.io.get_ref().ttl()
    }

    /// Sets what [`ttl`](Self::ttl) gets.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.io.get_ref().set_ttl(ttl)
    }

    /// What [`set_linger`](Self::set_linger) has set. Default: none.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        SockRef::from(self).linger()
    }

    /// How long closing waits for unsent data to be sent (`SO_LINGER`), in whole seconds. None: closing does not wait, and the
    /// system goes on sending. Zero: unsent data is thrown away, and the peer gets a reset.
    ///
    /// Anything but none and zero makes the drop of the connection **block its thread**, in non-blocking mode too. To see
    /// data off, close the write direction and read until the peer has closed its own.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        SockRef::from(self).set_linger(linger)
    }

    /// Whether the system asks a silent peer whether it is still there (`SO_KEEPALIVE`). Default: no.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn keepalive(&self) -> io::Result<bool> {
        SockRef::from(self).keepalive()
    }

    /// Sets what [`keepalive`](Self::keepalive) gets.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn set_keepalive(&self, on: bool) -> io::Result<()> {
        SockRef::from(self).set_keepalive(on)
    }

    /// Switches [`keepalive`](Self::keepalive) on and decides when the system asks, and how often.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn set_tcp_keepalive(&self, keepalive: &Keepalive) -> io::Result<()> {
        SockRef::from(self).set_tcp_keepalive(keepalive.as_socket2())
    }

    /// Takes the error that the socket holds and no call has reported yet (`SO_ERROR`).
    ///
    /// # Errors
    ///
    /// The operating system's, when it cannot be asked.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.io.get_ref().take_error()
    }

    /// Back to std's type, in blocking mode.
    ///
    /// # Errors
    ///
    /// The operating system's; the connection is then closed.
    pub fn into_std(self) -> io::Result<net::TcpStream> {
        let stream = self.io.into_inner()?;
        stream.set_nonblocking(false)?;
        Ok(stream)
    }

    /// `stream` is in non-blocking mode, and connected.
    pub(crate) fn new(stream: net::TcpStream) -> io::Result<TcpStream> {
        Ok(TcpStream { io: Io::new_connected(stream)? })
    }

    pub(crate) fn from_io(io: Io<net::TcpStream>) -> TcpStream {
        TcpStream { io }
    }
}

impl Connection for TcpStream {
    type Std = net::TcpStream;
    type Address = SocketAddr;
    const SHORT_READ_EMPTIES: bool = true;

    fn io(&self) -> &Io<net::TcpStream> {
        &self.io
    }

    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.peer_addr()
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.shutdown(how)
    }
}

delegate_read!([] TcpStream, |this| this);
delegate_read!([] & TcpStream, |this| *this);
delegate_write!([] TcpStream, |this| this);
delegate_write!([] & TcpStream, |this| *this);

platform::descriptor!(TcpStream, |this| this.io.get_ref());

crate::io::copy::spliced!(TcpStream, |this| &this.io);

/// Makes a std connection ours; it is put into non-blocking mode. One that is still being made will do: the first write waits
/// until it stands.
impl TryFrom<net::TcpStream> for TcpStream {
    type Error = io::Error;

    fn try_from(stream: net::TcpStream) -> io::Result<TcpStream> {
        stream.set_nonblocking(true)?;
        Ok(TcpStream { io: Io::new(stream)? })
    }
}

/// As [`TcpStream::into_std`].
impl TryFrom<TcpStream> for net::TcpStream {
    type Error = io::Error;

    fn try_from(stream: TcpStream) -> io::Result<net::TcpStream> {
        stream.into_std()
    }
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.io.fmt(f)
    }
}
