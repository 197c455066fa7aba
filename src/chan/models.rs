//! Channels in every interleaving, and in every reordering, that the model checker knows. `.ci/loom` runs them.
//!
//! A task here is a future and a flag that its waker raises. The threads of a model poll, drop and close; when all have
//! ended, whoever was woken is polled until nobody is any more (`settle`). So a lost wake shows as a task that has not
//! ended. Values have a cell that their maker wrote: who gets one without seeing that is found, and so is one that is
//! dropped twice or never.
//!
//! loom prunes by the last access to each place, and can miss an interleaving by that; which one depends on who is
//! spawned first. So each model runs in both orders.
//!
//! A model that nothing can break proves nothing. Each of these changes was made, seen to fail, and taken back:
//!
//! | change | fails |
//! | --- | --- |
//! | `Word::try_acquire`: Relaxed for Acquire; `Word::release`: Relaxed for Release | `the_lock_lets_one_in_at_a_time_who_sees_what_the_last_one_did` |
//! | `Word::acquire` does not wait | `the_lock_lets_one_in_at_a_time_who_sees_what_the_last_one_did`, and others |
//! | `Word::peek`, or `Word::may`, does not look for LOCKED | `who_finds_the_lock_held_does_not_go_by_the_hints` |
//! | `poll_receive` releases the lock between its look and its place in line | `a_rendezvous_takes_place`, `a_receiver_learns_that_the_last_sender_has_gone`, `a_value_that_comes_to_an_empty_queue_is_received` |
//! | `poll_send` does | `a_value_is_taken_or_comes_back_when_the_receiver_goes`, `room_in_a_full_queue_is_filled`, `two_senders_and_two_receivers_all_get_through` |
//! | `poll_send` does not look whether the channel is closed | `a_value_is_taken_or_comes_back_when_the_receiver_goes` |
//! | `wait_to_send` calls nobody | `a_rendezvous_takes_place`, `a_call_passes_on_when_the_one_called_goes` |
//! | `put` calls nobody | `a_value_that_comes_to_an_empty_queue_is_received`, `one_who_is_overtaken_keeps_its_place` |
//! | `poll_send` calls nobody where there is room | `a_call_passes_on_when_the_one_called_goes`, `two_senders_and_two_receivers_all_get_through` |
//! | `take` does not move up | `room_in_a_full_queue_is_filled`, `two_senders_and_two_receivers_all_get_through` |
//! | `poll_receive` takes the quick road though senders are in line | `two_senders_and_two_receivers_all_get_through` |
//! | `move_up` calls nobody | `two_senders_and_two_receivers_all_get_through` |
//! | who comes gives its room up after the first sender has moved up | `a_receiver_that_was_called_takes_its_room_along` |
//! | one who comes and takes a value stays counted as called | `a_receiver_that_was_called_takes_its_room_along` |
//! | `close` refuses no sender | `a_value_is_taken_or_comes_back_when_the_receiver_goes` |
//! | `close` calls no receiver | `a_close_in_the_middle_of_a_rendezvous_leaves_both_of_one_mind`, `a_receiver_learns_that_the_last_sender_has_gone` |
//! | `close_and_empty` does not empty, or empties without closing before | `nothing_stays_in_a_queue_without_a_receiver` |
//! | `leave_receivers` does not pass the call on | `a_call_passes_on_when_the_one_called_goes`, `two_calls_do_not_become_one` |
//! | `leave_senders` loses the value | `a_value_that_is_taken_back_is_not_received` |
//! | `Line::remove` leaves the waiter in line | `a_value_that_is_taken_back_is_not_received`, and others |
//! | one who was called does not get in line again | `one_who_is_overtaken_keeps_its_place` |
//! | `call_first` calls those who came again last | `one_who_is_overtaken_keeps_its_place` |
//! | one who came again and goes stays counted | `one_who_is_overtaken_keeps_its_place`, `who_waits_behind_one_that_does_not_come_is_called_at_last` |
//! | `look_after` calls nobody | `who_waits_behind_one_that_does_not_come_is_called_at_last` |
//! | `take_unbounded` takes from the queue before it looks at the front | `the_first_values_of_an_unbounded_channel_are_the_first_to_go`, `who_gets_in_line_has_looked_at_the_first_values`, and others |
//! | `is_simple` does not look at the front | `the_first_values_of_an_unbounded_channel_are_the_first_to_go` |
//! | `wait_to_receive` does not look at the front | `who_gets_in_line_has_looked_at_the_first_values` |
//! | `may_receive` does not look at the front, or has no fence; `len` counts without the lock | `who_does_not_wait_is_not_misled_by_values_that_move`, and the first of these but for `len` |
//! | `has_something` does not look at the front | `a_call_passes_on_when_its_value_stands_in_front` |
//! | `Front::with` does not lock | `the_first_values_of_an_unbounded_channel_are_the_first_to_go`, and others |
//! | `close_and_empty` does not empty the front | `nothing_stays_in_front_without_a_receiver` |
//! | the drop of a `Sender` reads the count and writes it in two steps | `the_last_of_two_senders_closes_after_its_value`, `an_upgrade_keeps_the_channel_open_or_fails` |
//! | `upgrade` counts up from zero, or in two steps | `an_upgrade_keeps_the_channel_open_or_fails` |
//! | oneshot: `send`, or the sender's drop, wakes nobody | `a_single_value_is_received`; `a_single_receiver_learns_that_nothing_will_come` |
//! | oneshot: `poll` releases the lock between its look and its waker | both of these |
//! | oneshot: `send` does not look whether the receiver is there | `a_single_value_comes_back_or_goes_with_its_receiver` |
//! | oneshot: the receiver's drop says nothing, or wakes nobody; `close` wakes nobody; `Closed` releases the lock between its look and its waker | `a_single_sender_learns_that_nobody_needs_the_value` |

