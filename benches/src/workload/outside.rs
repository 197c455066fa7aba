//! Spawn and join from a plain thread: what it costs to hand work over from foreign code, such as a callback or a
//! synchronous `main`.
//!
//! In batches, as from a worker; the thread joins them in `block_on`. The road is the shared queue and the wake-up of a
//! worker, neither of which the spawn from a worker needs.

use super::{Kind, RuntimeKind, Workload, check};
use crate::args::Failure;
use crate::figure::Figure;
use crate::meter::Stopwatch;
use crate::rt::Runtime;

const BATCH: u64 = 1000;

pub const WORKLOAD: Workload = Workload {
    name: "outside",
    about: "what it costs to spawn a task that ends at once from a plain thread, and to join it, in batches of 1000",
    kind: Kind::Runtime(RuntimeKind::Outside),
    ops: 1_000_000,
    figures: &[Figure::cost("", "ns")],
};

pub fn run<R: Runtime>(rt: &R, ops: u64) -> Result<Vec<f64>, Failure> {
    let mut tasks = Vec::with_capacity(BATCH as usize);
    let mut joined = 0;
    let mut left = ops;
    let stopwatch = Stopwatch::start();
    while left > 0 {
        let batch = left.min(BATCH);
        tasks.extend((0..batch).map(|_| rt.spawn_from_outside(async { 1_u64 })));
        joined += rt.block_on(async {
            let mut joined = 0;
            for task in tasks.drain(..) {
                joined += task.await;
            }
            joined
        });
        left -= batch;
    }
    let elapsed = stopwatch.read();
    check("tasks were joined", joined, ops)?;
    Ok(vec![elapsed.wall_ns(ops)])
}
