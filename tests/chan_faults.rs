//! Channels in bad company: wakers and values that panic or come back to the channel, receivers that nobody polls, runtimes that go
//! away. Crowds and memory are in `chan_crowds.rs`.

#[path = "helpers/evil.rs"]
mod evil;
mod helpers;

use evil::{AFTER, Evil, MOMENTS, Moment, at_every_moment, must_end};
use futures::{FutureExt, Sink, SinkExt, StreamExt, stream::FuturesUnordered};
use gambol::{
    chan::{self, Receiver, SendError, Sender, TryRecvError, oneshot},
    runtime::{Handle, Runtime},
    task::JoinHandle,
};
use helpers::PATIENCE;
use std::{
    cell::Cell,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::{Pin, pin},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, RawWaker, RawWakerVTable, Wake, Waker},
    thread,
    time::{Duration, Instant},
};

/// `usize::MAX` is without a limit.
fn channel<T>(capacity: usize) -> (chan::Sender<T>, chan::Receiver<T>) {
    if capacity == usize::MAX { chan::unbounded() } else { chan::buffered(capacity) }
}

const CAPACITIES: [usize; 3] = [0, 1, usize::MAX];

fn poll_with<F: Future + ?Sized>(future: Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(waker))
}

/// Polls with a waker that wakes nobody.
fn poll<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    poll_with(future, Waker::noop())
}

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

/// Whatever came of it.
fn ignore<T>(_: T) {}

/// What can be done with a channel from anywhere.
fn meddle(tx: &Sender<u32>, rx: &Receiver<u32>, how: usize) {
    match how {
        0 => ignore(tx.try_send(100)),
        1 => ignore(rx.try_recv()),
        2 => drop(tx.close()),
        3 => drop((tx.clone(), rx.clone(), tx.downgrade().upgrade(), tx.subscribe())),
        4 => drop((tx.len(), rx.is_closed(), format!("{tx:?} {rx:?}"))),
        5 => {
            // Gets in line and leaves it, on either side.
            let (mut send, mut recv) = (tx.send(101), rx.recv());
            let _ = (poll(Pin::new(&mut recv)), poll(Pin::new(&mut send)));
        }
        _ => {
            // Is called and overtaken.
            let mut recv = rx.recv();
            let _ = poll(Pin::new(&mut recv));
            ignore((tx.try_send(102), rx.try_recv()));
        }
    }
}

const MEDDLINGS: usize = 7;

/// All that clones, exchanges, wakes and drops the wakers of those who wait.
fn all_ways_to_wait(tx: &Sender<u32>, rx: &Receiver<u32>, first: &Waker, second: &Waker) {
    // Polled, polled with another waker, served.
    let mut recv = rx.recv();
    for waker in [first, second, first] {
        let _ = poll_with(Pin::new(&mut recv), waker);
    }
    ignore(tx.try_send(1));
    let _ = poll_with(Pin::new(&mut recv), first);
    drop(recv);
    // Called, overtaken, in line again, dropped.
    let mut recv = rx.recv();
    let _ = poll_with(Pin::new(&mut recv), first);
    ignore((tx.try_send(2), rx.try_recv()));
    let _ = poll_with(Pin::new(&mut recv), second);
    drop(recv);
    // The stream; a place that a receive gives up, and one that is dropped.
    let mut stream = rx.clone();
    for waker in [first, second] {
        let _ = stream.poll_next_unpin(&mut Context::from_waker(waker));
    }
    drop(stream.recv());
    let _ = stream.poll_next_unpin(&mut Context::from_waker(first));
    drop(stream);
    // Senders: dropped, and served.
    for served in [false, true] {
        ignore(tx.try_send(3));
        let mut origin = Some(4);
        let mut send = tx.send_from(&mut origin);
        for waker in [first, second, first] {
            if poll_with(Pin::new(&mut send), waker).is_ready() {
                break;
            }
            if served && waker.will_wake(second) {
                ignore((rx.try_recv(), rx.try_recv()));
            }
        }
        drop(send);
        ignore((rx.try_recv(), rx.try_recv()));
    }
    // The sink.
    let mut sink = tx.clone();
    for value in [5, 6, 7] {
        for waker in [first, second] {
            let mut cx = Context::from_waker(waker);
            if Pin::new(&mut sink).poll_ready(&mut cx).is_ready() {
                ignore(Pin::new(&mut sink).start_send(value));
            }
        }
    }
    drop(sink);
    while rx.try_recv().is_ok() {}
    // Both sides learn of the end.
    let mut send = pin!(tx.send(8));
    let mut recv = pin!(rx.recv());
    let _ = (poll_with(recv.as_mut(), first), poll_with(send.as_mut(), second));
    tx.close();
}

