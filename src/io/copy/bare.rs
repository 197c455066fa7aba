//! For tests: any descriptor as an end that is known, to try those that no type of this crate stands for yet.

use super::{End, Spliced, copy};
use futures_io::{AsyncRead, AsyncWrite};
use gambol_executor::{Direction, Done, Io, Reason, block_on, spawn};
use rustix::{
    fs::OFlags,
    net::{AddressFamily, SocketFlags, SocketType, socketpair},
    pipe::{PipeFlags, pipe_with},
};
use std::{
    fs::File,
    future::poll_fn,
    io::{self, Read, Write},
    os::fd::{BorrowedFd, OwnedFd},
    pin::Pin,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    task::{Context, Poll},
    thread,
};

pub(super) struct Bare {
    io: Io<OwnedFd>,
    /// So many times it can be spliced to; then the kernel is taken to refuse.
    left: AtomicUsize,
    /// Attempts to splice from it.
    fills: AtomicUsize,
}

impl Spliced for Bare {
    fn end(&self) -> Option<&dyn End> {
        Some(self)
    }
}

impl End for Bare {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.fills.fetch_add(1, Relaxed);
        self.io.descriptor()
    }

    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_readable(cx)
    }

    fn poll_write_with(
        &self,
        cx: &mut Context<'_>,
        operation: &mut dyn FnMut(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        if self.left.load(Relaxed) == 0 {
            return Poll::Ready(Err(rustix::io::Errno::INVAL.into()));
        }
        let poll = self.io.poll_write_with(cx, operation);
        if poll.is_ready() {
            self.left.fetch_sub(1, Relaxed);
        }
        poll
    }
}

impl AsyncRead for Bare {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut &*self).poll_read(cx, buf)
    }
}

impl AsyncRead for &Bare {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.io.poll_io(cx, Direction::Read, Reason::Read, |fd| {
            Ok(Done { value: rustix::io::read(fd, &mut *buf)?, short: false })
        })
    }
}

impl AsyncWrite for Bare {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.io.poll_io(cx, Direction::Write, Reason::Write, |fd| {
            Ok(Done { value: rustix::io::write(fd, buf)?, short: false })
        })
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Pipe,
    UnixStream,
}

impl Kind {
    /// The end that is read, and the end that is written to.
    fn make(self) -> (OwnedFd, OwnedFd) {
        match self {
            Kind::Pipe => pipe_with(PipeFlags::CLOEXEC).unwrap(),
            Kind::UnixStream => {
                socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap()
            }
        }
    }
}

fn bare(descriptor: OwnedFd, times: usize) -> Bare {
    let flags = rustix::fs::fcntl_getfl(&descriptor).unwrap();
    rustix::fs::fcntl_setfl(&descriptor, flags | OFlags::NONBLOCK).unwrap();
    Bare { io: Io::new(descriptor).unwrap(), left: times.into(), fills: AtomicUsize::new(0) }
}

/// Copies `data` between two descriptors, of which the second can be spliced to so many times. What the copy shows in the end.
fn check(data: &[u8], from: Kind, to: Kind, times: usize) -> String {
    let (reader, source) = from.make();
    let (sink, writer) = to.make();
    thread::scope(|scope| {
        scope.spawn(move || File::from(source).write_all(data).unwrap());
        let collected = scope.spawn(move || {
            let mut all = Vec::new();
            File::from(sink).read_to_end(&mut all).map(|_| all).unwrap()
        });
        let copying = async move {
            let mut copying = copy(bare(reader, usize::MAX), bare(writer, times));
            let copied = (&mut copying).await.unwrap();
            (copied, format!("{copying:?}"))
        };
        let (copied, shown) = block_on(spawn(copying)).unwrap();
        assert_eq!(copied, data.len() as u64, "{from:?} to {to:?}, {times} times");
        assert!(collected.join().unwrap() == data, "{from:?} to {to:?}, {times} times");
        shown
    })
}

fn content() -> Vec<u8> {
    (0..8 << 20).map(|n: u32| (n % 251) as u8 ^ (n >> 16) as u8).collect()
}

#[test]
fn pipes_and_unix_sockets_are_spliced_as_well() {
    let data = content();
    for from in [Kind::Pipe, Kind::UnixStream] {
        for to in [Kind::Pipe, Kind::UnixStream] {
            let shown = check(&data, from, to, usize::MAX);
            assert!(!shown.contains("spliced: 0,"), "{from:?} to {to:?}: {shown}");
        }
    }
}

#[test]
fn a_refusal_with_bytes_in_the_pipe_loses_none_of_them() {
    let data = content();
    for from in [Kind::Pipe, Kind::UnixStream] {
        for to in [Kind::Pipe, Kind::UnixStream] {
            for times in [0, 1, 2, 3, 10] {
                let shown = check(&data, from, to, times);
                assert_eq!(shown.contains("spliced: 0,"), times == 0, "{from:?} to {to:?}: {shown}");
            }
        }
    }
}

#[test]
fn a_direction_at_rest_does_not_ask_the_kernel_at_each_poll() {
    const AT_ONCE: usize = 64 * 1024;
    let (reader, source) = Kind::UnixStream.make();
    let (sink, writer) = Kind::UnixStream.make();
    let (mut source, mut sink) = (File::from(source), File::from(sink));
    let reader = bare(reader, usize::MAX);
    let mut copying = copy(&reader, bare(writer, usize::MAX));
    block_on(async {
        let mut arrived = vec![0; AT_ONCE];
        for round in 1..=4 {
            source.write_all(&arrived).unwrap();
            let all = format!("copied: {},", round * AT_ONCE);
            let arriving = poll_fn(|cx| {
                assert!(Pin::new(&mut copying).poll(cx).is_pending());
                if format!("{copying:?}").contains(&all) { Poll::Ready(()) } else { Poll::Pending }
            });
            arriving.await;
            sink.read_exact(&mut arrived).unwrap();
        }
        assert!(!format!("{copying:?}").contains("spliced: 0,"));
        let before = reader.fills.load(Relaxed);
        for _ in 0..100 {
            assert!(poll_fn(|cx| Poll::Ready(Pin::new(&mut copying).poll(cx).is_pending())).await);
        }
        // An event may have come late.
        assert!(reader.fills.load(Relaxed) - before < 5);
    });
}
