//! What is measured. Each file holds one workload: what it is for, how often it runs, its figures, and the code, generic
//! over the runtime, the channels, the lock or the tree. Every workload checks its own result and fails rather than report
//! a figure for work not done.
//!
//! Adding a workload: a file beside these, a [`Kind`] with its [`Theme`], a line in [`WORKLOADS`] and one in the function that
//! carries out its kind. If Go is to do it as well: words for it in `go.rs`, and a file in `benches/go`.

mod cancel;
mod chain;
mod detached;
mod foreign_wake;
mod fork_join;
mod idle;
mod idle_tick;
mod memory;
mod message;
mod mutex;
mod network;
mod outside;
mod pingpong;
mod ring;
mod select;
mod sieve;
mod sleep;
mod spawn;
mod stall;
mod theme;
mod timeout;
mod timers_fired;
mod token;
mod uneven;
mod yields;

use crate::args::Failure;
use crate::cancel::Cancel;
use crate::chan::{Channels, Select};
use crate::figure::Figure;
use crate::load;
use crate::lock::Lock;
use crate::rt::{Runtime, Scheduler};
use crate::serve::Serve;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

pub use cancel::Waiters;
pub use fork_join::Leaf;
pub use message::Shape;
pub use mutex::Section;
pub use network::{CONNECTIONS, Exchange, MESSAGE, Network, SMALL};
pub use stall::{Stall, Trouble, load as load_stalling};
pub use theme::Theme;

/// All workloads, in the order of the table's rows.
pub const WORKLOADS: &[Workload] = &[
    spawn::WORKLOAD,
    detached::WORKLOAD,
    outside::WORKLOAD,
    chain::WORKLOAD,
    fork_join::EMPTY,
    fork_join::WORK,
    uneven::WORKLOAD,
    yields::WORKLOAD,
    token::WORKLOAD,
    foreign_wake::WORKLOAD,
    timeout::WORKLOAD,
    timers_fired::WORKLOAD,
    sleep::FIFTY_MICROS,
    sleep::ONE_MILLI,
    sleep::ONE_AND_A_HALF_MILLIS,
    sleep::TWENTY_MILLIS,
    idle_tick::WORKLOAD,
    idle::WORKLOAD,
    memory::WORKLOAD,
    network::ECHO_SMALL,
    network::ECHO_MANY,
    network::ECHO_BULK,
    network::CHURN,
    network::IDLE,
    network::HTTP,
    message::ONE_TO_ONE_AT_0,
    message::ONE_TO_ONE_AT_1,
    message::ONE_TO_ONE_AT_128,
    message::ONE_TO_ONE_UNBOUNDED,
    message::FOUR_TO_ONE_AT_0,
    message::FOUR_TO_ONE_AT_1,
    message::FOUR_TO_ONE_AT_128,
    message::FOUR_TO_ONE_UNBOUNDED,
    message::FOUR_TO_FOUR_AT_0,
    message::FOUR_TO_FOUR_AT_1,
    message::FOUR_TO_FOUR_AT_128,
    message::FOUR_TO_FOUR_UNBOUNDED,
    pingpong::AT_0,
    pingpong::AT_1,
    ring::WORKLOAD,
    sieve::AT_0,
    sieve::AT_1,
    select::OF_TWO,
    select::OF_FOUR,
    select::OF_EIGHT,
    mutex::SHORT,
    mutex::HELD,
    cancel::TREE,
    cancel::WAITERS,
    stall::SLEEP,
    stall::TIMER,
    stall::SPIN,
    stall::MAIN,
    stall::PIPE,
    stall::MUTEX,
    stall::WAKER,
    stall::ECHO,
    stall::THREADS,
];

/// A workload that can be chosen by name.
pub struct Workload {
    /// As it is written on the command line and in the table.
    pub name: &'static str,
    /// What the row is for, in one line.
    pub about: &'static str,
    /// Which code it is.
    pub kind: Kind,
    /// How many operations one measurement takes at scale 1, so that it lasts about a second, or as long as its kind must.
    pub ops: u64,
    /// What the numbers that it returns mean, in their order.
    pub figures: &'static [Figure],
}

