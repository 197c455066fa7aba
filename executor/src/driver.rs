//! The seam: the one place where tasks meet readiness and time.
//!
//! Below stand a poller that knows descriptors and wheels that know deadlines; both hand back wakers and call nobody.
//! Here somebody waits for them, collects what they hand back, and wakes it when no lock is held.
//!
//! Who waits: one idle worker takes the seat (`idle/seat.rs`) and sleeps in the poller until the earliest deadline. Who
//! comes out of the poller runs its batch itself. Putting another worker on the poller first costs a futex call per
//! request and a fifth of the throughput.
//!
//! While nobody sits, the running workers look here without sleeping, every [`LOOK_EVERY`]; see `worker/check.rs`.
//!
//! The poller is made when the first descriptor is registered. Until then the sitter sleeps on its own parker.

use crate::{clock::NEVER, core::Core};
use gambol_netpoll::{Events, Poller};
use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Waker,
    time::Duration,
};

/// Nanoseconds between two looks of a running worker at poller, timers and injector. As long as the shortest sleep that
/// is worth a thread's; an empty look costs 0.1 µs.
pub(crate) const LOOK_EVERY: u64 = 100_000;

/// Events that one wait takes from the kernel at most.
const EVENTS: usize = 256;

/// See the head of this file.
pub(crate) struct Driver {
    /// Held by the worker that waits in the poller, and for the length of a look.
    wait: Mutex<Wait>,
    poller: Mutex<Place>,
    /// The poller is there. Set under the lock on `poller`.
    made: AtomicBool,
    /// When somebody last came out of the poller, by the runtime's clock.
    looked: AtomicU64,
}

enum Place {
    /// No descriptor has been registered yet.
    Empty,
    Made(Arc<Poller>),
    /// The runtime is gone.
    Closed,
}

/// What it takes to wait.
pub(crate) struct Wait {
    poller: Option<Arc<Poller>>,
    events: Option<Events>,
}

impl Wait {
    pub(crate) fn has_poller(&self) -> bool {
        self.poller.is_some()
    }

    /// Waits for descriptors at most `timeout`; appends the wakers of those that are ready. The number of events.
    pub(crate) fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<Waker>) -> usize {
        let Some(poller) = &self.poller else { return 0 };
        let events = self.events.get_or_insert_with(|| Events::with_capacity(EVENTS));
        // The poller retries what can be retried. What is left (a descriptor table that was torn from under us) cannot be
        // mended here, and must not stop the tasks that need no descriptor.
        poller.wait(events, timeout, ready).unwrap_or(0)
    }
}

impl Driver {
    pub(crate) fn new() -> Driver {
        Driver {
            wait: Mutex::new(Wait { poller: None, events: None }),
            poller: Mutex::new(Place::Empty),
            made: AtomicBool::new(false),
            looked: AtomicU64::new(0),
        }
    }

    /// A new runtime begins.
    pub(crate) fn open(&self) {
        *self.place() = Place::Empty;
        self.made.store(false, Ordering::Relaxed);
        // The last runtime's poller may still stand there: somebody was just looking when that runtime closed.
        self.wait.lock().unwrap_or_else(PoisonError::into_inner).poller = None;
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.poller.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The poller; made if it is not there yet.
    pub(crate) fn poller(&self, core: &Core) -> io::Result<Arc<Poller>> {
        let mut place = self.place();
        match &*place {
            Place::Made(poller) => return Ok(poller.clone()),
            Place::Closed => return Err(gone()),
            Place::Empty => {}
        }
        let poller = Arc::new(Poller::new()?);
        *place = Place::Made(poller.clone());
        self.made.store(true, Ordering::Release);
        drop(place);
        // Whoever sits already sleeps where no descriptor wakes it. Pairs with the fence in `Seat::sit`, after which the
        // sitter asks for the poller.
        if let Some(worker) = core.seat.occupant() {
            core.unpark(worker);
        }
        Ok(poller)
    }

    /// The poller, if it was made.
    pub(crate) fn existing(&self) -> Option<Arc<Poller>> {
        match &*self.place() {
            Place::Made(poller) => Some(poller.clone()),
            Place::Empty | Place::Closed => None,
        }
    }

    /// Whether descriptors may be waiting to be looked at.
    #[inline]
    pub(crate) fn has_poller(&self) -> bool {
        self.made.load(Ordering::Relaxed)
    }

    /// The right to wait, if nobody has it.
    pub(crate) fn try_wait(&self) -> Option<MutexGuard<'_, Wait>> {
        let mut wait = match self.wait.try_lock() {
            Ok(wait) => wait,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        self.refresh(&mut wait);
        Some(wait)
    }

    /// Gives the waiter the poller, if it was made meanwhile. To be called after the seat was published.
    pub(crate) fn refresh(&self, wait: &mut Wait) {
        if wait.poller.is_none()
            && self.made.load(Ordering::Acquire)
            && let Place::Made(poller) = &*self.place()
        {
            wait.poller = Some(poller.clone());
        }
    }

    /// Whether somebody waits for a descriptor.
    pub(crate) fn is_awaited(&self) -> bool {
        let poller = match &*self.place() {
            Place::Made(poller) => poller.clone(),
            Place::Empty | Place::Closed => return false,
        };
        poller.is_awaited()
    }

    /// Ends the wait in the poller, or the next one.
    pub(crate) fn notify(&self) {
        if let Place::Made(poller) = &*self.place() {
            poller.notify();
        }
    }

    /// Somebody has looked at the poller.
    pub(crate) fn keep_looked(&self, now: u64) {
        self.looked.store(now, Ordering::Relaxed);
    }

    pub(crate) fn looked(&self) -> u64 {
        self.looked.load(Ordering::Relaxed)
    }

    /// The runtime goes: hands back everyone who waits for a descriptor. Their next operation is an error.
    pub(crate) fn close(&self, ready: &mut Vec<Waker>) {
        if let Place::Made(poller) = std::mem::replace(&mut *self.place(), Place::Closed) {
            poller.close(ready);
            poller.notify();
        }
        self.made.store(false, Ordering::Relaxed);
        // The descriptors are closed when the last I/O object is gone. A worker that still waits here lets go later.
        if let Some(mut wait) = self.try_wait() {
            wait.poller = None;
        }
    }
}

fn gone() -> io::Error {
    io::Error::other("the runtime is gone")
}

impl Core {
    /// Appends the wakers of due timers of all shards. Each lock is held for a bounded time.
    pub(crate) fn expire_all(&self, now: u64, ready: &mut Vec<Waker>) {
        for shard in self.foreign.iter().chain(self.table.workers().map(|worker| &worker.shard)) {
            while shard.next() <= now && shard.expire(now, ready) {}
        }
    }

    /// Counts a wait in the poller by a thread that is no worker, or has stepped out.
    pub(crate) fn count_poller_wait(&self, events: usize) {
        self.counters.poller_waits.bump_shared();
        self.counters.poller_events.add_shared(events as u64);
    }

    /// The time left until `deadline`: none if it is never.
    pub(crate) fn until(&self, deadline: u64) -> Option<Duration> {
        (deadline != NEVER).then(|| Duration::from_nanos(deadline.saturating_sub(self.clock.now())))
    }

    /// A timer was put into a shard by somebody who is not that shard's running worker.
    pub(crate) fn timer_armed(&self, deadline: u64) {
        if let Some(worker) = self.seat.to_wake(deadline) {
            self.unpark(worker);
        }
    }
}
