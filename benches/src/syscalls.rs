//! The system calls of one echo request, and of one connection that comes and goes: by name, for each peer.
//!
//! Each server runs bare (`op`), with its load generator beside it uncounted, twice: with some operations and with three times as
//! many. The difference of the two, divided by that of the operations, is free of start and end.
//!
//! `perf stat` counts at the tracepoints of the kernel and lets the server run as it would. Where it cannot (not installed, no right
//! to trace), `strace -c -f` counts, which stops the server at every call: who batches less when it is slower, or sleeps more, then
//! has other numbers; so the table says which of the two it was.

use crate::args::{Args, Failure};
use crate::go::Go;
use crate::machine;
use crate::peer::{GO, PEERS, Peer, Road};
use crate::row::median;
use crate::workload::{Kind, Network, Order, Setting, Workload};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What is shown in a row of its own; the rest is `others`. Different calls that do the same share a row.
const ROWS: &[(&str, &[&str])] = &[
    ("read", &["read", "readv", "recvfrom", "recvmsg"]),
    ("write", &["write", "writev", "sendto", "sendmsg"]),
    ("epoll_wait", &["epoll_wait", "epoll_pwait", "epoll_pwait2"]),
    ("epoll_ctl", &["epoll_ctl"]),
    ("io_uring_enter", &["io_uring_enter"]),
    ("accept", &["accept", "accept4"]),
    ("setsockopt", &["setsockopt"]),
    ("getsockname", &["getsockname", "getpeername", "getsockopt"]),
    ("fcntl", &["fcntl", "ioctl"]),
    ("shutdown", &["shutdown"]),
    ("close", &["close"]),
    ("futex", &["futex"]),
    ("sleep", &["nanosleep", "clock_nanosleep", "sched_yield", "tgkill"]),
    ("memory", &["brk", "madvise", "mmap", "munmap", "mprotect"]),
];

/// The rows of the network that are looked at, unless others are asked for.
const WORKLOADS: [&str; 2] = ["echo-small", "churn"];

/// A port that the kernel chooses.
const ANYWHERE: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0));

/// Where the kernel lists its tracepoints, if the file system is mounted.
const TRACEPOINTS: [&str; 2] = ["/sys/kernel/tracing/events/syscalls", "/sys/kernel/debug/tracing/events/syscalls"];

/// Calls by name; `total` is all of them.
type Counts = BTreeMap<String, f64>;

#[derive(Clone, Copy)]
enum Tool {
    Perf,
    Strace,
}

/// `syscalls [--only a,b] [--peers a,b] [--workers 1,2] [--reps n] [--scale x] [--go path]`
pub fn main(words: &[String]) -> Result<(), Failure> {
    let mut args = Args::new(words);
    let only: Option<Vec<String>> = args.list("--only")?;
    let peers: Option<Vec<String>> = args.list("--peers")?;
    let workers = args.list("--workers")?.unwrap_or(vec![1, 2]);
    let reps: usize = args.option("--reps")?.unwrap_or(3);
    let scale: f64 = args.option("--scale")?.unwrap_or(1.0);
    let go: Option<PathBuf> = args.option("--go")?;
    args.finish()?;
    let scale_is_sound = scale > 0.0 && f64::is_finite(scale);
    if workers.contains(&0) || reps == 0 || !scale_is_sound {
        return Err("--workers, --reps and --scale must be more than 0".into());
    }
    let only = only.unwrap_or_else(|| WORKLOADS.map(str::to_owned).to_vec());
    let workloads = only.iter().map(|name| Workload::one(name)).collect::<Result<Vec<_>, _>>()?;
    if let Some(other) = workloads.iter().find(|workload| !workload.is_served()) {
        return Err(format!("{} is no server under a load of so many operations", other.name).into());
    }
    let peers: Vec<&Peer> = match peers {
        None => PEERS.iter().collect(),
        Some(names) => names.iter().map(|name| Peer::find(name)).collect::<Result<_, _>>()?,
    };
    let go = if peers.iter().any(|peer| peer.name == GO) { Go::build(go)? } else { None };
    if go.is_none() {
        println!("go        none, so its column is left out");
    }
    let tool = Tool::find().ok_or("neither perf (with the right to trace system calls) nor strace is here")?;
    println!("counted   by {}", tool.name());
    machine::print();

    for workload in workloads {
        let columns: Vec<&Peer> =
            peers.iter().copied().filter(|peer| peer.has(workload.kind) && (peer.name != GO || go.is_some())).collect();
        for &workers in &workers {
            let ops = ((workload.ops as f64 * scale) as u64).max(1);
            let mut samples = vec![Vec::new(); columns.len()];
            for rep in 0..reps {
                for turn in 0..columns.len() {
                    let column = (rep + turn) % columns.len();
                    eprintln!("{}, workers {workers}, {}, repetition {}", workload.name, columns[column].name, rep + 1);
                    let run = |ops| {
                        let order = Order { workload, ops, setting: Setting::Bare { listen: ANYWHERE } };
                        count(tool, &bare(columns[column], workers, &order, go.as_ref().map(|(go, _)| go))?, &order)
                    };
                    samples[column].push(difference(&run(ops)?, &run(3 * ops)?, 2 * ops));
                }
            }
            print(workload.name, workers, &columns, &samples);
        }
    }
    Ok(())
}

