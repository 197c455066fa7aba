//! std's free functions, each in one job. What they do in detail, and on which system, stands in std's documentation.

use super::off::off;
use std::{
    fs::{self, Metadata, Permissions},
    io,
    path::{Path, PathBuf},
};

/// The absolute path, without symbolic links, `.` and `..`.
///
/// # Errors
///
/// The operating system's: `NotFound` when it does not exist, and others.
pub async fn canonicalize(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    let path = path.as_ref().to_owned();
    off(move || fs::canonicalize(path)).await
}

/// Copies a file's content and permissions, and yields the number of bytes. A file that is there already is overwritten. The
/// kernel copies by itself where it can.
///
/// # Errors
///
/// The operating system's; `InvalidInput` when `from` is not a regular file.
///
/// # Cancel safety
///
/// A copy that has begun goes on when the future is dropped.
pub async fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<u64> {
    let (from, to) = (from.as_ref().to_owned(), to.as_ref().to_owned());
    off(move || fs::copy(from, to)).await
}

/// Makes a directory.
///
/// # Errors
///
/// The operating system's: `AlreadyExists`, `NotFound` when its parent is missing, and others.
pub async fn create_dir(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    off(move || fs::create_dir(path)).await
}

/// Makes a directory and those above it that are missing. One that is there already is well.
///
/// # Errors
///
/// The operating system's.
pub async fn create_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    off(move || fs::create_dir_all(path)).await
}

/// Whether there is something at the path. A symbolic link to nothing counts as nothing.
///
/// # Errors
///
/// The operating system's, when that cannot be found out.
pub async fn exists(path: impl AsRef<Path>) -> io::Result<bool> {
    let path = path.as_ref().to_owned();
    off(move || path.try_exists()).await
}

/// As [`exists`], by the name that `Path` has for it.
///
/// # Errors
///
/// The operating system's, when that cannot be found out.
pub async fn try_exists(path: impl AsRef<Path>) -> io::Result<bool> {
    exists(path).await
}

/// Gives a file another name, `link`.
///
/// # Errors
///
/// The operating system's: `AlreadyExists`, `CrossesDevices`, and others.
pub async fn hard_link(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    let (original, link) = (original.as_ref().to_owned(), link.as_ref().to_owned());
    off(move || fs::hard_link(original, link)).await
}

/// What is known about the file: its type, size, times and permissions. Follows symbolic links.
///
/// # Errors
///
/// The operating system's: `NotFound` and others.
pub async fn metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    let path = path.as_ref().to_owned();
    off(move || fs::metadata(path)).await
}

/// As [`metadata`], but of a symbolic link itself.
///
/// # Errors
///
/// The operating system's: `NotFound` and others.
pub async fn symlink_metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    let path = path.as_ref().to_owned();
    off(move || fs::symlink_metadata(path)).await
}

/// All of a file's content.
///
/// # Errors
///
/// The operating system's: `NotFound`, `IsADirectory` and others.
pub async fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let path = path.as_ref().to_owned();
    off(move || fs::read(path)).await
}

/// All of a file's content as text.
///
/// # Errors
///
/// As [`read`], and `InvalidData` when it is not UTF-8.
pub async fn read_to_string(path: impl AsRef<Path>) -> io::Result<String> {
    let path = path.as_ref().to_owned();
    off(move || fs::read_to_string(path)).await
}

/// Where a symbolic link leads.
///
/// # Errors
///
/// The operating system's: `InvalidInput` when it is not a symbolic link, `NotFound` and others.
pub async fn read_link(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    let path = path.as_ref().to_owned();
    off(move || fs::read_link(path)).await
}

/// Removes an empty directory.
///
/// # Errors
///
/// The operating system's: `DirectoryNotEmpty`, `NotADirectory`, `NotFound` and others.
pub async fn remove_dir(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    off(move || fs::remove_dir(path)).await
}

/// Removes a directory and all that is in it. Symbolic links are removed, not followed.
///
/// # Errors
///
/// The operating system's; what could be removed until then is gone.
///
/// # Cancel safety
///
/// Once begun it goes on when the future is dropped.
pub async fn remove_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    off(move || fs::remove_dir_all(path)).await
}

/// Removes a file, or rather this name of it.
///
/// # Errors
///
/// The operating system's: `NotFound`, `PermissionDenied` and others.
pub async fn remove_file(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    off(move || fs::remove_file(path)).await
}

/// Renames a file or directory; what has the new name already is replaced, if it is not a directory with something in it.
///
/// # Errors
///
/// The operating system's: `CrossesDevices`, `NotFound` and others.
pub async fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
    let (from, to) = (from.as_ref().to_owned(), to.as_ref().to_owned());
    off(move || fs::rename(from, to)).await
}

/// Changes who may do what with a file.
///
/// # Errors
///
/// The operating system's: `PermissionDenied`, `NotFound` and others.
pub async fn set_permissions(path: impl AsRef<Path>, permissions: Permissions) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    off(move || fs::set_permissions(path, permissions)).await
}

/// Makes `link`, a symbolic link to `original`.
///
/// # Errors
///
/// The operating system's: `AlreadyExists` and others.
#[cfg(unix)]
pub async fn symlink(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    let (original, link) = (original.as_ref().to_owned(), link.as_ref().to_owned());
    off(move || std::os::unix::fs::symlink(original, link)).await
}

/// Makes `link`, a symbolic link to the directory `original`.
///
/// # Errors
///
/// The operating system's: `AlreadyExists`, `PermissionDenied` and others.
#[cfg(windows)]
pub async fn symlink_dir(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    let (original, link) = (original.as_ref().to_owned(), link.as_ref().to_owned());
    off(move || std::os::windows::fs::symlink_dir(original, link)).await
}

/// Makes `link`, a symbolic link to the file `original`.
///
/// # Errors
///
/// The operating system's: `AlreadyExists`, `PermissionDenied` and others.
#[cfg(windows)]
pub async fn symlink_file(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    let (original, link) = (original.as_ref().to_owned(), link.as_ref().to_owned());
    off(move || std::os::windows::fs::symlink_file(original, link)).await
}

/// Makes the file hold these bytes and nothing else. It is created if it is missing.
///
/// The bytes are copied once, since the call may outlive the future.
///
/// # Errors
///
/// The operating system's; the file may then hold a part of them.
///
/// # Cancel safety
///
/// A write that has begun goes on when the future is dropped.
pub async fn write(path: impl AsRef<Path>, contents: impl AsRef<[u8]>) -> io::Result<()> {
    let (path, contents) = (path.as_ref().to_owned(), contents.as_ref().to_owned());
    off(move || fs::write(path, contents)).await
}
