//! A deadlock that is reported: two tasks and two channels, and each of the two wants to hear from the other before it says something.
//!
//! A second after nothing can go on any more, the report tells who waits for what, and where each task was spawned. Without a hook gambol
//! prints it and leaves the program as it is; the hook here prints it and ends the program, which is what Go does.
//!
//! With `--thread` a plain thread holds a sender of one of the channels. Nobody can know what it is going to do, so there is no report. In
//! fact it sends something after three seconds, and all end.
//!
//! ```text
//! cargo run --example deadlock                      # the report after a second, and status 2; on Linux
//! cargo run --example deadlock -- --thread          # nothing for three seconds, then the end
//! ```

use gambol::{
    chan::{self, Receiver, Sender},
    runtime::{Deadlock, Runtime},
};
use std::{
    env,
    process::{ExitCode, exit},
    thread,
    time::Duration,
};

fn main() -> ExitCode {
    let thread = match env::args_os().nth(1) {
        None => false,
        Some(flag) if flag == "--thread" => true,
        Some(other) => {
            eprintln!("deadlock: {} is not --thread", other.to_string_lossy());
            return ExitCode::FAILURE;
        }
    };
    let tell = |deadlock: &Deadlock| {
        eprintln!("gambol: {deadlock}");
        exit(2)
    };
    let runtime = match Runtime::builder().on_deadlock(tell).build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("deadlock: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(embrace(thread));
    ExitCode::SUCCESS
}

async fn embrace(thread: bool) {
    let (to_juliet, juliet_hears) = chan::unbuffered();
    let (to_romeo, romeo_hears) = chan::unbuffered();
    if thread {
        let to_romeo = to_romeo.clone();
        thread::spawn(move || {
            thread::sleep(Duration::from_secs(3));
            let _ = to_romeo.send_blocking("a thread");
        });
    }
    let romeo = gambol::spawn(wait("Romeo", romeo_hears, to_juliet));
    let juliet = gambol::spawn(wait("Juliet", juliet_hears, to_romeo));
    let _ = romeo.await;
    let _ = juliet.await;
}

/// Each waits for a word before it says one itself.
async fn wait(name: &'static str, hears: Receiver<&'static str>, says: Sender<&'static str>) {
    if let Some(from) = hears.recv().await {
        println!("{name} has heard from {from}");
    }
    let _ = says.send(name).await;
}
