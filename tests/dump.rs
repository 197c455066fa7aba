//! The task dump as a user sees it: every leaf has its word, sockets have their descriptors, and SIGQUIT prints it.
#![cfg(unix)]

#[path = "helpers/directory.rs"]
mod directory;
mod helpers;

use directory::Directory;
use gambol::{
    chan,
    context::Context,
    fs,
    io::{self, Async, AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream, lookup_host},
    process::Command,
    runtime::{Direction, Handle, Runtime, TaskDump, TaskInfo, TaskState},
    select,
    signal::{self, SignalKind},
    sync::{Barrier, Mutex, Notify, OnceCell, RwLock, Semaphore, WaitGroup, broadcast, watch},
    task::{self, Id, JoinHandle, JoinSet, TaskGroup},
    time::{Duration, after, interval, sleep, timeout},
};
use helpers::{PATIENCE, assert_success, in_child, is_child};
use std::{
    future::{Future, pending},
    os::fd::AsRawFd,
    sync::{Arc, mpsc},
    time::Instant,
};

const NEVER: Duration = Duration::MAX;

/// Asks until the task is parked so that `is` likes it.
fn parked(handle: &Handle, id: Id, is: impl Fn(&TaskInfo) -> bool) -> Option<TaskInfo> {
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        let dump = handle.dump();
        if let Some(info) = dump.iter().find(|info| info.id == id && info.state == TaskState::Parked && is(info)) {
            return Some(info.clone());
        }
        std::thread::yield_now();
    }
    None
}

/// Tasks, each of which is to be parked in one leaf.
struct Cases<'a> {
    runtime: &'a Runtime,
    started: Vec<(&'static str, &'static str, JoinHandle<()>)>,
}

impl Cases<'_> {
    fn park<F>(&mut self, leaf: &'static str, word: &'static str, future: F)
    where
        F: Future + Send + 'static,
    {
        self.started.push((leaf, word, self.runtime.spawn(async move { drop(future.await) })));
    }

    /// Each has come to its word, and stays there.
    fn check(self) {
        for (leaf, word, task) in &self.started {
            let found = parked(self.runtime.handle(), task.id(), |info| info.wait.as_str() == *word);
            assert!(found.is_some(), "{leaf} does not say {word:?}:\n{}", self.runtime.dump());
        }
        let dump = self.runtime.dump();
        for (leaf, word, task) in &self.started {
            let info = dump.iter().find(|info| info.id == task.id()).unwrap();
            // It may just have been woken to try again.
            let words: &[&str] = if info.state == TaskState::Parked { &[word] } else { &["unknown"] };
            assert!(words.contains(&info.wait.as_str()), "{leaf} says something else:\n{dump}");
        }
    }
}

