#![allow(unused, reason = "what is reported instead")]

use gambol::select;
use std::future::{pending, ready};

async fn not_a_future() {
    select! {
        _ = ready(()) => {}
        _ = 3 + 4 => {}
    }
}

async fn condition_is_no_bool() {
    select! {
        _ = ready(()), if 3 => {}
    }
}

async fn handlers_of_two_types() {
    let _ = select! {
        _ = ready(()) => 1,
        _ = pending::<()>() => "two",
    };
}

fn not_async() {
    select! { _ = ready(()) => {} }
}

fn main() {}
