//! Copying into files, by whichever road: the bytes are where the file's position says, whatever came before, however it
//! ends, and whatever comes after.

mod helpers;
#[path = "helpers/temporary.rs"]
mod temporary;

use gambol::{
    fs::File,
    io::{AsyncRead, AsyncReadExt, AsyncSeekExt, AsyncWrite, AsyncWriteExt, SeekFrom, copy},
    net::TcpStream,
};
use helpers::{PATIENCE, poll_once};
use std::{
    fmt::Debug,
    io::{self, Write},
    net::{self, Shutdown},
    path::Path,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    thread,
};
use temporary::Directory;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// So much takes the short road, where there is one.
const LONG: usize = 4 * MIB;

/// Bytes that a copy into a file holds at most.
const HELD: usize = MIB;

/// Content whose period is no power of two.
fn content(size: usize) -> Arc<Vec<u8>> {
    Arc::new((0..size).map(|n| (n % 251) as u8 ^ (n >> 16) as u8).collect())
}

/// A connection from which `data` can be read, and then the end.
fn source(data: &Arc<Vec<u8>>) -> (TcpStream, thread::JoinHandle<()>) {
    let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut theirs = net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    theirs.set_write_timeout(Some(PATIENCE)).unwrap();
    let data = data.clone();
    let feeding = thread::spawn(move || {
        // Whoever gives up early closes the other end.
        if theirs.write_all(&data).is_ok() {
            let _ = theirs.shutdown(Shutdown::Write);
        }
    });
    (listener.accept().unwrap().0.try_into().unwrap(), feeding)
}

/// A number that a copy shows in its `Debug`.
fn shown(copy: &impl Debug, field: &str) -> usize {
    let text = format!("{copy:?}");
    let at = text.find(&format!("{field}: ")).unwrap() + field.len() + 2;
    text[at..].split(|byte: char| !byte.is_ascii_digit()).next().unwrap().parse().unwrap()
}

/// Bytes copied, and how many of them on the short road.
async fn run<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(reader: R, writer: W) -> io::Result<(u64, usize)> {
    let mut copying = pin!(copy(reader, writer));
    let copied = copying.as_mut().await?;
    Ok((copied, shown(&copying, "spliced")))
}

/// A connection that is not known.
struct Plain<S>(S);

impl<S: AsyncRead + Unpin> AsyncRead for Plain<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

async fn open(path: &Path) -> File {
    File::options().read(true).write(true).create(true).truncate(false).open(path).await.unwrap()
}

/// What was done with the file before.
#[derive(Clone, Copy, Debug)]
enum Before {
    Nothing,
    /// Something is read ahead: the system's position is another.
    Read,
    /// The end was seen.
    ReadAll,
    Sought,
    /// Something waits to be written.
    Wrote,
    /// Somebody else has the same position.
    Cloned,
    FromStd,
}

const BEFORE: [Before; 7] =
    [Before::Nothing, Before::Read, Before::ReadAll, Before::Sought, Before::Wrote, Before::Cloned, Before::FromStd];

/// The bytes of the file at the beginning.
const OLD: usize = 50 * KIB;

impl Before {
    /// Leaves the file, and a model of its content, at the position that is returned.
    async fn prepare(self, file: File, model: &mut [u8]) -> (File, usize, Option<File>) {
        let mut file = file;
        let mut clone = None;
        let position = match self {
            Before::Nothing => 0,
            Before::Read => {
                let mut some = [0; 100];
                file.read_exact(&mut some).await.unwrap();
                assert_eq!(some, model[..100]);
                100
            }
            Before::ReadAll => {
                let mut all = Vec::new();
                file.read_to_end(&mut all).await.unwrap();
                assert!(all == model);
                OLD
            }
            Before::Sought => file.seek(SeekFrom::Start(7_000)).await.unwrap() as usize,
            Before::Wrote => {
                for n in 0..200 {
                    file.write_all(&[n; 100]).await.unwrap();
                    model[usize::from(n) * 100..][..100].fill(n);
                }
                20_000
            }
            Before::Cloned => {
                clone = Some(file.try_clone().await.unwrap());
                0
            }
            Before::FromStd => {
                file = File::from(file.into_std().await.unwrap());
                0
            }
        };
        (file, position, clone)
    }
}

