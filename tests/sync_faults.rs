//! Locks and their kin in bad company: wakers that panic or come back to what they wait for.

#[path = "helpers/evil.rs"]
mod evil;
mod helpers;

use evil::{AFTER, Evil, MOMENTS, Moment, must_end};
use futures::{FutureExt, Stream};
use gambol::sync::{Barrier, Mutex, Notify, OnceCell, RwLock, RwLockUpgradableReadGuard, Semaphore, broadcast, watch};
use std::{
    fmt::Debug,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
};

fn poll<F: Future + ?Sized>(future: Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(waker))
}

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

fn flag() -> (Arc<Flag>, Waker) {
    let flag = Arc::new(Flag::default());
    (flag.clone(), Waker::from(flag))
}

/// Something that is waited for.
trait Subject: Debug + Send + Sync + 'static {
    fn new() -> Self;
    /// All that clones, exchanges, wakes and drops the wakers of those who wait.
    fn ways(&self, first: &Waker, second: &Waker);
    /// What may be done from anywhere, without waiting.
    fn meddle(&self);
    /// Nobody stands in line any more, nothing is held, and whoever waits is served.
    fn check(&self, place: &str);
}

impl Subject for Mutex<()> {
    fn new() -> Self {
        Mutex::new(())
    }

    fn ways(&self, first: &Waker, second: &Waker) {
        // Called, passed over, handed to; the one behind it is called.
        let guard = self.try_lock();
        let (mut a, mut b) = (self.lock(), self.lock());
        for waker in [first, second, first] {
            drop(poll(Pin::new(&mut a), waker));
        }
        drop(poll(Pin::new(&mut b), second));
        drop(guard);
        let guard = self.try_lock();
        drop(poll(Pin::new(&mut a), second));
        drop(guard);
        drop(poll(Pin::new(&mut a), first));
        drop(poll(Pin::new(&mut b), first));
        // Goes away in line; when called; when handed to.
        for vain in [false, true] {
            let guard = self.try_lock();
            let mut lines = [self.lock(), self.lock(), self.lock()];
            for line in &mut lines {
                drop(poll(Pin::new(line), first));
            }
            let [a, mut b, mut c] = lines;
            drop(a);
            drop(guard);
            if vain {
                let guard = self.try_lock();
                drop(poll(Pin::new(&mut b), second));
                drop(guard);
            }
            drop(b);
            drop(poll(Pin::new(&mut c), second));
        }
    }

    fn meddle(&self) {
        drop((self.try_lock(), format!("{self:?}")));
        let guard = self.try_lock();
        let mut lock = self.lock();
        drop(poll(Pin::new(&mut lock), Waker::noop()));
        drop(guard);
    }

    fn check(&self, place: &str) {
        let guard = self.try_lock().unwrap_or_else(|| panic!("{place}: locked for ever"));
        let (woken, waker) = flag();
        let mut lock = self.lock();
        assert!(poll(Pin::new(&mut lock), &waker).is_pending());
        drop(guard);
        assert!(woken.0.load(SeqCst), "{place}: somebody else was called");
        assert!(poll(Pin::new(&mut lock), &waker).is_ready());
    }
}

impl Subject for Semaphore {
    fn new() -> Self {
        Semaphore::new(2)
    }

    fn ways(&self, first: &Waker, second: &Waker) {
        for goes in 0..4 {
            let held = self.try_acquire();
            let (mut many, mut one, mut other) = (self.acquire_many(2), self.acquire(), self.acquire());
            for waker in [first, second, first] {
                drop(poll(Pin::new(&mut many), waker));
            }
            drop(poll(Pin::new(&mut one), first));
            drop(poll(Pin::new(&mut other), second));
            match goes {
                // Those behind are served.
                0 => drop(many),
                1 => drop((held, many)),
                2 => drop((held, one, poll(Pin::new(&mut many), second))),
                _ => drop((one, many)),
            }
            drop(poll(Pin::new(&mut other), first));
        }
    }

    fn meddle(&self) {
        drop((self.try_acquire(), self.try_acquire_many(2), format!("{self:?}")));
        self.add_permits(self.forget_permits(1));
        drop(poll(Pin::new(&mut self.acquire_many(3)), Waker::noop()));
    }

    fn check(&self, place: &str) {
        assert_eq!(self.available_permits(), 2, "{place}");
        let all = self.try_acquire_many(2).unwrap_or_else(|| panic!("{place}: somebody is in line"));
        let (woken, waker) = flag();
        let mut acquire = self.acquire();
        assert!(poll(Pin::new(&mut acquire), &waker).is_pending());
        drop(all);
        assert!(woken.0.load(SeqCst), "{place}");
        assert!(poll(Pin::new(&mut acquire), &waker).is_ready());
    }
}

