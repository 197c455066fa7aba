//! A task that keeps its thread holds up nobody: whatever keeps it, wherever that happens, and however the one that it
//! waits for becomes ready.
//!
//! Nothing here is timed. What keeps a thread is a [`Gate`] that only another task of the same runtime opens, when as many
//! threads are kept as there are workers or more; so without relief nobody can open it. A gate gives up after
//! [`PATIENCE`], says so, and the test fails. When and where the other task becomes ready is the [`Relief`], what the task was
//! woken by before it kept its thread the [`Begin`].

mod helpers;

use gambol::{
    chan,
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::{Handle, Runtime},
    task::{JoinHandle, yield_now},
    time::sleep,
};
use helpers::PATIENCE;
use std::{
    future::{pending, poll_fn},
    io::{ErrorKind, Read, Write},
    net,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::{Duration, Instant},
};

const WORKERS: [usize; 3] = [1, 2, 4];

/// What keeps a thread.
#[derive(Clone, Copy, Debug)]
enum Keeper {
    /// Sleeps of a millisecond, until the gate is open.
    Sleep,
    /// A `recv` of std's channel.
    Receive,
    /// A blocking read of a socket.
    Read,
    /// A mutex of std's that a plain thread holds.
    Mutex,
    /// A loop without an await.
    Spin,
}

const KEEPERS: [Keeper; 5] = [Keeper::Sleep, Keeper::Receive, Keeper::Read, Keeper::Mutex, Keeper::Spin];

/// How the task becomes ready that opens the gates, once all threads are kept that are to be.
#[derive(Clone, Copy, Debug)]
enum Relief {
    /// It waits for a message, which one of the others sends before it keeps its thread.
    Message,
    /// It sleeps, again and again.
    Timer,
    /// It waits for a socket, to which one of the others writes.
    Socket,
    /// It yields, again and again.
    Yield,
    /// One of the others spawns it.
    Spawned,
    /// A plain thread spawns it.
    Outside,
}

const RELIEFS: [Relief; 6] =
    [Relief::Message, Relief::Timer, Relief::Socket, Relief::Yield, Relief::Spawned, Relief::Outside];

/// What a task is woken by before it keeps its thread.
#[derive(Clone, Copy, Debug)]
enum Begin {
    /// It has just been spawned.
    Spawn,
    /// Its timer, which is due with those of the others.
    Timer,
    /// Its socket, which is ready with those of the others: its thread has just been in the poller.
    Socket,
    /// A message.
    Message,
}

const BEGINS: [Begin; 4] = [Begin::Spawn, Begin::Timer, Begin::Socket, Begin::Message];

/// Opens a gate, whether or not somebody waits yet.
type Open = Box<dyn FnOnce() + Send>;

/// Keeps the calling thread until its gate is open. False: it was not in time.
struct Gate(Box<dyn FnOnce() -> bool + Send>);

impl Gate {
    fn new(keeper: Keeper) -> (Open, Gate) {
        let limit = Instant::now() + PATIENCE;
        match keeper {
            Keeper::Sleep | Keeper::Spin => {
                let open = Arc::new(AtomicBool::new(false));
                let opened = open.clone();
                let wait = move || match keeper {
                    Keeper::Sleep => thread::sleep(Duration::from_millis(1)),
                    _ => std::hint::spin_loop(),
                };
                let gate = move || {
                    while !opened.load(Ordering::Acquire) {
                        if Instant::now() > limit {
                            return false;
                        }
                        wait();
                    }
                    true
                };
                (Box::new(move || open.store(true, Ordering::Release)), Gate(Box::new(gate)))
            }
            Keeper::Receive => {
                let (open, opened) = mpsc::channel();
                let gate = move || opened.recv_timeout(left(limit)).is_ok();
                (Box::new(move || open.send(()).unwrap_or_default()), Gate(Box::new(gate)))
            }
            Keeper::Read => {
                let (mut open, mut opened) = pair();
                let gate = move || {
                    opened.set_read_timeout(Some(left(limit))).unwrap();
                    loop {
                        match opened.read(&mut [0]) {
                            Ok(read) => return read == 1,
                            Err(error) if error.kind() == ErrorKind::Interrupted => (),
                            Err(_) => return false,
                        }
                    }
                };
                (Box::new(move || open.write_all(&[1]).unwrap()), Gate(Box::new(gate)))
            }
            Keeper::Mutex => {
                let (open, opened) = mpsc::channel();
                let (hold, held) = mpsc::channel();
                let was_opened = Arc::new(Mutex::new(false));
                let mutex = was_opened.clone();
                thread::spawn(move || {
                    let mut was_opened = mutex.lock().unwrap();
                    hold.send(()).unwrap();
                    *was_opened = opened.recv_timeout(left(limit)).is_ok();
                });
                held.recv().unwrap();
                (
                    Box::new(move || open.send(()).unwrap_or_default()),
                    Gate(Box::new(move || *was_opened.lock().unwrap())),
                )
            }
        }
    }

