//! From the key that the kernel hands back to the source that was registered under it.
//!
//! A key is never given out twice while this table lives (2^64 registrations; where words are short, a key in use is
//! skipped when the counter comes round). So an event for a descriptor that is closed finds nothing, whatever
//! descriptor has taken its number since.
//!
//! Left aside: a slab with a generation in each slot. It looks up a few nanoseconds faster, but it gives memory back only
//! as far as its last occupied slot, and one long-lived connection at the end keeps a peak for ever. A map shrinks
//! regardless of who survives, and the counter is a generation that does not wrap.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::source::Source;
use crate::sync::Arc;

/// The first key that a descriptor can have; smaller ones belong to the poller itself.
pub(crate) const FIRST_KEY: u64 = 2;
/// The last one: `usize::MAX` is the key of `polling`'s own descriptors.
const LAST_KEY: u64 = usize::MAX as u64 - 1;
/// A map of no more than this is not worth shrinking.
const SMALL: usize = 64;

/// A plain value: its lock is the poller's.
pub(crate) struct Table {
    sources: HashMap<u64, Arc<Source>, BuildHasherDefault<KeyHasher>>,
    next: u64,
    closed: bool,
}

impl Table {
    pub(crate) fn new() -> Table {
        Table { sources: HashMap::default(), next: FIRST_KEY, closed: false }
    }

    /// Makes a source under a fresh key, unless the table is closed.
    pub(crate) fn insert(&mut self, make: impl FnOnce(u64) -> Arc<Source>) -> Option<(u64, Arc<Source>)> {
        if self.closed {
            return None;
        }
        let key = loop {
            let key = self.next;
            self.next = if key == LAST_KEY { FIRST_KEY } else { key + 1 };
            if !self.sources.contains_key(&key) {
                break key;
            }
        };
        let source = make(key);
        self.sources.insert(key, Arc::clone(&source));
        Some((key, source))
    }

    pub(crate) fn get(&self, key: u64) -> Option<&Arc<Source>> {
        self.sources.get(&key)
    }

    /// The source is the caller's to drop when the lock is released.
    #[must_use]
    pub(crate) fn remove(&mut self, key: u64) -> Option<Arc<Source>> {
        let removed = self.sources.remove(&key);
        // A quarter full: halve it. Each halving is paid for by the removals since the last.
        if self.sources.capacity() > SMALL && self.sources.len() < self.sources.capacity() / 4 {
            self.sources.shrink_to(self.sources.capacity() / 2);
        }
        removed
    }

    /// Takes no more sources, and gives up those that it has.
    pub(crate) fn close(&mut self) -> impl Iterator<Item = Arc<Source>> + use<> {
        self.closed = true;
        std::mem::take(&mut self.sources).into_values()
    }

    /// Appends some of the sources, after the first `seen`, in an order that holds as long as nobody comes or goes.
    pub(crate) fn page(&self, seen: usize, page: &mut Vec<Arc<Source>>) {
        let room = page.capacity() - page.len();
        page.extend(self.sources.values().skip(seen).take(room).cloned());
    }

    /// In no order.
    pub(crate) fn sources(&self) -> impl Iterator<Item = &Source> {
        self.sources.values().map(|source| &**source)
    }

    pub(crate) fn len(&self) -> usize {
        self.sources.len()
    }
}

/// Keys count upwards and nobody can choose them, so a multiplication spreads them well enough (Fibonacci hashing: Knuth, The
/// Art of Computer Programming 3, 6.4). The rotation brings the well-mixed upper bits down to where the map takes its
/// bucket from.
#[derive(Default)]
pub(crate) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write_u64(&mut self, key: u64) {
        self.0 = key.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(32);
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are hashed as one u64");
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(all(test, not(gambol_loom)))]
mod tests {
    use super::*;

    fn insert(table: &mut Table) -> u64 {
        table.insert(Source::detached).unwrap().0
    }

    #[test]
    fn a_key_is_not_given_out_again() {
        let mut table = Table::new();
        let first = insert(&mut table);
        assert!(table.remove(first).is_some());
        let second = insert(&mut table);
        assert_ne!(first, second);
        assert!(table.get(first).is_none());
        assert!(table.remove(first).is_none());
    }

    #[test]
    fn a_key_in_use_is_skipped_when_the_counter_comes_round() {
        let mut table = Table::new();
        let first = insert(&mut table);
        table.next = LAST_KEY;
        assert_eq!(insert(&mut table), LAST_KEY);
        assert_eq!(insert(&mut table), first + 1);
    }

    /// Prints how long the table is held for the last page of many.
    #[test]
    #[ignore = "a measurement"]
    fn a_page_behind_a_hundred_thousand() {
        let mut table = Table::new();
        for _ in 0..100_000 {
            insert(&mut table);
        }
        let mut page = Vec::with_capacity(256);
        let mut holds: Vec<_> = (0..101)
            .map(|_| {
                page.clear();
                let begin = std::time::Instant::now();
                table.page(100_000 - 256, &mut page);
                begin.elapsed()
            })
            .collect();
        assert_eq!(page.len(), 256);
        holds.sort_unstable();
        eprintln!("the last page takes {:?}, at most {:?}", holds[50], holds[100]);
    }

    #[test]
    fn memory_comes_back_after_a_peak_whoever_survives_it() {
        let mut table = Table::new();
        let keys: Vec<u64> = (0..10_000).map(|_| insert(&mut table)).collect();
        let peak = table.sources.capacity();
        for key in &keys[..9_999] {
            drop(table.remove(*key));
        }
        assert!(peak >= 10_000);
        assert!(table.sources.capacity() <= 2 * SMALL, "{}", table.sources.capacity());
        assert!(table.get(keys[9_999]).is_some());
    }
}
