//! Taking connections.

use super::{TcpStream, ToSocketAddrs, address, back_off::BackOff};
use futures_core::stream::{FusedStream, Stream};
use gambol_executor::{Direction, Done, Io, Reason, Sleep};
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    fmt, io,
    net::{self, SocketAddr},
    os::fd::{AsFd, BorrowedFd},
    pin::Pin,
    task::{Context, Poll, ready},
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
    io: Io<net::TcpListener>,
    back_off: BackOff,
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

    /// The connections as a stream, which does not end. Its errors are those of [`accept`](Self::accept), and do not end it
    /// either.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self, wait: None }
    }

    /// The address at which it listens.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.get_ref().local_addr()
    }

    /// How many routers a packet of the accepted connections may pass (`IP_TTL`).
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
    /// The operating system's; the socket is then closed.
    pub fn into_std(self) -> io::Result<net::TcpListener> {
        let listener = self.io.into_inner()?;
        listener.set_nonblocking(false)?;
        Ok(listener)
    }

    fn new(listener: net::TcpListener) -> io::Result<TcpListener> {
        Ok(TcpListener { io: Io::new(listener)?, back_off: BackOff::default() })
    }

    /// `wait` belongs to the caller's future: the sleep in which it waits for the back-off.
    fn poll_accept(
        &self,
        cx: &mut Context<'_>,
        wait: &mut Option<Box<Sleep>>,
    ) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        loop {
            if let Some(sleep) = wait {
                ready!(Pin::new(sleep).poll(cx));
                *wait = None;
            }
            if let Some(until) = self.back_off.until() {
                *wait = Some(Box::new(Sleep::until(until)));
                continue;
            }
            let accepted = ready!(self.io.poll_io(cx, Direction::Read, Reason::Accept, accept));
            let result = accepted.and_then(|(stream, peer)| Ok((TcpStream::new(stream)?, peer)));
            match &result {
                Ok(_) => self.back_off.succeeded(),
                Err(error) if is_of_the_connection(error) => continue,
                Err(_) => self.back_off.failed(),
            }
            return Poll::Ready(result);
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::new(socket.into())
}

/// Takes a connection that is already non-blocking and not inherited by children.
#[cfg(not(target_vendor = "apple"))]
fn accept(listener: &net::TcpListener) -> io::Result<Done<(net::TcpStream, SocketAddr)>> {
    use rustix::net::{SocketFlags, acceptfrom_with};
    let (socket, peer) = acceptfrom_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
    // Some systems give a connection without an address when the peer has already left.
    let peer = peer.ok_or(Errno::CONNABORTED)?.try_into()?;
    Ok(Done { value: (socket.into(), peer), short: false })
}

#[cfg(target_vendor = "apple")]
fn accept(listener: &net::TcpListener) -> io::Result<Done<(net::TcpStream, SocketAddr)>> {
    let (stream, peer) = listener.accept()?;
    stream.set_nonblocking(true)?;
    Ok(Done { value: (stream, peer), short: false })
}

/// Whether an error of accept(2) speaks of the connection that was first in the queue, and not of us: it is gone, and the next
/// one may be well. Not `EOPNOTSUPP`, though the manual of Linux lists it: that is also what no listener at all says.
fn is_of_the_connection(error: &io::Error) -> bool {
    #[cfg(target_os = "linux")]
    const SYSTEMS_OWN: &[Errno] = &[Errno::NONET];
    #[cfg(not(target_os = "linux"))]
    const SYSTEMS_OWN: &[Errno] = &[];
    const EVERYWHERE: &[Errno] = &[
        Errno::CONNABORTED,
        Errno::CONNRESET,
        Errno::PROTO,
        Errno::NETDOWN,
        Errno::NOPROTOOPT,
        Errno::HOSTDOWN,
        Errno::HOSTUNREACH,
        Errno::NETUNREACH,
        Errno::TIMEDOUT,
    ];
    Errno::from_io_error(error).is_some_and(|errno| EVERYWHERE.contains(&errno) || SYSTEMS_OWN.contains(&errno))
}

/// Makes a std listener ours; it is put into non-blocking mode.
impl TryFrom<net::TcpListener> for TcpListener {
    type Error = io::Error;

    fn try_from(listener: net::TcpListener) -> io::Result<TcpListener> {
        listener.set_nonblocking(true)?;
        TcpListener::new(listener)
    }
}

impl AsFd for TcpListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.get_ref().as_fd()
    }
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.io.fmt(f)
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
        this.listener.poll_accept(cx, &mut this.wait)
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

impl Stream for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        this.listener.poll_accept(cx, &mut this.wait).map(|result| Some(result.map(|(stream, _)| stream)))
    }
}

impl FusedStream for Incoming<'_> {
    fn is_terminated(&self) -> bool {
        false
    }
}
