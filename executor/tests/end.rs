//! The end of a runtime: what comes during and after it.

mod common;

use common::{ends, runtime};
use gambol_executor::Handle;
use std::future::pending;

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
