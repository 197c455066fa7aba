//! `fs::File` when things go wrong: disks that are full, runtimes that end, pipes that nobody writes to, no descriptors left.
#![cfg(unix)]

mod helpers;
#[path = "helpers/temporary.rs"]
mod temporary;

use gambol::{
    fs::{self, File},
    io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt, ErrorKind, SeekFrom},
    runtime::Runtime,
};
use helpers::{PATIENCE, assert_success, at_most, in_child, is_child};
use rustix::process::{Resource, Rlimit, setrlimit};
use std::{
    io::{Read, Write},
    os::{fd::AsFd, unix::fs::OpenOptionsExt},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};
use temporary::Directory;

/// Makes a FIFO.
fn fifo(path: &Path) {
    let status = std::process::Command::new("mkfifo").arg(path).status().unwrap();
    assert!(status.success());
}

/// Waits until something is so that happens in the pool, unseen.
fn wait_until(mut so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !so() {
        assert!(begin.elapsed() < PATIENCE, "it does not come");
        thread::sleep(Duration::from_millis(1));
    }
}

/// A runtime whose only blocking thread waits until the sender is dropped or used.
fn busy_runtime() -> (Runtime, mpsc::Sender<()>) {
    let runtime = Runtime::builder().max_blocking_threads(1).build().unwrap();
    let (release, released) = mpsc::channel();
    let (begun, has_begun) = mpsc::channel();
    runtime.spawn_blocking(move || {
        begun.send(()).unwrap();
        let _ = released.recv();
    });
    has_begun.recv().unwrap();
    (runtime, release)
}

/// A disk that is always full.
#[cfg(target_os = "linux")]
mod full {
    use super::*;

    /// What tells of a write that went wrong.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Next {
        Flush,
        Close,
        Write,
        Read,
        Seek,
        SyncAll,
        SyncData,
        Metadata,
        SetLen,
        Clone,
        IntoStd,
    }

    impl Next {
        const ALL: [Next; 11] = [
            Next::Flush,
            Next::Close,
            Next::Write,
            Next::Read,
            Next::Seek,
            Next::SyncAll,
            Next::SyncData,
            Next::Metadata,
            Next::SetLen,
            Next::Clone,
            Next::IntoStd,
        ];

        async fn result(self, mut file: File) -> (std::io::Result<()>, Option<File>) {
            let result = match self {
                Next::Flush => file.flush().await,
                Next::Close => file.close().await,
                // The first may be accepted before the error is known.
                Next::Write => loop {
                    if let Err(error) = file.write(b"y").await {
                        break Err(error);
                    }
                },
                Next::Read => file.read(&mut [0]).await.map(drop),
                Next::Seek => file.seek(SeekFrom::End(0)).await.map(drop),
                Next::SyncAll => file.sync_all().await,
                Next::SyncData => file.sync_data().await,
                Next::Metadata => file.metadata().await.map(drop),
                Next::SetLen => file.set_len(0).await,
                Next::Clone => file.try_clone().await.map(drop),
                Next::IntoStd => return (file.into_std().await.map(drop), None),
            };
            (result, Some(file))
        }
    }

    #[test]
    fn an_error_of_a_write_comes_from_the_next_operation() {
        gambol::block_on(async {
            for next in Next::ALL {
                let mut file = File::options().read(true).write(true).open("/dev/full").await.unwrap();
                assert_eq!(file.write(b"x").await.unwrap(), 1, "it is accepted");
                let (result, file) = next.result(file).await;
                let error = result.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::StorageFull, "{next:?}");
                assert_eq!(error.raw_os_error(), Some(libc::ENOSPC), "untouched");
                let Some(mut file) = file else { continue };
                // Told once; but what has to do with the bytes tries again and never says that all is well.
                if next == Next::Write {
                    continue;
                }
                assert!(file.metadata().await.is_ok(), "{next:?}");
                assert_eq!(file.flush().await.unwrap_err().kind(), ErrorKind::StorageFull);
                assert_eq!(file.sync_all().await.unwrap_err().kind(), ErrorKind::StorageFull);
                // Reading does not need them and gives them up.
                assert_eq!(file.read(&mut [1; 3]).await.unwrap(), 3);
                file.flush().await.unwrap();
            }
        });
    }
}

