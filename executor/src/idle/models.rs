//! The protocol of `idle/README.md` in every interleaving, and in every reordering that the model checker knows.
//!
//! The workers here are small, but they use the real types in the order of `worker/search.rs` and `worker/block.rs`. A
//! task that nobody comes to leaves every thread asleep, which the checker reports as a deadlock.
//!
//! loom prunes by the last access to each place, and can miss an interleaving by that; which one depends on who is
//! spawned first. So the models run in several orders. What makes each of them fail stands in the README.

use super::{Idle, Left, NOBODY, Owed, Parker, Seat};
use crate::{
    attention::{Attention, STOP, STUCK},
    queue::{Injector, Item, Job, Ring},
    sync::{AtomicBool, AtomicU64, AtomicUsize, Mutex, Ordering, fence, thread},
};
use loom::sync::Condvar;
use std::{
    cell::Cell,
    ptr::{self, NonNull},
    sync::Arc,
};

/// One of the threads of a model.
pub(crate) type Part = Box<dyn FnOnce() + Send>;

/// Runs the threads that `parts` makes in every interleaving with at most `preemptions` forced changes of thread, once
/// spawned in the order given and once in the opposite one; then, in each, what was made last.
pub(crate) fn explore(preemptions: usize, parts: impl Fn() -> (Vec<Part>, Part) + Sync + Send + Copy + 'static) {
    for reversed in [false, true] {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(preemptions);
        model.check(move || {
            let (mut parts, end) = parts();
            if reversed {
                parts.reverse();
            }
            let threads: Vec<_> = parts.into_iter().map(thread::spawn).collect();
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            end();
        });
    }
}

/// The number `n` as a task.
fn item(n: usize) -> Item {
    NonNull::new(ptr::without_provenance_mut((n + 1) * 8)).unwrap()
}

/// What the threads of a runtime share, as far as it matters here.
struct Shop {
    idle: Idle,
    injector: Injector,
    places: Vec<Place>,
    /// Tasks that were run.
    ran: AtomicUsize,
}

/// The shared part of a worker.
struct Place {
    ring: Ring,
    blocked: AtomicBool,
    diverts: AtomicBool,
    attention: Attention,
    parker: Parker,
}

impl Shop {
    fn new(workers: usize) -> Arc<Shop> {
        let place = |_| Place {
            ring: Ring::new(),
            blocked: AtomicBool::new(false),
            diverts: AtomicBool::new(false),
            attention: Attention::new(),
            parker: Parker::new(),
        };
        Arc::new(Shop {
            idle: Idle::new(),
            injector: Injector::new(),
            places: (0..workers).map(place).collect(),
            ran: AtomicUsize::new(0),
        })
    }

    /// `Core::inject`.
    fn inject(&self, n: usize) {
        self.injector.push(Job::One(item(n)));
        self.wake_after_publish();
    }

    /// `Core::unpark`, where nobody sleeps in the poller.
    fn unpark(&self, worker: u16) {
        assert_eq!(self.places[worker as usize].parker.unpark(), Owed::Nothing);
    }

    /// `Worker::give_away`.
    fn give_away(&self, index: u16) {
        if let Some(item) = self.places[index as usize].ring.pop() {
            self.injector.push(Job::One(item));
            self.wake_after_publish();
        }
    }

    /// `Core::wake_after_publish`.
    fn wake_after_publish(&self) {
        if let Some(worker) = self.idle.claim_after_publish() {
            self.unpark(worker);
        }
    }

    /// `Table::mark` and what follows in `Monitor::mark`.
    fn mark(&self, index: u16) {
        let place = &self.places[index as usize];
        place.blocked.store(true, Ordering::Relaxed);
        place.diverts.store(true, Ordering::Relaxed);
        self.wake_after_publish();
    }

    /// `Core::has_work`, where no worker finds its ring worth help unless it blocks.
    fn has_work(&self) -> bool {
        !self.injector.is_empty() || self.places.iter().any(Place::is_open)
    }
}

impl Place {
    fn is_open(&self) -> bool {
        self.blocked.load(Ordering::Relaxed) && self.ring.len() > 0
    }
}

/// `Local`.
struct Worker {
    shop: Arc<Shop>,
    index: u16,
    searching: Cell<bool>,
}

