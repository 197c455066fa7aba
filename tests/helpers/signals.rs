//! Signals that break system calls. For child processes only: the handler stays.

use std::{
    ptr,
    sync::atomic::{AtomicUsize, Ordering},
};

static HANDLED: AtomicUsize = AtomicUsize::new(0);

extern "C" fn handle(_: libc::c_int) {
    HANDLED.fetch_add(1, Ordering::Relaxed);
}

/// Does `work` while a signal without `SA_RESTART` comes each half millisecond.
pub fn with_many_signals(work: impl FnOnce()) {
    let every = |microseconds| {
        let interval = libc::timeval { tv_sec: 0, tv_usec: microseconds };
        let timer = libc::itimerval { it_interval: interval, it_value: interval };
        // SAFETY: both pointers are valid, or null where that is allowed.
        assert_eq!(unsafe { libc::setitimer(libc::ITIMER_REAL, &timer, ptr::null_mut()) }, 0);
    };
    // SAFETY: an action of zeros is valid, with an empty mask and no flags; the handler does nothing but count.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handle as extern "C" fn(libc::c_int) as usize;
        assert_eq!(libc::sigaction(libc::SIGALRM, &action, ptr::null_mut()), 0);
    }
    every(500);
    work();
    every(0);
    assert!(HANDLED.load(Ordering::Relaxed) > 0, "no signal came");
}
