//! The socket that `gambol-top` looks through: what it tells, and that no client can harm the program.
#![cfg(unix)]

mod common;

use common::{capped, ends, event, runtime};
use gambol_executor::{Reason, Runtime, park, spawn};
use std::{
    collections::HashMap,
    fs,
    future::{Future, poll_fn},
    io::{self, BufRead, BufReader, ErrorKind, Read, Write},
    net::Shutdown,
    os::unix::{
        fs::{FileTypeExt, PermissionsExt},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    process,
    sync::{
        Barrier,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    task::Poll,
    thread,
    time::{Duration, Instant},
};

/// A directory of a test's own, removed with what is in it.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Directory {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("gambol-top-{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Directory(path)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("top")
    }

    fn files(&self) -> Vec<String> {
        let mut files: Vec<_> =
            fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        files.sort();
        files
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

struct Client(BufReader<UnixStream>);

impl Client {
    fn connect(path: &Path) -> Client {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(common::LIMIT)).unwrap();
        Client(BufReader::new(stream))
    }

    fn says(&mut self, text: &[u8]) {
        self.0.get_mut().write_all(text).unwrap();
    }

    /// The lines of the next page, up to its end.
    fn page(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while lines.last().is_none_or(|line| line != "end") {
            let mut line = String::new();
            assert_ne!(self.0.read_line(&mut line).unwrap(), 0, "no end after {lines:#?}");
            lines.push(line.strip_suffix('\n').unwrap().to_owned());
        }
        lines
    }

    fn asks(&mut self) -> Page {
        self.says(b"snapshot\n");
        Page::read(&self.page())
    }

    /// All that still comes.
    fn rest(&mut self) -> io::Result<String> {
        let mut rest = String::new();
        self.0.read_to_string(&mut rest).map(|_| rest)
    }
}

#[derive(Default)]
struct Page {
    metrics: HashMap<String, u64>,
    workers: Vec<Vec<String>>,
    stalls: Vec<Vec<String>>,
    tasks: Vec<Vec<String>>,
    more: Vec<String>,
    runtime: String,
}

impl Page {
    fn read(lines: &[String]) -> Page {
        assert_eq!(lines[0], "gambol-top\t1");
        let mut page = Page::default();
        for line in &lines[1..] {
            let mut fields = line.split('\t').map(str::to_owned);
            let kind = fields.next().unwrap();
            let fields: Vec<_> = fields.collect();
            match kind.as_str() {
                "metric" => drop(page.metrics.insert(fields[0].clone(), fields[1].parse().unwrap())),
                "worker" => page.workers.push(fields),
                "stall" => page.stalls.push(fields),
                "tasks" => page.tasks.push(fields),
                "more" => page.more = fields,
                "runtime" => page.runtime.clone_from(&fields[0]),
                "pid" => assert_eq!(fields, [process::id().to_string()]),
                "end" => assert!(fields.is_empty()),
                other => panic!("{other} is no kind of line"),
            }
        }
        page
    }
}

/// Parked for ever, with a reason.
fn parked(reason: Reason) -> impl Future<Output = ()> + Send {
    poll_fn(move |_| {
        park(reason);
        Poll::<()>::Pending
    })
}

#[test]
fn a_page_tells_of_metrics_workers_and_groups_of_tasks() {
    ends("page", || {
        let directory = Directory::new();
        let runtime = Runtime::builder().workers(2).name("na\tme").build().unwrap();
        let server = runtime.handle().serve_top(directory.socket()).unwrap();
        for n in 0..7 {
            drop(runtime.handle().spawn(parked(if n < 5 { Reason::ChanRecv } else { Reason::Sleep })));
        }
        let (started, has_started) = event();
        static GATE: Barrier = Barrier::new(2);
        let gate = &GATE;
        let busy = runtime.handle().spawn(async move {
            started.send();
            gate.wait();
        });
        let busy_line = line!() - 4;
        runtime.block_on(has_started);
        let mut client = Client::connect(server.path());
        let page = loop {
            let page = client.asks();
            // All but the busy one have had their turns.
            let parked = page.tasks.iter().filter(|group| group[2] == "parked");
            if parked.map(|group| group[0].parse::<u64>().unwrap()).sum::<u64>() == 7 {
                break page;
            }
        };
        assert_eq!(page.runtime, "na\u{fffd}me");
        assert_eq!((page.metrics["tasks_live"], page.metrics["tasks_spawned"]), (8, 8));
        assert_eq!(page.metrics["workers"], 2);
        // The larger group comes first.
        let groups: Vec<_> =
            page.tasks.iter().map(|group| (group[0].as_str(), group[2].as_str(), group[3].as_str())).collect();
        assert_eq!(groups, [("5", "parked", "chan recv"), ("2", "parked", "sleep"), ("1", "running", "-")]);
        assert!(page.tasks.iter().all(|group| group[4].contains("tests/top.rs:") && group.len() == 5));
        let at_work: Vec<_> =
            page.workers.iter().filter(|worker| worker[7].contains(&format!("top.rs:{busy_line}:"))).collect();
        assert_eq!(at_work.len(), 1, "{:?}", page.workers);
        assert_eq!(at_work[0][6], busy.id().to_string());
        gate.wait();
        runtime.block_on(busy).unwrap();
    });
}

#[test]
fn a_page_tells_where_tasks_were_spawned_that_held_up_others() {
    ends("stalls", || {
        let directory = Directory::new();
        let runtime = runtime(1);
        let server = runtime.handle().serve_top(directory.socket()).unwrap();
        let mut client = Client::connect(server.path());
        assert!(client.asks().stalls.is_empty());
        let mut last = None;
        for stalls in 1..=2 {
            let (go_on, told) = mpsc::channel();
            let stuck = runtime.handle().spawn(async move {
                // Until the one behind it has run, and for longer than the threshold.
                told.recv().unwrap();
                thread::sleep(Duration::from_millis(20));
            });
            let behind = runtime.handle().spawn(async move { go_on.send(()).unwrap() });
            last = Some(stuck.id().to_string());
            runtime.block_on(async { (stuck.await.unwrap(), behind.await.unwrap()) });
            while runtime.metrics().stalls() < stalls {
                thread::yield_now();
            }
        }
        let line = line!() - 12;
        let start = Instant::now();
        let stalls = loop {
            let stalls = client.asks().stalls;
            // When it has ended the monitor looks once more.
            if stalls[0][1].parse::<u64>().unwrap() >= 10 {
                break stalls;
            }
            assert!(start.elapsed() < common::LIMIT, "{stalls:?}");
            thread::sleep(Duration::from_millis(1));
        };
        assert_eq!(stalls.len(), 1, "{stalls:?}");
        assert!(stalls[0][0].parse::<u64>().unwrap() >= 2, "{stalls:?}");
        assert_eq!(Some(&stalls[0][2]), last.as_ref(), "{stalls:?}");
        assert!(stalls[0][3].contains(&format!("tests/top.rs:{line}:")), "{stalls:?}");
        let told = &runtime.handle().stalls()[0];
        assert_eq!(told.location().map(|site| site.to_string()).as_ref(), Some(&stalls[0][3]));
        assert!(told.count() >= 2 && told.longest() >= Duration::from_millis(10), "{told}");
    });
}

#[test]
fn one_connection_may_ask_many_times_also_ahead_and_after_it_has_closed_its_side() {
    ends("questions", || {
        let directory = Directory::new();
        let runtime = runtime(1);
        let server = runtime.handle().serve_top(directory.socket()).unwrap();
        let mut client = Client::connect(server.path());
        for _ in 0..100 {
            client.asks();
        }
        client.says(b"snapshot\nsnap");
        client.page();
        client.says(b"shot\r\nsnapshot\nsnapshot\n");
        client.0.get_ref().shutdown(Shutdown::Write).unwrap();
        for _ in 0..3 {
            Page::read(&client.page());
        }
        assert_eq!(client.rest().unwrap(), "");
    });
}

#[test]
fn nonsense_is_answered_by_an_error_or_by_the_end() {
    ends("nonsense", || {
        let directory = Directory::new();
        let runtime = runtime(1);
        let server = runtime.handle().serve_top(directory.socket()).unwrap();
        let long = [b'x'; 100_000];
        for nonsense in [b"\n".as_slice(), b"GET / HTTP/1.1\r\n\r\n", b"\xff\0\x1b\n", b"snapshot please\n", &long] {
            let mut client = Client::connect(server.path());
            // It may be refused before all of it is written.
            let _ = client.0.get_mut().write_all(nonsense);
            match client.rest() {
                Ok(rest) => assert!(rest.starts_with("error\t") && rest.lines().count() == 1, "{rest:?}"),
                // What was left unread makes the end an abrupt one.
                Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
            }
        }
        Client::connect(server.path()).asks();
    });
}

#[test]
fn clients_that_never_read_or_never_ask_hold_up_nobody() {
    ends("silence", || {
        let directory = Directory::new();
        let runtime = runtime(1);
        // Pages that no socket's buffer holds many of.
        for _ in 0..100 {
            drop(runtime.handle().spawn(parked(Reason::Join)));
        }
        let server = runtime.handle().serve_top(directory.socket()).unwrap();
        let mut deaf: Vec<_> = (0..8).map(|_| Client::connect(server.path())).collect();
        for client in &mut deaf {
            client.0.get_ref().set_nonblocking(true).unwrap();
            // Until neither side takes any more.
            let mut refusals = 0;
            while refusals < 20 {
                match client.0.get_mut().write(b"snapshot\n") {
                    Ok(written) => {
                        assert!(written > 0);
                        refusals = 0;
                    }
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::WouldBlock);
                        refusals += 1;
                        thread::sleep(Duration::from_millis(1));
                    }
                }
            }
        }
        let mut mute = Vec::new();
        for _ in 0..40 {
            mute.push(Client::connect(server.path()));
            Client::connect(server.path()).asks();
        }
        // The first of them had to go for the last.
        assert_eq!(mute[0].rest().unwrap(), "");
        // The thread ends though some still owe a read.
        drop(server);
        assert_eq!(mute.last_mut().unwrap().rest().unwrap(), "");
    });
}

