//! The root of a tree is cancelled: a hundred nodes below it, each with a thousand below it, so 100,101 in all.
//!
//! `tree` is the call alone, after which all are cancelled; `waiters` has a task waiting at each leaf and goes on until the
//! last of them was joined, so it holds a hundred thousand wakes and ends of tasks. Building and dropping are not in the
//! figures. An operation is a leaf; many of them make several trees, one after the other.

use super::{Kind, Workload, check, shares};
use crate::args::Failure;
use crate::cancel::Cancel;
use crate::figure::Figure;
use crate::meter::Stopwatch;
use crate::rt::{Scheduler, Tasks};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const BRANCHES: u64 = 100;
const LEAVES: u64 = 100_000;

/// What is there to be told of the end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Waiters {
    /// Nobody.
    None,
    /// A task at each leaf.
    AtLeaves,
}

pub const TREE: Workload = of("cancel-tree", "what a node costs when the root of 100,101 is cancelled", Waiters::None);
pub const WAITERS: Workload = of(
    "cancel-waiters",
    "what a node costs with a task waiting at each of 100,000 leaves, until the last was joined",
    Waiters::AtLeaves,
);

const FIGURES: &[Figure] = &[Figure::cost("node", "ns")];

const fn of(name: &'static str, about: &'static str, waiters: Waiters) -> Workload {
    Workload { name, about, kind: Kind::Cancel(waiters), ops: 5 * LEAVES, figures: FIGURES }
}

pub fn run<C: Cancel>(rt: &C::Runtime, waiters: Waiters, ops: u64) -> Result<Vec<f64>, Failure> {
    let mut elapsed = Duration::ZERO;
    let mut nodes = 0;
    let mut left = ops;
    while left > 0 {
        let leaves = left.min(LEAVES);
        let (took, cancelled) = match waiters {
            Waiters::None => rt.run(tree::<C>(leaves)),
            Waiters::AtLeaves => rt.run(waited::<C>(leaves)),
        };
        check("leaves were cancelled", cancelled, leaves)?;
        elapsed += took;
        nodes += 1 + BRANCHES + leaves;
        left -= leaves;
    }
    Ok(vec![elapsed.as_nanos() as f64 / nodes as f64])
}

/// The time that the call takes, and how many leaves it cancelled.
async fn tree<C: Cancel>(leaves: u64) -> (Duration, u64) {
    let tree = Tree::<C>::grow(leaves);
    let stopwatch = Stopwatch::start();
    tree.root.cancel();
    let elapsed = stopwatch.read();
    (elapsed.wall, tree.leaves.iter().map(|leaf| u64::from(leaf.is_cancelled())).sum())
}

/// The time until all the waiting tasks were joined, and how many there were.
async fn waited<C: Cancel>(leaves: u64) -> (Duration, u64) {
    let tree = Tree::<C>::grow(leaves);
    let begun = Arc::new(AtomicU64::new(0));
    let wait = |leaf: C| {
        let begun = begun.clone();
        C::Runtime::spawn(async move {
            begun.fetch_add(1, Ordering::Relaxed);
            leaf.cancelled().await;
            u64::from(leaf.is_cancelled())
        })
    };
    let waiting: Vec<_> = tree.leaves.into_iter().map(wait).collect();
    while begun.load(Ordering::Relaxed) < leaves {
        C::Runtime::yield_now().await;
    }
    let stopwatch = Stopwatch::start();
    tree.root.cancel();
    let mut cancelled = 0;
    for task in waiting {
        cancelled += task.await;
    }
    (stopwatch.read().wall, cancelled)
}

struct Tree<C> {
    root: C,
    /// Kept because a program keeps them: the nodes between hold their children.
    _branches: Vec<C>,
    leaves: Vec<C>,
}

impl<C: Cancel> Tree<C> {
    fn grow(leaves: u64) -> Self {
        let root = C::root();
        let branches: Vec<_> = (0..BRANCHES).map(|_| root.child()).collect();
        let each = |(branch, share): (&C, u64)| (0..share).map(|_| branch.child()).collect::<Vec<_>>();
        let leaves = branches.iter().zip(shares(leaves, BRANCHES)).flat_map(each).collect();
        Tree { root, _branches: branches, leaves }
    }
}
