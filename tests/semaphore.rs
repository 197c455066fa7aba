//! `Semaphore`: who is served when, that no permit is lost or made by whoever gives up, and what closing does.

mod helpers;

use gambol::{
    runtime::Handle,
    sync::{AcquireError, Semaphore, SemaphoreGuard},
    task::yield_now,
    time::{Duration, Instant, sleep, timeout},
};
use helpers::{PATIENCE, at_most, poll_once};
use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
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

type Acquiring<'a> = Pin<Box<dyn Future<Output = Result<SemaphoreGuard<'a>, AcquireError>> + 'a>>;

struct Waiter<'a> {
    number: usize,
    wants: usize,
    woken: Arc<Flag>,
    future: Acquiring<'a>,
}

/// What it should be: a number, and a queue.
struct Plain {
    permits: usize,
    line: VecDeque<(usize, usize)>,
    /// Served and not polled since.
    served: Vec<usize>,
    closed: bool,
}

impl Plain {
    fn serve(&mut self) {
        while let Some((number, wants)) = self.line.front().copied().filter(|(_, wants)| *wants <= self.permits) {
            self.permits -= wants;
            self.line.pop_front();
            self.served.push(number);
        }
    }
}

#[test]
fn it_does_what_a_number_and_a_queue_do() {
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let permits = random.usize(0..6);
        let semaphore = Semaphore::new(permits);
        let mut plain = Plain { permits, line: VecDeque::new(), served: Vec::new(), closed: false };
        let mut waiters: Vec<Waiter<'_>> = Vec::new();
        let mut guards: Vec<SemaphoreGuard<'_>> = Vec::new();
        for number in 0..400 {
            let wants = random.usize(0..4);
            match random.usize(0..11) {
                0..3 => {
                    let woken = Arc::new(Flag::default());
                    let mut future: Acquiring<'_> = Box::pin(semaphore.acquire_many(wants as u32).or_closed());
                    let poll = future.as_mut().poll(&mut Context::from_waker(&Waker::from(woken.clone())));
                    let at_once = plain.line.is_empty() && wants <= plain.permits;
                    match poll {
                        Poll::Ready(Ok(guard)) => {
                            assert!(at_once && !plain.closed);
                            plain.permits -= wants;
                            assert_eq!(guard.num_permits(), wants);
                            guards.push(guard);
                        }
                        Poll::Ready(Err(_)) => assert!(plain.closed),
                        Poll::Pending => {
                            assert!(!at_once && !plain.closed);
                            plain.line.push_back((number, wants));
                            waiters.push(Waiter { number, wants, woken, future });
                        }
                    }
                }
                3 => {
                    let may = plain.line.is_empty() && wants <= plain.permits && !plain.closed;
                    let guard = semaphore.try_acquire_many(wants as u32);
                    assert_eq!(guard.is_some(), may);
                    if let Some(guard) = guard {
                        plain.permits -= wants;
                        guards.push(guard);
                    }
                }
                4 | 5 if !guards.is_empty() => {
                    let guard = guards.swap_remove(random.usize(0..guards.len()));
                    plain.permits += guard.num_permits();
                    drop(guard);
                    plain.serve();
                }
                6 | 7 if !waiters.is_empty() => {
                    let at = random.usize(0..waiters.len());
                    let waiter = &mut waiters[at];
                    // Another waker, which takes the place of the last.
                    let flag = Arc::new(Flag::default());
                    let poll = waiter.future.as_mut().poll(&mut Context::from_waker(&Waker::from(flag.clone())));
                    let served = plain.served.iter().position(|served| *served == waiter.number);
                    match poll {
                        Poll::Ready(Ok(guard)) => {
                            plain.served.remove(served.expect("served"));
                            assert!(waiter.woken.0.load(Ordering::Relaxed));
                            guards.push(guard);
                            waiters.swap_remove(at);
                        }
                        Poll::Ready(Err(_)) => {
                            assert!(plain.closed && served.is_none() && waiter.woken.0.load(Ordering::Relaxed));
                            waiters.swap_remove(at);
                        }
                        Poll::Pending => {
                            assert!(served.is_none() && !plain.closed && !waiter.woken.0.load(Ordering::Relaxed));
                            waiter.woken = flag;
                        }
                    }
                }
                8 if !waiters.is_empty() => {
                    let waiter = waiters.swap_remove(random.usize(0..waiters.len()));
                    if let Some(at) = plain.served.iter().position(|served| *served == waiter.number) {
                        plain.served.remove(at);
                        plain.permits += waiter.wants;
                    }
                    plain.line.retain(|(number, _)| *number != waiter.number);
                    drop(waiter);
                    plain.serve();
                }
                9 => match random.usize(0..3) {
                    0 => {
                        semaphore.add_permits(wants);
                        plain.permits += wants;
                        plain.serve();
                    }
                    1 => {
                        let taken = wants.min(plain.permits);
                        assert_eq!(semaphore.forget_permits(wants), taken);
                        plain.permits -= taken;
                    }
                    _ => {
                        if let Some(guard) = guards.pop() {
                            guard.forget();
                        }
                    }
                },
                10 if random.usize(0..60) == 0 => {
                    semaphore.close();
                    plain.closed = true;
                    plain.line.clear();
                }
                _ => {}
            }
            assert_eq!((semaphore.available_permits(), semaphore.is_closed()), (plain.permits, plain.closed));
            for waiter in &waiters {
                let called = plain.closed || plain.served.contains(&waiter.number);
                assert_eq!(waiter.woken.0.load(Ordering::Relaxed), called);
            }
        }
        let out: usize = guards.iter().map(|guard| guard.num_permits()).sum();
        let served: usize =
            waiters.iter().filter(|waiter| plain.served.contains(&waiter.number)).map(|waiter| waiter.wants).sum();
        let all = plain.permits + out + served;
        drop(waiters);
        drop(guards);
        assert_eq!(semaphore.available_permits(), all);
    }
}

