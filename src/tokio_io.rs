//! tokio's I/O traits on gambol's types, with the feature `tokio-io`.
//!
//! They are the other traits under another name: each method calls its sibling of `futures_io`, so waiting, waking and
//! errors are the same, and nothing of tokio runs. A type gets them by one line at the end of this file.
//!
//! tokio reads into buffers that need not be initialised. A socket's bytes go straight there ([`ReadUninit`]). For the others the
//! buffer is zeroed before it is given to a reader that knows `&mut [u8]` only: not more than [`ZEROED_AT_ONCE`] for one read,
//! and nothing that is initialised already, as all is for who reads into a `&mut [u8]`, and most for who keeps the `ReadBuf`.
//!
//! Measured on loopback, in a round trip of 100 bytes (12.4 µs), with a buffer that is never initialised: zeroing
//! 8 KiB costs 2 %, 16 KiB 4 %, 64 KiB 12 %, 1 MiB 220 %. Reads of bulk are as fast in pieces of 16 KiB as in larger ones. In a
//! server of hyper's, whose buffer has 8 KiB, zeroing was 2.8 % of its CPU time.

use crate::{
    fs::File,
    io::{AsDescriptor, Async, DuplexStream, SimplexReader, SimplexWriter, Stderr, Stdin, Stdout},
    net::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, TcpStream, WriteHalf},
};
#[cfg(unix)]
use crate::{
    net::{UnixStream, unix},
    process::{ChildStderr, ChildStdin, ChildStdout},
};
use std::{
    io::{IoSlice, Result, SeekFrom},
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::ReadBuf;

/// Bytes that are zeroed for one read at most.
const ZEROED_AT_ONCE: usize = 16 * 1024;

/// Room for one read in `buf`.
fn room<'a>(buf: &'a mut ReadBuf<'_>) -> &'a mut [u8] {
    let initialized = buf.initialized().len() - buf.filled().len();
    let room = buf.remaining().min(initialized.max(ZEROED_AT_ONCE));
    buf.initialize_unfilled_to(room)
}

/// What can be read from into memory that need not be initialised.
///
/// # Safety
///
/// If it says that so many bytes were read, there are so many in the buffer, and they are initialised, at its beginning. It writes
/// bytes into the buffer and nothing else: none that was initialised is made uninitialised, whatever it says.
pub(crate) unsafe trait ReadUninit {
    /// As `poll_read` of `futures_io`.
    fn poll_read_uninit(&self, cx: &mut Context<'_>, buf: &mut [MaybeUninit<u8>]) -> Poll<Result<usize>>;
}

/// Traits for a type, which has the siblings of `futures_io`: `tokio_io!(Type: AsyncRead AsyncWrite)`; `ReadUninit` makes `AsyncRead`
/// out of that. Its parameters stand in brackets before it.
macro_rules! tokio_io {
    ([$($generics:tt)*] $type:ty: AsyncRead $($more:ident)*) => {
        impl<$($generics)*> tokio::io::AsyncRead for $type
        where
            Self: futures_io::AsyncRead,
        {
            fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Result<()>> {
                let n = ready!(futures_io::AsyncRead::poll_read(self, cx, room(buf)))?;
                buf.advance(n);
                Poll::Ready(Ok(()))
            }
        }

        tokio_io!([$($generics)*] $type: $($more)*);
    };
    ([$($generics:tt)*] $type:ty: ReadUninit $($more:ident)*) => {
        impl<$($generics)*> tokio::io::AsyncRead for $type {
            fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Result<()>> {
                // SAFETY: nothing that is initialised may be made uninitialised: `ReadUninit` promises it.
                let room = unsafe { buf.unfilled_mut() };
                let n = ready!(self.poll_read_uninit(cx, room))?;
                // SAFETY: `ReadUninit` promises that the room has `n` bytes and that the first `n` are initialised.
                unsafe { buf.assume_init(n) };
                buf.advance(n);
                Poll::Ready(Ok(()))
            }
        }

        tokio_io!([$($generics)*] $type: $($more)*);
    };
    ([$($generics:tt)*] $type:ty: AsyncWrite $($more:ident)*) => {
        impl<$($generics)*> tokio::io::AsyncWrite for $type
        where
            Self: futures_io::AsyncWrite,
        {
            fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
                futures_io::AsyncWrite::poll_write(self, cx, buf)
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<Result<usize>> {
                futures_io::AsyncWrite::poll_write_vectored(self, cx, bufs)
            }

            fn is_write_vectored(&self) -> bool {
                true
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
                futures_io::AsyncWrite::poll_flush(self, cx)
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
                futures_io::AsyncWrite::poll_close(self, cx)
            }
        }

        tokio_io!([$($generics)*] $type: $($more)*);
    };
    ([$($generics:tt)*] $type:ty:) => {};
    ($type:ty: $($traits:ident)+) => {
        tokio_io!([] $type: $($traits)+);
    };
}

tokio_io!(TcpStream: ReadUninit AsyncWrite);
tokio_io!(&TcpStream: ReadUninit AsyncWrite);
tokio_io!(ReadHalf<'_>: ReadUninit);
tokio_io!(WriteHalf<'_>: AsyncWrite);
tokio_io!(OwnedReadHalf: ReadUninit);
tokio_io!(OwnedWriteHalf: AsyncWrite);

#[cfg(unix)]
tokio_io!(UnixStream: ReadUninit AsyncWrite);
#[cfg(unix)]
tokio_io!(&UnixStream: ReadUninit AsyncWrite);
#[cfg(unix)]
tokio_io!(unix::ReadHalf<'_>: ReadUninit);
#[cfg(unix)]
tokio_io!(unix::WriteHalf<'_>: AsyncWrite);
#[cfg(unix)]
tokio_io!(unix::OwnedReadHalf: ReadUninit);
#[cfg(unix)]
tokio_io!(unix::OwnedWriteHalf: AsyncWrite);

tokio_io!(File: AsyncRead AsyncWrite);
tokio_io!(&File: AsyncRead AsyncWrite);

/// In two steps, so the file remembers the first.
impl tokio::io::AsyncSeek for File {
    fn start_seek(self: Pin<&mut Self>, to: SeekFrom) -> Result<()> {
        File::start_seek(&self, to);
        Ok(())
    }

    fn poll_complete(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<u64>> {
        self.poll_started_seek(cx)
    }
}

#[cfg(unix)]
tokio_io!(ChildStdin: AsyncWrite);
#[cfg(unix)]
tokio_io!(ChildStdout: AsyncRead);
#[cfg(unix)]
tokio_io!(ChildStderr: AsyncRead);

tokio_io!([T: AsDescriptor] Async<T>: AsyncRead AsyncWrite);
tokio_io!([T: AsDescriptor] &Async<T>: AsyncRead AsyncWrite);

tokio_io!(DuplexStream: AsyncRead AsyncWrite);
tokio_io!(&DuplexStream: AsyncRead AsyncWrite);
tokio_io!(SimplexReader: AsyncRead);
tokio_io!(&SimplexReader: AsyncRead);
tokio_io!(SimplexWriter: AsyncWrite);
tokio_io!(&SimplexWriter: AsyncWrite);

tokio_io!(Stdin: AsyncRead);
tokio_io!(Stdout: AsyncWrite);
tokio_io!(Stderr: AsyncWrite);