#[test]
fn a_waker_that_comes_back_to_its_channel_finds_it_unlocked() {
    must_end(|| {
        for (capacity, moment) in CAPACITIES.into_iter().flat_map(|n| MOMENTS.map(|moment| (n, moment))) {
            for how in 0..MEDDLINGS {
                at_every_moment(|_| {
                    let (tx, rx) = channel(capacity);
                    let waker = || {
                        let (tx, rx) = (tx.clone(), rx.clone());
                        Evil::waker(moment, move || meddle(&tx, &rx, how))
                    };
                    all_ways_to_wait(&tx, &rx, &waker(), &waker());
                    assert!(tx.is_closed());
                });
            }
        }
    });
}

#[test]
fn a_waker_that_panics_leaves_the_channel_in_order() {
    must_end(|| {
        for (capacity, moment) in CAPACITIES.into_iter().flat_map(|n| MOMENTS.map(|moment| (n, moment))) {
            at_every_moment(|n| {
                let (tx, rx) = channel(capacity);
                let waker = || Evil::waker(moment, || resume_unwind(Box::new("evil")));
                let (first, second) = (waker(), waker());
                let ended = catch_unwind(AssertUnwindSafe(|| all_ways_to_wait(&tx, &rx, &first, &second)));
                let left = AFTER.replace(None);
                drop((first, second));
                let place = format!("capacity {capacity}, {moment:?} {n}");
                assert_eq!((tx.sender_count(), tx.receiver_count()), (1, 1), "{place}");
                if ended.is_err() && !tx.is_closed() {
                    works(&tx, &rx, &place);
                }
                drop(tx);
                assert!(rx.is_closed(), "{place}");
                AFTER.set(left);
            });
        }
    });
}

/// Nobody stands in line any more, and whoever gets in line is served.
fn works(tx: &Sender<u32>, rx: &Receiver<u32>, place: &str) {
    while rx.try_recv().is_ok() {}
    let flag = Arc::new(Flag::default());
    let waker = Waker::from(flag.clone());
    let mut recv = pin!(rx.recv());
    assert!(poll_with(recv.as_mut(), &waker).is_pending(), "{place}");
    assert!(tx.try_send(50).is_ok(), "{place}");
    assert!(flag.0.swap(false, SeqCst), "{place}: somebody else was called");
    assert_eq!(poll(recv), Poll::Ready(Some(50)), "{place}");
    if tx.capacity() == Some(1) {
        assert!(tx.try_send(51).is_ok());
    }
    let mut send = pin!(tx.send(52));
    if poll_with(send.as_mut(), &waker).is_pending() {
        assert!(rx.try_recv().is_ok(), "{place}");
        assert!(flag.0.load(SeqCst), "{place}: somebody else was served");
        assert_eq!(poll(send), Poll::Ready(Ok(())), "{place}");
    }
    while rx.try_recv().is_ok() {}
}

#[test]
fn a_waker_that_panics_takes_no_value_along() {
    let (tx, _rx) = chan::unbuffered();
    let mut origin = Some(1);
    let mut send = tx.send_from(&mut origin);
    let waker = Evil::waker(Moment::Clone, || resume_unwind(Box::new("evil")));
    AFTER.set(Some(0));
    assert!(catch_unwind(AssertUnwindSafe(|| poll_with(Pin::new(&mut send), &waker))).is_err());
    drop(send);
    assert_eq!(origin, Some(1));
    let mut send = tx.send_from(&mut origin);
    let waker = Evil::waker(Moment::Drop, || resume_unwind(Box::new("evil")));
    assert!(poll_with(Pin::new(&mut send), &waker).is_pending());
    AFTER.set(Some(0));
    assert!(catch_unwind(AssertUnwindSafe(|| drop(send))).is_err());
    assert_eq!(origin, Some(1));
}

