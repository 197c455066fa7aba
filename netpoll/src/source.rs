//! One registered descriptor: its word of readiness, those who wait for it, and the lock between the two.
//!
//! The protocol is in the head of `readiness.rs`; this file takes the lock where it says so. Two rules of its own:
//! - **No foreign code under the lock.** A waker is cloned before the lock is taken, and dropped or called after it is
//!   released: that may do anything, panic or come back here. To move it into the caller's list calls nobody. Comparing two wakers
//!   (`will_wake`) compares two pairs of pointers and calls nobody. So the lock is never poisoned, and if it were, what it
//!   guards would still be whole.
//! - **Lock order:** the poller's table, then a source, then whatever `polling` locks inside.
//!
//! What an event costs here that somebody waits for, of the read-modify-writes: two when it is delivered and three when the task waits
//! again, of which each time one is the lock's, one the word's, and one the clone of the waker. *Left*: the lock as a bit of the word,
//! which takes as many, since others change the word meanwhile and so a plain store cannot give it back.

use std::error::Error;
use std::fmt;
use std::io;
use std::task::{Poll, Waker};

use crate::lock::Lock;
use crate::platform::{RawDescriptor, road};
use crate::readiness::{Delivered, Direction, Enrolled, Look, Occurrence, Ready, Retirement, Word};
use crate::waiters::Waiters;

/// A descriptor that is registered with a [`Poller`](crate::Poller).
///
/// Any number of tasks may wait on one source, in either direction. All who wait in a direction are handed back when it
/// becomes ready; who loses the race for the data finds `WouldBlock` and waits again.
pub struct Source {
    /// Changed by anybody; see `readiness.rs` for who sets which bit.
    word: Word,
    /// Never changes.
    key: u64,
    /// Beside it the number that was registered. It is told to those who ask who waits for what, and it is what a dormant source is
    /// added by.
    shared: Lock<Shared, RawDescriptor>,
}

struct Shared {
    waiters: Waiters,
    /// What the road has to remember of one descriptor; nothing on Linux.
    arm: road::Arm,
}

/// The directions in which somebody waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) read: bool,
    pub(crate) write: bool,
}

impl Source {
    pub(crate) fn new(key: u64, descriptor: RawDescriptor, arm: road::Arm) -> Source {
        Source::with(Word::new(), key, descriptor, arm)
    }

    /// One that the kernel does not watch until somebody has to wait.
    pub(crate) fn dormant(key: u64, descriptor: RawDescriptor, arm: road::Arm) -> Source {
        Source::with(Word::dormant(), key, descriptor, arm)
    }

    fn with(word: Word, key: u64, descriptor: RawDescriptor, arm: road::Arm) -> Source {
        Source { word, key, shared: Lock::new(Shared { waiters: Waiters::default(), arm }, descriptor) }
    }

    /// Waits until the direction is ready: enrols the waker, if it is not.
    ///
    /// The answer is a permission to try, not a promise: the system call may give `WouldBlock`. Then call
    /// [`would_block`](Source::would_block) with the token and come here again. A waker that would wake the same task is kept,
    /// not replaced. A waker is handed back by `wait` at most once for each time that it was enrolled.
    ///
    /// # Errors
    ///
    /// After [`close`](crate::Poller::close): [`ErrorKind::Other`](io::ErrorKind::Other) around [`Gone`]. After
    /// [`deregister`](crate::Poller::deregister): [`ErrorKind::NotConnected`](io::ErrorKind::NotConnected). Where the
    /// poller is not edge triggered, the kernel's error if it refuses to watch the descriptor.
    ///
    /// # Cancel safety
    ///
    /// A waker that waits no more stays, and is woken once for nothing, or holds its memory until the next event. See
    /// [`withdraw`](Source::withdraw).
    ///
    /// Not for a source of [`register_later`](crate::Poller::register_later): it gives the error
    /// [`ErrorKind::Unsupported`](io::ErrorKind::Unsupported), since nobody watches that; see
    /// [`Poller::poll_ready`](crate::Poller::poll_ready).
    #[inline]
    pub fn poll_ready(&self, direction: Direction, waker: &Waker) -> Poll<io::Result<Ready>> {
        self.poll_ready_or_rouse(direction, waker, |_| Err(io::ErrorKind::Unsupported.into()))
    }

    /// As [`poll_ready`](Source::poll_ready). `watch` is called under the lock for a source that is dormant and has to be waited for: it
    /// has the kernel watch it.
    #[inline]
    pub(crate) fn poll_ready_or_rouse(
        &self,
        direction: Direction,
        waker: &Waker,
        watch: impl Fn(&Source) -> io::Result<()>,
    ) -> Poll<io::Result<Ready>> {
        match self.word.look(direction) {
            Look::Ready(ready) => Poll::Ready(Ok(ready)),
            Look::Retired(retirement) => Poll::Ready(Err(retired(retirement))),
            Look::Blocked { waiters } => self.enrol_slow(direction, waker, waiters, watch),
        }
    }

