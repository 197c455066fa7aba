//! How far a comparison has come: one line on stderr, rewritten where that is a terminal, and otherwise a line for each
//! measurement.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

/// The measurements of a run and how many of them are over. Their seconds are a guess, of which only the proportions count.
pub struct Progress {
    all: usize,
    over: usize,
    seconds: f64,
    seconds_over: f64,
    begun: Instant,
    is_terminal: bool,
}

impl Progress {
    /// Starts with so many measurements to come, which take so many seconds.
    pub fn start(all: usize, seconds: f64) -> Self {
        let is_terminal = stderr().is_terminal();
        Progress { all, over: 0, seconds, seconds_over: 0.0, begun: Instant::now(), is_terminal }
    }

    /// A measurement begins.
    pub fn begin(&self, what: &str) {
        let (number, all) = (self.over + 1, self.all);
        let left = remaining(self.begun.elapsed(), self.seconds_over, self.seconds);
        let left = left.map_or(String::new(), |left| format!(", {left}"));
        if self.is_terminal {
            // Without wrapping, since only one line can be rewritten. Nobody reads the line if it cannot be written.
            let _ = write!(stderr(), "\r\x1b[K\x1b[?7l{number} of {all}{left}: {what}\x1b[?7h");
        } else {
            eprintln!("{number} of {all}{left}: {what}");
        }
    }

    /// A measurement has ended, which counted so many seconds.
    pub fn end(&mut self, seconds: f64) {
        self.over += 1;
        self.seconds_over += seconds;
        self.make_way();
    }

    /// Something else will be written.
    fn make_way(&self) {
        if self.is_terminal {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}

/// By the pace until now.
fn remaining(elapsed: Duration, over: f64, all: f64) -> Option<String> {
    if over == 0.0 {
        return None;
    }
    let left = elapsed.as_secs_f64() / over * (all - over).max(0.0);
    Some(if left < 60.0 { format!("about {left:.0} s left") } else { format!("about {:.0} min left", left / 60.0) })
}

#[cfg(test)]
mod tests {
    use super::remaining;
    use std::time::Duration;

    #[test]
    fn the_time_left_is_known_after_the_first_measurement() {
        assert_eq!(remaining(Duration::from_secs(3), 0.0, 9.0), None);
        assert_eq!(remaining(Duration::from_secs(3), 1.0, 9.0).unwrap(), "about 24 s left");
        assert_eq!(remaining(Duration::from_secs(90), 3.0, 9.0).unwrap(), "about 3 min left");
    }
}
