//! Selects over channels in every interleaving that the model checker knows. `.ci/loom` runs them.
//!
//! As in `chan/models.rs`: tasks are polled by hand, in two threads or three, and then for as long as somebody was woken. A
//! wake that is lost shows as a task that has not ended, a claim too many as a value that is received and comes back.
//!
//! All are `biased`, since the checker repeats what it does, and chance does not; for the same reason locks are taken in the order in which
//! they were made (`Word::rank`).
//!
//! A model that nothing can break proves nothing. Each of these changes was made, seen to fail, and taken back:
//!
//! | changed | what fails |
//! | --- | --- |
//! | a select opens after the locks are released | `a_select_that_runs_is_not_missed`, and five more |
//! | it gets in line without a look under the locks | `a_select_fills_the_room_that_is_made_while_it_runs`, and two more |
//! | `shut` does not see that a send was claimed | `two_selects_head_on_make_one_match`, and ten more |
//! | a select that runs can be claimed | `a_select_that_comes_is_claimed_or_receives`, and five more |
//! | one that was claimed can be claimed again | `of_two_sends_one_is_claimed` |
//! | a receiver that goes away calls nobody | `a_call_is_passed_on_by_a_select_that_does_something_else`, and two more |
//! | a select may call its own receive | `a_select_that_sends_where_it_receives_calls_another` |
//! | a receive that is put off gets in line again | `a_call_that_was_put_off_for_a_send_is_passed_on` |
//! | a send that is in line again calls nobody | `a_select_that_runs_is_not_missed`, and two more |
//! | a receive that was called does not get in line again | `a_select_that_was_called_in_vain_is_called_again` |
//! | `wakes` takes any waker for the right one | `a_select_that_comes_with_another_waker_is_woken_by_it` |
//! | `shut` gives the cell out though somebody took the waker | the same, and `a_call_is_passed_on_..` |
//! | `open` leaves WOKEN set | `two_selects_head_on_make_one_match`, and twelve more |
//! | `call` does not set WOKEN | `a_claim_and_a_call_at_once_wake_and_do_one_arm`, and four more |
//! | the locks are taken in the order of the arms | `two_selects_over_the_same_channels_in_opposite_order_take_turns` |
//! | a select ends and its receives stay in line | `a_call_is_passed_on_by_a_select_that_does_something_else`, and two more |
//! | a send that is dropped leaves its place in line | `a_value_is_claimed_or_goes_with_its_select` |
//!
//! Nothing fails, because nothing depends on it, when a claim does not set WOKEN, when `reset` does nothing (`open` would), when a close
//! sets those aside that run, and when a select that is dropped stays open until its arms have left.
#![allow(unused_parens, unused_mut, reason = "the macro's own, which are not looked at elsewhere")]

use crate::{
    chan::{
        Receiver, Sender, TryRecvError, buffered,
        models::{Alive, Task, Value, check, number, race, receive, send, settle},
        unbuffered,
    },
    select,
};

/// How a select ended.
#[derive(Debug, PartialEq, Eq)]
enum Did {
    Sent,
    /// The channel was closed: the value came back.
    Refused,
    Received(Option<usize>),
}

/// A select's arms: what it sends where, and where it receives.
struct Arms {
    sends: (Sender<Value>, Value),
    receives: Receiver<Value>,
    /// Which arm is asked first.
    receives_first: bool,
}

fn sent(result: Result<(), crate::chan::SendError<Value>>) -> Did {
    if result.is_ok() { Did::Sent } else { Did::Refused }
}

impl Arms {
    async fn select(self) -> Did {
        let Arms { sends: (tx, value), receives: rx, receives_first } = self;
        if receives_first {
            select! {
                biased;
                value = rx.recv() => Did::Received(number(&value)),
                result = tx.send(value) => sent(result),
            }
        } else {
            select! {
                biased;
                result = tx.send(value) => sent(result),
                value = rx.recv() => Did::Received(number(&value)),
            }
        }
    }

    fn task(self) -> Task<Did> {
        Task::new(self.select())
    }

    /// After its first poll.
    fn polled(self) -> Task<Did> {
        Task::polled(self.select())
    }
}