#[test]
fn what_did_not_fit_is_written_when_there_is_room() {
    if !is_child() {
        return assert_success(&in_child("what_did_not_fit_is_written_when_there_is_room"));
    }
    let directory = Directory::new();
    let path = directory.join("a");
    let limit = |bytes: Option<u64>| setrlimit(Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
    // SAFETY: the disposition of a signal may be set at any time; SIG_IGN is no handler.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    gambol::block_on(async {
        let content: Vec<u8> = (0..100_000_u32).map(|index| index as u8).collect();
        let mut file = File::create(&path).await.unwrap();
        limit(Some(30_000));
        for part in content.chunks(7000) {
            // Errors come on the way, and some writes are not accepted then.
            while file.write(part).await.is_err() {}
        }
        assert_eq!(file.flush().await.unwrap_err().kind(), ErrorKind::FileTooLarge);
        assert_eq!(file.sync_all().await.unwrap_err().kind(), ErrorKind::FileTooLarge);
        limit(None);
        file.flush().await.unwrap();
        assert!(std::fs::read(&path).unwrap() == content, "nothing is lost, nothing comes twice");
    });
}

#[test]
fn a_mistaken_operation_leaves_the_file_usable() {
    gambol::block_on(async {
        let directory = Directory::new();
        std::fs::write(directory.join("a"), "text").unwrap();
        let mut file = File::open(directory.join("a")).await.unwrap();
        file.write_all(b"x").await.unwrap();
        assert_eq!(file.flush().await.unwrap_err().raw_os_error(), Some(libc::EBADF));
        let mut text = String::new();
        file.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "text");

        let mut file = File::create(directory.join("b")).await.unwrap();
        assert_eq!(file.read(&mut [0]).await.unwrap_err().raw_os_error(), Some(libc::EBADF));
        file.write_all(b"more").await.unwrap();
        file.flush().await.unwrap();
        assert_eq!(std::fs::read(directory.join("b")).unwrap(), b"more");

        let mut file = File::open(directory.path()).await.unwrap();
        assert_eq!(file.read(&mut [0]).await.unwrap_err().kind(), ErrorKind::IsADirectory);
        assert!(file.metadata().await.unwrap().is_dir());
    });
}

/// What becomes of the file after a write was accepted.
#[derive(Clone, Copy, Debug)]
enum End {
    /// It is dropped at once.
    Drop,
    /// It is dropped with its task, which is aborted.
    Abort,
    /// It is dropped when its job stands in the queue, and then the job is run.
    DropQueued,
    /// Its runtime is dropped when its job stands in the queue.
    DropRuntime,
    /// The same, and the file is dropped first.
    DropBoth,
    /// It is leaked with its runtime's end before it; then the next operation would write.
    Shutdown,
}