impl Worker {
    fn new(shop: &Arc<Shop>, index: u16) -> Worker {
        shop.places[index as usize].parker.adopt();
        Worker { shop: shop.clone(), index, searching: Cell::new(false) }
    }

    fn place(&self) -> &Place {
        &self.shop.places[self.index as usize]
    }

    /// `Local::run`, up to the first task, whose poll never ends. False: told to stop.
    fn run_one(&self) -> bool {
        loop {
            if self.place().attention.get() & STOP != 0 {
                self.end_search();
                return false;
            }
            if self.place().ring.pop().is_some() || self.find() {
                self.end_search();
                self.shop.ran.fetch_add(1, Ordering::Relaxed);
                return true;
            }
        }
    }

    /// `Local::find`.
    fn find(&self) -> bool {
        if self.shop.injector.pop().is_some() {
            return true;
        }
        if self.searching.get() || self.shop.idle.start_search(self.shop.places.len()) {
            self.searching.set(true);
            for victim in self.shop.places.iter().filter(|place| !ptr::eq(*place, self.place())) {
                // SAFETY: our ring is ours, and the victim's is another one.
                if victim.is_open() && unsafe { victim.ring.steal_into(&self.place().ring) }.is_some() {
                    return true;
                }
            }
        }
        self.park();
        false
    }

    /// `Local::park` of a worker that does not sit.
    fn park(&self) {
        self.shop.idle.enter(self.index, self.searching.take(), false);
        if self.shop.has_work() {
            self.shop.idle.leave_to_search(self.index);
            return self.searching.set(true);
        }
        if self.place().attention.get() == 0 {
            self.place().parker.park(None);
        }
        if self.shop.idle.leave(self.index) == Left::Claimed {
            self.searching.set(true);
        }
    }

    /// `Local::end_search`.
    fn end_search(&self) {
        if self.searching.replace(false)
            && self.shop.idle.stop_search()
            && self.shop.has_work()
            && let Some(worker) = self.shop.idle.claim()
        {
            self.shop.unpark(worker);
        }
    }

    /// `Local::push_spawned` in a poll that never ends: `Local::push_back`, and `divert` if the worker is marked as stuck. Whether it is.
    fn post(&self, n: usize) -> bool {
        // SAFETY: the ring is the worker's own.
        unsafe { self.place().ring.push(item(n)) }.unwrap();
        let diverts = self.place().diverts.load(Ordering::Relaxed);
        if diverts {
            self.divert();
        }
        diverts
    }

    /// `Local::divert`, where there is room for one to stay.
    fn divert(&self) {
        fence(Ordering::SeqCst);
        if self.shop.idle.counts().0 > 0 {
            self.shop.give_away(self.index);
        }
    }

    /// `Local::step_out`, for good.
    fn step_out(&self) {
        self.place().blocked.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if self.shop.has_work()
            && let Some(other) = self.shop.idle.claim()
        {
            self.shop.unpark(other);
        }
    }
}

fn worker(shop: &Arc<Shop>, index: u16) -> Part {
    let shop = shop.clone();
    Box::new(move || assert!(Worker::new(&shop, index).run_one()))
}

/// Hunted: the publisher has pushed and finds nobody parked, while the worker has found nothing and falls asleep.
#[test]
fn a_task_posted_from_outside_is_run() {
    explore(4, || {
        let shop = Shop::new(1);
        let publisher = shop.clone();
        (vec![worker(&shop, 0), Box::new(move || publisher.inject(0))], Box::new(|| {}))
    });
}

/// Hunted: two publishers and two workers that fall asleep: each publisher takes the worker that the other has claimed for
/// one that will find its task too. Either task holds its worker for ever, so each worker must come to one.
#[test]
fn the_injector_is_seen_by_the_last_sleeper() {
    explore(2, || {
        let shop = Shop::new(2);
        let (one, two) = (shop.clone(), shop.clone());
        let parts: Vec<Part> =
            vec![worker(&shop, 0), worker(&shop, 1), Box::new(move || one.inject(0)), Box::new(move || two.inject(1))];
        (parts, Box::new(move || assert_eq!(shop.idle.counts(), (0, 0))))
    });
}

