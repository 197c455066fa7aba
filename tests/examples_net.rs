//! The echo of datagrams and the chats among the examples.

mod helpers;
#[cfg(unix)]
#[path = "helpers/temporary.rs"]
mod temporary;

use helpers::{PATIENCE, run, start};
use std::net::UdpSocket;

#[test]
fn udp_echo_answers_each_datagram_to_its_sender() {
    let mut server = start("udp_echo", &["127.0.0.1:0"]);
    let (address, _stderr) = server.address();
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let client = UdpSocket::bind("127.0.0.1:0").unwrap();
            client.set_read_timeout(Some(PATIENCE)).unwrap();
            client.connect(&address).unwrap();
            client
        })
        .collect();
    let mut answer = vec![0; 65536];
    // All have asked before the first answer is read; but of the longest ones the kernel keeps only a few.
    for (length, at_once) in [(0, 8), (1, 8), (1400, 8), (65507, 1)] {
        for clients in clients.chunks(at_once) {
            let text = |place: usize| vec![place as u8; length];
            for (place, client) in clients.iter().enumerate() {
                client.send(&text(place)).unwrap();
            }
            for (place, client) in clients.iter().enumerate() {
                let n = client.recv(&mut answer).unwrap();
                assert!(answer[..n] == text(place), "{n} of {length} bytes");
            }
        }
    }
}

#[test]
fn udp_echo_survives_clients_that_have_gone() {
    let mut server = start("udp_echo", &["127.0.0.1:0"]);
    let (address, _stderr) = server.address();
    for _ in 0..20 {
        UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"gone", &address).unwrap();
    }
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.send_to(b"here", &address).unwrap();
    assert_eq!(client.recv(&mut [0; 16]).unwrap(), 4);
}

#[test]
fn udp_echo_ends_with_a_message_when_it_cannot_bind() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (address, says) in [(taken.as_str(), "in use"), ("nonsense", "not an address"), ("192.0.2.1:0", "assign")] {
        let output = run("udp_echo", &[address]);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains(address) && stderr.contains(says), "{stderr}");
        assert_eq!(stderr.lines().count(), 1);
    }
}

mod chat {
    use super::helpers::{Example, PATIENCE, run, start};
    use std::{
        io::{BufRead, BufReader, Write},
        net::{Shutdown, TcpListener, TcpStream},
        process::ChildStderr,
        thread,
        time::Duration,
    };

    fn serve() -> (Example, String, BufReader<ChildStderr>) {
        let mut server = start("chat", &["127.0.0.1:0"]);
        let (address, stderr) = server.address();
        (server, address, stderr)
    }

    struct Guest(BufReader<TcpStream>);

    /// One that is in the room already.
    fn enter(address: &str, name: &str) -> Guest {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut guest = Guest(BufReader::new(socket));
        assert_eq!(guest.hears(), "your name?");
        guest.says(format!("{name}\n").as_bytes());
        assert!(guest.hears().starts_with("here: "));
        guest
    }

    impl Guest {
        fn says(&self, bytes: &[u8]) {
            self.0.get_ref().write_all(bytes).unwrap();
        }

        fn hears(&mut self) -> String {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            line.strip_suffix('\n').unwrap_or_else(|| panic!("no line: {line:?}")).to_owned()
        }
    }

    #[test]
    fn what_one_says_all_others_hear() {
        let (_server, address, _stderr) = serve();
        let names = ["ann", "bob", "cid", "dee"];
        let mut guests: Vec<Guest> = Vec::new();
        for name in names {
            let newcomer = enter(&address, name);
            for guest in &mut guests {
                assert_eq!(guest.hears(), format!("{name} has come"));
            }
            guests.push(newcomer);
        }
        for speaker in 0..4 {
            // Nonsense, nothing, and two lines at once.
            guests[speaker].says(b"\n\x1b[31m\xff\0\n\r\none\ntwo\n");
            for listener in (0..4).filter(|listener| *listener != speaker) {
                for text in ["[31m\u{fffd}", "one", "two"] {
                    assert_eq!(guests[listener].hears(), format!("{}: {text}", names[speaker]));
                }
            }
        }
        // Of a long line nothing is lost; it comes as several.
        guests[0].says(&[b'x'; 5000]);
        guests[0].says(b"\n");
        let mut long = 0;
        while long < 5000 {
            let line = guests[1].hears();
            assert!(line.len() <= 1100);
            long += line.strip_prefix("ann: ").unwrap().len();
            for other in &mut guests[2..] {
                assert_eq!(other.hears(), line);
            }
        }
        // The last line lacks its end.
        let gone = guests.remove(0);
        gone.says(b"bye");
        gone.0.get_ref().shutdown(Shutdown::Write).unwrap();
        for guest in &mut guests {
            assert_eq!(guest.hears(), "ann: bye");
            assert_eq!(guest.hears(), "ann has gone");
        }
    }

