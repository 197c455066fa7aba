//! Any stream in two parts.

mod helpers;

use gambol::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader, duplex, split},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use helpers::{PATIENCE, poll_once};
use std::{pin::pin, thread};

#[gambol::test]
async fn the_parts_work_in_two_tasks() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (peer, _) = listener.accept().await.unwrap();
    gambol::spawn(async move { gambol::io::copy(&peer, &peer).await });
    // A stream that has no parts of its own.
    let (mut reader, mut writer) = split(BufReader::new(stream));
    let writing = gambol::spawn(async move {
        writer.write_all(&[7; 1_000_000]).await.unwrap();
        writer.close().await.unwrap();
        writer
    });
    let mut all = Vec::new();
    timeout(PATIENCE, reader.read_to_end(&mut all)).await.unwrap().unwrap();
    assert_eq!(all.len(), 1_000_000);
    let stream = reader.reunite(writing.await.unwrap()).unwrap().into_inner();
    assert!(stream.local_addr().is_ok());
}

#[gambol::test]
async fn a_part_that_waits_does_not_hold_up_the_other() {
    let (near, mut far) = duplex(4);
    let (mut reader, mut writer) = split(near);
    let mut buf = [0; 4];
    let mut read = pin!(reader.read(&mut buf));
    assert!(poll_once(&mut read).await.is_pending());
    writer.write_all(b"full").await.unwrap();
    let mut write = pin!(writer.write_all(b"more"));
    assert!(poll_once(&mut write).await.is_pending());
    far.write_all(b"text").await.unwrap();
    assert_eq!(timeout(PATIENCE, read).await.unwrap().unwrap(), 4);
    far.read_exact(&mut [0; 4]).await.unwrap();
    timeout(PATIENCE, write).await.unwrap().unwrap();
}

#[gambol::test]
async fn the_stream_ends_with_its_last_part() {
    let (near, mut far) = duplex(4);
    let (mut reader, writer) = split(near);
    drop(writer);
    let mut text = String::new();
    let mut read = pin!(far.read_to_string(&mut text));
    assert!(poll_once(&mut read).await.is_pending());
    let mut buf = [0];
    assert!(poll_once(&mut pin!(reader.read(&mut buf))).await.is_pending());
    drop(reader);
    assert_eq!(timeout(PATIENCE, read).await.unwrap().unwrap(), 0);
}

#[test]
fn parts_of_two_streams_do_not_fit() {
    let ((a, _), (b, _)) = (duplex(1), duplex(1));
    let ((reader, _writer), (_reader, writer)) = (split(a), split(b));
    assert!(reader.reunite(writer).is_err());
}

/// Each poll of the one may meet a poll of the other.
#[test]
fn parts_that_meet_on_two_threads_lose_no_wake_up() {
    const BYTES: usize = 20_000;
    let (near, mut far) = duplex(3);
    let (mut reader, mut writer) = split(near);
    let echo = gambol::spawn(async move {
        let (mut reader, mut writer) = split(&mut far);
        gambol::io::copy(&mut reader, &mut writer).await.unwrap()
    });
    let writing = thread::spawn(move || {
        futures::executor::block_on(async {
            for _ in 0..BYTES {
                writer.write_all(b"x").await.unwrap();
            }
            writer.close().await.unwrap();
        });
    });
    gambol::block_on(async {
        timeout(PATIENCE, reader.read_exact(&mut vec![0; BYTES])).await.unwrap().unwrap();
        assert_eq!(echo.await.unwrap(), BYTES as u64);
    });
    writing.join().unwrap();
}
