//! Channels: what each operation promises, one task or a few at a time.

use futures::{FutureExt, SinkExt, StreamExt};
use gambol::chan::{self, SendError, TryRecvError, TrySendError};
use gambol::runtime::Handle;
use std::{
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

/// Polls once, with a waker that wakes nobody.
fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_buffered_channel_holds_as_many_as_it_says() {
    let (tx, rx) = chan::buffered(2);
    assert_eq!((tx.capacity(), tx.is_empty(), tx.is_full()), (Some(2), true, false));
    assert_eq!(tx.try_send(1), Ok(()));
    assert_eq!(tx.try_send(2), Ok(()));
    assert_eq!(tx.try_send(3), Err(TrySendError::Full(3)));
    assert_eq!((tx.len(), rx.len(), tx.is_full()), (2, 2, true));
    assert_eq!((rx.try_recv(), rx.try_recv(), rx.try_recv()), (Ok(1), Ok(2), Err(TryRecvError::Empty)));
}

#[test]
fn a_rendezvous_completes_when_a_receiver_has_taken() {
    let (tx, rx) = chan::unbuffered();
    assert_eq!(tx.try_send(0), Err(TrySendError::Full(0)));
    let mut send = pin!(tx.send(1));
    let mut recv = pin!(rx.recv());
    assert!(poll_once(recv.as_mut()).is_pending());
    assert!(poll_once(send.as_mut()).is_pending());
    assert!(poll_once(send.as_mut()).is_pending(), "the receiver waits and has not taken");
    assert_eq!(recv.as_mut().now_or_never(), Some(Some(1)));
    assert_eq!(send.as_mut().now_or_never(), Some(Ok(())));
}

#[test]
fn a_send_that_cannot_wait_is_left_to_a_receiver_that_does() {
    let (tx, rx) = chan::unbuffered();
    let mut first = Box::pin(rx.recv());
    let mut second = pin!(rx.recv());
    assert!(poll_once(first.as_mut()).is_pending());
    assert!(poll_once(second.as_mut()).is_pending());
    assert_eq!(tx.try_send(1), Ok(()));
    drop(first);
    assert_eq!(second.as_mut().now_or_never(), Some(Some(1)));
    assert_eq!(tx.try_send(2), Err(TrySendError::Full(2)));
}

/// As in Go, where the value of a receiver that waits takes no room: a sender goes on, though no receiver has been polled yet.
#[test]
fn a_receiver_that_waits_makes_room_for_its_value() {
    let (tx, rx) = chan::buffered(1);
    let mut first = Box::pin(rx.recv());
    let mut second = Box::pin(rx.recv());
    assert!(poll_once(first.as_mut()).is_pending() && poll_once(second.as_mut()).is_pending());
    for n in 1..=3 {
        assert_eq!(tx.try_send(n), Ok(()));
    }
    assert_eq!(tx.try_send(4), Err(TrySendError::Full(4)));
    let mut waits = pin!(tx.send(4));
    assert!(poll_once(waits.as_mut()).is_pending());
    // One comes, and one goes: neither leaves its room to the sender.
    assert_eq!(first.as_mut().now_or_never(), Some(Some(1)));
    assert!(poll_once(waits.as_mut()).is_pending());
    drop(second);
    assert_eq!(rx.try_recv(), Ok(2));
    assert!(poll_once(waits.as_mut()).is_pending());
    assert_eq!(rx.try_recv(), Ok(3));
    assert_eq!(waits.now_or_never(), Some(Ok(())));
    assert_eq!((tx.len(), tx.try_send(5)), (1, Err(TrySendError::Full(5))));
    assert_eq!((rx.try_recv(), rx.try_recv()), (Ok(4), Err(TryRecvError::Empty)));
}

#[test]
fn a_receiver_that_comes_for_nothing_takes_its_room_along() {
    let (tx, rx) = chan::buffered(1);
    let mut overtaken = Box::pin(rx.recv());
    assert!(poll_once(overtaken.as_mut()).is_pending());
    assert_eq!((tx.try_send(1), rx.try_recv()), (Ok(()), Ok(1)));
    assert!(poll_once(overtaken.as_mut()).is_pending());
    // It is in line again, and is called again.
    assert_eq!((tx.try_send(2), tx.try_send(3), tx.try_send(4)), (Ok(()), Ok(()), Err(TrySendError::Full(4))));
    drop(overtaken);
    assert_eq!((rx.try_recv(), tx.try_send(5)), (Ok(2), Err(TrySendError::Full(5))));
    assert_eq!((rx.try_recv(), tx.try_send(6), tx.try_send(7)), (Ok(3), Ok(()), Err(TrySendError::Full(7))));
}

#[test]
fn closing_leaves_what_was_sent_and_gives_back_what_was_not() {
    for by_receiver in [false, true] {
        let (tx, rx) = chan::buffered(1);
        assert_eq!(tx.try_send(1), Ok(()));
        let mut waits = pin!(tx.send(2));
        assert!(poll_once(waits.as_mut()).is_pending());
        assert!(if by_receiver { rx.close() } else { tx.close() });
        assert!(!tx.close() && tx.is_closed() && rx.is_closed());
        assert_eq!(waits.now_or_never(), Some(Err(SendError(2))));
        assert_eq!(tx.send(3).now_or_never(), Some(Err(SendError(3))));
        assert_eq!(tx.try_send(4), Err(TrySendError::Closed(4)));
        assert_eq!((rx.recv().now_or_never(), rx.recv().now_or_never()), (Some(Some(1)), Some(None)));
        assert_eq!(rx.try_recv(), Err(TryRecvError::Closed));
    }
}

#[test]
fn a_value_that_was_not_sent_goes_back_where_it_came_from() {
    let (tx, rx) = chan::buffered(1);
    let mut value = Some(String::from("one"));
    assert_eq!(tx.send_from(&mut value).now_or_never(), Some(Ok(())));
    assert_eq!(value, None);
    value = Some("two".into());
    assert_eq!(tx.send_from(&mut value).now_or_never(), None);
    assert_eq!(value.as_deref(), Some("two"));
    let mut send = Box::pin(tx.send_from(&mut value));
    assert!(poll_once(send.as_mut()).is_pending());
    assert_eq!(rx.try_recv().as_deref(), Ok("one"));
    drop(send);
    assert_eq!(value, None, "it has moved up into the queue");
    assert_eq!(rx.try_recv().as_deref(), Ok("two"));
}

#[test]
fn a_pair_of_tasks_passes_everything_in_order() {
    let bounded = [0, 1, 2, 128, usize::MAX].map(chan::buffered);
    for (tx, rx) in bounded.into_iter().chain([chan::unbounded()]) {
        let sends = gambol::spawn(async move {
            for n in 0..10_000 {
                tx.send(n).await.unwrap();
            }
        });
        gambol::block_on(async {
            for n in 0..10_000 {
                assert_eq!(rx.recv().await, Some(n));
            }
            assert_eq!(rx.recv().await, None);
            sends.await.unwrap();
        });
    }
}

#[test]
fn a_stream_and_a_sink_carry_everything() {
    gambol::block_on(async {
        for capacity in [0, 1, 100] {
            let (tx, rx) = chan::buffered(capacity);
            let all = gambol::spawn(rx.collect::<Vec<_>>());
            futures::stream::iter(0..1000).map(Ok).forward(tx).await.unwrap();
            assert_eq!(all.await.unwrap(), (0..1000).collect::<Vec<_>>());
            let (mut tx, rx) = chan::buffered(capacity);
            drop(rx);
            assert_eq!(SinkExt::send(&mut tx, 7).await, Err(SendError(7)));
        }
    });
}

#[test]
fn plain_threads_take_part() {
    for capacity in [0, 1, 100] {
        let (tx, rx) = chan::buffered(capacity);
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let tx = tx.clone();
                std::thread::spawn(move || (0..1000).for_each(|n| tx.send_blocking(n).unwrap()))
            })
            .collect();
        drop(tx);
        let mut sum = 0;
        while let Some(n) = rx.recv_blocking() {
            sum += n;
        }
        assert_eq!(sum, 4 * 499_500);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
}

