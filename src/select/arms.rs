//! The arms of a `select!`, side by side.
//!
//! `And<And<And<Nil, A>, B>, C>` holds three. The list grows at its outer end, since that is what a macro can do that reads
//! arms from left to right: it wraps what it has. So the last arm is the outermost, and an arm's number says at which depth it is:
//! the one numbered `LEN - 1` is here, the others are further in.
//!
//! A trait over tuples was left: it needs an implementation for each of 64 lengths.

use super::{Arm, How, Lines, Look};
use crate::chan::{Claim, Owed, Word};
use pin_project_lite::pin_project;
use std::{convert::Infallible, pin::Pin, ptr, task::Context};

/// Some arms, each of which may be disabled. What is said of a single one stands at [`Arm`].
pub trait Arms {
    /// What comes of one of them.
    type Output: Outcome;

    /// What the select keeps beside them.
    type Lines: Lines;

    /// How many.
    const LEN: usize;

    /// How many of them are receives and sends.
    const CHANNELS: usize;

    /// Looks at one. None: it is disabled. What comes of it goes through `take` where it is known of which arm it is: that saves to pack
    /// and unpack it level by level.
    fn poll_arm<R>(
        self: Pin<&mut Self>,
        index: usize,
        cx: &mut Context<'_>,
        how: How,
        take: impl FnOnce(Self::Output) -> R,
    ) -> Option<Look<R>>;

    /// Disables one, and drops what it holds.
    fn disable(self: Pin<&mut Self>, index: usize);

    /// Writes down the locks of the channels' arms, each at its arm's number.
    #[doc(hidden)]
    fn words(&self, words: &mut [*const Word]);

    /// See [`Arm::try_held`].
    ///
    /// # Safety
    ///
    /// As there.
    #[doc(hidden)]
    unsafe fn try_held(self: Pin<&mut Self>, index: usize, how: How, owed: &mut Owed) -> Option<Self::Output>;

    /// See [`Arm::enrol_held`].
    ///
    /// # Safety
    ///
    /// As there.
    #[doc(hidden)]
    unsafe fn enrol_held(self: Pin<&mut Self>, index: usize, claim: &Claim, again: bool, owed: &mut Owed);

    /// Releases the locks in `words`, each once.
    ///
    /// # Safety
    ///
    /// The caller holds them all.
    #[doc(hidden)]
    unsafe fn release(&self, words: &[*const Word]);

    /// See [`Arm::settle`].
    #[doc(hidden)]
    fn settle(&self, index: usize, owed: Owed);

    /// See [`Arm::claimed`].
    #[doc(hidden)]
    fn claimed(self: Pin<&mut Self>, index: usize) -> Option<Self::Output>;

    /// See [`Arm::leave`]; for all arms.
    #[doc(hidden)]
    fn leave(self: Pin<&mut Self>);
}

/// No arms.
#[derive(Debug)]
pub struct Nil;

impl Arms for Nil {
    type Output = Infallible;
    type Lines = ();

    const LEN: usize = 0;
    const CHANNELS: usize = 0;

    fn poll_arm<R>(
        self: Pin<&mut Self>,
        _: usize,
        _: &mut Context<'_>,
        _: How,
        _: impl FnOnce(Infallible) -> R,
    ) -> Option<Look<R>> {
        None
    }

    fn disable(self: Pin<&mut Self>, _: usize) {}

    fn words(&self, _: &mut [*const Word]) {}

    unsafe fn try_held(self: Pin<&mut Self>, _: usize, _: How, _: &mut Owed) -> Option<Infallible> {
        None
    }

    unsafe fn enrol_held(self: Pin<&mut Self>, _: usize, _: &Claim, _: bool, _: &mut Owed) {}

    unsafe fn release(&self, _: &[*const Word]) {}

    fn settle(&self, _: usize, _: Owed) {}

    fn claimed(self: Pin<&mut Self>, _: usize) -> Option<Infallible> {
        None
    }

    fn leave(self: Pin<&mut Self>) {}
}

pin_project! {
    /// Some arms and one more.
    #[derive(Debug)]
    pub struct And<L, A> {
        #[pin]
        rest: L,
        #[pin]
        arm: Option<A>,
    }
}

impl<L, A> And<L, A> {
    /// Those, and this; None: it is disabled from the beginning.
    #[inline]
    pub fn new(rest: L, arm: Option<A>) -> And<L, A> {
        And { rest, arm }
    }
}

/// What came of some arms and one more.
#[derive(Debug)]
pub enum Out<R, T> {
    /// It came of one of them.
    Rest(R),
    /// It came of the one more.
    This(Came<T>),
}

