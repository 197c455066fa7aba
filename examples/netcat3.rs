//! Talks with a server: what is typed goes to the socket, what comes from the socket is printed.
//!
//! At the end of the input it tells the server so, by ending the write direction only, and goes on printing until the server
//! has said all. When the server ends, the program does too, though somebody may still be about to type.
//!
//! ```text
//! cargo run --example netcat3 [ADDRESS]        # 127.0.0.1:8000 if none is given
//! ```

use gambol::{
    io::{self, stdin, stdout},
    net::TcpStream,
};
use std::{env, process::ExitCode};

#[gambol::main]
async fn main() -> ExitCode {
    let address = env::args_os().nth(1).map_or("127.0.0.1:8000".into(), |given| given.to_string_lossy().into_owned());
    let server = match TcpStream::connect(&address).await {
        Ok(server) => server,
        Err(error) => {
            eprintln!("netcat3: cannot connect to {address}: {error}");
            return ExitCode::FAILURE;
        }
    };
    let (from_server, to_server) = server.into_split();
    // The end of the task drops `to_server`, which tells the server that no more will come.
    gambol::spawn(async move { io::copy(stdin(), to_server).await });
    match io::copy(from_server, stdout()).await {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("netcat3: {error}");
            ExitCode::FAILURE
        }
    }
}
