//! Bytes through a stream socket, of whatever family: one place for what a TCP and a Unix connection do alike.
//!
//! The functions are given the connection and do what the traits of `futures-io` ask, or their cousins that do not wait; the
//! macros at the end make the traits out of them, for the connections, for references to them and for their halves. A blanket
//! implementation for `&S` is what the orphan rule forbids.
//!
//! Writes are sends, since these have a flag that keeps a broken connection from raising SIGPIPE.

use super::platform::{self, NO_SIGNAL};
use gambol_executor::{AsDescriptor, Direction, Done, Io, Reason};
use socket2::SockRef;
use std::{
    io::{self, IoSlice, IoSliceMut, Read},
    net::Shutdown,
    task::{Context, Poll},
};

/// Buffers that one call takes at most (`UIO_MAXIOV` on Linux, `IOV_MAX` on the BSDs).
const MAX_BUFFERS: usize = 1024;

/// Bytes up to which several buffers are copied into one and not left to the kernel to collect: over loopback, 128 bytes in two pieces take
/// 3.37 µs by a copy and send, 3.59 by sendmsg (and no less by writev); 1 KiB 3.42 and 3.62.
const COPIED: usize = 1024;

/// A stream socket that is connected. Public only in name: it bounds the halves.
pub trait Connection {
    /// Std's type for it.
    type Std: AsDescriptor;
    /// Where its ends are.
    type Address;
    /// Whether a read that brings less than there was room for has emptied the socket. If not, only `WouldBlock` says so.
    const SHORT_READ_EMPTIES: bool;

    fn io(&self) -> &Io<Self::Std>;

    fn peer_addr(&self) -> io::Result<Self::Address>;

    fn local_addr(&self) -> io::Result<Self::Address>;

    fn shutdown(&self, how: Shutdown) -> io::Result<()>;
}

/// `n` bytes were read where there was room for `room`.
fn read<S: Connection>(n: usize, room: usize) -> Done<usize> {
    // Zero is the end, which says nothing about the bytes before it.
    Done { value: n, short: S::SHORT_READ_EMPTIES && n != 0 && n < room }
}

fn receive<S: Connection>(socket: &S::Std, buf: &mut [u8]) -> io::Result<Done<usize>> {
    let n = platform::receive(socket.as_descriptor(), buf)?;
    Ok(read::<S>(n, buf.len()))
}

fn receive_vectored<S: Connection>(socket: &S::Std, bufs: &mut [IoSliceMut<'_>]) -> io::Result<Done<usize>> {
    let n = (&*SockRef::from(&socket.as_descriptor())).read_vectored(bufs)?;
    Ok(read::<S>(n, bufs.iter().map(|buf| buf.len()).sum()))
}

fn send<T: AsDescriptor>(socket: &T, buf: &[u8]) -> io::Result<Done<usize>> {
    let n = platform::send(socket.as_descriptor(), buf)?;
    Ok(Done { value: n, short: n < buf.len() })
}

fn send_vectored<T: AsDescriptor>(socket: &T, bufs: &[IoSlice<'_>]) -> io::Result<Done<usize>> {
    if let [buf] = bufs {
        return send(socket, buf);
    }
    // Pieces may overlap, so where words are short they can come to more than the memory there is.
    let sum = bufs.iter().fold(0_usize, |sum, buf| sum.saturating_add(buf.len()));
    if sum <= COPIED {
        return send_copied(socket, bufs, sum);
    }
    let n = SockRef::from(&socket.as_descriptor()).send_vectored_with_flags(bufs, NO_SIGNAL)?;
    Ok(Done { value: n, short: n < sum })
}

/// Sends what has few bytes in several pieces as one.
fn send_copied<T: AsDescriptor>(socket: &T, bufs: &[IoSlice<'_>], sum: usize) -> io::Result<Done<usize>> {
    let mut copy = [0; COPIED];
    let mut filled = 0;
    for buf in bufs {
        copy[filled..filled + buf.len()].copy_from_slice(buf);
        filled += buf.len();
    }
    send(socket, &copy[..sum])
}

pub(crate) fn poll_read<S: Connection>(stream: &S, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
    if buf.is_empty() {
        return Poll::Ready(Ok(0));
    }
    stream.io().poll_io(cx, Direction::Read, Reason::Read, |socket| receive::<S>(socket, buf))
}

/// As [`poll_read`] into memory that need not be initialised: the first bytes are, as many as it says.
#[cfg(feature = "tokio-io")]
pub(crate) fn poll_read_uninit<S: Connection>(
    stream: &S,
    cx: &mut Context<'_>,
    buf: &mut [std::mem::MaybeUninit<u8>],
) -> Poll<io::Result<usize>> {
    if buf.is_empty() {
        return Poll::Ready(Ok(0));
    }
    stream.io().poll_io(cx, Direction::Read, Reason::Read, |socket| {
        let n = platform::receive_uninit(socket.as_descriptor(), buf)?;
        Ok(read::<S>(n, buf.len()))
    })
}

pub(crate) fn poll_read_vectored<S: Connection>(
    stream: &S,
    cx: &mut Context<'_>,
    bufs: &mut [IoSliceMut<'_>],
) -> Poll<io::Result<usize>> {
    let bufs = at_most_mut(bufs);
    if bufs.iter().all(|buf| buf.is_empty()) {
        return Poll::Ready(Ok(0));
    }
    stream.io().poll_io(cx, Direction::Read, Reason::Read, |socket| receive_vectored::<S>(socket, bufs))
}

pub(crate) fn poll_write<S: Connection>(stream: &S, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
    stream.io().poll_io(cx, Direction::Write, Reason::Write, |socket| send(socket, buf))
}

pub(crate) fn poll_write_vectored<S: Connection>(
    stream: &S,
    cx: &mut Context<'_>,
    bufs: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    let bufs = at_most(bufs);
    stream.io().poll_io(cx, Direction::Write, Reason::Write, |socket| send_vectored(socket, bufs))
}

/// Ends the write direction. One that has ended already is not an error.
pub(crate) fn close<S: Connection>(stream: &S) -> io::Result<()> {
    match stream.shutdown(Shutdown::Write) {
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
        result => result,
    }
}

pub(crate) fn try_read<S: Connection>(stream: &S, buf: &mut [u8]) -> io::Result<usize> {
    stream.io().try_io(Direction::Read, |socket| receive::<S>(socket, buf))
}

pub(crate) fn try_read_vectored<S: Connection>(stream: &S, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    let bufs = at_most_mut(bufs);
    stream.io().try_io(Direction::Read, |socket| receive_vectored::<S>(socket, bufs))
}

pub(crate) fn try_write<S: Connection>(stream: &S, buf: &[u8]) -> io::Result<usize> {
    stream.io().try_io(Direction::Write, |socket| send(socket, buf))
}

pub(crate) fn try_write_vectored<S: Connection>(stream: &S, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    let bufs = at_most(bufs);
    stream.io().try_io(Direction::Write, |socket| send_vectored(socket, bufs))
}

pub(crate) fn poll_readable<S: Connection>(stream: &S, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    stream.io().poll_ready(cx, Direction::Read, Reason::Read)
}

pub(crate) fn poll_writable<S: Connection>(stream: &S, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    stream.io().poll_ready(cx, Direction::Write, Reason::Write)
}

fn at_most<'a, 'b>(bufs: &'a [IoSlice<'b>]) -> &'a [IoSlice<'b>] {
    &bufs[..bufs.len().min(MAX_BUFFERS)]
}

fn at_most_mut<'a, 'b>(bufs: &'a mut [IoSliceMut<'b>]) -> &'a mut [IoSliceMut<'b>] {
    let count = bufs.len().min(MAX_BUFFERS);
    &mut bufs[..count]
}

