//! One measurement in this process: the hidden `measure`, which `compare` starts, and `op`, for other tools.
//!
//! `measure` prints one line of figures. `op` runs exactly n operations and nothing else: no warm-up, no helper, no
//! watchdog, so that whatever `callgrind`, `perf stat` or `strace -c -f` counts belongs to them or to start and end.

use crate::args::{Args, Failure};
use crate::go::Go;
use crate::peer::{Peer, Road};
use crate::workload::{Kind, Order, Setting, Stall, Workload, load_stalling};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

/// The hidden subcommand.
pub const MEASURE: &str = "measure";

/// What the line of figures begins with.
pub const FIGURES: &str = "figures";

/// So many lines of what a failed child told are its reason.
const LAST_WORDS: usize = 3;

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

    /// Runs it in a child process and returns the workload's figures. What the process wrote to stderr comes into `told`.
    pub fn run(&self, told: &mut String) -> Result<Vec<f64>, Failure> {
        match self.workload.kind {
            Kind::Stall(Stall::Echo) => load_stalling(self.command()?, self.ops, told),
            _ => figures_of(self.command()?, self.workload.figures.len(), told),
        }
    }

    fn command(&self) -> Result<Command, Failure> {
        if let (Some(Road::Go(words)), Some(go)) = ((self.peer.road)(self.workload.kind), self.go) {
            let order = Order { workload: self.workload, ops: self.ops, setting: Setting::Measured };
            return go.measure(&words, self.workers, &order, self.limit);
        }
        let mut command = Command::new(std::env::current_exe()?);
        command.args([MEASURE, self.workload.name, self.peer.name]);
        command.args([self.workers as u64, self.ops, self.limit].map(|number| number.to_string()));
        Ok(command)
    }
}

/// Runs a measuring process and returns its so many figures.
fn figures_of(mut command: Command, count: usize, told: &mut String) -> Result<Vec<f64>, Failure> {
    let output = command.stdin(Stdio::null()).output()?;
    told.push_str(&String::from_utf8_lossy(&output.stderr));
    // The figures count only if the process also ended well: the end of a runtime is part of it.
    if !output.status.success() {
        return Err(ended_badly(output.status, told));
    }
    let text = String::from_utf8(output.stdout)?;
    let figures = text
        .lines()
        .find_map(|line| line.strip_prefix(FIGURES))
        .ok_or("the measuring process printed no figures")?
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<Vec<f64>, _>>()?;
    if figures.len() != count || !figures.iter().all(|figure| figure.is_finite()) {
        return Err("the measuring process did not print the figures that it should".into());
    }
    Ok(figures)
}

/// What to say of a measuring process that failed, and told something or nothing.
pub fn ended_badly(status: ExitStatus, told: &str) -> Failure {
    let told: Vec<_> = told.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = told[told.len().saturating_sub(LAST_WORDS)..].join("; ");
    format!("the measuring process failed: {status}{}{last}", if last.is_empty() { "" } else { "; " }).into()
}

/// `measure <workload> <peer> <workers> <ops> <limit>`
pub fn measure(words: &[String]) -> Result<(), Failure> {
    let mut args = Args::new(words);
    let workload = Workload::one(&args.word::<String>("the workload")?)?;
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
    let workload = Workload::one(&args.word::<String>("the workload")?)?;
    let peer = Peer::find(&args.word::<String>("the peer")?)?;
    let ops = workload.possible(args.word("the number of operations")?)?;
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

#[cfg(test)]
mod tests {
    use super::figures_of;
    use std::process::Command;

    fn run(script: &str, count: usize) -> (Result<Vec<f64>, String>, String) {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let mut told = String::new();
        let result = figures_of(command, count, &mut told).map_err(|error| error.to_string());
        (result, told)
    }

    #[test]
    fn a_failed_process_is_told_with_its_last_words() {
        let (result, told) = run("echo first >&2; echo figures 1; printf '\n2\n3\n4' >&2; exit 3", 1);
        assert_eq!(result.unwrap_err(), "the measuring process failed: exit status: 3; 2; 3; 4");
        assert!(told.starts_with("first\n"), "{told}");
    }

    #[test]
    fn figures_are_as_many_numbers_as_were_ordered() {
        assert_eq!(run("echo before; echo figures 1 2.5; echo course >&2", 2), (Ok(vec![1.0, 2.5]), "course\n".into()));
        for script in ["echo figures 1", "echo figures 1 NaN", "echo figures 1 inf", "echo figures 1 x", "true"] {
            run(script, 2).0.unwrap_err();
        }
    }
}
