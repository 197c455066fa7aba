//! The standard streams, which the examples use as processes of their own: see `netcat.rs` for their ways with pipes. Here is
//! what becomes of reads that are given up, of many handles, and of errors.
//!
//! Each test is a child process, since a process has one standard input.

mod helpers;

use futures_util::{TryStreamExt, future::join_all};
use gambol::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, ErrorKind, IoSlice, stderr, stdin, stdout},
    runtime::Runtime,
    time::{Duration, timeout},
};
use helpers::{PATIENCE, at_most, is_child};
use std::{
    io::{Read, Write},
    process::{Command, Output, Stdio},
    thread,
    time::Instant,
};

/// Runs a test in a child, with pipes, which `talk` serves. The child's stdout has the harness's lines too.
fn child(test: &str, talk: impl FnOnce(std::process::ChildStdin, &mut std::process::ChildStdout)) -> Output {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env("GAMBOL_TEST_CHILD", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    talk(stdin, &mut stdout);
    let mut rest = Vec::new();
    stdout.read_to_end(&mut rest).unwrap();
    drop(stdout);
    let mut output = child.wait_with_output().unwrap();
    output.stdout = rest;
    helpers::assert_success(&output);
    output
}

/// Reads until `mark` has come.
fn wait_for(stdout: &mut impl Read, mark: &str) {
    let mut seen = Vec::new();
    while !seen.ends_with(mark.as_bytes()) {
        let mut byte = [0];
        assert_eq!(stdout.read(&mut byte).unwrap(), 1, "ended after {:?}", String::from_utf8_lossy(&seen));
        seen.push(byte[0]);
    }
}

async fn say(text: &str) {
    let mut stdout = stdout();
    stdout.write_all(text.as_bytes()).await.unwrap();
    stdout.flush().await.unwrap();
}

#[test]
fn what_a_dropped_read_brings_is_kept_for_the_next() {
    if !is_child() {
        child("what_a_dropped_read_brings_is_kept_for_the_next", |mut stdin, stdout| {
            wait_for(stdout, "given up");
            stdin.write_all(b"abcdef").unwrap();
            wait_for(stdout, "once more");
            stdin.write_all(b"ghi").unwrap();
        });
        return;
    }
    gambol::block_on(async {
        assert!(timeout(Duration::from_millis(5), async { stdin().read(&mut [0; 3]).await }).await.is_err());
        say("given up").await;
        let mut all = [0; 6];
        // In two pieces, by two handles.
        stdin().read_exact(&mut all[..2]).await.unwrap();
        stdin().read_exact(&mut all[2..]).await.unwrap();
        assert_eq!(&all, b"abcdef");
        assert_eq!(stdin().read(&mut []).await.unwrap(), 0);
        assert!(at_most(1, async { stdin().read(&mut [0; 3]).await }).await.is_none());
        say("once more").await;
        let mut rest = String::new();
        stdin().read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "ghi");
        // The end is told again to whoever asks again.
        assert_eq!(stdin().read(&mut [0; 3]).await.unwrap(), 0);
    });
}

#[test]
fn a_read_goes_on_when_its_runtime_has_ended() {
    if !is_child() {
        child("a_read_goes_on_when_its_runtime_has_ended", |mut stdin, stdout| {
            wait_for(stdout, "ended");
            stdin.write_all(b"late").unwrap();
        });
        return;
    }
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        assert!(at_most(1, async { stdin().read(&mut [0; 8]).await }).await.is_none());
    });
    drop(runtime);
    gambol::block_on(async {
        say("ended").await;
        let mut text = String::new();
        stdin().read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "late");
    });
}

