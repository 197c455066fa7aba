//! No value is lost, doubled or delivered to a future that was dropped, whatever is dropped at whatever moment.
//!
//! A round is one channel, some producers and some consumers, in tasks and on plain threads, and some who are both in a select. They do at
//! random what can be done with handles; their futures are polled k times and dropped, for k = 0, 1, 2, 3, .. in turn; some tasks are
//! aborted. Each value knows its number and reports its end to a ledger: received, returned to its sender, dropped with the future or the
//! sink that was to send it, or with the channel. An end of any other kind is a failure, and so is a second end, or none. Values of one
//! producer come to each consumer in order.
//!
//! `GAMBOL_CHAN_OPERATIONS` says how many operations are made with each number of workers (default 100,000); `GAMBOL_CHAN_SEED` where the
//! random numbers begin. A watchdog ends the process when a round does not end within a minute. `.ci/stress` runs this for longer.

mod helpers;

use fastrand::Rng;
use futures::{SinkExt, StreamExt, future, stream::FuturesUnordered};
use gambol::{
    chan::{self, Receiver, Sender, TryRecvError},
    runtime::Runtime,
    select,
    task::{JoinHandle, yield_now},
};
use helpers::at_most;
use std::{
    backtrace::Backtrace,
    cell::Cell,
    env,
    future::Future,
    ops::{Deref, DerefMut},
    pin::Pin,
    process,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
    thread,
    time::{Duration, Instant},
};

/// `usize::MAX` is without a limit.
fn channel<T>(capacity: usize) -> (chan::Sender<T>, chan::Receiver<T>) {
    if capacity == usize::MAX { chan::unbounded() } else { chan::buffered(capacity) }
}

const CAPACITIES: [usize; 6] = [0, 1, 2, 7, 128, usize::MAX];
/// Values per producer in a round.
const VALUES: usize = 200;
/// A round that takes so long hangs.
const HANGS: Duration = Duration::from_secs(60);

/// How a value has ended, or may end here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It is on its way: to end now is to be lost.
    Lost,
    Received,
    Returned,
    WithFuture,
    WithSink,
    WithChannel,
}

#[derive(Default)]
struct Ledger {
    ends: [AtomicU64; 6],
    made: AtomicU64,
    /// A bit for each value that has ended.
    ended: Vec<AtomicU64>,
    operations: AtomicUsize,
}

struct Value {
    producer: usize,
    number: usize,
    end: End,
    ledger: Arc<Ledger>,
}

thread_local! {
    /// How a value ends that this thread drops now while it is on its way.
    static HERE: Cell<End> = const { Cell::new(End::Lost) };
}

impl Ledger {
    fn new(producers: usize) -> Arc<Ledger> {
        let ended = (0..(producers * VALUES).div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        Arc::new(Ledger { ended, ..Ledger::default() })
    }

    fn make(self: &Arc<Self>, producer: usize, number: usize) -> Value {
        self.made.fetch_add(1, SeqCst);
        Value { producer, number, end: End::Lost, ledger: self.clone() }
    }

    fn ended(&self, end: End) -> u64 {
        self.ends[end as usize].load(SeqCst)
    }

    fn assert_even(&self, round: &str) {
        let ends = [End::Received, End::Returned, End::WithFuture, End::WithSink, End::WithChannel];
        let counted: u64 = ends.iter().map(|end| self.ended(*end)).sum();
        let bits: u64 = self.ended.iter().map(|bits| u64::from(bits.load(SeqCst).count_ones())).sum();
        let made = self.made.load(SeqCst);
        assert_eq!((self.ended(End::Lost), counted, bits), (0, made, made), "{round}: {:?}", self.ends);
    }
}

impl Value {
    fn ends(mut self, end: End) {
        self.end = end;
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        let end = if self.end == End::Lost { HERE.get() } else { self.end };
        self.ledger.ends[end as usize].fetch_add(1, SeqCst);
        let at = self.producer * VALUES + self.number;
        let before = self.ledger.ended[at / 64].fetch_or(1 << (at % 64), SeqCst);
        if before & 1 << (at % 64) != 0 || end == End::Lost {
            eprintln!("value {} of producer {} ends as {end:?}, and before: {before:x}", self.number, self.producer);
            eprintln!("{}", Backtrace::force_capture());
            process::abort();
        }
    }
}

/// Something with whose end values may end in a certain way.
struct Scoped<T>(Option<T>, End);

impl<T> Drop for Scoped<T> {
    fn drop(&mut self) {
        let outer = HERE.replace(self.1);
        self.0 = None;
        HERE.set(outer);
    }
}

impl<T> Deref for Scoped<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().unwrap()
    }
}

