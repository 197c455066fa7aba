//! Reading what the kernel has at hand, without waiting for a disk.
//!
//! `preadv2` with `RWF_NOWAIT` copies what is in the page cache and otherwise says `EAGAIN`. The way to the pool and back
//! costs some 10 µs, copying 4 KiB a fraction of one. Many file systems do not know the flag and say so, which is remembered for the
//! file.
//!
//! Two rules keep us clear of the kernels' faults. Linux 5.9 and 5.10 report an end of file that is none, so an end is always asked
//! for once more in the pool. Some have given `EIO` where `EAGAIN` was meant, so the pool's error counts and not this one. Against
//! what was read nothing is known.

/// What came of an attempt.
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "it never succeeds there"))]
pub(super) enum Attempt {
    /// So many bytes, at least one.
    Read(usize),
    /// They are not at hand, or it is the end.
    Wait,
    /// It cannot be done with this file.
    Never,
}

/// Reads at the file's position and moves it.
#[cfg(target_os = "linux")]
pub(super) fn read(file: &std::fs::File, room: &mut [u8]) -> Attempt {
    use rustix::io::{Errno, ReadWriteFlags, preadv2};
    /// Stands for the file's own position.
    const POSITION: u64 = u64::MAX;
    match preadv2(file, &mut [std::io::IoSliceMut::new(room)], POSITION, ReadWriteFlags::NOWAIT) {
        Ok(0) | Err(Errno::AGAIN | Errno::INTR) => Attempt::Wait,
        Ok(n) => Attempt::Read(n),
        Err(_) => Attempt::Never,
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn read(_: &std::fs::File, _: &mut [u8]) -> Attempt {
    Attempt::Never
}
