//! `sync::watch`: whoever looks sees the latest value, and whoever waits hears of a change.

mod helpers;

use futures_util::StreamExt;
use gambol::{
    runtime::Handle,
    sync::watch::{self, Receiver, Sender},
    task::yield_now,
    time::{Duration, Instant, sleep, timeout},
};
use helpers::{PATIENCE, at_most, poll_once};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread,
};

#[gambol::test]
async fn a_value_is_new_until_it_is_seen() {
    let (sender, mut receiver) = watch::channel(1);
    assert_eq!(receiver.has_changed(), Ok(false), "the first value counts as seen");
    assert_eq!(at_most(1, receiver.changed()).await, None);
    sender.send(2).unwrap();
    assert_eq!((*receiver.borrow(), receiver.borrow().has_changed()), (2, true));
    assert_eq!(receiver.has_changed(), Ok(true), "to look is not to see");
    let late = receiver.clone();
    {
        let value = receiver.borrow_and_update();
        assert_eq!((*value, value.has_changed()), (2, true));
    }
    assert_eq!((receiver.has_changed(), late.has_changed()), (Ok(false), Ok(true)));
    sender.send(3).unwrap();
    sender.send(4).unwrap();
    assert_eq!(at_most(1, receiver.changed()).await, Some(Ok(())));
    assert_eq!((receiver.has_changed(), *receiver.borrow()), (Ok(false), 4));
    receiver.mark_changed();
    assert_eq!(at_most(1, receiver.changed()).await, Some(Ok(())));
    sender.send(5).unwrap();
    receiver.mark_unchanged();
    assert_eq!(receiver.has_changed(), Ok(false));
    assert_eq!(*sender.subscribe().borrow_and_update(), 5);
    assert!(sender.same_channel(&sender.clone()) && receiver.same_channel(&late));
}

#[gambol::test]
async fn the_last_value_is_seen_after_the_last_sender() {
    let (sender, mut receiver) = watch::channel(1);
    let other = sender.clone();
    drop(sender);
    assert_eq!(at_most(1, receiver.changed()).await, None, "a sender is left");
    other.send(2).unwrap();
    drop(other);
    assert_eq!((receiver.has_changed(), receiver.changed().await), (Ok(true), Ok(())));
    let end = receiver.changed().await.unwrap_err();
    assert_eq!(end.to_string(), "the watch channel has no senders any more");
    assert_eq!((receiver.has_changed(), *receiver.borrow_and_update()), (Err(end), 2));
    assert_eq!(receiver.wait_for(|value| *value == 2).await.map(|value| *value), Ok(2));
    assert_eq!(receiver.wait_for(|value| *value == 3).await.map(|value| *value), Err(end));
}

#[gambol::test]
async fn sending_fails_without_receivers_and_changes_nothing() {
    let (sender, receiver) = watch::channel(1);
    let mut closed = pin!(sender.closed());
    assert!(poll_once(&mut closed).await.is_pending());
    assert_eq!(sender.receiver_count(), 1);
    drop(receiver);
    assert_eq!(poll_once(&mut closed).await, Poll::Ready(()));
    assert!(sender.is_closed());
    let error = sender.send(2).unwrap_err();
    assert_eq!((error.to_string().as_str(), error.into_inner()), ("the watch channel has no receivers", 2));
    assert_eq!(*sender.borrow(), 1);
    assert_eq!(sender.send_replace(3), 1);
    let receiver = sender.subscribe();
    assert_eq!((*receiver.borrow(), receiver.has_changed(), sender.is_closed()), (3, Ok(false), false));
    assert_eq!(*Sender::<u8>::default().borrow(), 0);
}

#[derive(Clone, Copy, Debug)]
enum Panics {
    Modify,
    ModifyIf,
    WaitFor,
    Clone,
}

