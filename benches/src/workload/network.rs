//! The network: echo over few, many and fat connections; connections that come and go; connections that do nothing; HTTP.
//!
//! The server alone is in this process. The load generator is a process of its own, the same for every server (`load`), so that
//! the server's CPU time and memory are the server's. It connects, warms the server up and says so; then the clocks start. Rates
//! depend on the cores that both share; CPU time hardly does, and is the figure to trust on a busy machine.
//!
//! At the end both sides must have counted the same.

use super::{Kind, Order, Setting, Workload};
use crate::args::Failure;
use crate::figure::Figure;
use crate::limits;
use crate::load;
use crate::meter::{Stopwatch, resident};
use crate::serve::{Serve, Service, Tally};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::Receiver;

/// Connections of `echo-small` and `http`, and those that warm up for `idle-connections`.
pub const CONNECTIONS: usize = 64;

/// Bytes of a request and of its answer, but for `echo-bulk`.
pub const MESSAGE: usize = 64;

/// Bytes of a connection's buffer, but for `echo-bulk`.
const BUFFER: usize = 1024;

/// Which of the rows of the network it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// Messages there and back.
    Echo(Exchange),
    /// Connections that are made, answered once and closed.
    Churn,
    /// Connections that do nothing.
    Idle,
    /// HTTP requests; an operation is a second of them.
    Http,
}

/// What the connections of an echo are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Exchange {
    pub connections: usize,
    /// Bytes of a message. Each connection has one on the way.
    pub message: usize,
}

/// 64 connections of 64 bytes.
pub const SMALL: Exchange = Exchange { connections: CONNECTIONS, message: MESSAGE };

pub const ECHO_SMALL: Workload = Workload {
    name: "echo-small",
    about: "how many requests of 64 bytes per second over 64 connections, and the CPU time of the server for a million",
    kind: Kind::Network(Network::Echo(SMALL)),
    ops: 250_000,
    figures: &[Figure::rate("rate", "k/s"), Figure::cost("server cpu", "s/M")],
};

pub const ECHO_MANY: Workload = Workload {
    name: "echo-many",
    about: "the same over 1000 connections",
    kind: Kind::Network(Network::Echo(Exchange { connections: 1000, message: MESSAGE })),
    ops: 250_000,
    figures: &[Figure::rate("rate", "k/s"), Figure::cost("server cpu", "s/M")],
};

pub const ECHO_BULK: Workload = Workload {
    name: "echo-bulk",
    about: "how many bytes per second go there and back in messages of 64 KiB over 4 connections, and the CPU time of the server for a gigabyte",
    kind: Kind::Network(Network::Echo(Exchange { connections: 4, message: 64 << 10 })),
    ops: 25_000,
    figures: &[Figure::rate("rate", "MB/s"), Figure::cost("server cpu", "ms/GB")],
};

pub const CHURN: Workload = Workload {
    name: "churn",
    about: "how many connections per second are made, answered once and closed by the server, and the CPU time of the server for a thousand",
    kind: Kind::Network(Network::Churn),
    ops: 30_000,
    figures: &[Figure::rate("rate", "k/s"), Figure::cost("server cpu", "ms/k")],
};

pub const IDLE: Workload = Workload {
    name: "idle-connections",
    about: "how many resident bytes of the server a connection takes that does nothing, with its task and a buffer of 1 KiB, at ten thousand of them",
    kind: Kind::Network(Network::Idle),
    ops: 10_000,
    figures: &[Figure::cost("", "bytes")],
};

pub const HTTP: Workload = Workload {
    name: "http",
    about: "how many HTTP/1.1 requests per second are answered under wrk -t1 -c64 -d2s, by hyper (Go: net/http), and the CPU time of the server for a million",
    kind: Kind::Network(Network::Http),
    ops: 2,
    figures: &[Figure::rate("rate", "k/s"), Figure::cost("server cpu", "s/M")],
};

