//! Whatever a task does all the time, the others, the timers, the sockets and the injector have their turn; and an idle
//! runtime does nothing.
#![cfg(target_os = "linux")]

mod common;

use common::{capped, ends, event, pair, read, runtime, yield_now};
use gambol_executor::{Instant, Io, Runtime, Sleep, spawn};
use std::{
    collections::HashSet,
    fs,
    future::{Future, poll_fn},
    io::Write,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

const MILLI: Duration = Duration::from_millis(1);

/// Two tasks that wake each other for ever.
#[derive(Default)]
struct PingPong([Option<Waker>; 2]);

struct Side(Arc<Mutex<PingPong>>, usize, Arc<AtomicBool>);

impl Future for Side {
    type Output = ();
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut both = self.0.lock().unwrap();
        both.0[self.1] = Some(cx.waker().clone());
        if let Some(other) = both.0[1 - self.1].take() {
            other.wake();
        }
        if self.2.load(SeqCst) { Poll::Ready(()) } else { Poll::Pending }
    }
}

#[derive(Clone, Copy, Debug)]
enum Busy {
    SelfWake,
    AlwaysReady,
    PairInTheSlot,
    ManySelfWakers,
}

fn keep_busy(runtime: &Runtime, busy: Busy, stop: &Arc<AtomicBool>) {
    let count = if matches!(busy, Busy::ManySelfWakers) { 1_000 } else { 1 };
    match busy {
        Busy::SelfWake | Busy::ManySelfWakers => (0..count).for_each(|_| {
            let stop = stop.clone();
            drop(runtime.spawn(async move {
                while !stop.load(SeqCst) {
                    yield_now().await;
                }
            }));
        }),
        Busy::AlwaysReady => {
            let stop = stop.clone();
            drop(runtime.spawn(async move {
                while !stop.load(SeqCst) {
                    Sleep::new(Duration::ZERO).await;
                }
            }));
        }
        Busy::PairInTheSlot => {
            let both = Arc::new(Mutex::new(PingPong::default()));
            (0..2).for_each(|side| drop(runtime.spawn(Side(both.clone(), side, stop.clone()))));
        }
    }
}

#[test]
fn a_busy_task_starves_neither_timers_nor_sockets_nor_spawns() {
    for busy in [Busy::SelfWake, Busy::AlwaysReady, Busy::PairInTheSlot, Busy::ManySelfWakers] {
        for workers in [1, 2] {
            ends(&format!("{busy:?} with {workers} workers"), move || {
                let runtime = capped(workers);
                let stop = Arc::new(AtomicBool::new(false));
                (0..workers).for_each(|_| keep_busy(&runtime, busy, &stop));
                let timers = runtime.spawn(async {
                    for _ in 0..20 {
                        Sleep::new(MILLI).await;
                    }
                });
                let (io, mut peer) = runtime.block_on(async { pair() });
                let (heard_tx, heard_rx) = mpsc::channel();
                let socket = runtime.spawn(async move {
                    for _ in 0..20 {
                        assert_eq!(read(&io).await.unwrap(), 1);
                        heard_tx.send(()).unwrap();
                    }
                });
                for _ in 0..20 {
                    peer.write_all(&[1]).unwrap();
                    heard_rx.recv().unwrap();
                    futures::executor::block_on(runtime.spawn(async {})).unwrap();
                }
                futures::executor::block_on(async { (timers.await.unwrap(), socket.await.unwrap()) });
                stop.store(true, SeqCst);
            });
        }
    }
}

#[test]
fn a_million_tasks_from_one_poll_all_run() {
    for workers in [1, 2] {
        ends("a million tasks", move || {
            let runtime = runtime(workers);
            let ran = Arc::new(AtomicUsize::new(0));
            let counted = ran.clone();
            let spawner = runtime.spawn(async move {
                for _ in 0..1_000_000 {
                    let ran = counted.clone();
                    spawn(async move { ran.fetch_add(1, SeqCst) });
                }
            });
            runtime.block_on(spawner).unwrap();
            while ran.load(SeqCst) < 1_000_000 {
                thread::yield_now();
            }
        });
    }
}

