//! The tasks of `spawn_local`: they stay on one thread, and a `block_on` on that thread runs them.
//!
//! They belong to the outermost `block_on` of their thread. Any `block_on` inside it, in a local task too, runs them while it
//! waits, so one that waits for another local task gets what it waits for. When the outermost one ends, by a panic too,
//! the tasks that are left are cancelled: their futures are dropped on their thread, and their handles say so.
//!
//! A local task has the same cell and the same container as any other, so its handle is the same type. It stands in
//! its runtime's registry while it is parked; aborts and dumps find it there.
//!
//! # The protocol
//!
//! A task that is to run stands in one of two queues: `ready`, which only its thread touches, if it was woken there, or
//! the inbox, under a lock, if it was woken elsewhere.
//!
//! To wake from elsewhere:
//! 1. Under the lock, push, and see whether the inbox was empty.
//! 2. If it was, unpark the thread.
//!
//! To sleep, with `ready` empty:
//! 1. Under the lock, see that the inbox is empty.
//! 2. Park. The main future's own wake unparks the thread as well.
//!
//! *The race*: a task is pushed between 1 and 2. Then the inbox was empty, so the thread is unparked, and the park ends at once.
//!
//! To end, once the main future was dropped:
//! 1. Wake every task that is parked, and run what stands in the queues; each that is run from here on ends as cancelled.
//! 2. Until no task is left, sleep as above, and again.
//!
//! *The race*: somebody elsewhere has marked a task as woken and has not pushed it yet. It stands in no queue and our own wake
//! did nothing. But it is counted as parked until its future is dropped, so we wait for it, for the few instructions
//! that the other needs. After the end no task is left, and a wake finds a finished one and touches nothing of ours.
//!
//! async-task checks on its own that a local future is polled and dropped by its thread only.

use crate::{
    context,
    core::{CLOSED, Core, run_cancelled},
    deadlock::Sleeper,
    histogram::Turn,
    stage::Guest,
    task::{Id, JoinHandle, Meta, Runnable},
    worker::Worker,
};
use std::{
    cell::{Cell, OnceCell, RefCell},
    collections::{BTreeMap, VecDeque},
    future::Future,
    panic::Location,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{Ordering, fence},
    },
    task::Waker,
    thread::{self, Thread},
};

/// Tasks that get a turn before the main future is looked at again.
const TURNS: usize = 32;
/// `block_on`s that run local tasks, one inside the other, beyond the outermost. Each takes the stack of a task's poll, and how much of
/// that this thread has is not known.
const NESTED: u32 = 16;

/// See the head of this file. It lies on the stack of the outermost `block_on`, and costs that one next to nothing until a
/// task is spawned.
pub(crate) struct Locals {
    /// The worker that has stepped out, if the thread is one: it is unparked in another way.
    worker: Option<&'static Worker>,
    /// Made with the first task.
    queues: OnceCell<Box<Queues>>,
    /// `block_on`s on this thread, one inside the other, beyond the outermost.
    nested: Cell<u32>,
    /// The outermost `block_on` ends: what is run is cancelled.
    ending: Cell<bool>,
}

struct Queues {
    inbox: Arc<Inbox>,
    ready: RefCell<VecDeque<Runnable>>,
    /// The tasks that have been Pending and are not finished.
    parked: RefCell<BTreeMap<Id, Waker>>,
}

impl Locals {
    pub(crate) fn new(worker: Option<&'static Worker>) -> Locals {
        Locals { worker, queues: OnceCell::new(), nested: Cell::new(0), ending: Cell::new(false) }
    }

    /// Whether there has been a local task.
    #[inline]
    pub(crate) fn are_used(&self) -> bool {
        self.queues.get().is_some()
    }

    /// For those who know that there has been a task.
    fn queues(&self) -> &Queues {
        self.queues.get().expect("made with the first task")
    }

