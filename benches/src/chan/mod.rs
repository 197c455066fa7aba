//! The channels behind one trait, each on the runtime on which its users have it, or where it is fastest.
//!
//! Dispatched statically, as the runtimes are: a workload is compiled once for each. A message is a `u64`. Bounded and
//! unbounded channels have types of their own, since tokio's do; elsewhere the two are the same.
//!
//! Adding a peer: a file beside this one, and a line in [`PEERS`](crate::peer::PEERS).

mod crossbeam;
mod flume;
mod gambol;
mod kanal;
mod may;
mod smol;
mod tokio;

pub use self::crossbeam::Crossbeam;
pub use self::flume::Flume;
pub use self::gambol::Chan;
pub use self::kanal::Kanal;
pub use self::may::{MayMpmc, MayMpsc};
pub use self::smol::AsyncChannel;
pub use self::tokio::Mpsc;

use crate::rt::Tasks;
use std::future::Future;

/// A family of channels and the runtime that they are measured on.
pub trait Channels: Ends {
    /// What the senders and receivers run on.
    type Tasks: Tasks;
    /// The sender of an unbounded channel.
    type UnboundedSender: Sender;
    /// The receiver of an unbounded channel.
    type UnboundedReceiver: Receiver;

    /// Whether there are bounded channels. Without them [`bounded`](Self::bounded) gives an unbounded one, which is the same where one
    /// message at most is on the way.
    const BOUNDED: bool = true;
    /// Whether there are channels of capacity 0, whose send ends when a receiver has taken.
    const RENDEZVOUS: bool;
    /// Whether a receiver can be cloned.
    const MANY_RECEIVERS: bool;

    /// A channel that holds at most so many messages; 0 only if there is a [`RENDEZVOUS`](Self::RENDEZVOUS).
    fn bounded(capacity: usize) -> (Self::Sender, Self::Receiver);

    /// A channel whose send never waits.
    fn unbounded() -> (Self::UnboundedSender, Self::UnboundedReceiver);
}

/// The two ends of a bounded channel.
pub trait Ends: 'static {
    /// Where messages go in.
    type Sender: Sender;
    /// Where they come out.
    type Receiver: Receiver;
}

/// The select over so many receivers that the users of these channels would write.
pub trait Select<const WIDTH: usize>: Channels {
    /// Receives so many messages, whichever channel has one, and returns their sum. No channel is closed meanwhile.
    fn select(receivers: [Self::Receiver; WIDTH], messages: u64) -> impl Future<Output = u64> + Send;
}

/// The sending end. The channel is closed when the last one is dropped.
pub trait Sender: Clone + Send + 'static {
    /// Sends, and says whether there is still a receiver.
    fn send(&self, message: u64) -> impl Future<Output = bool> + Send;
}

/// The receiving end.
pub trait Receiver: Sized + Send + 'static {
    /// Another receiver of the same channel, if there can be one.
    fn another(&self) -> Option<Self>;

    /// Receives; `None` when the channel is closed and empty.
    fn recv(&mut self) -> impl Future<Output = Option<u64>> + Send;
}
