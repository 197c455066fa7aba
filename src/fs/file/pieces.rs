//! What was written and is not yet in the system's hands: bytes, and where each write ends.

use std::{
    io::{self, ErrorKind, IoSlice, Write},
    mem,
};

/// Bytes that wait at most.
pub(super) const MOST_BYTES: usize = 1 << 20;
/// Writes that wait at most, so that the list of their ends stays short beside the bytes.
const MOST_PIECES: usize = 4096;

/// Writes, in order.
#[derive(Default)]
pub(super) struct Pieces {
    bytes: Vec<u8>,
    /// Where each write ends in `bytes`, ascending.
    ends: Vec<usize>,
    /// Up to here the system has taken them.
    done: usize,
}

impl Pieces {
    pub(super) fn is_empty(&self) -> bool {
        self.done == self.bytes.len()
    }

    /// Bytes that are not yet written.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.done
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.done = 0;
    }

    /// Takes one write, given in slices: whole if it fits, nothing if it would fit later, and so much as possible if it never
    /// will. None: there is no room now.
    pub(super) fn push(&mut self, slices: &[IoSlice<'_>]) -> Option<usize> {
        if self.is_empty() {
            self.clear();
        }
        let whole: usize = slices.iter().fold(0, |sum, slice| sum.saturating_add(slice.len()));
        let mut left = whole.min(MOST_BYTES);
        if self.len() + left > MOST_BYTES || self.ends.len() >= MOST_PIECES {
            return None;
        }
        let taken = left;
        for slice in slices {
            let n = left.min(slice.len());
            self.bytes.extend_from_slice(&slice[..n]);
            left -= n;
        }
        self.ends.push(self.bytes.len());
        Some(taken)
    }

    /// Takes the last write back, if it is so long.
    pub(super) fn retract(&mut self, taken: usize) {
        let before = self.ends.len().checked_sub(2).map_or(0, |index| self.ends[index]);
        if self.ends.last().is_some_and(|end| end - before == taken) && before >= self.done {
            self.ends.pop();
            self.bytes.truncate(before);
        }
    }

    /// Puts others behind these. Those are empty then.
    pub(super) fn append(&mut self, later: &mut Pieces) {
        let offset = self.bytes.len();
        self.bytes.extend_from_slice(&later.bytes[later.done..]);
        self.ends.extend(later.ends.iter().filter(|&&end| end > later.done).map(|end| end - later.done + offset));
        later.clear();
    }

    /// Hands them to the system one by one. After an error those that it has not taken are left.
    pub(super) fn write_to(&mut self, mut file: impl Write) -> io::Result<()> {
        let ends = mem::take(&mut self.ends);
        let mut result = Ok(());
        'pieces: for &end in &ends {
            while self.done < end {
                match file.write(&self.bytes[self.done..end]) {
                    Ok(0) => result = Err(ErrorKind::WriteZero.into()),
                    Ok(n) => self.done += n,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => result = Err(error),
                }
                if result.is_err() {
                    break 'pieces;
                }
            }
        }
        self.ends = ends;
        if result.is_ok() {
            self.clear();
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes at most so many bytes at a time, and fails when it has taken `room`.
    struct Narrow {
        taken: Vec<Vec<u8>>,
        at_once: usize,
        room: usize,
    }

    impl Write for Narrow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.room == 0 {
                return Err(ErrorKind::StorageFull.into());
            }
            let n = bytes.len().min(self.at_once).min(self.room);
            self.taken.push(bytes[..n].to_vec());
            self.room -= n;
            Ok(n)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn push(pieces: &mut Pieces, bytes: &[u8]) -> Option<usize> {
        pieces.push(&[IoSlice::new(bytes)])
    }

    #[test]
    fn each_write_stays_one() {
        let mut pieces = Pieces::default();
        assert_eq!(push(&mut pieces, b"one"), Some(3));
        assert_eq!(pieces.push(&[IoSlice::new(b"tw"), IoSlice::new(b""), IoSlice::new(b"o")]), Some(3));
        let mut narrow = Narrow { taken: Vec::new(), at_once: 100, room: 100 };
        pieces.write_to(&mut narrow).unwrap();
        assert_eq!(narrow.taken, [b"one", b"two"]);
        assert!(pieces.is_empty());
    }

    #[test]
    fn what_does_not_fit_now_waits_and_what_never_fits_is_cut() {
        let mut pieces = Pieces::default();
        assert_eq!(push(&mut pieces, &vec![0; MOST_BYTES + 5]), Some(MOST_BYTES));
        assert_eq!(push(&mut pieces, b"x"), None);
        pieces.clear();
        assert_eq!(push(&mut pieces, b"x"), Some(1));
        assert_eq!(push(&mut pieces, &vec![0; MOST_BYTES]), None);
        assert_eq!(push(&mut pieces, &vec![0; MOST_BYTES - 1]), Some(MOST_BYTES - 1));
        pieces.clear();
        for _ in 0..MOST_PIECES {
            assert_eq!(push(&mut pieces, b"y"), Some(1));
        }
        assert_eq!(push(&mut pieces, b"y"), None);
    }

    #[test]
    fn what_could_not_be_written_is_left_in_order() {
        for room in 0..10 {
            let mut first = Pieces::default();
            push(&mut first, b"abc");
            push(&mut first, b"defg");
            let mut narrow = Narrow { taken: Vec::new(), at_once: 2, room };
            let result = first.write_to(&mut narrow);
            assert_eq!(result.is_ok(), room >= 7);
            let mut second = Pieces::default();
            push(&mut second, b"hi");
            push(&mut second, b"jkl");
            first.append(&mut second);
            assert!(second.is_empty());
            first.retract(2);
            first.retract(3);
            assert_eq!(first.len(), 9 - room.min(7));
            narrow.room = 100;
            first.write_to(&mut narrow).unwrap();
            assert_eq!(narrow.taken.concat(), b"abcdefghi", "room for {room}");
        }
    }
}
