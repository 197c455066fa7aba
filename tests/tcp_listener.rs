//! Listeners: taking connections, by one task or many, and going on after errors.

mod helpers;

use futures_util::StreamExt;
use gambol::{
    io::{AsyncReadExt, AsyncWriteExt, ErrorKind},
    net::{TcpListener, TcpStream},
    time::{Duration, timeout},
};
use helpers::{PATIENCE, at_most};
use socket2::SockRef;
use std::{
    collections::HashSet,
    future::{Future, poll_fn},
    net,
    pin::pin,
    sync::{Arc, Mutex},
};

#[gambol::test]
async fn an_address_is_taken_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let error = TcpListener::bind(listener.local_addr().unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    for text in ["nonsense", "127.0.0.1:http"] {
        assert_eq!(TcpListener::bind(text).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}

#[gambol::test]
async fn to_try_many_addresses_lets_others_run() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addresses = vec![taken.local_addr().unwrap(); 1000];
    let bind = gambol::spawn(async move {
        let mut polls = 0;
        let mut bind = pin!(TcpListener::bind(addresses));
        let bound = poll_fn(|cx| {
            polls += 1;
            bind.as_mut().poll(cx)
        });
        (bound.await.unwrap_err().kind(), polls)
    });
    let (kind, polls) = bind.await.unwrap();
    assert_eq!(kind, ErrorKind::AddrInUse);
    assert!(polls > 4, "{polls} polls");
}

#[gambol::test]
async fn an_address_is_free_again_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut client = TcpStream::connect(address).await.unwrap();
    let (served, _) = listener.accept().await.unwrap();
    // The side that closes first is the one whose address lingers.
    drop(served);
    assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0);
    drop((client, listener));
    TcpListener::bind(address).await.unwrap();
}

#[gambol::test(workers = 4)]
async fn many_tasks_accept_on_one_listener() {
    const CLIENTS: usize = 400;
    let listener = Arc::new(TcpListener::bind("127.0.0.1:0").await.unwrap());
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(Mutex::new(HashSet::new()));
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let (listener, seen) = (listener.clone(), seen.clone());
            gambol::spawn(async move {
                loop {
                    let (mut stream, peer) = listener.accept().await.unwrap();
                    assert!(seen.lock().unwrap().insert(peer), "accepted twice");
                    stream.write_all(b"x").await.unwrap();
                }
            })
        })
        .collect();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            gambol::spawn(async move {
                let mut client = TcpStream::connect(address).await.unwrap();
                client.read_exact(&mut [0; 1]).await.unwrap();
                client.local_addr().unwrap()
            })
        })
        .collect();
    let mut addresses = HashSet::new();
    for client in clients {
        addresses.insert(timeout(PATIENCE, client).await.unwrap().unwrap());
    }
    assert_eq!(*seen.lock().unwrap(), addresses);
    for task in tasks {
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    }
}

#[gambol::test]
async fn an_accept_that_was_dropped_has_taken_no_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    for polls in 0..4 {
        let client = gambol::spawn(TcpStream::connect(address));
        let accepted = match at_most(polls, listener.accept()).await {
            Some(accepted) => accepted,
            None => timeout(PATIENCE, listener.accept()).await.unwrap(),
        };
        let client = client.await.unwrap().unwrap();
        assert_eq!(accepted.unwrap().1, client.local_addr().unwrap());
    }
}

#[gambol::test]
async fn a_connection_that_was_reset_before_it_was_accepted_stops_nobody() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    for _ in 0..3 {
        let client = net::TcpStream::connect(address).unwrap();
        SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
    }
    let client = net::TcpStream::connect(address).unwrap();
    loop {
        let (_, peer) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
        if peer == client.local_addr().unwrap() {
            break;
        }
    }
}

#[gambol::test]
async fn incoming_connections_are_a_stream() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let clients: Vec<_> = (0..3).map(|_| net::TcpStream::connect(address).unwrap()).collect();
    let accepted: Vec<_> = listener.incoming().take(3).collect().await;
    for (client, accepted) in clients.iter().zip(&accepted) {
        assert_eq!(accepted.as_ref().unwrap().peer_addr().unwrap(), client.local_addr().unwrap());
    }
}

#[gambol::test]
async fn std_listeners_come_and_go() {
    let listener = TcpListener::try_from(net::TcpListener::bind("127.0.0.1:0").unwrap()).unwrap();
    listener.set_ttl(9).unwrap();
    assert_eq!(listener.ttl().unwrap(), 9);
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let listener = listener.into_std().unwrap();
    // In blocking mode again, or this would say WouldBlock if it came too early.
    let (_, peer) = gambol::spawn_blocking(move || listener.accept()).await.unwrap().unwrap();
    assert_eq!(peer, client.local_addr().unwrap());
}