#[test]
fn what_was_accepted_is_written_when_the_file_is_dropped() {
    let ends = [End::Drop, End::Abort, End::DropQueued, End::DropRuntime, End::DropBoth, End::Shutdown];
    for end in ends {
        for writes in [1, 2, 100] {
            println!("{end:?} after {writes} writes");
            let directory = Directory::new();
            let path = directory.join("a");
            let content: Vec<u8> = (0..writes * 1000).map(|index: u32| index as u8).collect();
            let (runtime, release) = busy_runtime();
            let file = File::from(std::fs::File::create(&path).unwrap());
            let write = async |mut file: File| {
                for part in content.chunks(1000) {
                    assert_eq!(file.write(part).await.unwrap(), 1000);
                }
                file
            };
            match end {
                End::Drop => {
                    drop(release);
                    drop(runtime.block_on(write(file)));
                }
                End::Abort => {
                    drop(release);
                    let content = content.clone();
                    let (sender, done) = mpsc::channel();
                    let task = runtime.spawn(async move {
                        let mut file = file;
                        for part in content.chunks(1000) {
                            assert_eq!(file.write(part).await.unwrap(), 1000);
                        }
                        sender.send(()).unwrap();
                        std::future::pending::<()>().await;
                        drop(file);
                    });
                    done.recv().unwrap();
                    task.abort();
                }
                End::DropQueued => {
                    drop(runtime.block_on(write(file)));
                    assert_eq!(std::fs::metadata(&path).unwrap().len(), 0, "its job waits");
                    drop(release);
                }
                End::DropRuntime => {
                    let file = runtime.block_on(write(file));
                    drop(runtime);
                    assert!(std::fs::read(&path).unwrap() == content, "already written");
                    drop((file, release));
                }
                End::DropBoth => {
                    drop(runtime.block_on(write(file)));
                    drop(runtime);
                    assert!(std::fs::read(&path).unwrap() == content, "already written");
                    drop(release);
                }
                End::Shutdown => {
                    let file = runtime.block_on(write(file));
                    let _ = runtime.shutdown(Duration::ZERO);
                    let mut file = file;
                    gambol::block_on(async { file.flush().await }).unwrap();
                    drop(release);
                }
            }
            wait_until(|| std::fs::read(&path).unwrap() == content);
        }
    }
}

#[test]
fn a_flushed_file_is_closed_by_its_drop() {
    // An executable that is open for writing cannot be run.
    gambol::block_on(async {
        let directory = Directory::new();
        for round in 0..30 {
            let path = directory.join(&format!("script-{round}"));
            let mut file = File::options().write(true).create(true).mode(0o755).open(&path).await.unwrap();
            // Long enough for a job to take a while over it.
            file.write_all(format!("#!/bin/sh\nexit 0\n{}", "#".repeat(round * 10_000)).as_bytes()).await.unwrap();
            file.flush().await.unwrap();
            let descriptor = std::os::fd::AsRawFd::as_raw_fd(&file.as_fd());
            drop(file);
            let link = std::fs::read_link(format!("/dev/fd/{descriptor}"));
            assert!(link.map_or(true, |target| target != path), "still open");
        }
    });
}

/// What a job in the queue is for when its runtime ends.
#[derive(Clone, Copy, Debug)]
enum Queued {
    Read,
    Flush,
    Seek,
    Metadata,
    SyncAll,
    SetLen,
}

#[test]
fn a_shutdown_ends_every_wait() {
    for queued in [Queued::Read, Queued::Flush, Queued::Seek, Queued::Metadata, Queued::SyncAll, Queued::SetLen] {
        for elsewhere in [true, false] {
            println!("{queued:?}, polled elsewhere afterwards {elsewhere}");
            let directory = Directory::new();
            let path = directory.join("a");
            std::fs::write(&path, "text").unwrap();
            let (runtime, release) = busy_runtime();
            let file = std::fs::File::options().read(true).write(true).open(&path).unwrap();
            // So that no read is without a job.
            let mut file = File::from(file);
            let mut operation = Box::pin(async move {
                match queued {
                    Queued::Read => file.read(&mut [0; 10]).await.map(|n| assert_eq!(n, 4)),
                    Queued::Flush => {
                        file.write_all(b"next").await?;
                        file.flush().await
                    }
                    Queued::Seek => file.seek(SeekFrom::End(-1)).await.map(|to| assert_eq!(to, 3)),
                    Queued::Metadata => file.metadata().await.map(drop),
                    Queued::SyncAll => file.sync_all().await,
                    Queued::SetLen => file.set_len(1).await,
                }
            });
            // Served from the cache it needs no job, and there is nothing to see.
            let first = runtime.block_on(helpers::poll_once(&mut operation.as_mut()));
            if first.is_ready() {
                assert!(matches!(queued, Queued::Read), "{queued:?} waits for a job");
                continue;
            }
            if elsewhere {
                drop(runtime);
                // Who waits for the buffer starts another job where he is; a call of its own is lost.
                match (queued, gambol::block_on(operation)) {
                    (Queued::Read | Queued::Flush | Queued::Seek, result) => result.unwrap(),
                    (_, result) => assert_eq!(result.unwrap_err().to_string(), "the runtime is gone"),
                }
            } else {
                let (told, result) = mpsc::channel();
                let task = runtime.spawn(async move { told.send(operation.await) });
                drop(runtime);
                // Dropped with its runtime, or told; in any case it does not hang.
                if let Ok(Err(error)) = result.recv_timeout(PATIENCE) {
                    assert_eq!(error.to_string(), "the runtime is gone");
                }
                drop(task);
            }
            drop(release);
        }
    }
}

