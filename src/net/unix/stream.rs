//! Connections.

use super::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, WriteHalf, again::Again};
use crate::net::{
    connection::{self, Connection, delegate_read, delegate_write},
    halves, platform,
};
use gambol_executor::{Io, Reason};
use socket2::{Domain, SockAddr, Socket, Type};
use std::{
    fmt,
    future::poll_fn,
    io::{self, IoSlice, IoSliceMut},
    net::Shutdown,
    os::unix::net::{self, SocketAddr},
    path::Path,
    task::{Context, Poll},
};

/// A connection between two processes of this machine, or within one.
///
/// It is read and written through the traits of [`io`](crate::io), by `&UnixStream` too: so one task may read while another
/// writes, or a task may do both through two references. Dropping it closes the connection.
///
/// # Errors
///
/// Those of the operating system, untouched: `BrokenPipe` when it is written after the peer has gone or after one's own
/// shutdown, `ConnectionReset` when the peer has gone without having read everything. No signal is raised (`SIGPIPE`).
///
/// # Cancel safety
///
/// A read or write that is dropped before it was ready has taken or sent nothing. `read_exact` and `write_all` may have done a
/// part.
pub struct UnixStream {
    io: Io<net::UnixStream>,
}

impl UnixStream {
    /// Connects to the listener at `path`.
    ///
    /// When the listener's backlog is full, this waits until it has room; Linux does not tell when, so it tries again, first
    /// after a quarter of a millisecond, then at growing distances of up to 20 ms. Limit it with [`timeout`](crate::time::timeout) if need be.
    ///
    /// # Errors
    ///
    /// The operating system's: `NotFound`, `ConnectionRefused` when nobody listens (or, elsewhere than on Linux, when the
    /// backlog is full) and others. `InvalidInput` for a path that is too long or has a zero byte.
    ///
    /// # Cancel safety
    ///
    /// The connection that is being made is given up.
    pub async fn connect(path: impl AsRef<Path>) -> io::Result<UnixStream> {
        // As std, it takes no zero byte, which would be an abstract address or cut the path.
        let address = SocketAddr::from_pathname(path)?;
        UnixStream::connect_addr(&address).await
    }

    /// As [`connect`](Self::connect), to an address of any kind.
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Cancel safety
    ///
    /// As there.
    pub async fn connect_addr(address: &SocketAddr) -> io::Result<UnixStream> {
        let address = convert(address)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        let mut again = Again::default();
        // `WouldBlock`: the backlog is full. This is not a connection in progress; nothing has begun.
        poll_fn(|cx| again.poll(cx, Reason::Connect, || socket.connect(&address))).await?;
        // Registered only now: before it is connected, the kernel calls a socket hung up.
        UnixStream::new(socket.into())
    }

    /// Two ends of one connection, without names.
    ///
    /// # Errors
    ///
    /// The operating system's, when it has no descriptor or no memory left.
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let (one, other) = net::UnixStream::pair()?;
        Ok((one.try_into()?, other.try_into()?))
    }

    /// Ends one direction, or both, for all who share the socket. What was written before can still be read.
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
    /// write `UnixStream::split(&mut stream)`.
    pub fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        halves::borrowed(self)
    }

    /// A part to read and a part to write, for two tasks. The write part ends its direction when it is dropped; the connection
    /// is closed with the last part.
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        halves::owned(self)
    }

    /// The other end's address. That of a client usually has no name.
    ///
    /// # Errors
    ///
    /// The operating system's.
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

    /// Waits until a read may find something: bytes, the end or an error. See [`try_read`](Self::try_read).
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
    ///
    /// # Errors
    ///
    /// As there.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        connection::poll_readable(self, cx)
    }

    /// Waits until there may be room to write, or an error to report. See [`try_write`](Self::try_write).
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
    ///
    /// # Errors
    ///
    /// As there.
    pub fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        connection::poll_writable(self, cx)
    }

    /// Reads what is there now.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when nothing is; otherwise as for the type.
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        connection::try_read(self, buf)
    }

    /// As [`try_read`](Self::try_read), into several buffers.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn try_read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        connection::try_read_vectored(self, bufs)
    }

    /// Writes what there is room for now.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when there is none; otherwise as for the type.
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        connection::try_write(self, buf)
    }

    /// As [`try_write`](Self::try_write), from several buffers.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        connection::try_write_vectored(self, bufs)
    }

    /// Back to std's type, in blocking mode.
    ///
    /// # Errors
    ///
    /// The operating system's; the connection is then closed.
    pub fn into_std(self) -> io::Result<net::UnixStream> {
        let stream = self.io.into_inner()?;
        stream.set_nonblocking(false)?;
        Ok(stream)
    }

    /// `stream` is in non-blocking mode, and connected.
    pub(super) fn new(stream: net::UnixStream) -> io::Result<UnixStream> {
        Ok(UnixStream { io: Io::new_connected(stream)? })
    }
}

/// Std's address as socket2's, which it cannot make out of all kinds by itself.
fn convert(address: &SocketAddr) -> io::Result<SockAddr> {
    #[cfg(target_os = "linux")]
    {
        use std::os::{linux::net::SocketAddrExt, unix::ffi::OsStrExt};
        if let Some(name) = address.as_abstract_name() {
            let name = [&[0], name].concat();
            return SockAddr::unix(std::ffi::OsStr::from_bytes(&name));
        }
    }
    SockAddr::unix(address.as_pathname().unwrap_or(Path::new("")))
}

impl Connection for UnixStream {
    type Std = net::UnixStream;
    type Address = SocketAddr;
    /// A read stops at what was sent along with the bytes, such as descriptors, though there are more bytes behind it.
    const SHORT_READ_EMPTIES: bool = false;

    fn io(&self) -> &Io<net::UnixStream> {
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

delegate_read!([] UnixStream, |this| this);
delegate_read!([] & UnixStream, |this| *this);
delegate_write!([] UnixStream, |this| this);
delegate_write!([] & UnixStream, |this| *this);
crate::io::copy::spliced!(UnixStream, |this| &this.io);

/// Makes a std connection ours; it is put into non-blocking mode.
impl TryFrom<net::UnixStream> for UnixStream {
    type Error = io::Error;

    fn try_from(stream: net::UnixStream) -> io::Result<UnixStream> {
        stream.set_nonblocking(true)?;
        UnixStream::new(stream)
    }
}

/// As [`UnixStream::into_std`].
impl TryFrom<UnixStream> for net::UnixStream {
    type Error = io::Error;

    fn try_from(stream: UnixStream) -> io::Result<net::UnixStream> {
        stream.into_std()
    }
}

platform::descriptor!(UnixStream, |this| this.io.get_ref());

impl fmt::Debug for UnixStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.io.fmt(f)
    }
}
