//! Copying in both directions: what a proxy does.

use super::transfer::Transfer;
use futures_io::{AsyncRead, AsyncWrite};
use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// Copies from `a` to `b` and from `b` to `a` until both have ended, and yields the number of bytes of either direction, in this
/// order.
///
/// When one side has ended, everything that came from it is written to the other, whose write direction is then closed
/// (`poll_close`); the opposite direction goes on. Otherwise each direction is as [`copy`](super::copy), and as fast.
///
/// # Errors
///
/// The first that either side gives in either direction, except `Interrupted`; `WriteZero` when a side takes nothing more.
/// It ends both directions: what the other one holds is lost, and nothing is closed.
///
/// # Cancel safety
///
/// As for [`copy`](super::copy), in each direction.
pub fn copy_bidirectional<'a, A, B>(a: &'a mut A, b: &'a mut B) -> CopyBidirectional<'a, A, B>
where
    A: AsyncRead + AsyncWrite + Unpin + ?Sized,
    B: AsyncRead + AsyncWrite + Unpin + ?Sized,
{
    CopyBidirectional { a, b, to_b: Direction::default(), to_a: Direction::default(), b_is_first: false }
}

/// See [`copy_bidirectional`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct CopyBidirectional<'a, A: ?Sized, B: ?Sized> {
    a: &'a mut A,
    b: &'a mut B,
    to_b: Direction,
    to_a: Direction,
    /// Who began at the last poll. They take turns: the first might use up what the task may do at a time.
    b_is_first: bool,
}

/// How far a direction is.
#[derive(Debug)]
enum Direction {
    Copying(Transfer),
    /// All was written.
    Closing(u64),
    Closed(u64),
}

impl Default for Direction {
    fn default() -> Direction {
        Direction::Copying(Transfer::default())
    }
}

impl Direction {
    fn poll<R, W>(&mut self, cx: &mut Context<'_>, reader: &mut R, writer: &mut W) -> Poll<io::Result<u64>>
    where
        R: AsyncRead + Unpin + ?Sized,
        W: AsyncWrite + Unpin + ?Sized,
    {
        loop {
            match self {
                Direction::Copying(transfer) => {
                    let copied = ready!(transfer.poll(cx, reader, writer))?;
                    *self = Direction::Closing(copied);
                }
                Direction::Closing(copied) => match ready!(Pin::new(&mut *writer).poll_close(cx)) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Poll::Ready(Err(error)),
                    Ok(()) => *self = Direction::Closed(*copied),
                },
                Direction::Closed(copied) => return Poll::Ready(Ok(*copied)),
            }
        }
    }
}

impl<A, B> Future for CopyBidirectional<'_, A, B>
where
    A: AsyncRead + AsyncWrite + Unpin + ?Sized,
    B: AsyncRead + AsyncWrite + Unpin + ?Sized,
{
    type Output = io::Result<(u64, u64)>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<(u64, u64)>> {
        let this = &mut *self;
        let (to_b, to_a);
        this.b_is_first = !this.b_is_first;
        if this.b_is_first {
            to_a = this.to_a.poll(cx, this.b, this.a)?;
            to_b = this.to_b.poll(cx, this.a, this.b)?;
        } else {
            to_b = this.to_b.poll(cx, this.a, this.b)?;
            to_a = this.to_a.poll(cx, this.b, this.a)?;
        }
        Poll::Ready(Ok((ready!(to_b), ready!(to_a))))
    }
}

impl<A: ?Sized, B: ?Sized> fmt::Debug for CopyBidirectional<'_, A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CopyBidirectional").field("to_b", &self.to_b).field("to_a", &self.to_a).finish_non_exhaustive()
    }
}
