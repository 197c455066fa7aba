//! Listeners of the Unix domain: names, many who accept, and going on after errors.
#![cfg(unix)]

#[path = "helpers/directory.rs"]
mod directory;
mod helpers;

use directory::Directory;
use futures_util::StreamExt;
use gambol::{
    io::{AsyncReadExt, AsyncWriteExt, ErrorKind},
    net::{UnixListener, UnixStream},
    time::timeout,
};
use helpers::{PATIENCE, at_most};
use std::{future::poll_fn, io::Write, os::unix::net, sync::Arc};

#[gambol::test]
async fn a_file_that_exists_is_an_address_in_use() {
    let directory = Directory::new();
    let path = directory.path("listener");
    let listener = UnixListener::bind(&path).unwrap();
    assert_eq!(listener.local_addr().unwrap().as_pathname().unwrap(), path);
    assert_eq!(UnixListener::bind(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
    drop(listener);
    assert_eq!(UnixListener::bind(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
    std::fs::remove_file(&path).unwrap();
    assert!(UnixListener::bind(&path).unwrap().take_error().unwrap().is_none());
    assert_eq!(UnixListener::bind(directory.path("no/such")).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(UnixListener::bind("x".repeat(200)).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[gambol::test(workers = 4)]
async fn many_tasks_accept_on_one_listener() {
    const CLIENTS: u32 = 400;
    let directory = Directory::new();
    let path = directory.path("listener");
    let listener = Arc::new(UnixListener::bind(&path).unwrap());
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let listener = listener.clone();
            gambol::spawn(async move {
                loop {
                    let (mut stream, peer) = listener.accept().await.unwrap();
                    assert!(peer.is_unnamed());
                    let mut number = [0; 4];
                    stream.read_exact(&mut number).await.unwrap();
                    stream.write_all(&number).await.unwrap();
                }
            })
        })
        .collect();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let path = path.clone();
            gambol::spawn(async move {
                let mut client = UnixStream::connect(path).await.unwrap();
                client.write_all(&number.to_le_bytes()).await.unwrap();
                let mut answer = [0; 4];
                client.read_exact(&mut answer).await.unwrap();
                assert_eq!(u32::from_le_bytes(answer), number);
            })
        })
        .collect();
    for client in clients {
        timeout(PATIENCE, client).await.unwrap().unwrap();
    }
    for task in tasks {
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    }
}

#[gambol::test]
async fn an_accept_that_was_dropped_has_taken_no_connection() {
    let directory = Directory::new();
    let path = directory.path("listener");
    let listener = UnixListener::bind(&path).unwrap();
    for polls in 0..4u8 {
        let client = gambol::spawn({
            let path = path.clone();
            async move {
                let mut client = UnixStream::connect(path).await.unwrap();
                client.write_all(&[polls]).await.unwrap();
            }
        });
        let accepted = match at_most(usize::from(polls), listener.accept()).await {
            Some(accepted) => accepted,
            None => timeout(PATIENCE, listener.accept()).await.unwrap(),
        };
        let mut which = [0; 1];
        accepted.unwrap().0.read_exact(&mut which).await.unwrap();
        assert_eq!(which, [polls]);
        client.await.unwrap();
    }
}

#[gambol::test]
async fn connections_that_are_gone_already_are_accepted_and_at_their_end() {
    let directory = Directory::new();
    let path = directory.path("listener");
    let listener = UnixListener::bind(&path).unwrap();
    for number in 0..3u8 {
        net::UnixStream::connect(&path).unwrap().write_all(&[number]).unwrap();
    }
    let accepted: Vec<_> = listener.incoming().take(3).collect().await;
    for (number, accepted) in accepted.into_iter().enumerate() {
        let mut found = Vec::new();
        accepted.unwrap().read_to_end(&mut found).await.unwrap();
        assert_eq!(found, [number as u8]);
    }
}

#[gambol::test]
async fn std_listeners_come_and_go() {
    let directory = Directory::new();
    let path = directory.path("listener");
    let listener = UnixListener::try_from(net::UnixListener::bind(&path).unwrap()).unwrap();
    let _client = UnixStream::connect(&path).await.unwrap();
    listener.accept().await.unwrap();
    let listener = net::UnixListener::try_from(listener).unwrap();
    // In blocking mode again, or this would say WouldBlock if it came too early.
    let accepted = gambol::spawn_blocking(move || listener.accept().is_ok());
    let _client = UnixStream::connect(&path).await.unwrap();
    assert!(accepted.await.unwrap());
}

#[cfg(target_os = "linux")]
mod without_descriptors {
    use super::*;
    use gambol::time::Duration;
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
        if !is_child() {
            let name = "without_descriptors::accept_errs_now_and_then_and_goes_on_when_they_return";
            return assert_success(&in_child(name));
        }
        gambol::block_on(async {
            let directory = Directory::new();
            let path = directory.path("listener");
            let listener = UnixListener::bind(&path).unwrap();
            let _client = net::UnixStream::connect(&path).unwrap();
            let (files, limit) = exhaust_descriptors();
            let mut errors = 0;
            let trying = async {
                loop {
                    let error = listener.accept().await.unwrap_err();
                    assert_eq!(error.raw_os_error(), Some(libc::EMFILE), "{error}");
                    errors += 1;
                }
            };
            assert!(timeout(Duration::from_millis(200), trying).await.is_err());
            // 5, 10, 20, 40, 80 ms.
            assert!((1..=7).contains(&errors), "{errors} errors");
            drop(files);
            setrlimit(Resource::Nofile, limit).unwrap();
            timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
        });
    }

    #[test]
    fn poll_accept_waits_and_goes_on_when_they_return() {
        if !is_child() {
            return assert_success(&in_child("without_descriptors::poll_accept_waits_and_goes_on_when_they_return"));
        }
        gambol::block_on(async {
            let directory = Directory::new();
            let path = directory.path("listener");
            let listener = UnixListener::bind(&path).unwrap();
            let _client = net::UnixStream::connect(&path).unwrap();
            let (_files, limit) = exhaust_descriptors();
            let mut errors = 0;
            let accept = || poll_fn(|cx| listener.poll_accept(cx));
            loop {
                match timeout(PATIENCE, accept()).await.expect("it is not woken after the wait") {
                    Ok(_) => break,
                    Err(error) => assert_eq!(error.raw_os_error(), Some(libc::EMFILE), "{error}"),
                }
                errors += 1;
                // One that gives up in the middle of the wait leaves the wait to the next.
                assert!(at_most(1, accept()).await.is_none());
                if errors == 4 {
                    setrlimit(Resource::Nofile, limit).unwrap();
                }
            }
            assert_eq!(errors, 4);
        });
    }
}

#[gambol::test]
async fn a_stream_of_connections_may_own_its_listener() {
    let directory = Directory::new();
    let path = directory.path("listener");
    let listener = UnixListener::bind(&path).unwrap();
    let serving = gambol::spawn(async move {
        let mut incoming = listener.into_incoming();
        let mut numbers = Vec::new();
        while numbers.len() < 3 {
            let mut number = [0; 1];
            incoming.next().await.unwrap().unwrap().read_exact(&mut number).await.unwrap();
            numbers.push(number[0]);
        }
        numbers
    });
    for number in 0..3 {
        UnixStream::connect(&path).await.unwrap().write_all(&[number]).await.unwrap();
    }
    assert_eq!(timeout(PATIENCE, serving).await.unwrap().unwrap(), [0, 1, 2]);
}

#[gambol::test]
async fn many_tasks_may_wait_by_poll_accept() {
    const TASKS: usize = 5;
    let directory = Directory::new();
    let path = directory.path("listener");
    let listener = Arc::new(UnixListener::bind(&path).unwrap());
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let listener = listener.clone();
            gambol::spawn(async move { poll_fn(|cx| listener.poll_accept(cx)).await.unwrap().1.is_unnamed() })
        })
        .collect();
    // One that gives up takes nothing from the others.
    assert!(at_most(1, poll_fn(|cx| listener.poll_accept(cx))).await.is_none());
    let _clients: Vec<_> = (0..TASKS).map(|_| net::UnixStream::connect(&path).unwrap()).collect();
    for task in tasks {
        assert!(timeout(PATIENCE, task).await.unwrap().unwrap());
    }
}