#[test]
fn a_runtime_that_is_gone_says_so() {
    let directory = Directory::new();
    let path = directory.join("fifo");
    fifo(&path);
    let (runtime, release) = busy_runtime();
    let open = || std::fs::File::options().read(true).write(true).open(&path).unwrap();
    let (told, results) = mpsc::channel();
    let mut file = File::from(open());
    /// Does in its drop, when its runtime is closed, what it can still do then.
    struct Late<F: FnMut()>(F);
    impl<F: FnMut()> Drop for Late<F> {
        fn drop(&mut self) {
            (self.0)();
        }
    }
    let late = Late(move || {
        // Jobs that are started here stand in a queue that is being emptied further up on this very stack.
        let errors = gambol::block_on(async {
            [
                file.read(&mut [0]).await.map(drop),
                // Accepted, since nobody knows better yet.
                async {
                    file.write_all(b"x").await?;
                    file.flush().await
                }
                .await,
                file.seek(SeekFrom::Start(0)).await.map(drop),
                file.metadata().await.map(drop),
            ]
            .map(|result| result.unwrap_err().to_string())
        });
        told.send(errors).unwrap();
    });
    runtime.spawn(async move {
        let _late = late;
        std::future::pending::<()>().await;
    });
    runtime.block_on(gambol::yield_now());
    drop(runtime);
    for error in results.recv_timeout(PATIENCE).unwrap() {
        assert_eq!(error, "the runtime is gone");
    }
    drop(release);
}

#[test]
fn a_refusal_that_was_told_is_not_told_again() {
    let directory = Directory::new();
    let mut file = File::from(std::fs::File::create(directory.join("a")).unwrap());
    for _ in 0..2 {
        let (runtime, release) = busy_runtime();
        let mut call = Box::pin(file.metadata());
        assert!(runtime.block_on(helpers::poll_once(&mut call.as_mut())).is_pending());
        drop(runtime);
        assert_eq!(gambol::block_on(call).unwrap_err().to_string(), "the runtime is gone");
        drop(release);
    }
    // Here all is well.
    assert_eq!(gambol::block_on(file.seek(SeekFrom::End(0))).unwrap(), 0);
}

#[test]
fn bytes_of_a_dropped_read_of_a_pipe_are_kept() {
    let directory = Directory::new();
    let path = directory.join("fifo");
    fifo(&path);
    gambol::block_on(async {
        let file = std::fs::File::options().read(true).write(true).open(&path).unwrap();
        let mut writer = file.try_clone().unwrap();
        let mut file = File::from(file);
        assert!(at_most(1, file.read(&mut [0; 6])).await.is_none());
        writer.write_all(b"abcdefgh").unwrap();
        let mut room = [0; 3];
        file.read_exact(&mut room).await.unwrap();
        assert_eq!(&room, b"abc");
        // A pipe has no position: what was read too early survives a write and a failing seek.
        file.write_all(b"ij").await.unwrap();
        file.flush().await.unwrap();
        assert_eq!(file.seek(SeekFrom::Start(0)).await.unwrap_err().raw_os_error(), Some(libc::ESPIPE));
        let mut rest = [0; 7];
        file.read_exact(&mut rest).await.unwrap();
        assert_eq!(&rest, b"defghij");
        // Not more is taken from a pipe than was asked for, by a job either.
        assert!(at_most(1, file.read(&mut room)).await.is_none());
        writer.write_all(b"klmnop").unwrap();
        assert_eq!(file.read(&mut room).await.unwrap(), 3);
        writer.write_all(b"later").unwrap();
        let mut left = [0; 3];
        writer.read_exact(&mut left).unwrap();
        assert_eq!(&left, b"nop");
    });
}

