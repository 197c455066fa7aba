//! How even the arms of a `select!` are, over 100,000 rounds. The figures: `cargo test --release --test select_fairness -- --nocapture`.

use gambol::{
    chan::{self, Receiver, Sender},
    runtime::Runtime,
    select, spawn,
};

const ROUNDS: u32 = 100_000;
const WORKERS: [usize; 2] = [1, 2];

/// What makes the arms ready.
#[derive(Clone, Copy, Debug)]
enum Ready {
    /// Values and room that have been there from the beginning.
    Always,
    /// Tasks at the other ends, with so much room between.
    Partners(usize),
}

/// Runs it as a task, so that it is on a worker.
fn on<T: Send + 'static>(workers: usize, future: impl Future<Output = T> + Send + 'static) -> T {
    let runtime = Runtime::builder().workers(workers).build().unwrap();
    runtime.block_on(runtime.spawn(future)).unwrap()
}

/// Where values come from all the time.
fn source(ready: Ready) -> Receiver<u32> {
    match ready {
        Ready::Always => {
            let (tx, rx) = chan::unbounded();
            (0..ROUNDS).for_each(|n| tx.try_send(n).unwrap());
            rx
        }
        Ready::Partners(capacity) => {
            let (tx, rx) = chan::buffered(capacity);
            spawn(async move { while tx.send(0).await.is_ok() {} });
            rx
        }
    }
}

/// Where values go all the time. The receiver is kept, so that the channel stays open.
fn sink(ready: Ready) -> (Sender<u32>, Option<Receiver<u32>>) {
    match ready {
        Ready::Always => {
            let (tx, rx) = chan::unbounded();
            (tx, Some(rx))
        }
        Ready::Partners(capacity) => {
            let (tx, rx) = chan::buffered(capacity);
            spawn(async move { while rx.recv().await.is_some() {} });
            (tx, None)
        }
    }
}

fn judge(what: &str, ready: Ready, workers: usize, counts: [u32; 4]) {
    let due = f64::from(ROUNDS / 4);
    let shares = counts.map(|count| (f64::from(count) / due * 1000.0).round() / 1000.0);
    println!("{what}, {ready:?}, {workers} workers: {counts:?}, of an even share {shares:?}");
    assert_eq!(counts.iter().sum::<u32>(), ROUNDS);
    match ready {
        Ready::Always => {
            let deviation = (f64::from(ROUNDS) * 0.25 * 0.75).sqrt();
            assert!(counts.iter().all(|&count| (f64::from(count) - due).abs() < 5.0 * deviation), "{counts:?}");
        }
        Ready::Partners(_) => assert!(counts.iter().all(|&count| f64::from(count) > due / 10.0), "{counts:?}"),
    }
}

async fn receives(ready: Ready) -> [u32; 4] {
    let [rx1, rx2, rx3, rx4] = [(); 4].map(|()| source(ready));
    let mut counts = [0; 4];
    for _ in 0..ROUNDS {
        select! {
            _ = rx1.recv() => counts[0] += 1,
            _ = rx2.recv() => counts[1] += 1,
            _ = rx3.recv() => counts[2] += 1,
            _ = rx4.recv() => counts[3] += 1,
        }
    }
    counts
}

async fn receives_and_sends(ready: Ready) -> [u32; 4] {
    let [rx1, rx2] = [(); 2].map(|()| source(ready));
    let [(tx1, _keep1), (tx2, _keep2)] = [(); 2].map(|()| sink(ready));
    let mut counts = [0; 4];
    for _ in 0..ROUNDS {
        select! {
            _ = rx1.recv() => counts[0] += 1,
            _ = rx2.recv() => counts[1] += 1,
            _ = tx1.send(0) => counts[2] += 1,
            _ = tx2.send(0) => counts[3] += 1,
        }
    }
    counts
}

/// Two receives and two sends at once, whose partners are selects over the same.
async fn selects_head_on() -> [u32; 4] {
    let ((tx1, rx1), (tx2, rx2)) = (chan::unbuffered(), chan::unbuffered());
    let ((tx3, rx3), (tx4, rx4)) = (chan::unbuffered(), chan::unbuffered());
    spawn(async move {
        loop {
            let open = select! {
                sent = tx1.send(0) => sent.is_ok(),
                sent = tx2.send(0) => sent.is_ok(),
                value = rx3.recv() => value.is_some(),
                value = rx4.recv() => value.is_some(),
            };
            if !open {
                return;
            }
        }
    });
    let mut counts = [0; 4];
    for _ in 0..ROUNDS {
        select! {
            _ = rx1.recv() => counts[0] += 1,
            _ = rx2.recv() => counts[1] += 1,
            _ = tx3.send(0) => counts[2] += 1,
            _ = tx4.send(0) => counts[3] += 1,
        }
    }
    counts
}

#[test]
fn of_four_receives_each_comes_as_often() {
    for workers in WORKERS {
        for ready in [Ready::Always, Ready::Partners(0), Ready::Partners(1), Ready::Partners(128)] {
            judge("four receives", ready, workers, on(workers, receives(ready)));
        }
    }
}

#[test]
fn of_two_receives_and_two_sends_each_has_its_share() {
    for workers in WORKERS {
        for ready in [Ready::Always, Ready::Partners(0), Ready::Partners(1), Ready::Partners(128)] {
            judge("two receives, two sends", ready, workers, on(workers, receives_and_sends(ready)));
        }
        judge("the same, two selects head-on", Ready::Partners(0), workers, on(workers, selects_head_on()));
    }
}
