//! The attribute macros of the gambol runtime, and what `select!` says of mistakes. Only `gambol`'s API is promised; use them from
//! there.
//!
//! There is little to parse, so this crate does it by hand and depends on nothing. In reading order:

use proc_macro::TokenStream;

// What stands in the attribute's parentheses.
mod arguments;
// The function that the attribute stands on.
mod function;
// What both make of it.
mod expand;
// What is wrong with an arm of `select!`.
mod select;
// What is reported instead.
mod error;

/// Runs an `async fn main` on gambol's default runtime.
///
/// ```ignore
/// #[gambol::main]
/// async fn main() -> std::io::Result<()> {
///     Ok(())
/// }
/// ```
///
/// - `#[gambol::main]`: main is an ordinary task, which may move between workers. One whose future is not `Send` stays on the main
///   thread.
/// - `#[gambol::main(local)]`: it stays on the main thread in any case.
/// - `#[gambol::main(workers = 4)]`: the default runtime has 4 workers, 1 to 256, whatever `GAMBOL_WORKERS` says.
///
/// Main may return whatever a `main` may return, and it becomes the exit status as there; after a panic it is 101. When main
/// returns, the process ends: other tasks, jobs that block, and reads of the standard input are not waited for. Workers are
/// given 10 ms to come to the end of a poll.
#[proc_macro_attribute]
pub fn main(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand::attribute(expand::Kind::Main, arguments, item)
}

/// Runs an `async fn` as a test, on a runtime of its own, which is shut down when the test ends.
///
/// ```ignore
/// #[gambol::test]
/// async fn two_and_two_are_four() {
///     assert_eq!(gambol::spawn(async { 2 + 2 }).await.unwrap(), 4);
/// }
/// ```
///
/// The runtime has 2 workers, or as many as `#[gambol::test(workers = 4)]` says, 1 to 256. The test runs as a task; one
/// whose future is not `Send` stays on the test's thread. It may return a `Result`, and `#[should_panic]` and `#[ignore]` work
/// as usual.
///
/// - `#[gambol::test(virtual_time = true)]`: time stands still while anything can run, and leaps to the next deadline when nothing can.
///   The order in which tasks run is drawn from a seed.
/// - `#[gambol::test(seed = 7)]`: the order is drawn from this seed. Time is real, unless `virtual_time` is given as well.
///
/// A test that fails prints its seed. `GAMBOL_SEED` in the environment is the seed of tests that do not give one; without it
/// each run has another. A test with neither argument runs on free workers, and then the seed is that of the random
/// choices on each worker only, as in `select!`: it does not repeat how the workers met. The guide has more, under `testing`.
#[proc_macro_attribute]
pub fn test(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand::attribute(expand::Kind::Test, arguments, item)
}

/// Reports what is wrong with the arms that `select!` cannot read. Not promised to anyone else.
#[doc(hidden)]
#[proc_macro]
pub fn select_mistake(tokens: TokenStream) -> TokenStream {
    select::mistake(tokens).into_tokens()
}
