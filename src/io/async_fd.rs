//! Any descriptor that can be polled: a socket of a kind that `net` lacks, a device, an inotify, a library's own type.
//!
//! What it does is [`Io`]'s. The one thing of its own is that `readable` and `writable` mean *now*, though the poller tells of
//! changes only, and what it told is remembered in a bit that an operation clears when it finds `WouldBlock`. The user of
//! this type does operations that we never see (`get_ref().recv(..)`), so the bit may stand long after he has read
//! everything. To wait for a direction:
//! 1. Look at the bit; if it is clear, enrol. With the bit comes the generation of the event that set it.
//! 2. Ask the kernel, by `poll(2)` with a timeout of zero. If it says ready, that is the answer; the bit stays.
//! 3. Otherwise clear the bit, if its generation is still the one of step 1, and begin again.
//!
//! So asking the kernel is an operation like any other that may find `WouldBlock`, and the race is that of all of them: an
//! event between steps 2 and 3. If it was delivered, the generation has changed, and the bit stays; if it is still on its way,
//! it sets the bit again and wakes who is enrolled. To clear first and ask then would lose nothing either, but would take
//! the bit from an operation that is about to try.
//!
//! Of several who wait, each asks for himself after the same event, and finds what those before him have left. Who
//! clears the bit takes it from nobody: whoever is not enrolled looks at it only to decide whether to ask.
//!
//! Tried and left: a bit that is always cleared once it was told (tokio's guard turned round). It loses the rest of what was
//! read in part, since no edge comes for that.

use futures_io::{AsyncRead, AsyncWrite};
use gambol_executor::{AsDescriptor, Direction, Done, Io, Reason};
use std::{
    fmt,
    future::poll_fn,
    io::{self, IoSlice, IoSliceMut, Read, Write},
    pin::Pin,
    task::{Context, Poll},
};

/// An I/O object that is waited for by the runtime's poller.
///
/// `T` is whatever has a descriptor that the operating system can watch: on Unix all that is [`AsFd`](std::os::fd::AsFd), on
/// Windows a socket. It belongs to the runtime that was current when it was made, but may be used anywhere. When that
/// runtime is gone, whatever may wait gives an error, also if it would not have to wait now.
///
/// It is read and written through the traits of [`io`](crate::io) if `T` is through std's; by `&Async<T>` too, if `&T` is, so
/// that one task may read while another writes. Closing it flushes it and no more: the descriptor is closed when it is dropped.
///
/// # Examples
///
/// ```
/// use gambol::io::Async;
/// use std::net::UdpSocket;
///
/// # fn main() -> std::io::Result<()> {
/// let socket = Async::new(UdpSocket::bind("127.0.0.1:0")?)?;
/// gambol::block_on(async {
///     socket.write_with(|socket| socket.send_to(b"hello", socket.local_addr()?)).await?;
///     let mut text = [0; 16];
///     let (n, _) = socket.read_with(|socket| socket.recv_from(&mut text)).await?;
///     assert_eq!(&text[..n], b"hello");
///     Ok(())
/// })
/// # }
/// ```
///
/// # Cancel safety
///
/// Nothing is lost when a future of any of its methods is dropped.
pub struct Async<T: AsDescriptor> {
    io: Io<T>,
}

/// The object is not pinned.
impl<T: AsDescriptor> Unpin for Async<T> {}

impl<T: AsDescriptor> Async<T> {
    /// Puts `io` into non-blocking mode and registers it with the current runtime's poller.
    ///
    /// The mode is that of the open file, so all who share it (by `dup`, `try_clone`, or as a child's standard stream) have it.
    ///
    /// # Errors
    ///
    /// The operating system's: `PermissionDenied` on Linux for what is always ready, such as a file on a disk; `AlreadyExists`
    /// for a descriptor that the runtime watches already (a duplicate is another one).
    pub fn new(io: T) -> io::Result<Async<T>> {
        platform::set_nonblocking(&io)?;
        Async::new_nonblocking(io)
    }

    /// As [`new`](Self::new) for what is in non-blocking mode already. If it is not, operations block the thread.
    ///
    /// # Errors
    ///
    /// As for `new`.
    pub fn new_nonblocking(io: T) -> io::Result<Async<T>> {
        let io = Io::new(io)?;
        // The first operation in each direction is tried at once.
        io.assume_ready(Direction::Read);
        io.assume_ready(Direction::Write);
        Ok(Async { io })
    }

