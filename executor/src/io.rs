//! The leaf of all I/O: a descriptor in the poller, and the operations that wait for it.
//!
//! An operation tries first if the descriptor may be ready; `WouldBlock` clears the readiness that was seen, and the task is
//! enrolled. A request so costs one read, one write and its share of a wait in the poller; and eleven read-modify-writes: two to
//! deliver the event, one to wake the task, one to take it off the ring, three for its turn and the reference that it holds, one for the
//! readiness that a short read has used up, and three to wait again.

use crate::{budget, context::park, core::wake, fork, runtime, task::Reason};
use gambol_netpoll::{AsDescriptor, Direction, Poller, RawDescriptor, Ready, Source};
use std::{
    fmt, io,
    mem::ManuallyDrop,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// An I/O object whose descriptor is registered with a runtime's poller.
///
/// It belongs to the runtime that was current when it was made, but may be polled anywhere. When that runtime is gone, whatever
/// may wait gives an error, also if it would not have to wait now; [`try_io`](Io::try_io) works on.
pub struct Io<T: AsDescriptor> {
    io: ManuallyDrop<T>,
    /// The number of what was registered. `T` gives out something else only if its user has put another object in its place.
    registered: RawDescriptor,
    source: Arc<Source>,
    poller: Arc<Poller>,
}

/// What an operation did.
pub struct Done<R> {
    /// Its result.
    pub value: R,
    /// It moved less than was asked for, and so the kernel has no more at the moment: the next attempt would only say so. That
    /// holds for reads from a TCP socket and for writes to a stream socket or a pipe. A read from a Unix socket or a pipe
    /// may stop at a boundary, with more behind it.
    pub short: bool,
}

impl<T: AsDescriptor> Io<T> {
    /// Registers `io`, whose descriptor must be in non-blocking mode.
    ///
    /// `T` is to give out the same descriptor each time, and to keep it open. If it does not, nobody is told when what it
    /// gives out later becomes ready, and what was registered stays in the poller: on Linux until it is closed; elsewhere until
    /// this is dropped, and meanwhile nothing else of the same number can be registered. If on Linux it gives out another file
    /// under the number of the first, and another `Io` of this runtime has registered that, the other's registration ends when
    /// this is dropped.
    ///
    /// # Errors
    ///
    /// The operating system's, when it refuses the descriptor or has no room for one more; "the runtime is gone".
    ///
    /// # Panics
    ///
    /// In the child of a fork, whose poller is the parent's.
    pub fn new(io: T) -> io::Result<Io<T>> {
        Io::register(io, false)
    }

    fn register(io: T, later: bool) -> io::Result<Io<T>> {
        fork::check();
        let core = runtime::current();
        let poller = core.driver.poller(core)?;
        let descriptor = io.as_descriptor();
        let registered = gambol_netpoll::raw(descriptor);
        // SAFETY: the descriptor stays open until our drop, which deregisters it first: we own `io`. A user who takes it out
        // through `get_mut`, or whose `T` closes it by itself, breaks that; then the number may stand for another file. That
        // costs events, never memory: the kernel is given a number and a key and no pointer, and the key is looked up in the
        // poller's table, which owns the sources. `deregister` mostly notices the exchange, and tells when it does not.
        let source = unsafe { if later { poller.register_later(descriptor) } else { poller.register(descriptor) } }?;
        Ok(Io { io: ManuallyDrop::new(io), registered, source, poller })
    }

    /// As [`new`](Self::new) for what can be written to now, such as a connected socket: the first write does not wait to be
    /// told so.
    ///
    /// # Errors
    ///
    /// As for `new`.
    pub fn new_writable(io: T) -> io::Result<Io<T>> {
        let io = Io::new(io)?;
        io.assume_ready(Direction::Write);
        Ok(io)
    }

    /// As [`new`](Self::new) for a connection: the first read and the first write are tried without waiting to be told, and the kernel
    /// is asked to watch it only when one of them has to wait. One that was accepted, answered and closed may never come to that,
    /// and is spared two system calls; one whose request is late costs a futile read.
    ///
    /// # Errors
    ///
    /// "The runtime is gone". Those of the operating system come from the operation that has to wait.
    ///
    /// # Panics
    ///
    /// As for `new`.
    pub fn new_connected(io: T) -> io::Result<Io<T>> {
        Io::register(io, true)
    }

    /// Takes the direction for ready until an operation shows otherwise: the next one is tried without waiting to be told so.
    pub fn assume_ready(&self, direction: Direction) {
        self.source.assume_ready(direction);
    }

    /// The object.
    pub fn get_ref(&self) -> &T {
        &self.io
    }

    /// The object, for changes. Its descriptor is to stay the same; see [`new`](Self::new).
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.io
    }

    /// Takes the object out of the poller.
    ///
    /// # Errors
    ///
    /// The operating system's, when it cannot remove the descriptor.
    pub fn into_inner(self) -> io::Result<T> {
        let mut this = ManuallyDrop::new(self);
        let result = this.deregister();
        // SAFETY: `this` is not dropped and these are used no more, so each is taken once.
        let (io, source, poller) =
            unsafe { (ManuallyDrop::take(&mut this.io), std::ptr::read(&this.source), std::ptr::read(&this.poller)) };
        drop((source, poller));
        result.map(|()| io)
    }

    fn deregister(&mut self) -> io::Result<()> {
        if fork::is_child() {
            // The kernel's set is the parent's too, whose registration would be removed; and of our memory's locks some may
            // be held for ever.
            return Ok(());
        }
        let mut wakers = Vec::new();
        let descriptor = self.io.as_descriptor();
        // Another number: what was registered is not ours any more, and its number may be another source's, which must not
        // be hit.
        //
        // The same number is taken for the same file. It need not be: what was registered may have been closed, its number given
        // to a new file, and that file put in here. If another `Io` has registered that one (both hold it by an `Arc`, say), epoll
        // now removes the other's registration, and who waits there is told nothing more. To tell the two apart would take a
        // system call at every drop, or a table of numbers beside that of keys. The roads of other systems have such a
        // table, and refuse the number to the other until the first has given it up.
        let same = gambol_netpoll::raw(descriptor) == self.registered;
        let result = if same {
            self.poller.deregister(&self.source, descriptor, &mut wakers)
        } else {
            self.poller.abandon(&self.source, &mut wakers);
            Ok(())
        };
        // Nobody can wait for it any more: who holds a reference keeps us alive. A waker that was left behind by an
        // operation that was dropped is woken for nothing.
        wakers.into_iter().for_each(wake);
        result
    }

    /// Does `operation` when the descriptor may be ready, until it does not say `WouldBlock`. It is retried on EINTR.
    ///
    /// # Errors
    ///
    /// Those of the operation, untouched; "the runtime is gone". The operating system's, when it refuses to watch a descriptor of
    /// [`new_connected`](Self::new_connected).
    ///
    /// # Panics
    ///
    /// In the child of a fork, if it would have to wait: the poller is the parent's.
    ///
    /// # Cancel safety
    ///
    /// An operation that was not ready has done nothing.
    pub fn poll_io<R>(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        reason: Reason,
        mut operation: impl FnMut(&T) -> io::Result<Done<R>>,
    ) -> Poll<io::Result<R>> {
        poll(&self.source, &self.poller, cx, direction, reason, || operation(&self.io))
    }

    /// As [`poll_io`](Self::poll_io), for an operation that changes the object. Its descriptor is to stay the same; see
    /// [`new`](Self::new).
    ///
    /// # Errors
    ///
    /// As for `poll_io`.
    ///
    /// # Panics
    ///
    /// As for `poll_io`.
    ///
    /// # Cancel safety
    ///
    /// As for `poll_io`.
    pub fn poll_io_mut<R>(
        &mut self,
        cx: &mut Context<'_>,
        direction: Direction,
        reason: Reason,
        mut operation: impl FnMut(&mut T) -> io::Result<Done<R>>,
    ) -> Poll<io::Result<R>> {
        let io = &mut self.io;
        poll(&self.source, &self.poller, cx, direction, reason, || operation(io))
    }

    /// Does `operation` now, whether or not anything was told of the descriptor. It is retried on EINTR.
    ///
    /// # Errors
    ///
    /// Those of the operation, untouched. After `WouldBlock`, [`poll_ready`](Self::poll_ready) waits for news.
    pub fn try_io<R>(
        &self,
        direction: Direction,
        mut operation: impl FnMut(&T) -> io::Result<Done<R>>,
    ) -> io::Result<R> {
        loop {
            // Looked at before the call: an event that comes after is not taken off by what the call finds.
            let seen = self.source.ready(direction);
            match operation(&self.io) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    if let Some(seen) = seen
                        && error.kind() == io::ErrorKind::WouldBlock
                    {
                        self.source.would_block(direction, seen);
                    }
                    return Err(error);
                }
                Ok(done) => {
                    if let Some(seen) = seen
                        && done.short
                        && self.poller.short_clears()
                    {
                        self.source.clear(direction, seen);
                    }
                    return Ok(done.value);
                }
            }
        }
    }

    /// Waits until an operation may be ready, without doing one.
    ///
    /// # Errors
    ///
    /// "The runtime is gone". The operating system's, when it refuses to watch a descriptor of
    /// [`new_connected`](Self::new_connected).
    ///
    /// # Panics
    ///
    /// As for `poll_io`.
    pub fn poll_ready(&self, cx: &mut Context<'_>, direction: Direction, reason: Reason) -> Poll<io::Result<()>> {
        let spent = ready!(budget::spend(cx));
        // A connection can be written to until a write says otherwise; but that it can be read from is to be news.
        if direction == Direction::Read {
            self.source.distrust(direction);
        }
        match ready_or_enrolled(&self.source, &self.poller, cx, direction) {
            Poll::Ready(ready) => Poll::Ready(ready.map(|_| ())),
            Poll::Pending => {
                spent.refund();
                park(reason);
                Poll::Pending
            }
        }
    }
}

