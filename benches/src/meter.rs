//! What a process can read about itself: the wall clock, its CPU time, its resident memory and its threads.

use rustix::time::{ClockId, clock_gettime};
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

fn cpu() -> Duration {
    // A Timespec of this clock is never negative.
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
