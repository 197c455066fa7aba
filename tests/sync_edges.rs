//! What the documents of `sync` say of the edges: nothing, too much, for ever, after the end, twice.

mod helpers;

use futures::{FutureExt, StreamExt, stream::FuturesUnordered};
use gambol::{
    runtime::Runtime,
    sync::{Barrier, Mutex, OnceCell, RwLock, RwLockUpgradableReadGuard, Semaphore, broadcast, watch},
};
use helpers::PATIENCE;
use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    task::{Context, Poll, Wake, Waker},
    thread,
};

fn poll<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn panics<T>(f: impl FnOnce() -> T) -> bool {
    catch_unwind(AssertUnwindSafe(f)).is_err()
}

/// Panics, without a word on stderr.
fn evil() -> ! {
    resume_unwind(Box::new("evil"))
}

/// Runs on a thread of its own and fails if that does not end.
fn must_end(f: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::channel();
    let thread = thread::spawn(move || {
        f();
        let _ = done.send(());
    });
    if let Err(mpsc::RecvTimeoutError::Timeout) = ended.recv_timeout(PATIENCE) {
        panic!("hangs");
    }
    thread.join().unwrap_or_else(|payload| resume_unwind(payload));
}

#[test]
fn nobody_is_overtaken_even_by_who_wants_no_permit() {
    let semaphore = Semaphore::new(1);
    assert!(semaphore.try_acquire_many(0).is_some());
    let mut two = semaphore.acquire_many(2);
    assert!(poll(Pin::new(&mut two)).is_pending());
    let mut none = semaphore.acquire_many(0);
    assert!(semaphore.try_acquire_many(0).is_none() && semaphore.try_acquire().is_none());
    assert!(poll(Pin::new(&mut none)).is_pending());
    drop(two);
    assert!(poll(Pin::new(&mut none)).is_ready());
    assert_eq!(semaphore.available_permits(), 1);
    semaphore.close();
    assert!(semaphore.try_acquire_many(0).is_none());
}

#[test]
fn who_wants_more_than_there_are_holds_up_those_behind_until_it_goes_away() {
    let semaphore = Semaphore::new(3);
    let mut many = semaphore.acquire_many(u32::MAX);
    assert!(poll(Pin::new(&mut many)).is_pending());
    let mut waits: Vec<_> = (0..4).map(|_| Box::pin(semaphore.acquire())).collect();
    assert!(waits.iter_mut().all(|wait| poll(wait.as_mut()).is_pending()));
    assert_eq!(semaphore.available_permits(), 3);
    drop(many);
    let guards: Vec<_> = waits.iter_mut().filter_map(|wait| wait.as_mut().now_or_never()).collect();
    assert_eq!(guards.len(), 3, "the fourth waits");
}

#[test]
fn permits_beyond_what_is_counted_are_refused_whoever_waits() {
    for waits in [false, true] {
        let semaphore = Semaphore::new(2);
        let held = semaphore.try_acquire().unwrap();
        let mut many = semaphore.acquire_many(u32::MAX);
        if waits {
            assert!(poll(Pin::new(&mut many)).is_pending());
        }
        for n in [usize::MAX, usize::MAX / 4, Semaphore::MAX_PERMITS] {
            assert!(panics(|| semaphore.add_permits(n)), "{n}");
            assert_eq!(semaphore.available_permits(), 1);
        }
        drop(held);
        assert_eq!(semaphore.available_permits(), 2);
        drop(many);
        assert!(semaphore.try_acquire_many(2).is_some(), "waits: {waits}");
    }
    assert!(panics(|| Semaphore::new(Semaphore::MAX_PERMITS + 1)));
    let most = Semaphore::new(Semaphore::MAX_PERMITS);
    drop(most.try_acquire_many(u32::MAX).unwrap());
    assert_eq!(most.forget_permits(usize::MAX), Semaphore::MAX_PERMITS);
}

