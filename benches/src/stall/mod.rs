//! Tasks that block or spin, and what the others suffer from it: gambol beside tokio, smol and Go.
//!
//! A case is one kind of trouble. Each (runtime, case) runs in a process of its own, in turns, as in `compare`; a run checks
//! that the trouble took place as ordered, and fails otherwise. What gambol aims at is printed under the table, with what
//! was measured: a missed aim is no failure of the program, because the machine may have been busy.
//!
//! Adding a case: a [`Kind`], a line in [`CASES`], and a line in `child`. If Go is to do it as well: words for it
//! in [`Case::words`], and a function in `benches/go/stall.go`.

mod child; // one case in this process
mod echo; // a server whose handlers block, and its load
mod heartbeat; // the longest gap between two beats of a task
mod threads; // how many threads there are over time
mod trouble; // what a heartbeat is beside
mod turns; // all cases, each in a child, in turns

pub use child::{CHILD, main as child};
pub use turns::main;

use crate::args::Failure;
use crate::figure::Figure;
use std::time::Duration;
use trouble::Trouble;

/// All cases, in the order of the table's rows.
const CASES: &[Case] = &[
    heartbeat("sleep", Trouble::Sleep, &[Some(20.0), Some(1100.0)]),
    heartbeat("timer", Trouble::Timer, &[Some(10.0), Some(1100.0)]),
    heartbeat("spin", Trouble::Spin, &[Some(30.0), None]),
    heartbeat("main", Trouble::Main, &[Some(20.0), Some(1100.0)]),
    heartbeat("pipe", Trouble::Pipe, &[Some(20.0), Some(1100.0)]),
    heartbeat("mutex", Trouble::Mutex, &[Some(20.0), Some(1100.0)]),
    heartbeat("waker", Trouble::Waker, &[Some(30.0), None]),
    Case {
        name: "echo",
        kind: Kind::Echo,
        figures: &[
            Figure::cost("p50", "ms"),
            Figure::cost("p99", "ms"),
            Figure::cost("max", "ms"),
            Figure::rate("rate", "1/s"),
        ],
        aims: &[None; 4],
    },
    Case {
        name: "threads",
        kind: Kind::Threads,
        figures: &[
            Figure::cost("most", "1"),
            Figure::cost("stuck", "1"),
            Figure::cost("beyond stuck", "1"),
            Figure::cost("10 s later", "1"),
            Figure::cost("took", "ms"),
        ],
        // Two workers, two more, and the monitor.
        aims: &[None, None, Some(5.0), Some(5.0), None],
    },
];

const fn heartbeat(name: &'static str, trouble: Trouble, aims: &'static [Option<f64>]) -> Case {
    Case {
        name,
        kind: Kind::Heartbeat(trouble),
        figures: const { &[Figure::cost("gap", "ms"), Figure::cost("done", "ms")] },
        aims,
    }
}

/// A case that can be chosen by name.
struct Case {
    /// As it is written on the command line and in the table.
    name: &'static str,
    kind: Kind,
    /// What the numbers that it returns mean, in their order.
    figures: &'static [Figure],
    /// What gambol's figures, in the same order, should be at most, with two workers.
    aims: &'static [Option<f64>],
}

/// The code of a case.
#[derive(Clone, Copy)]
enum Kind {
    Heartbeat(Trouble),
    Echo,
    Threads,
}

impl Case {
    fn find(name: &str) -> Result<&'static Case, Failure> {
        CASES.iter().find(|case| case.name == name).ok_or_else(|| {
            let known: Vec<_> = CASES.iter().map(|case| case.name).collect();
            format!("there is no case `{name}`; there are: {}", known.join(", ")).into()
        })
    }

    /// How it is told to the Go program; `None` if Go has not the thing.
    fn words(&self) -> Option<[&'static str; 2]> {
        // A goroutine is woken by nothing that a user could have written.
        let has = !matches!(self.kind, Kind::Heartbeat(Trouble::Waker));
        has.then_some(["stall", self.name])
    }
}

/// What comes before the trouble, so that no runtime is measured while it starts.
const WARM_UP: Duration = Duration::from_millis(500);

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
