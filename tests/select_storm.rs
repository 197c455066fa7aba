//! No value is lost or doubled by selects over channels, whatever they do at once and whenever they are dropped.
//!
//! A round has some channels of several capacities, and actors that run selects over them: sends, receives, timers, futures, guards,
//! patterns that do not match, `default`; polled k times and dropped, for k = 0, 1, 2, .. in turn, or awaited to their end. Each
//! channel has a plain sender and a plain receiver as well, so that every select comes to its end some time; one that does not has lost
//! a wake. Each value has a card on which is written how it ended: received, returned, dropped with the future that was to send it, or
//! with the channel at the end of the round. To end twice, or never, or otherwise after its sender was told that it is sent, is a failure.
//!
//! `GAMBOL_SELECT_OPERATIONS` says how many selects are run with each number of workers (default 50,000), `GAMBOL_SELECT_SEED` where
//! the random numbers begin. A watchdog ends the process when nothing goes on for a minute. `.ci/stress` runs this for longer.

mod helpers;

use fastrand::Rng;
use futures::{executor::block_on, future::join_all};
use gambol::{
    chan::{self, Receiver, SendError, Sender},
    runtime::Runtime,
    select, sleep, yield_now,
};
use helpers::at_most;
use std::{
    backtrace::Backtrace,
    env,
    pin::pin,
    process,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

/// `usize::MAX` is without a limit.
fn channel<T>(capacity: usize) -> (chan::Sender<T>, chan::Receiver<T>) {
    if capacity == usize::MAX { chan::unbounded() } else { chan::buffered(capacity) }
}

const CAPACITIES: [usize; 6] = [0, 0, 1, 3, 128, usize::MAX];
const ACTORS: usize = 6;
/// Selects of an actor in a round.
const TURNS: usize = 100;
/// So long without a select that ends is a hang.
const HANGS: Duration = Duration::from_secs(60);

/// What is written on a card: to its sender it was said to be sent; and how it ended.
const SENT: u8 = 1;
const RECEIVED: u8 = 2;
const RETURNED: u8 = 4;
const WITH_FUTURE: u8 = 8;
const WITH_CHANNEL: u8 = 16;
const ENDS: [u8; 4] = [RECEIVED, RETURNED, WITH_FUTURE, WITH_CHANNEL];

#[derive(Default)]
struct Ledger {
    made: AtomicU64,
    ended: [AtomicU64; 4],
    /// The round is over, and the channels go with what is in them.
    over: AtomicBool,
}

struct Card {
    marks: AtomicU8,
    ledger: Arc<Ledger>,
}

struct Value {
    card: Arc<Card>,
    end: Option<u8>,
}

/// Turns made, for the watchdog.
static TURNED: AtomicU64 = AtomicU64::new(0);

impl Value {
    fn new(ledger: &Arc<Ledger>) -> Value {
        ledger.made.fetch_add(1, SeqCst);
        Value { card: Arc::new(Card { marks: AtomicU8::new(0), ledger: ledger.clone() }), end: None }
    }

    fn ends(mut self, end: u8) {
        self.end = Some(end);
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        let ledger = &self.card.ledger;
        let dropped = if ledger.over.load(SeqCst) { WITH_CHANNEL } else { WITH_FUTURE };
        let end = self.end.unwrap_or(dropped);
        let before = self.card.marks.fetch_or(end, SeqCst);
        ledger.ended[ENDS.iter().position(|one| *one == end).unwrap()].fetch_add(1, SeqCst);
        fail_if(before & !SENT != 0, "ended twice", before | end);
    }
}

impl Drop for Card {
    fn drop(&mut self) {
        let marks = *self.marks.get_mut();
        let ends = marks & !SENT;
        fail_if(!ends.is_power_of_two(), "did not end once", marks);
        fail_if(marks & SENT != 0 && ends & (RETURNED | WITH_FUTURE) != 0, "was said to be sent, and was not", marks);
    }
}

fn fail_if(fails: bool, what: &str, marks: u8) {
    if fails {
        eprintln!("a value {what}: {marks:#b}\n{}", Backtrace::force_capture());
        process::abort();
    }
}

#[derive(Clone)]
struct Channel(Sender<Value>, Receiver<Value>);

/// Who runs selects.
struct Actor {
    channels: Vec<Channel>,
    ledger: Arc<Ledger>,
    random: Rng,
}

fn received(value: Option<Value>) {
    if let Some(value) = value {
        value.ends(RECEIVED);
    }
}

fn sent(card: &Card, result: Result<(), SendError<Value>>) {
    match result {
        Ok(()) => _ = card.marks.fetch_or(SENT, SeqCst),
        Err(error) => error.into_inner().ends(RETURNED),
    }
}

impl Actor {
    /// Some channel, and a value for it.
    fn pick(&mut self) -> (Channel, Value, Arc<Card>) {
        let value = Value::new(&self.ledger);
        let card = value.card.clone();
        (self.channels[self.random.usize(..self.channels.len())].clone(), value, card)
    }

    async fn run(mut self) {
        for turn in 0..TURNS {
            let polls = match self.random.usize(..16) {
                few @ 0..8 => few,
                _ => usize::MAX,
            };
            self.turn(turn, polls).await;
            TURNED.fetch_add(1, SeqCst);
        }
    }

    async fn turn(&mut self, turn: usize, polls: usize) {
        let (Channel(tx1, rx1), value1, card1) = self.pick();
        let (Channel(tx2, rx2), value2, card2) = self.pick();
        let nap = Duration::from_micros(self.random.u64(..200));
        let chance = self.random.bool();
        // What stays here was not sent.
        let (mut kept1, mut kept2) = (None, None);
        match turn % 8 {
            0 => {
                let select = async {
                    select! {
                        result = tx1.send(value1) => sent(&card1, result),
                        value = rx2.recv() => received(value),
                    }
                };
                at_most(polls, select).await;
            }
            1 => {
                kept1 = Some(value1);
                let select = async {
                    select! {
                        result = tx1.send_from(&mut kept1) => sent(&card1, result),
                        value = rx1.recv() => received(value),
                        value = rx2.recv() => received(value),
                        _ = sleep(nap) => {}
                    }
                };
                at_most(polls, select).await;
            }
            2 => {
                (kept1, kept2) = (Some(value1), Some(value2));
                let select = async {
                    select! {
                        result = tx1.send_from(&mut kept1) => sent(&card1, result),
                        result = tx2.send_from(&mut kept2) => sent(&card2, result),
                        value = rx2.recv(), if chance => received(value),
                        default => {}
                    }
                };
                at_most(polls, select).await;
            }
            3 => {
                (kept1, kept2) = (Some(value1), Some(value2));
                let select = async {
                    select! {
                        biased;
                        value = rx1.recv() => received(value),
                        result = tx2.send_from(&mut kept2) => sent(&card2, result),
                        value = rx2.recv() => received(value),
                        result = tx1.send_from(&mut kept1) => sent(&card1, result),
                    }
                };
                at_most(polls, select).await;
            }
            4 => {
                let select = async {
                    select! {
                        Err(error) = tx1.send(value1) => sent(&card1, Err(error)),
                        Some(value) = rx2.recv() => received(Some(value)),
                        else => {}
                    }
                };
                at_most(polls, select).await;
            }
            5 => {
                kept2 = Some(value2);
                let select = async {
                    select! {
                        value = async { rx1.recv().await } => received(value),
                        result = tx2.send_from(&mut kept2), if chance => sent(&card2, result),
                        _ = yield_now(), if !chance => {}
                    }
                };
                at_most(polls, select).await;
            }
            6 => {
                // A receive that is kept while several sends come and go beside it.
                let mut receive = pin!(rx1.recv());
                kept2 = Some(value2);
                let select = async {
                    while kept2.is_some() {
                        select! {
                            value = &mut receive => return received(value),
                            result = tx2.send_from(&mut kept2) => sent(&card2, result),
                            _ = sleep(nap), if chance => {}
                        }
                    }
                };
                at_most(polls, select).await;
            }
            _ => {
                // The same arm several times.
                (kept1, kept2) = (Some(value1), Some(value2));
                let select = async {
                    select! {
                        value = rx1.recv() => received(value),
                        value = rx1.recv() => received(value),
                        value = rx2.recv() => received(value),
                        result = tx1.send_from(&mut kept1) => sent(&card1, result),
                        result = tx1.send_from(&mut kept2) => sent(&card2, result),
                    }
                };
                at_most(polls, select).await;
            }
        }
        for kept in [kept1, kept2].into_iter().flatten() {
            kept.ends(RETURNED);
        }
    }
}

/// Sends now and then, until the channel is closed.
async fn pour(tx: Sender<Value>, ledger: Arc<Ledger>, mut random: Rng) {
    loop {
        let value = Value::new(&ledger);
        let card = value.card.clone();
        let result = tx.send(value).await;
        let ends = result.is_err();
        sent(&card, result);
        if ends {
            return;
        }
        rest(&mut random).await;
        while tx.len() > 500 {
            sleep(Duration::from_micros(100)).await;
            if tx.is_closed() {
                return;
            }
        }
    }
}

/// Receives now and then, until the channel is closed.
async fn drain(rx: Receiver<Value>, mut random: Rng) {
    while let Some(value) = rx.recv().await {
        value.ends(RECEIVED);
        rest(&mut random).await;
    }
}

async fn rest(random: &mut Rng) {
    match random.usize(..8) {
        0..4 => {}
        4..6 => yield_now().await,
        _ => sleep(Duration::from_micros(random.u64(..100))).await,
    }
}

/// Whose executor runs a round.
enum Under<'a> {
    Gambol(&'a Runtime),
    /// `futures::executor::block_on` on so many threads, each with several actors in one task.
    Foreign(usize),
}

fn round(under: &Under<'_>, random: &mut Rng) {
    let ledger = Arc::new(Ledger::default());
    let many = random.usize(1..=CAPACITIES.len());
    let channels: Vec<Channel> = (0..many)
        .map(|_| {
            let (tx, rx) = match CAPACITIES[random.usize(..CAPACITIES.len())] {
                usize::MAX => chan::unbounded(),
                capacity => channel(capacity),
            };
            Channel(tx, rx)
        })
        .collect();
    let mut actors: Vec<_> = (0..ACTORS)
        .map(|_| Actor { channels: channels.clone(), ledger: ledger.clone(), random: random.fork() }.run())
        .collect();
    let pours =
        channels.iter().map(|Channel(tx, _)| pour(tx.clone(), ledger.clone(), random.fork())).collect::<Vec<_>>();
    let drains = channels.iter().map(|Channel(_, rx)| drain(rx.clone(), random.fork())).collect::<Vec<_>>();
    let close = || channels.iter().for_each(|Channel(tx, _)| _ = tx.close());
    // In some rounds selects see the end.
    let early = random.u8(..4) == 0;
    match under {
        Under::Gambol(runtime) => runtime.block_on(async {
            let plain: Vec<_> = pours.into_iter().map(|one| runtime.spawn(one)).collect();
            let plain = (plain, drains.into_iter().map(|one| runtime.spawn(one)).collect::<Vec<_>>());
            let actors: Vec<_> = actors.into_iter().map(|one| runtime.spawn(one)).collect();
            if early {
                sleep(Duration::from_millis(1)).await;
                close();
            }
            for actor in actors {
                actor.await.unwrap();
            }
            close();
            for task in plain.0.into_iter().chain(plain.1) {
                task.await.unwrap();
            }
        }),
        Under::Foreign(threads) => thread::scope(|scope| {
            scope.spawn(|| block_on(join_all(pours)));
            scope.spawn(|| block_on(join_all(drains)));
            let share = actors.len().div_ceil(*threads);
            let mut running = Vec::new();
            while !actors.is_empty() {
                let some = actors.split_off(actors.len().saturating_sub(share));
                running.push(scope.spawn(|| block_on(join_all(some))));
            }
            if early {
                thread::sleep(Duration::from_millis(1));
                close();
            }
            running.into_iter().for_each(|thread| _ = thread.join().unwrap());
            close();
        }),
    }
    ledger.over.store(true, SeqCst);
    drop(channels);
    let ended: u64 = ledger.ended.iter().map(|count| count.load(SeqCst)).sum();
    assert_eq!(ledger.made.load(SeqCst), ended, "{:?}", ledger.ended);
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

/// Ends the process when nothing goes on.
fn watch() {
    thread::spawn(|| {
        let mut last = u64::MAX;
        loop {
            let now = TURNED.load(SeqCst);
            if now == last {
                eprintln!("no select has ended for {HANGS:?}, after {now}");
                process::abort();
            }
            last = now;
            thread::sleep(HANGS);
        }
    });
}

#[test]
fn selects_lose_no_value() {
    watch();
    let operations = number("GAMBOL_SELECT_OPERATIONS").unwrap_or(50_000);
    let seed = number("GAMBOL_SELECT_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("GAMBOL_SELECT_SEED={seed}");
    let mut random = Rng::with_seed(seed);
    let rounds = operations.div_ceil((ACTORS * TURNS) as u64);
    for workers in [1, 2, 4] {
        let runtime = Runtime::builder().workers(workers).build().unwrap();
        (0..rounds).for_each(|_| round(&Under::Gambol(&runtime), &mut random));
        println!("{workers} workers: {} selects in {rounds} rounds", rounds as usize * ACTORS * TURNS);
    }
    for threads in [1, 3] {
        (0..rounds).for_each(|_| round(&Under::Foreign(threads), &mut random));
        println!("{threads} foreign threads: {} selects in {rounds} rounds", rounds as usize * ACTORS * TURNS);
    }
}