#[test]
fn a_queued_read_is_started_again_elsewhere() {
    if !is_child() {
        child("a_queued_read_is_started_again_elsewhere", |mut stdin, _| stdin.write_all(b"text").unwrap());
        return;
    }
    // Its only blocking thread is taken, so the read stays in the queue until the runtime ends.
    let runtime = Runtime::builder().max_blocking_threads(1).build().unwrap();
    let (release, released) = std::sync::mpsc::channel::<()>();
    runtime.spawn_blocking(move || released.recv());
    let (mut first, mut second) = (stdin(), stdin());
    let (mut a, mut b) = ([0; 8], [0; 8]);
    runtime.block_on(async {
        assert!(at_most(1, first.read(&mut a)).await.is_none());
    });
    let waiting = thread::spawn(move || gambol::block_on(async { second.read(&mut b).await.unwrap() }));
    drop(runtime);
    assert_eq!(waiting.join().unwrap(), 4);
    drop(release);
}

/// Does something in a drop that a closing runtime runs, where jobs are cancelled by a loop further up on the stack.
fn while_its_runtime_closes<T: Send + 'static>(last: impl AsyncFnOnce() -> T + Send + 'static) -> T {
    struct Late<F: FnOnce()>(Option<F>);
    impl<F: FnOnce()> Drop for Late<F> {
        fn drop(&mut self) {
            self.0.take().unwrap()();
        }
    }
    let (told, result) = std::sync::mpsc::channel();
    let late = Late(Some(move || told.send(gambol::block_on(last())).unwrap()));
    let runtime = Runtime::new().unwrap();
    runtime.spawn(async move {
        let _late = late;
        std::future::pending::<()>().await;
    });
    runtime.block_on(gambol::yield_now());
    drop(runtime);
    result.recv_timeout(PATIENCE).unwrap()
}

#[test]
fn a_read_while_its_runtime_closes_comes_to_an_end() {
    if !is_child() {
        child("a_read_while_its_runtime_closes_comes_to_an_end", |mut stdin, _| stdin.write_all(b"text").unwrap());
        return;
    }
    for _ in 0..3 {
        let result = while_its_runtime_closes(async || stdin().read(&mut [0; 8]).await);
        assert_eq!(result.unwrap_err().to_string(), "the runtime is gone");
    }
    // Elsewhere all is well.
    let mut text = String::new();
    gambol::block_on(async { stdin().read_to_string(&mut text).await }).unwrap();
    assert_eq!(text, "text");
}

#[test]
fn a_flush_while_its_runtime_closes_comes_to_an_end() {
    if !is_child() {
        let output = child("a_flush_while_its_runtime_closes_comes_to_an_end", |stdin, _| drop(stdin));
        for (stream, text) in [("stdout", output.stdout), ("stderr", output.stderr)] {
            let text = String::from_utf8(text).unwrap();
            // What was accepted is kept for whoever writes next, and comes once.
            for mark in ["[first]", "[second]", "[third]", "[elsewhere]"] {
                assert_eq!(text.matches(mark).count(), 1, "{mark} on {stream}: {text}");
            }
        }
        return;
    }
    for text in ["[first]", "[second]"] {
        let results = while_its_runtime_closes(async move || {
            stdout().write_all(text.as_bytes()).await.unwrap();
            stderr().write_all(text.as_bytes()).await.unwrap();
            [stdout().flush().await, stderr().flush().await]
        });
        for result in results {
            assert_eq!(result.unwrap_err().to_string(), "the runtime is gone");
        }
    }
    // In a job that has outlived its runtime.
    let runtime = Runtime::new().unwrap();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let (told, steps) = std::sync::mpsc::channel();
    let begun = told.clone();
    let last = async move {
        assert_eq!(stdout().write(b"[third]").await.unwrap(), 7, "it is kept, so it must not be tried again");
        assert_eq!(stderr().write(b"[third]").await.unwrap(), 7);
        assert!(stdout().flush().await.is_err() && stderr().flush().await.is_err());
        told.send(()).unwrap();
    };
    runtime.spawn_blocking(move || {
        begun.send(()).unwrap();
        let _ = released.recv();
        futures::executor::block_on(last);
    });
    steps.recv_timeout(PATIENCE).unwrap();
    drop(runtime);
    drop(release);
    steps.recv_timeout(PATIENCE).unwrap();
    gambol::block_on(async {
        stdout().write_all(b"[elsewhere]").await.unwrap();
        stdout().flush().await.unwrap();
        stderr().write_all(b"[elsewhere]").await.unwrap();
        stderr().flush().await.unwrap();
    });
}

