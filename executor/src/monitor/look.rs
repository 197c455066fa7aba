//! A look at the workers, and what is done about what it finds.
//!
//! Nothing, as long as nobody waits: no task queued, no timer overdue, the poller attended to. If somebody waits and a worker
//! sleeps, that one is woken. If none does, the monitor steps out on behalf of those who are stuck (`worker/table.rs`, Stuck):
//! they count as active no more, their rings, slots and wakers stand open to thieves, and as many others are hired. Thieves are those
//! who have nothing to do. What still stands there at a later look, since all others are busy, is put into the injector, which the
//! busy serve as well; and they are asked to wake the wakers.
//!
//! Who sleeps in a system call for long though nobody waits for it is *set aside*: marked, but neither counted nor reported. If it was
//! the last one, another is hired, who looks after poller and timers. So a program that is idle but for one worker that never
//! comes back is idle for the monitor as well.
//!
//! The core is not taken from the stuck thread, which may be about to use it. It may push, arm and wake as ever:
//!
//! ```text
//! to mark     1 `diverts` on   2 slot into the injector, sitter told of the earliest deadline   3 at every look while the
//!               mark stands: its queues again, the deadlines again
//! the marked  1 pushes and arms as always   2 looks at `diverts`: on, it moves what it has into the injector, tells the sitter.
//!               While nobody is idle it may let a few gather: fence, then a look at who is parked, as a push from outside has them
//! ```
//!
//! *The race*: it has looked at `diverts` just before the mark. There is no fence on its side, since that would cost every push.
//! But its push comes first, and so is done, if not yet seen by all: it is found at the monitor's next look; and the monitor does
//! not rest before it has looked once more after a mark, and found nothing. (The other way round, the thread may stop between the
//! look and the push, for as long as it likes, and what it pushes then nobody finds.)
//!
//! When the stuck worker comes to its next poll boundary it finds the attention bit, counts itself active again, and rests if its
//! place was filled.

use super::{
    Monitor,
    memory::{Found, Held, Memory, Sample},
};
use crate::{
    attention::LOOK,
    clock::{self, NEVER},
    core::{Core, OPEN},
    idle::NOBODY,
    queue::Job,
    trace::Note,
    worker::{Worker, block, table::Standing},
};
use std::{sync::atomic::Ordering, time::Duration};

/// Turns since the last look, of all workers, from which on a moment in which all sleep is not taken for the end.
const BREATH: u32 = 2;
/// Nanoseconds after which a worker that sleeps in a system call, and holds up nobody, is set aside.
const SET_ASIDE: u64 = 100_000_000;

impl Monitor {
    /// One look. True: everybody sleeps or is stuck, and there is nothing to watch.
    pub(super) fn sample(&self, core: &'static Core, memory: &mut Memory) -> bool {
        if core.phase() != OPEN {
            return false;
        }
        let (now, real) = (core.clock.now(), clock::real_now());
        core.keep_coarse(now);
        core.pool.retry(core);
        // Workers may be added at any time. They are looked at the next time.
        let known = core.table.len();
        memory.samples.resize(known, Sample::default());
        memory.begin(real);
        let unreported = memory.report(core, real);
        let turns =
            core.table.workers().fold(0u32, |sum, worker| sum.wrapping_add(worker.pulse.tick.load(Ordering::Relaxed)));
        let turned = turns.wrapping_sub(std::mem::replace(&mut memory.turns, turns));
        if core.is_quiet() {
            let hasty = memory.is_hasty();
            memory.keep_quiet();
            if std::mem::take(&mut memory.marked) {
                core.timer_armed(core.earliest());
                return false;
            }
            return !unreported && !hasty && turned < BREATH;
        }
        memory.marked = false;
        let mut waiting = !core.injector.is_empty();
        let (mut stuck, mut any_stuck, mut left, mut long, mut runs) = (Vec::new(), false, false, false, false);
        for worker in core.table.workers().take(known) {
            let index = usize::from(worker.index);
            match worker.standing() {
                Standing::Resting => memory.samples[index].since = 0,
                Standing::Out | Standing::Stuck => {
                    left |= worker.has_any();
                    any_stuck |= worker.standing() == Standing::Stuck;
                    memory.samples[index].since = 0;
                }
                Standing::Active => {
                    let looked = worker.pulse.looked.load(Ordering::Relaxed);
                    long |= !worker.parker.sleeps() && now.saturating_sub(looked) > memory.period;
                    let before = memory.samples[index].since;
                    match memory.look_at(worker, real) {
                        Some(held) => stuck.push((worker, held)),
                        None => runs |= !worker.parker.sleeps(),
                    }
                    if memory.samples[index].since == before && worker.has_any() {
                        // It has sat in one poll since the last look, with others behind it.
                        worker.pulse.wants_help.store(true, Ordering::Relaxed);
                        waiting = true;
                    }
                }
            }
        }
        waiting |= left;
        let deserted = !runs && !stuck.is_empty();
        let unattended = self.is_unattended(core, now, memory.period, deserted);
        memory.keep_calm(!(waiting || unattended || long) && stuck.is_empty());
        let parked = core.idle.counts().0;
        if waiting && parked > 0 {
            core.wake_one();
        } else if core.is_deserted() {
            core.attend_ground();
        }
        let wanted = parked == 0 && (waiting || unattended || core.table.active() == 0);
        let mut relieves = wanted;
        for (worker, held) in stuck {
            // What stands with it still others cannot take: wakers, say, that it had begun to wake.
            let counts = wanted || worker.has_any();
            let since = memory.samples[usize::from(worker.index)].since;
            if counts || (held == Held::Asleep && real.saturating_sub(since) >= SET_ASIDE) {
                let marked = self.mark(worker, held, counts, memory);
                any_stuck |= marked;
                relieves |= marked && counts;
            }
        }
        if relieves || core.table.active() == 0 {
            self.hire(core, now);
        }
        if left && parked == 0 {
            self.give_away(core);
        }
        if any_stuck {
            core.timer_armed(core.earliest());
        }
        if unattended {
            self.call_to_ground(core);
        }
        false
    }

