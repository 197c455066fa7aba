//! What the owner of a timer holds: the key, and the answer that it may have to face.
//!
//! A key is an index without a generation. That is enough because it is linear: it can be neither
//! copied nor cloned, only `Wheel::remove` consumes it, and a node stays allocated, fired or not,
//! until then. So a key that exists names its own node. What the compiler cannot see is a key that
//! is taken to another wheel; see [`Key`].

use std::fmt;
use std::num::NonZeroU32;

/// Names one timer of one [`Wheel`](crate::Wheel), armed or fired.
///
/// Four bytes, and so is an `Option<Key>`. It is given back with
/// [`Wheel::remove`](crate::Wheel::remove); a key that is dropped instead leaves its node (32
/// bytes) allocated for as long as the wheel lives, and its timer armed.
///
/// A key works only on the wheel that made it. On another wheel it panics or acts on some other
/// timer.
#[must_use = "a timer stays allocated until its key is given back with `Wheel::remove`"]
pub struct Key(NonZeroU32);

const _: () = assert!(size_of::<Option<Key>>() == 4);

impl Key {
    /// `index` is below 2^31 (see `Arena`), so that adding one cannot wrap.
    pub(crate) fn new(index: u32) -> Key {
        Key(NonZeroU32::MIN.saturating_add(index))
    }

    pub(crate) fn index(&self) -> u32 {
        self.0.get() - 1
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.index()).finish()
    }
}

/// The timer has fired: its waker was handed out, and there is nothing left to replace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fired;

impl fmt::Display for Fired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the timer has already fired")
    }
}

impl std::error::Error for Fired {}