#[test]
fn timers_due_at_once_all_fire_and_never_is_never() {
    for workers in [1, 2] {
        ends("many timers at one moment", move || {
            let runtime = runtime(workers);
            let count = 200_000;
            let task = runtime.spawn(async move {
                let at = Instant::now() + 50 * MILLI;
                let sleeps: Vec<_> = (0..count).map(|_| spawn(Sleep::until(at))).collect();
                let mut never = [Sleep::new(Duration::MAX), Sleep::until(Instant::now() + Duration::MAX)];
                never.iter_mut().for_each(|sleep| assert!(poll_once(sleep).is_pending()));
                for sleep in sleeps {
                    sleep.await.unwrap();
                }
                assert!(Instant::now() >= at);
                never.iter_mut().for_each(|sleep| assert!(poll_once(sleep).is_pending()));
                Sleep::new(Duration::ZERO).await;
                Sleep::until(at).await;
            });
            runtime.block_on(task).unwrap();
        });
    }
}

fn poll_once(sleep: &mut Sleep) -> Poll<()> {
    Pin::new(sleep).poll(&mut Context::from_waker(Waker::noop()))
}

/// Waits until all workers sleep.
fn settle(runtime: &Runtime, workers: usize) {
    while runtime.metrics().workers_parked() < workers {
        thread::yield_now();
    }
}

#[test]
fn what_a_foreign_thread_arms_or_registers_wakes_a_sleeping_runtime() {
    for workers in [1, 2, 4] {
        ends("arming and registering from outside", move || {
            let runtime = runtime(workers);
            for _ in 0..50 {
                settle(&runtime, workers);
                runtime.block_on(Sleep::new(MILLI));
                settle(&runtime, workers);
                let (io, mut peer) = runtime.block_on(async { pair() });
                settle(&runtime, workers);
                runtime.block_on(async {
                    let mut reading = std::pin::pin!(read(&io));
                    assert!(futures::poll!(reading.as_mut()).is_pending());
                    peer.write_all(&[1]).unwrap();
                    assert_eq!(reading.await.unwrap(), 1);
                });
            }
        });
    }
}

#[test]
fn a_sleeping_runtime_is_woken_by_a_deadline_that_was_moved_forward() {
    for workers in [1, 2] {
        ends("reset from outside", move || {
            let runtime = runtime(workers);
            for _ in 0..50 {
                let mut sleep = Sleep::new(Duration::from_secs(1_000));
                runtime.block_on(async { assert!(futures::poll!(&mut sleep).is_pending()) });
                settle(&runtime, workers);
                runtime.block_on(async {
                    let mut first = true;
                    poll_fn(|cx| {
                        let poll = Pin::new(&mut sleep).poll(cx);
                        if std::mem::take(&mut first) {
                            sleep.reset(Instant::now() + MILLI);
                        }
                        poll
                    })
                    .await;
                });
            }
        });
    }
}

/// Voluntary switches of the runtime's threads, which have the prefix in their name.
fn switches(prefix: &str) -> u64 {
    let mut sum = 0;
    for entry in fs::read_dir("/proc/self/task").unwrap() {
        let Ok(status) = fs::read_to_string(entry.unwrap().path().join("status")) else { continue };
        if status.lines().next().unwrap().contains(prefix) {
            let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches")).unwrap();
            sum += line.rsplit('\t').next().unwrap().parse::<u64>().unwrap();
        }
    }
    sum
}

#[test]
fn an_idle_runtime_makes_no_wake_ups() {
    ends("two idle seconds", || {
        let runtime = Runtime::builder().workers(4).name("idle-rt").build().unwrap();
        let (io, _peer) = runtime.block_on(async { pair() });
        let parked: Vec<_> = (0..100).map(|_| runtime.spawn(Sleep::new(Duration::from_secs(1_000)))).collect();
        runtime.block_on(Sleep::new(100 * MILLI));
        settle(&runtime, 4);
        // The time is what is measured here.
        let before = switches("idle-rt");
        thread::sleep(Duration::from_secs(2));
        let after = switches("idle-rt");
        assert!(after - before < 20, "{} wake-ups in two seconds", after - before);
        drop((parked, io));
    });
}

/// A poll that takes so long.
fn spin(micros: u64) {
    let begun = std::time::Instant::now();
    while begun.elapsed() < Duration::from_micros(micros) {
        std::hint::spin_loop();
    }
}