/// `AsyncRead` for a type from which a connection can be borrowed.
macro_rules! delegate_read {
    ([$($generics:tt)*] $type:ty, |$this:ident| $stream:expr) => {
        impl<$($generics)*> futures_io::AsyncRead for $type {
            fn poll_read(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                buf: &mut [u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                let $this = &*self;
                $crate::net::connection::poll_read($stream, cx, buf)
            }

            fn poll_read_vectored(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                bufs: &mut [std::io::IoSliceMut<'_>],
            ) -> std::task::Poll<std::io::Result<usize>> {
                let $this = &*self;
                $crate::net::connection::poll_read_vectored($stream, cx, bufs)
            }
        }

        // SAFETY: recv(2) writes bytes, and says how many it has written at the beginning of the buffer, at most as many as it was told
        // that there are; the function gives that, or zero where it asks nothing.
        #[cfg(feature = "tokio-io")]
        unsafe impl<$($generics)*> $crate::tokio_io::ReadUninit for $type {
            fn poll_read_uninit(
                &self,
                cx: &mut std::task::Context<'_>,
                buf: &mut [std::mem::MaybeUninit<u8>],
            ) -> std::task::Poll<std::io::Result<usize>> {
                let $this = self;
                $crate::net::connection::poll_read_uninit($stream, cx, buf)
            }
        }
    };
}

/// `AsyncWrite` for a type from which a connection can be borrowed.
macro_rules! delegate_write {
    ([$($generics:tt)*] $type:ty, |$this:ident| $stream:expr) => {
        impl<$($generics)*> futures_io::AsyncWrite for $type {
            fn poll_write(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                buf: &[u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                let $this = &*self;
                $crate::net::connection::poll_write($stream, cx, buf)
            }

            fn poll_write_vectored(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                bufs: &[std::io::IoSlice<'_>],
            ) -> std::task::Poll<std::io::Result<usize>> {
                let $this = &*self;
                $crate::net::connection::poll_write_vectored($stream, cx, bufs)
            }

            /// What was written is in the kernel's hands already.
            fn poll_flush(
                self: std::pin::Pin<&mut Self>,
                _: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                std::task::Poll::Ready(Ok(()))
            }

            /// Ends the write direction. One that has ended already is not an error.
            fn poll_close(
                self: std::pin::Pin<&mut Self>,
                _: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                let $this = &*self;
                std::task::Poll::Ready($crate::net::connection::close($stream))
            }
        }
    };
}

pub(crate) use {delegate_read, delegate_write};
