//! Ways to hold up a worker until somebody says so, for the tests of relief.
#![allow(dead_code, reason = "each test file uses its own part of this")]

use super::common::LIMIT;
use gambol_executor::block_in_place;
use std::{
    sync::{Arc, Mutex, mpsc},
    task::Wake,
    thread,
    time::{Duration, Instant},
};

/// How a task holds up its worker until it is told to go on.
#[derive(Clone, Copy, Debug)]
pub enum Hold {
    Sleeps,
    Spins,
    Says,
}

impl Hold {
    pub const ALL: [Hold; 3] = [Hold::Sleeps, Hold::Spins, Hold::Says];
    /// Those of which the task does not say that it blocks.
    pub const UNSAID: [Hold; 2] = [Hold::Sleeps, Hold::Spins];

    pub fn until(self, told: &mpsc::Receiver<()>) {
        match self {
            Hold::Sleeps => told.recv().unwrap(),
            Hold::Spins => {
                while told.try_recv().is_err() {
                    std::hint::spin_loop();
                }
            }
            Hold::Says => block_in_place(|| told.recv().unwrap()),
        }
    }
}

/// Waits until `met`, by looking.
pub fn settles(what: &str, met: impl Fn() -> bool) {
    let start = Instant::now();
    while !met() {
        assert!(start.elapsed() < LIMIT, "{what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// A waker that holds up whoever wakes it until it is told to return.
pub struct Holds(pub Hold, pub mpsc::Sender<()>, pub Mutex<mpsc::Receiver<()>>);

impl Wake for Holds {
    fn wake(self: Arc<Self>) {
        self.1.send(()).unwrap();
        self.0.until(&self.2.lock().unwrap());
    }
}
