#![allow(unused, reason = "what is reported instead")]

use gambol::select;
use std::future::ready;

async fn default_is_not_last() {
    select! {
        default => {}
        _ = ready(()) => {}
    }
}

async fn else_is_not_last() {
    select! {
        _ = ready(()) => {}
        else => {}
        _ = ready(()) => {}
    }
}

async fn two_defaults() {
    select! {
        _ = ready(()) => {}
        default => {}
        else => {}
        default => {}
    }
}

async fn two_elses() {
    select! {
        _ = ready(()) => {}
        else => {}
        else => {}
    }
}

async fn no_arrow() {
    select! {
        _ = ready(()) => {}
        else {}
    }
}

async fn conditional() {
    select! {
        _ = ready(()) => {}
        default, if true => {}
    }
}

async fn no_handler() {
    select! {
        _ = ready(()) => {}
        default =>
    }
}

fn main() {}