    /// Whether the direction is ready now. Enrols nobody. `None` also for a source that was deregistered or whose poller
    /// was closed; `poll_ready` tells these from one that is not ready.
    #[inline]
    pub fn ready(&self, direction: Direction) -> Option<Ready> {
        match self.word.look(direction) {
            Look::Ready(ready) => Some(ready),
            Look::Retired(_) | Look::Blocked { .. } => None,
        }
    }

    /// Takes the direction for ready until a call shows otherwise, before the kernel has told anything: a socket that has just
    /// been connected or accepted has room to write, and its first write need not wait for an event that says so.
    pub fn assume_ready(&self, direction: Direction) {
        self.word.assume(direction);
    }

    /// For who waits for news of the direction without trying: that nothing was told of it yet does not count as ready. It does so
    /// otherwise for a source of [`register_later`](crate::Poller::register_later).
    pub fn distrust(&self, direction: Direction) {
        self.word.distrust(direction);
    }

    /// To be called after a **short read** from a TCP socket or a **short write** to a stream socket or a pipe: there is no more
    /// data, or room.
    ///
    /// Does nothing if an event was delivered since `seen` was obtained, if the direction is closed, or if urgent data was
    /// told of: a short read does not prove that no end stands behind the data, and it stops at the urgent mark. Allowed
    /// only where [`short_clears`](crate::Poller::short_clears), and never after a peek, on a datagram socket or a listener,
    /// nor after a read from a Unix socket, which stops behind bytes that came with descriptors, or from a pipe, which may be in
    /// packet mode: there, few bytes do not mean that it is empty.
    ///
    /// After `WouldBlock`, call [`would_block`](Source::would_block): this one would leave a closed bit that has been
    /// refuted, and the caller would try in vain without end on the few descriptors whose hang-up can end.
    pub fn clear(&self, direction: Direction, seen: Ready) {
        self.word.clear(direction, seen);
    }

    /// To be called after a system call gave **`WouldBlock`**: no data or room, no end and no error, as of now.
    ///
    /// Does nothing if an event was delivered since `seen` was obtained.
    pub fn would_block(&self, direction: Direction, seen: Ready) {
        self.word.would_block(direction, seen);
    }

    /// Whether somebody is enrolled, in whichever direction. A hint, since it takes no lock.
    pub(crate) fn is_awaited(&self) -> bool {
        Direction::BOTH.iter().any(|direction| self.word.has_waiters(*direction))
    }

    /// Takes an enrolled waker back, if one is there that would wake the same task.
    ///
    /// A source cannot tell two futures of one task apart: both wait through one enrolment. So whoever withdraws it must
    /// either know that nothing else in its task waits in this direction, or wake the returned waker, so that the
    /// other future enrols again.
    #[must_use = "wake it, unless nothing else in this task waits in this direction"]
    pub fn withdraw(&self, direction: Direction, waker: &Waker) -> Option<Waker> {
        if !self.word.has_waiters(direction) {
            return None;
        }
        let mut shared = self.lock();
        let removed = shared.waiters.remove(direction, waker);
        if removed.is_some() && shared.waiters.is_empty(direction) {
            self.word.vacate(direction);
        }
        removed
    }

    /// The road from the second step of waiting on.
    #[cold]
    fn enrol_slow(
        &self,
        direction: Direction,
        waker: &Waker,
        waiters: bool,
        watch: impl Fn(&Source) -> io::Result<()>,
    ) -> Poll<io::Result<Ready>> {
        // Usually nobody waits yet and the clone will be needed. If somebody does, it is often this very task, polled
        // for another reason, and the clone would be for nothing. Declared before the lock: dropped after it.
        let mut fresh = (!waiters).then(|| waker.clone());
        loop {
            let mut shared = self.lock();
            if self.word.is_dormant() {
                // Not once it is retired: its descriptor may be closed.
                if let Some(retirement) = self.word.retirement() {
                    return Poll::Ready(Err(retired(retirement)));
                }
                // If it fails, the source is as it was: the next one tries again.
                if let Err(error) = watch(self) {
                    return Poll::Ready(Err(error));
                }
                self.word.rouse();
            }
            let enrolled = shared.waiters.contains(direction, waker);
            if !enrolled && fresh.is_none() {
                drop(shared);
                fresh = Some(waker.clone());
                continue;
            }
            match self.word.enrol(direction) {
                Enrolled::Ready(ready) => return Poll::Ready(Ok(ready)),
                Enrolled::Retired(retirement) => return Poll::Ready(Err(retired(retirement))),
                Enrolled::Parked => {}
            }
            if !enrolled && let Some(fresh) = fresh.take() {
                shared.waiters.push(direction, fresh);
            }
            let waiting = shared.waiting();
            let Err(error) = shared.arm.arm(self.key, waiting) else {
                return Poll::Pending;
            };
            // The road cannot watch the descriptor: nobody must park on it.
            let removed = shared.waiters.remove(direction, waker);
            if shared.waiters.is_empty(direction) {
                self.word.vacate(direction);
            }
            drop(shared);
            drop(removed);
            return Poll::Ready(Err(error));
        }
    }

