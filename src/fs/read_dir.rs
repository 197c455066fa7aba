//! What is in a directory.
//!
//! The kernel gives entries in batches, so a way to the pool for each would cost more than the entry. A job takes up to [`BATCH`]
//! of them, with their types, which most file systems tell along with the name. The directory moves into the job and back; a stream
//! that is dropped while a job has it loses nothing but what it asked for.

use super::off::{Off, off};
use futures_core::stream::{FusedStream, Stream};
use gambol_executor::spend;
use std::{
    collections::VecDeque,
    ffi::OsString,
    fmt,
    fs::{self, FileType, Metadata},
    future::poll_fn,
    io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// Entries that one job takes. At some hundred nanoseconds for an entry, the way to the pool is then a small part.
const BATCH: usize = 128;

/// The entries of a directory, without `.` and `..`, in the order that the file system gives them.
///
/// # Errors
///
/// The operating system's: `NotFound`, `NotADirectory`, `PermissionDenied` and others.
pub async fn read_dir(path: impl AsRef<Path>) -> io::Result<ReadDir> {
    let path = path.as_ref().to_owned();
    let batch = off(move || Ok(Batch::take(fs::read_dir(path)?))).await?;
    Ok(ReadDir { state: State::Held(batch) })
}

/// See [`read_dir`].
///
/// # Cancel safety
///
/// Nothing is lost when [`next_entry`](Self::next_entry) is dropped.
#[must_use = "streams do nothing unless they are polled"]
pub struct ReadDir {
    state: State,
}

enum State {
    Held(Batch),
    Fetching(Off<Batch>),
}

/// What one job brought.
struct Batch {
    entries: VecDeque<io::Result<DirEntry>>,
    /// Where there may be more.
    rest: Option<fs::ReadDir>,
}

impl Batch {
    const END: Batch = Batch { entries: VecDeque::new(), rest: None };

    fn take(mut rest: fs::ReadDir) -> Batch {
        let mut entries = VecDeque::new();
        while entries.len() < BATCH {
            match rest.next() {
                Some(entry) => entries.push_back(entry.map(DirEntry::new)),
                None => return Batch { entries, rest: None },
            }
        }
        Batch { entries, rest: Some(rest) }
    }
}

impl ReadDir {
    /// The next entry; none at the end. After an error there may be more.
    ///
    /// # Errors
    ///
    /// The operating system's for one entry; "the runtime is gone", after which there are no more.
    pub async fn next_entry(&mut self) -> io::Result<Option<DirEntry>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await.transpose()
    }
}

impl Stream for ReadDir {
    type Item = io::Result<DirEntry>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match &mut self.state {
                State::Held(batch) => {
                    if !batch.entries.is_empty() {
                        let _spent = ready!(spend(cx));
                        return Poll::Ready(batch.entries.pop_front());
                    }
                    let Some(rest) = batch.rest.take() else { return Poll::Ready(None) };
                    self.state = State::Fetching(Off::start(move || Ok(Batch::take(rest))));
                }
                State::Fetching(job) => match ready!(Pin::new(job).poll(cx)) {
                    Ok(batch) => self.state = State::Held(batch),
                    Err(error) => {
                        self.state = State::Held(Batch::END);
                        return Poll::Ready(Some(Err(error)));
                    }
                },
            }
        }
    }
}

impl FusedStream for ReadDir {
    fn is_terminated(&self) -> bool {
        matches!(&self.state, State::Held(batch) if batch.entries.is_empty() && batch.rest.is_none())
    }
}

impl fmt::Debug for ReadDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = match &self.state {
            State::Held(batch) => batch.entries.len(),
            State::Fetching(_) => 0,
        };
        f.debug_struct("ReadDir").field("held", &held).finish_non_exhaustive()
    }
}

/// A file, directory or something else in a directory.
pub struct DirEntry {
    /// Shared with the jobs that look closer.
    entry: Arc<fs::DirEntry>,
    /// None: it could not be told.
    file_type: Option<FileType>,
}

impl DirEntry {
    fn new(entry: fs::DirEntry) -> DirEntry {
        DirEntry { file_type: entry.file_type().ok(), entry: Arc::new(entry) }
    }

    /// The path of the directory as it was given to [`read_dir`], and the name.
    pub fn path(&self) -> PathBuf {
        self.entry.path()
    }

    /// The name.
    pub fn file_name(&self) -> OsString {
        self.entry.file_name()
    }

    /// What is known about it. Of a symbolic link, not of what it leads to.
    ///
    /// # Errors
    ///
    /// The operating system's: `NotFound` when it was removed meanwhile, and others.
    pub async fn metadata(&self) -> io::Result<Metadata> {
        let entry = self.entry.clone();
        off(move || entry.metadata()).await
    }

    /// Whether it is a file, a directory, a symbolic link or something else. Usually known already, and ready at once.
    ///
    /// # Errors
    ///
    /// As [`metadata`](Self::metadata).
    pub async fn file_type(&self) -> io::Result<FileType> {
        match self.file_type {
            Some(file_type) => Ok(file_type),
            None => {
                let entry = self.entry.clone();
                off(move || entry.file_type()).await
            }
        }
    }

    /// The number of its inode.
    #[cfg(unix)]
    pub fn ino(&self) -> u64 {
        std::os::unix::fs::DirEntryExt::ino(&*self.entry)
    }
}

impl fmt::Debug for DirEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.entry.fmt(f)
    }
}
