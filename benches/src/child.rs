//! One measurement in this process: the hidden `measure`, which `probe` starts, and `op`, for other tools.
//!
//! `measure` prints one line of figures. `op` runs exactly n operations and nothing else: no warm-up, no helper, no
//! watchdog, so that whatever `callgrind`, `perf stat` or `strace -c -f` counts belongs to them or to start and end.

use crate::args::{Args, Failure};
use crate::rt::Peer;
use crate::workload::{Order, Setting, Workload};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

/// The hidden subcommand.
pub const MEASURE: &str = "measure";

const FIGURES: &str = "figures";

/// What a child is to measure.
#[derive(Clone, Copy)]
pub struct Measurement {
    pub workload: &'static Workload,
    pub peer: &'static Peer,
    pub workers: usize,
    pub ops: u64,
    /// After so many seconds the child gives up.
    pub limit: u64,
}

impl Measurement {
    /// Runs it in a child process and returns the workload's figures.
    pub fn run(&self) -> Result<Vec<f64>, Failure> {
        let numbers = [self.workers as u64, self.ops, self.limit].map(|number| number.to_string());
        let output = Command::new(std::env::current_exe()?)
            .args([MEASURE, self.workload.name, self.peer.name])
            .args(numbers)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()?;
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
        if figures.len() != self.workload.figures.len() {
            return Err("the measuring process printed too few or too many figures".into());
        }
        Ok(figures)
    }
}

/// `measure <workload> <runtime> <workers> <ops> <limit>`
pub fn measure(words: &[String]) -> Result<(), Failure> {
    let mut args = Args::new(words);
    let workload = one(&args.word::<String>("the workload")?)?;
    let peer = Peer::find(&args.word::<String>("the runtime")?)?;
    let workers = args.word("the number of workers")?;
    let ops = args.word("the number of operations")?;
    let limit = args.word("the limit")?;
    args.finish()?;

    // A thread that sleeps disturbs nobody; a runtime that hangs must not hang the probe.
    thread::spawn(move || {
        thread::sleep(Duration::from_secs(limit));
        eprintln!("{} on {} did not end within {limit} s", workload.name, peer.name);
        std::process::exit(1);
    });
    let figures = (peer.run)(workers, &Order { workload, ops, setting: Setting::Measured })?;
    let figures: Vec<_> = figures.iter().map(f64::to_string).collect();
    println!("{FIGURES} {}", figures.join(" "));
    Ok(())
}

/// `op <workload> <runtime> <n> [--workers n] [--listen address]`
pub fn op(words: &[String]) -> Result<(), Failure> {
    let mut args = Args::new(words);
    let workers = args.option("--workers")?.unwrap_or(1);
    let listen = args.option("--listen")?.unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let workload = one(&args.word::<String>("the workload")?)?;
    let peer = Peer::find(&args.word::<String>("the runtime")?)?;
    let ops = args.word("the number of operations")?;
    args.finish()?;

    (peer.run)(workers, &Order { workload, ops, setting: Setting::Bare { listen } })?;
    Ok(())
}

fn one(name: &str) -> Result<&'static Workload, Failure> {
    match Workload::find(name)?[..] {
        [workload] => Ok(workload),
        _ => Err(format!("`{name}` means several workloads").into()),
    }
}
