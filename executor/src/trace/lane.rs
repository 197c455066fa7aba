//! A worker's trace points: its thread's side of hook and recording.
//!
//! What a traced turn costs, beside the hook: two events of five stores, one look at the clock (18 ns), one clone and one drop
//! of the task's waker. The look at the clock serves the end of one turn and the beginning of the next, when nothing was
//! recorded in between. The waker keeps the cell, so that what the task waits for can be read when its turn is over: by then
//! another worker may have run it to its end.

use super::{
    event::{Event, Tracer, tell},
    note::{By, End, Note},
    recorder::Recorder,
    ring::Ring,
};
use crate::{
    clock,
    context::Context,
    task::{Id, Meta, Runnable},
};
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    ops::Range,
    sync::Arc,
    task::Waker,
};

/// See the head of this file.
pub(crate) struct Lane {
    worker: u16,
    tracer: Option<Tracer>,
    recording: Option<Recording>,
    /// The tasks that have a turn, one in the other's `block_on`, with wakers that keep their cells, and with what `again` said of
    /// the turn around theirs.
    turns: RefCell<Vec<(Id, Waker, bool)>>,
    /// The running task was woken during its turn.
    again: Cell<bool>,
    /// Which of the wakers in a batch is being woken, and which of them are timers'.
    batch: Cell<usize>,
    timers: Cell<(usize, usize)>,
}

struct Recording {
    recorder: Arc<Recorder>,
    ring: Arc<Ring>,
    track: u32,
    /// When the last turn ended, if nothing has been recorded since; else 0.
    stopped: Cell<u64>,
    /// The numbers of names that this worker has met.
    names: RefCell<HashMap<Box<str>, u16>>,
}

/// Names that a worker remembers.
const REMEMBERED: usize = 1024;

impl Lane {
    /// A worker's lane, if somebody wants to know what it does.
    pub(crate) fn new(worker: u16, tracer: Option<Tracer>, recorder: Option<Arc<Recorder>>) -> Option<Box<Lane>> {
        if tracer.is_none() && recorder.is_none() {
            return None;
        }
        let recording = recorder.map(|recorder| Recording {
            ring: recorder.ring(worker),
            recorder,
            track: u32::from(worker),
            stopped: Cell::new(0),
            names: RefCell::default(),
        });
        Some(Box::new(Lane {
            worker,
            tracer,
            recording,
            turns: RefCell::default(),
            again: Cell::new(false),
            batch: Cell::new(0),
            timers: Cell::new((0, 0)),
        }))
    }

    fn tell(&self, event: impl FnOnce() -> Event) {
        if let Some(tracer) = &self.tracer {
            tell(tracer, &event());
        }
    }

    /// A step of the worker's own.
    #[cold]
    #[inline(never)]
    pub(crate) fn note(&self, note: Note) {
        if let Some(recording) = &self.recording {
            recording.push(note, clock::real_now());
        }
        let worker = self.worker;
        match note {
            Note::Steal { from, tasks } => self.tell(|| Event::Steal { worker, from, tasks }),
            Note::Park => self.tell(|| Event::Park { worker }),
            Note::Unpark => self.tell(|| Event::Unpark { worker }),
            _ => {}
        }
    }

    /// A task is spawned here.
    #[cold]
    #[inline(never)]
    pub(crate) fn spawned(&self, runnable: Runnable) -> Runnable {
        let meta = runnable.metadata();
        if let Some(recording) = &self.recording {
            let note = Note::Spawn { id: meta.id.to_raw(), site: Some(meta.location), name: recording.name(meta) };
            recording.push(note, clock::real_now());
        }
        self.tell(|| Event::Spawn { id: meta.id, location: meta.location });
        runnable
    }

    /// A task that waited is to run. `meanwhile`: it was woken during the turn that it just had.
    #[cold]
    #[inline(never)]
    pub(crate) fn woken(&self, cx: &Context, runnable: Runnable, batch: bool, meanwhile: bool) -> Runnable {
        let Some(recording) = &self.recording else { return runnable };
        let (from, to) = self.timers.get();
        let by = match cx.meta() {
            _ if meanwhile => {
                self.again.set(true);
                By::Meanwhile
            }
            Some(waker) => By::Task(waker.id.to_raw()),
            // The one that is being woken has been counted.
            None if batch && (from + 1..to + 1).contains(&self.batch.get()) => By::Timer,
            None if batch => By::Poller,
            None => By::Outside,
        };
        recording.push(Note::Ready { id: runnable.metadata().id.to_raw(), by }, clock::real_now());
        runnable
    }

    /// The worker begins to wake a batch of wakers, of which these are timers'.
    #[cold]
    #[inline(never)]
    pub(crate) fn begin_batch(&self, timers: Range<usize>) {
        self.batch.set(0);
        self.timers.set((timers.start, timers.end));
        if !timers.is_empty() {
            self.note(Note::Timers { fired: timers.len() });
        }
    }

    /// It wakes the next of them.
    #[cold]
    #[inline(never)]
    pub(crate) fn next_of_batch(&self) {
        self.batch.set(self.batch.get() + 1);
    }

    /// A turn begins.
    #[cold]
    #[inline(never)]
    pub(crate) fn begin_turn(&self, runnable: Runnable) -> Runnable {
        let meta = runnable.metadata();
        let again = self.again.replace(false);
        if let Some(recording) = &self.recording {
            let time = match recording.stopped.get() {
                0 => clock::real_now(),
                stopped => stopped,
            };
            let note = Note::Run { id: meta.id.to_raw(), site: Some(meta.location), name: recording.name(meta) };
            recording.push(note, time);
        }
        self.turns.borrow_mut().push((meta.id, runnable.waker(), again));
        self.tell(|| Event::Run { id: meta.id, worker: self.worker });
        runnable
    }

    /// The turn is over, and the context still names the task, unless it has ended.
    #[cold]
    #[inline(never)]
    pub(crate) fn end_turn(&self, cx: &Context) {
        let Some((id, waker, outer)) = self.turns.borrow_mut().pop() else { return };
        let again = self.again.replace(outer);
        if let Some(recording) = &self.recording {
            let end = match cx.meta() {
                None => End::Over,
                Some(_) if again => End::Ready,
                // The waker keeps the cell.
                Some(meta) => meta.wait().0.map_or(End::Ready, End::Waits),
            };
            let time = clock::real_now();
            recording.push(Note::Stop { id: id.to_raw(), end }, time);
            recording.stopped.set(time);
        }
        self.tell(|| Event::Stop { id, worker: self.worker });
        drop(waker);
    }
}

impl Recording {
    #[inline(always)]
    fn push(&self, note: Note, time: u64) {
        self.stopped.set(0);
        self.ring.push(note.pack(time, self.track));
    }

    /// The number of a task's name, 0 if it has none.
    #[inline]
    fn name(&self, meta: &Meta) -> u16 {
        meta.extra().and_then(|extra| extra.name.as_deref()).map_or(0, |name| self.number(name))
    }

    fn number(&self, name: &str) -> u16 {
        let mut names = self.names.borrow_mut();
        if let Some(&number) = names.get(name) {
            return number;
        }
        let number = self.recorder.name(name);
        if names.len() < REMEMBERED {
            names.insert(name.into(), number);
        }
        number
    }
}
