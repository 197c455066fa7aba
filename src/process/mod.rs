//! Child processes: std's `Command` and `Child`, with pipes and an end that can be awaited.
//!
//! ```
//! use gambol::{io::AsyncWriteExt, process::{Command, Stdio}};
//!
//! # #[gambol::main]
//! # async fn main() -> std::io::Result<()> {
//! let mut sort = Command::new("sort").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
//! let mut input = sort.stdin.take().unwrap();
//! input.write_all(b"gamma\nbeta\nalpha\n").await?;
//! drop(input);
//! assert_eq!(sort.wait_with_output().await?.stdout, b"alpha\nbeta\ngamma\n");
//! # Ok(())
//! # }
//! ```
//!
//! A [`Child`] that is dropped goes on, unless [`Command::kill_on_drop`] says otherwise, and is reaped when it ends. No thread is
//! started for any of this.
//!
//! There is no such module on Windows.

// What to start, and how.
mod command;

// A process that was started.
mod child;

// Our ends of its pipes.
mod pipes;

// How its end is awaited.
mod exit;

// Those that were dropped before their end.
mod orphans;

pub use child::Child;
pub use command::Command;
pub use pipes::{ChildStderr, ChildStdin, ChildStdout};
#[doc(no_inline)]
pub use std::process::{ExitStatus, Output, Stdio};
