//! Virtual time and seeds, as tests use them.

mod helpers;

use gambol::{
    chan,
    context::Context,
    io::{self, AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Builder,
    select,
    sync::{Mutex, Semaphore},
    task::{JoinSet, TaskGroup, yield_now},
    time::{self, Duration, Instant, advance, interval, sleep, sleep_until, ticker, timeout},
};
use std::{process::Command, sync::Arc, thread};

const HOUR: Duration = Duration::from_secs(3600);

#[gambol::test(virtual_time = true)]
async fn an_hour_of_timeouts_takes_milliseconds() {
    let real = std::time::Instant::now();
    let begin = Instant::now();
    let (tx, rx) = chan::unbuffered::<()>();
    for _ in 0..3600 {
        assert!(timeout(Duration::from_secs(1), rx.recv()).await.is_err());
    }
    drop(tx);
    assert_eq!(begin.elapsed(), HOUR);
    // Generous for a loaded machine; it takes some 20 ms.
    assert!(real.elapsed() < Duration::from_secs(60));
}

#[gambol::test(virtual_time, workers = 4, seed = 3)]
async fn whatever_tells_the_time_follows_the_virtual_clock() {
    let begin = Instant::now();
    let mut ticks = interval(Duration::from_secs(60));
    for n in 0..10 {
        assert_eq!(ticks.tick().await, begin + n * Duration::from_secs(60));
    }
    let begin = Instant::now();
    let tick = ticker(Duration::from_secs(1));
    for n in 1..=10 {
        assert_eq!(tick.recv().await, Some(begin + n * Duration::from_secs(1)));
    }
    drop(tick);
    assert_eq!(time::after(HOUR).recv().await, Some(begin + HOUR + Duration::from_secs(10)));

    let begin = Instant::now();
    let context = Context::current().with_timeout(HOUR);
    context.cancelled().await;
    assert!(context.cause().unwrap().is_timeout());
    assert_eq!(begin.elapsed(), HOUR);

    sleep_until(begin + 2 * HOUR).await;
    let mut set = JoinSet::new();
    for n in [3, 1, 2] {
        set.spawn(async move {
            sleep(n * HOUR).await;
            n
        });
    }
    for n in 1..=3 {
        assert_eq!(set.join_next().await.unwrap().unwrap(), n);
        assert_eq!(begin.elapsed(), (2 + n) * HOUR);
    }
    let begin = Instant::now();
    select! {
        _ = sleep(2 * HOUR) => panic!("the later one"),
        _ = sleep(HOUR) => {}
    }
    assert_eq!(begin.elapsed(), HOUR);
}

#[gambol::test(virtual_time = true)]
async fn a_sleep_beside_a_silent_socket_does_not_end_early() {
    // Where time leaps beside a pending socket, this time limit is over before the answer has had a chance to come.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let begin = Instant::now();
    let client = thread::spawn(move || {
        thread::sleep(Duration::from_millis(20));
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        thread::sleep(Duration::from_millis(20));
        std::io::Write::write_all(&mut stream, b"late").unwrap();
    });
    let answer = timeout(Duration::from_secs(1), async {
        let (mut stream, _) = listener.accept().await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        io::Result::Ok(answer)
    });
    assert_eq!(answer.await.unwrap().unwrap(), b"late");
    assert_eq!(begin.elapsed(), Duration::ZERO);
    client.join().unwrap();
    sleep(HOUR).await;
    assert_eq!(begin.elapsed(), HOUR);
}

#[gambol::test(virtual_time = true)]
async fn sockets_and_files_work_in_no_time() {
    let begin = Instant::now();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    gambol::spawn(async move {
        while let Ok((peer, _)) = listener.accept().await {
            gambol::spawn(async move { io::copy(&peer, &peer).await });
        }
    });
    let mut client = TcpStream::connect(("localhost", address.port())).await.unwrap();
    for n in 0..20_u8 {
        client.write_all(&[n; 100]).await.unwrap();
        let mut answer = [0; 100];
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, [n; 100]);
    }
    assert!(!gambol::fs::read("Cargo.toml").await.unwrap().is_empty());
    assert_eq!(begin.elapsed(), Duration::ZERO);
}

