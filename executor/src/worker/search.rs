//! Looking for work elsewhere, and falling asleep when there is none. The protocol is in `idle/README.md`.

use super::{Local, Worker};
use crate::{
    clock::NEVER,
    core::Core,
    fork,
    idle::{Left, NOBODY},
    monitor::SHORT,
    queue::Item,
    trace::Note,
};
use std::{ops::Range, sync::atomic::Ordering, time::Duration};

/// Sleeps that are worth to be ended early by as much as they would be late.
const LONG: Range<Duration> = Duration::from_millis(3)..Duration::from_millis(32);
/// Nanoseconds by which that is at most.
const MOST_EARLY: u64 = 200_000;
/// Passes over the other workers before the search is given up. On the last one slots are looked at too.
const PASSES: usize = 4;

impl Local {
    /// Work that is not our own; sleeps once if there is none. `None`: look again from the start.
    #[cold]
    pub(super) fn find(&self) -> Option<Item> {
        fork::check_worker();
        if let Some(item) = self.next_injected() {
            return Some(item);
        }
        if self.take_over_batches() {
            // What was woken stands on our own ring.
            return None;
        }
        if self.searching.get() || self.core().idle.start_search(self.core().table.active()) {
            self.searching.set(true);
            if let Some(item) = self.steal() {
                return Some(item);
            }
        }
        self.park();
        None
    }

    /// Stops counting as searching, if we do. The last one looks whether more is left to do.
    #[cold]
    pub(super) fn end_search(&self) {
        if self.searching.replace(false) && self.core().idle.stop_search() && self.core().has_work() {
            self.core().wake_one();
        }
    }

    /// Takes half of what another worker has and is not worth keeping to itself.
    fn steal(&self) -> Option<Item> {
        let workers = self.core().table.len();
        let start = self.random.borrow_mut().usize(0..workers);
        for pass in 0..PASSES {
            let last = pass + 1 == PASSES;
            let mut any = false;
            for i in 0..workers {
                let victim = self.core().table.worker(((start + i) % workers) as u16);
                if std::ptr::eq(victim, self.worker) {
                    continue;
                }
                let left = victim.is_left();
                let slotted = victim.pulse.wants_help.load(Ordering::Relaxed) && !victim.slot.is_empty();
                any |= slotted || left;
                if victim.wants_help() {
                    any = true;
                    // SAFETY: we own our ring, and the victim's is another one.
                    if let Some((item, tasks)) = unsafe { victim.ring.steal_into(&self.worker.ring) } {
                        self.worker.counters.steals.add(tasks as u64);
                        self.trace(|| Note::Steal { from: victim.index, tasks });
                        return Some(item);
                    }
                }
                // A task in a slot is about to run where its memory is warm, unless its worker is held up.
                if (left || (last && slotted))
                    && let Some(item) = victim.slot.take()
                {
                    self.worker.counters.steals.bump();
                    self.trace(|| Note::Steal { from: victim.index, tasks: 1 });
                    return Some(item);
                }
            }
            if !any {
                break;
            }
            if pass + 2 == PASSES {
                std::thread::yield_now();
            }
        }
        None
    }

    /// Sleeps until there may be something to do.
    fn park(&self) {
        let core = self.core();
        let index = self.worker.index;
        self.tidy();
        let mut wait = core.driver.try_wait();
        core.idle.enter(index, self.searching.take(), wait.is_some());
        // Everybody else sleeps and nobody sits: whoever had the seat a moment ago has stepped out. It is ours then.
        let deserted = wait.is_none() && core.is_deserted();
        if core.has_work() {
            drop(wait);
            // Publishers may have relied on us while we searched: we search on, and so owe another look for more.
            core.idle.leave_to_search(index);
            self.searching.set(true);
            return core.monitor.watch();
        }
        if deserted || self.worker.attention.get() != 0 {
            drop(wait);
            self.unlist();
            return core.monitor.watch();
        }
        self.worker.counters.parks.bump();
        self.trace(|| Note::Park);
        let mut ready = self.ready.take();
        let parker = &self.worker.parker;
        match &mut wait {
            Some(wait) => {
                let deadline = core.seat.sit(index, || core.earliest());
                core.driver.refresh(wait);
                if !self.brief.get() {
                    core.monitor.put_off(core, deadline);
                }
                self.sleep_until(deadline, |timeout| {
                    if !wait.has_poller() {
                        return parker.park(timeout);
                    }
                    let mut events = 0;
                    self.trace(|| Note::PollBegin);
                    let unparked = parker.park_in_poller(|| events = wait.wait(timeout, &mut ready));
                    self.trace(|| Note::PollEnd { events });
                    self.worker.counters.poller_waits.bump();
                    self.worker.counters.poller_events.add(events as u64);
                    unparked || events > 0
                });
                core.seat.rise();
            }
            None => {
                let earliest = core.earliest();
                // Whoever sits takes care of the deadlines that it has published. An earlier one that is another worker's is for that
                // one: it runs, or sleeps until then. (When each slept until the earliest of all, three workers of four woke at every
                // tick of one task, and armed each other for the next.)
                let deadline = match core.seat.deadline() {
                    NOBODY => earliest,
                    published => Some(self.worker.shard.next()).filter(|&own| own < published).unwrap_or(NEVER),
                };
                if !self.brief.get() {
                    core.monitor.put_off(core, earliest);
                }
                self.sleep_until(deadline, |timeout| parker.park(timeout));
            }
        }
        drop(wait);
        self.unlist();
        core.monitor.watch();
        let now = core.clock.now();
        core.keep_coarse(now);
        core.driver.keep_looked(now);
        self.worker.pulse.looked.store(now, Ordering::Relaxed);
        self.brief.set(now.saturating_sub(self.clock.recent()) < SHORT);
        self.clock.woken(self.tick.get(), now, self.worker.ring.appended());
        self.crowded.set(false);
        self.passes.set(false);
        let polled = ready.len();
        core.expire_all(now, &mut ready);
        self.trace(|| Note::Unpark);
        let all = ready.len();
        self.wake_batch(ready, polled..all);
        self.clock.polled(self.tick.get(), self.worker.ring.len());
    }

