//! What the connections of a server have done, as they tell at their end.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};

/// Counts the connections down and adds up what they have done.
pub struct Tally {
    /// Connections that have not ended.
    left: AtomicU64,
    /// What the others have done.
    sum: AtomicU64,
    done: Sender<io::Result<u64>>,
}

impl Tally {
    /// For so many connections. The receiver gets the sum when all have ended, and each error at once.
    pub fn new(connections: u64) -> (Arc<Self>, Receiver<io::Result<u64>>) {
        let (done, receiver) = mpsc::channel();
        (Arc::new(Tally { left: AtomicU64::new(connections), sum: AtomicU64::new(0), done }), receiver)
    }

    /// A connection has ended, having echoed so many bytes or answered so many requests.
    pub fn ended(&self, result: io::Result<u64>) {
        let result = match result {
            Err(error) => Err(error),
            Ok(amount) => {
                self.sum.fetch_add(amount, Ordering::Relaxed);
                // Release and Acquire: the last one sees what all have added.
                if self.left.fetch_sub(1, Ordering::AcqRel) > 1 {
                    return;
                }
                Ok(self.sum.load(Ordering::Relaxed))
            }
        };
        // Fails when nobody waits for the result any more; then nobody needs it.
        let _ = self.done.send(result);
    }
}
