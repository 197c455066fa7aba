//! One who is told of a signal: a flag and a pipe of its own, which the handler in the kernel's hands may touch.
//!
//! A handler interrupts any thread at any instruction, so it may do next to nothing: set a flag, write to a descriptor.
//!
//! To notify (in the handler):
//! 1. Set the flag. If it was set already, somebody else has done or will do the rest.
//! 2. Write a byte into the pipe, whose other end is in the poller.
//!
//! To receive:
//! 1. When the pipe may be readable, empty it.
//! 2. Take the flag. If it was not set, wait until the pipe is readable.
//!
//! The race: a signal between the two steps of the receiver. It is received in step 2, and its byte makes the next call look
//! once in vain. A flag that is set after step 2 brings a byte that step 1 has not removed, so the wait ends. Whatever comes
//! while the flag is set is received with it: after the last of several signals there is at least one notification.
//!
//! The byte alone says nothing: a child between `fork` and `exec` still has our handlers and the pipe, but a flag of its
//! own, so a signal to it makes us look and find nothing.
//!
//! Each listener has a pipe, two descriptors, and an entry in its own runtime's poller. One pipe for the process, as elsewhere,
//! would save descriptors, which are few either way; but it stands in one runtime's poller, and everybody is deaf
//! when that runtime ends. An eventfd would be one descriptor instead of two, and a second road, for Linux only.

use super::SignalKind;
use futures_core::Stream;
use gambol_executor::{Direction, Done, Io, Reason};
use rustix::io::ioctl_fionbio;
use signal_hook_registry::{FORBIDDEN, SigId, register, unregister};
use std::{
    fmt,
    future::poll_fn,
    io::{self, PipeReader, PipeWriter, Read},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

/// Listens to a signal from now on. Outside of a runtime, the default one is started.
///
/// # Errors
///
/// `InvalidInput` for a signal that cannot be handled (`SIGKILL`, `SIGSTOP`) or is a fault of the program (`SIGSEGV`, `SIGILL`,
/// `SIGFPE`); the operating system's for a number that is no signal, and when it has no descriptors left; "the runtime is gone".
///
/// # Examples
///
/// ```
/// use gambol::signal::{self, SignalKind};
///
/// # #[gambol::main]
/// # async fn main() -> std::io::Result<()> {
/// let mut hangups = signal::unix(SignalKind::hangup())?;
/// gambol::spawn(async move {
///     while hangups.recv().await.is_some() {
///         println!("reading the configuration again");
///     }
/// });
/// # Ok(())
/// # }
/// ```
pub fn unix(kind: SignalKind) -> io::Result<Signal> {
    if FORBIDDEN.contains(&kind.as_raw()) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{kind:?} cannot be listened to")));
    }
    // Both ends are closed when another program is executed.
    let (pipe, rope) = io::pipe()?;
    ioctl_fionbio(&pipe, true)?;
    ioctl_fionbio(&rope, true)?;
    let pipe = Io::new(pipe)?;
    let bell = Arc::new(Bell { rung: AtomicBool::new(false), rope });
    let handler = bell.clone();
    // SAFETY: the closure is run in a signal handler. It swaps an atomic and writes to a descriptor, which both are
    // async-signal-safe; it does not panic, allocate or lock; errno is kept by its caller. It is dropped by `unregister`, on an
    // ordinary thread, when no handler runs it any more; until then it owns the descriptor that it writes to.
    let id = unsafe { register(kind.as_raw(), move || handler.ring()) }?;
    Ok(Signal { kind, id, bell, pipe })
}

/// One who is told of a signal; see [`unix`].
///
/// All listeners of a signal are told. Signals that come before they are received are received as one. A listener has two
/// descriptors.
pub struct Signal {
    kind: SignalKind,
    id: SigId,
    bell: Arc<Bell>,
    pipe: Io<PipeReader>,
}

impl Signal {
    /// Waits until the signal has come since the last time, or since this listener was made. None when the runtime is gone
    /// in which it was made.
    ///
    /// # Cancel safety
    ///
    /// No signal is lost.
    pub async fn recv(&mut self) -> Option<()> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// As [`recv`](Self::recv), for those who write futures by hand.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<()>> {
        let bell = &self.bell;
        let received = self.pipe.poll_io(cx, Direction::Read, Reason::Signal, |pipe| {
            drain(pipe)?;
            if bell.take() { Ok(Done { value: (), short: false }) } else { Err(io::ErrorKind::WouldBlock.into()) }
        });
        // There is no other error: the pipe is ours, and so is its other end.
        Poll::Ready(ready!(received).ok())
    }
}

/// Removes all bytes.
fn drain(mut pipe: &PipeReader) -> io::Result<()> {
    let mut bytes = [0; 64];
    loop {
        match pipe.read(&mut bytes) {
            Ok(n) if n == bytes.len() => {}
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// What the handler has.
struct Bell {
    /// Set by the handler, cleared by the receiver. Release and Acquire: what was done before the signal was sent is seen
    /// after it was received.
    rung: AtomicBool,
    rope: PipeWriter,
}

impl Bell {
    /// Runs in a signal handler.
    fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            // The pipe has room: bytes are fewer than signals between two looks. Were it full, the receiver would look anyway.
            let _ = rustix::io::write(&self.rope, &[0]);
        }
    }

    fn take(&self) -> bool {
        self.rung.swap(false, Ordering::AcqRel)
    }
}

impl Drop for Signal {
    fn drop(&mut self) {
        // First: a handler that writes into a pipe without a reader raises the next signal. Waits for handlers that run.
        unregister(self.id);
    }
}

impl Stream for Signal {
    type Item = ();

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<()>> {
        self.poll_recv(cx)
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Signal").field(&self.kind).finish()
    }
}
