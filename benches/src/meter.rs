//! What a process can read about itself: the wall clock, its CPU time, its resident memory, its threads and how often they
//! were switched; and the middle of what was read often.

use rustix::thread::gettid;
use rustix::time::{ClockId, clock_gettime};
use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

/// Wall and CPU time since a moment.
pub struct Stopwatch {
    wall: Instant,
    cpu: Duration,
}

/// What a stopwatch read.
#[derive(Clone, Copy)]
pub struct Elapsed {
    /// Time on the wall.
    pub wall: Duration,
    /// CPU time of all threads of this process, in user and kernel mode.
    pub cpu: Duration,
}

impl Stopwatch {
    /// Starts now.
    pub fn start() -> Self {
        Stopwatch { cpu: cpu(), wall: Instant::now() }
    }

    /// Reads both clocks.
    pub fn read(&self) -> Elapsed {
        Elapsed { wall: self.wall.elapsed(), cpu: cpu() - self.cpu }
    }
}

impl Elapsed {
    /// Wall nanoseconds for each of `ops`.
    pub fn wall_ns(&self, ops: u64) -> f64 {
        self.wall.as_nanos() as f64 / ops as f64
    }

    /// CPU nanoseconds for each of `ops`.
    pub fn cpu_ns(&self, ops: u64) -> f64 {
        self.cpu.as_nanos() as f64 / ops as f64
    }
}

/// The resident memory of this process in bytes, from `/proc/self/statm`.
pub fn resident() -> io::Result<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = statm
        .split_whitespace()
        .nth(1)
        .and_then(|field| field.parse().ok())
        .ok_or_else(|| io::Error::other("/proc/self/statm has no second field"))?;
    Ok(pages * rustix::param::page_size() as u64)
}

/// How many threads this process has, from `/proc/self/status`.
pub fn threads() -> io::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let count = status.lines().find_map(|line| line.strip_prefix("Threads:")?.trim().parse().ok());
    count.ok_or_else(|| io::Error::other("/proc/self/status tells no threads"))
}

/// How often each thread of this process went to sleep or lost its processor, by the thread's number.
pub struct Switches(BTreeMap<i32, u64>);

impl Switches {
    /// Reads those of all threads, from `/proc/self/task`.
    pub fn of_all_threads() -> io::Result<Self> {
        let mut switches = BTreeMap::new();
        for entry in std::fs::read_dir("/proc/self/task")? {
            let entry = entry?;
            let thread = entry.file_name().to_str().and_then(|name| name.parse().ok());
            let thread = thread.ok_or_else(|| io::Error::other("a thread has no number"))?;
            // A thread that has ended by now counts no more.
            let Ok(status) = std::fs::read_to_string(entry.path().join("status")) else { continue };
            let count = |line: &str| line.split_once("ctxt_switches:")?.1.trim().parse::<u64>().ok();
            switches.insert(thread, status.lines().filter_map(count).sum());
        }
        Ok(Switches(switches))
    }

    /// The same without the calling thread.
    pub fn of_other_threads() -> io::Result<Self> {
        let mut switches = Self::of_all_threads()?;
        switches.0.remove(&gettid().as_raw_nonzero().get());
        Ok(switches)
    }

    /// How many there were since an earlier reading, but for those of threads that have ended.
    pub fn since(&self, earlier: &Self) -> u64 {
        self.0.iter().map(|(thread, now)| now - earlier.0.get(thread).copied().unwrap_or(0)).sum()
    }
}

/// CPU time of all threads of this process but the calling one.
pub fn cpu_of_other_threads() -> Duration {
    cpu().saturating_sub(clock(ClockId::ThreadCPUTime))
}

fn cpu() -> Duration {
    clock(ClockId::ProcessCPUTime)
}

fn clock(id: ClockId) -> Duration {
    // A Timespec of the clocks of CPU time is never negative.
    let time = clock_gettime(id);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The time that so large a share of the sorted ones do not exceed; 0 of none.
pub fn percentile(sorted: &[Duration], share: f64) -> Duration {
    let rank = (share * sorted.len().saturating_sub(1) as f64).round() as usize;
    sorted.get(rank).copied().unwrap_or_default()
}

/// As a figure.
pub fn micros(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1e3
}
