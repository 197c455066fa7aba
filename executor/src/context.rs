//! What the current thread is: a worker or not, in which runtime, inside which task.
//!
//! One thread-local of plain cells, without a destructor, so it can be used at any time in a thread's life and costs one
//! addressed load.

use crate::{
    budget, clock,
    core::{self, Core},
    heritage::Heritage,
    local::Locals,
    stage::Standing,
    task::{Extra, Id, Meta, Reason, kin},
    worker::Local,
};
use std::{
    any::Any,
    cell::Cell,
    ptr::{self, NonNull},
    task::Waker,
};

pub(crate) struct Context {
    /// The worker that this thread is and that is free to run its tasks. Null elsewhere, and while a task of the worker
    /// has declared that it blocks: then the thread does everything as a foreign one would.
    local: Cell<*const Local>,
    /// The worker that this thread is and that has stepped out. Null elsewhere.
    outside: Cell<*const Local>,
    /// The runtime: of the worker, of the `block_on`, of the blocking job.
    core: Cell<Option<&'static Core>>,
    /// The task that runs here.
    meta: Cell<*const Meta>,
    /// What a task that is spawned here inherits (`heritage.rs`): what the running task has inherited itself, or the scope
    /// that this thread is in. Null: nothing. On a worker it is null between turns.
    inherited: Cell<*const Heritage>,
    /// Units left (`budget.rs`).
    pub(crate) budget: Cell<u8>,
    /// How often it was refused since it was last given for that (`budget.rs`).
    pub(crate) refused: Cell<u16>,
    /// How many `block_on`s on this thread run tasks while they wait, one inside the other.
    pub(crate) nested: Cell<u32>,
    /// The closed runtimes whose queues this thread is just emptying, further up on its stack. What is added to them
    /// meanwhile those loops will find.
    cancelling: Cell<Chain>,
    /// The runtime whose thread this is, whatever it does now.
    thread_of: Cell<Option<&'static Core>>,
    /// The thread's own tasks (`local.rs`), on the stack of its outermost `block_on`. Null outside of one, and while a worker
    /// runs tasks inside one.
    locals: Cell<*const Locals>,
    /// How many tasks run on this thread, one inside the other: beyond the first, in each other's `block_on` or drop.
    depth: Cell<u32>,
    /// The state of the generator behind [`random`]. Zero: it has no seed yet.
    random: Cell<u64>,
    /// What the thread is to the stages (`stage/mod.rs`). It changes only where a baton does, and is no part of [`Before`].
    pub(crate) standing: Cell<Standing>,
}

/// Runtimes, each of which cancels a task whose drop has to do with the next. Longer chains recurse.
type Chain = [Option<&'static Core>; 4];

thread_local! {
    static CONTEXT: Context = const {
        Context {
            local: Cell::new(ptr::null()),
            outside: Cell::new(ptr::null()),
            core: Cell::new(None),
            meta: Cell::new(ptr::null()),
            inherited: Cell::new(ptr::null()),
            budget: Cell::new(budget::UNLIMITED),
            refused: Cell::new(0),
            nested: Cell::new(0),
            cancelling: Cell::new([None; 4]),
            thread_of: Cell::new(None),
            locals: Cell::new(ptr::null()),
            depth: Cell::new(0),
            random: Cell::new(0),
            standing: Cell::new(Standing::Apart),
        }
    };
}

#[inline]
pub(crate) fn with<R>(f: impl FnOnce(&Context) -> R) -> R {
    CONTEXT.with(f)
}

impl Context {
    /// The worker that this thread is, if it is free.
    #[inline]
    pub(crate) fn local(&self) -> Option<&Local> {
        // SAFETY: the pointer is set by the thread's own loop to what lives on its stack, and cleared before that ends.
        // The reference does not leave the closure of `with`, and no code in such a closure ends the loop.
        unsafe { self.local.get().as_ref() }
    }

    /// The worker that this thread is, if a task of it has declared that it blocks.
    pub(crate) fn outside(&self) -> Option<&Local> {
        // SAFETY: as in `local`: the worker's loop is further up on this thread's stack.
        unsafe { self.outside.get().as_ref() }
    }

    /// As `outside`, for a reference that leaves the closure: it is good until the caller returns to the worker's loop.
    pub(crate) fn outside_ptr(&self) -> Option<NonNull<Local>> {
        NonNull::new(self.outside.get().cast_mut())
    }

    pub(crate) fn core(&self) -> Option<&'static Core> {
        self.core.get()
    }

    /// The task that runs here.
    #[inline]
    pub(crate) fn meta(&self) -> Option<&Meta> {
        // SAFETY: set for the duration of a `Runnable::run`, which keeps the cell alive.
        unsafe { self.meta.get().as_ref() }
    }

    /// Whether the thread is in no task: a worker between two turns, or at the end of a task that has just finished.
    #[inline]
    pub(crate) fn is_between_turns(&self) -> bool {
        self.meta.get().is_null()
    }

    /// The thread's own tasks, if it is in a `block_on`.
    #[inline]
    pub(crate) fn locals(&self) -> Option<&Locals> {
        // SAFETY: the pointer is set by a `block_on` further up on this thread's stack, and cleared before that ends. The
        // reference does not leave the closure of `with`, and no code in such a closure ends a `block_on`.
        unsafe { self.locals.get().as_ref() }
    }

    pub(crate) fn count_budget_yield(&self) {
        if let Some(local) = self.local() {
            local.worker.counters.budget_yields.bump();
        } else if let Some(core) = self.core() {
            // A `block_on`, or a task of `spawn_local` in it.
            core.counters.budget_yields.bump_shared();
        }
    }
}

