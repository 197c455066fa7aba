//! What datagram sockets of all families do alike.

use gambol_executor::Done;
use std::io;

/// A call that moves a datagram says nothing about the next one: only `WouldBlock` ends readiness.
pub(crate) fn done<R>(result: io::Result<R>) -> io::Result<Done<R>> {
    result.map(|value| Done { value, short: false })
}

/// Receiving, and waiting for either direction, for a type with a field `io`: `receives!(Type, AddressOfThePeer);`.
macro_rules! receives {
    ($type:ty, $address:ty) => {
        impl $type {
            /// Receives a datagram. Yields its length, or how much of it there was room for.
            ///
            /// # Errors
            ///
            /// As for the type.
            ///
            /// # Cancel safety
            ///
            /// A datagram that is not yielded has not been taken.
            pub async fn recv(&self, buf: &mut [u8]) -> std::io::Result<usize> {
                std::future::poll_fn(|cx| self.poll_recv(cx, buf)).await
            }

            /// As [`recv`](Self::recv), for those who write futures by hand.
            ///
            /// # Errors
            ///
            /// As there.
            pub fn poll_recv(
                &self,
                cx: &mut std::task::Context<'_>,
                buf: &mut [u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                self.io.poll_io(cx, gambol_executor::Direction::Read, gambol_executor::Reason::Read, |socket| {
                    $crate::net::datagram::done(socket.recv(buf))
                })
            }

            /// As [`recv`](Self::recv), without waiting.
            ///
            /// # Errors
            ///
            /// `WouldBlock` instead of waiting; otherwise as there.
            pub fn try_recv(&self, buf: &mut [u8]) -> std::io::Result<usize> {
                self.io.try_io(gambol_executor::Direction::Read, |socket| $crate::net::datagram::done(socket.recv(buf)))
            }

            /// As [`recv`](Self::recv); yields also where the datagram comes from. A socket of the Unix domain may be without a name.
            ///
            /// # Errors
            ///
            /// As for the type.
            ///
            /// # Cancel safety
            ///
            /// A datagram that is not yielded has not been taken.
            pub async fn recv_from(&self, buf: &mut [u8]) -> std::io::Result<(usize, $address)> {
                std::future::poll_fn(|cx| self.poll_recv_from(cx, buf)).await
            }

            /// As [`recv_from`](Self::recv_from), for those who write futures by hand.
            ///
            /// # Errors
            ///
            /// As there.
            pub fn poll_recv_from(
                &self,
                cx: &mut std::task::Context<'_>,
                buf: &mut [u8],
            ) -> std::task::Poll<std::io::Result<(usize, $address)>> {
                self.io.poll_io(cx, gambol_executor::Direction::Read, gambol_executor::Reason::Read, |socket| {
                    $crate::net::datagram::done(socket.recv_from(buf))
                })
            }

            /// As [`recv_from`](Self::recv_from), without waiting.
            ///
            /// # Errors
            ///
            /// `WouldBlock` instead of waiting; otherwise as there.
            pub fn try_recv_from(&self, buf: &mut [u8]) -> std::io::Result<(usize, $address)> {
                self.io.try_io(gambol_executor::Direction::Read, |socket| {
                    $crate::net::datagram::done(socket.recv_from(buf))
                })
            }

            /// Waits until a datagram may be there, or an error to report. See [`try_recv`](Self::try_recv).
            ///
            /// # Errors
            ///
            /// "The runtime is gone".
            ///
            /// # Cancel safety
            ///
            /// Nothing is lost.
            pub async fn readable(&self) -> std::io::Result<()> {
                std::future::poll_fn(|cx| self.poll_readable(cx)).await
            }

            /// As [`readable`](Self::readable), for those who write futures by hand.
            ///
            /// # Errors
            ///
            /// As there.
            pub fn poll_readable(&self, cx: &mut std::task::Context<'_>) -> std::task::Poll<std::io::Result<()>> {
                self.io.poll_ready(cx, gambol_executor::Direction::Read, gambol_executor::Reason::Read)
            }

            /// Waits until there may be room to send, or an error to report. See [`try_send`](Self::try_send).
            ///
            /// # Errors
            ///
            /// "The runtime is gone".
            ///
            /// # Cancel safety
            ///
            /// Nothing is lost.
            pub async fn writable(&self) -> std::io::Result<()> {
                std::future::poll_fn(|cx| self.poll_writable(cx)).await
            }

            /// As [`writable`](Self::writable), for those who write futures by hand.
            ///
            /// # Errors
            ///
            /// As there.
            pub fn poll_writable(&self, cx: &mut std::task::Context<'_>) -> std::task::Poll<std::io::Result<()>> {
                self.io.poll_ready(cx, gambol_executor::Direction::Write, gambol_executor::Reason::Write)
            }
        }
    };
}

pub(crate) use receives;
