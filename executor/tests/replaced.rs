//! What becomes of registrations when the user puts another object into an `Io`: they are not mistaken for one another.
#![cfg(unix)]

mod common;

use common::{ends, event, runtime};
use gambol_executor::{Direction, Done, Io, Reason, spawn};
use std::{
    future::poll_fn,
    io::{self, Write},
    mem,
    net::{TcpListener, TcpStream},
    os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd},
    sync::Arc,
};

/// A loopback connection: a non-blocking end, and a plain one.
fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    ours.set_nonblocking(true).unwrap();
    (ours, listener.accept().unwrap().0)
}

/// Waits for a byte: 1, or 0 at the end.
async fn read<T: AsFd>(io: &Io<T>) -> io::Result<usize> {
    poll_fn(|cx| {
        io.poll_io(cx, Direction::Read, Reason::Read, |socket| {
            let value = rustix::io::read(socket, &mut [0_u8])?;
            Ok(Done { value, short: false })
        })
    })
    .await
}

/// Gives the number of `old`, which is closed, to `new`.
fn renumber(new: TcpStream, old: TcpStream) -> TcpStream {
    let number = old.into_raw_fd();
    // SAFETY: dup2 takes two descriptors; nothing else owns the second one until it is wrapped.
    unsafe {
        assert_eq!(libc::dup2(new.as_raw_fd(), number), number);
        TcpStream::from_raw_fd(number)
    }
}

#[derive(Clone, Copy, Debug)]
enum End {
    Dropped,
    TakenOut,
}

const ENDS: [End; 2] = [End::Dropped, End::TakenOut];

/// The number that is found at the end belongs to another registration, which is not to be deregistered by it.
#[test]
fn an_io_that_was_given_anothers_socket_leaves_that_registered() {
    for end in ENDS {
        for old_is_kept in [false, true] {
            for waiting in [false, true] {
                ends(&format!("{end:?}, old kept {old_is_kept}, waiting {waiting}"), move || {
                    runtime(2).block_on(async {
                        let ((first, _first_peer), (other, mut other_peer)) = (sockets(), sockets());
                        let other = Arc::new(Io::new(Arc::new(other)).unwrap());
                        let mut io = Io::new(Arc::new(first)).unwrap();
                        let old = mem::replace(io.get_mut(), other.get_ref().clone());
                        let old = old_is_kept.then_some(old);

                        let (polled, has_been_polled) = event();
                        let reader = spawn({
                            let other = other.clone();
                            async move {
                                let mut polled = Some(polled);
                                let mut read = Box::pin(read(&other));
                                poll_fn(|cx| {
                                    let poll = read.as_mut().poll(cx);
                                    if let Some(polled) = polled.take() {
                                        polled.send();
                                    }
                                    poll
                                })
                                .await
                            }
                        });
                        if waiting {
                            has_been_polled.await;
                        }
                        match end {
                            End::Dropped => drop(io),
                            End::TakenOut => assert!(Arc::ptr_eq(&io.into_inner().unwrap(), other.get_ref())),
                        }
                        other_peer.write_all(b"x").unwrap();
                        assert_eq!(reader.await.unwrap().unwrap(), 1);
                        // And once more, by an event that comes later.
                        let reader = spawn(async move { read(&other).await });
                        other_peer.write_all(b"y").unwrap();
                        assert_eq!(reader.await.unwrap().unwrap(), 1);
                        drop(old);
                    });
                });
            }
        }
    }
}

/// The number that was registered belongs to another socket at the end, and that one's registration is not to be touched.
#[test]
fn sockets_that_were_swapped_end_without_touching_who_has_their_numbers_now() {
    for end in ENDS {
        ends(&format!("{end:?}"), move || {
            runtime(2).block_on(async {
                let ((first, _first_peer), (second, _second_peer)) = (sockets(), sockets());
                let (third, mut third_peer) = sockets();
                let (mut one, mut two) = (Io::new(first).unwrap(), Io::new(second).unwrap());
                mem::swap(one.get_mut(), two.get_mut());
                // The socket under whose number `two` is registered; another one gets that number.
                let second = one.into_inner().unwrap();
                let third = renumber(third, second);
                let mut third = Some(third);
                let mut io = None;
                if cfg!(all(target_os = "linux", not(polling_test_poll_backend))) {
                    io = Some(Io::new(third.take().unwrap()).unwrap());
                }
                let first = match end {
                    End::Dropped => {
                        drop(two);
                        None
                    }
                    End::TakenOut => Some(two.into_inner().unwrap()),
                };
                // Elsewhere its number could not be registered before.
                let io = io.unwrap_or_else(|| Io::new(third.take().unwrap()).unwrap());
                let reader = spawn(async move {
                    for _ in 0..2 {
                        assert_eq!(read(&io).await.unwrap(), 1);
                    }
                    read(&io).await
                });
                third_peer.write_all(b"xy").unwrap();
                drop(third_peer);
                assert_eq!(reader.await.unwrap().unwrap(), 0);
                drop(first);
            });
        });
    }
}

/// What was put in and taken out again is as it was.
#[test]
fn sockets_that_were_swapped_and_swapped_back_work_on() {
    ends("swapped back", || {
        runtime(2).block_on(async {
            let ((first, mut first_peer), (second, mut second_peer)) = (sockets(), sockets());
            let (mut one, mut two) = (Io::new(first).unwrap(), Io::new(second).unwrap());
            mem::swap(one.get_mut(), two.get_mut());
            mem::swap(one.get_mut(), two.get_mut());
            for (io, peer) in [(&one, &mut first_peer), (&two, &mut second_peer)] {
                peer.write_all(b"x").unwrap();
                assert_eq!(read(io).await.unwrap(), 1);
            }
            // Deregistered in due form, so each can be registered again.
            for socket in [one.into_inner().unwrap(), two.into_inner().unwrap()] {
                drop(Io::new(socket).unwrap());
            }
        });
    });
}
