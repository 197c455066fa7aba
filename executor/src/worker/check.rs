//! The look at the clock, and what depends on it.
//!
//! Reading the clock costs 18 ns, as much as half a turn of a small task, so it is read every few turns: as often as
//! the polls are long. From the time between two looks comes the mean length of a poll, and from that:
//!
//! *How soon to look again*: after about 10 µs, at least every 32 turns, at most every turn. After a sleep, and when tasks are
//! spawned while others sleep, sooner.
//!
//! *Fairness by time.* Every 100 µs the worker looks at due timers and at the injector, so with polls of 5 ms after every
//! poll. (Every 61 turns, as tokio and Go have it, would be every 305 ms.) A chain of turns in the slot ends there, too. At the injector
//! it looks at every look at the clock if its ring is half empty: what a task spills that then yields until it is done comes back before
//! 100 µs have passed for each half ring. (A thousand detached spawns so took 1,200 ns each, and take 55.) The poller costs a system
//! call, so it is looked at when what was queued at the last look has had its turn, but after a millisecond at the latest. What poller
//! and timers wake then, what is spawned, and who joins a task that has ended, goes behind what is in the ring, unless that is more than
//! a millisecond of work: then it goes to the injector, which has half of the time for as long as that is so, however full the ring is:
//! after each turn of the ring (polls that are shorter than 10 µs share one) as many turns as take as long. (Of a hundred that one look
//! woke beside tasks that yield every 40 µs, each waited for one of these, however short its own turn was.)
//!
//! *Who yields goes last.* A task that yields says that others come first. If those in the ring mostly do, and a lap of it (as many
//! pushed as are in it) takes more than 10 µs, what poller and timers wake goes to the injector as well, poller, timers and injector are
//! looked at every 25 µs, and what is spawned, or joins what has ended, goes to the slot. (CPU time beside 16 tasks that yield every
//! 36 µs, 1 worker: a round trip over TCP took 1,570 µs and takes 244, a spawn with its join 1,300 and 10. Beside 200 that yield every
//! 1.6 µs the round trip took 875 and takes 60. tokio, where who yields goes behind a look at the poller, took 1,150, 8 and 650.) It takes
//! nobody's place there, and where others have nothing to do, what is spawned goes to the ring: a long one would hold up who waits behind
//! it, and nobody is woken for a slot.
//!
//! *Whether others are wanted.* To wake a thread costs about 2 µs here and as much there, and spreads tasks that share
//! memory over two cores. It pays when enough work is waiting:
//! - the ring holds at least [`WORTH`] of work by the mean poll; or
//! - for as long as that the ring was not empty and mostly held tasks that had run before: a crowd that yields, which will
//!   be there for some time, as opposed to a burst of small spawns that is soon gone; or
//! - something waits, nothing is known of how long it will take, and nobody was woken on such a guess for a millisecond. If the
//!   tasks turn out to be small, the next look takes the verdict back before the woken thread is there, and the guess has
//!   cost a few microseconds in a thousand; if the next one is long, the thread finds the rest to steal.
//!
//! While a batch from the poller is being worked through the measure is ten times that, and nothing is guessed: such turns are
//! short, the batch is soon done, and the next one comes from the kernel. (Echo, 64 connections, 2 workers, thousand requests/s
//! beside tokio in the same run: 143 to 156 when a batch was weighed like anything else, 182 to 143 when it woke nobody.)
//!
//! The verdict is published for thieves, who obey the same measure; until the next look it is all that they know.
//!
//! What was measured is in `benches/README.md`, under "When a wake is worth it".

use super::{Local, Worker, run::SLOT_RUN};
use crate::{
    context,
    driver::LOOK_EVERY,
    fork,
    idle::NOBODY,
    queue::{CAPACITY, Item},
    task::kin,
    trace::Note,
};
use std::{cell::Cell, ops::Range, ptr, sync::atomic::Ordering, task::Waker};

