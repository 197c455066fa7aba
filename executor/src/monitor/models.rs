//! The protocol of `switch.rs` in every interleaving. What makes each model fail stands in `idle/README.md`.

use super::switch::{GRACE, Switch, WATCHES};
use crate::{
    alarm::Alarm,
    clock::NEVER,
    idle::{
        Owed, Parker,
        models::{Part, explore},
    },
    sync::{AtomicBool, Ordering},
};
use std::sync::Arc;

/// Hunted: the worker has begun to run and sees the watch on, while the monitor has looked before and turns it off. Then
/// the monitor sleeps though something runs.
#[test]
fn a_busy_worker_is_watched() {
    explore(4, || {
        let shared = Arc::new((Switch::new(), Parker::new(), AtomicBool::new(false)));
        assert!(shared.0.on(|| 0));
        assert!(shared.0.begin(0));
        let worker = {
            let shared = shared.clone();
            move || {
                shared.2.store(true, Ordering::Relaxed);
                if shared.0.on(|| 0) {
                    assert_eq!(shared.1.unpark(), Owed::Nothing);
                }
            }
        };
        // `Monitor::run` without an alarm, until it watches the worker.
        let monitor = move || {
            let (watch, parker, runs) = &*shared;
            let runs = || runs.load(Ordering::Relaxed);
            parker.adopt();
            loop {
                if !watch.is_on() {
                    parker.park(None);
                    watch.begin(0);
                } else if runs() {
                    break;
                } else {
                    watch.off(runs);
                }
            }
        };
        (vec![Box::new(worker), Box::new(monitor)], Box::new(|| {}))
    });
}

const HOUR: u64 = 3_600_000_000_000;

/// At the end: somebody runs, and either the monitor watches or the alarm rings soon, at the moment that `due` says.
fn is_watched(watch: &Switch, soon: u64) {
    let due = watch.due.load(Ordering::Relaxed);
    assert!(due <= soon, "nobody looks before {due}");
    assert!(due == WATCHES || matches!(*watch.lock(), Alarm::Noted(moment) if moment == due));
}

/// Hunted: the worker has begun to run and sees an alarm that rings soon, while another, which has looked before, puts that off by an
/// hour; or the alarm is not what it is said to be. `far`: the alarm was put off before, so that the worker sets it anew.
fn an_alarm_is_not_put_off(far: bool) {
    explore(4, move || {
        let shared = Arc::new((Switch::new(), AtomicBool::new(false)));
        shared.0.hang(Alarm::Noted(NEVER));
        // The sleeper has woken just before.
        assert!(!shared.0.on(|| 0));
        if far {
            shared.0.put_off(HOUR / 60, || 0, || false);
        }
        let worker = {
            let shared = shared.clone();
            move || {
                shared.1.store(true, Ordering::Relaxed);
                assert!(!shared.0.on(|| 0));
            }
        };
        let sleeper = {
            let shared = shared.clone();
            move || shared.0.put_off(HOUR, || 0, || shared.1.load(Ordering::Relaxed))
        };
        (vec![Box::new(worker), Box::new(sleeper)], Box::new(move || is_watched(&shared.0, 2 * GRACE)))
    });
}

#[test]
fn an_alarm_is_not_put_off_while_somebody_runs() {
    an_alarm_is_not_put_off(false);
}

#[test]
fn an_alarm_that_was_put_off_is_not_put_off_again_while_somebody_runs() {
    an_alarm_is_not_put_off(true);
}

/// Hunted: the alarm has rung, and the monitor begins to watch, while a sleeper puts the alarm off and takes that back, since a
/// worker begins to run. Then `due` has passed, the alarm does not ring again, and all believe that the monitor is about to look.
#[test]
fn an_alarm_that_has_rung_is_heard() {
    explore(4, || {
        let shared = Arc::new((Switch::new(), AtomicBool::new(false)));
        shared.0.hang(Alarm::Noted(NEVER));
        assert!(!shared.0.on(|| 0));
        // `Alarm::wait` has returned.
        *shared.0.lock() = Alarm::Noted(NEVER);
        let worker = {
            let shared = shared.clone();
            move || {
                shared.1.store(true, Ordering::Relaxed);
                assert!(!shared.0.on(|| GRACE));
            }
        };
        let sleeper = {
            let shared = shared.clone();
            move || shared.0.put_off(HOUR, || 0, || shared.1.load(Ordering::Relaxed))
        };
        let monitor = {
            let shared = shared.clone();
            move || _ = shared.0.begin(GRACE)
        };
        let parts: Vec<Part> = vec![Box::new(worker), Box::new(sleeper), Box::new(monitor)];
        (parts, Box::new(move || is_watched(&shared.0, 3 * GRACE)))
    });
}