impl Workload {
    /// Whether it is a server whose load has exactly so many operations.
    fn is_served(&self) -> bool {
        matches!(self.kind, Kind::Network(kind) if kind != Network::Http && kind != Network::Idle)
    }
}

impl Tool {
    fn find() -> Option<Tool> {
        let works = |mut command: Command| {
            let status = command.arg("true").stdout(Stdio::null()).stderr(Stdio::null()).status();
            status.is_ok_and(|status| status.success())
        };
        let mut perf = Command::new("perf");
        perf.args(["stat", "-e", "raw_syscalls:sys_enter,syscalls:sys_enter_read", "--"]);
        let mut strace = Command::new("strace");
        strace.args(["-c", "-f"]);
        if has_tracepoint("read") && works(perf) {
            Some(Tool::Perf)
        } else if works(strace) {
            Some(Tool::Strace)
        } else {
            None
        }
    }

    fn name(self) -> &'static str {
        match self {
            Tool::Perf => "perf stat",
            Tool::Strace => "strace -c -f, which slows the server down",
        }
    }

    /// The command to which what it is to count is added; it writes into this file.
    fn command(self, output: &Path) -> Command {
        let mut command = match self {
            Tool::Perf => {
                let mut events = "raw_syscalls:sys_enter".to_owned();
                for call in ROWS.iter().flat_map(|(_, calls)| *calls).filter(|call| has_tracepoint(call)) {
                    events.push_str(&format!(",syscalls:sys_enter_{call}"));
                }
                let mut command = Command::new("perf");
                command.args(["stat", "-x", ",", "-e", &events, "-o"]);
                command
            }
            Tool::Strace => {
                let mut command = Command::new("strace");
                command.args(["-c", "-f", "-o"]);
                command
            }
        };
        command.arg(output).arg("--");
        command
    }

    fn understand(self, told: &str) -> Counts {
        let mut counts = Counts::new();
        for line in told.lines() {
            match self {
                // count,,event,...
                Tool::Perf => {
                    let mut fields = line.split(',');
                    if let (Some(Ok(count)), Some(event)) = (fields.next().map(str::parse), fields.nth(1)) {
                        let name = event.strip_prefix("syscalls:sys_enter_").unwrap_or("total");
                        counts.insert(name.to_owned(), count);
                    }
                }
                // % time, seconds, usecs/call, calls, errors if any, name
                Tool::Strace => {
                    let fields: Vec<_> = line.split_whitespace().collect();
                    if let (Some(Ok(count)), Some(name)) = (fields.get(3).map(|field| field.parse()), fields.last()) {
                        counts.insert((*name).to_owned(), count);
                    }
                }
            }
        }
        counts
    }
}

fn has_tracepoint(call: &str) -> bool {
    TRACEPOINTS.iter().any(|directory| Path::new(directory).join(format!("sys_enter_{call}")).exists())
}

/// The program and the arguments that carry out an order bare.
fn bare(peer: &Peer, workers: usize, order: &Order, go: Option<&Go>) -> Result<Vec<OsString>, Failure> {
    let command = match ((peer.road)(order.workload.kind), go) {
        (Some(Road::Go(words)), Some(go)) => go.measure(&words, workers, order, 0)?,
        _ => {
            let mut command = Command::new(std::env::current_exe()?);
            command.args(["op", order.workload.name, peer.name, &order.ops.to_string()]);
            command.args(["--workers", &workers.to_string()]);
            command
        }
    };
    Ok([command.get_program()].into_iter().chain(command.get_args()).map(OsString::from).collect())
}

