//! The netcats among the examples: what is typed and what is printed, and when they end.

mod helpers;

use helpers::{PATIENCE, run, start};
use socket2::SockRef;
use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    time::Duration,
};

/// A server at a port of its own, and its address.
fn server() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

fn accept(listener: &TcpListener) -> TcpStream {
    let (peer, _) = listener.accept().unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    peer
}

#[test]
fn netcat1_prints_all_and_ends() {
    let (listener, address) = server();
    let mut netcat = start("netcat1", &[&address]);
    let mut peer = accept(&listener);
    let mut stdout = netcat.child.stdout.take().unwrap();
    // What has come is printed before more comes.
    peer.write_all(b"first").unwrap();
    let mut buf = [0; 5];
    stdout.read_exact(&mut buf).unwrap();
    assert_eq!(&buf, b"first");
    let data: Vec<u8> = (0..300_000u32).map(|n| (n % 241) as u8).collect();
    let printed = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut printed = Vec::new();
            stdout.read_to_end(&mut printed).unwrap();
            printed
        });
        peer.write_all(&data).unwrap();
        drop(peer);
        reader.join().unwrap()
    });
    assert!(printed == data);
    assert_eq!(netcat.wait().code(), Some(0));
}

#[test]
fn a_netcat_ends_with_a_message_when_nobody_listens() {
    let (listener, address) = server();
    drop(listener);
    for name in ["netcat1", "netcat3"] {
        for (address, says) in [(address.as_str(), "refused"), ("nonsense", "not an address")] {
            let output = run(name, &[address]);
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{stderr}");
            assert!(stderr.contains(name) && stderr.contains(address) && stderr.contains(says), "{stderr}");
            assert_eq!(stderr.lines().count(), 1);
        }
    }
}

#[test]
fn a_netcat_tells_of_a_reset() {
    for name in ["netcat1", "netcat3"] {
        let (listener, address) = server();
        let mut netcat = start(name, &[&address]);
        let peer = accept(&listener);
        SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
        drop(peer);
        assert_eq!(netcat.wait().code(), Some(1));
        let mut stderr = String::new();
        netcat.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        assert!(stderr.contains("reset"), "{stderr}");
    }
}

#[test]
fn netcat3_talks_in_both_directions() {
    let (listener, address) = server();
    let mut netcat = start("netcat3", &[&address]);
    let mut peer = accept(&listener);
    let mut stdin = netcat.child.stdin.take().unwrap();
    let mut stdout = netcat.child.stdout.take().unwrap();
    for round in 0..3 {
        let question = format!("question {round}\n");
        stdin.write_all(question.as_bytes()).unwrap();
        let mut buf = vec![0; question.len()];
        peer.read_exact(&mut buf).unwrap();
        assert_eq!(buf, question.as_bytes());
        let answer = format!("answer {round}\n");
        peer.write_all(answer.as_bytes()).unwrap();
        let mut buf = vec![0; answer.len()];
        stdout.read_exact(&mut buf).unwrap();
        assert_eq!(buf, answer.as_bytes());
    }
    // The end of the input ends one direction only.
    drop(stdin);
    assert_eq!(peer.read(&mut [0]).unwrap(), 0);
    peer.write_all(b"last words").unwrap();
    let mut buf = [0; 10];
    stdout.read_exact(&mut buf).unwrap();
    assert_eq!(&buf, b"last words");
    assert!(netcat.child.try_wait().unwrap().is_none());
    drop(peer);
    assert_eq!(netcat.wait().code(), Some(0));
}

#[test]
fn netcat3_ends_with_the_server_though_nobody_has_typed() {
    for half in [false, true] {
        let (listener, address) = server();
        let mut netcat = start("netcat3", &[&address]);
        let mut peer = accept(&listener);
        let _stdin = netcat.child.stdin.take().unwrap();
        peer.write_all(b"bye").unwrap();
        if half {
            peer.shutdown(Shutdown::Write).unwrap();
        } else {
            drop(peer);
        }
        assert_eq!(netcat.wait().code(), Some(0));
        let mut printed = String::new();
        netcat.child.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
        assert_eq!(printed, "bye");
    }
}

#[test]
fn netcat3_sends_a_whole_file() {
    let (listener, address) = server();
    let mut netcat = start("netcat3", &[&address]);
    let mut peer = accept(&listener);
    let mut stdin = netcat.child.stdin.take().unwrap();
    let data: Vec<u8> = (0..500_000u32).map(|n| (n % 239) as u8).collect();
    let received = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            stdin.write_all(&data).unwrap();
            drop(stdin);
        });
        let mut received = Vec::new();
        peer.read_to_end(&mut received).unwrap();
        writer.join().unwrap();
        received
    });
    assert!(received == data);
    drop(peer);
    assert_eq!(netcat.wait().code(), Some(0));
}

#[test]
fn a_netcat_ends_when_nobody_reads_what_it_prints() {
    let (listener, address) = server();
    let mut netcat = start("netcat1", &[&address]);
    let mut peer = accept(&listener);
    drop(netcat.child.stdout.take());
    while peer.write_all(&[0; 1000]).is_ok() {}
    assert_eq!(netcat.wait().code(), Some(1));
}

#[test]
fn hello_does_not_wait_for_its_task() {
    let output = run("hello", &[]);
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "hello from main\n");
}
