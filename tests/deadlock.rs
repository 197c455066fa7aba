//! The deadlock report: it comes once where nothing can go on, and never where something might.
//!
//! Each case is a main of its own, run in a child process, since it depends on what other threads there are. The children run beside
//! each other; most of them do nothing but wait.

use futures_util::future::join;
use gambol::{
    block_on, chan,
    chan::{Receiver, Sender},
    net::TcpListener,
    runtime::{Builder, Handle, Runtime},
    time::{Duration, sleep},
};
use std::{
    env,
    future::pending,
    io::{BufRead, BufReader, Read, Write},
    process::{Child, Command, ExitCode, Stdio, exit},
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::Instant,
};

/// How long what is to come may take, on a machine that does much else. Blocking threads end after 10 s.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long what is not to come is waited for.
const SILENCE: Duration = Duration::from_secs(3);
/// The exit status of a child that has threads of others: those of a sanitizer.
const NOT_ALONE: i32 = 77;

/// What a child does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Does {
    /// Says once that it is deadlocked, and names the sites.
    Reports,
    /// Says nothing.
    IsSilent,
    /// Ends.
    Ends,
}
use Does::{Ends, IsSilent, Reports};

/// The cases by their names.
macro_rules! cases {
    ($($(#[$only:meta])* $main:ident $does:ident,)*) => {
        &[$($(#[$only])* (stringify!($main), || { $main(); }, $does),)*]
    };
}

const CASES: &[(&str, fn(), Does)] = cases![
    two_tasks_and_two_channels Reports,
    main_in_block_on Reports,
    main_that_works_before_it_waits Reports,
    a_block_on_in_a_task Reports,
    local_tasks Reports,
    two_block_on_threads Reports,
    two_runtimes Reports,
    a_descriptor_that_nobody_waits_for Reports,
    after_blocking_work Reports,
    after_a_plain_thread Reports,
    a_plain_thread_that_holds_a_sender IsSilent,
    a_plain_thread_in_recv_blocking IsSilent,
    a_main_that_is_not_in_block_on IsSilent,
    a_main_in_another_executor IsSilent,
    another_executor_inside_of_block_on IsSilent,
    a_timer IsSilent,
    a_listener IsSilent,
    a_blocking_job IsSilent,
    a_blocking_task IsSilent,
    #[cfg(unix)]
    ctrl_c IsSilent,
    #[cfg(unix)]
    a_child IsSilent,
    another_runtime_that_is_alive IsSilent,
    a_hook_that_wakes_somebody Ends,
    a_hook_that_panics Ends,
    suspected Ends,
    woken_by_plain_threads_about_once_a_second Ends,
    beside_threads_that_only_look Reports,
    woken_by_the_last_hook_of_a_pool_thread Ends,
    woken_by_the_drop_of_a_hook Ends,
    woken_by_the_drop_of_a_hook_on_a_worker Ends,
    woken_by_the_drop_of_a_hook_on_a_pool_thread Ends,
    a_stuck_worker_beside_one_that_waits IsSilent,
];

/// A name that the report is to contain: that of the line below the call.
#[track_caller]
fn site() {
    println!("site tests/deadlock.rs:{}:", std::panic::Location::caller().line() + 1);
}

/// From now on it is to stay silent.
fn ready() {
    println!("ready");
    let _ = std::io::stdout().flush();
}

/// Each waits for the other.
async fn embrace() {
    let (to_second, first) = chan::unbuffered::<u32>();
    let (to_first, second) = chan::unbuffered::<u32>();
    site();
    let one = gambol::spawn(async move {
        first.recv().await;
        let _ = to_first.send(1).await;
    });
    site();
    let other = gambol::spawn(async move {
        second.recv().await;
        let _ = to_second.send(1).await;
    });
    let _ = join(one, other).await;
}

#[gambol::main]
async fn two_tasks_and_two_channels() {
    embrace().await;
}

fn main_in_block_on() {
    block_on(async {
        let (tx, _rx) = chan::unbuffered();
        let _ = tx.send(1).await;
    });
}

/// The monitor has looked long before, and sleeps.
fn main_that_works_before_it_waits() {
    block_on(async {
        gambol::spawn(async {}).await.unwrap();
        thread::sleep(Duration::from_millis(300));
        pending::<()>().await;
    });
}

#[gambol::main(workers = 2)]
async fn a_block_on_in_a_task() {
    let (_tx, rx) = chan::unbuffered::<u32>();
    // It is in a turn for good, and so no task that is parked.
    gambol::spawn(async move { block_on(rx.recv()) }).await.unwrap();
}

#[gambol::main(local)]
async fn local_tasks() {
    let (tx, rx) = chan::unbuffered::<u32>();
    site();
    let one = gambol::spawn_local(async move { rx.recv().await });
    let _ = one.await;
    drop(tx);
}

fn two_block_on_threads() {
    let (tx, rx) = chan::unbuffered::<u32>();
    let other = thread::spawn(move || block_on(rx.recv()));
    block_on(async {
        site();
        gambol::spawn(pending::<()>()).await.unwrap();
    });
    drop(tx);
    other.join().unwrap();
}

fn two_runtimes() {
    let other = Builder::new().workers(1).build().unwrap();
    let (tx, rx) = chan::unbuffered::<u32>();
    site();
    let one = other.spawn(async move { rx.recv().await });
    let _ = block_on(one);
    drop(tx);
}

#[gambol::main]
async fn a_descriptor_that_nobody_waits_for() {
    let _listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    embrace().await;
}

#[gambol::main]
async fn after_blocking_work() {
    gambol::spawn_blocking(|| ()).await.unwrap();
    embrace().await;
}

#[gambol::main]
async fn after_a_plain_thread() {
    let (tx, rx) = chan::buffered(1);
    let thread = thread::spawn(move || tx.try_send(1));
    rx.recv().await;
    // It has ended for us, though maybe not for the kernel. What comes after it makes somebody look.
    thread.join().unwrap().unwrap();
    sleep(Duration::from_millis(100)).await;
    embrace().await;
}

#[gambol::main]
async fn a_plain_thread_that_holds_a_sender() {
    let (tx, rx) = chan::unbuffered::<u32>();
    thread::spawn(move || {
        let _tx = tx;
        loop {
            thread::park();
        }
    });
    ready();
    rx.recv().await;
}

#[gambol::main]
async fn a_plain_thread_in_recv_blocking() {
    let (_tx, rx) = chan::unbuffered::<u32>();
    thread::spawn(move || rx.recv_blocking());
    ready();
    embrace().await;
}

fn a_main_that_is_not_in_block_on() {
    let runtime = Runtime::new().unwrap();
    runtime.spawn(embrace());
    ready();
    loop {
        thread::park();
    }
}

fn a_main_in_another_executor() {
    ready();
    futures::executor::block_on(embrace());
}

fn another_executor_inside_of_block_on() {
    ready();
    block_on(async { futures::executor::block_on(embrace()) });
}

#[gambol::main]
async fn a_timer() {
    ready();
    join(sleep(Duration::from_secs(3600)), embrace()).await;
}

#[gambol::main]
async fn a_listener() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    ready();
    let _ = join(listener.accept(), embrace()).await;
}

#[gambol::main]
async fn a_blocking_job() {
    let (_tx, rx) = mpsc::channel::<()>();
    let job = gambol::spawn_blocking(move || rx.recv());
    ready();
    let _ = join(job, embrace()).await;
}

#[gambol::main]
async fn a_blocking_task() {
    let (_tx, rx) = mpsc::channel::<()>();
    let task = gambol::spawn(async move { gambol::block_in_place(|| rx.recv()) });
    ready();
    let _ = join(task, embrace()).await;
}

#[cfg(unix)]
#[gambol::main]
async fn ctrl_c() {
    ready();
    let _ = join(gambol::signal::ctrl_c(), embrace()).await;
}

#[cfg(unix)]
#[gambol::main]
async fn a_child() {
    use gambol::process::{Command, Stdio};
    let mut cat = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let _input = cat.stdin.take();
    ready();
    let _ = join(cat.wait(), embrace()).await;
}

fn another_runtime_that_is_alive() {
    let other = Builder::new().workers(1).build().unwrap();
    other.spawn(sleep(Duration::from_secs(3600)));
    ready();
    block_on(embrace());
}

/// A runtime with a hook, and how often that was called.
fn hooked(hook: impl Fn(u32, &Sender<u32>) + Send + Sync + 'static) -> (Runtime, Receiver<u32>) {
    let (tx, rx) = chan::buffered(1);
    let calls = AtomicU32::new(0);
    let runtime = Builder::new().workers(2).on_deadlock(move |deadlock| {
        assert!(deadlock.is_certain() && deadlock.threads() == 1);
        assert_eq!(deadlock.iter().count(), 1, "{deadlock}");
        hook(calls.fetch_add(1, Ordering::Relaxed), &tx);
    });
    (runtime.build().unwrap(), rx)
}

fn a_hook_that_wakes_somebody() {
    let (runtime, rx) = hooked(|call, tx| tx.try_send(call).unwrap());
    let task = runtime.spawn(async move {
        for call in 0..3 {
            assert_eq!(rx.recv().await, Some(call));
        }
    });
    runtime.block_on(task).unwrap();
}

fn a_hook_that_panics() {
    let (runtime, rx) = hooked(|call, tx| {
        tx.try_send(call).unwrap();
        panic!("a hook has a problem");
    });
    let task = runtime.spawn(async move {
        for call in 0..2 {
            assert_eq!(rx.recv().await, Some(call));
        }
    });
    runtime.block_on(task).unwrap();
}

fn suspected() {
    let runtime = Builder::new().workers(2).on_deadlock(|_| exit(1)).build().unwrap();
    let handle = runtime.handle();
    assert!(handle.suspected_deadlock().is_none(), "nobody waits");
    let timer = runtime.spawn(sleep(Duration::from_secs(3600)));
    let (tx, rx) = chan::unbuffered::<u32>();
    let task = runtime.spawn(async move { rx.recv().await });
    while handle.parked_tasks().len() < 2 {
        thread::yield_now();
    }
    assert!(handle.suspected_deadlock().is_none(), "there is a timer");
    timer.abort();
    let deadlock = loop {
        if let Some(deadlock) = handle.suspected_deadlock() {
            break deadlock;
        }
        thread::yield_now();
    };
    assert!(!deadlock.is_certain());
    assert_eq!(deadlock.iter().count(), 1);
    let (text, line) = (deadlock.to_string(), deadlock.iter().next().unwrap().location.line());
    assert!(text.contains("waits for chan recv") && text.contains(&format!("tests/deadlock.rs:{line}:")), "{text}");
    drop(tx);
    assert_eq!(runtime.block_on(task).unwrap(), None);
    // In a task somebody runs.
    let asked = runtime.spawn(async { Handle::current().suspected_deadlock().is_none() });
    assert!(runtime.block_on(asked).unwrap());
}

/// At every moment there is a thread that will wake somebody; which one it is changes about when the second look comes.
fn woken_by_plain_threads_about_once_a_second() {
    let runtime = Builder::new().workers(2).on_deadlock(|deadlock| {
        eprintln!("a false alarm: {deadlock}");
        exit(1);
    });
    let runtime = runtime.build().unwrap();
    let until = Instant::now() + Duration::from_secs(12);
    let (tx, rx) = chan::unbuffered();
    relay(tx, fastrand::Rng::with_seed(7), until);
    let task = runtime.spawn(async move { while rx.recv().await.is_some() {} });
    runtime.block_on(task).unwrap();
}

/// A thread that sends after a pause, and hands on to the next one.
fn relay(tx: Sender<u32>, mut random: fastrand::Rng, until: Instant) {
    // The first look comes some milliseconds after the last activity, the second a second later.
    let pause = random.u64(980..1060);
    thread::spawn(move || {
        thread::sleep(Duration::from_millis(pause));
        tx.send_blocking(1).unwrap();
        if Instant::now() < until {
            relay(tx, random, until);
        }
    });
}

/// Each kind of thread that the runtime has.
fn beside_threads_that_only_look() {
    let path = env::temp_dir().join(format!("gambol-deadlock-{}", std::process::id()));
    let builder = Builder::new().workers(2).schedtrace(Duration::from_millis(100)).trace_events(64).histograms(true);
    let runtime = builder.build().unwrap();
    let top = runtime.handle().serve_top(&path).unwrap();
    gambol::runtime::dump_on_sigquit().unwrap();
    // It is not removed at the end: the process is killed.
    std::fs::remove_file(top.path()).unwrap();
    runtime.block_on(embrace());
}

/// How long what runs on threads that end takes before it wakes somebody: both looks and more.
const SLOW: Duration = Duration::from_millis(3500);

/// A runtime that must not report anything.
fn watched(builder: Builder) -> Runtime {
    let hooked = builder.workers(1).on_deadlock(|deadlock| {
        eprintln!("a false alarm: {deadlock}");
        exit(1);
    });
    hooked.build().unwrap()
}

/// Ends its thread's sleep, late.
struct SendsLate(Sender<u32>);

impl Drop for SendsLate {
    fn drop(&mut self) {
        thread::sleep(SLOW);
        let _ = self.0.try_send(1);
    }
}

fn woken_by_the_last_hook_of_a_pool_thread() {
    let (tx, rx) = chan::buffered(1);
    let runtime = watched(Builder::new().on_thread_stop(move || {
        if thread::current().name().is_some_and(|name| name.ends_with("-blk")) {
            thread::sleep(SLOW);
            let _ = tx.try_send(1);
        }
    }));
    runtime.block_on(async {
        gambol::spawn_blocking(|| ()).await.unwrap();
        rx.recv().await.unwrap();
    });
}

/// Another runtime is dropped on its own worker, and its hooks with it: on whichever of its threads ends last.
fn dropped_hooks(builder: Builder) {
    let (tx, rx) = chan::buffered(1);
    let keeps = SendsLate(tx);
    let other = builder
        .workers(1)
        .on_stall(move |_| {
            let _ = keeps.0.try_send(2);
        })
        .build()
        .unwrap();
    let runtime = watched(Builder::new());
    let handle = other.handle().clone();
    drop(handle.spawn(async move {
        gambol::spawn_blocking(|| ()).await.unwrap();
        drop(other)
    }));
    drop(handle);
    // The first look comes when this one waits: by then a thread that lingers drops them.
    thread::sleep(Duration::from_secs(1));
    assert_eq!(runtime.block_on(rx.recv()), Some(1));
}

fn woken_by_the_drop_of_a_hook() {
    dropped_hooks(Builder::new());
}

/// The threads whose names end so end last.
fn linger(name: &'static str) -> Builder {
    Builder::new().on_thread_stop(move || {
        if thread::current().name().is_some_and(|this| this.ends_with(name)) {
            thread::sleep(Duration::from_millis(500));
        }
    })
}

fn woken_by_the_drop_of_a_hook_on_a_worker() {
    dropped_hooks(linger("-0"));
}

fn woken_by_the_drop_of_a_hook_on_a_pool_thread() {
    dropped_hooks(linger("-blk"));
}

/// What it waits for in its system call nobody of ours knows.
fn a_stuck_worker_beside_one_that_waits() {
    let (reader, writer) = std::io::pipe().unwrap();
    let runtime = Builder::new().workers(2).build().unwrap();
    runtime.spawn(async move {
        let _ = std::io::Read::read(&mut &reader, &mut [0]);
    });
    ready();
    runtime.block_on(async {
        // One of them in a block_on, another parked.
        let waits = gambol::spawn(async { block_on(pending::<()>()) });
        let _ = join(waits, gambol::spawn(embrace())).await;
    });
    drop(writer);
}

// ---- the parent

const CHILD: &str = "GAMBOL_TEST_DEADLOCK";

fn main() -> ExitCode {
    if let Ok(name) = env::var(CHILD) {
        let (_, main, _) = CASES.iter().find(|case| case.0 == name).expect("there is such a case");
        if cfg!(target_os = "linux") && std::fs::read_dir("/proc/self/task").unwrap().count() != 1 {
            exit(NOT_ALONE);
        }
        main();
        return ExitCode::SUCCESS;
    }
    if !cfg!(target_os = "linux") {
        println!("deadlock: nothing is certain here");
        return ExitCode::SUCCESS;
    }
    // The arguments that a test harness would get may name a case.
    let wanted: Vec<String> = env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| name.contains(wanted.as_str()));
    let cases = CASES.iter().filter(|case| wanted(case.0));
    let running: Vec<_> = cases.map(|&(name, _, does)| (name, thread::spawn(move || case(name, does)))).collect();
    let mut failed = false;
    for (name, case) in running {
        let outcome = case.join();
        failed |= outcome.is_err();
        println!("deadlock: {name} ... {}", outcome.unwrap_or("FAILED"));
    }
    ExitCode::from(u8::from(failed))
}

/// A child, killed at the end, and what it says.
struct Run {
    name: &'static str,
    child: Child,
    /// Standard output and standard error, line by line.
    lines: mpsc::Receiver<String>,
    said: Vec<String>,
}

impl Run {
    fn start(name: &'static str) -> Run {
        let mut child = Command::new(env::current_exe().unwrap())
            .env(CHILD, name)
            .env("GAMBOL_WORKERS", "2")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (tx, lines) = mpsc::channel();
        let streams: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for stream in streams {
            let tx = tx.clone();
            thread::spawn(move || {
                BufReader::new(stream).lines().map_while(Result::ok).try_for_each(|line| tx.send(line))
            });
        }
        Run { name, child, lines, said: Vec::new() }
    }

    /// Takes in what comes within a time, or until `enough`. Whether it was enough.
    fn listen(&mut self, time: Duration, enough: impl Fn(&[String]) -> bool) -> bool {
        let until = Instant::now() + time;
        while !enough(&self.said) {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => self.said.push(line),
                Err(_) => return false,
            }
        }
        true
    }

    fn reports(&self) -> usize {
        self.said.iter().filter(|line| line.contains(REPORT)).count()
    }

    /// In this state no monitor wakes up.
    fn is_left_alone(&mut self) {
        let before = self.wakes_of_monitors();
        assert!(!before.is_empty());
        self.listen(SILENCE / 2, |_| false);
        if self.wakes_of_monitors() != before {
            self.fails("is woken again and again");
        }
    }

    /// How often each of its monitors has gone to sleep.
    fn wakes_of_monitors(&self) -> Vec<String> {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let statuses = threads.filter_map(|thread| std::fs::read_to_string(thread.unwrap().path().join("status")).ok());
        let monitors = statuses.filter(|status| status.lines().next().is_some_and(|name| name.ends_with("-mon")));
        let sleeps = |status: &str| status.lines().find(|line| line.starts_with("voluntary")).unwrap().to_owned();
        monitors.map(|status| sleeps(&status)).collect()
    }

    fn fails(&self, why: &str) -> ! {
        panic!("{}: {why}\n{}", self.name, self.said.join("\n"));
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const REPORT: &str = "gambol: all tasks are asleep: deadlock";

fn case(name: &'static str, does: Does) -> &'static str {
    let mut run = Run::start(name);
    match does {
        Reports => {
            if !run.listen(PATIENCE, |said| said.iter().any(|line| line.contains(REPORT))) {
                if run.child.try_wait().unwrap().and_then(|status| status.code()) == Some(NOT_ALONE) {
                    return "skipped: it has threads of others";
                }
                run.fails("does not report");
            }
            run.listen(SILENCE, |_| false);
            run.is_left_alone();
            if run.reports() != 1 {
                run.fails("reports more than once");
            }
            let sites: Vec<_> = run.said.iter().filter_map(|line| line.strip_prefix("site ")).collect();
            for site in sites {
                if !run.said.iter().any(|line| line.contains(": waits for ") && line.contains(site)) {
                    run.fails(site);
                }
            }
        }
        IsSilent => {
            if !run.listen(PATIENCE, |said| said.iter().any(|line| line == "ready")) {
                if run.child.try_wait().unwrap().and_then(|status| status.code()) == Some(NOT_ALONE) {
                    return "skipped: it has threads of others";
                }
                run.fails("does not come so far");
            }
            run.listen(SILENCE, |_| false);
            run.is_left_alone();
            if run.reports() != 0 {
                run.fails("has a false alarm");
            }
        }
        Ends => {
            let until = Instant::now() + PATIENCE;
            let status = loop {
                match run.child.try_wait().unwrap() {
                    Some(status) => break status,
                    None if Instant::now() > until => run.fails("does not end"),
                    None => thread::sleep(Duration::from_millis(10)),
                }
            };
            run.listen(PATIENCE, |_| false);
            match status.code() {
                Some(0) => {}
                Some(NOT_ALONE) => return "skipped: it has threads of others",
                _ => run.fails("fails"),
            }
        }
    }
    "ok"
}
