//! All measurements, in turns.
//!
//! For each workload and number of workers, every repetition measures each peer once, each in a child process, and every
//! repetition begins with another peer. So the peers that are compared run within seconds of each other, and none is always the first after a pause. The figure is the median over the repetitions, shown with its spread.

use crate::args::{Args, Failure};
use crate::child::Measurement;
use crate::go::Go;
use crate::machine;
use crate::peer::{GO, PEERS, Peer};
use crate::table::{self, Row};
use crate::workload::{WORKLOADS, Workload};
use std::mem;

struct Plan {
    workloads: Vec<&'static Workload>,
    /// Workloads that cannot be measured, and the programs that they need.
    left_out: Vec<(&'static str, &'static str)>,
    peers: Vec<&'static Peer>,
    workers: Vec<usize>,
    reps: usize,
    scale: f64,
    /// The Go program and the version of its toolchain.
    go: Option<(Go, String)>,
}

/// `compare [--only a,b] [--peers a,b] [--workers 1,2] [--reps n] [--scale x] [--go path]`
pub fn main(words: &[String]) -> Result<(), Failure> {
    let plan = Plan::parse(words)?;
    match &plan.go {
        Some((_, version)) => println!("go        {version}"),
        None => println!("go        none, so its column shows -"),
    }
    machine::print();
    for (workload, program) in &plan.left_out {
        println!("{workload} is left out: there is no {program} here");
    }
    let mut failures = Vec::new();
    let mut head = Vec::new();
    for workload in &plan.workloads {
        let columns = plan.columns(workload);
        let names: Vec<_> = columns.iter().map(|peer| peer.name).collect();
        if head != names {
            if !head.is_empty() {
                println!();
            }
            table::print_head(&columns);
            head = names;
        }
        for &workers in &plan.workers {
            for row in plan.measure(workload, workers, &mut failures) {
                row.print();
                failures.extend(row.broken_promise());
            }
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(format!("failed:\n{}", failures.join("\n")).into()) }
}

impl Plan {
    fn parse(words: &[String]) -> Result<Self, Failure> {
        let mut args = Args::new(words);
        let only: Option<Vec<String>> = args.list("--only")?;
        let peers: Option<Vec<String>> = args.list("--peers")?;
        let workers = args.list("--workers")?.unwrap_or(vec![1, 2]);
        let reps = args.option("--reps")?.unwrap_or(3);
        let scale = args.option("--scale")?.unwrap_or(1.0);
        let go = args.option("--go")?;
        args.finish()?;
        let scale_is_sound = scale > 0.0 && f64::is_finite(scale);
        if workers.contains(&0) || reps == 0 || !scale_is_sound {
            return Err("--workers, --reps and --scale must be more than 0".into());
        }

        let mut workloads = Vec::new();
        match only {
            None => workloads.extend(WORKLOADS),
            Some(names) => {
                for name in names {
                    workloads.extend(Workload::find(&name)?);
                }
            }
        }
        let left_out: Vec<_> =
            workloads.iter().filter_map(|workload| Some((workload.name, workload.lacks()?))).collect();
        workloads.retain(|workload| left_out.iter().all(|(name, _)| *name != workload.name));
        let peers: Vec<&Peer> = match peers {
            None => PEERS.iter().collect(),
            Some(names) => names.iter().map(|name| Peer::find(name)).collect::<Result<_, _>>()?,
        };
        let go = if peers.iter().any(|peer| peer.name == GO) { Go::build(go)? } else { None };
        Ok(Plan { workloads, left_out, peers, workers, reps, scale, go })
    }

    /// The peers that have anything of the workload's kind.
    fn columns(&self, workload: &Workload) -> Vec<&'static Peer> {
        let kind = mem::discriminant(&workload.kind);
        let is_akin = |other: &&Workload| mem::discriminant(&other.kind) == kind;
        let has_any = |peer: &&Peer| WORKLOADS.iter().filter(is_akin).any(|other| peer.has(other.kind));
        self.peers.iter().copied().filter(has_any).collect()
    }

    /// Measures one workload on all peers that have it and returns a row for each of its figures.
    fn measure(&self, workload: &'static Workload, workers: usize, failures: &mut Vec<String>) -> Vec<Row> {
        let wanted = ((workload.ops as f64 * self.scale) as u64).max(1);
        let ops = match workload.possible(wanted) {
            Ok(ops) => ops,
            Err(error) => {
                failures.push(format!("{}: {error}", workload.name));
                return Vec::new();
            }
        };
        let limit = (60.0 * self.scale.max(1.0)) as u64;
        let columns = self.columns(workload);
        let measurement =
            |peer| Measurement { workload, peer, workers, ops, limit, go: self.go.as_ref().map(|(go, _)| go) };
        let possible: Vec<_> = columns.iter().map(|&peer| measurement(peer).is_possible()).collect();
        let mut rows: Vec<_> = workload
            .figures
            .iter()
            .map(|figure| {
                Row::new(workload.name, workers, figure, columns.iter().copied().zip(possible.iter().copied()))
            })
            .collect();
        for rep in 0..self.reps {
            for turn in 0..columns.len() {
                let column = (rep + turn) % columns.len();
                if !possible[column] {
                    continue;
                }
                let peer = columns[column];
                let what = format!("{}, workers {workers}, {}, repetition {}", workload.name, peer.name, rep + 1);
                eprintln!("{what} of {}", self.reps);
                match measurement(peer).run() {
                    Ok(figures) => {
                        for (row, figure) in rows.iter_mut().zip(figures) {
                            row.add(column, figure);
                        }
                    }
                    Err(error) => failures.push(format!("{what}: {error}")),
                }
            }
        }
        rows
    }
}
