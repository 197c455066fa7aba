//! Models of the machines of the mutex, the semaphore and the read-write lock, checked in every interleaving by loom:
//!
//! ```text
//! RUSTFLAGS="--cfg gambol_loom" cargo test -p gambol --release --test sync_models
//! ```
//!
//! The files of the protocols are compiled once more, with loom's types; `src/sync/threads.rs` is the one that is left out.
//!
//! A model that nothing can break proves nothing. Each of these mutations was made, seen to fail, and taken back:
//!
//! | mutation | fails |
//! | --- | --- |
//! | `try_take`: Relaxed for Acquire | `permits_that_come_back_reach_who_waits` |
//! | `enter`: Relaxed for Acquire | the same, `two_who_give_back_serve_one_who_wants_both` |
//! | `give`: Relaxed for Release | the same two |
//! | `give` never takes the lock | `permits_that_come_back_reach_who_waits` |
//! | `enter` does not set `LINE` | `permits_that_come_back_reach_who_waits` |
//! | `enter` does not look at `CLOSED` | `closing_leaves_nobody_waiting` |
//! | `give_under`: Relaxed for Release | `who_goes_away_passes_its_permits_on` |
//! | `serve` stores Relaxed for Release | `who_goes_away_passes_its_permits_on` |
//! | `try_take` refuses without the fence; `close`: Relaxed for Release | `who_is_refused_sees_what_came_before_the_close` |
//! | `take_away` without the lock | `what_is_taken_away_was_there` |
//! | `Permits::leave` gives back what was refused | `who_goes_away_from_what_is_closed_gives_nothing_back` |
//! | `Permits::leave` keeps what was served | `who_goes_away_passes_its_permits_on` |
//! | `Permits::leave` does not serve those behind | `who_goes_away_passes_its_permits_on` |
//! | `try_lock`: Relaxed for Acquire | `two_who_lock_take_turns` |
//! | `unlock`: Relaxed for Release | `two_who_lock_take_turns` |
//! | `unlock_under`: Relaxed for Release | `three_who_lock_take_turns` |
//! | `lock_or_owe`: Relaxed for Acquire | `two_who_lock_take_turns` |
//! | `lock_or_owe` does not set `OWES` | `three_who_lock_take_turns` |
//! | `unlock` never looks at the line | `three_who_lock_take_turns` |
//! | who comes in vain does not set `OWES` | `three_who_lock_take_turns` |
//! | who was called locks without `OWES`, with others in line | `three_who_lock_take_turns` |
//! | who gets in line sets `OWES` while somebody is called | `who_stands_behind_one_that_came_in_vain_is_not_forgotten` |
//! | who locks sets `OWES` while somebody is called | `one_is_called_at_a_time` |
//! | `Asking` is dropped and does not leave the line of the shares | `who_goes_away_leaves_the_lock_to_the_others` |
//! | who was called stays `Called` when he has come | `three_who_lock_take_turns` |
//! | who was called goes away and calls nobody | `who_goes_away_passes_the_lock_on` |
//! | the lock is handed over without `OWES`, with others in line | `who_stands_behind_one_that_came_in_vain_is_not_forgotten` |
//! | whom the lock was handed to goes away and does not unlock | `who_goes_away_passes_the_lock_on` |
#![cfg(gambol_loom)]

#[allow(dead_code, reason = "the models use a part")]
#[path = "../src/sync/permits.rs"]
mod permits;
#[allow(dead_code, reason = "the models use a part")]
#[path = "../src/sync/raw_mutex.rs"]
mod raw_mutex;
#[allow(dead_code, reason = "the models use a part")]
#[path = "../src/sync/raw_rwlock.rs"]
mod raw_rwlock;
#[allow(dead_code, reason = "the models use a part")]
#[path = "../src/sync/waiters.rs"]
mod waiters;

