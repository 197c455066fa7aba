//! What is measured. Each file holds one workload: what it is for, how often it runs, its figures, and the code, generic
//! over the runtime. Every workload checks its own result and fails rather than report a figure for work not done.
//!
//! Adding a workload: a file beside these, a [`Kind`], a line in [`WORKLOADS`] and one in [`carry_out`].

mod echo;
mod memory;
mod outside;
mod sleep;
mod spawn;
mod timeout;
mod token;
mod yields;

use crate::args::Failure;
use crate::figure::Figure;
use crate::rt::Runtime;
use std::net::SocketAddr;
use std::time::Duration;

pub use echo::{CONNECTIONS, MESSAGE};

/// All workloads, in the order of the table's rows.
pub const WORKLOADS: &[Workload] = &[
    spawn::WORKLOAD,
    outside::WORKLOAD,
    yields::WORKLOAD,
    token::WORKLOAD,
    timeout::WORKLOAD,
    sleep::FIFTY_MICROS,
    sleep::ONE_MILLI,
    sleep::ONE_AND_A_HALF_MILLIS,
    sleep::TWENTY_MILLIS,
    echo::WORKLOAD,
    memory::WORKLOAD,
];

/// A workload that can be chosen by name.
pub struct Workload {
    /// As it is written on the command line and in the table.
    pub name: &'static str,
    /// Which code it is.
    pub kind: Kind,
    /// How many operations one measurement takes at scale 1, so that it lasts about a second.
    pub ops: u64,
    /// What the numbers that it returns mean, in their order.
    pub figures: &'static [Figure],
}

/// The code of a workload, with what tells its variants apart.
#[derive(Clone, Copy)]
pub enum Kind {
    Spawn,
    Outside,
    Yields,
    Token,
    Timeout,
    Sleep(Duration),
    Echo,
    Memory,
}

/// One workload to carry out in this process.
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
}

/// Carries out an order and returns the workload's figures.
pub fn carry_out<R: Runtime>(rt: &R, order: &Order) -> Result<Vec<f64>, Failure> {
    match order.workload.kind {
        Kind::Spawn => warmed(order, |ops| spawn::run(rt, ops)),
        Kind::Outside => warmed(order, |ops| outside::run(rt, ops)),
        Kind::Yields => warmed(order, |ops| yields::run(rt, ops)),
        Kind::Token => warmed(order, |ops| token::run(rt, ops)),
        Kind::Timeout => warmed(order, |ops| timeout::run(rt, ops)),
        Kind::Sleep(duration) => warmed(order, |ops| sleep::run(rt, duration, ops)),
        Kind::Echo => echo::run(rt, order),
        Kind::Memory => memory::run(rt, order.ops),
    }
}

fn warmed(order: &Order, run: impl Fn(u64) -> Result<Vec<f64>, Failure>) -> Result<Vec<f64>, Failure> {
    if order.setting == Setting::Measured {
        run(order.ops.div_ceil(10))?;
    }
    run(order.ops)
}

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
