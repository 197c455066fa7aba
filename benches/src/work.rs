//! Work that a compiler can neither leave out nor shorten: a chain of shifts and exclusive ors (Marsaglia's xorshift), each of
//! which waits for the one before.
//!
//! Its time is the processor's latency, so Go's compiler and Rust's make the same of it. Not multiplications with additions: of
//! several of those in a row LLVM makes one.

use std::hint::black_box;

/// Rounds in a unit: about a microsecond, at six cycles each and 3 GHz.
const ROUNDS: u64 = 500;

/// So many units of work, and what they come to.
pub fn work(units: u64) -> u64 {
    let mut state = black_box(1_u64);
    for _ in 0..units * ROUNDS {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
    }
    state
}