    #[test]
    fn who_does_not_read_holds_up_nobody_and_is_told_what_is_missing() {
        // More than sockets and queue hold: they would be full for ever if anybody waited.
        const LINES: usize = 30_000;
        let (_server, address, _stderr) = serve();
        let mut slow = enter(&address, "slow");
        let speaker = enter(&address, "ann");
        let mut listener = enter(&address, "bob");
        assert_eq!(slow.hears(), "ann has come");
        assert_eq!(slow.hears(), "bob has come");
        thread::spawn(move || {
            let mut socket = speaker.0.get_ref();
            let text = format!("{}\n", "x".repeat(1000));
            for _ in 0..LINES {
                socket.write_all(text.as_bytes()).unwrap();
            }
            // One of these finds room, at some time. It ends with the server.
            while socket.write_all(b"more\n").is_ok() {
                thread::sleep(Duration::from_millis(1));
            }
        });
        while listener.hears() != "ann: more" {}
        let (mut heard, mut missing) = (0, 0);
        loop {
            let line = slow.hears();
            if let Some(rest) = line.strip_prefix('(') {
                missing += rest.split_once(' ').unwrap().0.parse::<usize>().unwrap();
            } else if line == "ann: more" {
                break;
            } else {
                heard += 1;
            }
        }
        assert!(heard < LINES && heard + missing >= LINES, "{heard} and {missing}");
    }

    #[test]
    fn clients_that_go_in_any_way_leave_the_rest_alone() {
        let (_server, address, _stderr) = serve();
        let mut stays = enter(&address, "stays");
        // One that goes before it has a name, nameless ones, and one that goes with unread lines, which is a reset.
        drop(TcpStream::connect(&address).unwrap());
        let nameless = enter(&address, "");
        let come = stays.hears();
        let name = come.strip_suffix(" has come").unwrap();
        assert!(name.starts_with("guest "));
        drop(nameless);
        assert_eq!(stays.hears(), format!("{name} has gone"));
        let resets = enter(&address, "resets");
        assert_eq!(stays.hears(), "resets has come");
        stays.says(b"unread\n");
        assert!(resets.0.get_ref().peek(&mut [0]).unwrap() > 0);
        drop(resets);
        assert_eq!(stays.hears(), "resets has gone");
        let mut comes = enter(&address, "comes");
        assert_eq!(stays.hears(), "comes has come");
        stays.says(b"hello\n");
        assert_eq!(comes.hears(), "stays: hello");
    }

    #[test]
    fn an_address_that_cannot_be_had_is_told() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = taken.local_addr().unwrap().to_string();
        for (address, says) in [(taken.as_str(), "in use"), ("nonsense", "address"), ("192.0.2.1:0", "assign")] {
            let output = run("chat", &[address]);
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{stderr}");
            assert!(stderr.contains(address) && stderr.contains(says) && stderr.lines().count() == 1, "{stderr}");
        }
    }
}

#[cfg(unix)]
mod unix_chat {
    use super::{
        helpers::{Example, PATIENCE, run, start},
        temporary::Directory,
    };
    use rustix::process::{Pid, Signal, kill_process};
    use std::{
        fs,
        io::{BufRead, BufReader, Write},
        net::Shutdown,
        os::unix::net::{UnixListener, UnixStream},
        path::Path,
    };

    /// A server that listens.
    fn serve(path: &Path) -> Example {
        let mut server = start("unix_chat", &[path.to_str().unwrap()]);
        let (at, stderr) = server.address();
        assert_eq!(at, path.to_str().unwrap());
        server.child.stderr = Some(stderr.into_inner());
        server
    }

    struct Guest {
        name: String,
        socket: BufReader<UnixStream>,
    }

