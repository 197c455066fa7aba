//! What the user at the terminal says: `SIGINT`.
//!
//! On Windows the system would tell it on a thread that it starts for that, and the poller there waits for sockets only.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

#[cfg(unix)]
use super::Signal as Listener;
#[cfg(not(unix))]
use std::convert::Infallible as Listener;

/// Completes when Ctrl-C was pressed after this call; on Unix, when `SIGINT` has come.
///
/// From this call on the process is no longer ended by it; see [`signal`](super). What comes between the end of one such
/// future and the next call is lost; a loop is better served by `signal::unix(SignalKind::interrupt())`.
///
/// # Errors
///
/// When it is awaited: the operating system's, when it has no descriptors left; "the runtime is gone"; on Windows always
/// `Unsupported`.
///
/// # Cancel safety
///
/// A Ctrl-C that came while nobody polled completes the next poll. With the future it is lost.
pub fn ctrl_c() -> CtrlC {
    CtrlC { listener: listen() }
}

/// See [`ctrl_c`].
#[derive(Debug)]
#[must_use = "futures do nothing unless you .await or poll them"]
pub struct CtrlC {
    listener: io::Result<Listener>,
}

impl Future for CtrlC {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.listener {
            Ok(listener) => receive(listener, cx),
            Err(error) => {
                let kind = error.kind();
                Poll::Ready(Err(std::mem::replace(error, kind.into())))
            }
        }
    }
}

#[cfg(unix)]
fn listen() -> io::Result<Listener> {
    super::unix(super::SignalKind::interrupt())
}

#[cfg(unix)]
fn receive(listener: &mut Listener, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    listener.poll_recv(cx).map(|received| received.ok_or_else(|| io::Error::other("the runtime is gone")))
}

#[cfg(not(unix))]
fn listen() -> io::Result<Listener> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "Ctrl-C cannot be listened to on this system"))
}

#[cfg(not(unix))]
fn receive(listener: &mut Listener, _: &mut Context<'_>) -> Poll<io::Result<()>> {
    match *listener {}
}
