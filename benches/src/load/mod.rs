//! The load generators of the network's rows: each one thread, no runtime, the same for every server.
//!
//! A server's process starts one with `--warm-up` and talks with it in lines: the generator connects, warms the server up and
//! says `ready`; at a line from the server it makes the load proper and says `done` with its nanoseconds and its operations; when its
//! input ends it takes leave and says `total` with all that it has had answered since the beginning, which the server compares with
//! what it has counted itself. Started by hand, without `--warm-up`, it makes the load at once and takes leave.

mod churn;
mod echo;
mod idle;
mod wrk;

pub use echo::Generator;
pub use wrk::is_here as wrk_is_here;

use crate::args::{Args, Failure};
use crate::limits;
use crate::workload::{Kind, Network, Workload};
use std::io;
use std::net::SocketAddr;
use std::time::Instant;

/// Says that the warm-up is over.
pub const READY: &str = "ready";

/// Says that all was answered; the nanoseconds and the number of operations follow.
pub const DONE: &str = "done";

/// Says that the connections are closed; the number of requests follows that were answered since the beginning.
pub const TOTAL: &str = "total";

/// A load on a server.
trait Load {
    /// Does so many operations, and returns how many there were and how many nanoseconds they took, if a clock of its own says so.
    fn run(&mut self, ops: u64) -> Result<(u64, Option<u64>), Failure>;

    /// Takes leave, and returns how many requests were answered since the beginning.
    fn leave(self: Box<Self>) -> Result<u64, Failure>;
}

/// `load <workload> <address> <n> [--warm-up n]`
pub fn main(words: &[String]) -> Result<(), Failure> {
    let mut args = Args::new(words);
    let warm_up: Option<u64> = args.option("--warm-up")?;
    let workload = Workload::one(&args.word::<String>("the workload")?)?;
    let address: SocketAddr = args.word("the address")?;
    let ops: u64 = args.word("the number of operations")?;
    args.finish()?;

    let Kind::Network(kind) = workload.kind else {
        return Err(format!("{} asks for no load", workload.name).into());
    };
    limits::raise_descriptors()?;
    let mut load: Box<dyn Load> = match kind {
        Network::Echo(exchange) => Box::new(Generator::connect(address, exchange)?),
        Network::Churn => Box::new(churn::Churn::new(address)?),
        Network::Idle => Box::new(idle::Idle::new(address)),
        Network::Http => Box::new(wrk::Wrk::connect(address)?),
    };
    if let Some(warm_up) = warm_up {
        load.run(warm_up)?;
        println!("{READY}");
        io::stdin().read_line(&mut String::new())?;
    }
    let start = Instant::now();
    let (done, nanos) = load.run(ops)?;
    let nanos = nanos.unwrap_or_else(|| start.elapsed().as_nanos() as u64);
    println!("{DONE} {nanos} {done}");
    if warm_up.is_some() {
        // What the server looks at now must still be there.
        io::stdin().read_line(&mut String::new())?;
    }
    println!("{TOTAL} {}", load.leave()?);
    Ok(())
}

/// What was to come and did not.
fn broken(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
