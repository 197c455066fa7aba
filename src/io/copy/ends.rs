//! Who is known to be nothing but a descriptor.
//!
//! `copy` takes any reader and any writer, and must find out about some of them that a descriptor stands behind. It asks for the
//! type: [`known`] compares the identity of `R` with those of a closed list of types of this crate, and of references to
//! them. Whatever wraps one of these is another type, and is read and written as its author wrote it: a limit, a buffer that
//! has bytes already, a cipher, a counter. Nothing of that is ever gone past.
//!
//! A protocol through `poll_read` was thought of: the copy asks by way of its buffer's address, and the stream at the bottom
//! answers in a thread-local. It would find streams behind a `Box<dyn AsyncRead>`. But a wrapper that passes the buffer on and then
//! looks at it, to count or to decipher, passes the question on as well, and would be gone past. A hidden method of a trait cannot
//! be had, as the traits are those of `futures-io`; `Any` asks for `'static`, and these are references as often as not.
//! The identity of a type that is not `'static` is that of the same type with all lifetimes made `'static` (the crate `typeid`).

use crate::{
    fs,
    net::{self, unix},
    process,
};
use gambol_executor::{AsDescriptor, Direction, Done, Io, Reason};
use std::{
    any::TypeId,
    io,
    os::fd::{AsFd, BorrowedFd},
    ptr,
    task::{Context, Poll},
};

/// One end of a copy, seen as a descriptor.
pub(crate) trait End {
    /// In non-blocking mode.
    fn descriptor(&self) -> BorrowedFd<'_>;

    /// Waits until there may be something to read.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Does `operation` when the descriptor may be ready to be written to, until it does not say `WouldBlock`.
    fn poll_write_with(
        &self,
        cx: &mut Context<'_>,
        operation: &mut dyn FnMut(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>>;
}

impl<T: AsDescriptor + AsFd> End for Io<T> {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.get_ref().as_fd()
    }

    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_ready(cx, Direction::Read, Reason::Read)
    }

