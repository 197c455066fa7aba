//! Everything at once, for as long as `GAMBOL_STRESS_SECONDS` says (default 1) per number of workers: nothing hangs, and every
//! count comes out even.
//!
//! A round is one runtime. Foreign threads spawn into it, wake and abort; its tasks do what tasks may do, at random. In half
//! of the rounds everything is left to end by itself; in the others the runtime is ended in the middle, in one of several ways,
//! while the foreign threads go on. Afterwards every guard was dropped once and the metrics agree. A watchdog ends the
//! process when a round does not end within 30 s. `.ci/stress` runs this for longer.
//!
//! Half of the runtimes record a trace, half measure how long things take, and in three rounds of four another thread looks all the
//! time, from before the round to after its end: it dumps, reads the metrics, writes the trace, and asks for the page of `gambol-top`.

#[path = "common/chrome.rs"]
mod chrome;
mod common;

use common::yield_now;
use gambol_executor::{
    Direction, Done, Handle, Io, JoinHandle, Metrics, Reason, Runtime, Sleep, block_in_place, block_on, spawn,
    spawn_blocking, spawn_local,
};
use std::{
    env,
    future::{Future, pending, poll_fn},
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    panic::{self, panic_any},
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, Once,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
        mpsc,
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::{Duration, Instant},
};

/// Tasks that the foreign threads allow to be alive before they wait.
const CROWD: u64 = 1_000;
/// Connections per round, so that the host's ports last.
const CONNECTIONS: u64 = 8;
/// A round that takes so long hangs.
const HANGS: Duration = Duration::from_secs(30);

/// What the panics here carry; the hook is silent about it.
struct Deliberate;

/// A wake that a foreign thread owes, and the word that it came.
type Owed = (Waker, Arc<AtomicBool>);

/// What one runtime and all that use it share.
struct Round {
    end: End,
    workers: usize,
    /// There are so many places for workers that each one that is held up is relieved.
    relieved: bool,
    began: Instant,
    handle: Handle,
    made: AtomicU64,
    dropped: AtomicU64,
    moves: Arc<AtomicU64>,
    records: bool,
    measures: bool,
    connections: AtomicU64,
    nested: AtomicU64,
    owed: Mutex<mpsc::Sender<Owed>>,
    /// Everything is to end now.
    stop: AtomicBool,
    /// The foreign threads may go.
    over: AtomicBool,
}

impl Round {
    fn alive(&self) -> u64 {
        self.made.load(SeqCst) - self.dropped.load(SeqCst)
    }

    fn is_even(&self) -> bool {
        let metrics = self.handle.metrics();
        self.alive() == 0 && metrics.tasks_spawned() == metrics.tasks_finished()
    }
}

/// Made once and dropped once per task.
struct Guard {
    round: Arc<Round>,
    intact: u64,
}

const INTACT: u64 = 0x5afe_5afe_5afe_5afe;

impl Guard {
    fn new(round: &Arc<Round>) -> Guard {
        round.made.fetch_add(1, SeqCst);
        Guard { round: round.clone(), intact: INTACT }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        assert_eq!(std::mem::replace(&mut self.intact, 0), INTACT, "dropped twice");
        self.round.moves.fetch_add(1, SeqCst);
        self.round.dropped.fetch_add(1, SeqCst);
    }
}

/// Spawns when it is dropped.
struct SpawnsInDrop(Arc<Round>, u8);

impl Drop for SpawnsInDrop {
    fn drop(&mut self) {
        let guard = Guard::new(&self.0);
        let next = (self.1 > 0).then(|| SpawnsInDrop(self.0.clone(), self.1 - 1));
        drop(self.0.handle.spawn(async move {
            let _keep = (guard, next);
            yield_now().await;
        }));
    }
}

/// Holds up the thread for 1 to 20 ms and says nothing: it sleeps, or it computes.
fn hold_up() {
    let long = Duration::from_millis(fastrand::u64(1..20));
    if fastrand::bool() {
        thread::sleep(long);
    } else {
        let until = Instant::now() + long;
        while Instant::now() < until {
            std::hint::spin_loop();
        }
    }
}

/// Holds up the thread that drops it.
struct HoldsInDrop;

