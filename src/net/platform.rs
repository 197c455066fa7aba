//! What differs between the operating systems, in one place.

use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io,
    net::{self, SocketAddr},
};

/// The borrowed and the raw descriptor of a type, or on Windows the socket: `descriptor!(Type, |this| inner)`, where `inner`
/// gives them out itself.
macro_rules! descriptor {
    ($type:ty, |$this:ident| $inner:expr) => {
        #[cfg(unix)]
        impl std::os::fd::AsFd for $type {
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                let $this = self;
                std::os::fd::AsFd::as_fd($inner)
            }
        }

        #[cfg(unix)]
        impl std::os::fd::AsRawFd for $type {
            fn as_raw_fd(&self) -> std::os::fd::RawFd {
                let $this = self;
                std::os::fd::AsRawFd::as_raw_fd($inner)
            }
        }

        #[cfg(windows)]
        impl std::os::windows::io::AsSocket for $type {
            fn as_socket(&self) -> std::os::windows::io::BorrowedSocket<'_> {
                let $this = self;
                std::os::windows::io::AsSocket::as_socket($inner)
            }
        }

        #[cfg(windows)]
        impl std::os::windows::io::AsRawSocket for $type {
            fn as_raw_socket(&self) -> std::os::windows::io::RawSocket {
                let $this = self;
                std::os::windows::io::AsRawSocket::as_raw_socket($inner)
            }
        }
    };
}

pub(crate) use descriptor;

/// A TCP socket in non-blocking mode, which no child inherits.
pub(crate) fn stream_socket(domain: Domain) -> io::Result<Socket> {
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd", target_os = "netbsd"))]
    return Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP));
    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd", target_os = "netbsd")))]
    {
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    }
}

/// Takes a connection that is already non-blocking and not inherited by children.
#[cfg(all(unix, not(target_vendor = "apple")))]
pub(crate) fn accept(listener: &net::TcpListener) -> io::Result<(net::TcpStream, SocketAddr)> {
    use rustix::net::{SocketFlags, acceptfrom_with};
    let (socket, peer) = acceptfrom_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
    // Some systems give a connection without an address when the peer has already left.
    let peer = peer.ok_or(io::ErrorKind::ConnectionAborted)?.try_into()?;
    Ok((socket.into(), peer))
}

#[cfg(any(windows, target_vendor = "apple"))]
pub(crate) fn accept(listener: &net::TcpListener) -> io::Result<(net::TcpStream, SocketAddr)> {
    let (stream, peer) = listener.accept()?;
    stream.set_nonblocking(true)?;
    Ok((stream, peer))
}

pub(crate) use system::*;

#[cfg(unix)]
mod system {
    use rustix::{
        io::Errno,
        net::{RecvFlags, SendFlags},
    };
    #[cfg(feature = "tokio-io")]
    use std::mem::MaybeUninit;
    use std::{ffi::c_int, io, os::fd::BorrowedFd};

    /// What owns a descriptor.
    pub(crate) use std::os::fd::OwnedFd as Owned;

    /// Sends raise no SIGPIPE.
    #[cfg(not(target_vendor = "apple"))]
    pub(crate) const NO_SIGNAL: c_int = SendFlags::NOSIGNAL.bits() as c_int;
    /// There it is an option of the socket, which socket2 sets, and std for those that it accepts.
    #[cfg(target_vendor = "apple")]
    pub(crate) const NO_SIGNAL: c_int = 0;

    // By rustix, which on Linux makes the system call itself: libc's functions are points of cancellation as well, which costs 50
    // instructions each time.

