//! How to work with gambol: a tour, a page on tests, and two for those who come from elsewhere. All code on them is compiled and run with
//! the tests.

#[doc = include_str!("tour.md")]
pub mod tour {}

#[doc = include_str!("testing.md")]
pub mod testing {}

#[doc = include_str!("coming_from_tokio.md")]
pub mod coming_from_tokio {}

#[doc = include_str!("coming_from_go.md")]
pub mod coming_from_go {}
