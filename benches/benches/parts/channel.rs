//! Channels where nobody waits: a message put in and taken out again.

use crate::MANY;
use divan::{Bencher, black_box};
use gambol::chan::{Receiver, Sender};

fn send_recv(bencher: Bencher<'_, '_>, (sender, receiver): (Sender<u64>, Receiver<u64>)) {
    bencher.bench_local(|| {
        sender.try_send(black_box(7)).expect("there is room");
        assert_eq!(receiver.try_recv(), Ok(7), "what was sent is received");
    });
}

#[divan::bench(args = [1, 128], sample_size = MANY)]
fn buffered(bencher: Bencher<'_, '_>, capacity: usize) {
    send_recv(bencher, gambol::chan::buffered(capacity));
}

#[divan::bench(sample_size = MANY)]
fn unbounded(bencher: Bencher<'_, '_>) {
    send_recv(bencher, gambol::chan::unbounded());
}

/// A look into an empty one.
#[divan::bench(sample_size = MANY)]
fn try_recv_empty(bencher: Bencher<'_, '_>) {
    let (_sender, receiver) = gambol::chan::buffered::<u64>(128);
    bencher.bench_local(|| assert!(black_box(&receiver).try_recv().is_err(), "there is nothing"));
}
