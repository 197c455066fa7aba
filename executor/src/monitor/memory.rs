//! Who is stuck: what the monitor remembers from one look to the next, and what it makes of that.
//!
//! A worker whose tick has not moved between two looks is *held up*. It is *stuck*
//! - if its thread sleeps in a system call (`worker/thread.rs`) after a quarter of the threshold: its processor is idle, and nothing
//!   is gained by waiting longer; Go takes the processor from a thread in a system call after one look, too;
//! - if it computes, when it has computed for the threshold. The time for which it waited for a processor does not count: more
//!   threads would only wait with it.
//!
//! For a while after a worker was found stuck the looks follow each other four times faster, a sleeper is stuck after a quarter of a
//! quarter, and if the one found computed, who computes has a quarter of the threshold: what held up the first will often hold up
//! those that take its place. (Eight tasks that block for a second each on two workers: the last has begun 5 ms after the first.)
//! It is a while, and who was found in less than the full time does not prolong it: otherwise one task that never comes back
//! would bring relief to every poll of some milliseconds, and a thread for each.

use crate::{
    clock::{NEVER, nanos},
    core::Core,
    stall::{Reported, Stall},
    task::Id,
    worker::{Worker, table::Standing},
};
use std::{panic::Location, sync::atomic::Ordering, time::Duration};

/// A stall that lasts this long is reported though it has not ended.
const LONG_STALL: u64 = 1_000_000_000;
/// After a stall was found, looks follow each other this much faster, and those held up have that much less time.
const HASTE: u64 = 4;
/// Nanoseconds between two looks at most, whatever the threshold: there are other things to see.
const LONGEST_PERIOD: u64 = 10_000_000;
/// Calm looks in a row after which the time between two is doubled.
const CALM: u32 = 8;
/// How often it is doubled: until it is the threshold.
const DOUBLINGS: u32 = 2;
/// Who has not computed, and of whom it cannot be seen whether it sleeps or waits for a processor, is given this much longer.
const UNSEEN: u64 = 8;

/// What the monitor's thread remembers between two looks.
pub(super) struct Memory {
    /// Nanoseconds; NEVER: nobody is ever stuck.
    pub(super) threshold: u64,
    /// Nanoseconds between two looks.
    pub(super) period: u64,
    /// The last look, on the real clock.
    pub(super) looked: u64,
    /// One per worker.
    pub(super) samples: Vec<Sample>,
    /// Until then looks are hasty: a stall was found.
    pub(super) hasty_until: u64,
    /// Until then those who compute have less time: one who computed was found.
    pub(super) strict_until: u64,
    /// Somebody was marked at the last look.
    pub(super) marked: bool,
    /// Looks in a row that have found nothing to do and nobody in a long poll, as far as it matters how many.
    pub(super) calm: u32,
    /// The ticks of all workers at the last look, added up.
    pub(super) turns: u32,
    pub(super) reported: Reported,
}

/// What is remembered of one worker.
#[derive(Clone, Default)]
pub(super) struct Sample {
    pub(super) tick: u32,
    /// When the tick was first seen, on the real clock.
    pub(super) since: u64,
    /// What its thread had computed then.
    pub(super) cpu: Option<u64>,
    /// It was marked as one who holds up others, and has not gone on since.
    pub(super) stall: Option<Found>,
}

/// What holds up a worker.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    /// It sleeps in a system call.
    Asleep,
    /// It computes; early: not for the full threshold yet.
    Computes { early: bool },
}

/// A stall that was found.
#[derive(Clone, Copy)]
pub(super) struct Found {
    pub(super) task: Option<(Id, &'static Location<'static>)>,
    pub(super) since: u64,
    pub(super) asleep: bool,
    /// It was told of, though it had not ended.
    pub(super) told: bool,
}

impl Found {
    fn stall(&self, now: u64, ended: bool) -> Stall {
        let duration = Duration::from_nanos(now.saturating_sub(self.since));
        Stall { task: self.task, duration, ended, asleep: self.asleep }
    }
}

impl Memory {
    pub(super) fn new(core: &Core) -> Memory {
        let threshold = nanos(core.config().stall_threshold);
        Memory {
            threshold,
            period: (threshold / 4).clamp(100_000, LONGEST_PERIOD),
            looked: 0,
            samples: Vec::new(),
            hasty_until: 0,
            strict_until: 0,
            marked: false,
            calm: 0,
            turns: 0,
            reported: Reported::default(),
        }
    }

    /// Nanoseconds until the next look.
    pub(super) fn pause(&self) -> u64 {
        (self.period << (self.calm / CALM)).min(LONGEST_PERIOD) / self.haste()
    }

    /// Whether this look was a calm one.
    pub(super) fn keep_calm(&mut self, calm: bool) {
        self.calm = if calm { (self.calm + 1).min(CALM * DOUBLINGS) } else { 0 };
    }

    pub(super) fn haste(&self) -> u64 {
        if self.looked < self.hasty_until { HASTE } else { 1 }
    }

    /// Reports stalls that have ended, or have lasted for long; not those that were relieved before the threshold, and ended before
    /// it too. Keeps how long they are. True: one is left to report.
    pub(super) fn report(&mut self, core: &Core, now: u64) -> bool {
        let mut left = false;
        for (worker, sample) in core.table.workers().zip(&mut self.samples) {
            let Some(found) = &mut sample.stall else { continue };
            let ended =
                worker.standing() != Standing::Stuck || worker.pulse.tick.load(Ordering::Relaxed) != sample.tick;
            let stall = found.stall(now, ended);
            // The monitor may have slept beside one that was told of, and not know when that ended.
            if !(ended && found.told) {
                core.stalls.lasted(found.task, stall.duration);
            }
            let long = now.saturating_sub(found.since) >= LONG_STALL;
            if (ended || long) && !std::mem::replace(&mut found.told, true) && nanos(stall.duration) >= self.threshold {
                self.reported.report(core, &stall);
            }
            if ended {
                sample.stall = None;
            } else {
                left |= !long;
            }
        }
        left
    }

    /// Looks at one worker that stands as Active. Some: it is stuck.
    pub(super) fn look_at(&mut self, worker: &Worker, now: u64) -> Option<Held> {
        let haste = self.haste();
        let strict = now < self.strict_until;
        let sample = &mut self.samples[usize::from(worker.index)];
        let tick = worker.pulse.tick.load(Ordering::Relaxed);
        if tick != sample.tick || sample.since == 0 || worker.parker.sleeps() {
            *sample = Sample { tick, since: now, cpu: worker.thread.cpu_time(), stall: sample.stall };
            return None;
        }
        if self.threshold == NEVER {
            return None;
        }
        let held = now.saturating_sub(sample.since);
        let limit = self.threshold / if strict { HASTE } else { 1 };
        let computed = worker.thread.cpu_time().zip(sample.cpu).map(|(now, then)| now.saturating_sub(then));
        if computed.is_some_and(|computed| computed < held / 2) {
            let long = self.period.max(self.threshold / 4) / haste;
            // The look may come a little early.
            if held >= long - long / 8 {
                match worker.thread.is_asleep() {
                    Some(true) => return Some(Held::Asleep),
                    Some(false) => {}
                    None if held >= self.threshold.saturating_mul(UNSEEN) => return Some(Held::Asleep),
                    None => {}
                }
            }
        }
        let computed = computed.unwrap_or(held);
        (computed >= limit).then_some(Held::Computes { early: computed < self.threshold })
    }
}
