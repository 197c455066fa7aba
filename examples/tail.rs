//! Prints the last lines of a file, and then what is appended to it, until it is killed or nobody reads what it prints.
//!
//! It looks ten times a second. A file that has become shorter is read from its beginning; when another file has got the
//! name (logs are rotated so), what is left of the old one is printed first and then the new one. One that was emptied and
//! between two looks grew longer than it had been is taken for the old one.
//!
//! ```text
//! cargo run --example tail -- [-n LINES] FILE        # 10 lines if no number is given
//! ```

use gambol::{
    fs::{self, File, Metadata},
    io::{self, AsyncReadExt, AsyncSeekExt, ErrorKind, SeekFrom, stdout},
    time::{Duration, MissedTick, interval},
};
use std::{env, ffi::OsString, path::Path, process::ExitCode};

const BLOCK: u64 = 64 * 1024;

#[gambol::main]
async fn main() -> ExitCode {
    let words: Vec<_> = env::args_os().skip(1).collect();
    let Some((lines, path)) = arguments(&words) else {
        eprintln!("usage: tail [-n LINES] FILE");
        return ExitCode::FAILURE;
    };
    match tail(path, lines).await {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read what we print has had enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tail: {}: {error}", path.display());
            ExitCode::FAILURE
        }
    }
}

fn arguments(arguments: &[OsString]) -> Option<(u64, &Path)> {
    match arguments {
        [path] if path != "-n" => Some((10, path.as_ref())),
        [option, lines, path] if option == "-n" => Some((lines.to_str()?.parse().ok()?, path.as_ref())),
        _ => None,
    }
}

async fn tail(path: &Path, lines: u64) -> io::Result<()> {
    let mut file = open(path).await?;
    let mut position = start_of_last(&mut file, lines).await?;
    position = file.seek(SeekFrom::Start(position)).await?;
    let mut missing = false;
    let mut ticks = interval(Duration::from_millis(100));
    ticks.set_missed_tick(MissedTick::Delay);
    while !nobody_reads() {
        ticks.tick().await;
        position += print(&mut file).await?;
        let old = file.metadata().await?;
        if old.len() < position {
            say(path, "has become shorter; from its beginning");
            position = file.seek(SeekFrom::Start(0)).await?;
            continue;
        }
        match fs::metadata(path).await {
            Ok(new) if identity(&new) == identity(&old) => missing = false,
            Ok(_) => match open(path).await {
                Ok(next) => {
                    say(path, "is another file now; from its beginning");
                    // What was written to the old one before it lost the name.
                    print(&mut file).await?;
                    (file, position, missing) = (next, 0, false);
                }
                // It went again before it was opened.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            },
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if !missing {
                    say(path, "has gone; waiting for another");
                }
                missing = true;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Only what can be read from its end. To open a pipe would wait for somebody who writes into it.
async fn open(path: &Path) -> io::Result<File> {
    if !fs::metadata(path).await?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    File::open(path).await
}

/// Where the last lines begin. Reads blocks from the end until it has seen enough of them.
async fn start_of_last(file: &mut File, lines: u64) -> io::Result<u64> {
    let mut end = file.seek(SeekFrom::End(0)).await?;
    if lines == 0 {
        return Ok(end);
    }
    let mut found = 0;
    let mut last = true;
    let mut block = Vec::new();
    while end > 0 {
        let begin = end.saturating_sub(BLOCK);
        file.seek(SeekFrom::Start(begin)).await?;
        block.clear();
        (&mut *file).take(end - begin).read_to_end(&mut block).await?;
        for (at, &byte) in block.iter().enumerate().rev() {
            // The last byte ends the last line, if it is a line's end; every other one has a line behind it.
            let ends_the_file = std::mem::take(&mut last);
            if byte == b'\n' && !ends_the_file {
                found += 1;
                if found == lines {
                    return Ok(begin + at as u64 + 1);
                }
            }
        }
        end = begin;
    }
    Ok(0)
}

/// Prints what the file has from here on, and tells how much that was.
async fn print(file: &mut File) -> io::Result<u64> {
    io::copy(file, stdout()).await
}

fn say(path: &Path, what: &str) {
    eprintln!("tail: {} {what}", path.display());
}

/// What stays the same as long as a file is the same one, whatever its name. The old file is open, so its number is not
/// given to another.
#[cfg(unix)]
fn identity(file: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (file.dev(), file.ino())
}

#[cfg(not(unix))]
fn identity(file: &Metadata) -> Option<std::time::SystemTime> {
    file.created().ok()
}

/// Whether the other end of a pipe on the standard output was closed. Otherwise only the next write would tell.
#[cfg(unix)]
fn nobody_reads() -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let stdout = std::io::stdout();
    let mut stdout = [PollFd::new(&stdout, PollFlags::empty())];
    let found = poll(&mut stdout, Some(&Timespec::default()));
    found.is_ok() && stdout[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}

#[cfg(not(unix))]
fn nobody_reads() -> bool {
    false
}
