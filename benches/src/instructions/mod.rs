//! What the hot paths cost in instructions, locked instructions, allocations and frees, counted by callgrind: numbers that a
//! busy machine does not blur, beside those that are checked in.
//!
//! Each path is a workload that `op` carries out at one worker, once with few operations and once with many; what is shown is the
//! difference, divided by that of the operations, so that start and end fall out. All threads count but gambol's
//! monitor: it looks by the clock, and under callgrind everything else takes some fifty times as long. For the same reason a
//! worker's looks at the clock (`executor/src/worker/check.rs`) are left out: here they come with nearly every turn, otherwise
//! every 32 turns or 10 µs. With them the instructions of a ping-pong differ by 5 % from run to run, without them by 0.1 %. Where
//! poller and timers are the point, what a look finds there is counted all the same.
//!
//! *Tried*: `perf stat`, whose hardware counters virtual machines hide; the inclusive cost of the look taken off afterwards,
//! which is known of instructions only.
//!
//! Where to go next: `profile` for what is read of callgrind's files, `code` for which instructions lock, `baseline` for
//! the comparison.

mod baseline;
mod code;
mod profile;

use crate::args::{Args, Failure};
use crate::machine;
use crate::peer::{OURS, Peer};
use crate::workload::Workload;
use baseline::{Baseline, Verdict};
use code::Code;
use profile::{Counts, LOOK, POLLING_LOOK};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};

/// A hot path.
#[derive(Clone, Copy)]
struct HotPath {
    /// The workload's name.
    name: &'static str,
    /// Operations of the shorter run.
    few: u64,
    /// Runs of either length, of which the one with the fewest instructions counts. More than one where the order in which tasks
    /// run, or whether a thread sleeps, is left to time: it only adds.
    runs: usize,
    /// It serves a load generator, and what a worker finds in the poller at a look is part of it.
    serves: bool,
}

/// All of them, in the order of the table.
const PATHS: &[HotPath] = &[
    HotPath { name: "spawn", few: 10_000, runs: 5, serves: false },
    HotPath { name: "detached", few: 10_000, runs: 5, serves: false },
    HotPath { name: "yield", few: 20_000, runs: 1, serves: false },
    HotPath { name: "token", few: 10_000, runs: 1, serves: false },
    HotPath { name: "pingpong-0", few: 5_000, runs: 1, serves: false },
    HotPath { name: "pingpong-1", few: 5_000, runs: 1, serves: false },
    HotPath { name: "message-1:1-0", few: 10_000, runs: 1, serves: false },
    HotPath { name: "message-1:1-1", few: 10_000, runs: 1, serves: false },
    HotPath { name: "message-1:1-128", few: 20_000, runs: 1, serves: false },
    HotPath { name: "select-2", few: 20_000, runs: 1, serves: false },
    HotPath { name: "timeout", few: 10_000, runs: 1, serves: false },
    HotPath { name: "sleep-1ms", few: 100, runs: 3, serves: false },
    HotPath { name: "mutex-short", few: 20_000, runs: 1, serves: false },
    HotPath { name: "mutex-held", few: 10_000, runs: 1, serves: false },
    HotPath { name: "cancel-tree", few: 10_000, runs: 1, serves: false },
    HotPath { name: "echo-small", few: 2_000, runs: 3, serves: true },
];

/// How many times as many operations the second run has.
const FACTOR: u64 = 5;

