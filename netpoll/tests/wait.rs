//! When a wait ends: by a timeout, a notification, an event, a signal. With every combination of fallbacks.
#![cfg(all(unix, not(gambol_loom)))]

mod common;

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Barrier, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use common::{HANG, Rig, all_missing, flag};
use gambol_netpoll::{Direction, Events};

#[test]
fn a_timed_wait_is_never_early() {
    for missing in all_missing() {
        let mut rig = Rig::without(missing);
        for micros in [1, 50, 999, 1000, 1001, 5300, 5300, 700] {
            let timeout = Duration::from_micros(micros);
            let start = Instant::now();
            assert_eq!(rig.turn(Some(timeout)), 0);
            assert!(start.elapsed() >= timeout, "{timeout:?} {missing:?}");
            assert!(start.elapsed() < HANG);
        }
    }
}

/// Of many waits the quickest shows the resolution; the others show who else used the machine.
#[test]
#[cfg(all(target_os = "linux", not(polling_test_poll_backend)))]
fn a_timed_wait_is_finer_than_a_millisecond_unless_there_is_no_timer_at_all() {
    for missing in all_missing() {
        if missing.epoll_pwait2 && missing.timerfd {
            continue;
        }
        let mut rig = Rig::without(missing);
        let quickest = (0..200)
            .map(|_| {
                let start = Instant::now();
                rig.turn(Some(Duration::from_micros(100)));
                start.elapsed()
            })
            .min()
            .unwrap();
        assert!(quickest < Duration::from_micros(900), "{quickest:?} {missing:?}");
    }
}

#[test]
fn a_zero_timeout_looks_and_returns() {
    for missing in all_missing() {
        let mut rig = Rig::without(missing);
        assert_eq!(rig.turn(Some(Duration::ZERO)), 0);
        let (one, other) = UnixStream::pair().unwrap();
        let io = rig.add(one);
        drop(other);
        let (flag, waker) = flag();
        let _ = io.source.poll_ready(Direction::Read, &waker);
        // The end was there before the look, so one look finds it.
        rig.turn(Some(Duration::ZERO));
        assert!(io.source.ready(Direction::Read).is_some());
        assert_eq!(flag.woken(), 1);
    }
}

#[test]
fn an_event_ends_a_wait_before_its_timeout() {
    for missing in all_missing() {
        for timeout in [None, Some(HANG), Some(Duration::MAX)] {
            let mut rig = Rig::without(missing);
            let (one, other) = UnixStream::pair().unwrap();
            let io = rig.add(one);
            rig.settle();
            let (flag, waker) = flag();
            assert!(io.is_pending(Direction::Read, &waker));
            let start = Instant::now();
            let closer = thread::spawn(move || drop(other));
            while flag.woken() == 0 {
                rig.turn(timeout);
            }
            assert!(start.elapsed() < HANG);
            closer.join().unwrap();
        }
    }
}

#[test]
fn a_notification_breaks_a_wait_without_limit() {
    for missing in all_missing() {
        for timeout in [None, Some(Duration::MAX)] {
            let mut rig = Rig::without(missing);
            let poller = Arc::clone(&rig.poller);
            let posted = Arc::new(AtomicUsize::new(0));
            let (acknowledge, acknowledged) = mpsc::channel();
            let notifier = thread::spawn({
                let posted = Arc::clone(&posted);
                move || {
                    for number in 1..=500 {
                        posted.store(number, Ordering::Relaxed);
                        poller.notify();
                        assert_eq!(acknowledged.recv_timeout(HANG), Ok(number));
                    }
                }
            });
            for number in 1..=500 {
                while posted.load(Ordering::Relaxed) != number {
                    assert_eq!(rig.turn(timeout), 0);
                }
                acknowledge.send(number).unwrap();
            }
            notifier.join().unwrap();
        }
    }
}

/// Whoever comes out of the wait sees what was done before the notification, from as many threads as may be.
#[test]
fn no_notification_is_lost_among_many() {
    const THREADS: usize = 4;
    const EACH: usize = 2_000;
    for missing in all_missing() {
        let mut rig = Rig::without(missing);
        let posted = Arc::new(AtomicUsize::new(0));
        let notifiers: Vec<_> = (0..THREADS)
            .map(|_| {
                let (posted, poller) = (Arc::clone(&posted), Arc::clone(&rig.poller));
                thread::spawn(move || {
                    for _ in 0..EACH {
                        posted.fetch_add(1, Ordering::Relaxed);
                        poller.notify();
                    }
                })
            })
            .collect();
        while posted.load(Ordering::Relaxed) != THREADS * EACH {
            rig.turn(None);
        }
        for notifier in notifiers {
            notifier.join().unwrap();
        }
    }
}

