//! What the standard streams have in common on the outside. Each holds std's handle in a field `std`.

/// The descriptor, and whether it is a terminal.
macro_rules! descriptor {
    ($type:ty) => {
        impl $type {
            /// Whether it is a terminal. (`std::io::IsTerminal` cannot be implemented outside of std.)
            pub fn is_terminal(&self) -> bool {
                std::io::IsTerminal::is_terminal(&self.std)
            }
        }

        #[cfg(unix)]
        impl std::os::fd::AsFd for $type {
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                self.std.as_fd()
            }
        }

        #[cfg(unix)]
        impl std::os::fd::AsRawFd for $type {
            fn as_raw_fd(&self) -> std::os::fd::RawFd {
                self.std.as_raw_fd()
            }
        }

        #[cfg(windows)]
        impl std::os::windows::io::AsHandle for $type {
            fn as_handle(&self) -> std::os::windows::io::BorrowedHandle<'_> {
                self.std.as_handle()
            }
        }

        #[cfg(windows)]
        impl std::os::windows::io::AsRawHandle for $type {
            fn as_raw_handle(&self) -> std::os::windows::io::RawHandle {
                self.std.as_raw_handle()
            }
        }
    };
}

/// An output, written by way of a static `Output`.
macro_rules! write_to {
    ($type:ty, $output:expr) => {
        impl futures_io::AsyncWrite for $type {
            fn poll_write(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                bytes: &[u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                $output.poll_write(cx, &[std::io::IoSlice::new(bytes)])
            }

            fn poll_write_vectored(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                bufs: &[std::io::IoSlice<'_>],
            ) -> std::task::Poll<std::io::Result<usize>> {
                $output.poll_write(cx, bufs)
            }

            fn poll_flush(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                $output.poll_flush(cx)
            }

            /// As `poll_flush`; the descriptor stays open, for others use it too.
            fn poll_close(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                $output.poll_flush(cx)
            }
        }

        $crate::io::standard::descriptor!($type);
    };
}

pub(super) use {descriptor, write_to};
