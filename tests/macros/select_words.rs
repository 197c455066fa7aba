#![allow(unused, reason = "what is reported instead")]

use gambol::select;
use std::future::ready;

async fn biased_with_a_comma() {
    select! {
        biased,
        _ = ready(()) => {}
    }
}

async fn biased_too_late() {
    select! {
        _ = ready(()) => {}
        biased;
    }
}

async fn complete() {
    select! {
        _ = ready(()) => {}
        complete => {}
    }
}

async fn attribute() {
    select! {
        #[cfg(unix)]
        _ = ready(()) => {}
    }
}

fn main() {}
