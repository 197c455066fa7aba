//! A cell through which a token goes from whoever has it to a task: a word and an `AtomicWaker`.
//!
//! The same code for all runtimes, so that a difference is the runtime's and not a channel's.

use futures::future::poll_fn;
use futures::task::AtomicWaker;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

/// Room for one token, for one giver and one taker. 0 is no token.
///
/// Aligned so that the two cells of a pair share no cache line.
#[derive(Default)]
#[repr(align(128))]
pub struct Cell {
    token: AtomicU64,
    taker: AtomicWaker,
}

impl Cell {
    /// Puts a token into the empty cell, then wakes its taker.
    pub fn give(&self, token: u64) {
        // Release: pairs with the swap in `try_take`. That a taker who registers now and a giver who wakes now do not
        // miss each other is AtomicWaker's promise.
        self.token.store(token, Ordering::Release);
        self.taker.wake();
    }

    /// Waits for a token: look, register, look again.
    pub async fn take(&self) -> u64 {
        poll_fn(|cx| {
            if let Some(token) = self.try_take() {
                return Poll::Ready(token);
            }
            self.taker.register(cx.waker());
            match self.try_take() {
                Some(token) => Poll::Ready(token),
                None => Poll::Pending,
            }
        })
        .await
    }

    /// Whether the last token was taken.
    pub fn is_empty(&self) -> bool {
        self.token.load(Ordering::Relaxed) == 0
    }

    fn try_take(&self) -> Option<u64> {
        match self.token.swap(0, Ordering::Acquire) {
            0 => None,
            token => Some(token),
        }
    }
}
