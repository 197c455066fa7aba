//! What a thread does to a stage: taking turns, visiting it in `block_on`, stepping aside to block.

use super::{Entry, Guest, Stage, Standing, Waiter, Who, worker::give_nested};
use crate::{
    context::{self, Before},
    core::Core,
    stack,
    worker::Worker,
};
use std::{cell::Cell, ptr, sync::Arc, thread};

thread_local! {
    static HERE: Here = const { Here { serves: Cell::new(None), lane: Cell::new(None) } };
}

/// What only threads that serve a stage need to know of themselves.
struct Here {
    /// The worker that this thread is.
    serves: Cell<Option<&'static Worker>>,
    /// The number of the turn that it gives, if it has not given that back.
    lane: Cell<Option<u16>>,
}

fn standing() -> Standing {
    context::with(|cx| cx.standing.get())
}

fn stand(standing: Standing) {
    context::with(|cx| cx.standing.set(standing));
}

/// Whether this thread has a baton of this runtime.
pub(crate) fn has_baton(core: &'static Core) -> bool {
    matches!(standing(), Standing::Baton(own) if ptr::eq(own, core))
}

// ---- turns

/// The thread is a worker of a stage until this is dropped.
pub(super) struct Serving(());

impl Serving {
    pub(super) fn begin(worker: &'static Worker) -> Serving {
        HERE.with(|here| here.serves.set(Some(worker)));
        Serving(())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        HERE.with(|here| here.serves.set(None));
    }
}

pub(super) fn begin_turn(core: &'static Core, lane: u16, random: Option<u64>) {
    HERE.with(|here| here.lane.set(Some(lane)));
    stand(Standing::Baton(core));
    context::seed_random(random.unwrap_or(0));
}

/// The number of the turn, unless it was given back on the way.
pub(super) fn end_turn() -> Option<u16> {
    stand(Standing::Apart);
    HERE.with(|here| here.lane.take())
}

/// The thread has a baton for a moment, until this is dropped.
pub(super) struct Acting(Standing);

impl Acting {
    pub(super) fn begin(core: &'static Core, random: Option<u64>) -> Acting {
        let before = standing();
        stand(Standing::Baton(core));
        context::seed_random(random.unwrap_or(0));
        Acting(before)
    }
}

impl Drop for Acting {
    fn drop(&mut self) {
        stand(self.0);
    }
}

