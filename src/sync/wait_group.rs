//! Waiting until a number of things are done, as Go's WaitGroup does.
//!
//! The count is one atomic word; the waiting is a [`Notify`]'s. Whoever brings the count to zero notifies all. The two are
//! one step under the `Notify`'s lock, and a wait begins under it too: who adds to a count that has just come to zero, and
//! waits then, is not called for that zero.
//!
//! *The race*: the count comes to zero while somebody begins to wait. The waiter remembers the round of the `Notify` first
//! and looks at the count second; the last `done` writes the count first and begins the next round second. If
//! the waiter has seen the count before the write, its round is one that ends later, and the end of that round it does not miss.

use super::{Notified, Notify};
use gambol_executor::spend;
use pin_project_lite::pin_project;
use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

/// Waits until a number of things are done. Clones share the count.
///
/// ```
/// use gambol::sync::WaitGroup;
///
/// # gambol::block_on(async {
/// let group = WaitGroup::new();
/// for _ in 0..10 {
///     group.add(1);
///     let group = group.clone();
///     gambol::spawn(async move {
///         // The work; then:
///         group.done();
///     });
/// }
/// group.wait().await;
/// # });
/// ```
///
/// A task that panics or is cancelled before its `done` leaves the group waiting; [`worker`](Self::worker) does not.
#[derive(Clone, Default)]
pub struct WaitGroup {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    count: AtomicUsize,
    zero: Notify,
}

impl WaitGroup {
    /// With nothing to wait for.
    pub fn new() -> WaitGroup {
        WaitGroup::default()
    }

    /// There are `n` more things to wait for. Do this before what ends them is started. At zero, a new round may be begun at any time:
    /// those who waited for the last one are not held up by it.
    ///
    /// # Panics
    ///
    /// When the count would be more than `isize::MAX`.
    #[track_caller]
    pub fn add(&self, n: usize) {
        // Relaxed: an `add` that is to be seen by a `wait` comes before it by other means.
        let before = self.shared.count.fetch_add(n, Ordering::Relaxed);
        if before.checked_add(n).is_none_or(|after| after > isize::MAX as usize) {
            self.shared.count.fetch_sub(n, Ordering::Relaxed);
            panic!("a WaitGroup waits for at most isize::MAX things");
        }
    }

    /// One of them is done.
    ///
    /// # Panics
    ///
    /// When there is nothing left to wait for: there were more `done`s than were added.
    #[track_caller]
    pub fn done(&self) {
        // AcqRel: who sees zero sees what everybody did before his `done`.
        let subtract = |least| {
            let subtract = |count: usize| if count < least { None } else { Some(count - 1) };
            self.shared.count.fetch_update(Ordering::AcqRel, Ordering::Relaxed, subtract)
        };
        if subtract(2).is_ok() {
            return;
        }
        let mut before = Ok(0);
        self.shared.zero.notify_waiters_if(|| {
            before = subtract(1);
            before == Ok(1)
        });
        if before.is_err() {
            panic!("a WaitGroup was done more often than was added to it; call add before the work is started");
        }
    }

    /// One more thing to wait for, which is done when the result is dropped: at the end of a task in whatever way.
    #[track_caller]
    pub fn worker(&self) -> WaitGroupWorker {
        self.add(1);
        WaitGroupWorker { group: self.clone() }
    }

    /// How many things are to be waited for at this moment.
    pub fn count(&self) -> usize {
        self.shared.count.load(Ordering::Relaxed)
    }

    /// Waits until there is nothing left to wait for; at once, if there is nothing. It completes also when the count has come to zero
    /// after this call and has grown again since.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub fn wait(&self) -> Wait<'_> {
        Wait { shared: &self.shared, zero: self.shared.zero.notified_in_step() }
    }
}

impl fmt::Debug for WaitGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitGroup").field("count", &self.count()).finish()
    }
}

/// Something that a [`WaitGroup`] waits for, done when this is dropped.
#[derive(Debug)]
#[must_use = "it is done when it is dropped"]
pub struct WaitGroupWorker {
    group: WaitGroup,
}

impl Drop for WaitGroupWorker {
    fn drop(&mut self) {
        self.group.done();
    }
}

pin_project! {
    /// See [`WaitGroup::wait`].
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct Wait<'a> {
        shared: &'a Shared,
        #[pin]
        zero: Notified<'a>,
    }
}

impl Future for Wait<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if this.shared.count.load(Ordering::Acquire) == 0 {
            return spend(cx).map(drop);
        }
        this.zero.poll(cx)
    }
}

impl fmt::Debug for Wait<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait").field("count", &self.shared.count.load(Ordering::Relaxed)).finish()
    }
}
