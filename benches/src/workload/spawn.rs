//! Spawn and join from a worker: what the `go` statement costs.
//!
//! A task spawns a thousand tasks that end at once, then joins them in order, again and again. A thousand is more than
//! any run queue of the peers holds locally, so that overflow is part of the price, as it is in a program that fans out.

use super::{Kind, RuntimeKind, Workload, check};
use crate::args::Failure;
use crate::figure::Figure;
use crate::meter::Stopwatch;
use crate::rt::Scheduler;

const BATCH: u64 = 1000;

pub const WORKLOAD: Workload = Workload {
    name: "spawn",
    about: "what it costs to spawn a task that ends at once from a worker, and to join it, in batches of 1000",
    kind: Kind::Runtime(RuntimeKind::Spawn),
    ops: 3_000_000,
    figures: &[Figure::cost("", "ns")],
};

pub fn run<S: Scheduler>(rt: &S, ops: u64) -> Result<Vec<f64>, Failure> {
    let (elapsed, joined) = rt.run(async move {
        let mut tasks = Vec::with_capacity(BATCH as usize);
        let mut joined = 0;
        let mut left = ops;
        let stopwatch = Stopwatch::start();
        while left > 0 {
            let batch = left.min(BATCH);
            tasks.extend((0..batch).map(|_| S::spawn(async { 1_u64 })));
            for task in tasks.drain(..) {
                joined += task.await;
            }
            left -= batch;
        }
        (stopwatch.read(), joined)
    });
    check("tasks were joined", joined, ops)?;
    Ok(vec![elapsed.wall_ns(ops)])
}
