//! A runtime's recording: a ring for each worker, one more for all other threads, and the file that they go to in the end.
//!
//! A ring is made when its worker first starts. A worker's ring is written by whichever thread is that worker, one after
//! the other (the table's lock lies between two of them). The ring of the others is written under a lock; their tracks are
//! numbered as their threads come.

use super::{
    chrome, exit,
    note::Note,
    ring::{Copied, Ring},
};
use crate::{clock, fork, worker::table::MAX_WORKERS};
use std::{
    cell::Cell,
    collections::{BTreeMap, HashMap},
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, TryLockError,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Events that are kept per worker, unless something else is asked for: 8 MiB.
pub(crate) const EVENTS: usize = (1 << 18) - 1;
/// At least, and at most.
pub(crate) const MIN_EVENTS: usize = 64;
pub(crate) const MAX_EVENTS: usize = 1 << 24;

/// The first track of a thread that is no worker.
pub(super) const OUTSIDE: u32 = 1000;
/// Names of tasks and of threads that are kept.
const NAMES: usize = u16::MAX as usize;
/// How long a writer waits for a lock that is held for moments. Longer: its holder will never let go.
const PATIENCE: Duration = Duration::from_secs(2);

/// See the head of this file.
pub(crate) struct Recorder {
    /// Events kept per ring.
    events: usize,
    /// The runtime's name, which its threads' names begin with.
    pub(super) runtime: String,
    /// When the recording began.
    pub(super) start: u64,
    rings: Box<[OnceLock<Arc<Ring>>]>,
    /// The ring of all threads that are no workers. Pushed to under the lock on `threads`.
    outside: OnceLock<Ring>,
    /// The names of these threads, by track.
    threads: Mutex<BTreeMap<u32, String>>,
    names: Mutex<Names>,
    /// Where the recording is to go, until it has gone there. The lock is held while it is written.
    file: Mutex<Option<(PathBuf, File)>>,
}

/// Names of tasks; a note holds the number of one.
#[derive(Default)]
struct Names {
    numbers: HashMap<Arc<str>, u16>,
    list: Vec<Arc<str>>,
}

/// What was recorded, copied at one time.
pub(super) struct Recording {
    /// By track; the last is that of the other threads, whose notes say which.
    pub(super) rings: Vec<Copied>,
    /// The others' names.
    pub(super) threads: BTreeMap<u32, String>,
    /// Names of tasks: number `n` stands at `n - 1`.
    pub(super) names: Vec<Arc<str>>,
}

impl Recorder {
    /// A recorder that keeps so many events per worker, and will write them to `path`, where a file is made now.
    pub(crate) fn new(runtime: &str, events: usize, path: Option<&Path>) -> io::Result<Arc<Recorder>> {
        let file = path.map(|path| File::create(path).map(|file| (path.to_owned(), file))).transpose()?;
        let has_file = file.is_some();
        let recorder = Arc::new(Recorder {
            events,
            runtime: runtime.to_owned(),
            start: clock::real_now(),
            rings: (0..MAX_WORKERS).map(|_| OnceLock::new()).collect(),
            outside: OnceLock::new(),
            threads: Mutex::default(),
            names: Mutex::default(),
            file: Mutex::new(file),
        });
        if has_file {
            exit::watch(&recorder);
        }
        Ok(recorder)
    }

    /// The ring of a worker. To be pushed to by that worker's thread only.
    pub(super) fn ring(&self, worker: u16) -> Arc<Ring> {
        // One place more, since a ring never gives its oldest event.
        self.rings[worker as usize].get_or_init(|| Arc::new(Ring::new(self.events + 1))).clone()
    }

    /// Records what a thread did that is no worker at this time. `track` is that of the worker that it is otherwise.
    pub(super) fn record_outside(&self, note: Note, track: Option<u16>) {
        let mut threads = lock(&self.threads);
        let track = match track {
            Some(worker) => u32::from(worker),
            None => {
                let track = thread_track();
                if threads.len() < NAMES {
                    threads
                        .entry(track)
                        .or_insert_with(|| thread::current().name().map_or_else(String::new, str::to_owned));
                }
                track
            }
        };
        // Read under the lock, so that the ring is in order.
        let time = clock::real_now();
        self.outside.get_or_init(|| Ring::new(self.events + 1)).push(note.pack(time, track));
    }

    /// The number of a task's name. 0, as for no name, if there are too many.
    pub(super) fn name(&self, name: &str) -> u16 {
        let mut names = lock(&self.names);
        if let Some(&number) = names.numbers.get(name) {
            return number;
        }
        if names.list.len() == NAMES {
            return 0;
        }
        let name: Arc<str> = name.into();
        names.list.push(name.clone());
        let number = names.list.len() as u16;
        names.numbers.insert(name, number);
        number
    }

    /// Writes what there is now. Stops nobody.
    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        chrome::write(self, &self.copy(), out)
    }

    fn copy(&self) -> Recording {
        let mut rings: Vec<Copied> =
            self.rings.iter().map(|ring| ring.get().map_or_else(Copied::default, |ring| ring.copy())).collect();
        rings.push(self.outside.get().map_or_else(Copied::default, Ring::copy));
        // When the process ends, a thread that does not run any more may hold a lock. Then there are no names.
        let threads = lock_within(&self.threads, PATIENCE).map_or_else(BTreeMap::new, |threads| threads.clone());
        let names = lock_within(&self.names, PATIENCE).map_or_else(Vec::new, |names| names.list.clone());
        Recording { rings, threads, names }
    }

    /// Writes the file, if there is one and nobody has done so yet.
    pub(crate) fn finish(&self) {
        if fork::is_child() {
            return;
        }
        let Some(mut place) = lock_within(&self.file, PATIENCE) else { return };
        if let Some((path, file)) = place.take()
            && let Err(error) = self.write_file(file)
        {
            say(format_args!("the trace cannot be written to {}: {error}", path.display()));
        }
    }

    fn write_file(&self, file: File) -> io::Result<()> {
        let mut out = BufWriter::with_capacity(1 << 16, file);
        self.write(&mut out)?;
        out.flush()
    }
}

/// One sentence on stderr; if that is closed, none.
pub(crate) fn say(sentence: std::fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "gambol: {sentence}");
}

/// The track of this thread.
fn thread_track() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(OUTSIDE);
    thread_local!(static TRACK: Cell<u32> = const { Cell::new(0) });
    TRACK.with(|track| {
        if track.get() == 0 {
            track.set(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        track.get()
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// As `lock`, but gives up.
pub(super) fn lock_within<T>(mutex: &Mutex<T>, patience: Duration) -> Option<MutexGuard<'_, T>> {
    let until = Instant::now() + patience;
    loop {
        match mutex.try_lock() {
            Ok(guard) => return Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) if Instant::now() >= until => return None,
            Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(1)),
        }
    }
}
