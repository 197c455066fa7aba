//! The limit to how long a receiver that was called may keep those behind it waiting.
//!
//! A call wakes a task, and says nothing about when that task will poll the very future that was called. It may lie in a
//! `FuturesUnordered` or beside a `.await` that takes hours, and it is dropped by nobody. Everywhere else (async-channel, tokio's
//! semaphore) those behind it then wait as long.
//!
//! So when somebody is called while others are in line, the channel is looked at again after [`PATIENCE`]. If values have been
//! taken meanwhile, all is well, and it is looked at once more later. If none was, and there is something to take, all in line are called.
//! In a channel whose receivers come when they are called this costs one timer per look and channel; with a single receiver
//! nothing.
//!
//! Ways left: to call everybody at once (each value then wakes the whole crowd); to know which futures a task polls (nobody
//! does).
//!
//! The timer's waker must not keep the channel, whose values may belong to one thread, from ending where its last handle
//! ends. So it has the channel's address under a lock, and the channel takes it away before it ends. (An `Alarm` of `time` would hold the
//! channel by a `Weak`, which becomes a handle during each call, and asks for `Send` and `'static`.)

use gambol_executor::{Instant, Sleep, aside, unconstrained, wake};
use std::{
    mem,
    pin::Pin,
    ptr::NonNull,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Wake, Waker},
    time::Duration,
};

/// Long against the time between a wake and the poll on a busy worker, short against what a user would call hanging.
const PATIENCE: Duration = Duration::from_millis(20);

/// A channel, from here.
pub(super) trait Patient {
    /// Calls those who have waited too long. True: look again later.
    fn look_after(&self, wakers: &mut Vec<Waker>) -> bool;
}

/// See the head of this file.
pub(super) struct Patience {
    /// None: the channel has ended.
    channel: Mutex<Option<Address>>,
    /// Armed while it is to be looked after.
    timer: Mutex<Option<Sleep>>,
}

struct Address(NonNull<dyn Patient>);

// SAFETY: `look_after` is the only thing that is called through it. That takes the channel's lock and touches lines and wakers, which
// are Send, and no value.
unsafe impl Send for Address {}

impl Patience {
    /// # Safety
    ///
    /// The channel stays where it is, and calls `end` before it ends.
    pub(super) unsafe fn new(channel: &dyn Patient) -> Arc<Patience> {
        let address: NonNull<dyn Patient + '_> = NonNull::from(channel);
        // SAFETY: the two types differ in a lifetime only, and that is the caller's promise.
        let address = unsafe { mem::transmute::<NonNull<dyn Patient + '_>, NonNull<dyn Patient>>(address) };
        Arc::new(Patience { channel: Mutex::new(Some(Address(address))), timer: Mutex::new(None) })
    }

    /// Looks after the channel some time from now.
    pub(super) fn start(self: &Arc<Self>) {
        // The models look after their channels themselves.
        if cfg!(gambol_loom) {
            return;
        }
        let mut timer = lock(&self.timer);
        let sleep = timer.insert(Sleep::until(Instant::now() + PATIENCE));
        let waker = Waker::from(self.clone());
        // Pending, usually. If it is due already, then because this thread was held up for so long.
        // The task that runs here does not sleep.
        let polled = aside(|| unconstrained(|| Pin::new(sleep).poll(&mut Context::from_waker(&waker))));
        drop(timer);
        if polled.is_ready() {
            wake(waker);
        }
    }

    /// The channel ends.
    pub(super) fn end(&self) {
        *lock(&self.channel) = None;
        let timer = lock(&self.timer).take();
        drop(timer);
    }
}

impl Wake for Patience {
    fn wake(self: Arc<Self>) {
        let mut wakers = Vec::new();
        let again = match &*lock(&self.channel) {
            // SAFETY: the channel is there: it calls `end` before it ends, and that waits for the lock that we hold.
            Some(Address(channel)) => unsafe { channel.as_ref() }.look_after(&mut wakers),
            None => false,
        };
        wakers.into_iter().for_each(wake);
        if again {
            self.start();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