    fn many(count: usize, keeper: Keeper) -> (Vec<Open>, Vec<Gate>) {
        (0..count).map(|_| Gate::new(keeper)).unzip()
    }

    #[must_use]
    fn keep(self) -> bool {
        (self.0)()
    }
}

/// Some time, at least, since a timeout of zero is none.
fn left(limit: Instant) -> Duration {
    limit.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
}

fn pair() -> (net::TcpStream, net::TcpStream) {
    let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
    let one = net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    one.set_nodelay(true).unwrap();
    (one, listener.accept().unwrap().0)
}

/// What each of those that keep their threads calls before: the last call makes the relief ready.
#[derive(Clone)]
struct Signal {
    missing: Arc<AtomicUsize>,
    last: Arc<dyn Fn() + Send + Sync>,
}

impl Signal {
    fn begins(&self) {
        if self.missing.fetch_sub(1, Ordering::AcqRel) == 1 {
            (self.last)();
        }
    }
}

/// Arranges that the gates are opened by a task of this runtime when so many have called.
fn arrange(handle: &Handle, relief: Relief, count: usize, gates: Vec<Open>) -> Signal {
    let gates = Mutex::new(gates);
    let open = Arc::new(move || {
        // One call comes to it.
        for open in gates.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            open();
        }
    });
    let missing = Arc::new(AtomicUsize::new(count));
    let is_complete = {
        let missing = missing.clone();
        move || missing.load(Ordering::Acquire) == 0
    };
    let last: Arc<dyn Fn() + Send + Sync> = match relief {
        Relief::Message => {
            let (sender, receiver) = chan::unbounded();
            handle.spawn(async move {
                receiver.recv().await.unwrap();
                open();
            });
            Arc::new(move || sender.try_send(()).unwrap())
        }
        Relief::Timer => {
            handle.spawn(async move {
                while !is_complete() {
                    sleep(Duration::from_millis(1)).await;
                }
                open();
            });
            Arc::new(|| ())
        }
        Relief::Socket => {
            let (theirs, ours) = pair();
            handle.spawn(async move {
                TcpStream::try_from(ours).unwrap().read_exact(&mut [0]).await.unwrap();
                open();
            });
            Arc::new(move || (&theirs).write_all(&[1]).unwrap())
        }
        Relief::Yield => {
            handle.spawn(async move {
                while !is_complete() {
                    yield_now().await;
                }
                open();
            });
            Arc::new(|| ())
        }
        Relief::Spawned => Arc::new(move || {
            let open = open.clone();
            gambol::spawn(async move { open() });
        }),
        Relief::Outside => {
            let (sender, receiver) = mpsc::channel();
            let handle = handle.clone();
            thread::spawn(move || {
                // Nobody calls if the test has failed.
                if receiver.recv().is_ok() {
                    handle.spawn(async move { open() });
                }
            });
            Arc::new(move || sender.send(()).unwrap())
        }
    };
    Signal { missing, last }
}