    /// Steps out on behalf of a worker that is stuck. `counts`: it holds somebody up, and is not just set aside.
    fn mark(&self, worker: &'static Worker, held: Held, counts: bool, memory: &mut Memory) -> bool {
        let core = worker.core;
        let sample = &mut memory.samples[usize::from(worker.index)];
        let found =
            Found { task: worker.pulse.running(), since: sample.since, asleep: held == Held::Asleep, told: false };
        if core.idle.lists(worker.index) || !core.table.mark(worker, sample.tick) {
            return false;
        }
        let (id, site) = found.task.map_or((0, None), |(id, site)| (id.to_raw(), Some(site)));
        core.trace_event(|| Note::StallBegin { worker: worker.index, id, site });
        // It may come back before the next look, and be held up by something else in the same turn, or in its next thread's first.
        sample.since = 0;
        memory.marked = true;
        if counts {
            core.counters.stalls.bump_shared();
            core.stalls.count(found.task);
            sample.stall = Some(found);
            memory.make_haste(held);
        }
        // If it was about to sleep it comes and takes the mark off. If not, its next sleep ends at once.
        core.unpark(worker.index);
        if let Some(item) = worker.slot.take() {
            core.injector.push(Job::One(item));
        }
        // Also if nothing stands there yet: who has lain down before it could see the mark would not look at what the worker leaves.
        core.wake_after_publish();
        true
    }

    /// All others are busy, and do not come to steal what those who are stuck or out have left: it comes to them.
    #[cold]
    fn give_away(&self, core: &'static Core) {
        let mut wakers = false;
        for worker in core.table.workers().filter(|worker| worker.is_left()) {
            worker.give_away();
            wakers |= worker.drains.load(Ordering::Relaxed);
        }
        if wakers {
            core.table.workers().for_each(|worker| worker.attention.raise(LOOK));
        }
    }

    /// Fills the places of those who are stuck or out. If that cannot be, does what is left to do.
    #[cold]
    fn hire(&self, core: &'static Core, now: u64) {
        while core.table.is_short() {
            if core.table.hire(core).is_ok() {
                continue;
            }
            // At the cap, or no thread to be had: the next look tries again.
            if core.table.active() == 0 {
                core.table.call_waiter(core);
                // Nobody runs tasks, but threads in `block_on` may wait for a timer or a descriptor.
                let mut ready = Vec::new();
                core.expire_all(now, &mut ready);
                if let Some(mut wait) = core.driver.try_wait() {
                    wait.wait(Some(Duration::ZERO), &mut ready);
                    drop(wait);
                    core.driver.keep_looked(now);
                }
                let _inside = crate::context::enter_foreign(core);
                block::wake_where_nobody_runs(core, &mut ready);
            }
            return;
        }
        // Who has just been hired looks at poller and timers before anything else.
    }

    /// Whether a timer is overdue, or nobody has looked at the poller for long. `deserted`: nor will anybody, since all who do not sleep
    /// are stuck.
    fn is_unattended(&self, core: &Core, now: u64, period: u64, deserted: bool) -> bool {
        let earliest = core.earliest();
        let overdue = earliest != NEVER && earliest.saturating_add(period / 2) < now;
        let unseen = core.seat.deadline() == NOBODY && (deserted || now.saturating_sub(core.driver.looked()) > period);
        overdue || (core.driver.has_poller() && unseen)
    }

    /// Sees to it that somebody looks at poller and timers: a sleeper, or the next who comes to a poll boundary.
    fn call_to_ground(&self, core: &'static Core) {
        core.table.workers().for_each(|worker| worker.attention.raise(LOOK));
        if let Some(sleeper) = core.idle.any() {
            // It takes the seat when it lies down again, and looks at all timers before.
            core.unpark(sleeper);
        }
    }
}

impl Core {
    /// Nothing runs, and nothing waits to be run.
    pub(crate) fn is_quiet(&self) -> bool {
        let (parked, searching) = self.idle.counts();
        parked == self.table.active()
            && parked > 0
            && self.seat.deadline() != NOBODY
            && searching == 0
            && !self.has_waiting()
            && !self.pool.wants_thread()
    }
}
