//! What several tests need.
#![allow(dead_code, reason = "each test uses a part")]

use std::{
    future::poll_fn,
    io::{BufRead, BufReader, Read},
    path::PathBuf,
    pin::{Pin, pin},
    process::{Child, ChildStderr, Command, Output, Stdio},
    task::{Context, Poll},
    thread,
    time::{Duration, Instant},
};

/// How long a test waits for what should come at once, on a machine that does much else.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Polls once.
pub async fn poll_once<F: Future>(future: &mut Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|cx: &mut Context<'_>| Poll::Ready(future.as_mut().poll(cx))).await
}

/// Polls at most `polls` times, each time when the future was woken, then gives up and drops it. None: it was not ready.
pub async fn at_most<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// An example of this package as a child process. It is killed at the end.
pub struct Example {
    pub child: Child,
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where `cargo test` has put an example.
pub fn path(example: &str) -> PathBuf {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.push("examples");
    path.push(format!("{example}{}", std::env::consts::EXE_SUFFIX));
    assert!(path.exists(), "{} is missing; `cargo test` and `cargo build --examples` make it", path.display());
    path
}

/// An example with pipes for its standard streams.
pub fn start(example: &str, arguments: &[&str]) -> Example {
    start_command(Command::new(path(example)).args(arguments))
}

pub fn start_command(command: &mut Command) -> Example {
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    Example { child }
}

/// Runs an example to its end, without input.
pub fn run(example: &str, arguments: &[&str]) -> Output {
    let mut example = start(example, arguments);
    let mut output = Output { status: example.wait(), stdout: Vec::new(), stderr: Vec::new() };
    example.child.stdout.take().unwrap().read_to_end(&mut output.stdout).unwrap();
    example.child.stderr.take().unwrap().read_to_end(&mut output.stderr).unwrap();
    output
}

impl Example {
    /// Waits for the end.
    pub fn wait(&mut self) -> std::process::ExitStatus {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begin.elapsed() < PATIENCE, "the example does not end");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// The address after "listening on", and the rest of what goes to stderr.
    pub fn address(&mut self) -> (String, BufReader<ChildStderr>) {
        let mut stderr = BufReader::new(self.child.stderr.take().unwrap());
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("listening on ").unwrap_or_else(|| panic!("said {line:?}"));
        (address.to_owned(), stderr)
    }

    /// Processor time used so far.
    #[cfg(target_os = "linux")]
    pub fn processor_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // utime and stime are the 14th and 15th field; the second is the name in parentheses.
        let after_name = stat.rsplit_once(')').unwrap().1;
        let ticks: u64 =
            after_name.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 1000 / 100)
    }
}

/// Runs one test of this very binary in a child process, with `GAMBOL_TEST_CHILD` set; returns what became of it.
pub fn in_child(test: &str) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env("GAMBOL_TEST_CHILD", "1")
        .output()
        .unwrap()
}

pub fn is_child() -> bool {
    std::env::var_os("GAMBOL_TEST_CHILD").is_some()
}

/// Asserts that the child succeeded.
pub fn assert_success(output: &Output) {
    assert!(
        output.status.success(),
        "{:?}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