const EITHER: [bool; 2] = [false, true];

/// A task's poll in a thread.
fn poll<T>(mut task: Task<T>) -> impl FnOnce() -> Task<T> {
    move || {
        task.poll();
        task
    }
}

// Selects among themselves.

/// Hunts: both look, find nothing, and get in line; both are claimed; one claims the other and is claimed.
#[test]
fn two_selects_head_on_make_one_match() {
    for (one_first, other_first) in [(false, false), (false, true), (true, true)] {
        check(move |swapped| {
            let alive = Alive::default();
            let ((tx_a, rx_a), (tx_b, rx_b)) = (unbuffered(), unbuffered());
            let one = Arms { sends: (tx_a, alive.value(1)), receives: rx_b, receives_first: one_first }.task();
            let other = Arms { sends: (tx_b, alive.value(2)), receives: rx_a, receives_first: other_first }.task();
            let (mut one, mut other) = race(swapped, poll(one), poll(other));
            settle(&mut [&mut one, &mut other]);
            match (one.output.take().unwrap(), other.output.take().unwrap()) {
                (Did::Sent, Did::Received(Some(1))) | (Did::Received(Some(2)), Did::Sent) => {}
                both => panic!("{both:?}"),
            }
            drop((one, other));
            assert_eq!(alive.count(), 0);
        });
    }
}

/// Hunts: the same, where a value in the queue calls the other one while it is about to send.
#[test]
fn two_selects_with_room_between_them_lose_nothing() {
    check(|swapped| {
        let alive = Alive::default();
        let ((tx_a, rx_a), (tx_b, rx_b)) = (buffered(1), buffered(1));
        let (see_a, see_b) = (rx_a.clone(), rx_b.clone());
        let one = Arms { sends: (tx_a, alive.value(1)), receives: rx_b, receives_first: true }.task();
        let other = Arms { sends: (tx_b, alive.value(2)), receives: rx_a, receives_first: true }.task();
        let (mut one, mut other) = race(swapped, poll(one), poll(other));
        settle(&mut [&mut one, &mut other]);
        let both = (one.output.take().unwrap(), other.output.take().unwrap());
        drop((one, other));
        let left = (number(&see_a.try_recv().ok()), number(&see_b.try_recv().ok()));
        match (both, left) {
            ((Did::Sent, Did::Sent), (Some(1), Some(2)))
            | ((Did::Sent, Did::Received(Some(1))), (None, None))
            | ((Did::Received(Some(2)), Did::Sent), (None, None)) => {}
            wrong => panic!("{wrong:?}"),
        }
        assert_eq!(alive.count(), 0);
    });
}

/// Hunts: each of three claims the next one.
#[test]
fn three_selects_in_a_ring_make_one_match() {
    for receives_first in EITHER {
        check(move |swapped| {
            let alive = Alive::default();
            let ((tx_a, rx_a), (tx_b, rx_b), (tx_c, rx_c)) = (unbuffered(), unbuffered(), unbuffered());
            let _keep = ([tx_a.clone(), tx_b.clone(), tx_c.clone()], [rx_a.clone(), rx_b.clone(), rx_c.clone()]);
            let third = Arms { sends: (tx_c, alive.value(3)), receives: rx_b, receives_first }.polled();
            let one = Arms { sends: (tx_a, alive.value(1)), receives: rx_c, receives_first }.task();
            let other = Arms { sends: (tx_b, alive.value(2)), receives: rx_a, receives_first }.task();
            let (one, other) = race(swapped, poll(one), poll(other));
            let mut tasks = [one, other, third];
            let [one, other, third] = &mut tasks;
            settle(&mut [one, other, third]);
            let outputs = tasks.each_mut().map(|task| task.output.take());
            match &outputs {
                [Some(Did::Sent), Some(Did::Received(Some(1))), None]
                | [None, Some(Did::Sent), Some(Did::Received(Some(2)))]
                | [Some(Did::Received(Some(3))), None, Some(Did::Sent)] => {}
                wrong => panic!("{wrong:?}"),
            }
            drop(tasks);
            assert_eq!(alive.count(), 0);
        });
    }
}

