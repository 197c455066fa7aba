//! Who is stuck: what the monitor remembers from one look to the next, and what it makes of that.
//!
//! A worker whose tick has not moved between two looks is *held up*. It is *stuck*
//! - if its thread sleeps in a system call (`worker/thread.rs`) after a quarter of the threshold: its processor is idle, and nothing
//!   is gained by waiting longer; Go takes the processor from a thread in a system call after one look, too;
//! - if it computes, when it has computed for the threshold. The time for which it waited for a processor does not count: more
//!   threads would only wait with it.
//!
//! One look is enough for a sleeper in a task's turn that has not looked at its clock for so long: that is done between turns, unless
//! they are short.
//!
//! # Haste
//!
//! What held up one worker will often hold up those that take its place. After a stall was found looks follow each other as closely as
//! may be, and who sleeps in a task's turn is stuck after a 32nd of the time; after every sixteen looks both are doubled, until they are
//! as before. So a stall by itself costs eighty looks in 40 ms, about 2 ms of CPU time, and where stalls come in crowds each is found
//! some 0.2 ms after it has begun. (An echo server of two workers, each tenth of whose requests blocks: nine of ten of the others took
//! 1.5 ms when the looks were 0.6 ms apart until all slept for a moment, and take 0.3.)
//!
//! Who is between two turns may wait for a lock of ours, or for its thread to begin, and has the full time. A sleeper that comes back
//! sooner than it would have been found without haste needed no help, and the haste is over: a program with many short system calls
//! would otherwise be in haste for ever, once it began.
//!
//! Those who compute are given a quarter of the threshold for a while, if one was found who did. (Eight tasks that block for a second each on
//! two workers: the last has begun 5 ms after the first.) Who was found in less than the full time does not prolong that: otherwise one
//! task that never comes back would bring relief to every poll of some milliseconds, and a thread for each.

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
/// How often the time between two looks is halved after a stall was found, and with it the time that a sleeper is given.
const HASTE: u32 = 5;
/// Looks after which it is doubled again.
const HASTE_LASTS: u32 = 16;
/// After one who computed was found, those who compute have that much less time.
const STRICT: u64 = 4;
/// Nanoseconds for which that is so.
const STRICT_LASTS: u64 = 100_000_000;
/// Nanoseconds between two looks at least.
const SHORTEST_PAUSE: u64 = 100_000;
/// Nanoseconds between two looks at most, whatever the threshold: there are other things to see.
const LONGEST_PERIOD: u64 = 10_000_000;
/// Calm looks in a row after which the time between two is doubled.
const CALM: u32 = 8;
/// How often it is doubled: until it is the threshold.
const DOUBLINGS: u32 = 2;
/// Nanoseconds between two looks after which the process is taken to have been stopped meanwhile: what was seen before says nothing.
const STOPPED: u64 = 200_000_000;
/// Who has not computed, and of whom it cannot be seen whether it sleeps or waits for a processor, is given this much longer.
const UNSEEN: u64 = 8;

/// What the monitor's thread remembers between two looks.
pub(super) struct Memory {
    /// Nanoseconds; NEVER: nobody is ever stuck.
    pub(super) threshold: u64,
    /// Nanoseconds between two looks.
    pub(super) period: u64,
    /// This look, or the last one, on the real clock.
    looked: u64,
    /// The one before. Who has turned since has done so later than that.
    before: u64,
    /// One per worker.
    pub(super) samples: Vec<Sample>,
    /// Looks that are hasty still: a stall was found.
    hasty: u32,
    /// Until then those who compute have less time: one who computed was found.
    strict_until: u64,
    /// Somebody was marked at the last look.
    pub(super) marked: bool,
    /// Looks in a row that have found nothing to do and nobody in a long poll, as far as it matters how many.
    calm: u32,
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
    pub(super) fn new(threshold: Duration) -> Memory {
        let threshold = nanos(threshold);
        Memory {
            threshold,
            period: (threshold / 4).clamp(SHORTEST_PAUSE, LONGEST_PERIOD),
            looked: 0,
            before: 0,
            samples: Vec::new(),
            hasty: 0,
            strict_until: 0,
            marked: false,
            calm: 0,
            turns: 0,
            reported: Reported::default(),
        }
    }

    /// A look begins. `now`: the real clock.
    pub(super) fn begin(&mut self, now: u64) {
        self.before = std::mem::replace(&mut self.looked, now);
        if now.saturating_sub(self.before) >= STOPPED {
            self.before = now;
            self.forget();
        }
    }

    /// What was seen of the workers says nothing any more.
    pub(super) fn forget(&mut self) {
        self.samples.iter_mut().for_each(|sample| sample.since = 0);
    }

    /// All sleep: what follows begins anew.
    pub(super) fn keep_quiet(&mut self) {
        self.forget();
        self.strict_until = 0;
        self.keep_calm(true);
    }

    /// Nanoseconds until the next look.
    pub(super) fn pause(&self) -> u64 {
        let pause = (self.period << (self.calm / CALM)).min(LONGEST_PERIOD);
        (pause >> self.haste()).max(SHORTEST_PAUSE)
    }

    /// Whether this look was a calm one. Those that follow a stall are not, whatever they see.
    pub(super) fn keep_calm(&mut self, calm: bool) {
        self.calm = if calm && self.hasty == 0 { (self.calm + 1).min(CALM * DOUBLINGS) } else { 0 };
        self.hasty = self.hasty.saturating_sub(1);
    }

