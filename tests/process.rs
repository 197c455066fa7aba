//! Child processes: how they end is told to all who wait, what they write is read whole, and none stays a zombie.
//!
//! On Linux all of it is run once more in a process that has no pidfds.
#![cfg(unix)]

mod helpers;

use futures_util::future::join;
use gambol::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, ErrorKind},
    process::{Child, ChildStdout, Command, Stdio},
    runtime::{Handle, Runtime},
    signal::{self, SignalKind},
    time::{sleep, timeout},
};
use helpers::{PATIENCE, assert_success, at_most, in_child, is_child, poll_once};
use rustix::{
    io::Errno,
    process::{
        Pid, Resource, Rlimit, Signal, WaitOptions, getrlimit, kill_process, setrlimit, test_kill_process, wait,
    },
};
use std::{
    fs::File,
    future::Future,
    io::{self, IoSlice, IoSliceMut, Read},
    os::{fd::OwnedFd, unix::process::ExitStatusExt},
    pin::pin,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

/// A child that ends when its standard input does.
fn cat() -> Child {
    Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

async fn soon<F: Future>(future: F) -> F::Output {
    timeout(PATIENCE, future).await.unwrap()
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id() as i32).unwrap()
}

/// Waits until there is no such process, not even a zombie.
async fn gone(pid: Pid) {
    soon(async {
        while test_kill_process(pid) != Err(Errno::SRCH) {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// Asserts that this process has no children, living or dead. For tests in a process of their own.
fn assert_childless() {
    assert_eq!(wait(WaitOptions::NOHANG).map(|_| ()), Err(Errno::CHILD));
}

// ---- how it ended

#[gambol::test]
async fn the_exit_status_is_that_of_the_child() {
    for code in [0, 1, 42, 255] {
        let status = soon(shell(&format!("exit {code}")).status()).await.unwrap();
        assert_eq!((status.code(), status.signal()), (Some(code), None));
    }
    for signal in [libc::SIGKILL, libc::SIGTERM, libc::SIGUSR1] {
        let status = soon(shell(&format!("kill -{signal} $$")).status()).await.unwrap();
        assert_eq!((status.code(), status.signal()), (None, Some(signal)));
    }
}

#[gambol::test]
async fn what_cannot_be_started_is_an_error() {
    for (program, kind) in [
        ("there-is-no-such-program", ErrorKind::NotFound),
        ("/there/is/no/such/program", ErrorKind::NotFound),
        ("/dev/null", ErrorKind::PermissionDenied),
        ("has\0nul", ErrorKind::InvalidInput),
    ] {
        assert_eq!(Command::new(program).spawn().unwrap_err().kind(), kind);
        assert_eq!(Command::new(program).status().await.unwrap_err().kind(), kind);
        assert_eq!(Command::new(program).output().await.unwrap_err().kind(), kind);
    }
    assert_eq!(Command::new("true").current_dir("/there/is/none").spawn().unwrap_err().kind(), ErrorKind::NotFound);
}

#[gambol::test]
async fn the_end_is_told_as_often_as_it_is_asked() {
    let mut child = shell("exit 3").spawn().unwrap();
    for _ in 0..2 {
        assert_eq!(soon(child.wait()).await.unwrap().code(), Some(3));
        assert_eq!(child.try_wait().unwrap().unwrap().code(), Some(3));
    }
    assert_eq!(soon(child.wait_with_output()).await.unwrap().status.code(), Some(3));
}

#[gambol::test(workers = 1)]
async fn who_asks_again_and_again_gives_way() {
    let mut child = Command::new("true").spawn().unwrap();
    soon(child.wait()).await.unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let other = gambol::spawn({
        let over = over.clone();
        async move { over.store(true, Ordering::Relaxed) }
    });
    while !over.load(Ordering::Relaxed) {
        child.wait().await.unwrap();
    }
    other.await.unwrap();
}

#[gambol::test]
async fn a_child_that_has_not_ended_has_no_status() {
    let mut child = cat();
    assert!(child.try_wait().unwrap().is_none());
    let stdin = child.stdin.take();
    assert!(poll_once(&mut pin!(child.wait())).await.is_pending());
    assert!(child.try_wait().unwrap().is_none());
    drop(stdin);
    assert!(soon(child.wait()).await.unwrap().success());
}

#[gambol::test]
async fn a_wait_that_was_given_up_loses_nothing() {
    for polls in 0..5 {
        let mut child = cat();
        let stdin = child.stdin.take();
        for _ in 0..polls {
            // It has not ended: one poll is all that there will be.
            assert!(at_most(1, child.wait()).await.is_none());
        }
        drop(stdin);
        let status = match soon(at_most(polls, child.wait())).await {
            Some(status) => status,
            None => soon(child.wait()).await,
        };
        assert!(status.unwrap().success());
    }
}

#[gambol::test]
async fn to_wait_closes_the_input_that_is_still_there() {
    let mut child = cat();
    assert!(soon(child.wait()).await.unwrap().success());
    assert!(child.stdin.is_none());
    let child = cat();
    assert!(soon(child.wait_with_output()).await.unwrap().status.success());
}

#[gambol::test(workers = 4)]
async fn many_children_end_for_many_tasks() {
    let children: Vec<_> = (0..200)
        .map(|code| {
            gambol::spawn(async move {
                let mut child = shell(&format!("exit {code}")).spawn().unwrap();
                if code % 3 == 0 {
                    gambol::yield_now().await;
                }
                let status = child.wait().await.unwrap();
                // Reaped.
                assert_eq!(child.try_wait().unwrap(), Some(status));
                status
            })
        })
        .collect();
    for (code, child) in children.into_iter().enumerate() {
        let status = soon(child).await.unwrap();
        assert_eq!(status.code(), Some(code as i32));
    }
}

#[test]
fn nothing_is_left_of_many_children() {
    if !is_child() {
        return assert_success(&in_child("nothing_is_left_of_many_children"));
    }
    gambol::block_on(async {
        let children: Vec<_> = (0..200)
            .map(|index| {
                gambol::spawn(async move {
                    let mut command = shell("read line; exit 1");
                    let mut child = command.stdin(Stdio::piped()).kill_on_drop(index % 2 == 0).spawn().unwrap();
                    match index % 5 {
                        0 => drop(child),
                        1 => drop(at_most(1, child.wait()).await),
                        2 => child.kill().unwrap(),
                        3 => drop(at_most(2, child.wait_with_output()).await),
                        _ => assert_eq!(child.wait().await.unwrap().code(), Some(1)),
                    }
                })
            })
            .collect();
        for child in children {
            soon(child).await.unwrap();
        }
        soon(async {
            while Handle::current().metrics().tasks_live() > 0 {
                sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        assert_childless();
    });
}

#[gambol::test]
async fn children_end_in_a_storm_of_sigchld() {
    let over = Arc::new(AtomicBool::new(false));
    // Otherwise it is ignored.
    let _listener = signal::unix(SignalKind::child()).unwrap();
    let storm = thread::spawn({
        let over = over.clone();
        move || {
            while !over.load(Ordering::Relaxed) {
                // SAFETY: no condition; it is listened to.
                unsafe { libc::raise(libc::SIGCHLD) };
            }
        }
    });
    for code in 0..20 {
        let [mut first, mut second] = [0, 1].map(|more| shell(&format!("exit {}", code + more)).spawn().unwrap());
        let (first, second) = soon(join(first.wait(), second.wait())).await;
        assert_eq!((first.unwrap().code(), second.unwrap().code()), (Some(code), Some(code + 1)));
    }
    over.store(true, Ordering::Relaxed);
    storm.join().unwrap();
}

// ---- killing and dropping

#[gambol::test]
async fn a_killed_child_ends_by_the_signal() {
    let mut child = shell("exec sleep 1000").spawn().unwrap();
    child.kill().unwrap();
    assert_eq!(soon(child.wait()).await.unwrap().signal(), Some(libc::SIGKILL));
    // There is nobody who could be killed any more.
    child.kill().unwrap();
    assert_eq!(soon(child.wait()).await.unwrap().signal(), Some(libc::SIGKILL));

    let mut child = shell("exit 0").spawn().unwrap();
    assert!(soon(child.wait()).await.unwrap().success());
    child.kill().unwrap();
}

#[derive(Copy, Clone, Debug, PartialEq)]
enum Dropped {
    Child,
    Wait,
    Status,
    Output,
}

#[gambol::test]
async fn a_child_is_killed_on_drop_if_it_was_told_so() {
    use Dropped::*;
    for (kill, dropped) in [true, false].into_iter().flat_map(|kill| [Child, Wait, Status, Output].map(|d| (kill, d))) {
        // Holds the input open, so that the child would go on.
        let (input, hold) = io::pipe().unwrap();
        let (mut told, tell) = io::pipe().unwrap();
        let mut command = shell("echo $$ >&3; exec 3>&-; exec cat");
        command.stdin(input).kill_on_drop(kill);
        // Its number comes by descriptor 3, since status and output do not give it.
        let tell = OwnedFd::from(tell);
        // SAFETY: dup2 is async-signal-safe, and 3 is the child's own there.
        unsafe {
            command.pre_exec(move || {
                let from = std::os::fd::AsRawFd::as_raw_fd(&tell);
                if libc::dup2(from, 3) == -1 || (from == 3 && libc::fcntl(3, libc::F_SETFD, 0) == -1) {
                    return Err(io::Error::last_os_error());
                }
                Ok(())
            });
        }
        match dropped {
            Child => drop(command.spawn().unwrap()),
            Wait => drop(at_most(1, command.spawn().unwrap().wait()).await),
            Status => drop(at_most(1, command.status()).await),
            Output => drop(at_most(1, command.output()).await),
        }
        drop(command);
        if kill {
            let mut number = String::new();
            told.read_to_string(&mut number).unwrap();
            if let Ok(number) = number.trim().parse() {
                gone(Pid::from_raw(number).unwrap()).await;
            }
        } else {
            let mut number = String::new();
            told.read_to_string(&mut number).unwrap();
            let child = Pid::from_raw(number.trim().parse().unwrap()).unwrap();
            assert_eq!(test_kill_process(child), Ok(()), "{dropped:?}");
            drop(hold);
            // And reaped when it has ended.
            gone(child).await;
        }
    }
}

#[gambol::test]
async fn a_dropped_child_goes_on_and_is_reaped() {
    let mut child = cat();
    let (mut stdin, mut stdout, id) = (child.stdin.take().unwrap(), child.stdout.take().unwrap(), pid(&child));
    drop(child);
    for _ in 0..3 {
        soon(stdin.write_all(b"echo")).await.unwrap();
        let mut echo = [0; 4];
        soon(stdout.read_exact(&mut echo)).await.unwrap();
        assert_eq!(&echo, b"echo");
    }
    drop(stdin);
    gone(id).await;
}

#[test]
fn a_child_whose_reaper_ended_with_its_runtime_is_reaped_after_the_next_start() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let (stdin, id) = runtime.block_on(async {
        let mut child = cat();
        (child.stdin.take(), pid(&child))
    });
    drop(runtime);
    assert_eq!(test_kill_process(id), Ok(()));
    gambol::block_on(async {
        assert!(soon(Command::new("true").status()).await.unwrap().success());
        drop(stdin);
        gone(id).await;
    });
}

#[test]
fn a_child_outlives_the_runtime_in_which_it_was_started() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let (mut child, stdin) = runtime.block_on(async {
        let mut child = cat();
        let stdin = child.stdin.take().unwrap();
        assert!(poll_once(&mut pin!(child.wait())).await.is_pending());
        (child, stdin.into_std().unwrap())
    });
    let (begun, begins) = std::sync::mpsc::channel();
    let waiter = thread::spawn(move || {
        // In the default runtime, though it is the other one's poller that would tell.
        gambol::block_on(async {
            assert!(poll_once(&mut pin!(child.wait())).await.is_pending());
            begun.send(()).unwrap();
            let status = soon(child.wait()).await;
            // Its pipe stays with the runtime that is gone.
            let mut stdout = child.stdout.take().unwrap();
            let read = soon(stdout.read(&mut [0; 1])).await;
            assert!(matches!(read, Ok(0) | Err(_)));
            status
        })
    });
    begins.recv().unwrap();
    drop(runtime);
    drop(stdin);
    assert!(waiter.join().unwrap().unwrap().success());
}

#[gambol::main]
async fn leaves_children() -> ExitCode {
    let waited = cat();
    gambol::spawn(async move {
        let mut waited = waited;
        let _stdin = waited.stdin.take();
        drop(waited.wait().await);
    });
    let mut dropped = cat();
    std::mem::forget(dropped.stdin.take());
    drop(dropped);
    drop(at_most(1, shell("exec cat").stdin(Stdio::piped()).spawn().unwrap().wait_with_output()).await);
    ExitCode::from(7)
}

#[test]
fn children_do_not_hold_up_the_end_of_main() {
    if !is_child() {
        return assert_success(&in_child("children_do_not_hold_up_the_end_of_main"));
    }
    assert_eq!(leaves_children(), ExitCode::from(7));
}

// ---- pipes

#[gambol::test]
async fn output_reads_both_pipes_to_their_ends() {
    const MUCH: usize = 1_000_000;
    let fill = |bytes: usize, to: usize| format!("head -c {bytes} /dev/zero >&{to};");
    for script in [
        fill(MUCH, 1) + &fill(MUCH / 2, 2),
        fill(MUCH, 2) + &fill(MUCH / 2, 1),
        fill(MUCH, 1) + "exec >&-;" + &fill(MUCH, 2),
        format!("({}) & ({}) & wait;", fill(MUCH, 1), fill(MUCH, 2)),
        fill(MUCH, 1),
        fill(10, 2),
        String::new(),
    ] {
        let expected = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
        let output = soon(shell(&(script + "exit 5")).output()).await.unwrap();
        assert_eq!(output.status.code(), Some(5));
        assert!(output.stdout == expected.stdout && output.stderr == expected.stderr);
    }
}

#[gambol::test]
async fn output_leaves_alone_what_was_set() {
    let mut command = shell("cat; echo error >&2; echo out");
    command.stdout(Stdio::null());
    for _ in 0..2 {
        let output = soon(command.output()).await.unwrap();
        assert_eq!((output.stdout, output.stderr), (vec![], b"error\n".to_vec()));
    }
    // And nothing stays of what it set.
    let mut child = Command::new("true");
    soon(child.output()).await.unwrap();
    let mut child = child.spawn().unwrap();
    assert!(child.stdin.is_none() && child.stdout.is_none() && child.stderr.is_none());
    soon(child.wait()).await.unwrap();
}

#[gambol::test]
async fn a_status_does_not_wait_for_pipes() {
    let mut command = shell("head -c 1000000 /dev/zero; cat; exit 0");
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    assert!(soon(command.status()).await.unwrap().success());
}

#[gambol::test]
async fn what_goes_in_comes_out() {
    let mut child = cat();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let sent = bytes.clone();
    let writer = gambol::spawn(async move {
        stdin.write_all(&sent).await.unwrap();
        stdin.close().await.unwrap();
        // Whoever closes has closed.
        assert_eq!(stdin.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        stdin.close().await.unwrap();
    });
    let mut received = Vec::new();
    soon(stdout.read_to_end(&mut received)).await.unwrap();
    assert!(received == bytes);
    soon(writer).await.unwrap();
    assert!(soon(child.wait()).await.unwrap().success());
}

#[gambol::test]
async fn many_buffers_go_in_one_call() {
    let mut child = cat();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let n = stdin.write_vectored(&[IoSlice::new(b"vec"), IoSlice::new(b""), IoSlice::new(b"tored")]).await.unwrap();
    assert_eq!(n, 8);
    let (mut first, mut second) = ([0; 2], [0; 6]);
    let n = soon(stdout.read_vectored(&mut [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)])).await;
    assert_eq!((n.unwrap(), &first, &second), (8, b"ve", b"ctored"));
    let crowd = vec![IoSlice::new(b"x"); 3000];
    let n = stdin.write_vectored(&crowd).await.unwrap();
    assert!((1..=3000).contains(&n));
    soon(stdout.read_exact(&mut vec![0; n])).await.unwrap();
    assert_eq!(stdout.read_vectored(&mut []).await.unwrap(), 0);
    assert_eq!(stdout.read(&mut []).await.unwrap(), 0);
}

#[gambol::test]
async fn reads_and_writes_that_were_given_up_have_done_nothing() {
    for polls in 0..3 {
        let mut child = cat();
        let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        assert!(at_most(polls.min(1), stdout.read(&mut [0; 8])).await.is_none());
        // Full, with nobody who reads at the other end of cat.
        let block = vec![7; 65536];
        let mut written = 0;
        while let Ok(n) = timeout(Duration::from_millis(50), stdin.write(&block)).await {
            written += n.unwrap();
        }
        // Unless cat was only slow.
        if let Some(n) = at_most(polls.min(1), stdin.write(&block)).await {
            written += n.unwrap();
        }
        drop(stdin);
        let mut received = Vec::new();
        soon(stdout.read_to_end(&mut received)).await.unwrap();
        assert_eq!(received.len(), written);
    }
}

#[gambol::test]
async fn to_write_to_one_who_does_not_read_is_an_error() {
    let mut child = Command::new("true").stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    assert!(soon(child.wait()).await.unwrap().success());
    // A child of another test that was just being started may have the other end for a moment, until it is another program.
    let error = soon(async {
        loop {
            if let Err(error) = stdin.write(b"x").await {
                break error;
            }
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);

    // One that closes its end while the pipe is full wakes the writer.
    let mut child = shell("kill -STOP $$; exec <&-; exec sleep 1000");
    let mut child = child.stdin(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let bytes = vec![b'x'; 1_000_000];
    let mut write = pin!(stdin.write_all(&bytes));
    assert!(poll_once(&mut write).await.is_pending());
    soon(async {
        // It may not have stopped yet when it is told to go on.
        while poll_once(&mut write).await.is_pending() {
            kill_process(pid(&child), Signal::CONT).unwrap();
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    assert!(child.try_wait().unwrap().is_none());
    assert_eq!(stdin.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
}

/// A read then takes what one write has written, however much more is there, of which nothing more is told.
#[cfg(target_os = "linux")]
#[gambol::test]
async fn a_child_may_write_in_packets() {
    let mut command = shell("echo first; echo second; echo >&2; read line");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let packets = || {
        // SAFETY: a system call about a descriptor that is open.
        match unsafe { libc::fcntl(libc::STDOUT_FILENO, libc::F_SETFL, libc::O_WRONLY | libc::O_DIRECT) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    };
    // SAFETY: it makes one system call.
    unsafe { command.pre_exec(packets) };
    let mut child = command.spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    // Both lines are there.
    soon(child.stderr.as_mut().unwrap().read_exact(&mut [0])).await.unwrap();
    let mut data = [0; 64];
    for expected in ["first\n", "second\n"] {
        let n = soon(stdout.read(&mut data)).await.unwrap();
        assert_eq!(&data[..n], expected.as_bytes());
    }
    assert!(soon(child.wait()).await.unwrap().code().is_some());
}

#[gambol::test]
async fn a_child_may_close_its_output_and_go_on() {
    let mut command = shell("exec >&-; read line; exit 3");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    assert_eq!(soon(stdout.read(&mut [0; 8])).await.unwrap(), 0);
    assert!(child.try_wait().unwrap().is_none());
    child.stdin.as_mut().unwrap().write_all(b"go\n").await.unwrap();
    assert_eq!(soon(child.wait()).await.unwrap().code(), Some(3));
}

#[gambol::test]
async fn a_grandchild_may_keep_the_pipe() {
    let mut child = shell("sleep 1000 & echo $!; exit 7").stdout(Stdio::piped()).spawn().unwrap();
    assert_eq!(soon(child.wait()).await.unwrap().code(), Some(7));
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    soon(stdout.read_line(&mut line)).await.unwrap();
    assert!(poll_once(&mut pin!(stdout.read(&mut [0; 1]))).await.is_pending());
    kill_process(Pid::from_raw(line.trim().parse().unwrap()).unwrap(), Signal::KILL).unwrap();
    assert_eq!(soon(stdout.read(&mut [0; 1])).await.unwrap(), 0);

    // Then output waits for the pipe, but the child is reaped before.
    let mut child = shell("sleep 1000 & echo $!; exit 7").stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    line.clear();
    soon(stdout.read_line(&mut line)).await.unwrap();
    child.stdout = Some(stdout.into_inner());
    let id = pid(&child);
    let mut output = pin!(child.wait_with_output());
    soon(async {
        while test_kill_process(id).is_ok() {
            assert!(poll_once(&mut output).await.is_pending());
            gambol::yield_now().await;
        }
    })
    .await;
    kill_process(Pid::from_raw(line.trim().parse().unwrap()).unwrap(), Signal::KILL).unwrap();
    assert_eq!(soon(output).await.unwrap().status.code(), Some(7));
}

#[gambol::test]
async fn one_childs_output_is_anothers_input() {
    let mut first = shell("head -c 200000 /dev/zero").stdout(Stdio::piped()).spawn().unwrap();
    let pipe = Stdio::try_from(first.stdout.take().unwrap()).unwrap();
    // It is in blocking mode again, which wc relies on.
    let second = Command::new("wc").arg("-c").stdin(pipe).output();
    assert_eq!(soon(second).await.unwrap().stdout.trim_ascii(), b"200000");
    assert!(soon(first.wait()).await.unwrap().success());

    let mut third = cat();
    let pipe = Stdio::try_from(third.stdin.take().unwrap()).unwrap();
    assert!(soon(shell("echo through").stdout(pipe).status()).await.unwrap().success());
    assert_eq!(soon(third.wait_with_output()).await.unwrap().stdout, b"through\n");
}

#[gambol::test]
async fn pipes_are_stds_and_back() {
    let mut child = shell("cat; echo error >&2");
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let stdin = child.stdin.take().unwrap().into_std().unwrap();
    let stdout = child.stdout.take().unwrap().into_std().unwrap();
    let mut stderr = child.stderr.take().unwrap().into_std().unwrap();
    let mut stdout = ChildStdout::try_from(stdout).unwrap();
    assert!(poll_once(&mut pin!(stdout.read(&mut [0; 1]))).await.is_pending());
    drop(stdin);
    assert_eq!(soon(stdout.read(&mut [0; 1])).await.unwrap(), 0);
    let mut text = String::new();
    stderr.read_to_string(&mut text).unwrap();
    assert_eq!(text, "error\n");
    assert!(soon(child.wait()).await.unwrap().success());
}

// ---- commands

#[gambol::test]
async fn a_command_is_stds() {
    let mut command = shell("echo $0 $1 $GIVEN $MORE $PATH $TAKEN; pwd");
    command.args(["zero"]).arg("one").env_clear().env("GIVEN", "given").envs([("MORE", "more"), ("TAKEN", "taken")]);
    command.env_remove("TAKEN").env("PATH", "/usr/bin:/bin").current_dir("/").kill_on_drop(true);
    let output = soon(command.output()).await.unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "zero one given more /usr/bin:/bin\n/\n");
    assert_eq!(command.get_program(), "sh");
    assert_eq!(command.get_args().count(), 4);
    assert_eq!(command.get_envs().count(), 3);
    assert_eq!(command.get_current_dir().unwrap().to_str(), Some("/"));
    assert!(command.get_kill_on_drop());
    assert_eq!(command.as_std().get_program(), "sh");
    assert_eq!(command.into_std().get_program(), "sh");

    let mut command = Command::from(std::process::Command::new("sh"));
    command.arg0("alias").args(["-c", "echo $0; ps -o pgid= -p $$ 2>/dev/null || echo $$"]).process_group(0);
    command.as_std_mut().stdin(Stdio::null());
    let child = command.stdout(Stdio::piped()).spawn().unwrap();
    let group = rustix::process::getpgid(Some(pid(&child)));
    assert_eq!(group.unwrap(), pid(&child));
    let output = soon(child.wait_with_output()).await.unwrap();
    assert!(output.stdout.starts_with(b"alias\n"));

    let mut command = Command::new("true");
    // SAFETY: it makes an error without allocating.
    let error = unsafe { command.pre_exec(|| Err(io::Error::from_raw_os_error(libc::EDOM))) }.spawn();
    assert_eq!(error.unwrap_err().raw_os_error(), Some(libc::EDOM));
    let me = rustix::process::getuid().as_raw();
    if me == 0 {
        let output = soon(Command::new("id").arg("-u").uid(65534).gid(65534).output()).await.unwrap();
        assert_eq!(output.stdout.trim_ascii(), b"65534");
    }
}

// ---- surroundings

#[test]
fn children_work_under_other_executors() {
    async fn program() {
        let mut child = cat();
        let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        stdin.write_all(b"echo").await.unwrap();
        let mut echo = [0; 4];
        stdout.read_exact(&mut echo).await.unwrap();
        assert!(poll_once(&mut pin!(child.wait())).await.is_pending());
        drop(stdin);
        assert!(child.wait().await.unwrap().success());
        assert_eq!(shell("echo out").output().await.unwrap().stdout, b"out\n");
        let mut dropped = cat();
        let (stdin, id) = (dropped.stdin.take(), pid(&dropped));
        drop((dropped, stdin));
        gone(id).await;
    }
    futures::executor::block_on(program());
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(program());
    tokio::runtime::Builder::new_multi_thread().build().unwrap().block_on(program());
    gambol::block_on(program());
}

#[gambol::test]
async fn a_dump_says_who_waits_for_a_child() {
    let mut child = cat();
    let stdin = child.stdin.take();
    let waiter = gambol::spawn(async move { child.wait().await });
    let handle = Handle::current();
    soon(async {
        while !handle.parked_tasks().iter().any(|parked| parked.wait.as_str() == "process") {
            gambol::yield_now().await;
        }
    })
    .await;
    drop(stdin);
    assert!(soon(waiter).await.unwrap().unwrap().success());
}

#[test]
fn without_descriptors_there_is_an_error_and_no_zombie() {
    if !is_child() {
        return assert_success(&in_child("without_descriptors_there_is_an_error_and_no_zombie"));
    }
    gambol::block_on(async {
        // The poller is there.
        soon(Command::new("true").output()).await.unwrap();
        let limit = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum: limit.maximum }).unwrap();
        let mut files: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        // With any number of descriptors it fails or it works, and in either case it ends.
        let (mut failed, mut worked) = (0, 0);
        for _ in 0..20 {
            for step in 0..3 {
                let result = match step {
                    0 => soon(Command::new("true").output()).await.map(|output| output.status),
                    1 => soon(Command::new("true").status()).await,
                    _ => match Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn() {
                        Err(error) => Err(error),
                        Ok(mut child) => {
                            let stdin = child.stdin.take();
                            match soon(at_most(1, child.wait())).await {
                                Some(Err(error)) => {
                                    assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
                                    // It can be waited for when there are some again.
                                    files.truncate(files.len().saturating_sub(4));
                                }
                                Some(Ok(status)) => panic!("{status:?}"),
                                None => {}
                            }
                            drop(stdin);
                            soon(child.wait()).await
                        }
                    },
                };
                match result {
                    Ok(status) => {
                        assert!(status.success());
                        worked += 1;
                    }
                    Err(error) => {
                        assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
                        failed += 1;
                    }
                }
            }
            files.pop();
        }
        assert!(failed > 0 && worked > 0, "{failed} {worked}");
        drop(files);
        // Those that nobody could wait for are reaped by the next.
        soon(async {
            loop {
                Command::new("true").status().await.unwrap();
                match wait(WaitOptions::NOHANG) {
                    Err(Errno::CHILD) => break,
                    Ok(None) => sleep(Duration::from_millis(1)).await,
                    other => panic!("{other:?}"),
                }
            }
        })
        .await;
    });
}

/// Outside of a runtime the default one is started, which panics where there can be no threads. A drop must not: it may be in a
/// panic itself.
#[cfg(target_os = "linux")]
#[test]
fn a_child_is_dropped_in_peace_though_no_runtime_can_be_started() {
    if !is_child() {
        return assert_success(&in_child("a_child_is_dropped_in_peace_though_no_runtime_can_be_started"));
    }
    let (stdin, ours) = io::pipe().unwrap();
    let child = Command::new("cat").stdin(stdin).spawn().unwrap();
    let id = pid(&child);
    // There is no room for a thread's stack.
    let limit = getrlimit(Resource::As);
    setrlimit(Resource::As, Rlimit { current: Some(0), maximum: limit.maximum }).unwrap();
    drop(child);
    setrlimit(Resource::As, limit).unwrap();
    // The next start finds it.
    gambol::block_on(async {
        assert!(soon(Command::new("true").status()).await.unwrap().success());
        drop(ours);
        gone(id).await;
    });
}

#[cfg(target_os = "linux")]
#[test]
fn all_threads_are_gambols() {
    use gambol::net::{TcpListener, TcpStream};
    use std::fs;

    if !is_child() {
        return assert_success(&in_child("all_threads_are_gambols"));
    }
    gambol::block_on(gambol::spawn(async {
        let listener = TcpListener::bind("localhost:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (accepted, connected) = join(listener.accept(), TcpStream::connect(address)).await;
        let (mut accepted, mut connected) = (accepted.unwrap().0, connected.unwrap());
        connected.write_all(b"x").await.unwrap();
        accepted.read_exact(&mut [0; 1]).await.unwrap();
        gambol::spawn_blocking(|| fs::read("/proc/self/stat").unwrap()).await.unwrap();
        let mut listener = signal::unix(SignalKind::user_defined1()).unwrap();
        // SAFETY: no condition; it is listened to.
        unsafe { libc::raise(libc::SIGUSR1) };
        assert_eq!(listener.recv().await, Some(()));
        let mut interrupt = pin!(signal::ctrl_c());
        assert!(poll_once(&mut interrupt).await.is_pending());
        assert_eq!(shell("echo out").output().await.unwrap().stdout, b"out\n");
        let mut child = cat();
        let stdin = child.stdin.take();
        assert!(poll_once(&mut pin!(child.wait())).await.is_pending());
        drop(cat());

        let process = std::process::id().to_string();
        let mut ours = 0;
        for thread in fs::read_dir("/proc/self/task").unwrap() {
            let thread = thread.unwrap();
            if thread.file_name().to_str() == Some(&process) {
                continue;
            }
            let name = fs::read_to_string(thread.path().join("comm")).unwrap();
            // The test runs on a thread of its own, unless it runs on the first.
            if "all_threads_are_gambols".starts_with(name.trim_end()) {
                continue;
            }
            assert!(name.starts_with("gambol-"), "{name:?}");
            ours += 1;
        }
        assert!(ours >= 2);
        drop(stdin);
        assert!(child.wait().await.unwrap().success());
    }))
    .unwrap();
}

// ---- without pidfds

#[cfg(target_os = "linux")]
fn has_pidfds() -> bool {
    use rustix::process::{PidfdFlags, getpid, pidfd_open};

    pidfd_open(getpid(), PidfdFlags::empty()).is_ok()
}

/// Runs the whole file again in a process for which `pidfd_open` is a call that does not exist.
#[cfg(target_os = "linux")]
#[test]
fn all_of_this_holds_without_pidfds() {
    use std::os::unix::process::CommandExt;

    const MARK: &str = "GAMBOL_TEST_WITHOUT_PIDFDS";
    if std::env::var_os(MARK).is_some() {
        assert!(!has_pidfds());
        return;
    }
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.env(MARK, "1").arg("--test-threads=4");
    // SAFETY: two system calls on memory of the stack are all that it does.
    unsafe { command.pre_exec(forbid_pidfds) };
    assert_success(&command.output().unwrap());
}

/// A filter for the system calls of this thread and all that come from it, other programs too.
#[cfg(target_os = "linux")]
fn forbid_pidfds() -> io::Result<()> {
    let load_number =
        libc::sock_filter { code: (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16, jt: 0, jf: 0, k: 0 };
    let is_pidfd_open = libc::sock_filter {
        code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
        jt: 0,
        jf: 1,
        k: libc::SYS_pidfd_open as u32,
    };
    let answer = |answer| libc::sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k: answer };
    let mut filter = [
        load_number,
        is_pidfd_open,
        answer(libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32),
        answer(libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: numbers only.
    let privileges = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    // SAFETY: the program lives, and has as many instructions as it says.
    let filter = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program) };
    if privileges == 0 && filter == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
