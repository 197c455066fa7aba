//! A value that is made once, by a future, when it is first wanted.
//!
//! The value is in std's `OnceLock`. Who makes it holds the one permit of a semaphore; when it is made the semaphore is
//! closed, and all who wait for their turn are there at once.

use super::{crowd::Crowd, semaphore::Semaphore, waiters::Place};
use gambol_executor::{Reason, block_on, park, spend};
use std::{
    convert::Infallible,
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::OnceLock,
    task::{Context, Poll, ready},
};

/// A value that is made once, by whoever wants it first.
///
/// ```
/// use gambol::sync::OnceCell;
///
/// static ADDRESS: OnceCell<String> = OnceCell::new();
///
/// async fn address() -> &'static str {
///     ADDRESS.get_or_init(|| async { String::from("127.0.0.1:80") }).await
/// }
///
/// # gambol::block_on(async {
/// assert_eq!(address().await, "127.0.0.1:80");
/// # });
/// ```
///
/// # Fairness
///
/// When one who makes the value fails, gives up or panics, the next one makes it, in the order in which they came.
pub struct OnceCell<T> {
    value: OnceLock<T>,
    /// One permit: to make the value. Closed when there is one.
    turn: Semaphore,
    /// Those who do not want to make it.
    wait: Crowd,
}

impl<T> OnceCell<T> {
    /// Without a value.
    pub const fn new() -> OnceCell<T> {
        OnceCell { value: OnceLock::new(), turn: Semaphore::new(1), wait: Crowd::new() }
    }

    /// The value, if there is one.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        self.value.get()
    }

    /// The value, if there is one. Nobody else has the cell.
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.value.get_mut()
    }

    /// Whether there is a value.
    pub fn is_initialized(&self) -> bool {
        self.get().is_some()
    }

    /// Takes the value out, and leaves the cell as new.
    pub fn take(&mut self) -> Option<T> {
        std::mem::take(self).into_inner()
    }

    /// The value, if there is one.
    pub fn into_inner(self) -> Option<T> {
        self.value.into_inner()
    }

    /// The value; or else, what the future makes becomes the value. One such future runs at a time.
    ///
    /// It must not ask for the value of this very cell: it would wait for itself.
    ///
    /// # Cancel safety
    ///
    /// The future that makes the value is dropped, and the next who waits makes it.
    pub async fn get_or_init<F: Future<Output = T>>(&self, make: impl FnOnce() -> F) -> &T {
        let made = self.get_or_try_init(|| async { Ok::<T, Infallible>(make().await) }).await;
        made.unwrap_or_else(|error| match error {})
    }

    /// As [`get_or_init`](Self::get_or_init), with a future that may fail.
    ///
    /// # Errors
    ///
    /// That of the future. There is no value then, and the next who waits makes it.
    ///
    /// # Cancel safety
    ///
    /// As [`get_or_init`](Self::get_or_init).
    pub async fn get_or_try_init<E, F: Future<Output = Result<T, E>>>(
        &self,
        make: impl FnOnce() -> F,
    ) -> Result<&T, E> {
        if let Some(value) = self.get() {
            let _spent = poll_fn(spend).await;
            return Ok(value);
        }
        match self.turn.acquire().or_closed().await {
            Ok(_turn) => {
                let value = make().await?;
                Ok(self.fill(value))
            }
            Err(_) => Ok(self.get().expect("it is closed when there is a value")),
        }
    }

    /// As [`get_or_init`](Self::get_or_init), for a thread and with a plain function: it blocks.
    pub fn get_or_init_blocking(&self, make: impl FnOnce() -> T) -> &T {
        block_on(self.get_or_init(|| async { make() }))
    }

    /// As [`get_or_try_init`](Self::get_or_try_init), for a thread and with a plain function: it blocks.
    ///
    /// # Errors
    ///
    /// That of the function.
    pub fn get_or_try_init_blocking<E>(&self, make: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
        block_on(self.get_or_try_init(|| async { make() }))
    }

    /// Sets the value. If somebody is making one, this waits for how that ends.
    ///
    /// # Errors
    ///
    /// `value`, if there is one already.
    ///
    /// # Cancel safety
    ///
    /// The value is dropped.
    pub async fn set(&self, value: T) -> Result<&T, T> {
        match self.turn.acquire().or_closed().await {
            Ok(_turn) => Ok(self.fill(value)),
            Err(_) => Err(value),
        }
    }

    /// As [`set`](Self::set), for a thread: it blocks.
    ///
    /// # Errors
    ///
    /// `value`, if there is one already.
    pub fn set_blocking(&self, value: T) -> Result<&T, T> {
        block_on(self.set(value))
    }

    /// Sets the value, without waiting.
    ///
    /// # Errors
    ///
    /// `value`, if there is one already or somebody is making one.
    pub fn try_set(&self, value: T) -> Result<(), T> {
        match self.turn.try_acquire() {
            Some(_turn) => {
                self.fill(value);
                Ok(())
            }
            None => Err(value),
        }
    }

    /// Waits until there is a value, without making one.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn wait(&self) -> &T {
        Filled { cell: self, place: None }.await
    }

    /// As [`wait`](Self::wait), for a thread: it blocks.
    pub fn wait_blocking(&self) -> &T {
        block_on(self.wait())
    }

    /// With the turn.
    fn fill(&self, value: T) -> &T {
        let value = self.value.get_or_init(|| value);
        self.turn.close();
        self.wait.call_all();
        value
    }
}

impl<T> Default for OnceCell<T> {
    fn default() -> OnceCell<T> {
        OnceCell::new()
    }
}

impl<T> From<T> for OnceCell<T> {
    fn from(value: T) -> OnceCell<T> {
        let cell = OnceCell::new();
        cell.fill(value);
        cell
    }
}

impl<T: fmt::Debug> fmt::Debug for OnceCell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OnceCell").field(&self.get()).finish()
    }
}

/// See [`OnceCell::wait`].
struct Filled<'a, T> {
    cell: &'a OnceCell<T>,
    place: Option<Place>,
}

impl<'a, T> Future for Filled<'a, T> {
    type Output = &'a T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<&'a T> {
        let spent = ready!(spend(cx));
        let Filled { cell, place } = &mut *self;
        if cell.wait.poll(place, cx, || cell.get().is_some()).is_ready() {
            return Poll::Ready(cell.get().expect("just seen"));
        }
        spent.refund();
        park(Reason::Lock);
        Poll::Pending
    }
}

impl<T> Drop for Filled<'_, T> {
    fn drop(&mut self) {
        self.cell.wait.leave(&mut self.place);
    }
}
