//! The road on Linux: one system call to wait, to the nanosecond; one to wake up a waiter; at most two in the life of a
//! descriptor.
//!
//! - `polling` makes the epoll descriptor and is not asked again. Its `wait` makes five system calls, its wake-up is one-shot
//!   and has to be armed anew each time, and it does not ask for RDHUP.
//! - A descriptor is added once, edge triggered, for everything.
//! - A wait with a timeout is `epoll_pwait2`, which takes nanoseconds. The kernel has it from 5.11 on; some sandboxes forbid
//!   it. The first ENOSYS or EPERM closes that way for good: a timerfd, edge triggered and never read, is then set whenever the
//!   deadline that is needed changes, and the wait is `epoll_wait`. A deadline counts as the same if the one that is set
//!   comes no more than [`TOLERANCE`] after it, so that a caller who computes its timeout from one deadline again and again
//!   pays one call, not two. `epoll_wait` gets the timeout in milliseconds besides, rounded up: that bounds the delay if
//!   the timerfd cannot be had, or if another waiter has set it for itself. A wait without a timeout does not take the
//!   timer back: it ends once for nothing when that expires, which is cheaper. This is the only place that reads the clock.
//! - A wake-up is one write to an eventfd of our own, edge triggered and never read: no system call to take it back, 0.44 µs
//!   instead of 1.10 with `polling`'s. Where there is no eventfd (some sandboxes), a pipe, which has to be read.
//!
//! What this takes for granted of the kernel is listed in `platform.rs`.

use std::io;
use std::mem::offset_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime};

use super::Descriptor;
use crate::latch::Latch;
use crate::poller::Missing;
use crate::readiness::Occurrence;
use crate::source::{Source, Waiting};
use crate::sync::{AtomicBool, Mutex, Ordering, PoisonError};
use crate::table::FIRST_KEY;

const NOTIFIER_KEY: u64 = 0;
const TIMER_KEY: u64 = 1;
const _: () = assert!(FIRST_KEY > TIMER_KEY);

/// How much later than needed the timerfd may be set: as much as the timer slack that a thread has by default.
const TOLERANCE: Duration = Duration::from_micros(50);

pub(crate) struct Road {
    /// Owns the epoll descriptor.
    set: polling::Poller,
    notifier: Notifier,
    latch: Latch,
    /// Whether epoll_pwait2 is still believed in. Goes from true to false once; whoever sees it late asks the kernel once more.
    nanoseconds: AtomicBool,
    /// Made by the first wait that cannot use epoll_pwait2; empty if it cannot be made.
    timer: OnceLock<Option<Timer>>,
    missing: Missing,
}

/// Whether a descriptor may be added when the first one has to wait: adding reports what is ready then.
pub(crate) const CAN_ADD_LATER: bool = true;

/// What is remembered per descriptor: nothing, since it is armed for good.
pub(crate) struct Arm(());

pub(crate) struct Events(Vec<epoll::Event>);

// SAFETY: what keeps an event from being `Send` is that its data may be a pointer. Ours is a number, the key; nobody
// reads a pointer out of it.
unsafe impl Send for Events {}

enum Notifier {
    /// Never read.
    Eventfd(OwnedFd),
    /// Read until empty when it reports.
    Pipe { read: OwnedFd, write: OwnedFd },
}

struct Timer {
    descriptor: OwnedFd,
    /// When it will expire, or has; `None` before it is first set. Held while it is being set.
    deadline: Mutex<Option<Instant>>,
}

