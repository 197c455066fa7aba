//! `select!`: which arm is taken, what is evaluated, when things are dropped.
//!
//! What may stand in an arm is in `select_forms.rs`.

mod helpers;

use futures_util::future::poll_immediate;
use gambol::{
    runtime::{Handle, Reason},
    select, sleep,
    sync::Notify,
    task::{consume_budget, yield_now},
    time::{Duration, timeout},
};
use helpers::{PATIENCE, at_most, poll_once};
use std::{
    cell::{Cell, RefCell},
    future::{pending, poll_fn, ready},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

/// Notes its name in the log when it is dropped.
struct Noted<'a> {
    name: &'static str,
    log: &'a RefCell<Vec<&'static str>>,
}

impl Drop for Noted<'_> {
    fn drop(&mut self) {
        self.log.borrow_mut().push(self.name);
    }
}

/// A future that is ready after so many polls, and notes its drop.
struct After<'a> {
    polls: usize,
    _noted: Noted<'a>,
}

impl Future for After<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.polls == 0 {
            return Poll::Ready(());
        }
        self.polls -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[gambol::test]
async fn the_first_that_is_ready_is_taken() {
    let log = RefCell::new(Vec::new());
    let after = |polls, name| After { polls, _noted: Noted { name, log: &log } };
    for (left, right, expected) in [(0, 5, "left"), (5, 0, "right"), (3, 5, "left"), (9, 4, "right")] {
        let taken = select! {
            () = after(left, "left") => "left",
            () = after(right, "right") => "right",
        };
        assert_eq!(taken, expected);
    }
}

#[gambol::test]
async fn all_arms_are_dropped_in_order_before_the_handler_runs() {
    let log = RefCell::new(Vec::new());
    let after = |polls, name| After { polls, _noted: Noted { name, log: &log } };
    for winner in 0..3 {
        let polls = |arm| if arm == winner { 1 } else { 9 };
        log.take();
        select! {
            () = after(polls(0), "one") => assert_eq!(log.take(), ["one", "two", "three"]),
            () = after(polls(1), "two") => assert_eq!(log.take(), ["one", "two", "three"]),
            () = after(polls(2), "three") => assert_eq!(log.take(), ["one", "two", "three"]),
        }
    }
    select! {
        () = after(9, "one") => unreachable!(),
        default => assert_eq!(log.take(), ["one"]),
    }
    select! {
        1 = async { after(1, "one").await; 2 } => unreachable!(),
        else => assert_eq!(log.take(), ["one"]),
    }
}

#[gambol::test]
async fn a_handler_may_use_what_the_arms_had_borrowed() {
    async fn push(to: &mut Vec<u32>) {
        yield_now().await;
        to.push(1);
    }
    let (mut left, mut right) = (Vec::new(), vec![7]);
    for _ in 0..10 {
        select! {
            () = push(&mut left) => right.push(2),
            () = push(&mut right) => left.push(2),
            () = yield_now() => {
                left.push(3);
                right.push(3);
            }
        }
    }
    assert!(left.len() >= 10 && right.len() >= 11);
}

#[gambol::test]
async fn an_expression_is_evaluated_if_its_condition_is_true() {
    let log = RefCell::new(Vec::new());
    let note = |name| log.borrow_mut().push(name);
    let condition = |value, name| {
        note(name);
        value
    };
    let mut request = None::<u32>;
    let taken = select! {
        biased;
        number = ready(request.take().unwrap()), if request.is_some() => number,
        () = { note("one"); pending() } => 0,
        () = { note("two"); pending() }, if condition(false, "is two") => 0,
        number = { note("three"); ready(3) }, if condition(true, "is three") => number,
        () = { note("four"); pending() } => 0,
    };
    assert_eq!(taken, 3);
    assert_eq!(log.take(), ["is two", "is three", "one", "three", "four"]);
}

#[gambol::test]
async fn a_condition_may_look_at_what_another_arm_borrows() {
    let mut queue = vec![1, 2];
    let taken = select! {
        last = async { queue.pop() } => last,
        () = pending(), if queue.is_empty() => None,
    };
    assert_eq!(taken, Some(2));
}

