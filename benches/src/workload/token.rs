//! A token between two tasks, there and back: what it costs that one task wakes another and waits for it.
//!
//! The cell that carries it is the same code for all runtimes, a word and an `AtomicWaker`, so that the difference is
//! the runtime's: waking from a worker, the slot for the task that runs next, and whether the pair stays on one core.

use super::{Kind, RuntimeKind, Workload, check};
use crate::args::Failure;
use crate::cell::Cell;
use crate::figure::Figure;
use crate::meter::Stopwatch;
use crate::rt::Runtime;
use std::sync::Arc;

pub const WORKLOAD: Workload = Workload {
    name: "token",
    about: "how long a token takes from one task to another and back; the cell that carries it is the same for all",
    kind: Kind::Runtime(RuntimeKind::Token),
    ops: 2_000_000,
    figures: &[Figure::cost("round trip", "ns")],
};

pub fn run<R: Runtime>(rt: &R, ops: u64) -> Result<Vec<f64>, Failure> {
    let there = Arc::new(Cell::default());
    let back = Arc::new(Cell::default());
    let (elapsed, last, answered) = rt.run(async move {
        let answering = R::spawn({
            let (there, back) = (there.clone(), back.clone());
            async move {
                let mut answered = 0;
                while answered < ops {
                    back.give(there.take().await + 1);
                    answered += 1;
                }
                answered
            }
        });
        let stopwatch = Stopwatch::start();
        // The token counts the hands that it went through.
        let mut token = 1;
        for _ in 0..ops {
            there.give(token);
            token = back.take().await + 1;
        }
        (stopwatch.read(), token, answering.await)
    });
    check("tokens were answered", answered, ops)?;
    check("hands touched the token", last, 2 * ops + 1)?;
    Ok(vec![elapsed.wall_ns(ops)])
}