#[cfg(target_os = "linux")]
mod out_of_descriptors {
    use super::*;
    use gambol::time::Instant;
    use helpers::{assert_success, in_child, is_child};
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    use std::fs::File;

    /// Takes all descriptors but none of those that are open.
    fn exhaust_descriptors() -> (Vec<File>, Rlimit) {
        let before = getrlimit(Resource::Nofile);
        let highest = std::fs::read_dir("/proc/self/fd")
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_str().unwrap().parse::<u64>().unwrap())
            .max()
            .unwrap();
        setrlimit(Resource::Nofile, Rlimit { current: Some(highest + 1), maximum: before.maximum }).unwrap();
        let mut files = Vec::new();
        while let Ok(file) = File::open("/dev/null") {
            files.push(file);
        }
        (files, before)
    }

    #[test]
    fn accept_errs_now_and_then_and_goes_on_when_they_return() {
        const CLIENTS: usize = 5;
        const TASKS: usize = 3;
        if !is_child() {
            let name = "out_of_descriptors::accept_errs_now_and_then_and_goes_on_when_they_return";
            return assert_success(&in_child(name));
        }
        gambol::block_on(async {
            let listener = Arc::new(TcpListener::bind("127.0.0.1:0").await.unwrap());
            let address = listener.local_addr().unwrap();
            let (_clients, limit) = {
                let clients: Vec<_> = (0..CLIENTS).map(|_| net::TcpStream::connect(address).unwrap()).collect();
                let (files, limit) = exhaust_descriptors();
                ((clients, files), limit)
            };
            let begin = Instant::now();
            let tasks: Vec<_> = (0..TASKS)
                .map(|_| {
                    let listener = listener.clone();
                    gambol::spawn(async move {
                        let (mut accepted, mut errors) = (Vec::new(), Vec::new());
                        while accepted.len() < CLIENTS {
                            match timeout(Duration::from_secs(3), listener.accept()).await {
                                Ok(Ok((stream, _))) => accepted.push(stream),
                                Ok(Err(error)) => errors.push(error),
                                // The others have taken the rest.
                                Err(_) => break,
                            }
                            if begin.elapsed() > Duration::from_millis(400) {
                                setrlimit(Resource::Nofile, limit).unwrap();
                            }
                        }
                        (accepted.len(), errors)
                    })
                })
                .collect();
            let (mut accepted, mut errors) = (0, Vec::new());
            for task in tasks {
                let (n, e) = task.await.unwrap();
                accepted += n;
                errors.extend(e);
            }
            assert_eq!(accepted, CLIENTS);
            // 5, 10, 20, 40, 80, 160, 320 ms: seven attempts, and some more if several tasks try at the same moment.
            assert!((2..=7 * TASKS).contains(&errors.len()), "{} errors", errors.len());
            for error in errors {
                assert_eq!(error.raw_os_error(), Some(libc::EMFILE), "{error}");
            }
        });
    }

    #[test]
    fn without_descriptors_poll_accept_waits_and_goes_on_when_they_return() {
        if !is_child() {
            return assert_success(&in_child(
                "out_of_descriptors::without_descriptors_poll_accept_waits_and_goes_on_when_they_return",
            ));
        }
        gambol::block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let client = net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (_files, limit) = exhaust_descriptors();
            let mut errors = 0;
            let accept = || std::future::poll_fn(|cx| listener.poll_accept(cx));
            let (_, peer) = loop {
                match timeout(PATIENCE, accept()).await.expect("it is not woken after the wait") {
                    Ok(accepted) => break accepted,
                    Err(error) => assert_eq!(error.raw_os_error(), Some(libc::EMFILE), "{error}"),
                }
                errors += 1;
                // One that gives up in the middle of the wait leaves the wait to the next.
                assert!(at_most(1, accept()).await.is_none());
                if errors == 4 {
                    setrlimit(Resource::Nofile, limit).unwrap();
                }
            };
            assert_eq!(peer, client.local_addr().unwrap());
            assert_eq!(errors, 4);
        });
    }
}

#[gambol::test]
async fn a_stream_of_connections_may_own_its_listener() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    assert!(listener.take_error().unwrap().is_none());
    let serving = gambol::spawn(async move {
        let mut incoming = listener.into_incoming();
        let mut peers = Vec::new();
        while peers.len() < 3 {
            peers.push(incoming.next().await.unwrap().unwrap().peer_addr().unwrap());
        }
        peers
    });
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(TcpStream::connect(address).await.unwrap());
    }
    let peers = timeout(PATIENCE, serving).await.unwrap().unwrap();
    assert!(clients.iter().map(|client| client.local_addr().unwrap()).eq(peers));
}
