//! `select!`, taken apart.
//!
//! This is a `macro_rules!`, so that rustc reads patterns and expressions: a procedural macro would either bring a parser into every
//! build or guess where an expression ends (is `a < b, c > (d)` one or two?). A `macro_rules!` in turn cannot point at a token. So what no
//! rule takes goes, from the first bad arm on, to a procedural macro that finds out what is wrong (`mistake!`), and that may guess.
//!
//! `__select!` takes one arm per step, and so reaches 64 within rustc's usual limit of 128 steps. It carries along:
//!
//! - three names, which are passed from step to step because each step's own names are strangers to the others;
//! - the order; the handlers of `default` and `else`, in brackets, once they were there;
//! - the number of arms so far, as `((0 + 1) + 1)`;
//! - the arms so far, as one expression that holds them all;
//! - for each arm: the pattern of what comes of all arms, when it comes of this one, once with the arm's own pattern and once with a name in
//!   its place; its own pattern; its number; its condition; its handler.
//!
//! Each further arm wraps the expression and the patterns that are there once more. They pass as single trees of tokens, so this costs a
//! few tokens per arm and step.
//!
//! A pattern stands twice in the result. First as a question, whether it takes what came: an arm of a `match` whose guard notes
//! that it was asked and says no, so that nothing is moved or bound whatever the pattern does, and the value can be passed on as it is.
//! And then before the handler, where the answer is known to be yes.
//!
//! While a handler runs, there is nothing but what came of its own arm. One `match` over what comes of all arms, with the handlers in
//! it, would be shorter, and would keep a variable of all their types: across an `.await` in a handler all of them would need to be
//! `Send`, and what one of them borrows, if it has a destructor, would be borrowed in every handler. So the `match` with the handlers is
//! over the number of the arm, in the shape that what comes has; and the value is first moved, as a whole, into the block of its handler,
//! since rustc takes a variable that was moved out of in part, or borrowed, to be there still.

