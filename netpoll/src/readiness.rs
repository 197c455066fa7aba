//! The readiness of one descriptor: one word of bits and a generation, and every transition that it can make.
//!
//! # The word
//!
//! Each bit: who sets it, who clears it, what it is never together with or without.
//!
//! | bit | set by | cleared by | never |
//! | --- | --- | --- | --- |
//! | `READ` | a delivery, `assume`, birth if dormant | `clear`, `would_block`, `distrust` | absent while `READ_CLOSED` stands |
//! | `WRITE` | a delivery, `assume`, birth if dormant | `clear`, `would_block`, `distrust` | absent while `WRITE_CLOSED` stands |
//! | `READ_CLOSED` | a delivery: the peer will send no more, or an urgent byte parts the data | `would_block` of the reader | without `READ` |
//! | `WRITE_CLOSED` | a delivery: hung up | `would_block` of the writer | without `WRITE` |
//! | `ERROR` | a delivery | `clear` and `would_block` of either direction | it decides nothing, it informs |
//! | `READ_WAITERS` | `enrol` | a delivery that sets `READ`, `vacate`, `retire` | with `READ`, `DEREGISTERED` or `GONE` |
//! | `WRITE_WAITERS` | `enrol` | a delivery that sets `WRITE`, `vacate`, `retire` | with `WRITE`, `DEREGISTERED` or `GONE` |
//! | `DEREGISTERED` | `retire` | nobody | with a waiter |
//! | `GONE` | `retire` | nobody | with a waiter |
//! | `DORMANT` | birth, of a source that the kernel does not watch yet | `rouse` | with a waiter |
//! | the rest: generation | a delivery adds one, and wraps | nobody | |
//!
//! A dormant source is born ready in both directions, since nobody will tell: whoever uses it finds out by trying; who wants to wait
//! without trying takes that back before (`distrust`). The first who has
//! to wait has the kernel watch it, under the source's lock and before anybody enrols. The kernel then reports what is
//! ready at that moment, so nothing that came before is lost.
//! That may be delivered before `rouse`, while the bit still stands: from the first delivery on, which the generation shows, nothing is
//! taken back.
//!
//! The two waiter bits and `DORMANT` change only under the source's lock, and when that lock is free the former say exactly whether the list of
//! that direction is occupied. All other bits change without it.
//!
//! # The protocol
//!
//! To wait:
//! 1. Look at the word. If the direction is ready, or the source is retired, that is the answer: one load.
//! 2. Take the lock.
//! 3. Compare-and-swap the waiter bit in, looking at the word once more: ready or retired now, leave.
//! 4. Put the waker into the list. Release the lock.
//!
//! To deliver an event:
//! 1. Look at the word. If nobody waits in the directions of the event, compare-and-swap the bits in, add one to the
//!    generation, done: no lock.
//! 2. Otherwise take the lock, do the same and clear the waiter bits of those directions, take their lists, release the lock,
//!    hand the wakers back.
//!
//! The race is a delivery between the waiter's last look and its waker being in the list. It cannot lose the wake: both
//! sides change the same word, so one of them is first. If the waiter bit was first, the delivery sees it and takes the
//! lock, which it gets only when the waker is in the list. If the delivery was first, the compare-and-swap of step 3 sees the
//! ready bit and the waiter does not park. No fence is needed, since there is only one location.
//!
//! To clear, after a system call has shown that the direction is not ready: compare the generation with the one that was
//! seen *before* the call, and clear only if it is the same. If an event was delivered in between, the call may have
//! been made before it, and the bit stays. An event that the kernel has reported but that is not delivered yet comes
//! after, and sets the bit again. Either way the event is not lost; at worst one call too many is made.
//!
//! # What sticks, and what takes it off again
//!
//! There are two kinds of evidence that a direction is not ready.
//!
//! A **short read or write** (fewer bytes than asked for) says that the buffer is empty, or full. It says nothing about what
//! stands behind the bytes: data and FIN come in one event, and the edge that told of both is spent. So [`clear`] lets
//! the direction be once its closed bit stands, and the reader finds the end by one more call.
//!
//! **`WouldBlock`** says more: no data, no end and no error, as of now. It is younger than any event that was delivered
//! before the call, so it refutes the closed bit as well, by the same argument of generations. [`would_block`] clears both. On
//! a connected stream this never happens: once the receiving side is shut down, recv gives the data that is left and
//! then zero for ever, never `WouldBlock`, and send on a hung-up one fails (TCP, Unix and vsock streams on Linux look at
//! the shutdown flag before they give up). But there are descriptors whose hang-up ends: a FIFO that gets another writer, the
//! master of a pseudo-terminal whose slave is opened again, a stream socket that was registered before `connect` (epoll calls
//! it hung up). A closed bit that nothing could take off would make their readers spin.
//!
//! **An error condition does not stick.** It makes both directions ready, so that whoever waits makes the call that reports
//! it, and `ERROR` informs. Where it lasts, the call goes on failing and nobody ever has evidence to clear by: a pipe whose
//! readers have left gives EPIPE to every write, a stream that was reset is hung up as well. Where it passes, clearing
//! is right: a UDP socket reports ECONNREFUSED to one call only, whichever makes it first, and an entry in the error queue
//! (time stamps, zero copy) is not reported by recv at all. With a sticky error bit the next reader of such a socket
//! would spin.
//!
//! [`clear`]: Word::clear
//! [`would_block`]: Word::would_block

