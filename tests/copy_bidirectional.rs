//! Copying in both directions: each to its end, the ends passed on, and neither in the other's way.

mod helpers;

use gambol::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ErrorKind, copy_bidirectional},
    net::{TcpListener, TcpStream},
};
use helpers::poll_once;
use std::{
    collections::VecDeque,
    io,
    pin::{Pin, pin},
    sync::LazyLock,
    task::{Context, Poll},
};

const MIB: usize = 1024 * 1024;

/// So much takes the short road, where there is one.
const LONG: usize = 2 * MIB;

fn content(size: usize) -> &'static [u8] {
    static ALL: LazyLock<Vec<u8>> = LazyLock::new(|| (0..LONG).map(|n| (n % 251) as u8 ^ (n >> 16) as u8).collect());
    &ALL[..size]
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connecting = TcpStream::connect(listener.local_addr().unwrap());
    let (ours, theirs) = futures_util::future::join(listener.accept(), connecting).await;
    let (ours, theirs) = (ours.unwrap().0, theirs.unwrap());
    // What comes last is not to wait for the peer's acknowledgement of what came before.
    ours.set_nodelay(true).unwrap();
    theirs.set_nodelay(true).unwrap();
    (ours, theirs)
}

/// All until the end. (`read_to_end` clears what it grows by, which takes most of the time of a build for debugging.)
async fn hear(reader: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let (mut all, mut piece) = (Vec::new(), vec![0; 64 * 1024]);
    loop {
        match reader.read(&mut piece).await.unwrap() {
            0 => return all,
            n => all.extend_from_slice(&piece[..n]),
        }
    }
}

/// A connection that is not known to be one.
struct Plain(TcpStream);

impl AsyncRead for Plain {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Plain {
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

#[derive(Clone, Copy, Debug)]
enum Kind {
    Bare,
    Mut,
    Plain,
    Dyn,
}

const KINDS: [Kind; 4] = [Kind::Bare, Kind::Mut, Kind::Plain, Kind::Dyn];

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

async fn proxy(kinds: (Kind, Kind), mut a: TcpStream, b: TcpStream) -> io::Result<(u64, u64)> {
    async fn with<A: Stream + ?Sized>(a: &mut A, kind: Kind, mut b: TcpStream) -> io::Result<(u64, u64)> {
        match kind {
            Kind::Bare => copy_bidirectional(a, &mut b).await,
            Kind::Mut => copy_bidirectional(a, &mut &mut b).await,
            Kind::Plain => copy_bidirectional(a, &mut Plain(b)).await,
            Kind::Dyn => copy_bidirectional(a, &mut b as &mut dyn Stream).await,
        }
    }
    match kinds.0 {
        Kind::Bare => with(&mut a, kinds.1, b).await,
        Kind::Mut => with(&mut &mut a, kinds.1, b).await,
        Kind::Plain => with(&mut Plain(a), kinds.1, b).await,
        Kind::Dyn => with(&mut a as &mut dyn Stream, kinds.1, b).await,
    }
}

/// Who speaks first, and who ends first.
#[derive(Clone, Copy, Debug)]
enum Order {
    /// Both send at once.
    Together,
    /// The server answers only when the client has ended.
    AfterTheEnd,
    /// The client sends only when the server has ended.
    AfterTheServersEnd,
}

#[gambol::test]
async fn both_directions_arrive_and_end_whoever_ends_first() {
    for (there, back) in [(0, 0), (1, 300_000), (100_000, 1), (LONG, LONG)] {
        for order in [Order::Together, Order::AfterTheEnd, Order::AfterTheServersEnd] {
            for a in KINDS {
                for b in KINDS {
                    one(there, back, order, (a, b)).await;
                }
            }
        }
    }
}

async fn one(there: usize, back: usize, order: Order, kinds: (Kind, Kind)) {
    let (proxy_a, client) = pair().await;
    let (proxy_b, server) = pair().await;
    let copying = gambol::spawn(proxy(kinds, proxy_a, proxy_b));
    let speak = |mut stream: TcpStream, size: usize, listens_first: bool| async move {
        if listens_first {
            let heard = hear(&mut stream).await;
            stream.write_all(content(size)).await.unwrap();
            stream.close().await.unwrap();
            heard
        } else {
            let (mut reader, mut writer) = stream.into_split();
            let speaking = async {
                writer.write_all(content(size)).await.unwrap();
                writer.close().await.unwrap();
            };
            futures_util::future::join(speaking, hear(&mut reader)).await.1
        }
    };
    let client = gambol::spawn(speak(client, there, matches!(order, Order::AfterTheServersEnd)));
    let server = gambol::spawn(speak(server, back, matches!(order, Order::AfterTheEnd)));
    assert!(server.await.unwrap() == content(there), "{there} there, {order:?}, {kinds:?}");
    assert!(client.await.unwrap() == content(back), "{back} back, {order:?}, {kinds:?}");
    assert_eq!(copying.await.unwrap().unwrap(), (there as u64, back as u64), "{order:?}, {kinds:?}");
}

#[test]
fn it_works_under_any_executor() {
    let copies = |kinds| async move {
        let (mut proxy_a, client) = pair().await;
        let (mut proxy_b, server) = pair().await;
        let (client, server) = (client.into_split(), server.into_split());
        let speak = |(mut reader, mut writer): (gambol::net::OwnedReadHalf, gambol::net::OwnedWriteHalf)| async move {
            let speaking = async {
                writer.write_all(content(LONG)).await.unwrap();
                drop(writer);
            };
            let ((), heard) = futures_util::future::join(speaking, hear(&mut reader)).await;
            assert!(heard == content(LONG));
        };
        let copying = async {
            match kinds {
                Kind::Plain => copy_bidirectional(&mut Plain(proxy_a), &mut Plain(proxy_b)).await.unwrap(),
                _ => copy_bidirectional(&mut proxy_a, &mut proxy_b).await.unwrap(),
            }
        };
        let (copied, (), ()) = futures_util::future::join3(copying, speak(client), speak(server)).await;
        assert_eq!(copied, (LONG as u64, LONG as u64));
    };
    for kind in [Kind::Bare, Kind::Plain] {
        futures::executor::block_on(copies(kind));
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(copies(kind));
    }
}

#[gambol::test]
async fn the_end_of_one_direction_is_passed_on_while_the_other_is_open() {
    let (mut proxy_a, mut client) = pair().await;
    let (mut proxy_b, mut server) = pair().await;
    let copying = gambol::spawn(async move { copy_bidirectional(&mut proxy_a, &mut proxy_b).await });
    client.write_all(b"request").await.unwrap();
    client.close().await.unwrap();
    let mut request = Vec::new();
    // The server sees the end before it has said anything.
    server.read_to_end(&mut request).await.unwrap();
    assert_eq!(request, b"request");
    assert!(!copying.is_finished());
    server.write_all(b"answer").await.unwrap();
    let mut answer = [0; 6];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"answer");
    drop(server);
    assert_eq!(copying.await.unwrap().unwrap(), (7, 6));
}

#[gambol::test]
async fn an_error_of_one_direction_ends_both() {
    for kinds in [(Kind::Bare, Kind::Bare), (Kind::Plain, Kind::Plain)] {
        let (proxy_a, mut client) = pair().await;
        let (proxy_b, server) = pair().await;
        let copying = gambol::spawn(proxy(kinds, proxy_a, proxy_b));
        // The server's direction stays open and silent.
        client.write_all(content(MIB)).await.unwrap();
        socket2::SockRef::from(&client).set_linger(Some(std::time::Duration::ZERO)).unwrap();
        drop(client);
        assert_eq!(copying.await.unwrap().unwrap_err().kind(), ErrorKind::ConnectionReset);
        drop(server);
    }
}

#[gambol::test]
async fn a_copy_that_is_given_up_closes_nothing() {
    for polls in 0..6 {
        let (mut proxy_a, mut client) = pair().await;
        let (mut proxy_b, mut server) = pair().await;
        client.write_all(b"one").await.unwrap();
        {
            let mut copying = pin!(copy_bidirectional(&mut proxy_a, &mut proxy_b));
            for _ in 0..polls {
                assert!(poll_once(&mut copying).await.is_pending());
            }
        }
        // Both connections are as good as before.
        proxy_b.write_all(b"two").await.unwrap();
        client.write_all(b"three").await.unwrap();
        drop(proxy_b);
        let mut heard = Vec::new();
        server.read_to_end(&mut heard).await.unwrap();
        let mut unheard = [0; 5];
        if heard.len() == 3 {
            proxy_a.read_exact(&mut unheard[..3]).await.unwrap();
            assert_eq!(&unheard[..3], b"one");
        }
        proxy_a.read_exact(&mut unheard).await.unwrap();
        assert_eq!(&unheard, b"three");
        assert!([&b"two"[..], b"onetwo"].contains(&&heard[..]), "{heard:?} after {polls} polls");
    }
}

/// An end in memory that gives what it has and then does as it is told.
#[derive(Default)]
struct Memory {
    to_read: usize,
    /// Endless if it is not set.
    ends: bool,
    written: usize,
    closes: VecDeque<Poll<ErrorKind>>,
    closed: usize,
}

impl AsyncRead for Memory {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let n = if self.ends { self.to_read.min(buf.len()) } else { buf.len() };
        self.to_read -= n.min(self.to_read);
        Poll::Ready(Ok(n))
    }
}