/// Nanoseconds between two looks at the clock, about.
const CHECK_EVERY: u64 = 10_000;
/// Turns between two looks at the clock, at most.
const TURNS: u64 = 32;
/// Nanoseconds between two looks at timers, poller and injector beside tasks that yield.
const YIELDING_LOOK_EVERY: u64 = LOOK_EVERY / 4;
/// Nanoseconds of waiting work that are worth a wake.
const WORTH: u64 = 50_000;
/// The same while a batch from the poller is being worked through.
const BATCH_WORTH: u64 = 500_000;
/// Nanoseconds between two wakes on a guess, at least.
const GUESS_EVERY: u64 = 1_000_000;
/// Turns between two looks that a spawn brings about, at least.
const SPAWN_TURNS: u32 = 4;
/// Nanoseconds between two looks at the poller, at most.
const POLL_EVERY: u64 = 1_000_000;
/// Nanoseconds that the injector has in one piece, at most.
const SHARE: u64 = 10_000_000;
/// Nanoseconds of work in the ring beyond which what the poller wakes or a task spawns does not queue behind it.
const CROWDED: u64 = 1_000_000;

/// What a worker knows of the time.
pub(crate) struct Watch {
    /// The turn at which to look again.
    due: Cell<u32>,
    /// The turn of the last look.
    turn: Cell<u32>,
    /// When that was.
    now: Cell<u64>,
    /// When poller, timers and injector were last looked at.
    looked: Cell<u64>,
    /// When the poller was last looked at.
    polled: Cell<u64>,
    /// The turn at which everything that was queued then has had its own.
    round: Cell<u32>,
    /// The mean length of a poll, ns.
    mean: Cell<u64>,
    /// Turns until the next look, as far as the clock allows: doubled at each.
    pace: Cell<u64>,
    /// When somebody was last woken on a guess.
    guessed: Cell<u64>,
    /// For how long the ring has held a crowd, ns.
    crowd: Cell<u64>,
    /// The injector had the turn before: now it is the ring's.
    injected: Cell<bool>,
    /// What it may still have before that, where it passes the ring: as much time as the ring had before, ns.
    share: Cell<u64>,
    /// The turn since the last look is one of those: it tells nothing of those in the ring.
    apart: Cell<bool>,
    lap: Lap,
}

/// Once round the ring: as many were pushed as are in it.
#[derive(Default)]
struct Lap {
    /// What had been pushed when it began.
    from: Cell<usize>,
    /// When that was.
    begun: Cell<u64>,
    /// Tasks pushed since then that had yielded.
    yields: Cell<usize>,
    /// How long the last one took, if most of those pushed had yielded; otherwise 0.
    yielding: Cell<u64>,
}

impl Lap {
    fn begin(&self, appended: usize, now: u64) {
        self.from.set(appended);
        self.begun.set(now);
        self.yields.set(0);
    }

    /// Tells whether those in the ring mostly yield, and take longer than [`CHECK_EVERY`] for a lap.
    fn is_long_yielding(&self, queued: usize, appended: usize, yields: usize, now: u64) -> bool {
        self.yields.set(self.yields.get() + yields);
        let pushed = appended.wrapping_sub(self.from.get());
        let taken = now.saturating_sub(self.begun.get());
        if pushed >= queued {
            self.yielding.set(if queued > 0 && 2 * self.yields.get() >= pushed { taken } else { 0 });
            self.begin(appended, now);
        }
        self.yielding.get() > CHECK_EVERY
    }
}

impl Watch {
    /// The worker has had `turn` turns, perhaps of another thread.
    pub(crate) fn new(turn: u32, now: u64) -> Watch {
        Watch {
            due: Cell::new(turn),
            turn: Cell::new(turn),
            now: Cell::new(now),
            // A worker that is added because others are stuck looks at what they leave lying before it takes up more of the same.
            looked: Cell::new(0),
            polled: Cell::new(0),
            round: Cell::new(turn),
            mean: Cell::new(0),
            pace: Cell::new(1),
            guessed: Cell::new(0),
            crowd: Cell::new(0),
            // So it also runs what these have woken before it takes something from the injector.
            injected: Cell::new(true),
            share: Cell::new(0),
            apart: Cell::new(false),
            lap: Lap::default(),
        }
    }

    #[inline]
    pub(crate) fn is_due(&self, turn: u32) -> bool {
        turn.wrapping_sub(self.due.get()) as i32 >= 0
    }

    /// The time at the last look.
    #[inline]
    pub(crate) fn recent(&self) -> u64 {
        self.now.get()
    }