use std::fmt;
use std::ops::BitOr;

use crate::sync::{AtomicUsize, Ordering};

const READ: usize = 1 << 0;
const WRITE: usize = 1 << 1;
const READ_CLOSED: usize = 1 << 2;
const WRITE_CLOSED: usize = 1 << 3;
const ERROR: usize = 1 << 4;
const READ_WAITERS: usize = 1 << 5;
const WRITE_WAITERS: usize = 1 << 6;
const DEREGISTERED: usize = 1 << 7;
const GONE: usize = 1 << 8;
const DORMANT: usize = 1 << 9;
/// The generation takes the rest of the word: 54 bits, or 22 where words are short. There, a thread would have to stand still
/// between a system call and its `clear` for exactly a multiple of four million events of one descriptor to be misled.
const ONE_GENERATION: usize = 1 << 10;
const GENERATION: usize = !(ONE_GENERATION - 1);

const RETIRED: usize = DEREGISTERED | GONE;
const WAITERS: usize = READ_WAITERS | WRITE_WAITERS;

/// What a task waits for on a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// That it can be read from or accepted from, or that reading would report an end or an error.
    Read,
    /// That it can be written to, that it is connected, or that writing would report an error.
    Write,
}

impl Direction {
    /// Both, in the order of [`index`](Direction::index).
    pub(crate) const BOTH: [Direction; 2] = [Direction::Read, Direction::Write];

    pub(crate) const fn index(self) -> usize {
        match self {
            Direction::Read => 0,
            Direction::Write => 1,
        }
    }

    const fn ready(self) -> usize {
        match self {
            Direction::Read => READ,
            Direction::Write => WRITE,
        }
    }

    const fn closed(self) -> usize {
        match self {
            Direction::Read => READ_CLOSED,
            Direction::Write => WRITE_CLOSED,
        }
    }

    const fn waiters(self) -> usize {
        match self {
            Direction::Read => READ_WAITERS,
            Direction::Write => WRITE_WAITERS,
        }
    }
}

/// A proof that a direction was ready, and when: to be handed to `clear` or `would_block` if a system call that was made
/// *after* it was obtained says otherwise.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Ready(usize);

impl Ready {
    fn new(word: usize, direction: Direction) -> Ready {
        Ready(word & (GENERATION | direction.ready() | direction.closed() | ERROR))
    }

    /// Whether this direction has ended: the peer sends no more, or the connection is down both ways. The system call will
    /// report it, after the data that is left.
    ///
    /// A hint: it is set only where the kernel tells (Linux), also when urgent data is in the way of a read, and taken back if a
    /// call gives `WouldBlock` all the same.
    pub fn is_closed(self) -> bool {
        self.0 & (READ_CLOSED | WRITE_CLOSED) != 0
    }

    /// Whether the kernel told of an error condition. It is for the system call to say which, if it is still there.
    pub fn is_error(self) -> bool {
        self.0 & ERROR != 0
    }
}

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(self.0, f)
    }
}

/// What the kernel told of one descriptor. A closed or an error bit brings the ready bit of its direction along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Occurrence(usize);

impl Occurrence {
    pub(crate) const NOTHING: Occurrence = Occurrence(0);
    pub(crate) const READABLE: Occurrence = Occurrence(READ);
    pub(crate) const WRITABLE: Occurrence = Occurrence(WRITE);
    #[allow(dead_code, reason = "only the road on Linux is told")]
    pub(crate) const READ_CLOSED: Occurrence = Occurrence(READ | READ_CLOSED);
    #[allow(dead_code, reason = "only the road on Linux is told")]
    pub(crate) const WRITE_CLOSED: Occurrence = Occurrence(WRITE | WRITE_CLOSED);
    pub(crate) const ERROR: Occurrence = Occurrence(READ | WRITE | ERROR);

