//! `sync::broadcast`: every receiver gets every value, in order, or is told how many it has lost.

mod helpers;

use futures_util::StreamExt;
use gambol::{
    runtime::Handle,
    sync::broadcast::{self, Receiver, RecvError, Sender, TryRecvError},
    task::yield_now,
    time::{Duration, Instant, sleep, timeout},
};
use helpers::{PATIENCE, at_most, poll_once};
use std::{
    cell::Cell,
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    thread,
};

/// What it should be: each receiver has a queue of its own, and the number of what it has lost.
#[test]
fn it_does_what_a_queue_for_each_receiver_does() {
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let capacity = random.usize(1..6);
        let sender = Sender::new(capacity);
        let mut receivers: Vec<(Receiver<Arc<usize>>, VecDeque<usize>, u64)> = Vec::new();
        let values = Arc::new(());
        let mut kept: Vec<std::sync::Weak<usize>> = Vec::new();
        for number in 0..500 {
            match random.usize(0..9) {
                0 | 1 => {
                    let value = Arc::new(number);
                    kept.push(Arc::downgrade(&value));
                    match sender.send(value) {
                        Ok(n) => assert_eq!(n, receivers.len()),
                        Err(error) => {
                            assert!(receivers.is_empty());
                            assert_eq!(*error.into_inner(), number);
                        }
                    }
                    for (_, queue, lost) in &mut receivers {
                        queue.push_back(number);
                        if queue.len() > capacity {
                            queue.pop_front();
                            *lost += 1;
                        }
                    }
                }
                2..6 if !receivers.is_empty() => {
                    let at = random.usize(0..receivers.len());
                    let (receiver, queue, lost) = &mut receivers[at];
                    let expected = match (std::mem::take(lost), queue.is_empty()) {
                        (0, true) => Err(TryRecvError::Empty),
                        (0, false) => Ok(queue.pop_front().unwrap()),
                        (lost, _) => Err(TryRecvError::Lagged(lost)),
                    };
                    assert_eq!(receiver.try_recv().map(|value| *value), expected);
                }
                6 if receivers.len() < 6 => receivers.push((sender.subscribe(), VecDeque::new(), 0)),
                7 if !receivers.is_empty() && random.usize(0..3) == 0 => {
                    drop(receivers.swap_remove(random.usize(0..receivers.len())));
                }
                8 if !receivers.is_empty() && receivers.len() < 6 => {
                    let new = receivers[random.usize(0..receivers.len())].0.resubscribe();
                    receivers.push((new, VecDeque::new(), 0));
                }
                _ => {}
            }
            // What everybody has seen, or lost, is gone.
            let most = receivers.iter().map(|(_, queue, _)| queue.len()).max().unwrap_or(0);
            kept.retain(|value| value.strong_count() > 0);
            assert_eq!((sender.len(), kept.len(), sender.is_empty()), (most, most, most == 0));
            for (receiver, queue, lost) in &receivers {
                assert_eq!(receiver.len(), queue.len() + *lost as usize);
            }
            assert_eq!(sender.receiver_count(), receivers.len());
        }
        drop(sender);
        for (mut receiver, queue, lost) in receivers {
            if lost > 0 {
                assert_eq!(receiver.try_recv(), Err(TryRecvError::Lagged(lost)));
            }
            for number in queue {
                assert_eq!(receiver.try_recv().map(|value| *value), Ok(number));
            }
            assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
        }
        assert!(kept.iter().all(|value| value.strong_count() == 0));
        drop(values);
    }
}

#[derive(Clone, Copy, Debug)]
enum End {
    Close,
    DropSenders,
}

#[gambol::test]
async fn after_the_end_what_is_left_is_received() {
    for end in [End::Close, End::DropSenders] {
        for waiting in [false, true] {
            let (sender, mut receiver) = broadcast::channel(4);
            let (other, mut idle) = (sender.clone(), sender.subscribe());
            assert_eq!((sender.send(1).unwrap(), sender.send(2).unwrap()), (2, 2));
            assert_eq!(receiver.recv().await, Ok(1));
            let mut late = sender.subscribe();
            let mut waits = pin!(late.recv());
            if waiting {
                assert!(poll_once(&mut waits).await.is_pending());
            }
            match end {
                End::Close => {
                    sender.close();
                    assert!(sender.is_closed() && at_most(1, sender.closed()).await.is_some());
                    assert_eq!(other.send(3).unwrap_err().into_inner(), 3);
                }
                End::DropSenders => drop((sender, other)),
            }
            assert_eq!(timeout(PATIENCE, waits).await, Ok(Err(RecvError::Closed)), "{end:?}");
            assert!(receiver.is_closed());
            assert_eq!((receiver.recv().await, receiver.recv().await), (Ok(2), Err(RecvError::Closed)));
            assert_eq!(idle.by_ref().collect::<Vec<_>>().await, [Ok(1), Ok(2)]);
            assert_eq!(idle.try_recv(), Err(TryRecvError::Closed));
        }
    }
}

#[gambol::test]
async fn sending_fails_without_receivers() {
    let (sender, receiver) = broadcast::channel::<u8>(1);
    let mut closed = pin!(sender.closed());
    assert!(poll_once(&mut closed).await.is_pending());
    drop(receiver);
    assert_eq!(poll_once(&mut closed).await, Poll::Ready(()));
    let error = sender.send(1).unwrap_err();
    assert_eq!(error.to_string(), "the broadcast channel has no receivers, or was closed");
    let mut receiver = sender.subscribe();
    assert_eq!((sender.send(2).is_ok(), receiver.try_recv()), (true, Ok(2)));
    assert!(catch_unwind(|| Sender::<u8>::new(0)).is_err());
}