    /// Looks at the clock at the next turn.
    pub(crate) fn check_soon(&self, turn: u32) {
        self.due.set(turn.wrapping_add(1));
    }

    /// Tasks were spawned while others sleep.
    #[inline]
    pub(crate) fn spawned(&self, turn: u32) {
        if turn.wrapping_sub(self.turn.get()) >= SPAWN_TURNS {
            self.check_soon(turn);
        }
    }

    /// Looks at everything at the next turn.
    pub(crate) fn look_now(&self, turn: u32) {
        self.check_soon(turn);
        self.looked.set(0);
        self.polled.set(0);
    }

    /// The worker comes out of a sleep at `now`: what it measured before says nothing about what comes.
    pub(crate) fn woken(&self, turn: u32, now: u64, appended: usize) {
        self.lap.begin(appended, now);
        self.lap.yielding.set(0);
        self.turn.set(turn);
        self.check_soon(turn);
        self.now.set(now);
        self.looked.set(now);
        self.crowd.set(0);
        self.share.set(0);
        self.apart.set(false);
        self.pace.set(1);
    }

    /// The poller was looked at, and `queued` tasks are in the ring.
    pub(super) fn polled(&self, turn: u32, queued: usize) {
        self.polled.set(self.now.get());
        self.round.set(turn.wrapping_add(queued as u32));
    }

    /// What poller and timers have woken at the last look is still being worked through.
    fn in_batch(&self, turn: u32) -> bool {
        (turn.wrapping_sub(self.round.get()) as i32) < 0
    }

    /// Whether somebody may be woken on a guess now; it is taken as done.
    fn may_guess(&self) -> bool {
        let now = self.now.get();
        let may = now.saturating_sub(self.guessed.get()) >= GUESS_EVERY;
        if may {
            self.guessed.set(now);
        }
        may
    }

    fn may_poll(&self, turn: u32, yielding: bool) -> bool {
        yielding || !self.in_batch(turn) || self.now.get().saturating_sub(self.polled.get()) >= POLL_EVERY
    }

    /// Takes the time at `turn`. Returns how long it is since the last look, and how many turns.
    fn take(&self, turn: u32, now: u64) -> (u64, u64) {
        let elapsed = now.saturating_sub(self.now.get());
        let turns = u64::from(turn.wrapping_sub(self.turn.get())).max(1);
        let mean = if self.apart.get() { self.mean.get() } else { elapsed / turns };
        // Half old, half new: long polls are believed at once, and forgotten after a few looks.
        let mean = mean.max((self.mean.get() + mean) / 2);
        self.mean.set(mean);
        // By the same measure: after one short poll among long ones it would be 32 of the long ones until the next look.
        let wait = (CHECK_EVERY / mean.max(1)).clamp(1, self.pace.get());
        self.pace.set((2 * self.pace.get()).min(TURNS));
        self.turn.set(turn);
        self.now.set(now);
        self.due.set(turn.wrapping_add(wait as u32));
        (elapsed, turns)
    }
}

impl Local {
    /// Looks at the clock. What is returned runs next.
    #[cold]
    pub(super) fn check(&self, turn: u32) -> Option<Item> {
        fork::check_worker();
        let core = self.core();
        let now = core.clock.now();
        let (elapsed, turns) = self.clock.take(turn, now);
        core.keep_coarse(now);
        self.worker.pulse.looked.store(now, Ordering::Relaxed);
        self.clear_cancelled();
        let rescheduled = self.rescheduled.take();
        let ring = &self.worker.ring;
        let yields = rescheduled.wrapping_sub(self.displaced.take()) as usize;
        let yielding = self.clock.lap.is_long_yielding(ring.len(), ring.appended(), yields, now);
        // A turn inside a `block_on` is as long as those inside of it, and the newest is to be next (`block.rs`).
        let nested = context::with(|cx| cx.nested.get() > 0);
        let yielding = yielding && !nested;
        self.crowded.set(!nested && ring.len() as u64 * self.clock.mean.get() > CROWDED);
        self.passes.set(yielding || self.crowded.get());
        if !self.clock.apart.replace(false) {
            self.weigh(turn, elapsed, turns, rescheduled);
        }
        let share =
            if self.clock.injected.get() { self.clock.share.get().saturating_sub(elapsed) } else { elapsed.min(SHARE) };
        self.clock.share.set(share);
        let every = if yielding { YIELDING_LOOK_EVERY } else { LOOK_EVERY };
        if now.saturating_sub(self.clock.looked.get()) >= every {
            self.clock.looked.set(now);
            if self.slot_run.get() > 0 {
                // A pair whose polls take 5 ms has not sixteen of them: the ring is next, and then the slot again.
                self.slot_run.set(SLOT_RUN);
            }
            return self.look(turn, now, yielding);
        }
        // What is full would spill again what it gets from there. But if others may pass those in the ring, they stand there.
        let serves = ring.len() <= CAPACITY / 2 || self.passes.get();
        if serves && !self.core().injector.is_empty() { self.take_injected() } else { None }
    }

