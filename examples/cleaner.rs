//! A task in the background that forgets clients which have not been seen for a while.
//!
//! Main plays a few clients that come at different rates; each visit is noted in a map under a lock. The cleaner looks at
//! the map once per period and forgets whoever was not seen for three. The lock is std's: nothing is awaited while it
//! is held. The cleaner ends with main.
//!
//! ```text
//! cargo run --example cleaner [PERIOD]        # in milliseconds, 200 if none is given, 1 to 60000
//! ```

use gambol::time::{Duration, Instant, MissedTick, interval};
use std::{
    collections::BTreeMap,
    env,
    process::ExitCode,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Who was seen, and when last.
#[derive(Default)]
struct Clients(Mutex<BTreeMap<&'static str, Instant>>);

impl Clients {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a visit. True: it is a new client.
    fn visit(&self, name: &'static str) -> bool {
        self.lock().insert(name, Instant::now()).is_none()
    }

    /// Forgets who has not been seen for `age`, and tells who that was.
    fn clean(&self, age: Duration) -> Vec<&'static str> {
        let now = Instant::now();
        let mut forgotten = Vec::new();
        self.lock().retain(|name, seen| {
            let stays = now.saturating_duration_since(*seen) < age;
            if !stays {
                forgotten.push(*name);
            }
            stays
        });
        forgotten
    }
}

#[gambol::main]
async fn main() -> ExitCode {
    let text = env::args_os().nth(1).map_or("200".into(), |given| given.to_string_lossy().into_owned());
    let period = match text.parse() {
        Ok(millis @ 1..=60_000) => Duration::from_millis(millis),
        _ => {
            eprintln!("cleaner: {text} is not a number of milliseconds from 1 to 60000");
            return ExitCode::FAILURE;
        }
    };
    let clients = Arc::new(Clients::default());
    gambol::spawn(clean(clients.clone(), period));

    // Ann comes in every period, Bob twice at the beginning, Cid once in eight.
    let mut ticks = interval(period);
    for tick in 0..16 {
        ticks.tick().await;
        for (name, comes) in [("ann", true), ("bob", tick < 2), ("cid", tick % 8 == 0)] {
            if comes && clients.visit(name) {
                println!("hello, {name}");
            }
        }
    }
    let left: Vec<_> = clients.lock().keys().copied().collect();
    println!("still known: {}", left.join(", "));
    ExitCode::SUCCESS
}

/// The cleaner.
async fn clean(clients: Arc<Clients>, period: Duration) {
    let mut ticks = interval(period);
    // After a pause, one look is enough.
    ticks.set_missed_tick(MissedTick::Skip);
    loop {
        ticks.tick().await;
        for name in clients.clean(3 * period) {
            println!("forgot {name}");
        }
    }
}
