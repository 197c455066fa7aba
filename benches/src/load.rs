//! The load generator of the echo workload, and of the echo server that stalls: one thread, one epoll, 64 connections with one
//! request each on the way.
//!
//! It uses no runtime, so that it is the same for all. Level-triggered; an answer costs it one read, one write and its
//! share of an `epoll_wait`, the least that a client can do. Every answer is compared with its request.
//!
//! Started by the workload with `--warm-up`, it warms up, prints `ready`, waits for a line on its input, and prints
//! `done` with the nanoseconds of the requests proper. Started by hand without it, it begins at once.

use crate::args::{Args, Failure};
use crate::workload::{CONNECTIONS, MESSAGE};
use rustix::event::{Timespec, epoll};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Instant;

/// Says that the warm-up is over.
pub const READY: &str = "ready";

/// Says that all was answered; the nanoseconds follow.
pub const DONE: &str = "done";

/// A server that answers nobody for so long has stalled.
const PATIENCE: Timespec = Timespec { tv_sec: 20, tv_nsec: 0 };

/// `load <address> <requests> [--warm-up n]`
pub fn main(words: &[String]) -> Result<(), Failure> {
    let mut args = Args::new(words);
    let warm_up: Option<u64> = args.option("--warm-up")?;
    let address = args.word("the address")?;
    let requests: u64 = args.word("the number of requests")?;
    args.finish()?;

    let mut generator = Generator::connect(address)?;
    if let Some(warm_up) = warm_up {
        generator.run(warm_up)?;
        println!("{READY}");
        io::stdin().read_line(&mut String::new())?;
    }
    let start = Instant::now();
    generator.run(requests)?;
    println!("{DONE} {}", start.elapsed().as_nanos());
    Ok(())
}

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
    request: [u8; MESSAGE],
    answer: [u8; MESSAGE],
    /// How much of the answer is there.
    filled: usize,
}

impl Generator {
    /// Makes the connections.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let connections = (0..CONNECTIONS)
            .map(|index| {
                let stream = TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                stream.set_nonblocking(true)?;
                epoll::add(&epoll, &stream, epoll::EventData::new_u64(index as u64), epoll::EventFlags::IN)?;
                Ok(Connection { stream, request: [0x5a; MESSAGE], answer: [0; MESSAGE], filled: 0 })
            })
            .collect::<io::Result<_>>()?;
        Ok(Generator { epoll, events: Vec::with_capacity(CONNECTIONS), connections, sent: 0 })
    }

    /// Sends so many requests over all connections and returns when all are answered.
    fn run(&mut self, requests: u64) -> io::Result<()> {
        let last = self.sent + requests;
        let mut done = 0;
        for index in 0..CONNECTIONS {
            if self.sent < last {
                self.sent += 1;
                self.send(index, self.sent)?;
            }
        }
        let mut answered = Vec::with_capacity(CONNECTIONS);
        while done < requests {
            self.wait(&mut answered)?;
            done += answered.len() as u64;
            for &index in &answered {
                if self.sent < last {
                    self.sent += 1;
                    self.send(index, self.sent)?;
                }
            }
        }
        Ok(())
    }

    /// Sends a request that carries this number over a connection whose last one was answered.
    pub fn send(&mut self, index: usize, number: u64) -> io::Result<()> {
        self.connections[index].send(number)
    }

    /// Waits until something was read, and replaces what is in the list by the connections whose answers are complete.
    pub fn wait(&mut self, answered: &mut Vec<usize>) -> io::Result<()> {
        answered.clear();
        self.events.clear();
        epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.events), Some(&PATIENCE))?;
        if self.events.is_empty() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the server answers nobody"));
        }
        for event in &self.events {
            let index = { event.data }.u64() as usize;
            if self.connections[index].receive()? {
                answered.push(index);
            }
        }
        Ok(())
    }
}

impl Connection {
    fn send(&mut self, number: u64) -> io::Result<()> {
        self.request[..8].copy_from_slice(&number.to_le_bytes());
        self.filled = 0;
        // The send buffer is empty whenever this is called, so the message fits.
        self.stream.write_all(&self.request)
    }

    /// Reads what is there; true if the answer is complete.
    fn receive(&mut self) -> io::Result<bool> {
        match self.stream.read(&mut self.answer[self.filled..]) {
            Ok(0) => {
                Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed a connection or sent too much"))
            }
            Ok(read) => {
                self.filled += read;
                if self.filled < MESSAGE {
                    return Ok(false);
                }
                if self.answer != self.request {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "an answer differs from its request"));
                }
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }
}
