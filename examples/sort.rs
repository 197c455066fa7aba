//! A large list is sorted in the background, and main goes on meanwhile.
//!
//! Sorting computes for long and awaits nothing, so it goes to a thread of its own with `spawn_blocking`, and holds up no
//! worker. Main counts until the handle says that it is done.
//!
//! ```text
//! cargo run --release --example sort [LENGTH]        # 5000000 if none is given, 100000000 at most
//! ```

use gambol::time::{Duration, sleep};
use std::{env, process::ExitCode};

#[gambol::main]
async fn main() -> ExitCode {
    let text = env::args_os().nth(1).map_or("5000000".into(), |given| given.to_string_lossy().into_owned());
    let length = match text.parse() {
        Ok(length @ 0..=100_000_000) => length,
        _ => {
            eprintln!("sort: {text} is not a number from 0 to 100000000");
            return ExitCode::FAILURE;
        }
    };
    let mut list = numbers(length);
    let sorts = gambol::spawn_blocking(move || {
        list.sort();
        list
    });
    println!("sorting {length} numbers");
    let mut counted = 0;
    while !sorts.is_finished() {
        sleep(Duration::from_millis(10)).await;
        counted += 1;
    }
    println!("main has counted to {counted} meanwhile");
    match sorts.await {
        Ok(list) => {
            println!("in order: {}", list.is_sorted());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("sort: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Numbers in no order, the same each time: Knuth's linear congruential generator for 64 bits.
fn numbers(length: usize) -> Vec<u64> {
    let next = |n: &u64| Some(n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407));
    std::iter::successors(Some(1), next).take(length).collect()
}
