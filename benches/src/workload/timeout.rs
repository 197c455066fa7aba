//! A timeout of a second that is armed and cancelled: what every request with a deadline pays.
//!
//! 64 tasks do it over and over; the future inside is pending once, so that the timer is really armed, and ready when it
//! is polled again. Wall time and CPU time: a runtime that wakes a thread for each timer shows it in the second.

use super::{Kind, RuntimeKind, Workload, check, shares};
use crate::args::Failure;
use crate::figure::Figure;
use crate::meter::Stopwatch;
use crate::rt::Runtime;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

const TASKS: u64 = 64;
const FAR: Duration = Duration::from_secs(1);

pub const WORKLOAD: Workload = Workload {
    name: "timeout",
    about: "what a deadline costs that is armed and cancelled, on the wall and in CPU time, with 64 tasks",
    kind: Kind::Runtime(RuntimeKind::Timeout),
    ops: 1_000_000,
    figures: &[Figure::cost("wall", "ns"), Figure::cost("cpu", "ns")],
};

/// Pending at the first poll, with its waker woken, and ready at the second. Not the runtime's own yield, which may take
/// a road of its own.
struct PendingOnce(bool);

impl Future for PendingOnce {
    type Output = u64;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<u64> {
        if self.0 {
            return Poll::Ready(1);
        }
        self.0 = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

pub fn run<R: Runtime>(rt: &R, ops: u64) -> Result<Vec<f64>, Failure> {
    let (elapsed, in_time) = rt.run(async move {
        let stopwatch = Stopwatch::start();
        let tasks: Vec<_> = shares(ops, TASKS)
            .map(|share| {
                R::spawn(async move {
                    let mut in_time = 0;
                    for _ in 0..share {
                        in_time += R::timeout(FAR, PendingOnce(false)).await.unwrap_or(0);
                    }
                    in_time
                })
            })
            .collect();
        let mut in_time = 0;
        for task in tasks {
            in_time += task.await;
        }
        (stopwatch.read(), in_time)
    });
    check("futures were ready in time", in_time, ops)?;
    Ok(vec![elapsed.wall_ns(ops), elapsed.cpu_ns(ops)])
}
