//! The place for the one task that runs next: woken by the task that runs now, it shares what is left of its slice.
//!
//! Only the owner fills the slot; anyone may empty it. So a slot that the owner sees empty stays empty until the owner
//! fills it, and filling it then is a plain store. A thief that takes from the slot breaks up a pair that was about to
//! stay on one core, so thieves look here last (see `worker::search`).
//!
//! Costs: put into an empty slot no read-modify-write, into a full one a swap; take one
//! compare-exchange, none if it is empty.

use super::Item;
use crate::sync::{AtomicPtr, Ordering};
use std::ptr::{self, NonNull};

/// See the head of this file.
pub(crate) struct Slot(AtomicPtr<()>);

impl Slot {
    pub(crate) fn new() -> Slot {
        Slot(AtomicPtr::new(ptr::null_mut()))
    }

    /// Puts an item in and returns the one that it displaces.
    ///
    /// # Safety
    ///
    /// The caller is the owner: no other `put` happens at the same time.
    #[inline]
    pub(crate) unsafe fn put(&self, item: Item) -> Option<Item> {
        if self.0.load(Ordering::Relaxed).is_null() {
            // Nobody but us makes it anything else than null. Release, with the Acquire of `take`: the taker sees the
            // task that the pointer leads to.
            self.0.store(item.as_ptr(), Ordering::Release);
            None
        } else {
            // A thief may take the old one at this moment, so one of us must learn that it lost: a plain store here
            // would run the old item twice.
            NonNull::new(self.0.swap(item.as_ptr(), Ordering::Release))
        }
    }

    /// Takes the item out. A thief that is slower than another taker, or than the owner's next `put`, gets nothing.
    #[inline]
    pub(crate) fn take(&self) -> Option<Item> {
        let item = NonNull::new(self.0.load(Ordering::Relaxed))?;
        // Not a swap: who comes too late writes nothing, and so never meets the plain store in `put`. Acquire, with the
        // Release there.
        let taken = self.0.compare_exchange(item.as_ptr(), ptr::null_mut(), Ordering::Acquire, Ordering::Relaxed);
        taken.is_ok().then_some(item)
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.load(Ordering::Relaxed).is_null()
    }
}
