//! The program's side of `gambol-top`: a socket of the Unix domain that tells what a runtime does at this moment.
//!
//! ```text
//! the client says    snapshot                     as often as it likes, on one connection
//! it is told         a page                       (`top/page.rs`)
//! or                 error <tab> a sentence       and the connection ends: it said something else, or the runtime has ended
//! ```
//!
//! One thread sleeps in `poll` until somebody connects or asks. It answers one question of a client at a time, and does
//! not read on before the answer has gone: a client that does not read costs one page of memory, and after [`PATIENCE`]
//! not even that. At most [`CLIENTS`] are connected; for a further one the one that has been silent longest goes.
//!
//! The socket is for its owner only. It is made in a directory that nobody else may enter, gets its mode there and is then linked to
//! its place, so that at no moment anybody else can connect, and nothing that somebody puts there meanwhile is replaced.
//! (Tried: the mode after `bind`. Whoever connects in between stays connected.)
//!
//! A socket that is there already belongs to a living program or is what a dead one has left; only in the second case it is replaced.
//! Which it is tells the attempt to connect a datagram socket, which cannot succeed and does not wait.

mod page;

use crate::{Handle, core::OPEN, deadlock::Discarding, fork, ours};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{SendFlags, send},
};
use std::{
    env, fmt, fs,
    io::{self, Read},
    os::unix::{
        fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt},
        net::{SocketAddr, UnixDatagram, UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    process,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Clients at one time.
const CLIENTS: usize = 16;
/// How long a client may take to read what it was told.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes in a question.
const LONGEST: usize = 64;
/// How long no one is accepted after that has failed, for want of descriptors mostly.
const PAUSE: Duration = Duration::from_millis(100);

/// Sends raise no SIGPIPE. On Apple's systems that is an option of the socket, which std sets.
#[cfg(not(target_vendor = "apple"))]
const QUIETLY: SendFlags = SendFlags::NOSIGNAL;
#[cfg(target_vendor = "apple")]
const QUIETLY: SendFlags = SendFlags::empty();

/// Serves `gambol-top` until it is dropped; then the socket is removed.
#[must_use = "it serves until it is dropped"]
pub struct TopServer {
    path: PathBuf,
    /// Device and inode of the socket: what stands there later is not removed unless it is that.
    identity: (u64, u64),
    /// The thread ends when this is closed.
    stop: Option<UnixStream>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Handle {
    /// Lets `gambol-top` look at the runtime: makes a socket of the Unix domain at `path` and tells whoever connects there what tasks
    /// and workers do. Its mode is 0600: the user that the program runs as may connect, and nobody else but root.
    ///
    /// A thread serves the socket. It sleeps while nobody asks. A snapshot goes through all parked tasks; it stops nobody.
    ///
    /// For the default runtime of a program `GAMBOL_TOP=path` does the same.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if there is something else at `path` than a socket; `AddrInUse` if a living program serves there, while what a
    /// dead one has left is replaced; otherwise the operating system's, which is `InvalidInput` for an absolute path beyond 107 bytes, or
    /// beyond some 85 up to the last slash.
    ///
    /// # Panics
    ///
    /// In the child of a fork.
    pub fn serve_top(&self, path: impl AsRef<Path>) -> io::Result<TopServer> {
        fork::check();
        let path = path.as_ref();
        // The current directory may be another one when the socket is to be removed.
        let path = std::path::absolute(path)?;
        let (stop, stopped) = UnixStream::pair()?;
        let listener = bind(&path)?;
        let made = fs::symlink_metadata(&path)?;
        let mut server = TopServer { path, identity: (made.dev(), made.ino()), stop: Some(stop), thread: None };
        let handle = self.clone();
        let name = format!("{}-top", self.core.config().name);
        server.thread = Some(ours::spawn_thread(name, None, move || {
            serve(&handle, &listener, &stopped);
            let _discarding = Discarding::begin();
            drop(handle);
        })?);
        Ok(server)
    }
}

impl TopServer {
    /// Where the socket is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn remove_socket(&self) {
        let is_ours = |found: fs::Metadata| (found.dev(), found.ino()) == self.identity;
        if fs::symlink_metadata(&self.path).is_ok_and(is_ours) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Drop for TopServer {
    fn drop(&mut self) {
        if fork::is_child() {
            // The socket is the parent's, and there is no thread here.
            return;
        }
        self.remove_socket();
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for TopServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopServer").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The server of the default runtime.
static DEFAULT: Mutex<Option<TopServer>> = Mutex::new(None);

/// Does what `GAMBOL_TOP` says, for the default runtime.
pub(crate) fn serve_default(handle: &Handle) {
    let Some(path) = env::var_os("GAMBOL_TOP").filter(|path| !path.is_empty()) else { return };
    match handle.serve_top(&path) {
        Ok(server) => *DEFAULT.lock().unwrap_or_else(PoisonError::into_inner) = Some(server),
        Err(error) => eprintln!("gambol: GAMBOL_TOP={}: {error}", Path::new(&path).display()),
    }
}

/// The process is about to end: removes the default runtime's socket, and waits for nothing.
pub(crate) fn end_default() {
    if let Some(server) = &*DEFAULT.lock().unwrap_or_else(PoisonError::into_inner)
        && !fork::is_child()
    {
        server.remove_socket();
    }
}

/// See the head of this file.
fn bind(path: &Path) -> io::Result<UnixListener> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    // The name that is bound is another one, and may be shorter; this one is for the clients.
    SocketAddr::from_pathname(path)?;
    make_way(path)?;
    let parent = path.parent().unwrap_or(Path::new("/"));
    let directory = parent.join(format!(".gt{}.{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
    fs::DirBuilder::new().mode(0o700).create(&directory)?;
    let inside = directory.join("s");
    let result = UnixListener::bind(&inside).and_then(|listener| {
        listener.set_nonblocking(true)?;
        fs::set_permissions(&inside, fs::Permissions::from_mode(0o600))?;
        match fs::hard_link(&inside, path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                // A file system without links.
                fs::rename(&inside, path)?;
            }
            linked => linked?,
        }
        Ok(listener)
    });
    let _ = fs::remove_file(&inside);
    let _ = fs::remove_dir(&directory);
    result
}

/// Removes what a dead program has left.
fn make_way(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is something else than a socket; it is left alone"))
        }
        Ok(_) => match UnixDatagram::unbound()?.connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(error),
            _ => Err(io::Error::new(io::ErrorKind::AddrInUse, "another program serves at this socket")),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

struct Client {
    stream: UnixStream,
    question: Vec<u8>,
    answer: Vec<u8>,
    /// What of the answer has gone.
    sent: usize,
    /// The connection ends when the answer has gone.
    ends: bool,
    /// When it last said or read something.
    active: Instant,
}

/// What the thread does: until `stopped` is readable, which its other end's closing makes it.
fn serve(handle: &Handle, listener: &UnixListener, stopped: &UnixStream) {
    let mut clients: Vec<Client> = Vec::new();
    let mut paused: Option<Instant> = None;
    loop {
        let now = Instant::now();
        paused = paused.filter(|until| *until > now);
        clients.retain(|client| !client.is_answered_to() || client.active + PATIENCE > now);
        let accepts = if paused.is_some() { PollFlags::empty() } else { PollFlags::IN };
        let mut polled = vec![PollFd::new(stopped, PollFlags::IN), PollFd::new(listener, accepts)];
        polled.extend(clients.iter().map(|client| {
            PollFd::new(&client.stream, if client.is_answered_to() { PollFlags::OUT } else { PollFlags::IN })
        }));
        let ends = clients.iter().filter(|client| client.is_answered_to()).map(|client| client.active + PATIENCE);
        let until = ends.chain(paused).min();
        let timeout = until.map(|until| {
            // One more, so that it is over when the wait ends.
            let left = until.saturating_duration_since(now) + Duration::from_millis(1);
            Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() }
        });
        let result = poll(&mut polled, timeout.as_ref());
        let ready: Vec<bool> = polled.iter().map(|polled| !polled.revents().is_empty()).collect();
        drop(polled);
        match result {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(_) => {
                // The kernel has no memory.
                thread::sleep(PAUSE);
                continue;
            }
        }
        if ready[0] {
            return;
        }
        let mut ready_clients = ready[2..].iter();
        clients.retain_mut(|client| !ready_clients.next().is_some_and(|ready| *ready) || client.goes_on(handle));
        if ready[1] {
            match listener.accept().and_then(|(stream, _)| Client::new(stream)) {
                Ok(client) => {
                    if clients.len() == CLIENTS
                        && let Some(silent) = (0..CLIENTS).min_by_key(|place| clients[*place].active)
                    {
                        clients.remove(silent);
                    }
                    clients.push(client);
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => {}
                    _ => paused = Some(Instant::now() + PAUSE),
                },
            }
        }
    }
}

impl Client {
    fn new(stream: UnixStream) -> io::Result<Client> {
        stream.set_nonblocking(true)?;
        let (question, answer) = (Vec::new(), Vec::new());
        Ok(Client { stream, question, answer, sent: 0, ends: false, active: Instant::now() })
    }

    /// Whether there is something that it has not read yet.
    fn is_answered_to(&self) -> bool {
        self.sent < self.answer.len()
    }

    /// Reads or writes as far as that goes. False: the connection ends.
    fn goes_on(&mut self, handle: &Handle) -> bool {
        self.try_go_on(handle)
            .unwrap_or_else(|error| matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted))
    }

    fn try_go_on(&mut self, handle: &Handle) -> io::Result<bool> {
        if !self.is_answered_to() {
            let mut piece = [0; LONGEST];
            let n = self.stream.read(&mut piece)?;
            self.active = Instant::now();
            self.question.extend_from_slice(&piece[..n]);
            self.ends = n == 0;
            self.take_question(handle);
        }
        while self.is_answered_to() {
            self.sent += send(&self.stream, &self.answer[self.sent..], QUIETLY)?;
            self.active = Instant::now();
            if !self.is_answered_to() {
                self.answer = Vec::new();
                self.sent = 0;
                if !self.ends {
                    self.take_question(handle);
                }
            }
        }
        Ok(!self.ends)
    }

    /// Makes the answer to the next question, if it is whole.
    fn take_question(&mut self, handle: &Handle) {
        let Some(end) = self.question.iter().position(|byte| *byte == b'\n') else {
            if self.question.len() >= LONGEST {
                self.refuse("a question is one word, and ends with a line feed");
            }
            return;
        };
        let question: Vec<u8> = self.question.drain(..=end).collect();
        if question.trim_ascii() != b"snapshot" {
            self.refuse("the only question is: snapshot");
        } else if handle.core.phase() != OPEN {
            self.refuse("the runtime has ended");
        } else {
            self.answer = page::page(handle, &handle.core.config()).into_bytes();
        }
    }

    fn refuse(&mut self, why: &str) {
        self.answer = format!("error\t{why}\n").into_bytes();
        self.ends = true;
    }
}