/// Neither the value nor a change is lost, and the channel goes on.
#[gambol::test]
async fn a_panic_of_the_users_code_loses_nothing() {
    for panics in [Panics::Modify, Panics::ModifyIf, Panics::WaitFor, Panics::Clone] {
        #[derive(Debug)]
        struct Touchy(usize, bool);

        impl Clone for Touchy {
            fn clone(&self) -> Touchy {
                assert!(!self.1, "a clone has a problem");
                Touchy(self.0, false)
            }
        }

        let (sender, mut receiver) = watch::channel(Touchy(1, false));
        let mut other = receiver.clone();
        let mut waits = pin!(other.changed());
        assert!(poll_once(&mut waits).await.is_pending());
        let changes = |value: &mut Touchy| -> bool {
            value.0 = 2;
            panic!("a change has a problem");
        };
        let panic = match panics {
            Panics::Modify => {
                let modify = |value: &mut Touchy| assert!(changes(value));
                catch_unwind(AssertUnwindSafe(|| sender.send_modify(modify))).is_err()
            }
            Panics::ModifyIf => catch_unwind(AssertUnwindSafe(|| sender.send_if_modified(changes))).is_err(),
            Panics::WaitFor => {
                let mut receiver = receiver.clone();
                let waits = gambol::spawn(async move {
                    let wanted = |_: &Touchy| panic!("a wish has a problem");
                    receiver.wait_for(wanted).await.map(drop)
                });
                let panic = waits.await.unwrap_err().is_panic();
                sender.send_modify(|value| value.0 = 2);
                panic
            }
            Panics::Clone => {
                sender.send(Touchy(2, true)).unwrap();
                let mut receiver = receiver.clone();
                gambol::spawn(async move { receiver.next().await.map(drop) }).await.unwrap_err().is_panic()
            }
        };
        assert!(panic, "{panics:?}");
        assert_eq!(poll_once(&mut waits).await, Poll::Ready(Ok(())), "{panics:?}");
        assert_eq!((receiver.has_changed(), receiver.borrow_and_update().0), (Ok(true), 2), "{panics:?}");
        sender.send(Touchy(3, false)).unwrap();
        assert_eq!(receiver.next().await.map(|value| value.0), Some(3), "{panics:?}");
        assert!(format!("{sender:?} {receiver:?}").contains("Touchy(3"));
    }
}

#[gambol::test]
async fn a_change_that_is_none_calls_nobody() {
    let (sender, mut receiver) = watch::channel(1);
    let mut waits = pin!(receiver.changed());
    assert!(poll_once(&mut waits).await.is_pending());
    assert!(!sender.send_if_modified(|_| false));
    assert!(poll_once(&mut waits).await.is_pending());
    assert!(sender.send_if_modified(|value| {
        *value = 2;
        true
    }));
    assert_eq!(poll_once(&mut waits).await, Poll::Ready(Ok(())));
}

/// Polls so many times, whether it was woken or not, then drops it.
async fn polled<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    for _ in 0..polls {
        if let Poll::Ready(output) = poll_once(&mut future).await {
            return Some(output);
        }
    }
    None
}

#[gambol::test]
async fn whoever_gives_up_leaves_nothing_behind() {
    for polls in 1..4 {
        let (sender, mut receiver) = watch::channel(0);
        for n in 1..20 {
            assert_eq!(polled(polls, receiver.changed()).await, None);
            assert!(polled(polls, receiver.wait_for(|value| *value == n)).await.is_none());
            assert!(polled(polls, receiver.next()).await.is_none());
            assert!(polled(polls, sender.closed()).await.is_none());
            sender.send(n).unwrap();
            assert_eq!(at_most(1, receiver.next()).await, Some(Some(n)));
        }
        // Dropped while it is in line, as a stream.
        assert!(at_most(1, receiver.next()).await.is_none());
        drop(receiver);
        assert_eq!(at_most(1, sender.closed()).await, Some(()));
    }
}

