//! Files and directories: std's functions by their names, off the workers.
//!
//! Operating systems have hardly a way to wait for a disk as one waits for a socket. So each call here is std's, made on a thread
//! of the blocking pool, and costs a way there and back, some 10 µs: [`read`] and [`write()`] do all of a file in one job, and are
//! to be preferred where they fit. [`File`] avoids the way where it can; see there.
//!
//! A future that is dropped does not take its call back: once begun it goes on in the pool, unseen. Everything works under any
//! executor; outside of a gambol runtime the calls are made in the default one.
//!
//! # Errors
//!
//! All functions pass the operating system's errors on untouched. "The runtime is gone" comes from all of them when the
//! runtime was shut down before the call began.

// std's free functions.
mod functions;
// Opening files; making directories.
mod dir_builder;
mod open_options;
// An open file.
mod file;
// What is in a directory.
mod read_dir;
// A call in the blocking pool, and the future that waits for it.
mod off;

#[cfg(target_os = "linux")]
pub(crate) use off::Off;

pub use dir_builder::DirBuilder;
#[cfg(target_os = "linux")]
pub(crate) use file::Call;
pub use file::File;
#[cfg(unix)]
pub use functions::symlink;
pub use functions::{
    canonicalize, copy, create_dir, create_dir_all, exists, hard_link, metadata, read, read_link, read_to_string,
    remove_dir, remove_dir_all, remove_file, rename, set_permissions, symlink_metadata, try_exists, write,
};
#[cfg(windows)]
pub use functions::{symlink_dir, symlink_file};
pub use open_options::OpenOptions;
pub use read_dir::{DirEntry, ReadDir, read_dir};
#[doc(no_inline)]
pub use std::fs::{FileTimes, FileType, Metadata, Permissions};
