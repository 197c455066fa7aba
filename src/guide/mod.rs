//! How to work with gambol: a tour, a page about looking at what runs, and two for those who come from elsewhere. All code on them is compiled and run with
//! the tests.

#[doc = include_str!("tour.md")]
pub mod tour {}

#[doc = include_str!("metrics.md")]
pub mod metrics {}

#[doc = include_str!("coming_from_tokio.md")]
pub mod coming_from_tokio {}

#[doc = include_str!("coming_from_go.md")]
pub mod coming_from_go {}
