//! Many sleeps that all end: a hundred thousand tasks, a hundred of which are due in each millisecond of a second.
//!
//! CPU time for each, from its spawn to its join, how late they wake (p50, p99), and how often early, which must not happen.
//! The first is due when a tenth of the time has passed, so that most are armed by then; the order in which they are armed is
//! not that in which they are due.

use super::{Kind, RuntimeKind, Workload, check};
use crate::args::Failure;
use crate::figure::Figure;
use crate::meter::{Stopwatch, micros, percentile};
use crate::rt::Runtime;
use std::time::{Duration, Instant};

/// From one deadline to the next.
const APART: Duration = Duration::from_micros(10);

/// An odd number: times it, modulo a power of two, is another order.
const SHUFFLE: u64 = 0x9e37_79b1;

pub const WORKLOAD: Workload = Workload {
    name: "timers-fired",
    about: "100,000 tasks sleep, a hundred of which are due in each millisecond: CPU time of one, all told, and how late it is",
    kind: Kind::Runtime(RuntimeKind::TimersFired),
    ops: 100_000,
    figures: &[
        Figure::cost("cpu", "ns"),
        Figure::cost("late p50", "us"),
        Figure::cost("late p99", "us"),
        Figure::forbidden("early", "times"),
    ],
};

pub fn run<R: Runtime>(rt: &R, ops: u64) -> Result<Vec<f64>, Failure> {
    let (elapsed, mut late, early) = rt.run(async move {
        let mut tasks = Vec::with_capacity(ops as usize);
        let mut late = Vec::with_capacity(ops as usize);
        let mut early = 0;
        let stopwatch = Stopwatch::start();
        for place in shuffled(ops) {
            let duration = APART * (ops / 10 + place) as u32;
            tasks.push(R::spawn(async move {
                let start = Instant::now();
                R::sleep(duration).await;
                start.elapsed().checked_sub(duration)
            }));
        }
        for task in tasks {
            match task.await {
                Some(time) => late.push(time),
                None => early += 1,
            }
        }
        (stopwatch.read(), late, early)
    });
    check("sleeps ended", late.len() as u64 + early, ops)?;
    late.sort_unstable();
    let figures = [micros(percentile(&late, 0.50)), micros(percentile(&late, 0.99))];
    Ok(vec![elapsed.cpu_ns(ops), figures[0], figures[1], early as f64])
}

/// The numbers below `count`, each once.
fn shuffled(count: u64) -> impl Iterator<Item = u64> {
    let size = count.next_power_of_two();
    (0..size).map(move |index| index.wrapping_mul(SHUFFLE) % size).filter(move |&number| number < count)
}

#[cfg(test)]
mod tests {
    use super::shuffled;

    #[test]
    fn a_shuffle_loses_and_repeats_nothing() {
        for count in [1, 2, 1000, 1024] {
            let mut numbers: Vec<_> = shuffled(count).collect();
            numbers.sort_unstable();
            assert!(numbers.into_iter().eq(0..count), "{count}");
        }
    }
}