/// What a thread was, to be restored.
pub(crate) struct Before {
    local: *const Local,
    outside: *const Local,
    core: Option<&'static Core>,
    meta: *const Meta,
    inherited: *const Heritage,
    budget: u8,
    locals: *const Locals,
    depth: u32,
}

impl Drop for Before {
    fn drop(&mut self) {
        with(|cx| {
            cx.local.set(self.local);
            cx.outside.set(self.outside);
            cx.core.set(self.core);
            cx.meta.set(self.meta);
            cx.inherited.set(self.inherited);
            cx.budget.set(self.budget);
            cx.locals.set(self.locals);
            cx.depth.set(self.depth);
        });
    }
}

fn save(cx: &Context) -> Before {
    Before {
        local: cx.local.get(),
        outside: cx.outside.get(),
        core: cx.core.get(),
        meta: cx.meta.get(),
        inherited: cx.inherited.get(),
        budget: cx.budget.get(),
        locals: cx.locals.get(),
        depth: cx.depth.get(),
    }
}

/// The thread becomes a worker until the result is dropped.
///
/// # Safety
///
/// `local` outlives the result.
pub(crate) unsafe fn enter_worker(local: &Local) -> Before {
    with(|cx| {
        let before = save(cx);
        cx.local.set(local);
        cx.outside.set(ptr::null());
        cx.core.set(Some(local.worker.core));
        cx.meta.set(ptr::null());
        cx.inherited.set(ptr::null());
        cx.locals.set(ptr::null());
        cx.depth.set(cx.depth.get() + 1);
        before
    })
}

/// The thread becomes a worker of a runtime with a stage, which has no `Local`, until the result is dropped.
pub(crate) fn enter_serving(core: &'static Core) -> Before {
    with(|cx| {
        let before = save(cx);
        cx.local.set(ptr::null());
        cx.outside.set(ptr::null());
        cx.core.set(Some(core));
        cx.meta.set(ptr::null());
        cx.inherited.set(ptr::null());
        cx.locals.set(ptr::null());
        cx.depth.set(cx.depth.get() + 1);
        before
    })
}

/// The thread works for a runtime, but is none of its workers and in no task, until the result is dropped. It stays in the scope
/// that it is in.
pub(crate) fn enter_foreign(core: &'static Core) -> Before {
    with(|cx| {
        let before = save(cx);
        cx.local.set(ptr::null());
        cx.core.set(Some(core));
        cx.meta.set(ptr::null());
        cx.budget.set(budget::UNLIMITED);
        before
    })
}

