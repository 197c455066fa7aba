//! Calling somebody at a time: a timer that needs no task.
//!
//! An alarm is a [`Sleep`] polled with a waker of our own, which calls an [`OnAlarm`]. The wheel holds that waker, the waker
//! the sleep and a `Weak` of who is to be called. So whoever is to be called is freed as soon as he is dropped; and with him
//! the alarm that he owns, which takes the timer out of the wheel.
//!
//! A call:
//! 1. Under the alarm's lock, poll the sleep. If it is pending, the call was early: its runtime has gone away, or the time
//!    was moved meanwhile. The poll has armed it again, in another runtime if need be.
//! 2. Release the lock, upgrade the `Weak`, call. What the call returns is the next time, and with it begins 1.
//!
//! No lock is held during the call, so it may set or drop its own alarm. A time that is over is called for in the same loop,
//! and never by recursion.
//!
//! *The race*: the alarm is dropped while its call is under way, and may be so by the call, which may have been the last to know who
//! is called. The drop leaves word under the lock, so that the next time is not set: there would be nobody to take it out.

use super::{Instant, Sleep};
use gambol_executor::{aside, unconstrained};
use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll, Wake, Waker},
};

/// Is called by an [`Alarm`].
pub(crate) trait OnAlarm: Send + Sync + 'static {
    /// The time has come. Some: the alarm is set for this time next. None: it stays as it is, set or not.
    ///
    /// It runs on whichever thread looks after the timers, and must not block.
    fn on_alarm(self: Arc<Self>) -> Option<Instant>;
}

/// See the head of this file. Dropping it disarms it; a call that has begun goes on.
pub(crate) struct Alarm(Arc<Bell>);

struct Bell {
    state: Mutex<State>,
    target: Weak<dyn OnAlarm>,
}

#[derive(Default)]
struct State {
    /// Some: it is set.
    sleep: Option<Sleep>,
    /// The alarm was dropped: it is not set any more.
    over: bool,
}

/// What became of an alarm that was to be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "if the time has passed nobody will be called"]
pub(crate) enum Set {
    /// It will call.
    Armed,
    /// The time has passed; it is not set.
    Passed,
}

impl Alarm {
    /// Calls `target` when it is set.
    pub(crate) fn new(target: Weak<dyn OnAlarm>) -> Alarm {
        Alarm(Arc::new(Bell { state: Mutex::default(), target }))
    }

    /// Sets or moves it. A call for an earlier time may be under way.
    pub(crate) fn set(&self, deadline: Instant) -> Set {
        self.0.set(deadline)
    }

    /// Nobody will be called any more, but for a call that is under way.
    pub(crate) fn disarm(&self) {
        let sleep = self.0.lock().sleep.take();
        // Takes the timer out of the wheel, and drops the waker that stands there.
        drop(sleep);
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.0.lock().over = true;
        self.disarm();
    }
}

impl fmt::Debug for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let deadline = self.0.lock().sleep.as_ref().map(Sleep::deadline);
        f.debug_struct("Alarm").field("deadline", &deadline).finish()
    }
}

impl Bell {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(self: &Arc<Self>, deadline: Instant) -> Set {
        let mut state = self.lock();
        if state.over {
            // Only a call can come here, and its loop is to end.
            return Set::Armed;
        }
        state.sleep.get_or_insert_with(|| Sleep::until(deadline)).reset(deadline);
        match self.poll(&mut state) {
            Poll::Pending => Set::Armed,
            Poll::Ready(()) => Set::Passed,
        }
    }

    /// Arms the sleep anew if that is needed. Ready: its time has come, and it is gone.
    fn poll(self: &Arc<Self>, state: &mut State) -> Poll<()> {
        let Some(sleep) = &mut state.sleep else { return Poll::Pending };
        let waker = Waker::from(self.clone());
        // The task that runs here does not sleep.
        let polled = aside(|| unconstrained(|| Pin::new(sleep).poll(&mut Context::from_waker(&waker))));
        if polled.is_ready() {
            state.sleep = None;
        }
        polled
    }

