//! Whoever gives up, wherever, leaves no descriptor and no timer behind. One test, since it counts what the process has.
#![cfg(target_os = "linux")]

mod helpers;

use futures_util::future::join;
use gambol::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    time::{Duration, timeout},
};
use helpers::at_most;
use std::fs;

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

async fn give_up_everywhere() {
    const LONG: Duration = Duration::from_secs(1000);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (accepted, connected) = join(listener.accept(), TcpStream::connect(address)).await;
    let (mut ours, mut theirs) = (accepted.unwrap().0, connected.unwrap());
    assert!(at_most(1, timeout(LONG, listener.accept())).await.is_none());
    assert!(at_most(1, timeout(LONG, ours.read(&mut [0; 8]))).await.is_none());
    assert!(at_most(1, timeout(LONG, ours.peek(&mut [0; 8]))).await.is_none());
    assert!(at_most(1, timeout(LONG, theirs.write_all(&vec![0; 20_000_000]))).await.is_none());
    for polls in 0..4 {
        drop(at_most(polls, TcpStream::connect(address)).await);
        drop(at_most(polls, TcpListener::bind(("localhost", 0))).await);
    }
    let (_reader, writer) = ours.into_split();
    drop(writer);
}

#[test]
fn giving_up_leaves_nothing_behind() {
    let before = descriptors();
    for round in 0..5 {
        let runtime = Runtime::new().unwrap();
        for _ in 0..round {
            runtime.block_on(give_up_everywhere());
            runtime.block_on(runtime.spawn(give_up_everywhere())).unwrap();
        }
        let metrics = runtime.metrics();
        assert_eq!(metrics.timers_armed(), metrics.timers_fired() + metrics.timers_cancelled());
        // The jobs that look names up have ended, so nothing else holds a descriptor.
        runtime.shutdown(Duration::from_secs(20)).unwrap();
        assert_eq!(descriptors(), before, "round {round}");
    }
}