/// Runs a server under the tool, loads it, and returns what was counted.
fn count(tool: Tool, server: &[OsString], order: &Order) -> Result<Counts, Failure> {
    let output = std::env::temp_dir().join(format!("gambol-syscalls-{}", std::process::id()));
    let mut server = tool.command(&output).args(server).stdin(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let mut told = BufReader::new(server.stderr.take().ok_or("the server has no output")?).lines();
    let loaded = (|| {
        let hint = told.next().ok_or("the server ended before it listened")??;
        let address = hint.split_whitespace().rev().nth(1).ok_or("the server told no address")?;
        let load = Command::new(std::env::current_exe()?)
            .args(["load", order.workload.name, address, &order.ops.to_string()])
            .stdout(Stdio::null())
            .status()?;
        if load.success() { Ok(()) } else { Err(Failure::from(format!("the load failed: {load}"))) }
    })();
    if loaded.is_err() {
        // Not by SIGKILL: the tool passes this one on to the server.
        let _ = kill_process(Pid::from_child(&server), Signal::TERM);
    }
    told.map_while(Result::ok).for_each(|line| eprintln!("{line}"));
    let status = server.wait()?;
    let counts = fs::read_to_string(&output).map(|text| tool.understand(&text));
    let _ = fs::remove_file(&output);
    loaded?;
    if status.success() { Ok(counts?) } else { Err(format!("the server failed: {status}").into()) }
}

/// What one operation costs, by two runs whose operations differ by so many.
fn difference(few: &Counts, many: &Counts, ops: u64) -> Counts {
    let of = |counts: &Counts, name: &String| counts.get(name).copied().unwrap_or(0.0);
    many.keys().map(|name| (name.clone(), (of(many, name) - of(few, name)) / ops as f64)).collect()
}

fn print(workload: &str, workers: usize, columns: &[&Peer], samples: &[Vec<Counts>]) {
    let names: String = columns.iter().map(|peer| format!(" {:>8}", peer.name)).collect();
    println!("{:<16}{names}", format!("{workload}, {workers}"));
    let sum = |counts: &Counts, calls: &[&str]| calls.iter().filter_map(|call| counts.get(*call)).sum::<f64>();
    let cells = |of: &dyn Fn(&Counts) -> f64| -> Vec<f64> {
        samples.iter().map(|runs| median(&runs.iter().map(of).collect::<Vec<_>>()).unwrap_or(f64::NAN)).collect()
    };
    let line = |name: &str, cells: &[f64]| {
        let cells: String = cells.iter().map(|cell| format!(" {:>8}", number(*cell))).collect();
        println!("  {name:<14}{cells}");
    };
    for (name, calls) in ROWS {
        let cells = cells(&|counts| sum(counts, calls));
        if cells.iter().any(|cell| is_visible(*cell)) {
            line(name, &cells);
        }
    }
    let in_rows = |counts: &Counts| ROWS.iter().map(|(_, calls)| sum(counts, calls)).sum::<f64>();
    let others = cells(&|counts| sum(counts, &["total"]) - in_rows(counts));
    if others.iter().any(|cell| is_visible(*cell)) {
        line("others", &others);
    }
    line("all", &cells(&|counts| sum(counts, &["total"])));
    println!();
}

fn number(value: f64) -> String {
    if is_visible(value) { format!("{value:.3}") } else { "-".to_owned() }
}

/// Less than one in two thousand is noise of start and end.
fn is_visible(value: f64) -> bool {
    value.abs() >= 0.0005
}

#[cfg(test)]
mod tests {
    use super::{Tool, difference};

    #[test]
    fn what_the_tools_say_is_understood() {
        let perf =
            "# started on Sat\n\n400,,raw_syscalls:sys_enter,9,100.00,,\n200,,syscalls:sys_enter_read,9,100.00,,\n";
        let counts = Tool::Perf.understand(perf);
        assert_eq!((counts["total"], counts["read"], counts.len()), (400.0, 200.0, 2));
        let strace = "% time     seconds  usecs/call     calls    errors syscall\n------ ----------- ----------- --------- --------- ---\n\
             \x20 60.00    0.001000           5       200           read\n 40.00    0.001000           5       200        20 futex\n\
             ------ ----------- ----------- --------- --------- ----------------\n100.00    0.002000           5       400        20 total\n";
        let counts = Tool::Strace.understand(strace);
        assert_eq!((counts["total"], counts["read"], counts["futex"], counts.len()), (400.0, 200.0, 200.0, 3));
    }

    #[test]
    fn what_start_and_end_cost_falls_out() {
        let few = Tool::Perf.understand("130,,syscalls:sys_enter_read,9,100.00,,\n");
        let many =
            Tool::Perf.understand("330,,syscalls:sys_enter_read,9,100.00,,\n7,,syscalls:sys_enter_futex,9,100.00,,\n");
        let each = difference(&few, &many, 100);
        assert_eq!((each["read"], each["futex"]), (2.0, 0.07));
    }
}
