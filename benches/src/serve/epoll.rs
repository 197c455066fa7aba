//! No runtime: a loop around edge-triggered epoll for each thread. What the kernel costs, and nothing besides.
//!
//! Per request one read, one write and a share of an `epoll_wait`; a read that was not filled has emptied the socket, so it is not
//! repeated to hear `EAGAIN`. No allocation but the buffer that each connection has. A connection belongs to one thread for life.
//!
//! Of connections that come and go all that are there are accepted before the first is read, so that most of them have their
//! requests by then. Only where there is none does the connection enter the epoll. The end of a descriptor takes it out again without a call.
//!
//! Connections that last are put into the epolls, and into the tables beside them, by the thread that accepts; the lock of such a
//! table is taken once for each wait, by nobody else from then on.

use super::{Serve, Service, Tally, port};
use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags, accept_with, recv, send, sockopt};
use slab::Slab;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::thread;

/// Events of one wait.
const EVENTS: usize = 1024;

/// What the listener has for a key.
const LISTENER: u64 = u64::MAX;

/// The started threads, which live as long as the process.
pub struct Epoll(());

/// What a thread looks after.
struct Loop {
    epoll: OwnedFd,
    /// Looked at by its thread, under one lock for each wait; filled by whoever accepts.
    connections: Mutex<Slab<Connection>>,
    service: Service,
    tally: Arc<Tally>,
}

struct Connection {
    socket: OwnedFd,
    buffer: Box<[u8]>,
    /// What has come and was not sent back yet.
    start: usize,
    end: usize,
    /// What was sent back.
    bytes: u64,
}

/// What became of a connection.
enum Step {
    /// It waits for the next event.
    Waits,
    /// It has ended.
    Ended(io::Result<u64>),
}

impl Serve for Epoll {
    const HTTP: bool = false;

    fn start(
        workers: usize,
        listen: SocketAddr,
        connections: u64,
        service: Service,
        tally: &Arc<Tally>,
    ) -> io::Result<(Self, SocketAddr)> {
        let mut loops = Vec::with_capacity(workers);
        for _ in 0..workers {
            let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
            loops.push(Arc::new(Loop { epoll, connections: Mutex::default(), service, tally: tally.clone() }));
        }
        let address = match service {
            Service::Hello => return Err(io::ErrorKind::Unsupported.into()),
            Service::Echo { buffer } => {
                for (index, each) in loops.iter().enumerate() {
                    each.clone().run(index, None)?;
                }
                let tally = tally.clone();
                port::dealt(listen, connections, move |number, stream| {
                    let adopted = stream.and_then(|stream| {
                        stream.set_nonblocking(true)?;
                        loops[number % loops.len()].adopt(stream.into(), buffer)
                    });
                    if let Err(error) = adopted {
                        tally.ended(Err(error));
                    }
                })?
            }
            Service::Once { .. } => {
                let (listeners, address) = port::shared(listen, workers)?;
                for (index, (each, listener)) in loops.into_iter().zip(listeners).enumerate() {
                    listener.set_nonblocking(true)?;
                    each.run(index, Some(listener))?;
                }
                address
            }
        };
        Ok((Epoll(()), address))
    }
}

impl Loop {
    /// Starts the thread.
    fn run(self: Arc<Self>, index: usize, listener: Option<TcpListener>) -> io::Result<()> {
        if let Some(listener) = &listener {
            let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
            epoll::add(&self.epoll, listener, epoll::EventData::new_u64(LISTENER), flags)?;
        }
        thread::Builder::new().name(format!("epoll-{index}")).spawn(move || {
            let failed = self.turn(listener.as_ref());
            self.tally.ended(Err(failed));
        })?;
        Ok(())
    }