    /// One that is in the room already.
    fn enter(path: &Path) -> Guest {
        let socket = UnixStream::connect(path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut guest = Guest { name: String::new(), socket: BufReader::new(socket) };
        guest.name = guest.hears().strip_prefix("you are ").unwrap().to_owned();
        guest
    }

    impl Guest {
        fn says(&self, bytes: &[u8]) {
            self.socket.get_ref().write_all(bytes).unwrap();
        }

        fn hears(&mut self) -> String {
            let mut line = String::new();
            self.socket.read_line(&mut line).unwrap();
            line.strip_suffix('\n').expect("a line").to_owned()
        }
    }

    fn interrupt(server: &Example) {
        kill_process(Pid::from_raw(server.child.id().cast_signed()).unwrap(), Signal::INT).unwrap();
    }

    #[test]
    fn what_one_says_all_others_hear() {
        let directory = Directory::new();
        let path = directory.join("chat");
        let _server = serve(&path);
        let mut guests: Vec<_> = (0..4).map(|_| enter(&path)).collect();
        for newcomer in 1..4 {
            for guest in 0..newcomer {
                assert_eq!(guests[guest].hears(), format!("{} has come", guests[newcomer].name));
            }
        }
        for speaker in 0..4 {
            // Nonsense, nothing, and two lines at once.
            guests[speaker].says(b"\n\x1b[31m\xff\n\r\none\ntwo\n");
            for listener in (0..4).filter(|listener| *listener != speaker) {
                for text in ["[31m\u{fffd}", "one", "two"] {
                    assert_eq!(guests[listener].hears(), format!("{}: {text}", guests[speaker].name));
                }
            }
        }
        // The last line lacks its end.
        let gone = guests.remove(0);
        gone.says(b"bye");
        gone.socket.get_ref().shutdown(Shutdown::Write).unwrap();
        for guest in &mut guests {
            assert_eq!(guest.hears(), format!("{}: bye", gone.name));
            assert_eq!(guest.hears(), format!("{} has gone", gone.name));
        }
    }

    #[test]
    fn who_does_not_read_holds_up_nobody_and_is_told_what_is_missing() {
        const LINES: usize = 20_000;
        let directory = Directory::new();
        let path = directory.join("chat");
        let _server = serve(&path);
        let mut slow = enter(&path);
        let speaker = enter(&path);
        assert_eq!(slow.hears(), format!("{} has come", speaker.name));
        let text = "x".repeat(200);
        // More than the socket and the queue hold: they would be full for ever if anybody waited.
        for _ in 0..LINES {
            speaker.says(format!("{text}\n").as_bytes());
        }
        speaker.says(b"that was all\n");
        let (mut heard, mut dropped) = (0, 0);
        loop {
            let line = slow.hears();
            if let Some(number) = line.strip_prefix('(') {
                dropped += number.split_once(' ').unwrap().0.parse::<usize>().unwrap();
            } else if line.ends_with("that was all") {
                break;
            } else {
                heard += 1;
            }
        }
        assert!(dropped > 0);
        assert_eq!(heard + dropped, LINES);
    }

    #[test]
    fn a_socket_that_was_left_is_replaced_and_one_in_use_is_not() {
        let directory = Directory::new();
        let path = directory.join("chat");
        drop(UnixListener::bind(&path).unwrap());
        let server = serve(&path);
        let output = run("unix_chat", &[path.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8(output.stderr).unwrap().contains("in use"));
        // The first one serves on.
        enter(&path);
        drop(server);
        // Killed, it could not remove its own.
        assert!(path.exists());
        serve(&path);
    }

    #[test]
    fn only_a_socket_is_ever_removed() {
        let directory = Directory::new();
        let file = directory.join("file");
        fs::write(&file, "text").unwrap();
        let link = directory.join("link");
        let socket = directory.join("socket");
        drop(UnixListener::bind(&socket).unwrap());
        std::os::unix::fs::symlink(&socket, &link).unwrap();
        for path in [&file, &link, &directory.join("missing/chat"), &directory.path().to_owned()] {
            let output = run("unix_chat", &[path.to_str().unwrap()]);
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{stderr}");
            assert!(stderr.contains(path.to_str().unwrap()), "{stderr}");
            assert_eq!(stderr.lines().count(), 1);
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), "text");
        assert!(link.is_symlink() && socket.exists());
    }

    #[test]
    fn ctrl_c_removes_the_socket_but_no_other_servers() {
        let directory = Directory::new();
        let path = directory.join("chat");
        let mut server = serve(&path);
        let _guest = enter(&path);
        interrupt(&server);
        assert_eq!(server.wait().code(), Some(0));
        assert!(!path.exists());

        let mut first = serve(&path);
        fs::rename(&path, directory.join("moved")).unwrap();
        let _second = serve(&path);
        interrupt(&first);
        assert_eq!(first.wait().code(), Some(0));
        enter(&path);
    }
}
