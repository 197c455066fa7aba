//! `join!` and `try_join!`: several futures in one task.
//!
//! They mean what the futures crate's mean. These are our own for two reasons: the crate's are procedural macros, which
//! would bring a parser into every build; and they poll in the same order each time, so that a first branch that always
//! finds something ready would spend the whole budget of every turn and leave none to the others. Here each turn begins with
//! another branch.
//!
//! A variable per branch is made by recursion: each step of the macro makes a name of its own.

/// Awaits several futures at the same time, in this task; yields a tuple of their outputs.
///
/// They are polled in turn and so never run in parallel; to that end [`spawn`](crate::spawn) them and join the handles.
///
/// ```
/// # gambol::block_on(async {
/// let (one, two) = gambol::join!(async { 1 }, async { 2 });
/// assert_eq!(one + two, 3);
/// # });
/// ```
///
/// # Cancel safety
///
/// As the futures'; outputs that had come are dropped.
#[macro_export]
macro_rules! join {
    (@name [$($name:ident = $future:expr,)*]) => {{
        $(let mut $name = ::std::pin::pin!($crate::__private::maybe_done($future));)*
        let mut rota = $crate::__private::Rota::new(0 $(+ { let _ = &$name; 1 })*);
        ::std::future::poll_fn(move |cx| {
            let mut pending = false;
            rota.turn(|place| {
                let mut at = 0usize;
                $(
                    if place == at {
                        pending |= ::std::future::Future::poll($name.as_mut(), cx).is_pending();
                    }
                    at += 1;
                )*
                let _ = (at, place);
                ::std::ops::ControlFlow::<()>::Continue(())
            });
            let _ = &cx;
            if pending {
                return ::std::task::Poll::Pending;
            }
            ::std::task::Poll::Ready(($($name.as_mut().take_output().expect("it is done"),)*))
        })
        .await
    }};
    (@name [$($done:tt)*] $future:expr $(, $($rest:tt)*)?) => {
        $crate::join!(@name [$($done)* future = $future,] $($($rest)*)?)
    };
    ($($futures:tt)*) => { $crate::join!(@name [] $($futures)*) };
}

/// Awaits several futures at the same time, in this task; yields `Ok` of a tuple, or the first error that comes.
///
/// With an error the futures that are not done yet are dropped.
///
/// ```
/// # gambol::block_on(async {
/// let sum = async {
///     let (one, two) = gambol::try_join!(async { "1".parse::<i32>() }, async { "2".parse::<i32>() })?;
///     Ok::<_, std::num::ParseIntError>(one + two)
/// };
/// assert_eq!(sum.await, Ok(3));
/// # });
/// ```
///
/// # Cancel safety
///
/// As the futures'; outputs that had come are dropped.
#[macro_export]
macro_rules! try_join {
    (@name [$($name:ident = $future:expr,)*]) => {{
        $(let mut $name = ::std::pin::pin!($crate::__private::try_maybe_done($future));)*
        let mut rota = $crate::__private::Rota::new(0 $(+ { let _ = &$name; 1 })*);
        ::std::future::poll_fn(move |cx| {
            let mut pending = false;
            let failed = rota.turn(|place| {
                let mut at = 0usize;
                $(
                    if place == at {
                        match ::std::future::Future::poll($name.as_mut(), cx) {
                            ::std::task::Poll::Pending => pending = true,
                            ::std::task::Poll::Ready(::std::result::Result::Ok(())) => {}
                            ::std::task::Poll::Ready(::std::result::Result::Err(error)) => {
                                return ::std::ops::ControlFlow::Break(error);
                            }
                        }
                    }
                    at += 1;
                )*
                let _ = (at, place);
                ::std::ops::ControlFlow::Continue(())
            });
            let _ = &cx;
            if let ::std::option::Option::Some(error) = failed {
                return ::std::task::Poll::Ready(::std::result::Result::Err(error));
            }
            if pending {
                return ::std::task::Poll::Pending;
            }
            ::std::task::Poll::Ready(::std::result::Result::Ok((
                $($name.as_mut().take_output().expect("it is done"),)*
            )))
        })
        .await
    }};
    (@name [$($done:tt)*] $future:expr $(, $($rest:tt)*)?) => {
        $crate::try_join!(@name [$($done)* future = $future,] $($($rest)*)?)
    };
    ($($futures:tt)*) => { $crate::try_join!(@name [] $($futures)*) };
}

/// Whose turn it is first.
#[derive(Debug)]
pub struct Rota {
    branches: usize,
    first: usize,
}

impl Rota {
    /// For so many branches.
    pub fn new(branches: usize) -> Rota {
        Rota { branches, first: 0 }
    }

    /// Calls each branch by its place, beginning one further than the last time, until one breaks off.
    #[inline]
    pub fn turn<B>(&mut self, mut poll: impl FnMut(usize) -> std::ops::ControlFlow<B>) -> Option<B> {
        let first = self.first;
        self.first = if first + 1 < self.branches { first + 1 } else { 0 };
        (first..self.branches).chain(0..first).find_map(|place| poll(place).break_value())
    }
}
