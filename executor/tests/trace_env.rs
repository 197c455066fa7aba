//! What the environment asks of the default runtime, in processes of their own, and how these may end.

#[path = "common/chrome.rs"]
mod chrome;
mod common;

use chrome::check;
use common::{LIMIT, yield_now};
use gambol_executor::{Handle, Runtime, Sleep, block_on, run_main, spawn};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

/// What a child does, if this process is one.
#[test]
fn child() {
    let Ok(what) = env::var("TRACE_TEST_CHILD") else { return };
    let work = async {
        for _ in 0..100 {
            spawn(yield_now()).await.unwrap();
        }
    };
    match &*what {
        "returns from main" => run_main(None, work),
        "returns from a main with workers" => run_main(Some(2), work),
        "never tells the runtime" => block_on(work),
        "exits" => {
            block_on(work);
            std::process::exit(7);
        }
        // The workers go on while the process ends.
        "exits in a task" => {
            for _ in 0..10 {
                drop(spawn(async {
                    loop {
                        yield_now().await;
                    }
                }));
            }
            block_on(spawn(async move {
                work.await;
                std::process::exit(7);
            }))
            .unwrap();
        }
        "panics" => block_on(async {
            work.await;
            panic!("main has a problem");
        }),
        "forks" => {
            block_on(work);
            fork();
        }
        "drops a runtime of its own" => {
            let path = env::var_os("TRACE_TEST_PATH").unwrap();
            let runtime = Runtime::builder().workers(1).trace(path).build().unwrap();
            runtime.block_on(work);
        }
        "runs for a while" => block_on(async {
            work.await;
            Sleep::new(Duration::from_millis(300)).await;
        }),
        "has no workers to write for" => block_on(async {
            assert!(Handle::current().write_trace(&mut Vec::new()).is_err());
        }),
        "has two runtimes that tell" => {
            let runtime =
                Runtime::builder().workers(1).name("own").schedtrace(Duration::from_millis(5)).build().unwrap();
            runtime.block_on(Sleep::new(Duration::from_millis(100)));
            runtime.shutdown(LIMIT).unwrap();
            eprintln!("it is over");
        }
        other => panic!("{other}?"),
    }
}

#[cfg(unix)]
fn fork() {
    // SAFETY: the child calls `exit` at once. That this runs handlers is what is tested.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: as above.
        unsafe { libc::exit(0) };
    }
    let mut status = 0;
    // SAFETY: `status` outlives the call.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0);
    // Nothing was written on our behalf.
    let path = env::var_os("GAMBOL_TRACE").unwrap();
    assert_eq!(fs::read(path).unwrap(), b"");
}

#[cfg(not(unix))]
fn fork() {}

/// Runs a child with these variables.
fn run(what: &str, variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "child", "--nocapture"]).env("TRACE_TEST_CHILD", what).stdin(Stdio::null());
    for variable in ["GAMBOL_TRACE", "GAMBOL_TRACE_EVENTS", "GAMBOL_SCHEDTRACE", "RUST_BACKTRACE"] {
        command.env_remove(variable);
    }
    let mut child =
        command.envs(variables.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let until = Instant::now() + LIMIT;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() >= until {
            child.kill().unwrap();
            panic!("{what}: does not end");
        }
        thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().unwrap()
}

fn said(output: &Output) -> String {
    // What the test harness and the panic hook say is not ours.
    let text = String::from_utf8_lossy(&output.stderr);
    text.lines()
        .filter(|line| line.starts_with("gambol:") || line.starts_with("SCHED"))
        .fold(String::new(), |all, line| all + line + "\n")
}

/// A file that goes when the test is over.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str) -> Temporary {
        let name = name.replace(' ', "-");
        Temporary(env::temp_dir().join(format!("gambol-trace-env-{}-{name}.json", std::process::id())))
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn turns_in(path: &Path) -> usize {
    let trace = check(&fs::read_to_string(path).unwrap());
    assert!(trace.tracks.values().any(|name| name.starts_with("gambol-")), "{:?}", trace.tracks);
    trace.turns.len()
}

#[test]
fn the_environment_asks_for_a_trace_and_it_is_written_however_the_process_ends() {
    let cases = [
        ("returns from main", 0),
        ("returns from a main with workers", 0),
        ("never tells the runtime", 0),
        ("exits", 7),
        ("exits in a task", 7),
        ("panics", 101),
        ("forks", 0),
    ];
    // Without atexit only those who tell the runtime of their end have a trace.
    let cases = if cfg!(unix) { &cases[..] } else { &cases[..2] };
    for &(what, status) in cases {
        let file = Temporary::new(what);
        let output = run(what, &[("GAMBOL_TRACE", file.path()), ("GAMBOL_TRACE_EVENTS", "2000")]);
        assert_eq!(output.status.code(), Some(status), "{what}: {output:?}");
        assert_eq!(said(&output), "", "{what}");
        assert!(turns_in(&file.0) >= 200, "{what}");
    }
}

