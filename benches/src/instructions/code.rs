//! Which instructions of an object file lock the memory that they change: told from their bytes, so that no disassembler
//! is needed.
//!
//! On x86-64 these are the instructions with a `lock` prefix and `xchg` with memory, which locks without one. A
//! `fence(SeqCst)` is one of them: the compiler makes it a locked `or` of 0 into the stack, and it costs as much. Other
//! machines are not known here.

use crate::args::Failure;
use std::collections::HashMap;
use std::fs;

/// Whether this machine's instructions are known.
pub const IS_KNOWN: bool = cfg!(target_arch = "x86_64");

/// Longer than any instruction.
const LONGEST: usize = 16;

/// The object files that were needed so far, by path.
#[derive(Default)]
pub struct Code(HashMap<String, Object>);

/// An object file and where it is loaded.
struct Object {
    bytes: Vec<u8>,
    segments: Vec<Segment>,
}

/// A part of the file that is loaded at an address of its own.
struct Segment {
    address: usize,
    offset: usize,
    size: usize,
}

impl Code {
    /// Whether the instruction at this address of an object file, as the file counts addresses, is locked.
    pub fn is_locked(&mut self, path: &str, address: u64) -> Result<bool, Failure> {
        if !self.0.contains_key(path) {
            self.0.insert(path.to_owned(), Object::read(path)?);
        }
        Ok(self.0[path].at(address as usize).is_some_and(is_locked))
    }
}

impl Object {
    /// A file that cannot be read, such as what the kernel maps, has no code.
    fn read(path: &str) -> Result<Self, Failure> {
        let bytes = fs::read(path).unwrap_or_default();
        let segments = if bytes.is_empty() {
            Vec::new()
        } else {
            segments(&bytes).ok_or_else(|| format!("{path} is no object file of 64 bits"))?
        };
        Ok(Object { bytes, segments })
    }

    /// The code at an address.
    fn at(&self, address: usize) -> Option<&[u8]> {
        let is_inside = |segment: &&Segment| (segment.address..segment.address + segment.size).contains(&address);
        let segment = self.segments.iter().find(is_inside)?;
        let start = segment.offset + (address - segment.address);
        let end = (segment.offset + segment.size).min(start + LONGEST);
        self.bytes.get(start..end)
    }
}

/// The loaded segments of an ELF file of 64 bits, little-endian: System V ABI, chapters 4 (header) and 5 (program header).
fn segments(bytes: &[u8]) -> Option<Vec<Segment>> {
    const LOADED: usize = 1;
    if !bytes.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let number = |at: usize, width: usize| {
        let digits = bytes.get(at..at + width)?.iter().rev();
        Some(digits.fold(0, |sum, &digit| sum << 8 | usize::from(digit)))
    };
    let (table, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    let mut segments = Vec::new();
    for header in (0..count).map(|index| table + index * size) {
        if number(header, 4)? == LOADED {
            let (offset, address, size) = (number(header + 8, 8)?, number(header + 16, 8)?, number(header + 32, 8)?);
            segments.push(Segment { address, offset, size });
        }
    }
    Some(segments)
}

/// Whether the instruction that begins here is locked. Intel's manual, volume 2: 2.1.1 for the prefixes, `XCHG` for the
/// opcodes.
fn is_locked(code: &[u8]) -> bool {
    let mut code = code.iter();
    let opcode = loop {
        match code.next() {
            // lock
            Some(0xf0) => return true,
            // Operand and address size, repetition, segments; REX.
            Some(0x66 | 0x67 | 0xf2 | 0xf3 | 0x26 | 0x2e | 0x36 | 0x3e | 0x64 | 0x65 | 0x40..=0x4f) => {}
            other => break other,
        }
    };
    // With two registers it is no business of the memory's.
    matches!(opcode, Some(0x86 | 0x87)) && code.next().is_some_and(|modes| modes >> 6 != 3)
}

#[cfg(test)]
mod tests {
    use super::is_locked;

    #[test]
    fn what_locks_is_told_from_what_does_not() {
        let locked: [&[u8]; 5] = [
            &[0xf0, 0x48, 0x0f, 0xb1, 0x0b],             // lock cmpxchg %rcx,(%rbx)
            &[0x66, 0xf0, 0x0f, 0xc1, 0x03],             // lock xadd %ax,(%rbx)
            &[0xf0, 0x83, 0x4c, 0x24, 0xc0, 0x00],       // lock orl $0x0,-0x40(%rsp)
            &[0x41, 0x87, 0x07],                         // xchg %eax,(%r15)
            &[0x48, 0x87, 0x05, 0x00, 0x01, 0x00, 0x00], // xchg %rax,0x100(%rip)
        ];
        let unlocked: [&[u8]; 6] = [
            &[0x48, 0x87, 0xd8],             // xchg %rbx,%rax
            &[0x66, 0x90],                   // xchg %ax,%ax
            &[0x48, 0x0f, 0xb1, 0x0b],       // cmpxchg %rcx,(%rbx)
            &[0x48, 0x89, 0x87, 0xf0, 0, 0], // mov %rax,0xf0(%rdi)
            &[0x0f, 0x86, 0xf0, 0, 0, 0],    // jbe
            &[],
        ];
        assert!(locked.into_iter().all(is_locked));
        assert!(!unlocked.into_iter().any(is_locked));
    }
}
