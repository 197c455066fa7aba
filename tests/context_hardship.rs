//! Contexts in bad company: wakers, causes and values that call back, runtimes that go, threads that end.

mod helpers;

use gambol::{
    context::{Canceller, Cause, Context},
    runtime::Runtime,
    task::{Builder, JoinSet, yield_now},
    time::{Duration, Instant, timeout},
};
use helpers::{PATIENCE, at_most, poll_once};
use std::{
    cell::RefCell,
    error::Error,
    fmt,
    future::{pending, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    task::{Poll, Wake, Waker},
    thread,
};

fn background() -> Context {
    Context::background()
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct User(u32);

fn current() -> Option<u32> {
    Context::current().value::<User>().map(|user| user.0)
}

fn user(number: u32) -> Context {
    background().with_value(User(number))
}

fn wait_until(done: impl Fn() -> bool) {
    let begin = std::time::Instant::now();
    while !done() {
        assert!(begin.elapsed() < PATIENCE, "it does not come");
        thread::yield_now();
    }
}

/// Does something once, when it is woken, or else when it is dropped.
struct Trap<F: FnOnce() + Send>(Mutex<Option<F>>);

impl<F: FnOnce() + Send> Trap<F> {
    fn new(f: F) -> Trap<F> {
        Trap(Mutex::new(Some(f)))
    }

    fn spring(&self) {
        let f = self.0.lock().unwrap().take();
        if let Some(f) = f {
            f();
        }
    }
}

impl<F: FnOnce() + Send + 'static> Wake for Trap<F> {
    fn wake(self: Arc<Self>) {
        self.spring();
    }
}

impl<F: FnOnce() + Send> Drop for Trap<F> {
    fn drop(&mut self) {
        self.spring();
    }
}

impl<F: FnOnce() + Send> fmt::Debug for Trap<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trap")
    }
}

impl<F: FnOnce() + Send> fmt::Display for Trap<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trap")
    }
}

impl<F: FnOnce() + Send> Error for Trap<F> {}

fn trap_waker(f: impl FnOnce() + Send + 'static) -> Waker {
    Waker::from(Arc::new(Trap::new(f)))
}

fn poll_with<F: Future + ?Sized>(future: Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
    future.poll(&mut std::task::Context::from_waker(waker))
}

/// A tree of three levels, with somebody who waits at each, and what is hostile in it.
struct Tree {
    top: Context,
    low: Context,
    cancellers: [Canceller; 3],
}

impl Tree {
    fn new(deadline: Option<Duration>) -> Tree {
        let (top, first) = background().with_cancel();
        let top = deadline.map_or(top.clone(), |deadline| top.with_timeout(deadline));
        let (middle, second) = top.with_value(User(1)).with_cancel();
        let (low, third) = middle.with_timeout(PATIENCE * 9).with_cancel();
        Tree { top, low, cancellers: [first, second, third] }
    }
}

/// What somebody else's code does when we call it.
#[derive(Clone, Copy, Debug)]
enum Does {
    CancelsAll,
    DropsTheTree,
    IsBorn,
    Waits,
    Spawns,
    Blocks,
    Panics,
}

impl Does {
    const ALL: [Does; 7] =
        [Does::CancelsAll, Does::DropsTheTree, Does::IsBorn, Does::Waits, Does::Spawns, Does::Blocks, Does::Panics];

    fn act(self, tree: &Mutex<Option<Tree>>) {
        let seen = tree.lock().unwrap().as_ref().map(|tree| (tree.low.clone(), tree.cancellers.clone()));
        match self {
            Does::CancelsAll => {
                let Some((_, cancellers)) = seen else { return };
                cancellers.iter().rev().for_each(|canceller| canceller.cancel_with("again"));
            }
            Does::DropsTheTree => {
                let tree = tree.lock().unwrap().take();
                drop(tree);
            }
            Does::IsBorn => {
                let Some((low, _)) = seen else { return };
                let born = low.with_timeout(PATIENCE).with_cancel().0;
                assert_eq!(born.is_cancelled(), low.is_cancelled());
            }
            Does::Waits => {
                let Some((low, _)) = seen else { return };
                let mut waits = Box::pin(low.cancelled_owned());
                let _ = poll_with(waits.as_mut(), Waker::noop());
            }
            Does::Spawns => drop(gambol::spawn(async {})),
            Does::Blocks => gambol::block_on(async { yield_now().await }),
            Does::Panics => panic!("on purpose"),
        }
    }
}

