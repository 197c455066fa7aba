//! crossbeam-channel, on plain threads: its operations block the thread that does them.

use super::{Channels, Ends, Receiver, Select, Sender};
use crate::rt;

/// `crossbeam-channel`.
pub struct Crossbeam;

impl Ends for Crossbeam {
    type Sender = crossbeam_channel::Sender<u64>;
    type Receiver = crossbeam_channel::Receiver<u64>;
}

impl Channels for Crossbeam {
    type Tasks = rt::Threads;
    type UnboundedSender = crossbeam_channel::Sender<u64>;
    type UnboundedReceiver = crossbeam_channel::Receiver<u64>;

    const RENDEZVOUS: bool = true;
    const MANY_RECEIVERS: bool = true;

    fn bounded(capacity: usize) -> (crossbeam_channel::Sender<u64>, crossbeam_channel::Receiver<u64>) {
        crossbeam_channel::bounded(capacity)
    }

    fn unbounded() -> (crossbeam_channel::Sender<u64>, crossbeam_channel::Receiver<u64>) {
        crossbeam_channel::unbounded()
    }
}

impl Sender for crossbeam_channel::Sender<u64> {
    async fn send(&self, message: u64) -> bool {
        crossbeam_channel::Sender::send(self, message).is_ok()
    }
}

impl Receiver for crossbeam_channel::Receiver<u64> {
    fn another(&self) -> Option<Self> {
        Some(self.clone())
    }

    async fn recv(&mut self) -> Option<u64> {
        crossbeam_channel::Receiver::recv(self).ok()
    }
}

/// `crossbeam_channel::select!`.
macro_rules! select {
    ($width:literal: $($receiver:ident)*) => {
        impl Select<$width> for Crossbeam {
            async fn select(receivers: [crossbeam_channel::Receiver<u64>; $width], messages: u64) -> u64 {
                let [$($receiver),*] = receivers;
                let mut sum = 0;
                for _ in 0..messages {
                    let message = crossbeam_channel::select! { $(recv($receiver) -> message => message,)* };
                    sum += message.expect("no channel is closed");
                }
                sum
            }
        }
    };
}

select!(2: a b);
select!(4: a b c d);
select!(8: a b c d e f g h);
