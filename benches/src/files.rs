//! Files beside tokio's and std's: what an operation costs on the wall and in CPU time when the page cache has the file.
//!
//! In one process, in turns, medians over the repetitions; each repetition begins with another peer. What a disk does is no
//! runtime's merit, so the file is small enough to stay cached; `--directory` puts it elsewhere, as on a tmpfs. `gambol, pool`
//! is gambol with a file whose position is shared, which it does not read on the worker: what other systems get.

use crate::args::{Args, Failure};
use crate::meter::{Elapsed, Stopwatch};
use crate::row::median;
use futures::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use std::future::Future;
use std::io::{self, SeekFrom};
use std::path::{Path, PathBuf};

/// The file: large enough that one pass over it takes a while, small enough to stay in the cache.
const SIZE: usize = 64 << 20;
const PAGE: usize = 4 << 10;
const LARGE: usize = 1 << 20;

/// What is done. Each is done so often that it goes through the file once, or at most [`MOST`] times.
#[derive(Clone, Copy)]
enum Work {
    Read(usize),
    /// Each after a seek to another place.
    ReadAnywhere(usize),
    /// With a flush at the end.
    Write(usize),
    /// With a flush after each.
    WriteAndFlush(usize),
    /// All of a small file, opening it included.
    ReadWhole,
}

const MOST: usize = 16 * 1024;

const WORKS: [(&str, Work); 8] = [
    ("read 4 KiB", Work::Read(PAGE)),
    ("read 1 MiB", Work::Read(LARGE)),
    ("seek, read 4 KiB", Work::ReadAnywhere(PAGE)),
    ("write 4 KiB", Work::Write(PAGE)),
    ("write 64 KiB", Work::Write(LARGE / 16)),
    ("write 1 MiB", Work::Write(LARGE)),
    ("write 4 KiB, flush", Work::WriteAndFlush(PAGE)),
    ("read a file of 4 KiB", Work::ReadWhole),
];

impl Work {
    fn size(self) -> usize {
        match self {
            Work::Read(size) | Work::ReadAnywhere(size) | Work::Write(size) | Work::WriteAndFlush(size) => size,
            Work::ReadWhole => PAGE,
        }
    }

    fn count(self) -> usize {
        match self {
            Work::Read(size) | Work::Write(size) => (SIZE / size).min(MOST),
            Work::ReadAnywhere(_) | Work::WriteAndFlush(_) | Work::ReadWhole => 4096,
        }
    }
}

const PEERS: [&str; 4] = ["gambol", "gambol, pool", "tokio", "std"];

/// `files [--reps n] [--directory path]`
pub fn main(words: &[String]) -> Result<(), Failure> {
    let mut args = Args::new(words);
    let reps: usize = args.option("--reps")?.unwrap_or(5);
    let directory: PathBuf = args.option("--directory")?.unwrap_or_else(std::env::temp_dir);
    args.finish()?;
    crate::machine::print();

    let files = Files::new(&directory)?;
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    println!("{:<22} {:<5} {}", "microseconds", "", PEERS.map(|peer| format!("{peer:>14}")).concat());
    for (name, work) in WORKS {
        let mut samples: [Vec<Elapsed>; 4] = Default::default();
        for rep in 0..reps {
            for turn in 0..PEERS.len() {
                let peer = (turn + rep) % PEERS.len();
                let path = files.path(work);
                let elapsed = match PEERS[peer] {
                    "gambol" => gambol::block_on(gambol::spawn(with_gambol(path, work, false)))??,
                    "gambol, pool" => gambol::block_on(gambol::spawn(with_gambol(path, work, true)))??,
                    "tokio" => tokio.block_on(tokio.spawn(with_tokio(path, work)))??,
                    _ => futures::executor::block_on(with_std(path, work))?,
                };
                samples[peer].push(elapsed);
            }
        }
        for (clock, read) in [("wall", Elapsed::wall_ns as fn(&Elapsed, u64) -> f64), ("CPU", Elapsed::cpu_ns)] {
            let medians = samples.each_ref().map(|samples| {
                let samples: Vec<f64> = samples.iter().map(|elapsed| read(elapsed, work.count() as u64)).collect();
                median(&samples).map_or_else(|| "-".to_owned(), |ns| format!("{:.2}", ns / 1000.0))
            });
            println!("{name:<22} {clock:<5} {}", medians.map(|median| format!("{median:>14}")).concat());
        }
    }
    Ok(())
}

/// The files that are read and written, gone at the end.
struct Files {
    large: PathBuf,
    small: PathBuf,
}

