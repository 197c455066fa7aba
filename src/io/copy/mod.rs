//! Everything from here to there.
//!
//! A copy moves bytes through a buffer of its own. On Linux, where both ends are known to be nothing but a descriptor, or the
//! writer to be a file, a long one moves them through a pipe instead, which user space does not see.

// One direction, and both.
mod bidirectional;
mod one_way;

// What they are made of: a direction's bytes on their way.
mod transfer;

// The way past user space: when it is taken, the pipe that it leads through, and who is known to allow it.
#[cfg(target_os = "linux")]
mod ends;
#[cfg(target_os = "linux")]
mod pipe;
#[cfg(target_os = "linux")]
mod shortcut;

// The same for descriptors of any kind, tried.
#[cfg(all(test, target_os = "linux"))]
mod bare;

// Elsewhere there is none.
#[cfg(not(target_os = "linux"))]
#[path = "no_shortcut.rs"]
mod shortcut;

pub use bidirectional::{CopyBidirectional, copy_bidirectional};
#[cfg(target_os = "linux")]
pub(crate) use ends::{End, Spliced};
pub use one_way::{Copy, copy};

/// Says that reading and writing a type is reading and writing a descriptor, and nothing else: `spliced!(Type, |this| &this.io);`
/// with its [`Io`](gambol_executor::Io). The type then also needs its line in `ends::known`.
#[cfg(target_os = "linux")]
macro_rules! spliced {
    ($type:ty, |$this:ident| $end:expr) => {
        impl $crate::io::copy::Spliced for $type {
            fn end(&self) -> Option<&dyn $crate::io::copy::End> {
                let $this = self;
                // In two steps, for a reference and for an option of one.
                let end: Option<&_> = $end.into();
                Some(end?)
            }
        }
    };
}

/// Nothing is spliced here.
#[cfg(not(target_os = "linux"))]
macro_rules! spliced {
    ($($any:tt)*) => {};
}

pub(crate) use spliced;
