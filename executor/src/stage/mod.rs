//! The stage: how tasks run in a runtime with virtual time or a seed, where time stands still while anything acts, and where the
//! order may be drawn.
//!
//! Such a runtime has no rings, no thieves and no idle list. Everything that is to act is written on one [board](board::Board) under
//! one lock, so that "nothing acts and nothing will" is one look at one place. That costs a lock and often a thread switch per turn,
//! which a test can afford. Other runtimes pay for it one predictable branch where a task comes from outside (`Core::inject`), one in
//! `block_on`, and nothing on a worker.
//!
//! Left: the leap as a step of the sitter in `worker/search.rs`. Its condition is spread over the idle word, rings, slots, draining
//! lists, the roster, the pool and every thread in `block_on`, and each of them would have to tell the sitter of its last step towards
//! rest.
//!
//! # Batons
//!
//! Whoever polls, wakes timers or moves the clock has a baton, from before it begins until everything is queued that it has woken. With
//! a seed there is one, and who gets it next is drawn from those who wait for it; without, a worker's turn needs a free number, as
//! many as there are workers, and a thread in `block_on` needs nothing.
//!
//! ```text
//! to wake a task         1 push it onto the board   2 give out what batons there are
//! to end a turn          1 give the baton back   2 give out what batons there are   3 none out, none wanted: the time, see below
//! to wait in block_on    1 under the lock, see that nobody has notified us, and be parked; otherwise wait for the baton again
//!                        2 as a turn ends   3 sleep until granted
//! to notify a thread     1 set its flag   2 under the lock, if it is parked, push it   3 as to wake a task
//! to block on purpose    1 hold the time   2 as a turn ends   3 block   4 under the lock, push ourselves and let go of the time   5 wait
//! to move the time       under the lock, with nothing acting and nothing ready:
//!                        1 somebody moves the clock by hand (`time::advance`): go on to the next deadline, or to where he wants it
//!                        2 a hold, or a pending socket: stay
//!                        3 go on to the next deadline, if there is one
//!                        to go on is to take a baton, move the clock, wake what is due, and end as a turn does
//! ```
//!
//! *Why time never leaps over what runs.* A task is on the board or has a baton from its wake until its Pending; a thread likewise
//! from its notification; a blocking job holds the time from before it is queued until its result has woken whoever wants it; a
//! thread that blocks lets go of the time in the same step that puts it back among those who wait. So at each moment one of these
//! stands on the board, and the leap looks at all of them under the lock. The models are in `models.rs`.
//!
//! *Sockets.* Only the ground thread (`ground.rs`) waits in the poller, and once there is a poller only it moves the time. So no
//! wakers can be between the poller and the board when it does. A source is pending when somebody is enrolled there. A future that
//! was dropped may have left its waker behind, so before sockets hold the time, all of them are woken once, and those who still
//! wait enrol again.
//!
//! *On whose stack.* Wakers of timers run foreign code. They are woken by workers between turns and by the ground thread, not by a
//! thread that enters or leaves `block_on` somewhere in the user's code, perhaps under a lock that a waker wants too.
//!
//! # What a seed makes equal
//!
//! Which entry is next, which worker it goes to, and every seed of a turn's `random()` come from streams of their own
//! (`streams.rs`). As long as everything that happens is done by somebody with the baton, or is a leap, the run is a function of
//! the seed. A wake from elsewhere (a socket, a blocking job, a plain thread, a thread that comes back from blocking) is entered
//! when it comes. The order of tasks is also the same for any number of workers.
//!
//! When the last thread leaves `block_on`, a seeded stage pauses, so that what else is ready does not run into the end of the runtime for a
//! time that nobody can repeat. It goes on when something happens outside, or after [`PAUSE`].
//!
//! # What there is not
//!
//! Nobody is relieved who blocks its thread without saying so: with a seed everything waits for it, and time stands still in any case. The
//! monitor's thread is the ground thread here.

mod board;
mod ground;
mod guest;
mod streams;
mod visit;
mod worker;

#[cfg(all(test, gambol_loom))]
mod models;

pub(crate) use guest::Guest;
pub(crate) use visit::{Aside, Visit, has_baton, hold_job, step_aside, visit};
pub(crate) use worker::serve;

use crate::{
    builder::Config,
    clock::NEVER,
    context,
    core::Core,
    fork,
    idle::{Owed, Parker},
    queue::{Item, Job},
    sync::{Mutex, MutexGuard},
    task::Runnable,
};
use board::{Advance, Board, Entry, Grant, Waiter};
use std::{
    sync::{
        Arc, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Poll, Waker},
    time::Duration,
};

/// How long a seeded runtime stands still, in real time, after the last thread has left `block_on`.
const PAUSE: Duration = Duration::from_secs(1);

