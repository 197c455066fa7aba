//! Sockets.
//!
//! A socket belongs to the runtime that was current when it was made, and may be used anywhere. Waiting parks the task and
//! not the thread. A future that is dropped half-way has taken nothing from the socket.
//!
//! When its runtime has ended, a socket that would have to wait gives an error ("the runtime is gone").

// Addresses, and names for them.
mod address;

// Connections.
mod stream;

// A connection in two parts.
mod halves;

// Taking connections.
mod listener;

// Not trying again too soon.
mod back_off;

pub use address::ToSocketAddrs;
pub use halves::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, WriteHalf};
pub use listener::{Accept, Incoming, TcpListener};
pub use stream::TcpStream;