/// Waits for several futures at once; goes on with the first that is ready and drops the others.
///
/// ```
/// use gambol::{select, sleep, time::Duration};
///
/// # async fn answer() -> u32 { 42 }
/// # gambol::block_on(async {
/// let text = select! {
///     number = answer() => format!("the answer is {number}"),
///     () = sleep(Duration::from_secs(20)) => String::from("it takes too long"),
/// };
/// assert_eq!(text, "the answer is 42");
/// # });
/// ```
///
/// It is an expression, for code in an `async` function or block, and consists of arms:
///
/// | arm | |
/// |---|---|
/// | `pattern = future => handler,` | Any future, or what becomes one by `.await`. It needs to be neither pinned nor fused. |
/// | `pattern = future, if condition => handler,` | Only if the condition is true when `select!` begins. |
/// | `default => handler,` | When nothing is ready now. Such a `select!` never waits. |
/// | `else => handler,` | When all arms are disabled. |
/// | `biased;` | Before the first arm: they are polled in the order of the source. |
///
/// `default` and `else` come last. A handler that is a block needs no comma. There may be 64 arms. Nothing is allocated.
///
/// # What happens when
///
/// 1. The conditions are evaluated, in the order of the source. An arm whose condition is false is disabled.
/// 2. The expressions of the other arms are evaluated, in the order of the source; those of disabled arms are not.
/// 3. The futures are polled until one is ready. If the pattern does not match what came, that is dropped, the arm is disabled, and the
///    others go on.
/// 4. All futures are dropped, in the order of the source. So a handler may use, mutably too, what they had borrowed.
/// 5. The handler runs, in place: `?`, `return`, `break`, `continue` and `.await` do what they do outside. All handlers are of the same
///    type, and what the pattern does not bind is dropped after the handler, both as in a `match`.
///    A handler that awaits holds only what came of its own arm, so what the other arms would have yielded need not be `Send`
///    for the whole to be.
///
/// Temporary values in an expression live until step 4, as in `expression.await`: a guard of a lock, say, is held for so
/// long. In an arm with a condition they live until the expression has been evaluated; one that is needed for longer is reported by
/// the compiler, and wants a `let` before the `select!`.
///
/// # Which one is first
///
/// When several are ready together, each is as likely as any other to be the one: the order of polling is drawn by chance each
/// time, as in Go's `select`. So in a loop no arm starves another.
///
/// With `biased;` it is the first in the order of the source. An arm that is always ready then starves those after it.
///
/// # Loops
///
/// A future that is to go on in the next turn of a loop, rather than begin anew, is made outside and awaited by reference:
///
/// ```
/// use gambol::{select, time::{Duration, interval}};
/// use std::pin::pin;
///
/// # async fn long_computation() -> u32 { gambol::sleep(Duration::from_millis(20)).await; 42 }
/// # gambol::block_on(async {
/// let mut ticks = interval(Duration::from_millis(5));
/// let mut computation = pin!(long_computation());
/// let mut turns = 0;
/// let result = loop {
///     select! {
///         result = &mut computation => break result,
///         _ = ticks.tick() => turns += 1,
///     }
/// };
/// assert_eq!(result, 42);
/// # });
/// ```
///
/// One that has completed must not be awaited again. A condition keeps it out:
///
/// ```
/// use gambol::{select, yield_now};
/// use std::pin::pin;
///
/// # gambol::block_on(async {
/// let (mut one, mut two) = (pin!(async { 1 }), pin!(async { yield_now().await; 2 }));
/// let (mut first, mut second) = (None, None);
/// loop {
///     select! {
///         number = &mut one, if first.is_none() => first = Some(number),
///         number = &mut two, if second.is_none() => second = Some(number),
///         else => break,
///     }
/// }
/// assert_eq!((first, second), (Some(1), Some(2)));
/// # });
/// ```
///
/// # Channels
///
/// Receives and sends of [`chan`](crate::chan) are arms like others. No value is lost by an arm that is not taken: a receive takes
/// its value when its arm is taken, and a send whose arm is not taken still has it. With `send` it is dropped then; with
/// [`send_from`](crate::chan::Sender::send_from) it stays in its variable. If two tasks each select over a send to the other and
/// a receive from it, one sends and the other receives.
///
/// A channel that is closed, and for receives empty, is always ready: a receive with None, a send with an error. In a loop a pattern
/// (`Some(value)`) or a condition keeps it out. A pattern should not ask more of the value than that: one that does not match is
/// received and dropped.
///
/// A receive that is kept in a variable and awaited by reference is a future like any other. Beside a send into the same unbuffered
/// channel it calls, and is called by, its own `select!`, and the task is polled again and again until somebody else comes to
/// the channel; `rx.recv()` in the arm does not.
///
/// ```
/// use gambol::{chan, select};
///
/// # gambol::block_on(async {
/// let (tx, rx) = chan::buffered(1);
/// # let (words, more) = chan::buffered(3);
/// # for word in ["a", "b", "c"] { words.send(word).await.unwrap(); }
/// # drop(words);
/// # let task = gambol::spawn(async move { let mut all = String::new(); while let Some(word) = rx.recv().await { all += word } all });
/// // Passes on, and takes the next one only when the last has gone.
/// let mut next = None;
/// loop {
///     select! {
///         Some(word) = more.recv(), if next.is_none() => next = Some(word),
///         sent = tx.send_from(&mut next), if next.is_some() => if sent.is_err() { break },
///         else => break,
///     }
/// }
/// # drop(tx);
/// # assert_eq!(task.await.unwrap(), "abc");
/// # });
/// ```
///
/// # Without waiting
///
/// `default` is taken when no arm is ready, or, without an `else`, when all are disabled. The arms are polled once, and what is
/// ready is found to be so even by a task that has found so much ready that it is to let others run. It does that when it next
/// waits; so a loop around such a `select!` awaits something else too, [`yield_now`](crate::yield_now()) for one.
/// Of a single arm that receives from an unbounded channel, "no arm is ready" means what [`try_recv`](crate::chan::Receiver::try_recv)
/// says of others who receive at this very time.
///
/// ```
/// use gambol::{select, sleep, time::Duration};
///
/// # gambol::block_on(async {
/// let is_late = select! {
///     () = sleep(Duration::from_secs(1)) => true,
///     default => false,
/// };
/// assert!(!is_late);
/// # });
/// ```
///
/// # Panics
///
/// When all arms are disabled, and there is neither an `else` nor a `default`.
///
/// # Cancel safety
///
/// Each arm but one is cancelled, so what is lost is what its future loses when it is dropped half-way; see there. A future that is
/// awaited by reference is not dropped and loses nothing. When the whole is dropped, all arms are.
///
/// # Elsewhere
///
/// Go's `select` takes channel operations and evaluates all their operands; this one takes any future, and conditions. tokio's
/// evaluates also the expression of an arm whose condition is false; here `request.take().unwrap(), if request.is_some()` does
/// not panic. The futures crate's wants futures that are `FusedFuture` and, if they are named, `Unpin`; here they need be neither.
#[macro_export]
macro_rules! select {
    (biased; $($arms:tt)*) => {
        $crate::__select! { @list {taken guards value} {InTurn} [] [] (0) ($crate::__private::select::Nil) [] $($arms)* }
    };
    ($($arms:tt)*) => {
        $crate::__select! { @list {taken guards value} {Shuffled} [] [] (0) ($crate::__private::select::Nil) [] $($arms)* }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __select {
    // The end of the list.
    (@list $names:tt $order:tt $default:tt $else:tt $count:tt $list:tt []) => {
        ::core::compile_error!("`select!` without an arm has nothing to wait for; an arm is `pattern = future => handler`")
    };
    (@list $names:tt $order:tt [] [] $count:tt $list:tt $arms:tt) => {
        $crate::__select! {
            @run $names $order run $count $list $arms
            [{ ($crate::__private::select::Taken::Else) ($crate::__private::select::all_disabled()) }]
        }
    };
    (@list $names:tt $order:tt [] [$else:tt] $count:tt $list:tt $arms:tt) => {
        $crate::__select! {
            @run $names $order run $count $list $arms [{ ($crate::__private::select::Taken::Else) $else }]
        }
    };
    (@list $names:tt $order:tt [$default:tt] [] $count:tt $list:tt $arms:tt) => {
        $crate::__select! {
            @run $names $order run_now $count $list $arms
            [{ ($crate::__private::select::Taken::Default | $crate::__private::select::Taken::Else) $default }]
        }
    };
    (@list $names:tt $order:tt [$default:tt] [$else:tt] $count:tt $list:tt $arms:tt) => {
        $crate::__select! {
            @run $names $order run_now $count $list $arms
            [
                { ($crate::__private::select::Taken::Default) $default }
                { ($crate::__private::select::Taken::Else) $else }
            ]
        }
    };

    // `default` and `else`, each once.
    (@list $names:tt $order:tt [] $else:tt $count:tt $list:tt $arms:tt default => $($rest:tt)+) => {
        $crate::__select! { @default $names $order $else $count $list $arms $($rest)+ }
    };
    (@list $names:tt $order:tt $default:tt [] $count:tt $list:tt $arms:tt else => $($rest:tt)+) => {
        $crate::__select! { @else $names $order $default $count $list $arms $($rest)+ }
    };
    (@default $names:tt $order:tt $else:tt $count:tt $list:tt $arms:tt $handler:tt $(, $($rest:tt)*)?) => {
        $crate::__select! { @list $names $order [$handler] $else $count $list $arms $($($rest)*)? }
    };
    (@default $names:tt $order:tt $else:tt $count:tt $list:tt $arms:tt $handler:block $($rest:tt)*) => {
        $crate::__select! { @list $names $order [$handler] $else $count $list $arms $($rest)* }
    };
    (@default $names:tt $order:tt $else:tt $count:tt $list:tt $arms:tt $handler:expr $(, $($rest:tt)*)?) => {
        $crate::__select! { @list $names $order [$handler] $else $count $list $arms $($($rest)*)? }
    };
    (@default $names:tt $order:tt $else:tt $count:tt $list:tt $arms:tt $($rest:tt)*) => {
        $crate::__private::select::mistake! { [] $else default => $($rest)* }
    };
    (@else $names:tt $order:tt $default:tt $count:tt $list:tt $arms:tt $handler:tt $(, $($rest:tt)*)?) => {
        $crate::__select! { @list $names $order $default [$handler] $count $list $arms $($($rest)*)? }
    };
    (@else $names:tt $order:tt $default:tt $count:tt $list:tt $arms:tt $handler:block $($rest:tt)*) => {
        $crate::__select! { @list $names $order $default [$handler] $count $list $arms $($rest)* }
    };
    (@else $names:tt $order:tt $default:tt $count:tt $list:tt $arms:tt $handler:expr $(, $($rest:tt)*)?) => {
        $crate::__select! { @list $names $order $default [$handler] $count $list $arms $($($rest)*)? }
    };
    (@else $names:tt $order:tt $default:tt $count:tt $list:tt $arms:tt $($rest:tt)*) => {
        $crate::__private::select::mistake! { $default [] else => $($rest)* }
    };

    // To rustc `else` might begin a pattern, with a mistake in it.
    (@list $names:tt $order:tt [] [] $count:tt $list:tt $arms:tt else $($rest:tt)*) => {
        $crate::__private::select::mistake! { [] [] else $($rest)* }
    };

    // An arm. Its handler is a single tree of tokens, or a block without a comma, or an expression. The first is there for what is an
    // expression in somebody's macro that calls this: to rustc it might begin a block, but then is none.
    (
        @list {$taken:ident $guards:ident $value:ident} $order:tt [] [] $count:tt $list:tt
        [$({ $path:tt $place:tt $own:tt $arm:tt $guard:tt $body:tt })*]
        $pattern:pat = $future:expr $(, if $condition:expr)? => $handler:tt $(, $($rest:tt)*)?
    ) => {
        $crate::__select! {
            @list {$taken $guards $value} $order [] [] ($count + 1)
            (
                $crate::__private::select::And::new(
                    $list, $crate::__select!(@arm $guards $count [$($condition)?] $future)
                )
            )
            [
                $({
                    ($crate::__private::select::Out::Rest $path) ($crate::__private::select::Out::Rest $place)
                    $own $arm $guard $body
                })*
                {
                    ($crate::__private::select::Out::This($crate::__private::select::Came($pattern)))
                    ($crate::__private::select::Out::This($value))
                    ($pattern) $count [$($condition)?] $handler
                }
            ]
            $($($rest)*)?
        }
    };
    (
        @list {$taken:ident $guards:ident $value:ident} $order:tt [] [] $count:tt $list:tt
        [$({ $path:tt $place:tt $own:tt $arm:tt $guard:tt $body:tt })*]
        $pattern:pat = $future:expr $(, if $condition:expr)? => $handler:block $($rest:tt)*
    ) => {
        $crate::__select! {
            @list {$taken $guards $value} $order [] [] ($count + 1)
            (
                $crate::__private::select::And::new(
                    $list, $crate::__select!(@arm $guards $count [$($condition)?] $future)
                )
            )
            [
                $({
                    ($crate::__private::select::Out::Rest $path) ($crate::__private::select::Out::Rest $place)
                    $own $arm $guard $body
                })*
                {
                    ($crate::__private::select::Out::This($crate::__private::select::Came($pattern)))
                    ($crate::__private::select::Out::This($value))
                    ($pattern) $count [$($condition)?] $handler
                }
            ]
            $($rest)*
        }
    };
    (
        @list {$taken:ident $guards:ident $value:ident} $order:tt [] [] $count:tt $list:tt
        [$({ $path:tt $place:tt $own:tt $arm:tt $guard:tt $body:tt })*]
        $pattern:pat = $future:expr $(, if $condition:expr)? => $handler:expr $(, $($rest:tt)*)?
    ) => {
        $crate::__select! {
            @list {$taken $guards $value} $order [] [] ($count + 1)
            (
                $crate::__private::select::And::new(
                    $list, $crate::__select!(@arm $guards $count [$($condition)?] $future)
                )
            )
            [
                $({
                    ($crate::__private::select::Out::Rest $path) ($crate::__private::select::Out::Rest $place)
                    $own $arm $guard $body
                })*
                {
                    ($crate::__private::select::Out::This($crate::__private::select::Came($pattern)))
                    ($crate::__private::select::Out::This($value))
                    ($pattern) $count [$($condition)?] $handler
                }
            ]
            $($($rest)*)?
        }
    };

    // None of these.
    (@list $names:tt $order:tt $default:tt $else:tt $count:tt $list:tt $arms:tt $($rest:tt)*) => {
        $crate::__private::select::mistake! { $default $else $($rest)* }
    };

    // An arm in the list, without and with a guard.
    (@arm $guards:ident $count:tt [] $future:expr) => {
        ::std::option::Option::Some($crate::__private::select::awaited($future).arm())
    };
    (@arm $guards:ident $count:tt [$condition:tt] $future:expr) => {
        if $guards & (1 << $count) != 0 {
            ::std::option::Option::Some($crate::__private::select::awaited($future).arm())
        } else {
            ::std::option::Option::None
        }
    };

    // All of it.
    (
        @run {$taken:ident $guards:ident $value:ident} {$order:ident} $run:ident $count:tt $list:tt
        [$({ $path:tt $place:tt $own:tt $arm:tt [$($guard:tt)?] $handler:tt })*] [$({ $other:tt $instead:tt })*]
    ) => {{
        #[allow(unused_imports)]
        use $crate::__private::select::{AnyFuture as _, NoFuture as _};
        const _: () = ::std::assert!($count <= $crate::__private::select::MOST, "`select!` takes at most 64 arms");
        let $guards = 0u64 $($(| if $guard { 1 << $arm } else { 0 })?)*;
        let _ = $guards;
        let ($guards, $taken) = $crate::__private::select::Select::<_, $crate::__private::select::$order<{ $count }>>::new$list
            .$run(|mut $taken| {
                let mut $guards = false;
                #[allow(unused_variables, unused_mut, unreachable_patterns)]
                match $taken {
                    $($path if { $guards = true; false } => $crate::__private::select::not_taken(),)*
                    _ => {}
                }
                if $guards { ::std::option::Option::Some($taken) } else { ::std::option::Option::None }
            })
            .await
            .which();
        match $guards {
            $($crate::__private::select::Taken::Arm $place => {
                // Here the name stands for a unit, and below for what came.
                let _ = $value;
                #[allow(unused_mut)]
                let mut $taken = {
                    let $taken = $taken;
                    match $taken {
                        $crate::__private::select::Taken::Arm $place => $value,
                        _ => $crate::__private::select::not_taken(),
                    }
                };
                #[allow(irrefutable_let_patterns)]
                let $crate::__private::select::Came $own = $taken else { $crate::__private::select::not_taken() };
                // Without the parentheses rustc finds a handler's braces unnecessary.
                ($handler)
            })*
            $($other => {
                $taken.let_go();
                ($instead)
            })*
            #[allow(unreachable_patterns)]
            _ => $crate::__private::select::not_taken(),
        }
    }};
}
