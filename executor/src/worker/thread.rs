//! Whether a worker's thread runs or sleeps, as the kernel sees it: for the monitor.
//!
//! A worker that shows no progress may compute, may sleep in a system call that its task has made, or may wait for a processor.
//! The first is given the whole threshold, the second leaves its processor unused and is relieved as soon as it is seen, and the
//! third can be helped by nobody. The thread's CPU clock (0.3 µs to read) tells the first from the others, and its state in
//! `/proc` (some 15 µs) the second from the third. Where there is no clock, all three are treated as the
//! first; where there is no state, the second and the third are given eight times as long.

use std::sync::atomic::{AtomicI64, Ordering};

/// See the head of this file.
pub(crate) struct Thread {
    /// The CPU clock's number in the upper half, the thread's in the lower; 0 while there is no thread. Written by the thread,
    /// and by who has it made.
    numbers: AtomicI64,
}

impl Thread {
    pub(super) fn new() -> Thread {
        Thread { numbers: AtomicI64::new(0) }
    }

    /// There is no thread.
    pub(super) fn forget(&self) {
        self.numbers.store(0, Ordering::Relaxed);
    }

    /// The calling thread is the one.
    #[cfg(target_os = "linux")]
    pub(super) fn adopt(&self) {
        let mut clock = 0;
        // SAFETY: the thread is the calling one, and `clock` may be written to.
        let error = unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &mut clock) };
        if error == 0 {
            let thread = rustix::thread::gettid().as_raw_nonzero().get();
            self.numbers.store(i64::from(clock) << 32 | i64::from(thread), Ordering::Relaxed);
        }
    }

    /// How long it has run on a processor, in nanoseconds.
    #[cfg(target_os = "linux")]
    pub(crate) fn cpu_time(&self) -> Option<u64> {
        let numbers = self.numbers.load(Ordering::Relaxed);
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` may be written to. A clock whose thread has ended is an error.
        let error = numbers == 0 || unsafe { libc::clock_gettime((numbers >> 32) as libc::clockid_t, &mut time) } != 0;
        (!error).then(|| time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
    }

    /// Whether it sleeps in a system call: if not, it has a processor or waits for one. None: that cannot be seen.
    #[cfg(target_os = "linux")]
    pub(crate) fn is_asleep(&self) -> Option<bool> {
        let thread = self.numbers.load(Ordering::Relaxed) as i32;
        let stat = std::fs::read(format!("/proc/self/task/{thread}/stat")).ok()?;
        // "number (name) state ..": the name may hold anything.
        let name_ends = stat.iter().rposition(|&byte| byte == b')')?;
        Some(*stat.get(name_ends + 2)? != b'R')
    }

    /// The calling thread is the one.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn adopt(&self) {}

    /// How long it has run on a processor, in nanoseconds.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn cpu_time(&self) -> Option<u64> {
        None
    }

    /// Whether it sleeps in a system call. None: that cannot be seen.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn is_asleep(&self) -> Option<bool> {
        None
    }
}

#[cfg(all(test, target_os = "linux", not(gambol_loom)))]
mod tests {
    use super::*;
    use std::{
        sync::{LazyLock, mpsc},
        thread,
        time::Duration,
    };

    #[test]
    fn a_thread_that_waits_is_seen_asleep_and_one_that_computes_is_not() {
        static SHOWN: LazyLock<Thread> = LazyLock::new(Thread::new);
        let shown: &Thread = &SHOWN;
        assert_eq!(shown.cpu_time(), None);
        let (go, wait) = mpsc::channel::<()>();
        let (tell, told) = mpsc::channel();
        let thread = thread::spawn(move || {
            shown.adopt();
            tell.send(()).unwrap();
            wait.recv().unwrap();
            tell.send(()).unwrap();
            while wait.try_recv().is_err() {
                std::hint::spin_loop();
            }
        });
        told.recv().unwrap();
        while shown.is_asleep() != Some(true) {
            thread::sleep(Duration::from_millis(1));
        }
        let before = shown.cpu_time().unwrap();
        go.send(()).unwrap();
        told.recv().unwrap();
        while shown.cpu_time().unwrap() < before + 5_000_000 {
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(shown.is_asleep(), Some(false));
        go.send(()).unwrap();
        thread.join().unwrap();
        while shown.cpu_time().is_some() {
            thread::sleep(Duration::from_millis(1));
        }
    }
}
