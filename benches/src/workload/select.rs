//! One task selects over k channels of capacity 128, each with a sender of its own: what a message costs that comes
//! through a select.
//!
//! The loop is in the peer's file, with the select that its users would write.

use super::{Kind, Workload, check, shares};
use crate::args::Failure;
use crate::chan::{Select, Sender};
use crate::figure::Figure;
use crate::meter::Stopwatch;
use crate::rt::Tasks;

const CAPACITY: usize = 128;

pub const OF_TWO: Workload = of("select-2", 2);
pub const OF_FOUR: Workload = of("select-4", 4);
pub const OF_EIGHT: Workload = of("select-8", 8);

const FIGURES: &[Figure] = &[Figure::cost("", "ns")];

const fn of(name: &'static str, width: usize) -> Workload {
    let kind = Kind::Select { width };
    let about =
        "what a message costs that one task selects from so many channels of capacity 128, each with its sender";
    Workload { name, about, kind, ops: 3_000_000, figures: FIGURES }
}

pub fn run<C>(tasks: &C::Tasks, width: usize, ops: u64) -> Result<Vec<f64>, Failure>
where
    C: Select<2> + Select<4> + Select<8>,
{
    match width {
        2 => from::<C, 2>(tasks, ops),
        4 => from::<C, 4>(tasks, ops),
        8 => from::<C, 8>(tasks, ops),
        _ => Err(format!("no peer has a select over {width}").into()),
    }
}

fn from<C: Select<WIDTH>, const WIDTH: usize>(tasks: &C::Tasks, ops: u64) -> Result<Vec<f64>, Failure> {
    let (elapsed, sum) = tasks.run(async move {
        let channels = [(); WIDTH].map(|()| C::bounded(CAPACITY));
        let mut senders = Vec::new();
        let receivers = channels.map(|(sender, receiver)| {
            senders.push(sender);
            receiver
        });
        let stopwatch = Stopwatch::start();
        let mut first = 0;
        let mut sending = Vec::new();
        for (sender, share) in senders.into_iter().zip(shares(ops, WIDTH as u64)) {
            sending.push(C::Tasks::spawn(send(sender, first, share)));
            first += share;
        }
        let sum = C::Tasks::spawn(C::select(receivers, ops)).await;
        let elapsed = stopwatch.read();
        for task in sending {
            task.await;
        }
        (elapsed, sum)
    });
    check("is the sum of the messages", sum, (0..ops).sum())?;
    Ok(vec![elapsed.wall_ns(ops)])
}

/// Sends its share and gives the sender back: until the task is joined, the channel is not closed.
async fn send<S: Sender>(sender: S, first: u64, share: u64) -> S {
    for message in first..first + share {
        sender.send(message).await;
    }
    sender
}
