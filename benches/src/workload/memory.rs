//! Bytes for a task that sleeps, at a million of them: how careless one may be with `spawn`.
//!
//! Resident memory before and after, divided by the number: the task, its timer, the runtime's tables, what the
//! allocator adds, and what the queues keep of their peak. A task spawns all of them without a pause, as a careless
//! program does.

use super::{Kind, RuntimeKind, Workload};
use crate::args::Failure;
use crate::figure::Figure;
use crate::meter::resident;
use crate::rt::Runtime;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(3600);

/// How often the waiting thread looks whether all were polled, and how long the last poll has to end.
const LOOK: Duration = Duration::from_millis(20);

pub const WORKLOAD: Workload = Workload {
    name: "memory",
    about: "how many resident bytes a sleeping task takes, all told, at a million of them",
    kind: Kind::Runtime(RuntimeKind::Memory),
    ops: 1_000_000,
    figures: &[Figure::cost("sleeping task", "bytes")],
};

/// Tasks that were polled. A static, so that it adds nothing to a task.
static POLLED: AtomicU64 = AtomicU64::new(0);

pub fn run<R: Runtime>(rt: &R, ops: u64) -> Result<Vec<f64>, Failure> {
    // The threads, their arenas and the timer driver exist before the count begins.
    rt.run(async {
        R::sleep(Duration::from_millis(1)).await;
    });
    let before = resident()?;
    rt.run(async move {
        for _ in 0..ops {
            R::spawn_detached(async {
                POLLED.fetch_add(1, Ordering::Relaxed);
                R::sleep(LONG).await;
            });
        }
    });
    // A task that is never polled ends in the limit of the measuring process.
    while POLLED.load(Ordering::Relaxed) < ops {
        thread::sleep(LOOK);
    }
    thread::sleep(LOOK);
    let after = resident()?;
    Ok(vec![after.saturating_sub(before) as f64 / ops as f64])
}