mod threads {
    pub(super) use loom::sync::{
        Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering, fence},
    };

    pub(super) enum Reason {
        Lock,
    }

    pub(super) fn park(_: Reason) {}

    pub(super) struct Spent;

    impl Spent {
        pub(super) fn refund(self) {}
    }

    pub(super) fn spend(_: &mut std::task::Context<'_>) -> std::task::Poll<Spent> {
        std::task::Poll::Ready(Spent)
    }

    pub(super) fn discard<T>(unneeded: T) {
        drop(unneeded);
    }

    pub(super) fn wake(waker: std::task::Waker) {
        waker.wake();
    }
}

use loom::{
    cell::UnsafeCell,
    sync::{Arc, Condvar},
    thread,
};
use permits::Permits;
use raw_mutex::{Line, RawMutex};
use raw_rwlock::{ALL, Asking, Has, Held, Lock, RawRwLock};
use std::{
    future::poll_fn,
    pin::pin,
    task::{Context, Poll, Wake, Waker},
};
use threads::{AtomicUsize, Mutex};
use waiters::{Place, Waiters};

/// Wakes a thread that is in `block_on`.
struct Bell {
    rung: Mutex<bool>,
    condvar: Condvar,
}

impl Wake for Bell {
    fn wake(self: std::sync::Arc<Self>) {
        *self.rung.lock().unwrap() = true;
        self.condvar.notify_one();
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let bell = std::sync::Arc::new(Bell { rung: Mutex::new(false), condvar: Condvar::new() });
    let waker = Waker::from(bell.clone());
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        let mut rung = bell.rung.lock().unwrap();
        while !*rung {
            rung = bell.condvar.wait(rung).unwrap();
        }
        *rung = false;
    }
}

fn mutex() -> RawMutex {
    RawMutex::new(AtomicUsize::new(0), Mutex::new(Line::new()))
}

fn permits(n: usize) -> Permits {
    Permits::new(AtomicUsize::new(Permits::word(n)), Mutex::new(Waiters::new()))
}

/// A mutex with something that two may not have at a time.
struct Guarded {
    raw: RawMutex,
    value: UnsafeCell<usize>,
}

// SAFETY: loom's cell finds out whether two have it at a time; that is what the models are for.
unsafe impl Sync for Guarded {}
// SAFETY: as above.
unsafe impl Send for Guarded {}

impl Guarded {
    fn new() -> Arc<Guarded> {
        Arc::new(Guarded { raw: mutex(), value: UnsafeCell::new(0) })
    }

    fn lock(&self) {
        let mut place = None;
        block_on(poll_fn(|cx| self.raw.poll_lock(&mut place, cx)));
    }

    /// Reads, changes; to be called with the lock.
    fn count(&self) -> usize {
        // SAFETY: the lock is held, which loom checks.
        self.value.with_mut(|value| unsafe {
            *value += 1;
            *value
        })
    }

    fn lock_and_count(&self) {
        self.lock();
        self.count();
        self.raw.unlock();
    }

    /// Gives up after one poll, or after one more if it waits.
    fn lock_and_give_up(&self, polls: usize) {
        let mut place: Option<Place> = None;
        for _ in 0..polls {
            if self.raw.poll_lock(&mut place, &mut Context::from_waker(Waker::noop())).is_ready() {
                self.count();
                self.raw.unlock();
                return;
            }
            thread::yield_now();
        }
        if let Some(place) = place {
            self.raw.leave(place);
        }
    }
}

fn model(f: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(3);
    builder.check(f);
}

/// The interleaving to be feared: an unlock between the look at the word and the place in line.
#[test]
fn two_who_lock_take_turns() {
    loom::model(|| {
        let mutex = Guarded::new();
        let other = mutex.clone();
        let thread = thread::spawn(move || other.lock_and_count());
        mutex.lock_and_count();
        thread.join().unwrap();
        mutex.lock();
        assert_eq!(mutex.count(), 3);
    });
}

/// To be feared: one who is called comes in vain, and the lock is handed over while a third gets in line.
#[test]
fn three_who_lock_take_turns() {
    model(|| {
        let mutex = Guarded::new();
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let other = mutex.clone();
                thread::spawn(move || other.lock_and_count())
            })
            .collect();
        mutex.lock_and_count();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert!(mutex.raw.try_lock());
        assert_eq!(mutex.count(), 4);
    });
}

