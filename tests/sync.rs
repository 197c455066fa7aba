//! `Notify` and `WaitGroup`: who is woken by what, and that nothing is lost when somebody gives up. Of the locks, that they
//! work here.

mod helpers;

use futures_util::future::join_all;
use gambol::{
    runtime::Handle,
    sync::{Barrier, Mutex, Notify, OnceCell, RwLock, Semaphore, WaitGroup},
    task::yield_now,
    time::{Duration, Instant, sleep, timeout},
};
use helpers::{PATIENCE, at_most, poll_once};
use std::{
    hint::spin_loop,
    panic::catch_unwind,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread,
};

const READY: Poll<()> = Poll::Ready(());

#[gambol::test]
async fn one_notification_is_stored() {
    let notify = Notify::new();
    notify.notify_one();
    notify.notify_one();
    assert_eq!(at_most(1, notify.notified()).await, Some(()));
    assert_eq!(at_most(1, notify.notified()).await, None);
    // The one who gave up keeps nothing from the next.
    notify.notify_one();
    assert_eq!(at_most(1, notify.notified()).await, Some(()));
}

#[gambol::test]
async fn who_waits_longest_is_notified_first() {
    let notify = Notify::new();
    let (mut a, mut b, mut c) = (pin!(notify.notified()), pin!(notify.notified()), pin!(notify.notified()));
    for waiter in [&mut b, &mut a, &mut c] {
        assert_eq!(poll_once(waiter).await, Poll::Pending);
    }
    notify.notify_one();
    assert_eq!(poll_once(&mut a).await, Poll::Pending);
    assert_eq!(poll_once(&mut c).await, Poll::Pending);
    assert_eq!(poll_once(&mut b).await, READY);
    notify.notify_one();
    notify.notify_one();
    assert_eq!(poll_once(&mut c).await, READY);
    assert_eq!(poll_once(&mut a).await, READY);
    assert_eq!(poll_once(&mut a).await, READY, "it stays so");
    assert_eq!(at_most(1, notify.notified()).await, None);
}

#[gambol::test]
async fn all_who_exist_are_notified_and_nobody_later() {
    let notify = Notify::new();
    let unpolled = notify.notified();
    let mut polled = pin!(notify.notified());
    assert_eq!(poll_once(&mut polled).await, Poll::Pending);
    notify.notify_waiters();
    assert_eq!(at_most(1, notify.notified()).await, None);
    assert_eq!(at_most(1, unpolled).await, Some(()));
    assert_eq!(poll_once(&mut polled).await, READY);
    // One that was notified with all leaves the stored notification to others.
    let unpolled = notify.notified();
    notify.notify_all();
    notify.notify_one();
    assert_eq!(at_most(1, unpolled).await, Some(()));
    assert_eq!(at_most(1, notify.notified()).await, Some(()));
    assert_eq!(at_most(1, notify.notified()).await, None);
}