/// Each is served, closed upon, and dropped in every order.
#[test]
fn who_was_served_before_the_close_has_its_permit() {
    for (drops_first, gives_late) in [(false, false), (false, true), (true, false), (true, true)] {
        let semaphore = Semaphore::new(0);
        let mut waits = [semaphore.acquire().or_closed(), semaphore.acquire().or_closed()];
        assert!(waits.iter_mut().all(|wait| poll(Pin::new(wait)).is_pending()));
        semaphore.add_permits(1);
        semaphore.close();
        if gives_late {
            semaphore.add_permits(1);
        }
        let [served, mut refused] = waits;
        let mut served = Some(served);
        if drops_first {
            served = None;
        }
        assert!(matches!(poll(Pin::new(&mut refused)), Poll::Ready(Err(_))));
        if let Some(mut served) = served {
            assert!(matches!(poll(Pin::new(&mut served)), Poll::Ready(Ok(_))));
        }
        assert_eq!(semaphore.available_permits(), 1 + usize::from(gives_late));
        assert!(semaphore.try_acquire().is_none());
    }
}

#[test]
fn a_future_that_is_forgotten_holds_up_those_behind_and_nobody_else() {
    let mutex = Mutex::new(());
    let guard = mutex.try_lock().unwrap();
    let mut forgotten = mutex.lock();
    assert!(poll(Pin::new(&mut forgotten)).is_pending());
    let mut behind = mutex.lock();
    assert!(poll(Pin::new(&mut behind)).is_pending());
    std::mem::forget(forgotten);
    drop(guard);
    assert!(poll(Pin::new(&mut behind)).is_pending(), "the other one was called");
    assert!(mutex.try_lock().is_some());
    assert!(poll(Pin::new(&mut mutex.lock())).is_ready());
    drop(behind);
    assert!(mutex.try_lock().is_some());
}

/// The called one stands in a set that its task does not poll, since it waits for the same lock itself. It is not overtaken for
/// ever: who comes new gets the free lock.
#[gambol::test]
async fn who_comes_new_gets_the_lock_that_a_set_was_called_for() {
    let mutex = Mutex::new(0);
    let guard = mutex.lock().await;
    let mut set: FuturesUnordered<_> = (0..2).map(|_| mutex.lock()).collect();
    assert!(set.next().now_or_never().is_none());
    drop(guard);
    *mutex.lock().await += 1;
    while let Some(mut guard) = set.next().await {
        *guard += 1;
    }
    assert_eq!(*mutex.lock().await, 3);
}

#[test]
fn a_wait_that_was_called_is_dropped_by_another_thread() {
    for _ in 0..200 {
        let mutex = Arc::new(Mutex::new(()));
        let semaphore = Arc::new(Semaphore::new(1));
        let (guard, permit) = (mutex.try_lock_arc().unwrap(), semaphore.try_acquire_arc().unwrap());
        let mut waits: Vec<_> = (0..3).map(|_| (mutex.lock_arc(), semaphore.acquire_arc())).collect();
        for (lock, acquire) in &mut waits {
            assert!(poll(Pin::new(lock)).is_pending() && poll(Pin::new(acquire)).is_pending());
        }
        let last = waits.pop().unwrap();
        let threads: Vec<_> = waits.into_iter().map(|wait| thread::spawn(move || drop(wait))).collect();
        // The guards are sent, and given back elsewhere too.
        let gives = thread::spawn(move || drop((guard, permit)));
        drop((mutex.clone(), semaphore.clone()));
        let _both = futures::executor::block_on(async { (last.0.await, last.1.await) });
        threads.into_iter().chain([gives]).for_each(|thread| thread.join().unwrap());
    }
}

#[test]
fn a_guard_keeps_alive_what_it_comes_from() {
    struct Tells(Arc<AtomicUsize>);
    impl Drop for Tells {
        fn drop(&mut self) {
            self.0.fetch_add(1, SeqCst);
        }
    }
    let gone = Arc::new(AtomicUsize::new(0));
    let mutex = Arc::new(Mutex::new(Tells(gone.clone()))).try_lock_arc().unwrap();
    let read = Arc::new(RwLock::new(Tells(gone.clone()))).try_read_arc().unwrap();
    let write = Arc::new(RwLock::new(Tells(gone.clone()))).try_write_arc().unwrap();
    let upgradable = Arc::new(RwLock::new(Tells(gone.clone()))).try_upgradable_read_arc().unwrap();
    assert_eq!(gone.load(SeqCst), 0);
    thread::spawn(move || drop((mutex, read, write, upgradable))).join().unwrap();
    assert_eq!(gone.load(SeqCst), 4);
}

