//! An echo server whose handler sleeps with its thread for 200 ms on every tenth request, and what the other nine suffer.
//!
//! The server is the measuring process; the load comes from the process that started it: 64 connections, each with one
//! request on the way, for some seconds after half a second in which no request blocks. The latency of a request is the time
//! from before its write until its answer is complete. When the seconds are over nothing more is sent, but what is on the way
//! is waited for and counts. At the end both sides must have counted the same requests.
//!
//! One request in ten takes 200 ms at least, so 64 connections make 3200 requests per second at best, and then most of the
//! time nearly all of them are in one that blocks.

use super::{WARM_UP, millis};
use crate::args::Failure;
use crate::child::{FIGURES, ended_badly};
use crate::load::Generator;
use crate::rt::{Listener, Runtime, Stream};
use crate::workload::{CONNECTIONS, MESSAGE, SMALL};
use std::io::{self, BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

const BLOCK: Duration = Duration::from_millis(200);
const EVERY: u64 = 10;

/// Set in the number of a request, of which it is the eighth byte's highest bit, if its handler is to block.
const BLOCKS: u64 = 1 << 63;

/// What the server says first, with its address.
const LISTENING: &str = "listening";

/// Serves until all connections were closed by the other side; returns how many requests there were, and how many blocked.
pub fn serve<R: Runtime>(rt: &R) -> Result<Vec<f64>, Failure> {
    let (sender, ended) = mpsc::channel();
    let address = rt.run(async move {
        let listener = R::Listener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
        let address = listener.local_addr()?;
        R::spawn_detached(async move {
            for _ in 0..CONNECTIONS {
                let sender = sender.clone();
                match listener.accept().await {
                    Ok(stream) => R::spawn_detached(async move {
                        let _ = sender.send(handle(stream).await);
                    }),
                    Err(error) => {
                        let _ = sender.send(Err(error));
                    }
                }
            }
        });
        io::Result::Ok(address)
    })?;
    println!("{LISTENING} {address}");
    let (mut requests, mut blocked) = (0, 0);
    for _ in 0..CONNECTIONS {
        let (some, some_blocked) = ended.recv()??;
        requests += some;
        blocked += some_blocked;
    }
    Ok(vec![requests as f64, blocked as f64])
}

async fn handle<S: Stream>(mut stream: S) -> io::Result<(u64, u64)> {
    let mut request = [0; MESSAGE];
    let (mut requests, mut blocked) = (0, 0);
    loop {
        let mut filled = 0;
        while filled < MESSAGE {
            match stream.read(&mut request[filled..]).await? {
                0 if filled == 0 => return Ok((requests, blocked)),
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => filled += read,
            }
        }
        requests += 1;
        if request[7] & 0x80 != 0 {
            blocked += 1;
            thread::sleep(BLOCK);
        }
        stream.write_all(&request).await?;
    }
}

/// Starts the server by this command, loads it for so many seconds, and returns the workload's figures. What the server wrote
/// to stderr comes into `told`.
pub fn load(mut command: Command, seconds: u64, told: &mut String) -> Result<Vec<f64>, Failure> {
    let mut server = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(server.stdout.take().ok_or("the server has no output")?).lines();
    let result = (|| {
        let first = lines.next().ok_or("the server ended at once")??;
        let address = first.strip_prefix(LISTENING).ok_or("the server told no address")?.trim().parse()?;
        let mut generator = Generator::connect(address, SMALL)?;
        let mut load = Load { generator: &mut generator, requests: 0, blocked: 0 };
        load.run(WARM_UP, false)?;
        let begin = Instant::now();
        let before = load.requests;
        let latencies = load.run(Duration::from_secs(seconds), true)?;
        let elapsed = begin.elapsed().as_secs_f64();
        let counted = format!("{} {}", load.requests, load.blocked);
        let rate = (load.requests - before) as f64 / elapsed;
        drop(generator);
        let last = lines.next().ok_or("the server ended before its figures")??;
        if last.strip_prefix(FIGURES).map(str::trim) != Some(&counted) {
            return Err(format!("the server says `{last}`, but {counted} were sent").into());
        }
        let [p50, p99, max] = percentiles(latencies).ok_or("no request was answered")?;
        Ok(vec![p50, p99, max, rate])
    })();
    if result.is_err() {
        let _ = server.kill();
    }
    let status = server.wait()?;
    if let Some(mut stderr) = server.stderr.take() {
        stderr.read_to_string(told)?;
    }
    let figures: Vec<f64> = result.map_err(|error: Failure| format!("{error}; the server ended with {status}"))?;
    if status.success() { Ok(figures) } else { Err(ended_badly(status, told)) }
}

/// The requests of one server.
struct Load<'a> {
    generator: &'a mut Generator,
    requests: u64,
    blocked: u64,
}

impl Load<'_> {
    /// Sends for so long, waits for what is on the way, and returns the latencies of the requests that did not block.
    fn run(&mut self, long: Duration, block: bool) -> io::Result<Vec<Duration>> {
        let begin = Instant::now();
        let mut latencies = Vec::new();
        // When each connection's request was sent, and whether it blocks.
        let mut sent = vec![(begin, false); CONNECTIONS];
        let mut on_the_way = 0;
        let mut answered: Vec<usize> = (0..CONNECTIONS).collect();
        loop {
            let now = Instant::now();
            if now - begin < long {
                for &index in &answered {
                    self.requests += 1;
                    let blocks = block && self.requests.is_multiple_of(EVERY);
                    self.blocked += u64::from(blocks);
                    let number = self.requests | if blocks { BLOCKS } else { 0 };
                    sent[index] = (Instant::now(), blocks);
                    self.generator.send(index, number)?;
                    on_the_way += 1;
                }
            }
            if on_the_way == 0 {
                return Ok(latencies);
            }
            self.generator.wait(&mut answered)?;
            on_the_way -= answered.len();
            let now = Instant::now();
            let others = answered.iter().map(|&index| sent[index]).filter(|(_, blocks)| !blocks);
            latencies.extend(others.map(|(at, _)| now - at));
        }
    }
}

/// In milliseconds: the median, the 99th in a hundred, and the greatest.
fn percentiles(mut latencies: Vec<Duration>) -> Option<[f64; 3]> {
    latencies.sort_unstable();
    let last = latencies.len().checked_sub(1)?;
    Some([0.50, 0.99, 1.0].map(|share| millis(latencies[(share * last as f64).round() as usize])))
}
