//! The functions of `fs`: they do what std's do, under any executor, and say when they cannot.

mod helpers;
#[path = "helpers/temporary.rs"]
mod temporary;

use futures_util::{StreamExt, TryStreamExt};
use gambol::{
    fs,
    io::{self, ErrorKind},
    runtime::Runtime,
    task,
};
use helpers::{at_most, poll_once};
use std::{
    collections::BTreeSet,
    future::Future,
    path::Path,
    pin::{Pin, pin},
    sync::mpsc,
};
use temporary::Directory;

/// Who polls the future.
#[derive(Clone, Copy, Debug)]
enum Executor {
    Task,
    BlockOn,
    Foreign,
    Tokio,
}

impl Executor {
    const ALL: [Executor; 4] = [Executor::Task, Executor::BlockOn, Executor::Foreign, Executor::Tokio];

    fn run<F: Future<Output: Send + 'static> + Send + 'static>(self, future: F) -> F::Output {
        match self {
            Executor::Task => gambol::block_on(gambol::spawn(future)).unwrap(),
            Executor::BlockOn => gambol::block_on(future),
            Executor::Foreign => futures::executor::block_on(future),
            Executor::Tokio => {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                runtime.block_on(runtime.spawn(future)).unwrap()
            }
        }
    }
}

#[test]
fn everything_works_under_every_executor() {
    for executor in Executor::ALL {
        let directory = Directory::new();
        let root = directory.path().to_owned();
        executor.run(async move { everything(&root).await }).unwrap_or_else(|error| panic!("{executor:?}: {error}"));
    }
}

/// Each function once, checked by another one or by std's.
async fn everything(root: &Path) -> io::Result<()> {
    let at = |name: &str| root.join(name);
    fs::write(at("a"), "text").await?;
    assert_eq!(fs::read(at("a")).await?, b"text");
    assert_eq!(fs::read_to_string(at("a")).await?, "text");
    assert_eq!(fs::copy(at("a"), at("b")).await?, 4);
    assert_eq!(std::fs::read(at("b"))?, b"text");
    fs::rename(at("b"), at("c")).await?;
    assert!(!fs::exists(at("b")).await? && fs::try_exists(at("c")).await?);
    fs::hard_link(at("c"), at("d")).await?;
    fs::remove_file(at("c")).await?;
    assert_eq!(fs::metadata(at("d")).await?.len(), 4);
    fs::create_dir(at("directory")).await?;
    fs::create_dir_all(at("directory/x/y")).await?;
    fs::create_dir_all(at("directory/x/y")).await?;
    assert_eq!(fs::canonicalize(at("directory/x/../../a")).await?, std::fs::canonicalize(at("a"))?);
    fs::remove_dir(at("directory/x/y")).await?;
    fs::remove_dir_all(at("directory")).await?;
    assert!(!at("directory").exists());
    let mut permissions = fs::metadata(at("a")).await?.permissions();
    permissions.set_readonly(true);
    fs::set_permissions(at("a"), permissions.clone()).await?;
    assert!(std::fs::metadata(at("a"))?.permissions().readonly());
    assert!(fs::symlink_metadata(at("a")).await?.is_file());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        permissions.set_mode(0o644);
        fs::set_permissions(at("a"), permissions).await?;
        fs::symlink("a", at("link")).await?;
        assert_eq!(fs::read_link(at("link")).await?, Path::new("a"));
        assert!(fs::symlink_metadata(at("link")).await?.is_symlink());
        assert!(fs::metadata(at("link")).await?.is_file());
        fs::DirBuilder::new().recursive(true).mode(0o700).create(at("p/q")).await?;
        assert_eq!(fs::metadata(at("p/q")).await?.permissions().mode() & 0o777, 0o700);
    }
    Ok(())
}

/// The error of a call, as its kind.
type Failing<'a> = Pin<Box<dyn Future<Output = ErrorKind> + 'a>>;

fn failing<'a, T: std::fmt::Debug>(call: impl Future<Output = io::Result<T>> + 'a) -> Failing<'a> {
    Box::pin(async { call.await.unwrap_err().kind() })
}

#[test]
fn errors_are_those_of_the_operating_system() {
    let directory = Directory::new();
    let (missing, there) = (directory.join("missing"), directory.join("there"));
    std::fs::write(&there, [0xff]).unwrap();
    let missing = &missing;
    let (builder, options) = (fs::DirBuilder::new(), fs::File::options());
    let all: Vec<(&str, Failing<'_>, ErrorKind)> = vec![
        ("canonicalize", failing(fs::canonicalize(missing)), ErrorKind::NotFound),
        ("copy", failing(fs::copy(missing, &there)), ErrorKind::NotFound),
        ("create_dir", failing(fs::create_dir(&there)), ErrorKind::AlreadyExists),
        ("create_dir_all", failing(fs::create_dir_all(there.join("x"))), ErrorKind::NotADirectory),
        ("exists", failing(fs::exists(there.join("x"))), ErrorKind::NotADirectory),
        ("hard_link", failing(fs::hard_link(missing, &there)), ErrorKind::NotFound),
        ("metadata", failing(fs::metadata(missing)), ErrorKind::NotFound),
        ("symlink_metadata", failing(fs::symlink_metadata(missing)), ErrorKind::NotFound),
        ("read", failing(fs::read(missing)), ErrorKind::NotFound),
        ("read of a directory", failing(fs::read(directory.path())), ErrorKind::IsADirectory),
        ("read_to_string", failing(fs::read_to_string(&there)), ErrorKind::InvalidData),
        ("read_link", failing(fs::read_link(&there)), ErrorKind::InvalidInput),
        ("read_dir", failing(fs::read_dir(&there)), ErrorKind::NotADirectory),
        ("remove_dir", failing(fs::remove_dir(directory.path())), ErrorKind::DirectoryNotEmpty),
        ("remove_dir_all", failing(fs::remove_dir_all(missing)), ErrorKind::NotFound),
        ("remove_file", failing(fs::remove_file(missing)), ErrorKind::NotFound),
        ("rename", failing(fs::rename(missing, &there)), ErrorKind::NotFound),
        ("write", failing(fs::write(there.join("x"), "")), ErrorKind::NotADirectory),
        ("DirBuilder", failing(builder.create(missing.join("x"))), ErrorKind::NotFound),
        ("open", failing(fs::File::open(missing)), ErrorKind::NotFound),
        ("create_new", failing(fs::File::create_new(&there)), ErrorKind::AlreadyExists),
        ("no options", failing(options.open(&there)), ErrorKind::InvalidInput),
    ];
    gambol::block_on(async {
        for (name, call, kind) in all {
            assert_eq!(call.await, kind, "{name}");
        }
    });
}

