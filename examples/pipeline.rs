//! A pipeline: stages joined by channels, and the slow one done by several tasks at once.
//!
//! The first stage counts. The second takes numbers, as many tasks as there are workers, and finds how many steps each takes
//! to 1 if it is halved when it is even, and tripled plus one when it is odd. The last stage is main, which prints those that
//! take 350 steps or more.
//!
//! Fan-out and fan-in are clones of a receiver and of a sender. When main has seen enough it drops its receiver: the next send
//! into that channel fails, who sent it ends and drops what it has, and so on up to the first stage. Nobody has to be told.
//!
//! ```text
//! cargo run --release --example pipeline [COUNT]        # 10 if none is given, 1 to 1000
//! ```

use gambol::{
    chan::{self, Receiver, Sender},
    runtime::Handle,
    task::JoinError,
};
use std::{env, process::ExitCode};

/// Numbers that wait between two stages. No stage is further ahead of the next one.
const ROOM: usize = 64;

const LONG: u32 = 350;

#[gambol::main]
async fn main() -> ExitCode {
    let text = env::args_os().nth(1).map_or("10".into(), |given| given.to_string_lossy().into_owned());
    let Some(count @ 1..=1000) = text.parse().ok() else {
        eprintln!("pipeline: {text} is not a number from 1 to 1000");
        return ExitCode::FAILURE;
    };
    match run(count).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pipeline: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(count: usize) -> Result<(), JoinError> {
    let (to_find, numbers) = chan::buffered(ROOM);
    let counter = gambol::spawn(count_up(to_find));

    let (to_print, long) = chan::buffered(ROOM);
    let finders: Vec<_> = (0..Handle::current().metrics().workers())
        .map(|_| gambol::spawn(find(numbers.clone(), to_print.clone())))
        .collect();
    // Those of main would keep the channels open.
    drop((numbers, to_print));

    for _ in 0..count {
        let Some((number, steps)) = long.recv().await else { break };
        println!("{number} takes {steps} steps");
    }
    drop(long);

    for (finder, n) in finders.into_iter().zip(1..) {
        println!("finder {n} has ended after {} numbers", finder.await?);
    }
    println!("the counter has ended at {}", counter.await?);
    Ok(())
}

/// The first stage.
async fn count_up(to: Sender<u64>) -> u64 {
    let mut number = 1;
    while to.send(number).await.is_ok() {
        number += 1;
    }
    number
}

/// The second stage: as many of it as one likes.
async fn find(from: Receiver<u64>, to: Sender<(u64, u32)>) -> u64 {
    let mut looked_at = 0;
    while let Some(number) = from.recv().await {
        looked_at += 1;
        let steps = steps(number);
        if steps >= LONG && to.send((number, steps)).await.is_err() {
            break;
        }
    }
    looked_at
}

fn steps(number: u64) -> u32 {
    // They climb far above the number itself.
    let mut n = u128::from(number);
    let mut steps = 0;
    while n != 1 {
        n = if n % 2 == 0 { n / 2 } else { 3 * n + 1 };
        steps += 1;
    }
    steps
}