/// Hunts: a select is claimed while it looks for itself whom to meet, by two who each would have what it sends, or what it receives.
#[test]
fn a_select_between_a_receiver_and_a_sender_meets_one() {
    for receives_first in EITHER {
        check(move |swapped| {
            let alive = Alive::default();
            let ((tx_a, rx_a), (tx_b, rx_b)) = (unbuffered(), unbuffered());
            let mut select = Arms { sends: (tx_a, alive.value(1)), receives: rx_b, receives_first }.polled();
            let (mut receives, mut sends) =
                race(swapped, poll(Task::new(receive(rx_a))), poll(Task::new(send(tx_b, alive.value(2)))));
            settle(&mut [&mut select, &mut receives, &mut sends]);
            let received = receives.output.take().map(|value| number(&value));
            let sent = sends.output.take().is_some();
            match (select.output.take().unwrap(), received, sent) {
                // It goes with its channels' handles, so the other one learns that nobody comes.
                (Did::Sent, Some(Some(1)), _) | (Did::Received(Some(2)), None | Some(None), true) => {}
                wrong => panic!("{wrong:?}"),
            }
            drop((select, receives, sends));
            assert_eq!(alive.count(), 0);
        });
    }
}

/// Hunts: the same, while the select runs: it may not be claimed, and must not be missed.
#[test]
fn a_select_that_runs_is_not_missed() {
    for receives_first in EITHER {
        for waits_before in EITHER {
            check(move |swapped| {
                let alive = Alive::default();
                let ((tx_a, rx_a), (_tx_b, rx_b)) = (unbuffered(), unbuffered());
                let arms = Arms { sends: (tx_a, alive.value(1)), receives: rx_b, receives_first };
                let select = if waits_before { arms.polled() } else { arms.task() };
                let (mut select, mut receives) = race(swapped, poll(select), poll(Task::new(receive(rx_a))));
                settle(&mut [&mut select, &mut receives]);
                assert_eq!(select.output.take(), Some(Did::Sent));
                assert_eq!(number(&receives.output.take().unwrap()), Some(1));
                assert_eq!(alive.count(), 0);
            });
        }
    }
}

// A send that is claimed.

/// Hunts: the select goes away while its value is taken: the value is in both places, or in none; its memory is touched after its end.
#[test]
fn a_value_is_claimed_or_goes_with_its_select() {
    for capacity in [0, 1] {
        check(move |swapped| {
            let alive = Alive::default();
            let ((tx_a, rx_a), (_tx_b, rx_b)) = (buffered(capacity), unbuffered());
            if capacity == 1 {
                assert!(tx_a.try_send(alive.value(9)).is_ok());
            }
            let select = Arms { sends: (tx_a, alive.value(1)), receives: rx_b, receives_first: true }.polled();
            let ((), taken) = race(swapped, move || drop(select), {
                let rx_a = rx_a.clone();
                move || rx_a.try_recv().ok()
            });
            let left = rx_a.try_recv().ok();
            if capacity == 1 {
                assert_eq!(number(&taken), Some(9));
                assert!(matches!(number(&left), None | Some(1)));
            } else {
                assert!(matches!(number(&taken), None | Some(1)) && left.is_none());
            }
            assert_eq!(alive.count(), usize::from(taken.is_some()) + usize::from(left.is_some()));
        });
    }
}

/// Hunts: it is claimed in one channel and called in another, by two who would both wake it, or by none.
#[test]
fn a_claim_and_a_call_at_once_wake_and_do_one_arm() {
    for capacity in [0, 1] {
        for receives_first in EITHER {
            check(move |swapped| {
                let alive = Alive::default();
                let ((tx_a, rx_a), (tx_b, rx_b)) = (unbuffered(), buffered(capacity));
                let see_b = rx_b.clone();
                let mut select = Arms { sends: (tx_a, alive.value(1)), receives: rx_b, receives_first }.polled();
                let value = alive.value(2);
                let (taken, ()) =
                    race(swapped, move || rx_a.try_recv().ok(), move || assert!(tx_b.try_send(value).is_ok()));
                settle(&mut [&mut select]);
                let left = see_b.try_recv().ok();
                match (select.output.take().unwrap(), number(&taken), number(&left)) {
                    (Did::Sent, Some(1), Some(2)) | (Did::Received(Some(2)), None, None) => {}
                    wrong => panic!("{wrong:?}"),
                }
                drop((select, taken, left));
                assert_eq!(alive.count(), 0);
            });
        }
    }
}

