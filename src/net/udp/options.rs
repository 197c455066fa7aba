//! What can be set: routers, groups, buffers. By std where it can, otherwise by socket2.

use super::UdpSocket;
use socket2::SockRef;
use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr},
};

impl UdpSocket {
    /// Whether it may send to broadcast addresses (`SO_BROADCAST`). Default: no.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn broadcast(&self) -> io::Result<bool> {
        self.io.get_ref().broadcast()
    }

    /// Sets what [`broadcast`](Self::broadcast) gets.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn set_broadcast(&self, value: bool) -> io::Result<()> {
        self.io.get_ref().set_broadcast(value)
    }

    /// How many routers a datagram may pass (`IP_TTL`).
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn ttl(&self) -> io::Result<u32> {
        self.io.get_ref().ttl()
    }

    /// Sets what [`ttl`](Self::ttl) gets.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn set_ttl(&self, value: u32) -> io::Result<()> {
        self.io.get_ref().set_ttl(value)
    }

    /// Whether what it sends to a group is also received on this machine (`IP_MULTICAST_LOOP`). Default: yes.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn multicast_loop_v4(&self) -> io::Result<bool> {
        self.io.get_ref().multicast_loop_v4()
    }

    /// Sets what [`multicast_loop_v4`](Self::multicast_loop_v4) gets.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn set_multicast_loop_v4(&self, value: bool) -> io::Result<()> {
        self.io.get_ref().set_multicast_loop_v4(value)
    }

    /// As [`multicast_loop_v4`](Self::multicast_loop_v4), for IPv6 (`IPV6_MULTICAST_LOOP`).
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn multicast_loop_v6(&self) -> io::Result<bool> {
        self.io.get_ref().multicast_loop_v6()
    }

    /// Sets what [`multicast_loop_v6`](Self::multicast_loop_v6) gets.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn set_multicast_loop_v6(&self, value: bool) -> io::Result<()> {
        self.io.get_ref().set_multicast_loop_v6(value)
    }

    /// How many routers a datagram to a group may pass (`IP_MULTICAST_TTL`). Default: 1, which is none.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn multicast_ttl_v4(&self) -> io::Result<u32> {
        self.io.get_ref().multicast_ttl_v4()
    }

    /// Sets what [`multicast_ttl_v4`](Self::multicast_ttl_v4) gets.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn set_multicast_ttl_v4(&self, value: u32) -> io::Result<()> {
        self.io.get_ref().set_multicast_ttl_v4(value)
    }

    /// The interface, by its address, from which it sends to groups (`IP_MULTICAST_IF`); unspecified: the system chooses.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn multicast_if_v4(&self) -> io::Result<Ipv4Addr> {
        self.socket().multicast_if_v4()
    }

    /// Sets what [`multicast_if_v4`](Self::multicast_if_v4) gets.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn set_multicast_if_v4(&self, value: Ipv4Addr) -> io::Result<()> {
        self.socket().set_multicast_if_v4(&value)
    }

    /// The interface, by its index, from which it sends to groups (`IPV6_MULTICAST_IF`); 0: the system chooses.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn multicast_if_v6(&self) -> io::Result<u32> {
        self.socket().multicast_if_v6()
    }

    /// Sets what [`multicast_if_v6`](Self::multicast_if_v6) gets.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn set_multicast_if_v6(&self, value: u32) -> io::Result<()> {
        self.socket().set_multicast_if_v6(value)
    }

    /// Bytes that wait to be sent at most (`SO_SNDBUF`). The system rounds, and counts more than the data.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn send_buffer_size(&self) -> io::Result<usize> {
        self.socket().send_buffer_size()
    }

    /// Sets what [`send_buffer_size`](Self::send_buffer_size) gets.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn set_send_buffer_size(&self, value: usize) -> io::Result<()> {
        self.socket().set_send_buffer_size(value)
    }

    /// Bytes that wait to be received at most (`SO_RCVBUF`); what comes beyond them is lost. The system rounds, and counts more
    /// than the data.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn recv_buffer_size(&self) -> io::Result<usize> {
        self.socket().recv_buffer_size()
    }

    /// Sets what [`recv_buffer_size`](Self::recv_buffer_size) gets.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn set_recv_buffer_size(&self, value: usize) -> io::Result<()> {
        self.socket().set_recv_buffer_size(value)
    }

    /// Receives also what is sent to `group`, on the interface with its address; unspecified: the system chooses (`IP_ADD_MEMBERSHIP`).
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn join_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.io.get_ref().join_multicast_v4(&group, &interface)
    }

    /// Takes back what [`join_multicast_v4`](Self::join_multicast_v4) has done, with the same arguments (`IP_DROP_MEMBERSHIP`).
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn leave_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.io.get_ref().leave_multicast_v4(&group, &interface)
    }

    /// Receives also what is sent to `group`, on the interface with its index; 0: the system chooses (`IPV6_ADD_MEMBERSHIP`).
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn join_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.io.get_ref().join_multicast_v6(group, interface)
    }

    /// Takes back what [`join_multicast_v6`](Self::join_multicast_v6) has done, with the same arguments (`IPV6_DROP_MEMBERSHIP`).
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn leave_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.io.get_ref().leave_multicast_v6(group, interface)
    }

    fn socket(&self) -> SockRef<'_> {
        SockRef::from(self.io.get_ref())
    }
}
