//! The trace of an example, asked for by the environment.

#[path = "../executor/tests/common/chrome.rs"]
mod chrome;
mod helpers;

use std::{collections::BTreeSet, env, fs, process::Command};

#[test]
fn the_trace_of_the_sieve_shows_each_of_its_tasks() {
    let file = env::temp_dir().join(format!("gambol-trace-sieve-{}.json", std::process::id()));
    let mut command = Command::new(helpers::path("prime_sieve"));
    let mut example =
        helpers::start_command(command.arg("20").env("GAMBOL_TRACE", &file).env_remove("GAMBOL_TRACE_EVENTS"));
    let status = example.wait();
    let json = fs::read_to_string(&file).unwrap();
    fs::remove_file(&file).unwrap();
    assert!(status.success());
    let trace = chrome::check(&json);
    assert_eq!(trace.lost, 0);
    // Main, the counter, and a filter for each prime.
    assert_eq!(trace.spawned.len(), 22);
    let finished: BTreeSet<u64> =
        trace.turns.iter().filter(|turn| turn.why == "finished").map(|turn| turn.task).collect();
    assert_eq!(finished, trace.spawned);
    for reason in ["chan recv", "chan send"] {
        assert!(trace.turns.iter().any(|turn| turn.why == reason), "{reason}");
    }
    assert!(trace.turns.iter().any(|turn| turn.name.starts_with("examples/prime_sieve.rs:")));
}