/// What came of one arm. It is wrapped, since to rustc an expression of the type `!` ends the code that it stands in.
#[derive(Debug)]
pub struct Came<T>(pub T);

/// What came of one of some arms.
pub trait Outcome {
    /// Of which. For n arms it is an enum of n values in a byte.
    type Which;

    /// Says of which.
    fn which(&self) -> Self::Which;
}

impl Outcome for Infallible {
    type Which = Infallible;

    #[inline]
    fn which(&self) -> Infallible {
        *self
    }
}

impl<R: Outcome, T> Outcome for Out<R, T> {
    type Which = Out<R::Which, ()>;

    #[inline]
    fn which(&self) -> Self::Which {
        match self {
            Out::Rest(rest) => Out::Rest(rest.which()),
            Out::This(_) => Out::This(Came(())),
        }
    }
}

impl<L: Arms, A: Arm> Arms for And<L, A> {
    type Output = Out<L::Output, A::Output>;
    type Lines = A::Lines<L::Lines>;

    const LEN: usize = L::LEN + 1;
    const CHANNELS: usize = L::CHANNELS + A::IS_CHANNEL as usize;

    #[inline]
    fn poll_arm<R>(
        self: Pin<&mut Self>,
        index: usize,
        cx: &mut Context<'_>,
        how: How,
        take: impl FnOnce(Self::Output) -> R,
    ) -> Option<Look<R>> {
        let this = self.project();
        if index + 1 == Self::LEN {
            Some(this.arm.as_pin_mut()?.poll(cx, how).map(|output| take(Out::This(Came(output)))))
        } else {
            this.rest.poll_arm(index, cx, how, |output| take(Out::Rest(output)))
        }
    }

    #[inline]
    fn disable(self: Pin<&mut Self>, index: usize) {
        let mut this = self.project();
        if index + 1 == Self::LEN {
            if let Some(arm) = this.arm.as_mut().as_pin_mut() {
                arm.leave();
            }
            this.arm.set(None);
        } else {
            this.rest.disable(index);
        }
    }

    #[inline]
    fn words(&self, words: &mut [*const Word]) {
        self.rest.words(words);
        words[Self::LEN - 1] = self.arm.as_ref().and_then(Arm::word).map_or(ptr::null(), ptr::from_ref);
    }

    #[inline]
    unsafe fn try_held(self: Pin<&mut Self>, index: usize, how: How, owed: &mut Owed) -> Option<Self::Output> {
        let this = self.project();
        // SAFETY: the caller's promise, for this arm and for those.
        unsafe {
            if index + 1 == Self::LEN {
                Some(Out::This(Came(this.arm.as_pin_mut()?.try_held(how, owed)?)))
            } else {
                Some(Out::Rest(this.rest.try_held(index, how, owed)?))
            }
        }
    }

    #[inline]
    unsafe fn enrol_held(self: Pin<&mut Self>, index: usize, claim: &Claim, again: bool, owed: &mut Owed) {
        let this = self.project();
        // SAFETY: the caller's promise, for this arm and for those.
        unsafe {
            if index + 1 < Self::LEN {
                this.rest.enrol_held(index, claim, again, owed);
            } else if let Some(arm) = this.arm.as_pin_mut() {
                arm.enrol_held(claim, index as u32, again, owed);
            }
        }
    }

    #[inline]
    unsafe fn release(&self, words: &[*const Word]) {
        let index = Self::LEN - 1;
        // SAFETY: the caller's promise, for this arm and for those. Of several arms of one channel the first releases it.
        unsafe {
            if let Some(arm) = &self.arm
                && !words[..index].contains(&words[index])
            {
                arm.release();
            }
            self.rest.release(words);
        }
    }

    #[inline]
    fn settle(&self, index: usize, owed: Owed) {
        if index + 1 < Self::LEN {
            self.rest.settle(index, owed);
        } else if let Some(arm) = &self.arm {
            arm.settle(owed);
        }
    }

    fn claimed(self: Pin<&mut Self>, index: usize) -> Option<Self::Output> {
        let this = self.project();
        if index + 1 == Self::LEN {
            Some(Out::This(Came(this.arm.as_pin_mut()?.claimed()?)))
        } else {
            Some(Out::Rest(this.rest.claimed(index)?))
        }
    }

    fn leave(self: Pin<&mut Self>) {
        /// Also if an arm panics: what stands in a line points to what may end next.
        struct Leave<'a, L: Arms>(Pin<&'a mut L>);

        impl<L: Arms> Drop for Leave<'_, L> {
            #[inline]
            fn drop(&mut self) {
                self.0.as_mut().leave();
            }
        }

        let this = self.project();
        let _rest = Leave(this.rest);
        if let Some(arm) = this.arm.as_pin_mut() {
            arm.leave();
        }
    }
}