/// Hunts: two sends of one select are claimed, each in its channel.
#[test]
fn of_two_sends_one_is_claimed() {
    check(|swapped| {
        let alive = Alive::default();
        let ((tx_a, rx_a), (tx_b, rx_b)) = (unbuffered(), unbuffered());
        let (value_a, value_b) = (alive.value(1), alive.value(2));
        let mut select = Task::polled(async move {
            select! {
                biased;
                result = tx_a.send(value_a) => (1, sent(result)),
                result = tx_b.send(value_b) => (2, sent(result)),
            }
        });
        let (a, b) = race(swapped, move || rx_a.try_recv().ok(), move || rx_b.try_recv().ok());
        settle(&mut [&mut select]);
        match (select.output.take().unwrap(), number(&a), number(&b)) {
            ((1, Did::Sent), Some(1), None) | ((2, Did::Sent), None, Some(2)) => {}
            wrong => panic!("{wrong:?}"),
        }
        drop(select);
        assert_eq!(alive.count(), 1);
    });
}

/// Hunts: the same, while the select comes for what it was called for.
#[test]
fn a_select_that_comes_is_claimed_or_receives() {
    check(|swapped| {
        let alive = Alive::default();
        let ((tx_a, rx_a), (tx_b, rx_b)) = (unbuffered(), buffered(1));
        let see_b = rx_b.clone();
        let select = Arms { sends: (tx_a, alive.value(1)), receives: rx_b, receives_first: true }.polled();
        assert!(tx_b.try_send(alive.value(2)).is_ok() && select.is_woken());
        let (mut select, taken) = race(swapped, poll(select), move || rx_a.try_recv().ok());
        let left = see_b.try_recv().ok();
        match (select.output.take().unwrap(), number(&taken), number(&left)) {
            (Did::Sent, Some(1), Some(2)) | (Did::Received(Some(2)), None, None) => {}
            wrong => panic!("{wrong:?}"),
        }
    });
}

/// Hunts: the channel is closed while the value is taken, or while the select runs and can be neither claimed nor refused.
#[test]
fn a_claimed_send_and_a_close_are_of_one_mind() {
    for runs in EITHER {
        check(move |swapped| {
            let alive = Alive::default();
            let ((tx_a, rx_a), (_tx_b, rx_b)) = (unbuffered(), unbuffered());
            let closes = tx_a.clone();
            let select = Arms { sends: (tx_a, alive.value(1)), receives: rx_b, receives_first: true }.polled();
            let (mut select, taken) = if runs {
                let (select, _) = race(swapped, poll(select), move || closes.close());
                (select, None)
            } else {
                let rx_a = rx_a.clone();
                let (_, taken) = race(swapped, move || closes.close(), move || rx_a.try_recv().ok());
                (select, taken)
            };
            settle(&mut [&mut select]);
            let expected = if taken.is_some() { Did::Sent } else { Did::Refused };
            assert_eq!(select.output.take(), Some(expected));
            assert_eq!(rx_a.try_recv().err(), Some(TryRecvError::Closed));
            drop(select);
            assert_eq!(alive.count(), usize::from(taken.is_some()));
        });
    }
}

/// Hunts: room is made while the select runs, so that it is passed over.
#[test]
fn a_select_fills_the_room_that_is_made_while_it_runs() {
    check(|swapped| {
        let alive = Alive::default();
        let ((tx_a, rx_a), (_tx_b, rx_b)) = (buffered(1), unbuffered());
        assert!(tx_a.try_send(alive.value(9)).is_ok());
        let takes = rx_a.clone();
        let select = Arms { sends: (tx_a, alive.value(1)), receives: rx_b, receives_first: true }.polled();
        let (mut select, first) = race(swapped, poll(select), move || takes.try_recv().ok());
        settle(&mut [&mut select]);
        assert_eq!(select.output.take(), Some(Did::Sent));
        assert_eq!((number(&first), number(&rx_a.try_recv().ok())), (Some(9), Some(1)));
    });
}

