//! What feeds a channel that has no sender: a timer.

use std::any::Any;

/// Dropped with the channel's last receiver.
pub(crate) type Attached = Box<dyn Any + Send>;
