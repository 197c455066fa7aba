//! What of `sync` may go to another thread, and what may be shared, for each kind of value. Too much would be unsound, and
//! too little a nuisance.

use gambol::sync::{
    Lock, LockArc, Mutex, MutexGuard, MutexGuardArc, OnceCell, RwLock, RwLockReadGuard, RwLockReadGuardArc,
    RwLockUpgradableReadGuard, RwLockUpgradableReadGuardArc, RwLockWriteGuard, RwLockWriteGuardArc, broadcast, watch,
};
use std::{cell::Cell, marker::PhantomData, rc::Rc};

/// Send and Sync; Send alone; Sync alone; neither.
type Both = String;
type Sends = Cell<u8>;
type Shares = std::sync::MutexGuard<'static, u8>;
type Neither = Rc<u8>;

struct Probe<T: ?Sized>(PhantomData<T>);

trait Not {
    const SENDS: bool = false;
}

trait NotShared {
    const SHARES: bool = false;
}

impl<T: ?Sized> Not for Probe<T> {}
impl<T: ?Sized> NotShared for Probe<T> {}

// An inherent constant goes before one of a trait, where its bounds hold.
impl<T: ?Sized + Send> Probe<T> {
    const SENDS: bool = true;
}

impl<T: ?Sized + Sync> Probe<T> {
    const SHARES: bool = true;
}

/// (Send, Sync) of a type.
macro_rules! of {
    ($T:ty) => {
        (Probe::<$T>::SENDS, Probe::<$T>::SHARES)
    };
}

/// The same for each kind of value: Send and Sync, Send alone, Sync alone, neither.
macro_rules! table {
    ($($Type:ident$(::$Of:ident)* <$($life:lifetime,)? T>: [$both:expr, $sends:expr, $shares:expr, $neither:expr];)*) => {
        $(
            let found = [
                of!($Type$(::$Of)*<$($life,)? Both>),
                of!($Type$(::$Of)*<$($life,)? Sends>),
                of!($Type$(::$Of)*<$($life,)? Shares>),
                of!($Type$(::$Of)*<$($life,)? Neither>),
            ];
            assert_eq!(found, [$both, $sends, $shares, $neither], "{}", stringify!($Type$(::$Of)*));
        )*
    };
}

const ALL: (bool, bool) = (true, true);
const SEND: (bool, bool) = (true, false);
const SYNC: (bool, bool) = (false, true);
const NONE: (bool, bool) = (false, false);

#[test]
fn what_goes_between_threads_and_what_is_shared() {
    assert_eq!([of!(Both), of!(Sends), of!(Shares), of!(Neither)], [ALL, SEND, SYNC, NONE]);
    table! {
        Mutex<T>: [ALL, ALL, NONE, NONE];
        MutexGuard<'static, T>: [ALL, SEND, NONE, NONE];
        MutexGuardArc<T>: [ALL, SEND, NONE, NONE];
        Lock<'static, T>: [ALL, ALL, NONE, NONE];
        LockArc<T>: [ALL, ALL, NONE, NONE];
        RwLock<T>: [ALL, SEND, NONE, NONE];
        RwLockReadGuard<'static, T>: [ALL, NONE, NONE, NONE];
        RwLockReadGuardArc<T>: [ALL, NONE, NONE, NONE];
        RwLockUpgradableReadGuard<'static, T>: [ALL, NONE, NONE, NONE];
        RwLockUpgradableReadGuardArc<T>: [ALL, NONE, NONE, NONE];
        RwLockWriteGuard<'static, T>: [ALL, NONE, NONE, NONE];
        RwLockWriteGuardArc<T>: [ALL, NONE, NONE, NONE];
        OnceCell<T>: [ALL, SEND, NONE, NONE];
        watch::Sender<T>: [ALL, NONE, NONE, NONE];
        watch::Receiver<T>: [ALL, NONE, NONE, NONE];
        // So that a task that holds one across an await cannot be spawned.
        watch::Ref<'static, T>: [SYNC, NONE, SYNC, NONE];
        broadcast::Sender<T>: [ALL, ALL, NONE, NONE];
        broadcast::Receiver<T>: [ALL, ALL, NONE, NONE];
        broadcast::Recv<'static, T>: [ALL, ALL, NONE, NONE];
    }
}

/// Of a value, whose type need not have a name.
macro_rules! sends {
    ($value:expr) => {{
        #[allow(dead_code, reason = "one of the two is taken")]
        trait Fallback {
            fn sends(&self) -> bool {
                false
            }
        }
        struct Value<T>(T);
        impl<T> Fallback for Value<T> {}
        impl<T: Send> Value<T> {
            #[allow(dead_code, reason = "as above")]
            fn sends(&self) -> bool {
                let _ = &self.0;
                true
            }
        }
        Value($value).sends()
    }};
}

#[test]
fn futures_are_sent_where_what_they_lead_to_may_be() {
    let (both, sends) = (RwLock::new(String::new()), RwLock::new(Cell::new(0)));
    assert!(sends!(both.read()) && sends!(both.write()) && sends!(both.upgradable_read()));
    assert!(!sends!(sends.read()) && !sends!(sends.write()) && !sends!(sends.upgradable_read()));
    let both = OnceCell::<String>::new();
    assert!(sends!(both.wait()) && sends!(both.set(String::new())));
    assert!(sends!(both.get_or_init(|| async { String::new() })));
    let (sender, mut receiver) = watch::channel(String::new());
    assert!(sends!(sender.closed()) && sends!(receiver.changed()) && sends!(receiver.wait_for(|_| true)));
    let (sender, mut receiver) = broadcast::channel::<Cell<u8>>(1);
    assert!(sends!(sender.closed()) && sends!(receiver.recv()));
}
