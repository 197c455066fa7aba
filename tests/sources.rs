//! Time as a channel.

use futures::{FutureExt, Stream};
use gambol::chan::{Receiver, TryRecvError};
use gambol::time::{Duration, Instant, after, ticker};
use gambol::{block_on, runtime::Runtime, select, sleep};
use std::{
    pin::Pin,
    sync::{Arc, Mutex, mpsc},
    task::{Context, Wake, Waker},
    thread,
};

const PERIOD: Duration = Duration::from_millis(3);

#[test]
fn a_moment_comes_once_and_never_early() {
    block_on(async {
        let begin = Instant::now();
        let end = after(PERIOD);
        assert_eq!(end.try_recv(), Err(TryRecvError::Empty));
        assert!(end.recv().await.unwrap() - begin >= PERIOD);
        assert_eq!(end.recv().await, None);
        assert!(after(Duration::ZERO).recv().await.is_some());
        let never = after(Duration::MAX);
        select! {
            _ = never.recv() => unreachable!(),
            () = sleep(PERIOD) => {}
        }
    });
}

#[test]
fn clones_share_one_moment() {
    block_on(async {
        let one = after(PERIOD);
        let two = one.clone();
        let (first, second) = gambol::join!(one.recv(), two.recv());
        assert!(first.is_some() != second.is_some());
    });
}

#[test]
fn ticks_are_whole_periods_apart_and_a_slow_receiver_gets_fewer() {
    block_on(async {
        let ticks = ticker(PERIOD);
        let first = ticks.recv().await.unwrap();
        sleep(PERIOD * 10).await;
        assert_eq!(ticks.len(), 1);
        let mut last = first;
        for _ in 0..5 {
            let tick = ticks.recv().await.unwrap();
            assert!(tick > last && tick <= Instant::now());
            assert_eq!((tick - first).as_nanos() % PERIOD.as_nanos(), 0);
            last = tick;
        }
        assert!(last - first >= PERIOD * 13, "one was there, and those that came meanwhile were not kept");
    });
}

/// The one that it was called for takes no room of its own: what is held up for long is not to find a burst.
#[test]
fn a_ticker_holds_one_tick_beside_a_receiver_that_was_called() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let armed = || runtime.metrics().timers_armed();
    runtime.block_on(async {
        let ticks = ticker(PERIOD);
        let mut held_up = Box::pin(ticks.recv());
        assert!(held_up.as_mut().now_or_never().is_none());
        sleep(PERIOD * 10).await;
        assert_eq!(ticks.len(), 1);
        drop(held_up);
        assert_eq!(ticks.len(), 1);
        let mut held_up = Box::pin(ticks.recv());
        assert!(held_up.as_mut().now_or_never().is_some());
        // Closed and full, it ends all the same.
        sleep(PERIOD * 2).await;
        assert!(ticks.close());
        let begin = Instant::now();
        loop {
            let before = armed();
            thread::sleep(PERIOD * 10);
            if armed() == before {
                break;
            }
            assert!(begin.elapsed() < Duration::from_secs(20), "its timer is armed again and again");
        }
        assert_eq!(ticks.len(), 1);
    });
}

#[test]
fn a_timer_goes_with_its_receivers() {
    let armed = || gambol::runtime::Handle::current().metrics().timers_armed();
    block_on(async {
        let before = armed();
        let sources: Vec<_> = (0..1000).map(|_| after(Duration::from_secs(3600))).collect();
        let tickers: Vec<_> = (0..1000).map(|_| ticker(Duration::from_secs(3600))).collect();
        drop((sources.clone(), tickers.clone()));
        let cancelled = gambol::runtime::Handle::current().metrics().timers_cancelled();
        drop((sources, tickers));
        assert!(gambol::runtime::Handle::current().metrics().timers_cancelled() >= cancelled + 2000);
        assert!(armed() >= before);
    });
}

/// On threads that are no workers the clock is read each time, and has always moved on by so little.
#[test]
fn a_ticker_that_is_faster_than_the_clock_hangs_nobody() {
    for period in [Duration::from_nanos(1), Duration::from_nanos(700), Duration::from_micros(3)] {
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            let ticks = ticker(period);
            let mut last = Instant::now() - Duration::from_secs(1);
            for _ in 0..20 {
                let tick = ticks.recv_blocking().unwrap();
                assert!(tick > last && tick <= Instant::now());
                last = tick;
            }
            tell.send(()).unwrap();
        });
        told.recv_timeout(Duration::from_secs(20)).expect("it hangs");
    }
}

#[test]
fn a_ticker_whose_last_receiver_goes_with_its_tick_leaves_no_timer() {
    struct Drops(Mutex<Option<Receiver<Instant>>>, mpsc::Sender<()>);
    impl Wake for Drops {
        fn wake(self: Arc<Self>) {
            let last = self.0.lock().unwrap().take();
            drop(last);
            let _ = self.1.send(());
        }
    }
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let (tell, told) = mpsc::channel();
    runtime.block_on(async {
        let mut ticks = ticker(Duration::from_millis(20));
        let drops = Arc::new(Drops(Mutex::new(None), tell));
        let mut last = drops.0.lock().unwrap();
        let waker = Waker::from(drops.clone());
        assert!(Pin::new(&mut ticks).poll_next(&mut Context::from_waker(&waker)).is_pending());
        *last = Some(ticks);
    });
    told.recv_timeout(Duration::from_secs(20)).unwrap();
    runtime.block_on(gambol::spawn(async {})).unwrap();
    let left = || {
        let metrics = runtime.metrics();
        metrics.timers_armed() - metrics.timers_cancelled() - metrics.timers_fired()
    };
    // The call that has dropped it may be at its end still; the next tick would be long after that.
    let begin = Instant::now();
    while left() > 0 {
        assert!(begin.elapsed() < Duration::from_secs(20), "its timer is there");
        thread::yield_now();
    }
    assert_eq!(runtime.metrics().timers_armed(), 1, "armed again, for nobody");
}
