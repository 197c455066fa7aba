//! The servers of the network's rows behind one trait: a runtime with a task for each connection, or something that is no
//! runtime of tasks that move between threads.
//!
//! What a server does is the same for all ([`Service`]), and all of them count what they have done ([`Tally`]). Nagle's algorithm
//! is off. Who spreads the connections over threads by hand deals them round robin where they last, so that no thread has more than
//! another; where they come and go each thread accepts its own, on sockets that share the port (`SO_REUSEPORT`).
//!
//! Adding a server: a file beside this one, and a line in [`PEERS`](crate::peer::PEERS). A runtime of tasks needs none.

mod compio;
mod epoll;
mod http;
mod port;
mod tally;
mod tasks;

pub use self::compio::Compio;
pub use self::epoll::Epoll;
pub use self::http::ANSWER;
pub use self::tally::Tally;
pub use self::tasks::OnTasks;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

/// What a server does with a connection.
#[derive(Clone, Copy)]
pub enum Service {
    /// Sends back what comes, through a buffer of so many bytes, until the other side closes.
    Echo { buffer: usize },
    /// Sends back one message of so many bytes and closes.
    Once { message: usize },
    /// Answers HTTP/1.1 requests, until the other side closes.
    Hello,
}

/// A server that was started. Dropping it may or may not end it.
pub trait Serve: Sized {
    /// Whether it has [`Service::Hello`].
    const HTTP: bool;

    /// Starts so many threads that serve so many connections at this address, and says what the address is.
    fn start(
        workers: usize,
        listen: SocketAddr,
        connections: u64,
        service: Service,
        tally: &Arc<Tally>,
    ) -> io::Result<(Self, SocketAddr)>;
}