/// A receiver that takes a value before it is called, and drops the waker that it stood in line with.
#[test]
fn a_waker_that_panics_when_it_is_dropped_takes_no_received_value_along() {
    let (tx, rx) = chan::buffered(1);
    let (mut first, mut second) = (rx.recv(), rx.recv());
    assert!(poll(Pin::new(&mut first)).is_pending());
    let waker = Evil::waker(Moment::Drop, || resume_unwind(Box::new("evil")));
    assert!(poll_with(Pin::new(&mut second), &waker).is_pending());
    assert_eq!(tx.try_send(1), Ok(()));
    AFTER.set(Some(0));
    let polled = catch_unwind(AssertUnwindSafe(|| poll(Pin::new(&mut second))));
    assert_eq!(polled.ok(), Some(Poll::Ready(Some(1))));
    assert_eq!(AFTER.take(), None, "the waker was dropped");
}

/// As above, by a select, which drops that waker when it ends.
#[test]
fn a_waker_that_panics_when_its_select_ends_takes_no_value_along() {
    let (tx, rx) = chan::buffered(1);
    let (_other_tx, other) = chan::buffered(1);
    let mut first = rx.recv();
    assert!(poll(Pin::new(&mut first)).is_pending());
    let mut select = pin!(async {
        gambol::select! {
            value = rx.recv() => value,
            value = other.recv() => value,
        }
    });
    let waker = Evil::waker(Moment::Drop, || resume_unwind(Box::new("evil")));
    assert!(poll_with(select.as_mut(), &waker).is_pending());
    assert_eq!(tx.try_send(1), Ok(()));
    AFTER.set(Some(0));
    let polled = catch_unwind(AssertUnwindSafe(|| poll(select.as_mut())));
    assert_eq!(polled.ok(), Some(Poll::Ready(Some(1))));
    assert_eq!(AFTER.take(), None, "the waker was dropped");
}

/// A clone of a waker that is not needed after all: while it was made a value came, for which a select has got in line in vain.
#[test]
fn a_clone_that_is_not_needed_takes_no_value_along_when_its_drop_panics() {
    for by_select in [false, true] {
        let (tx, rx) = chan::buffered(1);
        let (_other_tx, other) = chan::buffered::<u32>(1);
        let sends = Arc::new(AtomicBool::new(true));
        let waker = {
            let (tx, sends) = (tx.clone(), sends.clone());
            Evil::waker(Moment::Clone, move || {
                sends.store(false, SeqCst);
                assert_eq!(tx.try_send(1), Ok(()));
                DROPS_ARE_EVIL.set(true);
            })
        };
        let waker = panics_when_dropped(waker);
        AFTER.set(Some(0));
        let polled = catch_unwind(AssertUnwindSafe(|| {
            if by_select {
                let mut select = pin!(async {
                    gambol::select! {
                        value = rx.recv() => value,
                        value = other.recv() => value,
                    }
                });
                poll_with(select.as_mut(), &waker)
            } else {
                poll_with(pin!(rx.recv()), &waker)
            }
        }));
        AFTER.set(None);
        assert!(!DROPS_ARE_EVIL.take(), "a clone was dropped");
        assert!(!sends.load(SeqCst));
        assert_eq!(polled.ok(), Some(Poll::Ready(Some(1))), "by a select: {by_select}");
    }
}

thread_local! {
    static DROPS_ARE_EVIL: Cell<bool> = const { Cell::new(false) };
}