/// What is given to `copy`.
#[derive(Clone, Copy, Debug)]
enum As {
    Mut,
    Ref,
    /// A connection that is not known.
    PlainMut,
}

#[gambol::test]
async fn the_bytes_are_at_the_position_and_the_position_behind_them() {
    let directory = Directory::new();
    for size in [0, 1, 16 * KIB, 64 * KIB + 1, 300 * KIB, LONG] {
        let data = content(size);
        for before in BEFORE {
            for given in [As::Mut, As::Ref, As::PlainMut] {
                let context = format!("{size} bytes, {before:?}, {given:?}");
                let path = directory.join("file");
                let mut model = vec![b'-'; OLD];
                std::fs::write(&path, &model).unwrap();
                let (mut file, mut position, _clone) = before.prepare(open(&path).await, &mut model).await;
                let (source, feeding) = source(&data);
                let (copied, spliced) = match given {
                    As::Mut => run(source, &mut file).await,
                    As::Ref => run(&source, &file).await,
                    As::PlainMut => run(Plain(source), &mut file).await,
                }
                .unwrap();
                feeding.join().unwrap();
                assert_eq!(copied as usize, size, "{context}");
                if size == LONG {
                    let expected = cfg!(target_os = "linux") && !matches!(given, As::PlainMut);
                    assert_eq!(spliced != 0, expected, "{context}");
                }
                model.resize(model.len().max(position + size), 0);
                model[position..][..size].copy_from_slice(&data);
                position += size;
                assert!(std::fs::read(&path).unwrap() == model, "{context}");

                // It goes on where the copy has ended.
                assert_eq!(file.stream_position().await.unwrap() as usize, position, "{context}");
                let mut rest = Vec::new();
                file.read_to_end(&mut rest).await.unwrap();
                assert!(rest == model[position..], "{context}");
                file.write_all(b"behind").await.unwrap();
                file.flush().await.unwrap();
                model.extend_from_slice(b"behind");
                assert!(std::fs::read(&path).unwrap() == model, "{context}");
                std::fs::remove_file(&path).unwrap();
            }
        }
    }
}

#[gambol::test]
async fn one_copy_follows_the_other() {
    let directory = Directory::new();
    let mut file = open(&directory.join("file")).await;
    let mut model = Vec::new();
    for size in [LONG, 10, 2 * LONG + 1, LONG] {
        let data = content(size);
        let (source, feeding) = source(&data);
        copy(source, &mut file).await.unwrap();
        feeding.join().unwrap();
        file.write_all(b"between").await.unwrap();
        model.extend_from_slice(&data);
        model.extend_from_slice(b"between");
    }
    file.flush().await.unwrap();
    assert!(std::fs::read(directory.join("file")).unwrap() == model);
}

#[test]
fn it_works_under_any_executor() {
    let directory = Directory::new();
    let data = content(LONG);
    let check = async || {
        let path = directory.join("file");
        let mut file = File::create(&path).await.unwrap();
        let (source, feeding) = source(&data);
        assert_eq!(copy(source, &mut file).await.unwrap(), LONG as u64);
        feeding.join().unwrap();
        assert!(std::fs::read(&path).unwrap() == *data);
    };
    futures::executor::block_on(check());
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(check());
    gambol::block_on(check());
}