/// Where our code calls it.
#[derive(Clone, Copy, Debug)]
enum Where {
    Woken,
    WakerDropped,
    CauseDropped,
    ValueDropped,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum By {
    Hand,
    Deadline,
    NotAtAll,
}

#[test]
fn whoever_calls_back_finds_no_lock_held_and_holds_up_nobody() {
    for does in Does::ALL {
        for at in [Where::Woken, Where::WakerDropped, Where::CauseDropped, Where::ValueDropped] {
            for by in [By::Hand, By::Deadline, By::NotAtAll] {
                let (done, finished) = mpsc::channel();
                let works = thread::spawn(move || {
                    hostile(does, at, by);
                    done.send(()).unwrap();
                });
                let waited = finished.recv_timeout(PATIENCE);
                assert_ne!(waited, Err(mpsc::RecvTimeoutError::Timeout), "it hangs: {does:?} {at:?} {by:?}");
                works.join().unwrap_or_else(|_| panic!("{does:?} {at:?} {by:?}"));
            }
        }
    }
}

fn hostile(does: Does, at: Where, by: By) {
    let tree = Tree::new((by == By::Deadline).then_some(Duration::from_millis(2)));
    let (top, low) = (tree.top.clone(), tree.low.clone());
    let canceller = tree.cancellers[0].clone();
    let tree = Arc::new(Mutex::new(Some(tree)));
    let sprung = Arc::new(AtomicUsize::new(0));
    let act = {
        let (tree, sprung) = (tree.clone(), sprung.clone());
        move || {
            sprung.fetch_add(1, Ordering::Release);
            does.act(&tree);
        }
    };
    let good: Vec<_> = [&top, &low].map(|context| gambol::spawn(context.cancelled_owned())).into();
    let expected = match at {
        Where::Woken => {
            let mut bad = Box::pin(low.cancelled_owned());
            if poll_with(bad.as_mut(), &trap_waker(act)).is_pending() && by == By::NotAtAll {
                let _ = catch_unwind(AssertUnwindSafe(|| drop(bad)));
                1
            } else {
                // Dropped with its place, or woken.
                end(by, &top, &canceller);
                wait_until(|| sprung.load(Ordering::Acquire) == 1);
                1
            }
        }
        Where::WakerDropped => {
            let mut bad = Box::pin(low.cancelled_owned());
            let first = poll_with(bad.as_mut(), &trap_waker(act)).is_pending();
            // Takes the place of the first waker, which is dropped.
            let second = catch_unwind(AssertUnwindSafe(|| poll_with(bad.as_mut(), &trap_waker(|| {}))));
            assert!(!first || sprung.load(Ordering::Acquire) == 1);
            end(by, &top, &canceller);
            drop(second);
            1
        }
        Where::CauseDropped => {
            // Twice: the second one is not taken, and dropped at once.
            let middle = tree.lock().unwrap().as_ref().unwrap().cancellers[1].clone();
            middle.cancel_with("first");
            let _ = catch_unwind(AssertUnwindSafe(|| middle.cancel_with(Cause::new(Trap::new(act)))));
            drop(middle);
            end(by, &top, &canceller);
            1
        }
        Where::ValueDropped => {
            let carries = low.with_value(Arc::new(Trap::new(act)));
            let task = Builder::new().context(carries.clone()).spawn(yield_now());
            // Whoever is last, the task or we.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(carries)));
            gambol::block_on(task).unwrap();
            end(by, &top, &canceller);
            1
        }
    };
    wait_until(|| sprung.load(Ordering::Acquire) == expected);
    if by == By::NotAtAll {
        end(By::Hand, &top, &canceller);
    }
    for task in good {
        gambol::block_on(timeout(PATIENCE, task)).expect("somebody was not woken").unwrap();
    }
    assert!(top.is_cancelled() && low.is_cancelled());
    drop((tree, canceller, low));
    wait_until(|| format!("{:?}", top.cancelled()).contains("children: 0"));
}

fn end(by: By, top: &Context, canceller: &Canceller) {
    match by {
        By::Hand => canceller.cancel(),
        By::Deadline => wait_until(|| top.is_cancelled()),
        By::NotAtAll => {}
    }
}

#[test]
fn the_last_handle_goes_with_the_waker_that_its_deadline_wakes() {
    for in_runtime in [false, true] {
        let runtime = Runtime::builder().workers(1).build().unwrap();
        let (tell, told) = mpsc::channel();
        let make = move || {
            let kept = Arc::new(Mutex::new(None));
            let context = background().with_timeout(Duration::from_millis(2));
            let mut waits = Box::pin(context.cancelled_owned());
            let waker = {
                let kept = kept.clone();
                trap_waker(move || {
                    let last = kept.lock().unwrap().take();
                    drop(last);
                    tell.send(()).unwrap();
                })
            };
            let mut kept = kept.lock().unwrap();
            if poll_with(waits.as_mut(), &waker).is_pending() {
                *kept = Some((context, waits));
            }
        };
        if in_runtime {
            runtime.block_on(async { gambol::spawn(async move { make() }).await.unwrap() });
        } else {
            make();
        }
        told.recv_timeout(PATIENCE).unwrap();
        let metrics = runtime.metrics();
        assert_eq!(metrics.timers_armed(), metrics.timers_cancelled() + metrics.timers_fired());
    }
}

/// The only worker sits in a long poll, so the monitor calls.
#[test]
fn a_deadline_comes_on_the_monitors_thread_while_the_workers_are_stuck() {
    let runtime = Runtime::builder().workers(1).max_workers(1).build().unwrap();
    let (tell, told) = mpsc::channel();
    runtime.block_on(async {
        gambol::spawn(async move {
            let context = background().with_timeout(Duration::from_millis(3));
            let (child, _canceller) = context.with_value(User(1)).with_cancel();
            let mut waits = Box::pin(child.cancelled_owned());
            let waker = trap_waker(move || {
                // The context that calls ends here, with all that hangs on it.
                drop((context, child));
                tell.send(thread::current().name().map(str::to_owned)).unwrap();
            });
            assert!(poll_with(waits.as_mut(), &waker).is_pending());
            let by = told.recv_timeout(PATIENCE).expect("nobody looks after the timers");
            assert!(by.is_some());
        })
        .await
        .unwrap();
    });
}

// ---- runtimes that go, threads that end

#[test]
fn contexts_work_in_the_destructor_of_a_thread_local() {
    struct AtEnd(Option<Context>, mpsc::Sender<Context>);
    impl Drop for AtEnd {
        fn drop(&mut self) {
            let (child, canceller) = self.0.take().unwrap().with_timeout(PATIENCE).with_cancel();
            let ended = child.with_timeout(Duration::from_millis(1));
            let inherits = child.with_value(User(1)).sync_scope(|| gambol::spawn(async { current() }));
            assert_eq!(futures::executor::block_on(inherits).unwrap(), Some(1));
            assert_eq!(current(), None);
            drop(canceller.drop_guard());
            assert!(child.is_cancelled());
            let _ = self.1.send(ended);
        }
    }
    thread_local! {
        static LAST: RefCell<Option<AtEnd>> = const { RefCell::new(None) };
    }
    let (top, _canceller) = background().with_cancel();
    let (tell, told) = mpsc::channel();
    let own = top.clone();
    thread::spawn(move || {
        LAST.with(|last| *last.borrow_mut() = Some(AtEnd(Some(own), tell)));
    })
    .join()
    .unwrap();
    assert!(told.recv_timeout(PATIENCE).unwrap().is_cancelled());
    assert!(format!("{:?}", top.cancelled()).contains("children: 0"));
}

#[test]
fn deadlines_outlive_the_runtimes_among_which_they_were_armed() {
    for round in 0..10_u64 {
        let runtimes: Vec<Runtime> = (0..2).map(|_| Runtime::builder().workers(1).build().unwrap()).collect();
        let (top, _canceller) = background().with_cancel();
        let make = |top: &Context| -> Vec<Context> {
            (0..50).map(|n| top.with_timeout(Duration::from_micros(n * 300)).with_cancel().0).collect()
        };
        let mut contexts = make(&top);
        for runtime in &runtimes {
            contexts.extend(runtime.block_on(async {
                let own = top.clone();
                let mut made = make(&top);
                made.extend(gambol::spawn(async move { make(&own) }).await.unwrap());
                made
            }));
        }
        let last = contexts.iter().map(|context| context.deadline().unwrap()).max().unwrap();
        thread::sleep(Duration::from_micros(round * 500));
        drop(runtimes);
        for context in &contexts {
            assert!(!context.is_cancelled() || Instant::now() >= context.deadline().unwrap(), "early");
        }
        wait_until(|| contexts.iter().all(Context::is_cancelled));
        assert!(Instant::now() >= last);
        assert!(contexts.iter().all(|context| context.cause().unwrap().is_timeout()));
        assert!(!top.is_cancelled());
    }
}

#[test]
fn a_runtime_that_goes_takes_the_contexts_of_its_tasks_with_it() {
    let drops = Arc::new(AtomicUsize::new(0));
    let (top, canceller) = background().with_cancel();
    for cancels in [false, true] {
        drops.store(0, Ordering::Release);
        let runtime = Runtime::builder().workers(2).build().unwrap();
        runtime.block_on(async {
            for n in 0..20_u32 {
                let (drops, canceller) = (drops.clone(), canceller.clone());
                // Dropped with the last task: cancels those that have not been dropped, and waits for a task.
                let value = Arc::new(Trap::new(move || {
                    drops.fetch_add(1, Ordering::Release);
                    if cancels {
                        canceller.cancel();
                    }
                    drop(gambol::spawn(async {}));
                }));
                let context = top.with_value(value).with_timeout(PATIENCE * 3).with_cancel().0;
                let inner = context.clone();
                let task = async move {
                    let _guard = inner.with_cancel().1.drop_guard();
                    if n % 2 == 0 {
                        inner.cancelled().await
                    } else {
                        drop(inner.run(pending::<()>()).await)
                    }
                    // Once cancelled, it is held up until the runtime goes.
                    pending::<()>().await;
                };
                match n % 3 {
                    0 => drop(context.sync_scope(|| gambol::spawn(task))),
                    1 => {
                        drop(context.sync_scope(|| gambol::spawn_blocking(move || gambol::block_on(at_most(1, task)))))
                    }
                    _ => drop(context.sync_scope(|| {
                        let mut set = JoinSet::new();
                        set.spawn(task);
                        gambol::spawn(async move { set.join_next().await })
                    })),
                }
            }
            yield_now().await;
        });
        if cancels {
            wait_until(|| runtime.metrics().timers_armed() > 0);
        }
        drop(runtime);
        wait_until(|| drops.load(Ordering::Acquire) == 20);
    }
    assert!(top.is_cancelled());
    wait_until(|| format!("{:?}", top.cancelled()).contains("children: 0"));
}

// ---- scopes

/// How a level of nesting is left.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Left {
    Returns,
    Panics,
}