/// The worker's task has declared that it blocks: until the result is dropped, the thread is as a foreign one, though
/// still inside its task.
pub(crate) fn leave_worker() -> Before {
    with(|cx| {
        let before = save(cx);
        cx.outside.set(cx.local.get());
        cx.local.set(ptr::null());
        cx.budget.set(budget::UNLIMITED);
        before
    })
}

/// The thread enters a `block_on`. Some: it is in one already, further up, whose tasks these are. None: `own` are the thread's
/// tasks until `leave_locals`.
///
/// # Safety
///
/// If the result is None, `leave_locals` is called before `own` ends.
pub(crate) unsafe fn enter_locals(own: &Locals) -> Option<&Locals> {
    with(|cx| {
        // SAFETY: as in `Context::locals`; the reference ends with `own`, which lies further down on the same stack.
        let outer = unsafe { cx.locals.get().as_ref() };
        if outer.is_none() {
            cx.locals.set(own);
        }
        outer
    })
}

/// The thread leaves its outermost `block_on`.
pub(crate) fn leave_locals() {
    with(|cx| cx.locals.set(ptr::null()));
}

/// A turn begins: of the future of a `block_on`, or of a task that runs beside it.
pub(crate) fn begin_turn() {
    with(|cx| cx.budget.set(budget::FULL));
}

/// Takes a runtime off the thread's chain when it is dropped.
pub(crate) struct Cancelling(Chain);

impl Drop for Cancelling {
    fn drop(&mut self) {
        with(|cx| cx.cancelling.set(self.0));
    }
}

/// The thread begins to empty the queues of a closed runtime. None: it does so already, further up on its stack.
#[must_use]
pub(crate) fn begin_cancelling(core: &'static Core) -> Option<Cancelling> {
    with(|cx| {
        let before = cx.cancelling.get();
        if before.iter().flatten().any(|other| ptr::eq(*other, core)) {
            return None;
        }
        let mut chain = before;
        if let Some(place) = chain.iter_mut().find(|place| place.is_none()) {
            *place = Some(core);
        }
        cx.cancelling.set(chain);
        Some(Cancelling(before))
    })
}

/// Empties the queues that loops further up on this stack are emptying: what the caller is about to wait for may stand there,
/// and nobody else would come to it. True: something stood there.
pub(crate) fn cancel_for_those_above() -> bool {
    let chain = with(|cx| cx.cancelling.get());
    let mut any = false;
    for core in chain.into_iter().flatten() {
        any |= core.cancel_queued();
    }
    any
}

/// The thread is one of the runtime's own, for good.
pub(crate) fn set_thread_of(core: &'static Core) {
    with(|cx| cx.thread_of.set(Some(core)));
}

/// Whether the thread is one of this runtime's own.
pub(crate) fn is_thread_of(core: &'static Core) -> bool {
    with(|cx| cx.thread_of.get().is_some_and(|own| ptr::eq(own, core)))
}

/// The thread is inside a task until the result is dropped, though not for a turn of its future: a blocking job, or a drop. There
/// nobody waits for it to return Pending, so its budget is unlimited.
///
/// # Safety
///
/// `meta` outlives the result.
pub(crate) unsafe fn enter_task(meta: &Meta) -> Before {
    with(|cx| {
        let before = save(cx);
        cx.meta.set(meta);
        cx.inherited.set(ptr::null());
        cx.budget.set(budget::UNLIMITED);
        cx.depth.set(cx.depth.get() + 1);
        before
    })
}

/// The thread gives a task a turn: the worker's loop, which has nothing to restore.
///
/// # Safety
///
/// `leave_task_fast` is called before `meta` ends.
#[inline]
pub(crate) unsafe fn enter_task_fast(cx: &Context, meta: &Meta, budget: u8) {
    cx.meta.set(meta);
    cx.budget.set(budget);
}

#[inline]
pub(crate) fn leave_task_fast(cx: &Context) {
    cx.meta.set(ptr::null());
    cx.inherited.set(ptr::null());
}

/// The running task brings what it has inherited. The rest of its `run` is in that scope.
///
/// # Safety
///
/// The caller is inside the `run` of the task that `extra` belongs to.
pub(crate) unsafe fn enter_heritage(extra: &Extra) {
    // SAFETY: the caller's promise. The pointer goes when the turn ends (`leave_task_fast`, `Before`), or before that in
    // `task_finished`, just ahead of what it points at.
    with(|cx| cx.inherited.set(unsafe { extra.heritage() }));
}