#[gambol::test]
async fn a_copy_that_is_given_up_has_written_the_beginning() {
    let directory = Directory::new();
    let data = content(LONG);
    for polls in (0..40).chain([60, 100]) {
        for bare in [true, false] {
            let path = directory.join("file");
            let mut file = open(&path).await;
            let (source, feeding) = source(&data);
            let (copied, held) = match bare {
                true => give_up(copy(&source, &file), polls).await,
                false => give_up(copy(Plain(&source), &file), polls).await,
            };
            assert!(held <= if bare && cfg!(target_os = "linux") { HELD } else { 16 * KIB }, "{held}");
            // Whatever is done next waits for the thread that may still be writing.
            let position = file.stream_position().await.unwrap() as usize;
            assert!(position == copied || position == copied + held, "{position}, {copied} and {held}, {polls} polls");
            file.write_all(b"behind").await.unwrap();
            file.flush().await.unwrap();
            let (beginning, behind) = (&data[..position], b"behind");
            assert!(std::fs::read(&path).unwrap() == [beginning, behind].concat(), "{polls} polls");
            let mut rest = Vec::new();
            (&source).read_to_end(&mut rest).await.unwrap();
            assert!(rest == data[copied + held..], "{polls} polls");
            feeding.join().unwrap();
            std::fs::remove_file(&path).unwrap();
        }
    }
}

/// What was copied, and what was under way.
async fn give_up<R, W>(copying: gambol::io::Copy<R, W>, polls: usize) -> (usize, usize)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut copying = pin!(copying);
    for _ in 0..polls {
        if poll_once(&mut copying).await.is_ready() {
            break;
        }
        gambol::yield_now().await;
    }
    (shown(&copying, "copied"), shown(&copying, "held"))
}

#[gambol::test]
async fn a_file_in_append_mode_gets_it_at_its_end() {
    let directory = Directory::new();
    let path = directory.join("file");
    std::fs::write(&path, "old").unwrap();
    let mut file = File::options().append(true).open(&path).await.unwrap();
    let data = content(LONG);
    let (source, feeding) = source(&data);
    assert_eq!(run(source, &mut file).await.unwrap(), (LONG as u64, 0));
    feeding.join().unwrap();
    assert!(std::fs::read(&path).unwrap() == [b"old", &data[..]].concat());
}

#[gambol::test]
async fn a_file_that_cannot_be_written_to_gives_its_error() {
    let directory = Directory::new();
    let path = directory.join("file");
    std::fs::write(&path, "old").unwrap();
    for size in [10, LONG] {
        for bare in [true, false] {
            let file = File::open(&path).await.unwrap();
            let (source, feeding) = source(&content(size));
            let result = if bare { copy(source, &file).await } else { copy(Plain(source), &file).await };
            assert!(result.is_err(), "{size} bytes");
            feeding.join().unwrap();
        }
    }
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
}

#[cfg(target_os = "linux")]
mod on_linux {
    use super::*;
    use gambol::runtime::Runtime;
    use helpers::{assert_success, in_child, is_child};
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    use std::process::Stdio;

    #[gambol::test]
    async fn devices_and_fifos_are_written_to_as_ever() {
        let data = content(LONG);
        let full = File::options().write(true).open("/dev/full").await.unwrap();
        let (connection, feeding) = source(&data);
        assert_eq!(copy(connection, &full).await.unwrap_err().kind(), io::ErrorKind::StorageFull);
        feeding.join().unwrap();

        let (reader, writer) = io::pipe().unwrap();
        let file = File::from(std::fs::File::from(std::os::fd::OwnedFd::from(writer)));
        let collected = thread::spawn(move || {
            let mut all = Vec::new();
            io::Read::read_to_end(&mut { reader }, &mut all).map(|_| all).unwrap()
        });
        let (connection, feeding) = source(&data);
        assert_eq!(run(connection, file).await.unwrap(), (LONG as u64, 0));
        feeding.join().unwrap();
        assert!(collected.join().unwrap() == *data);
    }

