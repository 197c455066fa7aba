//! `fs::File` beside `std::fs::File`: the same operations give the same results, whatever came before, however the file was
//! opened, and also when operations are given up half-way.

mod helpers;
#[path = "helpers/temporary.rs"]
mod temporary;

use fastrand::Rng;
use gambol::{
    fs::{self, File},
    io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt, BufReader, SeekFrom},
};
use helpers::at_most;
use std::{
    io::{IoSlice, Read, Seek, Write},
    path::Path,
};
use temporary::Directory;

/// How a file comes to be ours.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Origin {
    Opened,
    FromStd,
    /// Its position is shared, so that all of its reads and seeks are jobs.
    Clone,
}

const ORIGINS: [Origin; 3] = [Origin::Opened, Origin::FromStd, Origin::Clone];

/// Ours and std's, each with a file of its own.
struct Pair {
    ours: File,
    std: std::fs::File,
    _directory: Directory,
}

impl Pair {
    async fn new(origin: Origin, append: bool, content: &[u8]) -> Pair {
        let directory = Directory::new();
        let open = |path: &Path| {
            std::fs::write(path, content).unwrap();
            std::fs::OpenOptions::new().read(true).write(!append).append(append).open(path).unwrap()
        };
        let std = open(&directory.join("std"));
        let path = directory.join("ours");
        let from_std = File::from(open(&path));
        let ours = match origin {
            Origin::Opened => File::options().read(true).write(!append).append(append).open(&path).await.unwrap(),
            Origin::FromStd => from_std,
            Origin::Clone => from_std.try_clone().await.unwrap(),
        };
        Pair { ours, std, _directory: directory }
    }

    async fn check_position(&mut self) {
        let position = self.ours.stream_position().await.unwrap();
        assert_eq!(position, self.std.stream_position().unwrap(), "position");
    }

    /// Ends both, and compares what is in the files.
    async fn check(mut self) {
        self.check_position().await;
        let mut ours = self.ours.into_std().await.unwrap();
        assert_eq!(ours.stream_position().unwrap(), self.std.stream_position().unwrap(), "std's position");
        let content = |file: &mut std::fs::File| {
            let mut content = Vec::new();
            file.rewind().unwrap();
            file.read_to_end(&mut content).unwrap();
            content
        };
        assert!(content(&mut ours) == content(&mut self.std), "content");
    }
}

/// One operation on both, with the same result. The sizes are in bytes.
#[derive(Clone, Copy, Debug)]
enum Op {
    Read(usize),
    Write(usize),
    WriteVectored(usize, usize),
    Flush,
    Seek(SeekFrom),
    SetLen(u64),
    Length,
    SyncAll,
    SyncData,
    Clone,
}

/// Bytes that tell where they come from.
fn bytes(rng: &mut Rng, size: usize) -> Vec<u8> {
    let begin: u8 = rng.u8(..);
    (0..size).map(|index| begin.wrapping_add((index % 251) as u8)).collect()
}

impl Op {
    fn random(rng: &mut Rng) -> Op {
        // Small, about a page or a job's least, and large.
        let size = |rng: &mut Rng| match rng.u8(..10) {
            0 => 0,
            1..=4 => rng.usize(..300),
            5..=7 => rng.usize(4000..20_000),
            _ => rng.usize(20_000..200_000),
        };
        match rng.u8(..16) {
            0..=4 => Op::Read(size(rng)),
            5..=7 => Op::Write(size(rng)),
            8 => Op::WriteVectored(size(rng), size(rng)),
            9 => Op::Flush,
            10 => Op::Seek(SeekFrom::Start(rng.u64(..300_000))),
            11 => Op::Seek(SeekFrom::Current(rng.i64(-30_000..30_000))),
            12 => Op::Seek(SeekFrom::End(rng.i64(-200_000..1000))),
            13 => Op::SetLen(rng.u64(..300_000)),
            14 => Op::Length,
            _ => [Op::SyncAll, Op::SyncData, Op::Clone][rng.usize(..3)],
        }
    }

