//! What may stand in a `select!`: kinds of futures, patterns, handlers, numbers of arms; and that none of it warns.
#![deny(warnings, clippy::pedantic, unused, let_underscore_drop, unreachable_pub, trivial_casts, unused_results)]
#![forbid(unsafe_code)]
#![allow(clippy::too_many_lines, clippy::needless_continue, reason = "about what stands here, not about the macro")]

use gambol::{select, yield_now};
use std::{
    cell::{Cell, RefCell},
    convert::Infallible,
    future::{Future, IntoFuture, Ready, pending, ready},
    num::ParseIntError,
    pin::{Pin, pin},
    rc::Rc,
};

async fn first<A: Future, B: Future<Output = A::Output>>(a: A, b: B) -> A::Output {
    select! {
        value = a => value,
        value = b => value,
    }
}

async fn pinned<F: Future + ?Sized>(mut future: Pin<&mut F>, turns: usize) -> Option<F::Output> {
    for _ in 0..turns {
        select! {
            biased;
            value = future.as_mut() => return Some(value),
            () = yield_now() => {}
        }
    }
    None
}

async fn unpin<F: Future + Unpin>(future: &mut F) -> F::Output {
    loop {
        select! {
            value = &mut *future => break value,
            () = yield_now() => {}
        }
    }
}

#[gambol::test]
async fn futures_of_all_kinds_are_arms() {
    assert_eq!(first(ready(1), pending()).await, 1);
    assert_eq!(first(pending(), async { 2 }).await, 2);
    let later = async {
        yield_now().await;
        3
    };
    assert_eq!(pinned(pin!(later), 9).await, Some(3));
    assert_eq!(pinned(pin!(pending::<()>()), 9).await, None);
    let mut object: Pin<Box<dyn Future<Output = i32> + Send>> = Box::pin(async { 4 });
    assert_eq!(pinned(object.as_mut(), 9).await, Some(4));
    let mut object: Pin<Box<dyn Future<Output = i32> + Send>> = Box::pin(async { 5 });
    assert_eq!(unpin(&mut object).await, 5);
    let mut object: Box<dyn Future<Output = i32> + Send + Unpin> = Box::new(ready(6));
    assert_eq!(unpin(&mut object).await, 6);
    assert_eq!(unpin(&mut Box::pin(async { 7 })).await, 7);
}

/// Becomes a future only when it is awaited.
struct Request(i32);

impl IntoFuture for Request {
    type Output = i32;
    type IntoFuture = Ready<i32>;

    fn into_future(self) -> Ready<i32> {
        ready(self.0)
    }
}

#[gambol::test]
async fn what_becomes_a_future_is_an_arm() {
    let got = select! {
        got = Request(1) => got,
        got = pending() => got,
    };
    assert_eq!(got, 1);
}

#[gambol::test]
async fn a_future_that_is_not_send_is_an_arm() {
    let cell = Rc::new(Cell::new(0));
    for _ in 0..3 {
        select! {
            () = async {
                yield_now().await;
                cell.set(cell.get() + 1);
            } => {}
            () = pending() => {}
        }
    }
    assert_eq!(cell.get(), 3);
}

#[gambol::test]
async fn a_select_of_futures_that_are_send_is_send() {
    let task = gambol::spawn(async {
        let text = String::from("text");
        select! {
            length = async { text.len() } => length,
            () = pending(), if text.is_empty() => 0,
            else => 0,
        }
    });
    assert_eq!(task.await.unwrap(), 4);
}

/// Of one arm comes what is not `Send`; the handlers of the others await.
async fn awaits_beside(mut seen: gambol::sync::watch::Receiver<i32>, numbers: gambol::chan::Receiver<i32>) -> i32 {
    select! {
        biased;
        there = seen.wait_for(|number| *number > 1) => there.map_or(0, |number| *number),
        Some(number) = numbers.recv() => {
            yield_now().await;
            number
        }
        cell = async { Rc::new(Cell::new(3)) }, if numbers.is_closed() => cell.get(),
        else => {
            yield_now().await;
            0
        }
    }
}

