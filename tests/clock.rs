//! The clocks among the examples, as their users meet them.

mod helpers;

use helpers::{Example, PATIENCE, run, start};
#[cfg(target_os = "linux")]
use helpers::{path, start_command};
#[cfg(target_os = "linux")]
use std::process::Command;
use std::{
    io::{BufRead, BufReader, Read},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

fn connect(address: &str) -> BufReader<TcpStream> {
    let client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    BufReader::new(client)
}

/// The next line: seconds of the day.
fn time(client: &mut impl BufRead) -> u32 {
    let mut line = String::new();
    client.read_line(&mut line).unwrap();
    let fields: Vec<u32> =
        line.strip_suffix('\n').expect("a line").split(':').map(|field| field.parse().unwrap()).collect();
    assert!(line.len() == 9 && fields.len() == 3 && fields[0] < 24 && fields[1] < 60 && fields[2] < 60, "{line:?}");
    fields[0] * 3600 + fields[1] * 60 + fields[2]
}

/// A line for each.
fn times(clients: &mut [impl BufRead]) {
    for client in clients {
        time(client);
    }
}

/// Both clocks, each at a port of its own.
fn clocks() -> [(Example, String); 2] {
    ["clock1", "clock2"].map(|name| {
        let mut clock = start(name, &["127.0.0.1:0"]);
        let (address, rest) = clock.address();
        drain(rest);
        (clock, address)
    })
}

/// Reads what else is said, so that the clock can go on saying it.
fn drain(mut stderr: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut text = String::new();
        stderr.read_to_string(&mut text).unwrap();
        text
    })
}

#[test]
fn the_time_is_told_once_a_second() {
    let mut clients: Vec<_> = clocks().into_iter().map(|(clock, address)| (clock, connect(&address))).collect();
    let begin = Instant::now();
    for (_, client) in &mut clients {
        let (first, second, third) = (time(client), time(client), time(client));
        let day = 24 * 3600;
        for (earlier, later) in [(first, second), (second, third)] {
            // The clock of the day may be read on either side of a second's border.
            assert!((later + day - earlier) % day <= 2, "{earlier} {later}");
        }
    }
    assert!(begin.elapsed() >= Duration::from_millis(1990));
}

#[test]
fn clock1_serves_one_after_the_other() {
    let mut clock = start("clock1", &["127.0.0.1:0"]);
    let (address, rest) = clock.address();
    drain(rest);
    let mut first = connect(&address);
    time(&mut first);
    let mut second = connect(&address);
    for _ in 0..2 {
        time(&mut first);
    }
    // Nothing has come for the second one.
    second.get_ref().set_nonblocking(true).unwrap();
    assert_eq!(second.get_ref().peek(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    second.get_ref().set_nonblocking(false).unwrap();
    drop(first);
    time(&mut second);
}

#[test]
fn clock2_serves_all_at_once() {
    let mut clock = start("clock2", &["127.0.0.1:0"]);
    let (address, rest) = clock.address();
    let said = drain(rest);
    let mut clients: Vec<_> = (0..50).map(|_| connect(&address)).collect();
    times(&mut clients);
    // Half of them go without a word. The others notice nothing.
    clients.truncate(25);
    for _ in 0..3 {
        times(&mut clients);
    }
    clock.child.kill().unwrap();
    assert_eq!(said.join().unwrap(), "");
}

#[test]
fn a_clock_ends_with_a_message_when_it_cannot_listen() {
    let (_clock, address) = clocks().into_iter().next().unwrap();
    for name in ["clock1", "clock2"] {
        for (address, says) in [
            (address.as_str(), "in use"),
            ("nonsense", "not an address"),
            ("127.0.0.1:http", "not a port"),
            ("192.0.2.1:0", "assign"),
        ] {
            let output = run(name, &[address]);
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{name} {address}: {stderr}");
            assert!(stderr.contains(name) && stderr.contains(address) && stderr.contains(says), "{stderr}");
            assert_eq!(stderr.lines().count(), 1);
            assert!(output.stdout.is_empty());
        }
    }
}

/// More clients than descriptors: those who were accepted are served, the others wait, and nothing spins.
#[cfg(target_os = "linux")]
#[test]
fn without_descriptors_a_clock_rests_and_goes_on_when_they_return() {
    let script = format!("ulimit -n 64; exec {} 127.0.0.1:0", path("clock2").display());
    let mut clock = start_command(Command::new("sh").args(["-c", &script]));
    let (address, rest) = clock.address();
    let said = drain(rest);
    let mut clients: Vec<_> = (0..200).map(|_| connect(&address)).collect();
    // The first ones are served.
    let served = 40;
    times(&mut clients[..served]);
    let before = clock.processor_time();
    for _ in 0..2 {
        times(&mut clients[..served]);
    }
    let used = clock.processor_time() - before;
    assert!(used <= Duration::from_millis(200), "{used:?} in two seconds");
    // Their descriptors return; within a few seconds the others have their turn.
    drop(clients);
    let mut late = connect(&address);
    time(&mut late);
    clock.child.kill().unwrap();
    let said = said.join().unwrap();
    let complaints = said.lines().count();
    assert!(said.contains("cannot accept") && said.contains("Too many open files"), "{said}");
    assert!(complaints < 100, "{complaints} complaints");
}
