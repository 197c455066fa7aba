//! flume's async half, on tokio.

use super::{Channels, Ends, Receiver, Select, Sender};
use crate::rt;
use futures::StreamExt;

/// `flume`.
pub struct Flume;

impl Ends for Flume {
    type Sender = flume::Sender<u64>;
    type Receiver = flume::Receiver<u64>;
}

impl Channels for Flume {
    type Tasks = rt::Tokio;
    type UnboundedSender = flume::Sender<u64>;
    type UnboundedReceiver = flume::Receiver<u64>;

    const RENDEZVOUS: bool = true;
    const MANY_RECEIVERS: bool = true;

    fn bounded(capacity: usize) -> (flume::Sender<u64>, flume::Receiver<u64>) {
        flume::bounded(capacity)
    }

    fn unbounded() -> (flume::Sender<u64>, flume::Receiver<u64>) {
        flume::unbounded()
    }
}

impl Sender for flume::Sender<u64> {
    async fn send(&self, message: u64) -> bool {
        self.send_async(message).await.is_ok()
    }
}

impl Receiver for flume::Receiver<u64> {
    fn another(&self) -> Option<Self> {
        Some(self.clone())
    }

    async fn recv(&mut self) -> Option<u64> {
        self.recv_async().await.ok()
    }
}

/// `futures::select!` over streams, which stay enrolled from turn to turn. flume's own `Selector` blocks a thread.
macro_rules! select {
    ($width:literal: $($receiver:ident)*) => {
        impl Select<$width> for Flume {
            async fn select(receivers: [flume::Receiver<u64>; $width], messages: u64) -> u64 {
                let [$($receiver),*] = receivers;
                $(let mut $receiver = $receiver.into_stream();)*
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