#[test]
fn a_directory_is_read_whole_in_batches() {
    gambol::block_on(async {
        for count in [0, 1, 127, 128, 129, 300] {
            let directory = Directory::new();
            let names: BTreeSet<String> = (0..count).map(|number| format!("file {number}")).collect();
            names.iter().for_each(|name| std::fs::write(directory.join(name), name).unwrap());

            let stream = fs::read_dir(directory.path()).await.unwrap();
            let found: Vec<_> = stream.try_collect().await.unwrap();
            assert_eq!(found.len(), count);
            assert_eq!(
                found.iter().map(|entry| entry.file_name().into_string().unwrap()).collect::<BTreeSet<_>>(),
                names
            );

            // Given up at each poll, an entry that was not yielded comes later.
            let mut stream = fs::read_dir(directory.path()).await.unwrap();
            let mut found = BTreeSet::new();
            let mut polls = 0;
            loop {
                polls = (polls + 1) % 3;
                match at_most(polls, stream.next_entry()).await {
                    None => continue,
                    Some(Ok(Some(entry))) => {
                        assert_eq!(entry.path(), directory.path().join(entry.file_name()));
                        assert!(entry.file_type().await.unwrap().is_file());
                        assert_eq!(entry.metadata().await.unwrap().len(), entry.file_name().len() as u64);
                        assert!(found.insert(entry.file_name().into_string().unwrap()), "came twice");
                    }
                    Some(Ok(None)) => break,
                    Some(Err(error)) => panic!("{error}"),
                }
            }
            assert_eq!(found, names);
            assert!(stream.next().await.is_none(), "the end stays the end");
        }
    });
}

#[test]
fn an_entry_that_is_gone_is_an_error_of_its_own() {
    gambol::block_on(async {
        let directory = Directory::new();
        std::fs::write(directory.join("a"), "").unwrap();
        let entry = fs::read_dir(directory.path()).await.unwrap().next_entry().await.unwrap().unwrap();
        std::fs::remove_file(directory.join("a")).unwrap();
        assert_eq!(entry.metadata().await.unwrap_err().kind(), ErrorKind::NotFound);
    });
}

#[test]
fn a_call_goes_on_when_its_future_is_dropped() {
    let directory = Directory::new();
    let path = directory.join("a");
    let runtime = Runtime::builder().max_blocking_threads(1).build().unwrap();
    let (release, released) = mpsc::channel::<()>();
    let busy = runtime.spawn_blocking(move || released.recv());
    runtime.block_on(async {
        // The only thread is taken, so the call stands in the queue.
        assert!(at_most(1, fs::write(&path, "text")).await.is_none());
        assert!(!path.exists());
        release.send(()).unwrap();
        busy.await.unwrap().unwrap();
        // Comes after the write in the same queue.
        assert_eq!(fs::read(&path).await.unwrap(), b"text");
    });
}

#[test]
fn a_call_that_is_cancelled_by_a_shutdown_says_so() {
    let runtime = Runtime::builder().max_blocking_threads(1).build().unwrap();
    let handle = runtime.handle().clone();
    let (release, released) = mpsc::channel::<()>();
    runtime.spawn_blocking(move || released.recv());
    let mut queued = pin!(fs::metadata("."));
    let ready = runtime.block_on(poll_once(&mut queued));
    assert!(ready.is_pending());
    drop(runtime);
    assert_eq!(gambol::block_on(queued).unwrap_err().to_string(), "the runtime is gone");
    // And a call that comes too late.
    let late = handle.spawn(async { fs::metadata(".").await });
    assert!(gambol::block_on(late).unwrap_err().is_cancelled());
    drop(release);
}

#[test]
fn who_waits_for_a_call_is_seen_to_wait_for_blocking() {
    let runtime = Runtime::builder().workers(1).max_blocking_threads(1).build().unwrap();
    let (release, released) = mpsc::channel::<()>();
    let busy = runtime.spawn_blocking(move || released.recv());
    let waiting = runtime.spawn(async { fs::metadata(".").await.unwrap().is_dir() });
    let id = waiting.id();
    runtime.block_on(async {
        let wait = loop {
            if let Some(info) = runtime.handle().parked_tasks().into_iter().find(|info| info.id == id) {
                break info.wait;
            }
            task::yield_now().await;
        };
        assert_eq!(wait.as_str(), "blocking");
        release.send(()).unwrap();
        assert!(waiting.await.unwrap());
        busy.await.unwrap().unwrap();
    });
}
