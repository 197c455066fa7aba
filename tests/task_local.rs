//! `task_local!`: where a value is seen, and where it ends.

mod helpers;

use gambol::{
    runtime::Runtime,
    task::{self, yield_now},
};
use helpers::at_most;
use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    rc::Rc,
    sync::{Arc, mpsc},
};

gambol::task_local! {
    /// A number.
    static NUMBER: u32;
    static TEXT: String;
    pub(crate) static SHARED: Arc<str>;
}

gambol::task_local!(static WITHOUT_SEMICOLON: u8);

task::task_local! {
    static NOT_SEND: Rc<Cell<u32>>;
}

#[gambol::test(workers = 2)]
async fn each_task_has_its_own() {
    let tasks: Vec<_> = (0..100)
        .map(|n| {
            gambol::spawn(NUMBER.scope(n, async move {
                for _ in 0..20 {
                    assert_eq!(NUMBER.get(), n);
                    yield_now().await;
                }
                NUMBER.with(|number| *number)
            }))
        })
        .collect();
    for (n, task) in tasks.into_iter().enumerate() {
        assert_eq!(task.await.unwrap(), n as u32);
    }
    assert!(NUMBER.try_get().is_err());
}

/// A task may have to wait in a `block_on` on its thread, and other tasks run there meanwhile, on top of it.
#[test]
fn tasks_that_run_inside_another_one_do_not_see_its_value() {
    #[derive(Clone, Copy, Debug)]
    enum Inside {
        /// The thread's own tasks.
        Local,
        /// Those of a worker that has no other thread.
        Workers,
        /// One that is dropped there, since its runtime has ended.
        Dropped,
    }

    struct Looks(mpsc::Sender<Option<u32>>);

    impl Drop for Looks {
        fn drop(&mut self) {
            self.0.send(NUMBER.try_get().ok()).unwrap();
        }
    }

    async fn looks(looks: Looks) {
        looks.0.send(NUMBER.try_get().ok()).unwrap();
        NUMBER.scope(2, async { assert_eq!(NUMBER.get(), 2) }).await;
    }

    for inside in [Inside::Local, Inside::Workers, Inside::Dropped] {
        let runtime = Runtime::builder().workers(1).max_workers(1).build().unwrap();
        let ended = Runtime::builder().workers(1).build().unwrap().handle().clone();
        let (sender, seen) = mpsc::channel();
        let outer = NUMBER.scope(1, async move {
            let looks = looks(Looks(sender));
            gambol::block_on(async {
                match inside {
                    Inside::Local => gambol::spawn_local(looks).await.unwrap(),
                    Inside::Workers => gambol::spawn(looks).await.unwrap(),
                    Inside::Dropped => assert!(ended.spawn(looks).await.unwrap_err().is_cancelled()),
                }
                assert_eq!(NUMBER.get(), 1);
            });
            NUMBER.get()
        });
        assert_eq!(runtime.block_on(runtime.spawn(outer)).unwrap(), 1);
        let expected = match inside {
            Inside::Local | Inside::Workers => vec![None, None],
            Inside::Dropped => vec![None],
        };
        assert_eq!(seen.iter().collect::<Vec<_>>(), expected, "{inside:?}");
    }
}

#[gambol::test]
async fn outside_of_its_scopes_there_is_no_value() {
    let error = TEXT.try_with(|_| ()).unwrap_err();
    assert!(error.to_string().contains("task-local"));
    let panic = catch_unwind(|| TEXT.with(String::len)).unwrap_err();
    assert!(panic.downcast_ref::<String>().unwrap().contains("try_with"));
    TEXT.scope("outer".to_owned(), async {
        // A task that is spawned inside does not inherit it.
        assert!(gambol::spawn(async { TEXT.try_get() }).await.unwrap().is_err());
        assert_eq!(TEXT.get(), "outer");
    })
    .await;
    assert!(TEXT.try_get().is_err());
}

#[gambol::test]
async fn an_inner_scope_hides_the_outer() {
    let nested = NUMBER.scope(1, async {
        let inner = NUMBER.scope(2, async {
            yield_now().await;
            NUMBER.sync_scope(3, || assert_eq!(NUMBER.get(), 3));
            NUMBER.get()
        });
        let mut inner = pin!(inner);
        assert_eq!(at_most(1, inner.as_mut()).await, None);
        assert_eq!(NUMBER.get(), 1);
        assert_eq!(inner.await, 2);
        assert_eq!(NUMBER.get(), 1);
        TEXT.scope("beside".to_owned(), async { format!("{} {}", TEXT.get(), NUMBER.get()) }).await
    });
    assert_eq!(nested.await, "beside 1");
    SHARED.scope("s".into(), WITHOUT_SEMICOLON.scope(1, async { assert_eq!(&*SHARED.get(), "s") })).await;
}

/// Notes the value that it sees when it is dropped.
struct Sees(Rc<Cell<Option<u32>>>);

impl Drop for Sees {
    fn drop(&mut self) {
        self.0.set(NUMBER.try_get().ok());
    }
}

#[test]
fn drops_see_the_value() {
    #[derive(Debug)]
    enum Ends {
        Unpolled,
        Pending,
        Ready,
        Panics,
    }
    for ends in [Ends::Unpolled, Ends::Pending, Ends::Ready, Ends::Panics] {
        let seen = Rc::new(Cell::new(None));
        let sees = Sees(seen.clone());
        let polls = if let Ends::Unpolled = ends { 0 } else { 1 };
        let scope = NUMBER.scope(7, async {
            let _sees = sees;
            match ends {
                Ends::Unpolled | Ends::Pending => std::future::pending().await,
                Ends::Ready => {}
                Ends::Panics => panic!("a scope has a problem"),
            }
        });
        let outcome = catch_unwind(AssertUnwindSafe(|| gambol::block_on(at_most(polls, scope))));
        assert_eq!(outcome.is_err(), matches!(ends, Ends::Panics));
        assert_eq!(seen.get(), Some(7), "{ends:?}");
        assert!(NUMBER.try_get().is_err(), "{ends:?}");
    }
}

#[test]
fn a_panic_leaves_no_value_behind() {
    assert!(catch_unwind(|| NUMBER.sync_scope(1, || panic!("a scope has a problem"))).is_err());
    assert!(NUMBER.try_get().is_err());
    // A scope inside `with` is refused, and the value stays.
    NUMBER.sync_scope(1, || {
        let panic = catch_unwind(|| NUMBER.with(|_| NUMBER.sync_scope(2, || ()))).unwrap_err();
        assert!(panic.downcast_ref::<&str>().unwrap().contains("inside `with`"));
        assert_eq!(NUMBER.get(), 1);
    });
}

#[gambol::test]
async fn a_value_that_is_not_send_stays_in_a_local_task() {
    let shared = Rc::new(Cell::new(0));
    let scope = NOT_SEND.scope(shared.clone(), async {
        yield_now().await;
        NOT_SEND.with(|cell| cell.set(cell.get() + 1));
    });
    gambol::spawn_local(scope).await.unwrap();
    assert_eq!((shared.get(), Rc::strong_count(&shared)), (1, 1));
}

#[gambol::test]
async fn the_value_can_be_taken_back() {
    let mut scope = pin!(NUMBER.scope(9, yield_now()));
    scope.as_mut().await;
    assert_eq!(scope.as_mut().take_value(), Some(9));
    assert_eq!(scope.take_value(), None);
}