/// The slot counted its turns only: sixteen polls of the pair came between two of anybody else, however long they were.
#[test]
fn a_pair_with_long_polls_lets_the_ring_have_its_turns() {
    ends("beside a pair with long polls", || {
        let runtime = capped(1);
        let stop = Arc::new(AtomicBool::new(false));
        let turns = Arc::new(AtomicUsize::new(0));
        let both = Arc::new(Mutex::new(PingPong::default()));
        for side in 0..2 {
            let (mut inner, turns) = (Side(both.clone(), side, stop.clone()), turns.clone());
            drop(runtime.spawn(poll_fn(move |cx| {
                turns.fetch_add(1, SeqCst);
                // Longer than the worker goes without a look at timers and injector.
                spin(200);
                Pin::new(&mut inner).poll(cx)
            })));
        }
        let stopped = stop.clone();
        let between = runtime.spawn(async move {
            let mut between = Vec::new();
            for _ in 0..20 {
                let before = turns.load(SeqCst);
                yield_now().await;
                between.push(turns.load(SeqCst) - before);
            }
            stopped.store(true, SeqCst);
            between
        });
        let between = futures::executor::block_on(between).unwrap();
        assert!(
            between.iter().sum::<usize>() <= 3 * between.len(),
            "turns of the pair between two others: {between:?}"
        );
    });
}

/// With more than half a ring of them the injector had a turn every 200 µs: one in ten.
#[test]
fn a_crowd_lets_the_injector_have_every_second_turn() {
    ends("beside a crowd", || {
        let runtime = capped(1);
        let stop = Arc::new(AtomicBool::new(false));
        let turns = Arc::new(AtomicUsize::new(0));
        for _ in 0..200 {
            let (stop, turns) = (stop.clone(), turns.clone());
            drop(runtime.spawn(async move {
                while !stop.load(SeqCst) {
                    turns.fetch_add(1, SeqCst);
                    // Longer than the worker goes without a look at the clock.
                    spin(20);
                    yield_now().await;
                }
            }));
        }
        while turns.load(SeqCst) < 1_000 {
            thread::yield_now();
        }
        let before = turns.load(SeqCst);
        let late: Vec<_> = (0..200).map(|_| runtime.spawn(async {})).collect();
        late.into_iter().for_each(|late| futures::executor::block_on(late).unwrap());
        let taken = turns.load(SeqCst) - before;
        stop.store(true, SeqCst);
        assert!(taken <= 600, "{taken} turns of the crowd for 200 tasks from outside");
    });
}

/// Tasks that yield after every 40 µs, and count their turns.
fn crowd(runtime: &Runtime, stop: &Arc<AtomicBool>) -> Arc<AtomicUsize> {
    let turns = Arc::new(AtomicUsize::new(0));
    for _ in 0..CROWD {
        let (stop, turns) = (stop.clone(), turns.clone());
        drop(runtime.spawn(async move {
            while !stop.load(SeqCst) {
                turns.fetch_add(1, SeqCst);
                spin(40);
                yield_now().await;
            }
        }));
    }
    while turns.load(SeqCst) < 4 * CROWD {
        thread::yield_now();
    }
    turns
}

const CROWD: usize = 16;

/// Whom the poller had woken stood behind all who had yielded, and the poller was looked at when these had had their turn: a round trip
/// took three laps.
#[test]
fn whom_the_poller_wakes_passes_those_who_yield() {
    ends("a round trip beside a crowd that yields", || {
        let runtime = capped(1);
        let stop = Arc::new(AtomicBool::new(false));
        let turns = crowd(&runtime, &stop);
        let taken = runtime.spawn(async move {
            let (here, there) = pair();
            there.set_nonblocking(true).unwrap();
            let there = Io::new(there).unwrap();
            let echo = spawn(async move {
                while read(&there).await.unwrap() == 1 {
                    assert_eq!((&mut there.get_ref()).write(&[1]).unwrap(), 1);
                }
            });
            let before = turns.load(SeqCst);
            for _ in 0..ROUNDS {
                assert_eq!((&mut here.get_ref()).write(&[1]).unwrap(), 1);
                assert_eq!(read(&here).await.unwrap(), 1);
            }
            let taken = turns.load(SeqCst) - before;
            drop(here);
            echo.await.unwrap();
            taken
        });
        let taken = futures::executor::block_on(taken).unwrap();
        stop.store(true, SeqCst);
        assert!(taken <= ROUNDS * CROWD, "{taken} turns of the crowd for {ROUNDS} round trips");
    });
}

