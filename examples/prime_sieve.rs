//! The primes, by a chain of tasks that grows by one with each of them.
//!
//! The first task counts from 2. The first number that comes out of the chain is a prime; a task is put behind it that passes on
//! what that prime does not divide. So a number that has passed all of them is the next prime. The channels have no queue: each
//! number is handed from task to task, and none runs ahead.
//!
//! At the end main aborts the first task. That drops its sender, so the second finds its channel closed and ends, then the third, and
//! so on to the last.
//!
//! ```text
//! cargo run --release --example prime_sieve [COUNT]        # 100 if none is given, 1 to 10000
//! ```

use gambol::{
    chan::{self, Receiver, Sender},
    task::JoinSet,
};
use std::{env, process::ExitCode};

#[gambol::main]
async fn main() -> ExitCode {
    let text = env::args_os().nth(1).map_or("100".into(), |given| given.to_string_lossy().into_owned());
    let Some(count @ 1..=10_000) = text.parse().ok() else {
        eprintln!("prime_sieve: {text} is not a number from 1 to 10000");
        return ExitCode::FAILURE;
    };
    let mut chain = JoinSet::new();
    let (to, mut numbers) = chan::unbuffered();
    let counter = chain.spawn(count_up(to));
    for _ in 0..count {
        let prime = numbers.recv().await.expect("the counter does not end by itself");
        println!("{prime}");
        let (to, passed) = chan::unbuffered();
        chain.spawn(filter(prime, numbers, to));
        numbers = passed;
    }
    counter.abort();
    // What the last one has found already, nobody will take.
    drop(numbers);
    while chain.join_next().await.is_some() {}
    println!("the chain of {count} filters has ended");
    ExitCode::SUCCESS
}

/// Sends 2, 3, 4 and so on.
async fn count_up(to: Sender<u32>) {
    let mut number = 2;
    while to.send(number).await.is_ok() {
        number += 1;
    }
}

/// Passes on what `prime` does not divide.
async fn filter(prime: u32, from: Receiver<u32>, to: Sender<u32>) {
    while let Some(number) = from.recv().await {
        if number % prime != 0 && to.send(number).await.is_err() {
            return;
        }
    }
}