#[test]
fn a_runtime_of_ones_own_that_is_dropped_writes_its_trace() {
    let file = Temporary::new("own");
    let output = run("drops a runtime of its own", &[("TRACE_TEST_PATH", file.path())]);
    assert!(output.status.success(), "{output:?}");
    assert!(turns_in(&file.0) >= 200);
}

#[test]
fn without_the_variable_there_is_no_trace() {
    for variables in [&[][..], &[("GAMBOL_TRACE", "")], &[("GAMBOL_TRACE_EVENTS", "1000")]] {
        let output = run("has no workers to write for", variables);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(said(&output), "");
    }
}

#[test]
fn a_file_that_cannot_be_made_is_told_at_the_start_and_the_program_runs() {
    let output = run("exits", &[("GAMBOL_TRACE", "/there/is/no/such/directory")]);
    assert_eq!(output.status.code(), Some(7));
    let said = said(&output);
    assert!(said.starts_with("gambol: there will be no trace: /there/is/no/such/directory cannot be made: "), "{said}");
    assert_eq!(said.lines().count(), 1);
}

#[test]
#[cfg(target_os = "linux")]
fn a_file_that_cannot_be_written_is_told_and_the_programs_result_is_its_own() {
    for (what, status) in [("returns from main", 0), ("exits", 7), ("exits in a task", 7)] {
        let output = run(what, &[("GAMBOL_TRACE", "/dev/full")]);
        assert_eq!(output.status.code(), Some(status), "{what}");
        let said = said(&output);
        assert!(said.starts_with("gambol: the trace cannot be written to /dev/full: "), "{said}");
        assert_eq!(said.lines().count(), 1);
    }
}

#[test]
fn nonsense_is_said_to_be_ignored() {
    let file = Temporary::new("nonsense");
    let output = run(
        "returns from main",
        &[("GAMBOL_TRACE", file.path()), ("GAMBOL_TRACE_EVENTS", "many"), ("GAMBOL_SCHEDTRACE", "0")],
    );
    assert!(output.status.success());
    assert_eq!(
        said(&output),
        "gambol: GAMBOL_TRACE_EVENTS=\"many\" is not a number from 64 to 16777216, and is ignored\n\
         gambol: GAMBOL_SCHEDTRACE=\"0\" is not a number from 1 to 1000000000, and is ignored\n"
    );
    assert!(turns_in(&file.0) >= 200);
}

#[test]
fn a_line_tells_what_the_scheduler_does_in_each_interval() {
    let output = run("runs for a while", &[("GAMBOL_SCHEDTRACE", "10"), ("GAMBOL_WORKERS", "2")]);
    assert!(output.status.success(), "{output:?}");
    let said = said(&output);
    assert!(said.lines().count() >= 2, "{said}");
    let (mut before, mut polls) = (0, 0);
    for line in said.lines() {
        let rest = line.strip_prefix("SCHED gambol ").unwrap_or_else(|| panic!("{line}"));
        let (since, rest) = rest.split_once("ms: ").unwrap();
        let since: u64 = since.parse().unwrap();
        assert!(since > before, "{said}");
        before = since;
        let (now, rest) = rest.split_once(" [ ").unwrap();
        let (rings, rates) = rest.split_once(" ] ").unwrap();
        assert!(
            rings.split(' ').count() >= 2 && rings.split(' ').all(|length| length.parse::<usize>().is_ok()),
            "{line}"
        );
        let names =
            |part: &str| part.split(' ').map(|item| item.split_once('=').unwrap().0.to_owned()).collect::<Vec<_>>();
        assert_eq!(names(now), ["workers", "idle", "searching", "spare", "blocked", "tasks", "injector"], "{line}");
        assert_eq!(names(rates), ["polls", "steals", "wakes", "polled", "events", "timers"], "{line}");
        let value = rates.strip_prefix("polls=+").unwrap().split(' ').next().unwrap();
        polls += value.parse::<u64>().unwrap();
    }
    // Those before the first line are in it. The last ones may have come after the last line.
    assert!(polls >= 100, "{said}");
}

#[test]
fn the_lines_end_with_the_runtime() {
    let output = run("has two runtimes that tell", &[]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stderr);
    let (before, after) = text.split_once("it is over").unwrap();
    assert!(before.contains("SCHED own "), "{text}");
    assert!(!after.contains("SCHED"), "{text}");
}
