//! Connections that are made, prove that they are served, and then say nothing.
//!
//! Each sends one request and has it answered before the next is made. When the server has looked at its memory, every
//! hundredth does so again, and all are closed.

use super::{Load, broken};
use crate::args::Failure;
use crate::workload::MESSAGE;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A server that does not answer for so long has stalled.
const PATIENCE: Duration = Duration::from_secs(20);

/// One of so many proves at the end that it is still served.
const SAMPLE: usize = 100;

/// The connections.
pub struct Idle {
    address: SocketAddr,
    connections: Vec<TcpStream>,
}

impl Idle {
    pub fn new(address: SocketAddr) -> Self {
        Idle { address, connections: Vec::new() }
    }
}

impl Load for Idle {
    fn run(&mut self, ops: u64) -> Result<(u64, Option<u64>), Failure> {
        for _ in 0..ops {
            let mut stream = TcpStream::connect(self.address)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            prove(&mut stream, self.connections.len())?;
            self.connections.push(stream);
        }
        Ok((ops, None))
    }

    fn leave(mut self: Box<Self>) -> Result<u64, Failure> {
        let mut answered = self.connections.len() as u64;
        for (number, stream) in self.connections.iter_mut().enumerate().step_by(SAMPLE) {
            prove(stream, number)?;
            answered += 1;
        }
        Ok(answered)
    }
}

fn prove(stream: &mut TcpStream, number: usize) -> io::Result<()> {
    let mut request = [0x5a; MESSAGE];
    request[..8].copy_from_slice(&number.to_le_bytes());
    stream.write_all(&request)?;
    let mut answer = [0; MESSAGE];
    stream.read_exact(&mut answer)?;
    if answer == request { Ok(()) } else { Err(broken("an answer differs from its request")) }
}