/// Hunted: the publisher sees a searcher and wakes nobody; the searcher has just found something else, and looks no more.
#[test]
fn the_last_searcher_looks_for_more() {
    explore(3, || {
        let shop = Shop::new(2);
        let publisher = shop.clone();
        let parts: Vec<Part> = vec![
            worker(&shop, 0),
            worker(&shop, 1),
            Box::new(move || {
                publisher.inject(0);
                publisher.inject(1);
            }),
        ];
        (parts, Box::new(move || assert_eq!(shop.idle.counts(), (0, 0))))
    });
}

/// Hunted: a worker blocks on purpose with a task on its ring, and the only other one, which has looked at that ring when
/// it was not open, falls asleep.
#[test]
fn a_worker_that_steps_out_leaves_no_task_behind() {
    explore(4, || {
        let shop = Shop::new(2);
        let blocks = shop.clone();
        let blocks = move || {
            let worker = Worker::new(&blocks, 1);
            // SAFETY: the ring is the worker's own.
            unsafe { worker.place().ring.push(item(0)) }.unwrap();
            worker.step_out();
        };
        (vec![worker(&shop, 0), Box::new(blocks)], Box::new(|| {}))
    });
}

/// Hunted: a worker that is marked as stuck leaves a task on its ring, since it sees nobody parked, and the only other one, which has
/// looked at that ring before, falls asleep.
#[test]
fn what_gathers_at_a_marked_worker_is_seen_by_who_lies_down() {
    explore(4, || {
        let shop = Shop::new(2);
        shop.mark(1);
        let posts = shop.clone();
        let posts = move || assert!(Worker::new(&posts, 1).post(0));
        (vec![worker(&shop, 0), Box::new(posts)], Box::new(|| {}))
    });
}

/// Hunted: it sees nobody parked because the only one who was is on its way to other work, and looks no more. Either task holds its
/// worker for ever.
#[test]
fn what_gathers_at_a_marked_worker_is_seen_by_who_was_claimed_for_something_else() {
    explore(1, || {
        let shop = Shop::new(3);
        shop.mark(2);
        let (posts, injects) = (shop.clone(), shop.clone());
        let posts = move || assert!(Worker::new(&posts, 2).post(0));
        let parts: Vec<Part> =
            vec![worker(&shop, 0), worker(&shop, 1), Box::new(posts), Box::new(move || injects.inject(1))];
        (parts, Box::new(move || assert_eq!(shop.idle.counts(), (0, 0))))
    });
}

/// Hunted: the mark comes while the worker posts and the other one falls asleep. If the worker has seen it, nobody else looks; if
/// not, the monitor does, later.
#[test]
fn what_is_posted_as_the_mark_comes_is_run() {
    explore(2, || {
        let shop = Shop::new(2);
        let posted = Arc::new((Mutex::new(None), Condvar::new()));
        let (posts, tells) = (shop.clone(), posted.clone());
        let posts = move || {
            let diverted = Worker::new(&posts, 1).post(0);
            *tells.0.lock().unwrap() = Some(diverted);
            tells.1.notify_one();
        };
        let looks = shop.clone();
        let monitor = move || {
            looks.mark(1);
            let mut diverted = posted.0.lock().unwrap();
            while diverted.is_none() {
                diverted = posted.1.wait(diverted).unwrap();
            }
            // `Monitor::sample`, over and over.
            while *diverted == Some(false) && looks.places[1].is_open() {
                if let Some(worker) = looks.idle.claim() {
                    looks.unpark(worker);
                }
                thread::yield_now();
            }
        };
        (vec![worker(&shop, 0), Box::new(posts), Box::new(monitor)], Box::new(|| {}))
    });
}

