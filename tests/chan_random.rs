//! Random operations on two channels, one at a time, by tasks that are polled when they were woken and at other times. When all who
//! were woken have run, nobody waits for what is there; every value is received once, or comes back.
//!
//! Seen to fail, and taken back: no sender moves up while receivers are called; a call is passed on only to a second value.
//! `GAMBOL_ROUNDS=60000` runs for 20 seconds.

use futures::FutureExt;
use gambol::{
    chan::{self, Receiver, SendError, Sender, TrySendError},
    select,
};
use std::{
    cell::RefCell,
    collections::BTreeSet,
    future::Future,
    pin::Pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Wake, Waker},
};

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

/// What a task waits for: to receive from these, to send to those.
#[derive(Clone, Copy, Debug)]
struct Kind {
    receives: [bool; 2],
    sends: [bool; 2],
}

struct Task {
    kind: Kind,
    future: Pin<Box<dyn Future<Output = ()>>>,
    flag: Arc<Flag>,
    waits: bool,
}

impl Task {
    /// Whether it is done.
    fn poll(&mut self) -> bool {
        self.flag.0.store(false, SeqCst);
        self.waits = true;
        let waker = Waker::from(self.flag.clone());
        self.future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready()
    }
}

#[derive(Default)]
struct Ledger {
    next: u64,
    /// Sent, or in a send that waits.
    out: BTreeSet<u64>,
}

type Book = Rc<RefCell<Ledger>>;

fn make(book: &Book) -> u64 {
    let mut book = book.borrow_mut();
    book.next += 1;
    let value = book.next;
    book.out.insert(value);
    value
}

fn ends(book: &Book, value: u64) {
    assert!(book.borrow_mut().out.remove(&value), "{value} is there twice");
}

/// A value that is sent from, and what becomes of it if it is not.
struct Origin(Option<u64>, Book);

impl Drop for Origin {
    fn drop(&mut self) {
        if let Some(value) = self.0 {
            ends(&self.1, value);
        }
    }
}

fn back(book: &Book, result: Result<(), SendError<u64>>) {
    if let Err(SendError(value)) = result {
        ends(book, value);
    }
}

fn receive(book: &Book, value: Option<u64>) {
    if let Some(value) = value {
        ends(book, value);
    }
}

fn task(which: u32, tx: &[Sender<u64>; 2], rx: &[Receiver<u64>; 2], at: usize, book: &Book) -> Task {
    let (here, there) = (at, 1 - at);
    let (tx_a, tx_b, rx_a, rx_b) = (tx[here].clone(), tx[there].clone(), rx[here].clone(), rx[there].clone());
    let (mut a, mut b) = (Origin(None, book.clone()), Origin(None, book.clone()));
    let mut kind = Kind { receives: [false; 2], sends: [false; 2] };
    let book = book.clone();
    let future: Pin<Box<dyn Future<Output = ()>>> = match which {
        0..=3 => {
            kind.receives[here] = true;
            Box::pin(async move { receive(&book, rx_a.recv().await) })
        }
        4..=7 => {
            kind.sends[here] = true;
            a.0 = Some(make(&book));
            Box::pin(async move {
                let mut a = a;
                back(&book, tx_a.send_from(&mut a.0).await);
            })
        }
        8 | 9 => {
            kind.receives = [true; 2];
            Box::pin(async move {
                select! {
                    value = rx_a.recv() => receive(&book, value),
                    value = rx_b.recv() => receive(&book, value),
                    value = rx_a.recv() => receive(&book, value),
                }
            })
        }
        10 | 11 => {
            (kind.receives[here], kind.sends[there]) = (true, true);
            b.0 = Some(make(&book));
            Box::pin(async move {
                let mut b = b;
                select! {
                    value = rx_a.recv() => receive(&book, value),
                    sent = tx_b.send_from(&mut b.0) => back(&book, sent),
                }
            })
        }
        12 => {
            kind.sends = [true; 2];
            (a.0, b.0) = (Some(make(&book)), Some(make(&book)));
            Box::pin(async move {
                let (mut a, mut b) = (a, b);
                select! {
                    sent = tx_a.send_from(&mut a.0) => back(&book, sent),
                    sent = tx_b.send_from(&mut b.0) => back(&book, sent),
                }
            })
        }
        _ => {
            (kind.receives, kind.sends) = ([true; 2], [true; 2]);
            (a.0, b.0) = (Some(make(&book)), Some(make(&book)));
            Box::pin(async move {
                let (mut a, mut b) = (a, b);
                select! {
                    sent = tx_a.send_from(&mut a.0) => back(&book, sent),
                    sent = tx_b.send_from(&mut b.0) => back(&book, sent),
                    value = rx_a.recv() => receive(&book, value),
                    value = rx_b.recv() => receive(&book, value),
                }
            })
        }
    };
    Task { kind, future, flag: Arc::default(), waits: false }
}