impl Subject for RwLock<()> {
    fn new() -> Self {
        RwLock::new(())
    }

    fn ways(&self, first: &Waker, second: &Waker) {
        for goes in 0..5 {
            let guard = self.try_read();
            let (mut writes, mut reads, mut upgrades) =
                (pin!(Some(self.write())), pin!(Some(self.read())), pin!(Some(self.upgradable_read())));
            for waker in [first, second, first] {
                drop(poll(writes.as_mut().as_pin_mut().unwrap(), waker));
            }
            let reader = poll(reads.as_mut().as_pin_mut().unwrap(), first);
            let upgradable = poll(upgrades.as_mut().as_pin_mut().unwrap(), second);
            drop((reader, upgradable));
            match goes {
                0 => writes.set(None),
                1 => {
                    drop(guard);
                    writes.set(None);
                }
                2 => {
                    drop(guard);
                    drop(poll(writes.as_mut().as_pin_mut().unwrap(), second));
                }
                3 => {
                    writes.set(None);
                    if let Poll::Ready(upgradable) = poll(upgrades.as_mut().as_pin_mut().unwrap(), first) {
                        let mut upgrade = pin!(RwLockUpgradableReadGuard::upgrade(upgradable));
                        drop(poll(upgrade.as_mut(), first));
                        drop(guard);
                        drop(poll(upgrade, second));
                    }
                }
                _ => reads.set(None),
            }
        }
    }

    fn meddle(&self) {
        drop((self.try_read(), format!("{self:?}")));
        drop(self.try_write());
        drop(self.try_upgradable_read());
        drop(poll(pin!(self.write()), Waker::noop()));
        drop(poll(pin!(self.read()), Waker::noop()));
    }

    fn check(&self, place: &str) {
        assert!(self.try_upgradable_read().is_some(), "{place}");
        let guard = self.try_write().unwrap_or_else(|| panic!("{place}: locked for ever"));
        let (woken, waker) = flag();
        let mut read = pin!(self.read());
        assert!(poll(read.as_mut(), &waker).is_pending());
        drop(guard);
        assert!(woken.0.load(SeqCst), "{place}");
        assert!(poll(read, &waker).is_ready());
    }
}

impl Subject for Notify {
    fn new() -> Self {
        Notify::new()
    }

    fn ways(&self, first: &Waker, second: &Waker) {
        let (mut a, mut b) = (self.notified(), self.notified());
        for waker in [first, second, first] {
            let _ = poll(Pin::new(&mut a), waker);
        }
        let _ = poll(Pin::new(&mut b), second);
        self.notify_one();
        drop(a);
        let _ = poll(Pin::new(&mut b), first);
        drop(b);
        let mut c = self.notified();
        let _ = poll(Pin::new(&mut c), first);
        self.notify_waiters();
        let _ = poll(Pin::new(&mut c), first);
        self.notify_one();
        let mut d = self.notified();
        let _ = poll(Pin::new(&mut d), second);
    }

    fn meddle(&self) {
        let mut notified = self.notified();
        let _ = poll(Pin::new(&mut notified), Waker::noop());
        self.notify_waiters();
    }

    fn check(&self, place: &str) {
        // One may be stored.
        let _ = poll(Pin::new(&mut self.notified()), Waker::noop());
        let (woken, waker) = flag();
        let mut notified = self.notified();
        assert!(poll(Pin::new(&mut notified), &waker).is_pending(), "{place}");
        self.notify_one();
        assert!(woken.0.load(SeqCst), "{place}: somebody else was called");
    }
}

impl Subject for Barrier {
    fn new() -> Self {
        Barrier::new(3)
    }

    fn ways(&self, first: &Waker, second: &Waker) {
        let mut waits = [self.wait(), self.wait(), self.wait()];
        for wait in &mut waits[..2] {
            for waker in [first, second, first] {
                let _ = poll(Pin::new(wait), waker);
            }
        }
        let mut gives_up = self.wait();
        drop(waits);
        let mut waits = [self.wait(), self.wait(), self.wait()];
        let _ = poll(Pin::new(&mut gives_up), second);
        drop(gives_up);
        for wait in &mut waits {
            let _ = poll(Pin::new(wait), first);
        }
        for wait in &mut waits[..2] {
            let _ = poll(Pin::new(wait), first);
        }
    }

    fn meddle(&self) {
        let mut wait = self.wait();
        let _ = (poll(Pin::new(&mut wait), Waker::noop()), format!("{self:?}"));
    }