/// As `waker`; but the next drop, once `DROPS_ARE_EVIL`, panics.
fn panics_when_dropped(waker: Waker) -> Waker {
    static TABLE: RawWakerVTable = RawWakerVTable::new(
        |data| {
            // SAFETY: it is the box of a waker that is there.
            let inner = unsafe { &*data.cast::<Waker>() };
            RawWaker::new(Box::into_raw(Box::new(inner.clone())).cast(), &TABLE)
        },
        // SAFETY: the box comes to us.
        |data| unsafe { Box::from_raw(data.cast_mut().cast::<Waker>()) }.wake(),
        // SAFETY: it is the box of a waker that is there.
        |data| unsafe { &*data.cast::<Waker>() }.wake_by_ref(),
        |data| {
            // SAFETY: the box comes to us.
            drop(unsafe { Box::from_raw(data.cast_mut().cast::<Waker>()) });
            if DROPS_ARE_EVIL.take() {
                resume_unwind(Box::new("evil"));
            }
        },
    );
    // SAFETY: each of the table's functions takes the box, leaves it, or makes another.
    unsafe { Waker::from_raw(RawWaker::new(Box::into_raw(Box::new(waker)).cast(), &TABLE)) }
}

#[test]
fn a_waker_in_a_oneshot_may_do_what_it_likes() {
    must_end(|| {
        for moment in MOMENTS {
            // It sends when it is cloned; and its clones panic when they are dropped.
            let (tx, mut rx) = chan::oneshot();
            let tx = std::sync::Mutex::new(Some(tx));
            let waker = Evil::waker(moment, move || {
                if let Some(tx) = tx.lock().unwrap().take() {
                    assert!(!tx.is_closed());
                    let _ = tx.send(1);
                }
                AFTER.set((moment == Moment::Clone).then_some(usize::MAX));
            });
            AFTER.set(Some(0));
            let first = poll_with(Pin::new(&mut rx), &waker);
            let second = if first.is_pending() { poll_with(Pin::new(&mut rx), &waker) } else { first };
            AFTER.set(None);
            drop((rx, waker));
            assert!(matches!(second, Poll::Pending | Poll::Ready(Ok(1))), "{moment:?} {second:?}");
        }
    });
}

/// A waker that sends when it is cloned, and whose clone panics when it is dropped. Only a lock that a panic leaves behind shows it.
#[test]
fn a_clone_that_is_not_needed_is_dropped_outside_of_a_oneshots_lock() {
    struct Sends(std::sync::Mutex<Option<oneshot::Sender<u32>>>);

    static CLONED: AtomicUsize = AtomicUsize::new(0);
    static TABLE: RawWakerVTable = RawWakerVTable::new(
        |data| {
            // SAFETY: it outlives the wakers (below).
            let sends = unsafe { &*data.cast::<Sends>() };
            if let Some(tx) = sends.0.lock().unwrap().take() {
                assert_eq!(tx.send(1), Ok(()));
            }
            CLONED.fetch_add(1, SeqCst);
            RawWaker::new(data, &TABLE)
        },
        |_| {},
        |_| {},
        |_| {
            if CLONED.swap(0, SeqCst) != 0 {
                resume_unwind(Box::new("evil"));
            }
        },
    );
    must_end(|| {
        let (tx, mut rx) = chan::oneshot();
        let sends = Sends(std::sync::Mutex::new(Some(tx)));
        // SAFETY: `sends` outlives the waker and its clones, which are dropped in the poll; it is Sync.
        let waker = unsafe { Waker::from_raw(RawWaker::new((&raw const sends).cast(), &TABLE)) };
        let polled = catch_unwind(AssertUnwindSafe(|| poll_with(Pin::new(&mut rx), &waker)));
        assert!(polled.is_err(), "the clone was dropped");
        drop(rx);
    });
}

/// Counts its drops, and does something with the first.
struct Value<'a> {
    drops: &'a AtomicUsize,
    does: Option<Box<dyn FnOnce() + Send + 'a>>,
}

impl Drop for Value<'_> {
    fn drop(&mut self) {
        self.drops.fetch_add(1, SeqCst);
        if let Some(does) = self.does.take() {
            does();
        }
    }
}

/// Where a value is when its drop panics.
#[derive(Clone, Copy, Debug)]
enum Lies {
    Queue,
    Sink,
    Send,
    WaitingSend,
}

