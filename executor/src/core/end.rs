//! How a runtime ends: threads are asked to stop, timers and descriptors are given up, and every task is cancelled, wherever it waits.
//!
//! A task that comes when that is done is cancelled by whoever brings it.

use super::{CLOSED, CLOSING, Core, OPEN, wake};
use crate::{
    attention, context,
    queue::{Item, Job},
    task::Runnable,
    worker,
};
use std::{
    ptr,
    sync::atomic::{Ordering, fence},
    task::Waker,
};

impl Core {
    /// Begins the end. False: somebody else has begun it.
    pub(crate) fn begin_close(&self) -> bool {
        self.phase.compare_exchange(OPEN, CLOSING, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Asks all threads to stop at their next poll boundary.
    pub(crate) fn stop_threads(&'static self) {
        self.stage.close(self);
        for worker in self.table.workers() {
            worker.attention.raise(attention::STOP);
            self.unpark(worker.index);
        }
        self.monitor.stop();
    }

    /// Cancels every task, fires every timer, wakes everyone who waits for a descriptor. May be called several times, also
    /// by several threads at once; a task that is in a poll at this moment is cancelled by the worker that gives it that turn, when
    /// the worker ends (`is_drained`).
    pub(crate) fn drain(&'static self) {
        let _inside = context::enter_foreign(self);
        let _cancelling = context::begin_cancelling(self);
        let mut wakers = Vec::new();
        self.pool.close(self);
        for shard in self.foreign.iter().chain(self.table.workers().map(|worker| &worker.shard)) {
            shard.close(&mut wakers);
        }
        self.driver.close(&mut wakers);
        for worker in self.table.workers() {
            wakers.extend(worker.lock_draining().drain(..));
        }
        self.wake_all(wakers);
        self.phase.store(CLOSED, Ordering::Release);
        // Pairs with the fence in `inject` (in `claim_after_publish`): a task that is queued by someone who does not see yet
        // that the runtime is closed is seen below. And with the one in `is_drained`.
        fence(Ordering::SeqCst);
        self.cancel_all();
    }

    /// Whether the runtime has been drained, or is being drained. For a worker that has given its last turn: the drain sees the
    /// task in the registry that parked then, or the worker sees the drain, and owes another.
    #[cold]
    pub(crate) fn is_drained(&self) -> bool {
        // Pairs with the fence in `drain`.
        fence(Ordering::SeqCst);
        self.phase() >= CLOSED
    }

    fn cancel_all(&'static self) {
        loop {
            let mut any = self.cancel_queued();
            let mut wakers = Vec::new();
            self.registry.visit_all(|waker, meta| {
                if !meta.is_cancelled() {
                    let _ = meta.cancel();
                    wakers.push(waker.clone());
                }
            });
            any |= !wakers.is_empty();
            self.wake_all(wakers);
            if !any {
                return;
            }
        }
    }

    /// Wakes all; a waker that panics keeps no other from being woken.
    pub(crate) fn wake_all(&self, wakers: impl IntoIterator<Item = Waker>) {
        wakers.into_iter().for_each(wake);
    }

    /// Cancels what stands in the queues. Returns whether there was anything.
    pub(crate) fn cancel_queued(&'static self) -> bool {
        let mut any = false;
        loop {
            let before = any;
            any = false;
            for worker in self.table.workers() {
                while let Some(item) = worker.slot.take().or_else(|| worker.ring.pop()) {
                    any = true;
                    // SAFETY: the queues hold raw runnables, and give each to one taker.
                    run_cancelled(unsafe { Runnable::from_raw(item) });
                }
            }
            while let Some(job) = self.injector.pop() {
                any = true;
                let items = match job {
                    Job::One(item) => vec![item],
                    Job::Many(items) => items,
                };
                for item in items {
                    // SAFETY: as above.
                    run_cancelled(unsafe { Runnable::from_raw(item) });
                }
            }
            if !any {
                return before;
            }
        }
    }

    /// After a push into the injector: if the runtime is shut down, nobody else will look there.
    pub(crate) fn cancel_if_late(&'static self) {
        if self.phase.load(Ordering::Acquire) >= CLOSED {
            self.cancel_late_slow();
        }
    }

    /// Cancels a task that comes when the runtime is shut down.
    pub(crate) fn cancel_late(&'static self, item: Item) {
        self.injector.push(Job::One(item));
        self.cancel_late_slow();
    }

    #[cold]
    fn cancel_late_slow(&'static self) {
        // The drop of a cancelled task may spawn or wake others. They are found by the loop that is already running further up on
        // this stack, so that a chain of them does not use up the stack.
        let Some(cancelling) = context::begin_cancelling(self) else { return };
        if !self.lease_closed() {
            return;
        }
        // Users' drops run here, and may block.
        let out = worker::step_out();
        let inside = context::enter_foreign(self);
        self.cancel_queued();
        drop(inside);
        drop(out);
        drop(cancelling);
        self.release();
    }
}

/// Ends a task that will not run any more: its future is dropped here, and whoever awaits it gets an error.
pub(crate) fn run_cancelled(runnable: Runnable) {
    let _ = runnable.metadata().cancel();
    // The waker keeps the cell, and so the metadata, until the guard is gone.
    let waker = runnable.waker();
    // SAFETY: see above.
    let inside = unsafe { context::enter_task(&*ptr::from_ref(runnable.metadata())) };
    runnable.run();
    drop(inside);
    drop(waker);
}