impl Drop for HoldsInDrop {
    fn drop(&mut self) {
        hold_up();
    }
}

/// Holds up the thread that wakes it, and then wakes another.
struct HoldsInWake(Mutex<Option<Waker>>);

impl Wake for HoldsInWake {
    fn wake(self: Arc<Self>) {
        hold_up();
        if let Some(waker) = self.0.lock().unwrap().take() {
            waker.wake();
        }
    }
}

/// Panics when it is dropped, unless that would end the process.
struct PanicsInDrop;

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        if !thread::panicking() {
            panic_any(Deliberate);
        }
    }
}

/// Aborts a task that would never end.
struct Aborts<T>(JoinHandle<T>);

impl<T> Drop for Aborts<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A task of the crowd.
fn task(round: Arc<Round>, depth: u8) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    let guard = Guard::new(&round);
    Box::pin(async move {
        let _guard = guard;
        for _ in 0..fastrand::u8(1..6) {
            if round.stop.load(SeqCst) {
                return;
            }
            step(&round, depth).await;
            round.moves.fetch_add(1, SeqCst);
        }
    })
}

/// A task that ends only when it is aborted, or with its runtime.
fn endless(round: &Arc<Round>) -> JoinHandle<()> {
    let (guard, noisy) = (Guard::new(round), fastrand::bool());
    round.handle.spawn(async move {
        let _guard = guard;
        let _noise = noisy.then(|| PanicsInDrop);
        pending::<()>().await;
    })
}

fn micros(most: u64) -> Duration {
    Duration::from_micros(fastrand::u64(0..most))
}

/// One of all the things that a task may do.
async fn step(round: &Arc<Round>, depth: u8) {
    let child = || spawn(task(round.clone(), depth - 1));
    // Rare, because they take so long: one in forty.
    if fastrand::u8(0..40) == 0 {
        return stall(round).await;
    }
    match fastrand::u8(0..if depth == 0 { 14 } else { 20 }) {
        0 | 1 => {
            for _ in 0..fastrand::u8(0..50) {
                yield_now().await;
            }
        }
        2 => Sleep::new(micros(3_000)).await,
        3 => {
            let mut sleep = pin!(Sleep::new(Duration::from_secs(3_600)));
            assert!(futures::poll!(sleep.as_mut()).is_pending());
            sleep.reset(Sleep::new(micros(2_000)).deadline());
            sleep.await;
        }
        4 => {
            let mut sleep = Sleep::new(micros(500));
            let _ = futures::poll!(&mut sleep);
            if fastrand::bool() {
                // Dropped elsewhere, while it may be firing.
                drop(spawn_blocking(move || drop(sleep)));
            }
        }
        5 => {
            // Woken by a foreign thread.
            let came = Arc::new(AtomicBool::new(false));
            poll_fn(|cx| {
                if came.load(SeqCst) {
                    return Poll::Ready(());
                }
                let _ = round.owed.lock().unwrap().send((cx.waker().clone(), came.clone()));
                Poll::Pending
            })
            .await;
        }
        6 => drop(SpawnsInDrop(round.clone(), fastrand::u8(0..4))),
        7 => {
            let guard = Guard::new(round);
            let job = spawn_blocking(move || {
                let _guard = guard;
                thread::sleep(micros(300));
            });
            if fastrand::bool() {
                let _ = job.await;
            }
        }
        8 => block_in_place(|| thread::sleep(micros(1_000))),
        9 => {
            // At the cap these stand on one stack, so there are not too many of them.
            if round.nested.fetch_add(1, SeqCst) < 8 {
                block_on(async {
                    yield_now().await;
                    Sleep::new(micros(500)).await;
                    let guard = Guard::new(round);
                    let _ = spawn(async move { drop(guard) }).await;
                    let guard = Guard::new(round);
                    let local = spawn_local(async move {
                        let _guard = guard;
                        yield_now().await;
                        Sleep::new(micros(200)).await;
                    });
                    block_on(Sleep::new(micros(200)));
                    if fastrand::bool() {
                        let _ = local.await;
                    }
                });
            }
            round.nested.fetch_sub(1, SeqCst);
        }
        10 => {
            let mut endless = Aborts(endless(round));
            for _ in 0..fastrand::u8(0..4) {
                yield_now().await;
            }
            if fastrand::bool() {
                Sleep::new(micros(500)).await;
            }
            endless.0.abort();
            assert!((&mut endless.0).await.unwrap_err().is_cancelled());
        }
        11 => {
            let mut aborts = Aborts(endless(round));
            if fastrand::bool() {
                yield_now().await;
            }
            let abort = aborts.0.abort_handle();
            spawn_blocking(move || abort.abort());
            if fastrand::bool() {
                assert!((&mut aborts.0).await.unwrap_err().is_cancelled());
            }
        }
        12 => {
            if round.connections.fetch_add(1, SeqCst) < CONNECTIONS {
                let _ = talk(round).await;
            }
        }
        13 => {
            // Contained here, since this task has more to do.
            let guard = Guard::new(round);
            let result = spawn(async move {
                let _guard = guard;
                yield_now().await;
                panic_any(Deliberate);
            });
            let _ = result.await;
        }
        14 => drop(child()),
        15 | 16 => drop(child().await),
        17 => {
            let child = child();
            yield_now().await;
            child.abort();
            let _ = child.await;
        }
        18 => {
            let guard = Guard::new(round);
            drop(spawn(async move {
                let _guard = guard;
                PanicsInDrop
            }));
        }
        _ => {
            let children: Vec<_> = (0..fastrand::u8(0..8)).map(|_| child()).collect();
            for child in children {
                let _ = child.await;
            }
        }
    }
}