#[gambol::test(virtual_time = true)]
async fn what_is_blocking_holds_the_time_and_what_waits_does_not() {
    let begin = Instant::now();
    let (tx, rx) = chan::unbuffered();
    let sender = gambol::spawn(async move {
        sleep(HOUR).await;
        tx.send(()).await.unwrap();
    });
    gambol::spawn_blocking(move || rx.recv_blocking()).await.unwrap().unwrap();
    assert_eq!(begin.elapsed(), HOUR);
    sender.await.unwrap();
    #[cfg(unix)]
    {
        let output = gambol::process::Command::new("sh").args(["-c", "sleep 0.05; echo done"]).output();
        assert_eq!(timeout(Duration::from_millis(1), output).await.unwrap().unwrap().stdout, b"done\n");
        assert_eq!(begin.elapsed(), HOUR);
    }
}

#[gambol::test(virtual_time = true)]
async fn advance_moves_the_clock_of_all() {
    let begin = Instant::now();
    let (tx, rx) = chan::buffered(10);
    let task = gambol::spawn(async move {
        for _ in 0..5 {
            sleep(HOUR).await;
            tx.send(begin.elapsed()).await.unwrap();
        }
    });
    advance(3 * HOUR).await;
    assert_eq!(rx.len(), 3);
    assert_eq!(rx.recv().await, Some(HOUR));
    advance(HOUR - Duration::from_nanos(1)).await;
    assert_eq!(rx.len(), 2);
    advance(Duration::from_nanos(1)).await;
    assert_eq!(rx.len(), 3);
    task.await.unwrap();
}

/// What the crowd has done, in order.
type Log = Arc<std::sync::Mutex<Vec<(u64, u32, Duration)>>>;

/// Tasks that meet in channels, locks, selects, time limits, groups and streams in memory.
async fn market(log: Log) {
    let begin = Instant::now();
    let note = move |who: u64, what: u32| log.lock().unwrap().push((who, what, begin.elapsed()));
    let (tx, rx) = chan::buffered::<u32>(2);
    let (done, over) = chan::unbuffered::<()>();
    let lock = Arc::new(Mutex::new(0_u32));
    let permits = Arc::new(Semaphore::new(2));
    let group = TaskGroup::new();
    for who in 0..4 {
        let (tx, note, lock) = (tx.clone(), note.clone(), lock.clone());
        group.spawn(async move {
            for n in 0..6 {
                if timeout(Duration::from_micros(3), tx.send(n)).await.is_err() {
                    note(who, 100 + n);
                }
                *lock.lock().await += 1;
                sleep(Duration::from_micros(u64::from(n) % 3)).await;
            }
            io::Result::Ok(())
        });
    }
    drop(tx);
    for who in 10..13 {
        let (rx, over, note, permits) = (rx.clone(), over.clone(), note.clone(), permits.clone());
        group.spawn(async move {
            loop {
                select! {
                    value = rx.recv() => match value {
                        Some(value) => note(who, value),
                        None => break,
                    },
                    _ = over.recv() => break,
                    _ = sleep(Duration::from_micros(2)) => note(who, 200),
                }
                let _permit = permits.acquire().await;
                yield_now().await;
            }
            io::Result::Ok(())
        });
    }
    let (mut near, mut far) = io::duplex(5);
    let echo = gambol::spawn(async move {
        let mut buffer = [0; 3];
        while let Ok(n @ 1..) = far.read(&mut buffer).await {
            far.write_all(&buffer[..n]).await.unwrap();
        }
    });
    for n in 0..20_u32 {
        near.write_all(&n.to_le_bytes()).await.unwrap();
        let mut back = [0; 4];
        near.read_exact(&mut back).await.unwrap();
        note(20, u32::from_le_bytes(back));
    }
    drop(near);
    echo.await.unwrap();
    group.wait().await.unwrap();
    drop(done);
    note(30, *lock.lock().await);
}