    /// The waiter bits of the directions that this makes ready.
    fn concerns(self) -> usize {
        let mut waiters = 0;
        for direction in Direction::BOTH {
            if self.0 & direction.ready() != 0 {
                waiters |= direction.waiters();
            }
        }
        waiters
    }

    pub(crate) fn wakes(self, direction: Direction) -> bool {
        self.0 & direction.ready() != 0
    }
}

impl BitOr for Occurrence {
    type Output = Occurrence;

    fn bitor(self, other: Occurrence) -> Occurrence {
        Occurrence(self.0 | other.0)
    }
}

/// Why a source is of no use any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retirement {
    Deregistered,
    Gone,
}

impl Retirement {
    const fn bit(self) -> usize {
        match self {
            Retirement::Deregistered => DEREGISTERED,
            Retirement::Gone => GONE,
        }
    }
}

/// What one look at a direction finds.
#[must_use]
#[derive(Debug)]
pub(crate) enum Look {
    /// Make the system call.
    Ready(Ready),
    /// Give up: the source takes no waiters.
    Retired(Retirement),
    /// Enrol. `waiters` tells whether somebody waits in this direction already: a hint, true for an instant.
    Blocked { waiters: bool },
}

/// What enrolling comes to.
#[must_use]
#[derive(Debug)]
pub(crate) enum Enrolled {
    /// The waiter bit stands. The caller, who holds the lock, owes the list a waker before it releases the lock.
    Parked,
    /// The direction became ready meanwhile: no waiter bit was set, nothing is owed.
    Ready(Ready),
    /// As above.
    Retired(Retirement),
}

/// What a delivery without the lock comes to.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Delivered {
    /// The bits are in, and nobody waited.
    Unattended,
    /// Nothing was done, because somebody waits: take the lock and call [`Word::deliver`].
    TakeTheLock,
}

/// The word. See the head of this file.
pub(crate) struct Word(AtomicUsize);

impl Word {
    pub(crate) fn new() -> Word {
        Word(AtomicUsize::new(0))
    }

    /// Of a source that the kernel does not watch yet.
    pub(crate) fn dormant() -> Word {
        Word(AtomicUsize::new(DORMANT | READ | WRITE))
    }

    /// Whether the kernel does not watch it. The caller holds the lock, or nobody can take it any more.
    pub(crate) fn is_dormant(&self) -> bool {
        // Relaxed: changed under the lock.
        self.0.load(Ordering::Relaxed) & DORMANT != 0
    }

    /// The kernel watches it from now on. The caller holds the lock.
    pub(crate) fn rouse(&self) {
        // Relaxed: whoever needs to know takes the lock.
        self.0.fetch_and(!DORMANT, Ordering::Relaxed);
    }

    /// Takes back that a dormant source was born ready in this direction, for who waits for news and does not try.
    pub(crate) fn distrust(&self, direction: Direction) {
        // Only before the first delivery: that may come before `rouse`, since the kernel watches already then. Relaxed: as in
        // `clear`.
        self.update(Ordering::Relaxed, |word| {
            let born = word & DORMANT != 0 && word & GENERATION == 0;
            (born && word & direction.ready() != 0).then_some(word & !direction.ready())
        });
    }

    /// Whether it is retired, and how. The caller holds the lock.
    pub(crate) fn retirement(&self) -> Option<Retirement> {
        // Acquire: as in `look`.
        let word = self.0.load(Ordering::Acquire);
        if word & GONE != 0 {
            Some(Retirement::Gone)
        } else if word & DEREGISTERED != 0 {
            Some(Retirement::Deregistered)
        } else {
            None
        }
    }

    /// One look, one load.
    #[inline]
    pub(crate) fn look(&self, direction: Direction) -> Look {
        // Acquire: pairs with the Release of the deliveries and of `retire`, so that who finds a direction ready also finds
        // what was done before the event was delivered. Weaker, a reader could be told of an event and not see the memory that
        // its sender (in this process) filled before it.
        let word = self.0.load(Ordering::Acquire);
        match decide(word, direction) {
            Some(Ok(ready)) => Look::Ready(ready),
            Some(Err(retirement)) => Look::Retired(retirement),
            None => Look::Blocked { waiters: word & direction.waiters() != 0 },
        }
    }

    /// Sets a ready bit that no event has brought, if nobody waits in that direction. The generation stays: a call that gives
    /// `WouldBlock` takes the bit off, unless an event was delivered meanwhile.
    pub(crate) fn assume(&self, direction: Direction) {
        // Relaxed: nothing was told, so nothing is published.
        self.update(Ordering::Relaxed, |word| (word & direction.waiters() == 0).then_some(word | direction.ready()));
    }