pub fn run<S: Serve>(kind: Network, workers: usize, order: &Order) -> Result<Vec<f64>, Failure> {
    limits::raise_descriptors()?;
    let warm_up = kind.warm_up(order);
    let listen = match order.setting {
        Setting::Measured => SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        Setting::Bare { listen } => listen,
    };
    let (tally, done) = Tally::new(kind.connections(warm_up + order.ops));
    // Serves as long as it is there.
    let (_server, address) = S::start(workers, listen, kind.connections(warm_up + order.ops), kind.service(), &tally)?;
    if order.setting != Setting::Measured {
        eprintln!("listening: gambol-benches load {} {address} {}", order.workload.name, order.ops);
        done.recv()??;
        return Ok(Vec::new());
    }

    let mut generator = Generator::start(order, address, warm_up)?;
    generator.expect(load::READY)?;
    let before = resident()?;
    let stopwatch = Stopwatch::start();
    generator.go()?;
    let numbers = generator.expect(load::DONE)?;
    let cpu = stopwatch.read().cpu;
    let after = resident()?;
    let total = generator.finish()?;
    kind.check(finished(&done)?, total)?;

    let [nanos, ops] = numbers[..] else {
        return Err("the generator told too little".into());
    };
    if ops != order.ops && kind != Network::Http {
        return Err(format!("{ops} operations were done, but {} were ordered", order.ops).into());
    }
    let ops = ops as f64;
    Ok(match kind {
        Network::Idle => vec![after.saturating_sub(before) as f64 / ops],
        // Of each: operations in a thousandth of a second, or bytes in a millionth; and the same again for the cost.
        Network::Echo(exchange) if exchange.message > BUFFER => {
            let bytes = ops * exchange.message as f64;
            vec![bytes * 1e3 / nanos as f64, cpu.as_secs_f64() * 1e12 / bytes]
        }
        Network::Echo(_) | Network::Churn | Network::Http => {
            vec![ops * 1e6 / nanos as f64, cpu.as_secs_f64() * 1e6 / ops]
        }
    })
}

/// How many operations there can be on this machine: descriptors may be too few.
pub fn possible(kind: Network, ops: u64) -> Result<u64, Failure> {
    match kind {
        Network::Idle => limits::connections(ops),
        Network::Echo(_) | Network::Churn | Network::Http => Ok(ops),
    }
}

impl Network {
    /// The operations that come before.
    fn warm_up(self, order: &Order) -> u64 {
        match self {
            _ if order.setting != Setting::Measured => 0,
            Network::Echo(_) | Network::Churn => order.ops.div_ceil(10),
            // The first connections: what comes with them is the runtime's, not theirs.
            Network::Idle => CONNECTIONS as u64,
            // A tenth of a second there cannot be.
            Network::Http => 0,
        }
    }

    /// The connections of so many operations.
    fn connections(self, ops: u64) -> u64 {
        match self {
            Network::Echo(exchange) => exchange.connections as u64,
            Network::Churn | Network::Idle => ops,
            // And one that compares the answers, and one by which `wrk` finds out whether the address is there.
            Network::Http => CONNECTIONS as u64 + 2,
        }
    }

    fn service(self) -> Service {
        match self {
            Network::Echo(exchange) => Service::Echo { buffer: exchange.message.max(BUFFER) },
            Network::Churn => Service::Once { message: MESSAGE },
            Network::Idle => Service::Echo { buffer: BUFFER },
            Network::Http => Service::Hello,
        }
    }

    /// Compares what the server has counted with the generator's requests.
    fn check(self, counted: u64, requests: u64) -> Result<(), Failure> {
        let (least, most) = match self {
            Network::Echo(exchange) => (requests * exchange.message as u64, requests * exchange.message as u64),
            Network::Churn | Network::Idle => (requests * MESSAGE as u64, requests * MESSAGE as u64),
            // The generator leaves with a request on the way on each connection.
            Network::Http => (requests, requests + CONNECTIONS as u64),
        };
        if (least..=most).contains(&counted) {
            return Ok(());
        }
        Err(format!("the server has counted {counted} bytes or requests, but {requests} requests were answered").into())
    }
}

/// The server's sum, when all of its connections have ended.
fn finished(done: &Receiver<io::Result<u64>>) -> Result<u64, Failure> {
    Ok(done.recv()??)
}

/// The load generator's process and the lines that it talks in.
struct Generator {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Generator {
    fn start(order: &Order, address: SocketAddr, warm_up: u64) -> Result<Self, Failure> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["load", order.workload.name, &address.to_string(), &order.ops.to_string()])
            .args(["--warm-up", &warm_up.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take().ok_or("the generator has no input")?;
        let output = child.stdout.take().ok_or("the generator has no output")?;
        Ok(Generator { child, input, output: BufReader::new(output) })
    }

    /// Waits for a line that begins with `word` and returns the numbers that follow.
    fn expect(&mut self, word: &str) -> Result<Vec<u64>, Failure> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        let rest = line.strip_prefix(word).ok_or_else(|| format!("the generator ended before `{word}`"))?;
        Ok(rest.split_whitespace().map(str::parse).collect::<Result<_, _>>()?)
    }

    fn go(&mut self) -> io::Result<()> {
        self.input.write_all(b"go\n")
    }

    /// Has it take leave; returns how many requests were answered.
    fn finish(mut self) -> Result<u64, Failure> {
        self.go()?;
        let total = self.expect(load::TOTAL)?;
        let status = self.child.wait()?;
        match (status.success(), &total[..]) {
            (true, &[total]) => Ok(total),
            _ => Err(format!("the generator failed: {status}").into()),
        }
    }
}
