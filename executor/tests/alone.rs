//! What must not start the default runtime. Alone in its file, because the default runtime is the process's.

use gambol_executor::{Handle, Runtime, Sleep};
use std::time::Duration;

#[test]
fn a_sleep_in_a_runtimes_own_block_on_starts_no_other_runtime() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    runtime.block_on(Sleep::new(Duration::from_millis(1)));
    assert!(Handle::try_current().is_none(), "the default runtime was started");
}
