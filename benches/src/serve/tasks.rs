//! A server on a runtime of tasks: one task accepts, and spawns one for each connection.

use super::http::{Hyper, hello};
use super::{Serve, Service, Tally};
use crate::rt::{Listener, Runtime, Stream};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

/// The runtime that serves.
pub struct OnTasks<R> {
    /// Dropped, it serves no longer.
    _rt: R,
}

impl<R> Serve for OnTasks<R>
where
    R: Runtime<Listener: Listener<Stream: Hyper>>,
{
    const HTTP: bool = true;

    fn start(
        workers: usize,
        listen: SocketAddr,
        connections: u64,
        service: Service,
        tally: &Arc<Tally>,
    ) -> io::Result<(Self, SocketAddr)> {
        let rt = R::start(workers);
        let tally = tally.clone();
        let address = rt.run(async move {
            let listener = R::Listener::bind(listen).await?;
            let address = listener.local_addr()?;
            // A handler is a task by itself: a future around it would hold it twice.
            match service {
                Service::Echo { buffer } => {
                    R::spawn_detached(accept::<R, _, _>(listener, connections, tally, move |stream, tally| {
                        echo(stream, buffer, tally)
                    }))
                }
                Service::Once { message } => {
                    R::spawn_detached(accept::<R, _, _>(listener, connections, tally, move |stream, tally| {
                        once(stream, message, tally)
                    }))
                }
                Service::Hello => R::spawn_detached(accept::<R, _, _>(listener, connections, tally, hello)),
            }
            io::Result::Ok(address)
        })?;
        Ok((OnTasks { _rt: rt }, address))
    }
}

/// Accepts so many connections.
async fn accept<R, H, F>(listener: R::Listener, connections: u64, tally: Arc<Tally>, handle: H)
where
    R: Runtime,
    H: Fn(<R::Listener as Listener>::Stream, Arc<Tally>) -> F + Send,
    F: Future<Output = ()> + Send + 'static,
{
    for _ in 0..connections {
        match listener.accept().await {
            Ok(stream) => R::spawn_detached(handle(stream, tally.clone())),
            Err(error) => tally.ended(Err(error)),
        }
    }
}

async fn echo<S: Stream>(mut stream: S, buffer: usize, tally: Arc<Tally>) {
    let mut buffer = vec![0; buffer];
    let mut bytes = 0;
    let result = loop {
        let read = match stream.read(&mut buffer).await {
            Ok(0) => break Ok(bytes),
            Ok(read) => read,
            Err(error) => break Err(error),
        };
        if let Err(error) = stream.write_all(&buffer[..read]).await {
            break Err(error);
        }
        bytes += read as u64;
    };
    drop(stream);
    tally.ended(result);
}

async fn once<S: Stream>(mut stream: S, message: usize, tally: Arc<Tally>) {
    let mut buffer = vec![0; message];
    let mut filled = 0;
    let result = loop {
        match stream.read(&mut buffer[filled..]).await {
            Ok(0) => break Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => filled += read,
            Err(error) => break Err(error),
        }
        if filled == message {
            break stream.write_all(&buffer).await.map(|()| message as u64);
        }
    };
    drop(stream);
    tally.ended(result);
}
