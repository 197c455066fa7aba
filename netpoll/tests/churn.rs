//! Sources that come and go, on several threads, while events are delivered and others look at them: nobody waits in vain.
#![cfg(all(unix, not(gambol_loom)))]

mod common;

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use common::{HANG, Io, Rig};
use gambol_netpoll::{Direction, Events};

struct Unparks(Thread);

impl Wake for Unparks {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Reads one byte, as a task would that is alone on its thread.
fn read_byte(io: &Io<UnixStream>) {
    let waker = Waker::from(Arc::new(Unparks(thread::current())));
    let start = Instant::now();
    loop {
        match io.poller.poll_ready(&io.source, Direction::Read, &waker) {
            Poll::Ready(ready) => match (&io.inner).read(&mut [0]) {
                Ok(n) => return assert_eq!(n, 1),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    io.source.would_block(Direction::Read, ready.unwrap());
                }
            },
            Poll::Pending => thread::park_timeout(HANG),
        }
        assert!(start.elapsed() < HANG, "lost: nobody was told of the byte");
    }
}

/// Whoever unparks a thread for an earlier wait does no harm: it looks again.
#[test]
fn nobody_waits_in_vain_while_sources_come_and_go() {
    const ROUNDS: u64 = 300;
    let poller = Rig::new().poller;
    let rig = || Rig { poller: Arc::clone(&poller), events: Events::with_capacity(4), ready: Vec::new() };
    let over = AtomicBool::new(false);
    let beside = |act: &dyn Fn(&mut Rig)| {
        let mut rig = rig();
        while !over.load(Ordering::Relaxed) {
            act(&mut rig);
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            beside(&|rig| {
                rig.turn(Some(Duration::from_millis(1)));
            });
        });
        scope.spawn(|| {
            beside(&|rig| {
                assert!(rig.poller.waiting().len() <= 3 * 2);
                let _ = rig.poller.is_awaited();
                rig.poller.take_waiters(&mut rig.ready);
                rig.ready.drain(..).for_each(Waker::wake);
                thread::sleep(Duration::from_micros(200));
            });
        });
        let churns: Vec<_> = (0..3)
            .map(|seed| {
                let rig = &rig;
                scope.spawn(move || {
                    let rig = rig();
                    // Fill pages behind which others are freed.
                    let mut crowd = Vec::new();
                    for round in 0..ROUNDS {
                        let (one, mut other) = UnixStream::pair().unwrap();
                        one.set_nonblocking(true).unwrap();
                        let io = if (round + seed) % 2 == 0 { rig.add(one) } else { rig.add_later(one) };
                        if round % 5 == 0 {
                            // Dropped with an event on its way.
                            other.write_all(b"x").unwrap();
                            continue;
                        }
                        if round % 4 == 0 {
                            crowd.push((io, other));
                            if crowd.len() == 50 {
                                crowd.clear();
                            }
                            continue;
                        }
                        thread::scope(|scope| {
                            scope.spawn(|| read_byte(&io));
                            scope.spawn(|| {
                                other.write_all(b"x").unwrap();
                                if round % 3 == 0 {
                                    thread::yield_now();
                                }
                                other.write_all(b"x").unwrap();
                            });
                            read_byte(&io);
                        });
                    }
                })
            })
            .collect();
        let ended: Vec<_> = churns.into_iter().map(thread::ScopedJoinHandle::join).collect();
        over.store(true, Ordering::Relaxed);
        ended.into_iter().for_each(|end| end.unwrap());
    });
    assert!(poller.is_empty());
}
