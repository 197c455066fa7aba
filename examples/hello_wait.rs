//! Waiting for a task: what `hello` lacks.
//!
//! Main starts a task that greets after a second, greets first, and awaits the handle. The handle yields what the task has
//! returned, or says that it panicked or was cancelled.
//!
//! ```text
//! cargo run --example hello_wait
//! ```

use gambol::{
    task::JoinError,
    time::{Duration, sleep},
};

#[gambol::main]
async fn main() -> Result<(), JoinError> {
    let greets = gambol::spawn(async {
        sleep(Duration::from_secs(1)).await;
        println!("hello from a task");
        "and good bye"
    });
    println!("hello from main");
    println!("{}", greets.await?);
    Ok(())
}
