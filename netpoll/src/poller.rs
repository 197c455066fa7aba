//! The poller: descriptors are registered, one thread waits, wakers are handed back.
//!
//! To register: 1. put the source into the table; 2. tell the kernel. In that order, since the kernel may report at once, and an
//! edge that finds no source is lost.
//!
//! To register later: the table now; the kernel when the first one has to wait, under the source's lock (`readiness.rs`). A connection
//! that is answered and closed without a wait costs no system call here at all.
//!
//! To deregister: 1. take the source out of the table, so that what is still on its way finds nothing; 2. retire it, which
//! hands its waiters back and lets nobody enrol; 3. tell the kernel, if it knows.
//!
//! To close: shut the table, take everything out of it, retire every source. The kernel keeps its registrations until the
//! descriptors are deregistered or the poller is dropped; nobody listens to them.
//!
//! One lock, that of the table, taken once per wait that has events, and then the lock of each source with waiters; see
//! `source.rs` for the order.

use std::fmt;
use std::io;
use std::task::{Poll, Waker};
use std::time::Duration;

use crate::platform::{Descriptor, RawDescriptor, raw, road};
use crate::readiness::{Direction, Ready, Retirement};
use crate::source::{Enrolment, Gone, Source};
use crate::sync::{Arc, AtomicUsize, Mutex, Ordering, PoisonError};
use crate::table::Table;

/// A set of descriptors, and a place to wait for any of them.
///
/// It calls no waker: every method that finds some appends them to the caller's list.
pub struct Poller {
    road: road::Road,
    table: Mutex<Table>,
    /// How many sources the table has. Written under its lock, read by anybody.
    len: AtomicUsize,
}

/// Sources that are looked at under one hold of the table.
const PAGE: usize = 256;

/// The caller's buffer for one [`wait`](Poller::wait).
pub struct Events(road::Events);

/// What a poller shall do without, to try the fallbacks out. Has an effect on Linux only.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Missing {
    pub epoll_pwait2: bool,
    pub timerfd: bool,
    pub eventfd: bool,
}

impl Poller {
    /// Makes a poller. All its descriptors are closed on exec.
    ///
    /// # Errors
    ///
    /// The kernel's, untouched: no descriptors left, no memory.
    pub fn new() -> io::Result<Poller> {
        Poller::without(Missing::default())
    }

    #[doc(hidden)]
    pub fn without(missing: Missing) -> io::Result<Poller> {
        Ok(Poller { road: road::Road::new(missing)?, table: Mutex::new(Table::new()), len: AtomicUsize::new(0) })
    }

    /// Registers a descriptor for both directions. What is ready already is reported by the next wait.
    ///
    /// The descriptor should be non-blocking. A stream socket should have been told to connect or to listen first: epoll calls one
    /// that was not hung up, which costs its first reader and writer a futile call.
    ///
    /// # Errors
    ///
    /// The kernel's, untouched: registered already, cannot be waited for (a regular file), no memory, the limit of watches
    /// reached. [`Gone`] after [`close`](Poller::close).
    ///
    /// # Safety
    ///
    /// The descriptor must stay open until the source has been deregistered, also if this poller is closed or dropped before.
    /// Otherwise its number may come to stand for another file, which is then watched, armed or deregistered in its stead;
    /// and if a duplicate was left, the kernel keeps the registration, which nobody can remove any more, until the
    /// duplicate is closed.
    pub unsafe fn register(&self, descriptor: Descriptor<'_>) -> io::Result<Arc<Source>> {
        let source = self.insert(descriptor, Source::new)?;
        // SAFETY: The caller's promise is passed on as it is.
        if let Err(error) = unsafe { self.road.add(&source, descriptor) } {
            drop(self.forget(source.key()));
            return Err(error);
        }
        Ok(source)
    }

