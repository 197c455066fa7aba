//! The task dump when SIGQUIT comes: to stderr, and the program goes on.
//!
//! All workers may be stuck when it is asked for, perhaps with stderr's lock in a stuck task's hands. So it is written by a thread of its
//! own, past std's stderr. The thread sleeps in the read of a pipe, and the handler writes a byte there: it is all that a handler
//! may do. While no signal comes this costs two descriptors and a thread that never runs.
//!
//! The child of a fork has the handler and the pipe, but no such thread, and the parent must not hear of its signals: there the
//! handler does nothing.

use crate::{core::each_live, fork, ours::spawn_thread};
use rustix::io::{Errno, ioctl_fionbio};
use std::{
    fmt::Write as _,
    io::{self, PipeReader, Read},
    ptr,
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

/// A write of so many bytes to a pipe is not torn apart by others' (POSIX allows less, no system in use has less).
const CHUNK: usize = 4096;
/// Attempts to write what stderr, in non-blocking mode, has no room for, and the time between two.
const ATTEMPTS: u32 = 1000;
const PAUSE: Duration = Duration::from_millis(1);

/// From now on SIGQUIT (Ctrl-\\ at the terminal) writes the [`TaskDump`](crate::TaskDump) of every runtime in the process to
/// stderr, and does not end the process any more. `GAMBOL_DUMP=sigquit` in the environment does the same as soon as the default
/// runtime starts.
///
/// Also when all workers are stuck: a thread of its own writes it. A second call does nothing. It cannot be undone.
///
/// # Errors
///
/// The operating system's, when it has no descriptors or no thread left.
pub fn dump_on_sigquit() -> io::Result<()> {
    static DONE: Mutex<bool> = Mutex::new(false);
    let mut done = DONE.lock().unwrap_or_else(PoisonError::into_inner);
    if *done {
        return Ok(());
    }
    fork::watch();
    // Both ends are closed when another program is executed.
    let (signals, rope) = io::pipe()?;
    ioctl_fionbio(&rope, true)?;
    // Before the handler: there is nobody else who reads.
    spawn_thread("gambol-dump".to_owned(), None, move || serve(signals))?;
    // SAFETY: the closure is run in a signal handler. It reads an atomic and writes to a descriptor, which both are
    // async-signal-safe; it does not panic, allocate or lock; errno is kept by its caller. It is never removed, and owns the
    // descriptor that it writes to. If the registration fails it is dropped, which ends the thread.
    unsafe {
        signal_hook_registry::register(libc::SIGQUIT, move || {
            if !fork::is_child() {
                // Full: there are dumps to come in plenty.
                let _ = rustix::io::write(&rope, &[0]);
            }
        })
    }?;
    *done = true;
    Ok(())
}

/// Writes a dump each time that something comes.
fn serve(mut signals: PipeReader) {
    keep_sigpipe_out();
    let mut bytes = [0; 64];
    loop {
        match signals.read(&mut bytes) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return,
        }
        let mut text = format!("gambol: SIGQUIT, process {}\n", std::process::id());
        each_live(|core| {
            let _ = write!(text, "\n{}", core.dump());
        });
        text.push('\n');
        write_all(text.as_bytes());
    }
}

/// To write where nobody reads is an error here, and never a signal that ends the process.
fn keep_sigpipe_out() {
    // SAFETY: the set is initialised by `sigemptyset` before it is used, and the mask is this thread's own. A SIGPIPE that its
    // write raises is the thread's own too, and stays pending.
    unsafe {
        let mut set = std::mem::MaybeUninit::uninit();
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGPIPE);
        libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), ptr::null_mut());
    }
}

/// Writes in pieces that end with a line, if that is possible. What cannot be written is left.
fn write_all(mut text: &[u8]) {
    while !text.is_empty() {
        let limit = text.len().min(CHUNK);
        let line = text[..limit].iter().rposition(|&byte| byte == b'\n');
        let (mut piece, rest) = text.split_at(line.map_or(limit, |line| line + 1));
        text = rest;
        let mut attempts = 0;
        while !piece.is_empty() {
            match rustix::io::write(rustix::stdio::stderr(), piece) {
                Ok(0) => return,
                Ok(n) => piece = &piece[n..],
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if attempts < ATTEMPTS => {
                    attempts += 1;
                    thread::sleep(PAUSE);
                }
                Err(_) => return,
            }
        }
    }
}