#[gambol::test]
async fn an_arm_whose_pattern_does_not_match_leaves_it_to_the_others() {
    let polls = Cell::new(0);
    let mut counted = pin!(async {
        loop {
            polls.set(polls.get() + 1);
            yield_now().await;
        }
    });
    let mut five = pin!(async {
        for _ in 0..5 {
            yield_now().await;
        }
        5
    });
    let taken = select! {
        // Would panic if it were polled again.
        Some(number) = async { None } => number,
        Ok(number) = ready(Err::<u32, _>(1)) => number,
        () = counted.as_mut() => 0,
        number = five.as_mut() => number,
    };
    assert_eq!(taken, 5);
    assert!(polls.get() >= 5);
}

#[gambol::test]
async fn what_does_not_match_is_dropped_at_once_with_its_future() {
    let log = RefCell::new(Vec::new());
    let noted = |name| Noted { name, log: &log };
    let (value, inside) = (noted("value"), noted("future"));
    select! {
        biased;
        (1, _value) = async move { let _inside = inside; (2, value) } => unreachable!(),
        () = yield_now() => assert_eq!(log.take(), ["future", "value"]),
    }
}

#[gambol::test]
async fn else_is_taken_when_all_arms_are_disabled() {
    for (on, come) in [(false, 0), (true, 1), (true, 2)] {
        let taken = select! {
            Some(number) = ready((come == 2).then_some(2)), if on => number,
            number = ready(3), if false => number,
            else => 0,
        };
        assert_eq!(taken, if come == 2 { 2 } else { 0 });
    }
}

#[gambol::test]
async fn default_is_taken_when_nothing_is_ready() {
    let notify = Notify::new();
    let mut taken = Vec::new();
    for notified in [false, true, false] {
        if notified {
            notify.notify_one();
        }
        select! {
            () = notify.notified() => taken.push("notified"),
            default => taken.push("default"),
        }
    }
    assert_eq!(taken, ["default", "notified", "default"]);
    // All disabled: `else` if there is one.
    let which = |on: bool| async move {
        let alone = select! {
            () = pending(), if on => "pending",
            default => "default",
        };
        let both = select! {
            () = pending(), if on => "pending",
            else => "else",
            default => "default",
        };
        (alone, both)
    };
    assert_eq!(which(true).await, ("default", "default"));
    assert_eq!(which(false).await, ("default", "else"));
}

#[gambol::test]
async fn default_never_waits() {
    let select = pin!(async {
        select! {
            () = yield_now() => "yielded",
            default => "default",
        }
    });
    assert_eq!(poll_immediate(select).await, Some("default"));
    // Nor for a budget, and it finds what is ready without one.
    let drained = pin!(async {
        let mut count = 0;
        for _ in 0..1000 {
            select! {
                () = consume_budget() => count += 1,
                default => break,
            }
        }
        count
    });
    assert_eq!(poll_immediate(drained).await, Some(1000));
    // The next leaf gives way for all of them.
    assert_eq!(poll_immediate(pin!(consume_budget())).await, None);
}

#[gambol::test]
async fn default_comes_back_from_a_future_that_always_finds_something_ready() {
    let mut found = 0;
    let mut greedy = pin!(async {
        loop {
            consume_budget().await;
            found += 1;
        }
    });
    for _ in 0..3 {
        select! {
            () = &mut greedy => unreachable!(),
            default => {}
        }
    }
    assert!(found > 3);
}

#[gambol::test]
#[should_panic(expected = "an arm `else => ..` says what is to be done then")]
async fn without_an_else_it_panics_when_all_arms_are_disabled() {
    select! {
        () = ready(()), if false => {}
        Some(()) = ready(None) => {}
    }
}