    /// Step 3 of waiting. The caller holds the lock.
    pub(crate) fn enrol(&self, direction: Direction) -> Enrolled {
        // Acquire here and below: as in `look`.
        let mut word = self.0.load(Ordering::Acquire);
        loop {
            match decide(word, direction) {
                Some(Ok(ready)) => return Enrolled::Ready(ready),
                Some(Err(retirement)) => return Enrolled::Retired(retirement),
                None => {}
            }
            // The bit stands already: since only the lock's holder clears it, any delivery after the value that was
            // loaded sees it and has to wait for the lock.
            if word & direction.waiters() != 0 {
                return Enrolled::Parked;
            }
            // Relaxed on success: the waiter bit carries nothing; the list is under the lock. And a read-modify-write
            // of any order continues the release sequence of the delivery before it.
            match self.0.compare_exchange_weak(word, word | direction.waiters(), Ordering::Relaxed, Ordering::Acquire) {
                Ok(_) => return Enrolled::Parked,
                Err(now) => word = now,
            }
        }
    }

    /// Step 1 of delivering, without the lock.
    pub(crate) fn deliver_unattended(&self, occurrence: Occurrence) -> Delivered {
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            if word & occurrence.concerns() != 0 {
                return Delivered::TakeTheLock;
            }
            // Release: pairs with the Acquire of `look` and `enrol`.
            match self.0.compare_exchange_weak(
                word,
                (word | occurrence.0).wrapping_add(ONE_GENERATION),
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Delivered::Unattended,
                Err(now) => word = now,
            }
        }
    }

    /// Step 2 of delivering. The caller holds the lock and owes their wakers to all who wait in the directions of the
    /// occurrence: their waiter bits are cleared.
    pub(crate) fn deliver(&self, occurrence: Occurrence) {
        // Release: as in `deliver_unattended`.
        self.update(Ordering::Release, |word| {
            Some((word | occurrence.0).wrapping_add(ONE_GENERATION) & !occurrence.concerns())
        });
    }

    /// A short read or write has shown that there is no more data, or room. See "What sticks".
    pub(crate) fn clear(&self, direction: Direction, seen: Ready) {
        // Relaxed: nothing is published by taking bits away, and the release sequence goes on.
        self.update(Ordering::Relaxed, |word| {
            let fresh = word & GENERATION == seen.0 & GENERATION;
            let bits = direction.ready() | ERROR;
            (fresh && word & direction.closed() == 0 && word & bits != 0).then_some(word & !bits)
        });
    }

    /// A system call gave `WouldBlock`: no data or room, no end, no error. See "What sticks".
    pub(crate) fn would_block(&self, direction: Direction, seen: Ready) {
        // Relaxed: as in `clear`.
        self.update(Ordering::Relaxed, |word| {
            let fresh = word & GENERATION == seen.0 & GENERATION;
            let bits = direction.ready() | direction.closed() | ERROR;
            (fresh && word & bits != 0).then_some(word & !bits)
        });
    }

    /// The list of this direction is empty again. The caller holds the lock.
    pub(crate) fn vacate(&self, direction: Direction) {
        // Relaxed: the list is under the lock.
        self.0.fetch_and(!direction.waiters(), Ordering::Relaxed);
    }

    /// The source takes no more waiters. The caller holds the lock and owes all who wait their wakers. Tells whether it
    /// was not retired in this way before.
    #[must_use]
    pub(crate) fn retire(&self, retirement: Retirement) -> bool {
        // Release: pairs with the Acquire of `look` and `enrol`, as a delivery does.
        let before = self.update(Ordering::Release, |word| Some((word | retirement.bit()) & !WAITERS));
        before & retirement.bit() == 0
    }

    /// Whether somebody waits in this direction. A hint without the lock, exact with it.
    pub(crate) fn has_waiters(&self, direction: Direction) -> bool {
        self.0.load(Ordering::Relaxed) & direction.waiters() != 0
    }

    /// Replaces the word until `change` has nothing to change; the word before the change.
    fn update(&self, success: Ordering, change: impl Fn(usize) -> Option<usize>) -> usize {
        let mut word = self.0.load(Ordering::Relaxed);
        while let Some(changed) = change(word) {
            match self.0.compare_exchange_weak(word, changed, success, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => word = now,
            }
        }
        word
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(self.0.load(Ordering::Relaxed), f)
    }
}

/// Whether a word lets a direction go on, and with what.
fn decide(word: usize, direction: Direction) -> Option<Result<Ready, Retirement>> {
    if word & (direction.ready() | RETIRED) == 0 {
        None
    } else if word & GONE != 0 {
        Some(Err(Retirement::Gone))
    } else if word & DEREGISTERED != 0 {
        Some(Err(Retirement::Deregistered))
    } else {
        Some(Ok(Ready::new(word, direction)))
    }
}

