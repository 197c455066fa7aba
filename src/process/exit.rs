//! How the end of a child is awaited: who reaps it, and what tells when to try.
//!
//! On Linux a pidfd in the poller becomes readable when the child ends. It is opened when somebody first waits and not when
//! the child is started: most children have ended by the time that their output was read, and need none; and a start that
//! has succeeded cannot fail afterwards for want of a descriptor. It cannot mean another process: the child's number is its
//! own until it was reaped, and nobody but us reaps it.
//!
//! Where there is no pidfd (a kernel before 5.3, a sandbox, another system), `SIGCHLD` is listened to. It does not say who has
//! ended, and several may be told as one, so each who waits looks at its own child after each. To wait:
//! 1. Listen.
//! 2. Look whether the child has ended.
//! 3. Wait for the signal, and go to 2.
//!
//! A child that ends before 2 is seen there; one that ends after it has sent its signal to a listener. A hundred children so
//! cost each signal a hundred looks; kqueue could tell of the one (`EVFILT_PROC`), which was left until someone needs it.
//!
//! A child is reaped by std, which remembers its status: so a kill after the end reaches nobody, not even a process that got
//! the same number.

use crate::signal::{self, Signal, SignalKind};
use gambol_executor::{Direction, Done, Io, Reason, park, spend};
use std::{
    io,
    os::fd::OwnedFd,
    process::{Child, ExitStatus},
    task::{Context, Poll, ready},
};

/// A child and what tells of its end.
pub(super) struct Process {
    pub(super) child: Child,
    /// None until somebody waits.
    exit: Option<Exit>,
}

impl Process {
    pub(super) fn new(child: Child) -> Process {
        Process { child, exit: None }
    }

    /// Reaps the child when it has ended.
    pub(super) fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<ExitStatus>> {
        loop {
            // Cheap when it was reaped already, otherwise one system call.
            if let Some(status) = self.child.try_wait()? {
                self.exit = None;
                // Std remembers it, if that has to wait.
                let _spent = ready!(spend(cx));
                return Poll::Ready(Ok(status));
            }
            let Some(exit) = &mut self.exit else {
                self.exit = Some(Exit::of(&self.child)?);
                continue;
            };
            match ready!(exit.poll(cx, &mut self.child)) {
                Some(result) => {
                    self.exit = None;
                    return Poll::Ready(result);
                }
                // It belonged to a runtime that is gone. If the current one is gone too, that is said above.
                None => self.exit = None,
            }
        }
    }
}

/// What tells of the end of a child.
enum Exit {
    /// Readable when it has ended.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "there are none"))]
    Pidfd(Io<OwnedFd>),
    /// Comes after the end of any child.
    Signal(Signal),
}

impl Exit {
    fn of(child: &Child) -> io::Result<Exit> {
        // Whatever is wrong with the pidfd, the signal may do. If it does not, its error is as good.
        match pidfd(child).and_then(Io::new) {
            Ok(pidfd) => Ok(Exit::Pidfd(pidfd)),
            Err(_) => Ok(Exit::Signal(signal::unix(SignalKind::child())?)),
        }
    }

    /// How it ended; or none, when the runtime is gone that would tell.
    fn poll(&mut self, cx: &mut Context<'_>, child: &mut Child) -> Poll<Option<io::Result<ExitStatus>>> {
        match self {
            Exit::Pidfd(pidfd) => {
                let mut ended = None;
                let ready = ready!(pidfd.poll_io(cx, Direction::Read, Reason::Process, |_| {
                    // Readable, and yet not to be had: a debugger has it first.
                    match child.try_wait() {
                        Ok(None) => return Err(io::ErrorKind::WouldBlock.into()),
                        Ok(Some(status)) => ended = Some(Ok(status)),
                        Err(error) => ended = Some(Err(error)),
                    }
                    Ok(Done { value: (), short: false })
                }));
                Poll::Ready(ready.ok().and(ended))
            }
            Exit::Signal(signal) => {
                loop {
                    let Poll::Ready(received) = signal.poll_recv(cx) else {
                        // Not "signal", which is only how it waits.
                        park(Reason::Process);
                        return Poll::Pending;
                    };
                    if received.is_none() {
                        return Poll::Ready(None);
                    }
                    if let Some(result) = child.try_wait().transpose() {
                        return Poll::Ready(Some(result));
                    }
                }
            }
        }
    }
}

#[cfg(target_os = "linux")]
fn pidfd(child: &Child) -> io::Result<OwnedFd> {
    use rustix::process::{Pid, PidfdFlags, pidfd_open};

    Ok(pidfd_open(Pid::from_child(child), PidfdFlags::empty())?)
}

#[cfg(not(target_os = "linux"))]
fn pidfd(_: &Child) -> io::Result<OwnedFd> {
    Err(io::ErrorKind::Unsupported.into())
}
