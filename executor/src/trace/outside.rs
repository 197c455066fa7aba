//! Trace points of threads that are no workers: foreign ones, the pool's, the monitor, and workers whose task blocks.

use super::{
    event::{Event, tell},
    note::{By, End, Note},
};
use crate::{
    context,
    core::Core,
    task::{Id, Runnable},
};
use std::{cell::Cell, ptr, sync::atomic::Ordering, task::Waker};

thread_local! {
    /// The task that has a turn here was woken by itself.
    static AGAIN: Cell<bool> = const { Cell::new(false) };
}

impl Core {
    /// Whether somebody wants to know what happens here.
    #[inline]
    fn is_traced(&self) -> bool {
        self.tracing.load(Ordering::Relaxed)
    }

    /// Records something. By any thread but a worker that is in, which has trace points of its own.
    #[inline]
    pub(crate) fn trace_event(&'static self, note: impl FnOnce() -> Note) {
        if self.is_traced() {
            self.record(note());
        }
    }

    #[cold]
    fn record(&'static self, note: Note) {
        // A worker that has stepped out goes on in its own track.
        let track = context::with(|cx| {
            cx.outside()
                .map(|local| local.worker)
                .filter(|worker| ptr::eq(worker.core, self))
                .map(|worker| worker.index)
        });
        self.record_in(track, note);
    }

    /// None: the thread's own track.
    fn record_in(&'static self, track: Option<u16>, note: Note) {
        if let Some(recorder) = self.recorder() {
            recorder.record_outside(note, track);
        }
    }

    /// A task is spawned.
    #[inline]
    pub(crate) fn trace_spawn(&'static self, runnable: &Runnable) {
        if self.is_traced() {
            self.trace_spawn_slow(runnable);
        }
    }

    #[cold]
    fn trace_spawn_slow(&'static self, runnable: &Runnable) {
        let meta = runnable.metadata();
        self.record(Note::Spawn {
            id: meta.id.to_raw(),
            site: Some(meta.location),
            name: self.number_of_name(runnable),
        });
        self.tell(&Event::Spawn { id: meta.id, location: meta.location });
    }

    /// A task that waited is to run. `meanwhile`: it was woken during the turn that it just had.
    #[inline]
    pub(crate) fn trace_woken(&'static self, runnable: &Runnable, meanwhile: bool) {
        if self.is_traced() {
            self.trace_woken_slow(runnable, meanwhile);
        }
    }

    #[cold]
    fn trace_woken_slow(&'static self, runnable: &Runnable, meanwhile: bool) {
        let woken = runnable.metadata().id;
        let by = match context::with(|cx| cx.meta().map(|meta| meta.id)) {
            Some(id) if id == woken => {
                AGAIN.set(true);
                By::Meanwhile
            }
            _ if meanwhile => By::Meanwhile,
            Some(id) => By::Task(id.to_raw()),
            None => By::Outside,
        };
        self.record(Note::Ready { id: woken.to_raw(), by });
    }

    /// A turn begins that no worker gives: that of a blocking job, or of a task of `spawn_local`. None: nobody wants to know.
    #[inline]
    #[must_use]
    pub(crate) fn trace_turn(&'static self, runnable: &Runnable) -> Option<Turn> {
        if self.is_traced() { Some(self.begin_turn(runnable, None)) } else { None }
    }

    /// As above, for a turn on a stage, which has a number of its own.
    #[inline]
    #[must_use]
    pub(crate) fn trace_staged_turn(&'static self, runnable: &Runnable, number: u16) -> Option<Turn> {
        if self.is_traced() { Some(self.begin_turn(runnable, Some(number))) } else { None }
    }

    #[cold]
    fn begin_turn(&'static self, runnable: &Runnable, number: Option<u16>) -> Turn {
        let meta = runnable.metadata();
        let name = self.number_of_name(runnable);
        let turn = Turn { core: self, id: meta.id, number, waker: runnable.waker(), outer: AGAIN.replace(false) };
        turn.record(Note::Run { id: meta.id.to_raw(), site: Some(meta.location), name });
        self.tell(&Event::Run { id: meta.id, worker: number.unwrap_or(u16::MAX) });
        turn
    }

    fn number_of_name(&self, runnable: &Runnable) -> u16 {
        let name = runnable.metadata().extra().and_then(|extra| extra.name.as_deref());
        name.zip(self.recorder()).map_or(0, |(name, recorder)| recorder.name(name))
    }

    fn tell(&self, event: &Event) {
        if let Some(tracer) = &self.config().tracer {
            tell(tracer, event);
        }
    }
}

/// A turn that is told of.
#[must_use]
pub(crate) struct Turn {
    core: &'static Core,
    id: Id,
    /// The worker in whose track it is shown.
    number: Option<u16>,
    /// Keeps the cell.
    waker: Waker,
    /// What `AGAIN` said of the turn around this one.
    outer: bool,
}

impl Turn {
    /// It is over, and the context still names the task, unless it has ended.
    #[cold]
    pub(crate) fn end(self) {
        let again = AGAIN.replace(self.outer);
        // The waker keeps the cell.
        let end = context::with(|cx| match cx.meta() {
            None => End::Over,
            Some(_) if again => End::Ready,
            Some(meta) => meta.wait().0.map_or(End::Ready, End::Waits),
        });
        self.record(Note::Stop { id: self.id.to_raw(), end });
        self.core.tell(&Event::Stop { id: self.id, worker: self.number.unwrap_or(u16::MAX) });
        drop(self.waker);
    }

    fn record(&self, note: Note) {
        match self.number {
            Some(number) => self.core.record_in(Some(number), note),
            None => self.core.record(note),
        }
    }
}
