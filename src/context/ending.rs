//! The tree of what ends together: cancelling, being born, dying, waiting.
//!
//! An [`Ending`] ends once, with a cause, and all below it with the same one. A child holds its parent; a parent knows its
//! children by a `Weak` in a slab, so that nobody is kept alive by whoever may end it. Contexts that add only a value share
//! the ending of the context that they come from, and stand nowhere in the tree.
//!
//! Each ending has a lock, for its children and for those who wait. The cause is written under it, once, and that there is
//! one can be seen without it: then the places of children and waiters are void, for they are emptied under the same hold of
//! the lock. **Nobody holds two of these locks**, nor one of them while he calls a waker, drops one, or drops a cause, a
//! value or an ending.
//!
//! To end a tree:
//! 1. Under the lock of its top, see that there is no cause; write it; take out all children and all wakers.
//! 2. Release the lock, disarm the alarm, and put the children on a list. While there is one on it, do 1 with it as the top.
//! 3. Wake all. So nobody who is woken finds somebody further down in the tree who has not ended.
//! 4. Drop those whose last reference was the one of 2. A panic of what dies with them ends there.
//!
//! To be born:
//! 1. Make the child, with the parent in its hand.
//! 2. Under the parent's lock, see whether that has a cause. If so, take it over: born with its end. If not, take a place
//!    in the parent's slab.
//! 3. Set the alarm, if there is one. Nobody else knows of the child yet, except who ends the parent.
//!
//! *The race*: the parent ends during the birth. Whoever has the parent's lock second sees the other: the birth finds a
//! cause; or the end finds the child in the slab, and can upgrade it, because its maker has it in his hand. The alarm may
//! then be set after it was disarmed; whoever sets it looks at the cause afterwards.
//!
//! To die, with the last reference:
//! 1. Unless the parent has a cause, and so no slab, give back the place under the parent's lock.
//! 2. Give back the parent; if that was its last reference, go on with it, in a loop.
//!
//! *The race*: an end upgrades the `Weak` while the last reference goes. Then either the upgrade fails, or it is the last
//! reference now, and the death comes with it, when no lock is held.
//!
//! To wait: under the lock, see that there is no cause, and leave a waker. So either the waiter sees the cause or the end
//! sees the waker.
//!
//! Both lists are loops, not recursions: a chain may be as long as memory allows. A list of the children through themselves
//! was left: it saves the slab, and costs a lock of the parent for each neighbour that is looked at.

use super::{
    Cause,
    slab::{Places, Slab},
    sync::{AtomicBool, AtomicUsize, Mutex, MutexGuard, Ordering},
    values::Values,
};
use crate::time::{
    Instant,
    alarm::{Alarm, OnAlarm, Set},
};
use gambol_executor::wake;
use std::{
    fmt, mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, PoisonError, Weak},
    task::Waker,
};

/// See the head of this file.
pub(crate) struct Ending {
    /// There is a cause. Written once, under the lock and after the cause: Release, with the Acquire in `has_ended`, so that
    /// who sees it sees what was done before.
    ended: AtomicBool,
    state: Mutex<State>,
    /// None: nothing above it ends. Taken when it dies.
    parent: Option<Arc<Ending>>,
    /// Its place in the parent's slab, or NONE. Written at birth, under the parent's lock, by which whoever finds the child
    /// there sees it.
    place: AtomicUsize,
    /// When it ends by itself, or something above it does; or NEVER.
    deadline: Instant,
    /// If its own deadline is earlier than those above.
    alarm: Option<Alarm>,
    /// With which it ends at its own deadline, if not with the usual one.
    late: Option<Box<Cause>>,
    /// What the context carries with which it was made. It stands here, and is nothing to us, because a context is one allocation then.
    values: Option<Arc<Values>>,
}

#[derive(Default)]
struct State {
    /// Written once, by whoever ends it.
    cause: Option<Cause>,
    children: Places<Weak<Ending>>,
    /// Most have none, so they are made with the first.
    waiters: Option<Box<Slab<Waker>>>,
}

impl State {
    fn waiters(&mut self) -> &mut Slab<Waker> {
        self.waiters.get_or_insert_default()
    }
}

