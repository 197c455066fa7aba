//! Sockets of the Unix domain: between processes of one machine, named by paths.
//!
//! On Linux they may also have abstract addresses, which are no files; see std's `SocketAddrExt`.

// Connections.
mod stream;

// Taking connections.
mod listener;

// Datagrams.
mod datagram;

// Trying again where nobody tells when.
mod again;

pub use datagram::UnixDatagram;
pub use listener::{Accept, Incoming, IntoIncoming, UnixListener};
#[doc(no_inline)]
pub use std::os::unix::net::SocketAddr;
pub use stream::UnixStream;

use super::halves;

/// The part of a [`UnixStream`] that reads; see [`UnixStream::split`].
pub type ReadHalf<'a> = halves::ReadHalf<'a, UnixStream>;
/// The part of a [`UnixStream`] that writes; see [`UnixStream::split`]. Closing it ends the write direction; dropping it does
/// not.
pub type WriteHalf<'a> = halves::WriteHalf<'a, UnixStream>;
/// The part of a [`UnixStream`] that reads; see [`UnixStream::into_split`].
pub type OwnedReadHalf = halves::OwnedReadHalf<UnixStream>;
/// The part of a [`UnixStream`] that writes; see [`UnixStream::into_split`]. Closing or dropping it ends the write direction:
/// the peer reads what was written, and then the end.
pub type OwnedWriteHalf = halves::OwnedWriteHalf<UnixStream>;
/// Why two parts could not be put together: they are not of one [`UnixStream`]. Contains them.
pub type ReuniteError = halves::ReuniteError<UnixStream>;
