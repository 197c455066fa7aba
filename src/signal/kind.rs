//! Which signal: a number with a name.

use rustix::process::Signal as Named;
use std::fmt;

/// A signal.
#[derive(Copy, Clone, PartialEq, Eq, Hash)]
pub struct SignalKind(i32);

impl SignalKind {
    /// Any signal, by the number that it has on this system; real-time signals too.
    pub const fn from_raw(number: i32) -> SignalKind {
        SignalKind(number)
    }

    /// The number that it has on this system.
    pub const fn as_raw(self) -> i32 {
        self.0
    }

    /// `SIGALRM`: a timer of the system has expired. By default it ends the process.
    pub const fn alarm() -> SignalKind {
        SignalKind(Named::ALARM.as_raw())
    }

    /// `SIGCHLD`: a child process has ended or was stopped. By default nothing happens. [`process`](crate::process) needs no
    /// help with it.
    pub const fn child() -> SignalKind {
        SignalKind(Named::CHILD.as_raw())
    }

    /// `SIGHUP`: the terminal is gone; by custom also "read your configuration again". By default it ends the process.
    pub const fn hangup() -> SignalKind {
        SignalKind(Named::HUP.as_raw())
    }

    /// `SIGINT`: Ctrl-C at the terminal. By default it ends the process.
    pub const fn interrupt() -> SignalKind {
        SignalKind(Named::INT.as_raw())
    }

    /// `SIGIO`: a descriptor that was told to say so is ready. By default it ends the process on Linux, and does nothing on the
    /// BSDs.
    pub const fn io() -> SignalKind {
        SignalKind(Named::IO.as_raw())
    }

    /// `SIGPIPE`: something was written that nobody can read any more. Rust's programs ignore it, and get `BrokenPipe`.
    pub const fn pipe() -> SignalKind {
        SignalKind(Named::PIPE.as_raw())
    }

    /// `SIGQUIT`: Ctrl-\ at the terminal. By default it ends the process with a core dump.
    pub const fn quit() -> SignalKind {
        SignalKind(Named::QUIT.as_raw())
    }

    /// `SIGTERM`: somebody asks the process to end, which it does by default.
    pub const fn terminate() -> SignalKind {
        SignalKind(Named::TERM.as_raw())
    }

    /// `SIGUSR1`: whatever the program makes of it. By default it ends the process.
    pub const fn user_defined1() -> SignalKind {
        SignalKind(Named::USR1.as_raw())
    }

    /// `SIGUSR2`: whatever the program makes of it. By default it ends the process.
    pub const fn user_defined2() -> SignalKind {
        SignalKind(Named::USR2.as_raw())
    }

    /// `SIGWINCH`: the terminal's window has another size. By default nothing happens.
    pub const fn window_change() -> SignalKind {
        SignalKind(Named::WINCH.as_raw())
    }
}

impl From<i32> for SignalKind {
    fn from(number: i32) -> SignalKind {
        SignalKind(number)
    }
}

impl From<SignalKind> for i32 {
    fn from(kind: SignalKind) -> i32 {
        kind.0
    }
}

impl fmt::Debug for SignalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Named::from_named_raw(self.0) {
            Some(named) => named.fmt(f),
            None => write!(f, "Signal({})", self.0),
        }
    }
}