#[gambol::test]
async fn biased_takes_the_first_in_order() {
    for first in 0..4 {
        let ready_from = |arm| async move {
            if arm < first {
                pending().await
            }
        };
        for _ in 0..50 {
            let taken = select! {
                biased;
                () = ready_from(0) => 0,
                () = ready_from(1) => 1,
                () = ready_from(2) => 2,
                () = ready_from(3) => 3,
            };
            assert_eq!(taken, first);
        }
    }
    let log = RefCell::new(Vec::new());
    let logs = |name, polls: u32| {
        let log = &log;
        let mut left = polls;
        poll_fn(move |cx| {
            log.borrow_mut().push(name);
            left -= 1;
            cx.waker().wake_by_ref();
            if left == 0 { Poll::Ready(()) } else { Poll::Pending }
        })
    };
    select! {
        biased;
        () = logs("one", 9) => {}
        () = logs("two", 2) => {}
        () = logs("three", 9) => {}
    }
    assert_eq!(log.take(), ["one", "two", "three", "one", "two"]);
}

/// Within five standard deviations of its due.
fn is_even(count: u32, rounds: u32, chance: f64) -> bool {
    let (due, deviation) = (f64::from(rounds) * chance, (f64::from(rounds) * chance * (1.0 - chance)).sqrt());
    (f64::from(count) - due).abs() < 5.0 * deviation
}

#[gambol::test]
async fn of_the_arms_that_are_ready_each_is_taken_equally_often() {
    const ROUNDS: u32 = 100_000;
    // Every set of two or more of four.
    for set in (0u32..16).filter(|set| set.count_ones() >= 2) {
        let mut counts = [0; 4];
        for _ in 0..ROUNDS {
            let arm = |arm: u32| async move {
                if set & 1 << arm == 0 {
                    pending().await
                }
            };
            let taken = select! {
                () = arm(0) => 0,
                () = arm(1) => 1,
                () = arm(2) => 2,
                () = arm(3) => 3,
            };
            counts[taken] += 1;
        }
        for (arm, count) in counts.into_iter().enumerate() {
            let chance = if set & 1 << arm == 0 { 0.0 } else { 1.0 / f64::from(set.count_ones()) };
            assert!(count == 0 && chance == 0.0 || is_even(count, ROUNDS, chance), "of {set:04b}: {counts:?}");
        }
    }
}

#[gambol::test]
async fn disabled_arms_leave_the_others_even() {
    const ROUNDS: u32 = 100_000;
    let mut counts = [0; 2];
    for _ in 0..ROUNDS {
        let taken = select! {
            () = ready(()), if false => unreachable!(),
            () = ready(()) => 0,
            1 = ready(2) => unreachable!(),
            () = ready(()) => 1,
        };
        counts[taken] += 1;
    }
    assert!(is_even(counts[0], ROUNDS, 0.5), "{counts:?}");
}

#[gambol::test]
async fn an_arm_that_uses_up_the_budget_does_not_starve_another() {
    let mut greedy = pin!(async {
        loop {
            consume_budget().await;
        }
    });
    let mut turns = 0;
    timeout(PATIENCE, async {
        while turns < 100 {
            select! {
                () = &mut greedy => unreachable!(),
                () = consume_budget() => turns += 1,
            }
        }
    })
    .await
    .unwrap();
}

#[gambol::test]
async fn a_future_goes_on_in_the_next_turn() {
    let mut sum = pin!(async {
        let mut sum = 0;
        for number in 0..10 {
            yield_now().await;
            sum += number;
        }
        sum
    });
    let mut turns = 0;
    let got = loop {
        select! {
            biased;
            got = &mut sum => break got,
            () = yield_now() => turns += 1,
        }
    };
    assert_eq!(got, 45);
    assert!(turns >= 5, "it took {turns} turns");
}

#[gambol::test]
async fn temporary_values_live_as_long_as_the_arms() {
    async fn length(text: &str) -> usize {
        yield_now().await;
        text.len()
    }
    let got = select! {
        got = length(&String::from("three")) => got,
        got = &mut ready(0) => got,
    };
    assert!(got == 5 || got == 0);
}