async fn awaits_in_the_default(numbers: &gambol::chan::Receiver<i32>) -> i32 {
    select! {
        cell = async { pending::<Rc<i32>>().await } => *cell,
        mut got = numbers.recv() => {
            yield_now().await;
            got.take().unwrap_or(0)
        }
        default => {
            yield_now().await;
            -1
        }
    }
}

#[gambol::test]
async fn a_handler_that_awaits_is_send_whatever_comes_of_other_arms() {
    fn is_send<T: Send>(it: T) -> T {
        it
    }
    let (state, seen) = gambol::sync::watch::channel(1);
    let (tx, rx) = gambol::chan::unbounded();
    tx.send(5).await.unwrap();
    assert_eq!(gambol::spawn(awaits_beside(seen.clone(), rx.clone())).await.unwrap(), 5);
    assert_eq!(is_send(awaits_in_the_default(&rx)).await, -1);
    tx.send(6).await.unwrap();
    assert_eq!(is_send(awaits_in_the_default(&rx)).await, 6);
    drop(tx);
    assert_eq!(gambol::spawn(awaits_beside(seen.clone(), rx.clone())).await.unwrap(), 3);
    state.send(2).unwrap();
    assert_eq!(gambol::spawn(awaits_beside(seen, rx)).await.unwrap(), 2);
}

/// Borrows, and says when it is dropped.
struct Guard<'a>(&'a mut Vec<&'static str>);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.push("drop");
    }
}

#[gambol::test]
async fn what_would_have_come_of_other_arms_borrows_nothing_in_a_handler() {
    let mut seen = Vec::new();
    for turn in 0..3 {
        select! {
            guard = async { Guard(&mut seen) }, if turn == 1 => guard.0.push("guard"),
            () = ready(()), if turn != 1 => {
                seen.push("handler");
                yield_now().await;
                seen.push("handler again");
            }
        }
    }
    assert_eq!(seen, ["handler", "handler again", "guard", "drop", "handler", "handler again"]);
    let added = select! {
        guard = async { pending::<Guard<'_>>().await.0.push("never"); Guard(&mut seen) } => guard.0.len(),
        default => {
            seen.push("default");
            1
        }
    };
    assert_eq!((added, seen.len()), (1, 7));
}

/// Writes its name when it is dropped.
struct Says<'a>(&'a RefCell<Vec<&'static str>>, &'static str);

impl Drop for Says<'_> {
    fn drop(&mut self) {
        self.0.borrow_mut().push(self.1);
    }
}

#[gambol::test]
async fn what_the_pattern_does_not_bind_is_dropped_after_the_handler() {
    let log = RefCell::new(Vec::new());
    let length = select! {
        (_, bound, Says(_, name)) = async { (Says(&log, "left"), Says(&log, "bound"), Says(&log, "right")) } => {
            yield_now().await;
            log.borrow_mut().push("handler");
            bound.1.len() + name.len()
        }
    };
    log.borrow_mut().push("after");
    assert_eq!(length, 10);
    assert_eq!(*log.borrow(), ["handler", "bound", "left", "right", "after"]);
}

#[derive(Debug)]
enum Message {
    Text { text: String, urgent: bool },
    Number(i32),
    Pair(i32, i32),
    End,
}

/// One arm per kind of pattern; each takes what the others leave.
async fn kind(message: Message) -> String {
    let mut message = Some(message);
    let mut got = || ready(message.take().unwrap());
    select! {
        Message::Text { mut text, urgent: true } = got() => {
            text.push('!');
            text
        }
        Message::Text { ref text, .. } = got(), if false => text.clone(),
        else => String::from("other"),
    }
}

