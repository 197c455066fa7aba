//! From the key that the kernel hands back to the source that was registered under it.
//!
//! A key is the number of a place and a serial number, and a source is found by it only if it is the source's own. So an event for a
//! descriptor that is closed finds nothing, whatever descriptor has taken its number and its place since. The serial
//! numbers come round after 2^32 registrations (2^10 where words are short). An event would have to be on its way for all of them, or
//! come from a descriptor that was abandoned so long ago, and the place be taken by the very last: then that one's tasks look for
//! nothing, which they must expect anyway.
//!
//! Places stand in pages of 64. A page that empties is freed, all but one, so a long-lived connection keeps its page from a peak and
//! no more; what stays of every page is its pointer, an eighth of a byte for each place.
//!
//! Left: a hash map from a counter that never comes round. It took 28 bytes for each of ten thousand sources; this takes 8.4, and finds
//! one by two loads.

use std::array;

use crate::source::Source;
use crate::sync::Arc;

/// The first key that a descriptor can have; smaller ones belong to the poller itself.
#[allow(dead_code, reason = "only the road on Linux has such keys")]
pub(crate) const FIRST_KEY: u64 = 1 << PLACE_BITS;

/// The bits of a key that tell the place. All of it fits into a word, as it must for `polling`.
const PLACE_BITS: u32 = if usize::BITS == 64 { 32 } else { 22 };
/// Serial numbers are less than this; the greatest possible is left out, since the key `usize::MAX` is `polling`'s.
const SERIALS: u64 = (1 << (usize::BITS - PLACE_BITS)) - 1;
/// Places in a page.
const PAGE: usize = 64;

/// A plain value: its lock is the poller's.
pub(crate) struct Table {
    /// By number. None: there are no sources.
    pages: Vec<Option<Box<Page>>>,
    /// The numbers of pages that have room, and of all that are not there; each once. The last one is used. One that is full meanwhile is
    /// found out when its turn comes. Of those that are there, the last at most is empty.
    open: Vec<u32>,
    /// The serial number of the last key, from 1 on.
    serial: u64,
    len: usize,
    closed: bool,
}

struct Page {
    sources: [Option<Arc<Source>>; PAGE],
    /// A bit for each place.
    vacant: u64,
    /// Its number is among those that are open.
    is_open: bool,
}

impl Table {
    pub(crate) fn new() -> Table {
        Table { pages: Vec::new(), open: Vec::new(), serial: 0, len: 0, closed: false }
    }

    /// Makes a source under a fresh key, unless the table is closed.
    ///
    /// # Panics
    ///
    /// When all places are taken: four million, where words have 32 bits.
    pub(crate) fn insert(&mut self, make: impl FnOnce(u64) -> Arc<Source>) -> Option<(u64, Arc<Source>)> {
        if self.closed {
            return None;
        }
        let number = self.page_with_room();
        self.serial = self.serial % (SERIALS - 1) + 1;
        let page = self.pages[number as usize].get_or_insert_with(|| Box::new(Page::new()));
        let place = page.vacant.trailing_zeros();
        let key = (self.serial << PLACE_BITS) + u64::from(number) * PAGE as u64 + u64::from(place);
        let source = make(key);
        page.sources[place as usize] = Some(Arc::clone(&source));
        page.vacant &= page.vacant - 1;
        self.len += 1;
        Some((key, source))
    }

    #[inline]
    pub(crate) fn get(&self, key: u64) -> Option<&Arc<Source>> {
        let (number, place) = split(key);
        let page = self.pages.get(number)?.as_ref()?;
        page.sources[place].as_ref().filter(|source| source.key() == key)
    }

    /// In no order.
    pub(crate) fn sources(&self) -> impl Iterator<Item = &Source> {
        self.pages.iter().flatten().flat_map(|page| page.iter()).map(|source| &**source)
    }

    /// The source is the caller's to drop when the lock is released.
    #[must_use]
    pub(crate) fn remove(&mut self, key: u64) -> Option<Arc<Source>> {
        self.get(key)?;
        let (number, place) = split(key);
        let page = self.pages[number].as_mut()?;
        let removed = page.sources[place].take();
        page.vacant |= 1 << place;
        self.len -= 1;
        if !page.is_open {
            page.is_open = true;
            self.free_if_empty(self.open.last().copied());
            self.open.push(number as u32);
        } else if self.open.last() != Some(&(number as u32)) {
            self.free_if_empty(Some(number as u32));
        }
        removed
    }

    /// Takes no more sources, and gives up those that it has.
    pub(crate) fn close(&mut self) -> impl Iterator<Item = Arc<Source>> + use<> {
        self.closed = true;
        self.len = 0;
        self.open = Vec::new();
        std::mem::take(&mut self.pages).into_iter().flatten().flat_map(|page| page.sources.into_iter().flatten())
    }