#[test]
fn nested_block_ons_are_each_in_the_scope_around_them() {
    for left in [Left::Returns, Left::Panics] {
        for max in [1, 4] {
            let runtime = Runtime::builder().workers(1).max_workers(max).build().unwrap();
            runtime.block_on(async move {
                let outer = user(1).scope(async move {
                    let others: Vec<_> =
                        (0..8).map(|_| Builder::new().context(background()).spawn(sees_none())).collect();
                    let before = Context::current();
                    let nested = || nest(2, 4, left);
                    match left {
                        Left::Returns => nested(),
                        Left::Panics => assert!(catch_unwind(AssertUnwindSafe(nested)).is_err()),
                    }
                    assert_eq!((current(), before.value()), (Some(1), Some(User(1))));
                    for other in others {
                        other.await.unwrap();
                    }
                });
                let own = Builder::new().context(user(9)).spawn(async move {
                    outer.await;
                    assert_eq!(current(), Some(9));
                });
                own.await.unwrap();
                assert_eq!(current(), None);
            });
        }
    }
}

async fn sees_none() {
    for _ in 0..5 {
        assert_eq!(current(), None);
        yield_now().await;
    }
    gambol::block_on(async {
        assert_eq!(current(), None);
        let task = user(7).sync_scope(|| gambol::spawn(async { current() }));
        assert_eq!(task.await.unwrap(), Some(7));
        assert_eq!(current(), None);
    });
}

