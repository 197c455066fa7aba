//! Models of the protocols of this crate, checked in every interleaving (and in every allowed reordering) by loom:
//!
//! ```text
//! RUSTFLAGS="--cfg gambol_loom" cargo test -p gambol-netpoll --release --test loom
//! ```
//!
//! loom prunes interleavings by the last access to each location only, and can so miss one (seen, with loom 0.7.2, in
//! `withdrawing_does_not_lose_the_other_waiter`). Which one depends on who is spawned first, so every model runs in both orders.
//!
//! A model that nothing can break proves nothing. Each of these mutations was made, seen to fail, and taken back:
//!
//! | mutation | fails |
//! | --- | --- |
//! | `Word::look`: Relaxed for Acquire | `who_is_told_of_an_event_sees_what_came_before_it` |
//! | `Word::enrol`: Relaxed for Acquire, both places | `who_enrols_too_late_sees_what_came_before_the_event` |
//! | `deliver_unattended`: Relaxed for Release | `who_is_told_of_an_event_sees_what_came_before_it` |
//! | `Word::deliver`: Relaxed for Release | `a_second_reader_sees_what_came_before_the_first_ones_event` |
//! | `Word::enrol` sets the bit without looking whether the direction is ready | `enrolling_while_an_event_is_delivered_loses_no_wake` |
//! | `Source::deliver` never takes the lock | `enrolling_while_an_event_is_delivered_loses_no_wake` |
//! | `enrol_slow` releases the lock between the bit and the list | `enrolling_while_an_event_is_delivered_loses_no_wake` |
//! | `clear` and `would_block` do not compare the generation | `a_stale_would_block_does_not_take_an_event_away`, `a_stale_short_read_does_not_take_an_event_away` |
//! | `deliver_unattended` and `deliver` do not count the generation up | the same two |
//! | `clear` takes the closed bit away | `a_short_read_does_not_hide_the_end_behind_it` |
//! | `deliver` leaves the waiter bits | `enrolling_while_an_event_is_delivered_loses_no_wake` |
//! | `Waiters::take` leaves the vector | `two_waiters_are_both_handed_back` |
//! | `deliver` takes the lists of both directions | `an_event_for_one_direction_leaves_the_other_waiting` |
//! | `withdraw` clears the bit while others wait | `withdrawing_does_not_lose_the_other_waiter` |
//! | `withdraw` leaves the bit when nobody waits | `a_withdrawn_source_is_as_good_as_new` |
//! | `Word::retire` does not set its bit | `a_waiter_learns_of_the_end_of_its_source` |
//! | `Source::retire` takes no lists | `a_waiter_learns_of_the_end_of_its_source` |
//! | `Word::retire`: Relaxed for Release | `who_is_told_of_the_end_sees_what_came_before_it` |
//! | `enrol_slow` rouses a source that the kernel refuses | `whom_the_kernel_refuses_is_not_parked_and_the_next_one_asks_again` |
//! | `enrol_slow` does not look whether a dormant source is retired | `a_source_that_has_ended_is_not_watched_any_more` |
//! | `Word::distrust` does not look at the generation | `who_waits_for_news_does_not_take_back_what_was_told_while_the_source_was_roused` |
//! | `enrol_slow` has a dormant source watched without the lock | that, and `of_two_who_find_a_source_dormant_one_has_it_watched_and_both_are_told` |
//! | `Latch::open`: a plain store | `a_notification_that_is_not_repeated_is_not_lost` |
//! | `Latch::open`: Relaxed for Acquire | `a_notification_that_is_not_repeated_is_not_lost` |
//! | `Latch::set`: Relaxed for Release | `a_notification_that_is_not_repeated_is_not_lost` |
//! | `SpinLock::try_acquire`: Relaxed for Acquire | `who_holds_a_sources_lock_is_alone` |
//! | `Held::drop`: Relaxed for Release | `who_holds_a_sources_lock_is_alone` |
//! | `SpinLock::lock` does not look what `try_acquire` says | `who_holds_a_sources_lock_is_alone` |
#![cfg(gambol_loom)]

use std::sync::Arc;
use std::task::{Poll, Wake, Waker};

use gambol_netpoll::{Direction, Source, model};
use loom::sync::Mutex;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::thread;

