//! Sends each datagram back to where it came from: one socket, and as many tasks as there are processors that read from it.
//!
//! Not for the open network: with a forged sender, two of them would answer each other for ever.
//!
//! ```text
//! cargo run --example udp_echo [ADDRESS]        # 127.0.0.1:8000 if none is given; port 0 lets the system choose
//! nc -u 127.0.0.1 8000
//! ```

use gambol::{
    io::{self, ErrorKind},
    net::UdpSocket,
};
use std::{env, process::ExitCode, sync::Arc, thread};

/// No datagram is longer.
const LONGEST: usize = 64 * 1024;

#[gambol::main]
async fn main() -> ExitCode {
    let address = env::args_os().nth(1).unwrap_or_else(|| "127.0.0.1:8000".into());
    let address = address.to_string_lossy();
    let socket = match bind(&address).await {
        Ok(socket) => Arc::new(socket),
        Err(error) => {
            eprintln!("udp_echo: cannot bind to {address}: {error}");
            return ExitCode::FAILURE;
        }
    };
    // Main is one of them.
    let others = thread::available_parallelism().map_or(1, |n| n.get()) - 1;
    for _ in 0..others {
        gambol::spawn(echo(socket.clone()));
    }
    let error = echo(socket).await;
    eprintln!("udp_echo: cannot receive: {error}");
    ExitCode::FAILURE
}

async fn bind(address: &str) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(address).await?;
    eprintln!("listening on {}", socket.local_addr()?);
    Ok(socket)
}

/// Answers until the socket fails.
async fn echo(socket: Arc<UdpSocket>) -> io::Error {
    let mut datagram = vec![0; LONGEST];
    loop {
        match socket.recv_from(&mut datagram).await {
            Ok((n, peer)) => {
                if let Err(error) = socket.send_to(&datagram[..n], peer).await {
                    eprintln!("udp_echo: cannot answer {peer}: {error}");
                }
            }
            // Windows tells so that an earlier answer found nobody.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            Err(error) => return error,
        }
    }
}