    fn spawn<F>(
        &self,
        core: &'static Core,
        future: F,
        name: Option<Box<str>>,
        location: &'static Location<'static>,
    ) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let queues = self.queues.get_or_init(|| Box::new(Queues::new(self.worker)));
        let inbox = queues.inbox.clone();
        let (runnable, handle) = core.local_cell(future, name, location, move |runnable| schedule(&inbox, runnable));
        queues.ready.borrow_mut().push_back(runnable);
        handle
    }

    /// Whether a `block_on` at this depth runs tasks. Each level takes the stack of a task's poll.
    fn may_run(&self) -> bool {
        self.are_used() && self.nested.get() <= NESTED
    }

    /// Gives some tasks a turn. False: none is ready.
    #[inline]
    pub(crate) fn run_some(&self) -> bool {
        self.may_run() && self.run_some_slow()
    }

    fn run_some_slow(&self) -> bool {
        self.take_in();
        for n in 0..TURNS {
            let Some(runnable) = self.next() else { return n != 0 };
            self.turn(runnable);
        }
        true
    }

    /// Whether a task is ready. For a thread that has nothing left to do and is about to sleep.
    pub(crate) fn are_ready(&self) -> bool {
        self.may_run() && (!self.queues().ready.borrow().is_empty() || self.queues().inbox.has_any())
    }

    fn next(&self) -> Option<Runnable> {
        self.queues().ready.borrow_mut().pop_front()
    }

    /// What was woken elsewhere gets in line.
    fn take_in(&self) {
        let queues = self.queues();
        queues.ready.borrow_mut().extend(queues.inbox.lock().drain(..));
    }

    fn turn(&self, runnable: Runnable) {
        let core = context::core(runnable.metadata().id.core());
        core.counters.polls.bump_shared();
        let inside = context::enter_foreign(core);
        // The turn in which a task is cancelled counts as one.
        let measured = core.timing.get().map(|times| (times, Turn::begin(runnable.metadata(), core.coarse_now())));
        if self.ending.get() || core.phase() >= CLOSED {
            run_cancelled(runnable);
        } else {
            // SAFETY: the cell lives until the task is finished, and then the context forgets it (`task_finished`). Until then
            // the list of the parked or the runnable holds it.
            let in_task = unsafe { context::enter_task(runnable.metadata()) };
            context::begin_turn();
            let traced = core.trace_turn(&runnable);
            runnable.run();
            if let Some(turn) = traced {
                turn.end();
            }
            drop(in_task);
        }
        if let Some((times, turn)) = measured {
            turn.end_shared(times);
        }
        drop(inside);
        core.reuse_if_over();
    }

    /// The running task is Pending for the first time. Returns its place in the registry.
    pub(crate) fn register(&self, waker: Waker, meta: &Meta) -> u32 {
        let core = context::core(meta.id.core());
        self.queues().parked.borrow_mut().insert(meta.id, waker.clone());
        let index = core.register_local(waker, meta);
        // Pairs with the fence in `Core::drain`: that finds the task registered, or the task gets another turn, its last.
        fence(Ordering::SeqCst);
        if core.phase() >= CLOSED
            && let Some(waker) = self.queues().parked.borrow().get(&meta.id)
        {
            waker.wake_by_ref();
        }
        index
    }

    /// The future of a task that ran here was dropped. None: it was never Pending, or is none of ours.
    pub(crate) fn forget(&self, id: Id) -> Option<Waker> {
        self.queues.get()?.parked.borrow_mut().remove(&id)
    }

    /// Cancels all that is left.
    #[cold]
    fn end(&self) {
        self.ending.set(true);
        loop {
            let wakers: Vec<Waker> = self.queues().parked.borrow().values().cloned().collect();
            wakers.into_iter().for_each(Waker::wake);
            self.take_in();
            while let Some(runnable) = self.next() {
                self.turn(runnable);
                self.take_in();
            }
            if self.queues().parked.borrow().is_empty() {
                return;
            }
            while !self.are_ready() {
                match self.worker {
                    Some(worker) => {
                        worker.parker.park(None);
                    }
                    None => thread::park(),
                }
            }
        }
    }
}