    /// Sleeps until `deadline`, or until `sleep` says that it ended for another reason.
    ///
    /// A processor that has been idle for long takes 50 to 150 µs more to wake than one that has just been awake (measured on a
    /// virtual machine: sleeps of 20 ms were late by 142 µs, of 1 ms by 25 µs). So a long sleep is ended early by as much as the last ones
    /// were late, and if that was too much the rest is slept apart. (Each was woken 0.2 ms before its end, and then slept the rest: 38 µs late
    /// at 82 µs of CPU time; now 30 and 70.) Not so a very long one: most timers that are so far away are on a grid of that width
    /// (`sleep.rs`), and a program that ticks ten times a second had better wake ten times.
    fn sleep_until(&self, deadline: u64, mut sleep: impl FnMut(Option<Duration>) -> bool) {
        let core = self.core();
        let Some(left) = core.until(deadline) else {
            sleep(None);
            return;
        };
        if !LONG.contains(&left) {
            sleep(Some(left));
            return;
        }
        let early = self.early.get();
        if sleep(Some(left - Duration::from_nanos(early))) {
            return;
        }
        let now = core.clock.now();
        let late = (now + early).saturating_sub(deadline).min(MOST_EARLY);
        // To be too early costs a sleep: it is forgotten sooner than learned.
        self.early.set(if late < early { (early + late) / 2 } else { early + (late - early) / 4 });
        if now < deadline {
            sleep(Some(Duration::from_nanos(deadline - now)));
        }
    }

    /// Comes off the list of the idle.
    fn unlist(&self) {
        match self.core().idle.leave(self.worker.index) {
            Left::Alone => {}
            Left::Claimed => self.searching.set(true),
        }
    }

    /// Before a sleep: gives back memory that a peak has left, and the timer that was cancelled last.
    fn tidy(&self) {
        self.clear_cancelled();
        // SAFETY: we are the worker's thread.
        unsafe { self.core().registry.tidy(self.worker.index, &mut self.owned.borrow_mut()) };
        let mut ready = self.ready.borrow_mut();
        if ready.capacity() > 4096 {
            *ready = Vec::new();
        }
    }
}

impl Core {
    /// Whether all active workers sleep and none of them in the seat, so that nobody looks after poller and timers.
    ///
    /// To be asked after a fence by whoever has just become one of the sleepers, or has ceased to be active: of two who do so
    /// at the same time, one sees it.
    pub(crate) fn is_deserted(&self) -> bool {
        self.seat.deadline() == NOBODY && self.idle.counts().0 >= self.table.active()
    }

    /// The caller has ceased to be active: sees to it that poller and timers are looked after without it. If all others sleep and
    /// nobody sits, wakes one, which will sit; if somebody sits, makes sure that it knows the earliest deadline: the caller
    /// may have armed timers and told nobody, since it would have compared before it slept.
    pub(crate) fn attend_ground(&'static self) {
        std::sync::atomic::fence(Ordering::SeqCst);
        if !self.is_deserted() {
            self.timer_armed(self.earliest());
        } else if let Some(worker) = self.idle.any() {
            self.unpark(worker);
        }
    }

    /// Whether a task waits that no running worker may come to soon.
    pub(crate) fn has_waiting(&self) -> bool {
        !self.injector.is_empty() || self.table.workers().any(Worker::has_any)
    }
}
