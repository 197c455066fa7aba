//! tokio's traits on gambol's types: with no tokio runtime anywhere, and inside of one.
#![cfg(feature = "tokio-io")]

mod helpers;
#[path = "helpers/temporary.rs"]
mod temporary;

use gambol::{
    fs::File,
    io::{duplex, simplex, stderr, stdin, stdout},
    net::{TcpListener, TcpStream},
};
use helpers::{PATIENCE, assert_success, in_child, is_child};
use std::{
    future::poll_fn,
    io::{ErrorKind, IoSlice, SeekFrom},
    mem::MaybeUninit,
    pin::{Pin, pin},
    task::Poll,
};
use temporary::Directory;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncSeek, AsyncSeekExt, AsyncWrite, AsyncWriteExt, BufReader, ReadBuf};

/// What drives the futures.
#[derive(Clone, Copy, Debug)]
enum Under {
    Gambol,
    Task,
    Futures,
    Tokio,
}

impl Under {
    const ALL: [Under; 4] = [Under::Gambol, Under::Task, Under::Futures, Under::Tokio];

    fn run(self, future: impl Future<Output = ()> + Send + 'static) {
        match self {
            Under::Gambol => gambol::block_on(future),
            Under::Task => gambol::block_on(async { gambol::spawn(future).await.unwrap() }),
            Under::Futures => futures::executor::block_on(future),
            Under::Tokio => {
                let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
                // Neither its clock nor its poller is there.
                runtime.block_on(async { tokio::spawn(future).await.unwrap() });
            }
        }
    }
}

fn pattern() -> Vec<u8> {
    (0..500_000u32).map(|n| (n % 251) as u8).collect()
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    gambol::time::timeout(PATIENCE, future).await.expect("it did not come")
}

/// Everything there and back again, by tokio's copy, with the end of one direction before the other.
async fn echo<S, P>(stream: S, peer: P)
where
    S: AsyncRead + AsyncWrite + Send + 'static,
    P: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let echoing = gambol::spawn(async move {
        let (mut reader, mut writer) = tokio::io::split(peer);
        let copied = tokio::io::copy(&mut reader, &mut writer).await.unwrap();
        writer.shutdown().await.unwrap();
        copied
    });
    let (mut reader, mut writer) = tokio::io::split(stream);
    let writing = gambol::spawn(async move {
        let all = pattern();
        let (first, rest) = all.split_at(10);
        // As one row, as far as it goes.
        let n = writer.write_vectored(&[IoSlice::new(first), IoSlice::new(b"")]).await.unwrap();
        writer.write_all(&first[n..]).await.unwrap();
        writer.write_all(rest).await.unwrap();
        writer.flush().await.unwrap();
        writer.shutdown().await.unwrap();
    });
    let mut all = Vec::new();
    soon(reader.read_to_end(&mut all)).await.unwrap();
    assert!(all == pattern());
    assert_eq!(echoing.await.unwrap(), all.len() as u64);
    writing.await.unwrap();
}

async fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connected = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (listener.accept().await.unwrap().0, connected)
}

#[test]
fn streams_are_tokios_under_every_executor() {
    for under in Under::ALL {
        under.run(async {
            let (a, b) = tcp().await;
            echo(a, b).await;
            let (a, b) = duplex(1000);
            echo(a, b).await;
        });
    }
}

#[test]
fn parts_are_tokios_under_every_executor() {
    for under in Under::ALL {
        under.run(async {
            let (a, b) = tcp().await;
            let ((ours, mut our_writer), (mut theirs, mut their_writer)) = (a.into_split(), b.into_split());
            let echoing = gambol::spawn(async move {
                let n = tokio::io::copy(&mut theirs, &mut their_writer).await.unwrap();
                their_writer.shutdown().await.unwrap();
                n
            });
            let writing = gambol::spawn(async move {
                our_writer.write_all(&pattern()).await.unwrap();
                our_writer.shutdown().await.unwrap();
            });
            let mut lines = Vec::new();
            let mut ours = tokio::io::BufReader::new(ours);
            soon(ours.read_to_end(&mut lines)).await.unwrap();
            assert!(lines == pattern());
            writing.await.unwrap();
            assert_eq!(echoing.await.unwrap(), lines.len() as u64);

            let (mut a, b) = tcp().await;
            let (mut reader, mut writer) = a.split();
            writer.write_all(b"text").await.unwrap();
            writer.shutdown().await.unwrap();
            soon(tokio::io::copy(&mut &b, &mut &b)).await.unwrap();
            // Its own method of that name is another one.
            AsyncWriteExt::shutdown(&mut &b).await.unwrap();
            let mut text = String::new();
            soon(reader.read_to_string(&mut text)).await.unwrap();
            assert_eq!(text, "text");

            let (mut reader, mut writer) = simplex(2);
            let writing = gambol::spawn(async move { writer.write_all(b"through").await });
            let mut text = [0; 7];
            soon(reader.read_exact(&mut text)).await.unwrap();
            writing.await.unwrap().unwrap();
            assert_eq!(&text, b"through");
        });
    }
}

