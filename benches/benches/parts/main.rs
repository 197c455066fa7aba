//! gambol's parts one by one, on one thread: what an operation on each costs by itself.
//!
//! ```console
//! $ cargo bench -p gambol-benches
//! $ cargo bench -p gambol-benches -- queue timer::expire
//! ```
//!
//! It is the price of the instructions, with warm caches and nobody in the way: for finding out what a change to a part
//! does to it. What a part is worth to a program, `compare` tells. `cargo test` runs everything once, so that it goes on
//! working.
//!
//! divan, not criterion: what is prepared and what is dropped is not timed, and all of it is over in seconds, not minutes.
//!
//! - `queue`      where runnable tasks wait: the ring beside other people's, the slot, the injector
//! - `timer`      the wheel: insert, cancel, expire
//! - `readiness`  a descriptor's word, its waiters, and the road from an event to their wakers
//! - `task`       the table of those that wait; wakers; a switch through the slot
//! - `channel`    what needs no waiting

mod channel;
mod queue;
mod readiness;
mod task;
mod timer;

/// How many of what takes a few nanoseconds are timed at once: the clock's own 20 ns are nothing beside them.
const MANY: u32 = 1_024;

fn main() {
    divan::main();
}