    /// A task from the injector, every second time if there are others; where it passes the ring, as many as take the same time.
    fn take_injected(&self) -> Option<Item> {
        let passes = self.passes.get();
        let goes_on = passes && self.clock.share.get() > 0 && self.worker.slot.is_empty();
        if self.clock.injected.replace(false) && self.worker.ring.len() > 0 && !goes_on {
            return None;
        }
        let item = self.next_injected();
        self.clock.injected.set(item.is_some());
        if item.is_some() && passes {
            // Its turn is measured, by itself.
            self.clock.apart.set(true);
            self.clock.check_soon(self.tick.get());
        }
        item
    }

    /// Decides whether others are wanted, tells thieves, and wakes one.
    fn weigh(&self, turn: u32, elapsed: u64, turns: u64, rescheduled: u32) {
        // One of them is ours in a moment, unless that is what was spawned beside those who yield.
        let next = self.passes.get() && !self.worker.slot.is_empty();
        let waiting = (self.worker.ring.len() as u64).saturating_sub(u64::from(!next));
        let value = waiting * self.clock.mean.get();
        let crowd =
            if waiting > 0 && 2 * u64::from(rescheduled) >= turns { self.clock.crowd.get() + elapsed } else { 0 };
        self.clock.crowd.set(crowd);
        let wants_wake = self.core().idle.wants_wake();
        let worth = if self.clock.in_batch(turn) {
            value >= BATCH_WORTH
        } else {
            value >= WORTH || crowd >= WORTH || (waiting > 0 && wants_wake && self.clock.may_guess())
        };
        let pulse = &self.worker.pulse;
        if pulse.wants_help.load(Ordering::Relaxed) != worth {
            pulse.wants_help.store(worth, Ordering::Relaxed);
        }
        if worth && wants_wake {
            self.core().wake_one();
        }
    }

    /// Looks at timers, poller and injector without sleeping.
    // Never, at ten thousand times a second: so that `gambol-benches instructions` can tell it from the rest of `check`.
    #[inline(never)]
    fn look(&self, turn: u32, now: u64, yielding: bool) -> Option<Item> {
        let core = self.core();
        let mut ready = self.ready.take();
        // Of other workers only what they have let pass: they sleep in the belief that somebody sits, or are in a long poll.
        let others = core.table.workers().map(|worker| &worker.shard);
        let others = others.filter(|shard| shard.next().saturating_add(LOOK_EVERY) <= now);
        let ours = core.foreign.iter().chain([&self.worker.shard]);
        for shard in ours.filter(|shard| shard.next() <= now).chain(others) {
            // One batch; the rest at the next look, if the worker has other things to do.
            if shard.expire(now, &mut ready) {
                self.clock.looked.set(0);
            }
        }
        let fired = ready.len();
        let polls = core.driver.has_poller() && self.clock.may_poll(turn, yielding);
        if polls
            && core.seat.deadline() == NOBODY
            && let Some(mut wait) = core.driver.try_wait()
        {
            self.trace(|| Note::PollBegin);
            let events = wait.wait(Some(std::time::Duration::ZERO), &mut ready);
            self.trace(|| Note::PollEnd { events });
            drop(wait);
            core.driver.keep_looked(now);
            self.worker.counters.poller_waits.bump();
            self.worker.counters.poller_events.add(events as u64);
        }
        self.wake_batch(ready, 0..fired);
        if polls {
            // Where they pass those who yield, what it has woken is not behind these, and it is no batch that is in work.
            self.clock.polled(turn, if yielding { 0 } else { self.worker.ring.len() });
        }
        self.take_injected()
    }