/// One of all the ways to hold up a worker and not to say so.
async fn stall(round: &Arc<Round>) {
    match fastrand::u8(0..7) {
        0 => hold_up(),
        1 => {
            // Others stand behind it, and come back to it.
            let children: Vec<_> = (0..fastrand::u8(1..20))
                .map(|_| {
                    let guard = Guard::new(round);
                    spawn(async move {
                        let _guard = guard;
                        yield_now().await;
                    })
                })
                .collect();
            hold_up();
            for child in children {
                let _ = child.await;
            }
        }
        2 => {
            // It wakes, spawns and arms while the mark may stand.
            let woken = tokened(round);
            hold_up();
            let mut sleep = Sleep::new(micros(2_000));
            let _ = futures::poll!(&mut sleep);
            hold_up();
            drop(woken);
            let guard = Guard::new(round);
            let child = spawn(async move { drop(guard) });
            hold_up();
            sleep.await;
            let _ = child.await;
        }
        3 => {
            let guard = Guard::new(round);
            let _ = spawn(async move {
                let _keep = (HoldsInDrop, guard);
                yield_now().await;
            })
            .await;
        }
        4 => {
            // Its waker stands in a batch with others, when the timer is due.
            let mut sleep = Sleep::new(micros(3_000));
            poll_fn(|cx| {
                let waker = Waker::from(Arc::new(HoldsInWake(Mutex::new(Some(cx.waker().clone())))));
                Pin::new(&mut sleep).poll(&mut Context::from_waker(&waker))
            })
            .await;
        }
        5 => {
            // First without a word, then with one.
            hold_up();
            if round.nested.fetch_add(1, SeqCst) < 8 {
                block_on(async {
                    let guard = Guard::new(round);
                    let child = spawn(async move { drop(guard) });
                    hold_up();
                    let _ = child.await;
                });
            }
            round.nested.fetch_sub(1, SeqCst);
            block_in_place(hold_up);
            hold_up();
        }
        _ => {
            // Until another has run, which stands behind this one and may be cancelled. Not where the cap is low: there may be
            // nobody to run it.
            let (tell, told) = mpsc::channel::<()>();
            let guard = Guard::new(round);
            let child = spawn(async move {
                let _keep = (guard, tell);
            });
            if round.relieved {
                let _ = told.recv();
            }
            drop(child);
        }
    }
}

/// A task that waits until what is returned is dropped.
fn tokened(round: &Arc<Round>) -> futures::channel::oneshot::Sender<()> {
    let (tell, told) = futures::channel::oneshot::channel();
    let guard = Guard::new(round);
    drop(spawn(async move {
        let _guard = guard;
        let _ = told.await;
    }));
    tell
}