fn with_cases(add: impl FnOnce(&mut Cases<'_>)) {
    let runtime = Runtime::builder().workers(2).max_blocking_threads(1).build().unwrap();
    let mut cases = Cases { runtime: &runtime, started: Vec::new() };
    add(&mut cases);
    cases.check();
}

#[test]
fn channels_say_chan_send_and_chan_recv() {
    with_cases(|cases| {
        let (keep, held) = chan::unbuffered::<u8>();
        let (sender, receiver) = (keep.clone(), held.clone());
        cases.park("recv", "chan recv", async move { held.recv().await });
        drop(keep);
        // Kept by a task of its own, or the channel would be closed.
        cases.park("closed", "chan send", async move { sender.closed().await });
        cases.park("a second recv", "chan recv", async move { receiver.recv().await });
        let (sender, full) = chan::buffered::<u8>(1);
        sender.try_send(1).unwrap();
        cases.park("send", "chan send", async move { (sender.send(2).await, full).0 });
        let (mut sender, receiver) = chan::oneshot::<u8>();
        cases.park("oneshot", "chan recv", receiver);
        cases.park("oneshot closed", "chan send", async move { sender.closed().await });
        let (sender, mut receiver) = broadcast::channel::<u8>(1);
        cases.park("broadcast", "chan recv", async move { receiver.recv().await });
        cases.park("broadcast closed", "notify", async move { sender.closed().await });
        let (sender, mut receiver) = watch::channel(0);
        let mut waits = receiver.clone();
        cases.park("watch changed", "notify", async move { receiver.changed().await });
        cases.park("watch wait_for", "notify", async move { waits.wait_for(|n| *n == 1).await.is_ok() });
        cases.park("watch closed", "notify", async move { sender.closed().await });
        cases.park("after", "chan recv", async { after(NEVER).recv().await });
        cases.park("a stream", "chan recv", async {
            use futures::StreamExt;
            let (_sender, mut receiver) = chan::unbounded::<u8>();
            receiver.next().await
        });
    });
}

#[test]
fn timers_say_sleep_and_limits_what_they_limit() {
    with_cases(|cases| {
        cases.park("sleep", "sleep", sleep(NEVER));
        cases.park("interval", "sleep", async {
            let mut ticks = interval(Duration::from_secs(1 << 30));
            ticks.tick().await;
            ticks.tick().await
        });
        let (sender, receiver) = chan::unbuffered::<u8>();
        cases.park("timeout", "chan recv", async move { (timeout(NEVER, receiver.recv()).await, sender).0 });
        cases.park("a timeout around somebody else's future", "sleep", timeout(NEVER, pending::<()>()));
        // An alarm is set on this task, which then waits for what says nothing.
        cases.park("alarm", "unknown", async {
            let context = Context::background().with_timeout(Duration::from_secs(1 << 20));
            pending::<()>().await;
            drop(context);
        });
        cases.park("somebody else's future", "unknown", pending::<()>());
    });
}

#[test]
fn select_says_select_and_join_the_last_leaf() {
    with_cases(|cases| {
        let (sender, receiver) = chan::unbuffered::<u8>();
        cases.park("select", "select", async move {
            select! {
                value = receiver.recv() => assert!(value.is_none()),
                () = sleep(NEVER) => {}
            }
            drop(sender);
        });
        cases.park("select of futures", "select", async {
            select! {
                () = pending::<()>() => {}
                () = sleep(NEVER) => {}
            }
        });
        cases.park("join!", "sleep", async {
            gambol::join!(sleep(NEVER), pending::<()>(), pending::<()>());
        });
    });
}

#[test]
fn locks_and_notifications_say_so() {
    with_cases(|cases| {
        let mutex = Arc::new(Mutex::new(()));
        let guard = mutex.try_lock_arc().unwrap();
        let waits = mutex.clone();
        cases.park("mutex", "lock", async move { drop(waits.lock().await) });
        cases.park("mutex, arc", "lock", async move { drop(mutex.lock_arc().await) });
        let lock = Arc::new(RwLock::new(()));
        let writing = lock.try_write_arc().unwrap();
        let (reads, upgrades) = (lock.clone(), lock.clone());
        cases.park("rwlock read", "lock", async move { drop(reads.read().await) });
        cases.park("rwlock upgradable", "lock", async move { drop(upgrades.upgradable_read().await) });
        cases.park("rwlock write", "lock", async move { drop(lock.write().await) });
        let semaphore = Arc::new(Semaphore::new(0));
        let closable = semaphore.clone();
        cases.park("semaphore", "lock", async move { drop(semaphore.acquire().await) });
        cases.park("semaphore or_closed", "lock", async move { drop(closable.acquire().or_closed().await) });
        let barrier = Arc::new(Barrier::new(2));
        cases.park("barrier", "lock", async move { barrier.wait().await.is_leader() });
        let cell = Arc::new(OnceCell::<u8>::new());
        let waits = cell.clone();
        cases.park("once cell", "lock", async move { *waits.wait().await });
        drop(cell);
        let notify = Arc::new(Notify::new());
        cases.park("notify", "notify", async move { notify.notified().await });
        let group = WaitGroup::new();
        let worker = group.worker();
        cases.park("wait group", "notify", async move { group.wait().await });
        let (context, canceller) = Context::background().with_cancel();
        let (owned, run, outer) = (context.clone(), context.clone(), context.clone());
        cases.park("cancelled", "notify", async move { context.cancelled().await });
        cases.park("cancelled, owned", "notify", owned.cancelled_owned());
        cases.park("a run in a context", "sleep", async move { run.run(sleep(NEVER)).await.is_ok() });
        cases.park("a scope", "sleep", async move { outer.scope(sleep(NEVER)).await });
        std::mem::forget((guard, writing, worker, canceller));
    });
}

#[test]
fn handles_say_join_and_those_of_blocking_work_blocking() {
    with_cases(|cases| {
        // It keeps the pool's only thread: whatever else goes there waits.
        let (release, held) = mpsc::channel::<()>();
        let job = cases.runtime.spawn_blocking(move || held.recv().is_err());
        let task = cases.runtime.spawn(pending::<()>());
        cases.park("join", "join", task);
        cases.park("spawn_blocking", "blocking", job);
        cases.park("join set", "join", async {
            let mut set = JoinSet::new();
            for _ in 0..3 {
                set.spawn(pending::<()>());
            }
            assert!(set.try_join_next().is_none());
            set.join_next().await.is_some()
        });
        cases.park("task group", "join", async {
            let group = TaskGroup::<()>::new();
            group.spawn(async {
                pending::<()>().await;
                Ok(())
            });
            group.wait().await
        });
        cases.park("fs", "blocking", fs::read("/dev/null"));
        cases.park("lookup", "blocking", async { lookup_host("localhost:1").await.is_ok() });
        cases.park("connect to a name", "blocking", TcpStream::connect("localhost:1"));
        cases.park("stdin", "read", async { io::stdin().read(&mut [0; 8]).await });
        cases.park("stdout", "write", async {
            let mut stdout = io::stdout();
            stdout.write_all(b"\n").await?;
            stdout.flush().await
        });
        std::mem::forget(release);
    });
}

#[test]
fn pipes_in_memory_say_read_and_write_without_a_descriptor() {
    with_cases(|cases| {
        let (mut ours, theirs) = io::duplex(8);
        cases.park("duplex read", "read", async move { (ours.read(&mut [0; 8]).await, theirs).0 });
        let (mut ours, theirs) = io::duplex(8);
        cases.park("duplex write", "write", async move { (ours.write_all(&[0; 9]).await, theirs).0 });
        let (ours, theirs) = io::duplex(8);
        cases.park("copy", "read", async move { (io::copy(ours, io::sink()).await, theirs).0 });
    });
}

#[test]
fn sockets_say_what_they_do_and_on_which_descriptor() {
    let directory = Directory::new();
    let runtime = Runtime::builder().workers(2).build().unwrap();
    let (tasks, _kept) = runtime.block_on(async {
        let mut tasks: Vec<(&str, &str, i32, JoinHandle<()>)> = Vec::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut client = TcpStream::connect(address).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        let fd = listener.as_raw_fd();
        tasks.push(("accept", "accept", fd, gambol::spawn(async move { drop(listener.accept().await) })));
        let fd = client.as_raw_fd();
        tasks.push(("read", "read", fd, gambol::spawn(async move { drop(client.read(&mut [0; 8]).await) })));
        let (mut full, unread) = UnixStream::pair().unwrap();
        let fd = full.as_raw_fd();
        let fill = async move { while full.write(&[0; 1 << 16]).await.is_ok() {} };
        tasks.push(("write", "write", fd, gambol::spawn(fill)));
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let fd = udp.as_raw_fd();
        tasks.push(("udp", "read", fd, gambol::spawn(async move { drop(udp.recv_from(&mut [0; 8]).await) })));
        let unix = UnixListener::bind(directory.path("listener")).unwrap();
        let fd = unix.as_raw_fd();
        tasks.push(("unix accept", "accept", fd, gambol::spawn(async move { drop(unix.accept().await) })));
        let (unix, other) = UnixStream::pair().unwrap();
        let fd = unix.as_raw_fd();
        tasks.push(("readable", "read", fd, gambol::spawn(async move { drop(unix.readable().await) })));
        let (datagram, another) = UnixDatagram::pair().unwrap();
        let fd = datagram.as_raw_fd();
        tasks.push(("datagram", "read", fd, gambol::spawn(async move { drop(datagram.recv(&mut [0; 8]).await) })));
        let (pipe, rope) = std::io::pipe().unwrap();
        let pipe = Async::new(pipe).unwrap();
        let fd = pipe.get_ref().as_raw_fd();
        tasks.push(("pipe", "read", fd, gambol::spawn(async move { drop(pipe.readable().await) })));
        (tasks, (server, unread, other, another, rope))
    });
    for (leaf, word, descriptor, task) in &tasks {
        let direction = if *word == "write" { Direction::Write } else { Direction::Read };
        let found = parked(runtime.handle(), task.id(), |info| {
            let told: Vec<_> = info.descriptors.iter().map(|it| (it.descriptor, it.direction)).collect();
            info.wait.as_str() == *word && told == [(*descriptor, direction)]
        });
        assert!(found.is_some(), "{leaf} on {descriptor}:\n{}", runtime.dump());
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_connect_that_hangs_says_connect() {
    use socket2::{Domain, SockAddr, Socket, Type};
    let directory = Directory::new();
    let path = directory.path("listener");
    let (listener, address) = (Socket::new(Domain::UNIX, Type::STREAM, None).unwrap(), SockAddr::unix(&path).unwrap());
    listener.bind(&address).unwrap();
    listener.listen(1).unwrap();
    let mut queued = Vec::new();
    loop {
        let client = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        client.set_nonblocking(true).unwrap();
        match client.connect(&address) {
            Ok(()) => queued.push(client),
            Err(_) => break,
        }
    }
    with_cases(|cases| cases.park("connect", "connect", async move { UnixStream::connect(path).await.is_ok() }));
}

#[test]
fn children_and_signals_say_so() {
    with_cases(|cases| {
        cases.park("child", "process", async {
            let mut child = Command::new("sleep").arg("1000").kill_on_drop(true).spawn().unwrap();
            child.wait().await
        });
        cases.park("signal", "signal", async { signal::unix(SignalKind::user_defined2()).unwrap().recv().await });
        cases.park("ctrl-c", "signal", signal::ctrl_c());
    });
}

#[test]
fn tasks_have_their_names_and_the_table_is_readable() {
    let runtime = Runtime::builder().workers(2).name("service").build().unwrap();
    let handle = runtime.handle();
    let mut last = Vec::new();
    for n in 0..40 {
        last.push(task::Builder::new().name(format!("session {n}")).spawn_on(handle, sleep(NEVER)).id());
    }
    last.push(task::Builder::new().name("janitor").spawn_on(handle, pending::<()>()).id());
    for id in last {
        parked(handle, id, |_| true).unwrap();
    }
    let dump: TaskDump = runtime.dump();
    assert!(dump.iter().any(|info| info.name.as_deref() == Some("session 7")));
    let text = dump.to_string();
    for part in
        ["runtime \"service\"; workers: 2 active", "tasks: 41 live", " 40  sleep ", "\"session #\"", "\"janitor\""]
    {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
    // A little more with the greatest numbers.
    assert!(text.lines().all(|line| line.chars().count() <= 130), "{text}");
}

#[gambol::test]
async fn a_main_is_spawned_where_the_macro_stands() {
    let id = task::id();
    let dump = Handle::current().dump();
    let me = dump.iter().find(|info| info.id == id).unwrap();
    assert_eq!(me.state, TaskState::Running);
    assert!(me.location.file().ends_with("tests/dump.rs"), "{dump}");
}

/// What the parent reads from a child that runs one test of this file.
#[cfg(target_os = "linux")]
mod talk {
    use std::{
        io::{BufRead, BufReader, Read, Write},
        process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    };

    pub struct Talk {
        pub child: Child,
        pub input: ChildStdin,
        pub output: BufReader<ChildStdout>,
    }

    impl Talk {
        pub fn begin(test: &str) -> Talk {
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", test, "--nocapture", "--test-threads=1"])
                .env("GAMBOL_TEST_CHILD", "1")
                .env("GAMBOL_DUMP", "sigquit")
                .env("GAMBOL_WORKERS", "1")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let input = child.stdin.take().unwrap();
            let output = BufReader::new(child.stdout.take().unwrap());
            Talk { child, input, output }
        }

        /// Reads until a line has this in it.
        pub fn until(&mut self, part: &str) {
            until(&mut self.output, part);
        }

        pub fn say(&mut self, line: &str) {
            writeln!(self.input, "{line}").unwrap();
        }

        pub fn quit(&self) {
            // SAFETY: a system call on numbers; the child was not waited for, so the number is its own.
            assert_eq!(unsafe { libc::kill(self.child.id() as i32, libc::SIGQUIT) }, 0);
        }

        pub fn end(mut self) {
            drop(self.input);
            let mut rest = String::new();
            self.output.read_to_string(&mut rest).unwrap();
            let status = self.child.wait().unwrap();
            assert!(status.success(), "{status}\n{rest}");
        }
    }

    pub fn until(lines: &mut impl BufRead, part: &str) {
        let mut all = String::new();
        loop {
            let before = all.len();
            assert!(lines.read_line(&mut all).unwrap() > 0, "{part:?} does not come:\n{all}");
            if all[before..].contains(part) {
                return;
            }
        }
    }

    /// A line from the parent.
    pub fn hear() -> String {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).unwrap();
        line.trim().to_owned()
    }
}

#[cfg(target_os = "linux")]
#[test]
fn sigquit_prints_a_dump_also_when_all_workers_are_stuck_and_the_program_goes_on() {
    const NAME: &str = "sigquit_prints_a_dump_also_when_all_workers_are_stuck_and_the_program_goes_on";
    if !is_child() {
        let mut talk = talk::Talk::begin(NAME);
        let mut errors = std::io::BufReader::new(talk.child.stderr.take().unwrap());
        talk.until("ready");
        for _ in 0..2 {
            talk.quit();
            talk::until(&mut errors, "gambol: SIGQUIT, process ");
            talk::until(&mut errors, "worker 0 runs task ");
            talk::until(&mut errors, "chan recv");
            // Another runtime of the process.
            talk::until(&mut errors, "runtime \"second\"");
            talk::until(&mut errors, "\"of the second\"");
        }
        talk.say("go on");
        talk.until("it went on");
        return talk.end();
    }
    let (_sender, receiver) = chan::unbuffered::<u8>();
    let waits = gambol::spawn(async move { receiver.recv().await });
    parked(&Handle::current(), waits.id(), |_| true).unwrap();
    let second = Runtime::builder().workers(1).name("second").build().unwrap();
    let named = task::Builder::new().name("of the second").spawn_on(second.handle(), pending::<()>());
    parked(second.handle(), named.id(), |_| true).unwrap();
    let (stuck, is_stuck) = mpsc::channel();
    let (release, held) = mpsc::channel::<()>();
    let task = gambol::spawn(async move {
        // Whoever holds this lock holds up all that write by std's.
        let errors = std::io::stderr().lock();
        stuck.send(()).unwrap();
        held.recv().unwrap();
        drop(errors);
    });
    is_stuck.recv().unwrap();
    println!("ready");
    assert_eq!(talk::hear(), "go on");
    release.send(()).unwrap();
    gambol::block_on(task).unwrap();
    println!("it went on");
}

#[cfg(target_os = "linux")]
#[test]
fn a_stderr_that_nobody_reads_harms_nobody() {
    if !is_child() {
        let mut talk = talk::Talk::begin("a_stderr_that_nobody_reads_harms_nobody");
        talk.until("ready");
        drop(talk.child.stderr.take());
        talk.quit();
        talk.say("closed");
        talk.until("survived");
        talk.quit();
        talk.until("gambol: SIGQUIT, process ");
        return talk.end();
    }
    // As in a program that wants to be ended by SIGPIPE.
    // SAFETY: no handler is installed, and nothing else here counts on the signal being ignored.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    gambol::block_on(gambol::spawn(async {})).unwrap();
    println!("ready");
    assert_eq!(talk::hear(), "closed");
    // The thread has written when a SIGPIPE stays with it.
    let begin = Instant::now();
    while !has_pending_sigpipe("gambol-dump") {
        assert!(begin.elapsed() < PATIENCE, "no write has failed");
        std::thread::yield_now();
    }
    // SAFETY: a system call on two numbers of open descriptors.
    assert_eq!(unsafe { libc::dup2(1, 2) }, 2);
    println!("survived");
    talk::hear();
}

/// Whether a thread of that name in this process has a SIGPIPE that it has blocked.
#[cfg(target_os = "linux")]
fn has_pending_sigpipe(name: &str) -> bool {
    std::fs::read_dir("/proc/self/task").unwrap().flatten().any(|thread| {
        let read = |file| std::fs::read_to_string(thread.path().join(file)).unwrap_or_default();
        let status = read("status");
        let pending = status.lines().find_map(|line| line.strip_prefix("SigPnd:")).unwrap_or_default();
        let bits = u64::from_str_radix(pending.trim(), 16).unwrap_or_default();
        read("comm").trim() == name && bits & 1 << (libc::SIGPIPE - 1) != 0
    })
}

#[test]
fn a_value_of_the_variable_that_means_nothing_is_reported_once() {
    const NAME: &str = "a_value_of_the_variable_that_means_nothing_is_reported_once";
    if is_child() {
        // SAFETY: the test is the only one in this process, and no thread reads the environment yet.
        unsafe { std::env::set_var("GAMBOL_DUMP", "sigterm") };
        gambol::block_on(gambol::spawn(async {})).unwrap();
        return gambol::block_on(gambol::spawn(async {})).unwrap();
    }
    let output = in_child(NAME);
    assert_success(&output);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(errors.matches("GAMBOL_DUMP=\"sigterm\" is not \"sigquit\", and is ignored").count(), 1, "{errors}");
}
