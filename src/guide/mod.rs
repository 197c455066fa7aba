//! How to work with gambol: a tour, two pages for those who come from elsewhere, and one about programs that stand still. All
//! code on them is compiled and run with the tests.

#[doc = include_str!("tour.md")]
pub mod tour {}

#[doc = include_str!("coming_from_tokio.md")]
pub mod coming_from_tokio {}

#[doc = include_str!("coming_from_go.md")]
pub mod coming_from_go {}

#[doc = include_str!("deadlocks.md")]
pub mod deadlocks {}