    /// Wakes what poller or timers have handed back, in the memory that was taken out of `ready`. `timers` tells those of timers
    /// from those of the poller, for the trace.
    ///
    /// From the first on that is not certainly a task's of ours, the list stands where others reach it: that one may block. So may one
    /// of ours that comes late to another runtime; who drops it steps out before, which puts the list in reach as well.
    pub(super) fn wake_batch(&self, mut ready: Vec<Waker>, timers: Range<usize>) {
        if ready.is_empty() {
            self.ready.replace(ready);
            return;
        }
        // Publishers must not rely on us while we are in a waker.
        self.end_search();
        if let Some(lane) = &self.lane {
            lane.begin_batch(timers);
        }
        self.batch.set(true);
        ready.reverse();
        self.ready.replace(ready);
        while let Some(waker) = self.next_of_rest() {
            if !kin::is_own(&waker) {
                self.ready.borrow_mut().push(waker);
                self.put_rest_in_reach();
                break;
            }
            self.wake_of_batch(waker);
        }
        if self.worker.drains.load(Ordering::Relaxed) {
            self.wake_in_reach();
        }
        self.batch.set(false);
    }

    #[inline]
    fn next_of_rest(&self) -> Option<Waker> {
        self.ready.borrow_mut().pop()
    }

    /// Puts what is left of a batch where others reach it.
    pub(super) fn put_rest_in_reach(&self) {
        self.worker.put_in_reach(self.ready.borrow_mut().drain(..).rev());
    }

    /// Wakes those that stand in reach.
    #[cold]
    fn wake_in_reach(&self) {
        while let Some(waker) = self.worker.take_in_reach() {
            self.wake_of_batch(waker);
        }
    }

    #[inline]
    fn wake_of_batch(&self, waker: Waker) {
        if let Some(lane) = &self.lane {
            lane.next_of_batch();
        }
        crate::core::wake(waker);
    }

    /// Wakes what workers that are stuck or out had begun to wake, and what we had: then we are nested in a `block_on` of one of those
    /// wakers, and stand as active (`block.rs`). False: there was nothing.
    pub(super) fn take_over_batches(&self) -> bool {
        let mut any = false;
        let lies = |worker: &&Worker| worker.is_left() || ptr::eq(*worker, self.worker);
        for worker in self.core().table.workers().filter(lies) {
            if worker.drains.load(Ordering::Relaxed) {
                let mut wakers = self.ready.take();
                let mut draining = worker.lock_draining();
                wakers.extend(draining.drain(..));
                // Under the lock: a moment later it might hide the next batch, and its worker be stuck in that one.
                worker.drains.store(false, Ordering::Relaxed);
                drop(draining);
                any |= !wakers.is_empty();
                self.wake_batch(wakers, 0..0);
            }
        }
        any
    }
}

#[cfg(all(test, not(gambol_loom)))]
mod tests {
    use super::*;

    /// After five short ones from the injector those in the ring were believed to be as short: nobody was woken for them, and what came
    /// next queued behind them.
    #[test]
    fn who_passes_the_ring_tells_nothing_of_those_in_it() {
        let watch = Watch::new(0, 0);
        watch.take(10, 400_000);
        for turn in 11..20 {
            watch.apart.set(true);
            watch.take(turn, 400_000 + 1_000 * u64::from(turn - 10));
            assert_eq!(watch.mean.get(), 40_000);
        }
        watch.apart.set(false);
        watch.take(29, 409_000 + 10 * 1_000);
        assert_eq!(watch.mean.get(), 20_500);
    }

    /// With more than half of all turns behind it, it believed that the first look was two thousand million turns away.
    #[test]
    fn a_thread_that_takes_over_a_worker_looks_at_once() {
        for turn in [0, 1, u32::MAX / 2, u32::MAX / 2 + 2, u32::MAX] {
            let watch = Watch::new(turn, 1_000);
            let first = turn.wrapping_add(1);
            assert!(watch.is_due(first), "after {turn} turns");
            assert!(!watch.in_batch(first), "after {turn} turns");
        }
    }
}