/// `instructions [--only a,b] [--peers a,b] [--bless]`
pub fn main(words: &[String]) -> Result<(), Failure> {
    let mut args = Args::new(words);
    let only: Option<Vec<String>> = args.list("--only")?;
    let others: Vec<String> = args.list("--peers")?.unwrap_or_default();
    let bless = args.flag("--bless");
    args.finish()?;
    if cfg!(debug_assertions) {
        return Err("instructions are counted in a release build: cargo run --release".into());
    }
    if Command::new("valgrind").arg("--version").stdout(Stdio::null()).status().is_err() {
        return Err(
            "there is no valgrind in PATH, whose callgrind counts the instructions; distributions have a package \
                    of that name"
                .into(),
        );
    }
    let paths = paths(only)?;
    let mut peers = vec![Peer::find(OURS)?];
    for name in others.iter().filter(|name| *name != OURS) {
        peers.push(Peer::find(name)?);
    }

    let mut baseline = Baseline::load()?;
    let elsewhere = baseline.made_elsewhere();
    if bless && paths.len() < PATHS.len() && elsewhere.is_some() {
        return Err("the baseline was made with other tools; bless all paths, without --only".into());
    }
    machine::print();
    if !code::IS_KNOWN {
        println!("locked instructions are known of x86-64 only; here they show as 0\n");
    }
    print_head();
    let mut counting = Counting::new()?;
    let mut failures = Vec::new();
    for path in paths {
        let name = path.name;
        let workload = Workload::one(name)?;
        for peer in peers.iter().filter(|peer| peer.has(workload.kind)) {
            let counts = counting.difference(workload, peer, path)?;
            let change = if peer.name != OURS {
                String::new()
            } else if bless {
                baseline.replace(name, &counts);
                "blessed".to_owned()
            } else {
                match baseline.judge(name, &counts) {
                    Verdict::Holds(change) => percent(change),
                    Verdict::Worse(change, text) => {
                        failures.push(text);
                        percent(change)
                    }
                    Verdict::Unknown => {
                        failures.push(format!("{name}: not in the baseline; --bless puts it there"));
                        "-".to_owned()
                    }
                }
            };
            print_row(name, peer, &counts, &change);
        }
    }
    if !counting.has_seen_monitor {
        return Err(
            "no thread was gambol's monitor: the function by which `profile.rs` knows it has another name now".into()
        );
    }
    if bless {
        let order: Vec<_> = PATHS.iter().map(|path| path.name).collect();
        return baseline.save(&order);
    }
    match (failures.is_empty(), elsewhere) {
        (true, _) => Ok(()),
        (false, None) => Err(format!("beyond the baseline:\n{}", failures.join("\n")).into()),
        (false, Some(elsewhere)) => {
            println!("\nnot a failure, since the baseline was made with {elsewhere}:\n{}", failures.join("\n"));
            Ok(())
        }
    }
}

/// The paths that were chosen, in the order of the list.
fn paths(only: Option<Vec<String>>) -> Result<Vec<HotPath>, Failure> {
    let Some(names) = only else {
        return Ok(PATHS.to_vec());
    };
    let mut chosen = Vec::new();
    for name in names {
        for workload in Workload::find(&name)? {
            chosen.push(workload.name);
        }
    }
    let paths: Vec<_> = PATHS.iter().copied().filter(|path| chosen.contains(&path.name)).collect();
    if paths.is_empty() {
        let known: Vec<_> = PATHS.iter().map(|path| path.name).collect();
        return Err(format!("none of these is a hot path; there are: {}", known.join(", ")).into());
    }
    Ok(paths)
}

/// Runs under callgrind, with a directory for what it writes.
struct Counting {
    directory: PathBuf,
    code: Code,
    /// In some run so far there was a thread that was left out. A run may be so short that the monitor does nothing.
    has_seen_monitor: bool,
}

impl Counting {
    fn new() -> Result<Self, Failure> {
        let directory = std::env::temp_dir().join(format!("gambol-instructions-{}", std::process::id()));
        fs::create_dir(&directory)?;
        Ok(Counting { directory, code: Code::default(), has_seen_monitor: false })
    }

    /// What one operation costs.
    fn difference(&mut self, workload: &Workload, peer: &Peer, path: HotPath) -> Result<Counts, Failure> {
        let (few, many) = (path.few, path.few * FACTOR);
        let difference = self.least(workload, peer, path, many)? - self.least(workload, peer, path, few)?;
        Ok(difference.per((many - few) as f64))
    }

    /// Of its runs, the one that took the fewest instructions.
    fn least(&mut self, workload: &Workload, peer: &Peer, path: HotPath, ops: u64) -> Result<Counts, Failure> {
        let mut least = self.run(workload, peer, path, ops)?;
        for _ in 1..path.runs {
            let next = self.run(workload, peer, path, ops)?;
            if next.instructions < least.instructions {
                least = next;
            }
        }
        Ok(least)
    }

