//! The timing wheel under gambol; only the API of the crate `gambol` is promised.
//!
//! A [`Wheel`] holds deadlines and wakers. It reads no clock, takes no lock, starts no thread and
//! wakes nobody: its caller says what time it is and gets back the wakers that are due. It is
//! driven under its caller's lock, and everything that it gives back is meant to be woken or
//! dropped after that lock has been released.
//!
//! Reading order:
//! - `wheel`: the wheel, its order, its invariant and why `expire` keeps it;
//! - `slots`: the lists in which armed timers hang, with the bitmaps and minima that find the
//!   earliest;
//! - `arena`: the memory of the timers, in chunks that come and go;
//! - `key`: what the owner of a timer holds.
//!
//! ```
//! use gambol_timer::Wheel;
//! use std::task::Waker;
//!
//! let mut wheel = Wheel::new();
//! let late = wheel.insert(2_000, Waker::noop().clone());
//! let early = wheel.insert(1_000, Waker::noop().clone());
//! assert_eq!(wheel.next_deadline(), Some(1_000));
//!
//! let mut ready = Vec::new();
//! let more = wheel.expire(1_500, 64, &mut ready);
//! assert!(!more && ready.len() == 1);
//! assert!(wheel.remove(early).is_none(), "it has fired");
//! assert!(wheel.remove(late).is_some(), "it was armed, and its waker comes back");
//! ```

#![forbid(unsafe_code)]

mod wheel;

mod slots;

mod arena;

mod key;

pub use key::{Fired, Key};
pub use wheel::Wheel;
