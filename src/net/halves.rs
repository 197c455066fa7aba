//! A connection in two parts, so that one may read while the other writes.
//!
//! One set of parts for all kinds of connections; `net` and `net::unix` name those of theirs.

use super::{
    TcpStream,
    connection::{self, Connection, delegate_read, delegate_write},
};
use std::{
    error::Error,
    fmt,
    future::poll_fn,
    io::{self, IoSlice, IoSliceMut},
    net::Shutdown,
    sync::Arc,
    task::{Context, Poll},
};

/// The part that reads, borrowed. See `split` of the connection.
#[derive(Debug)]
pub struct ReadHalf<'a, S: Connection>(&'a S);

/// The part that writes, borrowed. Closing it ends the write direction; dropping it does not. See `split` of the connection.
#[derive(Debug)]
pub struct WriteHalf<'a, S: Connection>(&'a S);

/// The part that reads. See `into_split` of the connection.
#[derive(Debug)]
pub struct OwnedReadHalf<S: Connection>(Arc<S>);

/// The part that writes. Closing or dropping it ends the write direction: the peer reads what was written, and then the end.
/// See `into_split` of the connection.
#[derive(Debug)]
pub struct OwnedWriteHalf<S: Connection> {
    stream: Arc<S>,
    /// Whether the drop ends the direction.
    ends: bool,
}

pub(crate) fn borrowed<S: Connection>(stream: &S) -> (ReadHalf<'_, S>, WriteHalf<'_, S>) {
    (ReadHalf(stream), WriteHalf(stream))
}

pub(crate) fn owned<S: Connection>(stream: S) -> (OwnedReadHalf<S>, OwnedWriteHalf<S>) {
    let stream = Arc::new(stream);
    (OwnedReadHalf(stream.clone()), OwnedWriteHalf { stream, ends: true })
}

impl<S: Connection> OwnedReadHalf<S> {
    /// Puts the connection together again, with the part that writes.
    ///
    /// # Errors
    ///
    /// Both parts, if they are not of one connection.
    pub fn reunite(self, other: OwnedWriteHalf<S>) -> Result<S, ReuniteError<S>> {
        if !Arc::ptr_eq(&self.0, &other.stream) {
            return Err(ReuniteError(self, other));
        }
        other.forget();
        // Two parts were made, and both are here: only one reference is left.
        Ok(Arc::into_inner(self.0).expect("a connection has one part that reads and one that writes"))
    }
}

impl<S: Connection> OwnedWriteHalf<S> {
    /// Puts the connection together again, with the part that reads.
    ///
    /// # Errors
    ///
    /// Both parts, if they are not of one connection.
    pub fn reunite(self, other: OwnedReadHalf<S>) -> Result<S, ReuniteError<S>> {
        other.reunite(self)
    }

    /// Drops it without ending the write direction, which then ends with the part that reads.
    pub fn forget(mut self) {
        self.ends = false;
    }
}

impl<S: Connection> Drop for OwnedWriteHalf<S> {
    fn drop(&mut self) {
        if self.ends {
            // An error means that there is no connection any more.
            let _ = self.stream.shutdown(Shutdown::Write);
        }
    }
}

/// The parts that were to be put together, and are not of one connection.
#[derive(Debug)]
pub struct ReuniteError<S: Connection>(OwnedReadHalf<S>, OwnedWriteHalf<S>);

impl<S: Connection> ReuniteError<S> {
    /// The parts, as they were given.
    pub fn into_parts(self) -> (OwnedReadHalf<S>, OwnedWriteHalf<S>) {
        (self.0, self.1)
    }
}

impl<S: Connection> fmt::Display for ReuniteError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the two parts are not of one connection")
    }
}

impl<S: Connection + fmt::Debug> Error for ReuniteError<S> {}

/// What every part has. `$stream` borrows the connection.
macro_rules! part {
    ([$($generics:tt)*] $type:ty, |$this:ident| $stream:expr) => {
        impl<$($generics)*> $type {
            /// The other end's address.
            ///
            /// # Errors
            ///
            /// As for the connection.
            pub fn peer_addr(&self) -> io::Result<S::Address> {
                self.as_ref().peer_addr()
            }

            /// This end's address.
            ///
            /// # Errors
            ///
            /// As for the connection.
            pub fn local_addr(&self) -> io::Result<S::Address> {
                self.as_ref().local_addr()
            }
        }

        impl<$($generics)*> AsRef<S> for $type {
            fn as_ref(&self) -> &S {
                let $this = self;
                $stream
            }
        }
    };
}

