//! Our ends of a child's pipes, in the poller.
//!
//! Each end of a pipe has a mode of its own: that ours does not block is nothing to the child. An end that is handed to
//! another child as its standard stream is put back into blocking mode, as programs expect.

use futures_io::{AsyncRead, AsyncWrite};
use gambol_executor::{Direction, Done, Io, Reason};
use rustix::io::ioctl_fionbio;
use std::{
    fmt,
    io::{self, IoSlice, IoSliceMut},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    pin::Pin,
    process::{self, Stdio},
    task::{Context, Poll},
};

/// Buffers that one call takes at most (`UIO_MAXIOV` on Linux, `IOV_MAX` on the BSDs).
const MAX_BUFFERS: usize = 1024;

/// The end of a child's standard input, to write to.
///
/// The child reads the end when this is closed or dropped.
///
/// # Errors
///
/// The operating system's, untouched: `BrokenPipe` when the child has closed its end, or has ended. (Rust's programs ignore
/// `SIGPIPE`; one that does not is ended by it.) `BrokenPipe` as well after `close`.
///
/// # Cancel safety
///
/// A write that is dropped before it was ready has written nothing. `write_all` may have written a part.
pub struct ChildStdin {
    /// None when it was closed.
    io: Option<Io<process::ChildStdin>>,
}

/// The end of a child's standard output, to read from.
///
/// # Errors
///
/// The operating system's, untouched.
///
/// # Cancel safety
///
/// A read that is dropped before it was ready has taken nothing. `read_exact` may have taken a part.
pub struct ChildStdout {
    io: Io<process::ChildStdout>,
}

/// The end of a child's standard error, to read from.
///
/// # Errors
///
/// The operating system's, untouched.
///
/// # Cancel safety
///
/// As for [`ChildStdout`].
pub struct ChildStderr {
    io: Io<process::ChildStderr>,
}

impl ChildStdin {
    /// Back to std's type, in blocking mode.
    ///
    /// # Errors
    ///
    /// The operating system's, and `BrokenPipe` if it was closed; it is closed in any case.
    pub fn into_std(self) -> io::Result<process::ChildStdin> {
        blocking(self.io.ok_or(io::ErrorKind::BrokenPipe)?)
    }

    fn open(&self) -> io::Result<&Io<process::ChildStdin>> {
        self.io.as_ref().ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }
}

impl ChildStdout {
    /// Back to std's type, in blocking mode.
    ///
    /// # Errors
    ///
    /// The operating system's; it is then closed.
    pub fn into_std(self) -> io::Result<process::ChildStdout> {
        blocking(self.io)
    }
}

impl ChildStderr {
    /// Back to std's type, in blocking mode.
    ///
    /// # Errors
    ///
    /// The operating system's; it is then closed.
    pub fn into_std(self) -> io::Result<process::ChildStderr> {
        blocking(self.io)
    }
}

fn blocking<T: AsFd>(io: Io<T>) -> io::Result<T> {
    let pipe = io.into_inner()?;
    ioctl_fionbio(&pipe, false)?;
    Ok(pipe)
}

impl AsyncWrite for ChildStdin {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.open()?.poll_io(cx, Direction::Write, Reason::Write, |pipe| {
            let n = rustix::io::write(pipe, buf)?;
            Ok(Done { value: n, short: n < buf.len() })
        })
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let bufs = &bufs[..bufs.len().min(MAX_BUFFERS)];
        self.open()?.poll_io(cx, Direction::Write, Reason::Write, |pipe| {
            let n = rustix::io::writev(pipe, bufs)?;
            Ok(Done { value: n, short: n < bufs.iter().map(|buf| buf.len()).sum() })
        })
    }

    /// What was written is in the pipe already.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Closes the pipe: the child reads what was written, and then the end.
    fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io = None;
        Poll::Ready(Ok(()))
    }
}

crate::io::copy::spliced!(ChildStdin, |this| this.io.as_ref());
crate::io::copy::spliced!(ChildStdout, |this| &this.io);
crate::io::copy::spliced!(ChildStderr, |this| &this.io);

impl TryFrom<process::ChildStdin> for ChildStdin {
    type Error = io::Error;

    /// Makes std's pipe ours; it is put into non-blocking mode.
    fn try_from(pipe: process::ChildStdin) -> io::Result<ChildStdin> {
        ioctl_fionbio(&pipe, true)?;
        Ok(ChildStdin { io: Some(Io::new_writable(pipe)?) })
    }
}

impl AsFd for ChildStdin {
    /// # Panics
    ///
    /// After `close`: there is none any more.
    fn as_fd(&self) -> BorrowedFd<'_> {
        let io = self.io.as_ref().expect("the pipe was closed and has no descriptor; ask for it before that");
        io.get_ref().as_fd()
    }
}

impl fmt::Debug for ChildStdin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ChildStdin").field(&self.io.as_ref().map(Io::get_ref)).finish()
    }
}

/// `n` bytes were read. A short read does not mean that the pipe is empty: if the child has put its end into packet mode
/// (`O_DIRECT`), a read takes one write's bytes.
fn read(n: usize) -> Done<usize> {
    Done { value: n, short: false }
}

macro_rules! reads {
    ($type:ident) => {
        impl AsyncRead for $type {
            fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
                if buf.is_empty() {
                    return Poll::Ready(Ok(0));
                }
                self.io.poll_io(cx, Direction::Read, Reason::Read, |pipe| Ok(read(rustix::io::read(pipe, &mut *buf)?)))
            }

            fn poll_read_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &mut [IoSliceMut<'_>],
            ) -> Poll<io::Result<usize>> {
                let count = bufs.len().min(MAX_BUFFERS);
                let bufs = &mut bufs[..count];
                if bufs.iter().all(|buf| buf.is_empty()) {
                    return Poll::Ready(Ok(0));
                }
                self.io.poll_io(cx, Direction::Read, Reason::Read, |pipe| Ok(read(rustix::io::readv(pipe, bufs)?)))
            }
        }

        impl TryFrom<process::$type> for $type {
            type Error = io::Error;

            /// Makes std's pipe ours; it is put into non-blocking mode.
            fn try_from(pipe: process::$type) -> io::Result<$type> {
                ioctl_fionbio(&pipe, true)?;
                Ok($type { io: Io::new(pipe)? })
            }
        }

        impl AsFd for $type {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.io.get_ref().as_fd()
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($type)).field(self.io.get_ref()).finish()
            }
        }
    };
}

reads!(ChildStdout);
reads!(ChildStderr);

macro_rules! hands_over {
    ($type:ident) => {
        impl TryFrom<$type> for OwnedFd {
            type Error = io::Error;

            /// The descriptor, in blocking mode.
            fn try_from(pipe: $type) -> io::Result<OwnedFd> {
                Ok(pipe.into_std()?.into())
            }
        }

        impl TryFrom<$type> for Stdio {
            type Error = io::Error;

            /// For a standard stream of another child, in blocking mode.
            fn try_from(pipe: $type) -> io::Result<Stdio> {
                Ok(pipe.into_std()?.into())
            }
        }
    };
}

hands_over!(ChildStdin);
hands_over!(ChildStdout);
hands_over!(ChildStderr);