#[test]
fn a_value_whose_drop_panics_hides_no_end_from_anybody() {
    for lies in [Lies::Queue, Lies::Sink, Lies::Send, Lies::WaitingSend] {
        must_end(move || {
            let drops = AtomicUsize::new(0);
            let evil = || Value { drops: &drops, does: Some(Box::new(|| resume_unwind(Box::new("evil")))) };
            let good = || Value { drops: &drops, does: None };
            let (mut tx, rx) = chan::buffered(3);
            let flag = Arc::new(Flag::default());
            let waker = Waker::from(flag.clone());
            match lies {
                Lies::Queue => {
                    for value in [good(), evil(), good()] {
                        assert!(tx.try_send(value).is_ok());
                    }
                    let mut send = tx.send(good());
                    assert!(poll_with(Pin::new(&mut send), &waker).is_pending());
                    assert!(catch_unwind(AssertUnwindSafe(|| drop(rx))).is_err());
                    assert!(flag.0.load(SeqCst));
                    assert!(matches!(poll(Pin::new(&mut send)), Poll::Ready(Err(_))));
                    assert_eq!(drops.load(SeqCst), 4);
                }
                Lies::Sink => {
                    (0..3).for_each(|_| assert!(tx.try_send(good()).is_ok()));
                    assert!(Pin::new(&mut tx).start_send(evil()).is_ok());
                    assert!(tx.flush().now_or_never().is_none());
                    assert!(catch_unwind(AssertUnwindSafe(|| drop(tx))).is_err());
                    (0..3).for_each(|_| assert!(rx.try_recv().is_ok()));
                    assert_eq!(rx.try_recv().err(), Some(TryRecvError::Closed));
                }
                Lies::Send | Lies::WaitingSend => {
                    (0..3).for_each(|_| assert!(tx.try_send(good()).is_ok()));
                    let mut send = tx.send(evil());
                    if matches!(lies, Lies::WaitingSend) {
                        assert!(poll(Pin::new(&mut send)).is_pending());
                    }
                    assert!(catch_unwind(AssertUnwindSafe(|| drop(send))).is_err());
                    drop(tx);
                    (0..3).for_each(|_| assert!(rx.try_recv().is_ok()));
                    assert_eq!(rx.try_recv().err(), Some(TryRecvError::Closed));
                }
            }
            assert_eq!(drops.load(SeqCst), 4, "{lies:?}");
        });
    }
}

#[test]
fn a_value_may_hold_its_own_channel() {
    /// Comes back to the channel when it is dropped, and ends handles of it.
    struct Ring(Sender<Ring>, Receiver<Ring>, Arc<AtomicUsize>);

    impl Drop for Ring {
        fn drop(&mut self) {
            self.2.fetch_add(1, SeqCst);
            let _ = (self.0.len(), self.1.try_recv(), self.0.close());
        }
    }

    must_end(|| {
        let drops = Arc::new(AtomicUsize::new(0));
        for capacity in CAPACITIES {
            let (tx, rx) = channel(capacity);
            for _ in 0..3 {
                let _ = tx.try_send(Ring(tx.clone(), rx.clone(), drops.clone()));
            }
            let mut send = Box::pin(tx.send(Ring(tx.clone(), rx.clone(), drops.clone())));
            let _ = poll(send.as_mut());
            drop(send);
            // Handles in the queue keep the channel; who wants it to end takes them out.
            while let Ok(ring) = rx.try_recv() {
                drop(ring);
            }
            assert_eq!((tx.sender_count(), tx.receiver_count(), tx.len()), (1, 1, 0), "{capacity}");
        }
        assert_eq!(drops.load(SeqCst), 3 * 4);
    });
}

