//! How to work with gambol: a tour; pages on looking at what runs, on what holds programs up, and on tests; and two for those who
//! come from elsewhere. All code on them is compiled and run with the tests.
//!
//! In reading order:
//!
//! - [`tour`]: tasks, time, channels, `select!`, sockets, files, runtimes.
//! - [`seeing`]: the dump, which says what every task does now.
//! - [`metrics`]: figures, histograms, Prometheus and `gambol-top`.
//! - [`tracing`]: a trace of every turn, and a line per interval.
//! - [`stalls`]: tasks that keep their thread.
//! - [`deadlocks`]: programs in which nothing goes on, and tasks that wait for ever.
//! - [`testing`]: virtual time, and runs that can be repeated.
//! - [`coming_from_tokio`] and [`coming_from_go`]: what is found where, and what is different.

#[doc = include_str!("tour.md")]
pub mod tour {}

#[doc = include_str!("seeing.md")]
pub mod seeing {}

#[doc = include_str!("metrics.md")]
pub mod metrics {}

#[doc = include_str!("tracing.md")]
pub mod tracing {}

#[doc = include_str!("stalls.md")]
pub mod stalls {}

#[doc = include_str!("deadlocks.md")]
pub mod deadlocks {}

#[doc = include_str!("testing.md")]
pub mod testing {}

#[doc = include_str!("coming_from_tokio.md")]
pub mod coming_from_tokio {}

#[doc = include_str!("coming_from_go.md")]
pub mod coming_from_go {}
