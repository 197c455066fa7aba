//! Spawn from a worker without a join: what the `go` statement costs when nobody waits for the task.
//!
//! A task spawns a thousand others that each count themselves, and yields until all have; again and again. So there is one
//! addition to a shared counter in each task, and hardly a yield.

use super::{Kind, RuntimeKind, Workload, check};
use crate::args::Failure;
use crate::figure::Figure;
use crate::meter::Stopwatch;
use crate::rt::Runtime;
use std::sync::atomic::{AtomicU64, Ordering};

const BATCH: u64 = 1000;

pub const WORKLOAD: Workload = Workload {
    name: "detached",
    about: "what it costs to spawn a task that nobody joins",
    kind: Kind::Runtime(RuntimeKind::Detached),
    ops: 3_000_000,
    figures: &[Figure::cost("", "ns")],
};

/// Tasks that have run, of all batches. A static, because a counted reference would cost each task two more additions.
static RUN: AtomicU64 = AtomicU64::new(0);

pub fn run<R: Runtime>(rt: &R, ops: u64) -> Result<Vec<f64>, Failure> {
    let before = RUN.load(Ordering::Relaxed);
    let elapsed = rt.run(async move {
        let mut spawned = 0;
        let stopwatch = Stopwatch::start();
        while spawned < ops {
            let batch = (ops - spawned).min(BATCH);
            for _ in 0..batch {
                R::spawn_detached(async {
                    RUN.fetch_add(1, Ordering::Relaxed);
                });
            }
            spawned += batch;
            while RUN.load(Ordering::Relaxed) - before < spawned {
                R::yield_now().await;
            }
        }
        stopwatch.read()
    });
    check("tasks ran", RUN.load(Ordering::Relaxed) - before, ops)?;
    Ok(vec![elapsed.wall_ns(ops)])
}
