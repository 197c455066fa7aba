//! What a task that waits on a descriptor is told, on real sockets and pipes.
#![cfg(all(unix, not(gambol_loom)))]

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{RawWakerVTable, Wake, Waker};
use std::time::Duration;

use common::{Io, Rig, flag};
use gambol_netpoll::{Direction, Source};
use socket2::SockRef;

fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (other, _) = listener.accept().unwrap();
    one.set_nonblocking(true).unwrap();
    (one, other)
}

fn unix() -> (UnixStream, UnixStream) {
    let (one, other) = UnixStream::pair().unwrap();
    one.set_nonblocking(true).unwrap();
    (one, other)
}

/// Reads to the end, clearing after each short read.
fn read_to_end(rig: &mut Rig, io: &Io<TcpStream>) -> std::io::Result<Vec<u8>> {
    let mut all = Vec::new();
    let mut buffer = [0; 64];
    loop {
        let count = rig.call(io, Direction::Read, buffer.len(), |mut socket| socket.read(&mut buffer))?;
        if count == 0 {
            return Ok(all);
        }
        all.extend_from_slice(&buffer[..count]);
    }
}

/// Writes until the buffer is full and the source knows it.
fn fill<T: AsFd>(rig: &mut Rig, io: &Io<T>, mut write: impl FnMut(&T) -> std::io::Result<usize>) {
    loop {
        let ready = rig.ready(io, Direction::Write);
        match write(&io.inner) {
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                io.source.would_block(Direction::Write, ready);
                rig.settle();
                if io.source.ready(Direction::Write).is_none() {
                    return;
                }
            }
        }
    }
}

#[test]
fn data_wakes_a_reader() {
    let mut rig = Rig::new();
    let (one, mut other) = unix();
    let io = rig.add(one);
    rig.settle();
    let (flag, waker) = flag();
    assert!(io.is_pending(Direction::Read, &waker));
    other.write_all(b"hello").unwrap();
    rig.until(|| flag.woken() == 1);
    assert!(io.source.ready(Direction::Read).is_some());
}

#[test]
fn who_is_enrolled_is_known_and_can_be_asked_to_enrol_again() {
    let mut rig = Rig::new();
    let (one, mut other) = unix();
    let (one, quiet) = (rig.add(one), rig.add(unix().0));
    rig.settle();
    assert!(!rig.poller.is_awaited());
    let [(staying, stays), (leaving, leaves)] = [flag(), flag()];
    assert!(one.is_pending(Direction::Read, &stays) && one.is_pending(Direction::Read, &leaves));
    assert!(rig.poller.is_awaited());
    let mut ready = Vec::new();
    rig.poller.take_waiters(&mut ready);
    ready.drain(..).for_each(Waker::wake);
    assert_eq!((staying.woken(), leaving.woken()), (1, 1));
    assert!(!rig.poller.is_awaited());
    // The one who stays is told of what comes, and the other is not.
    assert!(one.is_pending(Direction::Read, &stays));
    assert!(rig.poller.is_awaited());
    other.write_all(b"x").unwrap();
    rig.until(|| staying.woken() == 2);
    assert_eq!(leaving.woken(), 1);
    assert!(!rig.poller.is_awaited());
    drop(quiet);
}

#[test]
fn room_wakes_a_writer() {
    let mut rig = Rig::new();
    let (one, mut other) = unix();
    let io = rig.add(one);
    fill(&mut rig, &io, |mut socket| socket.write(&[0; 4096]));
    let (flag, waker) = flag();
    assert!(io.is_pending(Direction::Write, &waker));
    let drain = std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 20];
        other.set_nonblocking(true).unwrap();
        while matches!(other.read(&mut buffer), Ok(1..)) {}
        other
    });
    rig.until(|| flag.woken() == 1);
    drop(drain.join().unwrap());
}

#[test]
fn an_event_for_one_direction_leaves_the_other_waiting() {
    let mut rig = Rig::new();
    let (one, mut other) = unix();
    let io = rig.add(one);
    fill(&mut rig, &io, |mut socket| socket.write(&[0; 4096]));
    let (reader, read) = flag();
    let (writer, write) = flag();
    assert!(io.is_pending(Direction::Read, &read));
    assert!(io.is_pending(Direction::Write, &write));
    other.write_all(b"x").unwrap();
    rig.until(|| reader.woken() == 1);
    assert_eq!(writer.woken(), 0);
    other.set_nonblocking(true).unwrap();
    while matches!(other.read(&mut [0; 4096]), Ok(1..)) {}
    rig.until(|| writer.woken() == 1);
    assert_eq!(reader.woken(), 1);
}

