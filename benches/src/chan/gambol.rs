//! gambol's channels, on gambol.

use super::{Channels, Ends, Receiver, Select, Sender};
use crate::rt;
use gambol::chan;

/// `gambol::chan`.
pub struct Chan;

impl Ends for Chan {
    type Sender = chan::Sender<u64>;
    type Receiver = chan::Receiver<u64>;
}

impl Channels for Chan {
    type Tasks = rt::Gambol;
    type UnboundedSender = chan::Sender<u64>;
    type UnboundedReceiver = chan::Receiver<u64>;

    const RENDEZVOUS: bool = true;
    const MANY_RECEIVERS: bool = true;

    fn bounded(capacity: usize) -> (chan::Sender<u64>, chan::Receiver<u64>) {
        match capacity {
            0 => chan::unbuffered(),
            _ => chan::buffered(capacity),
        }
    }

    fn unbounded() -> (chan::Sender<u64>, chan::Receiver<u64>) {
        chan::unbounded()
    }
}

impl Sender for chan::Sender<u64> {
    async fn send(&self, message: u64) -> bool {
        chan::Sender::send(self, message).await.is_ok()
    }
}

impl Receiver for chan::Receiver<u64> {
    fn another(&self) -> Option<Self> {
        Some(self.clone())
    }

    async fn recv(&mut self) -> Option<u64> {
        chan::Receiver::recv(self).await
    }
}

/// `gambol::select!` over receives that are made anew in each turn, as everybody writes it.
macro_rules! select {
    ($width:literal: $($receiver:ident)*) => {
        impl Select<$width> for Chan {
            async fn select(receivers: [chan::Receiver<u64>; $width], messages: u64) -> u64 {
                let [$($receiver),*] = receivers;
                let mut sum = 0;
                for _ in 0..messages {
                    let message = gambol::select! { $(message = $receiver.recv() => message,)* };
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
