//! How far a comparison has come: one line on stderr, rewritten where that is a terminal, and otherwise a line for each
//! measurement.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

/// The measurements of a run and how many of them are over.
pub struct Progress {
    all: usize,
    over: usize,
    begun: Instant,
    is_terminal: bool,
}

impl Progress {
    /// Starts with so many measurements to come.
    pub fn start(all: usize) -> Self {
        Progress { all, over: 0, begun: Instant::now(), is_terminal: stderr().is_terminal() }
    }

    /// A measurement begins.
    pub fn begin(&self, what: &str) {
        let (number, all) = (self.over + 1, self.all);
        let left = remaining(self.begun.elapsed(), self.over, all).map_or(String::new(), |left| format!(", {left}"));
        if self.is_terminal {
            // Without wrapping, since only one line can be rewritten. Nobody reads the line if it cannot be written.
            let _ = write!(stderr(), "\r\x1b[K\x1b[?7l{number} of {all}{left}: {what}\x1b[?7h");
        } else {
            eprintln!("{number} of {all}{left}: {what}");
        }
    }

    /// A measurement has ended.
    pub fn end(&mut self) {
        self.over += 1;
        self.make_way();
    }

    /// Something else will be written.
    fn make_way(&self) {
        if self.is_terminal {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}

/// By the mean of what is over, which is rough: workloads differ.
fn remaining(elapsed: Duration, over: usize, all: usize) -> Option<String> {
    if over == 0 {
        return None;
    }
    let left = elapsed.as_secs_f64() / over as f64 * (all - over) as f64;
    Some(if left < 60.0 { format!("about {left:.0} s left") } else { format!("about {:.0} min left", left / 60.0) })
}

#[cfg(test)]
mod tests {
    use super::remaining;
    use std::time::Duration;

    #[test]
    fn the_time_left_is_known_after_the_first_measurement() {
        assert_eq!(remaining(Duration::from_secs(3), 0, 9), None);
        assert_eq!(remaining(Duration::from_secs(3), 1, 9).unwrap(), "about 24 s left");
        assert_eq!(remaining(Duration::from_secs(90), 3, 9).unwrap(), "about 3 min left");
    }
}
