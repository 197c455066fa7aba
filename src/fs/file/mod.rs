//! An open file.
//!
//! Whatever may wait for a disk is a job in the blocking pool, and a file has at most one at a time. As with the standard streams
//! the buffer moves into the job and back, under the lock in `state.rs`:
//! 1. A read that finds nothing read ahead tries whether the kernel has the bytes at hand (`nowait.rs`). Otherwise it enrols and
//!    starts a job, which reads, puts the buffer back and wakes all who are enrolled.
//! 2. A write puts its bytes behind those that wait, if there is room, and starts a job if none is under way. The job takes all
//!    that wait, hands them to the system one write at a time, and looks again, so that a loop of small writes needs few jobs
//!    and overlaps with them. After a while it queues anew, since others may want its thread. What was accepted
//!    either waits for a job that has it in sight or is in its hands.
//! 3. Everything else (seeking, lengths, syncing) waits until no job is under way and is one itself. While another task waits
//!    for that no more writes are accepted, so that it comes.
//!
//! The system's position is ahead of the user's by what was read ahead. Who moves it or writes goes back first; where
//! that is impossible (a pipe, a terminal) what was read ahead is kept, for there reading and writing have nothing to do with
//! each other.
//!
//! What was tried and left:
//! - Joining waiting writes to one large one. Faster by a system call for each, but for much that looks like a file (in
//!   `/proc`, `/sys`, devices, logs that several processes append to) each write has a meaning of its own.

mod jobs;
mod nowait;
mod pieces;
mod state;

use super::{
    OpenOptions,
    off::{gone, off},
};
use futures_io::{AsyncRead, AsyncSeek, AsyncWrite};
use gambol_executor::{Reason, park, spend};
#[cfg(target_os = "linux")]
pub(crate) use jobs::Call;
use jobs::Job;
use state::{Before, Kind, State};
#[cfg(unix)]
use std::os::fd::{AsFd, BorrowedFd};
#[cfg(windows)]
use std::os::windows::io::{AsHandle, BorrowedHandle};
use std::{
    fmt,
    fs::{self, FileTimes, Metadata, Permissions},
    future::poll_fn,
    io::{self, IoSlice, SeekFrom},
    mem,
    path::Path,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
};

/// An open file, to be read, written and sought in as `futures`' traits have it, also by way of `&File`.
///
/// # Reading
///
/// On Linux, bytes that are in the page cache are copied by the worker itself, if the file system can say whether they are (ext4,
/// XFS and Btrfs can; tmpfs, FUSE and what is in `/proc` cannot). All else is read in the blocking pool. A job may take more from
/// a regular file than was asked for, up to 8 KiB, and up to 64 KiB when reads follow each other; what others write there
/// meanwhile is not seen until a seek. The position appears to be where it should be. For many small reads put a
/// [`BufReader`](crate::io::BufReader) around it.
///
/// # Writing
///
/// A write is done when its bytes are in a buffer, of 1 MiB at most, and a job has been started that writes them; each write
/// becomes one of its own at the system, if it is not longer than that and the system takes it whole. `flush` waits until the
/// operating system has them all, [`sync_all`](Self::sync_all) until the disk has.
///
/// The buffers are kept until the file is dropped: up to 1 MiB for reading, and twice that for writing, if so much was read or
/// written at once.
///
/// An error comes from the next operation, whichever it is, once. What could not be written then is kept, and the next write,
/// `flush`, `close`, `sync_all` or `sync_data` tries again; any other operation that depends on the position gives it up.
///
/// # Dropping
///
/// A file that is dropped is closed when its job has ended, and a write that was accepted is still made. But nobody learns whether
/// it has succeeded, or when. **Call `flush` or `sync_all` before dropping it.** After `flush` a drop closes the file at once.
///
/// When its runtime is shut down, a write to a regular file that is queued for a thread is made by the thread that shuts
/// down; other jobs that have not begun are cancelled, and their bytes stay here for the next operation to write. When
/// `main` returns, the process ends, and what is then still in the buffer is lost, as everything that nobody waited for.
///
/// # Pipes, terminals, devices
///
/// They can be opened too. A read may then take as long as it likes, which holds up neither the end of a runtime nor that of
/// `main`; but since there is only one job at a time, writes have to wait for it. To do both at once use two files, as from
/// [`try_clone`](Self::try_clone). For pipes and terminals that can be polled `Async` is the better choice.
///
/// # Errors
///
/// The operating system's, untouched. "The runtime is gone" when no job can be started any more.
///
/// # Cancel safety
///
/// What a read brings after its future was dropped is kept for the next one. A write that was not ready has written nothing. A
/// flush that is dropped loses nothing. Whether a seek that is dropped has moved the position is open.
///
/// # Examples
///
/// ```
/// use gambol::{fs::File, io::{self, AsyncReadExt, AsyncSeekExt, AsyncWriteExt, SeekFrom}};
///
/// # gambol::block_on(async {
/// let path = std::env::temp_dir().join(format!("gambol-example-{}", std::process::id()));
/// let mut file = File::options().read(true).write(true).create_new(true).open(&path).await?;
/// file.write_all(b"hello, world").await?;
/// file.seek(SeekFrom::Start(7)).await?;
/// let mut text = String::new();
/// file.read_to_string(&mut text).await?;
/// assert_eq!(text, "world");
/// gambol::fs::remove_file(&path).await?;
/// # io::Result::Ok(())
/// # })?;
/// # io::Result::Ok(())
/// ```
pub struct File {
    /// Jobs let go of it before they say that they have ended, so that a drop after `flush` closes it.
    file: Arc<fs::File>,
    state: Arc<Mutex<State>>,
}

