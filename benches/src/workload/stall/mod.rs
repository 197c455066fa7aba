//! Tasks that block or spin, and what the others suffer from it.
//!
//! Each workload is one kind of trouble, and checks that the trouble took place as ordered. The heartbeats happen once,
//! whatever number of operations is ordered: an operation of `echo` is a second under load, one of `threads` a round of a
//! hundred tasks.
//!
//! Adding a kind of trouble: a line in [`Trouble`], a workload here, and if Go is to do it as well a word for it in `go.rs`
//! and a case in `benches/go/stall.go`.

mod echo; // a server whose handlers block, and its load
mod heartbeat; // the longest gap between two beats of a task
mod threads; // how many threads there are over time
mod trouble; // what a heartbeat is beside

pub use echo::load;
pub use trouble::Trouble;

use super::{Kind, Workload};
use crate::args::Failure;
use crate::figure::Figure;
use crate::rt::Runtime;
use std::time::Duration;

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Stall {
    /// The gaps of a heartbeat beside some trouble.
    Heartbeat(Trouble),
    /// An echo server whose handlers block. This process is the server; whoever started it is the [`load`].
    Echo,
    /// Threads over time.
    Threads,
}

impl Stall {
    /// About how many seconds it takes.
    pub fn seconds(self, scale: f64) -> f64 {
        match self {
            Stall::Heartbeat(_) => 3.0,
            Stall::Echo => 1.0 + 5.0 * scale,
            Stall::Threads => 12.0 + 20.0 * scale,
        }
    }
}

pub const SLEEP: Workload = heartbeat(
    "stall-sleep",
    "how long nothing else runs while 8 tasks each sleep 1 s with their threads",
    Trouble::Sleep,
    const { &[gap(20.0), done().at_most(1100.0)] },
);
pub const TIMER: Workload = heartbeat(
    "stall-timer",
    "how long nothing else runs while 8 tasks each sleep 1 s with their threads, woken by a timer first",
    Trouble::Timer,
    const { &[gap(10.0), done().at_most(1100.0)] },
);
pub const SPIN: Workload = heartbeat(
    "stall-spin",
    "how long nothing else runs while 4 tasks each compute for 1 s",
    Trouble::Spin,
    const { &[gap(30.0), done()] },
);
pub const MAIN: Workload = heartbeat(
    "stall-main",
    "how long nothing else runs while the main task sleeps 1 s with its thread",
    Trouble::Main,
    const { &[gap(20.0), done().at_most(1100.0)] },
);
pub const PIPE: Workload = heartbeat(
    "stall-pipe",
    "how long nothing else runs while 8 tasks read a pipe that is written to after 1 s",
    Trouble::Pipe,
    const { &[gap(20.0), done().at_most(1100.0)] },
);
pub const MUTEX: Workload = heartbeat(
    "stall-mutex",
    "how long nothing else runs while 8 tasks lock a mutex of std's which a plain thread holds for 1 s",
    Trouble::Mutex,
    const { &[gap(20.0), done().at_most(1100.0)] },
);
pub const WAKER: Workload = heartbeat(
    "stall-waker",
    "how long nothing else runs while the wakers of 4 timers compute for 1 s",
    Trouble::Waker,
    const { &[gap(30.0), done()] },
);
pub const ECHO: Workload = Workload {
    name: "stall-echo",
    about: "what the other requests wait for when every tenth blocks its handler for 200 ms, over 64 connections",
    kind: Kind::Stall(Stall::Echo),
    ops: 5,
    figures: &[
        Figure::cost("p50", "ms"),
        Figure::cost("p99", "ms"),
        Figure::cost("max", "ms"),
        Figure::rate("rate", "1/s"),
    ],
};
pub const THREADS: Workload = Workload {
    name: "stall-threads",
    about: "how many threads a runtime adds for a thousand tasks that keep theirs for 50 ms, 1 to 40 at once",
    kind: Kind::Stall(Stall::Threads),
    ops: 10,
    figures: &[
        Figure::context("most", "1"),
        Figure::context("stuck", "1"),
        // Two workers, two more, and the monitor. Not compared: who never has more stuck than workers adds no thread, has
        // none to get rid of, and takes its time.
        Figure::context("beyond stuck", "1").at_most(5.0),
        Figure::context("10 s later", "1").at_most(5.0),
        Figure::cost("took", "ms"),
    ],
};

const fn heartbeat(name: &'static str, about: &'static str, trouble: Trouble, figures: &'static [Figure]) -> Workload {
    Workload { name, about, kind: Kind::Stall(Stall::Heartbeat(trouble)), ops: 1, figures }
}

const fn gap(aim: f64) -> Figure {
    Figure::cost("gap", "ms").at_most(aim)
}

const fn done() -> Figure {
    Figure::cost("done", "ms")
}

/// Carries it out in this process, which has no runtime yet.
pub fn run<R: Runtime>(stall: Stall, workers: usize, ops: u64) -> Result<Vec<f64>, Failure> {
    match stall {
        Stall::Heartbeat(trouble) => heartbeat::run(&R::start(workers), trouble),
        Stall::Echo => echo::serve(&R::start(workers)),
        Stall::Threads => threads::run::<R>(workers, ops),
    }
}

/// What comes before the trouble, so that no runtime is measured while it starts.
const WARM_UP: Duration = Duration::from_millis(500);

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
