//! Work of uneven size: most tasks compute for a microsecond, each hundredth for a thousand of them, and one task spawns them all.
//!
//! A worker that has taken a long one must not keep the short ones behind it from the others, and what is left at the end
//! of a batch must not lie on one of them. The figure is the time for a unit of work of about a microsecond: at one worker the unit itself and
//! what the runtime adds, at two workers half of that at best.

use super::{Kind, RuntimeKind, Workload, check};
use crate::args::Failure;
use crate::figure::Figure;
use crate::meter::Stopwatch;
use crate::rt::Scheduler;
use crate::work::work;

const BATCH: u64 = 1000;

/// One of so many tasks is long.
const RARE: u64 = 100;

/// Units of a long task.
const LONG: u64 = 1000;

pub const WORKLOAD: Workload = Workload {
    name: "uneven",
    about: "what a microsecond of work costs, if each hundredth task has a thousand of them and one task spawns all",
    kind: Kind::Runtime(RuntimeKind::Uneven),
    ops: 100_000,
    figures: &[Figure::cost("unit", "ns")],
};

/// An operation is a task.
pub fn run<S: Scheduler>(rt: &S, ops: u64) -> Result<Vec<f64>, Failure> {
    let (elapsed, sum) = rt.run(async move {
        let mut tasks = Vec::with_capacity(BATCH as usize);
        let mut sum = 0_u64;
        let mut next = 0;
        let stopwatch = Stopwatch::start();
        while next < ops {
            let end = ops.min(next + BATCH);
            tasks.extend((next..end).map(|index| S::spawn(async move { work(units(index)) })));
            for task in tasks.drain(..) {
                sum = sum.wrapping_add(task.await);
            }
            next = end;
        }
        (stopwatch.read(), sum)
    });
    let long = (0..ops).filter(|&index| units(index) == LONG).count() as u64;
    let short = ops - long;
    let expected = short.wrapping_mul(work(1)).wrapping_add(long.wrapping_mul(work(LONG)));
    check("is the sum of the work", sum, expected)?;
    Ok(vec![elapsed.wall_ns(short + long * LONG)])
}

/// How many units a task has: the long ones lie in the middle of their hundreds.
fn units(index: u64) -> u64 {
    if index % RARE == RARE / 2 { LONG } else { 1 }
}
