//! A message to another task and its answer, over two channels: what a question costs that a task answers.
//!
//! The pair of `token`, with the channel in place of the cell.

use super::{ChannelKind, Kind, Workload, check};
use crate::args::Failure;
use crate::chan::{Channels, Receiver, Sender};
use crate::figure::Figure;
use crate::meter::Stopwatch;
use crate::rt::Tasks;

pub const AT_0: Workload = of("pingpong-0", 0);
pub const AT_1: Workload = of("pingpong-1", 1);

const FIGURES: &[Figure] = &[Figure::cost("round trip", "ns")];

const fn of(name: &'static str, capacity: usize) -> Workload {
    let kind = Kind::Channel(ChannelKind::PingPong { capacity });
    let about = "how long a question and its answer take, over two channels of this capacity";
    Workload { name, about, kind, ops: 2_000_000, figures: FIGURES }
}

pub fn run<C: Channels>(tasks: &C::Tasks, capacity: usize, ops: u64) -> Result<Vec<f64>, Failure> {
    let (elapsed, last, answered) = tasks.run(async move {
        let (ask, mut questions) = C::bounded(capacity);
        let (answer, mut answers) = C::bounded(capacity);
        let answering = C::Tasks::spawn(async move {
            let mut answered = 0;
            while let Some(token) = questions.recv().await {
                answer.send(token + 1).await;
                answered += 1;
            }
            answered
        });
        let stopwatch = Stopwatch::start();
        // The token counts the hands that it went through.
        let mut token = 1;
        for _ in 0..ops {
            ask.send(token).await;
            token = answers.recv().await.expect("the other task answers") + 1;
        }
        let elapsed = stopwatch.read();
        drop(ask);
        (elapsed, token, answering.await)
    });
    check("questions were answered", answered, ops)?;
    check("hands touched the token", last, 2 * ops + 1)?;
    Ok(vec![elapsed.wall_ns(ops)])
}