/// Hunted: the bit is raised while the worker is between its last look and its sleep, or comes to a sleep whose wake was
/// used up before. Also how a runtime ends: both workers do, whatever work is about.
#[test]
fn an_attention_bit_is_seen_before_sleep() {
    explore(2, || {
        let shop = Shop::new(2);
        let worker = |index| -> Part {
            let shop = shop.clone();
            Box::new(move || {
                let worker = Worker::new(&shop, index);
                while worker.run_one() {}
            })
        };
        let parts = vec![
            worker(0),
            worker(1),
            Box::new({
                let shop = shop.clone();
                move || {
                    shop.inject(0);
                    for index in 0..2 {
                        shop.places[index as usize].attention.raise(STOP);
                        shop.unpark(index);
                    }
                }
            }),
        ];
        let end = move || {
            assert_eq!(shop.idle.counts(), (0, 0), "nobody is counted who is gone");
            let left = shop.injector.pop().is_some();
            assert_eq!(shop.ran.load(Ordering::Relaxed), usize::from(!left));
        };
        (parts, Box::new(end))
    });
}

/// `Table::mark` and `Table::recover`, for one worker: how many are active, and whether it is stuck.
struct Standings(Mutex<(usize, bool)>);

impl Standings {
    /// True: it is marked, and must be unparked.
    fn mark(&self, place: &Place, tick: &AtomicUsize) -> bool {
        let mut standings = self.0.lock().unwrap();
        let sits = tick.load(Ordering::Relaxed) == 0;
        if sits {
            *standings = (standings.0 - 1, true);
            place.attention.raise(STUCK);
        }
        sits
    }

    fn recover(&self, place: &Place) {
        let mut standings = self.0.lock().unwrap();
        if standings.1 {
            *standings = (standings.0 + 1, false);
            place.attention.clear(STUCK);
        }
    }
}

/// Hunted: the monitor takes for stuck who has just ended its poll, and is about to sleep when the mark comes. Then it sleeps,
/// and counts as active no more.
#[test]
fn who_is_marked_as_it_falls_asleep_takes_the_mark_off() {
    explore(4, || {
        let shop = Shop::new(1);
        let shared = Arc::new((Standings(Mutex::new((1, false))), AtomicUsize::new(0)));
        let (one, two) = (shop.clone(), shared.clone());
        // `Local::run_until`, from the end of a poll on.
        let worker = move || {
            let (worker, (standings, tick)) = (Worker::new(&one, 0), &*two);
            loop {
                let attention = worker.place().attention.get();
                if attention & STOP != 0 {
                    return worker.end_search();
                }
                if attention & STUCK != 0 {
                    standings.recover(worker.place());
                }
                tick.store(1, Ordering::Relaxed);
                assert!(!worker.find(), "there is no work");
            }
        };
        let (one, two) = (shop.clone(), shared.clone());
        // `Monitor::mark`; later the runtime ends, when all its workers stand where they stood.
        let monitor = move || {
            let (standings, tick) = &*two;
            if !one.idle.lists(0) && standings.mark(&one.places[0], tick) {
                one.unpark(0);
                while standings.0.lock().unwrap().1 {
                    thread::yield_now();
                }
            }
            one.places[0].attention.raise(STOP);
            one.unpark(0);
        };
        let end = move || {
            assert_eq!(*shared.0.0.lock().unwrap(), (1, false));
            assert_eq!(shop.idle.counts(), (0, 0));
        };
        (vec![Box::new(worker), Box::new(monitor)], Box::new(end))
    });
}

/// Hunted: somebody has taken over the batch of a worker that was stuck, and says that there is nothing left when that worker
/// has come back and is stuck in its next batch.
#[test]
fn who_takes_over_a_batch_does_not_hide_the_next() {
    explore(4, || {
        let shared = Arc::new((Mutex::new(vec![0]), AtomicBool::new(true)));
        let one = shared.clone();
        // `Local::wake_in_reach` and `put_rest_in_reach`, from the end of one batch to the first waker of the next, which does not return.
        let owner = move || {
            let (draining, drains) = &*one;
            loop {
                let mut draining = draining.lock().unwrap();
                if draining.pop().is_none() {
                    drains.store(false, Ordering::Relaxed);
                    break;
                }
            }
            {
                let mut draining = draining.lock().unwrap();
                draining.extend([1, 2]);
                drains.store(true, Ordering::Relaxed);
            }
            draining.lock().unwrap().pop();
        };
        let one = shared.clone();
        // `Local::take_over_batches`.
        let other = move || {
            let (draining, drains) = &*one;
            if drains.load(Ordering::Relaxed) {
                let mut draining = draining.lock().unwrap();
                draining.clear();
                drains.store(false, Ordering::Relaxed);
            }
        };
        let end = move || {
            let left = !shared.0.lock().unwrap().is_empty();
            assert!(!left || shared.1.load(Ordering::Relaxed), "what is left is seen");
        };
        (vec![Box::new(owner), Box::new(other)], Box::new(end))
    });
}