    /// The object.
    pub fn get_ref(&self) -> &T {
        self.io.get_ref()
    }

    /// The object, for changes. Its descriptor is to stay the same and open: nobody watches another one that is put in its
    /// place.
    pub fn get_mut(&mut self) -> &mut T {
        self.io.get_mut()
    }

    /// Takes the object out of the poller. It stays in non-blocking mode.
    ///
    /// # Errors
    ///
    /// The operating system's; the object is then closed.
    pub fn into_inner(self) -> io::Result<T> {
        self.io.into_inner()
    }

    /// Waits until it can be read, or reading would give the end or an error.
    ///
    /// That was so a moment ago: another reader may have been faster. It costs a system call more than
    /// [`read_with`](Self::read_with).
    ///
    /// # Errors
    ///
    /// "The runtime is gone".
    pub async fn readable(&self) -> io::Result<()> {
        poll_fn(|cx| self.poll_readable(cx)).await
    }

    /// Waits until it can be written, or writing would give an error.
    ///
    /// That was so a moment ago: another writer may have been faster. It costs a system call more than
    /// [`write_with`](Self::write_with).
    ///
    /// # Errors
    ///
    /// "The runtime is gone".
    pub async fn writable(&self) -> io::Result<()> {
        poll_fn(|cx| self.poll_writable(cx)).await
    }

    /// As [`readable`](Self::readable), for those who write futures by hand. Any number of tasks may wait.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_now(cx, Direction::Read, Reason::Read)
    }

    /// As [`writable`](Self::writable), for those who write futures by hand. Any number of tasks may wait.
    pub fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_now(cx, Direction::Write, Reason::Write)
    }

    /// The protocol in the head of this file.
    fn poll_now(&self, cx: &mut Context<'_>, direction: Direction, reason: Reason) -> Poll<io::Result<()>> {
        self.io.poll_io(cx, direction, reason, |io| match platform::is_ready(io, direction)? {
            true => Ok(Done { value: (), short: false }),
            false => Err(io::ErrorKind::WouldBlock.into()),
        })
    }

    /// Calls `operation` until it does not say `WouldBlock`, and waits in between until the descriptor is readable.
    ///
    /// `WouldBlock` must have come from the descriptor. One that was made up, while there is something to read, is waited for
    /// until more comes. `Interrupted` is tried again.
    ///
    /// # Errors
    ///
    /// Those of the operation, untouched; "the runtime is gone".
    pub async fn read_with<R>(&self, mut operation: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        poll_fn(|cx| self.io.poll_io(cx, Direction::Read, Reason::Read, |io| done(operation(io)))).await
    }

    /// Calls `operation` until it does not say `WouldBlock`, and waits in between until the descriptor is writable.
    ///
    /// As for [`read_with`](Self::read_with), `WouldBlock` must have come from the descriptor.
    ///
    /// # Errors
    ///
    /// Those of the operation, untouched; "the runtime is gone".
    pub async fn write_with<R>(&self, mut operation: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        poll_fn(|cx| self.io.poll_io(cx, Direction::Write, Reason::Write, |io| done(operation(io)))).await
    }

    /// As [`read_with`](Self::read_with), for what reading changes.
    ///
    /// # Errors
    ///
    /// As for `read_with`.
    pub async fn read_with_mut<R>(&mut self, mut operation: impl FnMut(&mut T) -> io::Result<R>) -> io::Result<R> {
        poll_fn(|cx| self.io.poll_io_mut(cx, Direction::Read, Reason::Read, |io| done(operation(io)))).await
    }

    /// As [`write_with`](Self::write_with), for what writing changes.
    ///
    /// # Errors
    ///
    /// As for `write_with`.
    pub async fn write_with_mut<R>(&mut self, mut operation: impl FnMut(&mut T) -> io::Result<R>) -> io::Result<R> {
        poll_fn(|cx| self.io.poll_io_mut(cx, Direction::Write, Reason::Write, |io| done(operation(io)))).await
    }
}

/// What a foreign operation moved says nothing about what is left: it may be a datagram.
fn done<R>(result: io::Result<R>) -> io::Result<Done<R>> {
    result.map(|value| Done { value, short: false })
}

/// The same by `Async<T>` and by `&Async<T>`.
macro_rules! read {
    ($poll:ident) => {
        fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
            if buf.is_empty() {
                return Poll::Ready(Ok(0));
            }
            self.get_mut().io.$poll(cx, Direction::Read, Reason::Read, |mut io| done(io.read(buf)))
        }

        fn poll_read_vectored(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bufs: &mut [IoSliceMut<'_>],
        ) -> Poll<io::Result<usize>> {
            self.get_mut().io.$poll(cx, Direction::Read, Reason::Read, |mut io| done(io.read_vectored(bufs)))
        }
    };
}

