//! Several servers are asked for the same; the first answer wins, and the other questions are taken back.
//!
//! The servers are tasks of this program and listen on this machine. Each takes its time before it answers, and would rather not
//! work for nothing: while it works it looks whether the client is still there. One address is wrong, and fails at once; an
//! error wins nothing.
//!
//! A question is a task. The set that they are in aborts them, which drops their connections, and that is how the servers know.
//!
//! ```text
//! cargo run --example first_response [MILLIS]...        # what each server takes: 300 100 200 if nothing is given; at most 60000
//! ```

use gambol::{
    chan::{self, Receiver},
    io::{self, AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{Duration, Instant, sleep},
};
use std::{env, net::SocketAddr, process::ExitCode};

#[gambol::main]
async fn main() -> ExitCode {
    let mut delays = Vec::new();
    for text in env::args_os().skip(1).map(|given| given.to_string_lossy().into_owned()) {
        let Some(millis @ 0..=60_000) = text.parse().ok() else {
            eprintln!("first_response: {text} is not a number of milliseconds from 0 to 60000");
            return ExitCode::FAILURE;
        };
        delays.push(Duration::from_millis(millis));
    }
    if delays.is_empty() {
        delays.extend([300, 100, 200].map(Duration::from_millis));
    }
    match run(&delays).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("first_response: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(delays: &[Duration]) -> io::Result<()> {
    let dead = TcpListener::bind("127.0.0.1:0").await?;
    let mut addresses = vec![dead.local_addr()?];
    let mut servers = JoinSet::new();
    // Nothing is ever sent there: that it is closed says that it is over.
    let (asking, over) = chan::unbuffered();
    for (delay, number) in delays.iter().zip(1..) {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        addresses.push(listener.local_addr()?);
        servers.spawn(serve(number, listener, *delay, over.clone()));
    }
    // Now that nobody else can get its address.
    drop(dead);

    let begin = Instant::now();
    let answer = first(&addresses).await;
    println!("{} after {} ms", answer.unwrap_or("no answer".into()), begin.elapsed().as_millis());
    drop(asking);
    while let Some(served) = servers.join_next().await {
        served.map_err(io::Error::other)??;
    }
    Ok(())
}

/// The first answer. None: all have failed.
async fn first(addresses: &[SocketAddr]) -> Option<String> {
    let mut questions: JoinSet<_> = addresses.iter().map(|address| ask(*address)).collect();
    while let Some(answered) = questions.join_next().await {
        match answered.expect("nobody aborts them, and they do not panic") {
            // The set goes, and the other questions with it.
            Ok(answer) => return Some(answer),
            Err(error) => println!("one has failed: {error}"),
        }
    }
    None
}

async fn ask(address: SocketAddr) -> io::Result<String> {
    let mut server = TcpStream::connect(address).await?;
    let mut answer = String::new();
    server.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// Serves one client.
async fn serve(number: usize, listener: TcpListener, delay: Duration, over: Receiver<()>) -> io::Result<()> {
    let (mut client, _) = gambol::select! {
        biased;
        accepted = listener.accept() => accepted?,
        _ = over.recv() => {
            println!("server {number} was not even asked");
            return Ok(());
        }
    };
    gambol::select! {
        () = sleep(delay) => client.write_all(format!("the answer of server {number}").as_bytes()).await,
        _ = (&client).read(&mut [0]) => {
            println!("server {number} stops: the client has gone");
            Ok(())
        }
    }
}
