//! Signals come all the time, to all threads; nothing of it is seen.
#![cfg(target_os = "linux")]

mod helpers;

use gambol::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{Duration, sleep, timeout},
};
use helpers::{PATIENCE, assert_success, in_child, is_child};
use std::{
    fs, process, ptr,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

static SIGNALS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn count(_: libc::c_int) {
    SIGNALS.fetch_add(1, Ordering::Relaxed);
}

/// Installs a handler that makes system calls give EINTR where they can, and keeps signalling: the process by its interval
/// timer, and each thread by itself, since those to the process mostly find the same one.
fn hammer() {
    // SAFETY: the structures are plain data for which zero is a value; the handler adds to an atomic and does nothing else; no
    // SA_RESTART. The pointers are to structures that live until the calls return.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = count as extern "C" fn(libc::c_int) as usize;
        assert_eq!(libc::sigaction(libc::SIGALRM, &action, ptr::null_mut()), 0);
        let often = libc::timeval { tv_sec: 0, tv_usec: 500 };
        let timer = libc::itimerval { it_interval: often, it_value: often };
        assert_eq!(libc::setitimer(libc::ITIMER_REAL, &timer, ptr::null_mut()), 0);
    }
    thread::spawn(|| {
        let process = process::id() as libc::pid_t;
        // SAFETY: gettid has no conditions.
        let own = unsafe { libc::gettid() };
        loop {
            for entry in fs::read_dir("/proc/self/task").unwrap() {
                let Some(thread) = entry.ok().and_then(|entry| entry.file_name().to_str()?.parse().ok()) else {
                    continue;
                };
                if own != thread {
                    // SAFETY: a signal to a thread of this process, or an error if it has ended; the handler is installed.
                    unsafe { libc::syscall(libc::SYS_tgkill, process, thread as libc::pid_t, libc::SIGALRM) };
                }
            }
            thread::sleep(Duration::from_micros(100));
        }
    });
}

async fn serve(listener: TcpListener) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        gambol::spawn(async move {
            let mut buf = [0; 1500];
            loop {
                match stream.read(&mut buf).await.unwrap() {
                    0 => break,
                    n => stream.write_all(&buf[..n]).await.unwrap(),
                }
            }
        });
    }
}

#[test]
fn signals_are_not_seen() {
    if !is_child() {
        return assert_success(&in_child("signals_are_not_seen"));
    }
    hammer();
    gambol::block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = gambol::spawn(serve(listener));
        let clients: Vec<_> = (0..8)
            .map(|_| {
                gambol::spawn(async move {
                    for round in 0..40 {
                        let mut stream = match round % 4 {
                            // The resolver, and a thread that waits for it.
                            0 => TcpStream::connect(("localhost", port)).await.unwrap(),
                            _ => TcpStream::connect(("127.0.0.1", port)).await.unwrap(),
                        };
                        let sent = vec![round as u8; 4000];
                        let mut received = vec![0; sent.len()];
                        stream.write_all(&sent).await.unwrap();
                        stream.read_exact(&mut received).await.unwrap();
                        assert_eq!(sent, received);
                        // Nothing to do for a moment: the poller waits.
                        sleep(Duration::from_micros(300)).await;
                    }
                })
            })
            .collect();
        for client in clients {
            timeout(PATIENCE, client).await.unwrap().unwrap();
        }
        assert!(!server.is_finished());
    });
    assert!(SIGNALS.load(Ordering::Relaxed) > 100, "{} signals", SIGNALS.load(Ordering::Relaxed));
}
