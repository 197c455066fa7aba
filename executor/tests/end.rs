//! The end of a runtime: what comes during and after it.

mod common;

use common::{ends, runtime};
use gambol_executor::{Handle, JoinHandle, block_on};
use std::{future::pending, sync::mpsc};

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
