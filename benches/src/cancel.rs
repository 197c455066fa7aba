//! Trees of cancellation behind one trait, for the workload `cancel`: each on the runtime that it belongs to.

use crate::rt::{self, Runtime};
use gambol::context::{Canceller, Context};
use std::future::Future;
use tokio_util::sync::CancellationToken;

/// One node of a tree: cancelled when it or one above it is.
pub trait Cancel: Send + Sync + 'static {
    /// What the waiting tasks run on.
    type Runtime: Runtime;

    /// A tree of one node.
    fn root() -> Self;

    /// A node below this one.
    fn child(&self) -> Self;

    /// Cancels this node and all below it.
    fn cancel(&self);

    /// Whether it is cancelled.
    fn is_cancelled(&self) -> bool;

    /// Waits until it is cancelled.
    fn cancelled(&self) -> impl Future<Output = ()> + Send;
}

/// A context of gambol's with what cancels it.
pub struct ContextNode {
    context: Context,
    canceller: Canceller,
}

impl ContextNode {
    fn below(parent: &Context) -> Self {
        let (context, canceller) = parent.with_cancel();
        ContextNode { context, canceller }
    }
}

impl Cancel for ContextNode {
    type Runtime = rt::Gambol;

    fn root() -> Self {
        Self::below(&Context::background())
    }

    fn child(&self) -> Self {
        Self::below(&self.context)
    }

    fn cancel(&self) {
        self.canceller.cancel();
    }

    fn is_cancelled(&self) -> bool {
        self.context.is_cancelled()
    }

    async fn cancelled(&self) {
        self.context.cancelled().await;
    }
}

impl Cancel for CancellationToken {
    type Runtime = rt::Tokio;

    fn root() -> Self {
        CancellationToken::new()
    }

    fn child(&self) -> Self {
        self.child_token()
    }

    fn cancel(&self) {
        self.cancel();
    }

    fn is_cancelled(&self) -> bool {
        self.is_cancelled()
    }

    fn cancelled(&self) -> impl Future<Output = ()> + Send {
        self.cancelled()
    }
}
