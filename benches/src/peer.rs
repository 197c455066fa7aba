//! The peers: the columns of the table, and which workloads each can carry out.
//!
//! A peer is a runtime with what belongs to it, or a family of channels on the runtime that suits it best, or Go, which is
//! a program of its own.

use crate::args::Failure;
use crate::cancel::{Cancel, ContextNode};
use crate::chan::{AsyncChannel, Chan, Channels, Crossbeam, Flume, Kanal, MayMpmc, MayMpsc, Mpsc, Select};
use crate::go;
use crate::lock::{GambolMutex, Lock, MayMutex, SmolMutex, TokioMutex};
use crate::rt::{Gambol, May, Plain, Runtime, Scheduler, Smol, Tasks, Tokio};
use crate::serve::{Compio, Epoll, OnTasks, Serve};
use crate::workload::{self, ChannelKind, Kind, Network, Order, RuntimeKind};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

/// The name of the peer that the others are compared with.
pub const OURS: &str = "gambol";

/// The name of the peer that is a program of its own.
pub const GO: &str = "go";

/// All peers, in the order of the table's columns.
pub const PEERS: &[Peer] = &[
    Peer {
        name: OURS,
        rank: Rank::Ours,
        road: |kind| {
            let tasks = stalled::<Gambol>(kind).or(runtime::<Gambol>(kind));
            let tasks = tasks.or(lock::<GambolMutex>(kind)).or(cancel::<ContextNode>(kind));
            let tasks = tasks.or(network::<OnTasks<Gambol>>(kind));
            tasks.or(channels::<Chan>(kind)).or(select::<Chan>(kind))
        },
    },
    Peer { name: GO, rank: Rank::Peer, road: |kind| go::words(kind).map(Road::Go) },
    Peer {
        name: "tokio",
        rank: Rank::Peer,
        road: |kind| {
            let tasks = stalled::<Tokio>(kind).or(runtime::<Tokio>(kind));
            let tasks = tasks.or(lock::<TokioMutex>(kind)).or(cancel::<CancellationToken>(kind));
            let tasks = tasks.or(network::<OnTasks<Tokio>>(kind));
            tasks.or(channels::<Mpsc>(kind)).or(select::<Mpsc>(kind))
        },
    },
    Peer {
        name: "smol",
        rank: Rank::Peer,
        road: |kind| {
            let tasks = stalled::<Smol>(kind).or(runtime::<Smol>(kind)).or(lock::<SmolMutex>(kind));
            let tasks = tasks.or(network::<OnTasks<Smol>>(kind));
            tasks.or(channels::<AsyncChannel>(kind)).or(select::<AsyncChannel>(kind))
        },
    },
    Peer {
        name: "async-executor",
        rank: Rank::Peer,
        road: |kind| runtime::<Smol<Plain>>(kind).or(stalled::<Smol<Plain>>(kind)),
    },
    Peer {
        name: "may",
        rank: Rank::Peer,
        road: |kind| {
            let tasks = scheduler::<May>(kind).or(lock::<MayMutex>(kind));
            tasks.or(channels::<MayMpsc>(kind)).or(channels::<MayMpmc>(kind))
        },
    },
    Peer { name: "flume", rank: Rank::Peer, road: |kind| channels::<Flume>(kind).or(select::<Flume>(kind)) },
    Peer { name: "kanal", rank: Rank::Peer, road: |kind| channels::<Kanal>(kind).or(select::<Kanal>(kind)) },
    Peer {
        name: "crossbeam",
        rank: Rank::Peer,
        road: |kind| channels::<Crossbeam>(kind).or(select::<Crossbeam>(kind)),
    },
    Peer { name: "compio", rank: Rank::Peer, road: |kind| network::<Compio>(kind).filter(|_| Compio::is_here()) },
    // What the kernel alone costs.
    Peer { name: "epoll", rank: Rank::Limit, road: network::<Epoll> },
];

/// gambol without the watch over stalls: what that costs. A column only when it is asked for.
const OFF: Peer = Peer {
    name: "gambol-off",
    rank: Rank::Variant,
    road: |kind| {
        stalled::<Gambol<false>>(kind).or(runtime::<Gambol<false>>(kind)).or(network::<OnTasks<Gambol<false>>>(kind))
    },
};