#[cfg(unix)]
#[test]
fn any_descriptor_is_tokios_under_every_executor() {
    use gambol::io::Async;
    use std::os::unix::net::UnixStream;
    for under in Under::ALL {
        under.run(async {
            let (a, b) = UnixStream::pair().unwrap();
            let (a, mut b) = (Async::new(a).unwrap(), Async::new(b).unwrap());
            let writing = gambol::spawn(async move {
                (&b).write_all(&pattern()).await.unwrap();
                // Which closes nothing: the descriptor is closed by the drop.
                b.shutdown().await.unwrap();
                b.write_all(b"end").await.unwrap();
            });
            let mut all = Vec::new();
            soon((&a).read_to_end(&mut all)).await.unwrap();
            assert!(all.strip_suffix(b"end").unwrap() == pattern());
            writing.await.unwrap();
        });
    }
}

/// What the reader finds in the buffer.
#[derive(Clone, Copy, Debug)]
enum Before {
    Uninit,
    InitializedInPart,
    FilledInPart,
    Slice,
}

#[gambol::test]
async fn a_buffer_is_filled_where_it_was_left_off() {
    for before in [Before::Uninit, Before::InitializedInPart, Before::FilledInPart, Before::Slice] {
        for size in [8, 100_000] {
            let (mut reader, mut writer) = simplex(50_000);
            writer.write_all(&pattern()[..50_000]).await.unwrap();
            let (mut memory, mut slice) = (vec![MaybeUninit::uninit(); size], vec![0; size]);
            let mut buf = match before {
                Before::Slice => ReadBuf::new(&mut slice),
                _ => ReadBuf::uninit(&mut memory),
            };
            match before {
                Before::InitializedInPart => drop(buf.initialize_unfilled_to(4)),
                Before::FilledInPart => buf.put_slice(b"1234"),
                Before::Uninit | Before::Slice => {}
            }
            let filled = buf.filled().len();
            poll_fn(|cx| Pin::new(&mut reader).poll_read(cx, &mut buf)).await.unwrap();
            let (old, new) = buf.filled().split_at(filled);
            assert_eq!(old, &b"1234"[..filled]);
            assert_eq!(new, &pattern()[..new.len()]);
            // All of a slice is used; of other memory, as much as may be zeroed at once.
            let most = match before {
                Before::Slice => 50_000,
                _ => 16 * 1024,
            };
            assert_eq!(new.len(), (size - filled).min(most), "{before:?}");
        }
    }
}

#[gambol::test]
async fn a_full_buffer_is_no_reason_to_wait_and_pending_fills_nothing() {
    let (mut a, _b) = tcp().await;
    let mut buf = ReadBuf::new(&mut []);
    assert!(poll_fn(|cx| Poll::Ready(Pin::new(&mut a).poll_read(cx, &mut buf))).await.is_ready());
    let mut memory = [MaybeUninit::uninit(); 8];
    let mut buf = ReadBuf::uninit(&mut memory);
    assert!(poll_fn(|cx| Poll::Ready(Pin::new(&mut a).poll_read(cx, &mut buf))).await.is_pending());
    assert!(buf.filled().is_empty());
}