#[test]
fn who_does_not_read_is_let_go_after_ten_seconds() {
    ends("deaf", || {
        let directory = Directory::new();
        let runtime = runtime(1);
        let server = runtime.handle().serve_top(directory.socket()).unwrap();
        let mut deaf = Client::connect(server.path());
        deaf.0.get_ref().set_nonblocking(true).unwrap();
        // It asks on and on, until nothing goes any more; and then until it is told that nobody is there.
        let gone = loop {
            match deaf.0.get_mut().write_all(b"snapshot\n") {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(Duration::from_millis(20)),
                Err(error) => break error.kind(),
            }
        };
        assert!(matches!(gone, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{gone}");
        Client::connect(server.path()).asks();
    });
}

#[test]
fn the_socket_is_the_owners_alone_and_goes_with_the_server() {
    let directory = Directory::new();
    let runtime = runtime(1);
    let server = runtime.handle().serve_top(directory.socket()).unwrap();
    let found = fs::symlink_metadata(directory.socket()).unwrap();
    assert!(found.file_type().is_socket());
    assert_eq!(found.permissions().mode() & 0o777, 0o600);
    assert_eq!(directory.files(), ["top"]);
    drop(server);
    assert!(directory.files().is_empty());
    // What has come to stand there meanwhile stays.
    let server = runtime.handle().serve_top(directory.socket()).unwrap();
    fs::remove_file(directory.socket()).unwrap();
    fs::write(directory.socket(), "mine").unwrap();
    drop(server);
    assert_eq!(fs::read(directory.socket()).unwrap(), b"mine");
}

#[test]
fn only_what_a_dead_program_has_left_is_replaced() {
    let directory = Directory::new();
    let runtime = runtime(1);
    let kind = |path: &Path| runtime.handle().serve_top(path).unwrap_err().kind();

    fs::write(directory.socket(), "mine").unwrap();
    assert_eq!(kind(&directory.socket()), ErrorKind::AlreadyExists);
    assert_eq!(fs::read(directory.socket()).unwrap(), b"mine");
    assert_eq!(kind(&directory.0), ErrorKind::AlreadyExists);
    fs::remove_file(directory.socket()).unwrap();

    // A link is no socket either, wherever it leads.
    std::os::unix::fs::symlink("elsewhere", directory.socket()).unwrap();
    assert_eq!(kind(&directory.socket()), ErrorKind::AlreadyExists);
    fs::remove_file(directory.socket()).unwrap();

    let alive = UnixListener::bind(directory.socket()).unwrap();
    assert_eq!(kind(&directory.socket()), ErrorKind::AddrInUse);
    drop(alive);
    let server = runtime.handle().serve_top(directory.socket()).unwrap();
    Client::connect(server.path()).asks();
    assert_eq!(kind(&directory.socket()), ErrorKind::AddrInUse);
    Client::connect(server.path()).asks();

    assert_eq!(kind(&directory.0.join("missing/top")), ErrorKind::NotFound);
    assert_eq!(kind(&directory.0.join("x".repeat(200))), ErrorKind::InvalidInput);
    assert_eq!(directory.files(), ["top"]);
}

#[test]
fn when_the_runtime_has_ended_the_server_says_so() {
    ends("end", || {
        let directory = Directory::new();
        let runtime = capped(1);
        let server = runtime.handle().serve_top(directory.socket()).unwrap();
        let mut client = Client::connect(server.path());
        client.asks();
        drop(runtime);
        client.says(b"snapshot\n");
        assert_eq!(client.rest().unwrap(), "error\tthe runtime has ended\n");
        drop(server);
        assert!(directory.files().is_empty());
    });
}

#[test]
fn a_server_may_be_dropped_inside_a_task() {
    ends("inside", || {
        let directory = Directory::new();
        let runtime = runtime(1);
        let server = runtime.handle().serve_top(directory.socket()).unwrap();
        let mut client = Client::connect(server.path());
        client.asks();
        runtime.block_on(async { spawn(async move { drop(server) }).await }).unwrap();
        assert_eq!(client.rest().unwrap(), "");
    });
}

/// How often the threads with that name have gone to sleep.
#[cfg(target_os = "linux")]
fn sleeps(name: &str) -> Vec<String> {
    let of = |task: PathBuf| {
        let status = fs::read_to_string(task.join("status")).ok()?;
        let mut lines = status.lines();
        (lines.next()? == format!("Name:\t{name}"))
            .then(|| lines.find(|line| line.starts_with("voluntary_ctxt_switches")).unwrap_or_default().to_owned())
    };
    fs::read_dir("/proc/self/task").unwrap().filter_map(|task| of(task.unwrap().path())).collect()
}

#[cfg(target_os = "linux")]
#[test]
fn while_nobody_asks_the_thread_sleeps() {
    ends("idle", || {
        let directory = Directory::new();
        let runtime = Runtime::builder().workers(1).name("sleepy").build().unwrap();
        let server = runtime.handle().serve_top(directory.socket()).unwrap();
        // Connected or not.
        let mut client = Client::connect(server.path());
        client.asks();
        let mut before = Vec::new();
        // Until it has come to rest.
        for _ in 0..100 {
            let now = sleeps("sleepy-top");
            assert_eq!(now.len(), 1);
            if now == before {
                break;
            }
            before = now;
            thread::sleep(Duration::from_millis(20));
        }
        thread::sleep(Duration::from_millis(300));
        assert_eq!(sleeps("sleepy-top"), before);
        client.asks();
    });
}