/// The task that runs on this thread.
///
/// # Safety
///
/// The caller is inside the `run` of this very task, and uses the result no longer than that.
#[inline]
pub(crate) unsafe fn current_meta<'a>() -> Option<&'a Meta> {
    // SAFETY: the caller's promise.
    with(|cx| unsafe { cx.meta.get().as_ref() })
}

/// The runtime in a process-wide slot.
pub(crate) fn core(slot: u16) -> &'static Core {
    core::by_slot(slot)
}

/// The time on the clock of the current runtime, or the real one.
#[inline]
pub(crate) fn now() -> u64 {
    match with(Context::core) {
        Some(core) => core.clock.now(),
        None => clock::real_now(),
    }
}

/// Whether the thread is inside of the runtime in this slot.
#[inline]
pub(crate) fn is_inside(core: u16) -> bool {
    with(|cx| cx.core().is_some_and(|own| own.slot == core))
}

/// Says what the running task waits for. Every leaf calls this when it returns Pending.
///
/// One store; the time is the runtime's coarse one. Outside of a task it does nothing.
#[inline]
pub fn park(reason: Reason) {
    with(|cx| {
        if let Some(meta) = cx.meta() {
            let coarse = cx.core().map_or(0, Core::coarse_now);
            meta.set_wait(reason, coarse);
        }
    });
}

/// Runs `f`, which polls a leaf on behalf of somebody other than the running task: what the leaf says of waiting is not said of this
/// task.
pub fn aside<R>(f: impl FnOnce() -> R) -> R {
    park_again_if(f, |_| true)
}

/// Runs `f`, which polls what only ends a wait, such as a time limit: what the task waits for is what was said before in this turn, if
/// anything was.
#[inline]
pub fn beside<R>(f: impl FnOnce() -> R) -> R {
    park_again_if(f, |meta| !meta.is_silent())
}

#[inline]
fn park_again_if<R>(f: impl FnOnce() -> R, is_kept: impl FnOnce(&Meta) -> bool) -> R {
    let kept = with(|cx| cx.meta().filter(|meta| is_kept(meta)).map(Meta::wait_word));
    let result = f();
    if let Some(word) = kept {
        // Between the two the thread has come back to the same task, whatever `f` has polled.
        with(|cx| cx.meta().into_iter().for_each(|meta| meta.set_wait_word(word)));
    }
    result
}

/// Puts the running task into its runtime's registry.
pub(crate) fn register(waker: &Waker) -> u32 {
    let waker = waker.clone();
    kin::learn(&waker);
    with(|cx| {
        let meta = cx.meta().expect("a task registers itself");
        // A blocking job is never Pending; so this thread is a worker, or the one whose own task this is.
        match (cx.local(), cx.locals()) {
            (Some(local), _) => local.register(waker, meta),
            (None, Some(locals)) => locals.register(waker, meta),
            // A worker of a stage.
            (None, None) => core(meta.id.core()).register_local(waker, meta),
        }
    })
}

/// The running task's future was dropped.
pub(crate) fn task_finished() {
    let wakers = with(|cx| {
        let meta = cx.meta().expect("a task is dropped by the executor only");
        let listed = match cx.local() {
            Some(_) => None,
            None => cx.locals().and_then(|locals| locals.forget(meta.id)),
        };
        let waker = match cx.local() {
            Some(local) => {
                local.worker.counters.finished.bump();
                meta.unregister().and_then(|index| local.unregister(index))
            }
            None => {
                if let Some(extra) = meta.extra() {
                    // While the task still counts, and so keeps its runtime's core.
                    release_heritage(extra);
                }
                let core = core(meta.id.core());
                core.counters.finished.bump_shared();
                // SAFETY: the index was just taken out of the metadata, so nobody removes it twice.
                meta.unregister().and_then(|index| unsafe {
                    if listed.is_some() { core.unregister_local(index) } else { core.registry.remove(index, None) }
                })
            }
        };
        // After the step before: who makes an abort cell meanwhile either sees the task registered no more, or is seen here.
        if let Some(extra) = meta.extra() {
            finish_extra(extra);
        }
        // From here on the thread is in no task: async-task wakes the awaiter when it may no longer hold the cell, and an
        // awaiter's waker may ask for the current task.
        cx.meta.set(ptr::null());
        (waker, listed)
    });
    // The cell outlives this: the `Runnable` that is being run holds it.
    drop(wakers);
}