#[test]
fn many_writers_write_whole_lines() {
    const WRITERS: usize = 20;
    const LINES: usize = 50;
    if !is_child() {
        let output = child("many_writers_write_whole_lines", |stdin, _| drop(stdin));
        let text = String::from_utf8(output.stdout).unwrap();
        for writer in 0..WRITERS {
            let theirs: Vec<_> =
                text.lines().filter_map(|line| line.strip_prefix(&format!("writer {writer} line "))).collect();
            let expected: Vec<_> = (0..LINES).map(|line| format!("{line}.")).collect();
            assert_eq!(theirs, expected);
        }
        return;
    }
    gambol::block_on(async {
        // The harness has begun a line.
        say("\n").await;
        let writers = (0..WRITERS).map(|writer| {
            gambol::spawn(async move {
                for line in 0..LINES {
                    let text = format!("writer {writer} line {line}.\n");
                    stdout().write_all(text.as_bytes()).await.unwrap();
                }
                stdout().flush().await.unwrap();
            })
        });
        join_all(writers).await.into_iter().for_each(|result| result.unwrap());
    });
}

#[test]
fn a_close_waits_until_all_is_written() {
    const SIZE: usize = 2_000_000;
    if !is_child() {
        let output = child("a_close_waits_until_all_is_written", |stdin, _| drop(stdin));
        let found = output.stdout.iter().filter(|&&byte| byte == b'#').count();
        assert_eq!(found, SIZE);
        return;
    }
    gambol::block_on(async {
        let mut stdout = stdout();
        stdout.write_all(&vec![b'#'; SIZE]).await.unwrap();
        // A flush that is given up loses nothing.
        for polls in 0..2 {
            let _ = at_most(polls, stdout.flush()).await;
        }
        stdout.close().await.unwrap();
    });
}