    /// Does it on both. `polls`: ours is given up when it is not ready after so many; false: it was, and has had no effect that can
    /// be seen, or such that was repeated on both.
    async fn apply(self, pair: &mut Pair, rng: &mut Rng, polls: usize) -> bool {
        let Pair { ours, std, .. } = pair;
        match self {
            Op::Read(size) => {
                let mut room = vec![0; size];
                let Some(read) = at_most(polls, ours.read(&mut room)).await else { return false };
                let read = read.unwrap();
                let mut expected = vec![0; read];
                // Fewer than were asked for are allowed, but none only at the end.
                std.read_exact(&mut expected).unwrap();
                assert!(room[..read] == expected, "what was read");
                if read == 0 && size > 0 {
                    assert_eq!(std.read(&mut [0]).unwrap(), 0, "an end where none is");
                }
            }
            Op::Write(size) => {
                let bytes = bytes(rng, size);
                let Some(written) = at_most(polls, ours.write(&bytes)).await else { return false };
                assert_eq!(written.unwrap(), size);
                std.write_all(&bytes).unwrap();
            }
            Op::WriteVectored(first, second) => {
                let (first, second) = (bytes(rng, first), bytes(rng, second));
                let slices = [IoSlice::new(&first), IoSlice::new(&second)];
                let Some(written) = at_most(polls, ours.write_vectored(&slices)).await else { return false };
                assert_eq!(written.unwrap(), first.len() + second.len());
                std.write_all(&first).unwrap();
                std.write_all(&second).unwrap();
            }
            Op::Flush => match at_most(polls, ours.flush()).await {
                Some(result) => result.unwrap(),
                None => return false,
            },
            Op::Seek(to) => {
                let expected = std.seek(to);
                match at_most(polls, ours.seek(to)).await {
                    Some(result) => {
                        assert_eq!(result.as_ref().ok(), expected.as_ref().ok());
                        assert_eq!(result.err().map(|error| error.kind()), expected.err().map(|error| error.kind()));
                    }
                    None => {
                        // Open whether it was done.
                        let position = std.stream_position().unwrap();
                        assert_eq!(ours.seek(SeekFrom::Start(position)).await.unwrap(), position);
                        return false;
                    }
                }
            }
            Op::SetLen(size) => {
                std.set_len(size).unwrap();
                let done = at_most(polls, ours.set_len(size)).await;
                match done {
                    Some(result) => result.unwrap(),
                    None => {
                        ours.set_len(size).await.unwrap();
                        return false;
                    }
                }
            }
            Op::Length => match at_most(polls, ours.metadata()).await {
                Some(metadata) => assert_eq!(metadata.unwrap().len(), std.metadata().unwrap().len()),
                None => return false,
            },
            Op::SyncAll => match at_most(polls, ours.sync_all()).await {
                Some(result) => result.unwrap(),
                None => return false,
            },
            Op::SyncData => match at_most(polls, ours.sync_data()).await {
                Some(result) => result.unwrap(),
                None => return false,
            },
            Op::Clone => match at_most(polls, ours.try_clone()).await {
                // The position is the same, so it can take the file's place.
                Some(clone) => *ours = clone.unwrap(),
                None => return false,
            },
        }
        true
    }
}

/// What came before.
#[derive(Clone, Copy, Debug)]
enum State {
    Fresh,
    AfterRead,
    AfterSmallRead,
    AfterReadToTheEnd,
    AfterWrite,
    AfterFlush,
    AfterSeek,
    AfterDroppedRead,
    AfterDroppedFlush,
}

impl State {
    const ALL: [State; 9] = [
        State::Fresh,
        State::AfterRead,
        State::AfterSmallRead,
        State::AfterReadToTheEnd,
        State::AfterWrite,
        State::AfterFlush,
        State::AfterSeek,
        State::AfterDroppedRead,
        State::AfterDroppedFlush,
    ];

    async fn reach(self, pair: &mut Pair, rng: &mut Rng) {
        const NEVER: usize = usize::MAX;
        match self {
            State::Fresh => {}
            State::AfterRead => assert!(Op::Read(10_000).apply(pair, rng, NEVER).await),
            State::AfterSmallRead => assert!(Op::Read(10).apply(pair, rng, NEVER).await),
            State::AfterReadToTheEnd => {
                Op::Seek(SeekFrom::End(0)).apply(pair, rng, NEVER).await;
                assert!(Op::Read(10).apply(pair, rng, NEVER).await);
            }
            State::AfterWrite => assert!(Op::Write(100).apply(pair, rng, NEVER).await),
            State::AfterFlush => {
                Op::Write(100).apply(pair, rng, NEVER).await;
                assert!(Op::Flush.apply(pair, rng, NEVER).await);
            }
            State::AfterSeek => assert!(Op::Seek(SeekFrom::Start(777)).apply(pair, rng, NEVER).await),
            State::AfterDroppedRead => drop(Op::Read(100).apply(pair, rng, 1).await),
            State::AfterDroppedFlush => {
                Op::Write(100).apply(pair, rng, NEVER).await;
                Op::Flush.apply(pair, rng, 1).await;
            }
        }
    }
}

const OPS: [Op; 16] = [
    Op::Read(10),
    Op::Read(9000),
    Op::Read(100_000),
    Op::Write(10),
    Op::Write(100_000),
    Op::WriteVectored(5, 7),
    Op::Flush,
    Op::Seek(SeekFrom::Start(5)),
    Op::Seek(SeekFrom::Current(-3)),
    Op::Seek(SeekFrom::End(-4)),
    Op::Seek(SeekFrom::Current(-1_000_000)),
    Op::SetLen(50),
    Op::Length,
    Op::SyncAll,
    Op::SyncData,
    Op::Clone,
];

