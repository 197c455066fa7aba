//! One token in a ring of a hundred tasks, through channels of capacity 1: what a hop costs.
//!
//! Only one task is ever ready, and always another one: a wake, a switch and cold lines of a channel for each hop. A
//! second worker can only be in the way.

use super::{ChannelKind, Kind, Workload, check};
use crate::args::Failure;
use crate::chan::{Channels, Receiver, Sender};
use crate::figure::Figure;
use crate::meter::Stopwatch;
use crate::rt::Tasks;

const TASKS: u64 = 100;

pub const WORKLOAD: Workload = Workload {
    name: "ring",
    about: "what a hop costs in a ring of 100 tasks with one token, at capacity 1",
    kind: Kind::Channel(ChannelKind::Ring),
    ops: 3_000_000,
    figures: &[Figure::cost("hop", "ns")],
};

/// Whole laps only: at least so many hops as were ordered.
pub fn run<C: Channels>(tasks: &C::Tasks, ops: u64) -> Result<Vec<f64>, Failure> {
    let laps = ops.div_ceil(TASKS);
    let hops = laps * TASKS;
    let (elapsed, last, passed) = tasks.run(async move {
        let (start, mut end) = C::bounded(1);
        // This task is one of the ring.
        let mut others = Vec::new();
        for _ in 1..TASKS {
            let (next, after) = C::bounded(1);
            others.push(C::Tasks::spawn(pass(end, next)));
            end = after;
        }
        let stopwatch = Stopwatch::start();
        let mut token = 0;
        for _ in 0..laps {
            start.send(token + 1).await;
            token = end.recv().await.expect("the others are alive");
        }
        let elapsed = stopwatch.read();
        drop(start);
        let mut passed = laps;
        for task in others {
            passed += task.await;
        }
        (elapsed, token, passed)
    });
    check("times a task passed the token on", passed, hops)?;
    check("is what the token counted", last, hops)?;
    Ok(vec![elapsed.wall_ns(hops)])
}

/// Passes the token on, one more each time, until the task before has ended.
async fn pass(mut before: impl Receiver, next: impl Sender) -> u64 {
    let mut passed = 0;
    while let Some(token) = before.recv().await {
        next.send(token + 1).await;
        passed += 1;
    }
    passed
}