#[test]
fn a_read_that_never_ends_holds_up_nothing() {
    if !is_child() {
        let begin = Instant::now();
        assert_success(&in_child("a_read_that_never_ends_holds_up_nothing"));
        assert!(begin.elapsed() < PATIENCE);
        return;
    }
    let directory = Directory::new();
    let path = directory.join("fifo");
    fifo(&path);
    let open = || File::from(std::fs::File::options().read(true).write(true).open(&path).unwrap());
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let mut file = open();
        assert!(at_most(2, gambol::time::timeout(Duration::from_millis(1), file.read(&mut [0]))).await.is_some());
        // Opening one that nobody writes to does not end either.
        assert!(at_most(1, File::open(&path)).await.is_none());
    });
    drop(runtime);
    // And in the default runtime, beside its end with the process.
    gambol::block_on(async { assert!(at_most(1, open().read(&mut [0])).await.is_none()) });
}

#[cfg(target_os = "linux")]
#[test]
fn files_without_a_size_are_read_to_the_end() {
    gambol::block_on(async {
        for path in ["/proc/self/limits", "/proc/self/status"] {
            assert_eq!(fs::metadata(path).await.unwrap().len(), 0);
            let mut text = String::new();
            File::open(path).await.unwrap().read_to_string(&mut text).await.unwrap();
            assert!(text.lines().count() > 10 && text.ends_with('\n'), "{text}");
            assert!(fs::read_to_string(path).await.unwrap().lines().count() > 10);
            // In small pieces, of which each is a read of its own.
            let (mut file, mut pieces) = (File::open(path).await.unwrap(), Vec::new());
            let mut room = [0; 7];
            while let n @ 1.. = file.read(&mut room).await.unwrap() {
                pieces.extend_from_slice(&room[..n]);
            }
            assert_eq!(pieces.iter().filter(|byte| **byte == b'\n').count(), text.lines().count());
        }
        let mut file = File::open("/dev/zero").await.unwrap();
        let mut room = [1; 100];
        file.read_exact(&mut room).await.unwrap();
        assert_eq!(room, [0; 100]);
    });
}

#[cfg(target_os = "linux")]
#[test]
fn each_write_is_one_of_its_own() {
    // A pipe of packets keeps the writes apart.
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::DIRECT).unwrap();
    let (runtime, release) = busy_runtime();
    let mut file = File::from(std::fs::File::from(writer));
    runtime.block_on(async {
        // They all wait for one job.
        for text in ["one", "two", "three"] {
            file.write_all(text.as_bytes()).await.unwrap();
        }
        drop(release);
        file.flush().await.unwrap();
    });
    let mut reader = std::fs::File::from(reader);
    for text in ["one", "two", "three"] {
        let mut room = [0; 100];
        let n = reader.read(&mut room).unwrap();
        assert_eq!(&room[..n], text.as_bytes());
    }
}

/// The end of a pipe into which one can write, but not as fast as a task does.
fn slow_pipe() -> std::fs::File {
    let (mut reader, writer) = std::io::pipe().unwrap();
    thread::spawn(move || {
        let mut room = [0; 16 * 1024];
        while reader.read(&mut room).is_ok_and(|n| n > 0) {
            thread::sleep(Duration::from_micros(300));
        }
    });
    std::fs::File::from(std::os::fd::OwnedFd::from(writer))
}

/// Does something beside a task that writes without end, and says whether it has come to an end.
fn ends_beside_a_writer<T>(runtime: &Runtime, other: impl AsyncFnOnce(&File) -> T) -> bool {
    let file = Arc::new(File::from(slow_pipe()));
    let stop = Arc::new(AtomicBool::new(false));
    runtime.block_on(async {
        let writing = gambol::spawn({
            let (file, stop) = (file.clone(), stop.clone());
            async move {
                while !stop.load(Ordering::Relaxed) {
                    (&*file).write_all(&[1; 1000]).await.unwrap();
                }
            }
        });
        // Until it has filled the buffer.
        gambol::time::sleep(Duration::from_millis(50)).await;
        let ended = gambol::time::timeout(PATIENCE, other(&file)).await.is_ok();
        stop.store(true, Ordering::Relaxed);
        writing.await.unwrap();
        ended
    })
}

