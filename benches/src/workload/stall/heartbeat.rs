//! A heartbeat beside the trouble: a task that sleeps 5 ms again and again, and notes the time of each beat.
//!
//! Two figures: the longest time between two neighbouring beats, of which at least a part lies within the trouble, so 5 ms at
//! best; and the time from the start of the trouble until the last of its tasks has ended, so 1000 ms at best. It goes on until the
//! heart has beaten again, however long that takes: a stall that outlasts the trouble counts in full.

use super::trouble::{Span, Trouble};
use super::{WARM_UP, millis};
use crate::args::Failure;
use crate::rt::Runtime;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const PERIOD: Duration = Duration::from_millis(5);

pub fn run<R: Runtime>(rt: &R, trouble: Trouble) -> Result<Vec<f64>, Failure> {
    let (span, beats) = rt.run(async move {
        let goes_on = Arc::new(AtomicBool::new(true));
        let heart = R::spawn(beat::<R>(goes_on.clone()));
        let _ = R::sleep(WARM_UP).await;
        let span = trouble.happen::<R>().await;
        goes_on.store(false, Ordering::Relaxed);
        (span, heart.await)
    });
    let span = span?;
    if beats.first().is_none_or(|&first| first > span.start) {
        return Err("the heart did not beat before the trouble".into());
    }
    Ok(vec![millis(longest_gap(&beats, &span)), millis(span.end - span.start)])
}

/// Beats until it is told to stop, and then once more.
async fn beat<R: Runtime>(goes_on: Arc<AtomicBool>) -> Vec<Instant> {
    let mut beats = Vec::with_capacity(4096);
    while goes_on.load(Ordering::Relaxed) {
        beats.push(Instant::now());
        let _ = R::sleep(PERIOD).await;
    }
    beats.push(Instant::now());
    beats
}

/// Of the gaps that have a part in the span.
fn longest_gap(beats: &[Instant], span: &Span) -> Duration {
    let pairs = beats.windows(2).filter(|pair| pair[1] > span.start && pair[0] < span.end);
    pairs.map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Span, longest_gap};
    use std::time::{Duration, Instant};

    #[test]
    fn a_gap_counts_in_full_if_a_part_of_it_is_within_the_trouble() {
        let zero = Instant::now();
        let at = |millis: u64| zero + Duration::from_millis(millis);
        let beats = [0, 50, 55, 65, 90, 100, 200].map(at);
        let gap = |start, end| longest_gap(&beats, &Span { start: at(start), end: at(end) }).as_millis();
        assert_eq!(gap(51, 99), 25);
        assert_eq!(gap(49, 64), 50);
        assert_eq!(gap(50, 101), 100);
        assert_eq!(gap(56, 60), 10);
    }
}