    /// Goes round until it fails.
    fn turn(&self, listener: Option<&TcpListener>) -> io::Error {
        let mut events = Vec::with_capacity(EVENTS);
        let mut fresh = Vec::new();
        loop {
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return errno.into(),
            }
            let mut connections = self.connections.lock().expect("no loop panics");
            for event in &events {
                match ({ event.data }.u64(), listener) {
                    (LISTENER, Some(listener)) => {
                        if let Err(error) = self.accept(listener, &mut fresh) {
                            return error;
                        }
                    }
                    (key, _) => {
                        let ends = epoll::EventFlags::RDHUP | epoll::EventFlags::HUP | epoll::EventFlags::ERR;
                        // The end came with the data: another event for it there will not be.
                        let last = { event.flags }.intersects(ends);
                        let connection = &mut connections[key as usize];
                        if let Step::Ended(result) = self.step(connection, last) {
                            connections.remove(key as usize);
                            self.tally.ended(result);
                        }
                    }
                }
            }
            for mut connection in fresh.drain(..) {
                match self.step(&mut connection, false) {
                    Step::Ended(result) => {
                        drop(connection);
                        self.tally.ended(result);
                    }
                    Step::Waits => {
                        if let Err(error) = self.watch(&mut connections, connection) {
                            return error;
                        }
                    }
                }
            }
        }
    }

    /// Takes all connections that have come.
    fn accept(&self, listener: &TcpListener, fresh: &mut Vec<Connection>) -> io::Result<()> {
        let Service::Once { message } = self.service else {
            return Ok(());
        };
        loop {
            let socket = match accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
                Ok(socket) => socket,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR | Errno::CONNABORTED) => continue,
                Err(errno) => return Err(errno.into()),
            };
            fresh.push(Connection::new(socket, message)?);
        }
    }

    /// Looks after a connection from now on.
    fn adopt(&self, socket: OwnedFd, buffer: usize) -> io::Result<()> {
        self.watch(&mut self.connections.lock().expect("no loop panics"), Connection::new(socket, buffer)?)
    }

    fn watch(&self, connections: &mut Slab<Connection>, connection: Connection) -> io::Result<()> {
        let entry = connections.vacant_entry();
        let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
        epoll::add(&self.epoll, &connection.socket, epoll::EventData::new_u64(entry.key() as u64), flags)?;
        entry.insert(connection);
        Ok(())
    }

    /// Does for a connection what can be done now; up to its end, if that is known to have come.
    fn step(&self, connection: &mut Connection, last: bool) -> Step {
        let done = match self.service {
            Service::Once { .. } => connection.answer(),
            _ => connection.echo(last),
        };
        match done {
            Ok(false) | Err(Errno::AGAIN) => Step::Waits,
            Ok(true) => Step::Ended(Ok(connection.bytes)),
            Err(errno) => Step::Ended(Err(errno.into())),
        }
    }
}

impl Connection {
    fn new(socket: OwnedFd, buffer: usize) -> io::Result<Self> {
        sockopt::set_tcp_nodelay(&socket, true)?;
        Ok(Connection { socket, buffer: vec![0; buffer].into(), start: 0, end: 0, bytes: 0 })
    }

    /// Sends back what comes until there is no more; true at the end of it. `last`: the end has come already.
    fn echo(&mut self, last: bool) -> Result<bool, Errno> {
        self.flush()?;
        loop {
            let (read, _) = retry(|| recv(&self.socket, &mut self.buffer[..], RecvFlags::empty()))?;
            if read == 0 {
                return Ok(true);
            }
            (self.start, self.end) = (0, read);
            self.flush()?;
            if read < self.buffer.len() && !last {
                return Ok(false);
            }
        }
    }

    /// Sends the buffer back once it is full; true when that is done.
    fn answer(&mut self) -> Result<bool, Errno> {
        while self.end < self.buffer.len() {
            let (read, _) = retry(|| recv(&self.socket, &mut self.buffer[self.end..], RecvFlags::empty()))?;
            if read == 0 {
                return Err(Errno::CONNRESET);
            }
            self.end += read;
        }
        self.flush()?;
        Ok(true)
    }

    fn flush(&mut self) -> Result<(), Errno> {
        while self.start < self.end {
            let sent = retry(|| send(&self.socket, &self.buffer[self.start..self.end], SendFlags::NOSIGNAL))?;
            self.start += sent;
            self.bytes += sent as u64;
        }
        Ok(())
    }
}

fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}
