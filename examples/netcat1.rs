//! Prints what a server sends: one direction, from the socket to the standard output.
//!
//! ```text
//! cargo run --example netcat1 [ADDRESS]        # 127.0.0.1:8000 if none is given
//! ```

use gambol::{
    io::{self, stdout},
    net::TcpStream,
};
use std::{env, process::ExitCode};

#[gambol::main]
async fn main() -> ExitCode {
    let address = env::args_os().nth(1).map_or("127.0.0.1:8000".into(), |given| given.to_string_lossy().into_owned());
    let server = match TcpStream::connect(&address).await {
        Ok(server) => server,
        Err(error) => {
            eprintln!("netcat1: cannot connect to {address}: {error}");
            return ExitCode::FAILURE;
        }
    };
    match io::copy(&server, stdout()).await {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("netcat1: {error}");
            ExitCode::FAILURE
        }
    }
}
