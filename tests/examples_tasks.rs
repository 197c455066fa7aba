//! The examples about tasks: what they print, and that bad input is answered with a sentence.

mod helpers;

use helpers::{PATIENCE, assert_success, run, start};
use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
};

/// What a run without input prints.
fn printed(example: &str, arguments: &[&str]) -> Vec<String> {
    let output = run(example, arguments);
    assert_success(&output);
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn hello_wait_greets_twice() {
    assert_eq!(printed("hello_wait", &[]), ["hello from main", "hello from a task", "and good bye"]);
}

#[test]
fn publish_returns_before_the_news() {
    let lines = printed("publish", &[]);
    assert_eq!(lines.len(), 4);
    assert!(lines[1].starts_with("main has started both"));
    assert_eq!(lines[2..], ["breaking news: a task started this.", "breaking news: and a second one this."]);
}

#[test]
fn say_says_both_words_in_order() {
    let lines = printed("say", &[]);
    for word in ["hello", "world"] {
        let said: Vec<_> = lines.iter().filter(|line| line.ends_with(word)).cloned().collect();
        assert_eq!(said, (1..=5).map(|n| format!("{n} {word}")).collect::<Vec<_>>());
    }
    assert_eq!(lines.len(), 10);
}

#[test]
fn closure_counts_right() {
    let lines = printed("closure", &[]);
    assert_eq!(lines[..2], ["given and taken back: 2", "shared under a lock by ten tasks: 10000"]);
    assert!(lines[2..].iter().all(|line| line.starts_with("on one thread: ")) && lines.len() > 2);
}

#[test]
fn fork_join_counts_primes() {
    for (limit, primes) in [("0", 0), ("2", 0), ("3", 1), ("20", 8), ("100000", 9592)] {
        let lines = printed("fork_join", &[limit]);
        assert_eq!(*lines.last().unwrap(), format!("{primes} primes below {limit}"));
        assert_eq!(lines.len(), 17);
    }
}

#[test]
fn sort_sorts_while_main_counts() {
    let lines = printed("sort", &["300000"]);
    assert_eq!((lines[0].as_str(), lines[2].as_str()), ("sorting 300000 numbers", "in order: true"));
    assert!(lines[1].split_whitespace().nth(4).unwrap().parse::<u32>().is_ok(), "{lines:?}");
    assert_eq!(printed("sort", &["0"])[2], "in order: true");
}

#[test]
fn cleaner_forgets_who_does_not_come() {
    let lines = printed("cleaner", &["100"]);
    let at =
        |text: &str| lines.iter().position(|line| line == text).unwrap_or_else(|| panic!("no {text:?}: {lines:?}"));
    assert!(at("hello, bob") < at("forgot bob"));
    assert!(lines.last().unwrap().starts_with("still known: ann"), "{lines:?}");
}

#[test]
fn reverb_fades() {
    let mut server = start("reverb", &["127.0.0.1:0", "10"]);
    let (address, _stderr) = server.address();
    let connect = || {
        let client = TcpStream::connect(&address).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client
    };
    let (mut one, mut other) = (connect(), connect());
    // Nobody holds up anybody; what has no end of line at the end counts too; what is no UTF-8 does no harm.
    one.write_all(b"Hello there\nSecond").unwrap();
    other.write_all(b"\xffX\r\n").unwrap();
    for (client, shouts) in [(&mut other, vec!["\u{fffd}X"]), (&mut one, vec!["Hello there", "Second"])] {
        client.shutdown(Shutdown::Write).unwrap();
        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        assert_eq!(text.lines().count(), shouts.len() * 3, "{text:?}");
        for shout in shouts {
            let fading = [shout.to_uppercase(), shout.to_owned(), shout.to_lowercase()];
            let mut lines = text.lines();
            for line in fading.map(|line| format!("\t{line}")) {
                assert!(lines.any(|other| other == line), "{line:?} in {text:?}");
            }
        }
    }
    // With netcat3.
    let mut netcat = start("netcat3", &[&address]);
    netcat.child.stdin.take().unwrap().write_all(b"Netcat\n").unwrap();
    let mut text = String::new();
    netcat.child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "\tNETCAT\n\tNetcat\n\tnetcat\n");
    assert_eq!(netcat.wait().code(), Some(0));
    // A line without end, and a client that goes away.
    let mut long = connect();
    long.write_all(&[b'a'; 10_000]).unwrap();
    drop(long);
    let mut after = connect();
    after.write_all(b"x\n").unwrap();
    after.shutdown(Shutdown::Write).unwrap();
    let mut text = String::new();
    after.read_to_string(&mut text).unwrap();
    assert_eq!(text, "\tX\n\tx\n\tx\n");
}

#[test]
fn bad_input_is_answered_with_a_sentence() {
    for (example, arguments) in [
        ("fork_join", vec!["many"]),
        ("fork_join", vec!["-1"]),
        ("sort", vec!["99999999999999999999"]),
        ("cleaner", vec!["0"]),
        ("reverb", vec!["127.0.0.1:0", "long"]),
        ("reverb", vec!["nonsense"]),
    ] {
        let output = run(example, &arguments);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.starts_with(&format!("{example}: ")) && stderr.lines().count() == 1, "{stderr}");
    }
}