#[test]
fn a_writer_without_end_does_not_starve_who_uses_the_file_otherwise() {
    let runtime = Runtime::builder().workers(2).build().unwrap();
    assert!(ends_beside_a_writer(&runtime, async |file| file.metadata().await.map(drop)), "metadata");
    assert!(ends_beside_a_writer(&runtime, async |mut file| file.flush().await), "flush");
    assert!(ends_beside_a_writer(&runtime, async |file| file.sync_data().await), "sync_data");
    assert!(ends_beside_a_writer(&runtime, async |mut file| file.stream_position().await.map(drop)), "seek");
}

#[test]
fn a_writer_without_end_does_not_keep_the_only_thread_to_itself() {
    let runtime = Runtime::builder().max_blocking_threads(1).build().unwrap();
    assert!(ends_beside_a_writer(&runtime, async |_| fs::metadata("/").await.unwrap()));
}

#[test]
fn without_descriptors_the_error_is_passed_on() {
    if !is_child() {
        return assert_success(&in_child("without_descriptors_the_error_is_passed_on"));
    }
    gambol::block_on(async {
        let directory = Directory::new();
        std::fs::write(directory.join("a"), "text").unwrap();
        let mut file = File::open(directory.join("a")).await.unwrap();
        let limit = std::fs::File::open("/dev/null").unwrap();
        let next = std::os::fd::AsRawFd::as_raw_fd(&limit) as u64;
        setrlimit(Resource::Nofile, Rlimit { current: Some(next), maximum: Some(1000) }).unwrap();
        drop(limit);
        let _last: Vec<_> = std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect();
        assert_eq!(File::open(directory.join("a")).await.unwrap_err().raw_os_error(), Some(libc::EMFILE));
        assert_eq!(fs::read(directory.join("a")).await.unwrap_err().raw_os_error(), Some(libc::EMFILE));
        assert_eq!(fs::read_dir(directory.path()).await.unwrap_err().raw_os_error(), Some(libc::EMFILE));
        assert_eq!(file.try_clone().await.unwrap_err().raw_os_error(), Some(libc::EMFILE));
        let mut text = String::new();
        file.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "text", "what is open still works");
        setrlimit(Resource::Nofile, Rlimit { current: Some(1000), maximum: Some(1000) }).unwrap();
        drop(File::open(directory.join("a")).await.unwrap());
    });
}

#[test]
fn options_reach_the_operating_system() {
    use std::os::unix::fs::PermissionsExt;
    gambol::block_on(async {
        let directory = Directory::new();
        let file = File::options().write(true).create_new(true).mode(0o600).open(directory.join("a")).await.unwrap();
        assert_eq!(file.metadata().await.unwrap().permissions().mode() & 0o777, 0o600);
        file.set_permissions(std::fs::Permissions::from_mode(0o640)).await.unwrap();
        assert_eq!(file.metadata().await.unwrap().permissions().mode() & 0o777, 0o640);
        let time = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000);
        file.set_times(std::fs::FileTimes::new().set_modified(time)).await.unwrap();
        assert_eq!(file.metadata().await.unwrap().modified().unwrap(), time);
        fs::symlink("a", directory.join("link")).await.unwrap();
        let refused = File::options().read(true).custom_flags(libc::O_NOFOLLOW).open(directory.join("link")).await;
        assert_eq!(refused.unwrap_err().raw_os_error(), Some(libc::ELOOP));
        let mut options = std::fs::OpenOptions::new();
        options.read(true).custom_flags(libc::O_DIRECTORY);
        let refused = fs::OpenOptions::from(options).open(directory.join("a")).await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::NotADirectory);
    });
}