/// A value that need not be `Sync`, and whose clone may panic.
#[derive(Debug)]
struct Touchy {
    number: usize,
    panics: bool,
    clones: Cell<usize>,
}

impl Clone for Touchy {
    fn clone(&self) -> Touchy {
        self.clones.set(self.clones.get() + 1);
        assert!(!self.panics, "a clone has a problem");
        Touchy { number: self.number, panics: false, clones: Cell::new(0) }
    }
}

#[gambol::test]
async fn a_clone_that_panics_costs_one_receiver_one_value() {
    let (sender, mut first) = broadcast::channel(4);
    let mut second = sender.subscribe();
    for (number, panics) in [(1, true), (2, false)] {
        sender.send(Touchy { number, panics, clones: Cell::new(0) }).unwrap();
    }
    assert!(catch_unwind(AssertUnwindSafe(|| first.try_recv())).is_err());
    assert_eq!(first.recv().await.unwrap().number, 2);
    // The last one gets the value itself.
    let value = second.recv().await.unwrap();
    assert_eq!((value.number, value.clones.get()), (1, 1));
    assert_eq!(second.recv().await.unwrap().number, 2);
    assert!(sender.is_empty());
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
async fn whoever_gives_up_loses_nothing() {
    for polls in 1..4 {
        let (sender, mut receiver) = broadcast::channel(2);
        for n in 0..20 {
            assert_eq!(polled(polls, receiver.recv()).await, None);
            assert_eq!(polled(polls, receiver.next()).await, None);
            assert_eq!(polled(polls, sender.closed()).await, None);
            {
                let mut waits = pin!(receiver.recv());
                assert!(poll_once(&mut waits).await.is_pending());
                sender.send(n).unwrap();
                // It was woken, and goes away.
            }
            sender.send(n + 1).unwrap();
            assert_eq!((receiver.recv().await, receiver.next().await), (Ok(n), Some(Ok(n + 1))));
        }
        assert_eq!(at_most(1, receiver.next()).await, None);
        drop(receiver);
        assert!(sender.is_closed());
    }
}

#[gambol::test(workers = 2)]
async fn in_a_storm_each_receiver_gets_or_loses_each_value() {
    const SENDERS: usize = 3;
    let enough = Instant::now() + Duration::from_secs(1);
    let (sender, receiver) = broadcast::channel::<(usize, u64)>(64);
    let receivers: Vec<_> = (0..5)
        .map(|n| {
            let mut receiver = receiver.resubscribe();
            gambol::spawn(async move {
                let (mut got, mut lost, mut last) = (0, 0, [0; SENDERS]);
                loop {
                    let next = match n % 3 {
                        0 => receiver.recv().await,
                        1 => receiver.next().await.unwrap_or(Err(RecvError::Closed)),
                        _ => match at_most(1, receiver.recv()).await {
                            Some(next) => next,
                            None => {
                                yield_now().await;
                                continue;
                            }
                        },
                    };
                    match next {
                        Ok((from, number)) => {
                            assert!(number > last[from], "{number} after {}", last[from]);
                            last[from] = number;
                            got += 1;
                        }
                        Err(RecvError::Lagged(n)) => lost += n,
                        Err(RecvError::Closed) => return got + lost,
                    }
                }
            })
        })
        .collect();
    drop(receiver);
    let senders: Vec<_> = (0..SENDERS)
        .map(|from| {
            let sender = sender.clone();
            gambol::spawn(async move {
                let mut sent = 0;
                while Instant::now() < enough {
                    sent += 1;
                    sender.send((from, sent)).unwrap();
                    if sent % 16 == 0 {
                        yield_now().await;
                    }
                }
                sent
            })
        })
        .collect();
    drop(sender);
    let mut sent = 0;
    for sender in senders {
        sent += timeout(PATIENCE, sender).await.unwrap().unwrap();
    }
    for receiver in receivers {
        assert_eq!(timeout(PATIENCE, receiver).await.expect("a value was lost").unwrap(), sent);
    }
}

#[test]
fn another_executor_and_threads_receive_as_well() {
    let (sender, mut receiver) = broadcast::channel(1_000);
    let mut blocking = sender.subscribe();
    let (sum, sums) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let inside = sums.clone();
    let thread = thread::spawn(move || {
        while let Ok(n) = blocking.recv_blocking() {
            inside.fetch_add(n, Ordering::Relaxed);
        }
    });
    let sends = thread::spawn(move || {
        for n in 0..1_000 {
            sender.send(n).unwrap();
        }
    });
    futures::executor::block_on(async {
        while let Ok(n) = receiver.recv().await {
            sum.fetch_add(n, Ordering::Relaxed);
        }
    });
    sends.join().unwrap();
    thread.join().unwrap();
    assert_eq!((sum.load(Ordering::Relaxed), sums.load(Ordering::Relaxed)), (499_500, 499_500));
}

#[gambol::test]
async fn a_loop_over_values_lets_others_run() {
    let (sender, mut receiver) = broadcast::channel(2);
    let busy = async {
        for n in 0..1_000 {
            sender.send(n).unwrap();
            receiver.recv().await.unwrap();
        }
    };
    assert!(poll_once(&mut pin!(busy)).await.is_pending());
}

#[gambol::test]
async fn a_task_that_waits_for_a_value_says_so() {
    let (sender, mut receiver) = broadcast::channel(1);
    let task = gambol::spawn(async move { receiver.recv().await });
    let shown = async {
        let shows =
            || Handle::current().parked_tasks().iter().any(|it| it.id == task.id() && it.wait.as_str() == "chan recv");
        while !shows() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, shown).await.unwrap();
    sender.send(1).unwrap();
    assert_eq!(timeout(PATIENCE, task).await.unwrap().unwrap(), Ok(1));
}