/// All who were woken run; then nobody waits for what is there.
fn settle(tasks: &mut Vec<Task>, rx: &[Receiver<u64>; 2], capacities: [usize; 2], what: &str) {
    let mut turns = 0;
    while let Some(at) = tasks.iter().position(|task| task.flag.0.load(SeqCst)) {
        turns += 1;
        assert!(turns < 10_000, "{what}: it comes to no rest");
        if tasks[at].poll() {
            drop(tasks.swap_remove(at));
        }
    }
    for at in 0..2 {
        let waiting = |f: fn(&Kind) -> &[bool; 2]| tasks.iter().any(|task| task.waits && f(&task.kind)[at]);
        let both = |task: &Task| task.waits && task.kind.receives[at] && task.kind.sends[at];
        let (receives, sends) = (waiting(|kind| &kind.receives), waiting(|kind| &kind.sends));
        let len = rx[at].len();
        let state = format!("{what}: channel {at} of capacity {}, {len} in it", capacities[at]);
        assert!(!receives || len == 0, "{state}: a receiver waits");
        assert!(!sends || len >= capacities[at], "{state}: a sender waits");
        // But for one select alone with itself.
        let partners =
            tasks.iter().filter(|task| task.waits && (task.kind.receives[at] || task.kind.sends[at])).count();
        assert!(!(receives && sends) || (partners == 1 && tasks.iter().any(both)), "{state}: both wait");
        assert!(!rx[at].is_closed() || !(receives || sends), "{state}: closed, and somebody waits");
    }
}

/// `usize::MAX` is without a limit.
fn channel(capacity: usize) -> (Sender<u64>, Receiver<u64>) {
    if capacity == usize::MAX { chan::unbounded() } else { chan::buffered(capacity) }
}

fn round(seed: u64, steps: usize) {
    let mut random = fastrand::Rng::with_seed(seed);
    let capacities = [[0, 1, 2, 3, usize::MAX], [0, 1, 2, usize::MAX, usize::MAX]].map(|all| all[random.usize(0..5)]);
    let (tx_a, rx_a) = channel(capacities[0]);
    let (tx_b, rx_b) = channel(capacities[1]);
    let (tx, rx) = ([tx_a, tx_b], [rx_a, rx_b]);
    let book = Book::default();
    let mut tasks: Vec<Task> = Vec::new();
    let what = format!("seed {seed}");
    for step in 0..steps {
        let at = random.usize(0..2);
        match random.u32(0..100) {
            0..40 if tasks.len() < 8 => {
                let mut task = task(random.u32(0..14), &tx, &rx, at, &book);
                if !task.poll() {
                    tasks.push(task);
                }
            }
            0..60 if !tasks.is_empty() => {
                let task = random.usize(0..tasks.len());
                if tasks[task].poll() {
                    drop(tasks.swap_remove(task));
                }
            }
            60..68 if !tasks.is_empty() => drop(tasks.swap_remove(random.usize(0..tasks.len()))),
            68..80 => {
                let value = make(&book);
                if let Err(TrySendError::Full(value) | TrySendError::Closed(value)) = tx[at].try_send(value) {
                    ends(&book, value);
                }
            }
            80..90 => receive(&book, rx[at].try_recv().ok()),
            90..92 => {
                let value = make(&book);
                let mut origin = Origin(Some(value), book.clone());
                let select = async {
                    select! {
                        sent = tx[at].send_from(&mut origin.0) => back(&book, sent),
                        value = rx[1 - at].recv() => receive(&book, value),
                        default => {}
                    }
                };
                assert_eq!(select.now_or_never(), Some(()));
            }
            92..98 => settle(&mut tasks, &rx, capacities, &what),
            98 if step * 10 > steps * 9 && random.u32(0..4) == 0 => drop(tx[at].close()),
            _ => {}
        }
        let most = capacities[at].saturating_add(32);
        assert!(rx[at].len() <= most, "{what}: {} in a channel of capacity {}", rx[at].len(), capacities[at]);
    }
    settle(&mut tasks, &rx, capacities, &what);
    tasks.clear();
    for rx in &rx {
        while let Some(Some(value)) = rx.recv().now_or_never() {
            ends(&book, value);
        }
    }
    assert_eq!(book.borrow().out, BTreeSet::new(), "{what}: lost");
}

#[test]
fn nobody_waits_for_what_is_there() {
    let rounds = std::env::var("GAMBOL_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(2_000);
    for seed in 0..rounds {
        round(seed, 300);
    }
}