impl Road {
    pub(crate) fn new(missing: Missing) -> io::Result<Road> {
        let set = polling::Poller::new()?;
        let notifier = Notifier::new(missing)?;
        let watched = match &notifier {
            Notifier::Eventfd(eventfd) => eventfd,
            Notifier::Pipe { read, .. } => read,
        };
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&set, watched, epoll::EventData::new_u64(NOTIFIER_KEY), flags)?;
        Ok(Road {
            set,
            notifier,
            latch: Latch::new(),
            nanoseconds: AtomicBool::new(!missing.epoll_pwait2),
            timer: OnceLock::new(),
            missing,
        })
    }

    pub(crate) fn edge(&self) -> bool {
        true
    }

    pub(crate) fn short_clears(&self) -> bool {
        true
    }

    pub(crate) fn arm(&self, _: Descriptor<'_>) -> Arm {
        Arm(())
    }

    /// # Safety
    ///
    /// As for `Poller::register`. epoll itself holds the file, not the number, and could not be misled.
    pub(crate) unsafe fn add(&self, source: &Source, descriptor: Descriptor<'_>) -> io::Result<()> {
        let flags = epoll::EventFlags::IN
            | epoll::EventFlags::OUT
            | epoll::EventFlags::RDHUP
            | epoll::EventFlags::PRI
            | epoll::EventFlags::ET;
        let key = epoll::EventData::new_u64(source.key());
        Ok(epoll::add(&self.set, descriptor, key, flags)?)
    }

    /// Adds a dormant source, which is not retired. Called under its lock.
    pub(crate) fn add_later(&self, source: &Source) -> io::Result<()> {
        // SAFETY: The descriptor is open while it is borrowed here. Whoever called `Poller::register_later` has promised that it
        // stays so until the source is deregistered; that retires the source under the lock that we are called under, and it is
        // not retired.
        let descriptor = unsafe { BorrowedFd::borrow_raw(source.descriptor()) };
        // SAFETY: The same promise.
        unsafe { self.add(source, descriptor) }
    }

    pub(crate) fn delete(&self, _: &Source, descriptor: Descriptor<'_>) -> io::Result<()> {
        Ok(epoll::delete(&self.set, descriptor)?)
    }

    /// epoll holds the file and forgets it when that is closed. To ask it by a number would hit whatever file that stands for
    /// by now.
    pub(crate) fn abandon(&self, _: &Source) {}

    pub(crate) fn notify(&self) {
        if self.latch.set() && self.notifier.write().is_err() {
            // Nobody is on the way, so the next one must not rely on it. (An eventfd whose counter does not overflow and a pipe
            // with room do not fail; a sandbox may do anything.)
            self.latch.open();
        }
    }

    /// Fills the buffer. A signal ends the wait with an empty one.
    pub(crate) fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        let list = &mut events.0;
        list.clear();
        let outcome = match timeout {
            None => self.wait_coarse(list, None),
            // The cheapest call there is, and it needs no timer.
            Some(Duration::ZERO) => self.wait_coarse(list, Some(Duration::ZERO)),
            Some(timeout) => self.wait_precise(list, timeout),
        };
        match outcome {
            Ok(()) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Goes through what `wait` has found: `each` gets the descriptors' events, the road keeps its own. The number of calls.
    pub(crate) fn sort(&self, events: &Events, mut each: impl FnMut(u64, Occurrence)) -> usize {
        let mut count = 0;
        for event in &events.0 {
            // Copies: the kernel's structure is packed on some machines.
            let (flags, data) = (event.flags, event.data);
            match data.u64() {
                NOTIFIER_KEY => {
                    self.notifier.drain();
                    self.latch.open();
                }
                // It has ended the wait: that was all. A deadline that has passed is no longer the one that is needed.
                TIMER_KEY => {}
                key => {
                    count += 1;
                    each(key, occurrence(flags));
                }
            }
        }
        count
    }

    pub(crate) fn settle(&self, _: &Source, _: Occurrence, _: &mut Vec<std::task::Waker>) {}

    fn wait_precise(&self, list: &mut Vec<epoll::Event>, timeout: Duration) -> Result<(), Errno> {
        // Relaxed: a latch that guards nothing.
        if self.nanoseconds.load(Ordering::Relaxed) {
            match epoll_pwait2(self.set.as_fd(), list, timeout) {
                Err(Errno::NOSYS | Errno::PERM) => {
                    self.nanoseconds.store(false, Ordering::Relaxed);
                }
                outcome => return outcome,
            }
        }
        self.wait_fallback(list, timeout)
    }

    #[cold]
    fn wait_fallback(&self, list: &mut Vec<epoll::Event>, timeout: Duration) -> Result<(), Errno> {
        let timer = self.timer.get_or_init(|| {
            if self.missing.timerfd {
                return None;
            }
            Timer::new(self.set.as_fd()).ok()
        });
        if let Some(timer) = timer {
            timer.set(timeout)?;
        }
        self.wait_coarse(list, Some(timeout))
    }

    /// Waits by `epoll_wait`: to the millisecond, rounded up.
    fn wait_coarse(&self, list: &mut Vec<epoll::Event>, timeout: Option<Duration>) -> Result<(), Errno> {
        let timeout = timeout.map(|timeout| {
            // At most 24 days: more does not fit into the call. Waiting less than asked for is allowed to `wait`'s caller, who
            // looks at its clock anyway.
            let milliseconds = timeout.as_nanos().div_ceil(1_000_000).min(i32::MAX.unsigned_abs().into());
            let milliseconds = i64::try_from(milliseconds).unwrap_or(i64::from(i32::MAX));
            Timespec {
                tv_sec: milliseconds / 1000,
                // Less than 10^9: fits in every width that the field has.
                tv_nsec: (milliseconds % 1000 * 1_000_000) as _,
            }
        });
        epoll::wait(&self.set, spare_capacity(list), timeout.as_ref())?;
        Ok(())
    }
}