    /// What so many operations cost together with start and end.
    fn run(&mut self, workload: &Workload, peer: &Peer, path: HotPath, ops: u64) -> Result<Counts, Failure> {
        let profile = self.directory.join("profile");
        let mut command = Command::new("valgrind");
        command.args(["--tool=callgrind", "--dump-instr=yes", "--separate-threads=yes", "--collect-systime=yes"]);
        command.args(["--compress-strings=no", "--compress-pos=no"]);
        // Turned off where a look begins, and on again where it ends; the other way round for the part that polls, which stands in it.
        command.arg(format!("--toggle-collect=*{LOOK}"));
        if path.serves {
            command.arg(format!("--toggle-collect=*{POLLING_LOOK}"));
        }
        // After these: a toggle begins turned off.
        command.arg("--collect-atstart=yes");
        command.arg(format!("--callgrind-out-file={}", profile.display()));
        command.arg(format!("--log-file={}", self.directory.join("log").display()));
        command.arg(std::env::current_exe()?).args(["op", workload.name, peer.name, &ops.to_string()]);
        execute(command, path.serves).map_err(|error| format!("{} on {}: {error}", workload.name, peer.name))?;

        let mut counts = Counts::default();
        for entry in fs::read_dir(&self.directory)? {
            let path = entry?.path();
            if is_thread(&path) {
                let thread = profile::read(&fs::read_to_string(&path)?, &mut self.code)?;
                self.has_seen_monitor |= thread.is_monitor;
                if !thread.is_monitor {
                    counts = counts.plus(thread.counts);
                }
            }
            fs::remove_file(&path)?;
        }
        Ok(counts)
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        // What is left in the directory for temporary files is no reason to fail.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Whether callgrind wrote a thread's profile there: `profile-` and its number.
fn is_thread(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("profile-"))
}

/// Runs `op` to its end; a server with a load generator in a process of its own.
fn execute(mut command: Command, is_server: bool) -> Result<(), Failure> {
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let mut running = Running(child);
    let mut says = BufReader::new(running.0.stderr.take().ok_or("its errors are not to be had")?);
    if is_server {
        load(&mut says)?;
    }
    let mut text = String::new();
    says.read_to_string(&mut text)?;
    if running.0.wait()?.success() { Ok(()) } else { Err(text.trim().into()) }
}

/// Waits for the line in which the server says how it is to be loaded, and does so.
fn load(says: &mut BufReader<ChildStderr>) -> Result<(), Failure> {
    let mut line = String::new();
    says.read_line(&mut line)?;
    let words: Vec<_> = line.split_whitespace().skip_while(|word| *word != "load").collect();
    if words.is_empty() {
        return Err(format!("the server did not listen: {line}").into());
    }
    let output = Command::new(std::env::current_exe()?).args(words).stdin(Stdio::null()).output()?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).trim().into()) }
}

/// A process that ends with its owner.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended, or nobody waits for what it does.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn print_head() {
    println!(
        "{:<16} {:<8} {:>12} {:>9} {:>8} {:>12} {:>7} {:>13} {:>12}",
        "for one", "peer", "instructions", "change", "locked", "allocations", "frees", "system calls", "clock reads"
    );
}

fn print_row(path: &str, peer: &Peer, counts: &Counts, change: &str) {
    // A difference of nothing may come out as a hair less.
    let number = |count: f64, digits: usize| format!("{:.digits$}", if count.abs() < 0.005 { 0.0 } else { count });
    println!(
        "{path:<16} {:<8} {:>12} {change:>9} {:>8} {:>12} {:>7} {:>13} {:>12}",
        peer.name,
        number(counts.instructions, 1),
        number(counts.locked, 2),
        number(counts.allocations, 2),
        number(counts.frees, 2),
        number(counts.system_calls, 2),
        number(counts.clock_reads, 2),
    );
}

fn percent(change: f64) -> String {
    format!("{:+.1} %", change * 100.0)
}

#[cfg(test)]
mod tests {
    use super::{PATHS, Workload, paths};
    use crate::peer::{OURS, Peer};

    #[test]
    fn every_hot_path_is_a_workload_of_ours() {
        for path in PATHS {
            assert!(Peer::find(OURS).unwrap().has(Workload::one(path.name).unwrap().kind), "{}", path.name);
        }
    }

    #[test]
    fn paths_are_chosen_by_their_first_word_and_keep_their_order() {
        let chosen = |names: [&str; 2]| paths(Some(names.map(str::to_owned).to_vec()));
        let names: Vec<_> = chosen(["pingpong", "spawn"]).unwrap().iter().map(|path| path.name).collect();
        assert_eq!(names, ["spawn", "pingpong-0", "pingpong-1"]);
        // A workload, but none of the paths.
        assert!(chosen(["memory", "sieve"]).is_err());
    }
}