async fn exchange(io: &Io<TcpStream>, byte: Option<u8>) -> io::Result<u8> {
    let mut buffer = [byte.unwrap_or(0)];
    let (direction, reason) = match byte {
        Some(_) => (Direction::Write, Reason::Write),
        None => (Direction::Read, Reason::Read),
    };
    let done = poll_fn(|cx| {
        io.poll_io(cx, direction, reason, |mut socket: &TcpStream| {
            let done = if byte.is_some() { socket.write(&buffer) } else { socket.read(&mut buffer) };
            done.map(|value| Done { value, short: value < 1 })
        })
    });
    if done.await? == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(buffer[0]) }
}

/// Two tasks that talk over a connection.
async fn talk(round: &Arc<Round>) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let here = TcpStream::connect(listener.local_addr()?)?;
    let there = listener.accept()?.0;
    here.set_nonblocking(true)?;
    there.set_nonblocking(true)?;
    let (here, there) = (Io::new(here)?, Io::new(there)?);
    let guard = Guard::new(round);
    let echo = spawn(async move {
        let _guard = guard;
        while let Ok(byte) = exchange(&there, None).await {
            if exchange(&there, Some(byte)).await.is_err() {
                break;
            }
        }
    });
    for i in 0..fastrand::u8(1..200) {
        exchange(&here, Some(i)).await?;
        assert_eq!(exchange(&here, None).await?, i);
        round.moves.fetch_add(1, SeqCst);
    }
    drop(here);
    let _ = echo.await;
    Ok(())
}

/// Spawns, aborts and waits, from outside.
fn spawner(round: &Arc<Round>) {
    let over = || round.over.load(SeqCst) || (round.end == End::ByItself && round.stop.load(SeqCst));
    while !over() {
        if round.alive() > CROWD || fastrand::u8(0..16) == 0 {
            futures::executor::block_on(Sleep::new(micros(500)));
        }
        let handle = round.handle.spawn(task(round.clone(), 3));
        match fastrand::u8(0..6) {
            0 => handle.abort(),
            1 => handle.abort_handle().abort(),
            2 if !round.stop.load(SeqCst) => drop(futures::executor::block_on(handle)),
            3 => drop(round.handle.spawn_blocking(|| thread::sleep(micros(200)))),
            _ => {}
        }
        if round.stop.load(SeqCst) {
            thread::sleep(micros(200));
        }
    }
}

/// Pays the wakes that tasks have asked for, and more.
fn waker(round: &Round, owed: mpsc::Receiver<Owed>) {
    let mut late = Vec::new();
    while !round.over.load(SeqCst) {
        let Ok((waker, came)) = owed.recv_timeout(Duration::from_millis(1)) else { continue };
        let clones = vec![waker.clone(); fastrand::usize(0..4)];
        came.store(true, SeqCst);
        clones.into_iter().for_each(Waker::wake);
        late.push(waker.clone());
        waker.wake();
    }
    // Long after their tasks have ended.
    late.into_iter().for_each(Waker::wake);
}

/// Looks at the runtime in all ways that there are, until the round is over, and says how often.
fn observer(round: &Round) -> u64 {
    let mut before = round.handle.metrics();
    let mut looks = 0;
    // The last look is at a runtime that has ended, mostly.
    loop {
        let over = round.over.load(SeqCst);
        let dump = round.handle.dump();
        assert!(dump.len() + dump.unlisted() + dump.jobs_waiting() == dump.live(), "{dump}");
        assert!(dump.iter().all(|task| task.since < Duration::from_secs(60)), "{dump}");
        assert!(dump.to_string().lines().count() > 1);
        let now = round.handle.metrics();
        assert!(now.tasks_finished() <= now.tasks_spawned());
        assert!(grown(&before).iter().zip(grown(&now)).all(|(before, now)| *before <= now), "{before}\n{now}");
        assert_eq!((now.poll_time().is_some(), now.schedule_latency().is_some()), (round.measures, round.measures));
        assert!(!now.to_string().is_empty());
        before = now;
        if round.records && looks % 8 == 0 {
            // It is as large as a recording, and is read as strictly as any.
            let mut json = Vec::new();
            round.handle.write_trace(&mut json).unwrap();
            chrome::check(std::str::from_utf8(&json).unwrap());
        } else {
            assert_eq!(round.handle.write_trace(&mut io::sink()).is_ok(), round.records);
        }
        looks += 1;
        if over {
            return looks;
        }
    }
}