/// Counts how often it was handed back.
struct Flag(AtomicUsize);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        // Relaxed: looked at after joining only.
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn flag() -> (Arc<Flag>, Waker) {
    let flag = Arc::new(Flag(AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&flag));
    (flag, waker)
}

impl Flag {
    fn woken(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// Hands every waker back, as the executor does: when no lock is held.
fn wake_all(fill: impl FnOnce(&mut Vec<Waker>)) {
    let mut ready = Vec::new();
    fill(&mut ready);
    ready.into_iter().for_each(Waker::wake);
}

/// Enrols and tells whether it is pending.
fn park(source: &Source, direction: Direction, waker: &Waker) -> bool {
    match source.poll_ready(direction, waker) {
        Poll::Pending => true,
        Poll::Ready(Ok(_)) => false,
        Poll::Ready(Err(error)) => panic!("{error}"),
    }
}

/// Checks a model that races two threads, with either of them spawned first.
fn check(model: impl Fn(bool) + Copy + Send + Sync + 'static) {
    for swapped in [false, true] {
        loom::model(move || model(swapped));
    }
}

/// Runs both at the same time and waits for both.
fn race<A: 'static, B: 'static>(
    swapped: bool,
    one: impl FnOnce() -> A + 'static,
    other: impl FnOnce() -> B + 'static,
) -> (A, B) {
    let (one, other) = if swapped {
        let other = thread::spawn(other);
        (thread::spawn(one), other)
    } else {
        (thread::spawn(one), thread::spawn(other))
    };
    (one.join().unwrap(), other.join().unwrap())
}

/// A delivery of "readable", as a thread does it that waits on the poller.
fn delivery(source: &Arc<Source>) -> impl FnOnce() + use<> {
    let source = Arc::clone(source);
    move || wake_all(|ready| model::deliver_read(&source, false, ready))
}

/// A task's way to park, as a thread: tells whether it is pending.
fn parking(source: &Arc<Source>, direction: Direction, waker: Waker) -> impl FnOnce() -> bool + use<> {
    let source = Arc::clone(source);
    move || park(&source, direction, &waker)
}

/// Hunts: the delivery between the waiter's last look and its waker being in the list.
#[test]
fn enrolling_while_an_event_is_delivered_loses_no_wake() {
    check(|swapped| {
        let source = Arc::new(model::source());
        let (flag, waker) = flag();
        let waiter = parking(&source, Direction::Read, waker);
        let (pending, ()) = race(swapped, waiter, delivery(&source));
        assert_eq!(flag.woken(), usize::from(pending));
        assert!(source.ready(Direction::Read).is_some());
        assert!(!format!("{source:?}").contains("WAITERS"), "{source:?}");
    });
}

/// The kernel's part in a source that is watched later: it keeps what has come, and tells of it once it watches.
#[derive(Default)]
struct Kernel(Mutex<KernelState>);

#[derive(Default)]
struct KernelState {
    has_come: bool,
    watches: bool,
    /// How often it was asked to watch.
    asked: usize,
}

impl Kernel {
    fn watch(&self) -> std::io::Result<()> {
        let mut state = self.0.lock().unwrap();
        state.watches = true;
        state.asked += 1;
        Ok(())
    }

    fn bytes_come(&self) {
        self.0.lock().unwrap().has_come = true;
    }

    /// What a wait of the poller that begins now would tell.
    fn tells(&self) -> bool {
        let state = self.0.lock().unwrap();
        state.watches && state.has_come
    }
}

/// Hunts: the second task parks while the first, which found the source dormant, has not had it watched yet.
#[test]
fn of_two_who_find_a_source_dormant_one_has_it_watched_and_both_are_told() {
    check(|swapped| {
        let source = Arc::new(model::dormant());
        let seen = source.ready(Direction::Read).expect("a dormant source is taken for ready");
        source.would_block(Direction::Read, seen);
        let kernel = Arc::new(Kernel::default());
        let parking = |waker: Waker| {
            let (source, kernel) = (Arc::clone(&source), Arc::clone(&kernel));
            move || {
                assert!(model::poll_ready(&source, Direction::Read, &waker, || kernel.watch()).is_pending());
                // From here on an event must find this waker.
                let watches = kernel.0.lock().unwrap().watches;
                assert!(watches, "parked, and nobody watches");
            }
        };
        let ((one, one_waker), (two, two_waker)) = (flag(), flag());
        race(swapped, parking(one_waker), parking(two_waker));
        assert_eq!(kernel.0.lock().unwrap().asked, 1);
        delivery(&source)();
        assert_eq!((one.woken(), two.woken()), (1, 1));
    });
}

/// Hunts: the bytes come between the futile read and the watch, of which no edge tells.
#[test]
fn what_came_before_a_source_was_watched_is_told() {
    check(|swapped| {
        let source = Arc::new(model::dormant());
        let seen = source.ready(Direction::Read).expect("a dormant source is taken for ready");
        source.would_block(Direction::Read, seen);
        let kernel = Arc::new(Kernel::default());
        let (flag, waker) = flag();
        let parking = {
            let (source, kernel) = (Arc::clone(&source), Arc::clone(&kernel));
            move || model::poll_ready(&source, Direction::Read, &waker, || kernel.watch()).is_pending()
        };
        let coming = {
            let kernel = Arc::clone(&kernel);
            move || kernel.bytes_come()
        };
        let (pending, ()) = race(swapped, parking, coming);
        assert!(pending && kernel.tells());
        delivery(&source)();
        assert_eq!(flag.woken(), 1);
    });
}

/// Hunts: a source that ends while somebody is about to have it watched: its descriptor may be closed after that.
#[test]
fn a_source_that_has_ended_is_not_watched_any_more() {
    check(|swapped| {
        let source = Arc::new(model::dormant());
        let seen = source.ready(Direction::Read).expect("a dormant source is taken for ready");
        source.would_block(Direction::Read, seen);
        let kernel = Arc::new(Kernel::default());
        let (flag, waker) = flag();
        let parking = {
            let (source, kernel) = (Arc::clone(&source), Arc::clone(&kernel));
            move || model::poll_ready(&source, Direction::Read, &waker, || kernel.watch()).is_pending()
        };
        let ending = {
            let (source, kernel) = (Arc::clone(&source), Arc::clone(&kernel));
            move || {
                let first = model::deregister(&source, &mut Vec::new());
                assert!(first);
                // What is deregistered from here on is all that there ever was.
                kernel.0.lock().unwrap().asked
            }
        };
        let (pending, asked) = race(swapped, parking, ending);
        assert_eq!(kernel.0.lock().unwrap().asked, asked);
        // Its waker was taken with the source.
        assert_eq!((asked, flag.woken()), (usize::from(pending), 0));
    });
}

/// Hunts: a refusal of the kernel that leaves somebody parked, or after which nobody asks again.
#[test]
fn whom_the_kernel_refuses_is_not_parked_and_the_next_one_asks_again() {
    check(|swapped| {
        let source = Arc::new(model::dormant());
        let seen = source.ready(Direction::Read).expect("a dormant source is taken for ready");
        source.would_block(Direction::Read, seen);
        let kernel = Arc::new(Kernel::default());
        let parking = |waker: Waker| {
            let (source, kernel) = (Arc::clone(&source), Arc::clone(&kernel));
            move || {
                let watch = || {
                    kernel.watch()?;
                    // It has no room the first time.
                    let mut state = kernel.0.lock().unwrap();
                    state.watches = state.asked > 1;
                    if state.watches { Ok(()) } else { Err(std::io::ErrorKind::StorageFull.into()) }
                };
                model::poll_ready(&source, Direction::Read, &waker, watch)
            }
        };
        let ((one, one_waker), (two, two_waker)) = (flag(), flag());
        let (first, second) = race(swapped, parking(one_waker), parking(two_waker));
        assert!(kernel.0.lock().unwrap().watches);
        delivery(&source)();
        for (poll, flag) in [(&first, one), (&second, two)] {
            assert_eq!(flag.woken(), usize::from(poll.is_pending()));
        }
        let refused = |poll: &Poll<std::io::Result<_>>| matches!(poll, Poll::Ready(Err(_)));
        assert!(first.is_pending() && refused(&second) || second.is_pending() && refused(&first));
    });
}

/// Hunts: an event that is delivered before the thread that had the source watched has come out of its call; a reader who waits for
/// news takes what it has brought for what the source was born with, and there is no second event.
#[test]
fn who_waits_for_news_does_not_take_back_what_was_told_while_the_source_was_roused() {
    check(|swapped| {
        let source = Arc::new(model::dormant());
        let seen = source.ready(Direction::Write).expect("a dormant source is taken for ready");
        source.would_block(Direction::Write, seen);
        // The bytes are there already, and the poller's thread is quick.
        let waiting = |direction| {
            let source = Arc::clone(&source);
            move || {
                if direction == Direction::Read {
                    source.distrust(direction);
                }
                let (_, waker) = flag();
                let watch = || {
                    delivery(&source)();
                    Ok(())
                };
                model::poll_ready(&source, direction, &waker, watch).is_pending()
            }
        };
        let (writer_waits, reader_waits) = race(swapped, waiting(Direction::Write), waiting(Direction::Read));
        assert!(writer_waits && !reader_waits);
    });
}

/// Something that one thread did before an event, and another looks at after it.
fn message(source: &Arc<Source>) -> (impl FnOnce() + use<>, Arc<AtomicUsize>) {
    let sent = Arc::new(AtomicUsize::new(0));
    let sending = Arc::clone(&sent);
    let deliver = delivery(source);
    let send = move || {
        sending.store(1, Ordering::Relaxed);
        deliver();
    };
    (send, sent)
}

/// Hunts: a waiter that is told by the bit alone and reads memory from before the event. By the fast road.
#[test]
fn who_is_told_of_an_event_sees_what_came_before_it() {
    check(|swapped| {
        let source = Arc::new(model::source());
        let (send, sent) = message(&source);
        race(swapped, send, move || {
            if source.ready(Direction::Read).is_some() {
                assert_eq!(sent.load(Ordering::Relaxed), 1);
            }
        });
    });
}

/// Hunts: the same, where the waiter finds the bit only when it enrols.
#[test]
fn who_enrols_too_late_sees_what_came_before_the_event() {
    check(|swapped| {
        let source = Arc::new(model::source());
        let (send, sent) = message(&source);
        let (_, waker) = flag();
        race(swapped, send, move || {
            if !park(&source, Direction::Read, &waker) {
                assert_eq!(sent.load(Ordering::Relaxed), 1);
            }
        });
    });
}

/// Hunts: the same, where the delivery took the lock because of another waiter.
#[test]
fn a_second_reader_sees_what_came_before_the_first_ones_event() {
    check(|swapped| {
        let source = Arc::new(model::source());
        let (send, sent) = message(&source);
        let (first, waker) = flag();
        assert!(park(&source, Direction::Read, &waker));
        race(swapped, send, move || {
            if source.ready(Direction::Read).is_some() {
                assert_eq!(sent.load(Ordering::Relaxed), 1);
            }
        });
        assert_eq!(first.woken(), 1);
    });
}

/// A socket's receive buffer, as far as it matters, and the poller that reports each byte.
struct Socket {
    source: Arc<Source>,
    bytes: Arc<AtomicUsize>,
}

impl Socket {
    /// One event is delivered already, and `bytes` are there.
    fn with(bytes: usize) -> Socket {
        let socket = Socket { source: Arc::new(model::source()), bytes: Arc::new(AtomicUsize::new(bytes)) };
        wake_all(|ready| model::deliver_read(&socket.source, false, ready));
        socket
    }

    fn arrival(&self) -> impl FnOnce() + use<> {
        let bytes = Arc::clone(&self.bytes);
        let deliver = delivery(&self.source);
        move || {
            bytes.fetch_add(1, Ordering::Release);
            deliver();
        }
    }

    /// No byte lies there that nobody was told of.
    fn assert_told(&self, pending: bool, flag: &Flag) {
        if self.bytes.load(Ordering::Relaxed) != 0 {
            assert!(self.source.ready(Direction::Read).is_some());
            assert_eq!(flag.woken(), usize::from(pending));
        }
    }
}

/// Hunts: an event delivered between a read that found nothing and the clearing of the bit.
#[test]
fn a_stale_would_block_does_not_take_an_event_away() {
    check(|swapped| {
        let socket = Socket::with(0);
        let (source, bytes) = (Arc::clone(&socket.source), Arc::clone(&socket.bytes));
        let (flag, waker) = flag();
        let reader = move || {
            let seen = source.ready(Direction::Read).unwrap();
            if bytes.swap(0, Ordering::Acquire) != 0 {
                return false;
            }
            source.would_block(Direction::Read, seen);
            park(&source, Direction::Read, &waker)
        };
        let (pending, ()) = race(swapped, reader, socket.arrival());
        socket.assert_told(pending, &flag);
    });
}

/// Hunts: more data, reported between a short read and the clearing of the bit.
#[test]
fn a_stale_short_read_does_not_take_an_event_away() {
    check(|swapped| {
        let socket = Socket::with(1);
        let (source, bytes) = (Arc::clone(&socket.source), Arc::clone(&socket.bytes));
        let (flag, waker) = flag();
        let reader = move || {
            let seen = source.ready(Direction::Read).unwrap();
            assert_ne!(bytes.swap(0, Ordering::Acquire), 0);
            source.clear(Direction::Read, seen);
            park(&source, Direction::Read, &waker)
        };
        let (pending, ()) = race(swapped, reader, socket.arrival());
        socket.assert_told(pending, &flag);
    });
}

/// Hunts: data and end in one event, whose edge is spent when the reader takes the data and clears.
#[test]
fn a_short_read_does_not_hide_the_end_behind_it() {
    check(|swapped| {
        let source = Arc::new(model::source());
        let poller = {
            let source = Arc::clone(&source);
            move || wake_all(|ready| model::deliver_read(&source, true, ready))
        };
        let (flag, waker) = flag();
        let reader = {
            let source = Arc::clone(&source);
            move || {
                let Poll::Ready(seen) = source.poll_ready(Direction::Read, &waker) else {
                    return true;
                };
                // The data is read here. The end is not, and no further edge will come.
                source.clear(Direction::Read, seen.unwrap());
                park(&source, Direction::Read, &waker)
            }
        };
        let (pending, ()) = race(swapped, reader, poller);
        assert_eq!(flag.woken(), usize::from(pending));
        assert!(source.ready(Direction::Read).is_some_and(|ready| ready.is_closed()));
    });
}

/// Hunts: one of two who enrol at the same time and in the same direction is forgotten.
#[test]
fn two_waiters_are_both_handed_back() {
    check(|swapped| {
        let source = Arc::new(model::source());
        let (first, one) = flag();
        let (second, other) = flag();
        let delivery = thread::spawn(delivery(&source));
        let (one, other) =
            race(swapped, parking(&source, Direction::Read, one), parking(&source, Direction::Read, other));
        delivery.join().unwrap();
        assert_eq!(first.woken(), usize::from(one));
        assert_eq!(second.woken(), usize::from(other));
    });
}

/// Hunts: an event for readers that takes a writer's waker or waiter bit along.
#[test]
fn an_event_for_one_direction_leaves_the_other_waiting() {
    check(|swapped| {
        let source = Arc::new(model::source());
        let (reader, read) = flag();
        let (writer, write) = flag();
        let delivery = thread::spawn(delivery(&source));
        let (reads, writes) =
            race(swapped, parking(&source, Direction::Read, read), parking(&source, Direction::Write, write));
        delivery.join().unwrap();
        assert!(writes);
        assert_eq!(reader.woken(), usize::from(reads));
        assert_eq!(writer.woken(), 0);
        wake_all(|ready| model::deliver_both(&source, ready));
        assert_eq!(writer.woken(), 1);
    });
}

/// Hunts: a withdrawal that clears the bit of somebody who still waits, and a waker that is both withdrawn and handed back.
#[test]
fn withdrawing_does_not_lose_the_other_waiter() {
    check(|swapped| {
        let source = Arc::new(model::source());
        let (stays, staying) = flag();
        let (leaves, leaving) = flag();
        assert!(park(&source, Direction::Read, &leaving));
        assert!(park(&source, Direction::Read, &staying));
        let withdrawal = {
            let source = Arc::clone(&source);
            move || source.withdraw(Direction::Read, &leaving).is_some()
        };
        let (withdrawn, ()) = race(swapped, withdrawal, delivery(&source));
        assert_eq!(stays.woken(), 1);
        assert_eq!(leaves.woken(), usize::from(!withdrawn));
    });
}

/// Hunts: a waiter bit without a waiter, or a waiter without the bit.
#[test]
fn a_withdrawn_source_is_as_good_as_new() {
    check(|swapped| {
        let source = Arc::new(model::source());
        let (_, first) = flag();
        assert!(park(&source, Direction::Read, &first));
        let (flag, second) = flag();
        let withdrawal = {
            let source = Arc::clone(&source);
            move || assert!(source.withdraw(Direction::Read, &first).is_some())
        };
        let waiter = {
            let source = Arc::clone(&source);
            move || {
                assert!(park(&source, Direction::Read, &second));
                assert!(source.withdraw(Direction::Read, &second).is_some());
            }
        };
        race(swapped, withdrawal, waiter);
        assert!(!format!("{source:?}").contains("WAITERS"), "{source:?}");
        wake_all(|ready| model::deliver_read(&source, false, ready));
        assert_eq!(flag.woken(), 0);
    });
}

/// Hunts: enrolling on a source that is just being deregistered, while its runtime closes.
#[test]
fn a_waiter_learns_of_the_end_of_its_source() {
    check(|swapped| {
        let source = Arc::new(model::source());
        let (flag, waker) = flag();
        let waiter = {
            let (source, waker) = (Arc::clone(&source), waker.clone());
            move || source.poll_ready(Direction::Write, &waker).is_pending()
        };
        let closing = {
            let source = Arc::clone(&source);
            move || wake_all(|ready| assert!(model::close(&source, ready)))
        };
        let deregistering = thread::spawn({
            let source = Arc::clone(&source);
            move || wake_all(|ready| assert!(model::deregister(&source, ready)))
        });
        let (pending, ()) = race(swapped, waiter, closing);
        deregistering.join().unwrap();
        assert_eq!(flag.woken(), usize::from(pending));
        let Poll::Ready(Err(error)) = source.poll_ready(Direction::Write, &waker) else {
            panic!("a retired source took a waiter: {source:?}");
        };
        assert_eq!(error.to_string(), "the runtime is gone");
    });
}

/// Hunts: a waiter that finds its source retired and reads memory from before the retirement.
#[test]
fn who_is_told_of_the_end_sees_what_came_before_it() {
    check(|swapped| {
        let source = Arc::new(model::source());
        let done = Arc::new(AtomicUsize::new(0));
        let closing = {
            let (source, done) = (Arc::clone(&source), Arc::clone(&done));
            move || {
                done.store(1, Ordering::Relaxed);
                wake_all(|ready| assert!(model::close(&source, ready)));
            }
        };
        let (flag, waker) = flag();
        let waiter = move || match source.poll_ready(Direction::Read, &waker) {
            Poll::Pending => true,
            Poll::Ready(result) => {
                assert!(result.is_err());
                assert_eq!(done.load(Ordering::Relaxed), 1);
                false
            }
        };
        let (pending, ()) = race(swapped, waiter, closing);
        assert_eq!(flag.woken(), usize::from(pending));
    });
}

/// Hunts: a notifier that finds the latch set while the waiter opens it, and whose work the waiter does not see.
#[test]
fn a_notification_that_is_not_repeated_is_not_lost() {
    loom::model(|| {
        let latch = Arc::new(model::Latch::new());
        // The eventfd: an edge that the waiter takes. The kernel orders its own calls; who makes none gets nothing from that.
        let edge = Arc::new(AtomicBool::new(false));
        let work: [_; 2] = std::array::from_fn(|_| Arc::new(AtomicUsize::new(0)));
        let notifiers = work.clone().map(|work| {
            let (latch, edge) = (Arc::clone(&latch), Arc::clone(&edge));
            thread::spawn(move || {
                work.store(1, Ordering::Relaxed);
                if latch.set() {
                    edge.swap(true, Ordering::AcqRel);
                }
            })
        });
        // The waiter comes out of its wait once, if at all.
        let mut seen = None;
        if edge.swap(false, Ordering::AcqRel) {
            latch.open();
            seen = Some(work.each_ref().map(|work| work.load(Ordering::Relaxed)));
        }
        for notifier in notifiers {
            notifier.join().unwrap();
        }
        // No edge is left for another wait: then the look that there was has seen everything.
        if !edge.load(Ordering::Relaxed) {
            assert_eq!(seen, Some([1, 1]));
        }
    });
}

/// Hunts: two hold the lock of a source, or the second does not see what the first has written.
#[test]
fn who_holds_a_sources_lock_is_alone() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(4);
    builder.check(|| {
        let lock = Arc::new(model::Lock::new());
        let counts = |lock: Arc<model::Lock>| move || (lock.count(), lock.count());
        let (one, other) = race(false, counts(lock.clone()), counts(lock.clone()));
        let mut seen = [one.0, one.1, other.0, other.1];
        seen.sort_unstable();
        assert_eq!(seen, [0, 1, 2, 3]);
    });
}
