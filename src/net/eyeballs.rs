//! Connecting to a name that has several addresses, of which some do not answer (RFC 8305, "Happy Eyeballs").
//!
//! A host with a broken route, usually for IPv6, lets a connection attempt hang for minutes, and trying address by address would
//! hang with it. So:
//! 1. The addresses are put in an order in which the two families alternate, beginning with the first address and keeping the
//!    system's order within each family.
//! 2. The first attempt starts. The next one starts when an attempt has failed, or [`DELAY`] after the last start, whichever
//!    is first; those under way go on.
//! 3. The first that succeeds is the result; the others are dropped, which closes their sockets.
//!
//! All attempts live in one future and are polled together whenever any of them or the timer wakes the task: there are few,
//! and asking one that is not ready costs a look at a word. A task for each was left: it would have to be cancelled, and an
//! attempt in a task of its own may win and be thrown away after its caller has gone.
//!
//! Of the RFC is left out what a resolver of our own would be needed for: connecting to the addresses of one family while
//! those of the other are still being looked up.

use super::{address, lookup::Addresses, platform};
use gambol_executor::{Reason, Sleep, park, spend};
use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
    vec,
};

/// How long an attempt has the field to itself (the RFC's Connection Attempt Delay).
pub(crate) const DELAY: Duration = Duration::from_millis(250);

/// Attempts in a race. `B` begins one, `F` is one under way.
pub(crate) struct Race<B, F> {
    begin: B,
    delay: Duration,
    /// Those that were not tried yet.
    left: vec::IntoIter<SocketAddr>,
    /// Under way, the oldest first.
    running: Vec<F>,
    /// When the next one may start although some are under way. None: at once.
    next: Option<Sleep>,
    error: Option<io::Error>,
}

impl<B, F, T> Race<B, F>
where
    B: FnMut(SocketAddr) -> io::Result<F>,
    F: Future<Output = io::Result<T>> + Unpin,
{
    pub(crate) fn new(addresses: Addresses, delay: Duration, begin: B) -> Race<B, F> {
        let left = interleave(addresses.collect()).into_iter();
        Race { begin, delay, left, running: Vec::new(), next: None, error: None }
    }

    /// Looks at those under way.
    fn poll_running(&mut self, cx: &mut Context<'_>) -> Option<T> {
        let mut at = 0;
        while let Some(attempt) = self.running.get_mut(at) {
            match Pin::new(attempt).poll(cx) {
                Poll::Ready(Ok(winner)) => return Some(winner),
                Poll::Ready(Err(error)) => {
                    drop(self.running.remove(at));
                    self.failed(error);
                }
                Poll::Pending => at += 1,
            }
        }
        None
    }

    /// Whether the next attempt has to wait.
    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.next {
            Some(next) if !self.running.is_empty() => Pin::new(next).poll(cx),
            _ => Poll::Ready(()),
        }
    }

    /// The next attempt starts at once. The error that will be told, if all fail, is the first; but one that says that
    /// there is no way from this machine, as IPv6 has none in many places, gives way to one that tells of the other end.
    fn failed(&mut self, error: io::Error) {
        self.next = None;
        match &self.error {
            Some(first) if !platform::no_way(first) || platform::no_way(&error) => {}
            _ => self.error = Some(error),
        }
    }
}

impl<B, F, T> Future for Race<B, F>
where
    B: FnMut(SocketAddr) -> io::Result<F> + Unpin,
    F: Future<Output = io::Result<T>> + Unpin,
{
    type Output = io::Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some(winner) = this.poll_running(cx) {
            return Poll::Ready(Ok(winner));
        }
        while !this.left.as_slice().is_empty() && this.poll_wait(cx).is_ready() {
            // A unit for each that fails as it begins: there may be thousands, and each costs three system calls.
            let spent = ready!(spend(cx));
            let Some(address) = this.left.next() else { break };
            match (this.begin)(address) {
                Ok(mut attempt) => {
                    spent.refund();
                    match Pin::new(&mut attempt).poll(cx) {
                        Poll::Ready(Ok(winner)) => return Poll::Ready(Ok(winner)),
                        Poll::Ready(Err(error)) => this.failed(error),
                        Poll::Pending => {
                            this.running.push(attempt);
                            this.next = Some(Sleep::new(this.delay));
                        }
                    }
                }
                Err(error) => this.failed(error),
            }
        }
        if this.running.is_empty() {
            return Poll::Ready(Err(this.error.take().unwrap_or_else(address::none)));
        }
        park(Reason::Connect);
        Poll::Pending
    }
}

