//! One attempt to connect one socket to one address.

use super::{TcpStream, platform};
use gambol_executor::{Direction, Done, Io, Reason};
use socket2::{Domain, Socket};
use std::{
    future::Future,
    io,
    net::{self, SocketAddr},
    pin::Pin,
    task::{Context, Poll, ready},
};

/// A socket that is being connected. Dropping it closes the socket, and so gives the attempt up.
#[derive(Debug)]
pub(crate) struct Connecting {
    /// Taken when the attempt has ended well.
    io: Option<Io<net::TcpStream>>,
}

impl Connecting {
    pub(crate) fn begin(address: SocketAddr) -> io::Result<Connecting> {
        Connecting::with(platform::stream_socket(Domain::for_address(address))?, address)
    }

    /// `socket` is in non-blocking mode. It is registered only after the connection was begun: before that the kernel calls
    /// a socket hung up.
    pub(crate) fn with(socket: Socket, address: SocketAddr) -> io::Result<Connecting> {
        let mut interrupted = false;
        while let Err(error) = socket.connect(&address.into()) {
            // To ask again is harmless: the answer tells how far it is. Without an interruption the same answer speaks of
            // an earlier connection, to another address perhaps: whoever made the socket elsewhere began it.
            if platform::goes_on(&error) || interrupted && platform::went_on(&error) {
                break;
            }
            interrupted = error.kind() == io::ErrorKind::Interrupted;
            if !interrupted {
                return Err(error);
            }
        }
        // Looked at once without waiting: on the loopback the connection stands already, and the wait would cost a third of
        // the attempt. Elsewhere the look is two system calls beside a round trip.
        Ok(Connecting { io: Some(Io::new_writable(socket.into())?) })
    }
}

impl Future for Connecting {
    type Output = io::Result<TcpStream>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        const ENDED: &str = "an attempt to connect was polled after it had ended; await it once";
        ready!(self.io.as_ref().expect(ENDED).poll_io(cx, Direction::Write, Reason::Connect, connected))?;
        Poll::Ready(Ok(TcpStream::from_io(self.io.take().expect(ENDED))))
    }
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
