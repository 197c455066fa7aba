//! The standard error output. How it works is written in `output.rs`.

use super::{nonblocking, output::Output, standard::write_to};
use std::io;

static OUTPUT: Output = Output::new(|bytes| nonblocking::write(&io::stderr(), io::stderr().lock(), bytes));

/// The standard error output of the process.
pub fn stderr() -> Stderr {
    Stderr { std: io::stderr() }
}

/// See [`stderr`]. It does and promises what [`Stdout`](super::Stdout) does: each write is begun at once, but by another thread,
/// so **flush it before main returns**. A program that must say something before it aborts uses `eprintln!`.
///
/// # Errors
///
/// As for `Stdout`.
///
/// # Cancel safety
///
/// A write that was not ready has written nothing. A flush that is dropped loses nothing.
#[derive(Debug)]
pub struct Stderr {
    std: io::Stderr,
}

write_to!(Stderr, OUTPUT);