#[test]
fn there_is_one_upgradable_reader_and_no_writer_beside_it() {
    let lock = RwLock::new(0);
    let upgradable = lock.try_upgradable_read().unwrap();
    assert!(lock.try_upgradable_read().is_none() && lock.try_write().is_none());
    let reader = lock.try_read().unwrap();
    let mut other = pin!(lock.upgradable_read());
    let mut writer = pin!(lock.write());
    assert!(poll(other.as_mut()).is_pending() && poll(writer.as_mut()).is_pending());
    let upgradable = RwLockUpgradableReadGuard::try_upgrade(upgradable).unwrap_err();
    {
        // Given up half-way: the lock is lost, and the next upgradable reader has it.
        let mut upgrade = pin!(RwLockUpgradableReadGuard::upgrade(upgradable));
        assert!(poll(upgrade.as_mut()).is_pending());
        assert!(lock.try_read().is_none(), "readers wait behind an upgrade");
    }
    let Poll::Ready(upgradable) = poll(other.as_mut()) else { panic!("it was its turn") };
    drop(reader);
    let Ok(mut guard) = RwLockUpgradableReadGuard::try_upgrade(upgradable) else { panic!("nobody reads") };
    *guard += 1;
    assert!(poll(writer.as_mut()).is_pending());
    drop(guard);
    let Poll::Ready(guard) = poll(writer.as_mut()) else { panic!("it was its turn") };
    assert_eq!(*guard, 1);
}

#[test]
fn at_a_barrier_for_nobody_or_one_everybody_is_the_leader() {
    for n in [0, 1] {
        let barrier = Barrier::new(n);
        for _ in 0..3 {
            assert!(barrier.wait().now_or_never().unwrap().is_leader());
        }
    }
    let barrier = Barrier::new(usize::MAX);
    let mut wait = barrier.wait();
    assert!(poll(Pin::new(&mut wait)).is_pending());
}

/// Who was let go and is not polled keeps nobody from the next round.
#[test]
fn a_barrier_starts_again_while_some_have_not_left() {
    let barrier = Barrier::new(2);
    let mut first = barrier.wait();
    assert!(poll(Pin::new(&mut first)).is_pending());
    assert!(barrier.wait().now_or_never().unwrap().is_leader());
    let mut next = barrier.wait();
    assert!(poll(Pin::new(&mut next)).is_pending());
    drop(first);
    assert!(barrier.wait().now_or_never().unwrap().is_leader(), "who had left is not taken for one who gives up");
    assert!(!next.now_or_never().unwrap().is_leader());
}

#[test]
fn a_cell_that_is_asked_for_while_it_is_made_waits_for_itself_and_can_be_given_up() {
    let cell = OnceCell::new();
    let inner = async {
        assert_eq!(cell.try_set(5), Err(5));
        *cell.get_or_init(|| async { 1 }).await
    };
    assert!(cell.get_or_init(|| inner).now_or_never().is_none());
    assert_eq!(cell.get_or_init(|| async { 2 }).now_or_never(), Some(&2));
    let cell = OnceCell::<u8>::new();
    assert!(panics(|| cell.get_or_init(|| async { evil() }).now_or_never()));
    assert_eq!(cell.try_set(3), Ok(()));
}

/// A value whose clone and drop do as they are told.
struct Value {
    number: u32,
    clone: Option<Arc<dyn Fn() + Send + Sync>>,
    drop: Option<Arc<dyn Fn() + Send + Sync>>,
}

impl Clone for Value {
    fn clone(&self) -> Value {
        self.clone.iter().for_each(|does| does());
        Value { number: self.number, clone: None, drop: None }
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        self.drop.take().into_iter().for_each(|does| does());
    }
}

#[test]
fn a_value_that_comes_back_to_its_broadcast_when_cloned_or_dropped_finds_it_unlocked() {
    must_end(|| {
        let (sender, mut one) = broadcast::channel(1);
        let mut other = sender.subscribe();
        let meddles: Arc<dyn Fn() + Send + Sync> = {
            let sender = sender.clone();
            Arc::new(move || {
                let mut late = sender.subscribe();
                assert!(late.is_empty() && late.try_recv().is_err());
                assert!(sender.send(Value { number: 7, clone: None, drop: None }).is_ok());
                assert_eq!(late.try_recv().unwrap().number, 7);
            })
        };
        let value = |number| Value { number, clone: Some(meddles.clone()), drop: Some(meddles.clone()) };
        assert_eq!(sender.send(value(1)).unwrap(), 2);
        // The clone sends 7, which displaces 1; the end of that one sends 7 again.
        assert_eq!(one.try_recv().unwrap().number, 1);
        assert_eq!(one.try_recv().map(|value| value.number), Err(broadcast::TryRecvError::Lagged(1)));
        assert_eq!(one.try_recv().unwrap().number, 7);
        assert_eq!(other.try_recv().map(|value| value.number), Err(broadcast::TryRecvError::Lagged(2)));
        assert_eq!(other.try_recv().unwrap().number, 7);
        // The drop of the oldest sends another one after what displaced it.
        let plain = Value { number: 3, clone: None, drop: None };
        assert!(sender.send(value(2)).is_ok() && sender.send(plain).is_ok());
        assert_eq!(one.len(), 3);
        assert_eq!(one.try_recv().map(|value| value.number), Err(broadcast::TryRecvError::Lagged(2)));
        drop((sender, one, other));
    });
}

