#![allow(unused, reason = "what is reported instead")]

use gambol::select;
use std::future::ready;

async fn no_equals() {
    select! {
        _ = ready(()) => {}
        value ready(1) => {}
    }
}

async fn no_pattern() {
    select! { ready(1) => {} }
}

async fn no_pattern_but_a_place() {
    let (mut one, two) = (ready(1), ready(2));
    select! {
        _ = two => {}
        &mut one => {}
    }
}

async fn nothing_before_the_arrow() {
    select! { => {} }
}

async fn nothing_before_the_equals() {
    select! { = ready(()) => {} }
}

async fn no_arrow() {
    select! {
        _ = ready(()),
        _ = ready(()) => {}
    }
}

async fn no_arrow_at_the_end() {
    select! { _ = ready(()) }
}

async fn no_arrow_after_a_condition() {
    select! { _ = ready(()), if true }
}

async fn no_future() {
    select! { _ = => {} }
}

async fn no_handler() {
    select! { _ = ready(()) => }
}

async fn no_handler_but_a_comma() {
    select! {
        _ = ready(()) =>,
        _ = ready(()) => {}
    }
}

async fn no_comma() {
    select! {
        1 = ready(2) => println!("one")
        _ = ready(()) => {}
    }
}

async fn no_comma_before_the_condition() {
    select! { _ = ready(()) if true => {} }
}

async fn no_condition() {
    select! { _ = ready(()), if => {} }
}

async fn no_condition_but_its_comma() {
    select! { _ = ready(()), => {} }
}

async fn condition_too_early() {
    select! { value if value > 1 = ready(2) => {} }
}

async fn semicolon() {
    select! {
        _ = ready(()) => println!("ready");
        _ = ready(()) => {}
    }
}

async fn semicolon_between() {
    select! {
        _ = ready(()) => {};
        _ = ready(()) => {}
    }
}

async fn two_commas() {
    select! {
        _ = ready(()) => {},,
        _ = ready(()) => {}
    }
}

async fn no_comma_after_a_match() {
    select! {
        number = ready(1) => match number {
            1 => {}
            _ => {}
        }
        _ = ready(()) => {}
    }
}

fn main() {}
