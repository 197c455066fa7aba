//! Sleeps and time limits: never early, never for ever, never in the way.

mod helpers;

use futures_util::future::{join, poll_fn};
use gambol::{
    runtime::Runtime,
    task::consume_budget,
    time::{Duration, Instant, Sleep, sleep, sleep_until, timeout, timeout_at},
};
use helpers::{PATIENCE, at_most, poll_once};
use std::{future::pending, io, pin::pin, task::Poll};

const SHORT: Duration = Duration::from_millis(2);

#[gambol::test]
async fn a_sleep_is_never_early() {
    for delay in [0, 1, 50, 999, 5_000, 40_000].map(Duration::from_micros) {
        let begin = Instant::now();
        sleep(delay).await;
        assert!(begin.elapsed() >= delay);
        let deadline = Instant::now() + delay;
        sleep_until(deadline).await;
        assert!(Instant::now() >= deadline);
    }
    sleep_until(Instant::now() - SHORT).await;
}

#[gambol::test]
async fn the_end_of_time_does_not_come() {
    let never = pin!(sleep(Duration::MAX));
    assert!(timeout(SHORT, never).await.is_err());
    assert!(timeout(SHORT, sleep_until(Instant::NEVER)).await.is_err());
    // Nor is it a limit.
    assert_eq!(timeout(Duration::MAX, async { 1 }).await, Ok(1));
    assert_eq!(timeout_at(Instant::NEVER, sleep(SHORT)).await, Ok(()));
}

#[gambol::test]
async fn the_delay_counts_from_the_call() {
    let first = sleep(SHORT);
    let second = sleep(SHORT);
    let third = sleep(SHORT * 2);
    assert!(first.deadline() <= second.deadline() && second.deadline() < third.deadline());
    third.await;
    // Their time has passed: one poll is enough.
    assert_eq!(at_most(1, second).await, Some(()));
    assert_eq!(at_most(1, first).await, Some(()));
}

#[gambol::test]
async fn what_is_ready_is_never_too_late() {
    assert_eq!(timeout(Duration::ZERO, async { 1 }).await, Ok(1));
    assert_eq!(timeout_at(Instant::now() - SHORT, async { 2 }).await, Ok(2));
    assert!(timeout(Duration::ZERO, pending::<()>()).await.is_err());
}

#[gambol::test]
async fn what_takes_too_long_is_dropped() {
    struct Guard<'a>(&'a std::cell::Cell<bool>);
    impl Drop for Guard<'_> {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    let dropped = std::cell::Cell::new(false);
    let begin = Instant::now();
    let result = timeout(SHORT, async {
        let _guard = Guard(&dropped);
        pending::<()>().await;
    })
    .await;
    assert!(begin.elapsed() >= SHORT && dropped.get());
    let error = io::Error::from(result.unwrap_err());
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert_eq!(error.to_string(), "the time limit was reached");
}

#[gambol::test]
async fn a_future_that_is_kept_goes_on_after_its_limit() {
    let mut slow = pin!(sleep(SHORT * 4));
    assert!(timeout(SHORT, &mut slow).await.is_err());
    timeout(PATIENCE, slow).await.unwrap();
}

#[gambol::test]
async fn a_busy_future_meets_its_limit() {
    // It uses up the budget at every turn, so that none is left for the limit.
    let busy = || async {
        loop {
            consume_budget().await;
        }
    };
    let task = gambol::spawn(timeout(SHORT, busy()));
    assert!(timeout(PATIENCE, task).await.unwrap().unwrap().is_err());
    let job = gambol::spawn_blocking(move || gambol::block_on(timeout(SHORT, busy())));
    assert!(timeout(PATIENCE, job).await.unwrap().unwrap().is_err());
}

#[test]
fn a_limit_that_is_not_needed_arms_no_timer() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let armed = || runtime.metrics().timers_armed();
    let before = armed();
    runtime
        .block_on(runtime.spawn(async {
            for _ in 0..100 {
                timeout(PATIENCE, async {}).await.unwrap();
            }
        }))
        .unwrap();
    assert_eq!(armed(), before);
    // And one that is dropped leaves none behind.
    runtime
        .block_on(runtime.spawn(async {
            for polls in [0, 1] {
                assert!(at_most(polls, timeout(PATIENCE, pending::<()>())).await.is_none());
            }
        }))
        .unwrap();
    let metrics = runtime.metrics();
    assert_eq!(metrics.timers_armed(), before + 1);
    assert_eq!(metrics.timers_armed(), metrics.timers_fired() + metrics.timers_cancelled());
}

#[gambol::test]
async fn a_sleep_can_be_moved_either_way() {
    let mut moved = sleep(Duration::MAX);
    {
        let mut pinned = pin!(&mut moved);
        assert!(poll_once(&mut pinned).await.is_pending());
    }
    let deadline = Instant::now() + SHORT;
    moved.reset(deadline);
    timeout(PATIENCE, &mut moved).await.unwrap();
    assert!(Instant::now() >= deadline);
    // After it has ended, too.
    moved.reset(Instant::now() + SHORT);
    assert_eq!(at_most(1, &mut moved).await, None);
    (&mut moved).await;
}

#[test]
fn sleeps_work_in_any_thread_and_any_executor() {
    let begin = Instant::now();
    std::thread::spawn(|| gambol::block_on(sleep(SHORT))).join().unwrap();
    assert!(begin.elapsed() >= SHORT);
    // Polled by hand, as a foreign executor does it.
    let thread = std::thread::current();
    let waker = std::task::Waker::from(std::sync::Arc::new(Unpark(thread)));
    let mut future = pin!(sleep(SHORT));
    while future.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending() {
        std::thread::park();
    }
}

struct Unpark(std::thread::Thread);

impl std::task::Wake for Unpark {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.unpark();
    }
}

#[test]
fn a_sleep_that_outlives_its_runtime_ends_in_the_one_that_is_left() {
    let runtime = Runtime::new().unwrap();
    let mut left = sleep(SHORT);
    runtime.block_on(async {
        let mut pinned = pin!(&mut left);
        let _ = poll_once(&mut pinned).await;
    });
    drop(runtime);
    gambol::block_on(timeout(PATIENCE, left)).unwrap();
}

#[gambol::test]
async fn limits_nest() {
    let inner = timeout(PATIENCE, pending::<()>());
    assert!(timeout(SHORT, inner).await.is_err());
    let inner = timeout(SHORT, pending::<()>());
    assert!(timeout(PATIENCE, inner).await.unwrap().is_err());
    let both = join(timeout(SHORT, pending::<()>()), timeout(SHORT, async { 3 })).await;
    assert_eq!((both.0.is_err(), both.1), (true, Ok(3)));
    // A future that wakes itself without end keeps no limit from being seen.
    let spins = poll_fn(|cx| {
        cx.waker().wake_by_ref();
        Poll::<()>::Pending
    });
    assert!(timeout(SHORT, spins).await.is_err());
}

#[test]
fn sleeps_and_limits_may_be_moved_and_shared() {
    fn check<T: Send + Sync + Unpin>(_: &T) {}
    check(&sleep(SHORT));
    check::<Sleep>(&sleep_until(Instant::NEVER));
    check(&timeout(SHORT, sleep(SHORT)));
    check(&gambol::time::interval(SHORT));
}
