//! The examples about channels, `select!` and contexts: what they print, and that bad input is answered with a
//! sentence.

mod helpers;

use helpers::{assert_success, run, start};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader, Read, Write},
};

fn lines(text: &[u8]) -> Vec<String> {
    String::from_utf8(text.to_vec()).unwrap().lines().map(str::to_owned).collect()
}

/// What a run without input prints.
fn printed(example: &str, arguments: &[&str]) -> Vec<String> {
    let output = run(example, arguments);
    assert_success(&output);
    assert_eq!(lines(&output.stderr), [""; 0]);
    lines(&output.stdout)
}

/// The number at this place among the words.
fn number(line: &str, place: usize) -> u64 {
    let word = line.split_whitespace().nth(place).unwrap_or_else(|| panic!("no word {place}: {line:?}"));
    word.trim_end_matches(':').parse().unwrap_or_else(|_| panic!("no number at {place}: {line:?}"))
}

#[test]
fn pipeline_ends_from_behind_when_enough_is_found() {
    for count in [1, 20] {
        let lines = printed("pipeline", &[&count.to_string()]);
        let (found, ended) = lines.split_at(count);
        let mut numbers = BTreeSet::new();
        for line in found {
            let (number, steps) = (number(line, 0), number(line, 2));
            let mut n = u128::from(number);
            for _ in 0..steps {
                assert_ne!(n, 1, "{line}");
                n = if n % 2 == 0 { n / 2 } else { 3 * n + 1 };
            }
            assert_eq!(n, 1, "{line}");
            assert!(steps >= 350 && numbers.insert(number), "{line}");
        }
        let (counter, finders) = ended.split_last().unwrap();
        let looked_at: u64 = finders.iter().map(|line| number(line, 5)).sum();
        let counted = counter.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap();
        // What was in the channel when the last finder ended was counted and not looked at.
        assert!(!finders.is_empty() && looked_at < counted && counted <= looked_at + 65, "{ended:?}");
    }
}

#[test]
fn prime_sieve_finds_the_primes_and_ends() {
    for (count, last) in [(1, 2), (10, 29), (300, 1987)] {
        let lines = printed("prime_sieve", &[&count.to_string()]);
        assert_eq!(lines.len(), count + 1);
        let primes: Vec<u64> = lines[..count].iter().map(|line| line.parse().unwrap()).collect();
        let expected: Vec<_> = (2..=last).filter(|n| (2..*n).all(|d| n % d != 0)).collect();
        assert_eq!(primes, expected);
        assert_eq!(lines[count], format!("the chain of {count} filters has ended"));
    }
}

#[test]
fn countdown_counts_to_the_end_though_the_input_is_at_its_end() {
    assert_eq!(printed("countdown", &["0"]), ["0; the return key stops it", "lift-off"]);
    assert_eq!(printed("countdown", &["2"]), ["2; the return key stops it", "1", "0", "lift-off"]);
    let mut example = start("countdown", &["1"]);
    drop(example.child.stdin.take());
    assert_eq!(example.wait().code(), Some(0));
    let mut text = String::new();
    example.child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(text.ends_with("0\nlift-off\n"), "{text}");
}

#[test]
fn countdown_is_stopped_by_the_return_key() {
    let mut example = start("countdown", &["3600"]);
    let mut stdout = BufReader::new(example.child.stdout.take().unwrap()).lines();
    assert_eq!(stdout.next().unwrap().unwrap(), "3600; the return key stops it");
    example.child.stdin.as_ref().unwrap().write_all(b"\n").unwrap();
    assert_eq!(stdout.last().unwrap().unwrap(), "stopped");
    assert_eq!(example.wait().code(), Some(1));
}

#[test]
fn spinner_turns_until_the_result_is_there() {
    let output = run("spinner", &["0"]);
    assert_success(&output);
    assert!(String::from_utf8(output.stdout).unwrap().ends_with("\rfibonacci(0) = 0\n"));
    // Long enough for it to turn, however fast the machine is.
    let mut example = start("spinner", &["60"]);
    let mut bars = [0; 16];
    example.child.stdout.as_mut().unwrap().read_exact(&mut bars).unwrap();
    assert_eq!(&bars, b"\r-\r\\\r|\r/\r-\r\\\r|\r/");
    drop(example);
    let output = run("spinner", &["27"]);
    assert!(String::from_utf8(output.stdout).unwrap().ends_with("\rfibonacci(27) = 196418\n"));
}

#[test]
fn rate_limit_lets_bursts_through_and_no_more() {
    const PERIOD: u64 = 20;
    const BURST: usize = 4;
    let lines = printed("rate_limit", &[&PERIOD.to_string(), &BURST.to_string()]);
    let requests: Vec<_> = lines.iter().filter(|line| line.contains("request")).collect();
    assert_eq!(requests.len(), 2 * (BURST + 3));
    assert_eq!(lines[BURST + 3], "a pause");
    for (place, line) in requests.iter().enumerate() {
        assert_eq!(number(line, 3) as usize, place % (BURST + 3) + 1, "{line}");
        assert_eq!(number(line, 6) as usize, place / (BURST + 3) + 1, "{line}");
        // Ticks are never early.
        assert!(number(line, 0) >= place.saturating_sub(BURST - 1) as u64 * PERIOD, "{line}");
    }
}