impl Queues {
    #[cold]
    fn new(worker: Option<&'static Worker>) -> Queues {
        Queues { inbox: Arc::new(Inbox::new(worker)), ready: RefCell::default(), parked: RefCell::default() }
    }
}

/// The thread is in a `block_on` until this is dropped.
pub(crate) struct Stay<'a> {
    locals: &'a Locals,
    outermost: bool,
}

impl<'a> Stay<'a> {
    /// `own` is for the case that this `block_on` is the outermost.
    pub(crate) fn enter(own: &'a Locals) -> Stay<'a> {
        // SAFETY: `own` is borrowed by the result, whose drop leaves; it is never leaked, since `block_on` keeps it.
        match unsafe { context::enter_locals(own) } {
            Some(locals) => {
                locals.nested.set(locals.nested.get() + 1);
                Stay { locals, outermost: false }
            }
            None => Stay { locals: own, outermost: true },
        }
    }

    pub(crate) fn locals(&self) -> &'a Locals {
        self.locals
    }
}

impl Drop for Stay<'_> {
    fn drop(&mut self) {
        if self.outermost {
            if self.locals.are_used() {
                self.locals.end();
            }
            context::leave_locals();
        } else {
            self.locals.nested.set(self.locals.nested.get() - 1);
        }
    }
}

/// What was woken by other threads.
struct Inbox {
    runnables: Mutex<Vec<Runnable>>,
    thread: Thread,
    worker: Option<&'static Worker>,
    /// The thread, as the search for deadlocks sees it.
    sleeper: Option<Arc<Sleeper>>,
    /// The thread again, as one that may wait on a stage.
    guest: Arc<Guest>,
}

impl Inbox {
    fn new(worker: Option<&'static Worker>) -> Inbox {
        let (sleeper, guest) = (Sleeper::own(), Guest::current());
        Inbox { runnables: Mutex::default(), thread: thread::current(), worker, sleeper, guest }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Runnable>> {
        self.runnables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_any(&self) -> bool {
        !self.lock().is_empty()
    }

    fn push(&self, runnable: Runnable) {
        let mut runnables = self.lock();
        runnables.push(runnable);
        let first = runnables.len() == 1;
        drop(runnables);
        if first {
            if let Some(sleeper) = &self.sleeper {
                sleeper.call();
            }
            match self.worker {
                Some(worker) => worker.core.unpark(worker.index),
                None => self.thread.unpark(),
            }
            self.guest.notify();
        }
    }
}

/// A local task's schedule function.
fn schedule(inbox: &Arc<Inbox>, runnable: Runnable) {
    let core = context::core(runnable.metadata().id.core());
    core.mark_queued(&runnable);
    core.trace_woken(&runnable, false);
    let elsewhere = context::with(|cx| match cx.locals().and_then(|locals| locals.queues.get()) {
        Some(queues) if Arc::ptr_eq(&queues.inbox, inbox) => {
            queues.ready.borrow_mut().push_back(runnable);
            None
        }
        _ => Some(runnable),
    });
    if let Some(runnable) = elsewhere {
        inbox.push(runnable);
    }
}

/// Starts a task that stays on this thread.
#[track_caller]
pub(crate) fn spawn<F>(name: Option<Box<str>>, location: &'static Location<'static>, future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    context::with(|cx| {
        let locals = cx.locals().expect(
            "spawn_local needs a thread that is in block_on: call it inside gambol::block_on or Runtime::block_on, or make main \
             local with #[gambol::main(local)]; elsewhere use gambol::spawn, whose future must be Send",
        );
        locals.spawn(cx.core().expect("a thread in block_on is in a runtime"), future, name, location)
    })
}
