//! Channels with very many in line, or very much in them: whoever comes, goes and in whatever order, the work grows with their number and no
//! faster, places are kept, and memory is given back.
//!
//! With 100,000 waiters a square would be minutes, or hours; the limit is generous.

mod helpers;

use futures::StreamExt;
use gambol::chan::{self, Receiving, Sender, TryRecvError};
use helpers::PATIENCE;
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::{Duration, Instant},
};

const CROWD: usize = 100_000;

/// Counts for each thread the bytes that it has and has not given back.
struct Counting;

thread_local! {
    static BYTES: Cell<isize> = const { Cell::new(0) };
}

// SAFETY: everything is passed on to the system's allocator; the counter does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = BYTES.try_with(|bytes| bytes.set(bytes.get() + layout.size() as isize));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        let _ = BYTES.try_with(|bytes| bytes.set(bytes.get() - layout.size() as isize));
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The order in which a crowd does something.
#[derive(Clone, Copy, Debug)]
enum Order {
    AsTheyCame,
    LastFirst,
    Random,
}

const ORDERS: [Order; 3] = [Order::AsTheyCame, Order::LastFirst, Order::Random];

impl Order {
    fn of<T>(self, mut crowd: Vec<T>) -> Vec<T> {
        match self {
            Order::AsTheyCame => {}
            Order::LastFirst => crowd.reverse(),
            Order::Random => fastrand::Rng::with_seed(1).shuffle(&mut crowd),
        }
        crowd
    }
}

/// Knows how many were woken, and who last.
#[derive(Default)]
struct Woken {
    count: AtomicUsize,
    last: AtomicUsize,
}

struct Numbered(usize, Arc<Woken>);

impl Wake for Numbered {
    fn wake(self: Arc<Self>) {
        self.1.count.fetch_add(1, SeqCst);
        self.1.last.store(self.0, SeqCst);
    }
}

fn poll_as<F: Future + Unpin>(future: &mut F, number: usize, woken: &Arc<Woken>) -> Poll<F::Output> {
    let waker = Waker::from(Arc::new(Numbered(number, woken.clone())));
    Pin::new(future).poll(&mut Context::from_waker(&waker))
}

fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Runs it and fails if it took too long; under a sanitizer or a slow machine a line is still far from that.
fn in_time(what: &str, f: impl FnOnce()) {
    let begin = Instant::now();
    f();
    let took = begin.elapsed();
    println!("{what}: {took:?}");
    assert!(took < PATIENCE, "{what} took {took:?}");
}

/// So many receives in line.
fn line<'a>(rx: &'a chan::Receiver<usize>, woken: &Arc<Woken>) -> Vec<Receiving<'a, usize>> {
    let mut receives: Vec<_> = (0..CROWD).map(|_| rx.recv()).collect();
    for (number, receive) in receives.iter_mut().enumerate() {
        assert!(poll_as(receive, number, woken).is_pending());
    }
    receives
}

