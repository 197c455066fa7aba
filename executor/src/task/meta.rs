//! The metadata of a task: 32 bytes beside its state in the cell.

use super::{AbortCell, Reason, contained::drop_contained, wait};
use crate::heritage::Heritage;
use std::{
    cell::UnsafeCell,
    fmt,
    num::NonZeroU64,
    panic::Location,
    ptr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicPtr, AtomicU32, Ordering},
    },
};

/// Names a task: never used twice by one runtime, and different for runtimes that live at the same time.
#[derive(Copy, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(NonZeroU64);

impl Id {
    /// Bits 48.. the runtime's slot, below them a number that only grows and is never 0.
    pub(crate) fn new(core: u16, number: u64) -> Id {
        Id(NonZeroU64::new(u64::from(core) << 48 | number).expect("task numbers start at 1"))
    }

    pub(crate) fn core(self) -> u16 {
        (self.0.get() >> 48) as u16
    }

    /// The whole, of which a user sees the number, as a word that is never 0.
    #[inline]
    pub(crate) fn to_raw(self) -> u64 {
        self.0.get()
    }

    /// The id of such a word; none for 0.
    pub(crate) fn from_raw(raw: u64) -> Option<Id> {
        NonZeroU64::new(raw).map(Id)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.get() & ((1 << 48) - 1))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Id({self})")
    }
}

/// `Meta::home`: the task is to end. Set by whoever aborts it or shuts the runtime down; never cleared.
const CANCELLED: u32 = 1 << 31;
/// `Meta::home`: it is a job of the blocking pool, never Pending and so never in the registry. Set when it is made.
const JOB: u32 = 1 << 30;
/// The rest of `Meta::home`.
const PLACE: u32 = JOB - 1;

/// See the head of this file.
pub(crate) struct Meta {
    /// Written once, at the spawn.
    pub(crate) id: Id,
    /// Where it was spawned. Written once.
    pub(crate) location: &'static Location<'static>,
    /// What few tasks have. Null until somebody needs it, then set once; freed with the cell.
    extra: AtomicPtr<Extra>,
    /// What it waits for, or since when it is queued (`wait.rs`). Written by the task itself and by who schedules it, never by
    /// two at once; read by anyone.
    wait: AtomicU32,
    /// Bit 31 CANCELLED. Bit 30 JOB. Bits 0..30 the registry's index plus one: set by the task at its first Pending, cleared by
    /// whoever drops its future. All changes are read-modify-writes, so that an abort and a first Pending that meet
    /// see each other.
    home: AtomicU32,
}

const _: () = assert!(size_of::<Meta>() <= 32);

impl Meta {
    pub(crate) fn new(id: Id, location: &'static Location<'static>, extra: Option<Box<Extra>>) -> Meta {
        Meta {
            id,
            location,
            extra: AtomicPtr::new(extra.map_or(ptr::null_mut(), Box::into_raw)),
            wait: AtomicU32::new(0),
            home: AtomicU32::new(0),
        }
    }

    /// It is a job of the blocking pool.
    pub(crate) fn of_job(mut self) -> Meta {
        *self.home.get_mut() |= JOB;
        self
    }

    /// Whether it is a job of the blocking pool.
    pub(crate) fn is_job(&self) -> bool {
        self.home.load(Ordering::Relaxed) & JOB != 0
    }

    /// Sets the cancel bit. Returns the registry's index, if the task is in it and so may have to be woken.
    #[must_use]
    pub(crate) fn cancel(&self) -> Option<u32> {
        // AcqRel: what the canceller did before is seen by the task that reads the bit in `registered`.
        (self.home.fetch_or(CANCELLED, Ordering::AcqRel) & PLACE).checked_sub(1)
    }

    /// Whether the task is to end.
    #[inline]
    pub(crate) fn is_cancelled(&self) -> bool {
        self.home.load(Ordering::Relaxed) & CANCELLED != 0
    }

    /// The registry's index, once the task is in it.
    #[inline]
    pub(crate) fn index(&self) -> Option<u32> {
        (self.home.load(Ordering::Relaxed) & PLACE).checked_sub(1)
    }

    /// As `index`, ordered against `registered` and `unregister`: whoever of two comes second sees what the other did before.
    pub(crate) fn index_ordered(&self) -> Option<u32> {
        (self.home.fetch_or(0, Ordering::AcqRel) & PLACE).checked_sub(1)
    }

    /// The task is in the registry. Returns true if it was cancelled before: then nobody will wake it for that.
    #[must_use]
    pub(crate) fn registered(&self, index: u32) -> bool {
        self.home.fetch_or(index + 1, Ordering::AcqRel) & CANCELLED != 0
    }

    /// The task leaves the registry.
    pub(crate) fn unregister(&self) -> Option<u32> {
        self.index()?;
        (self.home.fetch_and(!PLACE, Ordering::AcqRel) & PLACE).checked_sub(1)
    }

    #[inline]
    pub(crate) fn set_wait(&self, reason: Reason, coarse: u32) {
        self.wait.store(reason.pack(coarse), Ordering::Relaxed);
    }