#[test]
fn a_channel_outlives_its_runtime() {
    must_end(|| {
        for capacity in CAPACITIES {
            let (tx, rx) = channel(capacity);
            let runtime = Runtime::builder().workers(1).build().unwrap();
            let receives: Vec<_> = (0..3)
                .map(|_| {
                    let rx = rx.clone();
                    runtime.spawn(async move { rx.recv().await })
                })
                .collect();
            await_parked(runtime.handle(), "chan recv", 3);
            // Somebody is called while others wait, so that the runtime's timers have to do with it.
            let mut first = pin!(rx.recv());
            assert!(poll(first.as_mut()).is_pending());
            runtime.block_on(tx.send(1)).unwrap();
            drop(runtime);
            let lost = receives.into_iter().filter_map(|receive| futures::executor::block_on(receive).ok()).count();
            assert!(lost <= 1);
            // Under another executor, on both sides.
            let sends = thread::spawn({
                let tx = tx.clone();
                move || {
                    futures::executor::block_on(async move { (0..100).map(|n| tx.send(n)).collect::<Vec<_>>().len() })
                }
            });
            sends.join().unwrap();
            let (tx, rx) = (tx, rx.clone());
            let sends = thread::spawn(move || {
                futures::executor::block_on(async move {
                    for n in 2..100 {
                        tx.send(n).await.unwrap();
                    }
                })
            });
            let mut sum = 0;
            sum += futures::executor::block_on(first).unwrap();
            while let Some(n) = futures::executor::block_on(rx.recv()) {
                sum += n;
            }
            sends.join().unwrap();
            assert_eq!(sum, if lost == 1 { 4949 } else { 4950 });
        }
    });
}

/// Waits until so many tasks wait for that.
fn await_parked(handle: &Handle, reason: &str, count: usize) {
    let begin = Instant::now();
    while handle.parked_tasks().iter().filter(|task| task.wait.as_str() == reason).count() != count {
        assert!(begin.elapsed() < PATIENCE, "{reason}");
        thread::yield_now();
    }
}

/// Those called lie in a `FuturesUnordered` that is not polled, while the last one is awaited; and so on until none is left.
#[test]
fn receivers_that_nobody_polls_hold_up_nobody() {
    for capacity in CAPACITIES {
        let (tx, rx) = channel(capacity);
        gambol::block_on(async {
            let mut lies: FuturesUnordered<_> = (0..4).map(|_| rx.recv()).collect();
            assert!(lies.next().now_or_never().is_none());
            let sends = gambol::spawn(async move {
                for n in 0..8 {
                    tx.send(n).await.unwrap();
                }
            });
            // In line behind the others, as a task each.
            let received: Vec<JoinHandle<Option<u32>>> = (0..4)
                .map(|_| {
                    let rx = rx.clone();
                    gambol::spawn(async move { rx.recv().await })
                })
                .collect();
            let mut all = Vec::new();
            for receive in received {
                all.push(receive.await.unwrap().unwrap());
            }
            while let Some(value) = lies.next().await {
                all.push(value.unwrap());
            }
            sends.await.unwrap();
            all.sort_unstable();
            assert_eq!(all, (0..8).collect::<Vec<_>>());
        });
    }
}

#[test]
fn both_sides_of_a_rendezvous_in_one_task_meet() {
    gambol::block_on(async {
        let (tx, rx) = chan::unbuffered();
        for n in 0..1000 {
            let (sent, received) = gambol::join!(tx.send(n), rx.recv());
            assert_eq!((sent, received), (Ok(()), Some(n)));
            let (received, sent) = gambol::join!(rx.recv(), tx.send(n));
            assert_eq!((sent, received), (Ok(()), Some(n)));
            // Who is polled first changes from turn to turn.
            let (one, two, _, _) = gambol::join!(rx.recv(), rx.recv(), tx.send(1), tx.send(2));
            assert_eq!(one.unwrap() + two.unwrap(), 3);
        }
    });
}

/// What is always ready.
#[derive(Clone, Copy, Debug)]
enum Loop {
    Send,
    SendFrom,
    Sink,
    Recv,
    Stream,
}