/// Spawns so many tasks which, when they have begun, do what `then` says of their number. The wakes come together.
fn begin_all<F>(handle: &Handle, begin: Begin, count: usize, mut then: impl FnMut(usize) -> F) -> Vec<JoinHandle<bool>>
where
    F: FnOnce() -> bool + Send + 'static,
{
    let mut wakes: Vec<Open> = Vec::new();
    let due = Instant::now() + Duration::from_millis(20);
    let tasks = (0..count)
        .map(|index| {
            let then = then(index);
            match begin {
                Begin::Spawn => handle.spawn(async move { then() }),
                Begin::Timer => handle.spawn(async move {
                    sleep(due.saturating_duration_since(Instant::now())).await;
                    then()
                }),
                Begin::Socket => {
                    let (mut theirs, ours) = pair();
                    wakes.push(Box::new(move || theirs.write_all(&[1]).unwrap()));
                    handle.spawn(async move {
                        let mut ours = TcpStream::try_from(ours).unwrap();
                        ours.read_exact(&mut [0]).await.unwrap();
                        let in_time = then();
                        ours.write_all(&[1]).await.is_ok() && in_time
                    })
                }
                Begin::Message => {
                    let (sender, receiver) = chan::unbounded();
                    wakes.push(Box::new(move || sender.try_send(()).unwrap()));
                    handle.spawn(async move {
                        receiver.recv().await.unwrap();
                        then()
                    })
                }
            }
        })
        .collect();
    for wake in wakes {
        wake();
    }
    tasks
}

fn runtime(workers: usize) -> Runtime {
    Runtime::builder().workers(workers).build().unwrap()
}

/// Asserts that all were relieved, and that the runtime goes on.
fn must_be_relieved(runtime: &Runtime, tasks: Vec<JoinHandle<bool>>, what: &str) {
    let mut late = 0;
    for task in tasks {
        late += usize::from(!runtime.block_on(task).unwrap());
    }
    assert_eq!(late, 0, "kept their threads in vain, {what}");
    assert_eq!(runtime.block_on(runtime.spawn(async { 7 })).unwrap(), 7, "{what}");
}

/// So many tasks keep their threads, and one opens all their gates.
fn case(runtime: &Runtime, count: usize, begin: Begin, keeper: Keeper, relief: Relief) {
    let (opens, gates) = Gate::many(count, keeper);
    let signal = arrange(runtime.handle(), relief, count, opens);
    let mut gates = gates.into_iter();
    let tasks = begin_all(runtime.handle(), begin, count, |_| {
        let (gate, signal) = (gates.next().unwrap(), signal.clone());
        move || {
            signal.begins();
            gate.keep()
        }
    });
    must_be_relieved(runtime, tasks, &format!("{count} tasks, {begin:?}, {keeper:?}, {relief:?}, {runtime:?}"));
}

#[test]
fn whatever_keeps_a_thread_keeps_nobody_else() {
    for workers in WORKERS {
        for keeper in KEEPERS {
            for relief in RELIEFS {
                case(&runtime(workers), workers, Begin::Spawn, keeper, relief);
            }
        }
    }
}

#[test]
fn whatever_woke_a_task_that_blocks_others_are_woken_all_the_same() {
    for workers in WORKERS {
        for begin in BEGINS {
            for relief in RELIEFS {
                case(&runtime(workers), workers, begin, Keeper::Receive, relief);
            }
        }
    }
}

#[test]
fn one_that_blocks_keeps_neither_the_poller_nor_the_timers() {
    for workers in WORKERS {
        for begin in BEGINS {
            for relief in RELIEFS {
                case(&runtime(workers), 1, begin, Keeper::Read, relief);
            }
        }
    }
}

#[test]
fn more_tasks_than_workers_may_block_at_once() {
    for workers in WORKERS {
        for begin in BEGINS {
            for relief in [Relief::Message, Relief::Timer, Relief::Socket, Relief::Outside] {
                case(&runtime(workers), 3 * workers + 1, begin, Keeper::Receive, relief);
            }
        }
    }
}

#[test]
fn more_tasks_than_workers_may_spin_at_once() {
    for workers in WORKERS {
        for relief in RELIEFS {
            case(&runtime(workers), workers + 2, Begin::Spawn, Keeper::Spin, relief);
        }
    }
}

#[test]
fn hundreds_may_block_one_after_the_other() {
    for workers in WORKERS {
        let runtime = runtime(workers);
        for round in 0..200 {
            let relief = RELIEFS[round % RELIEFS.len()];
            let begin = BEGINS[round / RELIEFS.len() % BEGINS.len()];
            case(&runtime, workers, begin, Keeper::Receive, relief);
        }
    }
}