    fn poll_write_with(
        &self,
        cx: &mut Context<'_>,
        operation: &mut dyn FnMut(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        self.poll_io(cx, Direction::Write, Reason::Write, |io| {
            // Less than was asked for does not mean that there is no room: the slots of a pipe are counted too.
            Ok(Done { value: operation(io.as_fd())?, short: false })
        })
    }
}

/// A type of which reading and writing is reading and writing a descriptor, and nothing else; see `spliced!`.
pub(crate) trait Spliced {
    /// None when it is closed.
    fn end(&self) -> Option<&dyn End>;
}

/// The descriptor that `object` is, if it is known to be one.
pub(super) fn known<T: ?Sized>(object: &T) -> Option<&dyn End> {
    #[cfg(test)]
    if let Some(end) = seen_as::<T, super::bare::Bare>(object) {
        return Some(end);
    }
    None.or_else(|| seen_as::<T, net::TcpStream>(object))
        .or_else(|| seen_as::<T, net::ReadHalf<'static>>(object))
        .or_else(|| seen_as::<T, net::WriteHalf<'static>>(object))
        .or_else(|| seen_as::<T, net::OwnedReadHalf>(object))
        .or_else(|| seen_as::<T, net::OwnedWriteHalf>(object))
        .or_else(|| seen_as::<T, net::UnixStream>(object))
        .or_else(|| seen_as::<T, unix::ReadHalf<'static>>(object))
        .or_else(|| seen_as::<T, unix::WriteHalf<'static>>(object))
        .or_else(|| seen_as::<T, unix::OwnedReadHalf>(object))
        .or_else(|| seen_as::<T, unix::OwnedWriteHalf>(object))
        .or_else(|| seen_as::<T, process::ChildStdin>(object))
        .or_else(|| seen_as::<T, process::ChildStdout>(object))
        .or_else(|| seen_as::<T, process::ChildStderr>(object))
}

/// The file that `object` is. Its descriptor has no say in when it may be written to, and a position and buffers belong to it.
pub(super) fn known_file<T: ?Sized>(object: &T) -> Option<&fs::File> {
    seen::<T, fs::File>(object)
}

fn seen_as<T: ?Sized, K: Spliced + 'static>(object: &T) -> Option<&dyn End> {
    seen::<T, K>(object)?.end()
}

/// `object` as a `K`, or as a reference to one, or as a mutable reference to either.
fn seen<T: ?Sized, K: 'static>(object: &T) -> Option<&K> {
    let id = typeid::of::<T>();
    if id == TypeId::of::<K>() {
        // SAFETY: `T` is `K`.
        Some(unsafe { cast::<T, K>(object) })
    } else if id == TypeId::of::<&'static K>() {
        // SAFETY: `T` is `&K`.
        Some(unsafe { cast::<T, &K>(object) })
    } else if id == TypeId::of::<&'static mut K>() {
        // SAFETY: `T` is `&mut K`.
        Some(unsafe { cast::<T, &mut K>(object) })
    } else if id == TypeId::of::<&'static mut &'static K>() {
        // SAFETY: `T` is `&mut &K`.
        Some(unsafe { cast::<T, &mut &K>(object) })
    } else if id == TypeId::of::<&'static mut &'static mut K>() {
        // SAFETY: `T` is `&mut &mut K`.
        Some(unsafe { cast::<T, &mut &mut K>(object) })
    } else {
        None
    }
}

/// # Safety
///
/// But for their lifetimes, `T` and `K` are the same type.
///
/// Those in `T` are at least as long as the borrow, and so are those of references in `K`, which the borrow bounds. A lifetime
/// that `K` itself claims (`'static`, in `ReadHalf<'static>`) may be longer than the true one, but nobody can make use of
/// it: where `K` has one, all that is done with the result is `Spliced::end`, which is implemented for all lifetimes at once
/// and gives out what is borrowed for as long as `object` is. A file has none.
unsafe fn cast<T: ?Sized, K>(object: &T) -> &K {
    // SAFETY: it is the same type, borrowed for as long, and shared as before.
    unsafe { &*ptr::from_ref(object).cast::<K>() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::io::{AsyncReadExt, BufReader};
    use net::TcpStream;
    use std::os::fd::AsRawFd;

    fn connection() -> TcpStream {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap().try_into().unwrap()
    }

    /// The number of the descriptor that `object` is taken for.
    fn number<T: ?Sized>(object: &T) -> Option<i32> {
        known(object).map(|end| end.descriptor().as_raw_fd())
    }

    #[test]
    fn known_are_the_listed_types_and_references_to_them() {
        let mut stream = connection();
        let descriptor = Some(stream.as_fd().as_raw_fd());
        assert_eq!(number(&stream), descriptor);
        assert_eq!(number(&&stream), descriptor);
        assert_eq!(number(&&mut &stream), descriptor);
        assert_eq!(number(&&mut stream), descriptor);
        assert_eq!(number(&&mut &mut stream), descriptor);
        let (mut reader, mut writer) = TcpStream::split(&mut stream);
        assert_eq!([number(&reader), number(&&mut reader), number(&&mut &mut reader)], [descriptor; 3]);
        assert_eq!([number(&writer), number(&&mut writer), number(&&mut &mut writer)], [descriptor; 3]);
        let (mut reader, mut writer) = stream.into_split();
        assert_eq!([number(&reader), number(&&mut reader), number(&&mut &mut reader)], [descriptor; 3]);
        assert_eq!([number(&writer), number(&&mut writer), number(&&mut &mut writer)], [descriptor; 3]);
    }

    #[test]
    fn nothing_else_is_known() {
        struct Wrapper<'a>(#[expect(dead_code, reason = "it is the type that counts")] &'a TcpStream);
        let stream = &connection();
        assert!(number(&Wrapper(stream)).is_none());
        assert!(number(&BufReader::new(stream)).is_none());
        assert!(number(&stream.take(10)).is_none());
        assert!(number(&stream.chain(stream)).is_none());
        assert!(number(&Box::new(stream)).is_none());
        let object: &(dyn futures_io::AsyncRead + '_) = &stream;
        assert!(number(object).is_none());
        assert!(number::<[u8]>(&[]).is_none());
        // An `Io` that others have made may be in any state.
        assert!(number(&stream.as_fd()).is_none());
    }
}
