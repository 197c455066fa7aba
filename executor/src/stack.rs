//! How much of its stack a worker's thread has used: what waits in a `block_on` may run other tasks on top of itself while half is left.
//!
//! There is no portable way to ask. So the thread's size is always given when it is made, and where its stack begins is taken from where
//! it stands then. Stacks grow downwards wherever std has threads.

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use std::arch::asm;
use std::{cell::Cell, env};

/// std's, where nothing else is said.
const DEFAULT: usize = 2 << 20;

thread_local! {
    /// The address of the middle. A thread of which nothing is known has none left.
    static MIDDLE: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// The size for a thread that was not given one: what std would take.
pub(crate) fn default_size() -> usize {
    env::var("RUST_MIN_STACK").ok().and_then(|text| text.parse().ok()).unwrap_or(DEFAULT)
}

/// The thread begins, on a stack of so many bytes.
pub(crate) fn begin(bytes: usize) {
    MIDDLE.set(here().saturating_sub(bytes / 2));
}

/// Whether half of the thread's stack is left.
pub(crate) fn is_half_left() -> bool {
    here() > MIDDLE.get()
}

/// About where the stack ends now. The register, where that can be asked: with sanitizers, variables may stand elsewhere.
#[inline(never)]
fn here() -> usize {
    #[cfg(target_arch = "x86_64")]
    let at = {
        let at: usize;
        // SAFETY: copies a register, and touches nothing else.
        unsafe { asm!("mov {}, rsp", out(reg) at, options(nomem, nostack, preserves_flags)) };
        at
    };
    #[cfg(target_arch = "aarch64")]
    let at = {
        let at: usize;
        // SAFETY: copies a register, and touches nothing else.
        unsafe { asm!("mov {}, sp", out(reg) at, options(nomem, nostack, preserves_flags)) };
        at
    };
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let at = std::ptr::from_ref(std::hint::black_box(&0u8)).addr();
    at
}

#[cfg(all(test, not(gambol_loom)))]
mod tests {
    use super::*;
    use std::{hint::black_box, thread};

    /// Calls itself until half is used, with about a KiB each, and says how often.
    fn descend(depth: usize) -> usize {
        let room = black_box([0u8; 1024]);
        if is_half_left() { descend(depth + 1) + usize::from(room[0]) } else { depth }
    }

    #[test]
    fn half_of_a_stack_is_about_half() {
        for size in [256 << 10, 1 << 20] {
            let thread = thread::Builder::new().stack_size(size).spawn(move || {
                assert!(!is_half_left(), "nothing is known");
                begin(size);
                descend(0)
            });
            let depth = thread.unwrap().join().unwrap();
            assert!((size / 2 / 8192..=size / 2 / 1024).contains(&depth), "{depth} of {size}");
        }
    }
}
