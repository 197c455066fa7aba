//! Ending a context by hand.

use super::{Cause, ending::Ending};
use std::{fmt, mem, sync::Arc};

/// Ends the context that it came with, and all below that; see [`Context::with_cancel`](super::Context::with_cancel).
///
/// Dropping it does not end the context, which then ends with its parent, or not at all. To have it end with a block,
/// whichever way that is left, make a [`drop_guard`](Self::drop_guard). It keeps the context's values, as a clone of the context
/// does.
///
/// ```
/// use gambol::context::Context;
///
/// # gambol::block_on(async {
/// let (context, canceller) = Context::current().with_cancel();
/// let work = gambol::spawn(context.run(std::future::pending::<()>()));
/// canceller.cancel_with("the user has left");
/// assert_eq!(work.await.unwrap().unwrap_err().to_string(), "the user has left");
/// # });
/// ```
#[derive(Clone)]
pub struct Canceller {
    ending: Arc<Ending>,
}

impl Canceller {
    pub(super) fn new(ending: Arc<Ending>) -> Canceller {
        Canceller { ending }
    }

    /// Ends the context, with a cause whose [`is_cancelled`](Cause::is_cancelled) is true, unless it has ended already.
    ///
    /// When this returns, all contexts below have ended too and all who wait have been woken, unless somebody else is just
    /// doing that.
    pub fn cancel(&self) {
        self.ending.end(Cause::cancelled());
    }

    /// As [`cancel`](Self::cancel), and says why: a text, an error.
    pub fn cancel_with(&self, cause: impl Into<Cause>) {
        self.ending.end(cause.into());
    }

    /// Whether the context has ended, in whatever way.
    pub fn is_cancelled(&self) -> bool {
        self.ending.has_ended()
    }

    /// Cancels when the result is dropped.
    pub fn drop_guard(self) -> CancelOnDrop {
        CancelOnDrop { canceller: Some(self) }
    }
}

impl fmt::Debug for Canceller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Canceller").field("cancelled", &self.is_cancelled()).finish()
    }
}

/// Cancels when it is dropped; see [`Canceller::drop_guard`].
#[derive(Debug)]
#[must_use = "it cancels when it is dropped"]
pub struct CancelOnDrop {
    /// Some until `disarm`.
    canceller: Option<Canceller>,
}

impl CancelOnDrop {
    /// Gives the canceller back, without cancelling.
    pub fn disarm(mut self) -> Canceller {
        mem::take(&mut self.canceller).expect("it is disarmed once")
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(canceller) = &self.canceller {
            canceller.cancel();
        }
    }
}
