//! Values that belong to a task, as a thread-local belongs to a thread.
//!
//! The value lives in the future that [`LocalKey::scope`] makes, and is swapped with what stands in a thread-local for each
//! poll and for the drop. So it wanders with its task, costs tasks that have none nothing, and needs no hook in the
//! scheduler.
//!
//! Tasks may run one inside the other, in a `block_on` or a drop. Beside the value stands how deep its task runs, and at any other
//! depth it is not seen.

use gambol_executor::task_depth;
use pin_project_lite::pin_project;
use std::{
    cell::{BorrowMutError, RefCell},
    error::Error,
    fmt, mem,
    pin::Pin,
    task::{Context, Poll},
    thread::{self, LocalKey as ThreadLocal},
};

/// Declares values that belong to a task: [`LocalKey`]s.
///
/// ```
/// gambol::task_local! {
///     /// Whose request this is.
///     pub static USER: String;
///     static DEPTH: u32;
/// }
///
/// # gambol::block_on(async {
/// let greeting = USER.scope("ann".to_owned(), async {
///     gambol::yield_now().await;
///     DEPTH.sync_scope(1, || USER.with(|user| format!("{user} at depth {}", DEPTH.get())))
/// });
/// assert_eq!(gambol::spawn(greeting).await?, "ann at depth 1");
/// # Ok::<(), gambol::task::JoinError>(())
/// # }).unwrap();
/// ```
#[macro_export]
macro_rules! task_local {
    () => {};
    ($(#[$attribute:meta])* $visibility:vis static $name:ident: $type:ty $(; $($rest:tt)*)?) => {
        $(#[$attribute])*
        $visibility static $name: $crate::task::LocalKey<$type> = {
            ::std::thread_local! {
                static PLACE: ::std::cell::RefCell<(::std::primitive::u32, ::std::option::Option<$type>)> =
                    const { ::std::cell::RefCell::new((0, ::std::option::Option::None)) };
            }
            $crate::task::LocalKey::__new(&PLACE)
        };
        $($crate::task_local! { $($rest)* })?
    };
}

/// Names a value that belongs to a task, or to any future that is polled inside a [`scope`](Self::scope). Made by
/// [`task_local!`](crate::task_local).
///
/// A task that is spawned inside a scope does not inherit the value; wrap its future in a scope of its own.
pub struct LocalKey<T: 'static> {
    /// The value, and the depth of the task that it belongs to.
    place: &'static ThreadLocal<RefCell<(u32, Option<T>)>>,
}

impl<T: 'static> LocalKey<T> {
    #[doc(hidden)]
    pub const fn __new(place: &'static ThreadLocal<RefCell<(u32, Option<T>)>>) -> LocalKey<T> {
        LocalKey { place }
    }

    /// Runs a future with this value; also its drop sees the value. A scope inside another one hides the outer value until
    /// it ends.
    ///
    /// # Panics
    ///
    /// When the result is polled inside [`with`](Self::with) of the same key.
    ///
    /// # Cancel safety
    ///
    /// As the future's. The value is dropped with it.
    pub fn scope<F: Future>(&'static self, value: T, future: F) -> Scope<T, F> {
        Scope { key: self, value: Some(value), future: Some(future) }
    }

    /// Runs a closure with this value.
    ///
    /// # Panics
    ///
    /// Inside [`with`](Self::with) of the same key.
    #[track_caller]
    pub fn sync_scope<R>(&'static self, value: T, f: impl FnOnce() -> R) -> R {
        let mut value = Some(value);
        match self.swapped(&mut value, f) {
            Ok(output) => output,
            Err(refused) => refused.panic(),
        }
    }

    /// Shows the value.
    ///
    /// # Panics
    ///
    /// Outside of a scope of this key; [`try_with`](Self::try_with) does not.
    #[track_caller]
    pub fn with<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        match self.try_with(f) {
            Ok(output) => output,
            Err(error) => panic!("{error}; use try_with where that may be so"),
        }
    }

    /// Shows the value, if there is one.
    ///
    /// # Errors
    ///
    /// Outside of a scope of this key.
    pub fn try_with<R>(&'static self, f: impl FnOnce(&T) -> R) -> Result<R, AccessError> {
        self.place
            .try_with(|place| {
                let (depth, value) = &*place.borrow();
                value.as_ref().filter(|_| *depth == task_depth()).map(f).ok_or(AccessError(()))
            })
            .unwrap_or(Err(AccessError(())))
    }

    /// A clone of the value.
    ///
    /// # Panics
    ///
    /// Outside of a scope of this key.
    #[track_caller]
    pub fn get(&'static self) -> T
    where
        T: Clone,
    {
        self.with(T::clone)
    }

    /// A clone of the value, if there is one.
    ///
    /// # Errors
    ///
    /// Outside of a scope of this key.
    pub fn try_get(&'static self) -> Result<T, AccessError>
    where
        T: Clone,
    {
        self.try_with(T::clone)
    }

    /// Runs `f` while `value` and what stands in the thread-local have changed places. They change back in any case.
    fn swapped<R>(&'static self, value: &mut Option<T>, f: impl FnOnce() -> R) -> Result<R, Refused> {
        struct Back<'a, T: 'static>(&'static LocalKey<T>, u32, &'a mut Option<T>);

        impl<T> Drop for Back<'_, T> {
            fn drop(&mut self) {
                // It could be borrowed only by a `with`, and that ends before the poll that it is in. Nor is the thread-local gone:
                // it was there a moment ago, further up on this stack.
                let _ = self.0.swap(&mut self.1, self.2);
            }
        }

        let mut depth = task_depth();
        self.swap(&mut depth, value)?;
        let _back = Back(self, depth, value);
        Ok(f())
    }

    fn swap(&'static self, depth: &mut u32, value: &mut Option<T>) -> Result<(), Refused> {
        self.place.try_with(|place| {
            let mut place = place.try_borrow_mut()?;
            mem::swap(&mut place.0, depth);
            mem::swap(&mut place.1, value);
            Ok(())
        })?
    }
}

