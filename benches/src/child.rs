//! One measurement in this process: the hidden `measure`, which `compare` starts, and `op`, for other tools.
//!
//! `measure` prints one line of figures. `op` runs exactly n operations and nothing else: no warm-up, no helper, no
//! watchdog, so that whatever `callgrind`, `perf stat` or `strace -c -f` counts belongs to them or to start and end.

use crate::args::{Args, Failure};
use crate::go::Go;
use crate::peer::{Peer, Road};
use crate::workload::{Order, Setting, Workload};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

/// The hidden subcommand.
pub const MEASURE: &str = "measure";

/// What the line of figures begins with.
pub const FIGURES: &str = "figures";

/// What a child is to measure.
#[derive(Clone, Copy)]
pub struct Measurement<'a> {
    pub workload: &'static Workload,
    pub peer: &'static Peer,
    pub workers: usize,
    pub ops: u64,
    /// After so many seconds the child gives up.
    pub limit: u64,
    /// The Go program, if it could be built.
    pub go: Option<&'a Go>,
}

impl Measurement<'_> {
    /// Whether the peer has the thing, and is here.
    pub fn is_possible(&self) -> bool {
        match (self.peer.road)(self.workload.kind) {
            None => false,
            Some(Road::Here(_)) => true,
            Some(Road::Go(_)) => self.go.is_some(),
        }
    }

    /// Runs it in a child process and returns the workload's figures.
    pub fn run(&self) -> Result<Vec<f64>, Failure> {
        figures_of(self.command()?, self.workload.figures.len())
    }

    fn command(&self) -> Result<Command, Failure> {
        if let (Some(Road::Go(words)), Some(go)) = ((self.peer.road)(self.workload.kind), self.go) {
            let order = Order { workload: self.workload, ops: self.ops, setting: Setting::Measured };
            return Ok(go.measure(&words, self.workers, &order, self.limit));
        }
        let mut command = Command::new(std::env::current_exe()?);
        command.args([MEASURE, self.workload.name, self.peer.name]);
        command.args([self.workers as u64, self.ops, self.limit].map(|number| number.to_string()));
        Ok(command)
    }
}

/// Runs a measuring process and returns its so many figures.
pub fn figures_of(mut command: Command, count: usize) -> Result<Vec<f64>, Failure> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    // The figures count only if the process also ended well: the end of a runtime is part of it.
    if !output.status.success() {
        return Err(format!("the measuring process failed: {}", output.status).into());
    }
    let text = String::from_utf8(output.stdout)?;
    let figures = text
        .lines()
        .find_map(|line| line.strip_prefix(FIGURES))
        .ok_or("the measuring process printed no figures")?
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<Vec<f64>, _>>()?;
    if figures.len() != count {
        return Err("the measuring process printed too few or too many figures".into());
    }
    Ok(figures)
}

/// `measure <workload> <peer> <workers> <ops> <limit>`
pub fn measure(words: &[String]) -> Result<(), Failure> {
    let mut args = Args::new(words);
    let workload = one(&args.word::<String>("the workload")?)?;
    let peer = Peer::find(&args.word::<String>("the peer")?)?;
    let workers = args.word("the number of workers")?;
    let ops = args.word("the number of operations")?;
    let limit = args.word("the limit")?;
    args.finish()?;

    // A thread that sleeps disturbs nobody; a runtime that hangs must not hang the comparison.
    thread::spawn(move || {
        thread::sleep(Duration::from_secs(limit));
        eprintln!("{} on {} did not end within {limit} s", workload.name, peer.name);
        std::process::exit(1);
    });
    let Some(Road::Here(run)) = (peer.road)(workload.kind) else {
        return Err(absent(peer, workload));
    };
    let figures = run(workers, &Order { workload, ops, setting: Setting::Measured })?;
    let figures: Vec<_> = figures.iter().map(f64::to_string).collect();
    println!("{FIGURES} {}", figures.join(" "));
    Ok(())
}

/// `op <workload> <peer> <n> [--workers n] [--listen address] [--go path]`
pub fn op(words: &[String]) -> Result<(), Failure> {
    let mut args = Args::new(words);
    let workers = args.option("--workers")?.unwrap_or(1);
    let listen = args.option("--listen")?.unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let go: Option<PathBuf> = args.option("--go")?;
    let workload = one(&args.word::<String>("the workload")?)?;
    let peer = Peer::find(&args.word::<String>("the peer")?)?;
    let ops = args.word("the number of operations")?;
    args.finish()?;

    let order = Order { workload, ops, setting: Setting::Bare { listen } };
    match (peer.road)(workload.kind) {
        None => Err(absent(peer, workload)),
        Some(Road::Here(run)) => run(workers, &order).map(drop),
        Some(Road::Go(words)) => {
            let go = Go::built(go)?.ok_or("there is no go in PATH; --go names one")?;
            Err(go.become_it(&words, workers, &order))
        }
    }
}

fn absent(peer: &Peer, workload: &Workload) -> Failure {
    format!("{} has no {}", peer.name, workload.name).into()
}

/// The workload of this name, which means no other.
pub fn one(name: &str) -> Result<&'static Workload, Failure> {
    match Workload::find(name)?[..] {
        [workload] => Ok(workload),
        _ => Err(format!("`{name}` means several workloads").into()),
    }
}
