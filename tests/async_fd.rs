//! `Async`: that its readiness is the kernel's and of now, whoever reads; that nothing is lost by those who give up.
#![cfg(unix)]

mod helpers;

use futures_util::future::join_all;
use gambol::{
    io::{Async, AsyncReadExt, AsyncWriteExt, ErrorKind},
    runtime::Runtime,
    time::timeout,
};
use helpers::{PATIENCE, assert_success, at_most, in_child, is_child, poll_once};
use socket2::{Domain, Socket, Type};
use std::{
    io::{self, Read, Write},
    net::TcpListener,
    os::{
        fd::{AsFd, AsRawFd},
        unix::net::{UnixDatagram, UnixStream},
    },
    pin::pin,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

fn pair() -> (Async<UnixStream>, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    (Async::new(ours).unwrap(), theirs)
}

/// Until `WouldBlock`, behind the back of the runtime.
fn drain(mut stream: &UnixStream) -> usize {
    let (mut buf, mut total) = ([0; 4096], 0);
    loop {
        match stream.read(&mut buf) {
            Ok(0) => return total,
            Ok(n) => total += n,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                return total;
            }
        }
    }
}

/// Until `WouldBlock`, behind the back of the runtime.
fn fill(mut stream: &UnixStream) -> usize {
    let mut total = 0;
    loop {
        match stream.write(&[7; 4096]) {
            Ok(n) => total += n,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                return total;
            }
        }
    }
}

async fn soon<T>(future: impl Future<Output = io::Result<T>>) -> T {
    timeout(PATIENCE, future).await.expect("it did not come").unwrap()
}

/// How what has come is read.
#[derive(Clone, Copy, Debug)]
enum Reading {
    UntilWouldBlock,
    Exactly,
    With,
    Trait,
}

#[gambol::test]
async fn what_was_readable_is_not_readable_for_ever() {
    for reading in [Reading::UntilWouldBlock, Reading::Exactly, Reading::With, Reading::Trait] {
        let (mut ours, mut theirs) = pair();
        for waits_first in [false, true, false, true] {
            {
                let mut readable = pin!(ours.readable());
                if waits_first {
                    assert!(poll_once(&mut readable).await.is_pending(), "{reading:?}");
                }
                theirs.write_all(b"text").unwrap();
                soon(readable).await;
            }
            // Waiting takes nothing: it is still so.
            soon(ours.readable()).await;
            let mut buf = [0; 4];
            match reading {
                Reading::UntilWouldBlock => assert_eq!(drain(ours.get_ref()), 4),
                Reading::Exactly => ours.get_ref().read_exact(&mut buf).unwrap(),
                Reading::With => assert_eq!(ours.read_with(|mut io| io.read(&mut buf)).await.unwrap(), 4),
                Reading::Trait => ours.read_exact(&mut buf).await.unwrap(),
            }
            assert!(at_most(1, ours.readable()).await.is_none(), "{reading:?}");
        }
    }
}

#[gambol::test]
async fn what_was_read_in_part_is_readable() {
    let (ours, mut theirs) = pair();
    theirs.write_all(&[0; 10]).unwrap();
    for _ in 0..10 {
        soon(ours.readable()).await;
        assert_eq!(ours.get_ref().read(&mut [0]).unwrap(), 1);
    }
    assert!(at_most(1, ours.readable()).await.is_none());
}

#[gambol::test]
async fn what_was_writable_is_not_writable_for_ever() {
    let (ours, theirs) = pair();
    theirs.set_nonblocking(true).unwrap();
    for _ in 0..4 {
        soon(ours.writable()).await;
        fill(ours.get_ref());
        let mut writable = pin!(ours.writable());
        assert!(poll_once(&mut writable).await.is_pending());
        drain(&theirs);
        soon(writable).await;
    }
}

