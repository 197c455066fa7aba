//! `select!`: several futures at once, of which the first goes on and the others are dropped.
//!
//! The macro takes the list of arms apart and puts it together again as one expression of three parts:
//!
//! 1. the arms, side by side in a nested type, each an option ([`And`]);
//! 2. a future over them ([`Run`], [`RunNow`]), which is awaited there and then, so that it borrows whatever the caller has and needs
//!    no allocation. It asks for each output whether the arm's pattern takes it, and yields the first that is taken ([`Taken`]);
//! 3. a `match` over which arm that is of, in the caller's own scope, with the caller's patterns and handlers. By then the future and all
//!    arms are dropped.
//!
//! What an arm is, is decided by the type of its expression ([`Wrap`]): any future is polled.

// The macro: which tokens are what.
mod macros;

// One arm; many arms side by side; what a select keeps that stands in lines.
mod arm;
mod arms;
mod lines;

// In which order they are polled; the future that does it.
mod order;
mod run;

// The protocol, in every interleaving.
#[cfg(all(test, gambol_loom))]
mod models;

pub use arm::{AnyFuture, Arm, Awaiting, How, Look, NoFuture, Wrap, awaited};
pub use arms::{And, Arms, Came, Nil, Out, Outcome};
pub use gambol_macros::select_mistake as mistake;
pub use lines::{Lines, Standing};
pub use order::{InTurn, Order, Shuffled};
pub use run::{MOST, Run, RunNow, Select, Taken, all_disabled, not_taken};
