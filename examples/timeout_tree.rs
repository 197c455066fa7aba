//! A deadline that reaches everything below: children, and their children, though none of them is told of it.
//!
//! A journey is planned, and the planning has a deadline. Each part is a task, and starts tasks for its own parts; each has the context of
//! the task that started it. The hotels have an earlier deadline of their own, which says so and leaves the rest alone. When the museum is found to
//! be closed, the tours are cancelled, and all of them learn why.
//!
//! ```text
//! cargo run --example timeout_tree [MILLIS]        # 500 if none is given, at most 60000
//! ```

use gambol::{
    context::{Canceller, Context},
    task::JoinSet,
    time::{Duration, Instant, sleep},
};
use std::{env, process::ExitCode};

/// When the planning began. It goes with the context, as the deadline does.
#[derive(Clone)]
struct Begin(Instant);

#[gambol::main]
async fn main() -> ExitCode {
    let text = env::args_os().nth(1).map_or("500".into(), |given| given.to_string_lossy().into_owned());
    let Some(millis @ 0..=60_000) = text.parse().ok() else {
        eprintln!("timeout_tree: {text} is not a number of milliseconds from 0 to 60000");
        return ExitCode::FAILURE;
    };
    let context = Context::background().with_value(Begin(Instant::now())).with_timeout(Duration::from_millis(millis));
    context.scope(journey()).await;
    ExitCode::SUCCESS
}

async fn journey() {
    let here = Context::current();
    let hurry = here.with_timeout_cause(Duration::from_millis(200), "no hotel has answered in time");
    let (together, canceller) = here.with_cancel();
    let mut parts = JoinSet::new();
    parts.spawn(flights());
    parts.spawn(hurry.scope(hotels()));
    parts.spawn(together.scope(tours(canceller)));
    parts.spawn(work("insurance", 10_000));
    parts.join_all().await;
    say("journey", "all parts have ended");
}

async fn flights() {
    let mut parts = JoinSet::new();
    parts.spawn(work("flights/there", 100));
    parts.spawn(work("flights/back", 250));
    parts.join_all().await;
}

async fn hotels() {
    let mut parts = JoinSet::new();
    parts.spawn(work("hotels/rome", 50));
    parts.spawn(work("hotels/siena", 10_000));
    parts.join_all().await;
}

async fn tours(canceller: Canceller) {
    let mut parts = JoinSet::new();
    parts.spawn(work("tours/guide", 10_000));
    parts.spawn(work("tours/bus", 10_000));
    work("tours/museum", 150).await;
    canceller.cancel_with("the museum is closed");
    parts.join_all().await;
}

/// Work of this length, unless its context ends before.
async fn work(name: &str, millis: u64) {
    match Context::current().run(sleep(Duration::from_millis(millis))).await {
        Ok(()) => say(name, "done"),
        Err(cause) => say(name, &format!("given up: {cause}")),
    }
}

fn say(name: &str, what: &str) {
    let Begin(begin) = Context::current().value().expect("main has given it to all");
    println!("{:6} ms: {name}: {what}", begin.elapsed().as_millis());
}
