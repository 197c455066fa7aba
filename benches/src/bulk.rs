//! Bulk through a proxy: one connection, from a source through `copy` or `copy_bidirectional` to a sink, over loopback; or
//! through `copy` into a new file.
//!
//! The proxy is a process of its own, so that its CPU time is its own; source and sink are threads of this one that block.
//! What the kernel does for loopback is charged to whoever made the call that set it off, so a part of it is the proxy's on every
//! road. All three share the cores: the rate depends on how many there are, the CPU time hardly does.
//!
//! A road is what the proxy does with the two connections; "plain" is gambol's copy between types that it does not know, as a
//! user's wrapper would be. The sink checks the length, and the ends of every piece that it reads.
//!
//! What becomes of a file when it is in the page cache is not waited for. `--directory` says where it is: on a tmpfs or on a disk.

use crate::args::{Args, Failure};
use crate::machine;
use crate::meter::Stopwatch;
use crate::row::median;
use futures::io::{AsyncRead, AsyncWrite};
use gambol::net::TcpStream;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{self, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::task::{Context, Poll};
use std::thread;
use std::time::Instant;

/// The hidden subcommand that is the proxy.
pub const PROXY: &str = "bulk-proxy";

/// Bytes of one write of the source, and of one read of the sink.
const PIECE: usize = 256 * 1024;

/// The content repeats after so many bytes, which is no power of two.
const PERIOD: u64 = 251;

/// What the proxy does.
struct Road {
    name: &'static str,
    copy: Doing,
}

enum Doing {
    ToPeer(fn(net::TcpStream, net::TcpStream) -> io::Result<u64>),
    ToFile(fn(net::TcpStream, fs::File) -> io::Result<u64>),
}

const ROADS: [Road; 9] = [
    Road { name: "gambol-copy", copy: Doing::ToPeer(|from, to| on_gambol(from, to, Way::Copy, Ok)) },
    Road { name: "gambol-plain-copy", copy: Doing::ToPeer(|from, to| on_gambol(from, to, Way::Copy, wrap)) },
    Road { name: "tokio-copy", copy: Doing::ToPeer(|from, to| on_tokio(from, to, Way::Copy)) },
    Road { name: "gambol-both", copy: Doing::ToPeer(|from, to| on_gambol(from, to, Way::Both, Ok)) },
    Road { name: "gambol-plain-both", copy: Doing::ToPeer(|from, to| on_gambol(from, to, Way::Both, wrap)) },
    Road { name: "tokio-both", copy: Doing::ToPeer(|from, to| on_tokio(from, to, Way::Both)) },
    Road { name: "gambol-file", copy: Doing::ToFile(|from, to| on_gambol_to_file(from, to, Ok)) },
    Road { name: "gambol-plain-file", copy: Doing::ToFile(|from, to| on_gambol_to_file(from, to, wrap)) },
    Road { name: "tokio-file", copy: Doing::ToFile(on_tokio_to_file) },
];

#[derive(Clone, Copy)]
enum Way {
    Copy,
    Both,
}

/// `bulk [--bytes n] [--reps n] [--roads a,b] [--directory path]`
pub fn main(words: &[String]) -> Result<(), Failure> {
    let mut args = Args::new(words);
    let bytes: u64 = args.option("--bytes")?.unwrap_or(2 << 30);
    let reps: usize = args.option("--reps")?.unwrap_or(3);
    let roads: Option<Vec<String>> = args.list("--roads")?;
    let directory: PathBuf = args.option("--directory")?.unwrap_or_else(std::env::temp_dir);
    args.finish()?;
    let roads = match roads {
        None => ROADS.iter().collect(),
        Some(names) => names.iter().map(|name| find(name)).collect::<Result<Vec<_>, _>>()?,
    };
    if bytes == 0 || reps == 0 {
        return Err("there is nothing to measure".into());
    }

    machine::print();
    let mut samples = vec![(Vec::new(), Vec::new()); roads.len()];
    for rep in 0..reps {
        for turn in 0..roads.len() {
            let at = (rep + turn) % roads.len();
            eprintln!("{}, repetition {} of {reps}", roads[at].name, rep + 1);
            let (rate, cpu) = measure(roads[at], bytes, &directory)?;
            samples[at].0.push(rate);
            samples[at].1.push(cpu);
        }
    }
    println!("{:<20}  {:>24}  {:>24}", "road", "MB/s", "proxy cpu, ms per GB");
    for (road, (rates, cpus)) in roads.iter().zip(&samples) {
        println!("{:<20}  {:>24}  {:>24}", road.name, cell(rates), cell(cpus));
    }
    Ok(())
}

fn find(name: &str) -> Result<&'static Road, Failure> {
    ROADS.iter().find(|road| road.name == name).ok_or_else(|| format!("`{name}` is no road").into())
}