/// The families in turn, beginning with that of the first address.
fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let Some(first) = addresses.first() else { return addresses };
    let is_v4 = first.is_ipv4();
    let (ours, others): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|address| address.is_ipv4() == is_v4);
    let mut others = others.into_iter();
    let mut order: Vec<_> = ours.into_iter().flat_map(|address| [Some(address), others.next()]).flatten().collect();
    order.extend(others);
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{cell::RefCell, future::poll_fn, io::ErrorKind, rc::Rc};

    /// What becomes of the attempts to connect to an address, which is told by its port.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Fate {
        Succeeds,
        /// When it begins.
        FailsAtOnce(ErrorKind),
        /// At its second poll.
        Fails(ErrorKind),
        Hangs,
        /// It hangs until something else began, and then succeeds.
        SucceedsAfter(u16),
    }

    #[derive(Default)]
    struct Log {
        begun: Vec<u16>,
        dropped: Vec<u16>,
    }

    struct Attempt {
        port: u16,
        fate: Fate,
        polled: bool,
        log: Rc<RefCell<Log>>,
    }

    impl Future for Attempt {
        type Output = io::Result<u16>;

        fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<u16>> {
            match self.fate {
                Fate::Succeeds => return Poll::Ready(Ok(self.port)),
                Fate::Fails(kind) if self.polled => return Poll::Ready(Err(kind.into())),
                Fate::SucceedsAfter(port) if self.log.borrow().begun.contains(&port) => {
                    return Poll::Ready(Ok(self.port));
                }
                Fate::Hangs => {}
                _ => cx.waker().wake_by_ref(),
            }
            self.polled = true;
            Poll::Pending
        }
    }

    impl Drop for Attempt {
        fn drop(&mut self) {
            self.log.borrow_mut().dropped.push(self.port);
        }
    }

    const NEVER: Duration = Duration::MAX;
    const SOON: Duration = Duration::from_millis(1);

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn race(fates: &'static [Fate], delay: Duration) -> (Rc<RefCell<Log>>, impl Future<Output = io::Result<u16>>) {
        let log = Rc::new(RefCell::new(Log::default()));
        let addresses = Addresses::many((0..fates.len() as u16).map(address).collect());
        let kept = log.clone();
        let begin = move |address: SocketAddr| {
            let port = address.port();
            log.borrow_mut().begun.push(port);
            match fates[usize::from(port)] {
                Fate::FailsAtOnce(kind) => Err(kind.into()),
                fate => Ok(Attempt { port, fate, polled: false, log: log.clone() }),
            }
        };
        (kept, Race::new(addresses, delay, begin))
    }

    fn run(fates: &'static [Fate], delay: Duration) -> (io::Result<u16>, Vec<u16>) {
        let (log, race) = race(fates, delay);
        let result = gambol_executor::block_on(race);
        let mut log = log.borrow_mut();
        log.dropped.sort();
        let expected: Vec<_> = log
            .begun
            .iter()
            .copied()
            .filter(|&port| !matches!(fates[usize::from(port)], Fate::FailsAtOnce(_)))
            .collect();
        assert_eq!(log.dropped, expected, "an attempt outlived the race");
        (result, log.begun.clone())
    }

    use ErrorKind::{ConnectionRefused, ConnectionReset, TimedOut};
    use Fate::*;

    #[test]
    fn an_attempt_has_the_field_to_itself_until_the_delay_is_over() {
        let (log, race) = race(&[Hangs, Succeeds], NEVER);
        gambol_executor::block_on(async {
            let mut race = std::pin::pin!(race);
            for _ in 0..5 {
                assert!(poll_fn(|cx| Poll::Ready(race.as_mut().poll(cx))).await.is_pending());
            }
        });
        assert_eq!(log.borrow().begun, [0]);
        // The caller gave up.
        assert_eq!(log.borrow().dropped, [0]);
    }

    #[test]
    fn one_that_hangs_is_overtaken_and_dropped() {
        let (result, begun) = run(&[Hangs, Hangs, Succeeds, Succeeds], SOON);
        assert_eq!(result.unwrap(), 2);
        assert_eq!(begun, [0, 1, 2]);
    }

    #[test]
    fn one_that_was_overtaken_may_still_win() {
        let (result, begun) = run(&[SucceedsAfter(1), Hangs], SOON);
        assert_eq!(result.unwrap(), 0);
        assert_eq!(begun, [0, 1]);
    }

    #[test]
    fn after_a_failure_the_next_begins_at_once() {
        let (result, begun) =
            run(&[FailsAtOnce(ConnectionRefused), Fails(ConnectionRefused), Succeeds, Succeeds], NEVER);
        assert_eq!(result.unwrap(), 2);
        assert_eq!(begun, [0, 1, 2]);
    }

    #[test]
    fn a_failure_in_the_background_starts_the_next_one_too() {
        // The second begins after the delay; its failure starts the third although the first still hangs.
        let (result, begun) = run(&[Hangs, Fails(ConnectionRefused), Succeeds], SOON);
        assert_eq!(result.unwrap(), 2);
        assert_eq!(begun, [0, 1, 2]);
    }

    #[test]
    fn when_all_fail_the_first_failure_is_told() {
        let (result, begun) = run(&[Fails(ConnectionReset), FailsAtOnce(ConnectionRefused), Fails(TimedOut)], NEVER);
        assert_eq!(result.unwrap_err().kind(), ConnectionReset);
        assert_eq!(begun, [0, 1, 2]);
        assert_eq!(run(&[], NEVER).0.unwrap_err().kind(), ErrorKind::InvalidInput);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn that_there_is_no_way_is_told_only_if_all_say_so() {
        let no_way = || io::Error::from(rustix::io::Errno::NETUNREACH);
        let begin = |refuses: u16| {
            move |address: SocketAddr| -> io::Result<std::future::Ready<io::Result<()>>> {
                match address.port() {
                    port if port == refuses => Err(ConnectionRefused.into()),
                    _ => Err(no_way()),
                }
            }
        };
        for refuses in 0..4 {
            let addresses = Addresses::many((0..3).map(address).collect());
            let error = gambol_executor::block_on(Race::new(addresses, NEVER, begin(refuses))).unwrap_err();
            let expected = if refuses < 3 { ConnectionRefused } else { ErrorKind::NetworkUnreachable };
            assert_eq!(error.kind(), expected);
        }
    }

    /// As for a family without a route, of which there are many addresses.
    #[test]
    fn a_thousand_failures_at_once_let_others_run() {
        const ADDRESSES: u16 = 1000;
        let race = async {
            let begin = |_| -> io::Result<std::future::Ready<io::Result<()>>> { Err(ConnectionRefused.into()) };
            let addresses = Addresses::many((0..ADDRESSES).map(address).collect());
            let mut race = std::pin::pin!(Race::new(addresses, NEVER, begin));
            let mut polls = 0;
            let result = poll_fn(|cx| {
                polls += 1;
                race.as_mut().poll(cx)
            });
            assert_eq!(result.await.unwrap_err().kind(), ConnectionRefused);
            assert!(polls > 4, "{polls} polls");
        };
        gambol_executor::block_on(gambol_executor::spawn(race)).unwrap();
    }

    #[test]
    fn the_families_take_turns() {
        // Upper case: IPv6. Letters are the addresses' order within their family.
        for (given, expected) in [
            ("", ""),
            ("a", "a"),
            ("abc", "abc"),
            ("ABab", "AaBb"),
            ("abAB", "aAbB"),
            ("ABCa", "AaBC"),
            ("aABC", "aABC"),
            ("Aabc", "Aabc"),
            ("abcA", "aAbc"),
        ] {
            let parse = |letter: char| match letter.is_uppercase() {
                true => SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], letter as u16)),
                false => address(letter as u16),
            };
            let order = interleave(given.chars().map(parse).collect());
            let order: String = order.iter().map(|address| address.port() as u8 as char).collect();
            assert_eq!(order, expected, "{given}");
        }
    }
}