fn show(word: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    const NAMES: [(usize, &str); 10] = [
        (READ, "READ"),
        (WRITE, "WRITE"),
        (READ_CLOSED, "READ_CLOSED"),
        (WRITE_CLOSED, "WRITE_CLOSED"),
        (ERROR, "ERROR"),
        (READ_WAITERS, "READ_WAITERS"),
        (WRITE_WAITERS, "WRITE_WAITERS"),
        (DEREGISTERED, "DEREGISTERED"),
        (GONE, "GONE"),
        (DORMANT, "DORMANT"),
    ];
    write!(f, "{{ generation {}", word / ONE_GENERATION)?;
    for (bit, name) in NAMES {
        if word & bit != 0 {
            write!(f, ", {name}")?;
        }
    }
    f.write_str(" }")
}

#[cfg(all(test, not(gambol_loom)))]
mod tests {
    use super::*;

    fn seen(word: &Word, direction: Direction) -> Ready {
        match word.look(direction) {
            Look::Ready(ready) => ready,
            other => panic!("expected to be ready, found {other:?} in {word:?}"),
        }
    }

    fn delivered(occurrence: Occurrence) -> Word {
        let word = Word::new();
        assert_eq!(word.deliver_unattended(occurrence), Delivered::Unattended);
        word
    }

    /// Every occurrence, every direction, both kinds of evidence, fresh and stale: compared with the rule in prose.
    #[test]
    fn bits_are_cleared_exactly_as_the_head_of_the_file_says() {
        let single = [
            Occurrence::READABLE,
            Occurrence::WRITABLE,
            Occurrence::READ_CLOSED,
            Occurrence::WRITE_CLOSED,
            Occurrence::ERROR,
        ];
        for mask in 1..1_u32 << single.len() {
            let occurrence = (0..single.len())
                .filter(|bit| mask & (1 << bit) != 0)
                .fold(Occurrence::NOTHING, |sum, bit| sum | single[bit]);
            for direction in Direction::BOTH {
                for stale in [false, true] {
                    for blocked in [false, true] {
                        let word = delivered(occurrence);
                        let Look::Ready(ready) = word.look(direction) else {
                            assert!(!occurrence.wakes(direction));
                            continue;
                        };
                        if stale {
                            assert_eq!(word.deliver_unattended(Occurrence::NOTHING), Delivered::Unattended);
                        }
                        if blocked {
                            word.would_block(direction, ready);
                        } else {
                            word.clear(direction, ready);
                        }
                        let stays = stale || (ready.is_closed() && !blocked);
                        let looks = matches!(word.look(direction), Look::Ready(_));
                        assert_eq!(looks, stays, "{occurrence:?} {direction:?} {word:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn an_assumption_holds_until_a_call_refutes_it_and_yields_to_an_event() {
        let word = Word::new();
        word.assume(Direction::Write);
        let assumed = seen(&word, Direction::Write);
        assert!(matches!(word.look(Direction::Read), Look::Blocked { .. }));
        assert_eq!(word.deliver_unattended(Occurrence::WRITABLE), Delivered::Unattended);
        word.would_block(Direction::Write, assumed);
        let told = seen(&word, Direction::Write);
        word.would_block(Direction::Write, told);
        assert!(matches!(word.look(Direction::Write), Look::Blocked { .. }));
    }

    #[test]
    fn one_direction_does_not_clear_the_other() {
        let word = delivered(Occurrence::READ_CLOSED | Occurrence::WRITABLE);
        word.would_block(Direction::Write, seen(&word, Direction::Write));
        assert!(seen(&word, Direction::Read).is_closed());
        assert!(matches!(word.look(Direction::Write), Look::Blocked { waiters: false }));
    }

    #[test]
    fn the_generation_wraps_without_touching_a_bit() {
        let word = Word(AtomicUsize::new(GENERATION | WRITE));
        assert_eq!(word.deliver_unattended(Occurrence::READABLE), Delivered::Unattended);
        assert_eq!(word.0.load(Ordering::Relaxed), READ | WRITE);
    }

    #[test]
    fn gone_wins_over_deregistered_and_each_is_told_once() {
        let word = Word::new();
        assert!(word.retire(Retirement::Deregistered));
        assert!(!word.retire(Retirement::Deregistered));
        assert!(word.retire(Retirement::Gone));
        assert!(matches!(word.look(Direction::Read), Look::Retired(Retirement::Gone)));
    }
}
