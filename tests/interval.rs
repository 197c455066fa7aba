//! Ticks: when they come, and what becomes of those that were missed.

mod helpers;

use futures_util::StreamExt;
use gambol::time::{Duration, Instant, Interval, MissedTick, interval, sleep_until};
use helpers::{at_most, poll_once};
use std::pin::pin;

const PERIOD: Duration = Duration::from_millis(10);

#[gambol::test]
async fn the_first_tick_comes_at_once_and_the_others_at_their_times() {
    let begin = Instant::now();
    let mut ticks = interval(PERIOD);
    let first = at_most(1, ticks.tick()).await.expect("at once");
    assert!(first >= begin && first <= Instant::now());
    for n in 1..4 {
        assert_eq!(ticks.tick().await, first + PERIOD * n);
        assert!(Instant::now() >= first + PERIOD * n);
    }
    assert_eq!(ticks.period(), PERIOD);
}

#[gambol::test]
#[should_panic(expected = "the period of an interval is zero")]
async fn a_period_of_zero_panics() {
    let _ = interval(Duration::ZERO);
}

/// An interval whose first tick was taken, and which then misses three and a half. With it, that first tick.
async fn late(missed: MissedTick) -> (Interval, Instant) {
    let mut ticks = interval(PERIOD);
    assert_eq!(ticks.missed_tick(), MissedTick::Burst);
    ticks.set_missed_tick(missed);
    let first = ticks.tick().await;
    sleep_until(first + PERIOD * 9 / 2).await;
    (ticks, first)
}

#[gambol::test]
async fn burst_makes_up_for_every_tick() {
    let (mut ticks, first) = late(MissedTick::Burst).await;
    for n in 1..=4 {
        assert_eq!(at_most(1, ticks.tick()).await, Some(first + PERIOD * n));
    }
    for n in 5..8 {
        assert_eq!(ticks.tick().await, first + PERIOD * n);
    }
}

#[gambol::test]
async fn delay_begins_anew_after_a_late_tick() {
    let (mut ticks, first) = late(MissedTick::Delay).await;
    let before = Instant::now();
    assert_eq!(at_most(1, ticks.tick()).await, Some(first + PERIOD));
    let after = Instant::now();
    let next = ticks.tick().await;
    assert!(next >= before + PERIOD && next <= after + PERIOD);
}

#[gambol::test]
async fn skip_leaves_out_what_was_missed() {
    let (mut ticks, first) = late(MissedTick::Skip).await;
    assert_eq!(at_most(1, ticks.tick()).await, Some(first + PERIOD));
    let taken = Instant::now();
    let next = ticks.tick().await;
    assert!(next > taken && next <= Instant::now());
    assert_eq!((next - first).as_nanos() % PERIOD.as_nanos(), 0);
}

#[gambol::test]
async fn a_tick_in_time_changes_no_rhythm() {
    // Whoever takes it at its time is some microseconds late, always.
    let period = Duration::from_millis(160);
    for missed in [MissedTick::Burst, MissedTick::Delay, MissedTick::Skip] {
        let mut ticks = interval(period);
        ticks.set_missed_tick(missed);
        let first = ticks.tick().await;
        let second = ticks.tick().await;
        assert_eq!(second, first + period, "{missed:?}");
        let late = second.elapsed();
        let mut third = pin!(ticks.tick());
        assert!(late > Duration::from_millis(5) || poll_once(&mut third).await.is_pending());
    }
}

#[gambol::test]
async fn a_reset_counts_from_now() {
    let mut ticks = interval(PERIOD);
    ticks.tick().await;
    let before = Instant::now();
    ticks.reset();
    let after = Instant::now();
    let next = ticks.tick().await;
    assert!(next >= before + PERIOD && next <= after + PERIOD);
}

#[gambol::test]
async fn a_tick_that_was_dropped_is_still_to_come() {
    let mut ticks = interval(PERIOD);
    let first = ticks.tick().await;
    for polls in 0..3 {
        if let Some(tick) = at_most(polls, ticks.tick()).await {
            assert_eq!(tick, first + PERIOD);
            return;
        }
    }
    assert_eq!(ticks.tick().await, first + PERIOD);
}

#[gambol::test]
async fn ticks_are_a_stream() {
    let ticks: Vec<Instant> = interval(Duration::from_millis(1)).take(3).collect().await;
    assert_eq!(ticks[2] - ticks[0], Duration::from_millis(2));
}

#[gambol::test]
async fn a_period_without_end_ticks_once() {
    let mut ticks = interval(Duration::MAX);
    ticks.tick().await;
    assert!(gambol::time::timeout(PERIOD, ticks.tick()).await.is_err());
    for missed in [MissedTick::Burst, MissedTick::Delay, MissedTick::Skip] {
        let mut ticks = interval(Duration::MAX);
        ticks.set_missed_tick(missed);
        ticks.tick().await;
        assert!(at_most(1, ticks.tick()).await.is_none());
    }
}