impl File {
    /// Opens a file to read from it.
    ///
    /// # Errors
    ///
    /// The operating system's: `NotFound`, `PermissionDenied` and others.
    pub async fn open(path: impl AsRef<Path>) -> io::Result<File> {
        File::options().read(true).open(path).await
    }

    /// Opens a file to write to it; it is created if it is missing and emptied if it is not.
    ///
    /// # Errors
    ///
    /// The operating system's: `NotFound` when its directory is missing, `PermissionDenied` and others.
    pub async fn create(path: impl AsRef<Path>) -> io::Result<File> {
        File::options().write(true).create(true).truncate(true).open(path).await
    }

    /// Creates a file to read from it and write to it.
    ///
    /// # Errors
    ///
    /// The operating system's: `AlreadyExists`, `PermissionDenied` and others.
    pub async fn create_new(path: impl AsRef<Path>) -> io::Result<File> {
        File::options().read(true).write(true).create_new(true).open(path).await
    }

    /// Options for opening a file.
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }

    /// What is known about the file. All that was written before is counted.
    ///
    /// # Errors
    ///
    /// The operating system's; that of a write before.
    pub async fn metadata(&self) -> io::Result<Metadata> {
        self.call(Before::Written, fs::File::metadata).await
    }

    /// Cuts the file, or fills it up with zeros, to this length. The position stays.
    ///
    /// # Errors
    ///
    /// The operating system's; that of a write before.
    pub async fn set_len(&self, size: u64) -> io::Result<()> {
        self.call(Before::Settled, move |file| file.set_len(size)).await
    }

    /// Changes who may do what with the file.
    ///
    /// # Errors
    ///
    /// The operating system's; that of a write before.
    pub async fn set_permissions(&self, permissions: Permissions) -> io::Result<()> {
        self.call(Before::Written, move |file| file.set_permissions(permissions)).await
    }

    /// Changes when the file was last read or written, as far as can be known.
    ///
    /// # Errors
    ///
    /// The operating system's; that of a write before.
    pub async fn set_times(&self, times: FileTimes) -> io::Result<()> {
        self.call(Before::Written, move |file| file.set_times(times)).await
    }

    /// Waits until all that was written before is on the disk, with what is known about the file.
    ///
    /// # Errors
    ///
    /// The operating system's; that of a write before. It is not `Ok` while something that was written has not reached the file.
    pub async fn sync_all(&self) -> io::Result<()> {
        self.call(Before::Retried, fs::File::sync_all).await
    }

    /// As [`sync_all`](Self::sync_all), but of what is known about the file only what is needed to read it back.
    ///
    /// # Errors
    ///
    /// As [`sync_all`](Self::sync_all).
    pub async fn sync_data(&self) -> io::Result<()> {
        self.call(Before::Retried, fs::File::sync_data).await
    }

    /// Another descriptor for the same open file, with the same position.
    ///
    /// From now on neither reads ahead, so that reads of both in turn go on where the other's has ended. A read that is dropped
    /// may still move the other's position, and a write counts for it only when it was flushed.
    ///
    /// # Errors
    ///
    /// The operating system's; that of a write before.
    pub async fn try_clone(&self) -> io::Result<File> {
        let clone = self.call(Before::Settled, fs::File::try_clone).await?;
        let regular = {
            let mut state = State::lock(&self.state);
            state.position_is_shared();
            state.regular
        };
        let clone = File::new(clone, regular);
        State::lock(&clone.state).position_is_shared();
        Ok(clone)
    }

    /// std's type, when all that was written before has reached the operating system. Its position is where it should be.
    ///
    /// # Errors
    ///
    /// That of a write before, and the file is closed; "the runtime is gone".
    pub async fn into_std(self) -> io::Result<fs::File> {
        self.call(Before::Settled, |_| Ok(())).await?;
        // Who else uses the descriptor at the moment keeps it, and we have another.
        Arc::try_unwrap(self.file).or_else(|file| file.try_clone())
    }

    /// For copying in the kernel: takes the file for a job that writes at its position and moves it on. All that was written
    /// before is with the system. Until the job has ended, or is dropped, everything else here waits for it.
    #[cfg(target_os = "linux")]
    pub(crate) fn poll_take(&self, cx: &mut Context<'_>) -> Poll<io::Result<Call>> {
        self.poll(
            cx,
            |state| {
                state.is_ready_for(Before::Writable).then(|| {
                    state.sought = None;
                    Ok(state.begin_call(&self.file, &self.state, Before::Writable))
                })
            },
            |_| Wait::ForEnd,
        )
    }

    /// The first half of tokio's seek: where to go. It is given up when something else depends on the position.
    #[cfg(feature = "tokio-io")]
    pub(crate) fn start_seek(&self, to: SeekFrom) {
        State::lock(&self.state).wanted = Some(to);
    }

    /// The second half. With no first one it tells the position.
    #[cfg(feature = "tokio-io")]
    pub(crate) fn poll_started_seek(&self, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        let to = State::lock(&self.state).wanted.unwrap_or(SeekFrom::Current(0));
        let position = ready!(Pin::new(&mut &*self).poll_seek(cx, to));
        State::lock(&self.state).wanted = None;
        Poll::Ready(position)
    }

    /// For jobs that open files.
    pub(super) fn open_with(options: &fs::OpenOptions, path: &Path) -> io::Result<File> {
        let file = options.open(path)?;
        let regular = file.metadata().is_ok_and(|metadata| metadata.is_file());
        Ok(File::new(file, Some(regular)))
    }

    fn new(file: fs::File, regular: Option<bool>) -> File {
        File { file: Arc::new(file), state: Arc::new(Mutex::new(State::new(regular))) }
    }

    /// Does `look` until it finds something; in between it waits for what `begin` says.
    fn poll<R>(
        &self,
        cx: &mut Context<'_>,
        mut look: impl FnMut(&mut State) -> Option<io::Result<R>>,
        begin: impl FnOnce(&mut State) -> Wait,
    ) -> Poll<io::Result<R>> {
        let spent = ready!(spend(cx));
        let mut look = |state: &mut State| state.error.take().map(Err).or_else(|| look(state));
        if let Some(found) = look(&mut State::lock(&self.state)) {
            return Poll::Ready(found);
        }
        let waker = cx.waker().clone();
        let mut state = State::lock(&self.state);
        if let Some(found) = look(&mut state) {
            drop(state);
            return Poll::Ready(found);
        }
        if state.is_refused(false) {
            drop(state);
            return Poll::Ready(Err(gone()));
        }
        let wait =
            if state.owes_write() { Wait::For(state.begin_write(&self.file, &self.state)) } else { begin(&mut state) };
        let surplus = match wait {
            Wait::ForRoom => state.for_room.enrol(waker),
            _ => state.waiting.enrol(waker),
        };
        drop(state);
        drop(surplus);
        if let Wait::For(job) = wait {
            job.start();
            if State::lock(&self.state).is_refused(true) {
                return Poll::Ready(Err(gone()));
            }
        }
        spent.refund();
        park(Reason::Blocking);
        Poll::Pending
    }

    fn poll_write(&self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if slices.iter().all(|slice| slice.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        let waker = cx.waker();
        let (n, job) = ready!(self.poll(
            cx,
            |state| {
                let n = state.write(slices, waker)?;
                // Under the same lock, or another operation could give it up with what has failed before.
                Some(Ok((n, state.owes_write().then(|| state.begin_write(&self.file, &self.state)))))
            },
            |state| if state.job == Some(Kind::Write) { Wait::ForRoom } else { Wait::ForEnd }
        ))?;
        if let Some(job) = job {
            job.start();
            let mut state = State::lock(&self.state);
            if state.is_refused(true) {
                state.behind.retract(n);
                return Poll::Ready(Err(gone()));
            }
        }
        Poll::Ready(Ok(n))
    }

    /// Makes a call that is a job of its own.
    async fn call<T: Send + 'static>(
        &self,
        before: Before,
        call: impl FnOnce(&fs::File) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let job = poll_fn(|cx| {
            self.poll(
                cx,
                |state| state.is_ready_for(before).then(|| Ok(state.begin_call(&self.file, &self.state, before))),
                |_| Wait::ForEnd,
            )
        })
        .await?;
        off(move || job.make(call)).await
    }
}

