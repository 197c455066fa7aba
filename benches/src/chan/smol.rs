//! async-channel, on smol: no capacity 0.

use super::{Channels, Ends, Receiver, Select, Sender};
use crate::rt;
use futures::StreamExt;
use std::pin::pin;

/// `async-channel`.
pub struct AsyncChannel;

impl Ends for AsyncChannel {
    type Sender = async_channel::Sender<u64>;
    type Receiver = async_channel::Receiver<u64>;
}

impl Channels for AsyncChannel {
    type Tasks = rt::Smol;
    type UnboundedSender = async_channel::Sender<u64>;
    type UnboundedReceiver = async_channel::Receiver<u64>;

    const RENDEZVOUS: bool = false;
    const MANY_RECEIVERS: bool = true;

    fn bounded(capacity: usize) -> (async_channel::Sender<u64>, async_channel::Receiver<u64>) {
        async_channel::bounded(capacity)
    }

    fn unbounded() -> (async_channel::Sender<u64>, async_channel::Receiver<u64>) {
        async_channel::unbounded()
    }
}

impl Sender for async_channel::Sender<u64> {
    async fn send(&self, message: u64) -> bool {
        async_channel::Sender::send(self, message).await.is_ok()
    }
}

impl Receiver for async_channel::Receiver<u64> {
    fn another(&self) -> Option<Self> {
        Some(self.clone())
    }

    async fn recv(&mut self) -> Option<u64> {
        async_channel::Receiver::recv(self).await.ok()
    }
}

/// `futures::select!` over the receivers as streams, which stay enrolled from turn to turn.
macro_rules! select {
    ($width:literal: $($receiver:ident)*) => {
        impl Select<$width> for AsyncChannel {
            async fn select(receivers: [async_channel::Receiver<u64>; $width], messages: u64) -> u64 {
                let [$($receiver),*] = receivers;
                $(let mut $receiver = pin!($receiver);)*
                let mut sum = 0;
                for _ in 0..messages {
                    sum += futures::select! { $(message = $receiver.select_next_some() => message,)* };
                }
                sum
            }
        }
    };
}

select!(2: a b);
select!(4: a b c d);
select!(8: a b c d e f g h);
