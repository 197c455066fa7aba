//! Echo: 64 connections, each with one request of 64 bytes on the way. Requests per second, and the server's CPU time
//! for a million of them.
//!
//! The server alone is in this process. The load generator is a process of its own, the same for every runtime (`load`),
//! so that the server's CPU time is the server's. It connects, warms the server up and says so; then the clocks start.
//! Rates depend on the cores that both share; CPU time hardly does, and is the figure to trust on a busy machine.

use super::{Kind, Order, RuntimeKind, Setting, Workload, check};
use crate::args::Failure;
use crate::figure::Figure;
use crate::load;
use crate::meter::Stopwatch;
use crate::rt::{Listener, Runtime, Stream};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver};

/// How many connections the generator makes and the server serves.
pub const CONNECTIONS: usize = 64;

/// Bytes of a request and of its answer.
pub const MESSAGE: usize = 64;

pub const WORKLOAD: Workload = Workload {
    name: "echo",
    about: "how many requests of 64 bytes per second over 64 connections, and the CPU time of the server for a million",
    kind: Kind::Runtime(RuntimeKind::Echo),
    ops: 250_000,
    figures: &[Figure::rate("rate", "k/s"), Figure::cost("server cpu", "s/M")],
};

pub fn run<R: Runtime>(rt: &R, order: &Order) -> Result<Vec<f64>, Failure> {
    match order.setting {
        Setting::Measured => measured(rt, order.ops),
        Setting::Bare { listen } => bare(rt, listen, order.ops),
    }
}

fn measured<R: Runtime>(rt: &R, ops: u64) -> Result<Vec<f64>, Failure> {
    let server = Server::start(rt, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let warm_up = ops.div_ceil(10);
    let mut generator = Generator::start(server.address, ops, warm_up)?;
    generator.expect(load::READY)?;
    let stopwatch = Stopwatch::start();
    generator.go()?;
    let nanos: f64 = generator.expect(load::DONE)?.parse()?;
    let cpu = stopwatch.read().cpu;
    generator.finish()?;
    server.finish(ops + warm_up)?;
    Ok(vec![ops as f64 * 1e6 / nanos, cpu.as_secs_f64() * 1e6 / ops as f64])
}

/// Serves `ops` requests of a generator that somebody else starts.
fn bare<R: Runtime>(rt: &R, listen: SocketAddr, ops: u64) -> Result<Vec<f64>, Failure> {
    let server = Server::start(rt, listen)?;
    eprintln!("listening: gambol-benches load {} {ops}", server.address);
    server.finish(ops)?;
    Ok(Vec::new())
}

/// A server of [`CONNECTIONS`] connections that runs on the runtime under test.
struct Server {
    address: SocketAddr,
    /// What each connection ended with: the bytes that it echoed.
    ended: Receiver<io::Result<u64>>,
}

impl Server {
    fn start<R: Runtime>(rt: &R, listen: SocketAddr) -> Result<Self, Failure> {
        let (sender, ended) = mpsc::channel();
        let address = rt.run(async move {
            let listener = R::Listener::bind(listen).await?;
            let address = listener.local_addr()?;
            R::spawn_detached(async move {
                for _ in 0..CONNECTIONS {
                    let sender = sender.clone();
                    match listener.accept().await {
                        Ok(stream) => R::spawn_detached(async move {
                            // Fails when nobody waits for the result any more; then nobody needs it.
                            let _ = sender.send(echo(stream).await);
                        }),
                        Err(error) => {
                            let _ = sender.send(Err(error));
                        }
                    }
                }
            });
            io::Result::Ok(address)
        })?;
        Ok(Server { address, ended })
    }

    /// Waits until all connections were closed by the other side.
    fn finish(self, requests: u64) -> Result<(), Failure> {
        let mut bytes = 0;
        for _ in 0..CONNECTIONS {
            bytes += self.ended.recv()??;
        }
        check("bytes were echoed", bytes, requests * MESSAGE as u64)
    }
}

async fn echo<S: Stream>(mut stream: S) -> io::Result<u64> {
    let mut buffer = vec![0; 1024];
    let mut bytes = 0;
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(bytes),
            read => {
                stream.write_all(&buffer[..read]).await?;
                bytes += read as u64;
            }
        }
    }
}

/// The load generator's process and the lines that it talks in.
struct Generator {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Generator {
    fn start(address: SocketAddr, ops: u64, warm_up: u64) -> Result<Self, Failure> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["load", &address.to_string(), &ops.to_string(), "--warm-up", &warm_up.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take().ok_or("the generator has no input")?;
        let output = child.stdout.take().ok_or("the generator has no output")?;
        Ok(Generator { child, input, output: BufReader::new(output) })
    }

    /// Waits for a line that begins with `word` and returns the rest of it.
    fn expect(&mut self, word: &str) -> Result<String, Failure> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        match line.strip_prefix(word) {
            Some(rest) => Ok(rest.trim().to_owned()),
            None => Err(format!("the generator ended before `{word}`").into()),
        }
    }

    fn go(&mut self) -> io::Result<()> {
        self.input.write_all(b"go\n")
    }

    fn finish(mut self) -> Result<(), Failure> {
        let status = self.child.wait()?;
        if status.success() { Ok(()) } else { Err(format!("the generator failed: {status}").into()) }
    }
}
