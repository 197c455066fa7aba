//! How long turns take and how long tasks wait for them: histograms with one writer each, summed when somebody asks.
//!
//! Buckets are log-linear, as in HdrHistogram (Tene): 8 of equal width for each power of two, so that a bucket is at most 1/8 as wide
//! as the values in it are large, from 1 ns to 584 years. 496 buckets and a sum are 4 KiB; a worker has two such sets once its
//! runtime asks for them, and none otherwise.
//!
//! Bucket borders are such that a bucket holds `above < ns <= up_to`, so that powers of two are exact limits for whoever wants
//! "at most" (Prometheus' `le`).
//!
//! ```text
//! off   a worker's turn looks at one flag of its own memory, which stands for traces too. A wake looks at the same flag, or at one of
//!       the core's that is read-only while the runtime lives
//! on    a wake or spawn reads the clock and stores the time in the task's own word (`task/wait.rs`), which says that it is queued; a turn
//!       reads the clock twice, and counts with three loads and three stores for each of the two histograms
//! ```
//!
//! The word has 26 bits for the time. Ready tasks are looked at by few and not for long, so here a unit is 1 µs, which comes round
//! after 67 s. The clock is always the real one: a turn takes time in a runtime with virtual time too.

use crate::{
    clock,
    metrics::Counter,
    task::{Meta, TIME_MASK},
};
use std::{
    fmt,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// Buckets for each power of two: 2 to the power of this.
const BITS: u32 = 3;
/// Buckets that cover a u64.
const BUCKETS: usize = (64 - BITS as usize + 1) << BITS;

/// The bucket of a value.
#[inline]
fn index(ns: u64) -> usize {
    let n = ns.saturating_sub(1);
    let shift = (63 - (n | 1).leading_zeros()).saturating_sub(BITS);
    (shift << BITS) as usize + (n >> shift) as usize
}

/// The largest value of a bucket.
fn up_to(index: usize) -> u64 {
    if index < 2 << BITS {
        return index as u64 + 1;
    }
    let shift = (index >> BITS) as u32 - 1;
    let first = (index as u64 & ((1 << BITS) - 1)) + (1 << BITS);
    // Only that of the last bucket does not fit.
    (first + 1).checked_shl(shift).filter(|up_to| up_to >> shift == first + 1).unwrap_or(u64::MAX)
}

/// How often values were seen. One thread writes, any reads; or any write, in the set that is shared.
pub(crate) struct Buckets {
    counts: [Counter; BUCKETS],
    sum: Counter,
}

impl Buckets {
    fn new() -> Buckets {
        Buckets { counts: [const { Counter::new() }; BUCKETS], sum: Counter::new() }
    }

    #[inline]
    fn record(&self, ns: u64) {
        self.counts[index(ns)].bump();
        self.sum.add(ns);
    }

    fn record_shared(&self, ns: u64) {
        self.counts[index(ns)].bump_shared();
        self.sum.add_shared(ns);
    }

    fn reset(&self) {
        self.counts.iter().for_each(Counter::reset);
        self.sum.reset();
    }

    pub(crate) fn add_to(&self, to: &mut Histogram) {
        for (sum, count) in to.counts.iter_mut().zip(&self.counts) {
            *sum += count.get();
        }
        to.sum += self.sum.get();
    }
}

/// Both histograms of one writer.
pub(crate) struct Times {
    pub(crate) poll: Buckets,
    pub(crate) latency: Buckets,
}

/// Whether a worker, or the threads that are none, measure how long things take.
pub(crate) struct Timing {
    /// Set before the runtime's threads start.
    on: AtomicBool,
    /// Made when it is first on, and then kept for the next runtime.
    times: OnceLock<Box<Times>>,
}

impl Timing {
    pub(crate) fn new() -> Timing {
        Timing { on: AtomicBool::new(false), times: OnceLock::new() }
    }

    pub(crate) fn set(&self, on: bool) {
        if on {
            self.times.get_or_init(|| Box::new(Times { poll: Buckets::new(), latency: Buckets::new() }));
        }
        self.on.store(on, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// Where to count; none if it is off.
    pub(crate) fn get(&self) -> Option<&Times> {
        if self.is_on() { self.times.get().map(|times| &**times) } else { None }
    }

    pub(crate) fn reset(&self) {
        if let Some(times) = self.times.get() {
            times.poll.reset();
            times.latency.reset();
        }
    }
}

/// A turn that is being measured.
#[must_use]
pub(crate) struct Turn {
    began: u64,
    /// For how long the task was ready, ns.
    waited: Option<u64>,
}

impl Turn {
    /// A turn of this task begins.
    pub(crate) fn begin(meta: &Meta, coarse: u32) -> Turn {
        let began = clock::real_now();
        let (wait, since) = meta.wait();
        let waited = wait.is_none().then(|| queued_for(since, began).as_nanos() as u64);
        // From here on its word is like any other runtime's.
        meta.set_begun(coarse);
        Turn { began, waited }
    }

    /// It has ended, on the thread that owns `times`.
    pub(crate) fn end(self, times: &Times) {
        times.poll.record(clock::real_now().saturating_sub(self.began));
        if let Some(waited) = self.waited {
            times.latency.record(waited);
        }
    }

    /// It has ended, on a thread that shares `times` with others.
    pub(crate) fn end_shared(self, times: &Times) {
        times.poll.record_shared(clock::real_now().saturating_sub(self.began));
        if let Some(waited) = self.waited {
            times.latency.record_shared(waited);
        }
    }
}

/// The task goes into a queue: notes the time. Before the push, whose Release with the taker's Acquire shows it to the turn.
#[cold]
#[inline(never)]
pub(crate) fn mark_queued(meta: &Meta) {
    meta.set_queued(micros(clock::real_now()));
}

/// For how long a task of such a runtime has stood in a queue whose word has the time `since`, at `now` on the real clock.
pub(crate) fn queued_for(since: u32, now: u64) -> Duration {
    Duration::from_micros(u64::from(micros(now).wrapping_sub(since) & TIME_MASK))
}

/// The real time in the units of such a word.
fn micros(ns: u64) -> u32 {
    (ns / 1000) as u32 & TIME_MASK
}

/// How often durations were seen, in buckets.
///
/// There are 8 buckets for each power of two of nanoseconds. What is told of a single value is never too small, and too large
/// by less than 12.5 %. Count and sum are exact.
#[derive(Clone, PartialEq, Eq)]
pub struct Histogram {
    counts: Box<[u64]>,
    sum: u64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { counts: vec![0; BUCKETS].into(), sum: 0 }
    }
}

/// Some of the durations in a [`Histogram`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// They are longer than this; in the first bucket zero is among them.
    pub above: Duration,
    /// They are at most so long.
    pub up_to: Duration,
    /// How many there are.
    pub count: u64,
}

impl Histogram {
    /// How many durations were seen.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// All of them together.
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum)
    }

    /// Their mean; none if there are none.
    pub fn mean(&self) -> Option<Duration> {
        self.sum.checked_div(self.count()).map(Duration::from_nanos)
    }

    /// The duration that the part `q` of them, from 0 to 1, did not exceed: `quantile(0.5)` is the median, `quantile(1.0)` the
    /// longest. Too large by less than 12.5 %, never too small. None if there are none.
    ///
    /// # Panics
    ///
    /// When `q` is not from 0 to 1.
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        assert!((0.0..=1.0).contains(&q), "a quantile is asked for with a number from 0 to 1, not {q}");
        let count = self.count();
        // The first has rank 1, also for q = 0.
        let rank = ((count as f64 * q).ceil() as u64).clamp(1, count.max(1));
        let mut seen = 0;
        let found = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        Some(Duration::from_nanos(up_to(found)))
    }

    /// How many were at most so long: exact if `limit` is a power of two of nanoseconds or the end of another bucket, otherwise without
    /// those in the bucket that it falls into.
    pub fn at_most(&self, limit: Duration) -> u64 {
        let limit = clock::nanos(limit);
        self.counts.iter().enumerate().take_while(|(index, _)| up_to(*index) <= limit).map(|(_, count)| count).sum()
    }

    /// The buckets that are not empty, from the shortest durations to the longest.
    pub fn buckets(&self) -> impl Iterator<Item = Bucket> + '_ {
        self.counts.iter().enumerate().filter(|(_, count)| **count > 0).map(|(index, count)| Bucket {
            above: Duration::from_nanos(index.checked_sub(1).map_or(0, up_to)),
            up_to: Duration::from_nanos(up_to(index)),
            count: *count,
        })
    }
}