/// A peer that can be chosen by name.
pub struct Peer {
    /// As it is written on the command line and over the table.
    pub name: &'static str,
    /// What it is beside ours.
    pub rank: Rank,
    /// How it carries out a workload of this kind; `None` if it has not the thing.
    pub road: fn(Kind) -> Option<Road>,
}

/// What a column is beside ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rank {
    /// Ours: the one that is compared.
    Ours,
    /// One of those that it is compared with.
    Peer,
    /// Ours in another setting; compared with only where there is no peer.
    Variant,
    /// What the machine allows, and no runtime: shown, and never compared with.
    Limit,
}

/// How a workload is carried out.
pub enum Road {
    /// In this process, which starts the peer with so many workers.
    Here(fn(usize, &Order) -> Result<Vec<f64>, Failure>),
    /// In a process of Go's, by these words.
    Go(Vec<String>),
}

impl Peer {
    /// Finds a peer by its name.
    pub fn find(name: &str) -> Result<&'static Peer, Failure> {
        let mut all = PEERS.iter().chain([&OFF]);
        all.clone().find(|peer| peer.name == name).ok_or_else(|| {
            let known: Vec<_> = all.by_ref().map(|peer| peer.name).collect();
            format!("there is no peer `{name}`; there are: {}", known.join(", ")).into()
        })
    }

    /// Whether it has the thing that is measured.
    pub fn has(&self, kind: Kind) -> bool {
        (self.road)(kind).is_some()
    }
}

fn runtime<R: Runtime>(kind: Kind) -> Option<Road> {
    let has = matches!(kind, Kind::Runtime(_));
    has.then_some(Road::Here(|workers, order| workload::on_runtime(&R::start(workers), order)))
}

fn stalled<R: Runtime>(kind: Kind) -> Option<Road> {
    matches!(kind, Kind::Stall(_)).then_some(Road::Here(workload::on_stalled::<R>))
}

fn scheduler<S: Scheduler>(kind: Kind) -> Option<Road> {
    let Kind::Runtime(kind) = kind else {
        return None;
    };
    let has = matches!(
        kind,
        RuntimeKind::Spawn
            | RuntimeKind::Chain
            | RuntimeKind::ForkJoin(_)
            | RuntimeKind::Uneven
            | RuntimeKind::Yields
            | RuntimeKind::Sleep(_)
            | RuntimeKind::IdleTick
    );
    has.then_some(Road::Here(|workers, order| workload::on_scheduler(&S::start(workers), order)))
}

fn network<S: Serve>(kind: Kind) -> Option<Road> {
    let has = matches!(kind, Kind::Network(kind) if S::HTTP || kind != Network::Http);
    has.then_some(Road::Here(workload::on_network::<S>))
}

fn channels<C: Channels>(kind: Kind) -> Option<Road> {
    let Kind::Channel(kind) = kind else {
        return None;
    };
    let has = match kind {
        ChannelKind::Message(shape) => {
            let capacity = match shape.capacity {
                Some(0) => C::RENDEZVOUS,
                Some(_) => C::BOUNDED,
                None => true,
            };
            capacity && (shape.receivers == 1 || C::MANY_RECEIVERS)
        }
        ChannelKind::PingPong { capacity } => capacity != 0 || C::RENDEZVOUS,
        // One token, so that it does not matter how many the channels hold.
        ChannelKind::Ring => true,
        ChannelKind::Sieve { capacity: 0 } => C::RENDEZVOUS,
        ChannelKind::Sieve { .. } => C::BOUNDED,
    };
    has.then_some(Road::Here(|workers, order| workload::on_channels::<C>(&C::Tasks::start(workers), order)))
}

fn select<C>(kind: Kind) -> Option<Road>
where
    C: Select<2> + Select<4> + Select<8>,
{
    let has = matches!(kind, Kind::Select { .. });
    has.then_some(Road::Here(|workers, order| workload::on_select::<C>(&C::Tasks::start(workers), order)))
}

fn lock<L: Lock>(kind: Kind) -> Option<Road> {
    let has = matches!(kind, Kind::Lock(_));
    has.then_some(Road::Here(|workers, order| workload::on_lock::<L>(&L::Runtime::start(workers), order)))
}

fn cancel<C: Cancel>(kind: Kind) -> Option<Road> {
    let has = matches!(kind, Kind::Cancel(_));
    has.then_some(Road::Here(|workers, order| workload::on_cancel::<C>(&C::Runtime::start(workers), order)))
}