#[test]
fn a_broken_pipe_is_an_error() {
    if !is_child() {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_broken_pipe_is_an_error", "--nocapture", "--test-threads=1"])
            .env("GAMBOL_TEST_CHILD", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        wait_for(child.stdout.as_mut().unwrap(), "ready");
        drop(child.stdout.take());
        drop(child.stdin.take());
        let output = child.wait_with_output().unwrap();
        // The harness itself cannot print its report any more; what we found stands on stderr.
        assert!(String::from_utf8_lossy(&output.stderr).contains("it was BrokenPipe"), "{output:?}");
        return;
    }
    gambol::block_on(say("ready"));
    // Until the parent has closed the other end.
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    gambol::block_on(async {
        let mut stdout = stdout();
        let error = loop {
            let result = async {
                stdout.write_all(b"text").await?;
                stdout.flush().await
            };
            if let Err(error) = result.await {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        eprintln!("it was {:?}", error.kind());
        // And told once.
        assert_eq!(stdout.write(b"").await.unwrap(), 0);
    });
}

#[test]
fn a_write_of_sixty_four_kibibytes_is_whole() {
    const SIZE: usize = 64 * 1024;
    const WRITERS: u8 = 6;
    const TIMES: usize = 5;
    if !is_child() {
        let output = child("a_write_of_sixty_four_kibibytes_is_whole", |stdin, _| drop(stdin));
        let text = String::from_utf8_lossy(&output.stdout);
        let begin = text.find("begin").unwrap() + 5;
        let mut left = output.stdout[begin..].to_vec();
        for _ in 0..WRITERS as usize * TIMES {
            // The small ones may stand between the large ones.
            while left.starts_with(b"[small]") {
                left.drain(..7);
            }
            let first = left[0];
            assert!((b'A'..b'A' + WRITERS).contains(&first), "{first}");
            assert!(left[..SIZE].iter().all(|&byte| byte == first));
            left.drain(..SIZE);
        }
        return;
    }
    gambol::block_on(async {
        say("begin").await;
        let writers = (0..WRITERS).map(|writer| {
            gambol::spawn(async move {
                let (block, half) = (vec![b'A' + writer; SIZE], vec![b'A' + writer; SIZE / 2]);
                for time in 0..TIMES {
                    // In one buffer or in a row of them.
                    let n = match time % 2 {
                        0 => stdout().write(&block).await,
                        _ => stdout().write_vectored(&[IoSlice::new(&half), IoSlice::new(&half)]).await,
                    };
                    assert_eq!(n.unwrap(), SIZE);
                    assert_eq!(stdout().write(b"[small]").await.unwrap(), 7);
                }
                stdout().flush().await.unwrap();
            })
        });
        join_all(writers).await.into_iter().for_each(|result| result.unwrap());
    });
}

#[test]
fn the_error_output_is_begun_at_once_and_shared_with_std() {
    if !is_child() {
        let output = child("the_error_output_is_begun_at_once_and_shared_with_std", |stdin, stdout| {
            wait_for(stdout, "written");
            drop(stdin);
        });
        let text = String::from_utf8(output.stderr).unwrap();
        for who in ["ours", "std's"] {
            let lines = text.lines().filter(|line| *line == format!("{who}, a line")).count();
            assert_eq!(lines, 500, "{who}");
        }
        assert!(text.contains("never flushed"));
        return;
    }
    let std = thread::spawn(|| (0..500).for_each(|_| eprintln!("std's, a line")));
    gambol::block_on(async {
        for _ in 0..500 {
            stderr().write_all(b"ours, a line\n").await.unwrap();
        }
        stderr().close().await.unwrap();
        // Once more: a close ends nothing.
        stderr().write_all(b"never flushed\n").await.unwrap();
        say("written").await;
        // Until the parent has seen that; meanwhile it is written, though nobody asks for it.
        stdin().read_to_end(&mut Vec::new()).await.unwrap();
        let begin = Instant::now();
        while at_most(1, stderr().flush()).await.is_none() {
            assert!(begin.elapsed() < PATIENCE);
            thread::yield_now();
        }
    });
    std.join().unwrap();
}

#[test]
fn streams_that_are_stuck_do_not_hold_up_the_exit() {
    if !is_child() {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "streams_that_are_stuck_do_not_hold_up_the_exit", "--nocapture", "--test-threads=1"])
            .env("GAMBOL_TEST_CHILD", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Nobody writes to it, and nobody reads from it.
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if begin.elapsed() > PATIENCE {
                child.kill().unwrap();
                panic!("it does not end");
            }
            thread::sleep(Duration::from_millis(5));
        };
        assert_eq!(status.code(), Some(17));
        return;
    }
    gambol::block_on(async {
        const SHORT: Duration = Duration::from_millis(20);
        assert!(at_most(1, stdin().read(&mut [0])).await.is_none());
        assert!(timeout(SHORT, stdout().write_all(&[b'#'; 1_000_000])).await.is_err());
        assert!(timeout(SHORT, stderr().write_all(&[b'#'; 1_000_000])).await.is_err());
        assert!(timeout(SHORT, stdout().flush()).await.is_err());
        assert!(timeout(SHORT, stderr().flush()).await.is_err());
    });
    std::process::exit(17);
}

#[test]
fn lines_are_read_one_by_one() {
    if !is_child() {
        child("lines_are_read_one_by_one", |mut stdin, stdout| {
            for line in ["one\n", "two\r\n", "\n", "a line in "] {
                stdin.write_all(line.as_bytes()).unwrap();
            }
            wait_for(stdout, "three");
            stdin.write_all(b"two pieces\nand no end").unwrap();
        });
        return;
    }
    gambol::block_on(async {
        let mut lines = BufReader::new(stdin()).lines();
        for expected in ["one", "two", ""] {
            assert_eq!(lines.try_next().await.unwrap().unwrap(), expected);
        }
        // What a future that is given up has read of a line is kept.
        assert!(at_most(1, lines.try_next()).await.is_none());
        say("three").await;
        let rest: Vec<_> = lines.try_collect().await.unwrap();
        assert_eq!(rest, ["a line in two pieces", "and no end"]);
    });
}

#[cfg(unix)]
#[test]
fn they_know_their_descriptors() {
    use std::os::fd::{AsFd, AsRawFd};
    if !is_child() {
        child("they_know_their_descriptors", |stdin, _| drop(stdin));
        return;
    }
    assert_eq!([stdin().as_raw_fd(), stdout().as_raw_fd(), stderr().as_raw_fd()], [0, 1, 2]);
    assert_eq!(stderr().as_fd().as_raw_fd(), 2);
    assert!(!stdin().is_terminal() && !stdout().is_terminal() && !stderr().is_terminal());
}

/// Nobody flushes: what is written while the job before it is about to end has to be somebody's.
#[test]
fn a_write_that_meets_the_end_of_a_job_is_begun_at_once() {
    const ROUNDS: usize = 20_000;
    if !is_child() {
        child("a_write_that_meets_the_end_of_a_job_is_begun_at_once", |mut stdin, stdout| {
            wait_for(stdout, "begin");
            for _ in 0..ROUNDS {
                wait_for(stdout, "ab");
                stdin.write_all(b"c").unwrap();
            }
        });
        return;
    }
    let (acknowledged, acknowledgements) = std::sync::mpsc::channel();
    thread::spawn(move || {
        while let Ok(1) = std::io::stdin().read(&mut [0]) {
            acknowledged.send(()).unwrap();
        }
    });
    gambol::block_on(async {
        say("begin").await;
        for round in 0..ROUNDS {
            stdout().write_all(b"a").await.unwrap();
            // About as long as the job takes.
            let begin = Instant::now();
            while begin.elapsed() < Duration::from_nanos(round as u64 * 7 % 20_000) {}
            stdout().write_all(b"b").await.unwrap();
            assert!(acknowledgements.recv_timeout(PATIENCE).is_ok(), "round {round}: a byte was left in the buffer");
        }
    });
}

#[test]
fn what_a_runtime_that_is_gone_cannot_write_is_written_once_by_another() {
    const NAME: &str = "what_a_runtime_that_is_gone_cannot_write_is_written_once_by_another";
    if !is_child() {
        let output = child(NAME, |stdin, _| drop(stdin));
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(text.matches("<text>").count(), 1, "{text}");
        return;
    }
    let runtime = Runtime::new().unwrap();
    let (begun, has_begun) = std::sync::mpsc::channel();
    let (gone, is_gone) = std::sync::mpsc::channel();
    let (ended, has_ended) = std::sync::mpsc::channel();
    drop(runtime.spawn_blocking(move || {
        begun.send(()).unwrap();
        is_gone.recv().unwrap();
        gambol::block_on(async {
            // As careful programs do: once more if it was not taken.
            if stdout().write(b"<text>").await.is_err() {
                let _ = stdout().write(b"<text>").await;
            }
            let error = stdout().flush().await.unwrap_err();
            ended.send(error.to_string()).unwrap();
        });
    }));
    has_begun.recv().unwrap();
    drop(runtime);
    gone.send(()).unwrap();
    assert!(has_ended.recv_timeout(PATIENCE).unwrap().contains("the runtime is gone"));
    gambol::block_on(async { stdout().flush().await.unwrap() });
}