impl Files {
    fn new(directory: &Path) -> io::Result<Files> {
        let path = |name: &str| directory.join(format!("gambol-bench-{}-{name}", std::process::id()));
        let files = Files { large: path("large"), small: path("small") };
        std::fs::write(&files.large, content(SIZE))?;
        std::fs::write(&files.small, content(PAGE))?;
        Ok(files)
    }

    fn path(&self, work: Work) -> PathBuf {
        match work {
            Work::ReadWhole => self.small.clone(),
            _ => self.large.clone(),
        }
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.large);
        let _ = std::fs::remove_file(&self.small);
    }
}

/// What stands at the beginning of the files, before and after the writes.
fn content(size: usize) -> Vec<u8> {
    (0..size).map(|index| (index % 251) as u8).collect()
}

async fn with_gambol(path: PathBuf, work: Work, pool: bool) -> io::Result<Elapsed> {
    let mut file = gambol::fs::File::options().read(true).write(true).open(&path).await?;
    if pool {
        file = file.try_clone().await?;
    }
    measure(file, work, || gambol::fs::read(&path)).await
}

async fn with_tokio(path: PathBuf, work: Work) -> io::Result<Elapsed> {
    let file = tokio::fs::File::options().read(true).write(true).open(&path).await?;
    measure(file, work, || tokio::fs::read(&path)).await
}

async fn with_std(path: PathBuf, work: Work) -> io::Result<Elapsed> {
    let file = std::fs::File::options().read(true).write(true).open(&path)?;
    measure(file, work, || std::future::ready(std::fs::read(&path))).await
}

async fn measure<F: File, R: Future<Output = io::Result<Vec<u8>>>>(
    mut file: F,
    work: Work,
    read_whole: impl Fn() -> R,
) -> io::Result<Elapsed> {
    let size = work.size();
    // Each write puts down what stands at the beginning, wherever it is.
    let bytes = content(size);
    let mut room = vec![0; size];
    let watch = Stopwatch::start();
    for index in 0..work.count() {
        match work {
            Work::Read(_) => file.read(&mut room).await?,
            Work::ReadAnywhere(_) => {
                file.seek((index.wrapping_mul(0x9e37_79b9) % (SIZE / size) * size) as u64).await?;
                file.read(&mut room).await?;
            }
            Work::Write(_) => file.write(&bytes).await?,
            Work::WriteAndFlush(_) => {
                file.write(&bytes).await?;
                file.flush().await?;
            }
            Work::ReadWhole => room = read_whole().await?,
        }
        if index == 0 && !matches!(work, Work::Write(_) | Work::WriteAndFlush(_)) && room != bytes {
            return Err(io::Error::other("something else was read than was written"));
        }
    }
    file.flush().await?;
    Ok(watch.read())
}

/// A file as the peers have it. Reads and writes are whole.
trait File {
    async fn read(&mut self, room: &mut [u8]) -> io::Result<()>;
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()>;
    async fn flush(&mut self) -> io::Result<()>;
    async fn seek(&mut self, to: u64) -> io::Result<()>;
}

impl File for gambol::fs::File {
    async fn read(&mut self, room: &mut [u8]) -> io::Result<()> {
        self.read_exact(room).await
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes).await
    }

    async fn flush(&mut self) -> io::Result<()> {
        AsyncWriteExt::flush(self).await
    }

    async fn seek(&mut self, to: u64) -> io::Result<()> {
        AsyncSeekExt::seek(self, SeekFrom::Start(to)).await.map(drop)
    }
}

impl File for tokio::fs::File {
    async fn read(&mut self, room: &mut [u8]) -> io::Result<()> {
        tokio::io::AsyncReadExt::read_exact(self, room).await.map(drop)
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        tokio::io::AsyncWriteExt::write_all(self, bytes).await
    }

    async fn flush(&mut self) -> io::Result<()> {
        tokio::io::AsyncWriteExt::flush(self).await
    }

    async fn seek(&mut self, to: u64) -> io::Result<()> {
        tokio::io::AsyncSeekExt::seek(self, SeekFrom::Start(to)).await.map(drop)
    }
}

impl File for std::fs::File {
    async fn read(&mut self, room: &mut [u8]) -> io::Result<()> {
        io::Read::read_exact(self, room)
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        io::Write::write_all(self, bytes)
    }

    async fn flush(&mut self) -> io::Result<()> {
        io::Write::flush(self)
    }

    async fn seek(&mut self, to: u64) -> io::Result<()> {
        io::Seek::seek(self, SeekFrom::Start(to)).map(drop)
    }
}
