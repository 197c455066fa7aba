//! A plain thread wakes the only task of a runtime that has nothing else to do: how long until it is polled.
//!
//! So does the callback of a foreign library, or the thread of a blocking call. The worker sleeps in the kernel by then
//! and must be woken by a system call, which the thread that wakes pays for: its time inside `wake` is the third figure. The thread
//! waits for half a millisecond before each, for as long as the workers need to fall asleep.

use super::{Kind, RuntimeKind, Workload, check};
use crate::args::Failure;
use crate::cell::Cell;
use crate::figure::Figure;
use crate::meter::{micros, percentile};
use crate::rt::Runtime;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_micros(500);

pub const WORKLOAD: Workload = Workload {
    name: "foreign-wake",
    about: "a plain thread wakes the only task of a sleeping runtime: how long until it is polled, and how long the thread is in the wake",
    kind: Kind::Runtime(RuntimeKind::ForeignWake),
    ops: 2000,
    figures: &[Figure::cost("p50", "us"), Figure::cost("p99", "us"), Figure::cost("in wake", "us")],
};

pub fn run<R: Runtime>(rt: &R, ops: u64) -> Result<Vec<f64>, Failure> {
    let cell = Arc::new(Cell::default());
    let epoch = Instant::now();
    let woken = rt.spawn_from_outside({
        let cell = cell.clone();
        async move {
            let mut waited = Vec::with_capacity(ops as usize);
            for _ in 0..ops {
                let at = Duration::from_nanos(cell.take().await);
                waited.push(epoch.elapsed() - at);
            }
            waited
        }
    });
    let mut waking = Vec::with_capacity(ops as usize);
    for _ in 0..ops {
        thread::sleep(PAUSE);
        while !cell.is_empty() {
            thread::sleep(PAUSE);
        }
        // The token is the time, which is not 0 after the first pause.
        let at = epoch.elapsed();
        cell.give(at.as_nanos() as u64);
        waking.push(epoch.elapsed() - at);
    }
    let mut waited = rt.block_on(woken);
    check("times the task was woken", waited.len() as u64, ops)?;
    waited.sort_unstable();
    waking.sort_unstable();
    Ok(vec![micros(percentile(&waited, 0.50)), micros(percentile(&waited, 0.99)), micros(percentile(&waking, 0.50))])
}
