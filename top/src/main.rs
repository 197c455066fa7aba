//! `gambol-top`: looks at a running gambol program, and refreshes each second what its tasks and workers do.
//!
//! The program opens a socket of the Unix domain: with `GAMBOL_TOP=path` in its environment, or by `Handle::serve_top`.
//!
//! ```text
//! GAMBOL_TOP=/run/user/1000/chat cargo run --example chat &
//! cargo run -p gambol-top -- /run/user/1000/chat
//! ```

#[cfg(unix)]
mod app;
#[cfg(unix)]
mod client;
#[cfg(unix)]
mod page;
#[cfg(unix)]
mod text;
#[cfg(unix)]
mod view;

#[cfg(unix)]
fn main() -> std::process::ExitCode {
    app::main()
}

#[cfg(not(unix))]
fn main() -> std::process::ExitCode {
    eprintln!("gambol-top: there are no such sockets on this system");
    std::process::ExitCode::FAILURE
}