    /// Appends some of the sources, after the first `seen`, in an order that holds as long as nobody comes or goes.
    pub(crate) fn page(&self, mut seen: usize, page: &mut Vec<Arc<Source>>) {
        for one in self.pages.iter().flatten() {
            if seen >= one.len() {
                seen -= one.len();
                continue;
            }
            let room = page.capacity() - page.len();
            if room == 0 {
                break;
            }
            page.extend(one.iter().skip(seen).take(room).cloned());
            seen = 0;
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The number of a page that has room, or is not there yet.
    fn page_with_room(&mut self) -> u32 {
        while let Some(&number) = self.open.last() {
            match &mut self.pages[number as usize] {
                Some(page) if page.vacant == 0 => page.is_open = false,
                _ => return number,
            }
            self.open.pop();
        }
        let number = self.pages.len();
        assert!(number < (1 << PLACE_BITS) / PAGE, "too many descriptors are registered");
        self.pages.push(None);
        self.open.push(number as u32);
        number as u32
    }

    /// A page that is among the open ones.
    fn free_if_empty(&mut self, number: Option<u32>) {
        if let Some(number) = number
            && let page = &mut self.pages[number as usize]
            && page.as_ref().is_some_and(|page| page.len() == 0)
        {
            *page = None;
        }
    }
}

impl Page {
    /// Of which the number is open.
    fn new() -> Page {
        Page { sources: array::from_fn(|_| None), vacant: u64::MAX, is_open: true }
    }

    fn iter(&self) -> impl Iterator<Item = &Arc<Source>> {
        self.sources.iter().flatten()
    }

    fn len(&self) -> usize {
        PAGE - self.vacant.count_ones() as usize
    }
}

/// The number of the page, and the place in it.
fn split(key: u64) -> (usize, usize) {
    let place = (key & ((1 << PLACE_BITS) - 1)) as usize;
    (place / PAGE, place % PAGE)
}

#[cfg(all(test, not(gambol_loom)))]
mod tests {
    use super::*;
    use std::collections::HashMap;

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
    fn the_serial_numbers_come_round_and_leave_out_the_keys_of_others() {
        let mut table = Table::new();
        table.serial = SERIALS - 2;
        let last = insert(&mut table);
        assert_eq!(last >> PLACE_BITS, SERIALS - 1);
        assert!(last < usize::MAX as u64);
        let first = insert(&mut table);
        assert_eq!(first >> PLACE_BITS, 1);
        assert!(first >= FIRST_KEY);
        assert!(table.get(last).is_some() && table.get(first).is_some());
    }

    /// Random operations on the table and on a map, compared after each.
    #[test]
    fn the_table_does_what_a_map_does() {
        let mut table = Table::new();
        let mut naive: HashMap<u64, Arc<Source>> = HashMap::new();
        let mut keys = Vec::new();
        let mut random = 0x9E37_79B9_7F4A_7C15_u64;
        for turn in 0..50_000 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            // It grows and shrinks by turns.
            let grows = turn / 5_000 % 2 == 0;
            if random % 8 < if grows { 6 } else { 2 } {
                let (key, source) = table.insert(Source::detached).unwrap();
                assert!(naive.insert(key, source).is_none());
                keys.push(key);
            } else if !keys.is_empty() {
                // Sometimes one that was removed before.
                let place = (random >> 8) as usize % keys.len();
                let key = if random >> 40 & 7 == 0 { keys[place] } else { keys.swap_remove(place) };
                assert_eq!(table.remove(key).is_some(), naive.remove(&key).is_some());
            }
            if let Some(key) = keys.last() {
                let same = |one: Option<&Arc<Source>>| one.map(Arc::as_ptr);
                assert_eq!(same(table.get(*key)), same(naive.get(key)));
            }
            assert_eq!(table.len(), naive.len());
            let empty = table.pages.iter().flatten().filter(|page| page.len() == 0);
            assert!(empty.count() <= 1);
        }
        assert_eq!(table.sources().count(), naive.len());
        let mut page = Vec::with_capacity(100);
        let mut seen = 0;
        while seen < naive.len() {
            table.page(seen, &mut page);
            assert_eq!(page.len(), 100.min(naive.len() - seen));
            assert!(page.iter().all(|source| naive.contains_key(&source.key())));
            seen += page.len();
            page.clear();
        }
        assert_eq!(table.close().count(), naive.len());
        assert!(table.insert(Source::detached).is_none());
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
        for key in &keys[..9_999] {
            drop(table.remove(*key));
        }
        assert!(table.pages.iter().flatten().count() <= 2);
        assert!(table.get(keys[9_999]).is_some());
    }
}
