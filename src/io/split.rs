//! Any stream in two parts.
//!
//! The parts are the futures crate's, joined by its two-party lock, which is held while one of them is polled: a part that finds
//! it taken waits as a task, not as a thread, and is woken when the other's poll is over. Tried and left: a lock of our own
//! around an `Arc`, which would have to spin or to block in the same place.

use futures_io::{AsyncRead, AsyncWrite};
use futures_util::io::{AsyncReadExt, ReadHalf, WriteHalf};

/// A part to read and a part to write, for two tasks.
///
/// The parts take turns: while one is polled, the other waits. Sockets have a `split` and an `into_split` of their own, which
/// share without a lock. Dropping one part ends nothing; the stream is dropped with the last. `ReadHalf::reunite` puts
/// the two together again.
///
/// # Examples
///
/// ```
/// use gambol::io::{self, AsyncReadExt, AsyncWriteExt};
///
/// # fn main() -> io::Result<()> {
/// gambol::block_on(async {
///     let (near, mut far) = io::duplex(64);
///     let (mut reader, mut writer) = io::split(near);
///     let sent = gambol::spawn(async move {
///         writer.write_all(b"question").await?;
///         writer.close().await
///     });
///     let mut question = String::new();
///     far.read_to_string(&mut question).await?;
///     far.write_all(b"answer").await?;
///     let mut answer = [0; 6];
///     reader.read_exact(&mut answer).await?;
///     assert_eq!((&*question, &answer), ("question", b"answer"));
///     sent.await?
/// })
/// # }
/// ```
pub fn split<S: AsyncRead + AsyncWrite>(stream: S) -> (ReadHalf<S>, WriteHalf<S>) {
    stream.split()
}