/// Hunts: a select whose claimed send does not suit it begins anew, and is missed by who calls it just then.
#[test]
fn a_select_that_does_not_take_what_was_done_goes_on() {
    check(|swapped| {
        let alive = Alive::default();
        let ((tx_a, rx_a), (tx_b, rx_b)) = (unbuffered(), buffered(1));
        let value = alive.value(1);
        let mut select = Task::polled(async move {
            select! {
                biased;
                Err(_) = tx_a.send(value) => Did::Refused,
                value = rx_b.recv() => Did::Received(number(&value)),
            }
        });
        let takes = rx_a.clone();
        assert_eq!(number(&takes.try_recv().ok()), Some(1));
        let value = alive.value(2);
        let (select_, ()) = race(
            swapped,
            move || {
                select.poll();
                select
            },
            move || assert!(tx_b.try_send(value).is_ok()),
        );
        select = select_;
        settle(&mut [&mut select]);
        assert_eq!(select.output.take(), Some(Did::Received(Some(2))));
        drop(select);
        assert_eq!(alive.count(), 0);
    });
}

// Wakers.

/// Hunts: the old waker is woken, or the cell is touched by both.
#[test]
fn a_select_that_comes_with_another_waker_is_woken_by_it() {
    for calls in EITHER {
        check(move |swapped| {
            let alive = Alive::default();
            let ((tx_a, rx_a), (tx_b, rx_b)) = (unbuffered(), buffered(1));
            let mut select = Arms { sends: (tx_a, alive.value(1)), receives: rx_b, receives_first: true }.polled();
            select.change_waker();
            let value = alive.value(2);
            let _keep = tx_b.clone();
            let (mut select, mut receives) = race(swapped, poll(select), move || {
                let mut receives = Task::new(receive(rx_a));
                if calls {
                    assert!(tx_b.try_send(value).is_ok());
                } else {
                    receives.poll();
                }
                receives
            });
            settle(&mut [&mut select, &mut receives]);
            assert_eq!(select.output.take(), Some(if calls { Did::Received(Some(2)) } else { Did::Sent }));
            assert!(calls || number(&receives.output.take().unwrap()) == Some(1));
        });
    }
}

// Calls.

/// Hunts: a select is called for a value, and another arm of it is done: who stands behind it is called by nobody.
#[test]
fn a_call_is_passed_on_by_a_select_that_does_something_else() {
    check(|swapped| {
        let alive = Alive::default();
        let ((tx_a, rx_a), (tx_b, rx_b)) = (buffered(1), buffered(1));
        let (behind, see_b) = (rx_a.clone(), rx_b.clone());
        let mut select = Task::polled(async move {
            select! {
                biased;
                value = rx_b.recv() => Did::Received(number(&value)),
                value = rx_a.recv() => Did::Received(number(&value)),
            }
        });
        let mut behind = Task::polled(receive(behind));
        let (value_a, value_b) = (alive.value(1), alive.value(2));
        let sends_a = tx_a.clone();
        let (select_, ()) = race(
            swapped,
            move || {
                assert!(tx_b.try_send(value_b).is_ok());
                select.poll();
                select
            },
            move || assert!(sends_a.try_send(value_a).is_ok()),
        );
        select = select_;
        settle(&mut [&mut select, &mut behind]);
        match (select.output.take(), behind.output.take().map(|value| number(&value)), number(&see_b.try_recv().ok())) {
            (Some(Did::Received(Some(2))), Some(Some(1)), None) => {}
            (Some(Did::Received(Some(1))), None, Some(2)) => {}
            wrong => panic!("{wrong:?}"),
        }
    });
}

