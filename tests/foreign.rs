//! Everything works from a plain thread under somebody else's executor, which knows nothing of gambol.

mod helpers;

use futures_util::{
    StreamExt,
    future::{join, join_all},
};
use gambol::{
    io::{self, AsyncReadExt, AsyncWriteExt, duplex, simplex},
    net::{TcpListener, TcpStream},
    time::{Duration, Instant, interval, sleep, timeout},
};
use helpers::{PATIENCE, assert_success, in_child, is_child};
use std::{sync::mpsc, thread};

/// Whose executor it is, and what of it polls.
#[derive(Clone, Copy, Debug)]
enum Executor {
    Futures,
    FuturesPool,
    TokioThread,
    TokioTask,
    TokioBlocking,
}

impl Executor {
    const ALL: [Executor; 5] =
        [Executor::Futures, Executor::FuturesPool, Executor::TokioThread, Executor::TokioTask, Executor::TokioBlocking];

    /// Runs it on a thread that is nobody's.
    fn run<F: Future<Output = ()> + Send + 'static>(self, future: F) {
        let thread = thread::spawn(move || match self {
            Executor::Futures => futures::executor::block_on(future),
            Executor::FuturesPool => {
                let mut pool = futures::executor::LocalPool::new();
                pool.run_until(async { join_all([future]).await });
            }
            // Without tokio's poller and clock.
            Executor::TokioThread => {
                tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future);
            }
            Executor::TokioTask => {
                let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
                runtime.block_on(async { tokio::spawn(future).await.unwrap() });
            }
            Executor::TokioBlocking => {
                let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
                runtime.block_on(async { tokio::task::spawn_blocking(|| gambol::block_on(future)).await.unwrap() });
            }
        });
        if let Err(payload) = thread.join() {
            eprintln!("under {self:?}");
            std::panic::resume_unwind(payload);
        }
    }
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("it did not come")
}

#[test]
fn connections() {
    for executor in Executor::ALL {
        executor.run(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let (accepted, connected) = join(listener.accept(), TcpStream::connect(address)).await;
            let (mut peer, mut stream) = (accepted.unwrap().0, connected.unwrap());
            let both = join(
                async {
                    stream.write_all(&[7; 300_000]).await.unwrap();
                    stream.close().await.unwrap();
                    let mut all = Vec::new();
                    stream.read_to_end(&mut all).await.unwrap();
                    all.len()
                },
                async {
                    // All of it at once would fill the buffers of both directions.
                    let mut all = Vec::new();
                    peer.read_to_end(&mut all).await.unwrap();
                    peer.write_all(&all).await.unwrap();
                    peer.close().await.unwrap();
                },
            );
            assert_eq!(soon(both).await.0, 300_000);
        });
    }
}

#[cfg(unix)]
#[test]
fn any_descriptor() {
    use gambol::io::Async;
    use std::{
        io::{Read, Write},
        os::unix::net::UnixStream,
        pin::pin,
    };
    for executor in Executor::ALL {
        executor.run(async {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            let ours = Async::new(ours).unwrap();
            for _ in 0..3 {
                let mut readable = pin!(ours.readable());
                assert!(helpers::poll_once(&mut readable).await.is_pending());
                theirs.write_all(b"text").unwrap();
                soon(readable).await.unwrap();
                ours.get_ref().read_exact(&mut [0; 4]).unwrap();
            }
            soon(ours.writable()).await.unwrap();
        });
    }
}

#[test]
fn streams_in_memory() {
    for executor in Executor::ALL {
        executor.run(async {
            let (mut ours, theirs) = duplex(3);
            // One side here, the other in gambol.
            let echo = gambol::spawn(async move { io::copy(&theirs, &theirs).await });
            let (reader, writer) = (&ours, &ours);
            let mut text = [0; 11];
            let both = async {
                let (mut reader, mut writer) = (reader, writer);
                let (read, written) = join(reader.read_exact(&mut text), writer.write_all(b"hello there")).await;
                read.and(written)
            };
            soon(both).await.unwrap();
            assert_eq!(&text, b"hello there");
            ours.close().await.unwrap();
            assert_eq!(soon(echo).await.unwrap().unwrap(), 11);

            let (mut reader, mut writer) = simplex(1);
            let mut text = String::new();
            let reading = reader.read_to_string(&mut text);
            let writing = async {
                writer.write_all(b"one by one").await.unwrap();
                drop(writer);
            };
            soon(join(reading, writing)).await.0.unwrap();
            assert_eq!(text, "one by one");
        });
    }
}

