//! The measuring program itself: that it measures, that it fails when it should, and that `op` and `load` meet.
//!
//! At a scale at which the figures mean nothing; what is looked at is that every workload's own check holds.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// Without Go, which is not asked for where tests run.
fn program() -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_gambol-benches"));
    program.env("GO", "");
    program
}

#[test]
fn every_workload_does_its_work_on_every_peer() {
    // But may, which is below.
    let peers = "gambol,tokio,smol,async-executor,flume,kanal,crossbeam,compio,epoll";
    let words = ["compare", "--except", "stall", "--peers", peers, "--reps", "1", "--scale", "0.001", "--workers", "2"];
    let output = program().args(words).output().unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{told}");
    assert!(!table.contains("failed"), "{table}");
    let tasks = ["spawn", "outside", "yield", "token", "timeout", "sleep-50us", "memory"];
    let shapes = ["chain link", "fork-join-empty", "fork-join-work", "uneven"];
    let rest = ["foreign-wake in wake", "timers-fired early", "idle-tick switches", "idle switches", "memory end"];
    let channels = ["message-4:4-unbounded", "pingpong-0", "ring", "sieve-0", "sieve-1", "select-8"];
    let others = ["mutex-short", "mutex-held", "cancel-tree", "cancel-waiters"];
    let network = ["echo-small", "echo-many", "echo-bulk", "churn", "idle-connections"];
    let all = [&tasks[..], &shapes, &rest, &channels, &others, &network].concat();
    for row in all {
        assert!(table.contains(&format!("\n{row} ")), "no {row} in {table}");
    }
    assert_ne!(table.contains("\nhttp "), table.contains("\nhttp is left out"), "{table}");
}

#[test]
fn a_peer_without_the_thing_shows_a_dash() {
    let words =
        ["compare", "--only", "message-4:4-0", "--peers", "go,tokio,kanal", "--workers", "1", "--scale", "0.001"];
    let output = program().args(words).args(["--reps", "1"]).output().unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{table}");
    let row = table.lines().find(|line| line.starts_with("message-4:4-0")).unwrap();
    let cells: Vec<_> = row.split_whitespace().collect();
    // No Go here, one receiver only in tokio, and none of ours to divide.
    assert_eq!((cells[3], cells[4], cells.last().copied()), ("-", "-", Some("-")), "{table}");
    assert!(table.contains("none, so its column shows -"), "{table}");
}

/// may has no wakers, no bounded channels and not a hundred thousand stacks at once.
#[test]
#[ignore = "may 0.3.51 hangs now and then on a busy machine"]
fn may_has_a_column_for_what_it_has() {
    let only = "chain,fork-join,foreign-wake,timers-fired,message-4:1,message-4:4,pingpong,ring,sieve-1,mutex-held";
    let words = ["compare", "--only", only, "--peers", "may", "--workers", "2", "--scale", "0.001", "--reps", "1"];
    let output = program().args(words).output().unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for (row, has) in [
        ("chain link", true),
        ("fork-join-work task", true),
        ("foreign-wake p50", false),
        ("timers-fired cpu", false),
        ("message-4:1-128", false),
        ("message-4:1-unbounded", true),
        ("message-4:4-unbounded", true),
        ("pingpong-0", false),
        ("pingpong-1", true),
        ("ring hop", true),
        ("sieve-1", false),
        ("mutex-held", true),
    ] {
        let line = table.lines().find(|line| line.starts_with(row)).unwrap_or_else(|| panic!("no {row} in {table}"));
        // One is the ratio, which needs gambol.
        assert_eq!(line.split_whitespace().filter(|&word| word == "-").count(), if has { 1 } else { 2 }, "{line}");
    }
}