#[gambol::test]
async fn patterns_of_all_kinds_are_taken() {
    assert_eq!(kind(Message::Text { text: "a".into(), urgent: true }).await, "a!");
    assert_eq!(kind(Message::Text { text: "a".into(), urgent: false }).await, "other");
    assert_eq!(kind(Message::End).await, "other");

    let sum = select! {
        Message::Number(1..=9) | Message::End = ready(Message::Number(5)) => 1,
        Message::Pair(left, right @ 1..) = ready(Message::Pair(1, 0)) => left + right,
        (Message::Number(_), _) = async { (Message::End, 1) } => 2,
        else => 3,
    };
    assert!(sum == 1, "the others do not match");

    // By reference, as the type has it.
    let words = [String::from("one")];
    let length = select! {
        Some(word) = ready(words.first()) => word.len(),
        else => 0,
    };
    assert_eq!((length, words.len()), (3, 1));
    let length = select! {
        [first, ..] = ready(&words[..]) => first.len(),
        else => 0,
    };
    assert_eq!(length, 3);
    let &number = select! { number = ready(&3) => number };
    let same = select! { &number = ready(&number) => number };
    assert_eq!(same, 3);
    let text = select! {
        "one" = ready("two") => "matched",
        _ = ready(1) => "any",
    };
    assert_eq!(text, "any");
    // Changed in place.
    let changed = select! {
        mut number = ready(1) => { number += 1; number }
    };
    assert_eq!(changed, 2);
    let changed = select! {
        Some(ref mut number) = ready(Some(1)) => { *number += 1; *number }
        else => 0,
    };
    assert_eq!(changed, 2);
}

#[gambol::test]
async fn an_arm_that_never_ends_has_any_handler() {
    async fn serve() -> Infallible {
        pending().await
    }
    async fn diverge() -> ! {
        pending().await
    }
    let got = select! {
        never = serve() => match never {},
        got = ready(1) => got,
    };
    assert_eq!(got, 1);
    let got = select! {
        _ = serve() => 0,
        _ = diverge() => 3,
        got = ready(1) => got,
    };
    assert_eq!(got, 1);
    let got = select! {
        never = diverge() => never,
        got = ready(1) => got,
    };
    assert_eq!(got, 1);
}

async fn parse(text: &str) -> Result<i32, ParseIntError> {
    yield_now().await;
    text.parse()
}

#[gambol::test]
async fn handlers_and_expressions_are_in_the_callers_scope() {
    async fn sum(left: &str, right: &str) -> Result<i32, ParseIntError> {
        let sum = select! {
            sum = async { parse(left).await } => sum? + parse(right).await?,
        };
        Ok(sum)
    }
    assert_eq!(sum("1", "2").await, Ok(3));
    assert!(sum("one", "2").await.is_err());
    assert!(sum("1", "two").await.is_err());
    let mut turns = 0;
    let found = 'outer: loop {
        loop {
            turns += 1;
            select! {
                biased;
                () = ready(()), if turns < 3 => continue 'outer,
                () = ready(()), if turns == 3 => continue,
                () = ready(()), if turns == 4 => break,
                () = ready(()) => break 'outer turns,
            }
        }
    };
    assert_eq!(found, 5);
}

