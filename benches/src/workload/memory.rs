//! A million tasks that sleep: how careless one may be with `spawn`. Bytes for each, and the time to spawn it and to end it.
//!
//! Resident memory before and after, divided by the number: the task, its timer, the runtime's tables, what the
//! allocator adds, and what the queues keep of their peak. A task spawns all of them without a pause, as a careless
//! program does; `spawn` ends when the last is polled. All sleep until the same moment, and
//! `end` is the time from then until the last has ended, so a million timers are due at once.

use super::{Kind, RuntimeKind, Workload, check};
use crate::args::Failure;
use crate::figure::Figure;
use crate::meter::resident;
use crate::rt::Runtime;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How often the waiting thread looks whether all were polled, and how long the last poll has to end.
const LOOK: Duration = Duration::from_millis(20);

/// How long after the start the tasks end, and how much longer for each. All must be asleep by then.
const AWAKE: Duration = Duration::from_secs(1);
const AWAKE_EACH: Duration = Duration::from_micros(6);

pub const WORKLOAD: Workload = Workload {
    name: "memory",
    about: "how many resident bytes a sleeping task takes, all told, at a million of them, and what it costs to spawn and to end it",
    kind: Kind::Runtime(RuntimeKind::Memory),
    ops: 1_000_000,
    figures: &[Figure::cost("sleeping task", "bytes"), Figure::cost("spawn", "ns"), Figure::cost("end", "ns")],
};

// Statics, so that they add nothing to a task.

/// When all end.
static END: OnceLock<Instant> = OnceLock::new();

/// Tasks that are about to sleep, and when the last was.
static ASLEEP: Milestone = Milestone::new();

/// Tasks that have ended, and when the last did.
static ENDED: Milestone = Milestone::new();

/// A moment that so many tasks have to pass.
struct Milestone {
    passed: AtomicU64,
    /// Written by the one that is the last.
    at: OnceLock<Instant>,
}

impl Milestone {
    const fn new() -> Self {
        Milestone { passed: AtomicU64::new(0), at: OnceLock::new() }
    }

    fn pass(&self, all: u64) {
        if self.passed.fetch_add(1, Ordering::Relaxed) + 1 == all {
            // The first to be the last, and the only one.
            let _ = self.at.set(Instant::now());
        }
    }

    /// Waits on a plain thread until all have passed. A task that does not ends in the limit of the measuring process.
    fn wait(&self) -> Instant {
        loop {
            match self.at.get() {
                Some(&at) => return at,
                None => thread::sleep(LOOK),
            }
        }
    }
}

/// How many are ordered.
static ORDERED: AtomicU64 = AtomicU64::new(0);

pub fn run<R: Runtime>(rt: &R, ops: u64) -> Result<Vec<f64>, Failure> {
    ORDERED.store(ops, Ordering::Relaxed);
    // The threads, their arenas and the timer driver exist before the count begins.
    rt.run(async {
        R::sleep(Duration::from_millis(1)).await;
    });
    let before = resident()?;
    let start = Instant::now();
    let end = *END.get_or_init(|| start + AWAKE + AWAKE_EACH * ops as u32);
    rt.run(async move {
        for _ in 0..ops {
            R::spawn_detached(async {
                ASLEEP.pass(ORDERED.load(Ordering::Relaxed));
                R::sleep(END.get().map_or(Duration::ZERO, |end| end.duration_since(Instant::now()))).await;
                ENDED.pass(ORDERED.load(Ordering::Relaxed));
            });
        }
    });
    let asleep = ASLEEP.wait();
    thread::sleep(LOOK);
    let after = resident()?;
    // Otherwise there were never so many at a time.
    check("tasks had ended before all were asleep", ENDED.passed.load(Ordering::Relaxed), 0)?;
    let ended = ENDED.wait();
    let each = |time: Duration| time.as_nanos() as f64 / ops as f64;
    Ok(vec![
        after.saturating_sub(before) as f64 / ops as f64,
        each(asleep - start),
        each(ended.saturating_duration_since(end)),
    ])
}
