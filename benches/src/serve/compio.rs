//! compio: a runtime for each thread, on io_uring, so that nothing moves between threads.
//!
//! Where the kernel or a sandbox refuses io_uring, compio cannot start and its column stays empty: its other driver is made for
//! where there is none at all, and is not what its users choose it for. monoio has the same shape and was not taken: compio is the
//! one that is developed further.
//!
//! `coop_taskrun` and `taskrun_flag` are what its documentation advises for most programs. Connections that last
//! are accepted by one thread and dealt to the runtimes, as its dispatcher does; that gives them to whoever comes first, this to each
//! in turn. Where connections come and go, each runtime accepts its own.

use super::{Serve, Service, Tally, port};
use compio::buf::BufResult;
use compio::driver::ProactorBuilder;
use compio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use compio::net::{TcpListener, TcpStream};
use compio::runtime::{Runtime, RuntimeBuilder};
use std::io;
use std::net::{self, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::thread;

/// The started threads, which live as long as the process.
pub struct Compio(());

impl Compio {
    /// Whether it can start here.
    pub fn is_here() -> bool {
        static IS_HERE: OnceLock<bool> = OnceLock::new();
        *IS_HERE.get_or_init(|| Runtime::new().is_ok())
    }
}

impl Serve for Compio {
    const HTTP: bool = false;

    fn start(
        workers: usize,
        listen: SocketAddr,
        connections: u64,
        service: Service,
        tally: &Arc<Tally>,
    ) -> io::Result<(Self, SocketAddr)> {
        match service {
            Service::Hello => Err(io::ErrorKind::Unsupported.into()),
            Service::Echo { buffer } => {
                let mut doors = Vec::with_capacity(workers);
                for index in 0..workers {
                    let (door, dealt) = async_channel::unbounded::<net::TcpStream>();
                    doors.push(door);
                    let tally = tally.clone();
                    on_thread(index, async move || {
                        while let Ok(stream) = dealt.recv().await {
                            compio::runtime::spawn(echo(stream, buffer, tally.clone())).detach();
                        }
                        // The runtime goes on for those that it has.
                        std::future::pending().await
                    })?;
                }
                let tally = tally.clone();
                let address = port::dealt(listen, connections, move |number, stream| match stream {
                    // The receiver lives as long as its thread.
                    Ok(stream) => drop(doors[number % doors.len()].send_blocking(stream)),
                    Err(error) => tally.ended(Err(error)),
                })?;
                Ok((Compio(()), address))
            }
            Service::Once { message } => {
                let (listeners, address) = port::shared(listen, workers)?;
                for (index, listener) in listeners.into_iter().enumerate() {
                    let tally = tally.clone();
                    on_thread(index, async move || {
                        let listener = TcpListener::from_std(listener)?;
                        loop {
                            let (stream, _) = listener.accept().await?;
                            compio::runtime::spawn(once(stream, message, tally.clone())).detach();
                        }
                    })?;
                }
                Ok((Compio(()), address))
            }
        }
    }
}

/// Starts a thread with a runtime for what never ends.
fn on_thread<M>(index: usize, main: M) -> io::Result<()>
where
    M: AsyncFnOnce() -> io::Result<()> + Send + 'static,
{
    thread::Builder::new().name(format!("compio-{index}")).spawn(|| {
        let rt = runtime().expect("io_uring is allowed");
        rt.block_on(main()).expect("it accepts");
    })?;
    Ok(())
}

fn runtime() -> io::Result<Runtime> {
    let mut proactor = ProactorBuilder::new();
    proactor.coop_taskrun(true).taskrun_flag(true);
    RuntimeBuilder::new().with_proactor(proactor).build()
}

async fn echo(stream: net::TcpStream, buffer: usize, tally: Arc<Tally>) {
    let opened = stream.set_nodelay(true).and_then(|()| TcpStream::from_std(stream));
    let mut stream = match opened {
        Ok(stream) => stream,
        Err(error) => return tally.ended(Err(error)),
    };
    let mut buffer = Vec::with_capacity(buffer);
    let mut bytes = 0;
    let result = loop {
        // A read makes the buffer longer and never shorter.
        buffer.clear();
        let read;
        BufResult(read, buffer) = stream.read(buffer).await;
        match read {
            Ok(0) => break Ok(bytes),
            Ok(read) => bytes += read as u64,
            Err(error) => break Err(error),
        }
        let written;
        BufResult(written, buffer) = stream.write_all(buffer).await;
        if let Err(error) = written {
            break Err(error);
        }
    };
    drop(stream);
    tally.ended(result);
}

async fn once(mut stream: TcpStream, message: usize, tally: Arc<Tally>) {
    if let Err(error) = stream.set_nodelay(true) {
        return tally.ended(Err(error));
    }
    let BufResult(read, buffer) = stream.read_exact(Vec::with_capacity(message)).await;
    let result = match read {
        Ok(()) => stream.write_all(buffer).await.0,
        Err(error) => Err(error),
    };
    drop(stream);
    tally.ended(result.map(|()| message as u64));
}
