//! Two tasks that go on at the same time.
//!
//! Each says its word five times, 100 ms apart, so the words mix. Which of the two comes first is not said, and may differ
//! from time to time.
//!
//! ```text
//! cargo run --example say
//! ```

use gambol::{
    task::JoinError,
    time::{Duration, sleep},
};

#[gambol::main]
async fn main() -> Result<(), JoinError> {
    let world = gambol::spawn(say("world"));
    say("hello").await;
    world.await
}

async fn say(word: &str) {
    for n in 1..=5 {
        sleep(Duration::from_millis(100)).await;
        println!("{n} {word}");
    }
}