#[gambol::test]
async fn an_end_is_readable_for_ever() {
    let (mut ours, mut theirs) = pair();
    theirs.write_all(b"last").unwrap();
    drop(theirs);
    soon(ours.readable()).await;
    assert_eq!(drain(ours.get_ref()), 4);
    for _ in 0..3 {
        soon(ours.readable()).await;
        assert_eq!(ours.read(&mut [0; 8]).await.unwrap(), 0);
    }
    // And there is something to be told to who writes.
    soon(ours.writable()).await;
    assert_eq!(ours.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
}

#[gambol::test]
async fn all_who_wait_are_told_and_who_is_late_waits_again() {
    const TASKS: usize = 8;
    const ROUNDS: usize = 200;
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let (ours, taken) = (Arc::new(Async::new(ours).unwrap()), Arc::new(AtomicUsize::new(0)));
    let readers: Vec<_> = (0..TASKS)
        .map(|_| {
            let (ours, taken) = (ours.clone(), taken.clone());
            gambol::spawn(async move {
                loop {
                    ours.readable().await.unwrap();
                    let mut text = [0; 8];
                    match ours.get_ref().recv(&mut text) {
                        Ok(3) => {
                            taken.fetch_add(1, Ordering::Relaxed);
                        }
                        Ok(_) => return,
                        Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
                    }
                }
            })
        })
        .collect();
    let theirs = Async::new(theirs).unwrap();
    for round in 0..ROUNDS + TASKS {
        let text: &[u8] = if round < ROUNDS { b"one" } else { b"end" };
        let text = if text == b"end" { &text[..1] } else { text };
        soon(theirs.write_with(|socket| socket.send(text))).await;
    }
    for ended in timeout(PATIENCE, join_all(readers)).await.expect("somebody was not told") {
        ended.unwrap();
    }
    assert_eq!(taken.load(Ordering::Relaxed), ROUNDS);
}

/// The race of the protocol: bytes come while their predecessors are read and the bit is cleared.
#[gambol::test]
async fn no_event_falls_between_the_question_and_the_clearing() {
    const BYTES: usize = 20_000;
    let (ours, mut theirs) = pair();
    let writer = thread::spawn(move || {
        for n in 0..BYTES {
            theirs.write_all(&[0]).unwrap();
            if n % 7 == 0 {
                thread::yield_now();
            }
        }
        theirs
    });
    let mut total = 0;
    while total < BYTES {
        soon(ours.readable()).await;
        total += drain(ours.get_ref());
    }
    assert_eq!(total, BYTES);
    drop(writer.join().unwrap());
}

#[derive(Clone, Copy, Debug)]
enum Wait {
    Readable,
    Writable,
    ReadWith,
    WriteWith,
    Read,
    Write,
}

impl Wait {
    const ALL: [Wait; 6] = [Wait::Readable, Wait::Writable, Wait::ReadWith, Wait::WriteWith, Wait::Read, Wait::Write];

    fn reads(self) -> bool {
        matches!(self, Wait::Readable | Wait::ReadWith | Wait::Read)
    }

    async fn wait(self, ours: &Async<UnixStream>) -> io::Result<usize> {
        let mut buf = [0; 4];
        let (mut reader, mut writer) = (ours, ours);
        match self {
            Wait::Readable => ours.readable().await.map(|()| 0),
            Wait::Writable => ours.writable().await.map(|()| 0),
            Wait::ReadWith => ours.read_with(|mut io| io.read(&mut buf)).await,
            Wait::WriteWith => ours.write_with(|mut io| io.write(b"text")).await,
            Wait::Read => reader.read(&mut buf).await,
            Wait::Write => writer.write(b"text").await,
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Then {
    Served,
    PeerGone,
    Dropped,
}

#[gambol::test]
async fn who_gives_up_has_taken_nothing() {
    for wait in Wait::ALL {
        for polls in 0..3 {
            for then in [Then::Served, Then::PeerGone, Then::Dropped] {
                let (ours, mut theirs) = pair();
                let what = format!("{wait:?} {polls} {then:?}");
                theirs.set_nonblocking(true).unwrap();
                let full = if wait.reads() { 0 } else { fill(ours.get_ref()) };
                if polls < 2 {
                    assert!(at_most(polls, wait.wait(&ours)).await.is_none(), "{what}");
                } else {
                    // Woken for the other direction, and polled again without being ready.
                    let mut waiting = pin!(wait.wait(&ours));
                    for _ in 0..polls {
                        assert!(poll_once(&mut waiting).await.is_pending(), "{what}");
                    }
                }
                match then {
                    Then::Served if wait.reads() => {
                        theirs.write_all(b"text").unwrap();
                        let n = soon(wait.wait(&ours)).await;
                        assert_eq!(n + drain(ours.get_ref()), 4, "{what}");
                    }
                    Then::Served => {
                        assert_eq!(drain(&theirs), full, "{what}");
                        let n = soon(wait.wait(&ours)).await;
                        assert_eq!(drain(&theirs), n, "{what}");
                    }
                    Then::PeerGone => {
                        drop(theirs);
                        match timeout(PATIENCE, wait.wait(&ours)).await.expect(&what) {
                            Ok(n) => assert_eq!(n, 0, "{what}"),
                            Err(error) => assert!(
                                matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset),
                                "{what} {error}"
                            ),
                        }
                    }
                    Then::Dropped => {
                        drop(ours);
                        assert_eq!(drain(&theirs), full, "{what}");
                        assert!(theirs.write(b"x").is_err(), "{what}");
                    }
                }
            }
        }
    }
}

#[gambol::test]
async fn a_socket_that_was_registered_before_it_was_connected_is_writable_when_it_is() {
    // Until connect is called, the kernel calls it writable, and hung up.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let socket = Async::new(Socket::new(Domain::IPV4, Type::STREAM, None).unwrap()).unwrap();
    soon(socket.writable()).await;
    if let Err(error) = socket.get_ref().connect(&listener.local_addr().unwrap().into()) {
        assert_eq!(error.raw_os_error(), Some(libc::EINPROGRESS));
    }
    soon(socket.writable()).await;
    assert!(socket.get_ref().take_error().unwrap().is_none());
    let (mut peer, _) = listener.accept().unwrap();
    assert!(at_most(1, socket.readable()).await.is_none());
    let mut readable = pin!(socket.readable());
    assert!(poll_once(&mut readable).await.is_pending());
    peer.write_all(b"x").unwrap();
    soon(readable).await;
}

#[gambol::test]
async fn pipes_and_children_are_read_by_what_std_has() {
    // `&PipeReader` reads, but of a child's output only `&mut`.
    let (reader, writer) = io::pipe().unwrap();
    let (reader, mut writer) = (Async::new(reader).unwrap(), Async::new(writer).unwrap());
    let mut text = String::new();
    let written = gambol::spawn(async move {
        writer.write_all(&[b'#'; 200_000]).await.unwrap();
        writer.close().await.unwrap();
    });
    soon((&reader).read_to_string(&mut text)).await;
    assert_eq!(text.len(), 200_000);
    written.await.unwrap();

    let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = Async::new(child.stdin.take().unwrap()).unwrap();
    let mut stdout = Async::new(child.stdout.take().unwrap()).unwrap();
    assert_eq!(soon(stdin.write_with_mut(|io| io.write(b"hello"))).await, 5);
    let mut text = [0; 5];
    assert_eq!(soon(stdout.read_with_mut(|io| io.read(&mut text))).await, 5);
    soon(stdin.write_all(b" there")).await;
    drop(stdin);
    let mut rest = String::new();
    soon(stdout.read_to_string(&mut rest)).await;
    assert_eq!((&text, &*rest), (b"hello", " there"));
    assert!(child.wait().unwrap().success());
}

#[gambol::test]
async fn into_inner_gives_the_object_back_and_leaves_its_mode() {
    let (ours, mut theirs) = pair();
    let number = ours.as_raw_fd();
    assert!(at_most(1, ours.readable()).await.is_none());
    let ours = ours.into_inner().unwrap();
    assert_eq!(ours.as_raw_fd(), number);
    assert_eq!((&ours).read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
    // It can be registered again.
    let mut ours = Async::new_nonblocking(ours).unwrap();
    theirs.write_all(b"text").unwrap();
    soon(ours.read_exact(&mut [0; 4])).await;
    assert_eq!(ours.get_mut().as_fd().as_raw_fd(), number);
}

#[gambol::test]
async fn what_cannot_be_polled_is_refused() {
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let first = Async::new(&ours).unwrap();
    assert_eq!(Async::new(&ours).unwrap_err().kind(), ErrorKind::AlreadyExists);
    drop(first);
    Async::new(&ours).unwrap();
    // `poll` takes a file, epoll does not.
    #[cfg(all(target_os = "linux", not(polling_test_poll_backend)))]
    {
        let file = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(Async::new(file).unwrap_err().kind(), ErrorKind::PermissionDenied);
    }
}

#[test]
fn what_outlives_its_runtime_gives_an_error() {
    for wait in Wait::ALL {
        let runtime = Runtime::new().unwrap();
        let ours = runtime.block_on(async {
            let (ours, theirs) = pair();
            let wait_first = at_most(1, wait.wait(&ours)).await;
            assert_eq!(wait_first.is_none(), wait.reads());
            fill(ours.get_ref());
            // Kept open, so that nothing becomes ready.
            std::mem::forget(theirs);
            ours
        });
        drop(runtime);
        let result = futures::executor::block_on(wait.wait(&ours));
        assert!(result.unwrap_err().to_string().contains("the runtime is gone"), "{wait:?}");
    }
}

#[test]
fn what_is_ready_gives_an_error_too_when_the_runtime_is_gone() {
    let runtime = Runtime::new().unwrap();
    let (mut ours, mut theirs) = runtime.block_on(async { pair() });
    theirs.write_all(b"text").unwrap();
    drop(runtime);
    let mut text = [0; 4];
    let error = futures::executor::block_on(ours.read(&mut text)).unwrap_err();
    assert!(error.to_string().contains("the runtime is gone"));
    // Nothing is lost by it.
    ours.into_inner().unwrap().read_exact(&mut text).unwrap();
    assert_eq!(&text, b"text");
}

#[gambol::test(workers = 1)]
async fn what_is_always_ready_leaves_a_turn_to_others() {
    let (ours, mut theirs) = pair();
    theirs.write_all(b"x").unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let spinning = gambol::spawn({
        let stop = stop.clone();
        async move {
            while !stop.load(Ordering::Relaxed) {
                ours.readable().await.unwrap();
                ours.writable().await.unwrap();
            }
        }
    });
    gambol::spawn(async move { stop.store(true, Ordering::Relaxed) }).await.unwrap();
    timeout(PATIENCE, spinning).await.unwrap().unwrap();
}

extern "C" fn nothing(_: libc::c_int) {}

#[test]
fn signals_are_not_noticed() {
    if !is_child() {
        return assert_success(&in_child("signals_are_not_noticed"));
    }
    // SAFETY: the structures are valid and outlive the calls; the handler does nothing. Without SA_RESTART, so every call
    // that a signal interrupts says EINTR.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as libc::sighandler_t;
        assert_eq!(libc::sigaction(libc::SIGALRM, &action, std::ptr::null_mut()), 0);
        let often = libc::timeval { tv_sec: 0, tv_usec: 100 };
        let timer = libc::itimerval { it_interval: often, it_value: often };
        assert_eq!(libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut()), 0);
    }
    // The kernel prefers the main thread, which is this one; then it has the workers left.
    gambol::block_on(ping_pong());
    // SAFETY: as above.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigaddset(&mut set, libc::SIGALRM);
        assert_eq!(libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()), 0);
    }
    gambol::block_on(async { gambol::spawn(ping_pong()).await.unwrap() });
}