#[test]
fn each_operation_does_as_std_does_whatever_came_before() {
    gambol::block_on(async {
        for origin in ORIGINS {
            for append in [false, true] {
                for state in State::ALL {
                    for op in OPS {
                        for polls in [1, 2, usize::MAX] {
                            println!("{origin:?}, append {append}, {state:?}, {op:?}, given up after {polls} polls");
                            let mut rng = Rng::with_seed(1);
                            let mut pair = Pair::new(origin, append, &bytes(&mut rng, 20_000)).await;
                            state.reach(&mut pair, &mut rng).await;
                            let done = op.apply(&mut pair, &mut rng, polls).await;
                            assert!(done || polls != usize::MAX);
                            if polls == 1 {
                                pair.check_position().await;
                            }
                            // Where the position is, is also seen by reading and by writing.
                            Op::Read(6).apply(&mut pair, &mut rng, usize::MAX).await;
                            Op::Write(6).apply(&mut pair, &mut rng, usize::MAX).await;
                            Op::Read(6).apply(&mut pair, &mut rng, usize::MAX).await;
                            pair.check().await;
                        }
                    }
                }
            }
        }
    });
}

#[test]
fn a_seek_does_not_answer_for_a_dropped_one_after_the_end_has_moved() {
    gambol::block_on(async {
        for origin in ORIGINS {
            for append in [false, true] {
                let mut rng = Rng::with_seed(2);
                let mut pair = Pair::new(origin, append, &[1; 100]).await;
                let end = Op::Seek(SeekFrom::End(0));
                // It is a job, which ends unseen.
                assert!(at_most(1, pair.ours.seek(SeekFrom::End(0))).await.is_none());
                pair.std.seek(SeekFrom::End(0)).unwrap();
                Op::SetLen(200).apply(&mut pair, &mut rng, usize::MAX).await;
                assert!(end.apply(&mut pair, &mut rng, usize::MAX).await);
                pair.check().await;
            }
        }
    });
}

#[test]
fn random_operations_do_as_std_does() {
    let seed = std::env::var("GAMBOL_TEST_SEED").map_or_else(|_| fastrand::u64(..), |text| text.parse().unwrap());
    println!("GAMBOL_TEST_SEED={seed}");
    let mut rng = Rng::with_seed(seed);
    gambol::block_on(async {
        for _ in 0..24 {
            let (origin, append) = (ORIGINS[rng.usize(..3)], rng.bool());
            println!("{origin:?}, append {append}");
            let size = rng.usize(..100_000);
            let mut pair = Pair::new(origin, append, &bytes(&mut rng, size)).await;
            for _ in 0..rng.usize(..200) {
                let op = Op::random(&mut rng);
                let polls = if rng.u8(..4) == 0 { rng.usize(..4) } else { usize::MAX };
                let done = op.apply(&mut pair, &mut rng, polls).await;
                println!("{op:?} of {polls} polls: {done}");
            }
            pair.check().await;
        }
    });
}

#[test]
fn large_files_go_through_whole() {
    gambol::block_on(async {
        let directory = Directory::new();
        let path = directory.join("large");
        let content = bytes(&mut Rng::with_seed(3), 20_000_000);
        for origin in ORIGINS {
            let mut file = File::create(&path).await.unwrap();
            if origin == Origin::Clone {
                file = file.try_clone().await.unwrap();
            }
            // More than a buffer at once, which is taken in parts, and one byte at a time.
            file.write_all(&content[..10_000_000]).await.unwrap();
            for byte in &content[10_000_000..10_100_000] {
                assert_eq!(file.write(&[*byte]).await.unwrap(), 1);
            }
            file.write_all(&content[10_100_000..]).await.unwrap();
            file.close().await.unwrap();
            drop(file);

            let mut file = match origin {
                Origin::Opened => File::open(&path).await.unwrap(),
                Origin::FromStd => File::from(std::fs::File::open(&path).unwrap()),
                Origin::Clone => File::open(&path).await.unwrap().try_clone().await.unwrap(),
            };
            let mut found = Vec::new();
            file.read_to_end(&mut found).await.unwrap();
            assert!(found == content, "{origin:?}");
            file.seek(SeekFrom::Start(0)).await.unwrap();
            let mut room = vec![0; 15_000_000];
            file.read_exact(&mut room).await.unwrap();
            assert!(room == content[..15_000_000]);
            let mut rest = Vec::new();
            BufReader::new(file).read_to_end(&mut rest).await.unwrap();
            assert!(rest == content[15_000_000..]);
        }
    });
}