/// Why a scope cannot be entered.
enum Refused {
    Borrowed,
    ThreadEnds,
}

impl Refused {
    #[track_caller]
    fn panic(self) -> ! {
        match self {
            Refused::Borrowed => panic!("a scope of a task-local cannot be entered inside `with` of the same key"),
            Refused::ThreadEnds => {
                panic!("a scope of a task-local cannot be entered while the thread's locals are dropped")
            }
        }
    }
}

impl From<BorrowMutError> for Refused {
    fn from(_: BorrowMutError) -> Refused {
        Refused::Borrowed
    }
}

impl From<thread::AccessError> for Refused {
    fn from(_: thread::AccessError) -> Refused {
        Refused::ThreadEnds
    }
}

impl<T: 'static> fmt::Debug for LocalKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKey").finish_non_exhaustive()
    }
}

pin_project! {
    /// A future with a value for a key; see [`LocalKey::scope`].
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct Scope<T, F>
    where
        T: 'static,
    {
        key: &'static LocalKey<T>,
        value: Option<T>,
        // None once it has completed: it is dropped inside, where it still sees the value.
        #[pin]
        future: Option<F>,
    }

    impl<T, F> PinnedDrop for Scope<T, F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if this.future.is_some() {
                let mut future = this.future.as_mut();
                // If the scope cannot be entered, the future is dropped without its value, after this.
                let _ = this.key.swapped(this.value, || future.set(None));
            }
        }
    }
}

impl<T: 'static, F> Scope<T, F> {
    /// Takes the value out, when the future has completed or will not be polled again. None: it was taken already.
    pub fn take_value(self: Pin<&mut Self>) -> Option<T> {
        self.project().value.take()
    }
}

impl<T: 'static, F: Future> Future for Scope<T, F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let mut future = this.future;
        let polled = this.key.swapped(this.value, || {
            let inner = future.as_mut().as_pin_mut().expect("a scope is not polled after it has completed");
            let polled = inner.poll(cx);
            if polled.is_ready() {
                future.set(None);
            }
            polled
        });
        match polled {
            Ok(polled) => polled,
            Err(refused) => refused.panic(),
        }
    }
}

impl<T: 'static, F> fmt::Debug for Scope<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").finish_non_exhaustive()
    }
}

/// The key has no value here: this is not inside one of its scopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessError(());

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the task-local has no value here, outside of its scopes")
    }
}

impl Error for AccessError {}