async fn ping_pong() {
    const ROUNDS: usize = 3000;
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (mut ours, theirs) = (Async::new(ours).unwrap(), Async::new(theirs).unwrap());
    let echo = gambol::spawn(async move {
        for _ in 0..ROUNDS {
            theirs.readable().await.unwrap();
            let mut text = [0; 4];
            theirs.read_with(|mut io| io.read_exact(&mut text)).await.unwrap();
            theirs.writable().await.unwrap();
            theirs.write_with(|mut io| io.write(&text)).await.unwrap();
        }
    });
    for _ in 0..ROUNDS {
        ours.write_all(b"ping").await.unwrap();
        let mut text = [0; 4];
        ours.read_exact(&mut text).await.unwrap();
        assert_eq!(&text, b"ping");
    }
    echo.await.unwrap();
}

#[gambol::test]
async fn one_that_nobody_reads_holds_up_nobody_else() {
    let (mut stuck, theirs) = pair();
    let mut write = pin!(async { stuck.write_all(&vec![0; 10_000_000]).await });
    assert!(poll_once(&mut write).await.is_pending());
    let (mut ours, mut peer) = pair();
    peer.write_all(b"text").unwrap();
    soon(ours.read_exact(&mut [0; 4])).await;
    drop(theirs);
    assert_eq!(timeout(PATIENCE, write).await.unwrap().unwrap_err().kind(), ErrorKind::BrokenPipe);
}