/// What never becomes less.
fn grown(metrics: &Metrics) -> [u64; 8] {
    let turns = metrics.poll_time().map_or(0, |times| times.count());
    let waits = metrics.schedule_latency().map_or(0, |times| times.count());
    [
        metrics.tasks_spawned(),
        metrics.tasks_finished(),
        metrics.polls(),
        metrics.timers_armed(),
        metrics.parks(),
        metrics.stalls(),
        turns,
        waits,
    ]
}

/// As `gambol-top` does it.
#[cfg(unix)]
fn ask(round: &Round, path: &std::path::Path) {
    use std::{io::BufRead, os::unix::net::UnixStream};
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(HANGS)).unwrap();
    let mut answer = io::BufReader::new(stream.try_clone().unwrap());
    while !round.over.load(SeqCst) {
        stream.write_all(b"snapshot\n").unwrap();
        let mut line = String::new();
        while line != "end\n" {
            line.clear();
            assert_ne!(answer.read_line(&mut line).unwrap(), 0, "a page that is not whole");
            if line == "error\tthe runtime has ended\n" {
                return;
            }
            assert!(!line.starts_with("error"), "{line}");
        }
    }
}

/// Lets the foreign threads go, also when the round panics.
struct Over<'a>(&'a Round);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, SeqCst);
        self.0.over.store(true, SeqCst);
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    ByItself,
    Drop,
    Shutdown,
    InOwnTask,
    InPool,
    InOtherRuntime,
}

fn round(workers: usize, end: End, moves: &Arc<AtomicU64>, watched: &Mutex<Option<Arc<Round>>>) -> u64 {
    let max = if fastrand::bool() { 256 } else { workers + fastrand::usize(0..3) };
    let threshold = Duration::from_micros([0, 500, 2_000, 10_000][fastrand::usize(0..4)]);
    let (records, measures, observed) = (fastrand::bool(), fastrand::bool(), fastrand::u8(0..4) != 0);
    let mut builder = Runtime::builder().workers(workers).max_workers(max).stall_threshold(threshold);
    builder = builder.histograms(measures);
    if records {
        // Some that lose most of what happens, some that lose nothing.
        builder = builder.trace_events([64, 1 << 10, 1 << 14][fastrand::usize(0..3)]);
    }
    let runtime = builder.on_stall(|_| panic_any(Deliberate)).build().unwrap();
    let (tx, rx) = mpsc::channel();
    let round = Arc::new(Round {
        end,
        workers,
        relieved: max == 256,
        began: Instant::now(),
        handle: runtime.handle().clone(),
        made: AtomicU64::new(0),
        dropped: AtomicU64::new(0),
        moves: moves.clone(),
        records,
        measures,
        connections: AtomicU64::new(0),
        nested: AtomicU64::new(0),
        owed: Mutex::new(tx),
        stop: AtomicBool::new(false),
        over: AtomicBool::new(false),
    });
    *watched.lock().unwrap() = Some(round.clone());
    #[cfg(unix)]
    let top = {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("gambol-stress-{}-{}", std::process::id(), NEXT.fetch_add(1, SeqCst));
        observed.then(|| runtime.handle().serve_top(env::temp_dir().join(name)).unwrap())
    };
    let looks = thread::scope(|scope| {
        let _over = Over(&round);
        let spawning = scope.spawn(|| spawner(&round));
        let observing = observed.then(|| scope.spawn(|| observer(&round)));
        #[cfg(unix)]
        if let Some(top) = &top {
            scope.spawn(|| ask(&round, top.path()));
        }
        let shared = &round;
        scope.spawn(move || waker(shared, rx));
        let until = Instant::now() + Duration::from_millis(fastrand::u64(5..120));
        while Instant::now() < until {
            runtime.block_on(task(round.clone(), 2));
        }
        if end == End::ByItself {
            round.stop.store(true, SeqCst);
            while !round.is_even() {
                thread::sleep(Duration::from_micros(100));
            }
            let metrics = runtime.metrics();
            assert_eq!(metrics.timers_armed(), metrics.timers_fired() + metrics.timers_cancelled());
            // The last turn is measured when it is over, a moment after its task has ended.
            let unmeasured = |metrics: Metrics| metrics.poll_time().is_some_and(|it| it.count() != metrics.polls());
            while unmeasured(runtime.metrics()) {
                thread::sleep(Duration::from_micros(100));
            }
            // Nobody is left out: not those that were relieved either.
            while runtime.metrics().workers() != workers || runtime.metrics().workers_parked() != workers {
                thread::sleep(Duration::from_micros(100));
            }
        }
        match end {
            End::ByItself | End::Drop => drop(runtime),
            End::Shutdown => runtime.shutdown(Duration::from_secs(20)).unwrap(),
            End::InOwnTask => drop(round.handle.spawn(async move { drop(runtime) })),
            End::InPool => drop(round.handle.spawn_blocking(move || drop(runtime))),
            End::InOtherRuntime => {
                let other = common::runtime(1);
                other.block_on(other.spawn(async move { drop(runtime) })).unwrap();
            }
        }
        // The foreign threads go on for a while with a runtime that is gone.
        thread::sleep(micros(3_000));
        round.stop.store(true, SeqCst);
        round.over.store(true, SeqCst);
        spawning.join().unwrap();
        observing.map_or(0, |observing| observing.join().unwrap())
    });
    while !round.is_even() {
        thread::sleep(Duration::from_micros(100));
    }
    *watched.lock().unwrap() = None;
    looks
}