impl fmt::Display for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(mean), Some(half), Some(most), Some(longest)) =
            (self.mean(), self.quantile(0.5), self.quantile(0.99), self.quantile(1.0))
        else {
            return f.write_str("none");
        };
        write!(f, "{}; mean {mean:.1?}, median {half:.1?}, 99 % {most:.1?}, longest {longest:.1?}", self.count())
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.buckets().map(|bucket| (bucket.up_to, bucket.count))).finish()
    }
}

#[cfg(all(test, not(gambol_loom)))]
mod tests {
    use super::*;

    fn of(values: &[u64]) -> Histogram {
        let buckets = Buckets::new();
        values.iter().for_each(|value| buckets.record(*value));
        let mut histogram = Histogram::default();
        buckets.add_to(&mut histogram);
        histogram
    }

    #[test]
    fn buckets_follow_each_other_without_a_gap_and_are_narrow() {
        let mut above = 0;
        for i in 0..BUCKETS {
            let end = up_to(i);
            assert!(end > above, "{i}");
            assert_eq!((index(above + 1), index(end)), (i, i));
            // What is told of the smallest value in it.
            let error = (end - (above + 1)) as f64 / (above + 1) as f64;
            assert!(error <= 0.125, "{i}: {error}");
            above = end;
        }
        assert_eq!((above, index(0)), (u64::MAX, 0));
        for power in 0..64 {
            assert_eq!(up_to(index(1 << power)), 1 << power, "powers of two are limits");
        }
    }

