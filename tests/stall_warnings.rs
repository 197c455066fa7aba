//! The features `log` and `tracing`: a stall is a warning there, with the sentence that the hook is given, once for each place of spawn.

use gambol::runtime::Runtime;
use std::{
    fmt,
    sync::{Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

const PATIENCE: Duration = Duration::from_secs(20);

static LOGGED: Mutex<Vec<String>> = Mutex::new(Vec::new());
static TRACED: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Logger;

impl log::Log for Logger {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        if record.target() == "gambol" {
            assert_eq!(record.level(), log::Level::Warn);
            LOGGED.lock().unwrap().push(record.args().to_string());
        }
    }

    fn flush(&self) {}
}

struct Collector;

impl Subscriber for Collector {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        if event.metadata().target() == "gambol" {
            assert_eq!(*event.metadata().level(), Level::WARN);
            event.record(&mut Message);
        }
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

struct Message;

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            TRACED.lock().unwrap().push(format!("{value:?}"));
        }
    }
}

#[test]
fn a_stall_is_a_warning_in_log_and_in_tracing() {
    log::set_logger(&Logger).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    tracing::subscriber::set_global_default(Collector).unwrap();
    let (tell, told) = mpsc::channel();
    let hook = move |stall: &gambol::runtime::Stall| drop(tell.send(stall.to_string()));
    let runtime = Runtime::builder().workers(1).on_stall(hook).build().unwrap();
    for stalls in 1..=3 {
        let (go_on, waits) = mpsc::channel();
        let stuck = runtime.spawn(async move {
            // Until the one behind it has run, and for longer than the threshold.
            waits.recv_timeout(PATIENCE).unwrap();
            thread::sleep(Duration::from_millis(20));
        });
        let behind = runtime.spawn(async move { go_on.send(()).unwrap() });
        runtime.block_on(async { (stuck.await.unwrap(), behind.await.unwrap()) });
        let begin = Instant::now();
        while runtime.metrics().stalls() < stalls {
            assert!(begin.elapsed() < PATIENCE, "not counted");
            thread::yield_now();
        }
    }
    // The hook comes after the warnings.
    let sentence = told.recv_timeout(PATIENCE).unwrap();
    assert!(sentence.contains("tests/stall_warnings.rs:"), "{sentence}");
    drop(runtime);
    assert_eq!(*LOGGED.lock().unwrap(), [sentence.as_str()]);
    assert_eq!(*TRACED.lock().unwrap(), [sentence.as_str()]);
}