    fn check(&self, place: &str) {
        let (woken, waker) = flag();
        let mut waits = [self.wait(), self.wait(), self.wait()];
        for wait in &mut waits[..2] {
            assert!(poll(Pin::new(wait), &waker).is_pending(), "{place}");
        }
        assert!(poll(Pin::new(&mut waits[2]), &waker).is_ready(), "{place}");
        assert!(woken.0.load(SeqCst));
    }
}

impl Subject for OnceCell<u32> {
    fn new() -> Self {
        OnceCell::new()
    }

    fn ways(&self, first: &Waker, second: &Waker) {
        let (mut wait, mut makes, mut other) = (
            pin!(self.wait().fuse()),
            Box::pin(self.get_or_init(std::future::pending).fuse()),
            Box::pin(self.get_or_init(|| async { 1 }).fuse()),
        );
        for waker in [first, second, first] {
            let _ = poll(wait.as_mut(), waker);
            let _ = poll(makes.as_mut(), waker);
            let _ = poll(other.as_mut(), waker);
        }
        let mut third = pin!(self.get_or_init(|| async { 1 }).fuse());
        let _ = poll(third.as_mut(), second);
        drop(makes);
        drop(other);
        let _ = poll(third, first);
        let _ = poll(wait, second);
    }

    fn meddle(&self) {
        let _ = (self.get(), self.try_set(1), format!("{self:?}"));
        let _ = poll(pin!(self.wait()), Waker::noop());
        let _ = poll(pin!(self.get_or_init(std::future::pending)), Waker::noop());
    }

    fn check(&self, place: &str) {
        if self.get().is_none() {
            let (woken, waker) = flag();
            let mut wait = pin!(self.wait());
            assert!(poll(wait.as_mut(), &waker).is_pending());
            assert!(self.try_set(1).is_ok(), "{place}: it is being made for ever");
            assert!(woken.0.load(SeqCst), "{place}");
        }
        assert!(poll(pin!(self.wait()), Waker::noop()).is_ready(), "{place}");
        assert!(poll(pin!(self.get_or_init(|| async { 2 })), Waker::noop()) == Poll::Ready(&1), "{place}");
    }
}

impl Subject for watch::Sender<u32> {
    fn new() -> Self {
        watch::Sender::new(0)
    }

    fn ways(&self, first: &Waker, second: &Waker) {
        let mut receiver = self.subscribe();
        let mut closed = pin!(self.closed().fuse());
        for waker in [first, second] {
            let mut changed = pin!(receiver.changed().fuse());
            for waker in [first, second, first] {
                let _ = poll(changed.as_mut(), waker);
                let _ = poll(closed.as_mut(), waker);
            }
            let _ = self.send(1);
            let _ = poll(changed, waker);
        }
        for waker in [first, second, first] {
            let _ = Pin::new(&mut receiver).poll_next(&mut Context::from_waker(waker));
        }
        drop(receiver.clone());
        drop(receiver);
        let _ = poll(closed, second);
    }

    fn meddle(&self) {
        let mut receiver = self.subscribe();
        let _ = poll(pin!(receiver.changed()), Waker::noop());
        let _ = (self.send(2), *self.borrow(), format!("{self:?}"), poll(pin!(self.closed()), Waker::noop()));
    }

    fn check(&self, place: &str) {
        assert_eq!(self.receiver_count(), 0, "{place}");
        let mut receiver = self.subscribe();
        let (woken, waker) = flag();
        let mut changed = pin!(receiver.changed());
        assert!(poll(changed.as_mut(), &waker).is_pending(), "{place}");
        assert!(self.send(3).is_ok());
        assert!(woken.0.load(SeqCst), "{place}");
        assert!(poll(changed, &waker).is_ready(), "{place}");
    }
}

impl Subject for broadcast::Sender<u32> {
    fn new() -> Self {
        broadcast::Sender::new(2)
    }

    fn ways(&self, first: &Waker, second: &Waker) {
        let (mut receiver, mut other) = (self.subscribe(), self.subscribe());
        let mut closed = pin!(self.closed().fuse());
        for sends in 0..4 {
            let mut recv = receiver.recv();
            for waker in [first, second, first] {
                let _ = poll(Pin::new(&mut recv), waker);
                let _ = poll(closed.as_mut(), waker);
            }
            for value in 0..sends {
                let _ = self.send(value);
            }
            let _ = poll(Pin::new(&mut recv), second);
        }
        for waker in [first, second, first] {
            let _ = Pin::new(&mut other).poll_next(&mut Context::from_waker(waker));
            while other.try_recv().is_ok() {}
        }
        let _ = self.send(1);
        let _ = Pin::new(&mut other).poll_next(&mut Context::from_waker(first));
        drop(receiver);
        drop(other);
        let _ = poll(closed, second);
    }