/// Hunts: a select is called for a value that another takes, and is out of line when the next one comes.
#[test]
fn a_select_that_was_called_in_vain_is_called_again() {
    check(|swapped| {
        let alive = Alive::default();
        let ((tx_a, _rx_a), (tx_b, rx_b)) = (unbuffered(), buffered(1));
        let takes = rx_b.clone();
        let mut select = Arms { sends: (tx_a, alive.value(1)), receives: rx_b, receives_first: true }.polled();
        assert!(tx_b.try_send(alive.value(2)).is_ok());
        // That call is answered below, and is not to be taken for another one.
        select.change_waker();
        let (mut select, taken) = race(swapped, poll(select), move || takes.try_recv().ok());
        if taken.is_some() {
            assert!(tx_b.try_send(alive.value(3)).is_ok());
        }
        settle(&mut [&mut select]);
        let expected = if taken.is_some() { 3 } else { 2 };
        assert_eq!(select.output.take(), Some(Did::Received(Some(expected))));
        drop(select);
        assert_eq!(alive.count(), usize::from(taken.is_some()));
    });
}

/// Hunts: a select that puts a receive off for a send, which is claimed meanwhile: its call gets lost.
#[test]
fn a_call_that_was_put_off_for_a_send_is_passed_on() {
    check(|swapped| {
        let alive = Alive::default();
        let ((tx_a, rx_a), (tx_b, rx_b)) = (unbuffered(), unbuffered());
        let claims = Task::polled(receive(rx_b.clone()));
        let _waits = Task::polled(receive(rx_b));
        let behind = rx_a.clone();
        let select = Arms { sends: (tx_b, alive.value(1)), receives: rx_a, receives_first: false }.polled();
        let mut behind = Task::polled(receive(behind));
        assert!(tx_a.try_send(alive.value(2)).is_ok() && select.is_woken() && claims.is_woken());
        let (mut select, mut claims) = race(swapped, poll(select), poll(claims));
        settle(&mut [&mut select, &mut claims, &mut behind]);
        let behind = behind.output.take().map(|value| number(&value));
        match (select.output.take(), claims.output.take().map(|value| number(&value)), behind) {
            (Some(Did::Sent), Some(Some(1)), Some(Some(2))) => {}
            // The receiver took its time, and the select had its other turn.
            (Some(Did::Received(Some(2))), Some(None), None) => {}
            wrong => panic!("{wrong:?}"),
        }
    });
}

/// Hunts: a receiver that found the select running stands behind the select's own receive, which is called in its place.
#[test]
fn a_select_that_sends_where_it_receives_calls_another() {
    for receives_first in EITHER {
        check(move |swapped| {
            let alive = Alive::default();
            let (tx, rx) = unbuffered();
            let other = rx.clone();
            let select = Arms { sends: (tx, alive.value(1)), receives: rx, receives_first }.polled();
            let (mut select, mut receives) = race(swapped, poll(select), poll(Task::new(receive(other))));
            settle(&mut [&mut select, &mut receives]);
            assert_eq!(select.output.take(), Some(Did::Sent));
            assert_eq!(number(&receives.output.take().unwrap()), Some(1));
        });
    }
}

/// Hunts: two selects over the same two channels, in opposite order, wait for each other's locks.
#[test]
fn two_selects_over_the_same_channels_in_opposite_order_take_turns() {
    check(|swapped| {
        let alive = Alive::default();
        let ((tx_a, rx_a), (tx_b, rx_b)) = (unbuffered(), unbuffered());
        let both = [(rx_a.clone(), rx_b.clone()), (rx_b, rx_a)].map(|(first, second)| {
            Task::new(async move {
                select! {
                    biased;
                    value = first.recv() => number(&value),
                    value = second.recv() => number(&value),
                }
            })
        });
        let [one, other] = both;
        let (mut one, mut other) = race(swapped, poll(one), poll(other));
        assert!(tx_a.try_send(alive.value(1)).is_ok());
        assert!(tx_b.try_send(alive.value(2)).is_ok());
        settle(&mut [&mut one, &mut other]);
        let outputs = (one.output.take(), other.output.take());
        assert!(matches!(outputs, (Some(Some(1)), Some(Some(2))) | (Some(Some(2)), Some(Some(1)))), "{outputs:?}");
    });
}
