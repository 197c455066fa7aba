//! Connections.

use super::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, ToSocketAddrs, WriteHalf, address, halves};
use futures_io::{AsyncRead, AsyncWrite};
use gambol_executor::{Direction, Done, Io, Reason};
use rustix::{
    io::Errno,
    net::{SendAncillaryBuffer, SendFlags, sendmsg},
};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    fmt,
    future::poll_fn,
    io::{self, IoSlice, IoSliceMut, Read, Write},
    net::{self, Shutdown, SocketAddr},
    os::fd::{AsFd, BorrowedFd},
    pin::Pin,
    task::{Context, Poll},
};

/// Buffers that one call takes at most (`UIO_MAXIOV` on Linux, `IOV_MAX` on the BSDs).
const MAX_BUFFERS: usize = 1024;

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
    /// # Errors
    ///
    /// The operating system's for the last address: `ConnectionRefused`, `TimedOut` (after minutes; see
    /// [`timeout`](crate::time::timeout)) and others. `InvalidInput` for a text that is no address. The resolver's for a name
    /// that cannot be resolved.
    ///
    /// # Cancel safety
    ///
    /// The connection that is being made is given up.
    pub async fn connect(address: impl ToSocketAddrs) -> io::Result<TcpStream> {
        address::each(address.target(), connect).await
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

    /// `stream` is in non-blocking mode, and connected: there is room to write.
    pub(crate) fn new(stream: net::TcpStream) -> io::Result<TcpStream> {
        Ok(TcpStream { io: Io::new_writable(stream)? })
    }
}

/// Connects to one address. The socket is registered only after the connection was begun: before that the kernel calls a
/// socket hung up.
async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    while let Err(error) = socket.connect(&address.into()) {
        match Errno::from_io_error(&error) {
            // To ask again is harmless: the answer tells how far it is.
            Some(Errno::INTR) => {}
            Some(Errno::INPROGRESS | Errno::ALREADY | Errno::ISCONN) => break,
            _ => return Err(error),
        }
    }
    let stream = TcpStream { io: Io::new(socket.into())? };
    poll_fn(|cx| stream.io.poll_io(cx, Direction::Write, Reason::Connect, connected)).await?;
    Ok(stream)
}

/// How the attempt ended; `WouldBlock` if it has not yet.
fn connected(stream: &net::TcpStream) -> io::Result<Done<()>> {
    if let Some(error) = stream.take_error()? {
        return Err(error);
    }
    match stream.peer_addr() {
        Ok(_) => Ok(Done { value: (), short: false }),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Err(io::ErrorKind::WouldBlock.into()),
        Err(error) => Err(error),
    }
}

/// `n` bytes were read where there was room for `room`.
fn read(n: usize, room: usize) -> Done<usize> {
    // Zero is the end, which says nothing about the bytes before it.
    Done { value: n, short: n != 0 && n < room }
}

impl AsyncRead for &TcpStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.io.poll_io(cx, Direction::Read, Reason::Read, |mut stream| Ok(read(stream.read(buf)?, buf.len())))
    }

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        let count = bufs.len().min(MAX_BUFFERS);
        let bufs = &mut bufs[..count];
        let room = bufs.iter().map(|buf| buf.len()).sum();
        if room == 0 {
            return Poll::Ready(Ok(0));
        }
        self.io.poll_io(cx, Direction::Read, Reason::Read, |mut stream| Ok(read(stream.read_vectored(bufs)?, room)))
    }
}

impl AsyncWrite for &TcpStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.io.poll_io(cx, Direction::Write, Reason::Write, |mut stream| {
            // std sends with MSG_NOSIGNAL.
            let n = stream.write(buf)?;
            Ok(Done { value: n, short: n < buf.len() })
        })
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let bufs = &bufs[..bufs.len().min(MAX_BUFFERS)];
        self.io.poll_io(cx, Direction::Write, Reason::Write, |stream| {
            let n = sendmsg(stream, bufs, &mut SendAncillaryBuffer::default(), NO_SIGNAL)?;
            Ok(Done { value: n, short: n < bufs.iter().map(|buf| buf.len()).sum() })
        })
    }

    /// What was written is in the kernel's hands already.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Ends the write direction. One that has ended already is not an error.
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(match self.shutdown(Shutdown::Write) {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            result => result,
        })
    }
}

/// On Apple's systems it is an option of the socket, which socket2 sets, and std for those that it accepts.
#[cfg(target_vendor = "apple")]
const NO_SIGNAL: SendFlags = SendFlags::empty();
#[cfg(not(target_vendor = "apple"))]
const NO_SIGNAL: SendFlags = SendFlags::NOSIGNAL;

halves::delegate_read!(TcpStream, |this| this);
halves::delegate_write!(TcpStream, |this| this);

/// Makes a std connection ours; it is put into non-blocking mode.
impl TryFrom<net::TcpStream> for TcpStream {
    type Error = io::Error;

    fn try_from(stream: net::TcpStream) -> io::Result<TcpStream> {
        stream.set_nonblocking(true)?;
        TcpStream::new(stream)
    }
}

impl AsFd for TcpStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.get_ref().as_fd()
    }
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.io.fmt(f)
    }
}
