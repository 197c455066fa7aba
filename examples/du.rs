//! How many bytes are in files and directories, with all that is below them; many directories are read at one time.
//!
//! Counted are the lengths of regular files, and those of symbolic links themselves: none is followed, so none leads in a circle. A
//! file counts once, whatever number of names and arguments leads to it (on Unix; elsewhere each does). Directories, devices and the
//! like count as nothing, and holes as if they were filled. What cannot be read is told and left out, and then the status is 1.
//!
//! Directories are read by threads that may block; a semaphore says how many at a time. They send what they find into a channel,
//! beside which main waits for the ticks of the progress, and for Ctrl-C, which ends it with the sum so far.
//!
//! ```text
//! cargo run --release --example du [PATH]...        # the current directory if none is given
//! ```

use gambol::{
    chan::{self, Receiver, Sender},
    signal,
    sync::Semaphore,
    time::{Duration, ticker},
};
use std::{
    collections::HashSet,
    env,
    fs::{self, Metadata},
    io,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

/// Directories that are read at one time.
const AT_ONCE: usize = 16;

enum Found {
    File { bytes: u64, identity: Option<(u64, u64)> },
    Error(PathBuf, io::Error),
}

#[gambol::main]
async fn main() -> ExitCode {
    let mut paths: Vec<_> = env::args_os().skip(1).map(PathBuf::from).collect();
    if paths.is_empty() {
        paths.push(".".into());
    }
    let (found, all) = chan::buffered(1000);
    let limit = Arc::new(Semaphore::new(AT_ONCE));
    for path in paths {
        start(path, limit.clone(), found.clone());
    }
    // From now on the channel is open as long as anybody looks.
    drop(found);
    sum(all).await
}

async fn sum(all: Receiver<Found>) -> ExitCode {
    let mut ctrl_c = signal::ctrl_c();
    let ticks = ticker(Duration::from_millis(500));
    let mut seen = HashSet::new();
    let (mut files, mut bytes, mut complete) = (0_u64, 0_u128, true);
    loop {
        gambol::select! {
            found = all.recv() => match found {
                Some(Found::File { identity: Some(identity), .. }) if !seen.insert(identity) => {}
                Some(Found::File { bytes: more, .. }) => {
                    files += 1;
                    bytes += u128::from(more);
                }
                Some(Found::Error(path, error)) => {
                    eprintln!("du: {}: {error}", path.display());
                    complete = false;
                }
                None => break,
            },
            _ = ticks.recv() => eprintln!("{bytes} bytes in {files} files so far"),
            // Where there is no such signal it fails, and that is all right.
            Ok(()) = &mut ctrl_c => {
                eprintln!("du: stopped before the end");
                complete = false;
                break;
            }
        }
    }
    println!("{bytes} bytes in {files} files");
    if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Looks at a path, when there is a permit.
fn start(path: PathBuf, limit: Arc<Semaphore>, found: Sender<Found>) {
    gambol::spawn(async move {
        let permit = limit.acquire_arc().await;
        gambol::spawn_blocking(move || {
            let tell = |what| drop(found.send_blocking(what));
            if let Err(error) = look(&path, tell, |below| start(below, limit.clone(), found.clone())) {
                tell(Found::Error(path, error));
            }
            drop(permit);
        });
    });
}

/// Tells what is at a path, and starts others for the directories in it.
fn look(path: &Path, tell: impl Fn(Found), start: impl Fn(PathBuf)) -> io::Result<()> {
    let file = fs::symlink_metadata(path)?;
    if !file.is_dir() {
        tell(Found::file(&file));
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        // Of a symbolic link, as above.
        match entry.metadata() {
            Ok(file) if file.is_dir() => start(entry.path()),
            Ok(file) => tell(Found::file(&file)),
            Err(error) => tell(Found::Error(entry.path(), error)),
        }
    }
    Ok(())
}

impl Found {
    fn file(file: &Metadata) -> Found {
        let counts = file.is_file() || file.is_symlink();
        Found::File { bytes: if counts { file.len() } else { 0 }, identity: identity(file) }
    }
}

/// What no other file has.
#[cfg(unix)]
fn identity(file: &Metadata) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    Some((file.dev(), file.ino()))
}

#[cfg(not(unix))]
fn identity(_: &Metadata) -> Option<(u64, u64)> {
    None
}
