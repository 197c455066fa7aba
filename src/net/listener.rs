//! Taking connections.

use super::{
    TcpStream, ToSocketAddrs,
    accept::{self, Acceptor},
    address, platform,
};
use gambol_executor::Sleep;
use socket2::{Domain, Socket};
use std::{
    fmt, io,
    net::{self, SocketAddr},
    pin::Pin,
    task::{Context, Poll},
};

/// Connections that the kernel keeps until they are accepted; it cuts this to its own limit (`somaxconn`).
const BACKLOG: i32 = 4096;

/// A socket that takes connections.
///
/// Any number of tasks may accept on one listener.
///
/// # When descriptors run out
///
/// [`accept`](Self::accept) then gives the error at once, once; the next call waits before it tries again, first 5 ms, then
/// twice as long each time, up to 1 s, and as before after the first success. So a loop that reports the error and goes on uses no
/// processor time, and serves again when descriptors return. The connections meanwhile wait in the kernel's queue.
pub struct TcpListener {
    acceptor: Acceptor<net::TcpListener>,
}

impl TcpListener {
    /// Listens at the first of the addresses where that is possible. Port 0: the system chooses one; see
    /// [`local_addr`](Self::local_addr).
    ///
    /// `SO_REUSEADDR` is set, as std does, so that a service can be restarted while old connections of it linger.
    ///
    /// # Errors
    ///
    /// The operating system's for the last address: `AddrInUse`, `PermissionDenied` and others. `InvalidInput` for a text that
    /// is no address. The resolver's for a name that cannot be resolved.
    pub async fn bind(address: impl ToSocketAddrs) -> io::Result<TcpListener> {
        address::each(address.target(), async |address| listen(address)).await
    }

    /// Takes the next connection, and the address it comes from.
    ///
    /// # Errors
    ///
    /// The operating system's when it has no descriptor or no memory left; see [the type](Self#when-descriptors-run-out). A
    /// connection that broke before it was accepted is passed over.
    ///
    /// # Cancel safety
    ///
    /// No connection is lost: one is taken only when it is yielded.
    pub fn accept(&self) -> Accept<'_> {
        Accept { listener: self, wait: None }
    }

    /// As [`accept`](Self::accept), for those who write futures by hand.
    ///
    /// Any number of tasks may wait for a connection by it. But while the listener waits because descriptors have run out,
    /// only the task that called last is sure to be woken.
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        self.acceptor.poll_kept(cx, take)
    }

    /// The connections as a stream, which does not end. Its errors are those of [`accept`](Self::accept), and do not end it
    /// either.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self, wait: None }
    }

    /// As [`incoming`](Self::incoming), for a stream that owns the listener.
    pub fn into_incoming(self) -> IntoIncoming {
        IntoIncoming { listener: self, wait: None }
    }

    /// The address at which it listens.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.acceptor.get_ref().local_addr()
    }

    /// How many routers a packet of the accepted connections may pass (`IP_TTL`).
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn ttl(&self) -> io::Result<u32> {
        self.acceptor.get_ref().ttl()
    }

    /// Sets what [`ttl`](Self::ttl) gets.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.acceptor.get_ref().set_ttl(ttl)
    }

    /// Takes the error that the socket holds and no call has reported yet (`SO_ERROR`).
    ///
    /// # Errors
    ///
    /// The operating system's, when it cannot be asked.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.acceptor.get_ref().take_error()
    }

    /// Back to std's type, in blocking mode.
    ///
    /// # Errors
    ///
    /// The operating system's; the socket is then closed.
    pub fn into_std(self) -> io::Result<net::TcpListener> {
        let listener = self.acceptor.into_inner()?;
        listener.set_nonblocking(false)?;
        Ok(listener)
    }

    /// `socket` is in non-blocking mode, and bound.
    pub(crate) fn listen(socket: Socket, backlog: i32) -> io::Result<TcpListener> {
        socket.listen(backlog)?;
        TcpListener::new(socket.into())
    }

    /// `listener` is in non-blocking mode.
    fn new(listener: net::TcpListener) -> io::Result<TcpListener> {
        Ok(TcpListener { acceptor: Acceptor::new(listener)? })
    }

    /// `wait` belongs to the caller's future: the sleep in which it waits for the back-off.
    fn poll_accept_with(
        &self,
        cx: &mut Context<'_>,
        wait: &mut Option<Box<Sleep>>,
    ) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        self.acceptor.poll(cx, wait, take)
    }
}

fn take(listener: &net::TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (stream, peer) = platform::accept(listener)?;
    Ok((TcpStream::new(stream)?, peer))
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = platform::stream_socket(Domain::for_address(address))?;
    if platform::REUSE_ADDRESS {
        socket.set_reuse_address(true)?;
    }
    socket.bind(&address.into())?;
    TcpListener::listen(socket, BACKLOG)
}

/// Makes a std listener ours; it is put into non-blocking mode.
impl TryFrom<net::TcpListener> for TcpListener {
    type Error = io::Error;

    fn try_from(listener: net::TcpListener) -> io::Result<TcpListener> {
        listener.set_nonblocking(true)?;
        TcpListener::new(listener)
    }
}

/// As [`TcpListener::into_std`].
impl TryFrom<TcpListener> for net::TcpListener {
    type Error = io::Error;

    fn try_from(listener: TcpListener) -> io::Result<net::TcpListener> {
        listener.into_std()
    }
}

platform::descriptor!(TcpListener, |this| this.acceptor.get_ref());

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.acceptor.get_ref().fmt(f)
    }
}

/// See [`TcpListener::accept`].
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct Accept<'a> {
    listener: &'a TcpListener,
    wait: Option<Box<Sleep>>,
}

impl Future for Accept<'_> {
    type Output = io::Result<(TcpStream, SocketAddr)>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.listener.poll_accept_with(cx, &mut this.wait)
    }
}

/// What a task that accepts takes for it.
const _: () = assert!(size_of::<Accept<'_>>() <= 16);

/// See [`TcpListener::incoming`].
#[derive(Debug)]
#[must_use = "streams do nothing unless they are polled"]
pub struct Incoming<'a> {
    listener: &'a TcpListener,
    wait: Option<Box<Sleep>>,
}

accept::connections!(Incoming<'_>, TcpStream);

/// See [`TcpListener::into_incoming`].
#[derive(Debug)]
#[must_use = "streams do nothing unless they are polled"]
pub struct IntoIncoming {
    listener: TcpListener,
    wait: Option<Box<Sleep>>,
}

accept::connections!(IntoIncoming, TcpStream);
