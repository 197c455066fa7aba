//! The attribute macros: where the code runs, what it may return, what is said about mistakes.
//!
//! What `#[gambol::main]` does with a process is in `main.rs`.

mod helpers;

use gambol::{runtime::Handle, task};
use helpers::{in_child, is_child};
use std::{cell::Cell, error::Error, fmt, rc::Rc, thread};

#[gambol::test]
async fn a_test_is_a_task() {
    assert!(task::try_id().is_some());
    assert_eq!(Handle::current().metrics().workers(), 2);
}

#[gambol::test()]
async fn empty_parentheses_change_nothing() {
    assert!(task::try_id().is_some());
}

#[gambol::test(workers = 3)]
async fn workers_can_be_chosen() {
    assert_eq!(Handle::current().metrics().workers(), 3);
}

#[gambol::test]
async fn a_test_that_is_not_send_stays_on_its_thread() {
    let local = Rc::new(Cell::new(0));
    let thread = thread::current().id();
    for _ in 0..10 {
        task::yield_now().await;
        local.set(local.get() + 1);
    }
    assert!(task::try_id().is_none());
    assert_eq!(thread::current().id(), thread);
    // What it spawns runs in the same runtime as ever.
    assert!(gambol::spawn(async { task::try_id() }).await.unwrap().is_some());
    assert_eq!(local.get(), 10);
}

#[gambol::test]
async fn a_result_that_is_not_send_ties_nobody_to_a_thread() -> Result<(), Box<dyn Error>> {
    task::yield_now().await;
    assert!(task::try_id().is_some());
    let four: i32 = "4".parse()?;
    assert_eq!(four, 4);
    Ok(())
}

#[gambol::test]
async fn unit_may_be_written_out() -> () {
    task::yield_now().await;
}

#[gambol::test]
#[should_panic(expected = "out of the task")]
async fn a_panic_comes_out_of_the_task() {
    panic!("out of the task");
}

#[gambol::test]
#[should_panic(expected = "out of block_on")]
async fn a_panic_comes_out_of_the_thread() {
    let _local = Rc::new(());
    task::yield_now().await;
    panic!("out of block_on");
}

#[gambol::test]
#[ignore = "fails on purpose, in a child process"]
async fn fails() -> Result<(), fmt::Error> {
    Err(fmt::Error)
}

#[test]
fn an_error_fails_the_test() {
    assert!(!is_child());
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "fails", "--include-ignored"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(101));
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("1 failed") && text.contains("Error: Error"), "{text}");
    // A test that does not fail does not fail.
    assert!(in_child("a_test_is_a_task").status.success());
}

mod hygiene {
    //! Names of the user's that are also used inside.
    #![allow(dead_code, non_camel_case_types, reason = "they are to be in the way")]

    struct Option;
    struct ExitCode;
    struct core;
    struct std;
    mod gambol {}

    #[::gambol::test]
    async fn future() {
        let future = 1;
        assert_eq!(future, 1);
    }

    #[::gambol::test]
    async fn road() -> ::std::process::ExitCode {
        trait Either {
            fn road(&self) -> i32 {
                1
            }
        }
        impl<T> Either for T {}
        assert_eq!(2.road(), 1);
        ::std::process::ExitCode::SUCCESS
    }
}

#[test]
fn mistakes_are_told_where_they_are() {
    trybuild::TestCases::new().compile_fail("tests/macros/*.rs");
}
