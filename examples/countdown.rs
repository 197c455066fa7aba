//! A countdown that the return key stops: `select!` between a ticker and the input.
//!
//! The status is 0 if it came to its end and 1 if it was stopped, so that `countdown && launch` does what one expects. An input
//! that is at its end stops nothing.
//!
//! ```text
//! cargo run --example countdown [SECONDS]        # 10 if none is given, at most 3600
//! ```

use gambol::{
    io::{AsyncReadExt, stdin},
    time::{Duration, ticker},
};
use std::{env, process::ExitCode};

#[gambol::main]
async fn main() -> ExitCode {
    let text = env::args_os().nth(1).map_or("10".into(), |given| given.to_string_lossy().into_owned());
    let Some(mut left @ 0..=3600) = text.parse().ok() else {
        eprintln!("countdown: {text} is not a number of seconds from 0 to 3600");
        return ExitCode::FAILURE;
    };
    println!("{left}; the return key stops it");
    let ticks = ticker(Duration::from_secs(1));
    let mut input = stdin();
    let (mut key, mut open) = ([0], true);
    while left > 0 {
        gambol::select! {
            _ = ticks.recv() => {
                left -= 1;
                println!("{left}");
            }
            read = input.read(&mut key), if open => match read {
                Ok(1..) => {
                    println!("stopped");
                    return ExitCode::FAILURE;
                }
                _ => open = false,
            },
        }
    }
    println!("lift-off");
    ExitCode::SUCCESS
}
