//! Signals from the operating system.
//!
//! Who listens to a signal takes it over from the system, for the whole process and for good: the default action, which for
//! most signals is to end the process, is not restored when the last listener is dropped. So a program that waits for
//! [`ctrl_c`] once and then shuts down slowly cannot be ended by a second one, unless it listens on:
//!
//! ```no_run
//! # use std::io;
//! # async fn shut_down() {}
//! # async fn program() -> io::Result<()> {
//! gambol::signal::ctrl_c().await?;
//! let again = gambol::signal::ctrl_c();
//! gambol::spawn(async move {
//!     if again.await.is_ok() {
//!         std::process::exit(130);
//!     }
//! });
//! shut_down().await;
//! # Ok(())
//! # }
//! ```
//!
//! Other handlers that were installed before, or through the `signal-hook` crates, are run as well. A task must not be woken
//! from a signal handler of one's own; a listener here is the way.
//!
//! On Windows there is only [`ctrl_c`], and it gives an error.

// What the user at the terminal says.
mod ctrl_c;

// Which signal.
#[cfg(unix)]
mod kind;

// One who is told of a signal.
#[cfg(unix)]
mod listener;

pub use ctrl_c::{CtrlC, ctrl_c};
#[cfg(unix)]
pub use kind::SignalKind;
#[cfg(unix)]
pub use listener::{Signal, unix};
