//! A wake-up that is on its way is not sent again.
//!
//! To notify:
//! 1. Do what the other side shall see (outside of this file).
//! 2. Swap the latch to true. If it was true, somebody's wake-up is on its way: done.
//! 3. Otherwise write to the kernel.
//!
//! To come out of a wait because of a notification:
//! 1. Swap the latch to false. (Where the kernel does not tell why a wait has ended, after every wait: at worst a wake-up is
//!    sent that nobody needs.)
//! 2. Only then look for what was done.
//!
//! The race: a notifier finds the latch true and sends nothing, while the waiter is just opening it. Then the notifier's swap
//! comes before the waiter's in the order of the latch, the waiter's swap reads it (or a later one, which continues its
//! release sequence), and step 2 of the waiter sees step 1 of the notifier. That is why opening is a swap: a plain store reads
//! nothing, and the waiter could miss what was done. If the notifier's swap comes after, it finds false and writes.
//!
//! A notifier that stands still between its steps 2 and 3 delays those who found the latch true until it goes on. Nothing is
//! lost by it, and it is a matter of scheduling, not of the latch.

use crate::sync::{AtomicBool, Ordering};

pub(crate) struct Latch(AtomicBool);

impl Latch {
    pub(crate) fn new() -> Latch {
        Latch(AtomicBool::new(false))
    }

    /// Whether the caller now owes the kernel a wake-up.
    #[must_use]
    pub(crate) fn set(&self) -> bool {
        // Release: pairs with the Acquire of `open`. Weaker, the waiter would not see what the notifier did.
        !self.0.swap(true, Ordering::Release)
    }

    /// The wake-up has arrived: the next notifier sends another.
    pub(crate) fn open(&self) {
        // Acquire: pairs with the Release of `set`.
        self.0.swap(false, Ordering::Acquire);
    }
}
