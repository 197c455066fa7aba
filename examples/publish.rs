//! A function that returns at once and has something done later.
//!
//! `publish` starts a task that prints a text after a delay, and returns the task's handle. Whoever calls it goes on
//! without waiting, and may drop the handle: the task goes on all the same. Main waits for the last of them, since the
//! program ends with main.
//!
//! ```text
//! cargo run --example publish
//! ```

use gambol::{
    task::{JoinError, JoinHandle},
    time::{Duration, sleep},
};

#[gambol::main]
async fn main() -> Result<(), JoinError> {
    drop(publish("a task started this.", Duration::from_secs(1)));
    println!("let's hope the news comes before main leaves.");
    let last = publish("and a second one this.", Duration::from_millis(1500));
    println!("main has started both and could do something else.");
    last.await
}

/// Prints `text` after `delay`. Returns at once.
fn publish(text: &'static str, delay: Duration) -> JoinHandle<()> {
    gambol::spawn(async move {
        sleep(delay).await;
        println!("breaking news: {text}");
    })
}