/// What a thread is to the stages of the process. It acts on one at most.
#[derive(Clone, Copy)]
pub(crate) enum Standing {
    /// Nothing.
    Apart,
    /// It has a baton.
    Baton(&'static Core),
    /// It blocks, and holds the time.
    Hold(&'static Core),
}

/// See the head of this file.
pub(crate) struct Stage {
    /// The runtime runs here. Set before its threads start.
    on: AtomicBool,
    board: Mutex<Board<Runnable>>,
    /// Where the ground thread sleeps.
    ground: Parker,
}

/// The time moves, or somebody is woken for it.
enum Step {
    /// The clock moves to a deadline.
    Leap(u64),
    /// The clock moves to where somebody wanted it.
    Arrive(u64, Waker),
    /// Deadlines have come on the real clock.
    Fire(u64),
    /// Everyone who waits for a socket is asked to say so again.
    Call(Vec<Waker>),
}

/// Who looks whether something is to be done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    /// A worker between two turns.
    Worker,
    /// The ground thread, which is not in the poller.
    Ground,
    /// A thread in the midst of the user's code.
    Anyone,
}

impl Stage {
    pub(crate) fn new() -> Stage {
        Stage { on: AtomicBool::new(false), board: Mutex::new(Board::closed()), ground: Parker::new() }
    }

    /// A new runtime begins, with so many workers.
    pub(crate) fn open(&self, config: &Config, workers: usize) {
        let on = config.virtual_time || config.seed.is_some();
        self.on.store(on, Ordering::Relaxed);
        *self.lock() = if on { Board::new(workers as u16, config.seed) } else { Board::closed() };
    }

    /// Whether the runtime runs here.
    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Board<Runnable>> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows each worker's thread that has nothing to do, or is on its way to that, and says how many there are.
    pub(crate) fn look_at_idle(&self, see: impl FnMut(u16)) -> usize {
        let board = self.lock();
        if board.closed {
            return 0;
        }
        board.idle().iter().copied().for_each(see);
        board.idle().len()
    }

    /// A task is to run. False: the runtime ends, and it goes where tasks go then.
    #[cold]
    #[must_use]
    pub(crate) fn push(&self, core: &'static Core, item: Item) -> bool {
        if fork::is_child() {
            return false;
        }
        let mut board = self.lock();
        if board.closed {
            return false;
        }
        // SAFETY: the queues hold raw runnables, and give each to one taker; this one has come to no queue yet.
        board.push(Entry::Task(unsafe { Runnable::from_raw(item) }));
        self.outside(core, &mut board);
        self.settle(core, board, Who::Anyone);
        true
    }

    /// If something happens that nobody with a baton has done, those who are called to their sockets may be called again, and a
    /// pause is over.
    fn outside(&self, core: &'static Core, board: &mut Board<Runnable>) {
        if !has_baton(core) {
            board.called = false;
            board.paused = false;
        }
    }

    /// A thread in `block_on` was notified.
    pub(crate) fn notify(&self, core: &'static Core, guest: &Arc<Guest>) {
        let mut board = self.lock();
        if board.notify(guest) {
            self.outside(core, &mut board);
            self.settle(core, board, Who::Anyone);
        } else {
            drop(board);
            // It acts, and will look; or the stage is closed, and it sleeps as other threads do.
            guest.unpark();
        }
    }

    /// A timer was armed. Whoever has the baton looks at the timers when it ends.
    pub(crate) fn timer_armed(&self, core: &'static Core) {
        if !has_baton(core) {
            self.wake_ground(core);
        }
    }

    /// Something has changed that the ground thread is to look at.
    pub(crate) fn wake_ground(&self, core: &Core) {
        match self.ground.unpark() {
            Owed::Nothing => {}
            Owed::PollerNotify => core.driver.notify(),
        }
    }

    /// The runtime ends: nobody waits for a baton any more, and tasks are found in the injector.
    #[cold]
    pub(crate) fn close(&self, core: &'static Core) {
        if !self.is_on() {
            return;
        }
        let (tasks, guests, wakers) = self.lock().close();
        for task in tasks {
            core.injector.push(Job::One(task.into_raw()));
        }
        guests.iter().for_each(|guest| guest.grant());
        self.wake_ground(core);
        core.wake_all(wakers);
    }

    // ---- who is next

    /// Gives out what batons there are, and moves the time if nobody wants one. To be called by everyone who has changed
    /// the board.
    fn settle<'a>(&'a self, core: &'static Core, mut board: MutexGuard<'a, Board<Runnable>>, who: Who) {
        loop {
            let due = self.is_due(core, &board);
            let mut grants = Vec::new();
            if !due {
                grants.extend(std::iter::from_fn(|| board.start()));
            }
            let step = if grants.is_empty() && board.acting == 0 && !board.closed {
                self.step(core, &mut board, due, who)
            } else {
                Ok(None)
            };
            let Ok(Some(step)) = step else {
                let short = board.is_short();
                drop(board);
                if step.is_err() {
                    self.wake_ground(core);
                }
                grants.into_iter().for_each(|grant| deliver(core, grant));
                if short && core.table.hire(core).is_err() {
                    self.lend(core, who);
                }
                return;
            };
            board.acting += 1;
            let random = board.random();
            drop(board);
            act(core, random, step);
            board = self.lock();
            board.stop(None);
        }
    }

