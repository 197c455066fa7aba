//! Sockets.
//!
//! A socket belongs to the runtime that was current when it was made, and may be used anywhere. Waiting parks the task and
//! not the thread. A future that is dropped half-way has taken nothing from the socket.
//!
//! When its runtime has ended, whatever may wait for a socket gives an error ("the runtime is gone"), whether or not it would have
//! to; what never waits (`try_read` and its like) goes on.

// What names a place to connect to.
mod address;

// The addresses of a name.
mod lookup;

// One attempt to connect; several of them, of which the first wins.
mod connecting;
mod eyeballs;

// Sockets before they are connected or listen.
mod socket;

// How a silent peer is asked whether it is there.
mod keepalive;

// Connections.
mod stream;

// What connections of all families do alike.
mod connection;

// A connection in two parts.
mod halves;

// Taking connections.
mod listener;

// What listeners of all families do alike.
mod accept;

// Not trying again too soon.
mod back_off;

// What datagram sockets of all families do alike.
mod datagram;

// Datagrams.
mod udp;

// Sockets of the Unix domain.
#[cfg(unix)]
pub mod unix;

// What differs between the operating systems.
mod platform;

pub use address::ToSocketAddrs;
pub use keepalive::Keepalive;
pub use listener::{Accept, Incoming, IntoIncoming, TcpListener};
pub use lookup::{Addresses, LookupHost, lookup_host};
pub use socket::TcpSocket;
pub use stream::TcpStream;
pub use udp::UdpSocket;
#[cfg(unix)]
#[doc(inline)]
pub use unix::{UnixDatagram, UnixListener, UnixStream};

/// The part of a [`TcpStream`] that reads; see [`TcpStream::split`].
pub type ReadHalf<'a> = halves::ReadHalf<'a, TcpStream>;
/// The part of a [`TcpStream`] that writes; see [`TcpStream::split`]. Closing it ends the write direction; dropping it does not.
pub type WriteHalf<'a> = halves::WriteHalf<'a, TcpStream>;
/// The part of a [`TcpStream`] that reads; see [`TcpStream::into_split`].
pub type OwnedReadHalf = halves::OwnedReadHalf<TcpStream>;
/// The part of a [`TcpStream`] that writes; see [`TcpStream::into_split`]. Closing or dropping it ends the write direction: the
/// peer reads what was written, and then the end.
pub type OwnedWriteHalf = halves::OwnedWriteHalf<TcpStream>;
/// Why two parts could not be put together: they are not of one [`TcpStream`]. Contains them.
pub type ReuniteError = halves::ReuniteError<TcpStream>;
