//! Work that is split among tasks and put together again.
//!
//! The numbers up to a limit are cut into ranges, a task counts the primes of each, and the results are taken as they come.
//! The ranges' work differs, so the tasks do not end in order; as many run at one time as there are workers.
//!
//! ```text
//! cargo run --release --example fork_join [LIMIT]        # 2000000 if none is given, 100000000 at most
//! ```

use gambol::task::{JoinError, JoinSet, consume_budget};
use std::{env, ops::Range, process::ExitCode};

const RANGES: u32 = 16;

#[gambol::main]
async fn main() -> ExitCode {
    let text = env::args_os().nth(1).map_or("2000000".into(), |given| given.to_string_lossy().into_owned());
    let limit = match text.parse() {
        Ok(limit @ 0..=100_000_000) => limit,
        _ => {
            eprintln!("fork_join: {text} is not a number from 0 to 100000000");
            return ExitCode::FAILURE;
        }
    };
    match count(limit).await {
        Ok(primes) => {
            println!("{primes} primes below {limit}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("fork_join: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The primes below `limit`: forks, and joins.
async fn count(limit: u32) -> Result<usize, JoinError> {
    let step = limit.div_ceil(RANGES).max(1);
    let mut set = JoinSet::new();
    for n in 0..RANGES {
        set.spawn(primes((n * step).min(limit)..((n + 1) * step).min(limit)));
    }
    let mut sum = 0;
    while let Some(found) = set.join_next().await {
        let (range, primes) = found?;
        println!("{primes} from {} to {}", range.start, range.end);
        sum += primes;
    }
    Ok(sum)
}

/// By trial division, which takes its time.
async fn primes(range: Range<u32>) -> (Range<u32>, usize) {
    let mut primes = 0;
    for n in range.clone() {
        let mut divisors = (2..).take_while(|d| d * d <= n);
        primes += usize::from(n >= 2 && divisors.all(|d| n % d != 0));
        // It computes for long, so it lets others run from time to time.
        consume_budget().await;
    }
    (range, primes)
}