const ROUNDS: usize = 100;

/// Both the spawned one and who joined it stood behind all who had yielded.
#[test]
fn a_spawned_task_and_its_joiner_pass_those_who_yield() {
    ends("spawn and join beside a crowd that yields", || {
        let runtime = capped(1);
        let stop = Arc::new(AtomicBool::new(false));
        let turns = crowd(&runtime, &stop);
        let taken = runtime.spawn(async move {
            let before = turns.load(SeqCst);
            for _ in 0..ROUNDS {
                spawn(async {}).await.unwrap();
            }
            turns.load(SeqCst) - before
        });
        let taken = futures::executor::block_on(taken).unwrap();
        stop.store(true, SeqCst);
        assert!(taken <= ROUNDS * CROWD / 4, "{taken} turns of the crowd for {ROUNDS} tasks");
    });
}

/// Each of those who were woken together had a turn of the crowd before it, however short its own was.
#[test]
fn those_who_are_woken_together_pass_those_who_yield_together() {
    ends("a batch beside a crowd that yields", || {
        let runtime = capped(1);
        let stop = Arc::new(AtomicBool::new(false));
        let turns = crowd(&runtime, &stop);
        let begin = Instant::now() + 50 * MILLI;
        let batch: Vec<_> = (0..BATCH)
            .map(|_| {
                let turns = turns.clone();
                runtime.spawn(async move {
                    let mut seen = Vec::new();
                    for tick in 0..20 {
                        Sleep::until(begin + tick * 10 * MILLI).await;
                        seen.push(turns.load(SeqCst));
                    }
                    seen
                })
            })
            .collect();
        let seen: Vec<_> = batch.into_iter().map(|task| futures::executor::block_on(task).unwrap()).collect();
        stop.store(true, SeqCst);
        // Where nothing held up the worker.
        let spread = |tick: usize| {
            let seen = seen.iter().map(|seen| seen[tick]);
            seen.clone().max().unwrap() - seen.min().unwrap()
        };
        let taken = (0..20).map(spread).min().unwrap();
        assert!(taken <= BATCH / 2, "{taken} turns of the crowd for {BATCH} tasks that were woken at once");
    });
}

const BATCH: usize = 100;

/// The poller was looked at so often that there was always a batch in work, for which nobody is woken.
#[test]
fn those_who_yield_find_a_worker_that_has_become_idle() {
    // Where nothing else on the machine held up either worker.
    let taken = (0..5).map(|_| ends("a crowd and two workers", turns_until_one_helps)).min().unwrap();
    assert!(taken <= 30, "{taken} turns until a worker with nothing to do took some of the crowd");
}

fn turns_until_one_helps() -> usize {
    let runtime = capped(2);
    // There is a poller.
    let socket = runtime.block_on(async { pair() });
    let (hold, held) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false)));
    let stop = Arc::new(AtomicBool::new(false));
    let holder = {
        let (hold, held) = (hold.clone(), held.clone());
        runtime.spawn(async move {
            held.store(true, SeqCst);
            while hold.load(SeqCst) {
                std::hint::spin_loop();
            }
        })
    };
    while !held.load(SeqCst) {
        thread::yield_now();
    }
    let turns = Arc::new(AtomicUsize::new(0));
    let threads = Arc::new(Mutex::new(HashSet::new()));
    for _ in 0..4 {
        let (stop, turns, threads) = (stop.clone(), turns.clone(), threads.clone());
        drop(runtime.spawn(async move {
            while !stop.load(SeqCst) {
                threads.lock().unwrap().insert(thread::current().id());
                turns.fetch_add(1, SeqCst);
                spin(60);
                yield_now().await;
            }
        }));
    }
    while turns.load(SeqCst) < 200 {
        thread::yield_now();
    }
    assert_eq!(threads.lock().unwrap().len(), 1);
    hold.store(false, SeqCst);
    futures::executor::block_on(holder).unwrap();
    let before = turns.load(SeqCst);
    while threads.lock().unwrap().len() == 1 && turns.load(SeqCst) < before + 2_000 {
        thread::yield_now();
    }
    let taken = turns.load(SeqCst) - before;
    stop.store(true, SeqCst);
    drop(socket);
    taken
}

