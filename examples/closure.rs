//! A task and its parent share a variable.
//!
//! In Go a closure may write a variable that others read at the same time, and nobody says a word. Here the compiler refuses
//! that: the task's block must own what it uses. Three ways that it accepts, from the simplest on: the task gives the value back when it
//! ends; both share it under a lock; the task stays on its parent's thread, where a `Cell` will do.
//!
//! ```text
//! cargo run --example closure
//! ```

use gambol::task::{JoinError, yield_now};
use std::{
    cell::Cell,
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
};

#[gambol::main(local)]
async fn main() -> Result<(), JoinError> {
    // Given and taken back.
    let mut count = 1;
    count = gambol::spawn(async move {
        count += 1;
        count
    })
    .await?;
    println!("given and taken back: {count}");

    // Shared. std's lock: nothing is awaited while it is held.
    let shared = Arc::new(Mutex::new(0));
    let tasks: Vec<_> = (0..10)
        .map(|_| {
            let shared = shared.clone();
            gambol::spawn(async move {
                for _ in 0..1000 {
                    *shared.lock().unwrap_or_else(PoisonError::into_inner) += 1;
                    yield_now().await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await?;
    }
    println!("shared under a lock by ten tasks: {}", shared.lock().unwrap_or_else(PoisonError::into_inner));

    // On this thread.
    let near = Rc::new(Cell::new(0));
    let other = near.clone();
    let task = gambol::spawn_local(async move {
        for _ in 0..3 {
            other.set(other.get() + 1);
            yield_now().await;
        }
    });
    while !task.is_finished() {
        println!("on one thread: {}", near.get());
        yield_now().await;
    }
    task.await
}