    /// Marks what the kernel told, and hands back the wakers of all who waited for it.
    pub(crate) fn deliver(&self, occurrence: Occurrence, ready: &mut Vec<Waker>) {
        if self.word.deliver_unattended(occurrence) == Delivered::Unattended {
            return;
        }
        let mut shared = self.lock();
        self.word.deliver(occurrence);
        for direction in Direction::BOTH {
            if occurrence.wakes(direction) {
                shared.waiters.take(direction, ready);
            }
        }
    }

    /// Takes no more waiters, and hands back those that are there. Tells whether it was not retired in this way before.
    pub(crate) fn retire(&self, retirement: Retirement, ready: &mut Vec<Waker>) -> bool {
        let mut shared = self.lock();
        let first = self.word.retire(retirement);
        Direction::BOTH.into_iter().for_each(|direction| shared.waiters.take(direction, ready));
        first
    }

    /// Hands back everyone who is enrolled, though nothing became ready.
    pub(crate) fn take_waiters(&self, ready: &mut Vec<Waker>) {
        if !self.is_awaited() {
            return;
        }
        let mut shared = self.lock();
        for direction in Direction::BOTH {
            self.word.vacate(direction);
            shared.waiters.take(direction, ready);
        }
    }

    /// Lets the road change what it remembers, under the lock, knowing who waits.
    #[allow(dead_code, reason = "the road on Linux remembers nothing")]
    pub(crate) fn with_arm<T>(&self, change: impl FnOnce(&mut road::Arm, Waiting) -> T) -> T {
        let mut shared = self.lock();
        let waiting = shared.waiting();
        change(&mut shared.arm, waiting)
    }

    /// Appends those who wait; see [`Poller::waiting`](crate::Poller::waiting).
    pub(crate) fn list_waiting(&self, list: &mut Vec<Enrolment>) {
        if !self.is_awaited() {
            return;
        }
        let shared = self.lock();
        for direction in Direction::BOTH {
            // Reading a waker's pointer calls nobody.
            list.extend(shared.waiters.iter(direction).map(|waker| Enrolment {
                waker: waker.data().addr(),
                descriptor: self.descriptor(),
                direction,
            }));
        }
    }

    pub(crate) fn key(&self) -> u64 {
        self.key
    }

    /// Whether the kernel was never asked to watch it. For who has retired it, after which that does not change.
    pub(crate) fn is_dormant(&self) -> bool {
        self.word.is_dormant()
    }

    /// The number that was registered.
    pub(crate) fn descriptor(&self) -> RawDescriptor {
        *self.shared.beside()
    }

    fn lock(&self) -> impl std::ops::DerefMut<Target = Shared> {
        self.shared.lock()
    }

    #[cfg(all(test, not(gambol_loom)))]
    pub(crate) fn detached(key: u64) -> crate::sync::Arc<Source> {
        crate::sync::Arc::new(Source::new(key, RawDescriptor::default(), road::Arm::detached()))
    }
}

/// Somebody who waits for a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enrolment {
    /// Where the data of his waker lies.
    pub waker: usize,
    /// The number that was registered.
    pub descriptor: RawDescriptor,
    /// What he waits for.
    pub direction: Direction,
}

impl Shared {
    fn waiting(&self) -> Waiting {
        Waiting { read: !self.waiters.is_empty(Direction::Read), write: !self.waiters.is_empty(Direction::Write) }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("key", &self.key).field("readiness", &self.word).finish_non_exhaustive()
    }
}

/// The poller was closed, because the runtime that it belonged to has ended. Found inside an [`io::Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone(());

impl Gone {
    #[cold]
    pub(crate) fn error() -> io::Error {
        io::Error::other(Gone(()))
    }
}

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the runtime is gone")
    }
}

impl Error for Gone {}

#[cold]
fn retired(retirement: Retirement) -> io::Error {
    match retirement {
        Retirement::Gone => Gone::error(),
        Retirement::Deregistered => {
            io::Error::new(io::ErrorKind::NotConnected, "the descriptor is no longer registered with its poller")
        }
    }
}

/// A figure that is stated: what an idle connection costs here, with its reference counts, on 64 bits. An allocator that deals in multiples
/// of 16 bytes, behind a header of 8, gives 80.
#[cfg(all(test, target_os = "linux", target_pointer_width = "64", not(any(gambol_loom, polling_test_poll_backend))))]
#[test]
fn an_idle_source_takes_seventy_two_bytes() {
    assert_eq!(size_of::<Source>() + 2 * size_of::<usize>(), 72);
}