#[gambol::test]
async fn enabling_gets_in_line() {
    let notify = Notify::new();
    let mut first = pin!(notify.notified());
    assert!(!first.as_mut().enable());
    let mut second = pin!(notify.notified());
    assert_eq!(poll_once(&mut second).await, Poll::Pending);
    notify.notify_one();
    assert_eq!(poll_once(&mut second).await, Poll::Pending);
    assert!(first.as_mut().enable());
    assert_eq!(poll_once(&mut first).await, READY);
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One that is enabled after it was polled is still woken.
#[gambol::test]
async fn enabling_keeps_the_waker() {
    let notify = Notify::new();
    let mut waits = pin!(notify.notified());
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    assert_eq!(waits.as_mut().poll(&mut Context::from_waker(&waker)), Poll::Pending);
    assert!(!waits.as_mut().enable());
    notify.notify_one();
    assert!(woken.0.load(Ordering::Relaxed), "it is woken");
    assert!(waits.as_mut().enable());
    assert_eq!(waits.as_mut().poll(&mut Context::from_waker(&waker)), Poll::Ready(()));
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum By {
    One,
    All,
    OneThenAll,
}

/// A waiter that was notified and gives up: a notification for one goes on to the next, one for all does not.
#[gambol::test]
async fn who_gives_up_passes_the_notification_on() {
    for by in [By::One, By::All, By::OneThenAll] {
        for another_waits in [false, true] {
            let notify = Notify::new();
            let mut gives_up = Box::pin(notify.notified());
            assert_eq!(poll_once(&mut gives_up.as_mut()).await, Poll::Pending);
            match by {
                By::One => notify.notify_one(),
                By::All => notify.notify_waiters(),
                By::OneThenAll => {
                    notify.notify_one();
                    notify.notify_waiters();
                }
            }
            let mut late = pin!(notify.notified());
            if another_waits {
                assert_eq!(poll_once(&mut late).await, Poll::Pending);
            }
            drop(gives_up);
            let expected = if by == By::All { Poll::Pending } else { READY };
            assert_eq!(poll_once(&mut late).await, expected, "{by:?} {another_waits}");
            assert_eq!(at_most(1, notify.notified()).await, None);
        }
    }
}

#[gambol::test(workers = 2)]
async fn no_notification_is_lost_however_many_give_up() {
    const NOTIFICATIONS: usize = 20_000;
    // On one processor each takes milliseconds.
    let enough = Instant::now() + Duration::from_secs(2);
    let notify = Arc::new(Notify::new());
    let (sent, taken) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let waiters: Vec<_> = (0..8)
        .map(|n| {
            let (notify, taken) = (notify.clone(), taken.clone());
            gambol::spawn(async move {
                loop {
                    // Half of them are impatient, in different ways.
                    let came = match n {
                        0..4 => {
                            notify.notified().await;
                            true
                        }
                        4 | 5 => at_most(1, notify.notified()).await.is_some(),
                        _ => {
                            let mut notified = pin!(notify.notified());
                            let first = poll_once(&mut notified).await;
                            yield_now().await;
                            first.is_ready()
                        }
                    };
                    if came {
                        taken.fetch_add(1, Ordering::Release);
                    } else {
                        yield_now().await;
                    }
                }
            })
        })
        .collect();
    let senders: Vec<_> = (0..2)
        .map(|_| {
            let (notify, sent, taken) = (notify.clone(), sent.clone(), taken.clone());
            thread::spawn(move || {
                while sent.fetch_add(1, Ordering::Relaxed) < NOTIFICATIONS && Instant::now() < enough {
                    let before = taken.load(Ordering::Acquire);
                    notify.notify_one();
                    // At most two are under way; the store holds one. Whatever is stored is taken by somebody.
                    while taken.load(Ordering::Acquire) == before {
                        thread::yield_now();
                    }
                }
            })
        })
        .collect();
    let ended = gambol::spawn_blocking(move || senders.into_iter().for_each(|sender| sender.join().unwrap()));
    timeout(PATIENCE, ended).await.expect("a notification was lost").unwrap();
    waiters.iter().for_each(|waiter| waiter.abort());
}

#[gambol::test(workers = 2)]
async fn a_crowd_is_woken_at_once() {
    let notify = Arc::new(Notify::new());
    for _ in 0..3 {
        let waiting = WaitGroup::new();
        let waiters: Vec<_> = (0..10_000)
            .map(|_| {
                let (notify, worker) = (notify.clone(), waiting.worker());
                gambol::spawn(async move {
                    let mut notified = pin!(notify.notified());
                    let first = poll_once(&mut notified).await;
                    drop(worker);
                    assert!(first.is_pending());
                    notified.await;
                })
            })
            .collect();
        timeout(PATIENCE, waiting.wait()).await.unwrap();
        notify.notify_waiters();
        for waiter in waiters {
            timeout(PATIENCE, waiter).await.unwrap().unwrap();
        }
    }
}

#[test]
fn waiting_works_under_another_executor_and_shows_in_dumps() {
    let notify = Arc::new(Notify::new());
    let tells = notify.clone();
    let teller = thread::spawn(move || {
        for _ in 0..100 {
            tells.notify_one();
            thread::yield_now();
        }
    });
    futures::executor::block_on(async {
        notify.notified().await;
        let group = WaitGroup::new();
        let worker = group.worker();
        thread::spawn(move || drop(worker));
        group.wait().await;
    });
    teller.join().unwrap();
    gambol::block_on(async {
        let waits = Arc::new(Notify::new());
        let inside = waits.clone();
        let task = gambol::spawn(async move { inside.notified().await });
        let shown = async {
            while !Handle::current()
                .parked_tasks()
                .iter()
                .any(|info| info.id == task.id() && info.wait.as_str() == "notify")
            {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, shown).await.unwrap();
        waits.notify_one();
        task.await.unwrap();
    });
}

#[gambol::test(workers = 2)]
async fn a_group_waits_for_all_and_can_be_used_again() {
    let group = WaitGroup::new();
    assert_eq!(at_most(1, group.wait()).await, Some(()));
    for round in 1..50 {
        let done = Arc::new(AtomicUsize::new(0));
        group.add(round);
        for n in 0..round {
            let (group, done) = (group.clone(), done.clone());
            gambol::spawn(async move {
                if n % 2 == 0 {
                    yield_now().await;
                }
                done.fetch_add(1, Ordering::Relaxed);
                group.done();
            });
        }
        let waits = (0..5).map(|_| timeout(PATIENCE, group.wait()));
        assert!(join_all(waits).await.iter().all(Result::is_ok));
        assert_eq!((done.load(Ordering::Relaxed), group.count()), (round, 0));
    }
}

#[gambol::test]
async fn who_waited_for_zero_is_not_held_up_by_the_next_round() {
    let group = WaitGroup::new();
    group.add(1);
    let unpolled = group.wait();
    let mut polled = pin!(group.wait());
    assert_eq!(poll_once(&mut polled).await, Poll::Pending);
    group.done();
    group.add(1);
    assert_eq!(at_most(1, unpolled).await, Some(()));
    assert_eq!(poll_once(&mut polled).await, READY);
    assert_eq!(at_most(1, group.wait()).await, None);
    group.done();
}

/// One thread is still in the `done` that ended the first round, held up by a crowd at the lock, when another one begins the
/// second round and waits for it.
#[test]
fn a_zero_that_came_before_the_wait_does_not_end_it() {
    let (group, over) = (WaitGroup::new(), Arc::new(AtomicBool::new(false)));
    group.add(1);
    let ender = thread::spawn({
        let (group, over) = (group.clone(), over.clone());
        move || {
            while !over.load(Ordering::Acquire) {
                if group.count() == 1 {
                    group.done();
                }
                spin_loop();
            }
        }
    });
    let crowd = thread::spawn({
        let (group, over) = (group.clone(), over.clone());
        move || {
            while !over.load(Ordering::Acquire) {
                let mut wait = pin!(group.wait());
                for _ in 0..10 {
                    let _ = wait.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                }
            }
        }
    });
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(1) {
        while group.count() != 0 {
            spin_loop();
        }
        group.add(2);
        let mut wait = pin!(group.wait());
        for _ in 0..200 {
            assert!(wait.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        group.done();
    }
    over.store(true, Ordering::Release);
    ender.join().unwrap();
    crowd.join().unwrap();
}

#[test]
fn a_waker_that_panics_keeps_nobody_from_being_notified() {
    struct Panics;

    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("a waker has a problem");
        }
    }

    struct Counts(AtomicUsize);

    impl Wake for Counts {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    let notify = Notify::new();
    let counts = Arc::new(Counts(AtomicUsize::new(0)));
    for called in 1..=3 {
        let (mut first, mut second) = (pin!(notify.notified()), pin!(notify.notified()));
        assert!(first.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::new(Panics)))).is_pending());
        assert!(second.as_mut().poll(&mut Context::from_waker(&Waker::from(counts.clone()))).is_pending());
        if called == 3 {
            notify.notify_one();
            notify.notify_one();
        } else {
            notify.notify_waiters();
        }
        assert_eq!(counts.0.load(Ordering::Relaxed), called);
    }
}

#[gambol::test]
async fn a_worker_is_done_however_its_task_ends() {
    let group = WaitGroup::new();
    let worker = group.worker();
    let panics = gambol::spawn(async move {
        let _worker = worker;
        panic!("a worker has a problem");
    });
    let worker = group.worker();
    let aborted = gambol::spawn(async move {
        let _worker = worker;
        std::future::pending::<()>().await
    });
    assert_eq!(group.count(), 2);
    assert!(panics.await.unwrap_err().is_panic());
    aborted.abort();
    timeout(PATIENCE, group.wait()).await.unwrap();
}

#[test]
fn a_count_below_zero_and_one_too_large_panic_and_change_nothing() {
    let group = WaitGroup::new();
    group.add(0);
    let panic = catch_unwind(|| WaitGroup::new().done()).unwrap_err();
    assert!(panic.downcast_ref::<&str>().unwrap().contains("call add before"));
    group.add(1);
    let same = group.clone();
    assert!(catch_unwind(move || same.add(usize::MAX)).is_err());
    assert_eq!(group.count(), 1);
    group.done();
}

#[gambol::test(workers = 2)]
async fn the_locks_work_here() {
    let (mutex, rwlock) = (Arc::new(Mutex::new(0)), Arc::new(RwLock::new(0)));
    let (semaphore, barrier) = (Arc::new(Semaphore::new(3)), Arc::new(Barrier::new(20)));
    let (inside, cell) = (Arc::new(AtomicUsize::new(0)), Arc::new(OnceCell::new()));
    let tasks: Vec<_> = (0..20)
        .map(|n| {
            let (mutex, rwlock, semaphore) = (mutex.clone(), rwlock.clone(), semaphore.clone());
            let (barrier, inside, cell) = (barrier.clone(), inside.clone(), cell.clone());
            gambol::spawn(async move {
                let before = *mutex.lock().await;
                assert!(before <= 20);
                *mutex.lock().await += 1;
                *rwlock.write().await += 1;
                assert!(*rwlock.read().await <= 20);
                {
                    let _permit = semaphore.acquire().await;
                    assert!(inside.fetch_add(1, Ordering::Relaxed) < 3);
                    yield_now().await;
                    inside.fetch_sub(1, Ordering::Relaxed);
                }
                cell.get_or_init(|| async move { n }).await;
                barrier.wait().await.is_leader()
            })
        })
        .collect();
    let mut leaders = 0;
    for task in tasks {
        leaders += usize::from(timeout(PATIENCE, task).await.unwrap().unwrap());
    }
    assert_eq!((leaders, *mutex.lock().await, *rwlock.read().await), (1, 20, 20));
    assert!(mutex.try_lock().is_some() && semaphore.try_acquire().is_some() && cell.get().is_some());
}
