//! The prime sieve of Go's first tutorials: a task for each prime, which lets through what its prime does not divide.
//!
//! Unbuffered, as it is there, and at capacity 1, where two neighbours can run at a time. About 2.7 million messages for the
//! first thousand primes, in a chain that grows to a thousand tasks, many of them ready at a time. The figure is per prime, and
//! grows with their number, so it can be compared at one scale only.

use super::{ChannelKind, Kind, Workload, check};
use crate::args::Failure;
use crate::chan::{Channels, Receiver, Sender};
use crate::figure::Figure;
use crate::meter::Stopwatch;
use crate::rt::Tasks;

pub const AT_0: Workload = of("sieve-0", 0);
pub const AT_1: Workload = of("sieve-1", 1);

const ABOUT: &str = "what a prime costs among the first 1000, in a chain of a task for each";

const FIGURES: &[Figure] = &[Figure::cost("prime", "us")];

const fn of(name: &'static str, capacity: usize) -> Workload {
    Workload { name, about: ABOUT, kind: Kind::Channel(ChannelKind::Sieve { capacity }), ops: 1000, figures: FIGURES }
}

pub fn run<C: Channels>(tasks: &C::Tasks, capacity: usize, ops: u64) -> Result<Vec<f64>, Failure> {
    let (elapsed, found) = tasks.run(async move {
        let stopwatch = Stopwatch::start();
        let mut found = Vec::new();
        let (next, mut numbers) = C::bounded(capacity);
        let mut chain = vec![C::Tasks::spawn(generate(next))];
        while (found.len() as u64) < ops {
            let prime = numbers.recv().await.expect("numbers do not end");
            found.push(prime);
            let (next, passed) = C::bounded(capacity);
            chain.push(C::Tasks::spawn(filter(prime, numbers, next)));
            numbers = passed;
        }
        let elapsed = stopwatch.read();
        // The last filter has nobody to send to, so it ends, and then the one before it.
        drop(numbers);
        for task in chain {
            task.await;
        }
        (elapsed, found)
    });
    check("is the sum of the primes", found.iter().sum(), primes().take(ops as usize).sum())?;
    Ok(vec![elapsed.wall_ns(ops) / 1e3])
}

async fn generate(next: impl Sender) {
    for number in 2.. {
        if !next.send(number).await {
            return;
        }
    }
}

async fn filter(prime: u64, mut numbers: impl Receiver, next: impl Sender) {
    while let Some(number) = numbers.recv().await {
        if number % prime != 0 && !next.send(number).await {
            return;
        }
    }
}

/// The primes, by division.
fn primes() -> impl Iterator<Item = u64> {
    let is_prime = |&number: &u64| (2..number).take_while(|by| by * by <= number).all(|by| number % by != 0);
    (2..).filter(is_prime)
}

#[cfg(test)]
mod tests {
    use super::primes;

    #[test]
    fn primes_are_divided_by_nothing() {
        assert_eq!(primes().take(10).collect::<Vec<_>>(), [2, 3, 5, 7, 11, 13, 17, 19, 23, 29]);
    }
}