    /// The task is queued, or about to be.
    ///
    /// To be called by whoever runs async-task's schedule function, who is alone with the word: that function is called by the waker
    /// that has set the state's SCHEDULED bit while the task was not RUNNING, or by the task's own thread at the end of its turn if
    /// it was woken meanwhile. In both cases nobody runs it before the function has queued it, and no second waker gets there.
    /// What the last turn wrote is ordered before by the read-modify-writes of that state.
    #[inline]
    pub(crate) fn set_queued(&self, coarse: u32) {
        self.wait.store(wait::queued(coarse), Ordering::Relaxed);
    }

    /// Its turn begins, in a runtime that measures turns: from here on the time is a coarse one.
    pub(crate) fn set_begun(&self, coarse: u32) {
        self.wait.store(wait::begun(coarse), Ordering::Relaxed);
    }

    /// The task returns Pending: if no leaf has said anything, it waits for something unknown, and since it was queued. The
    /// time is a turn too early, and costs nothing.
    #[inline]
    pub(crate) fn break_silence(&self) {
        let word = self.wait.load(Ordering::Relaxed);
        if wait::is_queued(word) {
            self.wait.store(word | Reason::Unknown.pack(0), Ordering::Relaxed);
        }
    }

    /// Whether no leaf has said anything since the task was queued.
    #[inline]
    pub(crate) fn is_silent(&self) -> bool {
        wait::is_queued(self.wait.load(Ordering::Relaxed))
    }

    /// What it waits for, and since when; no reason: it is queued or runs, and was queued then. In coarse units.
    pub(crate) fn wait(&self) -> (Option<Reason>, u32) {
        wait::unpack(self.wait.load(Ordering::Relaxed))
    }

    /// The word as it is, to be put back by the task itself.
    pub(crate) fn wait_word(&self) -> u32 {
        self.wait.load(Ordering::Relaxed)
    }

    /// Puts back what `wait_word` has given.
    pub(crate) fn set_wait_word(&self, word: u32) {
        self.wait.store(word, Ordering::Relaxed);
    }

    /// What few tasks have, if this one has it.
    #[inline]
    pub(crate) fn extra(&self) -> Option<&Extra> {
        // SAFETY: the pointer is null or came from `Box::into_raw`, is never changed once it is set, and is freed in
        // our own drop only. Acquire, with the Release in `extra_or_insert`: the box is seen whole.
        unsafe { self.extra.load(Ordering::Acquire).as_ref() }
    }

    /// As above; makes it if needed.
    pub(crate) fn extra_or_insert(&self) -> &Extra {
        if let Some(extra) = self.extra() {
            return extra;
        }
        let new = Box::into_raw(Box::new(Extra::new(None, None)));
        match self.extra.compare_exchange(ptr::null_mut(), new, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: it was just made, and is freed in our own drop only.
            Ok(_) => unsafe { &*new },
            Err(other) => {
                // SAFETY: it was not published, so it is still ours.
                drop(unsafe { Box::from_raw(new) });
                // SAFETY: as in `extra`.
                unsafe { &*other }
            }
        }
    }
}

impl Drop for Meta {
    fn drop(&mut self) {
        let extra = *self.extra.get_mut();
        if !extra.is_null() {
            // SAFETY: it came from `Box::into_raw`, and nobody else can reach it: the cell is being destroyed.
            drop(unsafe { Box::from_raw(extra) });
        }
    }
}

/// The rare part of a task's metadata.
pub(crate) struct Extra {
    pub(crate) name: Option<Box<str>>,
    /// Made with the first `AbortHandle`: a task that has one pays for it at every Pending.
    abort: OnceLock<Arc<AbortCell>>,
    /// What the task inherited, until its future was dropped. Touched by whoever runs the task, and nobody else.
    heritage: UnsafeCell<Option<Heritage>>,
}

impl Extra {
    pub(crate) fn new(name: Option<Box<str>>, heritage: Option<Heritage>) -> Extra {
        Extra { name, abort: OnceLock::new(), heritage: UnsafeCell::new(heritage) }
    }

    /// The abort cell, if somebody has asked for one.
    pub(crate) fn abort(&self) -> Option<&Arc<AbortCell>> {
        self.abort.get()
    }

    /// As above; makes it if needed. `id` is the task's.
    pub(crate) fn abort_or_insert(&self, id: Id) -> &Arc<AbortCell> {
        self.abort.get_or_init(|| Arc::new(AbortCell::new(id)))
    }

    /// Where the heritage stands; null if there is none.
    ///
    /// # Safety
    ///
    /// The caller is inside the `run` of this very task. The result is good until `release_heritage`.
    pub(crate) unsafe fn heritage(&self) -> *const Heritage {
        // SAFETY: async-task lets one thread at a time run a task, one after the other as if under a lock, and it is us.
        unsafe { &*self.heritage.get() }.as_ref().map_or(ptr::null(), ptr::from_ref)
    }

    /// Drops the heritage. A panic ends here.
    ///
    /// # Safety
    ///
    /// The caller is inside the `run` of this very task, and no pointer to the heritage is used any more.
    pub(crate) unsafe fn release_heritage(&self) {
        // SAFETY: as in `heritage`; the reference that `take` needs ends before the heritage is dropped, which may call us again.
        let heritage = unsafe { &mut *self.heritage.get() }.take();
        drop_contained(heritage);
    }
}

impl Drop for Extra {
    fn drop(&mut self) {
        // An abort cell that was made while the task was just finishing learns it here at the latest.
        if let Some(abort) = self.abort.get() {
            abort.finish();
        }
    }
}