// With what an `Arc` and glibc's malloc add, 128 bytes: what is larger is much dearer to free. (Elsewhere a lock may be larger.)
#[cfg(all(target_os = "linux", not(gambol_loom)))]
const _: () = assert!(size_of::<Ending>() <= 104);

/// No place.
const NONE: usize = usize::MAX;

impl Ending {
    /// A child of `parent`, without a deadline of its own.
    pub(crate) fn new(parent: Option<Arc<Ending>>) -> Arc<Ending> {
        Ending::with_values(parent, None)
    }

    /// As above; it carries something.
    pub(super) fn with_values(parent: Option<Arc<Ending>>, values: Option<Arc<Values>>) -> Arc<Ending> {
        let deadline = parent.as_ref().map_or(Instant::NEVER, |parent| parent.deadline);
        Arc::new(Ending::with(parent, deadline, None, values)).born()
    }

    /// A child of `parent` that ends at `deadline`, which is earlier than that of the parent, with the cause `late`.
    pub(super) fn with_deadline(
        parent: Option<Arc<Ending>>,
        deadline: Instant,
        late: Option<Box<Cause>>,
        values: Option<Arc<Values>>,
    ) -> Arc<Ending> {
        let ending = Arc::new_cyclic(|me: &Weak<Ending>| {
            // Without an alarm if it is too late for one.
            let alarm = (deadline > Instant::now()).then(|| Alarm::new(me.clone()));
            let mut ending = Ending::with(parent, deadline, alarm, values);
            ending.late = late;
            ending
        });
        let ending = ending.born();
        let armed = match &ending.alarm {
            _ if ending.has_ended() => return ending,
            Some(alarm) => alarm.set(deadline),
            None => Set::Passed,
        };
        if armed == Set::Passed {
            ending.end(ending.late());
        } else if ending.has_ended() {
            ending.disarm();
        }
        ending
    }

    fn with(
        parent: Option<Arc<Ending>>,
        deadline: Instant,
        alarm: Option<Alarm>,
        values: Option<Arc<Values>>,
    ) -> Ending {
        Ending {
            ended: AtomicBool::new(false),
            state: Mutex::new(State::default()),
            parent,
            place: AtomicUsize::new(NONE),
            deadline,
            alarm,
            late: None,
            values,
        }
    }

    fn late(&self) -> Cause {
        self.late.as_deref().cloned().unwrap_or_else(Cause::deadline_exceeded)
    }