/// Those that become ready together may need each other: each waits for the next to have begun, but for the last.
#[test]
fn tasks_that_were_woken_together_may_wait_for_each_other() {
    const COUNT: usize = 20;
    for workers in WORKERS {
        for begin in BEGINS {
            let runtime = runtime(workers);
            let (opens, gates) = Gate::many(COUNT - 1, Keeper::Receive);
            let mut opens = std::iter::once(None).chain(opens.into_iter().map(Some));
            let mut gates = gates.into_iter().map(Some).chain([None]);
            let tasks = begin_all(runtime.handle(), begin, COUNT, |_| {
                let (open, gate) = (opens.next().unwrap(), gates.next().unwrap());
                move || {
                    if let Some(open) = open {
                        open();
                    }
                    gate.is_none_or(Gate::keep)
                }
            });
            must_be_relieved(&runtime, tasks, &format!("woken together, {begin:?}, {runtime:?}"));
        }
    }
}

/// Each has its thread kept until the one that it has woken has answered, round after round.
#[test]
fn tasks_may_wake_others_and_block_each_time() {
    const TASKS: usize = 5;
    const ROUNDS: usize = 20;
    for workers in WORKERS {
        let runtime = runtime(workers);
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..TASKS).map(|_| chan::unbounded::<Open>()).unzip();
        let tasks = receivers
            .into_iter()
            .enumerate()
            .map(|(index, receiver)| {
                let next = senders[(index + 1) % TASKS].clone();
                runtime.spawn(async move {
                    for round in 0..ROUNDS {
                        receiver.recv().await.unwrap()();
                        let is_last = round + 1 == ROUNDS && index + 1 == TASKS;
                        if !is_last {
                            let (open, gate) = Gate::new(Keeper::Receive);
                            // The next has gone if it was kept in vain.
                            if next.try_send(open).is_err() || !gate.keep() {
                                return false;
                            }
                        }
                    }
                    true
                })
            })
            .collect();
        senders[0].try_send(Box::new(|| ())).map_err(drop).unwrap();
        drop(senders);
        must_be_relieved(&runtime, tasks, &format!("in a ring, {runtime:?}"));
    }
}

/// The future of `block_on` is on a thread that is no worker; that of a main task is on one.
#[test]
fn a_main_that_blocks_keeps_nobody() {
    for workers in WORKERS {
        for keeper in KEEPERS {
            for relief in RELIEFS {
                let runtime = runtime(workers);
                let handle = runtime.handle().clone();
                let main = async move {
                    // It has waited for something before, so that its thread has looked after poller and timers.
                    sleep(Duration::from_millis(1)).await;
                    let (open, gate) = Gate::new(keeper);
                    let signal = arrange(&handle, relief, 1, vec![open]);
                    signal.begins();
                    gate.keep()
                };
                let what = format!("in main, {keeper:?}, {relief:?}, {runtime:?}");
                let is_task = matches!(keeper, Keeper::Receive | Keeper::Spin);
                let in_time =
                    if is_task { runtime.block_on(runtime.spawn(main)).unwrap() } else { runtime.block_on(main) };
                assert!(in_time, "kept its thread in vain, {what}");
            }
        }
    }
}

/// Keeps the thread on which it is called, once, and passes the wake on.
struct Lengthy {
    gate: Mutex<Option<(Signal, Gate)>>,
    in_time: mpsc::Sender<bool>,
    task: Waker,
}

impl Wake for Lengthy {
    fn wake(self: Arc<Self>) {
        let gate = self.gate.lock().unwrap().take();
        if let Some((signal, gate)) = gate {
            signal.begins();
            let _ = self.in_time.send(gate.keep());
        }
        self.task.wake_by_ref();
    }
}