#[test]
fn bulk_takes_every_road() {
    let output = program().args(["bulk", "--reps", "1", "--bytes", "10000000"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let table = String::from_utf8(output.stdout).unwrap();
    for ours_or_theirs in ["gambol", "gambol-plain", "tokio"] {
        for way in ["copy", "both"] {
            assert!(table.contains(&format!("\n{ours_or_theirs}-{way} ")), "{table}");
        }
    }
}

/// Only those that are short on every runtime, and the one with a second process.
#[test]
fn stalls_are_measured_on_every_runtime() {
    for (cases, peers, rows) in [
        ("stall-main,stall-mutex", "gambol,gambol-off,go,tokio,smol", &["stall-main gap", "stall-mutex done"]),
        ("stall-echo", "tokio", &["stall-echo p99", "stall-echo rate"]),
    ] {
        let words = ["compare", "--reps", "1", "--scale", "0.2", "--workers", "2", "--only", cases, "--peers", peers];
        let output = program().args(words).output().unwrap();
        let table = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(!table.contains("failed"), "{table}");
        assert_eq!(peers.contains("gambol,"), table.contains("\naims of gambol at 2 workers"), "{table}");
        for row in rows {
            assert!(table.contains(&format!("\n{row} ")), "no {row} in {table}");
        }
    }
}

#[test]
fn what_is_not_understood_is_refused() {
    for words in [
        &["compare", "--rep", "1"][..],
        &["compare", "--only", "nothing"],
        &["compare", "--workers", "0"],
        &["op", "sleep", "tokio", "1"],
        &["op", "echo", "tokio", "1"],
        &["op", "http", "epoll", "1"],
        &["load", "spawn", "127.0.0.1:1", "1"],
        &["syscalls", "--only", "http"],
        &["op", "spawn", "tokio"],
        &["op", "spawn", "kanal", "1"],
        &["op", "message-4:4-1", "tokio", "1"],
        &["op", "ring", "go", "1"],
        &["op", "timers-fired", "may", "1"],
        &["op", "sieve-1", "may", "1"],
        &["op", "sieve", "gambol", "1"],
        &["bulk", "--roads", "nothing"],
        &["compare", "--except", "nothing"],
        &["op", "stall-main", "kanal", "1"],
        &["op", "stall-waker", "go", "1"],
        &["op", "mutex-held", "gambol-off", "1"],
        &[],
    ] {
        assert!(!program().args(words).output().unwrap().status.success(), "{words:?}");
    }
}

#[test]
fn op_carries_out_what_belongs_to_channels() {
    for words in [
        ["message-4:1-1", "smol"],
        ["pingpong-1", "crossbeam"],
        ["select-4", "gambol"],
        ["mutex-held", "tokio"],
        ["cancel-waiters", "gambol"],
        // Named like its family.
        ["idle", "gambol"],
    ] {
        let output = program().arg("op").args(words).args(["100", "--workers", "2"]).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_server_of_op_is_loaded_from_elsewhere() {
    for row in ["echo-small", "echo-many", "echo-bulk", "churn", "idle-connections"] {
        for peer in ["gambol", "gambol-off", "tokio", "smol", "compio", "epoll"] {
            let words = ["op", row, peer, "100", "--workers", "2"];
            let mut server = program().args(words).stderr(Stdio::piped()).spawn().unwrap();
            let mut hint = String::new();
            BufReader::new(server.stderr.take().unwrap()).read_line(&mut hint).unwrap();
            if peer == "compio" && hint.contains("compio has no") {
                // io_uring is refused here.
                server.wait().unwrap();
                continue;
            }
            let address = hint.split_whitespace().rev().nth(1).unwrap();
            let load = program().args(["load", row, address, "100"]).output().unwrap();
            assert!(load.status.success(), "{words:?}: {}", String::from_utf8_lossy(&load.stderr));
            assert!(server.wait().unwrap().success(), "{words:?}");
        }
    }
}

/// Either tool may be missing, and tracing be forbidden; then it says so.
#[test]
fn system_calls_are_counted_where_a_tool_for_it_is() {
    let words = ["syscalls", "--peers", "tokio,epoll", "--workers", "1", "--reps", "1", "--scale", "0.01"];
    let output = program().args(words).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        assert!(told.contains("perf") || told.contains("strace"), "{told}");
        return;
    }
    let table = String::from_utf8(output.stdout).unwrap();
    let all_of = |head: &str| -> Vec<f64> {
        let mut lines = table.lines().skip_while(|line| !line.starts_with(head));
        let all = lines.find_map(|line| line.trim().strip_prefix("all ")).expect(&table);
        all.split_whitespace().map(|cell| cell.parse().unwrap()).collect()
    };
    // What a request and a connection cost at least: read and write; accept, read, write and close.
    assert!(all_of("echo-small, 1").iter().all(|&calls| calls > 1.9), "{table}");
    assert!(all_of("churn, 1").iter().all(|&calls| calls > 3.9), "{table}");
}