#[test]
fn one_value_once() {
    let (tx, rx) = chan::oneshot();
    assert_eq!(tx.send(1), Ok(()));
    assert_eq!(rx.now_or_never(), Some(Ok(1)));
    let (tx, mut rx) = chan::oneshot::<u8>();
    assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    drop(tx);
    assert_eq!(rx.try_recv(), Err(TryRecvError::Closed));
    let (tx, rx) = chan::oneshot();
    assert!(!tx.is_closed());
    drop(rx);
    assert!(tx.is_closed());
    assert_eq!(tx.send(2), Err(2));
}

/// The first in line is never polled again; the second must not wait for that.
#[test]
fn a_receiver_that_is_called_and_not_polled_holds_up_nobody() {
    for capacity in [0, 1, 10] {
        let (tx, rx) = chan::buffered(capacity);
        let mut sleeper = pin!(rx.recv());
        assert!(poll_once(sleeper.as_mut()).is_pending());
        let waits = gambol::spawn({
            let rx = rx.clone();
            async move { rx.recv().await }
        });
        // The task is in line behind the sleeper.
        while !Handle::current()
            .parked_tasks()
            .iter()
            .any(|task| task.id == waits.id() && task.wait.as_str() == "chan recv")
        {
            std::thread::yield_now();
        }
        let sends = gambol::spawn({
            let tx = tx.clone();
            async move { tx.send(5).await }
        });
        assert_eq!(gambol::block_on(waits).unwrap(), Some(5));
        gambol::block_on(sends).unwrap().unwrap();
    }
}

#[test]
fn a_sender_learns_that_nobody_listens() {
    let (tx, rx) = chan::buffered::<u8>(1);
    let mut given_up = Box::pin(tx.closed());
    let mut waits = pin!(tx.closed());
    assert!(poll_once(given_up.as_mut()).is_pending() && poll_once(waits.as_mut()).is_pending());
    drop(given_up);
    let watches = gambol::spawn({
        let tx = tx.clone();
        async move { tx.closed().await }
    });
    assert!(poll_once(waits.as_mut()).is_pending());
    drop(rx);
    gambol::block_on(watches).unwrap();
    assert!(poll_once(waits.as_mut()).is_ready());
    assert_eq!(tx.closed().now_or_never(), Some(()));
}