/// Polls a future with a waker that keeps its thread, until that was called. `future` makes it, and says when it is enrolled.
async fn woken_at_length<F: Future>(
    signal: Signal,
    gate: Gate,
    mut future: impl FnMut() -> F,
    enrolled: impl FnOnce(),
) -> bool {
    let (sender, in_time) = mpsc::channel();
    let mut inner: Pin<Box<F>> = Box::pin(future());
    let mut content = Some((signal, gate, sender, enrolled));
    poll_fn(move |cx| {
        if let Some((signal, gate, sender, enrolled)) = content.take() {
            let gate = Mutex::new(Some((signal, gate)));
            let waker = Arc::new(Lengthy { gate, in_time: sender, task: cx.waker().clone() });
            while inner.as_mut().poll(&mut Context::from_waker(&Waker::from(waker.clone()))).is_ready() {
                // The thread was away for longer than a timer takes: once more.
                inner.set(future());
            }
            enrolled();
            return Poll::Pending;
        }
        match in_time.try_recv() {
            Ok(in_time) => Poll::Ready(in_time),
            // Whoever called the waker wakes the task when it returns.
            Err(mpsc::TryRecvError::Empty) => Poll::Pending,
            Err(mpsc::TryRecvError::Disconnected) => panic!("the waker was dropped uncalled"),
        }
    })
    .await
}

#[test]
fn a_waker_that_does_not_return_keeps_nobody() {
    for workers in WORKERS {
        for begin in [Begin::Timer, Begin::Socket, Begin::Message] {
            for (keeper, relief) in KEEPERS.into_iter().cycle().zip(RELIEFS) {
                let runtime = runtime(workers);
                let (opens, gates) = Gate::many(workers, keeper);
                let signal = arrange(runtime.handle(), relief, workers, opens);
                let tasks = gates
                    .into_iter()
                    .map(|gate| {
                        let signal = signal.clone();
                        let handle = runtime.handle().clone();
                        runtime.spawn(async move {
                            match begin {
                                Begin::Timer | Begin::Spawn => {
                                    let timer = || sleep(Duration::from_millis(20));
                                    woken_at_length(signal, gate, timer, || ()).await
                                }
                                Begin::Socket => {
                                    let (theirs, ours) = pair();
                                    let ours = TcpStream::try_from(ours).unwrap();
                                    let readable = || async { ours.peek(&mut [0]).await };
                                    let write = move || drop(thread::spawn(move || (&theirs).write_all(&[1]).unwrap()));
                                    woken_at_length(signal, gate, readable, write).await
                                }
                                Begin::Message => {
                                    let (sender, receiver) = chan::unbounded::<()>();
                                    // Called in the poll of the task that sends.
                                    let send = move || drop(handle.spawn(async move { sender.try_send(()).unwrap() }));
                                    woken_at_length(signal, gate, || receiver.recv(), send).await
                                }
                            }
                        })
                    })
                    .collect();
                must_be_relieved(
                    &runtime,
                    tasks,
                    &format!("in wakers, {begin:?}, {keeper:?}, {relief:?}, {runtime:?}"),
                );
            }
        }
    }
}

/// Keeps the thread on which it is dropped.
struct Clinging {
    gate: Option<(Signal, Gate)>,
    in_time: chan::Sender<bool>,
}

impl Drop for Clinging {
    fn drop(&mut self) {
        let (signal, gate) = self.gate.take().unwrap();
        signal.begins();
        let _ = self.in_time.try_send(gate.keep());
    }
}

/// What a task that drops it does.
#[derive(Clone, Copy, Debug)]
enum Dropped {
    /// It ends, and its future is dropped.
    Ended,
    /// It is aborted while it waits.
    Aborted,
    /// It ends, and nobody wants its output.
    Unclaimed,
}