    /// As [`register`](Poller::register) for a descriptor that may well be used up before anybody has to wait for it, such as
    /// an accepted connection: both directions count as ready until a call says otherwise, and only then the kernel is asked to
    /// watch it, by [`poll_ready`](Poller::poll_ready). Where that gains nothing it is registered at once, and only
    /// room to write is taken for granted.
    ///
    /// # Errors
    ///
    /// [`Gone`] after [`close`](Poller::close). Those of the kernel may come now or from `poll_ready`.
    ///
    /// # Safety
    ///
    /// As for `register`.
    pub unsafe fn register_later(&self, descriptor: Descriptor<'_>) -> io::Result<Arc<Source>> {
        if road::CAN_ADD_LATER {
            return self.insert(descriptor, Source::dormant);
        }
        // SAFETY: The caller's promise is passed on as it is.
        let source = unsafe { self.register(descriptor) }?;
        source.assume_ready(Direction::Write);
        Ok(source)
    }

    /// As [`Source::poll_ready`] for a source of this poller, however it was registered.
    ///
    /// # Errors
    ///
    /// As there, and the kernel's, if it refuses to watch the descriptor; it is asked again at the next time.
    ///
    /// # Cancel safety
    ///
    /// As there.
    #[inline]
    pub fn poll_ready(&self, source: &Source, direction: Direction, waker: &Waker) -> Poll<io::Result<Ready>> {
        source.poll_ready_or_rouse(direction, waker, |source| self.road.add_later(source))
    }

    /// Puts a source into the table.
    fn insert(
        &self,
        descriptor: Descriptor<'_>,
        make: fn(u64, RawDescriptor, road::Arm) -> Source,
    ) -> io::Result<Arc<Source>> {
        let arm = self.road.arm(descriptor);
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let inserted = table.insert(|key| Arc::new(make(key, raw(descriptor), arm)));
        self.publish(&table);
        drop(table);
        inserted.map(|(_, source)| source).ok_or_else(Gone::error)
    }

    /// Removes a descriptor and appends the wakers of all who wait on it to `ready`: when they look again, they get an
    /// error.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](io::ErrorKind::NotFound) if it was deregistered before. Otherwise the kernel's, if the
    /// descriptor is not the one that was registered; the source is of no use any more all the same.
    pub fn deregister(&self, source: &Source, descriptor: Descriptor<'_>, ready: &mut Vec<Waker>) -> io::Result<()> {
        let kept = self.forget(source.key());
        if !source.retire(Retirement::Deregistered, ready) {
            // The number of the descriptor may belong to somebody else by now: do not ask the kernel.
            return Err(io::ErrorKind::NotFound.into());
        }
        drop(kept);
        if source.is_dormant() {
            return Ok(());
        }
        self.road.delete(source, descriptor)
    }

    /// As [`deregister`](Poller::deregister) for a source whose descriptor the caller does not have any more: it may be closed,
    /// or live on elsewhere, and its number may be another file's.
    ///
    /// No other source is touched. On Linux the kernel is asked for nothing: while the descriptor is open, it can be
    /// registered with other pollers only, and its events wake nobody.
    pub fn abandon(&self, source: &Source, ready: &mut Vec<Waker>) {
        let kept = self.forget(source.key());
        if source.retire(Retirement::Deregistered, ready) {
            drop(kept);
            self.road.abandon(source);
        }
    }

    /// Waits for events, at most `timeout` (`None`: without limit), and appends the wakers of all whose direction became
    /// ready. Returns the number of events that the kernel reported for descriptors; as many as the buffer holds means that
    /// there may be more.
    ///
    /// Returns earlier, perhaps with nothing, when notified or when a signal arrives; otherwise never before the timeout,
    /// and after it by no more than the thread's timer slack plus scheduling. Where the kernel lacks epoll_pwait2, add
    /// 50 µs; where it lacks timerfd too, a millisecond; there it may also end early after 24 days, or once when it has no
    /// limit.
    ///
    /// Meant for one thread at a time. Two are served, but an event or a notification goes to one of them only, and on
    /// some systems the second returns at once.
    ///
    /// # Errors
    ///
    /// The kernel's, except for an interruption by a signal, which is `Ok(0)`.
    pub fn wait(&self, events: &mut Events, timeout: Option<Duration>, ready: &mut Vec<Waker>) -> io::Result<usize> {
        self.road.wait(&mut events.0, timeout)?;
        // Taken at the first event that needs it: a mere notification does not.
        let mut table = None;
        let count = self.road.sort(&events.0, |key, occurrence| {
            let table = table.get_or_insert_with(|| self.table.lock().unwrap_or_else(PoisonError::into_inner));
            // No source: an event that was on its way when its descriptor was deregistered.
            if let Some(source) = table.get(key) {
                source.deliver(occurrence, ready);
                self.road.settle(source, occurrence, ready);
            }
        });
        Ok(count)
    }

