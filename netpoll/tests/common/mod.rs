//! What the tests share: a waker that counts, a poller with its buffers, a descriptor that deregisters itself.
#![allow(dead_code, reason = "no test file uses all of it")]

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, Wake, Waker};
use std::time::{Duration, Instant};

use gambol_netpoll::{Direction, Events, Missing, Poller, Ready, Source};

/// Longer than anything here takes; a test that gets this far has lost a wake.
pub const HANG: Duration = Duration::from_secs(20);

/// Every combination of fallbacks.
pub fn all_missing() -> impl Iterator<Item = Missing> {
    (0..8).map(|bits| Missing { epoll_pwait2: bits & 1 != 0, timerfd: bits & 2 != 0, eventfd: bits & 4 != 0 })
}

/// Counts how often it was woken.
#[derive(Default)]
pub struct Flag(AtomicUsize);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Flag {
    pub fn woken(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

pub fn flag() -> (Arc<Flag>, Waker) {
    let flag = Arc::new(Flag::default());
    let waker = Waker::from(Arc::clone(&flag));
    (flag, waker)
}

/// A poller, and the thread that waits on it.
pub struct Rig {
    pub poller: Arc<Poller>,
    pub events: Events,
    pub ready: Vec<Waker>,
}

impl Rig {
    pub fn new() -> Rig {
        Rig::without(Missing::default())
    }

    pub fn without(missing: Missing) -> Rig {
        Rig {
            poller: Arc::new(Poller::without(missing).unwrap()),
            events: Events::with_capacity(64),
            ready: Vec::new(),
        }
    }

    pub fn add<T: AsFd>(&self, inner: T) -> Io<T> {
        // SAFETY: `Io` owns the descriptor and deregisters it when it is dropped, before the descriptor is.
        let source = unsafe { self.poller.register(inner.as_fd()) }.unwrap();
        Io { poller: Arc::clone(&self.poller), source, inner }
    }

    /// As `add`, but the kernel is told when the first one has to wait.
    pub fn add_later<T: AsFd>(&self, inner: T) -> Io<T> {
        // SAFETY: as in `add`.
        let source = unsafe { self.poller.register_later(inner.as_fd()) }.unwrap();
        Io { poller: Arc::clone(&self.poller), source, inner }
    }

    /// One wait; wakes whom it hands back. The number of events.
    pub fn turn(&mut self, timeout: Option<Duration>) -> usize {
        let count = self.poller.wait(&mut self.events, timeout, &mut self.ready).unwrap();
        self.ready.drain(..).for_each(Waker::wake);
        count
    }

    /// Takes all that the kernel has to tell now.
    pub fn settle(&mut self) {
        while self.turn(Some(Duration::ZERO)) != 0 {}
    }

    /// Turns until it is so.
    pub fn until(&mut self, mut so: impl FnMut() -> bool) {
        let start = Instant::now();
        while !so() {
            assert!(start.elapsed() < HANG, "lost: nothing comes any more");
            self.turn(Some(HANG));
        }
    }

    /// Waits as a task does, until the direction is ready.
    pub fn ready<T: AsFd>(&mut self, io: &Io<T>, direction: Direction) -> Ready {
        let (_, waker) = flag();
        let mut ready = None;
        self.until(|| match io.poller.poll_ready(&io.source, direction, &waker) {
            Poll::Ready(found) => {
                ready = Some(found.unwrap());
                true
            }
            Poll::Pending => false,
        });
        ready.unwrap()
    }

    /// Makes a call as a task does: when ready, and again after `WouldBlock`. Clears after a short count, given what a full
    /// one is, where that is allowed.
    pub fn call<T: AsFd>(
        &mut self,
        io: &Io<T>,
        direction: Direction,
        full: usize,
        mut call: impl FnMut(&T) -> io::Result<usize>,
    ) -> io::Result<usize> {
        loop {
            let ready = self.ready(io, direction);
            match call(&io.inner) {
                Ok(count) => {
                    if 0 < count && count < full && self.poller.short_clears() {
                        io.source.clear(direction, ready);
                    }
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    io.source.would_block(direction, ready);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// A registered descriptor.
pub struct Io<T: AsFd> {
    pub poller: Arc<Poller>,
    pub source: Arc<Source>,
    pub inner: T,
}

impl<T: AsFd> Io<T> {
    pub fn is_pending(&self, direction: Direction, waker: &Waker) -> bool {
        self.poller.poll_ready(&self.source, direction, waker).is_pending()
    }
}

impl<T: AsFd> Drop for Io<T> {
    fn drop(&mut self) {
        let mut ready = Vec::new();
        // Some tests have deregistered it already.
        let _ = self.poller.deregister(&self.source, self.inner.as_fd(), &mut ready);
        ready.into_iter().for_each(Waker::wake);
    }
}
