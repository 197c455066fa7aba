//! Taking connections.

use super::UnixStream;
use crate::net::{
    accept::{self, Acceptor},
    platform,
};
use gambol_executor::Sleep;
use std::{
    fmt, io,
    os::unix::net::{self, SocketAddr},
    path::Path,
    pin::Pin,
    task::{Context, Poll},
};

/// A socket that takes connections of the Unix domain.
///
/// Any number of tasks may accept on one listener. The file that names it stays when the listener is dropped: who wants to bind
/// to the same path again removes it first.
///
/// # When descriptors run out
///
/// [`accept`](Self::accept) then gives the error at once, once; the next call waits before it tries again, first 5 ms, then
/// twice as long each time, up to 1 s, and as before after the first success. So a loop that reports the error and goes on uses no
/// processor time, and serves again when descriptors return. The connections meanwhile wait in the kernel's queue.
pub struct UnixListener {
    acceptor: Acceptor<net::UnixListener>,
}

impl UnixListener {
    /// Listens at `path`, where a file is made.
    ///
    /// # Errors
    ///
    /// The operating system's: `AddrInUse` when there is a file already, also one that an earlier listener has left;
    /// `NotFound`, `PermissionDenied` and others. `InvalidInput` for a path that is too long or has a zero byte.
    pub fn bind(path: impl AsRef<Path>) -> io::Result<UnixListener> {
        net::UnixListener::bind(path)?.try_into()
    }

    /// As [`bind`](Self::bind), at an address of any kind.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn bind_addr(address: &SocketAddr) -> io::Result<UnixListener> {
        net::UnixListener::bind_addr(address)?.try_into()
    }

    /// Takes the next connection, and the address it comes from, which usually has no name.
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
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(UnixStream, SocketAddr)>> {
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

    /// Takes the error that has come up and that no call has reported yet (`SO_ERROR`).
    ///
    /// # Errors
    ///
    /// The operating system's, when it cannot tell.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.acceptor.get_ref().take_error()
    }

    /// Back to std's type, in blocking mode.
    ///
    /// # Errors
    ///
    /// The operating system's; the socket is then closed.
    pub fn into_std(self) -> io::Result<net::UnixListener> {
        let listener = self.acceptor.into_inner()?;
        listener.set_nonblocking(false)?;
        Ok(listener)
    }

    /// `wait` belongs to the caller's future: the sleep in which it waits for the back-off.
    fn poll_accept_with(
        &self,
        cx: &mut Context<'_>,
        wait: &mut Option<Box<Sleep>>,
    ) -> Poll<io::Result<(UnixStream, SocketAddr)>> {
        self.acceptor.poll(cx, wait, take)
    }
}

fn take(listener: &net::UnixListener) -> io::Result<(UnixStream, SocketAddr)> {
    let (stream, peer) = listener.accept()?;
    Ok((stream.try_into()?, peer))
}

/// Makes a std listener ours; it is put into non-blocking mode.
impl TryFrom<net::UnixListener> for UnixListener {
    type Error = io::Error;

    fn try_from(listener: net::UnixListener) -> io::Result<UnixListener> {
        listener.set_nonblocking(true)?;
        Ok(UnixListener { acceptor: Acceptor::new(listener)? })
    }
}

/// As [`UnixListener::into_std`].
impl TryFrom<UnixListener> for net::UnixListener {
    type Error = io::Error;

    fn try_from(listener: UnixListener) -> io::Result<net::UnixListener> {
        listener.into_std()
    }
}

platform::descriptor!(UnixListener, |this| this.acceptor.get_ref());

impl fmt::Debug for UnixListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.acceptor.get_ref().fmt(f)
    }
}

/// See [`UnixListener::accept`].
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct Accept<'a> {
    listener: &'a UnixListener,
    wait: Option<Box<Sleep>>,
}

impl Future for Accept<'_> {
    type Output = io::Result<(UnixStream, SocketAddr)>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.listener.poll_accept_with(cx, &mut this.wait)
    }
}

/// See [`UnixListener::incoming`].
#[derive(Debug)]
#[must_use = "streams do nothing unless they are polled"]
pub struct Incoming<'a> {
    listener: &'a UnixListener,
    wait: Option<Box<Sleep>>,
}

accept::connections!(Incoming<'_>, UnixStream);

/// See [`UnixListener::into_incoming`].
#[derive(Debug)]
#[must_use = "streams do nothing unless they are polled"]
pub struct IntoIncoming {
    listener: UnixListener,
    wait: Option<Box<Sleep>>,
}

accept::connections!(IntoIncoming, UnixStream);