#[test]
fn whoever_waits_is_woken_once_by_each_change_and_by_the_end() {
    #[derive(Default)]
    struct Counts(AtomicUsize);

    impl Wake for Counts {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    let (sender, mut receiver) = watch::channel(0);
    for ends in [false, true] {
        let counts = Arc::new(Counts::default());
        let mut changed = pin!(receiver.changed());
        for _ in 0..3 {
            let waker = Waker::from(counts.clone());
            assert!(changed.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        if ends {
            drop(sender);
            assert_eq!(counts.0.load(Ordering::Relaxed), 1);
            assert!(changed.as_mut().poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(changed_end()));
            return;
        }
        sender.send(1).unwrap();
        sender.send(2).unwrap();
        assert_eq!(counts.0.load(Ordering::Relaxed), 1);
        assert_eq!(changed.poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(())));
    }
}

fn changed_end() -> Result<(), watch::RecvError> {
    let (sender, receiver) = watch::channel(());
    drop(sender);
    receiver.has_changed().map(drop)
}

/// Every receiver sees values in order, none twice, and the last one.
#[gambol::test(workers = 2)]
async fn in_a_storm_of_changes_the_last_value_reaches_everybody() {
    let enough = Instant::now() + Duration::from_secs(1);
    let (sender, receiver) = watch::channel(0_usize);
    let last = Arc::new(AtomicUsize::new(0));
    let receivers: Vec<_> = (0..8)
        .map(|n| {
            let mut receiver: Receiver<usize> = receiver.clone();
            gambol::spawn(async move {
                let mut seen = 0;
                loop {
                    let value = match n % 4 {
                        0 => receiver.changed().await.ok().map(|()| *receiver.borrow()),
                        1 => receiver.next().await,
                        2 => {
                            let Some(changed) = at_most(1, receiver.changed()).await else {
                                yield_now().await;
                                continue;
                            };
                            changed.ok().map(|()| *receiver.borrow_and_update())
                        }
                        _ => receiver.wait_for(|value| *value > seen).await.map(|value| *value).ok(),
                    };
                    let Some(value) = value else { return seen };
                    // `borrow` may see one that `changed` will tell of again.
                    assert!(value > seen || n % 4 == 0 && value == seen, "{value} after {seen}");
                    seen = value;
                }
            })
        })
        .collect();
    drop(receiver);
    let senders: Vec<_> = (0..2)
        .map(|_| {
            let (sender, last) = (sender.clone(), last.clone());
            thread::spawn(move || {
                while Instant::now() < enough {
                    sender.send_modify(|value| {
                        *value += 1;
                        last.store(*value, Ordering::Relaxed);
                    });
                    thread::yield_now();
                }
            })
        })
        .collect();
    drop(sender);
    gambol::spawn_blocking(move || senders.into_iter().for_each(|it| it.join().unwrap())).await.unwrap();
    for receiver in receivers {
        let seen = timeout(PATIENCE, receiver).await.expect("a change was lost").unwrap();
        assert_eq!(seen, last.load(Ordering::Relaxed));
    }
}

#[test]
fn another_executor_observes_as_well() {
    let (sender, mut receiver) = watch::channel(0);
    let sends = thread::spawn(move || {
        for n in 1..=100 {
            sender.send(n).unwrap();
            thread::yield_now();
        }
        futures::executor::block_on(sender.closed());
    });
    assert_eq!(futures::executor::block_on(receiver.wait_for(|value| *value == 100)).map(|value| *value), Ok(100));
    drop(receiver);
    sends.join().unwrap();
}

#[gambol::test]
async fn a_loop_over_changes_lets_others_run() {
    let (sender, mut receiver) = watch::channel(0);
    let busy = async {
        for n in 0..1_000 {
            sender.send(n).unwrap();
            receiver.changed().await.unwrap();
        }
    };
    assert!(poll_once(&mut pin!(busy)).await.is_pending());
    let mut receiver = sender.subscribe();
    let busy = async {
        for _ in 0..1_000 {
            assert!(receiver.wait_for(|_| true).await.is_ok());
        }
    };
    assert!(poll_once(&mut pin!(busy)).await.is_pending());
}

#[gambol::test]
async fn a_task_that_waits_for_a_change_says_so() {
    let (sender, mut receiver) = watch::channel(0);
    let over = Arc::new(AtomicBool::new(false));
    let ends = over.clone();
    let task = gambol::spawn(async move {
        receiver.changed().await.unwrap();
        ends.store(true, Ordering::Relaxed);
    });
    let shown = async {
        let shows =
            || Handle::current().parked_tasks().iter().any(|it| it.id == task.id() && it.wait.as_str() == "notify");
        while !shows() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, shown).await.unwrap();
    sender.send(1).unwrap();
    timeout(PATIENCE, task).await.unwrap().unwrap();
    assert!(over.load(Ordering::Relaxed));
}
