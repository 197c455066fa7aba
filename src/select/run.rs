//! The future of a `select!`.
//!
//! # A turn
//!
//! 1. If the select stands in lines, it shuts its claim (`chan/claim.rs`). If one of its sends was claimed meanwhile, that is its outcome.
//! 2. Each arm is asked, in order, whether it is ready; a receive or a send that can be done at once is done. What is done first is
//!    the outcome. Futures are polled here, where no lock is held.
//! 3. Nothing was ready: the locks of all channels are taken, in the order of their addresses; their arms are tried once more, then
//!    all get in line; the claim is opened, and the locks are released. So nothing that became ready after step 2 is missed, and two
//!    selects that meet, each sending what the other receives, make one match: the second finds the first in line and open.
//!
//! Step 2 takes the lock of one channel at a time, and none where a look at its word (`chan/word.rs`) says that nothing is there. Go takes
//! all locks at once, ready or not; where something is ready, which is the usual case under load, that is most of the cost.
//!
//! # Evenness between sends and receives without a queue
//!
//! Where there is no queue a send is done by the receiver's poll and never by the sender's. A select that has a receive ready each
//! time would never come to its sends, though receivers wait for them. So if a send to a receiver that waits comes first in the turn's
//! order, the others are not done in this turn: the select gets in line with its sends, which calls that receiver, and has another turn
//! behind it. (Its receives stay as they are: one that was called owes it to those behind to come, or to say that it does not.) If the receiver has not come by then, whatever is ready is done.
//!
//! # Costs
//!
//! With something ready: one lock. When it has to wait: the locks of all channels, one clone of the waker for all of them; and for each arm
//! that did not come true, one lock to leave its line. No allocation once the lines have had their length.

use super::{Arms, How, Lines, Look, Order, Outcome};
use crate::chan::{Claim, Owed, Shut, Word};
use gambol_executor::{Reason, discard, on_credit, park, spend};
use pin_project_lite::pin_project;
use std::{
    marker::PhantomData,
    mem,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

/// As many arms as there may be.
pub const MOST: usize = 64;

/// How it ended.
#[derive(Debug)]
pub enum Taken<T> {
    /// This came, and its arm's pattern takes it.
    Arm(T),
    /// Nothing is ready now. Only where there is a `default`.
    Default,
    /// All arms are disabled.
    Else,
}

impl<T: Outcome> Taken<T> {
    /// Also says of which arm it is.
    #[inline]
    pub fn which(self) -> (Taken<T::Which>, Taken<T>) {
        let which = match &self {
            Taken::Arm(output) => Taken::Arm(output.which()),
            Taken::Default => Taken::Default,
            Taken::Else => Taken::Else,
        };
        (which, self)
    }

    /// For the handlers of `default` and `else`, as what did not come is not to be there while they run either.
    #[inline]
    pub fn let_go(self) {}
}

/// Some arms, and the order in which they are polled.
#[derive(Debug)]
pub struct Select<L, O> {
    arms: L,
    order: PhantomData<fn() -> O>,
}

impl<L: Arms, O: Order> Select<L, O> {
    /// These.
    #[inline]
    pub fn new(arms: L) -> Select<L, O> {
        Select { arms, order: PhantomData }
    }

    /// Waits for the first output that `accept` gives back. The arm of one that it does not give back is disabled.
    #[inline]
    pub fn run<F: FnMut(L::Output) -> Option<L::Output>>(self, accept: F) -> Run<L, O, F> {
        Run { arms: self.arms, order: PhantomData, accept, lines: L::Lines::default() }
    }

    /// As [`run`](Self::run), without waiting: it is ready at the first poll.
    #[inline]
    pub fn run_now<F: FnMut(L::Output) -> Option<L::Output>>(self, accept: F) -> RunNow<L, O, F> {
        RunNow { arms: self.arms, order: PhantomData, accept }
    }
}

pin_project! {
    /// Waits for one of the arms.
    #[must_use = "futures do nothing unless they are awaited"]
    #[derive(Debug)]
    pub struct Run<L, O, F>
    where
        L: Arms,
        O: Order,
    {
        #[pin]
        arms: L,
        #[pin]
        lines: L::Lines,
        order: PhantomData<fn() -> O>,
        accept: F,
    }

    impl<L, O, F> PinnedDrop for Run<L, O, F>
    where
        L: Arms,
        O: Order,
    {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if let Some(standing) = this.lines.standing()
                && standing.end()
            {
                // The ways to the claim come out of the lines, before it ends.
                this.arms.leave();
            }
        }
    }
}

impl<L, O, F> Future for Run<L, O, F>
where
    L: Arms,
    O: Order,
    F: FnMut(L::Output) -> Option<L::Output>,
{
    type Output = Taken<L::Output>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Taken<L::Output>> {
        let polled = if L::CHANNELS == 0 { self.poll_futures(cx) } else { self.poll_channels(cx) };
        if polled.is_pending() {
            // After the arms, each of which may have given a reason of its own.
            park(Reason::Select);
        }
        polled
    }
}