#[gambol::test]
async fn an_error_is_passed_untouched() {
    let (mut a, b) = duplex(1);
    drop(b);
    assert_eq!(AsyncWriteExt::write_all(&mut a, b"xy").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    assert!(AsyncWrite::is_write_vectored(&a));
}

#[gambol::test]
async fn a_read_that_is_given_up_takes_nothing() {
    let (mut a, mut b) = tcp().await;
    for polls in 0..3 {
        {
            let mut buf = [0; 4];
            let mut read = pin!(a.read(&mut buf));
            for _ in 0..polls {
                assert!(helpers::poll_once(&mut read).await.is_pending());
            }
        }
        b.write_all(b"text").await.unwrap();
        let mut text = [0; 4];
        soon(a.read_exact(&mut text)).await.unwrap();
        assert_eq!(&text, b"text");
    }
}

#[test]
fn a_file_is_sought_in_as_tokio_does() {
    for under in Under::ALL {
        let directory = Directory::new();
        let path = directory.join("a");
        under.run(async move {
            let mut file = File::create_new(&path).await.unwrap();
            file.write_all(b"0123456789").await.unwrap();
            // Before the write has reached the system.
            assert_eq!(file.stream_position().await.unwrap(), 10);
            assert_eq!(file.seek(SeekFrom::Start(3)).await.unwrap(), 3);
            let mut text = [0; 2];
            file.read_exact(&mut text).await.unwrap();
            assert_eq!(&text, b"34");
            assert_eq!(file.stream_position().await.unwrap(), 5, "not where it was read ahead to");
            assert_eq!(file.seek(SeekFrom::Current(-1)).await.unwrap(), 4);
            file.write_all(b"xy").await.unwrap();
            assert_eq!(file.seek(SeekFrom::End(-1)).await.unwrap(), 9);
            assert_eq!(file.seek(SeekFrom::Current(-10)).await.unwrap_err().kind(), ErrorKind::InvalidInput);
            assert_eq!(file.stream_position().await.unwrap(), 9, "an error moves nothing");
            file.rewind().await.unwrap();
            let mut reader = BufReader::new(file);
            assert_eq!(reader.read_u8().await.unwrap(), b'0');
            assert_eq!(reader.seek(SeekFrom::Current(3)).await.unwrap(), 4);
            let mut rest = String::new();
            reader.read_to_string(&mut rest).await.unwrap();
            assert_eq!(rest, "xy6789");
        });
    }
}

/// What comes after a seek that was begun and dropped.
#[derive(Clone, Copy, Debug, PartialEq)]
enum After {
    Write,
    Read,
    SetLen,
    /// Another one, which may come from there or from where it was before.
    Seek,
    Position,
}

#[test]
fn a_seek_that_is_dropped_does_not_come_later() {
    for after in [After::Write, After::Read, After::SetLen, After::Seek, After::Position] {
        for to in [SeekFrom::Start(3), SeekFrom::End(-7), SeekFrom::Current(-7)] {
            println!("{after:?} after a seek to {to:?}");
            let directory = Directory::new();
            let path = directory.join("a");
            // Its only blocking thread is taken, so the write stays in flight, and the seek behind it.
            let runtime = gambol::runtime::Runtime::builder().max_blocking_threads(1).build().unwrap();
            let (release, released) = std::sync::mpsc::channel::<()>();
            runtime.spawn_blocking(move || released.recv());
            let file = std::fs::File::options().read(true).write(true).create_new(true).open(&path).unwrap();
            let mut file = File::from(file);
            runtime.block_on(async {
                file.write_all(b"0123456789").await.unwrap();
                Pin::new(&mut file).start_seek(to).unwrap();
                assert!(poll_fn(|cx| Poll::Ready(Pin::new(&mut file).poll_complete(cx))).await.is_pending());
                if after == After::Write {
                    file.write_all(b"xy").await.unwrap();
                }
                drop(release);
                match after {
                    After::Write => {
                        assert_eq!(file.stream_position().await.unwrap(), 12);
                        file.flush().await.unwrap();
                        assert_eq!(std::fs::read(&path).unwrap(), b"0123456789xy");
                    }
                    After::Read => {
                        let n = file.read(&mut [0; 2]).await.unwrap();
                        let position = file.stream_position().await.unwrap();
                        assert!((n, position) == (0, 10) || (n, position) == (2, 5), "{n} bytes, then at {position}");
                    }
                    After::SetLen => {
                        file.set_len(20).await.unwrap();
                        let position = file.stream_position().await.unwrap();
                        assert!([3, 10].contains(&position), "{position}");
                    }
                    After::Seek => {
                        let position = file.seek(SeekFrom::Current(1)).await.unwrap();
                        assert!([4, 11].contains(&position), "{position}");
                    }
                    After::Position => {
                        let position = file.stream_position().await.unwrap();
                        assert!([3, 10].contains(&position), "{position}");
                    }
                }
            });
        }
    }
}

#[test]
fn standard_streams_are_tokios() {
    if !is_child() {
        let output = in_child("standard_streams_are_tokios");
        assert_success(&output);
        assert!(String::from_utf8_lossy(&output.stdout).contains("by tokio's traits"), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("as well"), "{output:?}");
        return;
    }
    for under in Under::ALL {
        under.run(async {
            stdout().write_all(b"by tokio's traits\n").await.unwrap();
            stdout().shutdown().await.unwrap();
            stderr().write_all(b"as well\n").await.unwrap();
            stderr().flush().await.unwrap();
            let mut text = String::new();
            soon(stdin().read_to_string(&mut text)).await.unwrap();
            assert_eq!(text, "");
        });
    }
}
