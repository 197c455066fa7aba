//! Something that turns while something slow is computed.
//!
//! The computation never awaits, so it runs on a thread where that is allowed. Main waits for its end and for the ticks between which
//! the bar turns, whichever comes first; the one and the other go on until then.
//!
//! ```text
//! cargo run --example spinner [N]        # the Nth Fibonacci number in the slowest way: 40 if none is given, at most 60
//! ```

use gambol::time::{Duration, ticker};
use std::{
    env,
    io::{Write, stdout},
    process::ExitCode,
};

#[gambol::main]
async fn main() -> ExitCode {
    let text = env::args_os().nth(1).map_or("40".into(), |given| given.to_string_lossy().into_owned());
    let Some(n @ 0..=60) = text.parse().ok() else {
        eprintln!("spinner: {text} is not a number from 0 to 60");
        return ExitCode::FAILURE;
    };
    let mut slow = gambol::spawn_blocking(move || fibonacci(n));
    let ticks = ticker(Duration::from_millis(100));
    let mut bars = ['-', '\\', '|', '/'].into_iter().cycle();
    let outcome = loop {
        gambol::select! {
            outcome = &mut slow => break outcome,
            _ = ticks.recv() => {
                print!("\r{}", bars.next().unwrap_or_default());
                let _ = stdout().flush();
            }
        }
    };
    match outcome {
        Ok(number) => {
            println!("\rfibonacci({n}) = {number}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("\rspinner: {error}");
            ExitCode::FAILURE
        }
    }
}

fn fibonacci(n: u64) -> u64 {
    if n < 2 { n } else { fibonacci(n - 1) + fibonacci(n - 2) }
}
