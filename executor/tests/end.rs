//! The end of a runtime: what comes during and after it.

mod common;

use common::{ends, runtime};
use gambol_executor::{Handle, JoinHandle, Runtime, Sleep, block_on, spawn};
use std::{
    future::pending,
    sync::{Arc, Mutex, mpsc},
    task::{Context, Wake, Waker},
    thread,
    time::Duration,
};

/// Its drop spawns a task with the next of its kind.
struct Chain {
    handle: Handle,
    left: usize,
}

impl Drop for Chain {
    fn drop(&mut self) {
        if let Some(left) = self.left.checked_sub(1) {
            let next = Chain { handle: self.handle.clone(), left };
            drop(self.handle.spawn(async move {
                let _next = next;
                pending::<()>().await
            }));
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum When {
    During,
    After,
}

#[test]
fn a_chain_of_tasks_each_spawned_in_the_drop_of_the_one_before_is_cancelled_without_recursion() {
    for workers in [1, 2] {
        for when in [When::During, When::After] {
            ends(&format!("{workers} workers, {when:?}"), move || {
                let runtime = runtime(workers);
                let handle = runtime.handle().clone();
                let first = Chain { handle: handle.clone(), left: 20_000 };
                match when {
                    When::During => {
                        drop(runtime.spawn(async move {
                            let _first = first;
                            pending::<()>().await
                        }));
                        drop(runtime);
                    }
                    When::After => {
                        drop(runtime);
                        drop(first);
                    }
                }
                let metrics = handle.metrics();
                assert_eq!(metrics.tasks_spawned(), metrics.tasks_finished());
            });
        }
    }
}

/// Its drop spawns a task somewhere and waits for it, as those do who want an async drop.
struct Waits(Handle);

impl Drop for Waits {
    fn drop(&mut self) {
        let task = self.0.spawn(async {});
        // Cancelled or not: it ends.
        let _ = block_on(task);
    }
}

#[test]
fn a_drop_that_waits_for_a_task_does_not_hold_up_the_end_or_what_comes_after() {
    for workers in [1, 2] {
        for when in [When::During, When::After] {
            ends(&format!("{workers} workers, {when:?}"), move || {
                let runtime = runtime(workers);
                let handle = runtime.handle().clone();
                let waits = Waits(handle.clone());
                let task = async move {
                    let _waits = waits;
                    pending::<()>().await
                };
                match when {
                    When::During => {
                        drop(runtime.spawn(task));
                        drop(runtime);
                    }
                    When::After => {
                        drop(runtime);
                        assert!(block_on(handle.spawn(task)).unwrap_err().is_cancelled());
                    }
                }
            });
        }
    }
}

/// Its drop spawns a task in another runtime and hands over its handle.
struct Spawns(Handle, mpsc::Sender<JoinHandle<()>>);

impl Drop for Spawns {
    fn drop(&mut self) {
        let _ = self.1.send(self.0.spawn(async {}));
    }
}

#[test]
fn a_late_task_whose_drop_spawns_in_another_closed_runtime_leaves_none_behind() {
    ends("two closed runtimes", || {
        let (one, other) = (runtime(1), runtime(1));
        let handles = (one.handle().clone(), other.handle().clone());
        drop((one, other));
        let (send, receive) = mpsc::channel();
        let spawns = Spawns(handles.1, send);
        let task = handles.0.spawn(async move { drop(spawns) });
        assert!(block_on(task).unwrap_err().is_cancelled());
        assert!(block_on(receive.recv().unwrap()).unwrap_err().is_cancelled());
    });
}

#[test]
fn a_late_task_that_is_cancelled_on_another_runtimes_worker_may_block_it() {
    ends("one worker", || {
        let (closed, busy) = (runtime(1), runtime(1));
        let (closed_handle, busy_handle) = (closed.handle().clone(), busy.handle().clone());
        drop(closed);
        let task = busy.spawn(async move {
            let waits = Waits(busy_handle);
            closed_handle.spawn(async move { drop(waits) }).await
        });
        assert!(busy.block_on(task).unwrap().unwrap_err().is_cancelled());
    });
}

/// Tells which thread has called it, and does not return until it may.
struct Blocks(mpsc::Sender<Option<String>>, Mutex<mpsc::Receiver<()>>);

impl Wake for Blocks {
    fn wake(self: Arc<Self>) {
        self.0.send(thread::current().name().map(str::to_owned)).unwrap();
        // An error is as good: the test is over.
        let _ = self.1.lock().unwrap().recv();
    }
}

/// The one worker is busy, so the monitor fires the timer.
#[test]
fn a_waker_that_holds_the_monitor_does_not_hold_up_the_end() {
    ends("the end", || {
        let runtime = Runtime::builder().workers(1).max_workers(1).name("held").build().unwrap();
        let (busy, is_busy) = mpsc::channel();
        let (go_on, may_go_on) = mpsc::channel::<()>();
        let task = runtime.spawn(async move {
            busy.send(()).unwrap();
            let _ = may_go_on.recv();
        });
        is_busy.recv().unwrap();
        let (called, is_called) = mpsc::channel();
        let (return_now, may_return) = mpsc::channel();
        let waker = Waker::from(Arc::new(Blocks(called, Mutex::new(may_return))));
        let mut sleep = Box::pin(Sleep::new(Duration::from_millis(1)));
        // The timer is this runtime's.
        runtime.block_on(async {
            assert!(sleep.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        });
        assert_eq!(is_called.recv().unwrap().as_deref(), Some("held-mon"));

        go_on.send(()).unwrap();
        block_on(task).unwrap();
        let error = runtime.shutdown(Duration::from_millis(50)).unwrap_err();
        assert!(error.to_string().contains("a waker"), "{error}");
        return_now.send(()).unwrap();
    });
}

/// Another task waits for it in a `block_on`, on a thread that is to end too. With one place for workers, that is the thread on which
/// it has its turn.
#[test]
fn a_task_that_parks_after_the_runtime_was_drained_is_cancelled() {
    for places in [1, 2] {
        ends("the end", move || {
            let runtime = Runtime::builder().workers(1).max_workers(places).build().unwrap();
            let (dropped, is_dropped) = mpsc::channel::<()>();
            drop(runtime.spawn(async move {
                // Dropped when the runtime is drained.
                let _dropped = dropped;
                pending::<()>().await
            }));
            let (began, has_begun) = mpsc::channel();
            let task = runtime.spawn(async move {
                block_on(async {
                    let child = spawn(async move {
                        began.send(()).unwrap();
                        let _ = is_dropped.recv();
                        // The rest of the drain has this long to pass. If it does not, nothing is shown, and nothing fails.
                        thread::sleep(Duration::from_millis(100));
                        pending::<()>().await
                    });
                    child.await.unwrap_err().is_cancelled()
                })
            });
            has_begun.recv().unwrap();
            runtime.shutdown(Duration::from_secs(30)).expect("all workers end");
            // Its turn has ended, and with it the block_on; it was itself not cancelled before.
            assert!(block_on(task).unwrap());
        });
    }
}
