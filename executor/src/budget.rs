//! The cooperative budget: how often the running task may find something ready before it must let others run.
//!
//! Each turn of a task begins with [`FULL`] units. Every leaf future that gambol owns spends one before it looks; with none
//! left it wakes itself and returns Pending, so that a loop over what is always ready yields. A leaf that then finds
//! nothing ready gives its unit back. Outside of a task the budget is unlimited.

use crate::context;
use std::task::{Context, Poll};

/// Units per turn (tokio's figure, 128; Go has none, since it preempts).
pub(crate) const FULL: u8 = 128;
/// Outside of a task.
pub(crate) const UNLIMITED: u8 = u8::MAX;

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
        0 => {
            context.count_budget_yield();
            cx.waker().wake_by_ref();
            Poll::Pending
        }
        left => {
            context.budget.set(left - 1);
            Poll::Ready(Spent(()))
        }
    })
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

/// Whether the running task has units left.
pub fn has_remaining() -> bool {
    context::with(|cx| cx.budget.get() != 0)
}