impl<T> DerefMut for Scoped<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().unwrap()
    }
}

impl<F: Future + Unpin> Future for Scoped<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        Pin::new(&mut **self).poll(cx)
    }
}

/// Polls before a future is dropped: 0, 1, 2, 3, 0, .. in turn, and often to the end.
struct Polls(usize);

impl Polls {
    fn next(&mut self, random: &mut Rng) -> usize {
        self.0 += 1;
        if random.u8(..) < 64 { usize::MAX } else { self.0 % 4 }
    }
}

/// What every producer and consumer has.
struct Party {
    random: Rng,
    polls: Polls,
    ledger: Arc<Ledger>,
    /// The operation after which it goes, if not before.
    quits: usize,
    /// The operation with which it closes the channel.
    closes: usize,
}

impl Party {
    fn operation(&mut self, number: usize) -> bool {
        self.ledger.operations.fetch_add(1, SeqCst);
        number < self.quits
    }
}

/// Sends by futures and without waiting.
async fn produce(mut tx: Scoped<Sender<Value>>, me: usize, mut party: Party) {
    for number in 0..VALUES {
        if !party.operation(number) {
            break;
        }
        if number == party.closes {
            tx.close();
        }
        let value = party.ledger.make(me, number);
        let polls = party.polls.next(&mut party.random);
        let closed = match party.random.u8(0..12) {
            0..3 => {
                let sent = at_most(polls, Scoped(Some(tx.send(value)), End::WithFuture)).await;
                sent.is_some_and(|sent| sent.map_err(|error| error.into_inner().ends(End::Returned)).is_err())
            }
            3..6 => {
                let mut origin = Scoped(Some(Some(value)), End::Returned);
                let sent = at_most(polls, tx.send_from(&mut origin)).await;
                // Sent, or in the error, or put back.
                assert!(sent.is_none() || origin.is_none());
                if let Some(value) = origin.take() {
                    value.ends(End::Returned);
                }
                sent.is_some_and(|sent| sent.map_err(|error| error.into_inner().ends(End::Returned)).is_err())
            }
            6..8 => {
                let mut origin = Scoped(Some(Some(value)), End::Returned);
                let select = async {
                    select! {
                        sent = tx.send_from(&mut origin) => Some(sent),
                        _ = yield_now() => None,
                    }
                };
                let sent = at_most(polls, select).await.flatten();
                assert!(sent.is_none() || origin.is_none());
                if let Some(value) = origin.take() {
                    value.ends(End::Returned);
                }
                sent.is_some_and(|sent| sent.map_err(|error| error.into_inner().ends(End::Returned)).is_err())
            }
            8..11 => tx.try_send(value).is_err_and(|error| {
                let closed = error.is_closed();
                error.into_inner().ends(End::Returned);
                closed
            }),
            _ => {
                let next = match party.random.bool() {
                    true => tx.clone(),
                    false => tx.downgrade().upgrade().expect("there is one"),
                };
                tx = Scoped(Some(next), End::WithSink);
                if let Err(error) = Scoped(Some(tx.send(value)), End::WithFuture).await {
                    error.into_inner().ends(End::Returned);
                }
                tx.is_closed()
            }
        };
        if closed {
            break;
        }
        if party.random.u8(..) < 16 {
            yield_now().await;
        }
    }
}