#[gambol::test]
async fn a_panic_anywhere_drops_all_arms() {
    #[derive(Clone, Copy, Debug)]
    enum In {
        Poll,
        Drop,
        Handler,
    }
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("in drop");
        }
    }
    for place in [In::Poll, In::Drop, In::Handler] {
        let log = RefCell::new(Vec::new());
        let hold = |name| {
            let noted = Noted { name, log: &log };
            async move {
                let _noted = noted;
                pending().await
            }
        };
        let select = async {
            select! {
                biased;
                () = hold("before") => {}
                () = async {
                    let _bomb = matches!(place, In::Drop).then(|| Bomb);
                    pending().await
                } => {}
                () = async { if let In::Poll = place { panic!("in poll") } } => {
                    assert_eq!(log.borrow()[..], ["before", "after"]);
                    panic!("in handler")
                }
                () = hold("after") => {}
            }
        };
        let caught = catch_unwind(AssertUnwindSafe(|| futures::executor::block_on(select)));
        let expected = match place {
            In::Poll => "in poll",
            In::Drop => "in drop",
            In::Handler => "in handler",
        };
        assert_eq!(caught.unwrap_err().downcast_ref::<&str>(), Some(&expected));
        assert_eq!(log.take(), ["before", "after"], "{place:?}");
    }
}

#[gambol::test]
async fn a_select_that_is_dropped_drops_its_arms() {
    let log = RefCell::new(Vec::new());
    for polls in 0..3 {
        let after = |name| After { polls: 9, _noted: Noted { name, log: &log } };
        let select = async {
            select! {
                () = after("one") => {}
                () = after("two") => {}
            }
        };
        assert!(at_most(polls, select).await.is_none());
        assert_eq!(log.take(), if polls == 0 { vec![] } else { vec!["one", "two"] });
    }
}

#[test]
fn other_executors_run_it() {
    let got = futures::executor::block_on(async {
        let mut ticks = 0;
        loop {
            select! {
                () = sleep(Duration::from_millis(1)) => ticks += 1,
                () = pending() => unreachable!(),
            }
            if ticks == 3 {
                break ticks;
            }
        }
    });
    assert_eq!(got, 3);
    let tokio = tokio::runtime::Builder::new_current_thread().build().unwrap();
    tokio.block_on(async {
        select! {
            () = sleep(Duration::from_millis(1)) => {}
            () = tokio::task::yield_now(), if false => {}
        }
    });
}

#[gambol::test]
async fn a_task_in_a_select_is_said_to_wait_for_one() {
    let notify = Arc::new(Notify::new());
    let waits = notify.clone();
    let task = gambol::spawn(async move {
        select! {
            () = waits.notified() => 1,
            () = sleep(Duration::MAX) => 2,
        }
    });
    let id = task.id();
    timeout(PATIENCE, async {
        loop {
            let parked = Handle::current().parked_tasks();
            if parked.iter().any(|info| info.id == id && info.wait == Reason::Select) {
                break;
            }
            yield_now().await;
        }
    })
    .await
    .unwrap();
    notify.notify_one();
    assert_eq!(task.await.unwrap(), 1);
}

#[gambol::test]
async fn every_notification_reaches_one_of_many_selects() {
    const TASKS: usize = 8;
    const EACH: usize = 1000;
    let (left, right) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let got = Arc::new(AtomicUsize::new(0));
    let done = Arc::new(Notify::new());
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let (left, right, got, done) = (left.clone(), right.clone(), got.clone(), done.clone());
            gambol::spawn(async move {
                loop {
                    // A loser that had been notified passes it on.
                    select! {
                        () = left.notified() => {}
                        () = right.notified() => {}
                        () = yield_now() => continue,
                    }
                    got.fetch_add(1, Ordering::Relaxed);
                    done.notify_one();
                }
            })
        })
        .collect();
    for round in 0..EACH {
        if round % 2 == 0 {
            left.notify_one()
        } else {
            right.notify_one()
        }
        timeout(PATIENCE, done.notified()).await.unwrap();
    }
    assert_eq!(got.load(Ordering::Relaxed), EACH);
    tasks.iter().for_each(|task| task.abort());
}

#[gambol::test]
async fn an_arm_is_not_polled_before_it_is_awaited() {
    let polled = Cell::new(false);
    let mut select = pin!(async {
        select! {
            () = async { polled.set(true) } => {}
        }
    });
    assert!(!polled.get());
    assert!(poll_once(&mut select).await.is_ready());
    assert!(polled.get());
}