/// What was traced and what was noted.
fn run(workers: usize, seed: u64) -> (Vec<String>, Vec<(u64, u32, Duration)>) {
    let trace: Arc<std::sync::Mutex<Vec<String>>> = Arc::default();
    let lines = trace.clone();
    let tracer = move |event: &gambol_executor::Event| lines.lock().unwrap().push(format!("{event:?}"));
    let runtime = Builder::new().workers(workers).virtual_time(true).seed(seed).tracer(tracer).build().unwrap();
    let log = Log::default();
    let result = log.clone();
    runtime.block_on(async { gambol::spawn(market(log)).await.unwrap() });
    drop(runtime);
    let trace = std::mem::take(&mut *trace.lock().unwrap());
    let log = std::mem::take(&mut *result.lock().unwrap());
    (trace, log)
}

#[test]
fn the_same_seed_does_the_same() {
    // `.ci/stress` asks for more.
    let seeds: u64 = std::env::var("GAMBOL_STRESS_SEEDS").map_or(40, |text| text.parse().unwrap());
    let mut different = std::collections::HashSet::new();
    for seed in 0..seeds {
        let workers = [1, 2, 4, 8][seed as usize % 4];
        let first = run(workers, seed);
        let second = run(workers, seed);
        assert_eq!(first.1, second.1, "seed {seed}, {workers} workers");
        assert!(first.0 == second.0, "the traces of seed {seed}, {workers} workers");
        assert!(first.0.len() > 200, "{}", first.0.len());
        different.insert(first.1);
    }
    assert!(different.len() as u64 > seeds * 3 / 4, "{} of {seeds} seeds are different", different.len());
}

#[gambol::test(virtual_time = true)]
#[ignore = "fails on purpose, in a child process"]
async fn fails_virtually() {
    panic!("drew {}", gambol_executor::random());
}

#[gambol::test(seed = 77)]
#[ignore = "fails on purpose, in a child process"]
async fn fails_with_a_seed() {
    let _local = std::rc::Rc::new(());
    yield_now().await;
    panic!("drew {}", gambol_executor::random());
}

#[gambol::test]
#[ignore = "fails on purpose, in a child process"]
async fn fails_freely() -> Result<(), std::fmt::Error> {
    println!("drew {}", gambol_executor::random());
    Err(std::fmt::Error)
}

/// What a failing test prints.
fn failure(test: &str, seed: Option<&str>) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--include-ignored"]).env_remove("GAMBOL_SEED").env_remove("RUST_BACKTRACE");
    if let Some(seed) = seed {
        command.env("GAMBOL_SEED", seed);
    }
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(101));
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// What it has drawn.
fn drew(text: &str) -> &str {
    let rest = text.split_once("drew ").expect(text).1;
    rest.split(|c: char| !c.is_ascii_digit()).next().unwrap()
}

#[test]
fn a_test_that_fails_prints_its_seed() {
    let first = failure("fails_virtually", None);
    let seed = first.split_once("run it with GAMBOL_SEED=").expect(&first).1.split(' ').next().unwrap();
    let again = failure("fails_virtually", Some(seed));
    assert!(again.contains(&format!("drawn from seed {seed};")), "{again}");
    assert_eq!(drew(&first), drew(&again));
    assert_ne!(drew(&first), drew(&failure("fails_virtually", Some("12"))));

    // The seed in the source comes first.
    let pinned = failure("fails_with_a_seed", Some("12"));
    assert!(pinned.contains("drawn from its seed, 77"), "{pinned}");
    assert_eq!(drew(&pinned), drew(&failure("fails_with_a_seed", None)));

    let free = failure("fails_freely", Some("12"));
    assert!(free.contains("GAMBOL_SEED=12 repeats these, but not how its workers met"), "{free}");
    assert!(failure("fails_freely", Some("nonsense")).contains("GAMBOL_SEED=\"nonsense\" is not a number"));
    assert!(!failure("fails_freely", None).contains("drawn from seed 12;"));
}
