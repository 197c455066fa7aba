//! `Mutex`: one at a time, nobody is forgotten, nobody is passed over twice.

mod helpers;

use gambol::{
    runtime::Handle,
    sync::{Lock, Mutex, MutexGuard},
    task::yield_now,
    time::{Duration, Instant, sleep, timeout},
};
use helpers::{PATIENCE, at_most, poll_once};
use std::{
    collections::VecDeque,
    panic::AssertUnwindSafe,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread,
};

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        assert!(!self.0.swap(true, Ordering::Relaxed), "woken once");
    }
}

/// What it should be: a queue, and whether the first in it has been called, or has come in vain.
#[derive(Default)]
struct Plain {
    locked: bool,
    line: VecDeque<usize>,
    first: First,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum First {
    /// It waits like the others.
    #[default]
    Waits,
    Called,
    /// It came in vain: it is the next.
    Marked,
    /// The lock is its own.
    Owner,
}

impl Plain {
    fn unlock(&mut self) {
        self.locked = false;
        match self.first {
            First::Marked => {
                self.first = First::Owner;
                self.locked = true;
            }
            First::Waits if !self.line.is_empty() => self.first = First::Called,
            _ => {}
        }
    }
}

struct Waiter<'a> {
    number: usize,
    woken: Arc<Flag>,
    future: Pin<Box<Lock<'a, usize>>>,
}