    /// One recv(2).
    #[inline]
    pub(crate) fn receive(socket: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<usize> {
        let (n, _) = rustix::net::recv(socket, buf, RecvFlags::empty())?;
        Ok(n)
    }

    /// As [`receive`]; the first bytes are initialised, as many as it says.
    #[cfg(feature = "tokio-io")]
    #[inline]
    pub(crate) fn receive_uninit(socket: BorrowedFd<'_>, buf: &mut [MaybeUninit<u8>]) -> io::Result<usize> {
        let ((filled, _), _) = rustix::net::recv(socket, buf, RecvFlags::empty())?;
        Ok(filled.len())
    }

    /// One send(2) that raises no SIGPIPE.
    #[inline]
    pub(crate) fn send(socket: BorrowedFd<'_>, buf: &[u8]) -> io::Result<usize> {
        Ok(rustix::net::send(socket, buf, SendFlags::from_bits_retain(NO_SIGNAL as _))?)
    }

    /// Whether a listener asks for `SO_REUSEADDR`, so that a service can be restarted while old connections of it linger.
    pub(crate) const REUSE_ADDRESS: bool = true;

    /// Whether this is how connect(2) says that the attempt goes on.
    pub(crate) fn goes_on(error: &io::Error) -> bool {
        Errno::from_io_error(error) == Some(Errno::INPROGRESS)
    }

    /// Whether this is how a second call, after EINTR, says that the attempt goes on or has succeeded.
    pub(crate) fn went_on(error: &io::Error) -> bool {
        matches!(Errno::from_io_error(error), Some(Errno::ALREADY | Errno::ISCONN))
    }

    /// Whether there is no way to the address from this machine, which says nothing about who is there.
    pub(crate) fn no_way(error: &io::Error) -> bool {
        matches!(
            Errno::from_io_error(error),
            Some(Errno::NETUNREACH | Errno::HOSTUNREACH | Errno::ADDRNOTAVAIL | Errno::AFNOSUPPORT)
        )
    }

    /// Whether an error of accept(2) speaks of the connection that was first in the queue, and not of us: it is gone, and the
    /// next one may be well. Not `EOPNOTSUPP`, though the manual of Linux lists it: that is also what no listener at all says.
    pub(crate) fn is_of_the_connection(error: &io::Error) -> bool {
        #[cfg(target_os = "linux")]
        const SYSTEMS_OWN: &[Errno] = &[Errno::NONET];
        #[cfg(not(target_os = "linux"))]
        const SYSTEMS_OWN: &[Errno] = &[];
        const EVERYWHERE: &[Errno] = &[
            Errno::CONNABORTED,
            Errno::CONNRESET,
            Errno::PROTO,
            Errno::NETDOWN,
            Errno::NOPROTOOPT,
            Errno::HOSTDOWN,
            Errno::HOSTUNREACH,
            Errno::NETUNREACH,
            Errno::TIMEDOUT,
        ];
        error.kind() == io::ErrorKind::ConnectionAborted
            || Errno::from_io_error(error)
                .is_some_and(|errno| EVERYWHERE.contains(&errno) || SYSTEMS_OWN.contains(&errno))
    }
}

#[cfg(windows)]
mod system {
    use socket2::SockRef;
    #[cfg(feature = "tokio-io")]
    use std::mem::MaybeUninit;
    use std::{
        ffi::c_int,
        io::{self, ErrorKind, Read},
        os::windows::io::BorrowedSocket,
    };

    /// What owns a socket.
    pub(crate) use std::os::windows::io::OwnedSocket as Owned;

    /// There are no signals.
    pub(crate) const NO_SIGNAL: c_int = 0;

    /// One recv.
    pub(crate) fn receive(socket: BorrowedSocket<'_>, buf: &mut [u8]) -> io::Result<usize> {
        (&*SockRef::from(&socket)).read(buf)
    }

    /// As [`receive`]; the first bytes are initialised, as many as it says.
    #[cfg(feature = "tokio-io")]
    pub(crate) fn receive_uninit(socket: BorrowedSocket<'_>, buf: &mut [MaybeUninit<u8>]) -> io::Result<usize> {
        SockRef::from(&socket).recv(buf)
    }

    /// One send.
    pub(crate) fn send(socket: BorrowedSocket<'_>, buf: &[u8]) -> io::Result<usize> {
        SockRef::from(&socket).send_with_flags(buf, NO_SIGNAL)
    }

    /// The option means something else here: that another process may take the address over. An address is free again at
    /// once without it.
    pub(crate) const REUSE_ADDRESS: bool = false;

    /// Whether this is how connect says that the attempt goes on.
    pub(crate) fn goes_on(error: &io::Error) -> bool {
        error.kind() == ErrorKind::WouldBlock
    }

    /// Nothing is interrupted here.
    pub(crate) fn went_on(_: &io::Error) -> bool {
        false
    }

    /// Whether there is no way to the address from this machine, which says nothing about who is there.
    pub(crate) fn no_way(error: &io::Error) -> bool {
        /// WSAEAFNOSUPPORT, for which std has no kind.
        const NO_FAMILY: i32 = 10047;
        matches!(error.kind(), ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable | ErrorKind::AddrNotAvailable)
            || error.raw_os_error() == Some(NO_FAMILY)
    }

    /// Whether an error of accept speaks of the connection that was first in the queue: it is gone, and the next one may be
    /// well.
    pub(crate) fn is_of_the_connection(error: &io::Error) -> bool {
        matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted)
    }
}