    fn meddle(&self) {
        let mut receiver = self.subscribe();
        let _ = poll(pin!(receiver.recv()), Waker::noop());
        let _ = (self.send(2), receiver.try_recv(), format!("{self:?}"), poll(pin!(self.closed()), Waker::noop()));
    }

    fn check(&self, place: &str) {
        assert_eq!((self.receiver_count(), self.len()), (0, 0), "{place}");
        let mut receiver = self.subscribe();
        let (woken, waker) = flag();
        let mut recv = receiver.recv();
        assert!(poll(Pin::new(&mut recv), &waker).is_pending(), "{place}");
        assert_eq!(self.send(3), Ok(1));
        assert!(woken.0.load(SeqCst), "{place}");
        assert_eq!(poll(Pin::new(&mut recv), &waker), Poll::Ready(Ok(3)));
    }
}

/// Runs `f` again and again, so that the wakers in it do what they do at each of their moments in turn.
fn at_every_moment(mut f: impl FnMut(usize)) {
    for moment in 0.. {
        AFTER.set(Some(moment));
        f(moment);
        if AFTER.take().is_some() {
            assert!(moment > 0, "it never came to that");
            return;
        }
    }
}

fn comes_back<S: Subject>() {
    must_end(|| {
        for moment in MOMENTS {
            at_every_moment(|n| {
                let subject = Arc::new(S::new());
                let waker = || {
                    let subject = subject.clone();
                    Evil::waker(moment, move || subject.meddle())
                };
                let (first, second) = (waker(), waker());
                subject.ways(&first, &second);
                let left = AFTER.replace(None);
                subject.check(&format!("{moment:?} {n}"));
                AFTER.set(left);
            });
        }
    });
}

fn panics<S: Subject>() {
    must_end(|| {
        for moment in MOMENTS {
            at_every_moment(|n| {
                let subject = Arc::new(S::new());
                let waker = || Evil::waker(moment, || resume_unwind(Box::new("evil")));
                let (first, second) = (waker(), waker());
                let _ = catch_unwind(AssertUnwindSafe(|| subject.ways(&first, &second)));
                let left = AFTER.replace(None);
                drop((first, second));
                subject.check(&format!("{moment:?} {n}"));
                AFTER.set(left);
            });
        }
    });
}

macro_rules! subjects {
    ($($name:ident: $Subject:ty,)*) => {
        mod a_waker_that_comes_back_finds_it_unlocked {
            use super::*;
            $(#[test] fn $name() { comes_back::<$Subject>(); })*
        }

        mod a_waker_that_panics_leaves_it_in_order {
            use super::*;
            $(#[test] fn $name() { panics::<$Subject>(); })*
        }
    };
}

subjects! {
    mutex: Mutex<()>,
    semaphore: Semaphore,
    rwlock: RwLock<()>,
    notify: Notify,
    barrier: Barrier,
    once_cell: OnceCell<u32>,
    watch: watch::Sender<u32>,
    broadcast: broadcast::Sender<u32>,
}

#[test]
fn a_waker_whose_drop_panics_keeps_nobody_from_being_served() {
    let semaphore = Semaphore::new(1);
    let (woken, waker) = flag();
    let (mut many, mut one) = (semaphore.acquire_many(2), semaphore.acquire());
    let evil = Evil::waker(Moment::Drop, || resume_unwind(Box::new("evil")));
    assert!(poll(Pin::new(&mut many), &evil).is_pending());
    assert!(poll(Pin::new(&mut one), &waker).is_pending());
    AFTER.set(Some(0));
    let _ = catch_unwind(AssertUnwindSafe(|| drop(many)));
    AFTER.set(None);
    assert!(woken.0.load(SeqCst));
    assert!(poll(Pin::new(&mut one), &waker).is_ready());
}

#[test]
fn a_waker_whose_drop_panics_takes_no_value_along() {
    let (sender, mut receiver) = broadcast::channel(1);
    let evil = Evil::waker(Moment::Drop, || resume_unwind(Box::new("evil")));
    assert!(Pin::new(&mut receiver).poll_next(&mut Context::from_waker(&evil)).is_pending());
    // A round that was taken without the stream leaves its place behind.
    assert_eq!(sender.send(1), Ok(1));
    assert_eq!(receiver.try_recv(), Ok(1));
    assert!(Pin::new(&mut receiver).poll_next(&mut Context::from_waker(&evil)).is_pending());
    AFTER.set(Some(0));
    let _ = sender.send(2);
    let taken =
        catch_unwind(AssertUnwindSafe(|| Pin::new(&mut receiver).poll_next(&mut Context::from_waker(Waker::noop()))));
    AFTER.set(None);
    assert!(matches!(taken, Ok(Poll::Ready(Some(Ok(2))))) || receiver.try_recv() == Ok(2));
}
