//! What a select keeps beside its arms while it stands in the lines of channels; nothing, if no arm is a channel's.

use crate::chan::{Claim, Shut};
use pin_project_lite::pin_project;
use std::pin::Pin;

/// [`Standing`], or nothing.
pub trait Lines: Default {
    /// What there is.
    fn standing(self: Pin<&mut Self>) -> Option<Pin<&mut Standing>>;
}

impl Lines for () {
    #[inline]
    fn standing(self: Pin<&mut Self>) -> Option<Pin<&mut Standing>> {
        None
    }
}

impl Lines for Standing {
    #[inline]
    fn standing(self: Pin<&mut Self>) -> Option<Pin<&mut Standing>> {
        Some(self)
    }
}

pin_project! {
    /// A select with arms of channels.
    #[derive(Debug)]
    pub struct Standing {
        // Lines point here: it ends after the arms have left them.
        #[pin]
        pub(super) claim: Claim,
        // Whether arms may stand in lines.
        pub(super) enrolled: bool,
        // Whether the last turn left what was ready to a send.
        pub(super) met: bool,
    }
}

impl Default for Standing {
    #[inline]
    fn default() -> Standing {
        Standing { claim: Claim::new(), enrolled: false, met: false }
    }
}

impl Standing {
    /// The select ends. Whether its arms may stand in lines, which they leave next.
    #[inline]
    pub(super) fn end(self: Pin<&mut Self>) -> bool {
        let this = self.project();
        if *this.enrolled {
            // Whichever it is: what was sent was sent.
            let (Shut::Sent(_) | Shut::Running { .. }) = this.claim.shut();
        }
        *this.enrolled
    }
}
