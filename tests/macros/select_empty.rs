#![allow(unused, reason = "what is reported instead")]

async fn empty() {
    gambol::select! {};
    gambol::select! { biased; };
    gambol::select! { default => {} };
}

fn main() {}
