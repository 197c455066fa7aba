//! Connections that come and go: each sends one request, reads the answer and the end that follows, and is closed.
//!
//! The server closes first, as one that is asked for `Connection: close` does. When its end was read, the client closes with a reset
//! (`SO_LINGER` 0): the server's half, which no process has any more, is then forgotten at once, and neither side keeps a port in
//! TIME_WAIT. So no number of repetitions runs out of ports, and no row has the timers of the one before it in its kernel. The
//! server's calls are the same as if the client closed without.
//!
//! Connecting blocks, which over loopback means a few microseconds: the kernel answers, whatever the server does.

use super::{Load, broken};
use crate::args::Failure;
use crate::workload::MESSAGE;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv, sockopt};
use slab::Slab;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

/// Connections at a time, fewer than any listener keeps for a server that accepts late.
const AT_ONCE: u64 = 64;

/// A server that answers nobody for so long has stalled.
const PATIENCE: Timespec = Timespec { tv_sec: 20, tv_nsec: 0 };

/// The connections that are open.
pub struct Churn {
    address: SocketAddr,
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
    open: Slab<Connection>,
    /// Connections since the beginning; the request carries the number.
    opened: u64,
}

struct Connection {
    stream: TcpStream,
    number: u64,
    answer: [u8; MESSAGE],
    filled: usize,
}

impl Churn {
    pub fn new(address: SocketAddr) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let events = Vec::with_capacity(AT_ONCE as usize);
        Ok(Churn { address, epoll, events, open: Slab::with_capacity(AT_ONCE as usize), opened: 0 })
    }

    fn open(&mut self) -> io::Result<()> {
        self.opened += 1;
        let number = self.opened;
        let mut stream = TcpStream::connect(self.address)?;
        sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?;
        stream.write_all(&request(number))?;
        let entry = self.open.vacant_entry();
        epoll::add(&self.epoll, &stream, epoll::EventData::new_u64(entry.key() as u64), epoll::EventFlags::IN)?;
        entry.insert(Connection { stream, number, answer: [0; MESSAGE], filled: 0 });
        Ok(())
    }
}

impl Load for Churn {
    fn run(&mut self, ops: u64) -> Result<(u64, Option<u64>), Failure> {
        let last = self.opened + ops;
        let mut done = 0;
        for _ in 0..ops.min(AT_ONCE) {
            self.open()?;
        }
        while done < ops {
            self.events.clear();
            epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.events), Some(&PATIENCE))?;
            if self.events.is_empty() {
                return Err("the server answers nobody".into());
            }
            for at in 0..self.events.len() {
                let key = { self.events[at].data }.u64() as usize;
                if self.open[key].receive()? {
                    self.open.remove(key);
                    done += 1;
                    if self.opened < last {
                        self.open()?;
                    }
                }
            }
        }
        Ok((done, None))
    }

    fn leave(self: Box<Self>) -> Result<u64, Failure> {
        Ok(self.opened)
    }
}

impl Connection {
    /// Reads what is there; true if the answer is complete and the server has closed.
    fn receive(&mut self) -> io::Result<bool> {
        let mut rest = [0; MESSAGE];
        while self.filled < MESSAGE {
            match recv(&self.stream, &mut self.answer[self.filled..], RecvFlags::DONTWAIT) {
                Ok((0, _)) => return Err(broken("the server closed a connection before it has answered")),
                Ok((read, _)) => self.filled += read,
                Err(Errno::AGAIN) => return Ok(false),
                Err(errno) => return Err(errno.into()),
            }
            if self.filled == MESSAGE && self.answer != request(self.number) {
                return Err(broken("an answer differs from its request"));
            }
        }
        match recv(&self.stream, &mut rest, RecvFlags::DONTWAIT) {
            Ok((0, _)) => Ok(true),
            Ok(_) => Err(broken("the server sent too much")),
            Err(Errno::AGAIN) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }
}

fn request(number: u64) -> [u8; MESSAGE] {
    let mut request = [0x5a; MESSAGE];
    request[..8].copy_from_slice(&number.to_le_bytes());
    request
}
