//! What selects owe to others in the lines in which they stand. Polled by hand, so that each moment is the one that is meant.

use gambol::{
    chan::{self, TryRecvError},
    select,
};
use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
};

/// A task, polled by hand.
struct Task<'a, T> {
    future: Pin<Box<dyn Future<Output = T> + 'a>>,
    flag: Arc<Flag>,
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

impl<'a, T> Task<'a, T> {
    fn new(future: impl Future<Output = T> + 'a) -> Task<'a, T> {
        Task { future: Box::pin(future), flag: Arc::new(Flag(AtomicBool::new(false))) }
    }

    /// After a first poll, that found nothing.
    fn waiting(future: impl Future<Output = T> + 'a) -> Task<'a, T> {
        let mut task = Task::new(future);
        assert!(task.poll().is_none());
        task
    }

    fn poll(&mut self) -> Option<T> {
        let waker = Waker::from(self.flag.clone());
        match self.future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    /// Since it was last asked.
    fn woken(&self) -> bool {
        self.flag.0.swap(false, SeqCst)
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Did {
    Sent(bool),
    Received(Option<u32>),
}

#[test]
fn a_select_that_sends_where_it_receives_is_called_for_what_others_send() {
    for receives_first in [true, false] {
        let (tx, rx) = chan::unbuffered::<u32>();
        let mut select = Task::waiting(async {
            if receives_first {
                select! {
                    biased;
                    value = rx.recv() => Did::Received(value),
                    sent = tx.send(1) => Did::Sent(sent.is_ok()),
                }
            } else {
                select! {
                    biased;
                    sent = tx.send(1) => Did::Sent(sent.is_ok()),
                    value = rx.recv() => Did::Received(value),
                }
            }
        });
        let mut sender = Task::waiting(tx.send(2));
        assert!(select.woken(), "receives first: {receives_first}");
        assert_eq!(select.poll(), Some(Did::Received(Some(2))));
        assert!(sender.woken());
        assert_eq!(sender.poll(), Some(Ok(())));
    }
}

/// It was called for a value, puts that off for the sake of a send, and that send is what is done.
#[test]
fn a_select_that_puts_a_receive_off_passes_its_call_on() {
    let (tx_a, rx_a) = chan::unbuffered::<u32>();
    let (tx_b, rx_b) = chan::unbuffered::<u32>();
    let mut first = Task::waiting(rx_b.recv());
    let second = Task::waiting(rx_b.recv());
    let mut select = Task::waiting(async {
        select! {
            biased;
            sent = tx_b.send(1) => Did::Sent(sent.is_ok()),
            value = rx_a.recv() => Did::Received(value),
        }
    });
    assert!(first.woken() && !second.woken());
    let mut behind = Task::waiting(rx_a.recv());
    let _sender = Task::waiting(tx_a.send(2));
    assert!(select.woken() && !behind.woken());
    // Another receiver waits for its send, so that goes before what it could receive.
    assert_eq!(select.poll(), None);
    assert_eq!(first.poll(), Some(Some(1)));
    assert_eq!(select.poll(), Some(Did::Sent(true)));
    drop(select);
    assert!(behind.woken());
    assert_eq!(behind.poll(), Some(Some(2)));
}

/// A select that has a send done may not be polled for long.
#[test]
fn a_select_that_is_done_and_not_polled_keeps_no_call() {
    let (tx_a, rx_a) = chan::unbuffered::<u32>();
    let (tx_b, rx_b) = chan::unbuffered::<u32>();
    let mut select = Task::waiting(async {
        select! {
            sent = tx_a.send(1) => Did::Sent(sent.is_ok()),
            value = rx_b.recv() => Did::Received(value),
        }
    });
    let mut behind = Task::waiting(rx_b.recv());
    assert_eq!(rx_a.try_recv(), Ok(1));
    let mut sender = Task::waiting(tx_b.send(2));
    assert!(behind.woken());
    assert_eq!(behind.poll(), Some(Some(2)));
    assert_eq!((sender.poll(), select.poll()), (Some(Ok(())), Some(Did::Sent(true))));
}

#[test]
fn nothing_can_be_received_from_a_select_after_the_end() {
    let (tx_a, rx_a) = chan::unbuffered::<u32>();
    let (tx_b, rx_b) = chan::unbuffered::<u32>();
    let _waits = Task::waiting(rx_a.recv());
    tx_b.close();
    let mut select = Task::waiting(async {
        select! {
            biased;
            sent = tx_a.send(1) => Did::Sent(sent.is_ok()),
            sent = tx_b.send(2) => Did::Sent(sent.is_ok()),
        }
    });
    assert_eq!(rx_b.try_recv(), Err(TryRecvError::Closed));
    assert!(select.woken());
    assert_eq!(select.poll(), Some(Did::Sent(false)));
}
