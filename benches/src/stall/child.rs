//! One case in this process: the hidden `stall-child`, which `stall` starts. It prints one line of figures.

use super::{Case, Kind, echo, heartbeat, threads};
use crate::args::{Args, Failure};
use crate::child::FIGURES;
use crate::rt::{Gambol, Runtime, Smol, Tokio};
use std::thread;
use std::time::Duration;

/// The hidden subcommand.
pub const CHILD: &str = "stall-child";

/// `stall-child <case> <peer> <workers> <limit>`
pub fn main(words: &[String]) -> Result<(), Failure> {
    let mut args = Args::new(words);
    let case = Case::find(&args.word::<String>("the case")?)?;
    let peer: String = args.word("the peer")?;
    let workers = args.word("the number of workers")?;
    let limit = args.word("the limit")?;
    args.finish()?;
    let run = road(&peer).ok_or_else(|| format!("{peer} is no runtime that stalls are measured on"))?;

    let what = format!("{} on {peer}", case.name);
    thread::spawn(move || {
        thread::sleep(Duration::from_secs(limit));
        eprintln!("{what} did not end within {limit} s");
        std::process::exit(1);
    });
    let figures = run(case, &peer, workers)?;
    let figures: Vec<_> = figures.iter().map(f64::to_string).collect();
    println!("{FIGURES} {}", figures.join(" "));
    Ok(())
}

/// How a case is carried out here.
type Run = fn(&Case, &str, usize) -> Result<Vec<f64>, Failure>;

/// For this peer; `None` if it is none that this process can be.
pub fn road(peer: &str) -> Option<Run> {
    match peer {
        "gambol" => Some(run::<Gambol>),
        "gambol-off" => Some(run::<Gambol<false>>),
        "tokio" => Some(run::<Tokio>),
        "smol" => Some(run::<Smol>),
        _ => None,
    }
}

fn run<R: Runtime>(case: &Case, peer: &str, workers: usize) -> Result<Vec<f64>, Failure> {
    match case.kind {
        Kind::Heartbeat(trouble) => heartbeat::run(&R::start(workers), trouble),
        Kind::Echo => echo::serve(&R::start(workers)),
        Kind::Threads => threads::run::<R>(peer, workers),
    }
}
