//! Part of gambol, whose own API is the only one that is promised: the network poller.
//!
//! It knows descriptors and wakers. It knows no task, no runtime and no timer, and it never calls a waker: whoever waits on
//! the poller receives the wakers in a list of its own and wakes them when no lock is held.
//!
//! In reading order:
//! - `readiness`: one word per descriptor; its bits and their transitions. The protocol between waiting and delivering.
//! - `waiters`: the wakers that wait on one descriptor.
//! - `source`: one registered descriptor: the word, the waiters and the lock between them.
//! - `lock`: that lock.
//! - `table`: from the key that the kernel hands back to the source.
//! - `latch`: a wake-up that is on its way is not sent again.
//! - `platform`: what is relied on, per operating system, and which road is taken.
//!     - `epoll`: the road on Linux.
//!     - `portable`: the road everywhere else.
//! - `poller`: the whole: register, wait, notify, close.
//! - `sync`: std's or the model checker's atomics, mutex and cell.

mod readiness;

mod waiters;

mod source;

mod lock;

mod table;

mod latch;

mod platform;

mod poller;

mod sync;

#[cfg(gambol_loom)]
#[doc(hidden)]
pub mod model;

pub use platform::{AsDescriptor, Descriptor, RawDescriptor, raw};
pub use poller::{Events, Missing, Poller};
pub use readiness::{Direction, Ready};
pub use source::{Enrolment, Gone, Source};
