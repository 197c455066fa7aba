//! The standard streams, on pipes and sockets that are in non-blocking mode: what is read comes when it comes, and what is
//! written comes whole.
//!
//! Each test is a child process, since a process has one standard input.
#![cfg(unix)]

mod helpers;

use gambol::{
    io::{Async, AsyncReadExt, AsyncWriteExt, stderr, stdin, stdout},
    time::{Duration, timeout},
};
use helpers::{at_most, is_child};
use rustix::io::ioctl_fionbio;
use std::{
    io::{Read, Write, pipe},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    process::Command,
};

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Pipe,
    Socket,
}

/// Who puts the streams into non-blocking mode.
#[derive(Clone, Copy, PartialEq)]
enum By {
    /// Whoever has started the process.
    Parent,
    /// The process itself, by an `Async` over a duplicate.
    Async,
}

/// Lines of a block.
const LINES: usize = 4096;
/// Blocks that are written when somebody reads again.
const MORE: usize = 20;

/// 64 KiB.
fn block(number: usize) -> Vec<u8> {
    (number * LINES..(number + 1) * LINES).flat_map(|line| format!("{line:015}\n").into_bytes()).collect()
}

/// The reading end, the writing end.
fn channel(kind: Kind) -> (OwnedFd, OwnedFd) {
    match kind {
        Kind::Pipe => {
            let (reader, writer) = pipe().unwrap();
            (reader.into(), writer.into())
        }
        Kind::Socket => {
            let (reader, writer) = UnixStream::pair().unwrap();
            (reader.into(), writer.into())
        }
    }
}

fn run(test: &str, kind: Kind, by: By) {
    if is_child() {
        return gambol::block_on(the_child(by));
    }
    let (theirs, stdin) = channel(kind);
    let (stdout, their_stdout) = channel(kind);
    let (stderr, their_stderr) = channel(kind);
    if by == By::Parent {
        for theirs in [&theirs, &their_stdout, &their_stderr] {
            ioctl_fionbio(theirs, true).unwrap();
        }
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env("GAMBOL_TEST_CHILD", "1");
    let mut child = command.stdin(theirs).stdout(their_stdout).stderr(their_stderr).spawn().unwrap();
    // Otherwise there would be no end when the child is gone.
    drop(command);
    the_parent(stdin.into(), stdout.into(), stderr.into());
    assert!(child.wait().unwrap().success());
}

/// Reads until `mark` has come.
fn wait_for(stream: &mut impl Read, mark: &str) {
    let mut seen = Vec::new();
    while !seen.ends_with(mark.as_bytes()) {
        let mut byte = [0];
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "ended after {:?}", String::from_utf8_lossy(&seen));
        seen.push(byte[0]);
    }
}

fn the_parent(mut stdin: std::fs::File, mut stdout: std::fs::File, mut stderr: std::fs::File) {
    for round in 0..5 {
        wait_for(&mut stdout, "[read]");
        write!(stdin, "<{round}>").unwrap();
    }
    take_blocks(&mut stdout, &mut stderr);
    take_blocks(&mut stderr, &mut stdout);
    // Only now, since the harness cannot write to a stream that is full.
    drop(stdin);
    stdout.read_to_end(&mut Vec::new()).unwrap();
    let mut last = String::new();
    stderr.read_to_string(&mut last).unwrap();
    assert_eq!(last, "");
}

/// Begins to read when the child has found no room any more.
fn take_blocks(stream: &mut impl Read, other: &mut impl Read) {
    wait_for(other, "[full ");
    let mut count = Vec::new();
    while !count.ends_with(b"]") {
        let mut byte = [0];
        other.read_exact(&mut byte).unwrap();
        count.push(byte[0]);
    }
    count.pop();
    let count: usize = String::from_utf8(count).unwrap().parse().unwrap();
    wait_for(stream, "[begin]");
    for number in 0..count + MORE {
        let mut found = vec![0; LINES * 16];
        stream.read_exact(&mut found).unwrap();
        assert!(found == block(number), "block {number} is not as it was written");
    }
    wait_for(stream, "[end]");
}

async fn the_child(by: By) {
    let _async: Vec<_> = match by {
        By::Parent => Vec::new(),
        By::Async => [stdin().as_fd(), stdout().as_fd(), stderr().as_fd()]
            .map(|stream| Async::new(stream.try_clone_to_owned().unwrap()).unwrap())
            .into(),
    };
    for round in 0..5 {
        let mut found = [0; 3];
        // It is under way when the parent is told to write.
        assert!(at_most(1, stdin().read(&mut found)).await.is_none());
        stdout().write_all(b"[read]").await.unwrap();
        stdout().flush().await.unwrap();
        stdin().read_exact(&mut found).await.unwrap();
        assert_eq!(found, *format!("<{round}>").as_bytes());
    }
    give_blocks(stdout(), stderr()).await;
    give_blocks(stderr(), stdout()).await;
    assert_eq!(stdin().read(&mut [0]).await.unwrap(), 0);
}

/// Writes to `stream` until there is no room, says so on `other`, and goes on.
async fn give_blocks(mut stream: impl AsyncWriteExt + Unpin, mut other: impl AsyncWriteExt + Unpin) {
    stream.write_all(b"[begin]").await.unwrap();
    let mut count = 0;
    while let Ok(written) = timeout(Duration::from_millis(50), stream.write(&block(count))).await {
        assert_eq!(written.unwrap(), LINES * 16);
        count += 1;
    }
    other.write_all(format!("[full {count}]").as_bytes()).await.unwrap();
    other.flush().await.unwrap();
    for number in count..count + MORE {
        stream.write_all(&block(number)).await.unwrap();
    }
    stream.write_all(b"[end]").await.unwrap();
    stream.flush().await.unwrap();
}

#[test]
fn pipes_that_were_inherited_so_work_as_others() {
    run("pipes_that_were_inherited_so_work_as_others", Kind::Pipe, By::Parent);
}

#[test]
fn sockets_that_were_inherited_so_work_as_others() {
    run("sockets_that_were_inherited_so_work_as_others", Kind::Socket, By::Parent);
}

#[test]
fn pipes_of_which_there_is_an_async_work_as_others() {
    run("pipes_of_which_there_is_an_async_work_as_others", Kind::Pipe, By::Async);
}

#[test]
fn sockets_of_which_there_is_an_async_work_as_others() {
    run("sockets_of_which_there_is_an_async_work_as_others", Kind::Socket, By::Async);
}
