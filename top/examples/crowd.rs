//! A program to look at: a crowd that sleeps, one that waits for a channel, a pair that sends to and fro, and every now and then a
//! task that blocks its thread. It ends when its standard input does.
//!
//! ```text
//! GAMBOL_TOP=crowd.sock cargo run -p gambol-top --example crowd
//! cargo run -p gambol-top -- crowd.sock
//! ```

use gambol::{
    chan,
    io::{self, AsyncReadExt},
    time::{Duration, sleep},
};
use std::thread;

#[gambol::main]
async fn main() -> io::Result<()> {
    let (sender, receiver) = chan::unbuffered::<()>();
    for number in 0..100 {
        let receiver = receiver.clone();
        gambol::spawn(async move { receiver.recv().await });
        gambol::spawn(async move {
            loop {
                sleep(Duration::from_millis(100 + number)).await;
            }
        });
    }
    let (there, back) = (chan::buffered(1), chan::buffered(1));
    gambol::spawn(async move {
        while let Some(number) = there.1.recv().await {
            let _ = back.0.send(number + 1_u64).await;
        }
    });
    gambol::spawn(async move {
        let _ = there.0.send(0).await;
        while let Some(number) = back.1.recv().await {
            sleep(Duration::from_millis(1)).await;
            let _ = there.0.send(number).await;
        }
    });
    gambol::spawn(async {
        loop {
            sleep(Duration::from_secs(1)).await;
            // The wrong way to wait, to be seen.
            thread::sleep(Duration::from_millis(200));
        }
    });
    println!("ready");
    let result = io::stdin().read_to_end(&mut Vec::new()).await;
    drop(sender);
    result.map(drop)
}