#[test]
fn a_loop_over_a_channel_that_is_always_ready_lets_others_run() {
    for what in [Loop::Send, Loop::SendFrom, Loop::Sink, Loop::Recv, Loop::Stream] {
        must_end(move || {
            let runtime = Runtime::builder().workers(1).max_workers(1).build().unwrap();
            let stop = Arc::new(AtomicBool::new(false));
            let stops = stop.clone();
            let turns = runtime.spawn(async move {
                let (mut tx, mut rx) = chan::buffered(2);
                // Begins when this does, and runs when this lets it.
                gambol::spawn(async move { stops.store(true, SeqCst) });
                let mut turns = 0_u64;
                while !stop.load(SeqCst) {
                    turns += 1;
                    match what {
                        Loop::Send => tx.send(1).await.unwrap(),
                        Loop::SendFrom => tx.send_from(&mut Some(1)).await.unwrap(),
                        Loop::Sink => SinkExt::send(&mut tx, 1).await.unwrap(),
                        Loop::Recv | Loop::Stream => tx.try_send(1).unwrap(),
                    }
                    match what {
                        Loop::Recv => assert_eq!(rx.recv().await, Some(1)),
                        Loop::Stream => assert_eq!(rx.next().await, Some(1)),
                        _ => assert_eq!(rx.try_recv(), Ok(1)),
                    }
                }
                turns
            });
            assert!(runtime.block_on(turns).unwrap() > 0, "{what:?}");
        });
    }
}

#[test]
fn who_waits_says_for_what() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let (tx, rx) = chan::unbuffered::<u32>();
    let (full, _keeps) = chan::buffered::<u32>(1);
    full.try_send(0).unwrap();
    let (mut one, single) = chan::oneshot::<u32>();
    let (_other, waits) = chan::oneshot::<u32>();
    let mut stream = rx.clone();
    let mut sink = full.clone();
    let receives = [
        runtime.spawn(async move { ignore(rx.recv().await) }),
        runtime.spawn(async move { ignore(stream.next().await) }),
        runtime.spawn(async move { ignore(waits.await) }),
    ];
    await_parked(runtime.handle(), "chan recv", receives.len());
    let sends = [
        runtime.spawn(async move { ignore(full.send(1).await) }),
        runtime.spawn(async move { ignore(SinkExt::send(&mut sink, 1).await) }),
        runtime.spawn(async move { one.closed().await }),
    ];
    await_parked(runtime.handle(), "chan send", sends.len());
    drop((tx, single));
    sends.into_iter().chain(receives).for_each(|task| task.abort());
}

#[test]
fn values_that_stay_on_their_thread_travel_on_it() {
    gambol::block_on(async {
        for capacity in CAPACITIES {
            let (tx, rx) = channel(capacity);
            let (done, wait) = chan::oneshot();
            let waits = gambol::spawn_local(async move { wait.await.map(|last: Rc<u32>| *last) });
            let sends = gambol::spawn_local(async move {
                for n in 0..100 {
                    tx.send(Rc::new(n)).await.unwrap();
                }
            });
            // Two in line at times, so that the timer's thread looks at the channel as well.
            let second = gambol::spawn_local({
                let rx = rx.clone();
                async move {
                    gambol::time::sleep(Duration::from_millis(1)).await;
                    rx.recv().await
                }
            });
            let mut last = Rc::new(0);
            while let Some(n) = rx.recv().await {
                last = n;
            }
            assert!(done.send(last).is_ok());
            sends.await.unwrap();
            assert!(second.await.unwrap().is_none_or(|n| *n < 100));
            assert!(waits.await.unwrap().unwrap() >= 98);
        }
    });
}

#[test]
fn what_may_go_where() {
    fn send_and_sync<T: Send + Sync + Unpin + 'static>() {}
    fn static_error<T: std::error::Error + Send + Sync + 'static>() {}
    send_and_sync::<Sender<Cell<u8>>>();
    send_and_sync::<Receiver<Cell<u8>>>();
    send_and_sync::<chan::WeakSender<Cell<u8>>>();
    send_and_sync::<chan::WeakReceiver<Cell<u8>>>();
    send_and_sync::<oneshot::Sender<Cell<u8>>>();
    send_and_sync::<oneshot::Receiver<Cell<u8>>>();
    send_and_sync::<chan::Receiving<'static, Cell<u8>>>();
    static_error::<SendError<u8>>();
    static_error::<chan::TrySendError<u8>>();
    static_error::<TryRecvError>();
    static_error::<chan::RecvError>();
    // A sending future moves with its value, which need not be Sync for that.
    fn send<T: Send + Unpin>() {}
    send::<chan::Sending<'static, Cell<u8>>>();
}
