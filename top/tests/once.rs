//! A page as text, of a real program that was started with `GAMBOL_TOP`.
#![cfg(unix)]

use std::{
    env, fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{self, Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How long what should come at once may take on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(30);

struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn crowd(socket: &Path) -> Program {
    let mut path = env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.push("examples/crowd");
    let mut command = Command::new(path);
    command.env("GAMBOL_TOP", socket).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut program = Program(command.spawn().unwrap());
    let mut line = String::new();
    BufReader::new(program.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    program
}

fn top(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gambol-top")).args(arguments).env_remove("GAMBOL_TOP").output().unwrap()
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn ended(program: &mut Program) -> process::ExitStatus {
    let begin = Instant::now();
    loop {
        if let Some(status) = program.0.try_wait().unwrap() {
            return status;
        }
        assert!(begin.elapsed() < PATIENCE, "the program does not end");
        thread::sleep(Duration::from_millis(5));
    }
}

fn socket(name: &str) -> PathBuf {
    let path = env::temp_dir().join(format!("gambol-once-{}-{name}", process::id()));
    let _ = fs::remove_file(&path);
    path
}

#[test]
fn once_prints_what_a_running_program_does_and_the_socket_goes_with_the_program() {
    let socket = socket("crowd");
    let mut program = crowd(&socket);
    let path = socket.to_str().unwrap();
    let begin = Instant::now();
    // Until all have come to wait.
    let page = loop {
        let page = text(&top(&["--once", path]));
        let has = |count: &str, wait: &str| {
            page.lines().any(|line| {
                let mut words = line.split_whitespace();
                words.next() == Some(count) && line.contains(wait) && line.contains("crowd.rs:")
            })
        };
        if has("100", "chan recv") && has("100", "sleep") {
            break page;
        }
        assert!(begin.elapsed() < PATIENCE, "{page}");
    };
    assert!(page.starts_with(&format!("gambol  pid {}  up ", program.0.id())), "{page}");
    for part in ["tasks_live ", "polls ", "timers_armed ", "WORKER ", "OLDEST"] {
        assert!(page.contains(part), "{part} is missing:\n{page}");
    }
    // By the environment as well.
    let output = Command::new(env!("CARGO_BIN_EXE_gambol-top")).arg("--once").env("GAMBOL_TOP", path).output().unwrap();
    assert!(text(&output).starts_with("gambol  pid "));

    drop(program.0.stdin.take());
    assert!(ended(&mut program).success());
    assert!(!socket.exists(), "the socket is left");
    let output = top(&["--once", path]);
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.starts_with(&format!("gambol-top: {path}: ")) && stderr.lines().count() == 1, "{stderr}");
}

#[test]
fn a_program_whose_socket_cannot_be_made_says_so_and_runs() {
    let file = socket("file");
    fs::write(&file, "mine").unwrap();
    let mut program = crowd(&file);
    drop(program.0.stdin.take());
    assert!(ended(&mut program).success());
    let mut stderr = String::new();
    program.0.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert!(stderr.contains("GAMBOL_TOP=") && stderr.contains("something else than a socket"), "{stderr}");
    assert_eq!(fs::read(&file).unwrap(), b"mine");
    fs::remove_file(&file).unwrap();
}

#[test]
fn wrong_arguments_get_the_usage() {
    for arguments in [
        [].as_slice(),
        &["--nonsense"],
        &["--interval"],
        &["--interval", "no", "x"],
        &["--interval", "0", "x"],
        &["a", "b"],
    ] {
        let output = top(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(String::from_utf8(output.stderr).unwrap().starts_with("usage: gambol-top "));
    }
    // Standard output is a pipe here, and there is nobody to press keys.
    let output = top(&["/nowhere"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("this is no terminal"));
}