impl Arm {
    pub(crate) fn arm(&mut self, _: u64, _: Waiting) -> io::Result<()> {
        Ok(())
    }

    /// Of a source that is registered nowhere, for tests and models.
    #[cfg(any(test, gambol_loom))]
    pub(crate) fn detached() -> Arm {
        Arm(())
    }
}

impl Events {
    pub(crate) fn with_capacity(capacity: usize) -> Events {
        Events(Vec::with_capacity(capacity))
    }
}

impl Notifier {
    fn new(missing: Missing) -> io::Result<Notifier> {
        if !missing.eventfd {
            match eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK) {
                Ok(eventfd) => return Ok(Notifier::Eventfd(eventfd)),
                // Not there, or not allowed. Anything else (no descriptors, no memory) a pipe would not cure.
                Err(Errno::NOSYS | Errno::PERM) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        Ok(Notifier::Pipe { read, write })
    }

    fn write(&self) -> rustix::io::Result<usize> {
        let descriptor = match self {
            Notifier::Eventfd(eventfd) => eventfd,
            Notifier::Pipe { write, .. } => write,
        };
        rustix::io::retry_on_intr(|| rustix::io::write(descriptor, &1_u64.to_ne_bytes()))
    }

    /// Makes the next write an edge: kernels differ in whether one to a pipe that is not empty is. Before the latch is opened, so
    /// that no write that comes after it is read away.
    fn drain(&self) {
        if let Notifier::Pipe { read, .. } = self {
            let mut buffer = [0_u8; 64];
            while matches!(rustix::io::read(read, &mut buffer), Ok(1..) | Err(Errno::INTR)) {}
        }
    }
}

impl Timer {
    fn new(set: BorrowedFd<'_>) -> Result<Timer, Errno> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let descriptor = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let key = epoll::EventData::new_u64(TIMER_KEY);
        epoll::add(set, &descriptor, key, epoll::EventFlags::IN | epoll::EventFlags::ET)?;
        Ok(Timer { descriptor, deadline: Mutex::new(None) })
    }