#[cold]
#[inline(never)]
fn finish_extra(extra: &Extra) {
    if let Some(abort) = extra.abort() {
        abort.finish();
    }
    release_heritage(extra);
}

/// Drops what the running task has inherited, as its future was dropped: inside the task. It is not kept for as long as somebody
/// keeps the handle.
#[cold]
#[inline(never)]
fn release_heritage(extra: &Extra) {
    with(|cx| cx.inherited.set(ptr::null()));
    // SAFETY: the future was dropped, in the `run` of its task, and the pointer to the heritage is gone.
    unsafe { extra.release_heritage() };
}

/// Runs `f` with another scope than this thread is in; it is back in that one afterwards, also after a panic.
pub(crate) fn with_inherited<R>(inherited: Option<&Heritage>, f: impl FnOnce() -> R) -> R {
    struct Restore(*const Heritage);

    impl Drop for Restore {
        fn drop(&mut self) {
            with(|cx| cx.inherited.set(self.0));
        }
    }

    let inherited = inherited.map_or(ptr::null(), ptr::from_ref);
    let _restore = Restore(with(|cx| cx.inherited.replace(inherited)));
    f()
}

impl Context {
    /// What a task that is spawned now inherits.
    #[inline]
    pub(crate) fn inherited(&self) -> Option<&Heritage> {
        // SAFETY: the pointer is null, or set by `with_inherited`, whose caller's borrow lasts until it is set back, or by
        // `enter_heritage`, and cleared before the task's heritage is dropped. The reference does not leave the closure of
        // `with`, and no code in such a closure ends a scope or a task that is further up on this stack.
        unsafe { self.inherited.get().as_ref() }
    }
}

/// The running task ends because it was cancelled.
#[cold]
pub(crate) fn task_cancelled(id: Id) {
    core(id.core()).counters.aborted.bump_shared();
}

/// The running task panicked.
#[cold]
pub(crate) fn task_panicked(id: Id, payload: &(dyn Any + Send)) {
    let core = core(id.core());
    core.counters.panicked.bump_shared();
    core.report_panic(id, payload);
}

/// Tells the task that runs here from those that it interrupts, further up on this thread's stack: while it waits in a
/// `block_on`, others may run inside it. For what is kept in thread-locals on a task's behalf.
pub fn task_depth() -> u32 {
    with(|cx| cx.depth.get())
}

/// The id of the task that runs here.
pub fn current_task() -> Option<Id> {
    with(|cx| cx.meta().map(|meta| meta.id))
}

/// Whether this thread is inside of a runtime: in a task, a `block_on` or a blocking job.
pub fn inside_runtime() -> bool {
    with(|cx| cx.core().is_some())
}

/// A number that is drawn by chance, from a generator of the thread's own: for choices that must be even, not secret.
///
/// The generator is wyrand, as in fastrand, which seeds it: one wide multiplication, no lock and no destructor.
#[inline]
pub fn random() -> u64 {
    with(|cx| {
        let before = match cx.random.get() {
            0 => seed(),
            before => before,
        };
        let state = before.wrapping_add(0x2d35_8dcc_aa6c_78a5);
        cx.random.set(state);
        let product = u128::from(state) * u128::from(state ^ 0x8bb8_4b93_962e_acc9);
        (product >> 64) as u64 ^ product as u64
    })
}

/// Where the thread's random choices begin from now on. Zero: somewhere.
pub(crate) fn seed_random(seed: u64) {
    with(|cx| cx.random.set(seed));
}

/// Whether the current runtime's time is virtual.
pub(crate) fn is_virtual() -> bool {
    with(|cx| cx.core().is_some_and(|core| core.clock.is_virtual()))
}

#[cold]
fn seed() -> u64 {
    fastrand::u64(..)
}
