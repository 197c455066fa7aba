//! may's channels, on may: unbounded all of them.
//!
//! `mpsc` where there is one receiver, since it is the faster one, and `mpmc` elsewhere. A receive blocks the coroutine, and a send
//! never waits.

use super::{Channels, Ends, Receiver, Sender};
use crate::rt;
use may::sync::{mpmc, mpsc};

/// `may::sync::mpsc`.
pub struct MayMpsc;

/// `may::sync::mpmc`.
pub struct MayMpmc;

macro_rules! channels {
    ($name:ident, $module:ident, many receivers: $many:literal, another: $another:expr) => {
        impl Ends for $name {
            type Sender = $module::Sender<u64>;
            type Receiver = $module::Receiver<u64>;
        }

        impl Channels for $name {
            type Tasks = rt::May;
            type UnboundedSender = $module::Sender<u64>;
            type UnboundedReceiver = $module::Receiver<u64>;

            const BOUNDED: bool = false;
            const RENDEZVOUS: bool = false;
            const MANY_RECEIVERS: bool = $many;

            fn bounded(_: usize) -> ($module::Sender<u64>, $module::Receiver<u64>) {
                $module::channel()
            }

            fn unbounded() -> ($module::Sender<u64>, $module::Receiver<u64>) {
                $module::channel()
            }
        }

        impl Sender for $module::Sender<u64> {
            async fn send(&self, message: u64) -> bool {
                $module::Sender::send(self, message).is_ok()
            }
        }

        impl Receiver for $module::Receiver<u64> {
            fn another(&self) -> Option<Self> {
                $another(self)
            }

            async fn recv(&mut self) -> Option<u64> {
                $module::Receiver::recv(self).ok()
            }
        }
    };
}

channels!(MayMpsc, mpsc, many receivers: false, another: |_| None);
channels!(MayMpmc, mpmc, many receivers: true, another: |receiver: &Self| Some(receiver.clone()));