#[test]
fn a_value_whose_drop_panics_is_gone_and_nothing_else() {
    let bad = |number| Value { number, clone: None, drop: Some(Arc::new(|| evil())) };
    let good = |number| Value { number, clone: None, drop: None };
    let (sender, mut receiver) = broadcast::channel(2);
    for number in 0..2 {
        assert!(sender.send(bad(number)).is_ok());
    }
    assert!(panics(|| sender.send(good(2))));
    assert!(panics(|| sender.send(good(3))));
    assert_eq!(receiver.try_recv().map(|value| value.number), Err(broadcast::TryRecvError::Lagged(2)));
    assert_eq!([receiver.try_recv().unwrap().number, receiver.try_recv().unwrap().number], [2, 3]);
    assert!(sender.send(bad(4)).is_ok());
    assert!(panics(|| drop(receiver)));
    assert_eq!((sender.receiver_count(), sender.len(), sender.is_closed()), (0, 0, true));
    assert!(sender.closed().now_or_never().is_some());
    let (sender, receiver) = watch::channel(bad(1));
    assert!(panics(|| sender.send(good(2))));
    assert_eq!(receiver.borrow().number, 2);
}

#[test]
fn a_broadcast_of_any_size_counts_what_was_lost() {
    assert!(panics(|| broadcast::channel::<u8>(0)));
    let (sender, mut receiver) = broadcast::channel(usize::MAX);
    assert!((0..10).all(|value| sender.send(value) == Ok(1)));
    assert!((0..10).all(|value| receiver.try_recv() == Ok(value)));
    for capacity in 1..5 {
        for sent in 0..12 {
            let (sender, mut receiver) = broadcast::channel(capacity);
            assert!((0..sent).all(|value| sender.send(value).is_ok()));
            let late = sender.subscribe();
            drop(sender);
            assert_eq!((receiver.len(), late.len()), (sent, 0));
            let lost = sent.saturating_sub(capacity);
            if lost > 0 {
                assert_eq!(receiver.try_recv(), Err(broadcast::TryRecvError::Lagged(lost as u64)));
            }
            assert!((lost..sent).all(|value| receiver.try_recv() == Ok(value)));
            assert_eq!(receiver.try_recv(), Err(broadcast::TryRecvError::Closed));
        }
    }
}

#[test]
fn a_broadcast_without_receivers_opens_again() {
    let (sender, receiver) = broadcast::channel(4);
    let mut closed = pin!(sender.closed().fuse());
    assert!(poll(closed.as_mut()).is_pending());
    sender.send(1).unwrap();
    drop(receiver);
    let mut receiver = sender.subscribe();
    assert!(poll(closed.as_mut()).is_pending(), "it was called, and is over");
    sender.send(2).unwrap();
    assert_eq!(receiver.try_recv(), Ok(2));
    drop(receiver);
    assert!(poll(closed.as_mut()).is_ready());
}

#[gambol::test]
async fn a_value_that_was_waited_for_has_changed() {
    let (sender, mut receiver) = watch::channel(0);
    assert!(!receiver.wait_for(|value| *value == 0).await.unwrap().has_changed());
    {
        let mut wait = pin!(receiver.wait_for(|value| *value == 2));
        assert!(wait.as_mut().now_or_never().is_none());
        sender.send(1).unwrap();
        assert!(wait.as_mut().now_or_never().is_none());
        sender.send(2).unwrap();
        let value = wait.await.unwrap();
        assert_eq!((*value, value.has_changed()), (2, true));
    }
    assert!(!receiver.borrow().has_changed());
    sender.send(3).unwrap();
    assert!(receiver.wait_for(|value| *value == 3).await.unwrap().has_changed());
}

