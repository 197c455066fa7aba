//! Messages through one channel, as fast as its ends go: what a message costs.
//!
//! Senders and receivers are tasks of their own; the senders share the messages, the receivers take until the channel is
//! closed. At 128 a task runs on until the channel is full or empty, so a switch is shared by many messages; at 1 and 0
//! there is a switch for almost every message. An unbounded channel may grow to all the messages at once, where sending
//! never gives way, and what its memory costs is part of the figure.

use super::{ChannelKind, Kind, Workload, check, shares};
use crate::args::Failure;
use crate::chan::{Channels, Receiver, Sender};
use crate::figure::Figure;
use crate::meter::{Elapsed, Stopwatch};
use crate::rt::Tasks;

/// Who sends to whom through what.
#[derive(Clone, Copy)]
pub struct Shape {
    /// Tasks that send.
    pub senders: u64,
    /// Tasks that receive.
    pub receivers: u64,
    /// Messages that the channel holds; `None` for any number.
    pub capacity: Option<usize>,
}

pub const ONE_TO_ONE_AT_0: Workload = of("message-1:1-0", 1, 1, Some(0));
pub const ONE_TO_ONE_AT_1: Workload = of("message-1:1-1", 1, 1, Some(1));
pub const ONE_TO_ONE_AT_128: Workload = of("message-1:1-128", 1, 1, Some(128));
pub const ONE_TO_ONE_UNBOUNDED: Workload = of("message-1:1-unbounded", 1, 1, None);
pub const FOUR_TO_ONE_AT_0: Workload = of("message-4:1-0", 4, 1, Some(0));
pub const FOUR_TO_ONE_AT_1: Workload = of("message-4:1-1", 4, 1, Some(1));
pub const FOUR_TO_ONE_AT_128: Workload = of("message-4:1-128", 4, 1, Some(128));
pub const FOUR_TO_ONE_UNBOUNDED: Workload = of("message-4:1-unbounded", 4, 1, None);
pub const FOUR_TO_FOUR_AT_0: Workload = of("message-4:4-0", 4, 4, Some(0));
pub const FOUR_TO_FOUR_AT_1: Workload = of("message-4:4-1", 4, 4, Some(1));
pub const FOUR_TO_FOUR_AT_128: Workload = of("message-4:4-128", 4, 4, Some(128));
pub const FOUR_TO_FOUR_UNBOUNDED: Workload = of("message-4:4-unbounded", 4, 4, None);

const FIGURES: &[Figure] = &[Figure::cost("", "ns")];

const fn of(name: &'static str, senders: u64, receivers: u64, capacity: Option<usize>) -> Workload {
    let ops = match capacity {
        Some(0 | 1) => 3_000_000,
        Some(_) => 10_000_000,
        // As many as the channel's memory may grow to.
        None => 4_000_000,
    };
    let kind = Kind::Channel(ChannelKind::Message(Shape { senders, receivers, capacity }));
    let about = "what a message costs from s senders to r receivers through one channel of capacity c (s:r-c)";
    Workload { name, about, kind, ops, figures: FIGURES }
}

pub fn run<C: Channels>(tasks: &C::Tasks, shape: Shape, ops: u64) -> Result<Vec<f64>, Failure> {
    let (elapsed, received, sum) = match shape.capacity {
        Some(capacity) => tasks.run(flood::<C::Tasks, _, _>(C::bounded(capacity), shape, ops)),
        None => tasks.run(flood::<C::Tasks, _, _>(C::unbounded(), shape, ops)),
    };
    check("messages were received", received, ops)?;
    // All of them differ: one that came twice in another's place would show.
    check("is the sum of the messages", sum, (0..ops).sum())?;
    Ok(vec![elapsed.wall_ns(ops)])
}

/// How long it took, how many messages came out, and their sum.
async fn flood<T: Tasks, S: Sender, R: Receiver>(channel: (S, R), shape: Shape, ops: u64) -> (Elapsed, u64, u64) {
    let (sender, receiver) = channel;
    let others = (1..shape.receivers).map(|_| receiver.another().expect("a channel with receivers that can be cloned"));
    let mut receivers: Vec<_> = others.collect();
    receivers.push(receiver);

    let stopwatch = Stopwatch::start();
    let receiving: Vec<_> = receivers.into_iter().map(|receiver| T::spawn(receive(receiver))).collect();
    let mut first = 0;
    let mut sending = Vec::new();
    for share in shares(ops, shape.senders) {
        sending.push(T::spawn(send(sender.clone(), first, share)));
        first += share;
    }
    drop(sender);
    for task in sending {
        task.await;
    }
    let (mut received, mut sum) = (0, 0);
    for task in receiving {
        let (share, share_sum) = task.await;
        received += share;
        sum += share_sum;
    }
    (stopwatch.read(), received, sum)
}

async fn send(sender: impl Sender, first: u64, share: u64) {
    for message in first..first + share {
        if !sender.send(message).await {
            return;
        }
    }
}

async fn receive(mut receiver: impl Receiver) -> (u64, u64) {
    let (mut received, mut sum) = (0, 0);
    while let Some(message) = receiver.recv().await {
        received += 1;
        sum += message;
    }
    (received, sum)
}
