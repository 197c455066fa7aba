//! A limit on how often something is done that lets short bursts through.
//!
//! Permissions lie in a buffered channel. A task adds one with every tick, as long as there is room, and each request takes
//! one first. So requests pass at the rate of the ticks in the long run; but after a pause as many pass at once as the channel holds.
//! Two waves of requests come, with a pause in between that fills the channel again.
//!
//! ```text
//! cargo run --example rate_limit [PERIOD] [BURST]        # 200 ms and 3 if none is given; 1 to 10000, and 1 to 100
//! ```

use gambol::{
    chan::{self, Sender},
    time::{Duration, Instant, sleep, ticker},
};
use std::{env, process::ExitCode};

#[gambol::main]
async fn main() -> ExitCode {
    let argument =
        |n, default: &str| env::args_os().nth(n).map_or(default.into(), |given| given.to_string_lossy().into_owned());
    let (period, burst) = (argument(1, "200"), argument(2, "3"));
    let Some(millis @ 1..=10_000) = period.parse().ok() else {
        eprintln!("rate_limit: {period} is not a number of milliseconds from 1 to 10000");
        return ExitCode::FAILURE;
    };
    let Some(burst @ 1..=100) = burst.parse().ok() else {
        eprintln!("rate_limit: {burst} is not a number from 1 to 100");
        return ExitCode::FAILURE;
    };
    let period = Duration::from_millis(millis);
    let (to_permit, permissions) = chan::buffered(burst);
    for _ in 0..burst {
        to_permit.try_send(()).expect("it has room for so many");
    }
    gambol::spawn(permit(period, to_permit));

    let begin = Instant::now();
    for wave in 1..=2 {
        for request in 1..=burst + 3 {
            permissions.recv().await.expect("the ticks do not end");
            println!("{:6} ms: request {request} of wave {wave}", begin.elapsed().as_millis());
        }
        if wave == 1 {
            println!("a pause");
            sleep(period * (burst as u32 + 1)).await;
        }
    }
    ExitCode::SUCCESS
}

/// A permission with every tick. When there is no room for it, it is dropped.
async fn permit(period: Duration, permissions: Sender<()>) {
    let ticks = ticker(period);
    while ticks.recv().await.is_some() && !permissions.is_closed() {
        let _ = permissions.try_send(());
    }
}