/// The code of a workload, with what tells its variants apart: by what it asks for of a peer.
#[derive(Clone, Copy)]
pub enum Kind {
    /// A runtime.
    Runtime(RuntimeKind),
    /// A server.
    Network(Network),
    /// Channels.
    Channel(ChannelKind),
    /// Channels with a select over so many.
    Select { width: usize },
    /// A mutex.
    Lock(Section),
    /// A tree of cancellation.
    Cancel(Waiters),
    /// A runtime some of whose tasks keep their threads.
    Stall(Stall),
}

/// The code of a workload that asks for a runtime alone.
#[derive(Clone, Copy)]
pub enum RuntimeKind {
    Spawn,
    Detached,
    Outside,
    Chain,
    ForkJoin(Leaf),
    Uneven,
    Yields,
    Token,
    ForeignWake,
    Timeout,
    TimersFired,
    Sleep(Duration),
    IdleTick,
    Idle,
    Memory,
}

/// The code of a workload that asks for channels.
#[derive(Clone, Copy)]
pub enum ChannelKind {
    Message(Shape),
    PingPong { capacity: usize },
    Ring,
    Sieve { capacity: usize },
}

/// One workload to carry out in this process.
#[derive(Clone, Copy)]
pub struct Order {
    pub workload: &'static Workload,
    pub ops: u64,
    pub setting: Setting,
}

/// What surrounds the operations.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// A warm-up of a tenth before; the load generator is started and paced.
    Measured,
    /// Nothing at all, for tools that count instructions or system calls. The load comes from elsewhere, to this address.
    Bare { listen: SocketAddr },
}

impl Workload {
    /// Finds the workloads whose name is `name` or begins with it and a hyphen: `sleep` means all the sleeps.
    pub fn find(name: &str) -> Result<Vec<&'static Workload>, Failure> {
        let is_meant = |workload: &&Workload| match workload.name.strip_prefix(name) {
            Some(rest) => rest.is_empty() || rest.starts_with('-'),
            None => false,
        };
        let found: Vec<_> = WORKLOADS.iter().filter(is_meant).collect();
        if found.is_empty() {
            let known: Vec<_> = WORKLOADS.iter().map(|workload| workload.name).collect();
            return Err(format!("there is no workload `{name}`; there are: {}", known.join(", ")).into());
        }
        Ok(found)
    }

    /// About how many seconds a measurement takes: for telling how many are left, and nothing else.
    pub fn seconds(&self, scale: f64) -> f64 {
        match self.kind {
            Kind::Stall(stall) => stall.seconds(scale),
            _ => 0.2 + scale,
        }
    }

    /// Finds the one workload of this name.
    pub fn one(name: &str) -> Result<&'static Workload, Failure> {
        let found = Self::find(name)?;
        let exact = found.iter().copied().find(|workload| workload.name == name);
        match (exact, &found[..]) {
            // A family may have the name of one of its members.
            (Some(workload), _) | (None, &[workload]) => Ok(workload),
            _ => Err(format!("`{name}` means several workloads").into()),
        }
    }

    /// How many operations there can be on this machine, of so many.
    pub fn possible(&self, ops: u64) -> Result<u64, Failure> {
        match self.kind {
            Kind::Network(kind) => network::possible(kind, ops),
            _ => Ok(ops),
        }
    }

    /// The program that it needs and that is not here.
    pub fn lacks(&self) -> Option<&'static str> {
        let is_http = matches!(self.kind, Kind::Network(Network::Http));
        (is_http && !load::wrk_is_here()).then_some("wrk")
    }
}