#[test]
fn a_drop_that_does_not_return_keeps_nobody() {
    for workers in WORKERS {
        for dropped in [Dropped::Ended, Dropped::Aborted, Dropped::Unclaimed] {
            for (keeper, relief) in KEEPERS.into_iter().cycle().zip(RELIEFS) {
                let runtime = runtime(workers);
                let (opens, gates) = Gate::many(workers, keeper);
                let signal = arrange(runtime.handle(), relief, workers, opens);
                let (sender, in_time) = chan::unbounded();
                for gate in gates {
                    let clinging = Clinging { gate: Some((signal.clone(), gate)), in_time: sender.clone() };
                    match dropped {
                        Dropped::Ended => drop(runtime.spawn(poll_fn(move |_| {
                            let _ = &clinging;
                            Poll::Ready(())
                        }))),
                        Dropped::Aborted => {
                            let (parked, is_parked) = mpsc::channel();
                            let task = runtime.spawn(async move {
                                let _clinging = clinging;
                                parked.send(()).unwrap();
                                pending::<()>().await;
                            });
                            // On a worker that is free still, or was relieved.
                            assert!(is_parked.recv_timeout(PATIENCE).is_ok(), "not even begun, {workers} workers");
                            task.abort();
                        }
                        Dropped::Unclaimed => {
                            // Only after its handle has gone: otherwise it may be the handle that drops it, here.
                            let (sender, is_detached) = chan::unbounded();
                            drop(runtime.spawn(async move {
                                is_detached.recv().await.unwrap();
                                clinging
                            }));
                            sender.try_send(()).unwrap();
                        }
                    }
                }
                drop(sender);
                let in_time = runtime.spawn(async move {
                    let mut all = true;
                    while let Some(in_time) = in_time.recv().await {
                        all &= in_time;
                    }
                    all
                });
                let what = format!("in drops, {dropped:?}, {keeper:?}, {relief:?}, {runtime:?}");
                must_be_relieved(&runtime, vec![in_time], &what);
            }
        }
    }
}

/// Says when it is dropped.
struct Says(mpsc::Sender<()>);

impl Drop for Says {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

#[test]
fn a_shutdown_waits_for_those_that_block_and_cancels_those_behind_them() {
    for workers in WORKERS {
        let runtime = runtime(workers);
        let count = 2 * workers;
        let (opens, gates) = Gate::many(count, Keeper::Receive);
        let (sender, begun) = mpsc::channel();
        let tasks: Vec<_> = gates
            .into_iter()
            .map(|gate| {
                let sender = sender.clone();
                runtime.spawn(async move {
                    sender.send(()).unwrap();
                    gate.keep()
                })
            })
            .collect();
        for _ in 0..count {
            assert!(begun.recv_timeout(PATIENCE).is_ok(), "blocked with the workers that others need: {runtime:?}");
        }
        let (dropped, is_dropped) = mpsc::channel();
        let says = Says(dropped);
        drop(runtime.spawn(async move {
            let _says = says;
            pending::<()>().await;
        }));
        // The gates are opened only when what was behind them has been cancelled.
        let opener = thread::spawn(move || {
            let cancelled = is_dropped.recv_timeout(PATIENCE).is_ok();
            opens.into_iter().for_each(|open| open());
            cancelled
        });
        runtime.shutdown(PATIENCE).unwrap();
        assert!(opener.join().unwrap(), "{workers} workers");
        for task in tasks {
            // Whether it was aborted after its poll is not promised here.
            assert!(gambol::block_on(task).unwrap_or(true), "{workers} workers");
        }
    }
}

#[test]
fn a_shutdown_whose_time_is_over_leaves_those_behind_that_block() {
    for workers in WORKERS {
        let runtime = runtime(workers);
        let count = workers + 1;
        let (opens, gates) = Gate::many(count, Keeper::Read);
        let signal = arrange(runtime.handle(), Relief::Timer, count, Vec::new());
        let (sender, ended) = mpsc::channel();
        let mut gates = gates.into_iter();
        let tasks = begin_all(runtime.handle(), Begin::Socket, count, |_| {
            let (gate, signal, sender) = (gates.next().unwrap(), signal.clone(), sender.clone());
            move || {
                signal.begins();
                let in_time = gate.keep();
                sender.send(in_time).unwrap();
                in_time
            }
        });
        let begin = Instant::now();
        while signal.missing.load(Ordering::Acquire) > 0 {
            assert!(begin.elapsed() < PATIENCE, "blocked with the workers that others need: {runtime:?}");
            thread::yield_now();
        }
        assert!(runtime.shutdown(Duration::from_millis(20)).is_err(), "{workers} workers");
        opens.into_iter().for_each(|open| open());
        for _ in 0..count {
            assert_eq!(ended.recv_timeout(PATIENCE), Ok(true), "{workers} workers");
        }
        drop(tasks);
    }
}
