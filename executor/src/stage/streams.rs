//! What a seeded runtime draws: three streams of numbers from one seed.
//!
//! They are apart so that the order of the tasks is the same for any number of workers: who runs a task is drawn from one
//! stream, which task runs from another, and what tasks draw for themselves comes from a third.

/// A generator: wyrand, as behind `context::random`.
pub(super) struct Stream(u64);

impl Stream {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x2d35_8dcc_aa6c_78a5);
        let product = u128::from(self.0) * u128::from(self.0 ^ 0x8bb8_4b93_962e_acc9);
        (product >> 64) as u64 ^ product as u64
    }

    /// A number below `n`, which is not zero. Uneven by n/2^64.
    pub(super) fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }
}

/// See the head of this file.
pub(super) struct Streams {
    /// Who acts next.
    pub(super) order: Stream,
    /// As which worker.
    pub(super) lanes: Stream,
    /// Where the random choices of whoever acts begin.
    pub(super) choices: Stream,
}

impl Streams {
    pub(super) fn new(seed: u64) -> Streams {
        // Seeds are often small and close together; what is drawn from them is not.
        let mut root = Stream(seed);
        Streams { order: Stream(root.next()), lanes: Stream(root.next()), choices: Stream(root.next()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_reaches_every_place_and_none_beyond() {
        let mut stream = Streams::new(1).order;
        let mut counts = [0; 7];
        (0..7000).for_each(|_| counts[stream.below(7)] += 1);
        assert!(counts.iter().all(|&count| (800..1200).contains(&count)), "{counts:?}");
        assert_eq!(stream.below(1), 0);
    }

    #[test]
    fn streams_of_neighbouring_seeds_are_different() {
        let first: Vec<u64> = (0..100).map(|seed| Streams::new(seed).order.next()).collect();
        let mut unique = first.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), first.len());
    }
}
