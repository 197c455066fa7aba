//! A program that does something ten times a second: one task that sleeps 100 ms over and over.
//!
//! CPU time of a tick, and how often its threads were switched for it: once to the worker and once away from it is the
//! least. Whoever wakes further threads, or ticks on behalf of nobody, shows it here, and on a laptop's battery.

use super::{Kind, RuntimeKind, Workload};
use crate::args::Failure;
use crate::figure::Figure;
use crate::meter::{Stopwatch, Switches};
use crate::rt::Scheduler;
use std::time::{Duration, Instant};

const TICK: Duration = Duration::from_millis(100);

/// An operation is a tick; five seconds of them.
pub const WORKLOAD: Workload = Workload {
    name: "idle-tick",
    about: "one task sleeps 100 ms over and over: CPU time of a tick, and how often threads were switched for it",
    kind: Kind::Runtime(RuntimeKind::IdleTick),
    ops: 50,
    figures: &[Figure::cost("cpu", "us"), Figure::cost("switches", "times")],
};

pub fn run<S: Scheduler>(rt: &S, ops: u64) -> Result<Vec<f64>, Failure> {
    let (elapsed, switches, slept) = rt.run(async move {
        let start = Instant::now();
        let before = Switches::of_all_threads();
        let stopwatch = Stopwatch::start();
        for _ in 0..ops {
            S::sleep(TICK).await;
        }
        let elapsed = stopwatch.read();
        let switches = before.and_then(|before| Ok(Switches::of_all_threads()?.since(&before)));
        (elapsed, switches, start.elapsed())
    });
    if slept < TICK * ops as u32 {
        return Err(format!("{ops} ticks took {slept:?} only").into());
    }
    let switches = switches?;
    Ok(vec![elapsed.cpu_ns(ops) / 1e3, switches as f64 / ops as f64])
}