/// What to wait for.
enum Wait {
    /// The end of the job that is under way.
    ForEnd,
    /// The same, or room.
    ForRoom,
    /// The end of this one.
    For(Job),
}

impl AsyncRead for &File {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        if room.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let want = room.len();
        let mut first = true;
        self.poll(
            cx,
            |state| state.read(&self.file, room, mem::take(&mut first)),
            |state| match state.job {
                None => Wait::For(state.begin_read(&self.file, &self.state, want)),
                Some(_) => Wait::ForEnd,
            },
        )
    }
}

impl AsyncWrite for &File {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        File::poll_write(&self, cx, &[IoSlice::new(bytes)])
    }

    /// All slices as one write.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        File::poll_write(&self, cx, slices)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(cx, |state| state.is_flushed().then_some(Ok(())), |_| Wait::ForEnd)
    }

    /// As `poll_flush`; the drop closes the file.
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

impl AsyncSeek for &File {
    fn poll_seek(self: Pin<&mut Self>, cx: &mut Context<'_>, to: SeekFrom) -> Poll<io::Result<u64>> {
        self.poll(
            cx,
            |state| state.seek(&self.file, to),
            |state| match state.job {
                None => Wait::For(state.begin_seek(&self.file, &self.state, to)),
                Some(_) => Wait::ForEnd,
            },
        )
    }
}

impl AsyncRead for File {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut &*self).poll_read(cx, room)
    }
}

impl AsyncWrite for File {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut &*self).poll_write(cx, bytes)
    }

    /// All slices as one write.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut &*self).poll_write_vectored(cx, slices)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut &*self).poll_flush(cx)
    }

    /// As `poll_flush`; the drop closes the file.
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut &*self).poll_close(cx)
    }
}

impl AsyncSeek for File {
    fn poll_seek(self: Pin<&mut Self>, cx: &mut Context<'_>, to: SeekFrom) -> Poll<io::Result<u64>> {
        Pin::new(&mut &*self).poll_seek(cx, to)
    }
}

impl From<fs::File> for File {
    fn from(file: fs::File) -> File {
        File::new(file, None)
    }
}

/// The position of the descriptor may differ from the file's, by what was read ahead or is not yet written.
#[cfg(unix)]
impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// The position of the handle may differ from the file's, by what was read ahead or is not yet written.
#[cfg(windows)]
impl AsHandle for File {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        self.file.as_handle()
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("File").field(&self.file).finish()
    }
}