/// A poller: a wait that ends when it is notified, also when that was before.
struct Poller {
    notified: Mutex<bool>,
    changed: Condvar,
}

impl Poller {
    fn new() -> Poller {
        Poller { notified: Mutex::new(false), changed: Condvar::new() }
    }

    fn wait(&self) {
        let mut notified = self.notified.lock().unwrap();
        while !*notified {
            notified = self.changed.wait(notified).unwrap();
        }
        *notified = false;
    }

    fn notify(&self) {
        *self.notified.lock().unwrap() = true;
        self.changed.notify_one();
    }
}

/// Hunted: a wake between the owner's step into its sleep and the sleep itself; two wakers at once; a wake before the sleep
/// that says no more than that something was published.
fn a_claimed_worker_wakes(polling: bool) {
    explore(4, move || {
        let shared = Arc::new((Parker::new(), Poller::new(), [AtomicBool::new(false), AtomicBool::new(false)]));
        let waker = |n: usize| -> Part {
            let shared = shared.clone();
            Box::new(move || {
                shared.2[n].store(true, Ordering::Relaxed);
                if shared.0.unpark() == Owed::PollerNotify {
                    shared.1.notify();
                }
            })
        };
        let owner = {
            let shared = shared.clone();
            move || {
                shared.0.adopt();
                // Whoever is woken looks for what it was woken for, and must find it, for no other wake will come.
                while !shared.2.iter().all(|flag| flag.load(Ordering::Relaxed)) {
                    if polling {
                        shared.0.park_in_poller(|| shared.1.wait());
                    } else {
                        shared.0.park(None);
                    }
                }
            }
        };
        (vec![Box::new(owner), waker(0), waker(1)], Box::new(|| {}))
    });
}

#[test]
fn a_claimed_worker_wakes_on_its_own() {
    a_claimed_worker_wakes(false);
}

#[test]
fn a_claimed_worker_wakes_in_the_poller() {
    a_claimed_worker_wakes(true);
}

const NEVER: u64 = u64::MAX;

/// Hunted: the armer finds nobody in the seat, or a deadline that is early enough and no longer stands, while the sitter has
/// looked at the timers before. It arms twice, so that the second time somebody has just risen.
#[test]
fn a_timer_armed_from_outside_is_kept() {
    explore(4, || {
        // The two timers of one shard: its earliest deadline is kept in one word, as in `shard.rs`.
        let shared = Arc::new((Seat::new(), Parker::new(), AtomicU64::new(NEVER)));
        let armer = {
            let shared = shared.clone();
            move || {
                for deadline in [20, 10] {
                    shared.2.store(deadline, Ordering::Relaxed);
                    if let Some(worker) = shared.0.to_wake(deadline) {
                        assert_eq!(worker, 7);
                        assert_eq!(shared.1.unpark(), Owed::Nothing);
                    }
                }
            }
        };
        let sitter = move || {
            let (seat, parker, next) = &*shared;
            parker.adopt();
            // A sleep until 20 would end late for the timer at 10, so it must be broken off.
            while seat.sit(7, || next.load(Ordering::Relaxed)) != 10 {
                parker.park(None);
                seat.rise();
            }
            assert_ne!(seat.deadline(), NOBODY);
            seat.rise();
        };
        (vec![Box::new(armer), Box::new(sitter)], Box::new(|| {}))
    });
}

/// Hunted: the poller is made, and nobody is seen in the seat, while the sitter has asked for the poller before and goes to
/// sleep where no descriptor wakes it.
#[test]
fn the_first_descriptor_wakes_the_sitter() {
    explore(4, || {
        let shared = Arc::new((Seat::new(), Parker::new(), AtomicBool::new(false)));
        let registers = {
            let shared = shared.clone();
            // `Driver::poller`.
            move || {
                shared.2.store(true, Ordering::Release);
                if let Some(worker) = shared.0.occupant() {
                    assert_eq!(worker, 7);
                    assert_eq!(shared.1.unpark(), Owed::Nothing);
                }
            }
        };
        let sitter = move || {
            let (seat, parker, made) = &*shared;
            parker.adopt();
            loop {
                assert_eq!(seat.sit(7, || NEVER), NEVER);
                // `Driver::refresh`.
                if made.load(Ordering::Acquire) {
                    break;
                }
                parker.park(None);
                seat.rise();
            }
        };
        (vec![Box::new(registers), Box::new(sitter)], Box::new(|| {}))
    });
}