/// A fixed fault, of a reader that clears on a short read where nobody asked for RDHUP.
#[test]
fn data_and_end_in_one_event_are_both_read() {
    let mut rig = Rig::new();
    for _ in 0..100 {
        let (one, mut other) = tcp();
        let io = rig.add(one);
        other.write_all(b"hello").unwrap();
        drop(other);
        // Both are on their way in this host before the first wait: loopback delivers in the sender's call.
        assert_eq!(read_to_end(&mut rig, &io).unwrap(), b"hello");
        assert_eq!(read_to_end(&mut rig, &io).unwrap(), b"");
    }
}

#[test]
fn an_end_after_a_short_read_is_read() {
    let mut rig = Rig::new();
    let (one, mut other) = tcp();
    let io = rig.add(one);
    other.write_all(b"hello").unwrap();
    let mut buffer = [0; 64];
    let count = rig.call(&io, Direction::Read, 64, |mut socket| socket.read(&mut buffer));
    assert_eq!(count.unwrap(), 5);
    other.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut rig, &io).unwrap(), b"");
}

#[test]
fn a_reset_reaches_reader_and_writer() {
    for data in [&b""[..], b"hello"] {
        let mut rig = Rig::new();
        let (one, mut other) = tcp();
        let io = rig.add(one);
        fill(&mut rig, &io, |mut socket| socket.write(&[0; 4096]));
        let (reader, read) = flag();
        let (writer, write) = flag();
        assert!(io.is_pending(Direction::Read, &read));
        assert!(io.is_pending(Direction::Write, &write));
        other.write_all(data).unwrap();
        SockRef::from(&other).set_linger(Some(Duration::ZERO)).unwrap();
        drop(other);
        rig.until(|| reader.woken() >= 1 && writer.woken() >= 1);
        let end = read_to_end(&mut rig, &io);
        let error = rig.call(&io, Direction::Write, 1, |mut socket| socket.write(b"x")).unwrap_err();
        // The error is told once, to whoever asks first; after it reading gives the end.
        if let Err(end) = end {
            assert_eq!(end.kind(), ErrorKind::ConnectionReset);
        }
        assert!(matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset));
    }
}

#[test]
fn a_half_closed_connection_can_be_written_to_and_its_writer_does_not_spin() {
    let mut rig = Rig::new();
    let (one, mut other) = tcp();
    let io = rig.add(one);
    other.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut rig, &io).unwrap(), b"");
    fill(&mut rig, &io, |mut socket| socket.write(&[0; 4096]));
    let (flag, waker) = flag();
    assert!(io.is_pending(Direction::Write, &waker));
    rig.settle();
    assert_eq!(flag.woken(), 0);
    // And the reader still finds the end, without waiting.
    assert_eq!(read_to_end(&mut rig, &io).unwrap(), b"");
    let reader = std::thread::spawn(move || {
        other.set_read_timeout(Some(common::HANG)).unwrap();
        let mut buffer = vec![0; 1 << 16];
        let mut total = 0;
        while total < 1 << 20 {
            match other.read(&mut buffer) {
                Ok(1..) => total += buffer.len(),
                _ => break,
            }
        }
        other
    });
    rig.until(|| flag.woken() == 1);
    rig.call(&io, Direction::Write, 1, |mut socket| socket.write(b"x")).unwrap();
    drop(io);
    drop(reader.join().unwrap());
}

#[test]
fn everybody_who_waits_is_handed_back_once_and_in_order() {
    let mut rig = Rig::new();
    let (one, mut other) = unix();
    let io = rig.add(one);
    rig.settle();
    let (flags, wakers): (Vec<_>, Vec<_>) = (0..100).map(|_| flag()).unzip();
    for waker in &wakers {
        assert!(io.is_pending(Direction::Read, waker));
    }
    other.write_all(b"x").unwrap();
    let mut handed_back = Vec::new();
    while handed_back.is_empty() {
        rig.poller.wait(&mut rig.events, Some(common::HANG), &mut handed_back).unwrap();
    }
    assert_eq!(handed_back.len(), wakers.len());
    for (one, other) in handed_back.iter().zip(&wakers) {
        assert!(one.will_wake(other));
    }
    // The poller itself calls nobody.
    assert!(flags.iter().all(|flag| flag.woken() == 0));
}

#[test]
fn a_task_that_asks_twice_is_enrolled_once() {
    let mut rig = Rig::new();
    let (one, mut other) = unix();
    let io = rig.add(one);
    rig.settle();
    let (flag, waker) = flag();
    for _ in 0..3 {
        assert!(io.is_pending(Direction::Read, &waker));
        assert!(io.is_pending(Direction::Read, &waker.clone()));
    }
    other.write_all(b"x").unwrap();
    rig.until(|| io.source.ready(Direction::Read).is_some());
    assert_eq!(flag.woken(), 1);
}

