//! What `#[gambol::main]` makes of a process: its exit status, where main runs, and that nothing holds up the end.
//!
//! Each case is a main of its own, run in a child process; without one this is the test.

use gambol::{
    io::{AsyncReadExt, stdin},
    runtime::Handle,
    task,
    time::{Duration, sleep},
};
use std::{
    env,
    error::Error,
    process::{Command, ExitCode, Output, Stdio},
    rc::Rc,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
    time::Instant,
};

/// A main, its exit status, and what it says on stderr.
type Case = (&'static str, fn() -> ExitCode, i32, &'static str);

const CASES: &[Case] = &[
    ("unit", unit, 0, ""),
    ("code", code, 7, ""),
    ("error", error, 1, "Error: ParseIntError"),
    ("panics", panics, 101, "main has a problem"),
    ("panics_locally", panics_locally, 101, "main has a problem"),
    ("is_a_task", is_a_task, 0, ""),
    ("not_send", not_send, 0, ""),
    ("local", local, 0, ""),
    ("local_with_workers", local_with_workers, 0, ""),
    ("workers", workers, 0, ""),
    ("workers_of_the_environment", workers_of_the_environment, 0, ""),
    ("recurses", recurses, 0, ""),
    ("large", large, 0, ""),
    ("leaves_a_task_that_never_ends", leaves_a_task_that_never_ends, 0, ""),
    ("leaves_a_task_that_spins", leaves_a_task_that_spins, 0, ""),
    ("leaves_blocking_work", leaves_blocking_work, 0, ""),
    ("leaves_a_read_of_stdin", leaves_a_read_of_stdin, 0, ""),
    ("panicking_tasks", panicking_tasks, 0, "a task has a problem"),
];

#[gambol::main]
async fn unit() {
    task::yield_now().await;
}

#[gambol::main]
async fn code() -> ExitCode {
    ExitCode::from(7)
}

#[gambol::main]
async fn error() -> Result<(), Box<dyn Error>> {
    assert!(task::try_id().is_some());
    "no number".parse::<i32>()?;
    Ok(())
}

#[gambol::main]
async fn panics() {
    panic!("main has a problem");
}

#[gambol::main(local)]
async fn panics_locally() {
    panic!("main has a problem");
}

#[gambol::main]
async fn is_a_task() {
    let thread = thread::current();
    assert!(task::try_id().is_some());
    assert!(thread.name().unwrap().starts_with("gambol"), "{:?}", thread.name());
}

#[gambol::main]
async fn not_send() {
    let local = Rc::new(1);
    task::yield_now().await;
    assert_eq!(thread::current().name(), Some("main"));
    assert!(task::try_id().is_none());
    assert_eq!(gambol::spawn(async { 1 }).await.unwrap(), *local);
}

#[gambol::main(local)]
async fn local() {
    task::yield_now().await;
    assert_eq!(thread::current().name(), Some("main"));
    assert!(task::try_id().is_none());
}

#[gambol::main(local, workers = 3)]
async fn local_with_workers() -> Result<(), String> {
    assert_eq!(Handle::current().metrics().workers(), 3);
    assert_eq!(thread::current().name(), Some("main"));
    Ok(())
}

#[gambol::main(workers = 1_0)]
async fn workers() {
    assert_eq!(Handle::current().metrics().workers(), 10);
    // It is the default runtime, for foreign threads too.
    let seen = thread::spawn(|| Handle::current().metrics().workers()).join().unwrap();
    assert_eq!(seen, 10);
}

/// The children are started with `GAMBOL_WORKERS=5`.
#[gambol::main]
async fn workers_of_the_environment() {
    assert_eq!(Handle::current().metrics().workers(), 5);
}

/// A main that calls itself calls the async function.
#[gambol::main]
async fn recurses() {
    static DEPTH: AtomicU32 = AtomicU32::new(0);
    if DEPTH.fetch_add(1, Ordering::Relaxed) < 3 {
        Box::pin(recurses()).await;
    }
}

/// As large as a stack allows.
#[gambol::main]
async fn large() {
    let block = [1u8; 100_000];
    task::yield_now().await;
    assert_eq!(block.iter().filter(|&&byte| byte == 1).count(), block.len());
}

#[gambol::main]
async fn leaves_a_task_that_never_ends() {
    gambol::spawn(std::future::pending::<()>());
    gambol::spawn(sleep(Duration::MAX));
}

#[gambol::main(workers = 2)]
async fn leaves_a_task_that_spins() {
    static SPINS: AtomicBool = AtomicBool::new(false);
    gambol::spawn(async {
        SPINS.store(true, Ordering::Relaxed);
        loop {
            std::hint::spin_loop();
        }
    });
    while !SPINS.load(Ordering::Relaxed) {
        sleep(Duration::from_millis(1)).await;
    }
}

#[gambol::main]
async fn leaves_blocking_work() {
    let (started, has_started) = std::sync::mpsc::channel();
    gambol::spawn_blocking(move || {
        started.send(()).unwrap();
        loop {
            thread::park();
        }
    });
    has_started.recv().unwrap();
}

#[gambol::main]
async fn leaves_a_read_of_stdin() {
    let read = gambol::time::timeout(Duration::from_millis(20), async { stdin().read(&mut [0; 8]).await });
    assert!(read.await.is_err(), "nobody types");
}

#[gambol::main]
async fn panicking_tasks() {
    let error = gambol::spawn(async { panic!("a task has a problem") }).await.unwrap_err();
    assert!(error.is_panic());
}

fn main() -> ExitCode {
    const CHILD: &str = "GAMBOL_TEST_MAIN";
    if let Ok(name) = env::var(CHILD) {
        let (_, main, ..) = CASES.iter().find(|case| case.0 == name).expect("there is such a case");
        return main();
    }
    // The arguments that a test harness would get may name a case.
    let wanted: Vec<String> = env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    for (name, _, status, says) in CASES {
        if !wanted.is_empty() && !wanted.iter().any(|wanted| name.contains(wanted.as_str())) {
            continue;
        }
        let begin = Instant::now();
        // Nobody writes into its standard input, and nobody closes it.
        let mut child = Command::new(env::current_exe().unwrap())
            .env(CHILD, name)
            .env("GAMBOL_WORKERS", "5")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        let ended = loop {
            match child.try_wait().unwrap() {
                Some(_) => break true,
                None if begin.elapsed() > Duration::from_secs(20) => break false,
                None => thread::sleep(Duration::from_millis(1)),
            }
        };
        if !ended {
            child.kill().unwrap();
        }
        drop(stdin);
        let Output { status: found, stderr, .. } = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&stderr);
        assert!(ended, "{name} does not end\n{stderr}");
        assert_eq!(found.code(), Some(*status), "{name}\n{stderr}");
        assert!(stderr.contains(says), "{name} says\n{stderr}");
        if says.is_empty() {
            assert_eq!(stderr, "", "{name}");
        }
        println!("main: {name} ... ok");
    }
    ExitCode::SUCCESS
}