#[test]
fn empty_files_and_empty_buffers_are_no_case_of_their_own() {
    gambol::block_on(async {
        let directory = Directory::new();
        fs::write(directory.join("a"), "").await.unwrap();
        fs::write(directory.join("b"), "text").await.unwrap();
        for origin in ORIGINS {
            for (name, content) in [("a", ""), ("b", "text")] {
                let std = std::fs::File::open(directory.join(name)).unwrap();
                let mut file = match origin {
                    Origin::Opened => File::open(directory.join(name)).await.unwrap(),
                    Origin::FromStd => File::from(std),
                    Origin::Clone => File::from(std).try_clone().await.unwrap(),
                };
                assert_eq!(file.read(&mut []).await.unwrap(), 0);
                let mut found = String::new();
                file.read_to_string(&mut found).await.unwrap();
                assert_eq!(found, content, "an empty read is not the end");
                assert_eq!(file.read(&mut [0]).await.unwrap(), 0);
                // Nothing to write is no write, not even to a file that is open for reading only.
                assert_eq!(file.write(&[]).await.unwrap(), 0);
                file.flush().await.unwrap();
            }
        }
    });
}

#[test]
fn a_file_that_grows_is_read_on() {
    gambol::block_on(async {
        let directory = Directory::new();
        let path = directory.join("log");
        let mut writer = File::options().append(true).create(true).open(&path).await.unwrap();
        for origin in [Origin::Opened, Origin::Clone] {
            let mut reader = File::open(&path).await.unwrap();
            reader.seek(SeekFrom::End(0)).await.unwrap();
            if origin == Origin::Clone {
                reader = reader.try_clone().await.unwrap();
            }
            for line in ["one", "two", "three"] {
                assert_eq!(reader.read(&mut [0; 10]).await.unwrap(), 0);
                writer.write_all(line.as_bytes()).await.unwrap();
                writer.flush().await.unwrap();
                let mut room = [0; 10];
                let n = reader.read(&mut room).await.unwrap();
                assert_eq!(&room[..n], line.as_bytes());
            }
        }
    });
}

#[test]
fn clones_in_turn_go_on_where_the_other_has_ended() {
    gambol::block_on(async {
        let mut rng = Rng::with_seed(4);
        let mut pair = Pair::new(Origin::Opened, false, &bytes(&mut rng, 50_000)).await;
        // What was read ahead before is given back.
        Op::Read(6).apply(&mut pair, &mut rng, usize::MAX).await;
        let mut other = pair.ours.try_clone().await.unwrap();
        for _ in 0..100 {
            let size = rng.usize(..900);
            for op in [Op::Read(size), Op::Write(7), Op::Flush] {
                assert!(op.apply(&mut pair, &mut rng, usize::MAX).await);
            }
            std::mem::swap(&mut pair.ours, &mut other);
        }
        pair.check().await;
    });
}

#[test]
fn several_tasks_may_write_to_one_file() {
    gambol::block_on(async {
        let directory = Directory::new();
        let file = File::options().append(true).create(true).open(directory.join("log")).await.unwrap();
        let file = std::sync::Arc::new(file);
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                let file = file.clone();
                gambol::spawn(async move {
                    for line in 0..200 {
                        let line = format!("writer {writer} line {line} {}\n", "x".repeat(line * 37 % 3000));
                        assert_eq!((&*file).write(line.as_bytes()).await.unwrap(), line.len());
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
        (&*file).flush().await.unwrap();
        let text = fs::read_to_string(directory.join("log")).await.unwrap();
        for writer in 0..8 {
            let prefix = format!("writer {writer} line ");
            let lines = text.lines().filter_map(|line| line.strip_prefix(&prefix));
            let numbers: Vec<usize> = lines.map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect();
            assert!(numbers.iter().copied().eq(0..200), "{numbers:?}");
        }
    });
}

#[test]
fn a_file_that_is_read_from_the_cache_lets_others_run() {
    // One worker: the counter runs only when the reader gives way.
    let runtime = gambol::runtime::Runtime::builder().workers(1).build().unwrap();
    let directory = Directory::new();
    std::fs::write(directory.join("a"), vec![7; 4_000_000]).unwrap();
    let path = directory.join("a");
    let turns = runtime.block_on(async {
        let turns = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counted = turns.clone();
        let counter = gambol::spawn(async move {
            loop {
                counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                gambol::yield_now().await;
            }
        });
        let reader = gambol::spawn(async move {
            let mut file = File::open(path).await.unwrap();
            let mut room = [0; 1000];
            let before = turns.load(std::sync::atomic::Ordering::Relaxed);
            let mut all = 0;
            while all < 4_000_000 {
                all += file.read(&mut room).await.unwrap();
            }
            turns.load(std::sync::atomic::Ordering::Relaxed) - before
        });
        let turns = reader.await.unwrap();
        counter.abort();
        turns
    });
    // 4000 reads, and a turn for 128 of them.
    assert!(turns >= 25, "only {turns} turns");
}
