//! How to work with gambol: a tour, pages on looking at what runs and on programs that stand still, and two for those who
//! come from elsewhere. All code on them is compiled and run with the tests.

#[doc = include_str!("tour.md")]
pub mod tour {}

#[doc = include_str!("seeing.md")]
pub mod seeing {}
#[doc = include_str!("metrics.md")]
pub mod metrics {}

#[doc = include_str!("coming_from_tokio.md")]
pub mod coming_from_tokio {}

#[doc = include_str!("coming_from_go.md")]
pub mod coming_from_go {}

#[doc = include_str!("deadlocks.md")]
pub mod deadlocks {}
