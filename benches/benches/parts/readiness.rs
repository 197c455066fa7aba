//! A descriptor's readiness: the look before each system call, what `WouldBlock` and a waiter cost, and an event's road from the
//! kernel to the wakers.
//!
//! The descriptors are eventfds, which become ready by a write of one word.

use crate::MANY;
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use gambol_netpoll::{Direction, Events, Poller, Source};
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::write;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::Duration;

/// A poller and what is registered with it.
struct Descriptors {
    poller: Poller,
    events: Events,
    sources: Vec<(Arc<Source>, OwnedFd)>,
}

impl Descriptors {
    fn new(count: usize) -> Descriptors {
        let poller = Poller::new().expect("there is a poller");
        let register = |_| {
            let descriptor = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).expect("there are descriptors");
            // SAFETY: the descriptor is kept until `drop`, which deregisters it before it closes it.
            let source = unsafe { poller.register(descriptor.as_fd()) }.expect("it can be registered");
            (source, descriptor)
        };
        let sources = (0..count).map(register).collect();
        let mut descriptors = Descriptors { poller, events: Events::with_capacity(count), sources };
        // An eventfd has room for a write from the beginning, which is told first.
        let mut ready = Vec::new();
        descriptors.wait(&mut ready);
        assert!(ready.is_empty(), "nobody waits yet");
        descriptors
    }

    /// Somebody waits for each, and each becomes ready.
    fn prepare(&self) {
        for (source, descriptor) in &self.sources {
            if let Some(seen) = source.ready(Direction::Read) {
                source.would_block(Direction::Read, seen);
            }
            assert!(source.poll_ready(Direction::Read, Waker::noop()).is_pending(), "it is not ready");
            write(descriptor, &1_u64.to_ne_bytes()).expect("it counts far");
        }
    }

    fn wait(&mut self, ready: &mut Vec<Waker>) -> usize {
        self.poller.wait(&mut self.events, Some(Duration::ZERO), ready).expect("the poller waits")
    }
}

impl Drop for Descriptors {
    fn drop(&mut self) {
        for (source, descriptor) in &self.sources {
            self.poller.deregister(source, descriptor.as_fd(), &mut Vec::new()).expect("it is registered");
        }
    }
}

/// The look at a descriptor that is ready: before each system call.
#[divan::bench(sample_size = MANY)]
fn look(bencher: Bencher<'_, '_>) {
    let descriptors = Descriptors::new(1);
    let (source, _) = &descriptors.sources[0];
    bencher.bench_local(|| {
        assert!(black_box(source).poll_ready(Direction::Write, Waker::noop()).is_ready(), "there is room");
    });
}

/// Taken for ready, and found not to be: what a `WouldBlock` costs beside the system call.
#[divan::bench(sample_size = MANY)]
fn would_block(bencher: Bencher<'_, '_>) {
    let descriptors = Descriptors::new(1);
    let (source, _) = &descriptors.sources[0];
    bencher.bench_local(|| {
        source.assume_ready(Direction::Read);
        let seen = source.ready(Direction::Read).expect("it was taken for ready");
        source.would_block(Direction::Read, seen);
    });
}

/// Is woken in vain; to clone and to drop its waker costs as much as a task's.
struct Nobody;

impl Wake for Nobody {
    fn wake(self: Arc<Self>) {}
}

/// A waiter that enrols, and withdraws.
#[divan::bench(sample_size = MANY)]
fn enrol_withdraw(bencher: Bencher<'_, '_>) {
    let descriptors = Descriptors::new(1);
    let (source, _) = &descriptors.sources[0];
    // Not `Waker::noop`, whose clone need not compare as the same.
    let waker = Waker::from(Arc::new(Nobody));
    bencher.bench_local(|| {
        assert!(source.poll_ready(Direction::Read, &waker).is_pending(), "it is not ready");
        assert!(source.withdraw(Direction::Read, &waker).is_some(), "it was enrolled");
    });
}

/// One wait that finds so many ready, each with a waiter whose waker comes back; the counter tells events. The system call
/// that waits is part of it.
#[divan::bench(args = [1, 64], sample_size = 1, sample_count = 1000)]
fn wait(bencher: Bencher<'_, '_>, count: usize) {
    let descriptors = std::cell::RefCell::new(Descriptors::new(count));
    let mut ready = Vec::with_capacity(count);
    bencher.counter(ItemsCount::new(count)).with_inputs(|| descriptors.borrow().prepare()).bench_local_values(|()| {
        ready.clear();
        let events = descriptors.borrow_mut().wait(&mut ready);
        assert_eq!((events, ready.len()), (count, count), "each has an event and a waiter");
    });
}
