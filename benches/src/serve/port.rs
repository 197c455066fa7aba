//! Listening for whoever spreads connections over threads by hand: one socket that deals them, or one for each thread.

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

/// Connections that the kernel keeps until they are accepted; it cuts this to its own limit (`somaxconn`).
const BACKLOG: i32 = 4096;

/// So many sockets that share an address, which the first of them finds out if its port is 0. The kernel spreads new connections
/// over them by a hash.
pub fn shared(address: SocketAddr, count: usize) -> io::Result<(Vec<TcpListener>, SocketAddr)> {
    let first = open(address)?;
    let address = first.local_addr()?;
    let mut all = vec![first];
    for _ in 1..count {
        all.push(open(address)?);
    }
    Ok((all, address))
}

/// Accepts so many connections in a thread of its own, and hands each, with its number, to `deal`.
pub fn dealt(
    address: SocketAddr,
    connections: u64,
    mut deal: impl FnMut(usize, io::Result<TcpStream>) + Send + 'static,
) -> io::Result<SocketAddr> {
    let listener = open(address)?;
    let address = listener.local_addr()?;
    thread::Builder::new().name("accept".to_owned()).spawn(move || {
        for number in 0..connections as usize {
            deal(number, listener.accept().map(|(stream, _)| stream));
        }
    })?;
    Ok(address)
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_socket_reuseport(&socket, true)?;
    bind(&socket, &address)?;
    listen(&socket, BACKLOG)?;
    Ok(socket.into())
}
