//! kanal's async half, on tokio.

use super::{Channels, Ends, Receiver, Select, Sender};
use crate::rt;
use futures::FutureExt;
use std::pin::pin;

/// `kanal`.
pub struct Kanal;

impl Ends for Kanal {
    type Sender = kanal::AsyncSender<u64>;
    type Receiver = kanal::AsyncReceiver<u64>;
}

impl Channels for Kanal {
    type Tasks = rt::Tokio;
    type UnboundedSender = kanal::AsyncSender<u64>;
    type UnboundedReceiver = kanal::AsyncReceiver<u64>;

    const RENDEZVOUS: bool = true;
    const MANY_RECEIVERS: bool = true;

    fn bounded(capacity: usize) -> (kanal::AsyncSender<u64>, kanal::AsyncReceiver<u64>) {
        kanal::bounded_async(capacity)
    }

    fn unbounded() -> (kanal::AsyncSender<u64>, kanal::AsyncReceiver<u64>) {
        kanal::unbounded_async()
    }
}

impl Sender for kanal::AsyncSender<u64> {
    async fn send(&self, message: u64) -> bool {
        kanal::AsyncSender::send(self, message).await.is_ok()
    }
}

impl Receiver for kanal::AsyncReceiver<u64> {
    fn another(&self) -> Option<Self> {
        Some(self.clone())
    }

    async fn recv(&mut self) -> Option<u64> {
        kanal::AsyncReceiver::recv(self).await.ok()
    }
}

/// `futures::select!` over receives that are kept from turn to turn.
///
/// The other ways do not give each message once. A `recv` that is dropped may take its message with it, as its documentation
/// says; and a stream that is polled again without having been woken, as a select does, may yield its last message again.
macro_rules! select {
    ($width:literal: $($receiver:ident $receive:ident),*) => {
        impl Select<$width> for Kanal {
            async fn select(receivers: [kanal::AsyncReceiver<u64>; $width], messages: u64) -> u64 {
                let [$($receiver),*] = receivers;
                $(let mut $receive = pin!($receiver.recv().fuse());)*
                let mut sum = 0;
                for _ in 0..messages {
                    let message = futures::select! {
                        $(message = $receive => {
                            $receive.set($receiver.recv().fuse());
                            message
                        })*
                    };
                    sum += message.expect("no channel is closed");
                }
                sum
            }
        }
    };
}

select!(2: a from_a, b from_b);
select!(4: a from_a, b from_b, c from_c, d from_d);
select!(8: a from_a, b from_b, c from_c, d from_d, e from_e, f from_f, g from_g, h from_h);