/// What it had spawned took the next turn there, and nobody was woken for the one that waited behind that.
#[test]
fn who_yields_goes_on_beside_what_it_has_spawned() {
    // The other worker sleeps when the child is spawned, or is free when the child begins.
    for held in [false, true] {
        ends("a parent, its children and two workers", move || {
            let runtime = capped(2);
            let parent = runtime.spawn(async move {
                let mut beside = 0;
                for _ in 0..20 {
                    let hold = Arc::new(AtomicBool::new(held));
                    let holder = held.then(|| spawn(until_not(hold.clone())));
                    for _ in 0..4 {
                        spin(200);
                        yield_now().await;
                    }
                    let ended = Arc::new(AtomicBool::new(false));
                    let child = {
                        let ended = ended.clone();
                        spawn(async move {
                            hold.store(false, SeqCst);
                            spin(5_000);
                            ended.store(true, SeqCst);
                        })
                    };
                    spin(200);
                    yield_now().await;
                    beside += usize::from(!ended.load(SeqCst));
                    child.await.unwrap();
                    if let Some(holder) = holder {
                        holder.await.unwrap();
                    }
                }
                beside
            });
            let beside = futures::executor::block_on(parent).unwrap();
            assert!(beside > 0, "the parent always waited for its child, and the other worker slept");
        });
    }
}

/// Keeps its worker for as long as that is set.
async fn until_not(hold: Arc<AtomicBool>) {
    while hold.load(SeqCst) {
        std::hint::spin_loop();
    }
}

/// The last of several stood before the others, and whom the running task had woken went behind all who yield.
#[test]
fn what_is_spawned_beside_those_who_yield_takes_nobodys_place() {
    for woken in [false, true] {
        ends("several spawned tasks beside a crowd that yields", move || {
            let runtime = capped(1);
            let stop = Arc::new(AtomicBool::new(false));
            let turns = crowd(&runtime, &stop);
            let task = runtime.spawn(async move {
                let order = Arc::new(Mutex::new(Vec::new()));
                let note = |name: &'static str| {
                    let (order, turns) = (order.clone(), turns.clone());
                    move || order.lock().unwrap().push((name, turns.load(SeqCst)))
                };
                let (tx, rx) = futures::channel::oneshot::channel::<()>();
                let other = note("the woken");
                let other = spawn(async move {
                    if rx.await.is_ok() {
                        other();
                    }
                });
                // It waits by then.
                for _ in 0..3 {
                    yield_now().await;
                }
                let before = turns.load(SeqCst);
                if woken {
                    tx.send(()).unwrap();
                } else {
                    drop(tx);
                    yield_now().await;
                }
                let mut tasks = vec![other];
                for name in ["first", "second", "third"] {
                    let note = note(name);
                    tasks.push(spawn(async move { note() }));
                }
                for task in tasks {
                    task.await.unwrap();
                }
                let order = std::mem::take(&mut *order.lock().unwrap());
                (order, before)
            });
            let (order, before) = futures::executor::block_on(task).unwrap();
            stop.store(true, SeqCst);
            let (others, spawned): (Vec<_>, Vec<_>) = order.iter().partition(|(name, _)| *name == "the woken");
            let spawned: Vec<_> = spawned.iter().map(|(name, _)| *name).collect();
            assert_eq!(spawned, ["first", "second", "third"]);
            assert_eq!(others.len(), usize::from(woken));
            for (_, turn) in others {
                assert!(turn - before < CROWD / 2, "{order:?} after {before} turns of the crowd");
            }
        });
    }
}

/// It took the place of a task that its own child had woken before; beside a crowd that yields it did so again.
#[test]
fn a_joiner_goes_behind_whom_the_ended_task_has_woken() {
    for crowded in [false, true] {
        ends("a joiner and another", move || {
            let runtime = capped(1);
            let stop = Arc::new(AtomicBool::new(false));
            if crowded {
                crowd(&runtime, &stop);
            }
            let order = Arc::new(Mutex::new(Vec::new()));
            let task = {
                let order = order.clone();
                runtime.spawn(async move {
                    let (tx, rx) = futures::channel::oneshot::channel::<()>();
                    let other = order.clone();
                    let other = spawn(async move {
                        rx.await.unwrap();
                        other.lock().unwrap().push("the woken");
                    });
                    // It waits by then.
                    for _ in 0..3 {
                        yield_now().await;
                    }
                    let child = spawn(async move { tx.send(()).unwrap() });
                    child.await.unwrap();
                    order.lock().unwrap().push("the joiner");
                    other.await.unwrap();
                })
            };
            futures::executor::block_on(task).unwrap();
            stop.store(true, SeqCst);
            assert_eq!(*order.lock().unwrap(), ["the woken", "the joiner"]);
        });
    }
}