/// To be feared: the lock is handed to one who came in vain, and the one behind it is forgotten.
#[test]
fn who_stands_behind_one_that_came_in_vain_is_not_forgotten() {
    model(|| {
        let mutex = Guarded::new();
        assert!(mutex.raw.try_lock());
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let other = mutex.clone();
                thread::spawn(move || other.lock_and_count())
            })
            .collect();
        thread::yield_now();
        mutex.count();
        mutex.raw.unlock();
        if mutex.raw.try_lock() {
            // Whoever was called may come now.
            thread::yield_now();
            mutex.count();
            mutex.raw.unlock();
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert!(mutex.raw.try_lock());
    });
}

/// To be feared: the first unlocks and locks again while the second is called, so that it comes in vain.
#[test]
fn who_comes_in_vain_is_not_forgotten() {
    model(|| {
        let mutex = Guarded::new();
        let other = mutex.clone();
        let thread = thread::spawn(move || other.lock_and_count());
        for _ in 0..3 {
            if mutex.raw.try_lock() {
                mutex.count();
                mutex.raw.unlock();
            }
        }
        thread.join().unwrap();
        assert!(mutex.raw.try_lock());
    });
}

/// To be feared: one locks on the long way while somebody is called, and calls another one when it unlocks.
#[test]
fn one_is_called_at_a_time() {
    model(|| {
        let mutex = Guarded::new();
        let (mut first, mut second) = (None, None);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(mutex.raw.try_lock());
        assert!(mutex.raw.poll_lock(&mut first, &mut cx).is_pending());
        assert!(mutex.raw.poll_lock(&mut second, &mut cx).is_pending());
        mutex.raw.unlock();
        // The first is called. The thread finds the lock taken, and then free.
        assert!(mutex.raw.try_lock());
        let other = mutex.clone();
        let thread = thread::spawn(move || other.lock_and_count());
        mutex.count();
        mutex.raw.unlock();
        for place in [&mut first, &mut second] {
            while mutex.raw.poll_lock(place, &mut cx).is_pending() {
                thread::yield_now();
            }
            mutex.count();
            mutex.raw.unlock();
        }
        thread.join().unwrap();
        assert!(mutex.raw.try_lock());
    });
}

/// To be feared: the one who is called, or whom the lock was handed to, goes away; the next must have it.
#[test]
fn who_goes_away_passes_the_lock_on() {
    for polls in 1..3 {
        model(move || {
            let mutex = Guarded::new();
            let (waits, gives_up) = (mutex.clone(), mutex.clone());
            let threads = [
                thread::spawn(move || waits.lock_and_count()),
                thread::spawn(move || gives_up.lock_and_give_up(polls)),
            ];
            mutex.lock_and_count();
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            assert!(mutex.raw.try_lock());
        });
    }
}

fn take(permits: &Permits, n: usize) -> Result<(), ()> {
    let mut place = None;
    block_on(poll_fn(|cx| permits.poll_take(n, &mut place, cx)))
}

fn take_and_give_up(permits: &Permits, n: usize) -> bool {
    let mut place = None;
    let taken = permits.poll_take(n, &mut place, &mut Context::from_waker(Waker::noop()));
    if let Some(place) = place {
        permits.leave(n, place);
    }
    taken == Poll::Ready(Ok(()))
}

