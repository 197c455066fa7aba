//! The tree in every interleaving, and in every reordering, that the model checker knows. `.ci/loom` runs them.
//!
//! Each race of the prose in `ending.rs` has a model: birth, death and waiting, each against an end, and two ends. Alarms are left
//! out: theirs is a `Sleep`, which needs a runtime; for the tree an alarm is one more who ends.
//!
//! A model that nothing can break proves nothing. Each of these changes was made, seen to fail, and taken back:
//!
//! | change | fails |
//! | --- | --- |
//! | a birth does not look at the cause, or looks before it has the lock; `end_one` does not go down | `who_is_born_during_an_end_has_ended` |
//! | a death gives back no place | `births_and_deaths_share_the_places` |
//! | a death does not look for the end again under the lock | `who_dies_during_an_end_leaves_nothing_behind` |
//! | `wait` does not look under the lock | `who_waits_is_woken` |
//! | `wait_on` does not look under the lock, or not afterwards | `who_waits_is_woken` |
//! | `wait_no_more` gives back no place | `who_gives_up_waiting_gives_back_the_place` |
//! | `wait_no_more` does not look under the lock | `who_gives_up_waiting_during_an_end_leaves_nothing_behind` |
//! | `end` wakes nobody | `who_waits_is_woken`, `two_ends_are_one_for_all_below` |
//! | `end_one` does not look for a cause under the lock | `two_ends_are_one_for_all_below` |
//! | `ended` is stored by an end, or loaded, with Relaxed | `who_sees_an_end_sees_what_came_before` |
//!
//! `Arc` and `Weak` are std's, which the model checker does not see. It changes threads at locks and atomics only, so a `Weak` is
//! upgraded before a last reference goes or after it, and never in the middle of that.

use super::{Cause, Waiting, ending::Ending, sync::Ordering};
use loom::{cell::UnsafeCell, thread};
use std::{
    sync::{Arc, atomic::AtomicUsize},
    task::{Context, Wake, Waker},
};

/// Checks a model with either of its two parts spawned first: by that loom prunes differently.
fn check(model: impl Fn(bool) + Copy + Send + Sync + 'static) {
    for swapped in [false, true] {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(move || model(swapped));
    }
}

/// Runs both at the same time and waits for both.
fn race<A: 'static, B: 'static>(
    swapped: bool,
    one: impl FnOnce() -> A + 'static,
    other: impl FnOnce() -> B + 'static,
) -> (A, B) {
    let (one, other) = if swapped {
        let other = thread::spawn(other);
        (thread::spawn(one), other)
    } else {
        (thread::spawn(one), thread::spawn(other))
    };
    (one.join().unwrap(), other.join().unwrap())
}

/// Counts how often it is woken. Only what loom orders is asked of it, when the threads have ended.
#[derive(Default)]
struct Flag(AtomicUsize);

impl Flag {
    fn new() -> (Arc<Flag>, Waker) {
        let flag = Arc::new(Flag::default());
        (flag.clone(), Waker::from(flag))
    }