use super::{
    Receiver, Sender, TryRecvError, TrySendError, buffered, oneshot,
    patience::Patient,
    sync::{Ordering, UnsafeCell},
    unbounded, unbuffered,
    word::Word,
};
use loom::thread;
use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize},
    },
    task::{Context, Poll, Wake, Waker},
};

/// Which of the two parts is spawned first.
const ORDERS: [bool; 2] = [false, true];

/// Checks a model with either of its parts spawned first, with at most three forced changes of thread.
pub(crate) fn check(model: impl Fn(bool) + Copy + Send + Sync + 'static) {
    for swapped in ORDERS {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(move || model(swapped));
    }
}

/// Runs both at the same time and waits for both.
pub(crate) fn race<A: 'static, B: 'static>(
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

/// A task, polled by hand.
pub(crate) struct Task<T> {
    future: Pin<Box<dyn Future<Output = T>>>,
    flag: Arc<Flag>,
    pub(crate) output: Option<T>,
}

/// std's, not the checker's: it is looked at when the threads have ended.
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl<T> Task<T> {
    pub(crate) fn new(future: impl Future<Output = T> + 'static) -> Task<T> {
        Task { future: Box::pin(future), flag: Arc::new(Flag(AtomicBool::new(false))), output: None }
    }

    /// After its first poll.
    pub(crate) fn polled(future: impl Future<Output = T> + 'static) -> Task<T> {
        let mut task = Task::new(future);
        task.poll();
        task
    }

    /// Polls once.
    pub(crate) fn poll(&mut self) {
        let waker = Waker::from(self.flag.clone());
        if let Poll::Ready(output) = self.future.as_mut().poll(&mut Context::from_waker(&waker)) {
            self.output = Some(output);
        }
    }

    /// Has another waker from now on.
    pub(crate) fn change_waker(&mut self) {
        self.flag = Arc::new(Flag(AtomicBool::new(false)));
    }

    pub(crate) fn is_woken(&self) -> bool {
        self.output.is_none() && self.flag.0.load(Ordering::Relaxed)
    }
}

/// Some task, whatever it returns.
pub(crate) trait Settle {
    /// Polls if it was woken, and tells whether.
    fn turn(&mut self) -> bool;
}

impl<T> Settle for Task<T> {
    fn turn(&mut self) -> bool {
        let woken = self.output.is_none() && self.flag.0.swap(false, Ordering::Relaxed);
        if woken {
            self.poll();
        }
        woken
    }
}

/// Lets all run until nobody is woken.
pub(crate) fn settle(tasks: &mut [&mut dyn Settle]) {
    while tasks.iter_mut().fold(false, |any, task| task.turn() | any) {}
}

/// How many values there are.
#[derive(Clone, Default)]
pub(crate) struct Alive(Arc<AtomicUsize>);

/// A value whose maker's writes its receiver must see.
pub(crate) struct Value {
    number: UnsafeCell<usize>,
    alive: Alive,
}

impl Alive {
    pub(crate) fn value(&self, number: usize) -> Value {
        self.0.fetch_add(1, Ordering::Relaxed);
        Value { number: UnsafeCell::new(number), alive: self.clone() }
    }

    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Value {
    pub(crate) fn number(&self) -> usize {
        // SAFETY: the model checker has seen that nobody else has access.
        self.number.with_mut(|number| unsafe { *number })
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        assert_ne!(self.number(), usize::MAX, "dropped once");
        // SAFETY: as above.
        self.number.with_mut(|number| unsafe { *number = usize::MAX });
        self.alive.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Sends and keeps the handle until then. The value, if it came back.
pub(crate) fn send(tx: Sender<Value>, value: Value) -> impl Future<Output = Option<Value>> {
    async move { tx.send(value).await.err().map(|error| error.into_inner()) }
}

/// Receives and keeps the handle until then.
pub(crate) fn receive(rx: Receiver<Value>) -> impl Future<Output = Option<Value>> {
    async move { rx.recv().await }
}

pub(crate) fn number(value: &Option<Value>) -> Option<usize> {
    value.as_ref().map(Value::number)
}

// The lock.

/// Hunts: what the lock guards, seen from before the last release; two who hold it at once.
#[test]
fn the_lock_lets_one_in_at_a_time_who_sees_what_the_last_one_did() {
    check(|swapped| {
        let shared = Arc::new((Word::new(0), UnsafeCell::new(0_usize)));
        let add = |times: usize| {
            let shared = shared.clone();
            move || {
                for _ in 0..times {
                    shared.0.acquire();
                    // SAFETY: the model checker has seen that nobody else has access.
                    shared.1.with_mut(|count| unsafe { *count += 1 });
                    // SAFETY: it is held, and what it guards is not touched after this.
                    unsafe { shared.0.release(0) };
                }
            }
        };
        race(swapped, add(2), add(1));
        add(1)();
        // SAFETY: as above.
        assert_eq!(shared.1.with_mut(|count| unsafe { *count }), 4);
    });
}

/// Hunts: a hint that is gone by though the lock was held when it was read: nothing there, not closed, of no length.
#[test]
fn who_finds_the_lock_held_does_not_go_by_the_hints() {
    check(|swapped| {
        let (tx, rx) = buffered(3);
        (1..=3).for_each(|n| assert!(tx.try_send(n).is_ok()));
        assert!(tx.close());
        let takes = rx.clone();
        let (one, (closed, left, other)) =
            race(swapped, move || takes.try_recv(), move || (rx.is_closed(), rx.len(), rx.try_recv()));
        assert!(matches!((one, other), (Ok(1), Ok(2)) | (Ok(2), Ok(1))), "{one:?} {other:?}");
        assert!(closed && (2..=3).contains(&left), "{closed} {left}");
        assert_eq!(tx.len(), 0, "the last receiver took the rest along");
    });
}

// Without a queue.

/// Hunts: the receiver looks, the sender gets in line, the receiver gets in line; and the other way round.
#[test]
fn a_rendezvous_takes_place() {
    check(|swapped| {
        let alive = Alive::default();
        let (tx, rx) = unbuffered();
        let mut sends = Task::new(send(tx.clone(), alive.value(1)));
        let mut receives = Task::new(receive(rx.clone()));
        let (mut sends, mut receives) = race(
            swapped,
            move || {
                sends.poll();
                sends
            },
            move || {
                receives.poll();
                receives
            },
        );
        settle(&mut [&mut sends, &mut receives]);
        drop((tx, rx));
        assert_eq!((number(&sends.output.unwrap()), number(&receives.output.unwrap())), (None, Some(1)));
        assert_eq!(alive.count(), 0);
    });
}

/// Hunts: the last receiver goes between the sender's look and its place in line, or while it stands there.
#[test]
fn a_value_is_taken_or_comes_back_when_the_receiver_goes() {
    check(|swapped| {
        let alive = Alive::default();
        let (tx, rx) = unbuffered();
        let mut sends = Task::new(send(tx, alive.value(1)));
        let mut receives = Task::new(receive(rx));
        let (mut sends, received) = race(
            swapped,
            move || {
                sends.poll();
                sends
            },
            move || {
                receives.poll();
                receives.output.take().flatten()
            },
        );
        settle(&mut [&mut sends]);
        let back = sends.output.take().expect("it was woken at the end");
        assert_eq!(back.is_some(), received.is_none());
        assert_eq!(alive.count(), 1);
    });
}

/// Hunts: the last sender goes, with its value or after it, between the receiver's look and its place in line.
#[test]
fn a_receiver_learns_that_the_last_sender_has_gone() {
    check(|swapped| {
        let alive = Alive::default();
        let (tx, rx) = unbuffered();
        let mut sends = Task::new(send(tx, alive.value(1)));
        let mut receives = Task::new(receive(rx));
        let (sent, mut receives) = race(
            swapped,
            move || {
                sends.poll();
                sends.output.take().is_some()
            },
            move || {
                receives.poll();
                receives
            },
        );
        settle(&mut [&mut receives]);
        let received = receives.output.take().expect("it was woken at the end");
        // Who is not there any more to be told may have sent all the same.
        assert!(received.is_some() || !sent);
        assert_eq!(alive.count(), usize::from(received.is_some()));
    });
}

/// Hunts: a close between the look and the place of a sender or a receiver, while the other is in line or not there yet.
#[test]
fn a_close_in_the_middle_of_a_rendezvous_leaves_both_of_one_mind() {
    for sender_first in [false, true] {
        check(move |swapped| {
            let alive = Alive::default();
            let (tx, rx) = unbuffered();
            let (closes, again) = (tx.clone(), rx.clone());
            let mut sends = Task::new(send(tx, alive.value(1)));
            let mut receives = Task::new(receive(rx));
            if sender_first {
                sends.poll()
            } else {
                receives.poll()
            }
            let ((mut sends, mut receives), ()) = race(
                swapped,
                move || {
                    if sender_first {
                        receives.poll()
                    } else {
                        sends.poll()
                    }
                    (sends, receives)
                },
                move || assert!(closes.close()),
            );
            settle(&mut [&mut sends, &mut receives]);
            let back = sends.output.take().expect("it was woken at the end");
            let received = receives.output.take().expect("it was woken at the end");
            assert_eq!(back.is_some(), received.is_none());
            assert_eq!(alive.count(), 1);
            assert_eq!(again.try_recv().err(), Some(TryRecvError::Closed));
        });
    }
}

/// Hunts: a sender that goes away while its value is taken, so that the value is in both places or in none.
#[test]
fn a_value_that_is_taken_back_is_not_received() {
    check(|swapped| {
        let alive = Alive::default();
        let (tx, rx) = unbuffered();
        let mut receives = Task::polled(receive(rx));
        let mut origin = Some(alive.value(1));
        let keeps = tx.clone();
        let (back, mut receives) = race(
            swapped,
            move || {
                // Dropped by its end, whichever that is.
                let mut sends = Box::pin(tx.send_from(&mut origin));
                let _ = sends.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                drop(sends);
                drop(tx);
                origin
            },
            move || {
                if receives.is_woken() {
                    receives.poll();
                }
                receives
            },
        );
        settle(&mut [&mut receives]);
        let received = receives.output.take().flatten();
        assert!(back.is_some() != received.is_some());
        assert_eq!(alive.count(), 1);
        drop(keeps);
    });
}

// Calls.

/// Hunts: the receiver that a value has called goes away before it comes, and the next in line is not called.
#[test]
fn a_call_passes_on_when_the_one_called_goes() {
    for capacity in [0, 1] {
        check(move |swapped| {
            let alive = Alive::default();
            let (tx, rx) = buffered(capacity);
            let goes = Task::polled(receive(rx.clone()));
            let mut stays = Task::polled(receive(rx));
            let mut sends = Task::new(send(tx.clone(), alive.value(1)));
            let (mut sends, ()) = race(
                swapped,
                move || {
                    sends.poll();
                    sends
                },
                move || drop(goes),
            );
            settle(&mut [&mut sends, &mut stays]);
            drop(tx);
            assert_eq!(number(&stays.output.unwrap()), Some(1));
            assert!(sends.output.unwrap().is_none());
        });
    }
}

/// Hunts: the same, where two values have come and both that they called are on their way.
#[test]
fn two_calls_do_not_become_one() {
    check(|swapped| {
        let alive = Alive::default();
        let (tx, rx) = unbounded();
        let goes = Task::polled(receive(rx.clone()));
        let mut first = Task::polled(receive(rx.clone()));
        let mut second = Task::polled(receive(rx));
        let values = [alive.value(1), alive.value(2)];
        let sends = tx.clone();
        let ((), ()) = race(
            swapped,
            move || values.into_iter().for_each(|value| assert!(sends.try_send(value).is_ok())),
            move || drop(goes),
        );
        settle(&mut [&mut second, &mut first]);
        drop(tx);
        let received = [first.output.unwrap(), second.output.unwrap()].map(|value| number(&value));
        assert!(matches!(received, [Some(1), Some(2)] | [Some(2), Some(1)]), "{received:?}");
    });
}

/// Hunts: somebody takes the value before the one that it called, which then waits at the end of the line, or nowhere.
#[test]
fn one_who_is_overtaken_keeps_its_place() {
    check(|swapped| {
        let alive = Alive::default();
        let (tx, rx) = buffered(1);
        let mut first = Task::polled(receive(rx.clone()));
        let mut second = Task::polled(receive(rx.clone()));
        let (sends, value) = (tx.clone(), alive.value(1));
        let (mut first, overtakes) = race(
            swapped,
            move || {
                assert!(sends.try_send(value).is_ok());
                first.poll();
                first
            },
            move || rx.try_recv().ok(),
        );
        // Who lost has got in line again.
        if let Some(value) = &overtakes {
            assert_eq!(value.number(), 1);
            first.flag.0.store(false, Ordering::Relaxed);
            assert!(first.output.is_none());
            assert!(tx.try_send(alive.value(2)).is_ok());
            assert!(first.is_woken() && !second.is_woken());
            settle(&mut [&mut first]);
        }
        assert_eq!(number(&first.output.unwrap()), Some(1 + usize::from(overtakes.is_some())));
        assert!(tx.try_send(alive.value(3)).is_ok());
        settle(&mut [&mut second]);
        assert_eq!(number(&second.output.unwrap()), Some(3));
    });
}

/// Hunts: everybody is called because one does not come, and meanwhile another in line goes, or the value does.
#[test]
fn who_waits_behind_one_that_does_not_come_is_called_at_last() {
    for overtakes in [false, true] {
        check(move |swapped| {
            let alive = Alive::default();
            let (tx, rx) = buffered(1);
            let never = Task::polled(receive(rx.clone()));
            let goes = Task::polled(receive(rx.clone()));
            let mut behind = Task::polled(receive(rx.clone()));
            assert!(tx.try_send(alive.value(1)).is_ok());
            let looks = tx.clone();
            let ((), overtaken) = race(
                swapped,
                move || {
                    let mut wakers = Vec::new();
                    while looks.shared.look_after(&mut wakers) {}
                    wakers.into_iter().for_each(Waker::wake);
                },
                move || {
                    drop(goes);
                    if overtakes { rx.try_recv().ok() } else { None }
                },
            );
            settle(&mut [&mut behind]);
            assert_eq!((behind.output.is_some(), overtaken.is_some()), (!overtakes, overtakes));
            if overtakes {
                assert!(tx.try_send(alive.value(2)).is_ok());
                settle(&mut [&mut behind]);
            }
            assert_eq!(number(&behind.output.unwrap()), Some(1 + usize::from(overtakes)));
            drop(never);
        });
    }
}

// With a queue.

/// Hunts: a value that comes between the receiver's look and its place in line.
#[test]
fn a_value_that_comes_to_an_empty_queue_is_received() {
    check(|swapped| {
        let alive = Alive::default();
        let (tx, rx) = buffered(1);
        let mut receives = Task::new(receive(rx));
        let value = alive.value(1);
        let sends = tx.clone();
        let (mut receives, ()) = race(
            swapped,
            move || {
                receives.poll();
                receives
            },
            move || assert!(sends.try_send(value).is_ok()),
        );
        settle(&mut [&mut receives]);
        assert_eq!(number(&receives.output.unwrap()), Some(1));
        assert_eq!((tx.len(), alive.count()), (0, 0));
    });
}

/// Hunts: room that is made between the sender's look and its place in line.
#[test]
fn room_in_a_full_queue_is_filled() {
    check(|swapped| {
        let alive = Alive::default();
        let (tx, rx) = buffered(1);
        assert!(tx.try_send(alive.value(1)).is_ok());
        let mut sends = Task::new(send(tx.clone(), alive.value(2)));
        let takes = rx.clone();
        let (mut sends, first) = race(
            swapped,
            move || {
                sends.poll();
                sends
            },
            move || takes.try_recv().ok(),
        );
        settle(&mut [&mut sends]);
        drop(tx);
        assert!(sends.output.unwrap().is_none());
        assert_eq!((number(&first), number(&rx.try_recv().ok()), rx.len()), (Some(1), Some(2), 0));
    });
}

/// Hunts: a value that moves up from the line into the queue, and calls nobody; two who wait and one who is woken.
#[test]
fn two_senders_and_two_receivers_all_get_through() {
    for capacity in [0, 1] {
        check(move |swapped| {
            let alive = Alive::default();
            let (tx, rx) = buffered(capacity);
            let mut sends = [1, 2].map(|n| Task::new(send(tx.clone(), alive.value(n))));
            let mut receives = [(); 2].map(|()| Task::new(receive(rx.clone())));
            // `tx` stays, so that nobody is woken by the end.
            let (sends, receives) = race(
                swapped,
                move || {
                    sends.iter_mut().for_each(Task::poll);
                    sends
                },
                move || {
                    receives.iter_mut().for_each(Task::poll);
                    receives
                },
            );
            let ([mut a, mut b], [mut c, mut d]) = (sends, receives);
            settle(&mut [&mut a, &mut b, &mut c, &mut d]);
            drop(tx);
            assert!(a.output.unwrap().is_none() && b.output.unwrap().is_none());
            let received = [c.output.unwrap(), d.output.unwrap()].map(|value| number(&value));
            assert!(matches!(received, [Some(1), Some(2)] | [Some(2), Some(1)]), "{received:?}");
        });
    }
}

/// Hunts: a receiver that was called, and for which a sender has gone on, comes or goes away while another sender gets in line; that one is
/// left there though there is room, or is let in where there is none.
#[test]
fn a_receiver_that_was_called_takes_its_room_along() {
    for comes in [false, true] {
        check(move |swapped| {
            let alive = Alive::default();
            let (tx, rx) = buffered(1);
            let mut called = Task::polled(receive(rx.clone()));
            assert!(tx.try_send(alive.value(1)).is_ok());
            let mut sends = [2, 3].map(|n| Task::new(send(tx.clone(), alive.value(n))));
            let (mut sends, first) = race(
                swapped,
                move || {
                    sends.iter_mut().for_each(Task::poll);
                    sends
                },
                move || {
                    if comes {
                        called.poll();
                    }
                    called.output.take().flatten()
                },
            );
            let mut received: Vec<_> = first.iter().map(Value::number).collect();
            loop {
                let [a, b] = &mut sends;
                settle(&mut [a, b]);
                let waits = sends.iter().any(|task| task.output.is_none());
                assert!(!waits || tx.len() >= 1, "there is room, and a sender in line");
                assert!(!comes || tx.len() <= 1, "there is no room, and nobody in line");
                let Ok(value) = rx.try_recv() else { break };
                received.push(value.number());
            }
            assert!(sends.iter().all(|task| matches!(task.output, Some(None))));
            assert_eq!(received, [1, 2, 3]);
        });
    }
}

// Without a limit: the first values stand apart.

/// Hunts: a receiver looks for the first values, finds none there, and another one brings some from the queue before the first has
/// locked that: it takes a later one before them.
#[test]
fn the_first_values_of_an_unbounded_channel_are_the_first_to_go() {
    for behind in [2, 3] {
        check(move |swapped| {
            let alive = Alive::default();
            let (tx, rx) = unbounded();
            for n in 1..=behind {
                assert!(tx.try_send(alive.value(n)).is_ok());
            }
            let mut receives = Task::new(receive(rx.clone()));
            let (takes, sends, last) = (rx.clone(), tx.clone(), alive.value(behind + 1));
            let (receives, taken) = race(
                swapped,
                move || {
                    receives.poll();
                    receives
                },
                move || {
                    // It brings what is behind its value to the front.
                    let taken = number(&takes.try_recv().ok());
                    assert!(sends.try_send(last).is_ok());
                    taken
                },
            );
            let received = number(receives.output.as_ref().expect("there were two for two"));
            assert!(matches!((received, taken), (Some(1), Some(2)) | (Some(2), Some(1))), "{received:?} {taken:?}");
            assert_eq!(rx.len(), behind - 1);
            for n in 3..=behind + 1 {
                assert_eq!(number(&rx.try_recv().ok()), Some(n));
            }
            assert_eq!(rx.len(), 0);
        });
    }
}

/// Hunts: a receiver finds nothing, and gets in line beside a value that was sent and moved to the front meanwhile.
#[test]
fn who_gets_in_line_has_looked_at_the_first_values() {
    check(|swapped| {
        let alive = Alive::default();
        let (tx, rx) = unbounded();
        let mut receives = Task::new(receive(rx.clone()));
        let values = [1, 2].map(|n| alive.value(n));
        let (takes, sends) = (rx.clone(), tx.clone());
        let (mut receives, taken) = race(
            swapped,
            move || {
                receives.poll();
                receives
            },
            move || {
                values.into_iter().for_each(|value| assert!(sends.try_send(value).is_ok()));
                number(&takes.try_recv().ok())
            },
        );
        // `tx` stays, so that nobody is woken by the end.
        settle(&mut [&mut receives]);
        let received = number(&receives.output.unwrap());
        assert!(matches!((received, taken), (Some(1), Some(2)) | (Some(2), Some(1))), "{received:?} {taken:?}");
        drop(tx);
    });
}

/// Hunts: those who do not wait are told that nothing is there while values move.
#[test]
fn who_does_not_wait_is_not_misled_by_values_that_move() {
    check(|swapped| {
        let alive = Alive::default();
        let (tx, rx) = unbounded();
        for n in 1..=3 {
            assert!(tx.try_send(alive.value(n)).is_ok());
        }
        let (takes, looks) = (rx.clone(), rx.clone());
        let (taken, (len, found)) = race(
            swapped,
            move || number(&takes.try_recv().ok()),
            move || (looks.len(), number(&looks.try_recv().ok())),
        );
        assert!((2..=3).contains(&len), "{len}");
        assert!(matches!((taken, found), (Some(1), Some(2)) | (Some(2), Some(1))), "{taken:?} {found:?}");
        assert_eq!((rx.len(), number(&rx.try_recv().ok())), (1, Some(3)));
        drop(tx);
    });
}

/// Hunts: those who were called go away while another one brings a value to the front, and nobody is called for that.
#[test]
fn a_call_passes_on_when_its_value_stands_in_front() {
    check(|swapped| {
        let alive = Alive::default();
        let (tx, rx) = unbounded();
        let goes = [(); 2].map(|()| Task::polled(receive(rx.clone())));
        let mut stays = Task::polled(receive(rx.clone()));
        for n in 1..=2 {
            assert!(tx.try_send(alive.value(n)).is_ok());
        }
        let takes = rx.clone();
        let ((), taken) = race(swapped, move || drop(goes), move || number(&takes.try_recv().ok()));
        assert_eq!(taken, Some(1));
        settle(&mut [&mut stays]);
        assert_eq!(number(&stays.output.unwrap()), Some(2));
        drop(tx);
    });
}

/// Hunts: what stands in front when the last receiver goes stays there.
#[test]
fn nothing_stays_in_front_without_a_receiver() {
    check(|swapped| {
        let alive = Alive::default();
        let (tx, rx) = unbounded();
        for n in 1..=3 {
            assert!(tx.try_send(alive.value(n)).is_ok());
        }
        let takes = rx.clone();
        let (taken, ()) = race(swapped, move || number(&takes.try_recv().ok()), move || drop(rx));
        assert_eq!((taken, alive.count(), tx.len()), (Some(1), 0, 0));
    });
}

// Ends.

/// Hunts: a value that is sent while the last receiver goes, and stays in a queue that nobody empties.
#[test]
fn nothing_stays_in_a_queue_without_a_receiver() {
    check(|swapped| {
        let alive = Alive::default();
        let (tx, rx) = buffered(1);
        let value = alive.value(1);
        let sends = tx.clone();
        let (back, ()) = race(
            swapped,
            move || match sends.try_send(value) {
                Ok(()) => None,
                Err(TrySendError::Closed(value) | TrySendError::Full(value)) => Some(value),
            },
            move || drop(rx),
        );
        assert_eq!((alive.count(), tx.len()), (usize::from(back.is_some()), 0));
        assert!(tx.is_closed());
    });
}

/// Hunts: the last two handles of a kind go at once, and neither closes; or a value sent before that is not received.
#[test]
fn the_last_of_two_senders_closes_after_its_value() {
    check(|swapped| {
        let alive = Alive::default();
        let (tx, rx) = unbounded();
        let mut receives = Task::polled(receive(rx.clone()));
        let value = alive.value(1);
        let sends = tx.clone();
        race(
            swapped,
            move || {
                assert!(sends.try_send(value).is_ok());
                drop(sends);
            },
            move || drop(tx),
        );
        settle(&mut [&mut receives]);
        assert_eq!(number(&receives.output.unwrap()), Some(1));
        assert_eq!(rx.try_recv().err(), Some(TryRecvError::Closed));
    });
}

/// Hunts: a handle made from a weak one while the last strong one goes: into a closed channel, or without one noticing.
#[test]
fn an_upgrade_keeps_the_channel_open_or_fails() {
    check(|swapped| {
        let (tx, rx) = buffered(1);
        let weak = tx.downgrade();
        let (upgraded, ()) = race(swapped, move || weak.upgrade(), move || drop(tx));
        match upgraded {
            Some(tx) => {
                assert_eq!((tx.try_send(1), rx.try_recv()), (Ok(()), Ok(1)));
                assert_eq!((tx.sender_count(), rx.is_closed()), (1, false));
                drop(tx);
            }
            None => assert!(rx.is_closed()),
        }
        assert_eq!(rx.try_recv(), Err(TryRecvError::Closed));
    });
    check(|swapped| {
        let (tx, rx) = buffered(1);
        let weak = rx.downgrade();
        let (upgraded, ()) = race(swapped, move || weak.upgrade(), move || drop(rx));
        assert_eq!(upgraded.is_none(), tx.is_closed());
        assert_eq!(upgraded.is_some(), tx.try_send(1).is_ok());
    });
}

// One value, once.

/// Hunts: the value comes between the receiver's look and its waker's arrival.
#[test]
fn a_single_value_is_received() {
    check(|swapped| {
        let alive = Alive::default();
        let (tx, rx) = oneshot::channel();
        let mut receives = Task::new(rx);
        let value = alive.value(1);
        let (mut receives, sent) = race(
            swapped,
            move || {
                receives.poll();
                receives
            },
            move || tx.send(value).is_ok(),
        );
        settle(&mut [&mut receives]);
        assert_eq!((number(&receives.output.unwrap().ok()), sent), (Some(1), true));
    });
}

/// Hunts: the same, for a sender that has nothing to say.
#[test]
fn a_single_receiver_learns_that_nothing_will_come() {
    check(|swapped| {
        let (tx, rx) = oneshot::channel::<Value>();
        let mut receives = Task::new(rx);
        let (mut receives, ()) = race(
            swapped,
            move || {
                receives.poll();
                receives
            },
            move || drop(tx),
        );
        settle(&mut [&mut receives]);
        assert!(receives.output.unwrap().is_err());
    });
}

/// Hunts: the receiver goes, or closes, while the value comes: it is in neither hand, or in both.
#[test]
fn a_single_value_comes_back_or_goes_with_its_receiver() {
    check(|swapped| {
        let alive = Alive::default();
        let (tx, rx) = oneshot::channel();
        let value = alive.value(1);
        let (back, ()) = race(swapped, move || tx.send(value).err(), move || drop(rx));
        assert_eq!(alive.count(), usize::from(back.is_some()));
    });
    check(|swapped| {
        let alive = Alive::default();
        let (tx, mut rx) = oneshot::channel();
        let value = alive.value(1);
        let (back, received) = race(
            swapped,
            move || tx.send(value).err(),
            move || {
                rx.close();
                rx.try_recv()
            },
        );
        assert_eq!(back.is_some(), received.is_err());
        assert_eq!(alive.count(), 1);
    });
}

/// Hunts: the receiver goes between the look of a sender that waits for that and its waker's arrival.
#[test]
fn a_single_sender_learns_that_nobody_needs_the_value() {
    for closes in [false, true] {
        check(move |swapped| {
            let (mut tx, mut rx) = oneshot::channel::<Value>();
            let mut waits = Task::new(async move { tx.closed().await });
            let (mut waits, rx) = race(
                swapped,
                move || {
                    waits.poll();
                    waits
                },
                move || {
                    if closes {
                        rx.close();
                        return Some(rx);
                    }
                    drop(rx);
                    None
                },
            );
            settle(&mut [&mut waits]);
            assert!(waits.output.is_some());
            drop(rx);
        });
    }
}