/// Carries out an order for a runtime and returns the workload's figures.
pub fn on_runtime<R: Runtime>(rt: &R, order: &Order) -> Result<Vec<f64>, Failure> {
    let Kind::Runtime(kind) = order.workload.kind else {
        return Err(order.misdirected("runtime"));
    };
    match kind {
        RuntimeKind::Detached => warmed(order, |ops| detached::run(rt, ops)),
        RuntimeKind::Outside => warmed(order, |ops| outside::run(rt, ops)),
        RuntimeKind::Token => warmed(order, |ops| token::run(rt, ops)),
        RuntimeKind::ForeignWake => warmed(order, |ops| foreign_wake::run(rt, ops)),
        RuntimeKind::Timeout => warmed(order, |ops| timeout::run(rt, ops)),
        RuntimeKind::TimersFired => warmed(order, |ops| timers_fired::run(rt, ops)),
        RuntimeKind::Idle => warmed(order, |ops| idle::run(rt, ops)),
        RuntimeKind::Memory => warmed(order, |ops| memory::run(rt, ops)),
        _ => on_scheduler(rt, order),
    }
}

/// Carries out an order that asks for no more of a runtime than that.
pub fn on_scheduler<S: Scheduler>(rt: &S, order: &Order) -> Result<Vec<f64>, Failure> {
    let Kind::Runtime(kind) = order.workload.kind else {
        return Err(order.misdirected("scheduler"));
    };
    match kind {
        RuntimeKind::Spawn => warmed(order, |ops| spawn::run(rt, ops)),
        RuntimeKind::Chain => shortened(order, |ops| chain::run(rt, ops)),
        RuntimeKind::ForkJoin(leaf) => shortened(order, |ops| fork_join::run(rt, leaf, ops)),
        RuntimeKind::Uneven => warmed(order, |ops| uneven::run(rt, ops)),
        RuntimeKind::Yields => warmed(order, |ops| yields::run(rt, ops)),
        RuntimeKind::Sleep(duration) => warmed(order, |ops| sleep::run(rt, duration, ops)),
        RuntimeKind::IdleTick => warmed(order, |ops| idle_tick::run(rt, ops)),
        _ => Err(order.misdirected("scheduler")),
    }
}

/// Carries out an order for a server.
pub fn on_network<S: Serve>(workers: usize, order: &Order) -> Result<Vec<f64>, Failure> {
    match order.workload.kind {
        Kind::Network(kind) => network::run::<S>(kind, workers, order),
        _ => Err(order.misdirected("server")),
    }
}

/// Carries out an order for channels.
pub fn on_channels<C: Channels>(tasks: &C::Tasks, order: &Order) -> Result<Vec<f64>, Failure> {
    let Kind::Channel(kind) = order.workload.kind else {
        return Err(order.misdirected("channels"));
    };
    match kind {
        ChannelKind::Message(shape) => shortened(order, |ops| message::run::<C>(tasks, shape, ops)),
        ChannelKind::PingPong { capacity } => shortened(order, |ops| pingpong::run::<C>(tasks, capacity, ops)),
        ChannelKind::Ring => shortened(order, |ops| ring::run::<C>(tasks, ops)),
        ChannelKind::Sieve { capacity } => warmed(order, |ops| sieve::run::<C>(tasks, capacity, ops)),
    }
}

/// Carries out an order for channels with a select.
pub fn on_select<C>(tasks: &C::Tasks, order: &Order) -> Result<Vec<f64>, Failure>
where
    C: Select<2> + Select<4> + Select<8>,
{
    match order.workload.kind {
        Kind::Select { width } => shortened(order, |ops| select::run::<C>(tasks, width, ops)),
        _ => Err(order.misdirected("select")),
    }
}

/// Carries out an order for a mutex.
pub fn on_lock<L: Lock>(rt: &L::Runtime, order: &Order) -> Result<Vec<f64>, Failure> {
    match order.workload.kind {
        Kind::Lock(section) => shortened(order, |ops| mutex::run::<L>(rt, section, ops)),
        _ => Err(order.misdirected("mutex")),
    }
}

