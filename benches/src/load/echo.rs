//! Connections with one request each on the way, all in one epoll, for the echo servers, and for that of `stall-echo`.
//!
//! Level-triggered; an answer costs it one read, one write and its share of an `epoll_wait`, the least that a client can do, unless a
//! message is too large for the socket at once. Every answer is compared with its request.

use super::{Load, broken};
use crate::args::Failure;
use crate::workload::Exchange;
use rustix::event::{Timespec, epoll};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;

/// A server that answers nobody for so long has stalled.
const PATIENCE: Timespec = Timespec { tv_sec: 20, tv_nsec: 0 };

/// The connections, each with one request on the way at most.
pub struct Generator {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
    connections: Vec<Connection>,
    /// Requests sent since the beginning; each carries its number.
    sent: u64,
}

struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
    /// How much of the request is on the way.
    written: usize,
    answer: Vec<u8>,
    /// How much of the answer is there.
    filled: usize,
}

impl Generator {
    /// Makes the connections.
    pub fn connect(address: SocketAddr, exchange: Exchange) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let connections = (0..exchange.connections)
            .map(|index| {
                let stream = TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                stream.set_nonblocking(true)?;
                epoll::add(&epoll, &stream, epoll::EventData::new_u64(index as u64), epoll::EventFlags::IN)?;
                let (request, answer) = (vec![0x5a; exchange.message], vec![0; exchange.message]);
                Ok(Connection { stream, written: request.len(), request, answer, filled: 0 })
            })
            .collect::<io::Result<_>>()?;
        Ok(Generator { epoll, events: Vec::with_capacity(exchange.connections), connections, sent: 0 })
    }

    /// Sends a request that carries this number over a connection whose last one was answered.
    pub fn send(&mut self, index: usize, number: u64) -> io::Result<()> {
        let connection = &mut self.connections[index];
        connection.request[..8].copy_from_slice(&number.to_le_bytes());
        connection.written = 0;
        connection.filled = 0;
        connection.write()?;
        if connection.written < connection.request.len() {
            self.watch(index, epoll::EventFlags::IN | epoll::EventFlags::OUT)?;
        }
        Ok(())
    }

    /// Waits until something was read, and replaces what is in the list by the connections whose answers are complete.
    pub fn wait(&mut self, answered: &mut Vec<usize>) -> io::Result<()> {
        answered.clear();
        self.events.clear();
        epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.events), Some(&PATIENCE))?;
        if self.events.is_empty() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the server answers nobody"));
        }
        for at in 0..self.events.len() {
            let event = self.events[at];
            let (index, flags) = ({ event.data }.u64() as usize, { event.flags });
            let connection = &mut self.connections[index];
            if flags.contains(epoll::EventFlags::OUT) {
                connection.write()?;
                if connection.written == connection.request.len() {
                    self.watch(index, epoll::EventFlags::IN)?;
                }
            }
            if self.connections[index].receive()? {
                answered.push(index);
            }
        }
        Ok(())
    }

    fn watch(&self, index: usize, flags: epoll::EventFlags) -> io::Result<()> {
        let data = epoll::EventData::new_u64(index as u64);
        Ok(epoll::modify(&self.epoll, &self.connections[index].stream, data, flags)?)
    }

    /// Sends the next request, unless it would be later than the last.
    fn send_next(&mut self, index: usize, last: u64) -> io::Result<()> {
        if self.sent < last {
            self.sent += 1;
            self.send(index, self.sent)?;
        }
        Ok(())
    }
}

impl Load for Generator {
    /// Sends so many requests over all connections and returns when all are answered.
    fn run(&mut self, requests: u64) -> Result<(u64, Option<u64>), Failure> {
        let last = self.sent + requests;
        let mut done = 0;
        for index in 0..self.connections.len() {
            self.send_next(index, last)?;
        }
        let mut answered = Vec::with_capacity(self.connections.len());
        while done < requests {
            self.wait(&mut answered)?;
            done += answered.len() as u64;
            for &index in &answered {
                self.send_next(index, last)?;
            }
        }
        Ok((done, None))
    }

    fn leave(self: Box<Self>) -> Result<u64, Failure> {
        Ok(self.sent)
    }
}

impl Connection {
    /// Writes what there is room for. A small message always fits: the send buffer is empty when it is sent.
    fn write(&mut self) -> io::Result<()> {
        while self.written < self.request.len() {
            match self.stream.write(&self.request[self.written..]) {
                Ok(written) => self.written += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads what is there; true if the answer is complete.
    fn receive(&mut self) -> io::Result<bool> {
        match self.stream.read(&mut self.answer[self.filled..]) {
            Ok(0) => Err(broken("the server closed a connection or sent too much")),
            Ok(read) => {
                self.filled += read;
                if self.filled < self.answer.len() {
                    return Ok(false);
                }
                if self.answer != self.request {
                    return Err(broken("an answer differs from its request"));
                }
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }
}