impl<L, O, F> Run<L, O, F>
where
    L: Arms,
    O: Order,
    F: FnMut(L::Output) -> Option<L::Output>,
{
    /// Without channels the turn is its second step. The futures spend the budget themselves.
    #[inline]
    fn poll_futures(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Taken<L::Output>> {
        let this = self.project();
        let looked = look::<L, O>(this.arms, cx, How::Waiting, this.accept);
        looked.taken.map_or(Poll::Pending, Poll::Ready)
    }

    #[inline]
    fn poll_channels(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Taken<L::Output>> {
        let mut this = self.project();
        let Some(standing) = this.lines.standing() else { unreachable!("with channels there is something to keep") };
        let standing = standing.project();
        let claim = standing.claim.into_ref().get_ref();
        let spent = ready!(spend(cx));
        // Step 1. Whether the waker in the claim is there, and the right one.
        let mut waker = false;
        if *standing.enrolled {
            match claim.shut() {
                Shut::Sent(arm) => {
                    let arm = arm as usize;
                    let output = this.arms.as_mut().claimed(arm).expect("an arm that was claimed is there");
                    if let Some(output) = (this.accept)(output) {
                        return Poll::Ready(Taken::Arm(output));
                    }
                    this.arms.as_mut().disable(arm);
                    this.arms.as_mut().leave();
                    // SAFETY: all arms have just left their lines.
                    unsafe { claim.reset() };
                    *standing.enrolled = false;
                }
                // SAFETY: `shut` says that the cell is ours.
                Shut::Running { waker: true } => waker = unsafe { claim.wakes(cx.waker()) },
                Shut::Running { waker: false } => {}
            }
        }
        loop {
            // Step 2.
            let how = if *standing.met { How::Waiting } else { How::Meeting };
            let looked = look::<L, O>(this.arms.as_mut(), cx, how, this.accept);
            if let Some(taken) = looked.taken {
                return Poll::Ready(taken);
            }
            // Step 3.
            let new = if waker { None } else { Some(cx.waker().clone()) };
            *standing.enrolled = true;
            match enrol::<L, O>(this.arms.as_mut(), claim, new, !looked.leaves) {
                None => {
                    *standing.met = looked.leaves;
                    if looked.leaves {
                        cx.waker().wake_by_ref();
                    } else {
                        spent.refund();
                    }
                    return Poll::Pending;
                }
                Some((index, output)) => match (this.accept)(output) {
                    Some(output) => return Poll::Ready(Taken::Arm(output)),
                    None => this.arms.as_mut().disable(index),
                },
            }
        }
    }
}

pin_project! {
    /// Looks at the arms once.
    #[must_use = "futures do nothing unless they are awaited"]
    #[derive(Debug)]
    pub struct RunNow<L, O, F> {
        #[pin]
        arms: L,
        order: PhantomData<fn() -> O>,
        accept: F,
    }
}

impl<L, O, F> Future for RunNow<L, O, F>
where
    L: Arms,
    O: Order,
    F: FnMut(L::Output) -> Option<L::Output>,
{
    type Output = Taken<L::Output>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Taken<L::Output>> {
        let mut this = self.project();
        // An arm that is ready and is refused for want of budget would look as if it were not, and there is no next turn here. Without
        // any limit, a future that goes on for as long as it finds something ready would not return.
        on_credit(|| {
            if L::CHANNELS > 0 {
                // It has credit, so it is not refused.
                let _ = spend(cx).is_ready();
            }
            loop {
                let looked = look::<L, O>(this.arms.as_mut(), cx, How::Now, this.accept);
                if let Some(taken) = looked.taken {
                    return Poll::Ready(taken);
                }
                // Several channels were looked at one after the other. That none has anything *now* is said under all locks.
                if L::CHANNELS < 2 {
                    return Poll::Ready(Taken::Default);
                }
                match try_all::<L, O>(this.arms.as_mut()) {
                    None => return Poll::Ready(Taken::Default),
                    Some((index, output)) => match (this.accept)(output) {
                        Some(output) => return Poll::Ready(Taken::Arm(output)),
                        None => this.arms.as_mut().disable(index),
                    },
                }
            }
        })
    }
}

/// What came of a look at all arms.
struct Looked<T> {
    /// None: some arms wait.
    taken: Option<Taken<T>>,
    /// A send came first that a receiver waits for, and something else was ready and is left.
    leaves: bool,
}

/// Step 2: asks each arm once, in order, until something is taken.
#[inline]
fn look<L: Arms, O: Order>(
    mut arms: Pin<&mut L>,
    cx: &mut Context<'_>,
    mut how: How,
    accept: &mut impl FnMut(L::Output) -> Option<L::Output>,
) -> Looked<L::Output> {
    let (mut waits, mut leaves) = (false, false);
    let mut order = O::new();
    while let Some(index) = order.next() {
        match arms.as_mut().poll_arm(index, cx, how, &mut *accept) {
            None => {}
            Some(Look::Waits) => waits = true,
            Some(Look::Meets) => (waits, how) = (true, How::Peek),
            Some(Look::Could) => (waits, leaves) = (true, true),
            Some(Look::Ready(accepted)) => match accepted {
                Some(output) => return Looked { taken: Some(Taken::Arm(output)), leaves: false },
                None => arms.as_mut().disable(index),
            },
        }
    }
    Looked { taken: if waits { None } else { Some(Taken::Else) }, leaves }
}

/// The locks of all channels, taken in the order of their addresses.
struct Locks<W>(W);

impl<W: AsRef<[*const Word]> + AsMut<[*const Word]> + Copy> Locks<W> {
    /// # Safety
    ///
    /// The words are there until they are released by [`Arms::release`], which must happen, without a panic in between.
    #[inline]
    unsafe fn take(words: W) -> Locks<W> {
        let mut sorted = words;
        let sorted = sorted.as_mut();
        sorted.sort_unstable_by_key(|word| Word::rank(*word));
        let mut last = std::ptr::null();
        for &word in &*sorted {
            // Null is that of no channel; equal ones are that of one channel in several arms.
            if word != last {
                // SAFETY: the caller's promise.
                unsafe { (*word).acquire() };
                last = word;
            }
        }
        Locks(words)
    }

    /// The numbers of the arms that belong to a channel.
    fn has(&self, index: usize) -> bool {
        !self.0.as_ref()[index].is_null()
    }
}

/// Tries all arms of channels, in order, under all locks.
///
/// # Safety
///
/// The caller holds the locks, which are those of the arms.
#[inline]
unsafe fn try_held<L: Arms, O: Order>(
    mut arms: Pin<&mut L>,
    locks: &Locks<O::Words>,
    how: How,
    debts: &mut [Owed],
) -> Option<(usize, L::Output)> {
    let mut order = O::new();
    while let Some(index) = order.next() {
        if locks.has(index) {
            // SAFETY: the caller's promise.
            let output = unsafe { arms.as_mut().try_held(index, how, &mut debts[index]) };
            if let Some(output) = output {
                return Some((index, output));
            }
        }
    }
    None
}

/// Step 3. Some: an arm is done all the same. `tries`: whether that may be.
#[inline]
fn enrol<L: Arms, O: Order>(
    mut arms: Pin<&mut L>,
    claim: &Claim,
    waker: Option<Waker>,
    tries: bool,
) -> Option<(usize, L::Output)> {
    let mut debts = O::debts();
    let debts = debts.as_mut();
    let mut words = O::words();
    arms.words(words.as_mut());
    // SAFETY: the words are those of channels that the arms borrow. They are released below. No code in between is anybody else's, and
    // none panics but for a line of 2^32 waiters.
    let (done, old) = unsafe {
        let locks = Locks::take(words);
        let done = if tries { try_held::<L, O>(arms.as_mut(), &locks, How::Waiting, debts) } else { None };
        let old = match &done {
            Some(_) => waker,
            None => {
                let mut order = O::new();
                while let Some(index) = order.next() {
                    arms.as_mut().enrol_held(index, claim, !tries, &mut debts[index]);
                }
                claim.open(waker)
            }
        };
        arms.release(locks.0.as_ref());
        (done, old)
    };
    settle::<L, O>(&arms, debts);
    // What came is not to go with a waker whose drop panics.
    if old.is_some() {
        discard(old);
    }
    done
}

/// Wakes whom the arms of channels owe a wake, in reverse: on a worker of gambol's the last one who is woken runs first, and the first arm is
/// to have the better chance.
#[inline]
fn settle<L: Arms, O: Order>(arms: &L, debts: &mut [Owed]) {
    // The usual case, without drawing an order for it.
    if debts.iter().all(Owed::is_nothing) {
        return;
    }
    let mut order = O::backwards();
    while let Some(index) = order.next() {
        if !debts[index].is_nothing() {
            arms.settle(index, mem::take(&mut debts[index]));
        }
    }
}

/// All arms of channels at one moment, without waiting.
fn try_all<L: Arms, O: Order>(mut arms: Pin<&mut L>) -> Option<(usize, L::Output)> {
    let mut debts = O::debts();
    let debts = debts.as_mut();
    let mut words = O::words();
    arms.words(words.as_mut());
    // SAFETY: as in `enrol`.
    let done = unsafe {
        let locks = Locks::take(words);
        let done = try_held::<L, O>(arms.as_mut(), &locks, How::Now, debts);
        arms.release(locks.0.as_ref());
        done
    };
    settle::<L, O>(&arms, debts);
    done
}

/// There is neither an `else` nor a `default`.
#[cold]
#[track_caller]
pub fn all_disabled() -> ! {
    panic!(
        "all arms of this select! are disabled, each by its guard or because what came does not match its pattern; \
         an arm `else => ..` says what is to be done then"
    )
}

/// What a pattern took it does not take again.
#[cold]
#[track_caller]
pub fn not_taken() -> ! {
    unreachable!("select! goes on with what an arm's pattern takes")
}
