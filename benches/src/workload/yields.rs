//! Yield: what one switch costs when two hundred tasks are always ready.
//!
//! A push on a run queue, a pop and two state transitions of a task. With more workers it shows whether a crowd that
//! yields uses all of them.

use super::{Kind, RuntimeKind, Workload, check, shares};
use crate::args::Failure;
use crate::figure::Figure;
use crate::meter::Stopwatch;
use crate::rt::Scheduler;

const TASKS: u64 = 200;

pub const WORKLOAD: Workload = Workload {
    name: "yield",
    about: "what a switch costs among 200 tasks that are always ready",
    kind: Kind::Runtime(RuntimeKind::Yields),
    ops: 10_000_000,
    figures: &[Figure::cost("", "ns")],
};

pub fn run<S: Scheduler>(rt: &S, ops: u64) -> Result<Vec<f64>, Failure> {
    let (elapsed, yielded) = rt.run(async move {
        let stopwatch = Stopwatch::start();
        let tasks: Vec<_> = shares(ops, TASKS)
            .map(|share| {
                S::spawn(async move {
                    for _ in 0..share {
                        S::yield_now().await;
                    }
                    share
                })
            })
            .collect();
        let mut yielded = 0;
        for task in tasks {
            yielded += task.await;
        }
        (stopwatch.read(), yielded)
    });
    check("times a task yielded", yielded, ops)?;
    Ok(vec![elapsed.wall_ns(ops)])
}