/// To be feared: permits come back between the look at the word and the place in line.
#[test]
fn permits_that_come_back_reach_who_waits() {
    loom::model(|| {
        let shared = Arc::new((permits(1), UnsafeCell::new(0)));
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let shared = shared.clone();
                thread::spawn(move || {
                    take(&shared.0, 1).unwrap();
                    // SAFETY: there is one permit, and this has it; loom checks.
                    shared.1.with_mut(|value| unsafe { *value += 1 });
                    shared.0.give(1);
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(shared.0.available(), 1);
    });
}

/// To be feared: two who give back at once, of whom each alone is not enough for the first in line.
#[test]
fn two_who_give_back_serve_one_who_wants_both() {
    model(|| {
        let shared = Arc::new((permits(0), UnsafeCell::new(0), UnsafeCell::new(0)));
        let (a, b) = (shared.clone(), shared.clone());
        let threads = [
            thread::spawn(move || {
                // SAFETY: nobody else has it before the permit is given; loom checks.
                a.1.with_mut(|value| unsafe { *value = 1 });
                a.0.give(1);
            }),
            thread::spawn(move || {
                // SAFETY: as above.
                b.2.with_mut(|value| unsafe { *value = 1 });
                b.0.give(1);
            }),
        ];
        take(&shared.0, 2).unwrap();
        // SAFETY: both have given what they had; loom checks.
        assert_eq!(unsafe { shared.1.with(|value| *value) + shared.2.with(|value| *value) }, 2);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(shared.0.available(), 0);
    });
}

/// To be feared: who is served goes away while another one waits; or who is in front of it does.
#[test]
fn who_goes_away_passes_its_permits_on() {
    for wants in 1..3 {
        model(move || {
            let shared = Arc::new((permits(1), UnsafeCell::new(0)));
            let (waits, gives_up) = (shared.clone(), shared.clone());
            assert!(shared.0.try_take(1).is_ok());
            let threads = [
                thread::spawn(move || {
                    take(&waits.0, 1).unwrap();
                    // SAFETY: there is one permit, and this has it; loom checks.
                    waits.1.with_mut(|value| unsafe { *value += 1 });
                    waits.0.give(1);
                }),
                thread::spawn(move || {
                    if take_and_give_up(&gives_up.0, wants) {
                        gives_up.0.give(wants);
                    }
                }),
            ];
            // SAFETY: as above.
            shared.1.with_mut(|value| unsafe { *value += 1 });
            shared.0.give(1);
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            assert_eq!(shared.0.available(), 1);
            assert!(shared.0.try_take(1).is_ok());
        });
    }
}

/// To be feared: one gets in line after `close` has called all.
#[test]
fn closing_leaves_nobody_waiting() {
    for gives in [false, true] {
        loom::model(move || {
            let permits = Arc::new(permits(0));
            let (waits, other) = (permits.clone(), permits.clone());
            let threads = [
                thread::spawn(move || waits_or_is_refused(&waits)),
                thread::spawn(move || {
                    if gives {
                        other.give(1);
                    }
                }),
            ];
            permits.close();
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            assert_eq!(permits.available(), usize::from(gives));
        });
    }
}

/// To be feared: one is refused without the lock, and does not see what was done before `close`. A cell that is filled once
/// stands on this.
#[test]
fn who_is_refused_sees_what_came_before_the_close() {
    loom::model(|| {
        let shared = Arc::new((permits(0), UnsafeCell::new(0)));
        let other = shared.clone();
        let thread = thread::spawn(move || {
            // SAFETY: nobody looks before it is closed; loom checks.
            other.1.with_mut(|value| unsafe { *value = 1 });
            other.0.close();
        });
        assert_eq!(take(&shared.0, 1), Err(()));
        // SAFETY: who has written has closed; loom checks.
        assert_eq!(shared.1.with(|value| unsafe { *value }), 1);
        assert_eq!(shared.0.try_take(1), Err(permits::Refused::Closed));
        thread.join().unwrap();
    });
}

/// To be feared: one goes away while `close` calls all, and gives back what it never had.
#[test]
fn who_goes_away_from_what_is_closed_gives_nothing_back() {
    model(|| {
        let permits = Arc::new(permits(1));
        let (gives_up, other) = (permits.clone(), permits.clone());
        assert!(permits.try_take(1).is_ok());
        let threads = [
            thread::spawn(move || {
                if take_and_give_up(&gives_up, 1) {
                    gives_up.give(1);
                }
            }),
            thread::spawn(move || other.give(1)),
        ];
        permits.close();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(permits.available(), 1);
    });
}

/// To be feared: permits are taken away while those in line are served from the same word.
#[test]
fn what_is_taken_away_was_there() {
    model(|| {
        let permits = Arc::new(permits(0));
        let (waits, gives) = (permits.clone(), permits.clone());
        let threads = [
            thread::spawn(move || {
                take(&waits, 1).unwrap();
                waits.give(1);
            }),
            thread::spawn(move || gives.give(2)),
        ];
        let taken = permits.take_away(1);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(permits.available(), 2 - taken);
        assert!(permits.try_take(2 - taken).is_ok());
    });
}

fn waits_or_is_refused(permits: &Permits) {
    if take(permits, 1).is_ok() {
        permits.give(1);
    }
}

/// A read-write lock with something that a writer has alone.
struct Shared {
    raw: RawRwLock,
    value: UnsafeCell<usize>,
}

// SAFETY: as for `Guarded`.
unsafe impl Sync for Shared {}
// SAFETY: as above.
unsafe impl Send for Shared {}

impl Lock for Arc<Shared> {
    fn raw(&self) -> &RawRwLock {
        &self.raw
    }
}

impl Shared {
    fn new() -> Arc<Shared> {
        Arc::new(Shared { raw: RawRwLock::new(mutex(), permits(ALL)), value: UnsafeCell::new(0) })
    }
}

fn ask(lock: &Arc<Shared>, wants: Has) -> Held<Arc<Shared>> {
    block_on(Asking::new(lock.clone(), wants, |held| held))
}

fn read(held: &Held<Arc<Shared>>) -> usize {
    // SAFETY: there is a share, so no writer, which loom checks.
    held.lock.value.with(|value| unsafe { *value })
}

fn write(held: &Held<Arc<Shared>>) {
    // SAFETY: there are all shares, which loom checks.
    held.lock.value.with_mut(|value| unsafe { *value += 1 });
}

fn is_free(lock: &Arc<Shared>) -> bool {
    Held::try_new(lock.clone(), Has::Write).is_some()
}

/// To be feared: a reader beside the writer, or one that is forgotten when the writer becomes a reader.
#[test]
fn a_writer_is_alone_and_nobody_is_forgotten() {
    for lowers in [Has::Read, Has::Upgradable, Has::Nothing] {
        model(move || {
            let lock = Shared::new();
            let (reads, writes) = (lock.clone(), lock.clone());
            let threads = [
                thread::spawn(move || assert!(read(&ask(&reads, Has::Read)) <= 2)),
                thread::spawn(move || write(&ask(&writes, Has::Write))),
            ];
            let mut held = ask(&lock, Has::Write);
            write(&held);
            held.lower(lowers);
            if lowers != Has::Nothing {
                assert!(read(&held) <= 2);
            }
            drop(held);
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            assert!(is_free(&lock));
        });
    }
}

/// To be feared: somebody writes between a read and its upgrade.
#[test]
fn nobody_writes_between_a_read_and_its_upgrade() {
    model(|| {
        let lock = Shared::new();
        let (reads, writes) = (lock.clone(), lock.clone());
        let threads = [
            thread::spawn(move || drop(ask(&reads, Has::Read))),
            thread::spawn(move || write(&ask(&writes, Has::Write))),
        ];
        let held = ask(&lock, Has::Upgradable);
        let before = read(&held);
        let held = block_on(Asking::raise(held, Has::Write, |held| held));
        assert_eq!(read(&held), before);
        write(&held);
        drop(held);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert!(is_free(&lock));
    });
}

/// To be feared: one that waits for its turn, or for shares, goes away with what it has, or was just given.
#[test]
fn who_goes_away_leaves_the_lock_to_the_others() {
    for wants in [Has::Read, Has::Upgradable, Has::Write] {
        for waits in [Has::Read, Has::Write] {
            model(move || {
                let lock = Shared::new();
                let (gives_up, other) = (lock.clone(), lock.clone());
                let held = ask(&lock, Has::Write);
                let threads = [
                    thread::spawn(move || {
                        let mut asking = Asking::new(gives_up, wants, |held| held);
                        let mut cx = Context::from_waker(Waker::noop());
                        for _ in 0..2 {
                            if std::pin::Pin::new(&mut asking).poll(&mut cx).is_ready() {
                                break;
                            }
                        }
                    }),
                    thread::spawn(move || drop(ask(&other, waits))),
                ];
                write(&held);
                drop(held);
                threads.into_iter().for_each(|thread| thread.join().unwrap());
                assert!(is_free(&lock));
            });
        }
    }
}