/// What a part that reads has.
macro_rules! reads {
    ([$($generics:tt)*] $type:ty, |$this:ident| $stream:expr) => {
        part!([$($generics)*] $type, |$this| $stream);

        impl<$($generics)*> $type {
            /// Waits until a read may find something. See [`try_read`](Self::try_read).
            ///
            /// # Errors
            ///
            /// "The runtime is gone"; the operating system's, when it refuses to watch the connection.
            ///
            /// # Cancel safety
            ///
            /// Nothing is lost.
            pub async fn readable(&self) -> io::Result<()> {
                poll_fn(|cx| connection::poll_readable(self.as_ref(), cx)).await
            }

            /// Reads what is there now.
            ///
            /// # Errors
            ///
            /// `WouldBlock` when nothing is; otherwise as for the connection.
            pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
                connection::try_read(self.as_ref(), buf)
            }

            /// As [`try_read`](Self::try_read), into several buffers.
            ///
            /// # Errors
            ///
            /// As there.
            pub fn try_read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                connection::try_read_vectored(self.as_ref(), bufs)
            }
        }

        delegate_read!([$($generics)*] $type, |$this| $stream);
    };
}

/// What a part that writes has.
macro_rules! writes {
    ([$($generics:tt)*] $type:ty, |$this:ident| $stream:expr) => {
        part!([$($generics)*] $type, |$this| $stream);

        impl<$($generics)*> $type {
            /// Waits until there may be room to write. See [`try_write`](Self::try_write).
            ///
            /// # Errors
            ///
            /// "The runtime is gone"; the operating system's, when it refuses to watch the connection.
            ///
            /// # Cancel safety
            ///
            /// Nothing is lost.
            pub async fn writable(&self) -> io::Result<()> {
                poll_fn(|cx| connection::poll_writable(self.as_ref(), cx)).await
            }

            /// Writes what there is room for now.
            ///
            /// # Errors
            ///
            /// `WouldBlock` when there is none; otherwise as for the connection.
            pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
                connection::try_write(self.as_ref(), buf)
            }

            /// As [`try_write`](Self::try_write), from several buffers.
            ///
            /// # Errors
            ///
            /// As there.
            pub fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
                connection::try_write_vectored(self.as_ref(), bufs)
            }
        }

        delegate_write!([$($generics)*] $type, |$this| $stream);
    };
}

reads!([S: Connection] ReadHalf<'_, S>, |this| this.0);
reads!([S: Connection] OwnedReadHalf<S>, |this| &*this.0);
writes!([S: Connection] WriteHalf<'_, S>, |this| this.0);
writes!([S: Connection] OwnedWriteHalf<S>, |this| &*this.stream);

/// Only a TCP connection can be peeked at.
macro_rules! peeks {
    ($type:ty) => {
        impl $type {
            /// As [`TcpStream::peek`].
            ///
            /// # Errors
            ///
            /// As there.
            ///
            /// # Cancel safety
            ///
            /// As there.
            pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
                self.0.peek(buf).await
            }

            /// As [`TcpStream::poll_peek`].
            pub fn poll_peek(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
                self.0.poll_peek(cx, buf)
            }
        }
    };
}

peeks!(ReadHalf<'_, TcpStream>);
peeks!(OwnedReadHalf<TcpStream>);

/// The parts of one kind of connection are known to `io::copy`.
macro_rules! parts {
    ($($module:ident)::+) => {
        crate::io::copy::spliced!($($module)::+::ReadHalf<'_>, |this| this.0.io());
        crate::io::copy::spliced!($($module)::+::WriteHalf<'_>, |this| this.0.io());
        crate::io::copy::spliced!($($module)::+::OwnedReadHalf, |this| this.0.io());
        crate::io::copy::spliced!($($module)::+::OwnedWriteHalf, |this| this.stream.io());
    };
}

parts!(super);
#[cfg(unix)]
parts!(super::unix);
