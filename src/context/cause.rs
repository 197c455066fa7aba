//! Why a context has ended.

use std::{error::Error, fmt, io, sync::Arc};

/// Why a context has ended: it was cancelled, its deadline has come, or somebody has said why.
///
/// Made from a text or an error, for [`Canceller::cancel_with`](super::Canceller::cancel_with) and
/// [`Context::with_timeout_cause`](super::Context::with_timeout_cause). Clones share it.
///
/// As an [`io::Error`] it is of [`ErrorKind::TimedOut`](io::ErrorKind::TimedOut) if [`is_timeout`](Self::is_timeout), and
/// of [`ErrorKind::Other`](io::ErrorKind::Other) otherwise: an `Interrupted` would be retried by all who read or copy.
#[derive(Clone)]
pub struct Cause(Kind);

#[derive(Clone)]
enum Kind {
    Cancelled,
    Deadline,
    Custom(Shared),
    /// The deadline has come, for which somebody had given a cause of his own.
    CustomDeadline(Shared),
}

/// A thin pointer: there is room for a cause in every place of the tree.
type Shared = Arc<Box<dyn Error + Send + Sync>>;

impl Cause {
    /// Somebody has cancelled, and not said why.
    pub fn cancelled() -> Cause {
        Cause(Kind::Cancelled)
    }

    /// The deadline has come.
    pub fn deadline_exceeded() -> Cause {
        Cause(Kind::Deadline)
    }

    /// A cause of one's own: an error, or a text.
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Cause {
        Cause(Kind::Custom(Arc::new(error.into())))
    }

    /// The same cause, and that it was a deadline.
    pub(super) fn of_deadline(self) -> Cause {
        Cause(match self.0 {
            Kind::Cancelled | Kind::Deadline => Kind::Deadline,
            Kind::Custom(error) | Kind::CustomDeadline(error) => Kind::CustomDeadline(error),
        })
    }

    /// Whether somebody has cancelled and not said why.
    pub fn is_cancelled(&self) -> bool {
        matches!(self.0, Kind::Cancelled)
    }

    /// Whether the deadline has come, also if it had a cause of its own
    /// ([`with_deadline_cause`](super::Context::with_deadline_cause)).
    pub fn is_timeout(&self) -> bool {
        matches!(self.0, Kind::Deadline | Kind::CustomDeadline(_))
    }

    /// The error that the cause was made from, if it was.
    pub fn get_ref(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        match &self.0 {
            Kind::Custom(error) | Kind::CustomDeadline(error) => Some(&***error),
            _ => None,
        }
    }

    /// The error that the cause was made from, if it is of this type.
    pub fn downcast_ref<E: Error + 'static>(&self) -> Option<&E> {
        self.get_ref()?.downcast_ref()
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Cancelled => f.write_str("the context was cancelled"),
            Kind::Deadline => f.write_str("the context's deadline has come"),
            Kind::Custom(error) | Kind::CustomDeadline(error) => error.fmt(f),
        }
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Cancelled => f.write_str("Cause(cancelled)"),
            Kind::Deadline => f.write_str("Cause(deadline exceeded)"),
            Kind::Custom(error) => f.debug_tuple("Cause").field(error).finish(),
            Kind::CustomDeadline(error) => f.debug_tuple("Cause").field(&"deadline exceeded").field(error).finish(),
        }
    }
}

impl Error for Cause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        // A custom cause shows its error as itself, so what comes next is that one's source.
        self.get_ref().and_then(Error::source)
    }
}

impl From<&str> for Cause {
    fn from(text: &str) -> Cause {
        Cause::new(text)
    }
}

impl From<String> for Cause {
    fn from(text: String) -> Cause {
        Cause::new(text)
    }
}

impl From<Box<dyn Error + Send + Sync>> for Cause {
    fn from(error: Box<dyn Error + Send + Sync>) -> Cause {
        Cause::new(error)
    }
}

impl From<io::Error> for Cause {
    fn from(error: io::Error) -> Cause {
        Cause::new(error)
    }
}

/// See [`Cause`] for the kind.
impl From<Cause> for io::Error {
    fn from(cause: Cause) -> io::Error {
        let kind = if cause.is_timeout() { io::ErrorKind::TimedOut } else { io::ErrorKind::Other };
        io::Error::new(kind, cause)
    }
}
