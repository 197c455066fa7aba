//! One arm of a `select!`.
//!
//! The expression's type decides what kind of arm it is. The macro calls `awaited(expression).arm()`, and Rust looks for the method
//! in this order:
//!
//! 1. a method of [`Wrap`] for that very type, which another kind of arm brings along;
//! 2. [`AnyFuture::arm`], for whatever can be awaited. In code that is generic over the future it is always this one;
//! 3. [`NoFuture::arm`], one reference further. `awaited` has complained by then, at the expression's own place, and this keeps
//!    others from complaining of the same at the whole `select!`.

//!
//! What every arm can do is to be asked whether it is ready. Those of channels can do more: they get in line, all of one select under
//! the locks of all their channels (`run.rs`).

use super::Lines;
use crate::chan::{Claim, Owed, Word};
use pin_project_lite::pin_project;
use std::{
    future::{Pending, pending},
    pin::Pin,
    task::{Context, Poll},
};

/// What stands in an arm.
pub trait Arm {
    /// What comes of it.
    type Output;

    /// Whether it is a receive or a send, for which the following methods are.
    const IS_CHANNEL: bool = false;

    /// What a select with this arm and some others keeps beside its arms, if with the others it keeps `Rest`.
    type Lines<Rest: Lines>: Lines;

    /// Looks whether it has come. A channel's arm does what can be done at once, and does not wait.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>, how: How) -> Look<Self::Output>;

    /// The lock of its channel.
    #[doc(hidden)]
    fn word(&self) -> Option<&Word> {
        None
    }

    /// As `poll`, for a channel's arm whose channel's lock is held.
    ///
    /// # Safety
    ///
    /// The caller holds the lock of [`word`](Self::word).
    #[doc(hidden)]
    unsafe fn try_held(self: Pin<&mut Self>, _: How, _: &mut Owed) -> Option<Self::Output> {
        None
    }

    /// Gets in line, or in line again. `again`: the select has another turn at once, only for what it sends; it did not look under the
    /// locks whether something is ready.
    ///
    /// # Safety
    ///
    /// The caller holds the lock of [`word`](Self::word). The claim stays where it is until this arm has left its line
    /// ([`leave`](Self::leave)), which the caller sees to before either ends. It opens the claim before it releases the lock.
    #[doc(hidden)]
    unsafe fn enrol_held(self: Pin<&mut Self>, _: &Claim, _: u32, _again: bool, _: &mut Owed) {}

    /// Releases the lock.
    ///
    /// # Safety
    ///
    /// The caller holds the lock of [`word`](Self::word).
    #[doc(hidden)]
    unsafe fn release(&self) {}

    /// After the release: does what could not be done under the lock.
    #[doc(hidden)]
    fn settle(&self, _: Owed) {}

    /// What came of it while the select waited: the claim says that it was this one.
    #[doc(hidden)]
    fn claimed(self: Pin<&mut Self>) -> Option<Self::Output> {
        None
    }

    /// Leaves the line; a send takes its value with it.
    #[doc(hidden)]
    fn leave(self: Pin<&mut Self>) {}
}

/// How an arm of a channel may do what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// As the operation itself does.
    Waiting,
    /// The same; but a send that a receiver waits for, where there is no queue, says so ([`Look::Meets`]).
    Meeting,
    /// As the operation's `try_` does: there will be no waiting.
    Now,
    /// Not at all. It only says whether it looks ready.
    Peek,
}

/// What an arm finds.
#[derive(Debug)]
pub enum Look<T> {
    /// It has come.
    Ready(T),
    /// It has not.
    Waits,
    /// A send without a queue to a receiver that waits: it completes when that has come for the value.
    Meets,
    /// It looks ready, and was not to be done.
    Could,
}

impl<T> Look<T> {
    /// The same with another output.
    #[inline]
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Look<U> {
        match self {
            Look::Ready(output) => Look::Ready(f(output)),
            Look::Waits => Look::Waits,
            Look::Meets => Look::Meets,
            Look::Could => Look::Could,
        }
    }
}

/// What an arm awaits, before it is known what kind of arm that makes.
#[derive(Debug)]
pub struct Wrap<F>(pub F);

/// Takes an arm's expression.
#[inline]
pub fn awaited<F: IntoFuture>(future: F) -> Wrap<F> {
    Wrap(future)
}

/// The arm of a future that no other kind of arm is made of.
pub trait AnyFuture {
    /// The kind of arm.
    type Arm: Arm;

    /// Makes it.
    fn arm(self) -> Self::Arm;
}

impl<F: IntoFuture> AnyFuture for Wrap<F> {
    type Arm = Awaiting<F::IntoFuture>;

    #[inline]
    fn arm(self) -> Awaiting<F::IntoFuture> {
        Awaiting { future: self.0.into_future() }
    }
}

/// The arm of what is no future, in code that does not compile.
pub trait NoFuture {
    /// Of any type, so that nobody complains of it.
    fn arm<T>(&self) -> Awaiting<Pending<T>>;
}

impl<F> NoFuture for Wrap<F> {
    fn arm<T>(&self) -> Awaiting<Pending<T>> {
        Awaiting { future: pending() }
    }
}

pin_project! {
    /// Any future. It spends the budget itself, if it is one of gambol's.
    #[derive(Debug)]
    pub struct Awaiting<F> {
        #[pin]
        future: F,
    }
}

impl<F: Future> Arm for Awaiting<F> {
    type Output = F::Output;
    type Lines<Rest: Lines> = Rest;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>, _: How) -> Look<F::Output> {
        match self.project().future.poll(cx) {
            Poll::Ready(output) => Look::Ready(output),
            Poll::Pending => Look::Waits,
        }
    }
}