/// Receives and sends in one select, for as many values as it has.
async fn exchange(
    (tx, rx): (Scoped<Sender<Value>>, Scoped<Receiver<Value>>),
    me: usize,
    mut seen: Seen,
    mut party: Party,
) {
    for number in 0..VALUES {
        if !party.operation(number) {
            break;
        }
        let mut origin = Scoped(Some(Some(party.ledger.make(me, number))), End::Returned);
        let polls = party.polls.next(&mut party.random);
        let select = async {
            // There is a third arm, since nobody else may be left.
            select! {
                value = rx.recv() => value,
                other = rx.recv() => other,
                sent = tx.send_from(&mut origin) => {
                    if let Err(error) = sent {
                        error.into_inner().ends(End::Returned);
                    }
                    None
                }
                _ = yield_now() => None,
            }
        };
        if let Some(Some(value)) = at_most(polls, select).await {
            seen.take(value);
        }
        if let Some(value) = origin.take() {
            value.ends(End::Returned);
        }
    }
}

/// Sends by the sink, in which one value may stay behind.
async fn pour(mut tx: Scoped<Sender<Value>>, me: usize, mut party: Party) {
    for number in 0..VALUES {
        if !party.operation(number) {
            break;
        }
        if number == party.closes {
            tx.close();
        }
        let polls = party.polls.next(&mut party.random);
        let value = party.ledger.make(me, number);
        let sent = match party.random.bool() {
            true => at_most(polls, Scoped(Some(tx.send_all_of(value)), End::WithFuture)).await,
            false => at_most(polls, Scoped(Some(tx.feed(value)), End::WithFuture)).await,
        };
        if let Some(Err(error)) = sent {
            error.into_inner().ends(End::Returned);
            break;
        }
    }
    if let Err(error) = SinkExt::<Value>::flush(&mut *tx).await {
        error.into_inner().ends(End::Returned);
    }
}

/// `SinkExt::send`, which the sender's own hides.
trait SendAllOf {
    fn send_all_of(&mut self, value: Value) -> futures::sink::Send<'_, Sender<Value>, Value>;
}

impl SendAllOf for Sender<Value> {
    fn send_all_of(&mut self, value: Value) -> futures::sink::Send<'_, Sender<Value>, Value> {
        SinkExt::send(self, value)
    }
}

/// What a consumer has had last of each producer.
struct Seen(Vec<Option<usize>>);

impl Seen {
    fn take(&mut self, value: Value) {
        let last = &mut self.0[value.producer];
        assert!(last.is_none_or(|last| last < value.number), "{last:?} before {}", value.number);
        *last = Some(value.number);
        value.ends(End::Received);
    }
}

async fn consume(mut rx: Scoped<Receiver<Value>>, mut seen: Seen, mut party: Party) {
    for number in 0.. {
        if !party.operation(number) {
            break;
        }
        if number == party.closes {
            rx.close();
        }
        let polls = party.polls.next(&mut party.random);
        // None: it gave up. Some(None): the end.
        let received = match party.random.u8(0..38) {
            0..12 => at_most(polls, rx.recv()).await,
            12..20 => at_most(polls, rx.next()).await,
            20..26 => match rx.try_recv() {
                Ok(value) => Some(Some(value)),
                Err(TryRecvError::Empty) => {
                    yield_now().await;
                    None
                }
                Err(TryRecvError::Closed) => Some(None),
            },
            26 => {
                let next = match party.random.bool() {
                    true => rx.clone(),
                    false => rx.downgrade().upgrade().expect("there is one"),
                };
                rx = Scoped(Some(next), End::WithChannel);
                None
            }
            27..30 => {
                // Several in line; whoever is called first is taken, and the others go.
                let receives: FuturesUnordered<_> = (0..3).map(|_| rx.recv()).collect();
                let mut first = receives.into_future();
                at_most(polls, &mut first).await.map(|(value, _)| value.flatten())
            }
            30..34 => {
                let select = async {
                    select! {
                        value = rx.recv() => Some(value),
                        value = rx.recv() => Some(value),
                        _ = yield_now() => None,
                    }
                };
                at_most(polls, select).await.flatten()
            }
            34 => select! {
                value = rx.recv() => Some(value),
                default => None,
            },
            35 if number % 16 == 0 => {
                // Those called are not polled; the last one in line is.
                let mut receives: Vec<_> = (0..3).map(|_| rx.recv()).collect();
                let mut received = None;
                for receive in &mut receives {
                    received = at_most(1, receive).await;
                    if received.is_some() {
                        break;
                    }
                }
                match received {
                    None => at_most(polls, receives.pop().unwrap()).await,
                    received => received,
                }
            }
            _ => {
                // Two that are awaited together, in that order; the loser goes.
                at_most(polls, future::select(rx.recv(), rx.recv())).await.map(|first| first.factor_first().0)
            }
        };
        match received {
            Some(Some(value)) => seen.take(value),
            Some(None) => break,
            None => {}
        }
    }
}

