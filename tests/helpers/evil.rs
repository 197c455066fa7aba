//! Wakers with somebody else's code in them, and what tests with such wakers need.
#![allow(dead_code, reason = "each test uses a part")]

use super::helpers::PATIENCE;
use std::{
    cell::Cell,
    panic::resume_unwind,
    sync::{Arc, mpsc},
    task::{RawWaker, RawWakerVTable, Waker},
    thread,
};

/// What is done to a waker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    Clone,
    Wake,
    Drop,
}

pub const MOMENTS: [Moment; 3] = [Moment::Clone, Moment::Wake, Moment::Drop];

/// A waker with somebody else's code in it.
pub struct Evil {
    moment: Moment,
    does: Box<dyn Fn() + Send + Sync>,
}

thread_local! {
    /// How many such moments pass before it does what it does, once. None: it has.
    pub static AFTER: Cell<Option<usize>> = const { Cell::new(None) };
}

impl Evil {
    pub fn waker(moment: Moment, does: impl Fn() + Send + Sync + 'static) -> Waker {
        // SAFETY: the table below keeps a count of the Arc for each waker; Evil is Send and Sync.
        unsafe { Waker::from_raw(raw(Arc::new(Evil { moment, does: Box::new(does) }))) }
    }

    fn at(&self, moment: Moment) {
        if self.moment == moment
            && let Some(left) = AFTER.get()
        {
            AFTER.set(left.checked_sub(1));
            if left == 0 {
                (self.does)();
            }
        }
    }
}

fn raw(evil: Arc<Evil>) -> RawWaker {
    RawWaker::new(Arc::into_raw(evil).cast(), &TABLE)
}

/// The Arc behind a waker's pointer, with a count of its own.
///
/// # Safety
///
/// The pointer is that of a waker made by `raw` that has not been dropped.
unsafe fn borrowed(data: *const ()) -> Arc<Evil> {
    // SAFETY: the caller's promise: the waker's count keeps it there.
    unsafe {
        Arc::increment_strong_count(data.cast::<Evil>());
        Arc::from_raw(data.cast::<Evil>())
    }
}

static TABLE: RawWakerVTable = RawWakerVTable::new(
    |data| {
        // SAFETY: called for a waker that is there.
        let evil = unsafe { borrowed(data) };
        evil.at(Moment::Clone);
        raw(evil)
    },
    |data| {
        // SAFETY: the waker's count comes to us.
        let evil = unsafe { Arc::from_raw(data.cast::<Evil>()) };
        evil.at(Moment::Wake);
    },
    |data| {
        // SAFETY: called for a waker that is there.
        let evil = unsafe { borrowed(data) };
        evil.at(Moment::Wake);
    },
    |data| {
        // SAFETY: the waker's count comes to us.
        let evil = unsafe { Arc::from_raw(data.cast::<Evil>()) };
        evil.at(Moment::Drop);
    },
);

/// Runs `f` again and again, so that the wakers in it do what they do at each of their moments in turn.
pub fn at_every_moment(mut f: impl FnMut(usize)) {
    for moment in 0.. {
        AFTER.set(Some(moment));
        f(moment);
        if AFTER.take().is_some() {
            assert!(moment > 0, "it never came to that");
            return;
        }
    }
}

/// Runs on a thread of its own and fails if that does not end.
pub fn must_end(f: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::channel();
    let thread = thread::spawn(move || {
        f();
        let _ = done.send(());
    });
    if let Err(mpsc::RecvTimeoutError::Timeout) = ended.recv_timeout(PATIENCE) {
        panic!("hangs");
    }
    if let Err(payload) = thread.join() {
        resume_unwind(payload);
    }
}
