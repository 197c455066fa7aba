//! The cooperative budget: how often the running task may find something ready before it must let others run.
//!
//! Each turn of a task, and each poll of `block_on`, begins with [`FULL`] units. Every leaf future that gambol owns spends one
//! before it looks; with none left it wakes itself and returns Pending, so that a loop over what is always ready yields. A leaf
//! that then finds nothing ready gives its unit back. Elsewhere the budget is unlimited.
//!
//! Somebody else's executor may run inside a task: a `block_on` of another library, in a poll or in a drop. It does not return
//! Pending, however often it is asked to, and the task's turn would never end. It is known only by its asking: so after
//! [`PATIENCE`] refusals the turn gets another full budget. A task that has returned Pending each time gets one unearned among
//! thousands.

use crate::context;
use std::task::{Context, Poll};

/// Units per turn (tokio's figure, 128; Go has none, since it preempts).
pub(crate) const FULL: u8 = 128;
/// Outside of a task and of `block_on`.
pub(crate) const UNLIMITED: u8 = u8::MAX;

/// Refusals after which there is a budget again. A refusal costs a poll that does nothing.
const PATIENCE: u16 = 4096;

/// A unit that was spent.
#[must_use = "refund it if nothing was ready"]
pub struct Spent(());

impl Spent {
    /// Gives the unit back: nothing was ready.
    #[inline]
    pub fn refund(self) {
        context::with(|cx| {
            let left = cx.budget.get();
            if left < FULL {
                cx.budget.set(left + 1);
            }
        });
    }
}

/// Spends a unit. Pending when none is left: the task was woken and must return Pending.
#[inline]
pub fn spend(cx: &mut Context<'_>) -> Poll<Spent> {
    context::with(|context| match context.budget.get() {
        UNLIMITED => Poll::Ready(Spent(())),
        0 => refuse(context, cx),
        left => {
            context.budget.set(left - 1);
            Poll::Ready(Spent(()))
        }
    })
}

#[cold]
fn refuse(context: &context::Context, cx: &mut Context<'_>) -> Poll<Spent> {
    let refused = context.refused.get() + 1;
    if refused == PATIENCE {
        context.refused.set(0);
        context.budget.set(FULL - 1);
        return Poll::Ready(Spent(()));
    }
    context.refused.set(refused);
    context.count_budget_yield();
    cx.waker().wake_by_ref();
    Poll::Pending
}

/// Runs `f` without a limit; what was left before is left afterwards.
pub fn unconstrained<R>(f: impl FnOnce() -> R) -> R {
    struct Restore(u8);

    impl Drop for Restore {
        fn drop(&mut self) {
            context::with(|cx| cx.budget.set(self.0));
        }
    }

    let _restore = Restore(context::with(|cx| cx.budget.replace(UNLIMITED)));
    f()
}

/// Runs `f` with a full budget, whatever is left; what it spends is taken off that, as far as it goes. For a look at what is ready
/// now, which a refusal would falsify: the task gives way at the next leaf instead.
#[inline]
pub fn on_credit<R>(f: impl FnOnce() -> R) -> R {
    struct Settle(u8);

    impl Drop for Settle {
        fn drop(&mut self) {
            context::with(|cx| cx.budget.set(self.0.saturating_sub(FULL - cx.budget.get().min(FULL))));
        }
    }

    match context::with(|cx| cx.budget.get()) {
        UNLIMITED => f(),
        left => {
            let _settle = Settle(left);
            context::with(|cx| cx.budget.set(FULL));
            f()
        }
    }
}

/// Whether the running task has units left.
pub fn has_remaining() -> bool {
    context::with(|cx| cx.budget.get() != 0)
}