#[test]
fn a_withdrawn_waker_is_not_handed_back() {
    let mut rig = Rig::new();
    let (one, mut other) = unix();
    let io = rig.add(one);
    rig.settle();
    let (leaves, leaving) = flag();
    let (stays, staying) = flag();
    assert!(io.is_pending(Direction::Read, &leaving));
    assert!(io.is_pending(Direction::Read, &staying));
    assert!(io.source.withdraw(Direction::Read, &leaving).is_some());
    assert!(io.source.withdraw(Direction::Read, &leaving).is_none());
    assert!(io.source.withdraw(Direction::Write, &staying).is_none());
    other.write_all(b"x").unwrap();
    rig.until(|| stays.woken() == 1);
    assert_eq!(leaves.woken(), 0);
    // Nothing but the caller's handles is left.
    assert_eq!(Arc::strong_count(&leaves), 2);
}

/// An error that passes: told to one call, and nobody spins after it. By either kind of evidence.
#[test]
fn a_refused_datagram_is_told_once_and_leaves_no_trace() {
    #[derive(Clone, Copy)]
    enum Evidence {
        WouldBlock,
        Short,
    }
    for evidence in [Evidence::WouldBlock, Evidence::Short] {
        for takes_it in [Direction::Read, Direction::Write] {
            let mut rig = Rig::new();
            let nobody = UdpSocket::bind("127.0.0.1:0").unwrap();
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_nonblocking(true).unwrap();
            socket.connect(nobody.local_addr().unwrap()).unwrap();
            drop(nobody);
            let io = rig.add(socket);
            rig.settle();
            let (flag, waker) = flag();
            assert!(io.is_pending(Direction::Read, &waker));
            io.inner.send(b"x").unwrap();
            // The refusal makes the socket readable, although there is nothing to read.
            rig.until(|| flag.woken() == 1);
            let refused = match takes_it {
                Direction::Read => io.inner.recv(&mut [0; 8]).unwrap_err(),
                Direction::Write => io.inner.send(b"x").unwrap_err(),
            };
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
            let ready = rig.ready(&io, Direction::Read);
            assert!(!ready.is_closed());
            let nothing = io.inner.recv(&mut [0; 8]).unwrap_err();
            assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
            match evidence {
                Evidence::WouldBlock => io.source.would_block(Direction::Read, ready),
                Evidence::Short => io.source.clear(Direction::Read, ready),
            }
            rig.settle();
            assert!(io.is_pending(Direction::Read, &waker), "{:?}", io.source);
        }
    }
}