#[test]
fn a_watch_that_is_marked_and_over_gives_its_value_once_more() {
    let (sender, mut receiver) = watch::channel(0);
    receiver.mark_changed();
    receiver.mark_changed();
    assert_eq!((receiver.has_changed(), receiver.borrow().has_changed()), (Ok(true), true));
    assert!(receiver.changed().now_or_never().unwrap().is_ok());
    assert!(receiver.changed().now_or_never().is_none());
    sender.send(1).unwrap();
    receiver.mark_unchanged();
    assert!(receiver.changed().now_or_never().is_none());
    drop(sender);
    receiver.mark_changed();
    assert!(receiver.changed().now_or_never().unwrap().is_ok());
    assert!(receiver.changed().now_or_never().unwrap().is_err());
    // One that panics looks at the value; it counts as seen, and nothing stays locked.
    assert!(panics(|| receiver.wait_for(|_| evil()).now_or_never().is_some()));
    assert!(receiver.wait_for(|value| *value == 1).now_or_never().unwrap().is_ok());
}

#[test]
fn who_is_polled_again_keeps_its_place_among_those_who_wait_for_a_change() {
    struct Order(usize, Arc<std::sync::Mutex<Vec<usize>>>);
    impl Wake for Order {
        fn wake(self: Arc<Self>) {
            self.1.lock().unwrap().push(self.0);
        }
    }
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let (sender, receiver) = watch::channel(0);
    let mut receivers = [receiver.clone(), receiver.clone(), receiver];
    let mut waits: Vec<_> = receivers.iter_mut().map(|receiver| Box::pin(receiver.changed())).collect();
    for number in [0, 1, 2, 0] {
        let waker = Waker::from(Arc::new(Order(number, order.clone())));
        assert!(waits[number].as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    sender.send(1).unwrap();
    assert_eq!(*order.lock().unwrap(), [0, 1, 2]);
}

/// What a task waits for when its runtime goes away.
#[derive(Clone, Copy, Debug)]
enum Waits {
    Mutex,
    Handed,
    Semaphore,
    Write,
    Upgrade,
    Cell,
}

/// Whoever is left finds everything free.
#[test]
fn a_runtime_that_goes_away_takes_no_lock_along() {
    use Waits::*;
    for waits in [Mutex, Handed, Semaphore, Write, Upgrade, Cell] {
        must_end(move || {
            let mutex = Arc::new(gambol::sync::Mutex::new(()));
            let semaphore = Arc::new(gambol::sync::Semaphore::new(1));
            let lock = Arc::new(RwLock::new(()));
            let cell = Arc::new(OnceCell::new());
            let held =
                (mutex.try_lock_arc().unwrap(), semaphore.try_acquire_arc().unwrap(), lock.try_read_arc().unwrap());
            let runtime = Runtime::builder().workers(2).build().unwrap();
            let (tells, told) = mpsc::channel();
            for _ in 0..3 {
                let (mutex, semaphore, lock, cell) = (mutex.clone(), semaphore.clone(), lock.clone(), cell.clone());
                let tells = tells.clone();
                runtime.spawn(async move {
                    let mut wait = pin!(async {
                        match waits {
                            Mutex => drop(mutex.lock().await),
                            Handed => {
                                let _guard = mutex.lock().await;
                                std::future::pending::<()>().await;
                            }
                            Semaphore => drop(semaphore.acquire_many(1).await),
                            Write => drop(lock.write().await),
                            Upgrade => {
                                let guard = lock.upgradable_read().await;
                                drop(RwLockUpgradableReadGuard::upgrade(guard).await);
                            }
                            Cell => drop(cell.get_or_init(std::future::pending::<()>).await),
                        }
                    });
                    assert!(wait.as_mut().now_or_never().is_none());
                    tells.send(()).unwrap();
                    wait.await;
                });
            }
            (0..3).for_each(|_| told.recv_timeout(PATIENCE).unwrap());
            if let Handed = waits {
                drop(held);
                drop(runtime);
            } else {
                drop(runtime);
                drop(held);
            }
            futures::executor::block_on(async {
                drop((mutex.lock().await, semaphore.acquire().await, lock.write().await));
                assert_eq!(cell.set(()).await, Ok(&()));
            });
        });
    }
}