fn cell(samples: &[f64]) -> String {
    let least = samples.iter().copied().fold(f64::INFINITY, f64::min);
    let most = samples.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!("{:.0} ({least:.0}..{most:.0})", median(samples).unwrap_or(f64::NAN))
}

/// Megabytes per second, and milliseconds of the proxy's CPU per gigabyte.
fn measure(road: &Road, bytes: u64, directory: &Path) -> Result<(f64, f64), Failure> {
    let listener = net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let path = directory.join(format!("gambol-bulk-{}", std::process::id()));
    let sink = match road.copy {
        Doing::ToPeer(_) => listener.local_addr()?.to_string(),
        Doing::ToFile(_) => path.to_str().ok_or("the directory's name is no text")?.to_owned(),
    };
    let mut proxy = Command::new(std::env::current_exe()?)
        .args([PROXY, road.name, &sink])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(proxy.stdout.take().ok_or("the proxy has no output")?).lines();
    let mut line = move || lines.next().ok_or("the proxy has ended")?.map_err(Failure::from);
    let address: SocketAddr = line()?.parse()?;

    let mut source = net::TcpStream::connect(address)?;
    let start = Instant::now();
    let mut write = move || {
        let piece: Vec<u8> = (0..PIECE as u64 + PERIOD).map(|n| (n % PERIOD) as u8).collect();
        let mut at = 0;
        while at < bytes {
            let from = (at % PERIOD) as usize;
            let n = (bytes - at).min(PIECE as u64) as usize;
            source.write_all(&piece[from..from + n])?;
            at += n as u64;
        }
        source.shutdown(net::Shutdown::Write)?;
        // The other direction ends as well, where it is copied.
        io::copy(&mut source, &mut io::sink())
    };
    let (arrived, seconds) = match road.copy {
        Doing::ToPeer(_) => {
            let (drain, _) = listener.accept()?;
            let writing = thread::spawn(write);
            let arrived = check(drain)?;
            let seconds = start.elapsed();
            writing.join().map_err(|_| "the source has panicked")??;
            (arrived, seconds)
        }
        Doing::ToFile(_) => {
            write()?;
            let seconds = start.elapsed();
            let file = fs::File::open(&path)?;
            fs::remove_file(&path)?;
            (check(file)?, seconds)
        }
    };
    let cpu: f64 = line()?.parse()?;
    if arrived != bytes || !proxy.wait()?.success() {
        return Err(format!("{}: {arrived} bytes of {bytes} have arrived", road.name).into());
    }
    Ok((bytes as f64 / 1e6 / seconds.as_secs_f64(), cpu * 1e3 / (bytes as f64 / 1e9)))
}

/// Reads to the end, and yields how many bytes there were.
fn check(mut drain: impl Read) -> Result<u64, Failure> {
    let mut piece = vec![0; PIECE];
    let mut at = 0;
    loop {
        let n = drain.read(&mut piece)?;
        if n == 0 {
            return Ok(at);
        }
        let (first, last) = (at % PERIOD, (at + n as u64 - 1) % PERIOD);
        if [piece[0], piece[n - 1]] != [first as u8, last as u8] {
            return Err(format!("the bytes from {at} on are not the ones that were sent").into());
        }
        at += n as u64;
    }
}