    /// Step 2 of a birth.
    fn born(self: Arc<Self>) -> Arc<Self> {
        if let Some(parent) = &self.parent {
            let mut state = parent.lock();
            let inherited = state.cause.clone();
            if inherited.is_none() {
                self.place.store(state.children.insert(Arc::downgrade(&self)), Ordering::Relaxed);
            }
            drop(state);
            if inherited.is_some() {
                // Nobody else has it, so nobody else has written a cause.
                self.lock().cause = inherited;
                self.ended.store(true, Ordering::Release);
            }
        }
        self
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why it has ended, if it has.
    pub(crate) fn cause(&self) -> Option<Cause> {
        if self.has_ended() { self.lock().cause.clone() } else { None }
    }

    #[inline]
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    pub(super) fn values(&self) -> Option<&Arc<Values>> {
        self.values.as_ref()
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        (self.deadline != Instant::NEVER).then_some(self.deadline)
    }

    /// Ends it and all below it, unless it has ended already.
    pub(crate) fn end(&self, cause: Cause) {
        let (mut list, mut wakers, mut dead) = (Vec::new(), Vec::new(), Vec::new());
        self.end_one(&cause, &mut list, &mut wakers);
        while let Some(next) = list.pop() {
            if let Some(child) = next.upgrade() {
                child.end_one(&cause, &mut list, &mut wakers);
                // The last reference may be ours now. What dies with it is somebody else's code, which waits for its turn.
                dead.extend(Arc::into_inner(child));
            }
        }
        wakers.into_iter().for_each(wake);
        dead.into_iter().for_each(drop_contained);
    }

    /// Step 1 of an end, and what 2 does with the one.
    fn end_one(&self, cause: &Cause, list: &mut Vec<Weak<Ending>>, wakers: &mut Vec<Waker>) {
        if self.has_ended() {
            return;
        }
        let mut state = self.lock();
        if state.cause.is_some() {
            return;
        }
        state.cause = Some(cause.clone());
        self.ended.store(true, Ordering::Release);
        let (children, waiters) = (mem::take(&mut state.children), state.waiters.take());
        drop(state);
        self.disarm();
        children.move_to(list);
        if let Some(waiters) = waiters {
            wakers.extend(waiters.into_all());
        }
    }

    fn disarm(&self) {
        if let Some(alarm) = &self.alarm {
            alarm.disarm();
        }
    }

    /// Step 1 of a death; what step 2 goes on with.
    fn leave(&mut self) -> Option<Arc<Ending>> {
        let parent = self.parent.take()?;
        let place = self.place.load(Ordering::Relaxed);
        if place != NONE && !parent.has_ended() {
            let mut state = parent.lock();
            let own = (!parent.has_ended()).then(|| state.children.remove(place));
            drop(state);
            drop(own);
        }
        Some(parent)
    }

    /// Leaves a waker. None: it has ended.
    pub(super) fn wait(&self, waker: &Waker) -> Option<usize> {
        if self.has_ended() {
            return None;
        }
        let waker = waker.clone();
        let mut state = self.lock();
        if self.has_ended() {
            drop(state);
            return None;
        }
        Some(state.waiters().insert(waker))
    }

    /// Leaves another waker in this place. None: it has ended, and the place is void.
    pub(super) fn wait_on(&self, place: usize, waker: &Waker) -> Option<usize> {
        let waker = waker.clone();
        let mut state = self.lock();
        let unneeded = if self.has_ended() { waker } else { state.waiters().replace(place, waker) };
        drop(state);
        drop(unneeded);
        (!self.has_ended()).then_some(place)
    }

    /// Gives back the place of a waker.
    pub(super) fn wait_no_more(&self, place: usize) {
        if self.has_ended() {
            return;
        }
        let mut state = self.lock();
        let waker = (!self.has_ended()).then(|| state.waiters().remove(place));
        drop(state);
        drop(waker);
    }
}

/// Drops a value; panics end here, also those of the payloads' own drops.
fn drop_contained<T>(value: T) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(value)))
        && let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload)))
    {
        mem::forget(second);
    }
}

impl OnAlarm for Ending {
    fn on_alarm(self: Arc<Self>) -> Option<Instant> {
        self.end(self.late());
        None
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let mut next = self.leave();
        // Of two who drop the last two references, one gets it here.
        while let Some(mut last) = next.and_then(Arc::into_inner) {
            next = last.leave();
        }
    }
}

impl fmt::Debug for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Ending");
        // Somebody else's error is shown without the lock.
        out.field("cause", &self.cause()).field("deadline", &self.deadline());
        if let Ok(state) = self.state.try_lock() {
            out.field("children", &state.children.len())
                .field("waiters", &state.waiters.as_ref().map_or(0, |waiters| waiters.len()));
        }
        out.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn children(ending: &Ending) -> usize {
        ending.lock().children.len()
    }

    #[test]
    fn a_place_is_taken_at_birth_and_given_back_at_death() {
        let top = Ending::new(None);
        let mut born: Vec<_> = (0..10).map(|_| Ending::new(Some(top.clone()))).collect();
        assert_eq!(children(&top), 10);
        born.swap_remove(3);
        assert_eq!(children(&top), 9);
        born[0].end(Cause::cancelled());
        assert!(!born[1].has_ended() && !top.has_ended());
        top.end(Cause::deadline_exceeded());
        assert_eq!(children(&top), 0);
        assert!(born[0].cause().unwrap().is_cancelled());
        assert!(born[1].cause().unwrap().is_timeout());
        drop(born);
        assert_eq!(Arc::strong_count(&top), 1);
        assert_eq!(Arc::weak_count(&top), 0);
    }

    #[test]
    fn who_waits_leaves_nothing_behind() {
        let top = Ending::new(None);
        let place = top.wait(Waker::noop()).unwrap();
        assert_eq!(top.wait_on(place, Waker::noop()), Some(place));
        top.wait_no_more(place);
        assert_eq!(top.lock().waiters().len(), 0);
        let place = top.wait(Waker::noop()).unwrap();
        top.end(Cause::cancelled());
        assert_eq!(top.wait_on(place, Waker::noop()), None);
        top.wait_no_more(place);
        assert_eq!(top.wait(Waker::noop()), None);
    }
}