    #[test]
    fn quantiles_are_those_of_a_sorted_list_within_the_promised_error() {
        let mut random = fastrand::Rng::with_seed(11);
        for count in [1, 2, 3, 10, 1000, 20_000] {
            let mut list: Vec<u64> = (0..count).map(|_| random.u64(..) >> random.u32(20..64)).collect();
            let histogram = of(&list);
            list.sort_unstable();
            assert_eq!(histogram.count(), count);
            assert_eq!(histogram.sum(), Duration::from_nanos(list.iter().sum()));
            for q in [0.0, 0.001, 0.25, 0.5, 0.9, 0.99, 0.999, 1.0] {
                let rank = ((count as f64 * q).ceil() as usize).max(1);
                let (exact, told) = (list[rank - 1], histogram.quantile(q).unwrap().as_nanos() as u64);
                assert!(told >= exact && (told as f64) <= 1.125 * exact.max(1) as f64, "{q}: {told} for {exact}");
            }
            for power in [0, 1, 10, 20, 30, 43] {
                let limit = 1u64 << power;
                let exact = list.iter().filter(|value| **value <= limit).count() as u64;
                assert_eq!(histogram.at_most(Duration::from_nanos(limit)), exact);
            }
            assert_eq!(histogram.buckets().map(|bucket| bucket.count).sum::<u64>(), count);
            for bucket in histogram.buckets() {
                let inside = list.iter().map(|value| Duration::from_nanos(*value));
                let inside = inside.filter(|value| {
                    (*value > bucket.above || bucket.above.is_zero() && value.is_zero()) && *value <= bucket.up_to
                });
                assert_eq!(inside.count() as u64, bucket.count);
            }
        }
    }

    #[test]
    fn an_empty_histogram_has_no_quantile() {
        let empty = of(&[]);
        assert_eq!((empty.count(), empty.sum(), empty.mean()), (0, Duration::ZERO, None));
        assert_eq!((empty.quantile(0.5), empty.buckets().next()), (None, None));
        assert_eq!(empty.to_string(), "none");
    }
}
