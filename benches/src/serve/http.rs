//! HTTP/1.1 by hyper, which answers every request with the same few words.
//!
//! hyper has traits of its own for sockets. What belongs to tokio reaches them through hyper-util's `TokioIo`; gambol's sockets do
//! too, by the feature `tokio-io`; smol's through smol-hyper's `FuturesIo`. hyper is given no timer, so that no request has a
//! deadline, as in Go's server where none is set.

use super::Tally;
use crate::rt::Stream;
use async_io::Async;
use http_body_util::Full;
use hyper::Response;
use hyper::body::Bytes;
use hyper::rt::{Read, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use smol_hyper::rt::FuturesIo;
use std::convert::Infallible;
use std::future::ready;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The body of every answer.
pub const ANSWER: &str = "Hello, world!";

/// A connection that can be given to hyper.
pub trait Hyper: Stream {
    /// What hyper is given.
    type Io: Read + Write + Unpin + Send + 'static;

    /// Makes it that.
    fn into_hyper(self) -> Self::Io;
}

impl Hyper for gambol::net::TcpStream {
    type Io = TokioIo<Self>;

    fn into_hyper(self) -> TokioIo<Self> {
        TokioIo::new(self)
    }
}

impl Hyper for tokio::net::TcpStream {
    type Io = TokioIo<Self>;

    fn into_hyper(self) -> TokioIo<Self> {
        TokioIo::new(self)
    }
}

impl Hyper for Async<TcpStream> {
    type Io = FuturesIo<Self>;

    fn into_hyper(self) -> FuturesIo<Self> {
        FuturesIo::new(self)
    }
}

/// Answers the requests of a connection and counts them.
pub async fn hello<S: Hyper>(stream: S, tally: Arc<Tally>) {
    let answered = AtomicU64::new(0);
    let service = service_fn(|_| {
        answered.fetch_add(1, Ordering::Relaxed);
        ready(Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(ANSWER.as_bytes())))))
    });
    // A load generator that is done leaves with requests on the way, which is an error to hyper and none here: that all went well
    // is for the generator to say.
    let _ = http1::Builder::new().serve_connection(stream.into_hyper(), service).await;
    tally.ended(Ok(answered.into_inner()));
}