/// What `Local::park` and `Core::attend_ground` share of poller and timers.
struct Ground {
    idle: Idle,
    seat: Seat,
    /// The driver's lock, which is only ever tried. (loom's mutex blocks one who tries.)
    wait: AtomicBool,
    active: AtomicUsize,
    /// The earliest deadline of all shards.
    earliest: AtomicU64,
    parker: Parker,
}

impl Ground {
    fn try_wait(&self) -> bool {
        self.wait.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    fn drop_wait(&self) {
        self.wait.store(false, Ordering::Release);
    }

    /// `Core::is_deserted`.
    fn is_deserted(&self) -> bool {
        self.seat.deadline() == NOBODY && self.idle.counts().0 >= self.active.load(Ordering::Relaxed)
    }

    fn unpark(&self, worker: Option<u16>) {
        if worker == Some(0) {
            assert_eq!(self.parker.unpark(), Owed::Nothing);
        }
    }

    /// `Core::timer_armed`.
    fn timer_armed(&self, deadline: u64) {
        self.unpark(self.seat.to_wake(deadline));
    }

    /// `Core::attend_ground`.
    fn attend(&self) {
        fence(Ordering::SeqCst);
        if self.is_deserted() {
            self.unpark(self.idle.any());
        } else {
            self.timer_armed(self.earliest.load(Ordering::Relaxed));
        }
    }

    /// `Local::park`, until the timer at `last` is seen.
    fn park_until(&self, last: u64) {
        self.parker.adopt();
        loop {
            let seated = self.try_wait();
            self.idle.enter(0, false, seated);
            if seated {
                if self.seat.sit(0, || self.earliest.load(Ordering::Relaxed)) == last {
                    return;
                }
                self.parker.park(None);
                self.seat.rise();
                self.drop_wait();
            } else if self.is_deserted() {
                thread::yield_now();
            } else {
                self.parker.park(None);
            }
            let _ = self.idle.leave(0);
        }
    }
}

/// Hunted: worker 0 falls asleep and finds the seat taken by worker 1, which then rises, runs, and blocks on purpose. Nobody
/// is there for the timer that is armed next. Or 1 armed one itself before, of which 0, which sits, knows nothing.
fn who_stops_running_leaves_somebody_in_the_seat(armed_before: bool) {
    explore(5, move || {
        let ground = Arc::new(Ground {
            idle: Idle::new(),
            seat: Seat::new(),
            wait: AtomicBool::new(false),
            active: AtomicUsize::new(2),
            earliest: AtomicU64::new(NEVER),
            parker: Parker::new(),
        });
        let sleeps = {
            let ground = ground.clone();
            move || ground.park_until(10)
        };
        let blocks = move || {
            // It comes out of the seat, if it was faster.
            if ground.try_wait() {
                let _ = ground.seat.sit(1, || NEVER);
                ground.seat.rise();
                ground.drop_wait();
            }
            if armed_before {
                // On its own shard: a running worker wakes nobody for that.
                ground.earliest.store(10, Ordering::Relaxed);
            }
            // `Local::step_out`.
            ground.active.fetch_sub(1, Ordering::Relaxed);
            ground.attend();
            if !armed_before {
                ground.earliest.store(10, Ordering::Relaxed);
                ground.timer_armed(10);
            }
        };
        (vec![Box::new(blocks), Box::new(sleeps)], Box::new(|| {}))
    });
}

#[test]
fn who_stops_running_leaves_somebody_in_the_seat_for_the_next_timer() {
    who_stops_running_leaves_somebody_in_the_seat(false);
}

#[test]
fn who_stops_running_leaves_its_own_timers_to_the_seat() {
    who_stops_running_leaves_somebody_in_the_seat(true);
}
