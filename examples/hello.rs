//! Starting a task, and what the end of main means.
//!
//! Main starts a task that would greet after a second, greets, and returns. The program ends with main, so the task
//! never greets. To wait for it, main would await its handle.
//!
//! ```text
//! cargo run --example hello
//! ```

use gambol::time::{Duration, sleep};

#[gambol::main]
async fn main() {
    gambol::spawn(async {
        sleep(Duration::from_secs(1)).await;
        println!("hello from a task");
    });
    println!("hello from main");
}