    #[gambol::test]
    async fn what_a_child_says_goes_into_a_file() {
        let directory = Directory::new();
        let data = content(LONG);
        std::fs::write(directory.join("from"), &**data).unwrap();
        let mut command = gambol::process::Command::new("cat");
        let mut child = command.arg(directory.join("from")).stdout(Stdio::piped()).spawn().unwrap();
        let mut file = File::create(directory.join("to")).await.unwrap();
        let (copied, spliced) = run(child.stdout.take().unwrap(), &mut file).await.unwrap();
        assert!(copied as usize == LONG && spliced != 0, "{copied}, {spliced}");
        assert!(child.wait().await.unwrap().success());
        assert!(std::fs::read(directory.join("to")).unwrap() == *data);
    }

    #[test]
    fn a_file_that_is_full_has_what_it_can_hold() {
        if !is_child() {
            return assert_success(&in_child("on_linux::a_file_that_is_full_has_what_it_can_hold"));
        }
        // SAFETY: ignoring it is always allowed, and no handler is set.
        unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
        let directory = Directory::new();
        let data = content(LONG);
        let most = 2 * MIB + 12_345;
        let limit = getrlimit(Resource::Fsize);
        setrlimit(Resource::Fsize, Rlimit { current: Some(most as u64), ..limit }).unwrap();
        gambol::block_on(async {
            let path = directory.join("file");
            let mut file = open(&path).await;
            let (connection, feeding) = source(&data);
            let mut copying = pin!(copy(connection, &file));
            let error = copying.as_mut().await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
            assert_ne!(shown(&copying, "spliced"), 0);
            assert_eq!(shown(&copying, "copied"), most);
            assert!(std::fs::read(&path).unwrap() == data[..most]);
            feeding.join().unwrap();
            // It is of use all the same, and the error was told once.
            assert_eq!(file.stream_position().await.unwrap(), most as u64);
            file.seek(SeekFrom::Start(1)).await.unwrap();
            file.write_all(b"x").await.unwrap();
            file.sync_all().await.unwrap();
        });
    }

    /// Descriptors of what is called so.
    fn descriptors(name: &str) -> usize {
        let counts = |entry: io::Result<std::fs::DirEntry>| {
            // One that another thread has closed meanwhile does not count.
            std::fs::read_link(entry.unwrap().path()).is_ok_and(|link| link.to_string_lossy().starts_with(name))
        };
        std::fs::read_dir("/proc/self/fd").unwrap().map(counts).filter(|&is| is).count()
    }

    /// Idle pipes that are kept.
    const KEPT: usize = 16;

    #[test]
    fn a_runtime_that_goes_away_leaves_the_beginning_and_no_descriptor() {
        const TEST: &str = "on_linux::a_runtime_that_goes_away_leaves_the_beginning_and_no_descriptor";
        if !is_child() {
            return assert_success(&in_child(TEST));
        }
        let directory = Directory::new();
        let path = directory.join("file");
        let data = content(4 * LONG);
        let before = descriptors("pipe:");
        for wanted in 0..60 {
            let runtime = Runtime::builder().workers(1).build().unwrap();
            let file = std::fs::File::create(&path).unwrap();
            let (started_is, started) = std::sync::mpsc::channel();
            let (connection, feeding) = source(&data);
            let task = runtime.spawn(async move {
                let mut polls = 0;
                let mut copying = pin!(copy(connection, File::from(file)));
                std::future::poll_fn(|cx| {
                    polls += 1;
                    if polls == wanted {
                        started_is.send(()).unwrap();
                    }
                    copying.as_mut().poll(cx)
                })
                .await
            });
            // Now, or when the task is so far, if it gets there.
            if wanted > 0 {
                let _ = started.recv();
            }
            drop(runtime);
            drop(task);
            feeding.join().unwrap();
            // What a thread had begun it may have to end yet; it holds the file till then.
            let begun = std::time::Instant::now();
            while descriptors(path.to_str().unwrap()) != 0 || descriptors("pipe:") > before + 2 * KEPT {
                assert!(begun.elapsed() < PATIENCE, "descriptors are left");
                thread::yield_now();
            }
            let written = std::fs::read(&path).unwrap();
            assert!(written == data[..written.len()], "{wanted} polls");
        }
    }
}
