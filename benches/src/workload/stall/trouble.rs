//! The trouble that a heartbeat is beside: tasks that keep their threads for a second.
//!
//! As many tasks as a program with two workers cannot do without the runtime's help: eight that block, which take no
//! processor, and four that spin. Each tells when it began to keep its thread and when it ended.

use crate::args::Failure;
use crate::rt::Runtime;
use std::future::{Future, poll_fn};
use std::io::{Read, Write};
use std::pin::pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

/// How long a task keeps its thread, or what it waits for does not come.
const STALL: Duration = Duration::from_secs(1);

/// How long before that its timer is.
const LEAD: Duration = Duration::from_millis(100);

const BLOCKERS: usize = 8;
const SPINNERS: usize = 4;

/// What happens.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Eight tasks sleep, each with its thread.
    Sleep,
    /// The same, each woken by a timer first.
    Timer,
    /// Four tasks compute without an await.
    Spin,
    /// The main task sleeps with its thread.
    Main,
    /// Eight tasks read a pipe to which a plain thread writes after a second.
    Pipe,
    /// Eight tasks lock a mutex of std's which a plain thread holds for a second.
    Mutex,
    /// Four timers whose wakers compute for a second.
    Waker,
}

/// When the trouble was.
pub struct Span {
    pub start: Instant,
    pub end: Instant,
}

impl Trouble {
    /// Makes it, inside the main task, and returns when it is over.
    pub async fn happen<R: Runtime>(self) -> Result<Span, Failure> {
        let mut start = Instant::now();
        let (count, ends) = match self {
            Trouble::Sleep => (BLOCKERS, all::<R, _>(BLOCKERS, |_| async { sleep() }).await),
            Trouble::Timer => {
                start += LEAD;
                let task = |_| async {
                    let _ = R::sleep(LEAD).await;
                    sleep()
                };
                (BLOCKERS, all::<R, _>(BLOCKERS, task).await)
            }
            Trouble::Spin => (SPINNERS, all::<R, _>(SPINNERS, |_| async { spin() }).await),
            Trouble::Main => (1, vec![sleep()]),
            Trouble::Pipe => (BLOCKERS, read_a_pipe::<R>().await?),
            Trouble::Mutex => (BLOCKERS, lock_a_mutex::<R>().await?),
            Trouble::Waker => {
                start += LEAD;
                (SPINNERS, all::<R, _>(SPINNERS, |_| woken_at_length::<R>()).await)
            }
        };
        if ends.len() != count || ends.iter().any(|&end| end < start + STALL) {
            return Err("a task ended before its time".into());
        }
        let end = ends.into_iter().max().ok_or("no task ended")?;
        Ok(Span { start, end })
    }
}

/// Spawns so many tasks and returns when each of them ended.
async fn all<R, F>(count: usize, task: impl Fn(usize) -> F) -> Vec<Instant>
where
    R: Runtime,
    F: Future<Output = Instant> + Send + 'static,
{
    let tasks: Vec<_> = (0..count).map(|index| R::spawn(task(index))).collect();
    let mut ends = Vec::with_capacity(count);
    for task in tasks {
        ends.push(task.await);
    }
    ends
}

fn sleep() -> Instant {
    thread::sleep(STALL);
    Instant::now()
}

fn spin() -> Instant {
    let begin = Instant::now();
    while begin.elapsed() < STALL {
        std::hint::spin_loop();
    }
    Instant::now()
}

async fn read_a_pipe<R: Runtime>() -> Result<Vec<Instant>, Failure> {
    let (reader, mut writer) = std::io::pipe()?;
    let reader = Arc::new(reader);
    let writing = thread::spawn(move || {
        thread::sleep(STALL);
        writer.write_all(&[7; BLOCKERS])
    });
    let ends = all::<R, _>(BLOCKERS, |_| {
        let reader = reader.clone();
        async move {
            let mut byte = [0];
            (&*reader).read_exact(&mut byte).expect("the writer writes a byte for each");
            assert_eq!(byte, [7]);
            Instant::now()
        }
    })
    .await;
    writing.join().map_err(|_| "the writer panicked")??;
    Ok(ends)
}

async fn lock_a_mutex<R: Runtime>() -> Result<Vec<Instant>, Failure> {
    let mutex = Arc::new(Mutex::new(0));
    let (held, is_held) = mpsc::channel();
    let holder = thread::spawn({
        let mutex = mutex.clone();
        move || {
            let _guard = mutex.lock();
            let _ = held.send(());
            thread::sleep(STALL);
        }
    });
    is_held.recv()?;
    let ends = all::<R, _>(BLOCKERS, |_| {
        let mutex = mutex.clone();
        async move {
            *mutex.lock().unwrap_or_else(PoisonError::into_inner) += 1;
            Instant::now()
        }
    })
    .await;
    holder.join().map_err(|_| "the holder panicked")?;
    let locked = *mutex.lock().unwrap_or_else(PoisonError::into_inner);
    if locked == BLOCKERS { Ok(ends) } else { Err("some did not lock".into()) }
}

/// A waker that the runtime's timer calls, and which computes before it passes that on.
struct Lengthy {
    task: Waker,
    ended: Arc<OnceLock<Instant>>,
}

impl Wake for Lengthy {
    fn wake(self: Arc<Self>) {
        let _ = self.ended.set(spin());
        self.task.wake_by_ref();
    }
}

async fn woken_at_length<R: Runtime>() -> Instant {
    let ended = Arc::new(OnceLock::new());
    let mut sleep = pin!(R::sleep(LEAD));
    poll_fn(|cx| {
        let waker = Waker::from(Arc::new(Lengthy { task: cx.waker().clone(), ended: ended.clone() }));
        sleep.as_mut().poll(&mut Context::from_waker(&waker)).map(drop)
    })
    .await;
    *ended.get().expect("a sleep ends after its waker was called")
}