#[gambol::test]
async fn who_wants_many_is_not_overtaken() {
    let semaphore = Semaphore::new(3);
    let (a, b) = (semaphore.acquire().await, semaphore.acquire_many(2).await);
    let (mut many, mut one) = (pin!(semaphore.acquire_many(3)), pin!(semaphore.acquire()));
    assert!(poll_once(&mut many).await.is_pending() && poll_once(&mut one).await.is_pending());
    drop(b);
    // Two are there, for the first in line only.
    assert_eq!(semaphore.available_permits(), 2);
    assert!(poll_once(&mut one).await.is_pending() && semaphore.try_acquire().is_none());
    drop(a);
    let Poll::Ready(three) = poll_once(&mut many).await else { panic!("there are three") };
    assert!(poll_once(&mut one).await.is_pending());
    drop(three);
    assert!(poll_once(&mut one).await.is_ready());
    assert_eq!(semaphore.available_permits(), 3);
}

#[gambol::test]
async fn when_one_who_wants_many_gives_up_those_behind_are_served() {
    let semaphore = Semaphore::new(1);
    let mut one = pin!(semaphore.acquire());
    {
        let mut many = pin!(semaphore.acquire_many(2));
        assert!(poll_once(&mut many).await.is_pending() && poll_once(&mut one).await.is_pending());
    }
    assert!(poll_once(&mut one).await.is_ready());
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum When {
    New,
    InLine,
    Served,
}

#[gambol::test]
async fn closing_refuses_whoever_has_no_permit_yet() {
    for when in [When::New, When::InLine, When::Served] {
        for arc in [false, true] {
            let semaphore = Arc::new(Semaphore::new(1));
            let held = semaphore.acquire().await;
            let mut waits: Pin<Box<dyn Future<Output = bool>>> = if arc {
                let acquire = semaphore.acquire_arc().or_closed();
                Box::pin(async move { acquire.await.is_ok() })
            } else {
                Box::pin(async { semaphore.acquire().or_closed().await.is_ok() })
            };
            if when != When::New {
                assert!(poll_once(&mut Pin::new(&mut waits)).await.is_pending());
            }
            let mut held = Some(held);
            if when == When::Served {
                held = None;
            }
            semaphore.close();
            semaphore.close();
            assert_eq!(poll_once(&mut Pin::new(&mut waits)).await, Poll::Ready(when == When::Served), "{when:?} {arc}");
            drop(held);
            drop(waits);
            assert_eq!(semaphore.available_permits(), 1, "{when:?} {arc}");
            assert!(semaphore.try_acquire().is_none() && semaphore.try_acquire_arc().is_none());
            assert_eq!(
                semaphore.acquire().or_closed().await.unwrap_err().to_string(),
                "the semaphore was closed",
                "{when:?} {arc}"
            );
        }
    }
}

#[test]
fn awaiting_a_closed_semaphore_panics_and_names_the_remedy() {
    let semaphore = Arc::new(Semaphore::new(1));
    semaphore.close();
    for arc in [false, true] {
        let panic = catch_unwind(AssertUnwindSafe(|| {
            if arc { drop(semaphore.acquire_arc_blocking()) } else { drop(semaphore.acquire_blocking()) }
        }));
        assert!(panic.unwrap_err().downcast_ref::<&str>().unwrap().contains("or_closed()"));
    }
    let _ = format!("{semaphore:?}");
}

#[test]
fn more_permits_than_are_counted_panic_and_change_nothing() {
    assert!(catch_unwind(|| Semaphore::new(Semaphore::MAX_PERMITS + 1)).is_err());
    let semaphore = Semaphore::new(Semaphore::MAX_PERMITS);
    let held = semaphore.try_acquire_many(5).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| semaphore.add_permits(6))).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| semaphore.add_permits(usize::MAX))).is_err());
    drop(held);
    assert_eq!(semaphore.available_permits(), Semaphore::MAX_PERMITS);
    assert_eq!(semaphore.forget_permits(usize::MAX), Semaphore::MAX_PERMITS);
    assert_eq!(semaphore.available_permits(), 0);
}