fn nest(level: u32, last: u32, left: Left) {
    gambol::block_on(user(level).scope(async move {
        assert_eq!(current(), Some(level));
        let local = gambol::spawn_local(async move {
            yield_now().await;
            current()
        });
        let spawned = gambol::spawn(async move { gambol::block_on(async { current() }) });
        let blocking = gambol::spawn_blocking(current);
        yield_now().await;
        if level < last {
            user(100).sync_scope(|| nest(level + 1, last, left));
        } else if left == Left::Panics {
            panic!("on purpose");
        }
        assert_eq!(current(), Some(level));
        assert_eq!(local.await.unwrap(), Some(level));
        assert_eq!(spawned.await.unwrap(), Some(level));
        assert_eq!(blocking.await.unwrap(), Some(level));
        assert_eq!(current(), Some(level));
    }));
}

#[test]
fn a_scope_goes_from_thread_to_thread() {
    let (context, canceller) = user(1).with_cancel();
    let future = context.run(async {
        for _ in 0..10 {
            assert_eq!(current(), Some(1));
            poll_fn({
                let mut polled = false;
                move |_| if std::mem::replace(&mut polled, true) { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
        pending::<()>().await
    });
    let mut future: Pin<Box<dyn Future<Output = Result<(), Cause>> + Send>> = Box::pin(future);
    for n in 0..20 {
        future = user(2 + n).sync_scope(|| {
            thread::spawn(move || {
                user(50).sync_scope(|| assert!(poll_with(future.as_mut(), Waker::noop()).is_pending()));
                assert_eq!(current(), None);
                future
            })
            .join()
            .unwrap()
        });
    }
    canceller.cancel();
    let Poll::Ready(Err(cause)) = poll_with(future.as_mut(), Waker::noop()) else { panic!("it goes on") };
    assert!(cause.is_cancelled());
}

#[test]
fn what_is_spawned_by_a_drop_in_a_scope_inherits() {
    struct Spawns(mpsc::Sender<Option<u32>>);
    impl Drop for Spawns {
        fn drop(&mut self) {
            let tell = self.0.clone();
            drop(gambol::spawn(async move {
                yield_now().await;
                let _ = tell.send(current());
            }));
            let blocked = gambol::block_on(gambol::spawn(async { current() })).unwrap();
            self.0.send(blocked).unwrap();
        }
    }
    /// How the future is dropped.
    #[derive(Clone, Copy, Debug)]
    enum Dropped {
        Half,
        Panicking,
        Aborted,
        ByItsContext,
        InItsPanic,
    }
    for dropped in [Dropped::Half, Dropped::Panicking, Dropped::Aborted, Dropped::ByItsContext, Dropped::InItsPanic] {
        for number in 1..5 {
            let (tell, told) = mpsc::channel();
            let (context, canceller) = user(number).with_cancel();
            let spawns = Spawns(tell);
            gambol::block_on(user(90).scope(async {
                let work = async move {
                    let _spawns = spawns;
                    if let Dropped::InItsPanic = dropped {
                        panic!("on purpose");
                    }
                    pending::<()>().await
                };
                match dropped {
                    Dropped::Half => drop(at_most(1, context.scope(work)).await),
                    Dropped::Panicking => {
                        let mut scope = Box::pin(context.scope(work));
                        assert!(poll_once(&mut scope.as_mut()).await.is_pending());
                        let unwound = catch_unwind(AssertUnwindSafe(move || {
                            let _scope = scope;
                            panic!("on purpose");
                        }));
                        assert!(unwound.is_err());
                    }
                    Dropped::Aborted => {
                        let task = context.sync_scope(|| gambol::spawn(work));
                        yield_now().await;
                        task.abort();
                        assert!(task.await.unwrap_err().is_cancelled());
                    }
                    Dropped::ByItsContext => {
                        let mut run = pin!(context.run(work));
                        assert!(poll_once(&mut run.as_mut()).await.is_pending());
                        canceller.cancel();
                        assert!(run.await.is_err());
                    }
                    Dropped::InItsPanic => {
                        let task = context.sync_scope(|| gambol::spawn(work));
                        assert!(task.await.unwrap_err().is_panic());
                    }
                }
                assert_eq!(current(), Some(90));
            }));
            for _ in 0..2 {
                assert_eq!(told.recv_timeout(PATIENCE).unwrap(), Some(number), "{dropped:?}");
            }
        }
    }
}

#[gambol::test]
async fn a_future_may_end_its_own_context_and_fall_with_it() {
    let (context, canceller) = background().with_cancel();
    let guard = canceller.clone().drop_guard();
    let inner = context.clone();
    let mut run = pin!(context.run(async move {
        let _guard = guard;
        canceller.cancel_with("mine");
        assert!(inner.is_cancelled());
        pending::<()>().await
    }));
    let Poll::Ready(Err(cause)) = poll_once(&mut run.as_mut()).await else { panic!("it goes on") };
    assert_eq!(cause.to_string(), "mine");
    // Both in one poll: the output wins.
    let (context, canceller) = background().with_cancel();
    let both = context.run(async move {
        canceller.cancel();
        5
    });
    assert_eq!(both.await.unwrap(), 5);
    // A run inside a run: whose context ends first is told to its own caller.
    let (outer, end_outer) = background().with_cancel();
    let (inner, end_inner) = background().with_cancel();
    let mut both = pin!(outer.run(inner.run(pending::<()>())));
    assert!(poll_once(&mut both.as_mut()).await.is_pending());
    end_outer.cancel_with("outer");
    end_inner.cancel_with("inner");
    assert_eq!(both.await.unwrap().unwrap_err().to_string(), "inner");
}

#[test]
fn the_ends_of_time() {
    let (top, canceller) = background().with_cancel();
    let never = [
        top.with_timeout(Duration::MAX),
        top.with_deadline(Instant::NEVER),
        top.with_timeout(Duration::from_nanos(u64::MAX)),
        top.with_deadline(Instant::now() + Duration::from_nanos(u64::MAX / 2)),
    ];
    assert!(never.iter().all(|context| !context.is_cancelled()));
    let at_once = never[3].with_timeout(Duration::ZERO).with_timeout(Duration::MAX);
    assert!(at_once.cause().unwrap().is_timeout());
    assert!(!never[3].is_cancelled());
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let far = runtime.block_on(async { top.with_deadline(Instant::now() + Duration::from_nanos(u64::MAX / 2)) });
    drop(runtime);
    assert!(!far.is_cancelled());
    canceller.cancel();
    assert!(never.iter().all(Context::is_cancelled) && far.is_cancelled());
}

// ---- random work on one tree

#[test]
fn random_births_deaths_waits_and_ends_leave_nothing_behind() {
    for seed in 0..30 {
        let drops = Arc::new(AtomicUsize::new(0));
        let value = {
            let drops = drops.clone();
            Arc::new(Trap::new(move || {
                drops.fetch_add(1, Ordering::Release);
            }))
        };
        let watched = Arc::downgrade(&value);
        let (top, canceller) = background().with_value(value).with_cancel();
        let shared = Arc::new(Mutex::new(vec![(top.clone(), canceller.clone())]));
        thread::scope(|scope| {
            for thread in 0..3_u64 {
                let shared = shared.clone();
                scope.spawn(move || random_work(&shared, &mut fastrand::Rng::with_seed(seed * 10 + thread)));
            }
        });
        let left: Vec<_> = std::mem::take(&mut *shared.lock().unwrap());
        canceller.cancel_with("the end");
        // Perhaps a deadline is just ending some of them.
        wait_until(|| left.iter().all(|(context, _)| context.is_cancelled()));
        assert!(left.iter().all(|(context, _)| context.cause().is_some()));
        drop(left);
        wait_until(|| format!("{:?}", top.cancelled()).contains("children: 0, waiters: 0"));
        drop((top, canceller));
        wait_until(|| drops.load(Ordering::Acquire) == 1);
        assert_eq!(Weak::strong_count(&watched), 0);
    }
}

fn random_work(shared: &Mutex<Vec<(Context, Canceller)>>, random: &mut fastrand::Rng) {
    let mut waits: Vec<Pin<Box<gambol::context::CancelledOwned>>> = Vec::new();
    for _ in 0..400 {
        let (at, (context, canceller)) = {
            let shared = shared.lock().unwrap();
            // Near the end, where the tree is deep, or anywhere.
            let at = if random.bool() { shared.len() - 1 } else { random.usize(..shared.len()) };
            (at, shared[at].clone())
        };
        match random.u8(..12) {
            0..4 => {
                let ended = context.is_cancelled();
                let child = context.with_cancel();
                assert!(!ended || child.0.is_cancelled());
                shared.lock().unwrap().push(child);
            }
            4 => {
                let timed = context.with_timeout(Duration::from_micros(random.u64(..400)));
                shared.lock().unwrap().push(timed.with_value(1).with_cancel());
            }
            // Not the top: then the rest would be born dead.
            5 if at > 0 => {
                canceller.cancel_with("random");
                assert!(context.is_cancelled());
            }
            5..8 => {
                let taken = {
                    let mut shared = shared.lock().unwrap();
                    let at = random.usize(..shared.len());
                    (at > 0).then(|| shared.swap_remove(at))
                };
                drop((context, canceller));
                drop(taken);
            }
            8 | 9 => {
                let mut wait = Box::pin(context.cancelled_owned());
                let _ = poll_with(wait.as_mut(), &trap_waker(|| {}));
                waits.push(wait);
            }
            _ if !waits.is_empty() => {
                let mut wait = waits.swap_remove(random.usize(..waits.len()));
                if poll_with(wait.as_mut(), &trap_waker(|| {})).is_pending() && random.bool() {
                    waits.push(wait);
                }
            }
            _ => {}
        }
    }
}