/// On a plain thread.
fn produce_blocking(tx: Scoped<Sender<Value>>, me: usize, mut party: Party) {
    for number in 0..VALUES {
        if !party.operation(number) {
            break;
        }
        let value = party.ledger.make(me, number);
        let back = match party.random.bool() {
            true => tx.send_blocking(value).err().map(|error| error.into_inner()),
            false => tx.try_send(value).err().map(|error| error.into_inner()),
        };
        if let Some(value) = back {
            value.ends(End::Returned);
        }
        if tx.is_closed() {
            break;
        }
    }
}

/// On a plain thread.
fn consume_blocking(rx: Scoped<Receiver<Value>>, mut seen: Seen, mut party: Party) {
    for number in 0.. {
        if !party.operation(number) {
            break;
        }
        match party.random.bool() {
            true => match rx.recv_blocking() {
                Some(value) => seen.take(value),
                None => break,
            },
            false => match rx.try_recv() {
                Ok(value) => seen.take(value),
                Err(TryRecvError::Empty) => thread::yield_now(),
                Err(TryRecvError::Closed) => break,
            },
        }
    }
}

/// One channel, from its making to its end. How many operations that was.
fn round(runtime: &Runtime, workers: usize, random: &mut Rng) -> usize {
    let seed = random.u64(..);
    let mut random = Rng::with_seed(seed);
    let capacity = CAPACITIES[random.usize(..CAPACITIES.len())];
    let (producers, consumers) = (random.usize(1..=4), random.usize(1..=4));
    let name = format!("{workers} workers, capacity {capacity}, {producers} to {consumers}, seed {seed}");
    let _watched = Watched::begin(&name);
    let ledger = Ledger::new(producers);
    let (tx, rx) = channel(capacity);
    let mut tasks: Vec<JoinHandle<()>> = Vec::new();
    let mut threads = Vec::new();
    for me in 0..producers + consumers {
        let sends = me < producers;
        // A third of the receivers goes before the end; sometimes somebody closes.
        let quits = if random.u8(0..3) == 0 { random.usize(..2 * VALUES) } else { usize::MAX };
        let closes = if random.u8(0..20) == 0 { random.usize(..VALUES) } else { usize::MAX };
        let party =
            Party { random: random.fork(), polls: Polls(random.usize(..4)), ledger: ledger.clone(), quits, closes };
        let seen = Seen(vec![None; producers]);
        let tx = sends.then(|| Scoped(Some(tx.clone()), End::WithSink));
        let everybodys = &rx;
        let rx = (!sends).then(|| Scoped(Some(rx.clone()), End::WithChannel));
        match (tx, rx, random.u8(0..8)) {
            (Some(tx), _, 4) => {
                let ends = (tx, Scoped(Some(everybodys.clone()), End::WithChannel));
                tasks.push(runtime.spawn(exchange(ends, me, seen, party)));
            }
            (Some(tx), _, 0) => threads.push(thread::spawn(move || produce_blocking(tx, me, party))),
            (Some(tx), _, 1..4) => tasks.push(runtime.spawn(pour(tx, me, party))),
            (Some(tx), ..) => tasks.push(runtime.spawn(produce(tx, me, party))),
            (_, Some(rx), 0) => threads.push(thread::spawn(move || consume_blocking(rx, seen, party))),
            (_, Some(rx), _) => tasks.push(runtime.spawn(consume(rx, seen, party))),
            (None, None, _) => unreachable!("it is one of them"),
        }
    }
    drop((tx, Scoped(Some(rx), End::WithChannel)));
    if random.u8(0..4) == 0 && !tasks.is_empty() {
        // At some moment, at whatever await it is.
        let after = random.usize(..VALUES * producers);
        let victim = random.usize(..tasks.len());
        while ledger.operations.load(SeqCst) < after && !tasks.iter().all(JoinHandle::is_finished) {
            thread::yield_now();
        }
        tasks[victim].abort();
    }
    for task in tasks {
        if let Err(error) = runtime.block_on(task) {
            assert!(error.is_cancelled(), "{name}: {error}");
        }
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    ledger.assert_even(&name);
    ledger.operations.load(SeqCst)
}

/// A value or none, for a receiver that waits, closes, looks or goes.
fn oneshot_round(runtime: &Runtime, workers: usize, random: &mut Rng) -> usize {
    let _watched = Watched::begin(&format!("{workers} workers, oneshots, seed {}", random.get_seed()));
    let ledger = Ledger::new(1);
    let mut tasks = Vec::new();
    for number in 0..VALUES {
        let (mut tx, rx) = chan::oneshot();
        let (ledger, polls) = (ledger.clone(), number % 4);
        let (sends, receives, here) = (random.u8(0..4), random.u8(0..6), random.u8(0..4) == 0);
        let sender = async move {
            let value = ledger.make(0, number);
            match sends {
                0 => {
                    drop(tx);
                    return value.ends(End::Returned);
                }
                1 => yield_now().await,
                // Whether it is needed does not matter here.
                2 => drop(at_most(polls.min(1), tx.closed()).await),
                _ => {}
            }
            if let Err(value) = tx.send(value) {
                value.ends(End::Returned);
            }
        };
        let receiver = async move {
            let mut rx = Scoped(Some(rx), End::WithChannel);
            let received = match receives {
                0 => at_most(polls, &mut *rx).await.and_then(Result::ok),
                1 => {
                    let first = at_most(polls, &mut *rx).await;
                    rx.close();
                    // Not touched again when it has completed.
                    if first.is_some() { first.and_then(Result::ok) } else { rx.try_recv().ok() }
                }
                2 => rx.try_recv().ok(),
                _ => (&mut *rx).await.ok(),
            };
            if let Some(value) = received {
                value.ends(End::Received);
            }
        };
        tasks.push(runtime.spawn(sender));
        match here {
            true => runtime.block_on(receiver),
            false => tasks.push(runtime.spawn(receiver)),
        }
    }
    for task in tasks {
        runtime.block_on(task).unwrap();
    }
    ledger.assert_even("oneshot");
    2 * VALUES
}

/// The round that runs, and since when.
static ROUND: Mutex<Option<(String, Instant)>> = Mutex::new(None);

/// While it is there, the round must not take too long.
struct Watched;

impl Watched {
    fn begin(name: &str) -> Watched {
        *ROUND.lock().unwrap() = Some((name.to_owned(), Instant::now()));
        Watched
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        *ROUND.lock().unwrap() = None;
    }
}

fn watch() {
    thread::spawn(|| {
        loop {
            thread::sleep(Duration::from_secs(1));
            if let Some((name, since)) = &*ROUND.lock().unwrap()
                && since.elapsed() > HANGS
            {
                eprintln!("hangs: {name}");
                process::abort();
            }
        }
    });
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

/// One test, so that a watchdog knows what it looks at and rounds have the machine for themselves.
#[test]
fn every_value_is_received_or_returned_or_dropped_with_what_held_it() {
    let operations = number("GAMBOL_CHAN_OPERATIONS").unwrap_or(100_000) as usize;
    let seed = number("GAMBOL_CHAN_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("GAMBOL_CHAN_SEED={seed}");
    watch();
    for workers in [1, 2, 4] {
        let mut random = Rng::with_seed(seed.wrapping_add(workers as u64));
        let runtime = Runtime::builder().workers(workers).build().unwrap();
        let (mut made, mut rounds) = (0, 0);
        while made < operations {
            made += match rounds % 8 {
                7 => oneshot_round(&runtime, workers, &mut random),
                _ => round(&runtime, workers, &mut random),
            };
            rounds += 1;
        }
        println!("{workers} workers: {made} operations in {rounds} rounds");
    }
}