#[gambol::test]
async fn as_many_as_64_arms_need_no_larger_recursion_limit() {
    // As a task, which asks whether all of it is Send.
    let task = gambol::spawn(async {
        let mut found = 0;
        for arm in 0..64 {
            found += select! {
                0 = ready(arm) => 0,
                1 = ready(arm) => 1,
                2 = ready(arm) => 2,
                3 = ready(arm) => 3,
                4 = ready(arm) => 4,
                5 = ready(arm) => 5,
                6 = ready(arm) => 6,
                7 = ready(arm) => 7,
                8 = ready(arm) => 8,
                9 = ready(arm) => 9,
                10 = ready(arm) => 10,
                11 = ready(arm) => 11,
                12 = ready(arm) => 12,
                13 = ready(arm) => 13,
                14 = ready(arm) => 14,
                15 = ready(arm) => 15,
                16 = ready(arm) => 16,
                17 = ready(arm) => 17,
                18 = ready(arm) => 18,
                19 = ready(arm) => 19,
                20 = ready(arm) => 20,
                21 = ready(arm) => 21,
                22 = ready(arm) => 22,
                23 = ready(arm) => 23,
                24 = ready(arm) => 24,
                25 = ready(arm) => 25,
                26 = ready(arm) => 26,
                27 = ready(arm) => 27,
                28 = ready(arm) => 28,
                29 = ready(arm) => 29,
                30 = ready(arm) => 30,
                31 = ready(arm) => 31,
                32 = ready(arm) => 32,
                33 = ready(arm) => 33,
                34 = ready(arm) => 34,
                35 = ready(arm) => 35,
                36 = ready(arm) => 36,
                37 = ready(arm) => 37,
                38 = ready(arm) => 38,
                39 = ready(arm) => 39,
                40 = ready(arm) => 40,
                41 = ready(arm) => 41,
                42 = ready(arm) => 42,
                43 = ready(arm) => 43,
                44 = ready(arm) => 44,
                45 = ready(arm) => 45,
                46 = ready(arm) => 46,
                47 = ready(arm) => 47,
                48 = ready(arm) => 48,
                49 = ready(arm) => 49,
                50 = ready(arm) => 50,
                51 = ready(arm) => 51,
                52 = ready(arm) => 52,
                53 = ready(arm) => 53,
                54 = ready(arm) => 54,
                55 = ready(arm) => 55,
                56 = ready(arm) => 56,
                57 = ready(arm) => 57,
                58 = ready(arm) => 58,
                59 = ready(arm) => 59,
                60 = ready(arm) => 60,
                61 = ready(arm) => 61,
                62 = ready(arm) => 62,
                63 = ready(arm) => 63,
                else => panic!("arm {arm} is not there"),
            };
        }
        found
    });
    assert_eq!(task.await.unwrap(), (0..64).sum::<i32>());
}

macro_rules! race {
    ($left:expr, $right:pat = $future:expr => $handler:expr) => {
        gambol::select! {
            taken = $left => taken,
            $right = $future => $handler,
        }
    };
}

#[gambol::test]
async fn other_macros_make_selects() {
    // The names inside and outside are strangers to each other.
    let (taken, guards) = (1, 2);
    let sum = race!(pending::<i32>(), number = ready(3) => taken + guards + number);
    assert_eq!(sum, 6);
}

#[gambol::test]
async fn selects_stand_in_arms_and_handlers_of_others() {
    let got = select! {
        number = async {
            select! {
                number = ready(1) => number,
                number = pending() => number,
            }
        } => select! {
            more = ready(2) => number + more,
            default => 0,
        },
        text = async {
            let number = select! { _ = pending::<i32>() => 1, };
            number
        } => text,
    };
    assert_eq!(got, 3);
}

#[gambol::test]
async fn handlers_need_no_braces_and_blocks_no_commas() {
    let mut seen = 0;
    for turn in 0..4 {
        select! {
            biased;
            () = ready(()), if turn == 0 => seen += 1,
            () = ready(()), if turn == 1 => { seen += 10 }
            () = ready(()), if turn == 2 => { seen += 100 },
            (1, 2) = ready::<(i32, i32)>((1, 2)), if turn < 0 => if seen > 0 { seen = 0 },
            default => match turn {
                3 => seen += 1000,
                _ => unreachable!(),
            }
        }
    }
    assert_eq!(seen, 1111);
    let default = 5;
    let biased = select! {
        biased;
        default = ready(default) => default,
    };
    assert_eq!(biased, 5);
}

mod hygiene {
    //! Names of the user's that are also used inside.
    #![allow(dead_code, non_camel_case_types, reason = "they are to be in the way")]
    #![no_implicit_prelude]

    struct Option;
    struct u64;
    struct core;
    struct std;
    mod gambol {}
    fn ready() -> i32 {
        1
    }

    trait AnyFuture {
        fn arm(&self) -> i32 {
            ready()
        }
    }

    impl<T> AnyFuture for T {}

    #[::gambol::test]
    async fn names_do_not_meet() {
        let mut turns = 0;
        loop {
            ::gambol::select! {
                one = ::std::future::ready(1.arm()), if turns == 0 => turns += one,
                () = ::std::future::pending(), if turns == 1 => {}
                default => break,
            }
        }
        ::std::assert_eq!(turns, 1);
    }
}