/// An error that stays.
#[test]
fn a_writer_whose_reader_left_is_told_each_time() {
    let mut rig = Rig::new();
    let (reader, writer) = std::io::pipe().unwrap();
    set_nonblocking(&writer);
    let io = rig.add(writer);
    fill(&mut rig, &io, |mut pipe| pipe.write(&[0; 4096]));
    let (flag, waker) = flag();
    assert!(io.is_pending(Direction::Write, &waker));
    drop(reader);
    rig.until(|| flag.woken() == 1);
    for _ in 0..3 {
        let error = rig.call(&io, Direction::Write, 1, |mut pipe| pipe.write(b"x")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    }
}

#[test]
fn a_listener_tells_of_each_connection() {
    let mut rig = Rig::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let io = rig.add(listener);
    let mut clients = Vec::new();
    for _ in 0..3 {
        rig.settle();
        let (flag, waker) = flag();
        assert!(io.is_pending(Direction::Read, &waker));
        clients.extend([TcpStream::connect(address).unwrap(), TcpStream::connect(address).unwrap()]);
        rig.until(|| flag.woken() == 1);
        for _ in 0..2 {
            rig.call(&io, Direction::Read, 1, |listener| listener.accept().map(|_| 1)).unwrap();
        }
        let ready = rig.ready(&io, Direction::Read);
        let nobody = io.inner.accept().unwrap_err();
        assert_eq!(nobody.kind(), ErrorKind::WouldBlock);
        io.source.would_block(Direction::Read, ready);
    }
}

/// A hang-up that ends: the reader of a FIFO sees the end, then another writer comes.
#[test]
fn a_hang_up_that_has_ended_does_not_make_a_reader_spin() {
    let mut rig = Rig::new();
    let fifo = Fifo::new();
    let io = rig.add(fifo.open(true));
    drop(fifo.open(false));
    let end = rig.call(&io, Direction::Read, 64, |mut fifo| fifo.read(&mut [0; 64]));
    assert_eq!(end.unwrap(), 0);
    let mut writer = fifo.open(false);
    rig.settle();
    if let Some(ready) = io.source.ready(Direction::Read) {
        let nothing = (&io.inner).read(&mut [0; 64]).unwrap_err();
        assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
        io.source.would_block(Direction::Read, ready);
    }
    let (flag, waker) = flag();
    assert!(io.is_pending(Direction::Read, &waker), "{:?}", io.source);
    writer.write_all(b"hello").unwrap();
    rig.until(|| flag.woken() == 1);
}

#[test]
fn a_socket_that_connects_after_it_was_registered_works() {
    let mut rig = Rig::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_nonblocking(true).unwrap();
    let io = rig.add(socket);
    rig.settle();
    let _ = io.inner.connect(&listener.local_addr().unwrap().into());
    let (mut other, _) = listener.accept().unwrap();
    // Called hung up before it was connected: taken back by the first call that finds nothing.
    rig.settle();
    if let Some(ready) = io.source.ready(Direction::Read) {
        let nothing = (&io.inner).read(&mut [0; 8]).unwrap_err();
        assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
        io.source.would_block(Direction::Read, ready);
    }
    let (flag, waker) = flag();
    assert!(io.is_pending(Direction::Read, &waker), "{:?}", io.source);
    other.write_all(b"x").unwrap();
    rig.until(|| flag.woken() == 1);
}

/// When its last handle is dropped, comes back to the source that held it.
struct ComesBack {
    source: Arc<Source>,
    came: Arc<AtomicBool>,
}

impl Wake for ComesBack {
    fn wake(self: Arc<Self>) {}
}

impl Drop for ComesBack {
    fn drop(&mut self) {
        let (_, waker) = flag();
        let _ = self.source.poll_ready(Direction::Write, &waker);
        let _ = self.source.withdraw(Direction::Write, &waker);
        self.came.store(true, Ordering::Relaxed);
    }
}

/// A drop of a waker may do anything, so it happens under no lock.
#[test]
fn a_waker_may_come_back_to_its_source_while_it_is_dropped() {
    let mut rig = Rig::new();
    let (one, _other) = unix();
    let io = rig.add(one);
    fill(&mut rig, &io, |mut socket| socket.write(&[0; 4096]));
    for others in 0..2 {
        let came = Arc::new(AtomicBool::new(false));
        let (_, other) = flag();
        if others == 1 {
            assert!(io.is_pending(Direction::Read, &other));
        }
        let waker = Waker::from(Arc::new(ComesBack { source: Arc::clone(&io.source), came: Arc::clone(&came) }));
        assert!(io.is_pending(Direction::Read, &waker));
        assert!(io.is_pending(Direction::Read, &waker));
        // The list has the last handle but one; withdrawing frees both.
        drop(io.source.withdraw(Direction::Read, &waker));
        drop(waker);
        assert!(came.load(Ordering::Relaxed));
        drop(io.source.withdraw(Direction::Read, &other));
    }
}

/// A clone of a waker may do anything as well: who panics there has enrolled nobody, and holds nothing.
#[test]
fn a_waker_that_cannot_be_cloned_leaves_the_source_as_it_was() {
    const VTABLE: RawWakerVTable = RawWakerVTable::new(|_| panic!("on purpose"), |_| {}, |_| {}, |_| {});
    // SAFETY: the functions do nothing with the data, and wakers may be sent and shared, since there is none.
    let refuses = unsafe { Waker::new(std::ptr::null(), &VTABLE) };
    let mut rig = Rig::new();
    let (one, mut other) = unix();
    let io = rig.add(one);
    rig.settle();
    let (flag, waker) = flag();
    for others in [false, true] {
        if others {
            assert!(io.is_pending(Direction::Read, &waker));
        }
        let result = catch_unwind(AssertUnwindSafe(|| io.is_pending(Direction::Read, &refuses)));
        assert!(result.is_err());
        assert_eq!(rig.poller.waiting().len(), usize::from(others));
    }
    other.write_all(b"x").unwrap();
    rig.until(|| flag.woken() == 1);
}

/// std's pipes have no switch of their own.
fn set_nonblocking(pipe: &impl AsFd) {
    use std::os::fd::AsRawFd;
    let descriptor = pipe.as_fd().as_raw_fd();
    // SAFETY: fcntl with F_GETFL and F_SETFL takes a descriptor, which is borrowed and open, and an int.
    unsafe {
        let flags = libc::fcntl(descriptor, libc::F_GETFL);
        assert_ne!(libc::fcntl(descriptor, libc::F_SETFL, flags | libc::O_NONBLOCK), -1);
    }
}

/// A FIFO in a directory of its own, removed with it.
struct Fifo(std::path::PathBuf);

impl Fifo {
    fn new() -> Fifo {
        let directory = std::env::temp_dir().join(format!("gambol-netpoll-fifo-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("fifo");
        let name = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: mkfifo takes a C string, which `name` is and stays during the call.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        Fifo(directory)
    }

    fn open(&self, read: bool) -> std::fs::File {
        use std::os::unix::fs::OpenOptionsExt;
        std::fs::OpenOptions::new()
            .read(read)
            .write(!read)
            .custom_flags(libc::O_NONBLOCK)
            .open(self.0.join("fifo"))
            .unwrap()
    }
}

impl Drop for Fifo {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
