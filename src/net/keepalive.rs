//! How a silent peer is asked whether it is there.

use socket2::TcpKeepalive;
use std::time::Duration;

/// When the system asks a silent peer whether it is still there, and how often. What is not set stays as the system has it;
/// Linux asks after two hours, then every 75 seconds, and gives up after nine questions.
///
/// ```
/// use gambol::{net::Keepalive, time::Duration};
///
/// let keepalive = Keepalive::new().time(Duration::from_secs(60));
/// ```
#[derive(Clone, Debug)]
pub struct Keepalive(TcpKeepalive);

impl Keepalive {
    /// Nothing is set.
    pub const fn new() -> Keepalive {
        Keepalive(TcpKeepalive::new())
    }

    /// How long the connection is silent before the first question, in whole seconds (`TCP_KEEPIDLE`).
    pub const fn time(self, time: Duration) -> Keepalive {
        Keepalive(self.0.with_time(time))
    }

    /// How long an answer is awaited before the next question, in whole seconds (`TCP_KEEPINTVL`). OpenBSD has no such option.
    #[cfg(not(target_os = "openbsd"))]
    pub const fn interval(self, interval: Duration) -> Keepalive {
        Keepalive(self.0.with_interval(interval))
    }

    /// How many questions without an answer end the connection (`TCP_KEEPCNT`). OpenBSD has no such option.
    #[cfg(not(target_os = "openbsd"))]
    pub const fn retries(self, retries: u32) -> Keepalive {
        Keepalive(self.0.with_retries(retries))
    }

    pub(crate) fn as_socket2(&self) -> &TcpKeepalive {
        &self.0
    }
}

impl Default for Keepalive {
    fn default() -> Keepalive {
        Keepalive::new()
    }
}
