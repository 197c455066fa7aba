//! Eight tasks on one async mutex: what a lock costs that others want as well.
//!
//! `short` adds 1 under the lock and waits for nothing. On one worker nobody meets there but for a task that was made to
//! give way in the middle. `held` keeps the lock over a yield, so all the others queue up for it, and each lock is handed
//! to one that sleeps; an async mutex is there for the sake of that.

use super::{Kind, Workload, check, shares};
use crate::args::Failure;
use crate::figure::Figure;
use crate::lock::Lock;
use crate::meter::Stopwatch;
use crate::rt::{Scheduler, Tasks};
use std::sync::Arc;

const TASKS: u64 = 8;

/// What is done under the lock.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// An addition.
    Short,
    /// A yield as well.
    Held,
}

pub const SHORT: Workload =
    of("mutex-short", "what a lock costs that 8 tasks take for an addition", Section::Short, 10_000_000);
pub const HELD: Workload = of(
    "mutex-held",
    "what a lock costs that each of 8 tasks keeps over a yield, so that the others queue up for it",
    Section::Held,
    3_000_000,
);

const FIGURES: &[Figure] = &[Figure::cost("", "ns")];

const fn of(name: &'static str, about: &'static str, section: Section, ops: u64) -> Workload {
    Workload { name, about, kind: Kind::Lock(section), ops, figures: FIGURES }
}

pub fn run<L: Lock>(rt: &L::Runtime, section: Section, ops: u64) -> Result<Vec<f64>, Failure> {
    let (elapsed, counted) = rt.run(async move {
        let lock = Arc::new(L::new());
        let stopwatch = Stopwatch::start();
        let mut tasks = Vec::new();
        for share in shares(ops, TASKS) {
            let lock = lock.clone();
            tasks.push(match section {
                Section::Short => L::Runtime::spawn(add(lock, share)),
                Section::Held => L::Runtime::spawn(hold(lock, share)),
            });
        }
        for task in tasks {
            task.await;
        }
        let elapsed = stopwatch.read();
        let counted = *lock.lock().await;
        (elapsed, counted)
    });
    check("times the lock was taken", counted, ops)?;
    Ok(vec![elapsed.wall_ns(ops)])
}

async fn add<L: Lock>(lock: Arc<L>, share: u64) {
    for _ in 0..share {
        *lock.lock().await += 1;
    }
}

async fn hold<L: Lock>(lock: Arc<L>, share: u64) {
    for _ in 0..share {
        let mut count = lock.lock().await;
        L::Runtime::yield_now().await;
        *count += 1;
    }
}
