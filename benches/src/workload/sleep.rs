//! One sleeper, alone: how late it wakes, whether it ever wakes early, and the CPU time of one sleep.
//!
//! Lateness is measured from just before the sleep is made to just after it ended, so it holds the timer's grid, the
//! kernel's wake-up and the scheduler. Early must not happen: a `sleep` promises at least its duration.

use super::{Kind, RuntimeKind, Workload, check};
use crate::args::Failure;
use crate::figure::Figure;
use crate::meter::{Stopwatch, micros, percentile};
use crate::rt::Scheduler;
use std::time::{Duration, Instant};

/// Below every millisecond grid.
pub const FIFTY_MICROS: Workload = of("sleep-50us", Duration::from_micros(50), 1000);
/// On a millisecond grid.
pub const ONE_MILLI: Workload = of("sleep-1ms", Duration::from_millis(1), 400);
/// Between two ticks of a millisecond grid.
pub const ONE_AND_A_HALF_MILLIS: Workload = of("sleep-1500us", Duration::from_micros(1500), 300);
/// Where a runtime might begin to coalesce.
pub const TWENTY_MILLIS: Workload = of("sleep-20ms", Duration::from_millis(20), 50);

const fn of(name: &'static str, duration: Duration, ops: u64) -> Workload {
    Workload { name, about: ABOUT, kind: Kind::Runtime(RuntimeKind::Sleep(duration)), ops, figures: FIGURES }
}

const ABOUT: &str = "how late one sleeper, alone, wakes, whether ever early, and the CPU time of one sleep";

const FIGURES: &[Figure] = &[
    Figure::cost("late p50", "us"),
    Figure::cost("late p99", "us"),
    Figure::forbidden("early", "times"),
    Figure::cost("cpu", "us"),
];

pub fn run<S: Scheduler>(rt: &S, duration: Duration, ops: u64) -> Result<Vec<f64>, Failure> {
    let (elapsed, mut slept) = rt.run(async move {
        let mut slept = Vec::with_capacity(ops as usize);
        let stopwatch = Stopwatch::start();
        for _ in 0..ops {
            let start = Instant::now();
            S::sleep(duration).await;
            slept.push(start.elapsed());
        }
        (stopwatch.read(), slept)
    });
    check("sleeps ended", slept.len() as u64, ops)?;
    let early = slept.iter().filter(|&&time| time < duration).count();
    slept.sort_unstable();
    let late = |share| micros(percentile(&slept, share).saturating_sub(duration));
    Ok(vec![late(0.50), late(0.99), early as f64, elapsed.cpu_ns(ops) / 1e3])
}