/// Workers that lay down together each slept until the ticker's deadline, whoever had armed it, and so they did again at every tick.
#[test]
fn a_joiner_does_not_go_behind_a_crowd_of_long_polls() {
    ends("the joiner", || {
        let runtime = capped(1);
        let turns = Arc::new(AtomicUsize::new(0));
        let (signal, event) = event();
        let main = runtime.spawn(async move {
            let stop = Arc::new(AtomicBool::new(false));
            let joined = spawn({
                let turns = turns.clone();
                async move {
                    event.await;
                    turns.load(SeqCst)
                }
            });
            let joins = spawn({
                let (turns, stop) = (turns.clone(), stop.clone());
                async move {
                    let before = joined.await.unwrap();
                    stop.store(true, SeqCst);
                    turns.load(SeqCst) - before
                }
            });
            let mut signal = Some(signal);
            let crowd: Vec<_> = (0..8)
                .map(|_| {
                    let (turns, stop, mut signal) = (turns.clone(), stop.clone(), signal.take());
                    spawn(async move {
                        while !stop.load(SeqCst) {
                            spin(2_000);
                            // Long enough for the worker to have measured them.
                            if turns.fetch_add(1, SeqCst) > 24
                                && let Some(signal) = signal.take()
                            {
                                signal.send();
                            }
                            yield_now().await;
                        }
                    })
                })
                .collect();
            for task in crowd {
                task.await.unwrap();
            }
            joins.await.unwrap()
        });
        let between = runtime.block_on(main).unwrap();
        assert!(between <= 2, "{between} turns of the crowd came before it");
    });
}

#[test]
fn a_tick_wakes_one_worker() {
    ends("a ticker", || {
        let runtime = Runtime::builder().workers(4).name("tick-rt").build().unwrap();
        let (mut sum, ticks) = (0, 100);
        for _ in 0..5 {
            settle(&runtime, 4);
            // One sits, and knows of no deadline; the others lie down when the ticker has armed its timer.
            let crowd: Vec<_> = (0..2).map(|_| runtime.spawn(async { spin(2_000) })).collect();
            let ticker = runtime.spawn(async move {
                let mut at = Instant::now();
                let mut before = 0;
                for tick in 0..ticks + 10 {
                    if tick == 10 {
                        before = switches("tick-rt-");
                    }
                    at += MILLI;
                    Sleep::until(at).await;
                }
                switches("tick-rt-") - before
            });
            sum += futures::executor::block_on(ticker).unwrap();
            crowd.into_iter().for_each(|task| futures::executor::block_on(task).unwrap());
        }
        // The monitor, too, has its looks.
        assert!(sum < 5 * ticks * 3 / 2, "{sum} switches for {} ticks", 5 * ticks);
    });
}

/// With no timer about, the monitor began anew for each wake from outside, and slept again: two switches of its own for each.
#[test]
fn who_is_woken_now_and_then_has_no_monitor_that_wakes_with_it() {
    for workers in [1, 2] {
        ends("now and then", move || {
            let runtime = Runtime::builder().workers(workers).name("now-rt").build().unwrap();
            let (tx, mut rx) = futures::channel::mpsc::unbounded::<()>();
            let task = runtime.spawn(async move { while futures::StreamExt::next(&mut rx).await.is_some() {} });
            let (mut before, wakes) = (0, 100);
            for wake in 0..wakes + 10 {
                // The pause is what is measured here.
                thread::sleep(5 * MILLI);
                tx.unbounded_send(()).unwrap();
                if wake == 10 {
                    before = switches("now-rt-mon");
                }
            }
            // A worker that waits for a processor for long is watched.
            let after = switches("now-rt-mon");
            assert!(after - before < wakes, "{} looks beside {wakes} wakes", after - before);
            drop(tx);
            runtime.block_on(task).unwrap();
        });
    }
}
