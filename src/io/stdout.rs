//! The standard output. How it works is written in `output.rs`.

use super::{nonblocking, output::Output, standard::write_to};
use std::io;

static OUTPUT: Output = Output::new(|bytes| nonblocking::write(&io::stdout(), io::stdout().lock(), bytes));

/// The standard output of the process.
pub fn stdout() -> Stdout {
    Stdout { std: io::stdout() }
}

/// See [`stdout`]. All handles write to the same stream, each write whole if it is not longer than 64 KiB, whatever std's
/// handles and other tasks write meanwhile.
///
/// A write is done when its bytes are in the buffer, and the operating system is given them at once, by another thread.
/// `flush` waits until it has them; **call it before main returns**, otherwise the last bytes may be lost, since nothing holds up
/// the end of a program. All this holds as well for a terminal or a pipe that somebody has put into non-blocking mode.
///
/// # Errors
///
/// The operating system's, at the next call after the write that failed; what was in the buffer then is lost. "The runtime is
/// gone" when no write can be started any more: of a flush, or of a write that finds no room.
///
/// # Cancel safety
///
/// A write that was not ready has written nothing. A flush that is dropped loses nothing.
#[derive(Debug)]
pub struct Stdout {
    std: io::Stdout,
}

write_to!(Stdout, OUTPUT);