/// See [`Io::poll_io`].
#[inline]
fn poll<R>(
    source: &Source,
    poller: &Poller,
    cx: &mut Context<'_>,
    direction: Direction,
    reason: Reason,
    mut operation: impl FnMut() -> io::Result<Done<R>>,
) -> Poll<io::Result<R>> {
    let spent = ready!(budget::spend(cx));
    loop {
        let ready = match ready_or_enrolled(source, poller, cx, direction) {
            Poll::Ready(ready) => ready?,
            Poll::Pending => {
                spent.refund();
                park(reason);
                return Poll::Pending;
            }
        };
        match operation() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                source.would_block(direction, ready);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Poll::Ready(Err(error)),
            Ok(done) => {
                if done.short && poller.short_clears() {
                    source.clear(direction, ready);
                }
                return Poll::Ready(Ok(done.value));
            }
        }
    }
}

/// Whether the direction may be ready; if not, the task is enrolled.
#[inline]
fn ready_or_enrolled(
    source: &Source,
    poller: &Poller,
    cx: &Context<'_>,
    direction: Direction,
) -> Poll<io::Result<Ready>> {
    if let Some(ready) = source.ready(direction) {
        return Poll::Ready(Ok(ready));
    }
    // The child would add the descriptor to the kernel's set, which is the parent's too, and the parent could not any more.
    fork::check();
    poller.poll_ready(source, direction, cx.waker())
}

impl<T: AsDescriptor> Drop for Io<T> {
    fn drop(&mut self) {
        // The descriptor is closed in a moment, which removes it as well.
        let _ = self.deregister();
        // SAFETY: taken here and nowhere else; `into_inner` forgets us.
        drop(unsafe { ManuallyDrop::take(&mut self.io) });
    }
}

impl<T: AsDescriptor + fmt::Debug> fmt::Debug for Io<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get_ref().fmt(f)
    }
}
