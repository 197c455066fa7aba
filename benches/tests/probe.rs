//! The measuring program itself: that it measures, that it fails when it should, and that `op` and `load` meet.
//!
//! At a scale at which the figures mean nothing; what is looked at is that every workload's own check holds.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_gambol-benches"))
}

#[test]
fn every_workload_does_its_work_on_every_runtime() {
    let output = program().args(["probe", "--reps", "1", "--scale", "0.001"]).output().unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{told}");
    assert!(!table.contains("failed"), "{table}");
    for row in ["spawn", "outside", "yield", "token", "timeout", "sleep-50us", "echo", "memory"] {
        assert!(table.contains(&format!("\n{row} ")), "no {row} in {table}");
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

#[test]
fn what_is_not_understood_is_refused() {
    for words in [
        &["probe", "--rep", "1"][..],
        &["probe", "--only", "nothing"],
        &["probe", "--workers", "0"],
        &["op", "sleep", "tokio", "1"],
        &["op", "spawn", "tokio"],
        &["bulk", "--roads", "nothing"],
        &[],
    ] {
        assert!(!program().args(words).output().unwrap().status.success(), "{words:?}");
    }
}

#[test]
fn an_echo_server_of_op_is_loaded_from_elsewhere() {
    let mut server = program().args(["op", "echo", "tokio", "100"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut hint = String::new();
    BufReader::new(server.stderr.take().unwrap()).read_line(&mut hint).unwrap();
    let address = hint.split_whitespace().rev().nth(1).unwrap();
    let load = program().args(["load", address, "100"]).output().unwrap();
    assert!(load.status.success());
    assert!(server.wait().unwrap().success());
}