    fn is_up(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn is_ready(waiting: &mut Waiting<Arc<Ending>>, waker: &Waker) -> bool {
    waiting.poll(&Context::from_waker(waker)).is_ready()
}

/// The child is found in the slab, or finds the cause.
#[test]
fn who_is_born_during_an_end_has_ended() {
    check(|swapped| {
        let top = Ending::new(None);
        let (births, ends) = (top.clone(), top.clone());
        let ((child, low), ()) = race(
            swapped,
            move || {
                let child = Ending::new(Some(births));
                let low = Ending::new(Some(child.clone()));
                (child, low)
            },
            move || ends.end(Cause::from("enough")),
        );
        for ending in [&top, &child, &low] {
            assert_eq!(ending.cause().expect("it goes on").to_string(), "enough");
        }
        drop((child, low));
        assert_eq!((Arc::strong_count(&top), Arc::weak_count(&top)), (1, 0));
    });
}

/// A place is given back or void, and the last reference may be the one that the end has.
#[test]
fn who_dies_during_an_end_leaves_nothing_behind() {
    check(|swapped| {
        let top = Ending::new(None);
        let child = Ending::new(Some(top.clone()));
        let stays = Ending::new(Some(top.clone()));
        let low = Ending::new(Some(child.clone()));
        let ends = top.clone();
        race(
            swapped,
            move || {
                drop(child);
                drop(low);
            },
            move || ends.end(Cause::cancelled()),
        );
        assert!(stays.has_ended());
        drop(stays);
        assert_eq!((Arc::strong_count(&top), Arc::weak_count(&top)), (1, 0));
    });
}

/// Nobody ends, but the slab is shared by birth and death.
#[test]
fn births_and_deaths_share_the_places() {
    check(|swapped| {
        let top = Ending::new(None);
        let dies = Ending::new(Some(top.clone()));
        let births = top.clone();
        let ((), born) = race(swapped, move || drop(dies), move || Ending::new(Some(births)));
        assert!(format!("{top:?}").contains("children: 1"));
        top.end(Cause::cancelled());
        assert!(born.has_ended());
        drop(born);
        assert_eq!((Arc::strong_count(&top), Arc::weak_count(&top)), (1, 0));
    });
}

/// The waiter sees the cause, or the end sees the last waker that was left.
#[test]
fn who_waits_is_woken() {
    for polls in 1..=2 {
        check(move |swapped| {
            let top = Ending::new(None);
            let (ends, waits) = (top.clone(), Ending::new(Some(top.clone())));
            let wakers: Vec<(Arc<Flag>, Waker)> = (0..polls).map(|_| Flag::new()).collect();
            let ((mut waiting, wakers, ready), ()) = race(
                swapped,
                move || {
                    let mut waiting = Waiting::new(waits);
                    let ready = wakers.iter().any(|(_, waker)| is_ready(&mut waiting, waker));
                    (waiting, wakers, ready)
                },
                move || ends.end(Cause::cancelled()),
            );
            let (last, waker) = &wakers[polls - 1];
            assert!(ready || last.is_up(), "it is not woken");
            assert!(is_ready(&mut waiting, waker));
            drop(waiting);
            for (flag, _) in &wakers {
                assert_eq!(Arc::strong_count(flag), 2, "its waker is left behind");
            }
        });
    }
}

/// A place in the line of those who wait is given back, or void.
#[test]
fn who_gives_up_waiting_during_an_end_leaves_nothing_behind() {
    check(|swapped| {
        let top = Ending::new(None);
        let (ends, first, second) = (top.clone(), top.clone(), top.clone());
        let (flag, waker) = Flag::new();
        let (other, keeps) = Flag::new();
        let mut stays = Waiting::new(second);
        assert!(!is_ready(&mut stays, &keeps));
        race(
            swapped,
            move || {
                let mut waiting = Waiting::new(first);
                let _ = is_ready(&mut waiting, &waker);
            },
            move || ends.end(Cause::cancelled()),
        );
        assert!(other.is_up());
        assert_eq!(Arc::strong_count(&flag), 1);
        drop((stays, keeps));
        assert_eq!((Arc::strong_count(&other), Arc::strong_count(&top)), (1, 1));
    });
}

/// Nobody ends, but the line is shared by those who come and go.
#[test]
fn who_gives_up_waiting_gives_back_the_place() {
    check(|swapped| {
        let top = Ending::new(None);
        let (flag, waker) = Flag::new();
        let (mut gives_up, comes) = (Waiting::new(top.clone()), top.clone());
        assert!(!is_ready(&mut gives_up, &waker));
        let ((), (stays, other)) = race(
            swapped,
            move || drop(gives_up),
            move || {
                let (other, waker) = Flag::new();
                let mut stays = Waiting::new(comes);
                assert!(!is_ready(&mut stays, &waker));
                (stays, other)
            },
        );
        assert!(format!("{top:?}").contains("waiters: 1"));
        drop(waker);
        assert_eq!(Arc::strong_count(&flag), 1);
        top.end(Cause::cancelled());
        assert!(other.is_up());
        drop(stays);
    });
}

/// One of two causes is everybody's below, and nobody is missed between the two.
#[test]
fn two_ends_are_one_for_all_below() {
    check(|swapped| {
        let top = Ending::new(None);
        let child = Ending::new(Some(top.clone()));
        let low = Ending::new(Some(child.clone()));
        let (flag, waker) = Flag::new();
        let mut waiting = Waiting::new(low.clone());
        assert!(!is_ready(&mut waiting, &waker));
        let (above, below) = (top.clone(), child.clone());
        race(swapped, move || above.end(Cause::from("above")), move || below.end(Cause::from("below")));
        assert!(flag.is_up());
        assert_eq!(top.cause().unwrap().to_string(), "above");
        assert_eq!(child.cause().unwrap().to_string(), low.cause().unwrap().to_string());
    });
}

/// Whoever sees an end without a lock sees what was done before it, also through a birth.
#[test]
fn who_sees_an_end_sees_what_came_before() {
    check(|swapped| {
        let top = Ending::new(None);
        let child = Ending::new(Some(top.clone()));
        let before = Arc::new(UnsafeCell::new(0));
        let (writes, reads, sees) = (before.clone(), before, child.clone());
        race(
            swapped,
            move || {
                // SAFETY: it is read by those who see the end, which comes after it; the model checker looks whether that is so.
                writes.with_mut(|value| unsafe { *value = 1 });
                top.end(Cause::cancelled());
            },
            move || {
                if sees.has_ended() || Ending::new(Some(sees)).has_ended() {
                    // SAFETY: as above.
                    assert_eq!(reads.with(|value| unsafe { *value }), 1);
                }
            },
        );
        assert!(child.has_ended());
    });
}