    /// There is no thread for a turn. One that waits in a `block_on` inside a task can give it meanwhile, as long as half of its stack is
    /// left; after that, whoever comes back takes it, and the ground thread tries again. What waits beneath such a turn cannot go on before
    /// it has ended, and holds no time.
    #[cold]
    fn lend(&self, core: &'static Core, who: Who) {
        let grant = self.lock().lend();
        match grant {
            Some(grant) => deliver(core, grant),
            None if who != Who::Ground => self.wake_ground(core),
            None => {}
        }
    }

    /// Whether a deadline has come on the real clock and somebody may see to it: nobody acts.
    fn is_due(&self, core: &Core, board: &Board<Runnable>) -> bool {
        board.acting == 0
            && !board.closed
            && !board.paused
            && !core.clock.is_virtual()
            && core.earliest() <= core.clock.now()
    }

    /// What is to be done when nothing acts and nothing can be started. An error: it is the ground thread's.
    fn step(&self, core: &Core, board: &mut Board<Runnable>, due: bool, who: Who) -> Result<Option<Step>, ()> {
        if board.paused {
            return if who == Who::Ground { Ok(None) } else { Err(()) };
        }
        if due {
            return if who == Who::Anyone { Err(()) } else { Ok(Some(Step::Fire(core.clock.now()))) };
        }
        let earliest = core.earliest();
        if !core.clock.is_virtual() {
            return if who != Who::Ground && earliest < board.watched { Err(()) } else { Ok(None) };
        }
        let has_poller = core.driver.has_poller();
        if who == Who::Anyone || (who == Who::Worker && has_poller) {
            return Err(());
        }
        if let Some(place) = (0..board.advances.len()).min_by_key(|&place| board.advances[place].target) {
            let target = board.advances[place].target;
            if earliest <= target && earliest != NEVER {
                return Ok(Some(Step::Leap(earliest)));
            }
            if target != NEVER {
                return Ok(Some(Step::Arrive(target, board.advances.remove(place).waker)));
            }
        }
        if has_poller && core.driver.is_awaited() {
            if board.called {
                return Ok(None);
            }
            board.called = true;
            let mut wakers = Vec::new();
            core.driver.call_waiters(&mut wakers);
            return Ok(Some(Step::Call(wakers)));
        }
        let held = board.holds > 0 || earliest == NEVER;
        Ok((!held).then_some(Step::Leap(earliest)))
    }

    // ---- the clock moved by hand

    /// Somebody moves the clock to `target`, or asks after that. Ready: it has come there, or the runtime ends.
    pub(crate) fn poll_advance(&self, core: &'static Core, id: u64, target: Option<u64>, waker: &Waker) -> Poll<()> {
        let fresh = waker.clone();
        let mut board = self.lock();
        let place = board.advances.iter().position(|advance| advance.id == id);
        let old = match (place, target) {
            (Some(place), _) if board.advances[place].waker.will_wake(&fresh) => None,
            (Some(place), _) => Some(std::mem::replace(&mut board.advances[place].waker, fresh)),
            (None, Some(target)) if !board.closed => {
                board.advances.push(Advance { id, target, waker: fresh });
                None
            }
            (None, _) => return Poll::Ready(()),
        };
        drop(board);
        drop(old);
        self.timer_armed(core);
        Poll::Pending
    }

    /// Nobody waits for the clock to come to where `id` wanted it.
    pub(crate) fn drop_advance(&self, id: u64) {
        let mut board = self.lock();
        let place = board.advances.iter().position(|advance| advance.id == id);
        let advance = place.map(|place| board.advances.remove(place));
        drop(board);
        drop(advance);
    }
}

/// A number for a future that moves the clock.
pub(crate) fn next_advance() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Tells somebody that it has a baton.
fn deliver(core: &'static Core, grant: Grant) {
    match grant {
        Grant::Guest(guest) => guest.grant(),
        Grant::Worker(index) => core.unpark(index),
        Grant::Hire => {}
    }
}

/// Does a step, with a baton.
fn act(core: &'static Core, random: Option<u64>, step: Step) {
    let _acting = visit::Acting::begin(core, random);
    let _inside = context::enter_foreign(core);
    let mut ready = Vec::new();
    match step {
        Step::Leap(now) => {
            core.clock.advance_to(now);
            core.expire_all(now, &mut ready);
        }
        Step::Arrive(now, waker) => {
            core.clock.advance_to(now);
            ready.push(waker);
        }
        Step::Fire(now) => core.expire_all(now, &mut ready),
        Step::Call(wakers) => ready = wakers,
    }
    core.keep_coarse(core.clock.now());
    core.wake_all(ready);
}