#[gambol::test(workers = 2)]
async fn after_a_storm_of_acquires_given_up_all_permits_are_back() {
    const PERMITS: usize = 5;
    let enough = Instant::now() + Duration::from_secs(1);
    let semaphore = Arc::new(Semaphore::new(PERMITS));
    let (inside, served) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let tasks: Vec<_> = (0..16)
        .map(|seed| {
            let (semaphore, inside, served) = (semaphore.clone(), inside.clone(), served.clone());
            gambol::spawn(async move {
                let mut random = fastrand::Rng::with_seed(seed);
                while Instant::now() < enough {
                    let wants = random.u32(1..=PERMITS as u32);
                    let permit = match random.usize(0..4) {
                        0 => Some(semaphore.acquire_many_arc(wants).await),
                        1 => {
                            // Polled once, and dropped when it may have been served.
                            let mut acquire = pin!(semaphore.acquire_many_arc(wants));
                            let first = poll_once(&mut acquire).await;
                            yield_now().await;
                            match first {
                                Poll::Ready(permit) => Some(permit),
                                Poll::Pending => None,
                            }
                        }
                        2 => at_most(random.usize(1..4), semaphore.acquire_many_arc(wants)).await,
                        _ => semaphore.try_acquire_many_arc(wants),
                    };
                    let Some(permit) = permit else {
                        yield_now().await;
                        continue;
                    };
                    let now = inside.fetch_add(wants as usize, Ordering::Relaxed) + wants as usize;
                    assert!(now <= PERMITS, "{now} at once");
                    if random.bool() {
                        yield_now().await;
                    }
                    inside.fetch_sub(wants as usize, Ordering::Relaxed);
                    served.fetch_add(1, Ordering::Relaxed);
                    drop(permit);
                }
            })
        })
        .collect();
    for task in tasks {
        timeout(PATIENCE, task).await.expect("a permit was lost").unwrap();
    }
    assert_eq!(semaphore.available_permits(), PERMITS);
    assert!(semaphore.try_acquire_many(PERMITS as u32).is_some());
    assert!(served.load(Ordering::Relaxed) > 100);
}

#[test]
fn threads_of_another_executor_share_permits() {
    let semaphore = Arc::new(Semaphore::new(2));
    let inside = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..6)
        .map(|_| {
            let (semaphore, inside) = (semaphore.clone(), inside.clone());
            thread::spawn(move || {
                futures::executor::block_on(async {
                    for _ in 0..2_000 {
                        let _permit = semaphore.acquire().await;
                        assert!(inside.fetch_add(1, Ordering::Relaxed) < 2);
                        inside.fetch_sub(1, Ordering::Relaxed);
                    }
                });
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(semaphore.available_permits(), 2);
}

#[gambol::test]
async fn a_loop_over_free_permits_lets_others_run() {
    let semaphore = Arc::new(Semaphore::new(1));
    let busy = async {
        for _ in 0..1_000 {
            drop(semaphore.acquire().await);
            drop(semaphore.acquire_arc().await);
        }
    };
    assert!(poll_once(&mut pin!(busy)).await.is_pending());
}

#[gambol::test]
async fn a_task_that_waits_for_a_permit_says_so() {
    let semaphore = Arc::new(Semaphore::new(0));
    let waits = semaphore.clone();
    let task = gambol::spawn(async move { waits.acquire().await.forget() });
    let shown = async {
        let shows =
            || Handle::current().parked_tasks().iter().any(|it| it.id == task.id() && it.wait.as_str() == "lock");
        while !shows() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, shown).await.unwrap();
    semaphore.add_permits(1);
    task.await.unwrap();
}

#[test]
fn a_waker_that_panics_keeps_nobody_from_being_served() {
    struct Panics;

    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("a waker has a problem");
        }
    }

    let semaphore = Semaphore::new(0);
    let woken = Arc::new(Flag::default());
    let (mut first, mut second) = (pin!(semaphore.acquire()), pin!(semaphore.acquire()));
    assert!(first.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::new(Panics)))).is_pending());
    assert!(second.as_mut().poll(&mut Context::from_waker(&Waker::from(woken.clone()))).is_pending());
    semaphore.add_permits(2);
    assert!(woken.0.load(Ordering::Relaxed));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(first.poll(&mut cx).is_ready() && second.poll(&mut cx).is_ready());
}