    /// Breaks the wait in progress, or the next one. What the caller did before is seen by whoever comes out of that wait.
    ///
    /// A notification that no wait has taken yet is not repeated: one atomic swap.
    pub fn notify(&self) {
        self.road.notify();
    }

    /// The runtime is going: appends the wakers of all who wait on any source. From now on every use of a source and
    /// every registration fails with [`Gone`]; deregistering still works.
    pub fn close(&self, ready: &mut Vec<Waker>) {
        let sources = {
            let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
            let sources = table.close();
            self.publish(&table);
            sources
        };
        for source in sources {
            source.retire(Retirement::Gone, ready);
        }
    }

    /// Who waits for which descriptor now. Who comes or goes meanwhile may be missing; and while sources come or go, so may
    /// others.
    ///
    /// The table is held for 256 sources at a time, and each source for a moment. So who waits on the poller is held up for some
    /// microseconds (5 by the last of 100,000).
    pub fn waiting(&self) -> Vec<Enrolment> {
        let (mut list, mut page, mut seen) = (Vec::new(), Vec::with_capacity(PAGE), 0);
        loop {
            self.table.lock().unwrap_or_else(PoisonError::into_inner).page(seen, &mut page);
            seen += page.len();
            let last = page.len() < PAGE;
            page.iter().for_each(|source: &Arc<Source>| source.list_waiting(&mut list));
            // A source that was deregistered meanwhile ends here, with no lock held.
            page.clear();
            if last {
                return list;
            }
        }
    }

    /// Appends the wakers of all who are enrolled. Nothing became ready: those who still wait are to enrol again.
    pub fn take_waiters(&self, ready: &mut Vec<Waker>) {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.sources().for_each(|source| source.take_waiters(ready));
    }

    /// How many descriptors are registered. One relaxed load.
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Whether no descriptor is registered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether somebody waits for a descriptor. Also true while a waker stands here whose future was dropped. Looks at the sources one
    /// after the other, under the table's lock, until it finds one who waits.
    pub fn is_awaited(&self) -> bool {
        !self.is_empty() && self.table.lock().unwrap_or_else(PoisonError::into_inner).sources().any(Source::is_awaited)
    }

    /// Whether an event is reported once, when it happens (epoll, kqueue), or a waiter has to arm the descriptor by a system
    /// call each time.
    pub fn edge(&self) -> bool {
        self.road.edge()
    }

    /// Whether a short read or write on a stream socket or pipe may [`clear`](Source::clear) its direction: whether an
    /// end that came with the data is still found afterwards.
    pub fn short_clears(&self) -> bool {
        self.road.short_clears()
    }

    #[must_use = "a source is dropped when no lock is held"]
    fn forget(&self, key: u64) -> Option<Arc<Source>> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let removed = table.remove(key);
        self.publish(&table);
        removed
    }

    fn publish(&self, table: &Table) {
        self.len.store(table.len(), Ordering::Relaxed);
    }
}

impl Events {
    /// Room for so many events, at least one.
    pub fn with_capacity(capacity: usize) -> Events {
        Events(road::Events::with_capacity(capacity.max(1)))
    }
}

impl Missing {
    /// All that the fallbacks are for.
    pub const EVERYTHING: Missing = Missing { epoll_pwait2: true, timerfd: true, eventfd: true };
}

impl fmt::Debug for Poller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poller").field("len", &self.len()).field("edge", &self.edge()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}
