//! What callgrind wrote of one run, summed up: a file for each thread, with a line for each instruction that was executed and
//! one for each call.
//!
//! The format is callgrind's own (the chapter "Callgrind Format Specification" of valgrind's manual), without its
//! compressions. What is read of it:
//!
//! ```text
//! ob=<object file>                   of the lines that follow
//! fn=<function>                      the same
//! 0x<address> <line> <executed> <system calls> ..
//! cob=<object file> cfn=<function>   who is called
//! calls=<times> ..                   how often, from this function
//! 0x<address> ..                     what that cost there, in all: not read
//! ```

use super::code::Code;
use crate::args::Failure;
use std::collections::HashMap;
use std::ops::Sub;

/// The function in which a worker looks at the clock.
pub const LOOK: &str = "<impl gambol_executor::worker::Local>::check";

/// The part of it that looks at timers, poller and injector.
pub const POLLING_LOOK: &str = "<impl gambol_executor::worker::Local>::look";

/// A function that gambol's monitor runs, and nobody else.
const MONITOR: &str = "gambol_executor::monitor::Monitor::run";

const ALLOCATING: [&str; 6] = ["malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc", "memalign"];

/// What was counted, in a run or for one operation.
#[derive(Clone, Copy, Default, Debug, PartialEq)]
pub struct Counts {
    pub instructions: f64,
    /// Those of them that lock memory. See `code`.
    pub locked: f64,
    pub allocations: f64,
    pub frees: f64,
    /// Without the reads of the clock, which are system calls under valgrind and hardly ever elsewhere.
    pub system_calls: f64,
    pub clock_reads: f64,
}

/// What one thread did.
pub struct Thread {
    pub counts: Counts,
    /// It is gambol's monitor.
    pub is_monitor: bool,
}

impl Counts {
    /// The same for one of so many operations.
    pub fn per(self, ops: f64) -> Counts {
        self.map(|count| count / ops)
    }

    fn map(self, f: impl Fn(f64) -> f64) -> Counts {
        Counts {
            instructions: f(self.instructions),
            locked: f(self.locked),
            allocations: f(self.allocations),
            frees: f(self.frees),
            system_calls: f(self.system_calls),
            clock_reads: f(self.clock_reads),
        }
    }

    /// With what another thread did.
    pub fn plus(self, other: Counts) -> Counts {
        self - other.map(|count| -count)
    }
}

impl Sub for Counts {
    type Output = Counts;

    fn sub(self, other: Counts) -> Counts {
        Counts {
            instructions: self.instructions - other.instructions,
            locked: self.locked - other.locked,
            allocations: self.allocations - other.allocations,
            frees: self.frees - other.frees,
            system_calls: self.system_calls - other.system_calls,
            clock_reads: self.clock_reads - other.clock_reads,
        }
    }
}

/// Reads the file of one thread.
pub fn read(text: &str, code: &mut Code) -> Result<Thread, Failure> {
    let mut thread = Thread { counts: Counts::default(), is_monitor: false };
    let counts = &mut thread.counts;
    let (mut object, mut function, mut callee) = ("", "", "");
    let mut is_inclusive = false;
    // An instruction stands there once for each line of source that it was inlined from, or for each caller.
    let mut executed: HashMap<(&str, u64), u64> = HashMap::new();
    for line in text.lines() {
        if let Some(path) = line.strip_prefix("ob=") {
            object = path;
        } else if let Some(name) = line.strip_prefix("fn=") {
            function = name;
            thread.is_monitor |= name.contains(MONITOR);
        } else if let Some(name) = line.strip_prefix("cfn=") {
            callee = name;
        } else if let Some(call) = line.strip_prefix("calls=") {
            let times = number(call.split(' ').next())? as f64;
            if ALLOCATING.contains(&callee) {
                counts.allocations += times;
            } else if callee == "free" {
                counts.frees += times;
            } else if reads_clock(callee) && !reads_clock(function) && !function.contains(LOOK) {
                counts.clock_reads += times;
            }
            is_inclusive = true;
        } else if let Some(cost) = line.strip_prefix("0x") {
            if std::mem::take(&mut is_inclusive) {
                continue;
            }
            let mut words = cost.split(' ');
            let address = words.next().and_then(|word| u64::from_str_radix(word, 16).ok()).ok_or_else(misread)?;
            let _line = words.next();
            // Trailing zeros are left out.
            let (times, system_calls) = (number(words.next().or(Some("0")))?, number(words.next().or(Some("0")))?);
            counts.instructions += times as f64;
            if !reads_clock(function) {
                counts.system_calls += system_calls as f64;
            }
            *executed.entry((object, address)).or_default() += times;
        }
    }
    for ((object, address), times) in executed {
        if code.is_locked(object, address)? {
            counts.locked += times as f64;
        }
    }
    Ok(thread)
}

/// Whether a function reads the clock and does nothing else.
fn reads_clock(function: &str) -> bool {
    function.contains("clock_gettime")
}

fn number(word: Option<&str>) -> Result<u64, Failure> {
    word.and_then(|word| word.parse().ok()).ok_or_else(misread)
}

fn misread() -> Failure {
    "what callgrind wrote was not understood".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_summed_without_what_callees_cost() {
        let text = "\
events: Ir sysCount sysTime
summary: 1000 0 0

ob=/nowhere
fl=a.rs
fn=worker
0x10 1 5
cob=/libc
cfi=malloc.c
cfn=malloc
calls=3 0x98930 3281
0x14 1 900 1
cfn=free
calls=2 0x98940 3281
0x18 1 100
cfn=clock_gettime
calls=7 0x98950 3281
0x1c 1 100 7
fi=b.rs
0x20 2 4
fn=clock_gettime
0x98950 0 70 7
fn=recv
0x99000 0 6 2
totals: 1000 9 0
";
        let thread = read(text, &mut Code::default()).unwrap();
        assert!(!thread.is_monitor);
        let expected = Counts {
            instructions: 85.0,
            locked: 0.0,
            allocations: 3.0,
            frees: 2.0,
            system_calls: 2.0,
            clock_reads: 7.0,
        };
        assert_eq!(thread.counts, expected);
        let both = thread.counts.plus(expected);
        assert_eq!(both - expected, expected);
        assert_eq!(both.per(2.0), expected);
        assert!(read("0xzz 1 5", &mut Code::default()).is_err());
    }
}
