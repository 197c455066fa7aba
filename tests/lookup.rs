//! Names: what is known is not asked for, what is asked for keeps no worker.

mod helpers;

use gambol::{
    io::ErrorKind,
    net::lookup_host,
    runtime::Runtime,
    time::{Duration, timeout},
};
use helpers::{PATIENCE, at_most};
use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::mpsc,
};

async fn all(host: impl gambol::net::ToSocketAddrs) -> Vec<SocketAddr> {
    timeout(PATIENCE, lookup_host(host)).await.unwrap().unwrap().collect()
}

#[gambol::test]
async fn addresses_are_their_own_answer() {
    let v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, 80));
    let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, 80));
    assert_eq!(all(v4).await, [v4]);
    assert_eq!(all("127.0.0.1:80").await, [v4]);
    assert_eq!(all(String::from("127.0.0.1:80")).await, [v4]);
    assert_eq!(all(("127.0.0.1", 80)).await, [v4]);
    assert_eq!(all((Ipv4Addr::LOCALHOST, 80)).await, [v4]);
    for text in ["[::1]:80", "::1:80"] {
        assert_eq!(all(text).await, [v6], "{text}");
    }
    for host in ["::1", "[::1]"] {
        assert_eq!(all((host, 80)).await, [v6], "{host}");
        assert_eq!(all((host.to_owned(), 80)).await, [v6], "{host}");
    }
    assert_eq!(all([v6, v4]).await, [v6, v4]);
    let none: &[SocketAddr] = &[];
    let mut found = lookup_host(none).await.unwrap();
    assert_eq!((found.len(), found.next()), (0, None));
    let found = lookup_host(&[v6, v4][..]).await.unwrap();
    assert_eq!(found.len(), 2);
    // It borrows nothing.
    let found = lookup_host(String::from("127.0.0.1:80").as_str());
    assert_eq!(found.await.unwrap().next(), Some(v4));
}

#[gambol::test]
async fn the_name_of_this_machine_is_known() {
    for found in [all("localhost:81").await, all(("localhost", 81)).await] {
        assert!(!found.is_empty());
        assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 81), "{found:?}");
    }
}

#[gambol::test]
async fn the_resolvers_errors_are_passed_on() {
    use std::net::ToSocketAddrs;
    for text in ["nonsense", "127.0.0.1", "localhost:", "localhost:65536", ":::", ""] {
        let error = lookup_host(text).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text:?}: {error}");
    }
    // No resolver is asked for a name with a NUL.
    let (ours, stds) = (lookup_host("a\0b:1").await.unwrap_err(), "a\0b:1".to_socket_addrs().unwrap_err());
    assert_eq!((ours.kind(), ours.to_string()), (stds.kind(), stds.to_string()));
}

#[test]
fn a_lookup_keeps_no_worker_and_can_be_given_up() {
    let runtime = Runtime::builder().workers(1).max_blocking_threads(1).build().unwrap();
    let (release, released) = mpsc::channel::<()>();
    // The only thread that could ask the resolver is busy.
    let busy = runtime.spawn_blocking(move || released.recv().unwrap_err());
    let waiting = runtime.spawn(lookup_host("localhost:1"));
    runtime
        .block_on(runtime.spawn(async {
            for polls in 0..3 {
                assert!(at_most(polls.min(1), lookup_host("localhost:1")).await.is_none());
            }
            let late = timeout(Duration::from_millis(5), lookup_host("localhost:1")).await;
            assert!(late.is_err());
            // What needs no resolver is not held up.
            assert_eq!(lookup_host("127.0.0.1:1").await.unwrap().count(), 1);
        }))
        .unwrap();
    drop(release);
    runtime.block_on(async {
        busy.await.unwrap();
        let found = timeout(PATIENCE, waiting).await.unwrap().unwrap();
        assert!(found.unwrap().all(|address| address.ip().is_loopback()));
    });
    // Those that were given up did not run.
    let handle = runtime.handle().clone();
    runtime.shutdown(PATIENCE).unwrap();
    assert_eq!(handle.metrics().tasks_aborted(), 3);
}

#[test]
fn names_are_looked_up_under_any_executor() {
    let look = async || all("localhost:7").await.len();
    assert!(futures::executor::block_on(look()) > 0);
    let tokio = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert!(tokio.block_on(look()) > 0);
    assert!(gambol::block_on(look()) > 0);
}

#[test]
fn a_lookup_in_a_loop_lets_others_run() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    runtime.block_on(async {
        let looping = runtime.spawn(async {
            loop {
                lookup_host("127.0.0.1:1").await.unwrap();
            }
        });
        timeout(PATIENCE, runtime.spawn(gambol::task::yield_now())).await.unwrap().unwrap();
        looping.abort();
        assert!(timeout(PATIENCE, looping).await.unwrap().unwrap_err().is_cancelled());
    });
}
