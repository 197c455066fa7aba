//! `RwLock`: many readers or one writer, in turns, with nobody forgotten.

mod helpers;

use gambol::{
    runtime::Handle,
    sync::{RwLock, RwLockUpgradableReadGuard, RwLockUpgradableReadGuardArc, RwLockWriteGuard, RwLockWriteGuardArc},
    task::yield_now,
    time::{Duration, Instant, sleep, timeout},
};
use helpers::{PATIENCE, at_most, poll_once};
use std::{
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicIsize, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread,
};

#[derive(Default)]
struct Counts(AtomicUsize);

impl Wake for Counts {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[gambol::test]
async fn readers_share_and_a_writer_is_alone() {
    let lock = RwLock::new(1);
    let (one, other) = (lock.read().await, lock.try_read().unwrap());
    assert_eq!((*one, *other), (1, 1));
    assert!(lock.try_write().is_none());
    let upgradable = lock.try_upgradable_read().unwrap();
    assert!(lock.try_upgradable_read().is_none() && lock.try_write().is_none());
    let upgradable = RwLockUpgradableReadGuard::try_upgrade(upgradable).unwrap_err();
    drop((one, other));
    let mut writer = RwLockUpgradableReadGuard::try_upgrade(upgradable).unwrap();
    *writer += 1;
    assert!(lock.try_read().is_none() && lock.try_upgradable_read().is_none() && lock.try_write().is_none());
    drop(writer);
    assert_eq!(*lock.write().await, 2);
}

#[gambol::test]
async fn later_readers_wait_behind_a_writer_and_waiting_readers_get_in_before_the_next() {
    let lock = RwLock::new(());
    let reads = lock.read().await;
    let (mut writer, mut reader, mut next) = (pin!(lock.write()), pin!(lock.read()), pin!(lock.write()));
    assert!(poll_once(&mut writer).await.is_pending());
    assert!(lock.try_read().is_none(), "no reader overtakes a writer");
    assert!(poll_once(&mut next).await.is_pending() && poll_once(&mut reader).await.is_pending());
    drop(reads);
    assert!(poll_once(&mut reader).await.is_pending());
    let Poll::Ready(writes) = poll_once(&mut writer).await else { panic!("the readers are gone") };
    drop(writes);
    assert!(poll_once(&mut next).await.is_pending(), "the reader is first");
    let Poll::Ready(reads) = poll_once(&mut reader).await else { panic!("it has waited") };
    drop(reads);
    assert!(poll_once(&mut next).await.is_ready());
}

/// A reader that waits for a writer hears of it when the writer becomes an upgradable reader.
#[test]
fn a_writer_that_becomes_a_reader_lets_those_in_who_wait() {
    for upgradable in [false, true] {
        let lock = RwLock::new(());
        let writer = lock.try_write().unwrap();
        let counts = Arc::new(Counts::default());
        let mut reader = pin!(lock.read());
        let waker = Waker::from(counts.clone());
        assert!(reader.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        if upgradable {
            let guard = RwLockWriteGuard::downgrade_to_upgradable(writer);
            assert_eq!(counts.0.load(Ordering::Relaxed), 1);
            assert!(lock.try_upgradable_read().is_none() && lock.try_write().is_none());
            drop(RwLockUpgradableReadGuard::downgrade(guard));
        } else {
            let guard = RwLockWriteGuard::downgrade(writer);
            assert_eq!(counts.0.load(Ordering::Relaxed), 1);
            assert!(lock.try_upgradable_read().is_some() && lock.try_write().is_none());
            drop(guard);
        }
        assert!(reader.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
        assert!(lock.try_write().is_some());
    }
}

#[gambol::test]
async fn nobody_writes_between_a_read_and_its_upgrade() {
    let lock = Arc::new(RwLock::new(0));
    let reads = lock.read_arc().await;
    let upgradable = lock.upgradable_read_arc().await;
    let mut other = pin!(lock.write());
    assert!(poll_once(&mut other).await.is_pending());
    let mut upgrade = pin!(RwLockUpgradableReadGuardArc::upgrade(upgradable));
    assert!(poll_once(&mut upgrade).await.is_pending());
    assert!(lock.try_read().is_none(), "later readers wait for the upgrade");
    drop(reads);
    let Poll::Ready(mut writer) = poll_once(&mut upgrade).await else { panic!("the reader is gone") };
    *writer = 1;
    assert!(poll_once(&mut other).await.is_pending());
    drop(RwLockWriteGuardArc::downgrade(writer));
    let Poll::Ready(other) = poll_once(&mut other).await else { panic!("nobody has it") };
    assert_eq!(*other, 1);
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Read,
    Upgradable,
    Write,
    Upgrade,
}

const KINDS: [Kind; 4] = [Kind::Read, Kind::Upgradable, Kind::Write, Kind::Upgrade];

type Waits = Pin<Box<dyn Future<Output = ()>>>;

fn wait(lock: &Arc<RwLock<()>>, kind: Kind) -> Waits {
    let lock = lock.clone();
    match kind {
        Kind::Read => Box::pin(async move { drop(lock.read_arc().await) }),
        Kind::Upgradable => Box::pin(async move { drop(lock.upgradable_read_arc().await) }),
        Kind::Write => Box::pin(async move { drop(lock.write_arc().await) }),
        Kind::Upgrade => Box::pin(async move {
            let guard = lock.upgradable_read().await;
            drop(RwLockUpgradableReadGuard::upgrade(guard).await);
        }),
    }
}

/// For each who holds, each who gives up at each of its polls and each who waits behind: the last gets it, and the lock is
/// free after all.
#[gambol::test]
async fn who_gives_up_holds_up_nobody() {
    for holds in [Kind::Read, Kind::Upgradable, Kind::Write] {
        for gives_up in KINDS {
            for behind in KINDS {
                for served in [false, true] {
                    let lock = Arc::new(RwLock::new(()));
                    let mut read = (holds == Kind::Read).then(|| lock.try_read_arc().unwrap());
                    let mut upgradable = (holds == Kind::Upgradable).then(|| lock.try_upgradable_read_arc().unwrap());
                    let mut write = (holds == Kind::Write).then(|| lock.try_write_arc().unwrap());
                    let mut first = wait(&lock, gives_up);
                    let mut second = wait(&lock, behind);
                    let _ = poll_once(&mut Pin::new(&mut first)).await;
                    let second_over = poll_once(&mut Pin::new(&mut second)).await.is_ready();
                    if served {
                        // Dropped when it was served or called; otherwise in line.
                        (read, upgradable, write) = (None, None, None);
                    }
                    drop(first);
                    drop((read, upgradable, write));
                    if !second_over {
                        assert_eq!(timeout(PATIENCE, second).await, Ok(()), "{holds:?} {gives_up:?} {behind:?}");
                    }
                    assert!(lock.try_write().is_some(), "{holds:?} {gives_up:?} {behind:?} {served}");
                }
            }
        }
    }
}

#[gambol::test(workers = 2)]
async fn in_a_storm_a_writer_is_alone_and_nobody_is_forgotten() {
    let enough = Instant::now() + Duration::from_secs(1);
    // Readers, or -1: a writer.
    let (lock, inside) = (Arc::new(RwLock::new(0_usize)), Arc::new(AtomicIsize::new(0)));
    let tasks: Vec<_> = (0..12)
        .map(|seed| {
            let (lock, inside) = (lock.clone(), inside.clone());
            gambol::spawn(async move {
                let mut random = fastrand::Rng::with_seed(seed);
                let mut writes = 0;
                let read = || assert!(inside.fetch_add(1, Ordering::Relaxed) >= 0, "a reader beside a writer");
                let unread = || assert!(inside.fetch_sub(1, Ordering::Relaxed) > 0);
                let alone = || assert_eq!(inside.swap(-1, Ordering::Relaxed), 0, "a writer beside others");
                while Instant::now() < enough {
                    let polls = [1, 2, usize::MAX][random.usize(0..3)];
                    let stays = random.usize(0..3) == 0;
                    match random.usize(0..4) {
                        0 | 1 => {
                            if let Some(guard) = at_most(polls, lock.read_arc()).await {
                                read();
                                if stays {
                                    yield_now().await;
                                }
                                unread();
                                drop(guard);
                            }
                        }
                        2 => {
                            if let Some(mut guard) = at_most(polls, lock.write_arc()).await {
                                alone();
                                if stays {
                                    yield_now().await;
                                }
                                *guard += 1;
                                writes += 1;
                                inside.store(0, Ordering::Relaxed);
                                if stays {
                                    let guard = RwLockWriteGuardArc::downgrade_to_upgradable(guard);
                                    read();
                                    yield_now().await;
                                    unread();
                                    drop(RwLockUpgradableReadGuardArc::downgrade(guard));
                                }
                            }
                        }
                        _ => {
                            let Some(guard) = at_most(polls, lock.upgradable_read_arc()).await else { continue };
                            let before = *guard;
                            let upgrade = RwLockUpgradableReadGuardArc::upgrade(guard);
                            if let Some(mut guard) = at_most(polls, upgrade).await {
                                alone();
                                assert_eq!(*guard, before, "somebody wrote in between");
                                *guard += 1;
                                writes += 1;
                                inside.store(0, Ordering::Relaxed);
                            }
                        }
                    }
                }
                writes
            })
        })
        .collect();
    let mut writes = 0;
    for task in tasks {
        writes += timeout(PATIENCE, task).await.expect("somebody was forgotten").unwrap();
    }
    assert_eq!(*lock.try_write().unwrap(), writes);
}

#[test]
fn threads_of_another_executor_read_and_write() {
    let lock = Arc::new(RwLock::new(0));
    let threads: Vec<_> = (0..4)
        .map(|n| {
            let lock = lock.clone();
            thread::spawn(move || {
                for _ in 0..2_000 {
                    match n {
                        0 => *futures::executor::block_on(lock.write()) += 1,
                        1 => assert!(*futures::executor::block_on(lock.read()) <= 4_000),
                        2 => *RwLockUpgradableReadGuard::upgrade_blocking(lock.upgradable_read_blocking()) += 1,
                        _ => assert!(*lock.read_arc_blocking() <= 4_000),
                    }
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(Arc::into_inner(lock).unwrap().into_inner(), 4_000);
}

#[gambol::test]
async fn a_loop_over_a_free_lock_lets_others_run() {
    let lock = RwLock::new(());
    let reads = async {
        for _ in 0..1_000 {
            drop(lock.read().await);
        }
    };
    assert!(poll_once(&mut pin!(reads)).await.is_pending());
    let writes = async {
        for _ in 0..1_000 {
            drop(lock.write().await);
        }
    };
    assert!(poll_once(&mut pin!(writes)).await.is_pending());
}

#[gambol::test]
async fn a_task_that_waits_for_the_lock_says_so() {
    let lock = Arc::new(RwLock::new(()));
    let guard = lock.write().await;
    let waits = lock.clone();
    let task = gambol::spawn(async move { drop(waits.read().await) });
    let shown = async {
        let shows =
            || Handle::current().parked_tasks().iter().any(|it| it.id == task.id() && it.wait.as_str() == "lock");
        while !shows() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, shown).await.unwrap();
    drop(guard);
    task.await.unwrap();
}

#[test]
fn what_a_lock_tells_about_itself() {
    static EVERYWHERE: RwLock<u8> = RwLock::new(7);
    assert_eq!(format!("{EVERYWHERE:?}"), "RwLock { value: 7 }");
    let guard = EVERYWHERE.try_write().unwrap();
    assert_eq!(format!("{EVERYWHERE:?} {guard:?} {guard}"), "RwLock { value: <locked> } 7 7");
    let mut lock = RwLock::from(String::from("a"));
    lock.get_mut().push('b');
    assert_eq!(lock.into_inner(), "ab");
    let unsized_value: Arc<RwLock<[u8]>> = Arc::new(RwLock::new([1, 2, 3]));
    assert_eq!(unsized_value.try_read_arc().unwrap().len(), 3);
}

#[test]
fn guards_go_between_threads_where_their_value_may() {
    fn both<T: Send + Sync>(_: &T) {}
    let lock = Arc::new(RwLock::new(String::new()));
    both(&lock.try_read_arc().unwrap());
    both(&lock.try_write_arc().unwrap());
    both(&lock.try_upgradable_read_arc().unwrap());
    both(&lock.read());
    both(&lock.write_arc());
}