impl AsyncWrite for Memory {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        assert_eq!(self.closed, 0, "written after it was closed");
        self.written += buf.len();
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.closes.pop_front() {
            Some(Poll::Pending) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(Poll::Ready(kind)) => Poll::Ready(Err(kind.into())),
            None => {
                self.closed += 1;
                Poll::Ready(Ok(()))
            }
        }
    }
}

#[gambol::test]
async fn each_side_is_closed_once_whatever_closing_takes() {
    let slow = || VecDeque::from([Poll::Pending, Poll::Ready(ErrorKind::Interrupted), Poll::Pending]);
    let mut a = Memory { to_read: 100_000, ends: true, closes: slow(), ..Memory::default() };
    let mut b = Memory { to_read: 5, ends: true, ..Memory::default() };
    assert_eq!(copy_bidirectional(&mut a, &mut b).await.unwrap(), (100_000, 5));
    assert_eq!((a.closed, a.written), (1, 5));
    assert_eq!((b.closed, b.written), (1, 100_000));

    let mut a = Memory { ends: true, closes: [Poll::Ready(ErrorKind::BrokenPipe)].into(), ..Memory::default() };
    let mut b = Memory { to_read: 5, ends: true, ..Memory::default() };
    assert_eq!(copy_bidirectional(&mut a, &mut b).await.unwrap_err().kind(), ErrorKind::BrokenPipe);
}

#[test]
fn a_busy_direction_does_not_starve_the_other() {
    // Neither under a budget nor without one.
    let both_move = || async {
        let (mut a, mut b) = (Memory::default(), Memory::default());
        {
            let mut copying = pin!(copy_bidirectional(&mut a, &mut b));
            for _ in 0..10 {
                assert!(poll_once(&mut copying).await.is_pending());
            }
        }
        let (less, more) = (a.written.min(b.written), a.written.max(b.written));
        assert!(less * 3 > more && less > 0, "{} and {}", a.written, b.written);
    };
    futures::executor::block_on(both_move());
    gambol::block_on(gambol::spawn(async move { both_move().await })).unwrap();
}