/// `bulk-proxy <road> <the sink's address or path>`: prints its address, and at the end the seconds of CPU that it took.
pub fn proxy(words: &[String]) -> Result<(), Failure> {
    let mut args = Args::new(words);
    let road = find(&args.word::<String>("the road")?)?;
    let sink: String = args.word("the sink")?;
    args.finish()?;

    let listener = net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    println!("{}", listener.local_addr()?);
    let (from, _) = listener.accept()?;
    let stopwatch;
    match road.copy {
        Doing::ToPeer(copy) => {
            let to = net::TcpStream::connect(sink)?;
            stopwatch = Stopwatch::start();
            copy(from, to)?;
        }
        Doing::ToFile(copy) => {
            let to = fs::File::create_new(sink)?;
            stopwatch = Stopwatch::start();
            copy(from, to)?;
        }
    }
    println!("{}", stopwatch.read().cpu.as_secs_f64());
    Ok(())
}

fn on_gambol<S>(
    from: net::TcpStream,
    to: net::TcpStream,
    way: Way,
    dress: fn(TcpStream) -> io::Result<S>,
) -> io::Result<u64>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let runtime = gambol::runtime::Runtime::builder().workers(1).build()?;
    let task = runtime.spawn(async move {
        let (mut from, mut to) = (dress(from.try_into()?)?, dress(to.try_into()?)?);
        match way {
            Way::Copy => gambol::io::copy(&mut from, &mut to).await,
            Way::Both => gambol::io::copy_bidirectional(&mut from, &mut to).await.map(|(there, _)| there),
        }
    });
    runtime.block_on(task).map_err(io::Error::other)?
}

fn on_tokio(from: net::TcpStream, to: net::TcpStream, way: Way) -> io::Result<u64> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let task = runtime.spawn(async move {
        from.set_nonblocking(true)?;
        to.set_nonblocking(true)?;
        let mut from = tokio::net::TcpStream::from_std(from)?;
        let mut to = tokio::net::TcpStream::from_std(to)?;
        match way {
            Way::Copy => tokio::io::copy(&mut from, &mut to).await,
            Way::Both => tokio::io::copy_bidirectional(&mut from, &mut to).await.map(|(there, _)| there),
        }
    });
    runtime.block_on(task).map_err(io::Error::other)?
}

fn on_gambol_to_file<S>(from: net::TcpStream, to: fs::File, dress: fn(TcpStream) -> io::Result<S>) -> io::Result<u64>
where
    S: AsyncRead + Unpin + Send + 'static,
{
    let runtime = gambol::runtime::Runtime::builder().workers(1).build()?;
    let task = runtime.spawn(async move {
        let (mut from, mut to) = (dress(from.try_into()?)?, gambol::fs::File::from(to));
        gambol::io::copy(&mut from, &mut to).await
    });
    runtime.block_on(task).map_err(io::Error::other)?
}

fn on_tokio_to_file(from: net::TcpStream, to: fs::File) -> io::Result<u64> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let task = runtime.spawn(async move {
        from.set_nonblocking(true)?;
        let mut from = tokio::net::TcpStream::from_std(from)?;
        let mut to = tokio::fs::File::from_std(to);
        let copied = tokio::io::copy(&mut from, &mut to).await?;
        tokio::io::AsyncWriteExt::flush(&mut to).await?;
        Ok(copied)
    });
    runtime.block_on(task).map_err(io::Error::other)?
}

fn wrap(stream: TcpStream) -> io::Result<Unknown> {
    Ok(Unknown(stream))
}

/// A connection that a copy does not recognise.
struct Unknown(TcpStream);

impl AsyncRead for Unknown {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Unknown {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }
}