/// Rounds with so many workers, until the time is up.
fn stress(workers: usize) {
    static SILENCE: Once = Once::new();
    SILENCE.call_once(|| {
        let hook = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !info.payload().is::<Deliberate>() {
                hook(info);
            }
        }));
    });
    let seconds = env::var("GAMBOL_STRESS_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1.0);
    let until = Instant::now() + Duration::from_secs_f64(seconds);
    let moves = Arc::new(AtomicU64::new(0));
    let watched = Arc::new(Mutex::new(None::<Arc<Round>>));
    let done = Arc::new(AtomicBool::new(false));
    let watchdog = thread::spawn({
        let (watched, done) = (watched.clone(), done.clone());
        move || watch(&watched, &done)
    });
    let ends = [End::ByItself, End::Drop, End::Shutdown, End::InOwnTask, End::InPool, End::InOtherRuntime];
    let (mut rounds, mut looks) = (0, 0);
    while Instant::now() < until {
        let end = if fastrand::bool() { End::ByItself } else { ends[fastrand::usize(0..ends.len())] };
        looks += round(workers, end, &moves, &watched);
        rounds += 1;
    }
    done.store(true, SeqCst);
    watchdog.thread().unpark();
    watchdog.join().unwrap();
    println!("{workers} workers: {rounds} rounds, {} moves, {looks} looks", moves.load(SeqCst));
}

/// Ends the process when a round does not end: what moves may be the foreign threads alone.
fn watch(watched: &Mutex<Option<Arc<Round>>>, done: &AtomicBool) {
    while !done.load(SeqCst) {
        thread::park_timeout(Duration::from_secs(1));
        let Some(round) = watched.lock().unwrap().clone() else { continue };
        if round.began.elapsed() > HANGS {
            eprintln!("{:?}, {} workers: {} alive\n{:?}", round.end, round.workers, round.alive(), round.handle);
            eprintln!("{:#?}\n{:#?}", round.handle.metrics(), round.handle.parked_tasks());
            eprintln!("a round has not ended for {HANGS:?}");
            std::process::abort();
        }
    }
}

#[test]
fn one_worker_survives_everything() {
    stress(1);
}

#[test]
fn two_workers_survive_everything() {
    stress(2);
}

#[test]
fn four_workers_survive_everything() {
    stress(4);
}

#[test]
fn eight_workers_survive_everything() {
    stress(8);
}
