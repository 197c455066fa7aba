//! Sockets before they are connected or listen: the time at which most options must be set.

use super::{
    Keepalive, TcpListener, TcpStream,
    connecting::Connecting,
    platform::{self, Owned},
};
use socket2::{Domain, Socket};
use std::{
    fmt, io,
    net::{self, SocketAddr},
    time::Duration,
};

/// A TCP socket that is not connected and does not listen yet.
///
/// [`TcpStream::connect`] and [`TcpListener::bind`] make their sockets themselves; this is for those who want options set
/// before. What is set on a listener holds for the connections that it takes, as far as the operating system does that:
/// buffer sizes should be set here in any case, since TCP tells its peer when the connection is made.
///
/// Its methods do not wait, except [`connect`](Self::connect).
///
/// # Examples
///
/// ```
/// use gambol::net::{TcpSocket, TcpStream};
///
/// # fn main() -> std::io::Result<()> {
/// # gambol::block_on(async {
/// let socket = TcpSocket::new_v4()?;
/// socket.set_reuse_addr(true)?;
/// socket.set_recv_buffer_size(1 << 20)?;
/// socket.bind("127.0.0.1:0".parse().unwrap())?;
/// let listener = socket.listen(128)?;
/// TcpStream::connect(listener.local_addr()?).await?;
/// # Ok(())
/// # })
/// # }
/// ```
pub struct TcpSocket {
    socket: Socket,
}