    /// Makes it expire after `timeout`, if it does not do so anyway.
    fn set(&self, timeout: Duration) -> Result<(), Errno> {
        // As far as the clock goes: centuries.
        let Some(needed) = Instant::now().checked_add(timeout) else {
            return Ok(());
        };
        let mut deadline = self.deadline.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(deadline) = *deadline
            && deadline >= needed
            && deadline - needed <= TOLERANCE
        {
            return Ok(());
        }
        let Ok(tv_sec) = timeout.as_secs().try_into() else {
            return Ok(());
        };
        let value = Itimerspec {
            it_interval: Timespec::default(),
            it_value: Timespec { tv_sec, tv_nsec: timeout.subsec_nanos() as _ },
        };
        timerfd_settime(&self.descriptor, TimerfdTimerFlags::empty(), &value)?;
        *deadline = Some(needed);
        Ok(())
    }
}

#[inline]
fn occurrence(flags: epoll::EventFlags) -> Occurrence {
    let mut occurrence = Occurrence::NOTHING;
    if flags.intersects(epoll::EventFlags::IN) {
        occurrence = occurrence | Occurrence::READABLE;
    }
    if flags.intersects(epoll::EventFlags::OUT) {
        occurrence = occurrence | Occurrence::WRITABLE;
    }
    if (epoll::EventFlags::IN | epoll::EventFlags::OUT).contains(flags) {
        return occurrence;
    }
    occurrence | rare_occurrence(flags)
}

#[cold]
fn rare_occurrence(flags: epoll::EventFlags) -> Occurrence {
    let meaning = [
        // A read of TCP stops at an urgent byte, so a short one does not say that nothing stands behind it: the same as with an
        // end. (Else: the attributes of the kernel's file systems; whoever reads shall look.)
        (epoll::EventFlags::PRI, Occurrence::READ_CLOSED),
        (epoll::EventFlags::RDHUP, Occurrence::READ_CLOSED),
        (epoll::EventFlags::HUP, Occurrence::READ_CLOSED | Occurrence::WRITE_CLOSED),
        (epoll::EventFlags::ERR, Occurrence::ERROR),
    ];
    let mut occurrence = Occurrence::NOTHING;
    for (flag, means) in meaning {
        if flags.intersects(flag) {
            occurrence = occurrence | means;
        }
    }
    occurrence
}

/// The kernel's own time specification: 64 bits on every machine for calls as young as epoll_pwait2.
#[repr(C)]
struct KernelTimespec {
    seconds: i64,
    nanoseconds: i64,
}

/// Appends to `list`, up to its capacity.
fn epoll_pwait2(set: BorrowedFd<'_>, list: &mut Vec<epoll::Event>, timeout: Duration) -> Result<(), Errno> {
    const _: () = assert!(size_of::<epoll::Event>() == size_of::<libc::epoll_event>());
    const _: () = assert!(offset_of!(epoll::Event, data) == offset_of!(libc::epoll_event, u64));

    let timeout = KernelTimespec {
        // The kernel saturates what its clock cannot hold.
        seconds: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        nanoseconds: timeout.subsec_nanos().into(),
    };
    let room = list.spare_capacity_mut();
    // SAFETY: The call takes an epoll descriptor, which `set` is and stays while it is borrowed; a pointer to `maxevents`
    // writable structures of the kernel's layout: `room` is that many, exclusively borrowed, and the assertions above compare
    // the layout of rustix's structure with libc's; their number, which is at least 1 and fits into an int, since `Poller`'s
    // buffer sees to the first and the minimum below to the second; a pointer to a time specification that outlives the call;
    // and a null signal mask, with which the size of the mask is not looked at.
    let count = unsafe {
        libc::syscall(
            libc::SYS_epoll_pwait2,
            set.as_raw_fd(),
            room.as_mut_ptr(),
            room.len().min(i32::MAX as usize) as libc::c_int,
            &raw const timeout,
            std::ptr::null::<libc::sigset_t>(),
            0_usize,
        )
    };
    let Ok(count) = usize::try_from(count) else {
        let error = io::Error::last_os_error();
        return Err(Errno::from_io_error(&error).unwrap_or(Errno::INVAL));
    };
    // SAFETY: The kernel has filled in `count` structures after the `len` that were there, and `count` is at most the number
    // that it was given, which was the spare capacity at most.
    unsafe { list.set_len(list.len() + count) };
    Ok(())
}

#[cfg(all(test, not(gambol_loom)))]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    fn remaining(timer: &Timer) -> Duration {
        let value = rustix::time::timerfd_gettime(&timer.descriptor).unwrap().it_value;
        Duration::new(value.tv_sec as u64, value.tv_nsec as u32)
    }

    #[test]
    fn the_timer_is_set_only_when_the_needed_deadline_changes() {
        let set = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
        let timer = Timer::new(set.as_fd()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(1000);
        let first = deadline - Instant::now();
        timer.set(first).unwrap();
        let is_set_for = timer.deadline.lock().unwrap().unwrap();
        // Within the tolerance before what is set: kept.
        timer.set(is_set_for - Instant::now() - TOLERANCE / 2).unwrap();
        // Either kept, or the thread was held up for longer than the tolerance.
        let kept = timer.deadline.lock().unwrap().unwrap();
        assert!(kept >= is_set_for);
        timer.set(Duration::from_secs(10)).unwrap();
        assert!(remaining(&timer) <= Duration::from_secs(10));
        timer.set(Duration::from_secs(2000)).unwrap();
        assert!(remaining(&timer) > Duration::from_secs(1000));
    }
}
