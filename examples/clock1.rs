//! A clock on the network that serves one client at a time: the next one waits until the first has gone.
//!
//! It tells the time of day once a second. UTC: std knows no time zones.
//!
//! ```text
//! cargo run --example clock1 [ADDRESS]        # 127.0.0.1:8000 if none is given; port 0 lets the system choose
//! cargo run --example netcat1 [ADDRESS]
//! ```
//!
//! `clock2` serves them all. The two differ in one line.

use gambol::{
    io::{self, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{Duration, MissedTick, interval},
};
use std::{env, process::ExitCode, time::SystemTime};

#[gambol::main]
async fn main() -> ExitCode {
    let address = env::args_os().nth(1).map_or("127.0.0.1:8000".into(), |given| given.to_string_lossy().into_owned());
    match serve(&address).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("clock1: cannot listen on {address}: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(address: &str) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    eprintln!("listening on {}", listener.local_addr()?);
    loop {
        match listener.accept().await {
            Ok((client, _)) => tell_time(client).await,
            // Out of descriptors, mostly. The listener waits a little before it tries again, so this is no busy loop.
            Err(error) => eprintln!("clock1: cannot accept: {error}"),
        }
    }
}

/// Tells a client the time until it goes away.
async fn tell_time(mut client: TcpStream) {
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick(MissedTick::Skip);
    loop {
        ticks.tick().await;
        if client.write_all(time_of_day().as_bytes()).await.is_err() {
            return;
        }
    }
}

fn time_of_day() -> String {
    let seconds = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs());
    format!("{:02}:{:02}:{:02}\n", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60)
}