#[test]
fn first_response_takes_the_first_answer_and_the_others_stop() {
    let lines = printed("first_response", &["60000", "10", "60000"]);
    assert!(lines.iter().any(|line| line.starts_with("the answer of server 2 after ")), "{lines:?}");
    for server in [1, 3] {
        let stops = format!("server {server} stops: the client has gone");
        let not_asked = format!("server {server} was not even asked");
        assert!(lines.iter().any(|line| *line == stops || *line == not_asked), "{lines:?}");
    }
    // Nothing waits for a minute: `run` would have lost patience.
    for delays in [&["0"][..], &["0", "0", "0", "0"]] {
        let lines = printed("first_response", delays);
        assert!(lines.iter().any(|line| line.starts_with("the answer of server ")), "{lines:?}");
    }
}

#[test]
fn timeout_tree_ends_all_below_and_says_why() {
    const PARTS: [&str; 8] = [
        "flights/there",
        "flights/back",
        "hotels/rome",
        "hotels/siena",
        "tours/guide",
        "tours/bus",
        "tours/museum",
        "insurance",
    ];
    for deadline in ["0", "600"] {
        let lines = printed("timeout_tree", &[deadline]);
        let outcomes: BTreeMap<_, _> = lines
            .iter()
            .map(|line| {
                let (when, rest) = line.split_once(" ms: ").unwrap();
                let (name, outcome) = rest.split_once(": ").unwrap();
                (name, (when.trim().parse::<u64>().unwrap(), outcome))
            })
            .collect();
        assert_eq!(lines.len(), PARTS.len() + 1, "{lines:?}");
        assert!(lines.last().unwrap().ends_with("journey: all parts have ended"), "{lines:?}");
        for part in PARTS {
            let (when, outcome) = outcomes[part];
            let (earliest, expected) = match (deadline, part) {
                ("0", _) | (_, "insurance") => (deadline.parse().unwrap(), "deadline"),
                (_, "hotels/siena") => (200, "no hotel has answered in time"),
                (_, "tours/guide" | "tours/bus") => (150, "the museum is closed"),
                // That these are in time is not certain where much else is done.
                _ => continue,
            };
            assert!(outcome.starts_with("given up") && outcome.contains(expected), "{part}: {lines:?}");
            assert!(when >= earliest, "{part}: {lines:?}");
        }
    }
}

#[test]
fn crawl_looks_at_each_page_once() {
    for (pages, tokens) in [(1, 1), (20, 1), (200, 20)] {
        let lines = printed("crawl", &[&pages.to_string(), &tokens.to_string()]);
        let (summary, lines) = lines.split_last().unwrap();
        let mut seen = BTreeSet::new();
        let (mut there, mut links) = (0, 0);
        for line in lines {
            let (token, rest) = line.split_once(": /").unwrap();
            assert!((1..=tokens).contains(&token.parse::<usize>().unwrap()), "{line}");
            let page: usize = rest.split([':', ' ']).next().unwrap().parse().unwrap();
            assert!(seen.insert(page), "{page} twice");
            assert_eq!(page < pages, !rest.ends_with(": 404 Not Found"), "{line}");
            there += usize::from(page < pages);
            links += rest.split_once(" -> ").map_or(0, |(_, links)| links.split(' ').count());
        }
        assert_eq!(there, pages);
        let broken = seen.len() - there;
        let expected = format!("{pages} pages, {links} links, {broken} failed; ");
        assert!(summary.starts_with(&expected), "{summary}");
    }
}

/// Elsewhere the number of threads cannot be had, and nothing is certain.
#[cfg(target_os = "linux")]
#[test]
fn deadlock_is_reported_with_both_sites() {
    let output = run("deadlock", &[]);
    let report = lines(&output.stderr);
    assert_eq!((output.status.code(), report.len()), (Some(2), 4), "{report:?}");
    assert!(report[0].starts_with("gambol: all tasks are asleep: deadlock. "), "{report:?}");
    assert_eq!(report[1], "  thread \"main\" waits in block_on");
    let source = include_str!("../examples/deadlock.rs");
    for (task, speaker) in report[2..].iter().zip(["Romeo", "Juliet"]) {
        let (words, site) = task.split_once(", spawned at examples/deadlock.rs:").unwrap();
        assert!(words.contains(": waits for chan recv, "), "{report:?}");
        let spawn = source.lines().nth(number(&site.replace(':', " "), 0) as usize - 1).unwrap();
        assert!(spawn.contains("gambol::spawn(") && spawn.contains(speaker), "{spawn}");
    }
    assert_eq!(lines(&output.stdout), [""; 0]);
}

#[test]
fn deadlock_is_no_such_thing_while_a_thread_holds_a_sender() {
    let lines = printed("deadlock", &["--thread"]);
    assert_eq!(lines, ["Romeo has heard from a thread", "Juliet has heard from Romeo"]);
}

#[test]
fn bad_input_is_answered_with_a_sentence() {
    for (example, arguments) in [
        ("pipeline", &["0"][..]),
        ("prime_sieve", &["-1"]),
        ("countdown", &["soon"]),
        ("countdown", &["3601"]),
        ("spinner", &["61"]),
        ("rate_limit", &["0"]),
        ("rate_limit", &["10", "x"]),
        ("crawl", &["0"]),
        ("crawl", &["10", "0"]),
        ("first_response", &["10", ""]),
        ("timeout_tree", &["x"]),
        ("deadlock", &["--threads"]),
    ] {
        let output = run(example, arguments);
        let stderr = lines(&output.stderr);
        assert_eq!((output.status.code(), stderr.len()), (Some(1), 1), "{stderr:?}");
        assert!(stderr[0].starts_with(&format!("{example}: ")), "{stderr:?}");
        assert_eq!(lines(&output.stdout), [""; 0]);
    }
}
