//! An echo on the network that fades: each line comes back loud, as it was, and low.
//!
//! Each shout echoes in a task of its own, so that a client may go on shouting while earlier ones fade away. At the end of
//! its input the server waits for the last of them before it closes the connection.
//!
//! ```text
//! cargo run --example reverb [ADDRESS] [DELAY]        # 127.0.0.1:8000 and 1000 ms if none is given; 0 to 60000
//! cargo run --example netcat3 [ADDRESS]               # or nc
//! ```

use gambol::{
    io::{self, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{OwnedWriteHalf, TcpListener, TcpStream},
    sync::Mutex,
    task::JoinSet,
    time::{Duration, sleep},
};
use std::{env, process::ExitCode, sync::Arc};

/// Longer lines are cut: a client that never ends its line fills no memory.
const LONGEST: u64 = 4096;
/// Shouts of one client that echo at one time. Then it is read no further until one has faded.
const SHOUTS: usize = 100;

#[gambol::main]
async fn main() -> ExitCode {
    let argument = |n| env::args_os().nth(n).map(|given| given.to_string_lossy().into_owned());
    let address = argument(1).unwrap_or_else(|| "127.0.0.1:8000".to_owned());
    let text = argument(2).unwrap_or_else(|| "1000".to_owned());
    let delay = match text.parse() {
        Ok(millis @ 0..=60_000) => Duration::from_millis(millis),
        _ => {
            eprintln!("reverb: {text} is not a number of milliseconds from 0 to 60000");
            return ExitCode::FAILURE;
        }
    };
    match serve(&address, delay).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("reverb: cannot listen on {address}: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(address: &str, delay: Duration) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    eprintln!("listening on {}", listener.local_addr()?);
    loop {
        match listener.accept().await {
            // A client that goes away ends its own echo only.
            Ok((client, _)) => drop(gambol::spawn(answer(client, delay))),
            Err(error) => eprintln!("reverb: cannot accept: {error}"),
        }
    }
}

/// Reads a client's shouts and has them echo.
async fn answer(client: TcpStream, delay: Duration) -> io::Result<()> {
    let (from_client, to_client) = client.into_split();
    let mut from_client = BufReader::new(from_client);
    let to_client = Arc::new(Mutex::new(to_client));
    let mut echoes = JoinSet::new();
    loop {
        let mut line = Vec::new();
        if (&mut from_client).take(LONGEST).read_until(b'\n', &mut line).await? == 0 {
            break;
        }
        let shout = String::from_utf8_lossy(&line).trim_end().to_owned();
        while echoes.try_join_next().is_some() {}
        if echoes.len() == SHOUTS {
            echoes.join_next().await;
        }
        echoes.spawn(echo(to_client.clone(), shout, delay));
    }
    while echoes.join_next().await.is_some() {}
    Ok(())
}

/// Answers three times, fading.
async fn echo(to_client: Arc<Mutex<OwnedWriteHalf>>, shout: String, delay: Duration) -> io::Result<()> {
    for text in [shout.to_uppercase(), shout.clone(), shout.to_lowercase()] {
        // Held for the whole line, so that no two mix.
        to_client.lock().await.write_all(format!("\t{text}\n").as_bytes()).await?;
        sleep(delay).await;
    }
    Ok(())
}