/// A channel whose receivers do not come calls all of them in the end, from another thread.
fn await_woken(woken: &Woken, count: usize) {
    let begin = Instant::now();
    while woken.count.load(SeqCst) < count {
        assert!(begin.elapsed() < PATIENCE);
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_crowd_goes_away_in_any_order() {
    for order in ORDERS {
        in_time(&format!("receivers go, {order:?}"), || {
            let (_tx, rx) = chan::unbounded();
            drop(order.of(line(&rx, &Arc::default())));
        });
        in_time(&format!("senders go, {order:?}"), || {
            let (tx, _rx) = chan::unbuffered();
            let mut sends: Vec<_> = (0..CROWD).map(|n| tx.send(n)).collect();
            sends.iter_mut().for_each(|send| assert!(poll(send).is_pending()));
            drop(order.of(sends));
        });
        in_time(&format!("called receivers go, {order:?}"), || {
            let (tx, rx) = chan::unbounded();
            let woken = Arc::default();
            let receives = line(&rx, &woken);
            (0..CROWD).for_each(|n| tx.try_send(n).unwrap());
            await_woken(&woken, CROWD);
            drop(order.of(receives));
            assert_eq!(tx.len(), CROWD);
        });
        in_time(&format!("a crowd is told of the end, {order:?}"), || {
            let (tx, rx) = chan::unbuffered();
            let woken = Arc::default();
            let receives = line(&rx, &woken);
            drop(tx);
            await_woken(&woken, CROWD);
            order.of(receives).iter_mut().for_each(|receive| assert_eq!(poll(receive), Poll::Ready(None)));
        });
    }
}

#[test]
fn a_crowd_that_was_called_for_nothing_gets_in_line_again() {
    for order in ORDERS {
        in_time(&format!("overtaken one by one, {order:?}"), || {
            let (tx, rx) = chan::unbounded();
            let woken = Arc::default();
            let receives = line(&rx, &woken);
            (0..CROWD).for_each(|n| tx.try_send(n).unwrap());
            (0..CROWD).for_each(|n| assert_eq!(rx.try_recv(), Ok(n)));
            let mut crowd = order.of(receives);
            crowd.iter_mut().for_each(|receive| assert!(poll_as(receive, 0, &woken).is_pending()));
            let before = woken.count.load(SeqCst);
            (0..CROWD).for_each(|n| tx.try_send(n).unwrap());
            await_woken(&woken, before + CROWD);
            drop(crowd);
        });
        in_time(&format!("all called because one does not come, {order:?}"), || {
            let (tx, rx) = chan::unbounded();
            let woken = Arc::default();
            let receives = line(&rx, &woken);
            tx.try_send(0).unwrap();
            await_woken(&woken, CROWD);
            assert_eq!(rx.try_recv(), Ok(0));
            let mut crowd = order.of(receives);
            crowd.iter_mut().for_each(|receive| assert!(poll(receive).is_pending()));
            tx.close();
            crowd.iter_mut().for_each(|receive| assert_eq!(poll(receive), Poll::Ready(None)));
        });
    }
}

#[test]
fn senders_that_wait_are_served_in_the_order_of_their_coming() {
    for capacity in [0, 1, 10] {
        let (tx, rx) = chan::buffered(capacity);
        let mut sends: Vec<_> = (0..CROWD).map(|n| tx.send(n)).collect();
        let waiting = sends.iter_mut().filter_map(|send| poll(send).is_pending().then_some(())).count();
        assert_eq!(waiting, CROWD - capacity);
        (0..CROWD).for_each(|n| assert_eq!(rx.try_recv(), Ok(n)));
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    }
}

/// In which order those are called who have been called for nothing before, and those who have not; and who is left when some have gone.
#[test]
fn receivers_are_called_in_the_order_of_their_coming() {
    const SOME: usize = 60;
    for (order, seed) in ORDERS.into_iter().flat_map(|order| [1, 2, 3].map(|seed| (order, seed))) {
        // Once more, if the machine was so slow that everybody was called because nobody came.
        let begin = Instant::now();
        while let Err(took) = called_in_order(order, seed, SOME) {
            assert!(begin.elapsed() < PATIENCE, "{took:?}");
        }
    }
}

fn called_in_order(order: Order, seed: u64, some: usize) -> Result<(), Duration> {
    let begin = Instant::now();
    let (tx, rx) = chan::unbounded();
    let woken: Arc<Woken> = Arc::default();
    let mut receives: Vec<_> = (0..2 * some).map(|_| rx.recv()).collect();
    for (number, receive) in receives.iter_mut().enumerate() {
        assert!(poll_as(receive, number, &woken).is_pending());
    }
    let mut called = Vec::new();
    for n in 0..some {
        tx.try_send(n).unwrap();
        called.push(woken.last.load(SeqCst));
    }
    (0..some).for_each(|n| assert_eq!(rx.try_recv(), Ok(n)));
    let mut crowd: Vec<_> = receives.into_iter().enumerate().map(Some).collect();
    for number in order.of((0..some).collect()) {
        let (_, receive) = crowd[number].as_mut().unwrap();
        assert!(poll_as(receive, number, &woken).is_pending());
    }
    // Some go, and some of these places are taken by others, at the end of the line.
    let mut random = fastrand::Rng::with_seed(seed);
    let mut here: Vec<usize> = (0..2 * some).collect();
    for number in 0..2 * some {
        if random.u8(0..3) == 0 {
            crowd[number] = None;
            here.retain(|other| *other != number);
        }
    }
    for number in 2 * some..3 * some {
        let mut receive = rx.recv();
        assert!(poll_as(&mut receive, number, &woken).is_pending());
        crowd.push(Some((number, receive)));
        here.push(number);
    }
    let mut second = Vec::new();
    for n in 0..here.len() {
        tx.try_send(n).unwrap();
        second.push(woken.last.load(SeqCst));
    }
    // Patience is 20 ms.
    if begin.elapsed() > Duration::from_millis(15) {
        return Err(begin.elapsed());
    }
    assert_eq!(called, (0..some).collect::<Vec<_>>());
    assert_eq!(second, here, "{order:?} {seed}");
    Ok(())
}

/// Bytes that this thread has and that `f` has left behind.
fn kept<T>(f: impl FnOnce() -> T) -> (T, isize) {
    let before = BYTES.get();
    let result = f();
    (result, BYTES.get() - before)
}

/// What a channel that had a crowd may keep: a chunk of values, and a few slots.
const LITTLE: isize = 20_000;

#[test]
fn an_idle_channel_takes_little_and_gives_back_what_it_took_at_its_peak() {
    let (ends, bytes) = kept(|| chan::buffered::<u64>(1_000_000));
    assert!(bytes < 1_000, "{bytes}");
    drop(ends);
    let ((tx, mut rx), bytes) = kept(|| {
        let (tx, rx) = chan::unbounded::<u64>();
        (0..1_000_000).for_each(|n| tx.try_send(n).unwrap());
        (tx, rx)
    });
    assert!((8_000_000..10_000_000).contains(&bytes), "{bytes}");
    let ((), given) = kept(|| (0..1_000_000).for_each(|n| assert_eq!(rx.try_recv(), Ok(n))));
    assert!(bytes + given < LITTLE, "{bytes} {given}");
    // Those who waited.
    let (_, bytes) = kept(|| {
        let mut receives: Vec<_> = (0..CROWD).map(|_| rx.recv()).collect();
        receives.iter_mut().for_each(|receive| assert!(poll(receive).is_pending()));
    });
    assert!(bytes < LITTLE, "{bytes}");
    // Who comes and goes, and is overtaken, for ever.
    let mut turn = |tx: &Sender<u64>| {
        let mut recv = rx.recv();
        assert!(poll(&mut recv).is_pending());
        tx.try_send(1).unwrap();
        assert_eq!(rx.try_recv(), Ok(1));
        assert!(poll(&mut recv).is_pending());
        drop(recv);
        assert!(poll(&mut rx.next()).is_pending());
    };
    (0..100).for_each(|_| turn(&tx));
    let ((), bytes) = kept(|| (0..10_000).for_each(|_| turn(&tx)));
    assert!(bytes <= 0, "{bytes}");
    let ((), bytes) = kept(|| {
        let (tx, rx) = chan::unbuffered::<[u8; 100]>();
        let mut sends: Vec<_> = (0..CROWD).map(|_| tx.send([0; 100])).collect();
        sends.iter_mut().for_each(|send| assert!(poll(send).is_pending()));
        drop((sends, rx));
    });
    assert_eq!(bytes, 0);
}