    fn ring(self: &Arc<Self>) {
        let mut due = self.poll(&mut self.lock()).is_ready();
        while due {
            let Some(target) = self.target.upgrade() else { return };
            due = target.on_alarm().is_some_and(|next| self.set(next) == Set::Passed);
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{runtime::Runtime, time::Duration};
    use std::sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    };

    const PATIENCE: Duration = Duration::from_secs(20);

    type Next = dyn Fn(usize, &Called) -> Option<Instant> + Send + Sync;

    /// Tells of each call, and says what is to be next.
    struct Called {
        calls: AtomicUsize,
        next: Box<Next>,
        alarm: Mutex<Option<Alarm>>,
        tell: mpsc::Sender<Instant>,
    }

    impl OnAlarm for Called {
        fn on_alarm(self: Arc<Self>) -> Option<Instant> {
            let calls = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
            let _ = self.tell.send(Instant::now());
            (self.next)(calls, &self)
        }
    }

    fn called(
        next: impl Fn(usize, &Called) -> Option<Instant> + Send + Sync + 'static,
    ) -> (Arc<Called>, mpsc::Receiver<Instant>) {
        let (tell, told) = mpsc::channel();
        let called = Arc::new_cyclic(|me: &Weak<Called>| Called {
            calls: AtomicUsize::new(0),
            next: Box::new(next),
            alarm: Mutex::new(Some(Alarm::new(me.clone()))),
            tell,
        });
        (called, told)
    }

    fn set(called: &Called, deadline: Instant) -> Set {
        called.alarm.lock().unwrap().as_ref().unwrap().set(deadline)
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(2)
    }

    #[test]
    fn it_calls_once_and_never_early() {
        let (called, told) = called(|_, _| None);
        let deadline = soon();
        assert_eq!(set(&called, deadline), Set::Armed);
        assert!(told.recv_timeout(PATIENCE).unwrap() >= deadline);
        assert!(called.alarm.lock().unwrap().as_ref().unwrap().0.lock().sleep.is_none());
        drop(called);
        assert!(told.recv().is_err(), "it was called again");
    }

    #[test]
    fn a_call_sets_the_next_one_and_what_has_passed_does_not_recurse() {
        const CALLS: usize = 100_000;
        let (called, told) = called(|calls, _| (calls < CALLS).then(Instant::now));
        assert_eq!(set(&called, soon()), Set::Armed);
        for _ in 0..CALLS {
            told.recv_timeout(PATIENCE).unwrap();
        }
        drop(called);
        assert!(told.recv().is_err());
    }

    #[test]
    fn a_call_may_set_or_drop_its_own_alarm() {
        let (called, told) = called(|calls, called| {
            if calls == 1 {
                assert_eq!(set(called, soon()), Set::Armed);
            } else {
                *called.alarm.lock().unwrap() = None;
            }
            None
        });
        assert_eq!(set(&called, soon()), Set::Armed);
        told.recv_timeout(PATIENCE).unwrap();
        told.recv_timeout(PATIENCE).unwrap();
        drop(called);
        assert!(told.recv().is_err());
    }

    #[test]
    fn a_call_that_drops_its_alarm_sets_it_no_more() {
        let (called, told) = called(|_, called| {
            *called.alarm.lock().unwrap() = None;
            Some(Instant::now())
        });
        let bell = Arc::downgrade(&called.alarm.lock().unwrap().as_ref().unwrap().0);
        assert_eq!(set(&called, soon()), Set::Armed);
        told.recv_timeout(PATIENCE).unwrap();
        drop(called);
        assert!(told.recv().is_err(), "it was called again");
        let begin = std::time::Instant::now();
        while bell.strong_count() > 0 {
            assert!(begin.elapsed() < PATIENCE, "the wheel keeps the waker");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_time_that_has_passed_is_said_and_not_called_for() {
        let (called, told) = called(|_, _| None);
        assert_eq!(set(&called, Instant::now()), Set::Passed);
        drop(called);
        assert!(told.recv().is_err());
    }

    #[test]
    fn who_is_dropped_is_freed_at_once_and_not_called() {
        let (called, told) = called(|_, _| None);
        assert_eq!(set(&called, Instant::now() + PATIENCE), Set::Armed);
        let bell = Arc::downgrade(&called.alarm.lock().unwrap().as_ref().unwrap().0);
        drop(called);
        assert_eq!(bell.strong_count(), 0, "the wheel keeps the waker");
        assert!(told.recv().is_err());
    }

    #[test]
    fn it_outlives_its_runtime() {
        let (called, told) = called(|_, _| None);
        let runtime = Runtime::builder().workers(1).build().unwrap();
        let deadline = runtime.block_on(async {
            let deadline = Instant::now() + Duration::from_millis(30);
            assert_eq!(set(&called, deadline), Set::Armed);
            deadline
        });
        drop(runtime);
        assert!(told.recv_timeout(PATIENCE).unwrap() >= deadline);
    }
}