#[test]
fn time() {
    for executor in Executor::ALL {
        executor.run(async {
            let begin = Instant::now();
            sleep(Duration::from_millis(5)).await;
            assert!(begin.elapsed() >= Duration::from_millis(5));
            assert!(timeout(Duration::from_millis(5), futures::future::pending::<()>()).await.is_err());
            assert_eq!(timeout(PATIENCE, async { 3 }).await.unwrap(), 3);
            let mut ticks = interval(Duration::from_millis(1));
            for _ in 0..3 {
                ticks.tick().await;
            }
            assert_eq!(ticks.take(2).count().await, 2);
            assert!(begin.elapsed() >= Duration::from_millis(14));
        });
    }
}

#[test]
fn tasks_and_blocking_work() {
    for executor in Executor::ALL {
        executor.run(async {
            let handles: Vec<_> = (0..50)
                .map(|n| {
                    gambol::spawn(async move {
                        gambol::yield_now().await;
                        n
                    })
                })
                .collect();
            let sum: i32 = soon(join_all(handles)).await.into_iter().map(|n| n.unwrap()).sum();
            assert_eq!(sum, 49 * 50 / 2);
            let aborted = gambol::spawn(futures::future::pending::<()>());
            aborted.abort();
            assert!(soon(aborted).await.unwrap_err().is_cancelled());
            assert_eq!(soon(gambol::spawn_blocking(|| 5)).await.unwrap(), 5);
            gambol::yield_now().await;
            // And gambol's own waiting, in the middle of theirs.
            assert_eq!(gambol::block_on(async { gambol::spawn(async { 7 }).await.unwrap() }), 7);
        });
    }
}

#[test]
fn standard_streams() {
    if !is_child() {
        let output = in_child("standard_streams");
        assert_success(&output);
        for (stream, text) in [(&output.stdout, "said to the one"), (&output.stderr, "said to the other")] {
            assert_eq!(String::from_utf8_lossy(stream).matches(text).count(), Executor::ALL.len());
        }
        return;
    }
    for executor in Executor::ALL {
        executor.run(async {
            let (mut stdout, mut stderr, mut stdin) = (io::stdout(), io::stderr(), io::stdin());
            soon(stdout.write_all(b"said to the one\n")).await.unwrap();
            soon(stderr.write_all(b"said to the other\n")).await.unwrap();
            soon(stdout.flush()).await.unwrap();
            soon(stderr.flush()).await.unwrap();
            let mut text = String::new();
            soon(stdin.read_to_string(&mut text)).await.unwrap();
            assert_eq!(text, "");
        });
    }
}

/// Where somebody else's executor runs on a thread of gambol's.
#[derive(Clone, Copy, Debug)]
enum Place {
    BlockingJob,
    Poll,
    Drop,
}

/// What is always ready is asked for more often than a task has budget in one turn.
fn run_inside() {
    futures::executor::block_on(async {
        let (mut near, mut far) = duplex(8);
        for _ in 0..1000 {
            near.write_all(b"x").await.unwrap();
            far.read_exact(&mut [0]).await.unwrap();
        }
    });
}

struct RunsAtDrop(mpsc::Sender<()>);

impl Drop for RunsAtDrop {
    fn drop(&mut self) {
        run_inside();
        self.0.send(()).unwrap();
    }
}

#[test]
fn inside_of_a_task_they_are_not_held_up_by_its_budget() {
    for place in [Place::BlockingJob, Place::Poll, Place::Drop] {
        let (done, is_done) = mpsc::channel();
        match place {
            Place::BlockingJob => drop(gambol::spawn_blocking(move || {
                run_inside();
                done.send(()).unwrap();
            })),
            Place::Poll => drop(gambol::spawn(async move {
                run_inside();
                done.send(()).unwrap();
            })),
            Place::Drop => {
                let runs_at_drop = RunsAtDrop(done);
                let task = gambol::spawn(async move {
                    let _runs_at_drop = runs_at_drop;
                    std::future::pending::<()>().await;
                });
                task.abort();
            }
        }
        assert!(is_done.recv_timeout(PATIENCE).is_ok(), "{place:?}");
    }
}
