//! There is no way past user space on this system: the interface of `shortcut.rs`, and nothing behind it.

use std::{
    io,
    task::{Context, Poll},
};

#[derive(Default)]
pub(super) struct Shortcut;

/// See `shortcut.rs`.
#[allow(dead_code, reason = "only one of them happens here")]
pub(super) enum Drained {
    All,
    Written(usize),
    Buffered(usize),
}

impl Shortcut {
    pub(super) fn consider(&mut self, _: usize, _: u64) {}

    pub(super) fn poll_fill<R: ?Sized, W: ?Sized>(
        &mut self,
        _: &mut Context<'_>,
        _: &R,
        _: &W,
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(0))
    }

    pub(super) fn poll_drain<W: ?Sized>(
        &mut self,
        _: &mut Context<'_>,
        _: &W,
        _: &mut [u8],
    ) -> Poll<io::Result<Drained>> {
        Poll::Ready(Ok(Drained::All))
    }

    pub(super) fn rest(&mut self) {}

    pub(super) fn held(&self) -> usize {
        0
    }

    pub(super) fn spliced(&self) -> u64 {
        0
    }
}
