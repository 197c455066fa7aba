//! What selects owe to others in the lines in which they stand. Polled by hand, so that each moment is the one that is meant.

use gambol::{
    chan::{self, TryRecvError},
    select,
};
use std::{
    future::poll_fn,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    ptr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll, RawWaker, RawWakerVTable, Wake, Waker},
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

/// Who was called in vain and waits again stands before the others: the select's own receive too, which is not to be called.
#[test]
fn a_select_that_waits_again_calls_those_before_it_and_is_called_itself() {
    let (tx, rx) = chan::unbuffered::<u32>();
    let mut before = Task::waiting(rx.recv());
    tx.try_send(1).unwrap();
    assert_eq!(rx.try_recv(), Ok(1));
    assert!(before.woken());
    assert_eq!(before.poll(), None);
    let mut select = Task::waiting(async {
        select! {
            biased;
            value = rx.recv() => Did::Received(value),
            sent = tx.send(2) => Did::Sent(sent.is_ok()),
        }
    });
    assert!(before.woken());
    drop(before);
    // A value that comes and goes again, so that the select was called in vain as well.
    let mut other = Task::waiting(tx.send(4));
    assert!(select.woken());
    drop(other);
    assert_eq!(select.poll(), None);
    other = Task::waiting(tx.send(5));
    assert!(select.woken());
    assert_eq!((select.poll(), other.poll()), (Some(Did::Received(Some(5))), Some(Ok(()))));
}

/// A waker that panics when it is cloned: for the first time, or in place of one that is there.
#[test]
fn a_waker_that_cannot_be_cloned_leaves_the_value_where_it_was() {
    static TABLE: RawWakerVTable = RawWakerVTable::new(|_| panic!("no clone"), |_| {}, |_| {}, |_| {});
    // SAFETY: the table's functions do nothing with the pointer.
    let evil = unsafe { Waker::from_raw(RawWaker::new(ptr::null(), &TABLE)) };
    for waits in [false, true] {
        let (tx, rx) = chan::unbuffered::<u32>();
        let (other_tx, other_rx) = chan::unbuffered::<u32>();
        let mut value = Some(7);
        let mut select = Task::new(async {
            select! {
                sent = tx.send_from(&mut value) => Did::Sent(sent.is_ok()),
                value = other_rx.recv() => Did::Received(value),
            }
        });
        if waits {
            assert_eq!(select.poll(), None);
        }
        let mut cx = Context::from_waker(&evil);
        let panicked = catch_unwind(AssertUnwindSafe(|| select.future.as_mut().poll(&mut cx).is_ready()));
        assert!(panicked.is_err());
        // Neither lock is held, and nobody is in line.
        assert_eq!((rx.try_recv(), other_tx.try_send(1).is_err()), (Err(TryRecvError::Empty), true));
        drop(select);
        assert_eq!(value, Some(7));
    }
}

#[test]
fn a_future_that_panics_beside_a_send_in_line_gives_the_value_back() {
    let (tx, rx) = chan::unbuffered::<u32>();
    let (other_tx, other_rx) = chan::unbuffered::<u32>();
    let mut value = Some(7);
    let mut polls = 0;
    let mut select = Task::waiting(async {
        select! {
            biased;
            sent = tx.send_from(&mut value) => Did::Sent(sent.is_ok()),
            value = other_rx.recv() => Did::Received(value),
            () = poll_fn(|_| {
                polls += 1;
                assert_eq!(polls, 1, "once is enough");
                Poll::Pending
            }) => unreachable!(),
        }
    });
    assert!(catch_unwind(AssertUnwindSafe(|| select.poll())).is_err());
    assert_eq!((rx.try_recv(), other_tx.try_send(1).is_err()), (Err(TryRecvError::Empty), true));
    drop(select);
    assert_eq!(value, Some(7));
}

/// It stands in line for ever: what it sends can be received, once, and what comes for it is there for others.
#[test]
fn a_select_that_is_forgotten_holds_nothing_up() {
    let (tx, rx) = chan::unbuffered::<u32>();
    let (tx_b, rx_b) = chan::unbuffered::<u32>();
    let select = Task::waiting(async {
        select! {
            sent = tx.send(1) => Did::Sent(sent.is_ok()),
            sent = tx_b.send(2) => Did::Sent(sent.is_ok()),
            value = rx.recv() => Did::Received(value),
            value = rx.recv() => Did::Received(value),
        }
    });
    mem::forget(select);
    assert_eq!(rx_b.try_recv(), Ok(2));
    assert_eq!((rx.try_recv(), rx_b.try_recv()), (Err(TryRecvError::Empty), Err(TryRecvError::Empty)));
    let mut receives = Task::waiting(rx.recv());
    let mut sends = Task::new(tx.send(3));
    assert_eq!(sends.poll(), None);
    assert!(receives.woken());
    assert_eq!((receives.poll(), sends.poll()), (Some(Some(3)), Some(Ok(()))));
}

/// 64 arms in the lines of two channels, each of which is locked once.
#[test]
fn as_many_arms_as_there_may_be_stand_in_two_lines() {
    macro_rules! eight {
        (@ $([$($arms:tt)*])*) => { select! { $($($arms)*)* } };
        ($($arms:tt)*) => { eight! { @ [$($arms)*] [$($arms)*] [$($arms)*] [$($arms)*] [$($arms)*] [$($arms)*] [$($arms)*] [$($arms)*] } };
    }
    let (tx_a, rx_a) = chan::unbuffered::<u32>();
    let (tx_b, rx_b) = chan::buffered::<u32>(1);
    tx_b.try_send(0).unwrap();
    let mut select = Task::waiting(async {
        eight! {
            value = rx_a.recv() => Did::Received(value),
            sent = tx_b.send(1) => Did::Sent(sent.is_ok()),
            sent = tx_b.send(2) => Did::Sent(sent.is_ok()),
            value = rx_a.recv() => Did::Received(value),
            sent = tx_a.send(3) => Did::Sent(sent.is_ok()),
            sent = tx_a.send(3) => Did::Sent(sent.is_ok()),
            value = rx_a.recv() => Did::Received(value),
            sent = tx_b.send(2) => Did::Sent(sent.is_ok()),
        }
    });
    assert_eq!(rx_b.try_recv(), Ok(0));
    assert!(select.woken());
    assert_eq!(rx_a.try_recv(), Err(TryRecvError::Empty));
    assert_eq!(select.poll(), Some(Did::Sent(true)));
    drop(select);
    assert!(matches!(rx_b.try_recv(), Ok(1 | 2)));
    assert_eq!((rx_b.try_recv(), tx_a.try_send(4).is_err()), (Err(TryRecvError::Empty), true));
}
