//! tokio's mpsc, on tokio: one receiver only, no capacity 0.

use super::{Channels, Ends, Receiver, Select, Sender};
use crate::rt;
use tokio::sync::mpsc;

/// `tokio::sync::mpsc`.
pub struct Mpsc;

impl Ends for Mpsc {
    type Sender = mpsc::Sender<u64>;
    type Receiver = mpsc::Receiver<u64>;
}

impl Channels for Mpsc {
    type Tasks = rt::Tokio;
    type UnboundedSender = mpsc::UnboundedSender<u64>;
    type UnboundedReceiver = mpsc::UnboundedReceiver<u64>;

    const RENDEZVOUS: bool = false;
    const MANY_RECEIVERS: bool = false;

    fn bounded(capacity: usize) -> (mpsc::Sender<u64>, mpsc::Receiver<u64>) {
        mpsc::channel(capacity)
    }

    fn unbounded() -> (mpsc::UnboundedSender<u64>, mpsc::UnboundedReceiver<u64>) {
        mpsc::unbounded_channel()
    }
}

impl Sender for mpsc::Sender<u64> {
    async fn send(&self, message: u64) -> bool {
        mpsc::Sender::send(self, message).await.is_ok()
    }
}

impl Sender for mpsc::UnboundedSender<u64> {
    async fn send(&self, message: u64) -> bool {
        mpsc::UnboundedSender::send(self, message).is_ok()
    }
}

impl Receiver for mpsc::Receiver<u64> {
    fn another(&self) -> Option<Self> {
        None
    }

    async fn recv(&mut self) -> Option<u64> {
        mpsc::Receiver::recv(self).await
    }
}

impl Receiver for mpsc::UnboundedReceiver<u64> {
    fn another(&self) -> Option<Self> {
        None
    }

    async fn recv(&mut self) -> Option<u64> {
        mpsc::UnboundedReceiver::recv(self).await
    }
}

/// `tokio::select!` over receives that are made anew in each turn, as everybody writes it.
macro_rules! select {
    ($width:literal: $($receiver:ident)*) => {
        impl Select<$width> for Mpsc {
            async fn select(receivers: [mpsc::Receiver<u64>; $width], messages: u64) -> u64 {
                let [$(mut $receiver),*] = receivers;
                let mut sum = 0;
                for _ in 0..messages {
                    let message = tokio::select! { $(message = $receiver.recv() => message,)* };
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
