//! Fork and join: a task spawns two others and waits for both, and so do they, down to the leaves of a binary tree.
//!
//! The whole tree comes out of one task, so the other workers have what they steal. With `empty` leaves it is the
//! scheduler alone; with `work`, where each leaf computes for a microsecond, it shows whether stealing is worth its
//! price. A tree has 4096 leaves, as many as are alive at once where tasks run in the order in which they were spawned.

use super::{Kind, RuntimeKind, Workload, check};
use crate::args::Failure;
use crate::figure::Figure;
use crate::meter::Stopwatch;
use crate::rt::Scheduler;
use crate::work::work;

/// Leaves of a tree.
const LEAVES: u64 = 4096;

/// What a leaf does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Leaf {
    /// Nothing.
    Empty,
    /// A unit of work.
    Works,
}

pub const EMPTY: Workload = of("fork-join-empty", Leaf::Empty, 1_000_000);
pub const WORK: Workload = of("fork-join-work", Leaf::Works, 400_000);

const ABOUT: &str = "what a task costs in binary trees of 4096 leaves, each task waiting for its two children";

const FIGURES: &[Figure] = &[Figure::cost("task", "ns")];

/// An operation is a leaf; the figure is for each task, of which a tree has nearly twice as many.
const fn of(name: &'static str, leaf: Leaf, ops: u64) -> Workload {
    Workload { name, about: ABOUT, kind: Kind::Runtime(RuntimeKind::ForkJoin(leaf)), ops, figures: FIGURES }
}

pub fn run<S: Scheduler>(rt: &S, leaf: Leaf, ops: u64) -> Result<Vec<f64>, Failure> {
    let (elapsed, sum) = rt.run(async move {
        let mut sum = 0_u64;
        let mut left = ops;
        let stopwatch = Stopwatch::start();
        while left > 0 {
            let leaves = left.min(LEAVES);
            sum = sum.wrapping_add(fork::<S>(leaf, leaves).await);
            left -= leaves;
        }
        (stopwatch.read(), sum)
    });
    check("is the sum of the leaves", sum, ops.wrapping_mul(output(leaf)))?;
    let tasks = 2 * ops - ops.div_ceil(LEAVES);
    Ok(vec![elapsed.wall_ns(tasks)])
}

/// Spawns the root of a tree with so many leaves, whose outputs it sums up.
fn fork<S: Scheduler>(leaf: Leaf, leaves: u64) -> S::Join<u64> {
    S::spawn(async move {
        if leaves == 1 {
            return output(leaf);
        }
        let left = fork::<S>(leaf, leaves / 2);
        let right = fork::<S>(leaf, leaves - leaves / 2);
        left.await.wrapping_add(right.await)
    })
}

fn output(leaf: Leaf) -> u64 {
    match leaf {
        Leaf::Empty => 1,
        Leaf::Works => work(1),
    }
}
