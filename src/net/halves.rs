//! A connection in two parts, so that one may read while the other writes.

use super::TcpStream;
use futures_io::{AsyncRead, AsyncWrite};
use std::{
    io::{self, IoSlice, IoSliceMut},
    net::{Shutdown, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// The part of a [`TcpStream`] that reads; see [`TcpStream::split`].
#[derive(Debug)]
pub struct ReadHalf<'a>(&'a TcpStream);

/// The part of a [`TcpStream`] that writes; see [`TcpStream::split`]. Closing it ends the write direction; dropping it does not.
#[derive(Debug)]
pub struct WriteHalf<'a>(&'a TcpStream);

/// The part of a [`TcpStream`] that reads; see [`TcpStream::into_split`].
#[derive(Debug)]
pub struct OwnedReadHalf(Arc<TcpStream>);

/// The part of a [`TcpStream`] that writes; see [`TcpStream::into_split`]. Closing or dropping it ends the write direction: the
/// peer reads what was written, and then the end.
#[derive(Debug)]
pub struct OwnedWriteHalf(Arc<TcpStream>);

pub(crate) fn borrowed(stream: &TcpStream) -> (ReadHalf<'_>, WriteHalf<'_>) {
    (ReadHalf(stream), WriteHalf(stream))
}

pub(crate) fn owned(stream: TcpStream) -> (OwnedReadHalf, OwnedWriteHalf) {
    let stream = Arc::new(stream);
    (OwnedReadHalf(stream.clone()), OwnedWriteHalf(stream))
}

/// Reads by `&TcpStream`.
macro_rules! delegate_read {
    ($type:ty, |$this:ident| $stream:expr) => {
        impl AsyncRead for $type {
            fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
                let $this = &*self;
                let mut stream: &TcpStream = $stream;
                Pin::new(&mut stream).poll_read(cx, buf)
            }

            fn poll_read_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &mut [IoSliceMut<'_>],
            ) -> Poll<io::Result<usize>> {
                let $this = &*self;
                let mut stream: &TcpStream = $stream;
                Pin::new(&mut stream).poll_read_vectored(cx, bufs)
            }
        }
    };
}

/// Writes by `&TcpStream`.
macro_rules! delegate_write {
    ($type:ty, |$this:ident| $stream:expr) => {
        impl AsyncWrite for $type {
            fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
                let $this = &*self;
                let mut stream: &TcpStream = $stream;
                Pin::new(&mut stream).poll_write(cx, buf)
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                let $this = &*self;
                let mut stream: &TcpStream = $stream;
                Pin::new(&mut stream).poll_write_vectored(cx, bufs)
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                let $this = &*self;
                let mut stream: &TcpStream = $stream;
                Pin::new(&mut stream).poll_flush(cx)
            }

            fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                let $this = &*self;
                let mut stream: &TcpStream = $stream;
                Pin::new(&mut stream).poll_close(cx)
            }
        }
    };
}

macro_rules! reads {
    ($type:ty) => {
        impl $type {
            /// As [`TcpStream::peek`].
            ///
            /// # Errors
            ///
            /// As there.
            pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
                self.0.peek(buf).await
            }
        }

        delegate_read!($type, |this| &this.0);
    };
}

macro_rules! addresses {
    ($type:ty) => {
        impl $type {
            /// As [`TcpStream::peer_addr`].
            ///
            /// # Errors
            ///
            /// As there.
            pub fn peer_addr(&self) -> io::Result<SocketAddr> {
                self.0.peer_addr()
            }

            /// As [`TcpStream::local_addr`].
            ///
            /// # Errors
            ///
            /// As there.
            pub fn local_addr(&self) -> io::Result<SocketAddr> {
                self.0.local_addr()
            }
        }
    };
}

pub(crate) use {delegate_read, delegate_write};

reads!(ReadHalf<'_>);
reads!(OwnedReadHalf);
delegate_write!(WriteHalf<'_>, |this| this.0);
delegate_write!(OwnedWriteHalf, |this| &this.0);
addresses!(ReadHalf<'_>);
addresses!(WriteHalf<'_>);
addresses!(OwnedReadHalf);
addresses!(OwnedWriteHalf);

impl Drop for OwnedWriteHalf {
    fn drop(&mut self) {
        // An error means that there is no connection any more.
        let _ = self.0.shutdown(Shutdown::Write);
    }
}