/// The worker of this runtime that this thread is.
pub(super) fn serving(core: &'static Core) -> Option<&'static Worker> {
    HERE.with(|here| here.serves.get()).filter(|worker| ptr::eq(worker.core, core))
}

/// This worker's thread is not there for others; until this is dropped.
struct Absent(Option<&'static Worker>);

impl Absent {
    fn begin(core: &'static Core) -> Absent {
        let worker = serving(core);
        if let Some(worker) = worker {
            core.table.step_out(worker);
        }
        Absent(worker)
    }
}

impl Drop for Absent {
    fn drop(&mut self) {
        if let Some(worker) = self.0 {
            // There may be a thread too many now, which has nothing to do.
            let _ = worker.core.table.step_in(worker);
        }
    }
}

// ---- block_on

/// The thread is in a `block_on` of a runtime with a stage, and has a baton except while it waits. Dropped at the end.
pub(crate) struct Visit {
    core: &'static Core,
    guest: Arc<Guest>,
    /// What the thread was before.
    before: Standing,
    /// The stage that it visited before.
    place: Option<&'static Core>,
}

/// The thread enters `block_on` of a runtime with a stage: waits for a baton, unless it has one.
///
/// If it has a baton of another runtime, it has stepped aside there.
pub(crate) fn visit(core: &'static Core) -> Visit {
    Visit::begin(core)
}

impl Visit {
    fn begin(core: &'static Core) -> Visit {
        let guest = Guest::current();
        let place = guest.enter(Some(core));
        let before = standing();
        let visit = Visit { core, guest, before, place };
        if visit.is_nested() {
            return visit;
        }
        let mut board = core.stage.lock();
        if board.closed {
            return visit;
        }
        board.guests += 1;
        if visit.held() {
            board.holds -= 1;
        }
        core.stage.outside(core, &mut board);
        board.push(Entry::Guest(Waiter::new(&visit.guest)));
        core.stage.settle(core, board, Who::Anyone);
        context::seed_random(visit.guest.wait());
        stand(Standing::Baton(core));
        visit
    }

    /// Whether the thread had a baton of this stage already.
    fn is_nested(&self) -> bool {
        matches!(self.before, Standing::Baton(own) if ptr::eq(own, self.core))
    }

    /// Whether the thread held this stage's time before.
    fn held(&self) -> bool {
        matches!(self.before, Standing::Hold(own) if ptr::eq(own, self.core))
    }

    pub(crate) fn core(&self) -> &'static Core {
        self.core
    }

    pub(crate) fn guest(&self) -> &Arc<Guest> {
        &self.guest
    }

    /// The future was Pending, or the thread's own tasks had some turns: others act now, and then again this thread, if it is
    /// `ready` or as soon as it is notified.
    pub(crate) fn give_way(&self, ready: impl Fn() -> bool) {
        let core = self.core;
        let mut board = core.stage.lock();
        if board.closed {
            drop(board);
            if !ready() {
                thread::park();
            }
            return;
        }
        // How many turns are given on this thread, one inside the other; if it may give another.
        let nested = context::with(|cx| cx.nested.get());
        let lends = (serving(core).is_some() && stack::is_half_left()).then_some(nested);
        let mut lane = HERE.with(|here| here.lane.take());
        let random = loop {
            // Under the lock: who notifies us comes before, and is seen here, or finds us parked.
            let waiter = Waiter { guest: self.guest.clone(), nested: lends };
            if ready() {
                board.push(Entry::Guest(waiter));
            } else {
                board.park(waiter);
            }
            board.stop(lane);
            stand(Standing::Apart);
            let absent = Absent::begin(core);
            core.stage.settle(core, board, Who::Anyone);
            let random = self.guest.wait();
            drop(absent);
            let Some(turn) = core.stage.lock().take_errand(&self.guest) else { break random };
            context::with(|cx| cx.nested.set(nested + 1));
            lane = give_nested(core, turn);
            context::with(|cx| cx.nested.set(nested));
            board = core.stage.lock();
            if board.closed {
                return;
            }
        };
        context::seed_random(random);
        stand(Standing::Baton(core));
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.guest.enter(self.place);
        if self.is_nested() {
            return;
        }
        stand(self.before);
        context::seed_random(0);
        let core = self.core;
        let mut board = core.stage.lock();
        if board.closed {
            return;
        }
        board.guests -= 1;
        board.holds += usize::from(self.held());
        board.stop(None);
        // Somebody who is in a blocking job, or aside, is waited for by others still.
        if board.guests == 0 && board.is_seeded() && matches!(self.before, Standing::Apart) {
            board.paused = true;
        }
        core.stage.settle(core, board, Who::Anyone);
    }
}

// ---- blocking

/// The thread has given its baton back to block, and holds the time until this is dropped.
pub(crate) struct Aside {
    core: &'static Core,
    _before: Before,
    absent: Option<Absent>,
}

/// Gives the baton back, if the thread has one.
#[inline]
pub(crate) fn step_aside() -> Option<Aside> {
    match standing() {
        Standing::Baton(core) => Aside::begin(core),
        Standing::Apart | Standing::Hold(_) => None,
    }
}

impl Aside {
    #[cold]
    fn begin(core: &'static Core) -> Option<Aside> {
        let mut board = core.stage.lock();
        if board.closed {
            return None;
        }
        board.holds += 1;
        board.stop(HERE.with(|here| here.lane.take()));
        stand(Standing::Hold(core));
        let absent = Some(Absent::begin(core));
        core.stage.settle(core, board, Who::Anyone);
        Some(Aside { core, _before: context::leave_worker(), absent })
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        let core = self.core;
        let guest = Guest::current();
        self.absent = None;
        let mut board = core.stage.lock();
        if !board.closed {
            board.holds -= 1;
            board.push(Entry::Guest(Waiter::new(&guest)));
            core.stage.outside(core, &mut board);
            core.stage.settle(core, board, Who::Anyone);
            context::seed_random(guest.wait());
        }
        stand(Standing::Baton(core));
    }
}

/// A blocking job holds the time, from before it is queued until `run_job` has run it.
pub(crate) fn hold_job(core: &'static Core) {
    if core.stage.is_on() {
        core.stage.lock().holds += 1;
    }
}

impl Stage {
    /// The thread runs a blocking job.
    pub(crate) fn run_job<R>(&self, core: &'static Core, job: impl FnOnce() -> R) -> R {
        if !self.is_on() {
            return job();
        }
        let before = standing();
        stand(Standing::Hold(core));
        let result = job();
        stand(before);
        let mut board = self.lock();
        if !board.closed {
            board.holds -= 1;
            board.called = false;
            self.settle(core, board, Who::Anyone);
        }
        result
    }
}