    /// A stall was found: others may follow.
    pub(super) fn make_haste(&mut self, held: Held) {
        match held {
            Held::Asleep => {}
            Held::Computes { early: false } => self.strict_until = self.looked + STRICT_LASTS,
            Held::Computes { early: true } => return,
        }
        self.hasty = HASTE * HASTE_LASTS;
    }

    pub(super) fn is_hasty(&self) -> bool {
        self.hasty > 0
    }

    /// How often the time between two looks is halved.
    fn haste(&self) -> u32 {
        self.hasty.div_ceil(HASTE_LASTS)
    }

    /// Nanoseconds after which a sleeper is stuck.
    fn patience(&self, haste: u32) -> u64 {
        (self.period.max(self.threshold / 4) >> haste).max(SHORTEST_PAUSE / 2)
    }

    /// Reports stalls that have ended, or have lasted for long; not those that were relieved before the threshold, and ended before
    /// it too. Keeps how long they are. True: one is left to report.
    pub(super) fn report(&mut self, core: &Core, now: u64) -> bool {
        let patience = self.patience(0);
        let (mut left, mut needless) = (false, false);
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
                needless |= found.asleep && nanos(stall.duration) < patience;
                sample.stall = None;
            } else {
                left |= !long;
            }
        }
        if needless {
            self.hasty = 0;
        }
        left
    }

    /// Looks at one worker that stands as Active. Some: it is stuck.
    pub(super) fn look_at(&mut self, worker: &Worker, now: u64) -> Option<Held> {
        let in_turn = worker.pulse.running.load(Ordering::Relaxed) != 0;
        let patience = self.patience(if in_turn { self.haste() } else { 0 });
        let strict = now < self.strict_until;
        let sample = &mut self.samples[usize::from(worker.index)];
        let tick = worker.pulse.tick.load(Ordering::Relaxed);
        let sleeps = worker.parker.sleeps();
        if tick != sample.tick || sample.since == 0 || sleeps {
            let cpu = worker.thread.cpu_time();
            // Who has computed for most of the time is not asleep for long.
            let computed = cpu.zip(sample.cpu).map(|(now, then)| now.saturating_sub(then));
            let room = sample.since == 0
                || computed.is_none_or(|computed| computed + patience <= now.saturating_sub(sample.since));
            *sample = Sample { tick, since: now, cpu, stall: sample.stall };
            let since = worker.pulse.looked.load(Ordering::Relaxed).max(self.before);
            let long = self.threshold != NEVER && in_turn && !sleeps && now.saturating_sub(since) >= patience;
            if long && room && worker.thread.is_asleep() == Some(true) {
                sample.since = since;
                return Some(Held::Asleep);
            }
            return None;
        }
        if self.threshold == NEVER {
            return None;
        }
        let held = now.saturating_sub(sample.since);
        let limit = self.threshold / if strict { STRICT } else { 1 };
        let computed = worker.thread.cpu_time().zip(sample.cpu).map(|(now, then)| now.saturating_sub(then));
        if computed.is_some_and(|computed| computed < held / 2) {
            // The look may come a little early.
            if held >= patience - patience / 8 {
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

#[cfg(all(test, not(gambol_loom)))]
mod tests {
    use super::*;

    const MILLI: u64 = 1_000_000;

    /// The pauses of so many looks that are all alike.
    fn pauses(memory: &mut Memory, looks: u32, look: impl Fn(&mut Memory)) -> Vec<u64> {
        (0..looks)
            .map(|_| {
                look(memory);
                memory.pause()
            })
            .collect()
    }

    #[test]
    fn looks_become_rarer_while_all_is_calm() {
        let mut memory = Memory::new(Duration::from_millis(10));
        let pauses = pauses(&mut memory, CALM * 3, |memory| memory.keep_calm(true));
        assert_eq!((pauses[0], *pauses.last().unwrap()), (MILLI * 5 / 2, MILLI * 10));
        memory.keep_calm(false);
        assert_eq!(memory.pause(), MILLI * 5 / 2);
    }

    #[test]
    fn after_a_stall_looks_are_close_and_become_rarer_whatever_they_see() {
        let looks: [fn(&mut Memory); 3] =
            [|memory| memory.keep_calm(false), |memory| memory.keep_calm(true), Memory::keep_quiet];
        for look in looks {
            let mut memory = Memory::new(Duration::from_millis(10));
            memory.make_haste(Held::Asleep);
            assert_eq!(memory.pause(), SHORTEST_PAUSE);
            let pauses = pauses(&mut memory, HASTE * HASTE_LASTS, look);
            assert!(pauses.is_sorted() && pauses[HASTE_LASTS as usize / 2] == SHORTEST_PAUSE);
            assert_eq!(*pauses.last().unwrap(), MILLI * 5 / 2);
        }
    }

    #[test]
    fn one_who_is_found_early_while_it_computes_makes_no_haste() {
        let mut memory = Memory::new(Duration::from_millis(10));
        memory.make_haste(Held::Computes { early: true });
        assert!(!memory.is_hasty() && memory.strict_until == 0);
        memory.make_haste(Held::Computes { early: false });
        assert!(memory.is_hasty() && memory.strict_until > 0);
    }

    #[test]
    fn no_threshold_is_too_short_or_too_long() {
        for threshold in [Duration::ZERO, Duration::from_millis(1), Duration::from_secs(60), Duration::MAX] {
            let mut memory = Memory::new(threshold);
            memory.make_haste(Held::Asleep);
            for pause in pauses(&mut memory, 100, |memory| memory.keep_calm(true)) {
                assert!((SHORTEST_PAUSE..=LONGEST_PERIOD).contains(&pause), "{threshold:?}");
            }
        }
    }
}
