//! A program with nothing to do: a thousand parked tasks, half of them in a sleep of an hour and half waiting for somebody, and a
//! listener to which nobody connects.
//!
//! CPU time and switches of all threads but the one that waits for the end, in two seconds: none is the aim. An operation
//! is a millisecond of idleness.

use super::{Kind, RuntimeKind, Workload};
use crate::args::Failure;
use crate::cell::Cell;
use crate::figure::Figure;
use crate::meter::{Switches, cpu_of_other_threads};
use crate::rt::{Listener, Runtime};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

const TASKS: u64 = 1000;
const HOUR: Duration = Duration::from_secs(3600);

/// How often the waiting thread looks whether all are parked.
const LOOK: Duration = Duration::from_millis(10);

/// What the workers, and whoever watches them, have to fall asleep in.
const SETTLE: Duration = Duration::from_millis(200);

pub const WORKLOAD: Workload = Workload {
    name: "idle",
    about: "a thousand parked tasks and a listener: CPU time and switches in two seconds",
    kind: Kind::Runtime(RuntimeKind::Idle),
    ops: 2000,
    figures: &[Figure::cost("cpu", "us"), Figure::cost("switches", "times")],
};

pub fn run<R: Runtime>(rt: &R, ops: u64) -> Result<Vec<f64>, Failure> {
    let begun = Arc::new(AtomicU64::new(0));
    let ended = Arc::new(AtomicU64::new(0));
    let bound = rt.run({
        let (begun, ended) = (begun.clone(), ended.clone());
        async move {
            let listener = R::Listener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
            for index in 0..TASKS {
                let (begun, ended) = (begun.clone(), ended.clone());
                R::spawn_detached(async move {
                    begun.fetch_add(1, Ordering::Relaxed);
                    if index % 2 == 0 {
                        R::sleep(HOUR).await;
                    } else {
                        // Nobody gives; it is this task's own.
                        Cell::default().take().await;
                    }
                    ended.fetch_add(1, Ordering::Relaxed);
                });
            }
            R::spawn_detached(async move {
                begun.fetch_add(1, Ordering::Relaxed);
                // Fails or not, it has ended, which it must not.
                let _ = listener.accept().await;
                ended.fetch_add(1, Ordering::Relaxed);
            });
            io::Result::Ok(())
        }
    });
    bound?;
    // A task that is never polled ends in the limit of the measuring process.
    while begun.load(Ordering::Relaxed) < TASKS + 1 {
        thread::sleep(LOOK);
    }
    thread::sleep(SETTLE);

    let switches = Switches::of_other_threads()?;
    let cpu = cpu_of_other_threads();
    thread::sleep(Duration::from_millis(ops));
    let cpu = cpu_of_other_threads().saturating_sub(cpu);
    let switches = Switches::of_other_threads()?.since(&switches);
    match ended.load(Ordering::Relaxed) {
        0 => Ok(vec![cpu.as_nanos() as f64 / 1e3, switches as f64]),
        ended => Err(format!("{ended} parked tasks ended").into()),
    }
}
