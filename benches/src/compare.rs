//! All measurements, in turns.
//!
//! For each workload and number of workers, every repetition measures each peer once, each in a child process, and every
//! repetition begins with another peer. So the peers that are compared run within seconds of each other, and none is
//! always the first after a pause. The figure is the median over the repetitions, shown with its spread.

use crate::args::{Args, Failure};
use crate::child::Measurement;
use crate::go::Go;
use crate::machine::{self, Place};
use crate::peer::{GO, PEERS, Peer};
use crate::progress::Progress;
use crate::results::{Results, Run};
use crate::row::Row;
use crate::table;
use crate::workload::{WORKLOADS, Workload};
use std::mem;
use std::path::PathBuf;

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
    /// Where the results go.
    out: Option<PathBuf>,
}

/// `compare [--only a,b] [--except a,b] [--peers a,b] [--workers 1,2] [--reps n] [--scale x] [--go path] [--out path]`
pub fn main(words: &[String]) -> Result<(), Failure> {
    let plan = Plan::parse(words)?;
    let mut results = Results::new(Place::find_out(), plan.run());
    println!("go          {}", results.run.go.as_deref().unwrap_or("none, so its column shows -"));
    machine::print_facts(&results.place);
    println!("load        {} at the start", results.run.load);
    println!("command     {}\n", results.run.command);
    // What cannot be written is to be known before the hours.
    plan.save(&results)?;
    for (workload, program) in &plan.left_out {
        println!("{workload} is left out: there is no {program} here");
    }
    let (measurements, seconds) = plan.size();
    let mut progress = Progress::start(measurements, seconds);
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
            for row in plan.measure(workload, workers, &mut progress, &mut failures) {
                table::print(&row);
                failures.extend(row.broken_promise());
                results.rows.push(row);
            }
            plan.save(&results)?;
        }
    }
    results.run.ended = Some(machine::date());
    plan.save(&results)?;
    table::print_summary(&results.rows);
    if failures.is_empty() { Ok(()) } else { Err(format!("failed:\n{}", failures.join("\n")).into()) }
}

impl Plan {
    fn parse(words: &[String]) -> Result<Self, Failure> {
        let mut args = Args::new(words);
        let only: Option<Vec<String>> = args.list("--only")?;
        let except: Vec<String> = args.list("--except")?.unwrap_or_default();
        let peers: Option<Vec<String>> = args.list("--peers")?;
        let workers = args.list("--workers")?.unwrap_or(vec![1, 2]);
        let reps = args.option("--reps")?.unwrap_or(3);
        let scale = args.option("--scale")?.unwrap_or(1.0);
        let go = args.option("--go")?;
        let out = args.option("--out")?;
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
        for name in except {
            let unwanted = Workload::find(&name)?;
            workloads.retain(|workload| unwanted.iter().all(|unwanted| unwanted.name != workload.name));
        }
        let left_out: Vec<_> =
            workloads.iter().filter_map(|workload| Some((workload.name, workload.lacks()?))).collect();
        workloads.retain(|workload| left_out.iter().all(|(name, _)| *name != workload.name));
        let peers: Vec<&Peer> = match peers {
            None => PEERS.iter().collect(),
            Some(names) => names.iter().map(|name| Peer::find(name)).collect::<Result<_, _>>()?,
        };
        let go = if peers.iter().any(|peer| peer.name == GO) { Go::build(go)? } else { None };
        Ok(Plan { workloads, left_out, peers, workers, reps, scale, go, out })
    }

    /// What the results say of the run, which begins.
    fn run(&self) -> Run {
        Run {
            command: machine::command(),
            begun: machine::date(),
            ended: None,
            load: machine::load(),
            go: self.go.as_ref().map(|(_, version)| version.clone()),
            reps: self.reps,
            scale: self.scale,
        }
    }

    fn save(&self, results: &Results) -> Result<(), Failure> {
        self.out.as_ref().map_or(Ok(()), |path| results.write(path))
    }

    /// The peers that have anything of the workload's kind.
    fn columns(&self, workload: &Workload) -> Vec<&'static Peer> {
        let kind = mem::discriminant(&workload.kind);
        let is_akin = |other: &&Workload| mem::discriminant(&other.kind) == kind;
        let has_any = |peer: &&Peer| WORKLOADS.iter().filter(is_akin).any(|other| peer.has(other.kind));
        self.peers.iter().copied().filter(has_any).collect()
    }

    /// The operations of one measurement.
    fn wanted(&self, workload: &Workload) -> u64 {
        ((workload.ops as f64 * self.scale) as u64).max(1)
    }

    fn measurement(&self, workload: &'static Workload, workers: usize, peer: &'static Peer) -> Measurement<'_> {
        let wanted = self.wanted(workload);
        // As many as there can be; `measure` refuses where these are too few.
        let ops = workload.possible(wanted).unwrap_or(wanted);
        // Where every task that blocks keeps a worker, `stall-threads` takes a minute with one.
        let limit = (120.0 * self.scale.max(1.0)) as u64;
        Measurement { workload, peer, workers, ops, limit, go: self.go.as_ref().map(|(go, _)| go) }
    }

    /// How many measurements there are, and how many seconds they may take.
    fn size(&self) -> (usize, f64) {
        let (mut measurements, mut seconds) = (0, 0.0);
        for workload in &self.workloads {
            let columns = self.columns(workload);
            let possible = columns.into_iter().filter(|peer| self.measurement(workload, 1, peer).is_possible()).count();
            let possible = possible * self.workers.len() * self.reps;
            measurements += possible;
            seconds += possible as f64 * workload.seconds(self.scale);
        }
        (measurements, seconds)
    }

    /// Measures one workload on all peers that have it and returns a row for each of its figures.
    fn measure(
        &self,
        workload: &'static Workload,
        workers: usize,
        progress: &mut Progress,
        failures: &mut Vec<String>,
    ) -> Vec<Row> {
        if let Err(error) = workload.possible(self.wanted(workload)) {
            failures.push(format!("{}: {error}", workload.name));
            return Vec::new();
        }
        let columns = self.columns(workload);
        let measurement = |peer| self.measurement(workload, workers, peer);
        let possible: Vec<_> = columns.iter().map(|&peer| measurement(peer).is_possible()).collect();
        let peers = || columns.iter().copied().zip(possible.iter().copied());
        let mut rows: Vec<_> =
            workload.figures.iter().map(|figure| Row::new(workload, workers, figure, peers())).collect();
        for rep in 0..self.reps {
            for turn in 0..columns.len() {
                let column = (rep + turn) % columns.len();
                if !possible[column] {
                    continue;
                }
                let peer = columns[column];
                let repetition = format!("repetition {} of {}", rep + 1, self.reps);
                let what = format!("{}, workers {workers}, {}, {repetition}", workload.name, peer.name);
                progress.begin(&what);
                let mut told = String::new();
                let outcome = measurement(peer).run(&mut told);
                progress.end(workload.seconds(self.scale));
                for line in told.lines() {
                    eprintln!("{what}: {line}");
                }
                match outcome {
                    Ok(figures) => {
                        for (row, figure) in rows.iter_mut().zip(figures) {
                            row.columns[column].samples.push(figure);
                        }
                    }
                    Err(error) => {
                        for row in &mut rows {
                            row.columns[column].failed.push(format!("{repetition}: {error}"));
                        }
                        failures.push(format!("{what}: {error}"));
                    }
                }
            }
        }
        rows
    }
}