/// Carries out an order for a tree of cancellation.
pub fn on_cancel<C: Cancel>(rt: &C::Runtime, order: &Order) -> Result<Vec<f64>, Failure> {
    match order.workload.kind {
        Kind::Cancel(waiters) => warmed(order, |ops| cancel::run::<C>(rt, waiters, ops)),
        _ => Err(order.misdirected("tree of cancellation")),
    }
}

/// Carries out an order for a runtime that is to be stalled; it starts the runtime itself, since it may count threads.
pub fn on_stalled<R: Runtime>(workers: usize, order: &Order) -> Result<Vec<f64>, Failure> {
    match order.workload.kind {
        Kind::Stall(stall) => stall::run::<R>(stall, workers, order.ops),
        _ => Err(order.misdirected("runtime with stalls")),
    }
}

impl Order {
    /// Whether a tenth of the operations comes before.
    pub fn is_warmed_up(&self) -> bool {
        // The tasks of `idle` would still be there, and the memory of those of `memory`; stalls and servers are warmed up otherwise.
        let is_cold = matches!(
            self.workload.kind,
            Kind::Runtime(RuntimeKind::Idle | RuntimeKind::Memory) | Kind::Stall(_) | Kind::Network(_)
        );
        self.setting == Setting::Measured && !is_cold
    }

    /// What to say if an order came to somebody who cannot carry it out.
    fn misdirected(&self, to: &str) -> Failure {
        format!("{} is nothing for a {to}", self.workload.name).into()
    }
}

/// With the warm-up before.
fn warmed(order: &Order, run: impl Fn(u64) -> Result<Vec<f64>, Failure>) -> Result<Vec<f64>, Failure> {
    if order.is_warmed_up() {
        run(order.ops.div_ceil(10))?;
    }
    run(order.ops)
}

/// The same, but whoever is slow in a hundredth of the operations does fewer of them, about [`LONG_ENOUGH`].
///
/// Between a message that goes round in memory and one for which threads change places there is a factor of a hundred. The
/// cost of one operation must not depend on their number.
fn shortened(order: &Order, run: impl Fn(u64) -> Result<Vec<f64>, Failure>) -> Result<Vec<f64>, Failure> {
    let mut order = *order;
    if order.is_warmed_up() {
        let few = order.ops.div_ceil(100);
        let start = Instant::now();
        run(few)?;
        let affordable = few as f64 * LONG_ENOUGH.as_secs_f64() / start.elapsed().as_secs_f64();
        order.ops = order.ops.min(affordable as u64).max(few);
    }
    warmed(&order, run)
}

/// How long a measurement lasts that gets its figure from many equal operations.
pub const LONG_ENOUGH: Duration = Duration::from_millis(500);

/// Divides `ops` among so many tasks; the shares differ by one at most.
fn shares(ops: u64, tasks: u64) -> impl Iterator<Item = u64> {
    (0..tasks).map(move |index| ops / tasks + u64::from(index < ops % tasks))
}

/// Fails unless all of the work was done.
fn check(what: &str, done: u64, ordered: u64) -> Result<(), Failure> {
    if done == ordered { Ok(()) } else { Err(format!("{done} {what}, but {ordered} were ordered").into()) }
}

#[cfg(test)]
mod tests {
    use super::{Workload, shares};

    #[test]
    fn shares_add_up_and_are_even() {
        for (ops, tasks) in [(0, 3), (2, 3), (3, 3), (1001, 64)] {
            let shares: Vec<_> = shares(ops, tasks).collect();
            assert_eq!(shares.len() as u64, tasks);
            assert_eq!(shares.iter().sum::<u64>(), ops);
            assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1);
        }
    }

    #[test]
    fn a_family_of_workloads_is_found_by_its_first_word() {
        assert_eq!(Workload::find("sleep").unwrap().len(), 4);
        assert_eq!(Workload::find("sleep-1ms").unwrap().len(), 1);
        assert!(Workload::find("sle").is_err());
    }
}