/// As above.
macro_rules! write {
    ($poll:ident, $get:ident) => {
        fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            self.get_mut().io.$poll(cx, Direction::Write, Reason::Write, |mut io| done(io.write(buf)))
        }

        fn poll_write_vectored(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bufs: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            self.get_mut().io.$poll(cx, Direction::Write, Reason::Write, |mut io| done(io.write_vectored(bufs)))
        }

        /// Tried at once, ready or not: usually there is nothing to do.
        fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            let this = self.get_mut();
            let mut io = this.io.$get();
            match io.flush() {
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                result => return Poll::Ready(result),
            }
            this.io.$poll(cx, Direction::Write, Reason::Write, |mut io| done(io.flush()))
        }

        fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.poll_flush(cx)
        }
    };
}

#[allow(unused_mut, reason = "`&mut T` needs none, `&T` does")]
impl<T: AsDescriptor + Read> AsyncRead for Async<T> {
    read!(poll_io_mut);
}

#[allow(unused_mut, reason = "as above")]
impl<T: AsDescriptor + Write> AsyncWrite for Async<T> {
    write!(poll_io_mut, get_mut);
}

impl<T: AsDescriptor> AsyncRead for &Async<T>
where
    for<'a> &'a T: Read,
{
    read!(poll_io);
}

impl<T: AsDescriptor> AsyncWrite for &Async<T>
where
    for<'a> &'a T: Write,
{
    write!(poll_io, get_ref);
}

impl<T: AsDescriptor> AsRef<T> for Async<T> {
    fn as_ref(&self) -> &T {
        self.get_ref()
    }
}

impl<T: AsDescriptor + fmt::Debug> fmt::Debug for Async<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Async").field(self.get_ref()).finish()
    }
}

/// What differs between Unix and Windows.
mod platform {
    use super::{AsDescriptor, Async, Direction};
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use std::io;

    /// Whether the kernel calls the direction ready now; an end and an error count. The flags are those that the poller asks
    /// for, so that nothing is refused here for which an event has come.
    pub(super) fn is_ready(io: &impl AsDescriptor, direction: Direction) -> io::Result<bool> {
        let flags = match direction {
            // Windows does not know priority data and refuses to be asked.
            Direction::Read if cfg!(windows) => PollFlags::IN,
            Direction::Read => PollFlags::IN | PollFlags::PRI,
            Direction::Write => PollFlags::OUT,
        };
        let descriptor = io.as_descriptor();
        let mut entry = [PollFd::new(&descriptor, flags)];
        Ok(poll(&mut entry, Some(&Timespec::default()))? != 0)
    }

    /// By one call where that is known to work for all that can be polled (as std does it), otherwise by two.
    pub(super) fn set_nonblocking(io: &impl AsDescriptor) -> io::Result<()> {
        let descriptor = io.as_descriptor();
        #[cfg(any(windows, target_os = "linux"))]
        rustix::io::ioctl_fionbio(descriptor, true)?;
        #[cfg(not(any(windows, target_os = "linux")))]
        {
            use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
            let before = fcntl_getfl(descriptor)?;
            if !before.contains(OFlags::NONBLOCK) {
                fcntl_setfl(descriptor, before | OFlags::NONBLOCK)?;
            }
        }
        Ok(())
    }

    #[cfg(unix)]
    mod names {
        use super::Async;
        use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

        impl<T: AsFd> AsFd for Async<T> {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.get_ref().as_fd()
            }
        }

        impl<T: AsFd> AsRawFd for Async<T> {
            fn as_raw_fd(&self) -> RawFd {
                self.as_fd().as_raw_fd()
            }
        }
    }

    #[cfg(windows)]
    mod names {
        use super::Async;
        use std::os::windows::io::{AsRawSocket, AsSocket, BorrowedSocket, RawSocket};

        impl<T: AsSocket> AsSocket for Async<T> {
            fn as_socket(&self) -> BorrowedSocket<'_> {
                self.get_ref().as_socket()
            }
        }

        impl<T: AsSocket> AsRawSocket for Async<T> {
            fn as_raw_socket(&self) -> RawSocket {
                self.as_socket().as_raw_socket()
            }
        }
    }
}
