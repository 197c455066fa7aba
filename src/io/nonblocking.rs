//! Standard streams that somebody has put into non-blocking mode.
//!
//! That mode belongs to the terminal or pipe as it was opened, not to the descriptor. So it is shared with the program that
//! started this one, with those that run beside it, and with an [`Async`](super::Async) over a duplicate. The standard streams
//! are read and written in the blocking pool, where a call is to block; in that mode it says `WouldBlock` instead, and std
//! passes that on, with a part of what was to be written gone. Here poll(2) blocks in its place, and the call is done again from
//! where it stood. std keeps what its own buffer could not get rid of, and counts no byte as written that it has not taken.
//!
//! Left was to put the streams back into blocking mode, which would take the mode from whoever has set it.

use platform::{Descriptor, wait};
use std::{
    io::{self, Read, Write},
    thread,
    time::Duration,
};

/// Between two waits of which the first was for nothing: poll(2) called ready what was not. That of macOS does so for terminals, of
/// which it knows nothing, at once and for ever.
const PAUSE: Duration = Duration::from_millis(10);

enum Direction {
    Read,
    Write,
}

/// Reads once from `input`, which reads from `stream`. Blocks in either mode.
pub(super) fn read(stream: &impl Descriptor, mut input: impl Read, room: &mut [u8]) -> io::Result<usize> {
    patiently(stream, Direction::Read, || input.read(room))
}

/// Writes all of it to `output`, which writes to `stream`, and flushes. Blocks in either mode.
pub(super) fn write(stream: &impl Descriptor, mut output: impl Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match patiently(stream, Direction::Write, || output.write(bytes))? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            n => bytes = &bytes[n..],
        }
    }
    patiently(stream, Direction::Write, || output.flush())
}

/// Does `operation` until it does not say `WouldBlock`. It is retried on EINTR.
fn patiently<R>(
    stream: &impl Descriptor,
    direction: Direction,
    mut operation: impl FnMut() -> io::Result<R>,
) -> io::Result<R> {
    let mut waited = false;
    loop {
        match operation() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if waited {
                    thread::sleep(PAUSE);
                }
                wait(stream, &direction)?;
                waited = true;
            }
            result => return result,
        }
    }
}

#[cfg(unix)]
mod platform {
    use super::Direction;
    use rustix::{
        event::{PollFd, PollFlags, poll},
        io::retry_on_intr,
    };
    use std::io;
    pub(super) use std::os::fd::AsFd as Descriptor;

    /// Blocks until the stream is ready, or hung up, or in error: what is to be said of that, the next call says.
    pub(super) fn wait(stream: &impl Descriptor, direction: &Direction) -> io::Result<()> {
        let flags = match direction {
            Direction::Read => PollFlags::IN,
            Direction::Write => PollFlags::OUT,
        };
        retry_on_intr(|| poll(&mut [PollFd::new(stream, flags)], None))?;
        Ok(())
    }
}

#[cfg(windows)]
mod platform {
    use super::Direction;
    use std::io;
    pub(super) use std::os::windows::io::AsHandle as Descriptor;

    /// Nothing to wait by. A console or a pipe there does not say `WouldBlock`.
    pub(super) fn wait(_: &impl Descriptor, _: &Direction) -> io::Result<()> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn what_is_called_ready_and_is_not_takes_no_processor() {
        let (_reader, writer) = io::pipe().unwrap();
        let (begin, mut calls) = (Instant::now(), 0);
        let result = patiently(&writer, Direction::Write, || {
            calls += 1;
            match calls {
                1..=4 => Err(io::ErrorKind::WouldBlock.into()),
                5 => Err(io::ErrorKind::Interrupted.into()),
                _ => Ok(calls),
            }
        });
        assert_eq!(result.unwrap(), 6);
        assert!(begin.elapsed() >= 3 * PAUSE);
    }

    #[test]
    fn an_error_that_is_not_of_the_mode_is_passed_on() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let error = write(&writer, &writer, b"text").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        let error = write(&writer, &mut [0; 2][..], b"text").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WriteZero);
    }
}
