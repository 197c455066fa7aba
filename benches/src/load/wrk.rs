//! HTTP by `wrk`: 64 connections for so many seconds. The operations that are ordered are seconds; those that are done, requests.
//!
//! `wrk` tells how many requests there were and in how much time, and whether there were errors or other statuses than 200; it does
//! not look at bodies. So one connection of our own compares an answer before and another after it.

use super::{Load, broken};
use crate::args::Failure;
use crate::serve::ANSWER;
use crate::workload::CONNECTIONS;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

/// A server that does not answer for so long has stalled.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server, and the connection of our own.
pub struct Wrk {
    address: SocketAddr,
    own: TcpStream,
    answered: u64,
}

/// Whether there is a `wrk` on this machine.
pub fn is_here() -> bool {
    let version = Command::new("wrk").arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status();
    version.is_ok()
}

impl Wrk {
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let own = TcpStream::connect(address)?;
        own.set_read_timeout(Some(PATIENCE))?;
        Ok(Wrk { address, own, answered: 0 })
    }

    /// Makes a request over the connection of our own and compares the answer.
    fn probe(&mut self) -> io::Result<()> {
        self.own.write_all(format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", self.address).as_bytes())?;
        let mut answer = Vec::new();
        let head = loop {
            let mut some = [0; 1024];
            match self.own.read(&mut some)? {
                0 => return Err(broken("the server closed the connection")),
                read => answer.extend_from_slice(&some[..read]),
            }
            if let Some(head) = answer.windows(4).position(|window| window == b"\r\n\r\n") {
                break head;
            }
        };
        let mut body = answer.split_off(head + 4);
        let mut rest = vec![0; ANSWER.len().saturating_sub(body.len())];
        self.own.read_exact(&mut rest)?;
        body.extend(rest);
        let length = format!("content-length: {}", ANSWER.len());
        let head = String::from_utf8_lossy(&answer).to_ascii_lowercase();
        if !head.starts_with("http/1.1 200 ") || !head.lines().any(|line| line == length) || body != ANSWER.as_bytes() {
            return Err(broken("the answer is not the one that was to come"));
        }
        self.answered += 1;
        Ok(())
    }
}

impl Load for Wrk {
    fn run(&mut self, seconds: u64) -> Result<(u64, Option<u64>), Failure> {
        if seconds == 0 {
            return Ok((0, None));
        }
        self.probe()?;
        let output = Command::new("wrk")
            .args(["-t1", &format!("-c{CONNECTIONS}"), &format!("-d{seconds}s"), &format!("http://{}/", self.address)])
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()?;
        let told = String::from_utf8_lossy(&output.stdout);
        let (requests, rate) = understand(&told).ok_or_else(|| format!("wrk ended with {}: {told}", output.status))?;
        self.answered += requests;
        Ok((requests, Some((requests as f64 * 1e9 / rate) as u64)))
    }

    fn leave(mut self: Box<Self>) -> Result<u64, Failure> {
        self.probe()?;
        Ok(self.answered)
    }
}

/// The requests, and those of a second; none if anything went wrong.
fn understand(told: &str) -> Option<(u64, f64)> {
    if told.contains("Socket errors") || told.contains("Non-2xx") {
        return None;
    }
    let requests = told.lines().find_map(|line| line.split_once(" requests in ")?.0.trim().parse().ok())?;
    let rate = told.lines().find_map(|line| line.strip_prefix("Requests/sec:")?.trim().parse().ok())?;
    (requests > 0).then_some((requests, rate))
}

#[cfg(test)]
mod tests {
    use super::understand;

    const FINE: &str = "Running 1s test @ http://127.0.0.1:1/\n  1 threads and 64 connections\n\
        \x20 211460 requests in 1.10s, 17.95MB read\nRequests/sec: 192236.02\nTransfer/sec:     16.32MB\n";

    #[test]
    fn what_wrk_says_is_understood() {
        assert_eq!(understand(FINE), Some((211_460, 192_236.02)));
        assert_eq!(understand(&FINE.replace("Requests/sec", "  Socket errors: connect 0\nRequests/sec")), None);
        assert_eq!(understand(&FINE.replace("Requests/sec", "  Non-2xx or 3xx responses: 1\nRequests/sec")), None);
        assert_eq!(understand("unable to connect"), None);
    }
}