#[test]
fn a_notification_before_the_wait_breaks_it_and_only_it() {
    for missing in all_missing() {
        let mut rig = Rig::without(missing);
        for _ in 0..3 {
            for _ in 0..5 {
                rig.poller.notify();
            }
            let start = Instant::now();
            assert_eq!(rig.turn(Some(HANG)), 0);
            assert!(start.elapsed() < HANG);
            // The other four are not owed.
            let timeout = Duration::from_millis(2);
            let start = Instant::now();
            assert_eq!(rig.turn(Some(timeout)), 0);
            assert!(start.elapsed() >= timeout, "{missing:?}");
        }
    }
}

/// More than a pipe has room for.
#[test]
fn notifications_do_not_wear_out() {
    for missing in all_missing() {
        let mut rig = Rig::without(missing);
        for _ in 0..20_000 {
            rig.poller.notify();
            let start = Instant::now();
            assert_eq!(rig.turn(Some(HANG)), 0);
            assert!(start.elapsed() < HANG);
        }
    }
}

/// As many events as the buffer holds are told; the next wait tells the rest.
#[test]
fn a_small_buffer_loses_nothing() {
    for missing in all_missing() {
        let mut rig = Rig::without(missing);
        rig.events = Events::with_capacity(0);
        let (ios, others): (Vec<_>, Vec<_>) = (0..10)
            .map(|_| {
                let (one, other) = UnixStream::pair().unwrap();
                (rig.add(one), other)
            })
            .unzip();
        rig.settle();
        let flags: Vec<_> = ios
            .iter()
            .map(|io| {
                let (flag, waker) = flag();
                assert!(io.is_pending(Direction::Read, &waker));
                flag
            })
            .collect();
        drop(others);
        rig.poller.notify();
        rig.until(|| flags.iter().all(|flag| flag.woken() == 1));
    }
}

/// Two waiters are not what the poller is for, but they must do no harm.
#[test]
fn two_waiters_share_the_events() {
    for missing in all_missing() {
        let rig = Rig::without(missing);
        let (ios, others): (Vec<_>, Vec<_>) = (0..50)
            .map(|_| {
                let (one, other) = UnixStream::pair().unwrap();
                (rig.add(one), other)
            })
            .unzip();
        let woken: Vec<_> = ios
            .iter()
            .map(|io| {
                let (flag, waker) = flag();
                let _ = io.source.poll_ready(Direction::Read, &waker);
                flag
            })
            .collect();
        let barrier = Arc::new(Barrier::new(3));
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let (poller, barrier) = (Arc::clone(&rig.poller), Arc::clone(&barrier));
                let woken = woken.clone();
                thread::spawn(move || {
                    let mut rig = Rig { poller, events: Events::with_capacity(4), ready: Vec::new() };
                    barrier.wait();
                    let start = Instant::now();
                    while woken.iter().any(|flag| flag.woken() == 0) {
                        rig.turn(Some(Duration::from_millis(1)));
                        assert!(start.elapsed() < HANG);
                    }
                })
            })
            .collect();
        barrier.wait();
        drop(others);
        for waiter in waiters {
            waiter.join().unwrap();
        }
    }
}

/// On the portable road `polling` itself goes on waiting.
#[test]
#[cfg(all(target_os = "linux", not(polling_test_poll_backend)))]
fn a_signal_ends_a_wait_with_nothing() {
    use std::sync::atomic::AtomicBool;

    extern "C" fn nothing(_: libc::c_int) {}

    // SAFETY: sigaction takes a signal number, a pointer to a structure that lives during the call, and null for the old one.
    // The structure is plain data, for which zeroes are valid: an empty mask, no flags. The handler does nothing, which is
    // safe in a signal.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as libc::sighandler_t;
        assert_eq!(libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()), 0);
    }
    for missing in all_missing() {
        for timeout in [None, Some(Duration::MAX)] {
            let done = Arc::new(AtomicBool::new(false));
            let (tell, told) = mpsc::channel();
            let (release, released) = mpsc::channel::<()>();
            let waiter = thread::spawn({
                let done = Arc::clone(&done);
                move || {
                    let mut rig = Rig::without(missing);
                    // SAFETY: pthread_self has no conditions.
                    tell.send(unsafe { libc::pthread_self() }).unwrap();
                    assert_eq!(rig.turn(timeout), 0);
                    done.store(true, Ordering::Relaxed);
                    // Stay alive for the signals that are on their way.
                    let _ = released.recv();
                }
            });
            let thread = told.recv().unwrap();
            let start = Instant::now();
            while !done.load(Ordering::Relaxed) {
                // SAFETY: The thread lives: it ends only after `release` is dropped.
                unsafe { libc::pthread_kill(thread, libc::SIGUSR1) };
                thread::yield_now();
                assert!(start.elapsed() < HANG);
            }
            drop(release);
            waiter.join().unwrap();
        }
    }
}