#[test]
fn it_does_what_a_queue_does() {
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mutex = Mutex::new(0);
        let mut plain = Plain::default();
        let mut waiters: Vec<Waiter<'_>> = Vec::new();
        let mut guard: Option<MutexGuard<'_, usize>> = None;
        let mut locks = 0;
        for number in 0..600 {
            match random.usize(0..8) {
                0 | 1 => {
                    let woken = Arc::new(Flag::default());
                    let mut future = Box::pin(mutex.lock());
                    match future.as_mut().poll(&mut Context::from_waker(&Waker::from(woken.clone()))) {
                        Poll::Ready(new) => {
                            assert!(!plain.locked);
                            plain.locked = true;
                            guard = Some(new);
                        }
                        Poll::Pending => {
                            assert!(plain.locked);
                            plain.line.push_back(number);
                            waiters.push(Waiter { number, woken, future });
                        }
                    }
                }
                2 => match mutex.try_lock() {
                    Some(new) => {
                        assert!(!plain.locked);
                        plain.locked = true;
                        guard = Some(new);
                    }
                    None => assert!(plain.locked),
                },
                3 | 4 => {
                    if let Some(mut guard) = guard.take() {
                        locks += 1;
                        *guard += 1;
                        plain.unlock();
                    }
                }
                5 | 6 if !waiters.is_empty() => {
                    let at = random.usize(0..waiters.len());
                    let waiter = &mut waiters[at];
                    let flag = Arc::new(Flag::default());
                    let poll = waiter.future.as_mut().poll(&mut Context::from_waker(&Waker::from(flag.clone())));
                    let first = plain.line.front() == Some(&waiter.number);
                    match poll {
                        Poll::Ready(new) => {
                            assert!(first && guard.is_none() && waiter.woken.0.load(Ordering::Relaxed));
                            assert!(plain.first == First::Owner || plain.first == First::Called && !plain.locked);
                            plain.locked = true;
                            plain.line.pop_front();
                            plain.first = First::Waits;
                            guard = Some(new);
                            waiters.swap_remove(at);
                        }
                        Poll::Pending => {
                            assert!(!first || plain.locked && plain.first != First::Owner);
                            if first && plain.first == First::Called {
                                plain.first = First::Marked;
                            }
                            waiter.woken = flag;
                        }
                    }
                }
                7 if !waiters.is_empty() => {
                    let waiter = waiters.swap_remove(random.usize(0..waiters.len()));
                    let first = plain.line.front() == Some(&waiter.number);
                    plain.line.retain(|number| *number != waiter.number);
                    if first {
                        match std::mem::take(&mut plain.first) {
                            First::Owner => plain.unlock(),
                            First::Called if !plain.locked => plain.unlock(),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
            assert_eq!(mutex.try_lock().is_some(), !plain.locked);
            for waiter in &waiters {
                let first = plain.line.front() == Some(&waiter.number);
                let called = first && matches!(plain.first, First::Called | First::Owner);
                assert_eq!(waiter.woken.0.load(Ordering::Relaxed), called);
            }
        }
        drop(waiters);
        drop(guard);
        assert_eq!(mutex.try_lock().map(|guard| *guard), Some(locks));
    }
}

#[gambol::test]
async fn who_found_the_lock_taken_again_is_the_next() {
    let mutex = Mutex::new(());
    let guard = mutex.lock().await;
    let (mut first, mut second) = (pin!(mutex.lock()), pin!(mutex.lock()));
    assert!(poll_once(&mut first).await.is_pending() && poll_once(&mut second).await.is_pending());
    drop(guard);
    let passes = mutex.try_lock().expect("who is running may take it");
    assert!(poll_once(&mut first).await.is_pending());
    drop(passes);
    assert!(mutex.try_lock().is_none(), "it was handed over");
    assert!(poll_once(&mut second).await.is_pending());
    let Poll::Ready(guard) = poll_once(&mut first).await else { panic!("it was handed over") };
    drop(guard);
    assert!(poll_once(&mut second).await.is_ready());
}

#[gambol::test]
async fn a_task_that_locks_and_locks_does_not_starve_another() {
    let mutex = Arc::new(Mutex::new(false));
    let wants = mutex.clone();
    let other = gambol::spawn(async move { *wants.lock().await = true });
    let greedy = async {
        while !*mutex.lock().await {
            // Locked again in the same poll, and held while the other one runs.
            let _guard = mutex.lock().await;
            yield_now().await;
        }
    };
    timeout(PATIENCE, greedy).await.unwrap();
    other.await.unwrap();
}

#[gambol::test(workers = 2)]
async fn in_a_storm_of_locks_given_up_one_at_a_time_has_it_and_nobody_is_forgotten() {
    let enough = Instant::now() + Duration::from_secs(1);
    let mutex = Arc::new(Mutex::new((0_usize, false)));
    let tasks: Vec<_> = (0..12)
        .map(|seed| {
            let mutex = mutex.clone();
            gambol::spawn(async move {
                let mut random = fastrand::Rng::with_seed(seed);
                let mut locks = 0;
                while Instant::now() < enough {
                    let guard = match random.usize(0..4) {
                        0 | 1 => Some(mutex.lock_arc().await),
                        2 => at_most(random.usize(1..4), mutex.lock_arc()).await,
                        _ => {
                            let mut lock = pin!(mutex.lock_arc());
                            let first = poll_once(&mut lock).await;
                            yield_now().await;
                            match first {
                                Poll::Ready(guard) => Some(guard),
                                Poll::Pending => None,
                            }
                        }
                    };
                    let Some(mut guard) = guard else { continue };
                    assert!(!std::mem::replace(&mut guard.1, true), "two at a time");
                    if random.usize(0..3) == 0 {
                        yield_now().await;
                    }
                    guard.0 += 1;
                    guard.1 = false;
                    locks += 1;
                }
                locks
            })
        })
        .collect();
    let mut locks = 0;
    for task in tasks {
        locks += timeout(PATIENCE, task).await.expect("somebody was forgotten").unwrap();
    }
    assert_eq!(mutex.try_lock().unwrap().0, locks);
}

#[test]
fn threads_of_another_executor_take_turns() {
    let mutex = Arc::new(Mutex::new(0));
    let threads: Vec<_> = (0..4)
        .map(|n| {
            let mutex = mutex.clone();
            thread::spawn(move || {
                for _ in 0..5_000 {
                    match n {
                        0 => *futures::executor::block_on(mutex.lock()) += 1,
                        1 => *gambol::block_on(mutex.lock_arc()) += 1,
                        2 => *mutex.lock_blocking() += 1,
                        _ => *mutex.lock_arc_blocking() += 1,
                    }
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(Arc::into_inner(mutex).unwrap().into_inner(), 20_000);
}

#[gambol::test]
async fn a_loop_over_a_free_lock_lets_others_run() {
    let mutex = Arc::new(Mutex::new(0));
    let busy = async {
        for _ in 0..1_000 {
            *mutex.lock().await += 1;
            *mutex.lock_arc().await += 1;
        }
    };
    assert!(poll_once(&mut pin!(busy)).await.is_pending());
    assert!(*mutex.lock().await < 1_000);
}

#[gambol::test]
async fn a_task_that_waits_for_a_lock_says_so() {
    let mutex = Arc::new(Mutex::new(()));
    let guard = mutex.lock().await;
    let waits = mutex.clone();
    let task = gambol::spawn(async move { drop(waits.lock().await) });
    let shown = async {
        let shows =
            || Handle::current().parked_tasks().iter().any(|it| it.id == task.id() && it.wait.as_str() == "lock");
        while !shows() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, shown).await.unwrap();
    drop(guard);
    task.await.unwrap();
}

#[gambol::test]
async fn a_panic_while_the_lock_is_held_unlocks_it() {
    let mutex = Arc::new(Mutex::new(1));
    let holds = mutex.clone();
    let panics = gambol::spawn(async move {
        let mut guard = holds.lock().await;
        *guard = 2;
        panic!("the holder has a problem");
    });
    assert!(panics.await.unwrap_err().is_panic());
    assert_eq!(*mutex.lock().await, 2);
    let caught = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let _guard = mutex.try_lock().unwrap();
        panic!("so has this one");
    }));
    assert!(caught.is_err() && mutex.try_lock().is_some());
}

#[test]
fn what_a_mutex_tells_about_itself() {
    static EVERYWHERE: Mutex<u8> = Mutex::new(7);
    assert_eq!(format!("{EVERYWHERE:?}"), "Mutex { value: 7 }");
    let guard = EVERYWHERE.try_lock().unwrap();
    assert_eq!(format!("{EVERYWHERE:?} {guard:?} {guard}"), "Mutex { value: <locked> } 7 7");
    assert!(std::ptr::eq(MutexGuard::source(&guard), &EVERYWHERE));
    let mut mutex = Mutex::from(String::from("a"));
    mutex.get_mut().push('b');
    assert_eq!(mutex.into_inner(), "ab");
    let unsized_value: Arc<Mutex<[u8]>> = Arc::new(Mutex::new([1, 2, 3]));
    assert_eq!(unsized_value.try_lock_arc().unwrap().len(), 3);
    assert_eq!(*Mutex::<u8>::default().try_lock().unwrap(), 0);
}
