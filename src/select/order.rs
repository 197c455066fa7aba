//! In which order the arms are polled.
//!
//! By chance, each time anew: of all orders each is as likely as any other, so of any arms that are ready together each comes
//! first equally often. To begin at a random arm and go round would be cheaper and is not even: of the first and the second of
//! four arms, the first would win three times out of four.
//!
//! The order is drawn step by step (Fisher and Yates), so what is not asked for is not drawn. One number of 64 bits serves five
//! steps: read as a fraction and multiplied by the number of arms left, its whole part is the choice, and the rest is the
//! fraction for the next step. Five steps use up at most 30 bits, so no order is preferred by more than one in 2^34.

use crate::chan::{Owed, Word};
use gambol_executor::random;
use std::ptr;

/// Gives each number below the number of arms once.
pub trait Order {
    /// Room for the lock of each arm's channel.
    type Words: AsRef<[*const Word]> + AsMut<[*const Word]> + Copy;

    /// Room for what each arm owes.
    type Debts: AsMut<[Owed]>;

    /// Begins.
    fn new() -> Self;

    /// Begins, for the other way round.
    fn backwards() -> Self;

    /// No locks yet.
    fn words() -> Self::Words;

    /// Nothing yet.
    fn debts() -> Self::Debts;

    /// The next one; None: that was all.
    fn next(&mut self) -> Option<usize>;
}

/// In the order of the source: `biased`.
#[derive(Debug)]
pub struct InTurn<const N: usize> {
    next: usize,
    backwards: bool,
}

impl<const N: usize> Order for InTurn<N> {
    type Words = [*const Word; N];
    type Debts = [Owed; N];

    #[inline]
    fn words() -> [*const Word; N] {
        [ptr::null(); N]
    }

    #[inline]
    fn debts() -> [Owed; N] {
        [const { Owed::new() }; N]
    }

    #[inline]
    fn new() -> InTurn<N> {
        InTurn { next: 0, backwards: false }
    }

    #[inline]
    fn backwards() -> InTurn<N> {
        InTurn { next: 0, backwards: true }
    }

    #[inline]
    fn next(&mut self) -> Option<usize> {
        if self.next == N {
            return None;
        }
        self.next += 1;
        Some(if self.backwards { N - self.next } else { self.next - 1 })
    }
}

/// In any order.
#[derive(Debug)]
pub struct Shuffled<const N: usize> {
    /// What was given, up to `next`; behind that what is left.
    order: [u8; N],
    next: usize,
    fraction: u64,
}

/// Steps for which one number is enough.
const STEPS: usize = 5;

impl<const N: usize> Shuffled<N> {
    const IN_TURN: [u8; N] = {
        let (mut order, mut index) = ([0; N], 0);
        while index < N {
            order[index] = index as u8;
            index += 1;
        }
        order
    };
}

impl<const N: usize> Order for Shuffled<N> {
    type Words = [*const Word; N];
    type Debts = [Owed; N];

    #[inline]
    fn words() -> [*const Word; N] {
        [ptr::null(); N]
    }

    #[inline]
    fn debts() -> [Owed; N] {
        [const { Owed::new() }; N]
    }

    #[inline]
    fn new() -> Shuffled<N> {
        Shuffled { order: Self::IN_TURN, next: 0, fraction: 0 }
    }

    #[inline]
    fn backwards() -> Shuffled<N> {
        Shuffled::new()
    }

    #[inline]
    fn next(&mut self) -> Option<usize> {
        let step = self.next;
        if step == N {
            return None;
        }
        self.next += 1;
        let left = N - step;
        if left > 1 {
            if step.is_multiple_of(STEPS) {
                self.fraction = random();
            }
            let product = u128::from(self.fraction) * left as u128;
            self.fraction = product as u64;
            self.order.swap(step, step + (product >> 64) as usize);
        }
        Some(usize::from(self.order[step]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::HashMap, iter};

    fn draw<O: Order>() -> Vec<usize> {
        let mut order = O::new();
        iter::from_fn(|| order.next()).collect()
    }

    #[test]
    fn every_arm_comes_once() {
        for _ in 0..100 {
            let mut order = draw::<Shuffled<64>>();
            order.sort_unstable();
            assert_eq!(order, (0..64).collect::<Vec<_>>());
        }
        assert_eq!(draw::<Shuffled<1>>(), [0]);
        assert_eq!(draw::<InTurn<3>>(), [0, 1, 2]);
    }

    /// How often each of `outcomes` comes, in so many rounds, is within five standard deviations of its due.
    fn is_even(outcomes: usize, counts: &HashMap<Vec<usize>, u32>, rounds: u32) {
        assert_eq!(counts.len(), outcomes);
        let chance = 1.0 / outcomes as f64;
        let (due, deviation) = (f64::from(rounds) * chance, (f64::from(rounds) * chance * (1.0 - chance)).sqrt());
        for (order, count) in counts {
            assert!((f64::from(*count) - due).abs() < 5.0 * deviation, "{order:?} came {count} times, due {due}");
        }
    }

    #[test]
    fn every_order_is_as_likely_as_any_other() {
        let rounds = 240_000;
        let mut counts = HashMap::new();
        for _ in 0..rounds {
            *counts.entry(draw::<Shuffled<4>>()).or_insert(0) += 1;
        }
        is_even(24, &counts, rounds);
    }

    #[test]
    fn each_place_of_many_goes_to_each_arm_equally_often() {
        let rounds = 32_000;
        let mut places = [[0u32; 32]; 32];
        for _ in 0..rounds {
            for (place, arm) in draw::<Shuffled<32>>().into_iter().enumerate() {
                places[place][arm] += 1;
            }
        }
        // The standard deviation is 31. Of 1,024 figures one is beyond seven of them in 400 million runs.
        for count in places.as_flattened() {
            assert!(count.abs_diff(1000) < 7 * 31, "{count} times, due 1000");
        }
    }
}