/// A getter and a setter of an option.
macro_rules! option {
    ($(#[$doc:meta])* $get:ident, $(#[$more:meta])* $set:ident: $type:ty => $from:ident, $to:ident) => {
        $(#[$doc])*
        ///
        /// # Errors
        ///
        /// The operating system's.
        pub fn $get(&self) -> io::Result<$type> {
            self.socket.$from()
        }

        #[doc = concat!("Sets what [`", stringify!($get), "`](Self::", stringify!($get), ") gets.")]
        $(#[$more])*
        ///
        /// # Errors
        ///
        /// The operating system's.
        pub fn $set(&self, value: $type) -> io::Result<()> {
            self.socket.$to(value)
        }
    };
}

impl TcpSocket {
    /// A socket for IPv4.
    ///
    /// # Errors
    ///
    /// The operating system's, when it has no descriptor left, or no IPv4.
    pub fn new_v4() -> io::Result<TcpSocket> {
        Ok(TcpSocket { socket: platform::stream_socket(Domain::IPV4)? })
    }

    /// A socket for IPv6, and for IPv4 as well where the system does that; see [`only_v6`](Self::only_v6).
    ///
    /// # Errors
    ///
    /// The operating system's, when it has no descriptor left, or no IPv6.
    pub fn new_v6() -> io::Result<TcpSocket> {
        Ok(TcpSocket { socket: platform::stream_socket(Domain::IPV6)? })
    }

    /// The socket inside of std's type, which need not be connected. It is put into non-blocking mode when it is used.
    pub fn from_std_stream(stream: net::TcpStream) -> TcpSocket {
        TcpSocket { socket: stream.into() }
    }

    /// Gives the socket its own address. Port 0: the system chooses one.
    ///
    /// # Errors
    ///
    /// The operating system's: `AddrInUse`, `PermissionDenied` and others.
    pub fn bind(&self, address: SocketAddr) -> io::Result<()> {
        self.socket.bind(&address.into())
    }

    /// Takes connections from now on. `backlog`: how many the kernel keeps until they are accepted; it cuts this to its own
    /// limit.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn listen(self, backlog: u32) -> io::Result<TcpListener> {
        self.socket.set_nonblocking(true)?;
        TcpListener::listen(self.socket, i32::try_from(backlog).unwrap_or(i32::MAX))
    }

    /// Connects.
    ///
    /// # Errors
    ///
    /// The operating system's: `ConnectionRefused`, `TimedOut` and others.
    ///
    /// # Cancel safety
    ///
    /// The connection that is being made is given up, and the socket closed.
    pub async fn connect(self, address: SocketAddr) -> io::Result<TcpStream> {
        self.socket.set_nonblocking(true)?;
        Connecting::with(self.socket, address)?.await
    }

    /// Its own address.
    ///
    /// # Errors
    ///
    /// The operating system's; on Windows, before it is bound.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        let not_ip = || io::Error::new(io::ErrorKind::InvalidInput, "the socket is not one of IPv4 or IPv6");
        self.socket.local_addr()?.as_socket().ok_or_else(not_ip)
    }

    /// Takes the error that the socket holds and no call has reported yet (`SO_ERROR`).
    ///
    /// # Errors
    ///
    /// The operating system's, when it cannot be asked.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.socket.take_error()
    }

    option! {
        /// Whether it may be bound to an address of which old connections linger (`SO_REUSEADDR`). Default: no.
        /// [`TcpListener::bind`] sets it, except on Windows, where it means that the address may be taken from another
        /// process.
        reuse_addr, set_reuse_addr: bool => reuse_address, set_reuse_address
    }

    #[cfg(unix)]
    option! {
        /// Whether several sockets that all set it may be bound to the same address (`SO_REUSEPORT`). Default: no. Linux then
        /// spreads the connections over them.
        reuse_port, set_reuse_port: bool => reuse_port, set_reuse_port
    }

    option! {
        /// Whether the system asks a silent peer whether it is still there (`SO_KEEPALIVE`). Default: no.
        keepalive, set_keepalive: bool => keepalive, set_keepalive
    }

    /// Switches [`keepalive`](Self::keepalive) on and decides when the system asks, and how often.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn set_tcp_keepalive(&self, keepalive: &Keepalive) -> io::Result<()> {
        self.socket.set_tcp_keepalive(keepalive.as_socket2())
    }

    option! {
        /// Whether small writes are sent at once (`TCP_NODELAY`). Default: no; the kernel may wait for more.
        nodelay, set_nodelay: bool => tcp_nodelay, set_tcp_nodelay
    }

    option! {
        /// How long closing waits for unsent data to be sent. See [`TcpStream::set_linger`], and its warning.
        linger, set_linger: Option<Duration> => linger, set_linger
    }

    option! {
        /// How many routers a packet may pass, in IPv4 (`IP_TTL`).
        ttl, set_ttl: u32 => ttl_v4, set_ttl_v4
    }

    option! {
        /// The type of service that packets are marked with, in IPv4 (`IP_TOS`).
        tos_v4, set_tos_v4: u32 => tos_v4, set_tos_v4
    }

    option! {
        /// Whether an IPv6 socket keeps to IPv6 (`IPV6_V6ONLY`). The default is the system's.
        only_v6, set_only_v6: bool => only_v6, set_only_v6
    }

    /// How many bytes the system keeps until they are sent (`SO_SNDBUF`). Linux says twice what was set, since it counts its own
    /// needs.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn send_buffer_size(&self) -> io::Result<u32> {
        self.socket.send_buffer_size().map(saturate)
    }

    /// Sets what [`send_buffer_size`](Self::send_buffer_size) gets. The system has limits of its own, and no longer adapts
    /// the size.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn set_send_buffer_size(&self, size: u32) -> io::Result<()> {
        self.socket.set_send_buffer_size(size as usize)
    }

    /// How many bytes the system keeps until they are read (`SO_RCVBUF`). Linux says twice what was set, since it counts its own
    /// needs.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn recv_buffer_size(&self) -> io::Result<u32> {
        self.socket.recv_buffer_size().map(saturate)
    }

    /// Sets what [`recv_buffer_size`](Self::recv_buffer_size) gets. The system has limits of its own, and no longer adapts
    /// the size.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn set_recv_buffer_size(&self, size: u32) -> io::Result<()> {
        self.socket.set_recv_buffer_size(size as usize)
    }

    /// The network device that it is bound to, by name (`SO_BINDTODEVICE`).
    ///
    /// # Errors
    ///
    /// The operating system's.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub fn device(&self) -> io::Result<Option<Vec<u8>>> {
        self.socket.device()
    }

    /// Binds it to a network device: it takes only what comes from there. None: to no device.
    ///
    /// # Errors
    ///
    /// The operating system's, `PermissionDenied` among them.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub fn bind_device(&self, device: Option<&[u8]>) -> io::Result<()> {
        self.socket.bind_device(device)
    }
}

fn saturate(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

platform::descriptor!(TcpSocket, |this| &this.socket);

/// The socket inside, which socket2's `Socket` takes as well as std's types. In non-blocking mode, unless it was made elsewhere.
impl From<TcpSocket> for Owned {
    fn from(socket: TcpSocket) -> Owned {
        socket.socket.into()
    }
}

/// A TCP socket that was made elsewhere, such as socket2's `Socket`. It is put into non-blocking mode when it is used.
impl From<Owned> for TcpSocket {
    fn from(socket: Owned) -> TcpSocket {
        TcpSocket { socket: socket.into() }
    }
}

impl fmt::Debug for TcpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket.fmt(f)
    }
}
