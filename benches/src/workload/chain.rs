//! A chain of spawns: each task spawns the next and ends. What a link costs.
//!
//! One task is ready at a time, and always a new one: nothing can be done in parallel, and whoever wakes a second worker for each
//! spawn pays for it here. Nobody is joined; the last task says that it was the last.

use super::{Kind, RuntimeKind, Workload, check};
use crate::args::Failure;
use crate::figure::Figure;
use crate::meter::{Elapsed, Stopwatch};
use crate::rt::Scheduler;
use std::sync::mpsc::{self, Sender};

pub const WORKLOAD: Workload = Workload {
    name: "chain",
    about: "what a task costs that spawns the next and ends, one being ready at a time",
    kind: Kind::Runtime(RuntimeKind::Chain),
    ops: 3_000_000,
    figures: &[Figure::cost("link", "ns")],
};

/// What goes from link to link.
struct Chain {
    stopwatch: Stopwatch,
    /// Links that have begun.
    begun: u64,
    left: u64,
    /// To the plain thread that waits for the end.
    end: Sender<(Elapsed, u64)>,
}

pub fn run<S: Scheduler>(rt: &S, ops: u64) -> Result<Vec<f64>, Failure> {
    let (end, ended) = mpsc::channel();
    rt.run(async move { link::<S>(Chain { stopwatch: Stopwatch::start(), begun: 0, left: ops, end }) });
    let (elapsed, links) = ended.recv()?;
    check("links were spawned", links, ops)?;
    Ok(vec![elapsed.wall_ns(ops)])
}

fn link<S: Scheduler>(mut chain: Chain) {
    S::spawn_detached(async move {
        chain.begun += 1;
        chain.left -= 1;
        if chain.left > 0 {
            link::<S>(chain);
        } else {
            // Whoever waits for it does so until it comes.
            let _ = chain.end.send((chain.stopwatch.read(), chain.begun));
        }
    });
}
